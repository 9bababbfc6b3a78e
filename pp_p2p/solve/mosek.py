"""MOSEK: every class of problem here but smooth nonlinear ones, through its optimizer API.

Cones are affine conic constraints, so that no column is added.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import scipy.sparse as sp

from pp_p2p.errors import NoSolution, SolverUnavailable, TimeLimit
from pp_p2p.solve.compiled import Array, CompiledProblem
from pp_p2p.solve.licences import MEND
from pp_p2p.solve.report import Answer, SolverConfig, relative_gap

TOLERANCE: Final = 1e-9


class Mosek:
    """MOSEK as a backend of the solver room; every problem starts anew."""

    def __init__(self, config: SolverConfig) -> None:
        import mosek

        self._mosek, self._config = mosek, config

    def solve(self, problem: CompiledProblem) -> Answer:
        """Solve.

        Raises
        ------
        SolverUnavailable
            There is no licence.
        """
        mosek = self._mosek
        with mosek.Task() as task:
            fill_task(mosek, task, problem)
            set_parameters(mosek, task, problem, self._config)
            try:
                code = task.optimize()
            except mosek.Error as error:
                if "license" in str(error.errno) or "license" in str(error.msg).lower():
                    raise SolverUnavailable(f"MOSEK has no licence: {MEND['mosek']}") from error
                raise
            return self._answer(problem, task, code)

    def _answer(self, problem: CompiledProblem, task: Any, code: Any) -> Answer:
        mosek = self._mosek
        whole = bool(problem.integer.any())
        if whole:
            solution = mosek.soltype.itg
        elif task.solutiondef(mosek.soltype.bas):
            solution = mosek.soltype.bas
        else:
            solution = mosek.soltype.itr
        found = task.solutiondef(solution)
        status = task.getsolsta(solution) if found else None
        optimal = (mosek.solsta.optimal, mosek.solsta.integer_optimal)
        if status not in (*optimal, mosek.solsta.prim_feas, mosek.solsta.prim_and_dual_feas):
            if code == mosek.rescode.trm_max_time:
                raise TimeLimit("time ran out before a solution was found; raise time_limit_s")
            raise NoSolution(f"MOSEK found no solution: {status}")
        x = np.asarray(task.getxx(solution), dtype=float)
        objective = problem.objective(x)
        if whole:
            bound = float(task.getdouinf(mosek.dinfitem.mio_obj_bound))
        else:
            bound = float(task.getdualobj(solution)) if status in optimal else -np.inf
        bound = min(bound, objective)
        done = status in optimal and relative_gap(objective, bound) <= self._config.rel_gap
        return Answer(x=x, objective=objective, bound=bound, termination=str(status), optimal=done)


def fill_task(mosek: Any, task: Any, problem: CompiledProblem) -> None:
    """Write `problem` into an empty task."""
    n, m = len(problem.cost), problem.matrix.shape[0]
    task.appendvars(n)
    task.appendcons(m)
    task.putclist(list(range(n)), problem.cost)
    task.putcfix(problem.offset)
    task.putobjsense(mosek.objsense.minimize)
    keys = _keys(mosek, problem.lower, problem.upper)
    task.putvarboundslice(0, n, keys, _finite(problem.lower), _finite(problem.upper))
    rows = sp.csr_matrix(problem.matrix)
    if m:
        first = rows.indptr.astype(np.int64)
        columns = rows.indices.astype(np.int32)
        task.putarowslice(0, m, first[:-1].copy(), first[1:].copy(), columns, rows.data)
        keys = _keys(mosek, problem.row_lower, problem.row_upper)
        low, high = _finite(problem.row_lower), _finite(problem.row_upper)
        task.putconboundslice(0, m, keys, low, high)
    whole = np.flatnonzero(problem.integer).tolist()
    task.putvartypelist(whole, [mosek.variabletype.type_int] * len(whole))
    if problem.quadratic is not None:
        lower = sp.coo_matrix(sp.tril(problem.quadratic))
        task.putqobj(lower.row.tolist(), lower.col.tolist(), lower.data.tolist())
    if len(problem.cone_sizes):
        cones = sp.coo_matrix(problem.cone_matrix)
        task.appendafes(len(problem.cone_offset))
        task.putafefentrylist(cones.row.tolist(), cones.col.tolist(), cones.data.tolist())
        task.putafegslice(0, len(problem.cone_offset), problem.cone_offset)
        start = 0
        for size in problem.cone_sizes.tolist():
            domain = task.appendquadraticconedomain(size)
            task.appendacc(domain, list(range(start, start + size)), None)
            start += size


def set_parameters(mosek: Any, task: Any, problem: CompiledProblem, config: SolverConfig) -> None:
    """Set gap, time, threads and tolerances."""
    d, i = mosek.dparam, mosek.iparam
    task.putdouparam(d.mio_tol_rel_gap, config.rel_gap)
    task.putdouparam(d.optimizer_max_time, config.time_limit_s)
    task.putintparam(i.num_threads, config.threads)
    kind = "co" if len(problem.cone_sizes) else ("qo" if problem.quadratic is not None else "")
    for name in ("pfeas", "dfeas", "rel_gap"):
        task.putdouparam(getattr(d, f"intpnt_{kind}{'_' if kind else ''}tol_{name}"), TOLERANCE)


def _keys(mosek: Any, lower: Array, upper: Array) -> list[Any]:
    key = mosek.boundkey
    kinds = {(True, True): key.ra, (True, False): key.lo, (False, True): key.up}
    return [
        key.fx
        if low == high
        else kinds.get((bool(np.isfinite(low)), bool(np.isfinite(high))), key.fr)
        for low, high in zip(lower, upper, strict=True)
    ]


def _finite(bound: Array) -> Array:
    return np.where(np.isfinite(bound), bound, 0.0)
