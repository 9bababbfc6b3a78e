"""What the graph says about the configurations of a network: how many, and which edges matter.

The number of radial configurations is the number of spanning trees with the external grids as one
node (Kirchhoff 1847). With chains of l_g edges that may open it is, exactly,

    prod_g l_g * det L',   L' = Laplacian of the junctions, weights 1 / l_g, one node dropped   (1)

since a chain that is not in the tree can be open at any one of its l_g edges.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from pp_p2p.network.chains import FIXED, FREE, Core, Reducer
from pp_p2p.network.switching import SwitchGraph
from pp_p2p.network.topology import DisjointSets


@dataclass(frozen=True, kw_only=True)
class GraphFacts:
    """Exact facts about the configurations of a network.

    Parameters
    ----------
    n_configurations : int
        Radial configurations that feed every node.
    bridges : tuple of int
        Switchable edges that every configuration keeps closed.
    series_groups : tuple of tuples of int
        Switchable edges of which at most one is open.
    cycles : tuple of tuples of int
        Edges of the loop that each edge outside the present (or a shortest) tree closes.
    """

    n_configurations: int
    bridges: tuple[int, ...]
    series_groups: tuple[tuple[int, ...], ...]
    cycles: tuple[tuple[int, ...], ...]


def graph_facts(graph: SwitchGraph) -> GraphFacts:
    """Return the facts; `n_configurations` is 0 where no radial configuration feeds every node."""
    nothing = np.zeros(graph.n_nodes, dtype=complex)
    reducer = Reducer(graph, nothing, np.ones(graph.n_nodes))
    core = reducer.core([FREE if flag else FIXED for flag in graph.switchable], ())
    switchable = np.flatnonzero(graph.switchable).tolist()
    if core is None:
        return GraphFacts(n_configurations=0, bridges=(), series_groups=(), cycles=())
    groups = _series_groups(reducer, core)
    movable = {e for group in groups for e in group}
    return GraphFacts(
        n_configurations=_count(reducer, core),
        bridges=tuple(e for e in switchable if e not in movable),
        series_groups=groups,
        cycles=_cycles(graph),
    )


def _contracted(reducer: Reducer, core: Core) -> DisjointSets:
    """Return the junctions with those united that closed chains connect for good."""
    joined = DisjointSets({reducer.merged(node) for node in core.junctions})
    for chain in core.chains:
        if chain.uncut and not chain.cuts:
            joined.join(reducer.merged(chain.nodes[0]), reducer.merged(chain.nodes[-1]))
    return joined


def _series_groups(reducer: Reducer, core: Core) -> tuple[tuple[int, ...], ...]:
    """Return the edges of chains, those united that meet where nothing else may open."""
    joined = _contracted(reducer, core)
    movable = [chain for chain in core.chains if chain.cuts]
    at: dict[int, list[int]] = {}
    for k, chain in enumerate(movable):
        for end in (0, -1):
            at.setdefault(joined.find(reducer.merged(chain.nodes[end])), []).append(k)
    series = DisjointSets(range(len(movable)))
    for incident in at.values():
        if len(incident) == 2:
            series.join(*incident)
    groups: dict[int, list[int]] = {}
    for k, chain in enumerate(movable):
        groups.setdefault(series.find(k), []).extend(chain.edges[c] for c in chain.cuts)
    return tuple(tuple(sorted(edges)) for edges in groups.values())


def _count(reducer: Reducer, core: Core) -> int:
    """Return (1)."""
    joined = _contracted(reducer, core)
    names = sorted({joined.find(reducer.merged(node)) for node in core.junctions})
    number = {name: k for k, name in enumerate(names)}
    laplacian = [[Fraction(0)] * len(names) for _ in names]
    total = Fraction(1)
    for chain in core.chains:
        if not chain.cuts:
            continue
        length = len(chain.cuts)
        total *= length
        a, b = (number[joined.find(reducer.merged(chain.nodes[k]))] for k in (0, -1))
        if a == b:
            continue
        for i, j, sign in ((a, a, 1), (b, b, 1), (a, b, -1), (b, a, -1)):
            laplacian[i][j] += Fraction(sign, length)
    return int(total * _determinant([row[1:] for row in laplacian[1:]]))


def _determinant(matrix: list[list[Fraction]]) -> Fraction:
    value = Fraction(1)
    rows = [list(row) for row in matrix]
    for k in range(len(rows)):
        pivot = next((i for i in range(k, len(rows)) if rows[i][k]), None)
        if pivot is None:
            return Fraction(0)
        if pivot != k:
            rows[k], rows[pivot] = rows[pivot], rows[k]
            value = -value
        value *= rows[k][k]
        for i in range(k + 1, len(rows)):
            if rows[i][k]:
                factor = rows[i][k] / rows[k][k]
                rows[i] = [x - factor * y for x, y in zip(rows[i], rows[k], strict=True)]
    return value


def _cycles(graph: SwitchGraph) -> tuple[tuple[int, ...], ...]:
    """Return the loops that the edges outside a spanning tree close, closed edges first in it."""
    joined = DisjointSets(range(graph.n_nodes))
    first = int(graph.root[0])
    for root in graph.root.tolist():
        joined.join(first, root)
    neighbours: dict[int, list[tuple[int, int]]] = {k: [] for k in range(graph.n_nodes)}
    outside = []
    order = np.lexsort((np.arange(graph.n_edges), ~graph.closed, graph.switchable))
    for e in order.tolist():
        a, b = int(graph.tail[e]), int(graph.head[e])
        if joined.join(a, b):
            neighbours[a].append((e, b))
            neighbours[b].append((e, a))
        else:
            outside.append(e)
    came: dict[int, tuple[int, int]] = {int(root): (-1, -1) for root in graph.root}
    stack = list(came)
    while stack:
        node = stack.pop()
        for e, other in neighbours[node]:
            if other not in came:
                came[other] = (e, node)
                stack.append(other)

    def path(node: int) -> list[int]:
        edges = []
        while came[node][0] >= 0:
            e, node = came[node]
            edges.append(e)
        return edges

    return tuple(
        tuple(sorted(set(path(int(graph.tail[e]))) ^ set(path(int(graph.head[e]))) | {e}))
        for e in sorted(outside)
    )


def fixed_loop(graph: SwitchGraph, edges: list[int]) -> list[int]:
    """Return `edges` that lie on a loop they close, roots as one node; empty where they do not."""
    joined = DisjointSets(range(graph.n_nodes))
    first = int(graph.root[0])
    for root in graph.root.tolist():
        joined.join(first, root)
    taken: list[int] = []
    for e in edges:
        if joined.join(int(graph.tail[e]), int(graph.head[e])):
            taken.append(e)
            continue
        loop = {e}
        rest = set(taken)
        while True:  # what hangs loose is not on the loop
            ends = [int(k) for x in rest | loop for k in (graph.tail[x], graph.head[x])]
            ends = [first if k in graph.root else k for k in ends]
            degree = {k: ends.count(k) for k in ends}
            loose = {
                x
                for x in rest
                if any(
                    degree[first if int(k) in graph.root else int(k)] < 2
                    for k in (graph.tail[x], graph.head[x])
                )
            }
            if not loose:
                return sorted(rest | loop)
            rest -= loose
    return []
