"""Clarabel: linear, convex quadratic and second-order cone problems.

Clarabel's standard form ``min x'Px/2 + q'x`` s.t. ``Ax + s = b, s in K`` is written once per
problem; a re-solve with other right-hand sides, bounds or linear costs only updates `b` and `q`.
Small objectives are scaled up (`cost_unit`): Clarabel stops at an absolute gap of 1e-8.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import scipy.sparse as sp

from pp_p2p.errors import NoSolution, TimeLimit
from pp_p2p.solve.compiled import Array, CompiledProblem, cost_unit
from pp_p2p.solve.report import Answer, SolverConfig, relative_gap

FEASIBILITY: Final = 1e-9
"""Relative residual at which Clarabel may stop."""

LINEAR_SOLVER: Final = "qdldl"
"""Of the KKT systems. Ours are sparse with thin fronts: on 1000 participants the supernodal one
that Clarabel would choose takes seven times as long."""

RESIDUAL_TOLERANCE: Final = 1e-7
"""Relative residual above which a point is not called optimal, whatever Clarabel calls it."""

REACH: Final = 10.0
"""How much farther out than the point found a bound holds, where columns have no bounds."""

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


@dataclass(frozen=True)
class _Pattern:
    """Which rows are equalities or have sides, which columns are fixed or have bounds."""

    equal: Array
    upper: Array
    lower: Array
    fixed: Array
    column_upper: Array
    column_lower: Array

    @classmethod
    def of(cls, problem: CompiledProblem) -> Self:
        equal = problem.row_lower == problem.row_upper
        fixed = problem.lower == problem.upper
        return cls(
            equal=equal,
            upper=np.isfinite(problem.row_upper) & ~equal,
            lower=np.isfinite(problem.row_lower) & ~equal,
            fixed=fixed,
            column_upper=np.isfinite(problem.upper) & ~fixed,
            column_lower=np.isfinite(problem.lower) & ~fixed,
        )

    def equals(self, other: _Pattern) -> bool:
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return all(np.array_equal(mine, theirs) for mine, theirs in pairs)

    def right_side(self, problem: CompiledProblem) -> Array:
        """Return `b` of the conic form."""
        return np.concatenate(
            [
                problem.row_upper[self.equal],
                problem.upper[self.fixed],
                problem.row_upper[self.upper],
                -problem.row_lower[self.lower],
                problem.upper[self.column_upper],
                -problem.lower[self.column_lower],
                problem.cone_offset,
            ]
        )


def conic_form(problem: CompiledProblem) -> ConicForm:
    """Return the conic form of the continuous relaxation of `problem`."""
    n = len(problem.cost)
    at = _Pattern.of(problem)
    identity = sp.identity(n, format="csr")
    blocks = [
        problem.matrix[at.equal],
        identity[at.fixed],
        problem.matrix[at.upper],
        -problem.matrix[at.lower],
        identity[at.column_upper],
        -identity[at.column_lower],
        -problem.cone_matrix,
    ]
    sizes = [block.shape[0] for block in blocks]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    row_of = np.full(starts[-1], -1)
    row_sign = np.zeros(starts[-1])
    for place, mask, sign in ((0, at.equal, 1.0), (2, at.upper, 1.0), (3, at.lower, -1.0)):
        row_of[starts[place] : starts[place + 1]] = np.flatnonzero(mask)
        row_sign[starts[place] : starts[place + 1]] = sign
    return ConicForm(
        P=sp.csc_matrix((n, n))
        if problem.quadratic is None
        else sp.triu(problem.quadratic, format="csc"),
        q=problem.cost,
        A=sp.csc_matrix(sp.vstack(blocks, format="csc")),
        b=at.right_side(problem),
        zero=sizes[0] + sizes[1],
        nonnegative=sum(sizes[2:6]),
        cone_sizes=problem.cone_sizes,
        bound_rows=np.arange(starts[4], starts[6]),
        bound_columns=np.concatenate(
            [np.flatnonzero(at.column_upper), np.flatnonzero(at.column_lower)]
        ),
        row_of=row_of,
        row_sign=row_sign,
    )


class ConicSolver:
    """One compiled Clarabel problem that is solved again with other vectors."""

    def __init__(
        self, form: ConicForm, time_limit_s: float = float("inf"), threads: int = 1
    ) -> None:
        import clarabel

        settings = clarabel.DefaultSettings()
        settings.verbose = False
        settings.presolve_enable = False  # a presolved problem refuses an update of b
        settings.max_threads = threads
        settings.direct_solve_method = LINEAR_SOLVER
        settings.time_limit = time_limit_s
        settings.tol_feas = FEASIBILITY  # 1e-8 of the largest row is 5e-5 p.u. of a voltage
        cones = [clarabel.ZeroConeT(form.zero), clarabel.NonnegativeConeT(form.nonnegative)]
        cones = [cone for cone in cones if cone.dim > 0]
        cones += [clarabel.SecondOrderConeT(int(size)) for size in form.cone_sizes]
        self.cost_unit = cost_unit(form.q, form.P)
        P, q = form.P / self.cost_unit, form.q / self.cost_unit
        self._solver = clarabel.DefaultSolver(P, q, form.A, form.b, cones, settings)

    def solve(self, b: Array | None = None, q: Array | None = None) -> ConicSolution:
        """Solve; `b` replaces the right-hand side, `q` the linear cost."""
        if b is not None:
            self._solver.update(b=b)
        if q is not None:
            self._solver.update(q=q / self.cost_unit)
        answer = self._solver.solve()
        return ConicSolution(
            x=np.asarray(answer.x),
            z=np.asarray(answer.z) * self.cost_unit,
            objective=float(answer.obj_val) * self.cost_unit,
            dual_objective=float(answer.obj_val_dual) * self.cost_unit,
            status=str(answer.status),
            iterations=int(answer.iterations),
            seconds=float(answer.solve_time),
            residual=max(float(answer.r_prim), float(answer.r_dual)),
        )


class Clarabel:
    """Clarabel as a backend of the solver room; remembers the last problem's structure."""

    def __init__(self, config: SolverConfig) -> None:
        self._config = config
        self._last: tuple[CompiledProblem, _Pattern, ConicForm, ConicSolver] | None = None

    def solve(self, problem: CompiledProblem) -> Answer:
        """Solve; a problem with the last one's structure only replaces its vectors."""
        form, answer = self._solve(problem)
        if answer.status == "MaxTime":
            raise TimeLimit("time ran out before a solution was found; raise time_limit_s")
        if not answer.solved:
            raise NoSolution(f"Clarabel found no solution: {answer.status}")
        objective = problem.objective(answer.x)
        bound = dual_bound(problem, form, answer) + problem.offset
        # Clarabel's own word, "Solved" or "AlmostSolved", decides nothing: the figures do
        within = relative_gap(objective, bound) <= self._config.rel_gap
        return Answer(
            x=answer.x,
            objective=objective,
            bound=bound,
            termination=answer.status,
            optimal=within and answer.residual <= RESIDUAL_TOLERANCE,
            iterations=answer.iterations,
            row_duals=row_duals(problem, form, answer.z),
        )

    def _solve(self, problem: CompiledProblem) -> tuple[ConicForm, ConicSolution]:
        pattern = _Pattern.of(problem)
        if self._last is not None:
            last, known, form, solver = self._last
            alike = last.same_structure(problem) and known.equals(pattern)
            if alike and cost_unit(problem.cost, problem.quadratic) == solver.cost_unit:
                return form, solver.solve(b=pattern.right_side(problem), q=problem.cost)
        form = conic_form(problem)
        solver = ConicSolver(form, self._config.time_limit_s, self._config.threads)
        self._last = (problem, pattern, form, solver)
        return form, solver.solve()


