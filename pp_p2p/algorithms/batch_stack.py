"""Problems of some agents as stacks of scaled arrays (slot, step, agent)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from pp_p2p.algorithms.batch_data import Array, LocalProblems
from pp_p2p.algorithms.batch_kkt import Rows, Slots, Structure
from pp_p2p.errors import Finding, InvalidInput

FIXED: Final = 1e-11
"""A box narrower than this part of the agent's scale is a point."""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Problems of some agents, scaled by each one's power and cost; (slot, step, agent)."""

    structure: Structure
    lower: Array
    upper: Array
    cost: Array
    curvature: Array
    free: Array
    rhs: Rows
    power: Array
    money: Array

    def of_agents(self, which: Array) -> Stack:
        """Return the same for some agents."""
        return Stack(
            structure=self.structure.of_agents(which),
            lower=self.lower[..., which],
            upper=self.upper[..., which],
            cost=self.cost[..., which],
            curvature=self.curvature[..., which],
            free=self.free[..., which],
            rhs=of_agents(self.rhs, which),
            power=self.power[which],
            money=self.money[which],
        )


def of_agents(rows: Rows, which: Array) -> Rows:
    """Return rows for some agents."""
    return tuple(part[..., which] for part in rows)  # type: ignore[return-value]


def stacked(problems: LocalProblems, which: Array) -> Stack:
    """Return some agents' problems as a stack."""
    n, t = problems.shape
    slots = Slots.of(problems)
    lower, upper, cost, curvature = (
        np.stack(
            [
                np.broadcast_to(np.asarray(getattr(box, part), dtype=float), (n, t))[which].T
                for box in problems.boxes().values()
            ]
        )
        for part in ("lower", "upper", "cost", "curvature")
    )
    demand = problems.demand[which].T.astype(float)
    power = _power_scale(slots, lower, upper, demand)
    lower, upper, curvature = lower / power, upper / power, curvature * power
    money = np.maximum(np.abs(cost).max(axis=(0, 1)), curvature.max(axis=(0, 1)))
    money = np.where(money > 0.0, money, 1.0)
    structure, start = _structure(problems, slots, which)
    shape = demand.shape
    third = np.zeros(shape)
    third[0] = start / power
    free = upper - lower > FIXED
    return Stack(
        structure=structure,
        lower=lower,
        upper=upper,
        cost=cost / money,
        curvature=curvature / money,
        free=free.astype(float),
        rhs=(np.zeros(shape), demand / power, third, np.zeros((len(structure.hours), len(which)))),
        power=power,
        money=money,
    )


def _structure(problems: LocalProblems, slots: Slots, which: Array) -> tuple[Structure, Array]:
    """Return the coefficients, and the given levels before the first step."""
    n, t = problems.shape
    hours = np.broadcast_to(np.asarray(problems.step_h, dtype=float), (t,))[:, None]
    gain = drain = np.ones((t, len(which)))
    cyclic = start = np.zeros(len(which))
    if (s := problems.storage) is not None:
        gain = hours * np.broadcast_to(s.charge_efficiency, (n,))[which]
        drain = hours / np.broadcast_to(s.discharge_efficiency, (n,))[which]
        level = np.broadcast_to(np.asarray(s.start, dtype=float), (n,))[which]
        end = np.broadcast_to(np.asarray(s.end, dtype=float), (n,))[which]
        cyclic = (np.isnan(level) & np.isnan(end)).astype(float)
        start = np.where(np.isnan(level), np.nan_to_num(end), level)
    window = np.zeros((t, len(which)), dtype=np.intp)
    members = np.zeros((0, t, len(which)))
    if (m := problems.shift) is not None:
        label = np.broadcast_to(m.window, (n, t))[which].T
        window = np.maximum(label, 0).astype(np.intp)
        members = np.stack([(label == k) * hours for k in range(max(int(label.max()) + 1, 1))])
    return Structure(
        slots=slots, gain=gain, drain=drain, cyclic=cyclic, hours=members, window=window
    ), start


def _power_scale(slots: Slots, lower: Array, upper: Array, demand: Array) -> Array:
    """Return each agent's scale of power: what it has, or what it may exchange."""
    size = np.maximum(np.abs(lower), np.abs(upper))
    size[~np.isfinite(size)] = 0.0
    own = np.delete(size, np.r_[slots.outside, slots.boundary or 0], axis=0)
    if slots.storage is not None:
        energy = slots.storage + 2 - (len(size) - len(own))
        own = np.delete(own, energy, axis=0)
    scale = np.maximum(np.abs(demand).max(axis=0), own.max(axis=(0, 1), initial=0.0))
    scale = np.where(scale > 0.0, scale, size.max(axis=(0, 1)))
    return np.where(scale > 0.0, scale, 1.0)


def priced(stack: Stack, terms: dict[str, tuple[Array, ...]]) -> Stack:
    """Return a stack with cost and curvature (step, agent) added to trade and boundary."""
    slots = stack.structure.slots
    cost, curvature = stack.cost.copy(), stack.curvature.copy()
    places = {"trade": 0, "boundary": slots.boundary}
    for name, (linear, quadratic) in terms.items():
        at = places[name]
        cost[at] += linear / stack.money
        curvature[at] += quadratic * (stack.power / stack.money)
        loose = np.isinf(stack.lower[at]) & np.isinf(stack.upper[at]) & (curvature[at] == 0.0)
        if loose.any():
            raise InvalidInput(
                Finding(
                    table=name,
                    rule="has neither bounds nor curvature",
                    mend="bound it or add a proximal term",
                )
            )
    return replace(stack, cost=cost, curvature=curvature)


def with_trade(stack: Stack, trade: Array) -> Stack:
    """Return a stack whose trade (step, agent) is given."""
    lower, upper, free = stack.lower.copy(), stack.upper.copy(), stack.free.copy()
    lower[0] = upper[0] = trade / stack.power
    free[0] = 0.0
    return replace(stack, lower=lower, upper=upper, free=free)
