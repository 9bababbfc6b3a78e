"""Violated rows of the spanning tree polytope, found by maximum flow (Padberg & Wolsey 1983).

For weights w of chains the set S that maximises w(E(S)) - |S| is a closure: a chain pays w and
needs both of its ends, each of which costs 1. With one node free of charge at a time, a value
above 0 is a set with more closed chains inside than a tree can hold.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from pp_p2p.network.chains import Chain, Core, Reducer
from pp_p2p.operation.radial_relaxation import TreeCut

FINE = 1_000_000
"""Flows are integers: weights are rounded to millionths."""

VIOLATION = 0.01
"""Smaller violations are not worth a row."""


def violated_cuts(reducer: Reducer, core: Core, weight: Mapping[int, float]) -> list[TreeCut]:
    """Return the tree cuts that the weights of "open here" violate, one per free node at most.

    Parameters
    ----------
    reducer : Reducer
    core : Core
    weight : mapping
        Edge -> weight of "open here".
    """
    number = {node: k for k, node in enumerate({reducer.merged(j): None for j in core.junctions})}
    loops: list[TreeCut] = []
    chains, ends, closed = [], [], []
    for chain in core.chains:
        w = (1.0 if chain.uncut else 0.0) - sum(weight[chain.edges[k]] for k in chain.cuts)
        a, b = (number[reducer.merged(node)] for node in (chain.nodes[0], chain.nodes[-1]))
        if w < 1e-6:
            continue
        if a == b:
            loops.append(TreeCut(frozenset(chain.edges), 1))
            continue
        chains.append(chain)
        ends.append((a, b))
        closed.append(w)
    if not chains:
        return loops
    found = dict.fromkeys(loops)
    network = _Closure(len(number), ends, closed)
    for free in range(len(number)):
        inside = network.densest(free)
        if inside is not None:
            found[_cut(reducer, core, number, inside)] = None
    return list(found)


def _cut(reducer: Reducer, core: Core, number: dict[int, int], inside: set[int]) -> TreeCut:
    mine: list[Chain] = [
        chain
        for chain in core.chains
        if {number[reducer.merged(chain.nodes[k])] for k in (0, -1)} <= inside
    ]
    edges = frozenset(e for chain in mine for e in chain.edges)
    return TreeCut(edges, len(mine) - len(inside) + 1)


class _Closure:
    """The flow network of all chains; only the cost of the free node changes."""

    def __init__(self, n_nodes: int, ends: list[tuple[int, int]], closed: list[float]) -> None:
        m = len(ends)
        self.m, self.n_nodes = m, n_nodes
        self.source, self.sink = m + n_nodes, m + n_nodes + 1
        pay = np.round(np.array(closed) * FINE).astype(np.int32)
        much = np.iinfo(np.int32).max // 4
        # rows in order: chains (to both ends), nodes (to the sink), source (to the chains), sink
        columns = np.concatenate(
            [m + np.sort(np.array(ends), axis=1).ravel(), np.full(n_nodes, self.sink), np.arange(m)]
        )
        values = np.concatenate([np.full(2 * m, much), np.full(n_nodes, FINE), pay])
        starts = np.concatenate(
            [2 * np.arange(m), 2 * m + np.arange(n_nodes + 1), [len(columns), len(columns)]]
        )
        self.total = int(pay.sum())
        self.capacity = sp.csr_matrix(
            (values.astype(np.int32), columns.astype(np.int32), starts.astype(np.int32)),
            shape=(self.sink + 1, self.sink + 1),
        )

    def densest(self, free: int) -> set[int] | None:
        """Return the node set with most weight inside beyond a tree; None where there is none."""
        cost = 2 * self.m + free
        self.capacity.data[cost] = 0
        answer = maximum_flow(self.capacity, self.source, self.sink)
        inside = None
        if self.total - int(answer.flow_value) >= VIOLATION * FINE:
            rest = self.capacity - answer.flow
            rest.eliminate_zeros()
            reached = breadth_first_order(rest, self.source, return_predecessors=False)
            inside = {int(k) - self.m for k in reached if self.m <= k < self.source} | {free}
        self.capacity.data[cost] = FINE
        return inside
