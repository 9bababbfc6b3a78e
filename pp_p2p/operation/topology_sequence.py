"""The best sequence of configurations out of a pool, under limits on switching.

With the cost c_t(i) of configuration i at step t, d(i, j) edges that differ, and o operations left,

    h_t(i, o) = min_j  c_s d(i, j) + c_{t+1}(j) + h_{t+1}(j, o - d(i, j))                  (1)

is exact for a limit of operations over the day. Limits of each switch and dwell times depend on
the whole history: a best-first search whose priority is the cost so far plus (1) finds the best
sequence that keeps them.

A configuration outside the pool costs at least what the pool is complete up to. Added to the pool
as one more, which differs from every other in at least two edges, it makes (1) a lower bound over
all sequences of configurations.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass

import numpy as np

from pp_p2p.network.branches import Array

MOST_EXPANDED = 50_000
"""Partial sequences that are looked at before the search gives up."""

PRESENT = -1
"""Stands for the present configuration in `Pool.banned`."""

ONE_EXCHANGE = 2
"""Operations between two different trees, at least: one edge opens, one closes."""


@dataclass(frozen=True, kw_only=True)
class SwitchingLimits:
    """What switching may and does cost.

    Parameters
    ----------
    max_operations : int or None
        Over the steps of a day; opening or closing one element is one operation.
    max_operations_per_switch : int or None
    dwell_steps : int
        Steps that an element stays as it is after an operation.
    cost : float
        Of one operation, in units of the objective.
    may_change : (step,) of bool
        Whether the configuration may change before a step.
    """

    max_operations: int | None
    max_operations_per_switch: int | None
    dwell_steps: int
    cost: float
    may_change: Array

    @property
    def limited(self) -> bool:
        """Whether a step's configuration limits what others may be, whatever operations cost."""
        counted = self.max_operations is not None or self.max_operations_per_switch is not None
        return counted or self.dwell_steps > 1 or not bool(self.may_change.all())

    @property
    def depends_on_history(self) -> bool:
        """Whether (1) alone is not enough."""
        return self.max_operations_per_switch is not None or self.dwell_steps > 1


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Configurations to choose from.

    Parameters
    ----------
    closed : (configuration, edge) of bool
    cost : (configuration, step) of float
        Infinite where a limit is broken.
    present : (edge,) of bool
        Configuration before the first step.
    outside : (step,) of float, optional
        What a configuration outside the pool costs at least; it is then one more, the last.
    banned : set of (step, configuration, configuration)
        Changes that may not be made before a step; -1 is the present configuration.
    """

    closed: Array
    cost: Array
    present: Array
    outside: Array | None = None
    banned: frozenset[tuple[int, int, int]] = frozenset()

    @property
    def size(self) -> int:
        """Number of configurations, the one outside included."""
        return len(self.closed) + (self.outside is not None)

    def costs(self) -> Array:
        """Return (configuration, step) costs."""
        return self.cost if self.outside is None else np.vstack([self.cost, self.outside])

    def distances(self) -> tuple[Array, Array]:
        """Return operations between configurations, and from the present one to each."""
        bits = self.closed.astype(np.int64)
        n = len(bits)
        between = np.full((self.size, self.size), ONE_EXCHANGE, dtype=np.int64)
        between[:n, :n] = bits @ (1 - bits).T + (1 - bits) @ bits.T
        np.fill_diagonal(between, 0)
        first = np.full(self.size, 0, dtype=np.int64)
        first[:n] = (bits != self.present.astype(np.int64)).sum(axis=1)
        if self.outside is not None:  # the present one is in the pool where it is a tree
            first[-1] = ONE_EXCHANGE if (first[:n] == 0).any() else 1
        return between, first


@dataclass(frozen=True, kw_only=True)
class Sequence:
    """Positions in the pool (step,), their cost, and whether no better sequence exists."""

    choice: Array
    cost: float
    proven: bool


def best_sequence(pool: Pool, limits: SwitchingLimits) -> Sequence | None:
    """Return the cheapest sequence; None where none keeps the limits.

    Where the search gives up, `Sequence.proven` is False, `cost` is a lower bound and `choice` is
    empty.
    """
    costs = pool.costs()
    between, first = pool.distances()
    budget = _budget(limits, costs.shape[1], between, first)
    to_go = _costs_to_go(costs, between, limits, budget)
    start = limits.cost * first + costs[:, 0]
    left = budget - (first if limits.max_operations is not None else 0)
    left = np.where(limits.may_change[0] | (first == 0), left, -1)
    return _best_first(pool, limits, (costs, between, to_go), start, left)


def _budget(limits: SwitchingLimits, n_steps: int, between: Array, first: Array) -> int:
    """Return the operations that (1) counts; 0 where there is no limit and nothing to count."""
    if limits.max_operations is None:
        return 0
    most = int(first.max()) + (n_steps - 1) * int(between.max(initial=0))
    return min(limits.max_operations, most)


def _costs_to_go(costs: Array, between: Array, limits: SwitchingLimits, budget: int) -> Array:
    """Return (1) as (step, configuration, operations left)."""
    n, n_steps = costs.shape
    counted = limits.max_operations is not None
    to_go = np.zeros((n_steps, n, budget + 1))
    distances = np.unique(between)
    masks = {int(d): np.where(between == d, limits.cost * d, np.inf) for d in distances}
    for t in range(n_steps - 2, -1, -1):
        after = costs[:, t + 1][:, None] + to_go[t + 1]
        if not limits.may_change[t + 1]:
            to_go[t] = after
            continue
        if not counted:
            to_go[t, :, 0] = (limits.cost * between + after[:, 0][None, :]).min(axis=1)
            continue
        best = np.full((n, budget + 1), np.inf)
        for d, mask in masks.items():
            for o in range(d, budget + 1):
                best[:, o] = np.minimum(best[:, o], (mask + after[:, o - d]).min(axis=1))
        to_go[t] = best
    return to_go


@dataclass(frozen=True)
class _Partial:
    """A sequence up to a step: where it is, operations left, what each edge did and when."""

    step: int
    at: int
    left: int
    cost: float
    count: Array
    since: Array
    before: _Partial | None

    def choices(self) -> Array:
        chain, here = [], self
        while True:
            chain.append(here.at)
            if here.before is None:
                return np.array(chain[::-1])
            here = here.before


def _best_first(
    pool: Pool,
    limits: SwitchingLimits,
    tables: tuple[Array, Array, Array],
    start: Array,
    left: Array,
) -> Sequence | None:
    costs, between, to_go = tables
    n_steps, n_edges = costs.shape[1], pool.closed.shape[1]
    counted = limits.max_operations is not None
    heap: list[tuple[float, int, _Partial]] = []
    order = itertools.count()
    everything = np.arange(pool.size)

    def push(partials: list[_Partial]) -> None:
        for partial in partials:
            rest = to_go[partial.step, partial.at, partial.left if counted else 0]
            if np.isfinite(partial.cost + rest):
                # later steps first among equals: a tie is settled by going on
                heapq.heappush(heap, (float(partial.cost + rest), next(order), partial))

    fresh, never = np.zeros(n_edges, dtype=np.int64), np.full(n_edges, -(10**6))
    beginnings = []
    for i in everything[left >= 0].tolist():
        if (0, PRESENT, i) in pool.banned:
            continue
        moved = _operated(pool, pool.present, i)
        count, since = fresh + moved, np.where(moved, 0, never)
        if _kept(limits, count, moved, never, 0):
            beginnings.append(_Partial(0, i, int(left[i]), float(start[i]), count, since, None))
    push(beginnings)
    expanded = 0
    while heap:
        value, _, here = heapq.heappop(heap)
        if here.step == n_steps - 1:
            return Sequence(choice=here.choices(), cost=value, proven=True)
        expanded += 1
        if expanded > MOST_EXPANDED:
            return Sequence(choice=np.array([], dtype=np.int64), cost=value, proven=False)
        push(list(_successors(pool, limits, (costs, between), here)))
    return None


def _successors(
    pool: Pool, limits: SwitchingLimits, tables: tuple[Array, Array], here: _Partial
) -> list[_Partial]:
    costs, between = tables
    t, counted = here.step + 1, limits.max_operations is not None
    reachable = np.isfinite(costs[:, t])
    if not limits.may_change[t]:
        reachable &= np.arange(pool.size) == here.at
    elif counted:
        reachable &= between[here.at] <= here.left
    found = []
    last = pool.closed[here.at] if here.at < len(pool.closed) else None
    for j in np.flatnonzero(reachable).tolist():
        if (t, here.at, j) in pool.banned:
            continue
        distance = int(between[here.at, j])
        moved = _operated(pool, last, j)
        count = here.count + moved
        if not _kept(limits, count, moved, here.since, t):
            continue
        found.append(
            _Partial(
                t,
                j,
                here.left - (distance if counted else 0),
                here.cost + limits.cost * distance + float(costs[j, t]),
                count,
                np.where(moved, t, here.since),
                here,
            )
        )
    return found


def _operated(pool: Pool, last: Array | None, j: int) -> Array:
    """Return which edges operate on the way to `j`; unknown, so none, from or to the outside."""
    if last is None or j >= len(pool.closed):
        return np.zeros(pool.closed.shape[1], dtype=bool)
    return np.asarray(last != pool.closed[j])


def _kept(limits: SwitchingLimits, count: Array, moved: Array, since: Array, step: int) -> bool:
    most = limits.max_operations_per_switch
    if most is not None and (count > most).any():
        return False
    return not (moved & (step - since < limits.dwell_steps)).any()
