"""A compiled problem that is solved again and again with terms on some of its columns.

    min  c(x) + sum_k (a_k x_k + rho_k x_k^2 / 2)   over the problem's rows, cones and bounds

which is the step of every scheme that couples problems: ``rho/2 |x - target|^2`` is a = -rho
target. Other prices replace a vector; other curvatures set the solver up anew, since its
factorisation knows the matrix. Whoever solves finds the same: a solver is always set up with the
problem's own vectors first, so that a result does not depend on what was solved before.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import numpy as np
import scipy.sparse as sp

from pp_p2p.solve.compiled import Array, CompiledProblem
from pp_p2p.solve.report import SolverConfig, SolveReport
from pp_p2p.solve.run import CompiledSolver

KEPT: Final = 4
"""Solvers that are kept set up: with the present penalty, without one, with fixed columns."""


class Proximal:
    """A problem whose `columns` carry prices and penalties of a scheme.

    Parameters
    ----------
    problem : CompiledProblem
        Its Pyomo components are forgotten, so that it can travel between processes.
    columns : (coupled,) of int
    config : SolverConfig
    """

    def __init__(self, problem: CompiledProblem, columns: Array, config: SolverConfig) -> None:
        self.problem = dataclasses.replace(
            problem, columns=list(range(len(problem.cost))), rows=list(range(len(problem.rows)))
        )
        self.columns = columns
        self._config = config
        self._solvers: dict[tuple[bytes, bytes], tuple[CompiledProblem, CompiledSolver]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave the solvers behind."""
        return self.__dict__ | {"_solvers": {}}

    def solve(
        self,
        linear: Array | float = 0.0,
        curvature: Array | float = 0.0,
        *,
        fixed: dict[int, float] | None = None,
        within: CompiledProblem | None = None,
    ) -> tuple[Array, SolveReport]:
        """Return the point (column,) and the report; duals are by the number of the row.

        Parameters
        ----------
        linear, curvature : broadcastable to (coupled,)
        fixed : mapping of column to value, optional
        within : CompiledProblem, optional
            The problem with other limits of its rows and columns.

        Raises
        ------
        NoSolution
            No feasible point.
        """
        shape = self.columns.shape
        linear, curvature = (np.broadcast_to(v, shape) for v in (linear, curvature))
        at = np.fromiter(fixed or {}, np.int64)
        value = np.fromiter((fixed or {}).values(), float)
        problem, solver = self._solver(np.asarray(curvature, float), at, value)
        cost = problem.cost.copy()
        cost[self.columns] += linear
        asked = dataclasses.replace(problem, cost=cost)
        if within is not None:
            limits = ("lower", "upper", "row_lower", "row_upper")
            asked = dataclasses.replace(asked, **{name: getattr(within, name) for name in limits})
        return solver.solve(_with_fixed(asked, at, value))

    def cost(self, x: Array) -> float:
        """Return the problem's own objective at `x`."""
        return self.problem.objective(x)

    def _solver(
        self, curvature: Array, at: Array, value: Array
    ) -> tuple[CompiledProblem, CompiledSolver]:
        key = (curvature.tobytes(), at.tobytes())
        if key not in self._solvers:
            problem = self.problem
            if curvature.any():
                diagonal = np.zeros(len(problem.cost))
                diagonal[self.columns] = curvature
                quadratic = sp.diags(diagonal, format="csc")
                if problem.quadratic is not None:
                    quadratic = sp.csc_matrix(problem.quadratic + quadratic)
                problem = dataclasses.replace(problem, quadratic=quadratic)
            solver = CompiledSolver(problem, self._config)
            solver.solve(_with_fixed(problem, at, value))
            while len(self._solvers) >= KEPT:
                self._solvers.pop(next(iter(self._solvers)))
            self._solvers[key] = (problem, solver)
        return self._solvers[key]


def _with_fixed(problem: CompiledProblem, at: Array, value: Array) -> CompiledProblem:
    if not len(at):
        return problem
    lower, upper = problem.lower.copy(), problem.upper.copy()
    lower[at] = upper[at] = value
    return dataclasses.replace(problem, lower=lower, upper=upper)
