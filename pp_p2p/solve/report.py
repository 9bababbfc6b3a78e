"""What a solver is asked for, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import numpy.typing as npt


class ProblemClass(StrEnum):
    """Class of an optimisation problem: what a solver must be able to do."""

    LP = "LP"
    QP = "QP"
    MILP = "MILP"
    MIQP = "MIQP"
    SOCP = "SOCP"
    MISOCP = "MISOCP"
    NLP = "NLP"


class Status(StrEnum):
    """How far a solve came. Without a feasible point there is no status but `NoSolution`."""

    OPTIMAL = "optimal"
    FEASIBLE = "feasible"


@dataclass(frozen=True, kw_only=True)
class SolverConfig:
    """How to solve.

    Parameters
    ----------
    name : str
        ``"auto"``, or a name that ``pp-p2p solvers`` lists.
    rel_gap : float
        Relative gap between the objective and its proven bound at which an integer problem ends.
    time_limit_s : float
        After this time the best point so far is returned, flagged ``"feasible"``.
    threads : int
        Threads of the solver; 1 makes results independent of the machine's load.
    processes : int
        Processes among which the projection deals its components (typical days), and an
        evaluation its days; the answer is the same for any number.
    """

    name: str = "auto"
    rel_gap: float = 1e-4
    time_limit_s: float = 600.0
    threads: int = 1
    processes: int = 1


DEFAULT_CONFIG: Final = SolverConfig()


@dataclass(frozen=True, kw_only=True)
class SolveReport:
    """Answer of a solver.

    Parameters
    ----------
    status : Status
        Optimal within the gap that was asked for, or feasible with the gap that is stated.
    termination : str
        The solver's own word.
    objective, bound, gap : float
        Value found, proven bound, and ``|objective - bound| / max(|objective|, 1e-4)``.
    seconds : float
        Wall time in the solver room.
    solver, version : str
        Which solver answered.
    problem_class : ProblemClass
    iterations : int
    history : tuple of (seconds, bound, objective)
        Progress of an integer problem.
    duals : mapping
        Pyomo constraint -> d(objective)/d(right-hand side), for continuous problems.
    """

    status: Status
    termination: str
    objective: float
    bound: float
    seconds: float
    solver: str
    version: str
    problem_class: ProblemClass
    iterations: int = 0
    history: tuple[tuple[float, float, float], ...] = ()
    duals: Mapping[Any, float] = field(default_factory=dict, repr=False)

    @property
    def gap(self) -> float:
        """Relative gap between objective and bound."""
        return relative_gap(self.objective, self.bound)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a backend found for a compiled problem: there is a point, or it raises.

    Parameters
    ----------
    x : (column,) of float
    objective, bound : float
        Value of `x`, and what no point can be below.
    termination : str
        The solver's own word.
    optimal : bool
        Whether gap and residual are within what was asked for.
    iterations : int
    history : tuple of (seconds, bound, objective)
    row_duals : (row,) of float or None
        d(objective)/d(right-hand side), for continuous problems.
    """

    x: npt.NDArray[Any]
    objective: float
    bound: float
    termination: str
    optimal: bool
    iterations: int = 0
    history: tuple[tuple[float, float, float], ...] = ()
    row_duals: npt.NDArray[Any] | None = None


OBJECTIVE_FLOOR: Final = 1e-4
"""Gaps are relative to the objective, or to this where it is smaller: an optimum of zero has a
gap too, and conic solvers stop at 1e-8 absolutely."""


def relative_gap(objective: float, bound: float) -> float:
    """Return ``|objective - bound|`` relative to the objective."""
    return abs(objective - bound) / max(abs(objective), OBJECTIVE_FLOOR)
