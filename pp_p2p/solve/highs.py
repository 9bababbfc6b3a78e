"""HiGHS: linear, convex quadratic and mixed-integer linear problems, through highspy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from pp_p2p.solve.compiled import Array, CompiledProblem
from pp_p2p.solve.report import SolverConfig


@dataclass(frozen=True, kw_only=True)
class HighsSolution:
    """Point, row duals, objective, bound and HiGHS's model status."""

    x: Array
    row_dual: Array
    objective: float
    bound: float
    termination: str
    has_point: bool
    optimal: bool


def solve_highs(problem: CompiledProblem, config: SolverConfig) -> HighsSolution:
    """Solve a problem without cones."""
    import highspy

    highs = highspy.Highs()
    for option, value in (
        ("output_flag", False),
        ("threads", config.threads),
        ("time_limit", config.time_limit_s),
        ("mip_rel_gap", config.rel_gap),
        ("random_seed", 0),
    ):
        highs.setOptionValue(option, value)
    highs.passModel(_model(problem))
    highs.run()
    info, solution = highs.getInfo(), highs.getSolution()
    status = highs.getModelStatus()
    endless = status == highspy.HighsModelStatus.kUnbounded
    empty = status == highspy.HighsModelStatus.kModelEmpty  # no column: the constant is the optimum
    objective = problem.offset if empty else float(info.objective_function_value)
    found = empty or (
        bool(solution.value_valid) and info.primal_solution_status == 2 and not endless
    )
    optimal = empty or status == highspy.HighsModelStatus.kOptimal
    continuous = not problem.integer.any()
    proven = objective if optimal else -np.inf  # of a continuous problem
    return HighsSolution(
        x=np.asarray(solution.col_value, dtype=float),
        row_dual=np.asarray(solution.row_dual, dtype=float) if continuous else np.array([]),
        objective=objective,
        bound=proven if continuous else float(info.mip_dual_bound),
        termination=highs.modelStatusToString(status),
        has_point=found or empty,
        optimal=optimal,
    )


def _model(problem: CompiledProblem) -> Any:
    import highspy

    lp = highspy.HighsLp()
    n, m = len(problem.cost), len(problem.row_lower)
    lp.num_col_, lp.num_row_ = n, m
    lp.col_cost_, lp.offset_ = problem.cost, problem.offset
    lp.col_lower_, lp.col_upper_ = problem.lower, problem.upper
    lp.row_lower_, lp.row_upper_ = problem.row_lower, problem.row_upper
    matrix = sp.csc_matrix(problem.matrix)
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_, lp.a_matrix_.index_ = matrix.indptr, matrix.indices
    lp.a_matrix_.value_ = matrix.data
    if problem.integer.any():
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        lp.integrality_ = [kinds[int(flag)] for flag in problem.integer]
    model = highspy.HighsModel()
    model.lp_ = lp
    if problem.quadratic is not None:
        lower = sp.csc_matrix(sp.tril(problem.quadratic))
        model.hessian_.dim_ = n
        model.hessian_.format_ = highspy.HessianFormat.kTriangular
        model.hessian_.start_, model.hessian_.index_ = lower.indptr, lower.indices
        model.hessian_.value_ = lower.data
    return model
