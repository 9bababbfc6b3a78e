"""Points of the batched interior-point method and the step from one to the next.

Everything is written slot by slot into buffers that exist already: arrays (step, agent) of one
slot stay in a processor's cache, whole stacks do not, and that is most of the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from pp_p2p.algorithms.batch_data import Array
from pp_p2p.algorithms.batch_kkt import Factor, Rows
from pp_p2p.algorithms.batch_stack import Stack, of_agents

FAR: Final = 1e30
"""Slack of a bound that is not there; its multiplier stays next to 0."""
BACK_OFF: Final = 0.995
"""Part of the way to the nearest bound that a step may go."""
PROXIMAL: Final = 1e-8
"""Curvature of a proximal term around the present point. It bounds how far rounding in the prices
moves a quantity between its bounds, and vanishes where the method comes to rest."""
SHORT: Final = 0.3
"""Part of the barrier that short steps aim at."""

LEAST_CENTRING: Final = 1e-2
"""Cube root of the least part of the barrier that a step aims at."""
START_MULTIPLIER: Final = 1e3
"""Most that a multiplier starts at, in the agent's scale."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """Point of the method: x, slacks and multipliers of both bounds, multipliers of the rows."""

    x: Array
    below: Array
    above: Array
    z_below: Array
    z_above: Array
    y: Rows

    def of_agents(self, which: Array) -> Point:
        """Return a copy of the same for some agents."""
        parts = (self.x, self.below, self.above, self.z_below, self.z_above)
        x, below, above, z_below, z_above = (part[..., which] for part in parts)
        return Point(
            x=x,
            below=below,
            above=above,
            z_below=z_below,
            z_above=z_above,
            y=of_agents(self.y, which),
        )

    def put(self, which: Array, other: Point) -> None:
        """Write `other` in the place of some agents."""
        for mine, its in (
            (self.x, other.x),
            (self.below, other.below),
            (self.above, other.above),
            (self.z_below, other.z_below),
            (self.z_above, other.z_above),
            *zip(self.y, other.y, strict=True),
        ):
            mine[..., which] = its


def first_point(stack: Stack) -> Point:
    """Return a point well within the boxes, near 0 where they allow it."""
    low, high = np.isfinite(stack.lower), np.isfinite(stack.upper)
    inset = np.minimum(1.0, 0.5 * (stack.upper - stack.lower))
    x = np.clip(0.0, stack.lower + inset, stack.upper - inset)
    fixed = stack.free == 0.0
    np.copyto(x, stack.lower, where=fixed)
    below = np.where(low & ~fixed, x - stack.lower, FAR)
    above = np.where(high & ~fixed, stack.upper - x, FAR)
    return Point(
        x=x,
        below=below,
        above=above,
        z_below=np.minimum(1.0 / below, START_MULTIPLIER),
        z_above=np.minimum(1.0 / above, START_MULTIPLIER),
        y=tuple(np.zeros_like(part) for part in stack.rhs),  # type: ignore[arg-type]
    )


@dataclass(frozen=True, kw_only=True)
class Measure:
    """How far a point is from optimal, by agent: rows, barrier, residuals, all, objective."""

    residual: Rows
    barrier: Array
    unmet: Array
    error: Array
    cost: Array


