"""SCIP: mixed-integer problems with linear rows, cones and convex quadratic objectives.

Through PySCIPOpt. A quadratic objective is written as ``t >= x'Qx/2``: SCIP's own is linear.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from pp_p2p.errors import NoSolution, TimeLimit
from pp_p2p.solve.compiled import CompiledProblem
from pp_p2p.solve.lifted import Lifted, lift
from pp_p2p.solve.report import Answer, SolverConfig, relative_gap

FEASIBILITY: Final = 1e-8
"""Relative violation of a row: the default of 1e-6 moves optima by as much."""


class Scip:
    """SCIP as a backend of the solver room; every problem starts anew."""

    def __init__(self, config: SolverConfig) -> None:
        self._config = config

    def solve(self, problem: CompiledProblem) -> Answer:
        """Solve."""
        model, variables = _model(lift(problem), self._config)
        model.optimize()
        status = str(model.getStatus())
        if model.getNSols() == 0 or status in ("unbounded", "inforunbd"):
            if status == "timelimit":
                raise TimeLimit("time ran out before a solution was found; raise time_limit_s")
            raise NoSolution(f"SCIP found no solution: {status}")
        best = model.getBestSol()
        x = np.array([model.getSolVal(best, v) for v in variables[: len(problem.cost)]])
        objective = problem.objective(x)
        # an epigraph's bound may stand above the objective by SCIP's tolerance
        bound = min(float(model.getDualbound()), objective)
        done = status in ("optimal", "gaplimit")
        return Answer(
            x=x,
            objective=objective,
            bound=bound,
            termination=status,
            optimal=done and relative_gap(objective, bound) <= self._config.rel_gap,
            iterations=int(model.getNTotalNodes()),
        )


def _model(lifted: Lifted, config: SolverConfig) -> tuple[Any, list[Any]]:
    from pyscipopt import Model, quicksum

    model = Model()
    model.hideOutput()
    for name, value in (
        ("limits/gap", config.rel_gap),
        ("limits/time", config.time_limit_s),
        ("lp/threads", config.threads),
        ("parallel/maxnthreads", config.threads),
        ("numerics/feastol", FEASIBILITY),
    ):
        model.setParam(name, value)
    x = [
        model.addVar(lb=_side(low), ub=_side(high), obj=float(c), vtype="I" if whole else "C")
        for low, high, c, whole in zip(
            lifted.lower, lifted.upper, lifted.cost, lifted.integer, strict=True
        )
    ]
    matrix = lifted.matrix
    for k, (low, high) in enumerate(zip(lifted.row_lower, lifted.row_upper, strict=True)):
        at = slice(matrix.indptr[k], matrix.indptr[k + 1])
        pairs = zip(matrix.data[at].tolist(), matrix.indices[at].tolist(), strict=True)
        body = quicksum(coef * x[j] for coef, j in pairs)
        if low == high:
            model.addCons(body == float(low))
            continue
        if np.isfinite(low):
            model.addCons(body >= float(low))
        if np.isfinite(high):
            model.addCons(body <= float(high))
    for head, *tail in lifted.cones:
        model.addCons(quicksum(x[j] * x[j] for j in tail) <= x[head] * x[head])
    if lifted.quadratic is not None:
        Q = lifted.quadratic.tocoo()
        t = model.addVar(lb=None, ub=None, obj=1.0)
        entries = zip(Q.row.tolist(), Q.col.tolist(), Q.data.tolist(), strict=True)
        model.addCons(quicksum(0.5 * q * x[i] * x[j] for i, j, q in entries) <= t)
    model.addObjoffset(lifted.offset)
    return model, x


def _side(bound: float) -> float | None:
    return float(bound) if np.isfinite(bound) else None
