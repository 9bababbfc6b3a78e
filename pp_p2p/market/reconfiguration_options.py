"""`Reconfiguration`: what the operator may switch while participants trade."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np

from pp_p2p.algorithms.two_block import Message
from pp_p2p.errors import Finding, InvalidInput, raise_if_any
from pp_p2p.network.branches import Array
from pp_p2p.network.switch_tables import Switchable
from pp_p2p.network.timeline import Timeline
from pp_p2p.operation.topology_sequence import SwitchingLimits

CHANGES: Final = ("step", "day")


@dataclass(frozen=True, kw_only=True)
class Reconfiguration:
    """Reconfiguration of the network over a trading day.

    Parameters
    ----------
    max_operations : int, optional
        Operations of the day; opening or closing one element is one, from the net as it stands.
    switching_cost_eur : float
        Of one operation; the operator pays it.
    max_operations_per_switch : int, optional
        Operations of each element.
    min_dwell_h : float
        Time that an element stays as it is after an operation, h.
    change_every : {"step", "day"}
        ``"day"`` keeps one configuration all day.
    switchable : mapping, optional
        ``{"line": [...], "switch": [...]}`` that may be operated; default as `reconfigure`.
    max_rounds : int
        Most outer rounds.
    unchanged_rounds : int, optional
        Outer rounds after which a binary that did not change is fixed, if it is not within the
        neighbourhood; None fixes none. Without limits of operations, sweeps of exchanges within a
        round count as rounds.
    neighbourhood : int
        Edges within so many steps (edges that share a node) of an open one stay free.
    tolerance : float
        Decrease of the objective, relative, below which a round counts as none.
    time_limit_s : float
        Of the rounds with trading, and of those without; the incumbent is returned then, flagged
        ``"feasible"``, with termination ``"time limit"``. The bound takes what the rounds with
        trading leave; one cone problem is solved for it in any case.
    bound_nodes : int
        Nodes of branch and bound in each hour for the proven bound, where that of the rounds does
        not meet the objective (`pp_p2p.market.topology_bound`): 0 solves one convex relaxation of
        the day, 1 tightens it hour by hour, each further one splits every hour once more. A few
        narrow the gap for a part of the time that the rounds take, some hundreds may close it.
    compare_joint : bool, optional
        Whether the joint central mixed-integer problem is solved too, for the gap to it. Default:
        where it has at most `JOINT_BINARIES` binaries.
    joint_time_limit_s : float
        Of that problem.
    listen : callable, optional
        Given every `pp_p2p.algorithms.two_block.Message` of the outer rounds.
    """

    max_operations: int | None = None
    switching_cost_eur: float = 0.0
    max_operations_per_switch: int | None = None
    min_dwell_h: float = 0.0
    change_every: Literal["step", "day"] = "step"
    switchable: Switchable | None = None
    max_rounds: int = 30
    unchanged_rounds: int | None = 1
    neighbourhood: int = 1
    tolerance: float = 1e-6
    time_limit_s: float = 600.0
    bound_nodes: int = 1
    compare_joint: bool | None = None
    joint_time_limit_s: float = 60.0
    listen: Callable[[Message], None] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        raise_if_any(
            Finding(
                table="Reconfiguration",
                column=name,
                rule=f"is {getattr(self, name)!r}",
                mend=f"use {mend}",
            )
            for name, mend, ok in (
                ("max_operations", _COUNT, _is_count(self.max_operations, 0)),
                (
                    "max_operations_per_switch",
                    _COUNT,
                    _is_count(self.max_operations_per_switch, 0),
                ),
                ("unchanged_rounds", "a whole number of at least 1, or None to fix nothing",
                 _is_count(self.unchanged_rounds, 1)),
                ("switching_cost_eur", "a finite number of at least 0",
                 _is_number(self.switching_cost_eur)),
                ("min_dwell_h", "a finite number of at least 0", _is_number(self.min_dwell_h)),
                ("tolerance", "a finite number of at least 0", _is_number(self.tolerance)),
                ("max_rounds", "a whole number of at least 1",
                 self.max_rounds is not None and _is_count(self.max_rounds, 1)),
                ("neighbourhood", "a whole number of at least 0",
                 self.neighbourhood is not None and _is_count(self.neighbourhood, 0)),
                ("bound_nodes", "a whole number of at least 0",
                 self.bound_nodes is not None and _is_count(self.bound_nodes, 0)),
                ("change_every", "'step' or 'day'", self.change_every in CHANGES),
                ("switchable", "{'line': [...], 'switch': [...]}",
                 self.switchable is None or isinstance(self.switchable, Mapping)),
                ("time_limit_s", "a number above 0", _is_number(self.time_limit_s, positive=True)),
                ("joint_time_limit_s", "a number above 0",
                 _is_number(self.joint_time_limit_s, positive=True)),
            )
            if not ok
        )  # fmt: skip

    def limits(self, line: Timeline, weight: float) -> SwitchingLimits:
        """Return the limits of the day's switching, with the cost of an operation at `weight`."""
        may_change = np.ones(line.n_steps, dtype=bool)
        if self.change_every == "day":
            may_change[1:] = False
        return SwitchingLimits(
            max_operations=self.max_operations,
            max_operations_per_switch=self.max_operations_per_switch,
            dwell_steps=int(np.ceil(self.min_dwell_h / line.step_h - 1e-9)),
            cost=self.switching_cost_eur * weight,
            may_change=may_change,
        )

    def least_gain(self, objective: float) -> float:
        """Return the decrease of an objective, EUR, below which it counts as none."""
        return self.tolerance * max(abs(objective), 1.0)

    def options(self) -> dict[str, object]:
        """Return what a result depends on."""
        skipped = ("listen",)
        return {
            f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in skipped
        }


def require_reconfiguration(given: object) -> Reconfiguration | None:
    """Return what the operator may switch, None where it may not."""
    if given is None or isinstance(given, Reconfiguration):
        return given
    rule, mend = f"is {given!r}", "pass None or pp_p2p.Reconfiguration(...)"
    raise InvalidInput(Finding(table="trade_day", column="reconfigure", rule=rule, mend=mend))


_COUNT: Final = "a whole number of at least 0, or None for no limit"


def operations(present: Array, closed: Array) -> Array:
    """Return the operations (step,) before every step of configurations (step, edge)."""
    before = np.vstack([present, closed[:-1]])
    return np.asarray((before != closed).sum(axis=1))


def _is_count(value: object, least: int) -> bool:
    if value is None:
        return True
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return whole and int(value) >= least  # type: ignore[call-overload]


def _is_number(value: object, *, positive: bool = False) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        return False
    number = float(value)
    return bool(np.isfinite(number)) and (number > 0 if positive else number >= 0)