class Stepper:
    """Buffers and kernels for one stack.

    Parameters
    ----------
    stack : Stack
    """

    def __init__(self, stack: Stack) -> None:
        shape = stack.cost.shape
        self.stack, self.shape = stack, shape
        self._curved = [bool(slot.any()) for slot in stack.curvature]
        self._fixed = [not slot.all() for slot in stack.free]
        self._slots = [v for v, slot in enumerate(stack.free) if slot.any()]
        self._settled = self._cost_of_fixed_slots()
        self._descent, self._dx, self._weight = (np.zeros(shape) for _ in range(3))
        self._per_below, self._per_above, self._t_below, self._t_above = (
            np.empty(shape) for _ in range(4)
        )
        self._a, self._b = np.empty(shape[1:]), np.empty(shape[1:])

    def _cost_of_fixed_slots(self) -> Array:
        """Return the cost (step, agent) of slots that nobody may move; they are left out below."""
        stack, cost = self.stack, np.zeros(self.shape[1:])
        for v in set(range(self.shape[0])) - set(self._slots):
            x = stack.lower[v]
            cost += (stack.cost[v] + 0.5 * stack.curvature[v] * x) * x
        return cost

    def measure(self, now: Point) -> Measure:
        """Return the errors of a point; keeps what `step` needs of it."""
        stack, a, b, g = self.stack, self._a, self._b, self._descent
        stack.structure.prices(now.y, g)
        worst, product, cost = np.zeros_like(a), np.zeros_like(a), self._settled.copy()
        for v in self._slots:
            cost += np.multiply(stack.cost[v], now.x[v], out=a)
            g[v] -= stack.cost[v]
            if self._curved[v]:
                np.multiply(stack.curvature[v], now.x[v], out=a)
                g[v] -= a
                a *= now.x[v]
                a *= 0.5
                cost += a
            np.add(g[v], now.z_below[v], out=a)
            a -= now.z_above[v]
            if self._fixed[v]:
                a *= stack.free[v]
            np.maximum(worst, np.abs(a, out=a), out=worst)
            product += np.multiply(now.below[v], now.z_below[v], out=a)
            product += np.multiply(now.above[v], now.z_above[v], out=b)
        residual: Rows = tuple(  # type: ignore[assignment]
            rhs - lhs for rhs, lhs in zip(stack.rhs, stack.structure.rows(now.x), strict=True)
        )
        error = worst.max(axis=0)
        for part in residual:
            np.maximum(error, np.abs(part).max(axis=0, initial=0.0), out=error)
        total, spent = product.sum(axis=0), cost.sum(axis=0)
        return Measure(
            residual=residual,
            barrier=total / (2 * max(len(self._slots), 1) * self.shape[1]),
            unmet=error,
            error=np.maximum(error, total / (1.0 + np.abs(spent))),
            cost=spent,
        )

    def step(
        self, now: Point, measure: Measure, moving: Array, bold: Array, *, short: bool = False
    ) -> None:
        """Move `now` in place.

        Agents that are not `moving` (bool) stand still. Mehrotra's corrector counts in full for
        the `bold` (bool); it can make the method run in circles, so for the others it counts as
        far as the predictor reaches. With `short` steps it does not count at all, and the barrier
        falls by a fixed part: slow, and sure.
        """
        factor = self._factor(now)
        factor.solve(self._descent, measure.residual, self._dx)
        reach = self._predicted(now)
        part = np.maximum(1.0 - reach, LEAST_CENTRING) ** 3
        curvature = np.where(bold, 1.0, reach**2)
        if short:
            part, curvature = np.maximum(part, SHORT), np.zeros_like(reach)
        self._corrected(measure.barrier * part, curvature)
        _, dy = factor.solve(self._descent, measure.residual, self._dx)
        alpha = self._reach(now) * moving
        self._move(now, alpha, dy)

    def _factor(self, now: Point) -> Factor:
        stack, weight, a, b = self.stack, self._weight, self._a, self._b
        slots, shape = stack.structure.slots, self.shape[1:]
        boundary = np.full(shape, FAR) if slots.boundary is not None else None
        last = np.full(shape[1], FAR) if slots.storage is not None else None
        for v in self._slots:
            np.divide(1.0, now.below[v], out=self._per_below[v])
            np.divide(1.0, now.above[v], out=self._per_above[v])
            np.multiply(now.z_below[v], self._per_below[v], out=a)
            a += np.multiply(now.z_above[v], self._per_above[v], out=b)
            a += stack.curvature[v] if self._curved[v] else PROXIMAL
            if v == slots.boundary:
                boundary = np.where(stack.free[v] > 0.0, a, FAR)
            if slots.storage is not None and v == slots.storage + 2:
                last = np.where(stack.free[v, -1] > 0.0, a[-1], FAR)
            np.divide(stack.free[v] if self._fixed[v] else 1.0, a, out=weight[v])
        return Factor(stack.structure, weight, boundary, last)

    def _predicted(self, now: Point) -> Array:
        """Return how far the predictor reaches; leave its curvature in the targets.

        The predictor moves a multiplier by ``dz / z = -(1 + ds / s)``: one ratio serves both.
        """
        a, dx = self._a, self._dx
        low, high = np.zeros(self.shape[1:]), np.zeros(self.shape[1:])
        for v in self._slots:
            sides = (
                (self._per_below, now.z_below, self._t_below),
                (self._per_above, now.z_above, self._t_above),
            )
            for k, (per, z, out) in enumerate(sides):
                ratio = np.multiply(dx[v], per[v], out=a)
                if k:
                    np.negative(ratio, out=ratio)
                np.minimum(low, ratio, out=low)
                np.maximum(high, ratio, out=high)
                np.add(ratio, 1.0, out=out[v])
                out[v] *= ratio
                out[v] *= z[v]
        worst = np.maximum(-low.min(axis=0), 1.0 + high.max(axis=0))
        reach: Array = 1.0 / np.maximum(worst, 1.0)
        return reach

    def _corrected(self, target: Array, curvature: Array) -> None:
        a, g = self._a, self._descent
        for v in self._slots:
            self._t_below[v] *= curvature
            self._t_above[v] *= curvature
            self._t_below[v] += np.multiply(self._per_below[v], target, out=a)
            self._t_above[v] += np.multiply(self._per_above[v], target, out=a)
            g[v] += self._t_below[v]
            g[v] -= self._t_above[v]

    def _reach(self, now: Point) -> Array:
        """Return the step length; turn the targets into steps of the multipliers."""
        a, b, dx = self._a, self._b, self._dx
        low = np.full(self.shape[1:], -BACK_OFF)
        for v in self._slots:
            sides = (
                (self._per_below, now.z_below, self._t_below),
                (self._per_above, now.z_above, self._t_above),
            )
            for k, (per, z, step) in enumerate(sides):
                ratio = np.multiply(dx[v], per[v], out=a)
                if k:
                    np.negative(ratio, out=ratio)
                np.minimum(low, ratio, out=low)
                ratio += 1.0
                ratio *= z[v]
                step[v] -= ratio
                np.minimum(low, np.divide(step[v], z[v], out=b), out=low)
        reach: Array = BACK_OFF / -low.min(axis=0)
        return reach

    def _move(self, now: Point, alpha: Array, dy: Rows) -> None:
        for v in self._slots:
            dx = self._dx[v]
            dx *= alpha
            now.x[v] += dx
            now.below[v] += dx
            now.above[v] -= dx
            self._t_below[v] *= alpha
            now.z_below[v] += self._t_below[v]
            self._t_above[v] *= alpha
            now.z_above[v] += self._t_above[v]
        for y, step in zip(now.y, dy, strict=True):
            np.add(y, alpha * step, out=y)


def has_no_point(stack: Stack, now: Point) -> Array:
    """Return who has a ray of prices that proves its rows and boxes to be incompatible.

    Farkas: there is no point where ``y'b > max { y'A x : lower <= x <= upper }``.
    """
    value = stack.structure.prices(now.y, np.empty_like(now.x))
    size = np.abs(value).max(axis=(0, 1))
    low = np.where(np.isfinite(stack.lower), stack.lower, -FAR)
    high = np.where(np.isfinite(stack.upper), stack.upper, FAR)
    value[np.abs(value) <= 1e-9 * size] = 0.0
    most = np.maximum(value * low, value * high).sum(axis=(0, 1))
    needed = sum((y * b).sum(axis=0) for y, b in zip(now.y, stack.rhs, strict=True))
    proved: Array = (size > 0.0) & (needed - most > 1e-6 * size)
    return proved
