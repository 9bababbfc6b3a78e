"""Many small scheduling problems of one structure, solved at once.

A primal-dual interior-point method (Mehrotra 1992) on arrays whose last axis is the agent. Bounds
are kept strictly, balances are met in the limit; every agent has its own step length and barrier
and leaves the batch when it is done. The Newton system is that of `batch_kkt`; work and memory
grow linearly with agents and steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from pp_p2p.algorithms.batch_data import Array, LocalProblems
from pp_p2p.algorithms.batch_point import Measure, Point, Stepper, first_point, has_no_point
from pp_p2p.algorithms.batch_stack import Stack, priced, stacked, with_trade

OPTIMAL: Final = 0
INFEASIBLE: Final = 1
STALLED: Final = 2

ITERATIONS: Final = 140
ACCEPTABLE: Final = 1e-6
"""An agent within this error counts as solved where its barrier is spent: what is left is rounding,
and more steps would add to it. `BatchSolution.error` tells."""
SPENT: Final = 1e-3
"""Part of the tolerance below which a barrier is spent."""
FIRST_PROOF: Final = 6
"""Iteration from which on infeasibility is looked for."""
CHUNK: Final = 256
"""Agents per batch: the arrays of one quantity stay in a processor's cache."""
SHRINK: Final = 0.6
"""Agents that are done leave the arrays once fewer than this part still move."""


@dataclass(frozen=True, kw_only=True)
class WarmLevel:
    """A point on the way that a later solve of similar data may start from.

    It is kept while the scaled barrier is within `barriers`: late enough to be near, early enough
    to be well within the boxes. It serves where the new prices leave residuals of at most `unmet`:
    a point near a corner is a bad start for another corner.
    """

    barriers: tuple[float, float]
    unmet: float


WARM_LEVELS: Final = (
    WarmLevel(barriers=(5e-4, 2e-2), unmet=0.2),
    WarmLevel(barriers=(2e-5, 5e-4), unmet=0.05),
    WarmLevel(barriers=(8e-7, 2e-5), unmet=0.01),
)
LONG: Final = 20
"""Iterations after which an agent is started anew: from the first point if it was started warm,
then without bold steps, with which few run in circles, and after as many again with short ones."""
SLOW: Final = 0.7
"""An agent whose barrier once stayed above this part of the last goes carefully from there."""


@dataclass(frozen=True, kw_only=True)
class BatchSolution:
    """Schedules of all agents.

    Parameters
    ----------
    quantities : dict of str to (agent, step)
        By the names of ``LocalProblems.boxes()``.
    price : (agent, step)
        Cost of one more unit of demand: multiplier of balance (2).
    connection_price : (agent, step)
        Value of one unit through the connection: multiplier of (1); `price` without boundary.
    cost : (agent,)
        Objective, trade and boundary terms of the call included.
    status : (agent,) of int
        `OPTIMAL`, `INFEASIBLE` (proved by a ray of prices, in `price`), `STALLED`.
    error : (agent,)
        Largest residual and relative complementarity, scaled.
    iterations : (agent,) of int
    warm : tuple
        What a later call may start from, per chunk.
    """

    quantities: dict[str, Array]
    price: Array
    connection_price: Array
    cost: Array
    status: Array
    error: Array
    iterations: Array
    warm: tuple[tuple[Point, ...], ...]

    @property
    def trade(self) -> Array:
        """The coordinated quantity (agent, step)."""
        return self.quantities["trade"]

    @property
    def boundary(self) -> Array:
        """Sum through the connection (agent, step)."""
        if "boundary" in self.quantities:
            return self.quantities["boundary"]
        parts = [v for k, v in self.quantities.items() if k.startswith(("trade", "outside"))]
        return np.asarray(np.sum(parts, axis=0))


