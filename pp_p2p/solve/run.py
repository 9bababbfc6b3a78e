"""The solver room's front door: a Pyomo model goes in, values and a report come out."""

from __future__ import annotations

import dataclasses
import time
from typing import Any, Final, Protocol

import pyomo.environ as pyo

from pp_p2p.errors import SolverCannot, SolverUnavailable
from pp_p2p.solve.available import REGISTRY, installed_version
from pp_p2p.solve.compiled import (
    Array,
    CompiledProblem,
    compile_model,
    is_nonlinear,
    load_values,
)
from pp_p2p.solve.conic import Clarabel
from pp_p2p.solve.copt import Copt
from pp_p2p.solve.gurobi import Gurobi
from pp_p2p.solve.highs import Highs
from pp_p2p.solve.mosek import Mosek
from pp_p2p.solve.nonlinear import solve_ipopt
from pp_p2p.solve.projection import Projection
from pp_p2p.solve.report import (
    DEFAULT_CONFIG,
    Answer,
    ProblemClass,
    SolverConfig,
    SolveReport,
    Status,
)
from pp_p2p.solve.scip import Scip

AUTO: Final[dict[ProblemClass, str]] = {
    ProblemClass.LP: "highs",
    ProblemClass.QP: "clarabel",  # the quadratic solver of HiGHS ends in "Solve error" on some
    ProblemClass.MILP: "highs",
    ProblemClass.SOCP: "clarabel",
    ProblemClass.MIQP: "scip",
    ProblemClass.MISOCP: "highs+clarabel",
    ProblemClass.NLP: "ipopt",
}
"""Solver that ``name="auto"`` takes for each class."""


class Backend(Protocol):
    """A solver as the room uses it: made once, given compiled problems."""

    def __init__(self, config: SolverConfig) -> None:
        """Prepare for problems to be solved as `config` says."""

    def solve(self, problem: CompiledProblem) -> Answer:
        """Return a point and its bound, or raise `NoSolution` or `TimeLimit`."""


class CompiledSolver:
    """A compiled problem at its solver: solved once, or again with other vectors.

    Parameters
    ----------
    problem : CompiledProblem
    config : SolverConfig

    Raises
    ------
    SolverUnavailable, SolverCannot
        At once: before anything is solved.
    """

    def __init__(self, problem: CompiledProblem, config: SolverConfig = DEFAULT_CONFIG) -> None:
        self._problem = problem
        self._kind = problem.problem_class
        self._name = _choose(config.name, self._kind)
        self._backend = BACKENDS[self._name](config)

    def solve(self, problem: CompiledProblem | None = None) -> tuple[Array, SolveReport]:
        """Return the point (column,) and the report.

        Parameters
        ----------
        problem : CompiledProblem, optional
            The problem with other right-hand sides, bounds, costs
            (``dataclasses.replace(problem, row_lower=..., ...)``). Clarabel and HiGHS keep what
            they have set up, the others start anew.

        Raises
        ------
        NoSolution, TimeLimit
            No feasible point.
        """
        started = time.perf_counter()
        problem = problem or self._problem
        answer = self._backend.solve(problem)
        report = SolveReport(
            status=Status.OPTIMAL if answer.optimal else Status.FEASIBLE,
            termination=answer.termination,
            objective=answer.objective,
            bound=answer.bound,
            seconds=time.perf_counter() - started,
            solver=self._name,
            version="+".join(installed_version(part) or "?" for part in self._name.split("+")),
            problem_class=self._kind,
            iterations=answer.iterations,
            history=answer.history,
            duals=_by_constraint(problem, answer.row_duals),
        )
        return answer.x, report


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
    x, report = CompiledSolver(problem, config).solve()
    load_values(problem, x)
    return dataclasses.replace(report, seconds=time.perf_counter() - started)


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


def _by_constraint(problem: CompiledProblem, row_duals: Array | None) -> dict[Any, float]:
    """Return the dual of every Pyomo constraint; a range is two rows of one constraint."""
    duals: dict[Any, float] = {}
    if row_duals is not None:
        for row, dual in zip(problem.rows, row_duals.tolist(), strict=True):
            duals[row] = duals.get(row, 0.0) + dual
    return duals


BACKENDS: Final[dict[str, type[Backend]]] = {
    "highs": Highs,
    "clarabel": Clarabel,
    "highs+clarabel": Projection,
    "scip": Scip,
    "gurobi": Gurobi,
    "copt": Copt,
    "mosek": Mosek,
}
"""Backend of each solver of a compiled problem; they import their solver when they are made."""
