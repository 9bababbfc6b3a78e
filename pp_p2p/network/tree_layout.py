"""Places of buses where a net has no coordinates: feeders drawn as trees, without crossings.

The longest path of a tree runs straight to the right, one step a branch. What leaves it is drawn
in the same way above or below, the farthest first, outside of all that stands there already: the
"tidy tree" of Reingold and Tilford (1981) with the longest path in place of the middle child.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from pp_p2p.network.branches import Array, bus_bus_switches

LEAST_HEIGHT: Final = 0.4
"""A drawing that is less high than this part of its width is stretched, up to `MOST_STRETCH`."""

MOST_STRETCH: Final = 3.0


def tree_places(net: Any) -> Array:
    """Return where to draw the buses of `net`, (bus, 2), in the order of ``net.bus``.

    Parameters
    ----------
    net : pandapowerNet
        Any net: meshed, split in parts, with elements out of service. What closes a loop has no
        say; parts that no external grid feeds stand below the others.
    """
    nodes, n_nodes = _fused(net)
    edges = _edges(net, nodes)
    roots = nodes[net.bus.index.get_indexer(net.ext_grid.bus[net.ext_grid.in_service.astype(bool)])]
    return _drawn(n_nodes, edges, roots[roots >= 0])[nodes]


def is_radial(net: Any) -> bool:
    """Return whether the closed branches of `net` form trees."""
    nodes, n_nodes = _fused(net)
    edges = _edges(net, nodes)
    parts, _ = connected_components(_graph(n_nodes, edges), directed=False)
    return bool(len(np.unique(np.sort(edges, axis=1), axis=0)) == n_nodes - parts)


def closed_lines(net: Any) -> Array:
    """Return which rows of ``net.line`` are in service without an open switch."""
    return _closed(net, "line", "l")


def _closed(net: Any, table: str, et: str) -> Array:
    opened = net.switch.element[(net.switch.et == et) & ~net.switch.closed.astype(bool)]
    rows = net[table]
    return np.asarray(rows.in_service.to_numpy(bool) & ~rows.index.isin(opened))


def _fused(net: Any) -> tuple[Array, int]:
    """Return the node of every bus, and how many there are: closed switches fuse buses."""
    fusing = net.switch[bus_bus_switches(net)]
    pairs = np.column_stack([_positions(net, fusing.bus), _positions(net, fusing.element)])
    n_nodes, nodes = connected_components(_graph(len(net.bus), pairs), directed=False)
    return nodes, int(n_nodes)


def _edges(net: Any, nodes: Array) -> Array:
    """Return the closed branches as pairs of nodes, (edge, 2)."""
    ends: list[tuple[Any, str, str]] = []
    for table, et, sides in (
        ("line", "l", (("from_bus", "to_bus"),)),
        ("trafo", "t", (("hv_bus", "lv_bus"),)),
        ("trafo3w", "t3", (("hv_bus", "mv_bus"), ("hv_bus", "lv_bus"))),
        ("impedance", "", (("from_bus", "to_bus"),)),
    ):
        if table in net and len(net[table]):
            rows = net[table][_closed(net, table, et)]
            ends += [(rows, a, b) for a, b in sides]
    pairs = [
        np.column_stack([_positions(net, rows[a]), _positions(net, rows[b])]) for rows, a, b in ends
    ]
    found = nodes[np.concatenate(pairs)] if pairs else np.empty((0, 2), dtype=np.int64)
    return np.asarray(found[found[:, 0] != found[:, 1]])


def _positions(net: Any, buses: pd.Series[int]) -> Array:
    return np.asarray(net.bus.index.get_indexer(buses.to_numpy()))


def _graph(n: int, pairs: Array) -> coo_array:
    pairs = pairs.reshape(-1, 2)
    return coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))


def _drawn(n_nodes: int, edges: Array, roots: Array) -> Array:
    """Place the nodes (node, 2): each part as a tree, one below the other."""
    graph = _graph(n_nodes, edges).tocsr()
    at = np.full((n_nodes, 2), np.nan)
    floor = 0.0
    for root in [*dict.fromkeys(roots.tolist()), *range(n_nodes)]:
        if not np.isnan(at[root, 0]):
            continue
        order, parent = breadth_first_order(graph, root, directed=False)
        part = _tree(order, parent)
        part[:, 1] += floor - (part[:, 1].max() if floor else 0.0)
        at[order] = part
        floor = float(part[:, 1].min()) - 1.0
    span = np.ptp(at, axis=0) if n_nodes else np.ones(2)
    if span[1] > 0:
        at[:, 1] *= np.clip(LEAST_HEIGHT * span[0] / span[1], 1.0, MOST_STRETCH)
    return at


def _tree(order: Array, parent: Array) -> Array:
    """Place one tree (node of `order`, 2), its root at the origin."""
    row_of = {int(node): row for row, node in enumerate(order)}
    children: list[list[int]] = [[] for _ in order]
    depth = np.zeros(len(order), dtype=int)
    for row, node in enumerate(order[1:], start=1):
        above = row_of[int(parent[node])]
        children[above].append(row)
        depth[row] = depth[above] + 1
    deepest = depth.copy()
    for row in range(len(order) - 1, 0, -1):
        above = row_of[int(parent[order[row]])]
        deepest[above] = max(deepest[above], deepest[row])
    for family in children:
        family.sort(key=lambda row: (-deepest[row], order[row]))
    offset = np.zeros(len(order))  # of the first node of a path, against its parent's path
    reach = np.zeros((len(order), 2))  # how far a path's tree goes above and below it
    for row in range(len(order) - 1, -1, -1):
        if row == 0 or children[row_of[int(parent[order[row]])]][0] != row:
            reach[row] = _hang_on(row, children, depth, deepest, offset, reach)
    height = np.zeros(len(order))
    for row in range(1, len(order)):
        height[row] = height[row_of[int(parent[order[row]])]] + offset[row]
    return np.column_stack([depth.astype(float), height])


def _hang_on(
    first: int,
    children: list[list[int]],
    depth: Array,
    deepest: Array,
    offset: Array,
    reach: Array,
) -> Array:
    """Hang all that leaves the path from `first` above or below it; return how far it goes."""
    path = [first]
    while children[path[-1]]:
        path.append(children[path[-1]][0])
    taken = np.zeros((2, int(deepest[first]) + 2))  # above and below, by depth
    side = 0
    for row in reversed(path):
        for leaving in children[row][1:]:
            span = slice(int(depth[leaving]), int(deepest[leaving]) + 1)
            needed = [float(taken[k, span].max()) + 1.0 + reach[leaving, 1 - k] for k in range(2)]
            side = 1 - side if needed[0] == needed[1] else int(np.argmin(needed))
            offset[leaving] = needed[side] if side == 0 else -needed[side]
            taken[side, span] = needed[side] + reach[leaving, side]
    return np.asarray(taken.max(axis=1))