class BatchQP:
    """A batch of problems, stacked once and solved for many prices.

    Parameters
    ----------
    problems : LocalProblems
    """

    def __init__(self, problems: LocalProblems) -> None:
        self.problems = problems
        self.names = tuple(problems.boxes())
        alike = _by_devices(problems)
        chunks = [alike[k : k + CHUNK] for k in range(0, len(alike), CHUNK)]
        self._chunks = [(which, stacked(problems, which)) for which in chunks]

    def solve(
        self,
        *,
        trade_cost: Array | float = 0.0,
        trade_curvature: Array | float = 0.0,
        boundary_cost: Array | float = 0.0,
        boundary_curvature: Array | float = 0.0,
        fixed_trade: Array | None = None,
        tolerance: float = 1e-8,
        warm: BatchSolution | None = None,
    ) -> BatchSolution:
        """Return the best schedules with terms added to trade and boundary.

        Parameters
        ----------
        trade_cost, trade_curvature, boundary_cost, boundary_curvature : broadcastable
            To (agent, step); added to what the problems hold. A proximal term
            ``rho/2 (e - a)^2`` is cost ``-rho a`` and curvature ``rho``.
        fixed_trade : (agent, step), optional
            Trades that are agreed: the schedule around them, as after the repair of a scheme.
        tolerance : float
            On residuals and complementarity, relative to each agent's scale of power and cost.
        warm : BatchSolution, optional
            Of the same problems with other prices.

        Raises
        ------
        InvalidInput
            A trade or boundary without bounds and without curvature.
        """
        shape = self.problems.shape
        added = {
            "trade": (trade_cost, trade_curvature),
            "boundary": (boundary_cost, boundary_curvature),
        }
        terms = {
            name: tuple(np.broadcast_to(np.asarray(v, dtype=float), shape) for v in pair)
            for name, pair in added.items()
            if name in self.names
        }
        found = []
        for k, (which, stack) in enumerate(self._chunks):
            full = priced(stack, {m: (c[which].T, q[which].T) for m, (c, q) in terms.items()})
            if fixed_trade is not None:
                full = with_trade(full, np.asarray(fixed_trade, dtype=float)[which].T)
            found.append(_solve_chunk(full, tolerance, warm.warm[k] if warm else None))
        return _gathered(self.names, self._chunks, found)


@dataclass(frozen=True, kw_only=True)
class _Solved:
    """What a chunk has come to; filled while agents leave the loop."""

    point: Point
    warm: tuple[Point, ...]
    status: Array
    error: Array
    iterations: Array
    cost: Array

    @classmethod
    def blank(cls, start: Point, warm: tuple[Point, ...] | None) -> _Solved:
        n = start.x.shape[-1]
        everyone = np.arange(n)
        levels = warm or (start,) * len(WARM_LEVELS)
        return cls(
            point=start.of_agents(everyone),
            warm=tuple(level.of_agents(everyone) for level in levels),
            status=np.full(n, STALLED),
            error=np.zeros(n),
            iterations=np.zeros(n, dtype=int),
            cost=np.zeros(n),
        )

    def save(self, agents: Array, now: Point, measure: Measure, which: Array) -> None:
        for level, saved in zip(WARM_LEVELS, self.warm, strict=True):
            low, high = level.barriers
            fits = which & (measure.barrier >= low) & (measure.barrier <= high)
            if fits.any():
                saved.put(agents[fits], now if fits.all() else now.of_agents(fits))

    def put(self, agents: Array, now: Point, measure: Measure, which: Array, k: int) -> None:
        gone = agents[which]
        self.point.put(gone, now.of_agents(which))
        self.cost[gone], self.error[gone] = measure.cost[which], measure.error[which]
        self.iterations[gone] = k


def _by_devices(problems: LocalProblems) -> Array:
    """Return the agents in the order of what they have: a chunk skips what none of it has."""
    n, t = problems.shape
    has = [
        (np.broadcast_to(box.upper, (n, t)) > np.broadcast_to(box.lower, (n, t))).any(axis=1)
        for box in problems.boxes().values()
    ]
    return np.lexsort([np.arange(n), *has])


