"""Values of configurations hour by hour, and the cheapest sequence that they allow.

Of every configuration that was looked at in an hour, the value is a lower bound of what that hour
costs under it (`pp_p2p.market.looped_market`). A mean of values under several offers is a bound,
too: where the first offers promised what trading could not keep, those of the trial join in.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from pp_p2p.market.looped_market import HourProblems
from pp_p2p.network.branches import Array
from pp_p2p.network.switching import SwitchGraph
from pp_p2p.operation.branch_exchange import Configuration, evaluate
from pp_p2p.operation.topology_sequence import PRESENT, Pool, SwitchingLimits, best_sequence

HOPEFUL: Final = 0.02
"""Configurations that lose up to this part more than the incumbent, power unchanged, are valued."""

CLOSE: Final = 1e-3
"""A limit of voltage or current counts as binding from this close (p.u., relative)."""


UNBROKEN: Final = 1e-7
"""Broken limits (p.u., summed) up to this do not count against a configuration."""


class Yardstick(NamedTuple):
    """Losses (step,), p.u., and whether a limit of the network binds (step,)."""

    loss: Array
    binding: Array

    def at(self, kept: Array) -> Yardstick:
        """Return the part of some steps."""
        return Yardstick(self.loss[kept], self.binding[kept])


class HourValues:
    """Values (configuration, step) under the offers at hand.

    Parameters
    ----------
    problems : HourProblems
    graph : SwitchGraph
    limits : SwitchingLimits
    """

    def __init__(self, problems: HourProblems, graph: SwitchGraph, limits: SwitchingLimits) -> None:
        self._problems, self._graph, self._limits = problems, graph, limits
        self._trees: dict[bytes, Array] = {}
        self._value: dict[bytes, Array] = {}
        self._constant, self._n_offers = 0.0, 0
        self._banned: set[tuple[int, bytes, bytes]] = set()
        self.count, self.lowest = 0, -np.inf

    @property
    def bans(self) -> int:
        """Number of changes that are banned."""
        return len(self._banned)

    def ban(self, closed: Array, steps: set[int]) -> None:
        """Take the changes of a sequence (step, edge) before some steps out of question."""
        before = np.vstack([self._graph.closed, closed[:-1]])
        self._banned |= {(t, before[t].tobytes(), closed[t].tobytes()) for t in steps}

    def offer(self, duals: Array) -> None:
        """Take new offers; values under others are forgotten unless nothing ties the hours."""
        if self._n_offers and self._problems.independent:
            return
        self._problems.price(duals)
        self._constant, self._n_offers = self._problems.constant, 1
        self._trees, self._value = {}, {}

    def also(self, duals: Array, upper: float) -> None:
        """Take the mean with further offers, of what may still lead below `upper`, EUR."""
        if self._problems.independent:
            return
        value = np.array(list(self._value.values()))
        least = np.nanmin(value, axis=0)
        room = upper - self._constant - least.sum()
        for key in self._trees:  # dearer than that, no sequence with it is below `upper`
            self._value[key][self._value[key] - least > room] = np.inf
        self._problems.price(duals)
        n = self._n_offers
        self._constant = (n * self._constant + self._problems.constant) / (n + 1)
        for key, tree in self._trees.items():
            value = self._value[key]
            for t in np.flatnonzero(np.isfinite(value)).tolist():
                value[t] = (n * value[t] + self._problems.value(tree, t)) / (n + 1)
                self.count += 1
        self._n_offers = n + 1

    def look(self, tree: Array, steps: Array) -> None:
        """Value a configuration (edge,) in some steps, unless that is done."""
        key = tree.tobytes()
        if key not in self._trees:
            self._trees[key] = tree
            self._value[key] = np.full(len(self._limits.may_change), np.nan)
        value = self._value[key]
        for t in steps.tolist():
            if np.isnan(value[t]):
                value[t] = self._problems.value(tree, t)
                self.count += 1

    def look_if_hopeful(self, tree: Array, steps: Array, load: Array, mark: Yardstick) -> None:
        """Value a configuration (edge,) in the steps in which it may beat that of `mark`.

        Where the power of the incumbent is far from all limits, its losses under `tree` decide;
        where a limit binds, another configuration may let more be traded, and is valued.

        Parameters
        ----------
        tree : (edge,) of bool
        steps : (step,) of int
        load : (node, step) of complex
            Power taken out of each node in these steps, p.u.
        mark : Yardstick
            Of these steps.
        """
        if not len(steps):
            return
        new = evaluate(self._graph, tree, load, np.ones(len(steps)))
        hopeful = np.ones(len(steps), dtype=bool)
        if new is not None:
            better = new.flow.loss <= mark.loss * (1.0 + HOPEFUL)
            hopeful = (better & (new.broken <= UNBROKEN)) | mark.binding
        self.look(tree, steps[hopeful])

    def yardstick(self, tree: Array, load: Array) -> Yardstick:
        """Return what may beat a configuration: its losses, and where a limit binds under it."""
        now = evaluate(self._graph, tree, load, np.ones(load.shape[1]))
        if now is None:
            n = load.shape[1]
            return Yardstick(np.full(n, np.inf), np.ones(n, dtype=bool))
        return Yardstick(now.flow.loss, self._binding(now))

    def forget(self, closed: Array) -> None:
        """Take a sequence (step, edge) that cannot be traded on out of question."""
        for t, tree in enumerate(closed):
            self._value[tree.tobytes()][t] = np.inf

    def best(self) -> tuple[float, Array] | None:
        """Return the cheapest sequence (step, edge) and its value; None where none is allowed."""
        if not self._trees:
            return None
        value = np.array(list(self._value.values()))
        place = {key: k for k, key in enumerate(self._trees)}
        present = self._graph.closed.tobytes()
        banned = {
            (t, PRESENT if t == 0 and a == present else place.get(a, PRESENT), place[b])
            for t, a, b in self._banned
            if b in place and (t == 0 or a in place)
        }
        pool = Pool(
            banned=frozenset(banned),
            closed=np.array(list(self._trees.values())),
            cost=np.where(np.isnan(value), np.inf, value),
            present=self._graph.closed,
        )
        found = best_sequence(pool, self._limits)
        if found is None or not len(found.choice):
            return None
        self.lowest = found.cost + self._constant
        return self.lowest, pool.closed[found.choice]

    def empty_steps(self) -> Array:
        """Return the steps in which no configuration that was looked at has a feasible point."""
        value = np.array(list(self._value.values())).reshape(-1, len(self._limits.may_change))
        return np.flatnonzero(~np.isfinite(value).any(axis=0))

    def _binding(self, now: Configuration) -> Array:
        """Return whether a limit of the network is close (step,)."""
        graph, flow = self._graph, now.flow
        vm = flow.vm()
        room = np.minimum(graph.vm_max[:, None] - vm, vm - graph.vm_min[:, None])
        room[graph.root] = np.inf
        most = graph.i_max[flow.shape.edge][:, None]
        near = np.abs(flow.current) >= most * (1.0 - CLOSE)
        return np.asarray((room < CLOSE).any(axis=0) | near.any(axis=0))
