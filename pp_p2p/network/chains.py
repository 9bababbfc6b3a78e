"""What is left to decide in a network with loops: chains between junctions.

Of the edges that may still open, those that every configuration keeps closed drop out (bridges,
trees that hang on the rest), and edges in series between two junctions form a chain, of which at
most one is open. A hanging tree is carried to its node as power drawn at a squared voltage v,

    S(v) >= S(v0) + S'(v0) (v - v0)                                                       (1)

the tangent of the exact load flow: one line with the power D behind it draws S = D + z l with
l = (u - sqrt(u^2 - 4 |z D|^2)) / (2 |z|^2), u = v - 2 Re(conj(D) z), which is convex in v, so
that (1) holds at every voltage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pp_p2p.network.branches import Array
from pp_p2p.network.switching import SwitchGraph
from pp_p2p.network.topology import DisjointSets

FREE, FIXED, OPEN = 0, 1, 2
"""What is known of an edge: nothing, closed, open."""

Draw = tuple[complex, complex]
"""Power drawn at a node: constant part, and part per squared voltage."""

FIXED_POINT_STEPS = 100

PRECISE = 1e-13
"""Change (p.u.) at which the fixed point of a line's flow stands still."""


@dataclass
class Chain:
    """Edges in series from ``nodes[0]`` to ``nodes[-1]``; `forward` where the tail comes first.

    `cuts` are the positions whose edge may be the open one, `uncut` tells whether none may be.
    """

    nodes: list[int]
    edges: list[int]
    forward: list[bool]
    cuts: list[int]
    uncut: bool = True


@dataclass(frozen=True)
class Core:
    """Junctions, the chains between them, and the power drawn at every node by what hangs there."""

    junctions: list[int]
    chains: list[Chain]
    draws: list[Draw]


