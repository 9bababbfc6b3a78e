"""Configurations for every step of a day with given injections, with a proven bound.

1. Each step alone: the best configuration L_t, proven (`radial_search`).
2. A pool of configurations (these, the present one, and what branch exchange finds for the whole
   day) gives a sequence of cost U (`topology_sequence`).
3. Every configuration with losses below P_t >= L_t is found and joins the pool. What is not in the
   pool costs at least P_t, so the cheapest sequence over the pool and "outside" is a lower bound.
   P_t is raised where that sequence is outside, until bound and U meet or time is over.

Limits on the operations of a day bound the distance of every configuration from the present one,
which makes each search of 1 and 3 smaller.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pp_p2p.errors import NoSolution
from pp_p2p.network.branches import Array
from pp_p2p.network.switching import SwitchGraph
from pp_p2p.operation.branch_exchange import (
    TOLERATED,
    Configuration,
    descend,
    evaluate,
    exchange_estimates,
)
from pp_p2p.operation.radial_relaxation import TreeCut
from pp_p2p.operation.radial_search import RadialSearch, SearchResult
from pp_p2p.operation.start_configurations import start_configuration
from pp_p2p.operation.topology_sequence import Pool, SwitchingLimits, best_sequence

FIRST_SHARE = 0.5
"""Part of the time limit that the proofs of single steps may take."""

STEP = 1.2
"""Thresholds are raised a little beyond what would close the gap evenly."""

PARTS, NEIGHBOURS = 6, 15
"""Parts of a day whose best exchanges join the pool, and how many of each."""

LARGEST_POOL = 3_000
"""A pool beyond this is not enlarged any more."""


@dataclass(frozen=True, kw_only=True)
class DayResult:
    """Configurations (step, edge), cost and its proven bound, and how it went."""

    closed: Array
    cost: float
    bound: float
    n_nodes: int
    pool: int
    seconds: float
    history: tuple[tuple[float, float, float], ...]

    @property
    def gap(self) -> float:
        """Relative gap between cost and bound."""
        return (self.cost - self.bound) / max(abs(self.cost), 1e-12)


@dataclass(kw_only=True)
class Day:
    """Steps of one day and what switching may do between them.

    Parameters
    ----------
    graph : SwitchGraph
    load : (node, step) of complex
        Power taken out of each node, p.u.
    weight : (step,) of float
        What a p.u. of losses costs in each step.
    limits : SwitchingLimits
    required : sequence of TreeCut
        Beside the limits: what heuristics keep open.
    rel_gap, time_limit_s : float
    """

    graph: SwitchGraph
    load: Array
    weight: Array
    limits: SwitchingLimits
    required: tuple[TreeCut, ...] = ()
    rel_gap: float = 1e-4
    time_limit_s: float = 60.0
    pool: dict[bytes, Array] = field(default_factory=dict)
    cost: dict[bytes, Array] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)
    n_nodes: int = 0
    known: tuple[TreeCut, ...] = ()

    def solve(self, extra: Sequence[Array] = ()) -> DayResult:
        """Return the best sequence; `extra` configurations join the pool.

        Raises
        ------
        NoSolution
            No configuration, or no sequence of them, keeps the limits.
        """
        self.required = (*self.required, *self._within_reach())
        start = start_configuration(self.graph, self.load, self.weight)
        if self._is_one_choice():
            return self._choose_once(start)
        for closed in (self.graph.closed, start.closed, *extra):
            self._join(closed)
        below, best = self._each_step(start)
        self._exchange_for_the_day(best, start)
        self._exchange_within_the_day()
        history: list[tuple[float, float, float]] = []
        threshold = below.copy()
        while True:
            upper, lower = self._upper(), self._lower(threshold)
            bound = min(lower[0], upper[0])
            history.append((time.perf_counter() - self.started, bound, upper[0]))
            closed_gap = upper[0] - bound <= self.rel_gap * abs(upper[0])
            if closed_gap or self._left() <= 0 or len(self.pool) > LARGEST_POOL:
                break
            if not self._raise(threshold, lower[1], upper[0] - bound, start):
                break
            self._exchange_within_the_day()
        if upper[1] is None:
            raise NoSolution(self._why_none())
        return DayResult(
            closed=upper[1],
            cost=upper[0],
            bound=bound,
            n_nodes=self.n_nodes,
            pool=len(self.pool),
            seconds=time.perf_counter() - self.started,
            history=tuple(history),
        )

    def _is_one_choice(self) -> bool:
        """Tell whether one configuration holds all day and only its losses count."""
        limits = self.limits
        most = limits.max_operations_per_switch
        return not limits.may_change[1:].any() and limits.cost == 0 and (most is None or most > 0)

    def _choose_once(self, start: Configuration) -> DayResult:
        """Return the best single configuration: one search over all steps together."""
        begin = descend(self.graph, start, self.load, self.weight, self._allowed)
        result = RadialSearch(
            self.graph,
            self.load,
            self.weight,
            begin,
            rel_gap=self.rel_gap,
            time_limit_s=max(self._left(), 0.1),
            required=self.required,
        ).run()
        if result.best is None:
            raise NoSolution(self._why_none())
        return DayResult(
            closed=np.tile(result.best.closed, (len(self.weight), 1)),
            cost=result.best.loss,
            bound=result.bound,
            n_nodes=result.n_nodes,
            pool=1,
            seconds=time.perf_counter() - self.started,
            history=result.history,
        )

    def _left(self) -> float:
        return self.time_limit_s - (time.perf_counter() - self.started)

    def _within_reach(self) -> list[TreeCut]:
        """Return what the limit of operations keeps open of what is open now."""
        most = self.limits.max_operations
        if most is None:
            return []
        now_open = frozenset(np.flatnonzero(~self.graph.closed).tolist())
        # |open now \ open then| + |open then \ open now| <= most
        stay = len(now_open) + self.graph.n_open - most
        return [TreeCut(now_open, (stay + 1) // 2)] if stay > 0 else []

    def _join(self, closed: Array) -> None:
        """Add a configuration to the pool with its cost at every step."""
        key = closed.tobytes()
        if key in self.pool:
            return
        if sum(~closed) != self.graph.n_open or not self._allowed(closed):
            return
        whole = evaluate(self.graph, closed, self.load, self.weight)
        if whole is None:
            cost = self._by_step(closed)
        else:
            within = whole.broken <= TOLERATED
            cost = np.where(within, whole.flow.loss * self.weight, np.inf)
        if cost is not None:
            self.pool[key], self.cost[key] = closed, cost

    def _by_step(self, closed: Array) -> Array | None:
        """Return the costs of a configuration that has no load flow in some steps."""
        cost = np.full(len(self.weight), np.inf)
        for t in range(len(self.weight)):
            one = evaluate(self.graph, closed, self.load[:, [t]], self.weight[[t]])
            if one is not None and one.feasible:
                cost[t] = one.loss
        return cost if np.isfinite(cost).any() else None

    def _allowed(self, closed: Array) -> bool:
        return all(sum(not closed[e] for e in c.edges) >= c.at_least for c in self.required)

    def _search(self, t: int, start: Configuration, **options: float) -> SearchResult:
        at = evaluate(self.graph, start.closed, self.load[:, [t]], self.weight[[t]])
        if at is None:
            at = start_configuration(self.graph, self.load[:, [t]], self.weight[[t]])
        search = RadialSearch(
            self.graph,
            self.load[:, [t]],
            self.weight[[t]],
            at,
            required=self.required,
            known=self.known,
            rel_gap=self.rel_gap,
            **options,
        )
        result = search.run()
        self.known = search.cuts
        self.n_nodes += result.n_nodes
        return result

    def _each_step(self, start: Configuration) -> tuple[Array, list[Array]]:
        """Return the bound of every step alone and the best configurations; all join the pool."""
        n_steps = len(self.weight)
        bound, best = np.zeros(n_steps), []
        here = start
        for t in range(n_steps):
            share = self.time_limit_s * FIRST_SHARE / n_steps
            spare = max(self._left() - share * (n_steps - 1 - t), share)
            result = self._search(t, here, time_limit_s=min(spare, self.time_limit_s))
            bound[t] = result.bound
            if result.best is None:
                if result.bound == np.inf:
                    raise NoSolution(self._why_none(t))
                continue
            best.append(result.best.closed)
            self._join(result.best.closed)
            whole = evaluate(self.graph, result.best.closed, self.load, self.weight)
            here = whole or here
        return bound, best

    def _exchange_for_the_day(self, best: list[Array], start: Configuration) -> None:
        """Add to the pool what branch exchange finds for all steps together."""
        for closed in {key.tobytes(): key for key in (start.closed, *best)}.values():
            whole = evaluate(self.graph, closed, self.load, self.weight)
            if whole is not None and self._allowed(closed):
                better = descend(self.graph, whole, self.load, self.weight, self._allowed)
                self._join(better.closed)

    def _exchange_within_the_day(self) -> None:
        """Add the exchanges that lower the losses of a part of the day, until none helps."""
        if len(self.weight) == 1:
            return
        parts = np.array_split(np.arange(len(self.weight)), min(PARTS, len(self.weight)))
        tried: set[bytes] = set()
        while True:
            before, closed = self._upper()
            if closed is None:
                return
            fresh = {c.tobytes(): c for c in closed if c.tobytes() not in tried}
            tried |= fresh.keys()
            for configuration in fresh.values():
                self._join_neighbours(configuration, parts)
            if not fresh or self._upper()[0] >= before:
                return

    def _join_neighbours(self, closed: Array, parts: list[Array]) -> None:
        whole = evaluate(self.graph, closed, self.load, self.weight)
        if whole is None:
            return
        for part in parts:
            weight = np.zeros_like(self.weight)
            weight[part] = self.weight[part]
            gain, close, open_ = exchange_estimates(self.graph, whole, weight)
            for k in np.argsort(gain, kind="stable")[:NEIGHBOURS].tolist():
                if gain[k] < 0:
                    near = closed.copy()
                    near[close[k]], near[open_[k]] = True, False
                    self._join(near)

    def _pool(self, outside: Array | None = None) -> Pool:
        return Pool(
            closed=np.array(list(self.pool.values())).reshape(len(self.pool), self.graph.n_edges),
            cost=np.array([self.cost[key] for key in self.pool]).reshape(len(self.pool), -1),
            present=self.graph.closed,
            outside=outside,
        )

    def _upper(self) -> tuple[float, Array | None]:
        """Return the cheapest sequence of the pool."""
        if not self.pool:
            return np.inf, None
        pool = self._pool()
        found = best_sequence(pool, self.limits)
        if found is None or not len(found.choice):
            return np.inf, None
        return found.cost, pool.closed[found.choice]

    def _lower(self, threshold: Array) -> tuple[float, Array]:
        """Return the bound of all sequences, and the steps at which its sequence is outside."""
        found = best_sequence(self._pool(threshold), self.limits)
        if found is None:
            return np.inf, np.zeros(len(threshold), dtype=bool)
        if not len(found.choice):
            return found.cost, np.ones(len(threshold), dtype=bool)
        return found.cost, np.asarray(found.choice == len(self.pool))

    def _raise(self, threshold: Array, outside: Array, gap: float, start: Configuration) -> bool:
        """Complete the pool up to higher thresholds where the bound is outside; False if not."""
        if not outside.any():
            return False
        scale = threshold[outside] / threshold[outside].sum()
        target = threshold.copy()
        more = gap if np.isfinite(gap) else 0.1 * float(threshold.sum())
        target[outside] += STEP * more * scale
        for t in np.flatnonzero(outside).tolist():
            if self._left() <= 0:
                return True
            result = self._search(
                t, start, threshold=float(target[t]), time_limit_s=max(self._left(), 0.1)
            )
            for configuration in result.found.values():
                self._join(configuration.closed)
            threshold[t] = max(threshold[t], result.bound)
        return True

    def _why_none(self, step: int | None = None) -> str:
        """Say which limit no configuration keeps."""
        steps = range(len(self.weight)) if step is None else [step]
        for t in steps:
            for closed in self.pool.values():
                one = evaluate(self.graph, closed, self.load[:, [t]], self.weight[[t]])
                if one is not None and one.feasible:
                    break
            else:
                return (
                    f"no radial configuration within reach keeps the voltage and current limits "
                    f"in step {t}; widen net.bus.min_vm_pu / max_vm_pu or max_i_ka, allow more "
                    "operations, or add switches"
                )
        return (
            "no sequence of configurations keeps the limits on switching: every step has one "
            "that holds, but they cannot follow each other; allow more operations"
        )
