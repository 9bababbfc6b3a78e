"""HiGHS: linear, convex quadratic and mixed-integer linear problems, through highspy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from pp_p2p.errors import NoSolution, SolverCannot, TimeLimit
from pp_p2p.solve.compiled import Array, CompiledProblem, cost_unit
from pp_p2p.solve.report import Answer, SolverConfig


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
    """Solve a problem without cones, once."""
    return HighsProblem(config).solve(problem)


class HighsProblem:
    """A problem at HiGHS; what differs in vectors alone goes to the same object.

    The basis of the solve before is dropped, so that the answer depends on the problem alone: of
    many optimal points, a warm start takes the nearest.
    """

    def __init__(self, config: SolverConfig) -> None:
        import highspy

        self._highs = highspy.Highs()
        self._time_limit_s = config.time_limit_s
        self._last: CompiledProblem | None = None
        for option, value in (
            ("output_flag", False),
            ("threads", config.threads),
            ("mip_rel_gap", config.rel_gap),
            ("random_seed", 0),
        ):
            self._highs.setOptionValue(option, value)

    def solve(self, problem: CompiledProblem) -> HighsSolution:
        """Solve a problem without cones."""
        import highspy

        if self._last is not None and self._last.same_structure(problem):
            self._replace_vectors(problem)
        else:
            self._highs.passModel(_model(problem))
        self._last = problem
        self._highs.clearSolver()
        unit = cost_unit(problem.cost, problem.quadratic)
        self._highs.setOptionValue("user_objective_scale", -round(np.log2(unit)))
        spent = self._highs.getRunTime()  # the limit counts all runs of one object
        self._highs.setOptionValue("time_limit", self._time_limit_s + spent)
        self._highs.run()
        highs = self._highs
        info, solution = highs.getInfo(), highs.getSolution()
        status = highs.getModelStatus()
        endless = status == highspy.HighsModelStatus.kUnbounded
        # no column: the constant is the optimum
        empty = status == highspy.HighsModelStatus.kModelEmpty
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

    def _replace_vectors(self, problem: CompiledProblem) -> None:
        columns = np.arange(len(problem.cost), dtype=np.int32)
        rows = np.arange(len(problem.row_lower), dtype=np.int32)
        self._highs.changeColsCost(len(columns), columns, problem.cost)
        self._highs.changeColsBounds(len(columns), columns, problem.lower, problem.upper)
        self._highs.changeRowsBounds(len(rows), rows, problem.row_lower, problem.row_upper)
        self._highs.changeObjectiveOffset(problem.offset)


class Highs:
    """HiGHS as a backend of the solver room."""

    def __init__(self, config: SolverConfig) -> None:
        self._problem = HighsProblem(config)

    def solve(self, problem: CompiledProblem) -> Answer:
        """Solve; a problem with the last one's structure only replaces its vectors."""
        answer = self._problem.solve(problem)
        if not answer.has_point:
            if answer.termination == "Time limit reached":
                raise TimeLimit("time ran out before a solution was found; raise time_limit_s")
            if answer.termination == "Solve error":
                raise SolverCannot("HiGHS failed on this problem; name another solver")
            raise NoSolution(f"HiGHS found no solution: {answer.termination}")
        return Answer(
            x=answer.x,
            objective=answer.objective,
            bound=answer.bound,
            termination=answer.termination,
            optimal=answer.optimal,
            row_duals=answer.row_dual if len(answer.row_dual) else None,
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
