"""Exact load flow of one radial configuration, all steps at once.

With the ratios of transformers carried into per-node voltage bases, the tree has impedances only:

    J = D conj(S / U) + D y U,   U = U_root - D' z J                                        (1)

where ``D[edge, node] = 1`` for the nodes that an edge feeds. (1) is iterated until voltages stand
still; a configuration beyond the nose of its PV curve does not converge and is no solution.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from pp_p2p.network.branches import Array
from pp_p2p.network.switching import SwitchGraph

TOLERANCE = 1e-11
"""Largest change of a voltage, p.u., at which (1) counts as solved."""

MAX_SWEEPS = 200

LOWEST_VM_PU = 0.3
"""Below this an iteration is past the nose."""


@dataclass(frozen=True, kw_only=True)
class TreeShape:
    """Edges of a radial configuration, parents before children.

    `edge`, `parent`, `child` (branch,); `forward` (branch,) is True where the parent is the tail;
    `base` (node,) is the voltage base that ratios give a node.
    """

    edge: Array
    parent: Array
    child: Array
    forward: Array
    base: Array
    feeds: Array
    source: Array


@dataclass(frozen=True, kw_only=True)
class TreeFlow:
    """Solved configuration.

    `voltage` (node, step) and `current` (branch, step) are complex, in the bases of `shape`;
    `loss` (step,) is p.u.
    """

    shape: TreeShape
    voltage: Array
    current: Array
    loss: Array

    def vm(self) -> Array:
        """Return the voltage magnitude (node, step), p.u. of each bus's rating."""
        return np.asarray(np.abs(self.voltage) * self.shape.base[:, None])


def shape_of(graph: SwitchGraph, closed: Array) -> TreeShape | None:
    """Return the tree that the `closed` edges (edge,) make; None where they make none."""
    neighbours: list[list[tuple[int, int]]] = [[] for _ in range(graph.n_nodes)]
    tail, head = graph.tail.tolist(), graph.head.tolist()
    for e in np.flatnonzero(closed).tolist():
        neighbours[tail[e]].append((e, head[e]))
        neighbours[head[e]].append((e, tail[e]))
    root_of = {int(node): k for k, node in enumerate(graph.root)}
    came_by: dict[int, int] = dict.fromkeys(root_of, -1)
    source = np.full(graph.n_nodes, -1)
    base = [1.0] * graph.n_nodes
    edge, parent, child, forward = [], [], [], []
    for node, k in root_of.items():
        source[node] = k
    queue = deque(root_of)
    while queue:
        node = queue.popleft()
        for e, other in neighbours[node]:
            if e == came_by[node]:
                continue
            if other in came_by:
                return None
            came_by[other] = e
            source[other] = source[node]
            along = tail[e] == node
            turn = float(graph.scale[e]) ** 0.5
            base[other] = base[node] * turn if along else base[node] / turn
            edge.append(e)
            parent.append(node)
            child.append(other)
            forward.append(along)
            queue.append(other)
    if len(came_by) < graph.n_nodes:
        return None
    position = {node: k for k, node in enumerate(child)}
    feeds = np.zeros((len(edge), graph.n_nodes))
    for k in range(len(edge) - 1, -1, -1):
        feeds[k, child[k]] = 1.0
        above = position.get(parent[k])
        if above is not None:
            feeds[above] += feeds[k]
    return TreeShape(
        edge=np.array(edge, dtype=np.int64),
        parent=np.array(parent, dtype=np.int64),
        child=np.array(child, dtype=np.int64),
        forward=np.array(forward, dtype=bool),
        base=np.array(base),
        feeds=feeds,
        source=source,
    )


def solve_tree(graph: SwitchGraph, closed: Array, load: Array) -> TreeFlow | None:
    """Return the load flow of a configuration; None where it is not radial or has no solution.

    Parameters
    ----------
    graph : SwitchGraph
    closed : (edge,) of bool
    load : (node, step) of complex
        Power taken out of each node, p.u.
    """
    shape = shape_of(graph, closed)
    if shape is None:
        return None
    # the series impedance lies in the base behind the ratio
    behind = np.where(shape.forward, shape.base[shape.child], shape.base[shape.parent])
    z = (graph.z[shape.edge] / behind**2)[:, None]
    y = (shunts_of(graph, closed) * shape.base**2)[:, None]
    start = graph.root_vm[shape.source][:, None].astype(complex)
    voltage = np.repeat(start, load.shape[1], axis=1)
    lift = shape.feeds.T
    for _ in range(MAX_SWEEPS):
        current = shape.feeds @ (np.conj(load / voltage) + y * voltage)
        moved = start - lift @ (z * current)
        change = np.abs(moved - voltage).max(initial=0.0)
        voltage = moved
        if not np.isfinite(change) or np.abs(voltage).min() < LOWEST_VM_PU:
            return None
        if change < TOLERANCE:
            series = (z.real * np.abs(current) ** 2).sum(axis=0)
            loss = series + (y.real * np.abs(voltage) ** 2).sum(axis=0)
            return TreeFlow(shape=shape, voltage=voltage, current=current, loss=loss)
    return None


def shunts_of(graph: SwitchGraph, closed: Array) -> Array:
    """Return the shunt admittance (node,) of a configuration, open lines' ends included."""
    y = graph.y_node.copy()
    np.add.at(y, graph.tail, np.where(closed, graph.y_tail, graph.y_tail_open))
    np.add.at(y, graph.head, np.where(closed, graph.y_head, graph.y_head_open))
    return y
