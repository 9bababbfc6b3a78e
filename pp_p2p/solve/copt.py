"""COPT: every class of problem here but smooth nonlinear ones, through coptpy.

Without a licence file it runs with size limits. Its barrier has no tolerance of its own: cones may
end with a slack of 1e-4 p.u. where Clarabel leaves 1e-8; a result's certificate says so.
"""

from __future__ import annotations

import functools
from typing import Any, Final

import numpy as np
import scipy.sparse as sp

from pp_p2p.errors import NoSolution, SolverCannot, SolverUnavailable, TimeLimit
from pp_p2p.solve.compiled import CompiledProblem
from pp_p2p.solve.licences import MEND
from pp_p2p.solve.lifted import Lifted, lift
from pp_p2p.solve.report import Answer, SolverConfig, relative_gap

TOLERANCE: Final = 1e-8

INFINITE: Final = 1e30
"""COPT's own infinity."""


class Copt:
    """COPT as a backend of the solver room; every problem starts anew."""

    def __init__(self, config: SolverConfig) -> None:
        import coptpy

        self._copt, self._config = coptpy, config
        try:
            self._env = _environment()
        except coptpy.CoptError as error:
            raise SolverUnavailable(f"COPT does not start: {error}") from error

    def solve(self, problem: CompiledProblem) -> Answer:
        """Solve.

        Raises
        ------
        SolverCannot
            The problem is larger than the licence allows.
        """
        COPT = self._copt.COPT
        lifted = lift(problem)
        model = self._model(lifted)
        try:
            model.solve()
        except self._copt.CoptError as error:
            raise SolverCannot(
                f"COPT refuses {len(lifted.cost)} columns ({error}): get a licence "
                f"({MEND['copt']}) or name another solver"
            ) from error
        whole = bool(model.ismip)
        name = _STATUS.get(model.status, str(model.status))
        if not (model.hasmipsol if whole else model.haslpsol) or name in _NO_POINT:
            if model.status == COPT.TIMEOUT:
                raise TimeLimit("time ran out before a solution was found; raise time_limit_s")
            raise NoSolution(f"COPT found no solution: {name}")
        x = np.array(model.getInfo(COPT.Info.Value, model.getVars()))[: len(problem.cost)]
        x = x.astype(float)
        objective, done = problem.objective(x), model.status == COPT.OPTIMAL
        bound = float(model.bestbnd) if whole else (objective if done else -np.inf)
        bound = min(bound, objective)
        return Answer(
            x=x,
            objective=objective,
            bound=bound,
            termination=name,
            optimal=done and relative_gap(objective, bound) <= self._config.rel_gap,
            iterations=int(model.nodecnt if whole else model.barrieriter + model.simplexiter),
        )

    def _model(self, lifted: Lifted) -> Any:
        COPT = self._copt.COPT
        model = self._env.createModel("pp_p2p")
        for name, value in (
            ("Logging", 0),
            ("RelGap", self._config.rel_gap),
            ("TimeLimit", self._config.time_limit_s),
            ("Threads", self._config.threads),
            ("FeasTol", TOLERANCE),
            ("DualTol", TOLERANCE),
        ):
            model.setParam(name, value)
        kinds = [COPT.INTEGER if whole else COPT.CONTINUOUS for whole in lifted.integer]
        sides = [
            np.clip(side, -INFINITE, INFINITE)
            for side in (lifted.row_lower, lifted.row_upper, lifted.lower, lifted.upper)
        ]
        model.loadMatrix(lifted.cost, sp.csc_matrix(lifted.matrix), *sides, kinds)
        model.setObjConst(lifted.offset)
        x = model.getVars()
        for cone in lifted.cones:
            model.addCone([x[int(j)] for j in cone], COPT.CONE_QUAD)
        if lifted.quadratic is not None:
            Q = lifted.quadratic.tocoo()
            half = self._copt.QuadExpr()
            for i, j, q in zip(Q.row.tolist(), Q.col.tolist(), Q.data.tolist(), strict=True):
                half.addTerm(0.5 * q, x[i], x[j])
            for j in np.flatnonzero(lifted.cost).tolist():
                half.addTerm(float(lifted.cost[j]), x[j])
            model.setObjective(half + lifted.offset, COPT.MINIMIZE)
        return model


@functools.cache
def _environment() -> Any:
    """Return the one environment of this process: each says on stdout which licence it found."""
    import coptpy

    return coptpy.Envr()


_STATUS: Final = {
    1: "optimal",
    2: "infeasible",
    3: "unbounded",
    4: "infeasible or unbounded",
    5: "numerical trouble",
    7: "imprecise",
    8: "time limit",
    9: "unfinished",
}
_NO_POINT: Final = frozenset({"infeasible", "unbounded", "infeasible or unbounded"})
