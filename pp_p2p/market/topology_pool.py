"""Configurations worth a look in an outer round: neighbours by one exchange, or all there are."""

from __future__ import annotations

import copy
from collections import deque

import numpy as np

from pp_p2p.network.branches import Array
from pp_p2p.network.switching import SwitchGraph
from pp_p2p.network.tree_flow import shape_of


def neighbours(graph: SwitchGraph, closed: Array, free: Array) -> list[Array]:
    """Return the radial configurations one exchange away from `closed` (edge,).

    Only edges that are `free` (edge,) are closed or opened.
    """
    shape = shape_of(graph, closed)
    if shape is None:
        return []
    found = []
    for tie in np.flatnonzero(~closed & free).tolist():
        apart = shape.feeds[:, graph.tail[tie]] != shape.feeds[:, graph.head[tie]]
        for e in shape.edge[apart].tolist():
            if free[e]:
                near = closed.copy()
                near[tie], near[e] = True, False
                found.append(near)
    return found


def all_trees(graph: SwitchGraph, start: Array, most: int) -> list[Array] | None:
    """Return all radial configurations; None where there are more than `most`."""
    seen, queue, trees = {start.tobytes()}, deque([start]), [start]
    while queue:
        for near in neighbours(graph, queue.popleft(), graph.switchable):
            if near.tobytes() not in seen:
                seen.add(near.tobytes())
                trees.append(near)
                queue.append(near)
                if len(trees) > most:
                    return None
    return trees


def distinct(closed: Array) -> list[Array]:
    """Return the different configurations of a sequence (step, edge), in their order."""
    return list({row.tobytes(): row for row in closed}.values())


class FreeBinaries:
    """Which binaries (step, edge) are free: the reduction of Mu et al. (2025), reconstructed.

    A binary is fixed where it did not change in the last `unchanged_rounds` outer rounds and its
    edge is not within the neighbourhood of an edge that is open in that step.

    Parameters
    ----------
    graph : SwitchGraph
    n_steps : int
    unchanged_rounds : int or None
        None fixes none.
    neighbourhood : int
        Steps from edge to edge, along shared nodes.
    """

    def __init__(
        self, graph: SwitchGraph, n_steps: int, unchanged_rounds: int | None, neighbourhood: int
    ) -> None:
        self._graph, self._rounds, self._reach = graph, unchanged_rounds, neighbourhood
        self._age = np.zeros((n_steps, graph.n_edges), dtype=np.int64)

    def free(self, incumbent: Array) -> Array:
        """Return the free binaries (step, edge) of the next round."""
        movable = np.broadcast_to(self._graph.switchable, incumbent.shape)
        if self._rounds is None:
            return movable.copy()
        return np.asarray(movable & ((self._age < self._rounds) | self._near(incumbent)))

    def copy(self) -> FreeBinaries:
        """Return one that goes on from here on its own."""
        other = copy.copy(self)
        other._age = self._age.copy()
        return other

    def after(self, before: Array, incumbent: Array) -> None:
        """Take note of a round that led from `before` to `incumbent`."""
        self._age = np.where(before != incumbent, 0, self._age + 1)

    def _near(self, incumbent: Array) -> Array:
        graph = self._graph
        near = ~incumbent
        for _ in range(self._reach):
            touched = np.zeros((len(near), graph.n_nodes), dtype=bool)
            for ends in (graph.tail, graph.head):
                steps, edges = np.nonzero(near)
                touched[steps, ends[edges]] = True
            near = touched[:, graph.tail] | touched[:, graph.head]
        return near