def _gathered(
    names: tuple[str, ...], chunks: list[tuple[Array, Stack]], found: list[_Solved]
) -> BatchSolution:
    back = np.argsort(np.concatenate([which for which, _ in chunks]))

    def joined(parts: list[Array]) -> Array:
        together: Array = np.concatenate(parts, axis=-1)[..., back].T
        return np.ascontiguousarray(together)

    pairs = [(s, f) for (_, s), f in zip(chunks, found, strict=True)]
    has_boundary = chunks[0][1].structure.slots.boundary is not None
    price = joined([f.point.y[1] * s.money for s, f in pairs])
    return BatchSolution(
        quantities={
            name: joined([f.point.x[k] * s.power for s, f in pairs]) for k, name in enumerate(names)
        },
        price=price,
        connection_price=joined([f.point.y[0] * s.money for s, f in pairs])
        if has_boundary
        else price,
        cost=joined([f.cost * s.power * s.money for s, f in pairs]),
        status=joined([f.status for f in found]),
        error=joined([f.error for f in found]),
        iterations=joined([f.iterations for f in found]),
        warm=tuple(f.warm for f in found),
    )


def _warm_started(stack: Stack, stepper: Stepper, levels: tuple[Point, ...]) -> Point:
    """Return each agent's latest saved point that serves, or the first point."""
    found: list[tuple[Array, Point]] = []
    open_ = np.ones(len(stack.power), dtype=bool)
    for level, saved in zip(reversed(WARM_LEVELS), reversed(levels), strict=True):
        fits = open_ & (stepper.measure(saved).unmet <= level.unmet)
        if fits.all():
            return saved.of_agents(np.arange(len(fits)))
        found.append((fits, saved))
        open_ &= ~fits
        if not open_.any():
            break
    now = first_point(stack)
    for fits, saved in found:
        now.put(fits, saved.of_agents(fits))
    return now


def _solve_chunk(stack: Stack, tolerance: float, warm: tuple[Point, ...] | None) -> _Solved:
    everyone = np.arange(len(stack.power))
    stepper = Stepper(stack)
    now = first_point(stack) if warm is None else _warm_started(stack, stepper, warm)
    solved = _Solved.blank(now, warm)
    agents, moving = everyone, np.ones(everyone.size, dtype=bool)
    before, bold = np.full(everyone.size, np.inf), moving.copy()
    anew = (LONG, 3 * LONG) if warm is None else (LONG, 2 * LONG, 4 * LONG)
    for k in range(ITERATIONS + 1):
        if k in anew:
            now.put(moving, first_point(stack).of_agents(moving))
            before, bold = np.full(len(agents), np.inf), moving & (k not in anew[-2:])
        measure = stepper.measure(now)
        solved.save(agents, now, measure, moving & (k > 0))
        spent = measure.barrier <= SPENT * tolerance
        done = measure.error <= np.where(spent, max(tolerance, ACCEPTABLE), tolerance)
        done &= moving
        leaving = done if k < ITERATIONS else moving.copy()
        solved.status[agents[done]] = OPTIMAL
        if k >= FIRST_PROOF and k % 3 == 0:
            lost = has_no_point(stack, now) & moving & ~done
            solved.status[agents[lost]] = INFEASIBLE
            leaving = leaving | lost
        if leaving.any():
            solved.put(agents, now, measure, leaving, k)
            moving &= ~leaving
            if not moving.any():
                break
            if moving.mean() <= SHRINK:
                stack, now, agents = stack.of_agents(moving), now.of_agents(moving), agents[moving]
                before, bold = before[moving], bold[moving]
                moving = np.ones(agents.size, dtype=bool)
                stepper = Stepper(stack)
                measure = stepper.measure(now)
        bold &= measure.barrier <= SLOW * before
        stepper.step(now, measure, moving, bold, short=k >= anew[-1])
        before = measure.barrier
    return solved
