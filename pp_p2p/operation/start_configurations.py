"""Configurations to begin with, and edges worth a look: quick, without proof."""

from __future__ import annotations

import heapq

import numpy as np

from pp_p2p.errors import NoSolution
from pp_p2p.network.branches import Array
from pp_p2p.network.switching import SwitchGraph
from pp_p2p.network.topology import DisjointSets
from pp_p2p.operation.branch_exchange import (
    Configuration,
    descend,
    evaluate,
    exchange_estimates,
)

FILTER_SHARE = 0.02
"""An exchange that adds less than this part of the losses keeps its edges as candidates."""


def start_configuration(graph: SwitchGraph, load: Array, weight: Array) -> Configuration:
    """Return a configuration with a load flow: the present one, or a tree of least impedance.

    Raises
    ------
    NoSolution
        Neither has one.
    """
    now = evaluate(graph, graph.closed, load, weight)
    if now is not None:
        return now
    tree = least_impedance_tree(graph)
    built = evaluate(graph, tree, load, weight)
    if built is not None:
        return built
    raise NoSolution(
        "neither the present configuration nor the tree of least impedance has an AC load flow: "
        "the loads are beyond what the network can carry (voltage collapse)"
    )


def least_impedance_tree(graph: SwitchGraph) -> Array:
    """Return the closed edges (edge,) of a spanning tree of shortest electrical paths."""
    neighbours: list[list[tuple[int, int]]] = [[] for _ in range(graph.n_nodes)]
    for e in range(graph.n_edges):
        neighbours[graph.tail[e]].append((e, int(graph.head[e])))
        neighbours[graph.head[e]].append((e, int(graph.tail[e])))
    joined = DisjointSets(range(graph.n_nodes))
    closed = ~graph.switchable
    first = int(graph.root[0])
    for root in graph.root.tolist():
        joined.join(first, root)
    for e in np.flatnonzero(closed).tolist():
        joined.join(int(graph.tail[e]), int(graph.head[e]))
    heap = [(0.0, -1, int(root)) for root in graph.root]
    distance: dict[int, float] = {}
    order: list[int] = []
    while heap:
        far, via, node = heapq.heappop(heap)
        if node in distance:
            continue
        distance[node] = far
        if via >= 0:
            order.append(via)
        for e, other in neighbours[node]:
            if other not in distance:
                heapq.heappush(heap, (far + abs(graph.z[e]), e, other))
    for e in order:
        if not closed[e] and joined.join(int(graph.tail[e]), int(graph.head[e])):
            closed[e] = True
    for e in np.flatnonzero(~closed).tolist():
        if joined.join(int(graph.tail[e]), int(graph.head[e])):
            closed[e] = True
    return np.asarray(closed)


def filtered_candidates(graph: SwitchGraph, load: Array, weight: Array) -> Array:
    """Return the switchable edges (edge,) of bool that branch exchange sees a gain in.

    Open edges stay candidates, and every edge whose opening the estimate of an exchange likes at
    the start or at the end of branch exchange.
    """
    start = start_configuration(graph, load, weight)
    end = descend(graph, start, load, weight)
    keep = ~start.closed | ~end.closed
    for configuration in (start, end):
        gain, _, opens = exchange_estimates(graph, configuration, weight)
        keep[opens[gain < FILTER_SHARE * configuration.loss]] = True
    return np.asarray(keep & graph.switchable)