class Reducer:
    """Reduces a network to its chains, for one load and one guess of voltages.

    Parameters
    ----------
    graph : SwitchGraph
    load : (node,) of complex
        Power taken out, p.u.
    v_guess : (node,) of float
        Squared voltages at which (1) touches.
    """

    def __init__(self, graph: SwitchGraph, load: Array, v_guess: Array) -> None:
        self.graph = graph
        self.tail, self.head = graph.tail.tolist(), graph.head.tolist()
        self.z, self.scale = graph.z.tolist(), graph.scale.tolist()
        self.y_tail, self.y_head = (np.conj(y).tolist() for y in (graph.y_tail, graph.y_head))
        self.y_tail_open = np.conj(graph.y_tail_open).tolist()
        self.y_head_open = np.conj(graph.y_head_open).tolist()
        self.root_v = {
            int(k): float(v) ** 2 for k, v in zip(graph.root, graph.root_vm, strict=True)
        }
        self.first_root = int(graph.root[0])
        self.load, self.y_node = load.tolist(), np.conj(graph.y_node).tolist()
        self.v = [self.root_v.get(k, float(v)) for k, v in enumerate(v_guess)]

    def merged(self, node: int) -> int:
        """Return `node`, or the first root for every root."""
        return self.first_root if node in self.root_v else node

    def through(self, edge: int, forward: bool, draw: Draw, v_near: float) -> Draw:
        """Return what is drawn at the near end of a closed edge with `draw` at its far end."""
        z, scale = self.z[edge], self.scale[edge]
        s_near, s_far = (scale, 1.0) if forward else (1.0, scale)
        y_near, y_far = self.y_tail[edge], self.y_head[edge]
        if not forward:
            y_near, y_far = y_far, y_near
        constant, slope = draw[0], draw[1] + y_far
        if z == 0:
            return constant, slope * s_near / s_far + y_near
        v, z_conj, z_sqr = v_near * s_near, z.conjugate(), abs(z) ** 2
        S = constant + slope * v / s_far
        current, still = 0.0, False
        for _ in range(FIXED_POINT_STEPS):
            current = (S.real**2 + S.imag**2) / v
            v_far = (v - 2 * (z_conj * S).real + z_sqr * current) / s_far
            S, before = constant + slope * v_far + z * current, S
            still = abs(S - before) < PRECISE
            if still or abs(S) * abs(z) > v:
                break
        if not still:  # beyond the nose at this voltage: without losses (1) still holds
            return constant, slope * s_near / s_far + y_near
        change = 0j
        for _ in range(FIXED_POINT_STEPS):
            rise = (2 * (S.conjugate() * change).real - current) / v
            v_rise = (1 - 2 * (z_conj * change).real + z_sqr * rise) / s_far
            change, before = slope * v_rise + z * rise, change
            if abs(change - before) < PRECISE:
                break
        return S - change * v, change * s_near + y_near

    def core(self, status: Sequence[int], must: Sequence[frozenset[int]]) -> Core | None:
        """Return the core; None where no radial configuration is left.

        Parameters
        ----------
        status : (edge,)
            `FREE`, `FIXED` or `OPEN`.
        must : sequence of sets of edges
            Of each set exactly one edge is open.
        """
        adjacent, draws = self._adjacency(status)
        gone = self._prune(adjacent, draws)
        if gone is None:
            return None
        is_junction = [k in self.root_v or len(edges) >= 3 for k, edges in enumerate(adjacent)]
        chains = self._chains(adjacent, is_junction, status)
        junctions = [k for k, flag in enumerate(is_junction) if flag]
        inside = sum(len(chain.nodes) - 2 for chain in chains)
        if inside + len(junctions) + gone < len(adjacent):
            return None  # a cycle or an island away from every root
        if not (self._apply_must(chains, must) and self._close_bridges(chains, junctions)):
            return None
        return Core(junctions, chains, list(zip(*draws, strict=True)))

    def with_draws(self, core: Core, status: Sequence[int]) -> Core:
        """Return `core`, found for another load, with the draws of this one."""
        adjacent, draws = self._adjacency(status)
        self._prune(adjacent, draws)
        return Core(core.junctions, core.chains, list(zip(*draws, strict=True)))

    def _adjacency(
        self, status: Sequence[int]
    ) -> tuple[list[dict[int, int]], tuple[list[complex], list[complex]]]:
        adjacent: list[dict[int, int]] = [{} for _ in self.load]
        constant, slope = list(self.load), list(self.y_node)
        for e, (a, b) in enumerate(zip(self.tail, self.head, strict=True)):
            if status[e] == OPEN:
                slope[a] += self.y_tail_open[e]
                slope[b] += self.y_head_open[e]
            else:
                adjacent[a][e], adjacent[b][e] = b, a
        return adjacent, (constant, slope)

    def _prune(
        self, adjacent: list[dict[int, int]], draws: tuple[list[complex], list[complex]]
    ) -> int | None:
        """Carry hanging trees to where they hang; return how many nodes went, None on an island."""
        constant, slope = draws
        leaves = [k for k, edges in enumerate(adjacent) if len(edges) == 1 and k not in self.root_v]
        if any(not edges and k not in self.root_v for k, edges in enumerate(adjacent)):
            return None
        gone = 0
        while leaves:
            leaf = leaves.pop()
            if not adjacent[leaf]:
                return None
            ((edge, at),) = adjacent[leaf].items()
            gone += 1
            del adjacent[at][edge]
            adjacent[leaf].clear()
            drawn = self.through(
                edge, self.tail[edge] == at, (constant[leaf], slope[leaf]), self.v[at]
            )
            constant[at] += drawn[0]
            slope[at] += drawn[1]
            if at not in self.root_v and len(adjacent[at]) == 1:
                leaves.append(at)
        return gone

    def _chains(
        self, adjacent: list[dict[int, int]], is_junction: list[bool], status: Sequence[int]
    ) -> list[Chain]:
        used: set[int] = set()
        chains = []
        for start, flag in enumerate(is_junction):
            if not flag:
                continue
            for first in adjacent[start]:
                if first in used:
                    continue
                nodes, edges, forward = [start], [], []
                here, edge = start, first
                while True:
                    used.add(edge)
                    forward.append(self.tail[edge] == here)
                    edges.append(edge)
                    here = adjacent[here][edge]
                    nodes.append(here)
                    if is_junction[here]:
                        break
                    edge = next(k for k in adjacent[here] if k != edge)
                cuts = [k for k, e in enumerate(edges) if status[e] == FREE]
                chains.append(Chain(nodes, edges, forward, cuts))
        return chains

    def _apply_must(self, chains: list[Chain], must: Sequence[frozenset[int]]) -> bool:
        for edges in must:
            holders = [chain for chain in chains if not edges.isdisjoint(chain.edges)]
            if len(holders) != 1 or not holders[0].uncut:
                return False
            chain = holders[0]
            chain.uncut = False
            chain.cuts = [k for k in chain.cuts if chain.edges[k] in edges]
        return True

    def _close_bridges(self, chains: list[Chain], junctions: list[int]) -> bool:
        """Keep bridges closed, open what closed chains bypass; False where neither can be."""
        number = {node: k for k, node in enumerate({self.merged(k): None for k in junctions})}
        ends = [(number[self.merged(c.nodes[0])], number[self.merged(c.nodes[-1])]) for c in chains]
        bridges = _bridges(len(number), ends)
        if bridges is None:
            return False
        closed = DisjointSets(range(len(number)))
        for k, chain in enumerate(chains):
            if bridges[k]:
                if not chain.uncut:
                    return False
                chain.cuts = []
            if chain.uncut and not chain.cuts and not closed.join(*ends[k]):
                return False
        for k, chain in enumerate(chains):
            if chain.cuts and closed.find(ends[k][0]) == closed.find(ends[k][1]):
                chain.uncut = False
            if not chain.cuts and not chain.uncut:
                return False
        return True


def _bridges(n_nodes: int, ends: Sequence[tuple[int, int]]) -> list[bool] | None:
    """Return which edges of a multigraph are bridges; None where it is not connected."""
    adjacent: list[list[tuple[int, int]]] = [[] for _ in range(n_nodes)]
    for k, (a, b) in enumerate(ends):
        adjacent[a].append((k, b))
        adjacent[b].append((k, a))
    seen = [-1] * n_nodes
    low = [0] * n_nodes
    bridge = [False] * len(ends)
    seen[0] = clock = 0
    stack: list[tuple[int, int, int]] = [(0, -1, 0)]
    while stack:
        node, came, position = stack.pop()
        if position < len(adjacent[node]):
            stack.append((node, came, position + 1))
            edge, other = adjacent[node][position]
            if edge == came:
                continue
            if seen[other] < 0:
                clock += 1
                seen[other] = low[other] = clock
                stack.append((other, edge, 0))
            else:
                low[node] = min(low[node], seen[other])
        elif came >= 0:
            above = stack[-1][0]
            low[above] = min(low[above], low[node])
            bridge[came] = low[node] > seen[above]
    return bridge if min(seen) >= 0 else None
