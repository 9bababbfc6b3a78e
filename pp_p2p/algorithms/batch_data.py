"""Data of many small scheduling problems of one structure, and their checks.

Agent n, step t of length h, all quantities in one unit of power, costs per unit of power and step:

    min  sum_t sum_i  c_i x_i + q_i x_i^2 / 2
    s.t. sum outside_t = boundary_t                                                        (1)
         boundary_t + sum inside_t + d_t - c_t - u_t + w_t = demand_t                      (2)
         E_t = E_{t-1} + h eta_c c_t - h d_t / eta_d                                       (3)
         sum_{t in window} h_t (u_t - w_t) = 0                                             (4)
         every x within its box

`outside` is the trade and what the agent buys (>= 0) and sells (<= 0) elsewhere; `inside` what it
generates (or sheds); c, d, E charge, discharge, level at the end of the step; u, w load moved into
and out of a step. An agent without a device has boxes [0, 0].
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from pp_p2p.errors import Finding, raise_if_any

Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Boxed:
    """A quantity per agent and step within bounds, with cost ``cost x + curvature x^2 / 2``.

    Parameters
    ----------
    lower, upper : broadcastable to (agent, step)
        May be infinite; a quantity without any bound needs curvature.
    cost, curvature : broadcastable to (agent, step)
        Curvature >= 0.
    """

    lower: Array | float
    upper: Array | float
    cost: Array | float = 0.0
    curvature: Array | float = 0.0


@dataclass(frozen=True, kw_only=True)
class StorageData:
    """Storage of the agents, at most one each; power boxes start at 0.

    Parameters
    ----------
    charge_max, discharge_max : broadcastable to (agent, step)
        Power.
    energy_min, energy_max : broadcastable to (agent, step)
        Level at the end of a step, power unit times hour.
    charge_efficiency, discharge_efficiency : broadcastable to (agent,)
        In (0, 1].
    start : broadcastable to (agent,)
        Level before the first step; NaN = free and equal to the level after the last (cyclic).
    end : broadcastable to (agent,)
        Level after the last step; NaN = within the box (given start) or cyclic (free start).
    charge_cost, discharge_cost : broadcastable to (agent, step)
        Degradation, per unit of power and step.
    """

    charge_max: Array | float
    discharge_max: Array | float
    energy_max: Array | float
    energy_min: Array | float = 0.0
    charge_efficiency: Array | float = 1.0
    discharge_efficiency: Array | float = 1.0
    start: Array | float = np.nan
    end: Array | float = np.nan
    charge_cost: Array | float = 0.0
    discharge_cost: Array | float = 0.0


@dataclass(frozen=True, kw_only=True)
class ShiftData:
    """Load that may move within windows, its energy kept.

    Parameters
    ----------
    up_max, down_max : broadcastable to (agent, step)
        Most power moved into and out of a step; 0 outside of windows.
    window : broadcastable to (agent, step), int
        Number of the window that the step belongs to, from 0; -1 = none.
    up_cost, down_cost : broadcastable to (agent, step)
        Discomfort, per unit of power and step.
    up_curvature, down_curvature : broadcastable to (agent, step)
        Discomfort that grows with the power moved.
    """

    up_max: Array | float
    down_max: Array | float
    window: Array | int = 0
    up_cost: Array | float = 0.0
    down_cost: Array | float = 0.0
    up_curvature: Array | float = 0.0
    down_curvature: Array | float = 0.0


@dataclass(frozen=True, kw_only=True)
class LocalProblems:
    """Everything the batched solver knows about its agents.

    Parameters
    ----------
    demand : (agent, step)
        Fixed load.
    trade : Boxed
        The quantity that a scheme coordinates, positive = taken in.
    outside, inside : tuple of Boxed
        Other exchange through the connection; generation behind it.
    boundary : Boxed or None
        Limits and cost of the sum through the connection; None = none.
    storage : StorageData or None
    shift : ShiftData or None
    step_h : broadcastable to (step,)
        Length of the steps in h.

    Raises
    ------
    InvalidInput
        All findings, by argument and agent.
    """

    demand: Array
    trade: Boxed
    outside: tuple[Boxed, ...] = ()
    inside: tuple[Boxed, ...] = ()
    boundary: Boxed | None = None
    storage: StorageData | None = None
    shift: ShiftData | None = None
    step_h: Array | float = 1.0

    def __post_init__(self) -> None:
        raise_if_any(_findings(self))

    @property
    def shape(self) -> tuple[int, int]:
        """Agents and steps."""
        n, t = self.demand.shape
        return n, t

    def boxes(self) -> dict[str, Boxed]:
        """Return every quantity by name, in the order of `batch_kkt.Slots`."""
        found = {"trade": self.trade}
        found |= {f"outside[{i}]": box for i, box in enumerate(self.outside)}
        if self.boundary is not None:
            found["boundary"] = self.boundary
        found |= {f"inside[{i}]": box for i, box in enumerate(self.inside)}
        if (s := self.storage) is not None:
            found["charge"] = Boxed(lower=0.0, upper=s.charge_max, cost=s.charge_cost)
            found["discharge"] = Boxed(lower=0.0, upper=s.discharge_max, cost=s.discharge_cost)
            found["energy"] = _energy_box(s, self.shape)
        if (m := self.shift) is not None:
            found["up"] = Boxed(lower=0.0, upper=m.up_max, cost=m.up_cost, curvature=m.up_curvature)
            found["down"] = Boxed(
                lower=0.0, upper=m.down_max, cost=m.down_cost, curvature=m.down_curvature
            )
        return found


def _energy_box(storage: StorageData, shape: tuple[int, int]) -> Boxed:
    lower = np.array(np.broadcast_to(storage.energy_min, shape), dtype=float)
    upper = np.array(np.broadcast_to(storage.energy_max, shape), dtype=float)
    end = np.broadcast_to(np.asarray(storage.end, dtype=float), shape[:1])
    given = np.isfinite(end)
    lower[given, -1] = upper[given, -1] = end[given]
    return Boxed(lower=lower, upper=upper)


def _findings(problems: LocalProblems) -> Iterator[Finding]:
    if np.ndim(problems.demand) != 2 or not np.size(problems.demand):
        yield _finding("demand", "has no axes (agent, step)", "give one row per agent")
        return
    misfits = [*_misfits(problems)]
    yield from misfits
    if misfits:
        return
    if not (finite := np.isfinite(problems.demand).all(axis=1)).all():
        yield _finding("demand", "is not finite", "give a number for every step", finite == 0)
    for name, box in problems.boxes().items():
        yield from _box_findings(name, box, problems.shape)
    yield from _device_findings(problems)


def _misfits(problems: LocalProblems) -> Iterator[Finding]:
    n, t = problems.shape
    per_agent = {"charge_efficiency", "discharge_efficiency", "start", "end"}
    parts: list[tuple[str, object]] = [("trade", problems.trade), ("boundary", problems.boundary)]
    parts += [(f"outside[{i}]", box) for i, box in enumerate(problems.outside)]
    parts += [(f"inside[{i}]", box) for i, box in enumerate(problems.inside)]
    parts += [("storage", problems.storage), ("shift", problems.shift)]
    todo: list[tuple[str, str, Any, tuple[int, ...]]] = [("step_h", "", problems.step_h, (t,))]
    for name, part in parts:
        if part is not None:
            for field in fields(part):  # type: ignore[arg-type]
                axes = (n,) if field.name in per_agent else (n, t)
                todo.append((name, field.name, getattr(part, field.name), axes))
    for table, column, value, shape in todo:
        try:
            np.broadcast_to(value, shape)
        except ValueError:
            yield Finding(
                table=table,
                column=column,
                rule=f"has shape {np.shape(value)}",
                mend=f"give an array that broadcasts to {shape}",
            )


def _box_findings(name: str, box: Boxed, shape: tuple[int, int]) -> Iterator[Finding]:
    lower, upper, cost, curvature = (
        np.broadcast_to(value, shape) for value in (box.lower, box.upper, box.cost, box.curvature)
    )
    if (bad := ~(lower <= upper).all(axis=1)).any():
        yield _finding(name, "has a lower bound above the upper, or no number", "mend it", bad)
    if (bad := ~(np.isfinite(cost) & (curvature >= 0) & np.isfinite(curvature)).all(axis=1)).any():
        yield _finding(
            name, "has a cost that is not finite or curvature < 0", "use a convex cost", bad
        )
    loose = np.isinf(lower) & np.isinf(upper) & (curvature == 0)
    if name not in ("trade", "boundary") and (bad := loose.any(axis=1)).any():
        yield _finding(name, "has neither a bound nor curvature", "give it one", bad)


def _device_findings(problems: LocalProblems) -> Iterator[Finding]:
    n, t = problems.shape
    if not np.all(np.asarray(problems.step_h) > 0):
        yield _finding("step_h", "is not above 0", "give the length of the steps in h")
    if (s := problems.storage) is not None:
        for name in ("charge_efficiency", "discharge_efficiency"):
            value = np.broadcast_to(np.asarray(getattr(s, name)), (n,))
            if (bad := (value <= 0) | (value > 1) | np.isnan(value)).any():
                yield _finding("storage", "is not in (0, 1]", "give a part of 1", bad, name)
    if (m := problems.shift) is not None:
        window = np.broadcast_to(m.window, (n, t))
        moved = np.broadcast_to(m.up_max, (n, t)) + np.broadcast_to(m.down_max, (n, t))
        if (bad := ((window < 0) & (moved > 0)).any(axis=1)).any():
            yield _finding("shift", "moves load outside of every window", "bound it by 0", bad)


def _finding(table: str, rule: str, mend: str, agents: Any = None, column: str = "") -> Finding:
    rows = () if agents is None else tuple(np.flatnonzero(agents).tolist())
    return Finding(table=table, column=column, rows=rows, rule=rule, mend=mend)
