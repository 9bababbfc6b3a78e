"""SCIP: mixed-integer problems with linear rows, cones and convex quadratic objectives.

Through PySCIPOpt. A quadratic objective is written as ``t >= x'Qx/2``: SCIP's own is linear.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from pp_p2p.errors import NoSolution, TimeLimit
from pp_p2p.solve.compiled import Array, CompiledProblem
from pp_p2p.solve.lifted import Lifted, lift
from pp_p2p.solve.report import Answer, SolverConfig, relative_gap

FEASIBILITY: Final = 1e-8
"""Relative violation of a row: the default of 1e-6 moves optima by as much."""


class Scip:
    """SCIP as a backend of the solver room; every problem starts anew.

    Parameters
    ----------
    config : SolverConfig
    feasibility : float
        Relative violation of a row that counts as none.
    """

    def __init__(self, config: SolverConfig, *, feasibility: float = FEASIBILITY) -> None:
        self._config, self._feasibility = config, feasibility

    def solve(self, problem: CompiledProblem, start: Array | None = None) -> Answer:
        """Solve; `start` (column,) is a point to begin with, passed over if it is infeasible."""
        lifted = lift(problem)
        model, variables = _model(lifted, self._config, self._feasibility)
        if start is not None:
            _begin_at(model, variables, lifted, start, problem)
        history = _recorded(model)
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
            history=(*history, (float(model.getSolvingTime()), bound, objective)),
        )


def _recorded(model: Any) -> list[tuple[float, float, float]]:
    """Return a list that grows by (seconds, bound, objective) with every better point."""
    from pyscipopt import SCIP_EVENTTYPE

    history: list[tuple[float, float, float]] = []

    def note(model: Any, _: Any) -> None:
        found = model.getSolObjVal(model.getBestSol())  # SCIP's primal bound follows the event
        row = model.getSolvingTime(), model.getDualbound(), found
        history.append(tuple(float(value) for value in row))  # type: ignore[arg-type]

    model.attachEventHandlerCallback(note, [SCIP_EVENTTYPE.BESTSOLFOUND])
    return history


def _begin_at(
    model: Any, variables: list[Any], lifted: Lifted, start: Array, problem: CompiledProblem
) -> None:
    """Give SCIP a point, with the columns that cones and a quadratic objective add."""
    own = np.concatenate([start, problem.cone_offset + problem.cone_matrix @ start])
    point = model.createSol()
    for variable, value in zip(variables, own.tolist(), strict=True):
        model.setSolVal(point, variable, value)
    if lifted.quadratic is not None:
        epigraph = model.getVars()[-1]
        model.setSolVal(point, epigraph, float(0.5 * own @ (lifted.quadratic @ own)))
    model.addSol(point)


def _model(lifted: Lifted, config: SolverConfig, feasibility: float) -> tuple[Any, list[Any]]:
    from pyscipopt import Model, quicksum

    model = Model()
    model.hideOutput()
    for name, value in (
        ("limits/gap", config.rel_gap),
        ("limits/time", config.time_limit_s),
        ("lp/threads", config.threads),
        ("parallel/maxnthreads", config.threads),
        ("numerics/feastol", feasibility),
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