def dual_bound(problem: CompiledProblem, form: ConicForm, answer: ConicSolution) -> float:
    """Return a bound of the objective, without its constant, from the dual point of `answer`.

    For any z in K* and any feasible y, with r = Px + q + A'z,

        y'Py/2 + q'y >= -x'Px/2 - b'z + r'y >= -x'Px/2 - b'z - sum_j |r_j| max|y_j|

    Where a column has no bounds, points up to `REACH` times as far out as x are covered: an
    optimum that lies at infinity is not taken for one.
    """
    x, z = answer.x, answer.z
    curved = np.zeros_like(x) if problem.quadratic is None else problem.quadratic @ x
    residual = np.abs(curved + problem.cost + form.A.T @ z)
    limit = np.maximum(np.abs(problem.lower), np.abs(problem.upper))
    reach = np.minimum(limit, REACH * np.maximum(np.abs(x), 1.0))
    at = _Pattern.of(problem).right_side(problem)
    return float(-0.5 * (x @ curved) - at @ z - residual @ reach)


def row_duals(problem: CompiledProblem, form: ConicForm, z: Array) -> Array:
    """Return d(objective)/d(right-hand side) of every linear row (row,)."""
    duals = np.zeros(len(problem.rows))
    mine = form.row_of >= 0
    np.add.at(duals, form.row_of[mine], -form.row_sign[mine] * z[mine])
    return duals
