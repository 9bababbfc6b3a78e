"""Ipopt: smooth nonlinear problems from a starting point.

The executable that IDAES installs (or any ``ipopt`` on PATH) is taken where there is one, else the
Ipopt inside the CasADi wheel, which reads the same NL file. The answer names which.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyomo.environ as pyo
from pyomo.repn.plugins.nl_writer import NLWriter

from pp_p2p.errors import NoSolution, TimeLimit
from pp_p2p.solve.available import installed_version, put_idaes_on_path
from pp_p2p.solve.report import SolverConfig

GOOD: Final = frozenset({"Solve_Succeeded", "Solved_To_Acceptable_Level"})

LATE: Final = frozenset({"Maximum_CpuTime_Exceeded", "Maximum_WallTime_Exceeded"})
OUT_OF_TIME: Final = "time ran out before a solution was found; raise time_limit_s"


@dataclass(frozen=True, kw_only=True)
class NonlinearSolution:
    """Termination, iterations and which Ipopt; the values are in the model."""

    termination: str
    optimal: bool
    iterations: int
    source: str


def solve_ipopt(model: Any, config: SolverConfig) -> NonlinearSolution:
    """Solve from the model's present values and load the point found.

    Raises
    ------
    NoSolution, TimeLimit
        Ipopt did not converge; the model keeps its starting values.
    """
    put_idaes_on_path()
    executable = shutil.which("ipopt")
    return _by_executable(model, config, executable) if executable else _by_casadi(model, config)


def _by_executable(model: Any, config: SolverConfig, executable: str) -> NonlinearSolution:
    solver = pyo.SolverFactory("ipopt", executable=executable)
    solver.options["max_cpu_time"] = config.time_limit_s
    results = solver.solve(model, load_solutions=False)
    condition = results.solver.termination_condition
    if condition == pyo.TerminationCondition.maxTimeLimit:
        raise TimeLimit(OUT_OF_TIME)
    if condition != pyo.TerminationCondition.optimal:
        raise NoSolution(f"Ipopt found no feasible point: {condition}")
    model.solutions.load_from(results)
    return NonlinearSolution(
        termination=str(condition), optimal=True, iterations=0, source=f"executable {executable}"
    )


def _by_casadi(model: Any, config: SolverConfig) -> NonlinearSolution:
    import casadi

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.nl"
        with path.open("w", encoding="ascii") as file:
            written = NLWriter().write(model, file)
        problem = casadi.NlpBuilder()
        problem.import_nl(str(path))
    functions = {
        "x": casadi.vertcat(*problem.x),
        "f": problem.f,
        "g": casadi.vertcat(*problem.g),
    }
    options = {
        "print_time": False,
        "ipopt.print_level": 0,
        "ipopt.sb": "yes",
        "ipopt.bound_relax_factor": 0.0,
        "ipopt.acceptable_constr_viol_tol": 1e-9,
        "ipopt.constr_viol_tol": 1e-9,
        "ipopt.max_cpu_time": config.time_limit_s,
        "error_on_fail": False,
    }
    solver: Any = casadi.nlpsol("solver", "ipopt", functions, options)  # type: ignore[arg-type]
    answer = solver(
        x0=problem.x_init,
        lbx=problem.x_lb,
        ubx=problem.x_ub,
        lbg=problem.g_lb,
        ubg=problem.g_ub,
    )
    stats = solver.stats()
    if stats["return_status"] in LATE:
        raise TimeLimit(OUT_OF_TIME)
    if stats["return_status"] not in GOOD:
        raise NoSolution(f"Ipopt found no feasible point: {stats['return_status']}")
    found = np.asarray(answer["x"]).ravel().tolist()
    for variable, value in zip(written.variables, found, strict=True):
        variable.set_value(value, skip_validation=True)
    for variable, expression in written.eliminated_vars:  # by the writer's presolve, in order
        variable.set_value(pyo.value(expression), skip_validation=True)
    return NonlinearSolution(
        termination=str(stats["return_status"]),
        optimal=stats["return_status"] == "Solve_Succeeded",
        iterations=int(stats["iter_count"]),
        source=f"inside casadi {installed_version('casadi')}",
    )
