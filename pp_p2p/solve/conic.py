"""Clarabel: linear, convex quadratic and second-order cone problems.

Clarabel's standard form ``min x'Px/2 + q'x`` s.t. ``Ax + s = b, s in K`` is written once per
problem; a re-solve with another right-hand side only updates `b`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import scipy.sparse as sp

from pp_p2p.solve.compiled import Array, CompiledProblem

FEASIBILITY: Final = 1e-9
"""Relative residual at which Clarabel may stop."""

SOLVED: Final = frozenset({"Solved", "AlmostSolved"})
INFEASIBLE: Final = frozenset({"PrimalInfeasible", "AlmostPrimalInfeasible"})


@dataclass(frozen=True, kw_only=True)
class ConicForm:
    """``min x'Px/2 + q'x`` s.t. ``b - Ax in {0}^zero x R+^nonneg x SOC...``.

    `bound_rows` are the positions of rows that are bounds of a column, `bound_columns` those
    columns; `row_of` (row,) is the linear row of the problem behind each conic row, -1 for none,
    and `row_sign` its factor.
    """

    P: Any
    q: Array
    A: Any
    b: Array
    zero: int
    nonnegative: int
    cone_sizes: Array
    bound_rows: Array
    bound_columns: Array
    row_of: Array
    row_sign: Array


@dataclass(frozen=True, kw_only=True)
class ConicSolution:
    """Primal `x`, dual `z` of the conic rows, objective values and the solver's word.

    `residual` is the larger of the relative primal and dual residuals.
    """

    x: Array
    z: Array
    objective: float
    dual_objective: float
    status: str
    iterations: int
    seconds: float
    residual: float

    @property
    def solved(self) -> bool:
        """Whether `x` is optimal within the solver's tolerance."""
        return self.status in SOLVED

    @property
    def infeasible(self) -> bool:
        """Whether `z` proves that there is no feasible point."""
        return self.status in INFEASIBLE


def conic_form(problem: CompiledProblem) -> ConicForm:
    """Return the conic form of the continuous relaxation of `problem`."""
    n = len(problem.cost)
    equal = problem.row_lower == problem.row_upper
    upper = np.isfinite(problem.row_upper) & ~equal
    lower = np.isfinite(problem.row_lower) & ~equal
    fixed = problem.lower == problem.upper
    col_upper = np.isfinite(problem.upper) & ~fixed
    col_lower = np.isfinite(problem.lower) & ~fixed
    identity = sp.identity(n, format="csr")
    blocks = [
        problem.matrix[equal],
        identity[fixed],
        problem.matrix[upper],
        -problem.matrix[lower],
        identity[col_upper],
        -identity[col_lower],
        -problem.cone_matrix,
    ]
    b = np.concatenate(
        [
            problem.row_upper[equal],
            problem.upper[fixed],
            problem.row_upper[upper],
            -problem.row_lower[lower],
            problem.upper[col_upper],
            -problem.lower[col_lower],
            problem.cone_offset,
        ]
    )
    sizes = [block.shape[0] for block in blocks]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    row_of = np.full(starts[-1], -1)
    row_sign = np.zeros(starts[-1])
    for place, mask, sign in ((0, equal, 1.0), (2, upper, 1.0), (3, lower, -1.0)):
        row_of[starts[place] : starts[place + 1]] = np.flatnonzero(mask)
        row_sign[starts[place] : starts[place + 1]] = sign
    return ConicForm(
        P=sp.csc_matrix((n, n))
        if problem.quadratic is None
        else sp.triu(problem.quadratic, format="csc"),
        q=problem.cost,
        A=sp.csc_matrix(sp.vstack(blocks, format="csc")),
        b=b,
        zero=sizes[0] + sizes[1],
        nonnegative=sum(sizes[2:6]),
        cone_sizes=problem.cone_sizes,
        bound_rows=np.arange(starts[4], starts[6]),
        bound_columns=np.concatenate([np.flatnonzero(col_upper), np.flatnonzero(col_lower)]),
        row_of=row_of,
        row_sign=row_sign,
    )


class ConicSolver:
    """One compiled Clarabel problem that is solved again with other right-hand sides."""

    def __init__(self, form: ConicForm, time_limit_s: float = float("inf")) -> None:
        import clarabel

        settings = clarabel.DefaultSettings()
        settings.verbose = False
        settings.presolve_enable = False  # a presolved problem refuses an update of b
        settings.max_threads = 1
        settings.time_limit = time_limit_s
        settings.tol_feas = FEASIBILITY  # 1e-8 of the largest row is 5e-5 p.u. of a voltage
        cones = [clarabel.ZeroConeT(form.zero), clarabel.NonnegativeConeT(form.nonnegative)]
        cones = [cone for cone in cones if cone.dim > 0]
        cones += [clarabel.SecondOrderConeT(int(size)) for size in form.cone_sizes]
        self._solver = clarabel.DefaultSolver(form.P, form.q, form.A, form.b, cones, settings)

    def solve(self, b: Array | None = None) -> ConicSolution:
        """Solve; `b` replaces the right-hand side."""
        if b is not None:
            self._solver.update(b=b)
        answer = self._solver.solve()
        return ConicSolution(
            x=np.asarray(answer.x),
            z=np.asarray(answer.z),
            objective=float(answer.obj_val),
            dual_objective=float(answer.obj_val_dual),
            status=str(answer.status),
            iterations=int(answer.iterations),
            seconds=float(answer.solve_time),
            residual=max(float(answer.r_prim), float(answer.r_dual)),
        )


def row_duals(problem: CompiledProblem, form: ConicForm, z: Array) -> Mapping[Any, float]:
    """Return d(objective)/d(right-hand side) of every linear Pyomo constraint."""
    duals: dict[Any, float] = {}
    for row, sign, value in zip(form.row_of, form.row_sign, z, strict=True):
        if row >= 0:
            constraint = problem.rows[row]
            duals[constraint] = duals.get(constraint, 0.0) - sign * float(value)
    return duals
