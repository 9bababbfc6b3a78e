"""The error tree: what went wrong, where, and how to mend it.

Every error a user can meet derives from `P2PError`. A mistake in the input is an
`InvalidInput`, which carries *all* findings at once; a problem that cannot be solved is a
`NoSolution`, which carries the solver's report.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pp_p2p.solve.report import SolveReport

MAX_ROWS_SHOWN = 12
"""A finding names at most this many rows in its text; `Finding.rows` holds them all."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One violated rule of the input.

    Parameters
    ----------
    table : str
        Table, file or argument that holds the mistake.
    column : str
        Column or key; empty where the whole table is meant.
    rows : tuple
        Index labels of the rows; empty where the rule is about the table as a whole.
    rule : str
        What is wrong, as a statement of fact.
    mend : str
        What the user can do about it.
    """

    table: str
    rule: str
    mend: str
    column: str = ""
    rows: tuple[object, ...] = ()

    def __str__(self) -> str:
        where = f"{self.table}.{self.column}" if self.column else self.table
        rows = f": row{'s' if len(self.rows) > 1 else ''} {listed(self.rows)}" if self.rows else ":"
        return f"{where}{rows} {self.rule}; {self.mend}"


class P2PError(Exception):
    """Root of every error that pp_p2p, planning, clustering and flows raise on purpose."""


class InvalidInput(P2PError, ValueError):
    """The input breaks one or more rules; all of them are listed.

    Parameters
    ----------
    findings : Finding or iterable of Finding
        Everything that was found, not only the first.
    """

    def __init__(self, findings: Finding | Iterable[Finding]) -> None:
        self.findings: tuple[Finding, ...] = (
            (findings,) if isinstance(findings, Finding) else tuple(findings)
        )
        super().__init__("\n".join(str(finding) for finding in self.findings))

    def __reduce__(self) -> tuple[object, ...]:  # its argument is not what its text is
        return type(self), (self.findings,)


class UnsupportedFeature(P2PError, NotImplementedError):
    """The input is sound, but a model cannot represent a part of it.

    Parameters
    ----------
    model : str
        What was asked to represent it.
    findings : Finding or iterable of Finding
        The tables and rows that cannot be represented, with a way out.
    """

    def __init__(self, model: str, findings: Finding | Iterable[Finding]) -> None:
        self.findings: tuple[Finding, ...] = (
            (findings,) if isinstance(findings, Finding) else tuple(findings)
        )
        self.model = model
        lines = "\n".join(str(finding) for finding in self.findings)
        super().__init__(f"{model} cannot represent:\n{lines}")

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.model, self.findings)


class SolverUnavailable(P2PError):
    """The solver that was asked for is not installed."""


class SolverCannot(P2PError):
    """The solver is there but cannot solve a problem of this class."""


class LedgerUnavailable(P2PError):
    """The packages that settle on a ledger are not installed."""


class LedgerUnreachable(P2PError):
    """The node does not answer; nothing is lost, the day can be taken up again."""


class LedgerRefused(P2PError):
    """The contract refused a transaction; the message is its reason."""


class NoSolution(P2PError):
    """No feasible point was found.

    Parameters
    ----------
    message : str
        Which problem has no solution, why as far as known, and the mend.
    report : SolveReport, optional
        What the solver said.
    """

    def __init__(self, message: str, report: SolveReport | None = None) -> None:
        super().__init__(message)
        self.report = report


class TimeLimit(NoSolution):
    """No feasible point was found in time: there may be one."""


class NotConverged(P2PError):
    """An iteration stopped before its tolerance was met.

    Parameters
    ----------
    message : str
        Which iteration, where, and the mend.
    history : sequence of float
        Residual per iteration.
    last : object, optional
        State of the iteration when it was stopped: for a diagnosis, not a result.
    """

    def __init__(self, message: str, history: Sequence[float] = (), last: object = None) -> None:
        super().__init__(message)
        self.history = tuple(history)
        self.last = last


class Diverging(NotConverged):
    """The multipliers of an iteration grow without bound: its parts have no common point."""


class StepFailed(P2PError):
    """A step of a study took too long and was ended, or its process died."""


class InexactRelaxation(UserWarning):
    """A relaxed result does not agree with the exact power flow; the result says by how much."""


class ConstantGeneration(UserWarning):
    """Generators without a profile feed in the same power in every step; the text names them."""


class DoubtfulInput(UserWarning):
    """Numbers of the input are taken as they stand, and are probably in another unit."""


class DivergedSteps(UserWarning):
    """The power flow of some steps did not converge; the result says of which."""


def raise_if_any(findings: Iterable[Finding]) -> None:
    """Raise one `InvalidInput` with all `findings`, or return where there are none."""
    found = tuple(findings)
    if found:
        raise InvalidInput(found)


def listed(rows: Sequence[object]) -> str:
    """Return rows as text, `MAX_ROWS_SHOWN` of them at most."""
    shown = ", ".join(str(row) for row in rows[:MAX_ROWS_SHOWN])
    more = len(rows) - MAX_ROWS_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
