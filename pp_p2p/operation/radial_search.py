"""The least-loss radial configuration, proven: branch and bound over spanning trees.

A node of the search knows of every edge whether it is open, closed or undecided. It is bounded by
`Relaxation`, rounded to a tree that branch exchange improves on exact losses, and split on one
chain: uncut, or open at one of its edges. Edges that would lift the bound above the best losses
(by their price in the relaxation) are closed for good. After an edge opens, what is left is reduced
again: chains grow together and their hull becomes tighter.

A configuration that holds for several steps is bounded by the sum of the steps' bounds.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pp_p2p.network.branches import Array
from pp_p2p.network.chains import FIXED, FREE, OPEN, Chain, Core, Reducer
from pp_p2p.network.switching import SwitchGraph
from pp_p2p.network.topology import DisjointSets
from pp_p2p.operation.branch_exchange import Configuration, descend, evaluate
from pp_p2p.operation.radial_relaxation import Relaxation, TreeCut
from pp_p2p.operation.search_view import View, halves, urgency, voltage_range
from pp_p2p.operation.tree_cuts import violated_cuts

ROOT_ROUNDS = 8
"""Rounds of cuts at the root."""

LOOSE = 0.05
"""A cut with more slack than this is not handed on to the children."""

FLOW_MARGIN = 4.0
"""Flows may exceed the sum of injections by losses; at the nose of the PV curve by a factor 2."""

HOPEFUL = 1.05
"""Branch exchange starts from configurations with at most so many times the best losses."""


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """Best configuration (None where none holds the limits), proven bound, and how it went.

    `found` (only where asked) maps the configurations below the threshold to themselves.
    `history` holds (seconds, bound, losses).
    """

    best: Configuration | None
    bound: float
    n_nodes: int
    seconds: float
    history: tuple[tuple[float, float, float], ...]
    found: dict[bytes, Configuration] = field(default_factory=dict)

    @property
    def gap(self) -> float:
        """Relative gap between losses and bound."""
        if self.best is None:
            return float("inf")
        return (self.best.loss - self.bound) / max(self.best.loss, 1e-12)


@dataclass(order=True)
class _Node:
    bound: float
    number: int
    status: list[int] = field(compare=False)
    must: tuple[frozenset[int], ...] = field(compare=False)
    cuts: tuple[TreeCut, ...] = field(compare=False)


class RadialSearch:
    """Search over the radial configurations of a network.

    Parameters
    ----------
    graph : SwitchGraph
    load : (node, step) of complex
        Power taken out of each node, p.u.
    weight : (step,) of float
        Hours that each step counts.
    start : Configuration
        Where the voltages are guessed and, if it holds the limits, the first best.
    rel_gap, time_limit_s : float
    threshold : float, optional
        Find every configuration with losses below this instead of the best one.
    required : sequence of TreeCut
        What a configuration must keep open, beside being a tree.
    known : sequence of TreeCut
        Cuts that another search of the same network found useful.
    """

    def __init__(
        self,
        graph: SwitchGraph,
        load: Array,
        weight: Array,
        start: Configuration,
        *,
        rel_gap: float = 1e-4,
        time_limit_s: float = 60.0,
        threshold: float | None = None,
        required: Sequence[TreeCut] = (),
        known: Sequence[TreeCut] = (),
    ) -> None:
        self.required, self.cuts = tuple(required), tuple(known)
        self.graph, self.load, self.weight = graph, load, weight
        self.rel_gap, self.time_limit_s, self.threshold = rel_gap, time_limit_s, threshold
        self.best: Configuration | None = None
        self.found: dict[bytes, Configuration] = {}
        self.seen: set[bytes] = set()
        self.pruned = np.inf
        self.history: list[tuple[float, float, float]] = []
        self.counter = itertools.count()
        self.started = time.perf_counter()
        v = start.flow.vm() ** 2
        self.reducers = [Reducer(graph, load[:, t], v[:, t]) for t in range(load.shape[1])]
        low, high = voltage_range(graph, load)
        steps = load.shape[1]
        self.v_min = np.repeat(low[:, None], steps, axis=1)
        self.v_max = np.repeat(high[:, None], steps, axis=1)
        shunts = np.abs(np.concatenate([graph.y_node, graph.y_tail, graph.y_head])).sum()
        total = np.abs(load).sum(axis=0) + shunts * high.max(initial=1.0)
        self.flow_reach = FLOW_MARGIN * total + 1e-3
        self._note(start)

    def run(self) -> SearchResult:
        """Search until the gap is closed or time is over."""
        status = [FREE if flag else FIXED for flag in self.graph.switchable]
        heap = [_Node(-np.inf, next(self.counter), status, (), self.required)]
        n_nodes = 0
        while heap and not self._done(heap[0].bound):
            node = heapq.heappop(heap)
            view = self._root(node) if n_nodes == 0 else self._look(node)
            n_nodes += 1
            if view is None:
                continue
            view = View(view.core, max(view.bound, node.bound), view.weight, view.price, view.cuts)
            self._round(node.status, view)
            if self._worthless(view.bound):
                self.pruned = min(self.pruned, view.bound)
            else:
                for child in self._split(node, view):
                    heapq.heappush(heap, child)
            if n_nodes % 20 == 1:
                self._record(heap)
        bound = min(self.pruned, heap[0].bound if heap else np.inf, self._ceiling())
        self._record(heap)
        return SearchResult(
            best=self.best,
            bound=float(bound),
            n_nodes=n_nodes,
            seconds=time.perf_counter() - self.started,
            history=tuple(self.history),
            found=self.found,
        )

    def allowed(self, closed: Array) -> bool:
        """Tell whether a configuration keeps open what is required."""
        return all(sum(not closed[e] for e in cut.edges) >= cut.at_least for cut in self.required)

    def _ceiling(self) -> float:
        """Return the losses from which on a node is of no use."""
        if self.threshold is not None:
            return self.threshold
        return self.best.loss if self.best else np.inf

    def _worthless(self, bound: float) -> bool:
        ceiling = self._ceiling()
        return bound >= (ceiling if self.threshold is not None else ceiling * (1 - self.rel_gap))

    def _seconds_left(self) -> float:
        return self.time_limit_s - (time.perf_counter() - self.started)

    def _done(self, bound: float) -> bool:
        return self._worthless(bound) or self._seconds_left() <= 0

    def _record(self, heap: list[_Node]) -> None:
        bound = min(heap[0].bound if heap else np.inf, self.pruned, self._ceiling())
        loss = self.best.loss if self.best else np.inf
        self.history.append((time.perf_counter() - self.started, float(bound), loss))

    def _note(self, configuration: Configuration) -> None:
        """Keep a configuration that holds the limits, as the best or among the found."""
        if not (configuration.feasible and self.allowed(configuration.closed)):
            return
        if self.best is None or configuration.loss < self.best.loss:
            self.best = configuration
        if self.threshold is not None and configuration.loss < self.threshold:
            self.found[configuration.closed.tobytes()] = configuration

    def _relax(self, core: Core, status: list[int], cuts: tuple[TreeCut, ...]) -> View | None:
        """Bound a core over all steps; None where it has no configuration."""
        present = [
            TreeCut(cut.edges, cut.at_least - sum(status[e] == OPEN for e in cut.edges))
            for cut in cuts
        ]
        bound, weight, price = 0.0, dict[int, float](), dict[int, float]()
        slack = np.full(len(cuts), np.inf)
        share = self.weight / self.weight.sum()
        for t, reducer in enumerate(self.reducers):
            answer = self._relaxation(reducer, core, t, present, status).solve()
            if answer.bound == np.inf:
                return None
            bound += float(self.weight[t]) * answer.bound
            for e, z in answer.weight.items():
                weight[e] = weight.get(e, 0.0) + float(share[t]) * z
                price[e] = price.get(e, 0.0) + float(self.weight[t]) * answer.price[e]
            if answer.slack:
                slack = np.minimum(slack, answer.slack)
        tight = tuple(
            cut for cut, s in zip(cuts, slack, strict=True) if s < LOOSE or cut in self.required
        )
        return View(core, bound, weight, price, tight)

    def _relaxation(
        self,
        reducer: Reducer,
        core: Core,
        step: int,
        cuts: list[TreeCut],
        status: list[int],
        cutoff: float | None = None,
    ) -> Relaxation:
        if step:  # draws depend on the step, the graph does not
            core = reducer.with_draws(core, status)
        return Relaxation(
            reducer,
            core,
            v_min=self.v_min[:, step],
            v_max=self.v_max[:, step],
            flow_reach=float(self.flow_reach[step]),
            cuts=cuts,
            cutoff=cutoff,
        )

    def _look(self, node: _Node) -> View | None:
        core = self.reducers[0].core(node.status, node.must)
        if core is None:
            return None
        view = self._relax(core, node.status, node.cuts)
        if view is None or not view.weight:
            return view
        new = violated_cuts(self.reducers[0], core, view.weight)
        cuts = (*view.cuts, *(cut for cut in new if cut not in view.cuts))
        return View(core, view.bound, view.weight, view.price, cuts)

    def _root(self, node: _Node) -> View | None:
        """Bound the root: voltages as narrow as the best losses allow, cuts until none is new."""
        core = self.reducers[0].core(node.status, node.must)
        if core is None:
            return None
        cuts = (*self.required, *(cut for cut in self.cuts if cut not in self.required))
        view = self._relax(core, node.status, cuts)
        narrowed = False
        for _ in range(ROOT_ROUNDS):
            if view is None or not view.weight or self._worthless(view.bound):
                return view
            new = [c for c in violated_cuts(self.reducers[0], core, view.weight) if c not in cuts]
            if not new and narrowed:
                break
            cuts = (*view.cuts, *new)
            if not new:
                self.cuts = view.cuts
                self._round(node.status, view)
                self._narrow(core, list(cuts), node.status)
                narrowed = True
            view = self._relax(core, node.status, cuts)
        return view

    def _narrow(self, core: Core, cuts: list[TreeCut], status: list[int]) -> None:
        """Narrow the voltages of junctions to what better configurations can have."""
        ceiling = self._ceiling()
        if not np.isfinite(ceiling) or len(self.reducers) > 1:
            return
        margin = 1e-9
        cutoff = ceiling / float(self.weight[0])
        relaxation = self._relaxation(self.reducers[0], core, 0, cuts, status, cutoff)
        for node in relaxation.v:
            low, high = (relaxation.extreme(node, sense) for sense in (1.0, -1.0))
            if low is not None:
                self.v_min[node, 0] = max(self.v_min[node, 0], low - margin)
            if high is not None:
                self.v_max[node, 0] = min(self.v_max[node, 0], -high + margin)

    def _round(self, status: list[int], view: View) -> None:
        """Build the tree of the chains with least weight of being open, and improve it."""
        merged = self.reducers[0].merged
        joined = DisjointSets({merged(k) for k in view.core.junctions})
        closed = np.array([s != OPEN for s in status])

        def open_weight(chain: Chain) -> float:
            return sum(view.weight[chain.edges[k]] for k in chain.cuts) if chain.uncut else 2.0

        for chain in sorted(view.core.chains, key=lambda c: open_weight(c) if c.cuts else -1.0):
            ends = merged(chain.nodes[0]), merged(chain.nodes[-1])
            if chain.uncut and (not chain.cuts or joined.find(ends[0]) != joined.find(ends[1])):
                joined.join(*ends)
            elif chain.cuts:
                edges = [chain.edges[k] for k in chain.cuts]
                closed[max(edges, key=lambda e: view.weight[e])] = False
        self._try(closed, improve=self.threshold is None)

    def _try(self, closed: Array, *, improve: bool) -> None:
        if closed.tobytes() in self.seen:
            return
        self.seen.add(closed.tobytes())
        configuration = evaluate(self.graph, closed, self.load, self.weight)
        if configuration is None:
            return
        self._note(configuration)
        if improve and (self.best is None or configuration.loss < HOPEFUL * self.best.loss):
            self._note(descend(self.graph, configuration, self.load, self.weight, self.allowed))

    def _split(self, node: _Node, view: View) -> list[_Node]:
        """Return the children: the states of one chain in two halves."""
        status = list(node.status)
        open_chains = [chain for chain in view.core.chains if chain.cuts]
        if not open_chains:
            return []  # one configuration, and `_round` has tried it
        chosen = max(open_chains, key=lambda chain: urgency(chain, view))
        for chain in open_chains:  # what a better configuration cannot open
            for k in chain.cuts:
                edge = chain.edges[k]
                if view.bound + view.price[edge] > self._ceiling() and chain is not chosen:
                    status[edge] = FIXED
        cuts = [chosen.edges[k] for k in chosen.cuts]
        left = [e for e in cuts if view.bound + view.price[e] <= self._ceiling()]
        for e in cuts:
            if e not in left:
                status[e] = FIXED
        must = tuple(m for m in node.must if m.isdisjoint(chosen.edges))
        parts: list[list[int]] = [left] if chosen.uncut else halves(left, view.weight)
        children = [self._child(view, status, must, chosen, part) for part in parts if part]
        if chosen.uncut:
            kept = list(status)
            for e in chosen.edges:
                kept[e] = FIXED
            children.append(_Node(view.bound, next(self.counter), kept, must, view.cuts))
        return children

    def _child(
        self,
        view: View,
        status: list[int],
        must: tuple[frozenset[int], ...],
        chain: Chain,
        part: list[int],
    ) -> _Node:
        """Return the node in which `chain` is open at one edge of `part`."""
        mine = list(status)
        for e in chain.edges:
            mine[e] = FREE if e in part else FIXED
        if len(part) == 1:
            mine[part[0]] = OPEN
        else:
            must = (*must, frozenset(part))
        return _Node(view.bound, next(self.counter), mine, must, view.cuts)


def search(
    graph: SwitchGraph,
    load: Array,
    weight: Array,
    start: Configuration,
    **options: Any,
) -> SearchResult:
    """Return the best radial configuration with its proof; see `RadialSearch`."""
    return RadialSearch(graph, load, weight, start, **options).run()
