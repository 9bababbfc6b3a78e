"""Gurobi: every class of problem here but smooth nonlinear ones, through gurobipy.

The wheel brings a licence for 2000 columns and rows, 200 where something is quadratic.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from pp_p2p.errors import NoSolution, SolverCannot, SolverUnavailable, TimeLimit
from pp_p2p.solve.compiled import Array, CompiledProblem
from pp_p2p.solve.licences import MEND
from pp_p2p.solve.lifted import Lifted, lift
from pp_p2p.solve.report import Answer, SolverConfig, relative_gap

TOO_LARGE: Final = 10010
"""Gurobi's error of a problem beyond its licence."""

TOLERANCE: Final = 1e-8
"""Feasibility, optimality and barrier tolerances."""


class Gurobi:
    """Gurobi as a backend of the solver room; every problem starts anew."""

    def __init__(self, config: SolverConfig) -> None:
        import gurobipy

        self._gurobi, self._config = gurobipy, config
        try:
            self._env = gurobipy.Env(
                params={
                    "OutputFlag": 0,
                    "MIPGap": config.rel_gap,
                    "TimeLimit": config.time_limit_s,
                    "Threads": config.threads,
                    "FeasibilityTol": TOLERANCE,
                    "OptimalityTol": TOLERANCE,
                    "BarConvTol": TOLERANCE,
                    "BarQCPConvTol": TOLERANCE,
                }
            )
        except gurobipy.GurobiError as error:
            raise SolverUnavailable(f"Gurobi does not start: {error}") from error

    def solve(self, problem: CompiledProblem) -> Answer:
        """Solve.

        Raises
        ------
        SolverCannot
            The problem is larger than the licence allows.
        """
        lifted = lift(problem)
        with self._gurobi.Model(env=self._env) as model:
            x = self._fill(model, lifted)
            try:
                model.optimize()
            except self._gurobi.GurobiError as error:
                if error.errno == TOO_LARGE:
                    raise SolverCannot(
                        f"Gurobi's licence is too small for {len(lifted.cost)} columns: get a full "
                        f"one ({MEND['gurobi']}) or name another solver"
                    ) from error
                raise
            found = x.X[: len(problem.cost)] if model.SolCount > 0 else None
            return self._answer(problem, model, found)

    def _fill(self, model: Any, lifted: Lifted) -> Any:
        GRB = self._gurobi.GRB
        kinds = np.where(lifted.integer, GRB.INTEGER, GRB.CONTINUOUS)
        x = model.addMVar(
            len(lifted.cost), lb=lifted.lower, ub=lifted.upper, obj=lifted.cost, vtype=kinds
        )
        equal = lifted.row_lower == lifted.row_upper
        for rows, sense, right in (
            (equal, "=", lifted.row_upper),
            (np.isfinite(lifted.row_upper) & ~equal, "<", lifted.row_upper),
            (np.isfinite(lifted.row_lower) & ~equal, ">", lifted.row_lower),
        ):
            if rows.any():
                model.addMConstr(lifted.matrix[rows], x, sense, right[rows])
        for cone in lifted.cones:
            head, tail = x[cone[:1]], x[cone[1:]]
            model.addConstr(tail @ tail <= head @ head)
        if lifted.quadratic is not None:
            model.setObjective(x @ (lifted.quadratic / 2).tocsr() @ x + lifted.cost @ x)
        model.ObjCon = lifted.offset
        return x

    def _answer(self, problem: CompiledProblem, model: Any, x: Array | None) -> Answer:
        GRB = self._gurobi.GRB
        name = _STATUS.get(model.Status, str(model.Status))
        if x is None:
            if model.Status == GRB.TIME_LIMIT:
                raise TimeLimit("time ran out before a solution was found; raise time_limit_s")
            raise NoSolution(f"Gurobi found no solution: {name}")
        objective = problem.objective(x)
        done = model.Status == GRB.OPTIMAL
        bound = float(model.ObjBound) if model.IsMIP else (objective if done else -np.inf)
        bound = min(bound, objective)
        return Answer(
            x=np.asarray(x),
            objective=objective,
            bound=bound,
            termination=name,
            optimal=done and relative_gap(objective, bound) <= self._config.rel_gap,
            iterations=int(
                model.NodeCount if model.IsMIP else max(model.IterCount, model.BarIterCount)
            ),
        )


_STATUS: Final = {
    2: "OPTIMAL",
    3: "INFEASIBLE",
    4: "INF_OR_UNBD",
    5: "UNBOUNDED",
    9: "TIME_LIMIT",
    12: "NUMERIC",
    13: "SUBOPTIMAL",
}
