"""Mixed-integer conic problems by branch and bound on the integers.

Every node is the conic relaxation with some integers fixed, solved by interior point; its bound is

    -b'z - sum_j |q + A'z|_j max|x_j|                                                      (1)

of the dual point z that the solver returns: valid for duals of finite accuracy, since every column
is bounded. The node with the least bound is split on its most fractional integer. Integer points
come from the caller, who knows the problem: to start with, and rounded from the relaxation.
"""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pp_p2p.errors import NoSolution, TimeLimit
from pp_p2p.solve.compiled import Array, CompiledProblem
from pp_p2p.solve.conic import ConicSolver, conic_form
from pp_p2p.solve.report import SolverConfig, relative_gap

Rounding = Callable[[Array], Sequence[Array]]
"""From the values of the integers in a relaxation to integer points worth trying."""

INTEGRAL = 1e-6
"""An integer this close to a whole number counts as one."""

ROUNDED_EVERY = 10
"""Nodes from one rounding to the next."""


@dataclass(frozen=True, kw_only=True)
class BranchingResult:
    """Best point, its objective, the proven bound, nodes and progress."""

    x: Array
    objective: float
    bound: float
    n_nodes: int
    termination: str
    history: tuple[tuple[float, float, float], ...]


@dataclass(order=True)
class _Node:
    bound: float
    number: int
    lower: Array = dataclasses.field(compare=False)
    upper: Array = dataclasses.field(compare=False)


def solve_by_branching(
    problem: CompiledProblem,
    config: SolverConfig,
    starts: Sequence[Array] = (),
    rounding: Rounding | None = None,
) -> BranchingResult:
    """Solve a mixed-integer conic problem.

    Parameters
    ----------
    problem : CompiledProblem
        With finite bounds on every column.
    config : SolverConfig
    starts : sequence of (integer column,)
        Integer points to begin with; those that are infeasible are passed over.
    rounding : callable, optional

    Raises
    ------
    NoSolution
        There is no feasible point.
    TimeLimit
        None was found in time.
    """
    return _Branching(problem, config, rounding).run(starts)


class _Branching:
    def __init__(
        self, problem: CompiledProblem, config: SolverConfig, rounding: Rounding | None
    ) -> None:
        self.problem, self.config, self.rounding = problem, config, rounding
        self.integers = np.flatnonzero(problem.integer)
        self.started = time.perf_counter()
        self.best: tuple[float, Array] | None = None
        self.seen: set[bytes] = set()
        self.counter = itertools.count()
        self.pruned = np.inf
        self.reach = np.maximum(np.abs(problem.lower), np.abs(problem.upper))

    def run(self, starts: Sequence[Array]) -> BranchingResult:
        for start in starts:
            self._try(start)
        lower = self.problem.lower[self.integers]
        heap = [_Node(-np.inf, next(self.counter), lower, self.problem.upper[self.integers])]
        n_nodes, history = 0, []
        while heap and not self._good_enough(heap[0].bound) and self._seconds_left() > 0:
            node = heapq.heappop(heap)
            relaxed = self._solve(node.lower, node.upper)
            n_nodes += 1
            if relaxed is None:
                continue
            bound, y, point = relaxed
            bound = max(bound, node.bound)
            fractional = np.abs(y - np.round(y))
            if fractional.max(initial=0.0) <= INTEGRAL:
                self._keep(point)
            elif self.rounding is not None and n_nodes % ROUNDED_EVERY == 1:
                for rounded in self.rounding(y):
                    self._try(rounded)
            if self._good_enough(bound) or (node.lower == node.upper).all():
                self.pruned = min(self.pruned, bound)
            else:
                for child in self._split(node, bound, y):
                    heapq.heappush(heap, child)
            open_bound = min(heap[0].bound if heap else np.inf, self.pruned, self._objective())
            history.append((time.perf_counter() - self.started, open_bound, self._objective()))
        bound = min(heap[0].bound if heap else np.inf, self.pruned, self._objective())
        if self.best is None:
            if heap:
                raise TimeLimit("no feasible point was found in time; raise time_limit_s")
            raise NoSolution("the integers have no feasible value")
        return BranchingResult(
            x=self.best[1],
            objective=self.best[0],
            bound=float(bound),
            n_nodes=n_nodes,
            termination="time limit" if heap and not self._good_enough(bound) else "gap closed",
            history=tuple(history),
        )

    def _objective(self) -> float:
        return self.best[0] if self.best else np.inf

    def _good_enough(self, bound: float) -> bool:
        if self.best is None:
            return bound == np.inf
        objective = self.best[0]
        return bound >= objective or relative_gap(objective, bound) <= self.config.rel_gap

    def _seconds_left(self) -> float:
        return self.config.time_limit_s - (time.perf_counter() - self.started)

    def _solve(self, lower: Array, upper: Array) -> tuple[float, Array, Array] | None:
        """Return bound, integers and point of a node; None where it is infeasible."""
        low, high = self.problem.lower.copy(), self.problem.upper.copy()
        low[self.integers], high[self.integers] = lower, upper
        form = conic_form(dataclasses.replace(self.problem, lower=low, upper=high))
        answer = ConicSolver(form, max(self._seconds_left(), 1.0)).solve()
        if answer.infeasible:
            return None
        if not answer.solved:
            return -np.inf, np.clip((lower + upper) / 2, lower, upper), answer.x
        if self.problem.quadratic is None:
            residual = np.abs(form.q + form.A.T @ answer.z)
            bound = -float(form.b @ answer.z) - float(residual @ self.reach)
        else:
            bound = answer.dual_objective
        return bound + self.problem.offset, answer.x[self.integers], answer.x

    def _try(self, integers: Array) -> None:
        """Solve with the integers fixed."""
        y = np.round(integers) + 0.0
        if y.tobytes() in self.seen:
            return
        self.seen.add(y.tobytes())
        inside = (y >= self.problem.lower[self.integers]) & (y <= self.problem.upper[self.integers])
        solved = self._solve(y, y) if inside.all() else None
        if solved is not None and np.isfinite(solved[0]):
            self._keep(solved[2])

    def _keep(self, point: Array) -> None:
        objective = self.problem.objective(point)
        if objective < self._objective():
            self.best = (objective, point)

    def _split(self, node: _Node, bound: float, y: Array) -> list[_Node]:
        distance = np.abs(y - np.round(y))
        distance[node.lower == node.upper] = -1.0
        k = int(np.argmax(distance))
        below, above = np.floor(y[k]), np.floor(y[k]) + 1
        if above > node.upper[k]:
            below, above = node.upper[k] - 1, node.upper[k]
        children = []
        for low, high in ((node.lower[k], below), (above, node.upper[k])):
            lower, upper = node.lower.copy(), node.upper.copy()
            lower[k], upper[k] = low, high
            children.append(_Node(bound, next(self.counter), lower, upper))
        return children
