"""Branch and bound on one period of the joint problem, its chains as their convex hulls.

The node with the least bound is split next: on a chain, "uncut" and "cut" (its row (1) below with
both sides), or on where it is cut.

    sum_{e in chain} u_e >= n - 1                                                          (1)
"""

from __future__ import annotations

import dataclasses
import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from pp_p2p.market.certified_bound import certified_bound, proves_infeasible
from pp_p2p.network.branches import Array
from pp_p2p.solve.compiled import CompiledProblem
from pp_p2p.solve.conic import ConicSolver, conic_form

FRACTIONAL: Final = 1e-6
"""Weights this close to 0 or 1 are not split on."""

WHERE_FIRST: Final = 0.3
"""Worth of splitting on where a chain is cut while it may be uncut; of other splits it is 1."""


class ChainBinaries(NamedTuple):
    """Binaries (edge,) of a chain in a period, and the row (1), where they are more than one."""

    binaries: Array
    row: int


@dataclass(order=True)
class _Node:
    bound: float
    number: int
    lower: Array = dataclasses.field(compare=False)
    upper: Array = dataclasses.field(compare=False)
    row_upper: Array = dataclasses.field(compare=False)
    point: Array | None = dataclasses.field(compare=False, default=None)


class PeriodSearch:
    """The open nodes of a period.

    Parameters
    ----------
    problem : CompiledProblem
    reach : (column,) of float
        How far from 0 the columns may lie.
    chains : list of ChainBinaries
    """

    def __init__(self, problem: CompiledProblem, reach: Array, chains: list[ChainBinaries]) -> None:
        self._problem, self._reach, self._chains = problem, reach, chains
        self._heap: list[_Node] = []
        self._count = itertools.count()
        self.bound, self.done = -np.inf, False

    def improve(self, seconds: float) -> int:
        """Look at one more node; return how many cone problems that took."""
        p = self._problem
        if not self._heap:
            begin = _Node(-np.inf, next(self._count), p.lower, p.upper, p.row_upper)
            children = [begin]
        else:
            children = list(self._split(self._heap[0]))
            if not children:
                self.done = True
                return 0
            heapq.heappop(self._heap)
        for child in children:
            self._solve(child, seconds)
        self.done = not self._heap
        if self._heap:
            self.bound = max(self.bound, self._heap[0].bound)
        return len(children)

    def _solve(self, node: _Node, seconds: float) -> None:
        """Bound a node and keep it, unless it is proven to be empty."""
        form = conic_form(
            dataclasses.replace(
                self._problem, lower=node.lower, upper=node.upper, row_upper=node.row_upper
            )
        )
        answer = ConicSolver(form, seconds).solve()
        if answer.infeasible:
            if proves_infeasible(form, answer, self._reach):
                return
        else:
            node.bound = max(node.bound, certified_bound(form, answer, self._reach))
            node.point = answer.x if answer.solved else None
        heapq.heappush(self._heap, node)

    def _split(self, node: _Node) -> Iterator[_Node]:
        """Yield the children of a node; none where it says nothing of what to split on."""
        x = node.point
        if x is None:
            return
        least, chosen = FRACTIONAL, None
        for chain in self._chains:
            weight = 1.0 - x[chain.binaries]
            cut = float(weight.sum())
            single = len(chain.binaries) == 1
            known = not single and node.row_upper[chain.row] == self._problem.row_lower[chain.row]
            most = int(np.argmax(weight))
            edges = (chain.binaries[0] if single else None, chain.binaries[most])
            where = min(weight[most], cut - weight[most]) * (1.0 if known else WHERE_FIRST)
            for worth, edge in zip((min(cut, 1.0 - cut), where), edges, strict=True):
                if worth > least:
                    least, chosen = worth, (chain, edge)
        if chosen is not None:
            yield from self._children(node, *chosen)

    def _children(self, node: _Node, chain: ChainBinaries, edge: int | None) -> Iterator[_Node]:
        """Yield a node with a chain uncut and with it cut, or with an edge closed and open."""
        lower, upper, row_upper = node.lower.copy(), node.upper.copy(), node.row_upper.copy()
        lower[chain.binaries if edge is None else edge] = 1.0
        yield _Node(node.bound, next(self._count), lower, node.upper, node.row_upper)
        if edge is None:
            row_upper[chain.row] = self._problem.row_lower[chain.row]
        else:
            upper[edge] = 0.0
        yield _Node(node.bound, next(self._count), node.lower, upper, row_upper)
