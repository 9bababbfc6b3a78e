"""The master of a projection: coupling columns, small linear parts, and cuts, kept at HiGHS.

    min  c'x + sum_g theta_g    s.t. rows of the problem, cuts                             (1)
    min  sum_k |y_k - centre_k| s.t. the same, c'x + sum_g theta_g <= level                (2)

(1) gives bounds; (2), the level problem, the point nearest to a centre that promises enough. One
model serves both: rows are added, never rebuilt, and only costs and right-hand sides change.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from pp_p2p.solve.compiled import Array, CompiledProblem
from pp_p2p.solve.components import FEASIBILITY_MARGIN, Cut

GROUPS = 64
"""Components' cuts are kept apart while there are at most so many; else neighbours are summed."""


@dataclass(frozen=True, kw_only=True)
class MasterPoint:
    """A point of the master: `x` in the problem's columns, `theta` (group,), value and bound."""

    x: Array
    theta: Array
    objective: float
    bound: float
    termination: str
    has_point: bool


class CutMaster:
    """Mixed-integer linear master of `n_components` components.

    Parameters
    ----------
    problem : CompiledProblem
    coupling, in_master : (...,) of int
        Columns that it holds.
    n_components : int
    threads : int
    """

    def __init__(
        self,
        problem: CompiledProblem,
        coupling: Array,
        in_master: Array,
        n_components: int,
        threads: int = 1,
    ) -> None:
        self.problem, self.coupling = problem, coupling
        self.keep = np.sort(np.concatenate([coupling, in_master]))
        count = max(1, min(n_components, GROUPS)) if n_components else 0
        self.group = np.arange(n_components) * count // max(n_components, 1)
        place = np.searchsorted(self.keep, coupling)
        self._y = place.astype(np.int32)
        self._first_theta = len(self.keep)
        self._n_theta = count
        self._last: list[Cut | None] = [None] * n_components
        self._highs, self._rows = self._model(threads)

    def own_cost(self, x: Array) -> float:
        """Return the cost of the master's own columns at the point `x` of the problem."""
        return float(self.problem.cost[self.keep] @ x[self.keep]) + self.problem.offset

    def add(self, cuts: Sequence[Cut], y: Array | None = None, theta: Array | None = None) -> bool:
        """Add one cut of every component; with `y`, only what cuts it (and `theta`) off.

        Returns
        -------
        bool
            Whether anything was added.
        """
        added = False
        sums: dict[int, list[Cut]] = {}
        for d, cut in enumerate(cuts):
            if cut.feasibility:
                if cut.slope.any() if y is None else cut.at(y) > FEASIBILITY_MARGIN:
                    self._row(cut.constant, cut.slope, -1)
                    added = True
                known = self._last[d]
            else:
                known = self._last[d] = cut
            if known is not None:
                sums.setdefault(int(self.group[d]), []).append(known)
        size = np.bincount(self.group, minlength=self._n_theta)
        for g, members in sums.items():
            if len(members) < size[g]:
                continue
            constant = sum(cut.constant for cut in members)
            slope = np.sum([cut.slope for cut in members], axis=0)
            if y is not None and theta is not None:
                level = theta[g] + 1e-9 * max(1.0, min(abs(theta[g]), 1e300))
                if constant + float(slope @ y) <= level:
                    continue
            self._row(constant, slope, g)
            added = True
        return added

    def bound(self, *, rel_gap: float, time_limit_s: float, integer: bool = True) -> MasterPoint:
        """Solve (1), or its continuous relaxation."""
        highs, n = self._highs, self._first_theta
        self._cost(np.concatenate([self.problem.cost[self.keep], np.ones(self._n_theta)]), 0.0)
        highs.changeRowBounds(self._rows.level, -np.inf, np.inf)
        self._integrality(integer=integer)
        point = self._run(rel_gap, time_limit_s, integer=integer)
        objective = float(self.problem.cost[self.keep] @ point.x[self.keep]) if n else 0.0
        objective += float(point.theta.sum()) + self.problem.offset
        return dataclasses.replace(point, objective=objective)

    def near(self, centre: Array, level: float, *, time_limit_s: float) -> MasterPoint:
        """Solve (2): the nearest integer point to `centre` (coupling,) whose value is `level`."""
        highs = self._highs
        k = self._rows.distance_of
        at = self._rows.distance + np.arange(2 * len(k), dtype=np.int32)
        upper = np.concatenate([centre[k], -centre[k]])
        highs.changeRowsBounds(len(at), at, np.full(len(at), -np.inf), upper)
        self._cost(np.zeros(self._first_theta + self._n_theta), 1.0)
        highs.changeRowBounds(self._rows.level, -np.inf, level - self.problem.offset)
        self._integrality(integer=True)
        point = self._run(0.2, time_limit_s, integer=True)
        free = np.full(len(at), np.inf)
        highs.changeRowsBounds(len(at), at, -free, free)
        # any theta up to the level would do here: only (1) says what the cuts know
        return dataclasses.replace(point, theta=np.full(self._n_theta, -np.inf))

    def complete(self, x: Array) -> Array | None:
        """Return `x` with the master's own columns at their best, the coupling columns as they are.

        None where they have no feasible value.
        """
        if len(self.keep) == len(self.coupling):
            return x
        highs, y, problem = self._highs, self._y, self.problem
        highs.changeColsBounds(len(y), y, x[self.coupling], x[self.coupling])
        point = self.bound(rel_gap=0.0, time_limit_s=np.inf, integer=False)
        low, high = problem.lower[self.coupling], problem.upper[self.coupling]
        highs.changeColsBounds(len(y), y, low, high)
        if not point.has_point:
            return None
        done = x.copy()
        done[self.keep] = point.x[self.keep]
        done[self.coupling] = x[self.coupling]
        return done

    def _cost(self, own: Array, distance: float) -> None:
        n_distance = len(self._rows.distance_of)
        cost = np.concatenate([own, np.full(n_distance, distance)])
        self._highs.changeColsCost(len(cost), np.arange(len(cost), dtype=np.int32), cost)

    def _integrality(self, *, integer: bool) -> None:
        columns = self._rows.integer_columns
        kinds = np.full(len(columns), int(integer), dtype=np.uint8)  # HiGHS: 1 is integer
        self._highs.changeColsIntegrality(len(columns), columns, kinds)

    def _run(self, rel_gap: float, time_limit_s: float, *, integer: bool) -> MasterPoint:
        import highspy

        highs = self._highs
        highs.clearSolver()  # the answer depends on the model alone
        highs.setOptionValue("mip_rel_gap", rel_gap)
        highs.setOptionValue("time_limit", max(time_limit_s, 0.1) + highs.getRunTime())
        highs.run()
        info, status = highs.getInfo(), highs.getModelStatus()
        has_point = info.primal_solution_status == 2
        optimal = status == highspy.HighsModelStatus.kOptimal
        value = float(info.objective_function_value)
        proven = float(info.mip_dual_bound) if integer else (value if optimal else -np.inf)
        values = np.asarray(highs.getSolution().col_value, dtype=float)
        x = np.zeros(len(self.problem.cost))
        if has_point:
            x[self.keep] = values[: self._first_theta]
        return MasterPoint(
            x=x,
            theta=values[self._first_theta : self._first_theta + self._n_theta],
            objective=value,
            bound=proven + self.problem.offset,
            termination=highs.modelStatusToString(status),
            has_point=has_point,
        )

    def _row(self, constant: float, slope: Array, group: int) -> None:
        """Add ``slope'y - theta <= -constant``."""
        used = np.flatnonzero(slope)
        columns, values = self._y[used], slope[used]
        if group >= 0:
            columns = np.append(columns, np.int32(self._first_theta + group))
            values = np.append(values, -1.0)
        self._highs.addRow(-np.inf, -constant, len(columns), columns, values)

    def _model(self, threads: int) -> tuple[Any, _Rows]:
        """Return HiGHS with the problem's own rows, the rows of distance and of the level."""
        import highspy

        problem, keep = self.problem, self.keep
        others = np.ones(len(problem.cost), dtype=bool)
        others[keep] = False
        foreign = np.asarray(abs(problem.matrix[:, others]).sum(axis=1)).ravel()
        rows = np.flatnonzero(foreign == 0)
        n, t = len(keep), self._n_theta
        moved = np.flatnonzero(problem.integer[self.coupling])
        k = len(moved)
        own = sp.hstack([problem.matrix[rows][:, keep], sp.csr_matrix((len(rows), t + k))])
        select = sp.csr_matrix((np.ones(k), (np.arange(k), self._y[moved])), shape=(k, n))
        identity, none = sp.identity(k), sp.csr_matrix((k, t))
        total = np.concatenate([problem.cost[keep], np.ones(t), np.zeros(k)])
        matrix = sp.vstack(
            [
                own,
                sp.hstack([select, none, -identity]),
                sp.hstack([-select, none, -identity]),
                sp.csr_matrix(total),
            ],
            format="csc",
        )
        free, span = np.full(2 * k + 1, np.inf), problem.upper[keep] - problem.lower[keep]
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = n + t + k, matrix.shape[0]
        lp.col_cost_ = np.concatenate([total[: n + t], np.zeros(k)])
        lp.col_lower_ = np.concatenate([problem.lower[keep], np.full(t, -np.inf), np.zeros(k)])
        lp.col_upper_ = np.concatenate(
            [problem.upper[keep], np.full(t, np.inf), span[self._y[moved]]]
        )
        lp.row_lower_ = np.concatenate([problem.row_lower[rows], -free])
        lp.row_upper_ = np.concatenate([problem.row_upper[rows], free])
        lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        lp.a_matrix_.start_, lp.a_matrix_.index_ = matrix.indptr, matrix.indices
        lp.a_matrix_.value_ = matrix.data
        highs = highspy.Highs()
        for option, value in (("output_flag", False), ("threads", threads), ("random_seed", 0)):
            highs.setOptionValue(option, value)
        highs.passModel(lp)
        places = np.flatnonzero(problem.integer[keep]).astype(np.int32)
        start = len(rows)
        return highs, _Rows(
            distance=start, distance_of=moved, level=start + 2 * k, integer_columns=places
        )


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """Where rows stand: distances (two for each integer of the coupling columns), the level."""

    distance: int
    distance_of: Array
    level: int
    integer_columns: Array
