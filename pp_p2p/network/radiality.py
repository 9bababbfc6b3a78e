"""Closed branches make a spanning tree: constraints for any model with on-off variables.

With N nodes, all sources as one root r, u_e = 1 for a closed edge:

    sum_e u_e = N - 1                                                                      (1)
    single commodity: every other node takes one unit that comes from r,
        sum_in f - sum_out f = 1,   |f_e| <= (N - 1) u_e                                   (2)
    multi-commodity: one unit for each node k, directed and apart,
        sum_in f^k - sum_out f^k = [j = k],   0 <= f^k_ij <= a_ij,   a_ij + a_ji = u_e     (3)

(1) with (2) is exact for binary u whatever feeds in where; (3) is tighter between 0 and 1. Exact
reductions hold beside them: bridges are closed, of a series group at most one edge is open, of a
loop at least one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pyomo.environ as pyo

from pp_p2p.network.algebra import linear
from pp_p2p.network.spanning import GraphFacts
from pp_p2p.network.switching import SwitchGraph

Radiality = Literal["single_commodity", "multi_commodity"]


def radiality_block(
    graph: SwitchGraph,
    facts: GraphFacts,
    closed: Mapping[tuple[int, int], Any],
    periods: int,
    form: Radiality,
) -> Any:
    """Return a block that makes `closed` a spanning tree in every period.

    Parameters
    ----------
    graph : SwitchGraph
    facts : GraphFacts
    closed : mapping
        (edge, period) -> binary variable of the switchable edges; others are closed.
    periods : int
    form : {"single_commodity", "multi_commodity"}
    """
    block = pyo.Block(concrete=True)
    block.PERIOD = pyo.RangeSet(0, periods - 1)
    movable = np.flatnonzero(graph.switchable).tolist()
    n_closed = graph.n_nodes - len(graph.root) - (graph.n_edges - len(movable))

    def tree_size(_: Any, p: int) -> Any:
        return linear([1.0] * len(movable), [closed[e, p] for e in movable]) == float(n_closed)

    block.tree_size = pyo.Constraint(block.PERIOD, rule=tree_size)
    _add_reductions(block, graph, facts, closed)
    if form == "single_commodity":
        _add_single(block, graph, closed)
    else:
        _add_multi(block, graph, closed)
    return block


def _add_reductions(
    block: Any, graph: SwitchGraph, facts: GraphFacts, closed: Mapping[tuple[int, int], Any]
) -> None:
    for e in facts.bridges:
        for p in block.PERIOD:
            closed[e, p].fix(1)
    groups, cycles = facts.series_groups, facts.cycles

    def series_group(_: Any, k: int, p: int) -> Any:
        return linear([1.0] * len(groups[k]), [closed[e, p] for e in groups[k]]) >= float(
            len(groups[k]) - 1
        )

    def loop(_: Any, k: int, p: int) -> Any:
        mine = [e for e in cycles[k] if graph.switchable[e]]
        return linear([1.0] * len(mine), [closed[e, p] for e in mine]) <= float(len(mine) - 1)

    block.series_group = pyo.Constraint(range(len(groups)), block.PERIOD, rule=series_group)
    block.loop = pyo.Constraint(range(len(cycles)), block.PERIOD, rule=loop)


def _ends(graph: SwitchGraph) -> tuple[list[int], list[int], list[int]]:
    """Return tails and heads with all roots as one node, and the nodes other than the root."""
    root, first = set(graph.root.tolist()), int(graph.root[0])
    tails, heads = (
        [first if k in root else k for k in ends.tolist()] for ends in (graph.tail, graph.head)
    )
    return tails, heads, [k for k in range(graph.n_nodes) if k not in root]


def _add_single(block: Any, graph: SwitchGraph, closed: Mapping[tuple[int, int], Any]) -> None:
    """Add (2)."""
    tails, heads, others = _ends(graph)
    most = float(len(others))
    edges = range(graph.n_edges)
    block.unit = pyo.Var(edges, block.PERIOD, bounds=(-most, most))
    at: dict[int, list[tuple[float, int]]] = defaultdict(list)
    for e in edges:
        at[tails[e]].append((-1.0, e))
        at[heads[e]].append((1.0, e))

    def supply(b: Any, j: int, p: int) -> Any:
        return linear([c for c, _ in at[j]], [b.unit[e, p] for _, e in at[j]]) == 1.0

    def carried(b: Any, e: int, p: int, sense: int) -> Any:
        if (e, p) not in closed:
            return pyo.Constraint.Skip
        return linear([float(sense), -most], [b.unit[e, p], closed[e, p]]) <= 0.0

    block.supply = pyo.Constraint(others, block.PERIOD, rule=supply)
    block.carried = pyo.Constraint(edges, block.PERIOD, (-1, 1), rule=carried)


def _add_multi(block: Any, graph: SwitchGraph, closed: Mapping[tuple[int, int], Any]) -> None:
    """Add (3)."""
    tails, heads, others = _ends(graph)
    root = int(graph.root[0])
    edges = [e for e in range(graph.n_edges) if tails[e] != heads[e]]
    ways = (0, 1)  # tail to head, head to tail
    block.arc = pyo.Var(edges, ways, block.PERIOD, bounds=(0.0, 1.0))
    block.unit = pyo.Var(edges, ways, others, block.PERIOD, bounds=(0.0, 1.0))
    at: dict[int, list[tuple[float, int, int]]] = defaultdict(list)
    for e in edges:
        for way in ways:
            a, b = (tails[e], heads[e]) if way == 0 else (heads[e], tails[e])
            at[a].append((-1.0, e, way))
            at[b].append((1.0, e, way))
    loops = [e for e in range(graph.n_edges) if tails[e] == heads[e]]
    for e in loops:  # an edge between two sources
        for p in block.PERIOD:
            closed[e, p].fix(0)

    def one_way(b: Any, e: int, p: int) -> Any:
        both = [b.arc[e, way, p] for way in ways]
        if (e, p) not in closed:
            return linear([1.0, 1.0], both) == 1.0
        return linear([1.0, 1.0, -1.0], [*both, closed[e, p]]) == 0.0

    def supply(b: Any, j: int, k: int, p: int) -> Any:
        units = [b.unit[e, way, k, p] for _, e, way in at[j]]
        return linear([c for c, _, _ in at[j]], units) == float(j == k)

    def carried(b: Any, e: int, way: int, k: int, p: int) -> Any:
        return linear([1.0, -1.0], [b.unit[e, way, k, p], b.arc[e, way, p]]) <= 0.0

    def entered(b: Any, j: int, p: int) -> Any:
        into = [(e, way) for c, e, way in at[j] if c > 0]
        return linear([1.0] * len(into), [b.arc[e, way, p] for e, way in into]) == 1.0

    block.one_way = pyo.Constraint(edges, block.PERIOD, rule=one_way)
    block.supply = pyo.Constraint(others, others, block.PERIOD, rule=supply)
    block.carried = pyo.Constraint(edges, ways, others, block.PERIOD, rule=carried)
    block.entered = pyo.Constraint([j for j in others if j != root], block.PERIOD, rule=entered)
