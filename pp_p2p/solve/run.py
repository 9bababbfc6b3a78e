"""The solver room's front door: a Pyomo model goes in, values and a report come out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

import pyomo.environ as pyo

from pp_p2p.errors import NoSolution, SolverCannot, SolverUnavailable, TimeLimit
from pp_p2p.solve.available import REGISTRY, installed_version
from pp_p2p.solve.compiled import CompiledProblem, compile_model, is_nonlinear, load_values
from pp_p2p.solve.conic import ConicSolver, conic_form, row_duals
from pp_p2p.solve.highs import solve_highs
from pp_p2p.solve.nonlinear import solve_ipopt
from pp_p2p.solve.projection import solve_by_projection
from pp_p2p.solve.report import (
    DEFAULT_CONFIG,
    ProblemClass,
    SolverConfig,
    SolveReport,
    Status,
    relative_gap,
)

AUTO: Final[dict[ProblemClass, str]] = {
    ProblemClass.LP: "highs",
    ProblemClass.QP: "highs",
    ProblemClass.MILP: "highs",
    ProblemClass.SOCP: "clarabel",
    ProblemClass.MISOCP: "highs+clarabel",
    ProblemClass.NLP: "ipopt",
}
"""Solver that ``name="auto"`` takes for each class."""


RESIDUAL_TOLERANCE: Final = 1e-7
"""Relative residual of a conic solution above which it is not called optimal."""


@dataclass(frozen=True)
class _Answer:
    x: Any
    objective: float
    bound: float
    termination: str
    optimal: bool
    iterations: int = 0
    history: tuple[tuple[float, float, float], ...] = ()
    duals: Any = None


def run_solver(model: Any, config: SolverConfig = DEFAULT_CONFIG) -> SolveReport:
    """Solve a Pyomo model and load the values into its variables.

    Parameters
    ----------
    model : pyomo.ConcreteModel
        One objective to be minimised; linear or second-order cone constraints.
    config : SolverConfig

    Returns
    -------
    SolveReport

    Raises
    ------
    SolverUnavailable, SolverCannot
        Before anything is solved.
    NoSolution
        No feasible point; the model's values are left as they were.
    """
    started = time.perf_counter()
    if is_nonlinear(model):
        return _nonlinear(model, config, started)
    problem = compile_model(model)
    kind = problem.problem_class
    name = _choose(config.name, kind)
    answer = _SOLVE[name](problem, config)
    load_values(problem, answer.x)
    return SolveReport(
        status=Status.OPTIMAL if answer.optimal else Status.FEASIBLE,
        termination=answer.termination,
        objective=answer.objective,
        bound=answer.bound,
        seconds=time.perf_counter() - started,
        solver=name,
        version="+".join(installed_version(part) or "?" for part in name.split("+")),
        problem_class=kind,
        iterations=answer.iterations,
        history=answer.history,
        duals=answer.duals or {},
    )


def start_from(model: Any, solved: Any) -> None:
    """Give the variables of `model` the values of those of `solved` that bear the same name."""
    values = {v.name: v.value for v in solved.component_data_objects(pyo.Var)}
    for variable in model.component_data_objects(pyo.Var):
        if values.get(variable.name) is not None:
            variable.set_value(values[variable.name], skip_validation=True)


def _nonlinear(model: Any, config: SolverConfig, started: float) -> SolveReport:
    """Solve from the model's present values; a local optimum has no proven bound."""
    name = _choose(config.name, ProblemClass.NLP)
    answer = solve_ipopt(model, config)
    objective = next(iter(model.component_data_objects(pyo.Objective, active=True)))
    return SolveReport(
        status=Status.OPTIMAL if answer.optimal else Status.FEASIBLE,
        termination=answer.termination,
        objective=float(pyo.value(objective)),
        bound=float("nan"),
        seconds=time.perf_counter() - started,
        solver=name,
        version=answer.source,
        problem_class=ProblemClass.NLP,
        iterations=answer.iterations,
    )


def _choose(name: str, kind: ProblemClass) -> str:
    chosen = AUTO[kind] if name == "auto" else name
    if chosen not in REGISTRY:
        raise SolverUnavailable(
            f"there is no solver {chosen!r}; choose 'auto' or one of {', '.join(sorted(REGISTRY))}"
        )
    entry = REGISTRY[chosen]
    if kind not in entry.solves:
        able = sorted(s.name for s in REGISTRY.values() if kind in s.solves)
        raise SolverCannot(f"{chosen} cannot solve a {kind}; these can: {', '.join(able)}")
    missing = [part for part in chosen.split("+") if installed_version(part) is None]
    if missing:
        raise SolverUnavailable(f"{chosen} is not installed: {REGISTRY[missing[0]].install}")
    return chosen


def _highs(problem: CompiledProblem, config: SolverConfig) -> _Answer:
    answer = solve_highs(problem, config)
    if not answer.has_point:
        raise NoSolution(f"HiGHS found no solution: {answer.termination}")
    duals: dict[Any, float] = {}
    if len(answer.row_dual):  # a range is two rows of one constraint
        for row, dual in zip(problem.rows, answer.row_dual.tolist(), strict=True):
            duals[row] = duals.get(row, 0.0) + dual
    return _Answer(
        x=answer.x,
        objective=answer.objective,
        bound=answer.bound,
        termination=answer.termination,
        optimal=answer.optimal,
        duals=duals,
    )


def _clarabel(problem: CompiledProblem, config: SolverConfig) -> _Answer:
    form = conic_form(problem)
    answer = ConicSolver(form, config.time_limit_s).solve()
    if answer.status == "MaxTime":
        raise TimeLimit("time ran out before a solution was found; raise time_limit_s")
    if not answer.solved:
        raise NoSolution(f"Clarabel found no solution: {answer.status}")
    objective, bound = problem.objective(answer.x), answer.dual_objective + problem.offset
    # "AlmostSolved" is a stop just short of Clarabel's own 1e-8: the figures decide, not the word
    within = relative_gap(objective, bound) <= config.rel_gap
    return _Answer(
        x=answer.x,
        objective=objective,
        bound=bound,
        termination=answer.status,
        optimal=within and answer.residual <= RESIDUAL_TOLERANCE,
        iterations=answer.iterations,
        duals=row_duals(problem, form, answer.z),
    )


def _projection(problem: CompiledProblem, config: SolverConfig) -> _Answer:
    answer = solve_by_projection(problem, config)
    return _Answer(
        x=answer.x,
        objective=answer.objective,
        bound=answer.bound,
        termination=answer.termination,
        optimal=relative_gap(answer.objective, answer.bound) <= config.rel_gap,
        iterations=answer.iterations,
        history=answer.history,
    )


_SOLVE: Final = {"highs": _highs, "clarabel": _clarabel, "highs+clarabel": _projection}
