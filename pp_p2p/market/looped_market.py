"""A trading day with every edge of the network in it, compiled once for all configurations.

The model of `pp_p2p.market.clearing` is built on the graph of all edges that could be closed. A
sequence of configurations is then the same matrices without the flows, the voltage drops and the
cones of the edges that are open: nothing is built again. With prices for what ties the hours
together, every hour stands for itself (`HourProblems`).

Let x_t be what happens in hour t under configuration u_t, and A x = b the laws that tie hours
(energy of storage, energy that a flexible load keeps), with duals y:

    V(u) = b'y + sum_t min_{x_t in X_t(u_t)} (c_t - A_t'y)'x_t  <=  F(u)   for every y and u   (1)

with equality at the configurations whose clearing gave y: Lagrangian duality, Geoffrion (1974).
`y` are the offers of the participants: what energy of another hour is worth to each.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import numpy as np
import pyomo.environ as pyo
import scipy.sparse as sp

from pp_p2p.market.certified_bound import certified_bound
from pp_p2p.market.clearing import ClearingData, build
from pp_p2p.network.branches import Array
from pp_p2p.network.formulation import Formulation
from pp_p2p.solve.compiled import CompiledProblem, compile_model, load_values
from pp_p2p.solve.conic import ConicSolver, conic_form
from pp_p2p.solve.report import SolverConfig, SolveReport
from pp_p2p.solve.run import CompiledSolver
from pp_p2p.solve.vectors import ABSENT, Positions

UNSOLVED: Final = float("inf")
"""Value of an hour that has no feasible point, or none that was found."""


EVERY_STEP: Final = slice(None)


class LoopedMarket:
    """The compiled day of a market whose network may be switched.

    Parameters
    ----------
    data : ClearingData
        On `pp_p2p.network.switching.SwitchGraph.as_grid`, its branches the edges of the graph.
    formulation : Formulation
        Linear or a cone.
    trading, without, operator_weight
        As of `pp_p2p.market.clearing.build`.
    """

    def __init__(
        self,
        data: ClearingData,
        formulation: Formulation,
        *,
        trading: bool,
        without: int | None = None,
        operator_weight: float,
    ) -> None:
        self.data = data
        self.model = build(
            data, formulation, trading=trading, without=without, operator_weight=operator_weight
        )
        self.problem = compile_model(self.model)
        self._positions = positions = Positions(self.problem)
        network, shape = self.model.network, (data.grid.n_branches, data.line.n_steps)
        flows = [network.component(name) for name in ("p", "q", "l")]
        self._flows = [positions.columns(f).reshape(shape) for f in flows if f is not None]
        self._drops = positions.rows(network.voltage_drop).reshape(shape)
        by_step = (-1, data.line.n_steps)
        self._voltages = positions.columns(network.v).reshape(by_step)
        balances = (network.balance_p, network.balance_q)
        self._balances = [positions.rows(law).reshape(by_step) for law in balances]
        self._cone_of_row = np.repeat(
            np.arange(len(self.problem.cone_sizes)), self.problem.cone_sizes
        )
        self._cones = self._cone_of_branch(shape)
        self.step_of = np.array([step_of(v) for v in self.problem.columns], dtype=np.int64)

    def solve(
        self, closed: Array, config: SolverConfig, *, problem: CompiledProblem | None = None
    ) -> tuple[Array, SolveReport]:
        """Return the optimum (column,) under configurations (step, edge), and load its values.

        `problem` is ``self.problem`` with other vectors.

        Raises
        ------
        NoSolution
            There is none.
        """
        problem, kept = self._without(problem or self.problem, ~closed.T)
        x, report = CompiledSolver(problem, config).solve()
        whole = np.zeros(len(self.problem.columns))
        whole[kept] = x
        self.load(whole)
        return whole, report

    def load(self, x: Array) -> None:
        """Give the variables of ``self.model`` the values `x` (column,)."""
        load_values(self.problem, x)
        for member in self.model.network.component_data_objects(pyo.Var):
            if member.value is None:  # in no law
                member.set_value(0.0, skip_validation=True)

    def hours(self) -> HourProblems:
        """Return the hours, each for itself."""
        return HourProblems(self)

    def out(self, open_edges: Array, step: int | slice = EVERY_STEP) -> tuple[Array, Array, Array]:
        """Return the columns, rows and cones that open edges (edge,) take out of a step, or all."""
        columns = np.concatenate([f[open_edges, step] for f in self._flows])
        rows = self._drops[open_edges, step]
        cones = self._cones[open_edges, step]
        return _present(columns), _present(rows), _present(cones)

    def of_edges(self, edges: Array) -> Array:
        """Return the columns of edges (edge,) in all steps: flows, and voltages at their ends."""
        tree = self.data.grid.tree
        ends = np.unique(np.concatenate([tree.parent[edges], tree.child[edges]]))
        flows = np.concatenate([f[edges] for f in self._flows])
        return np.unique(_present(np.concatenate([flows, self._voltages[ends]])))

    def balances(self, nodes: Array) -> Array:
        """Return the rows of the balances of some nodes (node,) in all steps."""
        return _present(np.concatenate([rows[nodes] for rows in self._balances]))

    def columns_of(self, component: Any) -> Array:
        """Return the column of every variable of `component`, `ABSENT` for none."""
        return self._positions.columns(component)

    @property
    def bounded_by_cones(self) -> Array:
        """How many bounds (column,) follow from the cone of a branch: 2 of a flow, 1 of a current.

        The cone keeps a squared current from being negative, and a flow within what the squared
        current and the voltage allow.
        """
        needless = np.zeros(len(self.problem.columns), dtype=np.int64)
        if len(self._flows) > 2:
            for flow, n in zip(self._flows, (2, 2, 1), strict=True):
                needless[_present(flow[self._cones != ABSENT])] = n
        return needless

    @property
    def widest_current(self) -> float:
        """Square of the largest bound of a flow, p.u.: no limit of a current."""
        flows = _present(self._flows[0].ravel())
        return float(np.max(np.abs(self.problem.upper[flows]), initial=1.0) ** 2)

    def _without(self, p: CompiledProblem, out: Array) -> tuple[CompiledProblem, Array]:
        """Return the problem without the open edges `out` (edge, step), and its columns."""
        columns = np.ones(len(p.columns), dtype=bool)
        rows, cones = np.ones(len(p.rows), dtype=bool), np.ones(len(p.cone_sizes), dtype=bool)
        for flow in self._flows:
            columns[_present(flow[out])] = False
        rows[_present(self._drops[out])] = False
        cones[_present(self._cones[out])] = False
        kept = np.flatnonzero(columns)
        return part_of(p, kept, np.flatnonzero(rows), cones), kept

    def _cone_of_branch(self, shape: tuple[int, int]) -> Array:
        """Return the cone (edge, step) of every branch, `ABSENT` where it has none."""
        edge = np.full(len(self.problem.columns), ABSENT)
        step = edge.copy()
        active = self._flows[0]
        k, t = np.nonzero(active != ABSENT)
        edge[active[k, t]], step[active[k, t]] = k, t
        cones = np.full(shape, ABSENT)
        coo = sp.coo_matrix(self.problem.cone_matrix)
        mine = edge[coo.col] != ABSENT
        at = coo.col[mine]
        cones[edge[at], step[at]] = self._cone_of_row[coo.row[mine]]
        return cones


def part_of(p: CompiledProblem, columns: Array, rows: Array, cones: Array) -> CompiledProblem:
    """Return the part of a problem with some columns, rows and cones (cone,) of bool."""
    cone_rows = np.flatnonzero(np.repeat(cones, p.cone_sizes))
    quadratic = None if p.quadratic is None else p.quadratic[columns][:, columns]
    return dataclasses.replace(
        p,
        columns=[p.columns[k] for k in columns.tolist()],
        cost=p.cost[columns],
        quadratic=quadratic,
        matrix=p.matrix[rows][:, columns],
        row_lower=p.row_lower[rows],
        row_upper=p.row_upper[rows],
        rows=[p.rows[k] for k in rows.tolist()],
        lower=p.lower[columns],
        upper=p.upper[columns],
        integer=p.integer[columns],
        cone_matrix=p.cone_matrix[cone_rows][:, columns],
        cone_offset=p.cone_offset[cone_rows],
        cone_sizes=p.cone_sizes[cones],
    )


class _Hour:
    """One hour of the problem in conic form, with every edge; solved without some of them."""

    def __init__(self, p: CompiledProblem, columns: Array, rows: Array, cones: Array) -> None:
        own = dataclasses.replace(part_of(p, columns, rows, cones), offset=0.0)
        self.columns, self._form, self.unsure = columns, conic_form(own), False
        self._reach = np.maximum(np.abs(own.lower), np.abs(own.upper))
        self._cones = np.flatnonzero(cones)
        form = self._form
        n_linear = form.zero + form.nonnegative
        self._row = np.full(len(form.b), ABSENT)
        self._row[: len(form.row_of)] = np.where(form.row_of >= 0, rows[form.row_of], ABSENT)
        self._column = np.full(len(form.b), ABSENT)
        self._column[form.bound_rows] = columns[form.bound_columns]
        self._cone = np.full(len(form.b), ABSENT)
        self._cone[n_linear:] = np.repeat(self._cones, form.cone_sizes)

    def least(self, cost: Array, out: tuple[Array, Array, Array]) -> float:
        """Return a bound of the least cost without some columns, rows and cones; ``inf``: none."""
        form = self._form
        kept = ~np.isin(self.columns, out[0])
        stay = ~(
            np.isin(self._column, out[0]) | np.isin(self._row, out[1]) | np.isin(self._cone, out[2])
        )
        A, q = form.A[stay][:, kept], cost[self.columns[kept]]
        P = form.P[kept][:, kept]
        small = dataclasses.replace(
            form,
            P=P,
            q=q,
            A=A,
            b=form.b[stay],
            zero=int(stay[: form.zero].sum()),
            nonnegative=int(stay[form.zero : form.zero + form.nonnegative].sum()),
            cone_sizes=form.cone_sizes[~np.isin(self._cones, out[2])],
        )
        answer = ConicSolver(small).solve()
        if not answer.solved:
            self.unsure |= not answer.infeasible
            return UNSOLVED
        return certified_bound(small, answer, self._reach[kept])


class HourProblems:
    """The hours of a `LoopedMarket`, each for itself: the terms of (1).

    Parameters
    ----------
    market : LoopedMarket
    """

    def __init__(self, market: LoopedMarket) -> None:
        self._market, p = market, market.problem
        coo = sp.coo_matrix(p.matrix)
        n_rows = len(p.rows)
        first, last = np.full(n_rows, np.iinfo(np.int64).max), np.full(n_rows, -1)
        steps = market.step_of[coo.col]
        np.minimum.at(first, coo.row, steps)
        np.maximum.at(last, coo.row, steps)
        self.tying = np.flatnonzero(first < last)
        self._ties = sp.csr_matrix(p.matrix)[self.tying]
        inner = np.where(first == last, first, ABSENT)
        cone_coo = sp.coo_matrix(p.cone_matrix)
        cone_step = np.full(len(p.cone_sizes), ABSENT)
        cone_step[market._cone_of_row[cone_coo.row]] = market.step_of[cone_coo.col]
        self._hours = [
            _Hour(
                p, np.flatnonzero(market.step_of == t), np.flatnonzero(inner == t), cone_step == t
            )
            for t in range(market.data.line.n_steps)
        ]
        self._price = np.zeros(len(self.tying))
        self._cost, self.constant = p.cost, p.offset

    @property
    def independent(self) -> bool:
        """Whether nothing ties the hours: (1) is then F itself."""
        return len(self.tying) == 0

    @property
    def unsure(self) -> bool:
        """Whether an hour was given up on that has not been shown to be infeasible."""
        return any(hour.unsure for hour in self._hours)

    def duals(self, report: SolveReport) -> Array:
        """Return the duals y (tying row,) of a report."""
        rows = self._market.problem.rows
        return np.array([report.duals.get(rows[k], 0.0) for k in self.tying.tolist()])

    def price(self, duals: Array) -> None:
        """Take y for the prices of what ties the hours."""
        p = self._market.problem
        lower, upper = p.row_lower[self.tying], p.row_upper[self.tying]
        side = np.where(duals > 0, lower, upper)
        usable = np.where(np.isfinite(side), duals, 0.0)
        self._cost = p.cost - self._ties.T @ usable
        self.constant = p.offset + float(usable @ np.where(np.isfinite(side), side, 0.0))

    def value(self, closed: Array, step: int) -> float:
        """Return the part of (1) of one hour under a configuration (edge,).

        ``inf`` where the configuration has no feasible point in that hour.
        """
        out = self._market.out(~closed, step)
        return self._hours[step].least(self._cost, out)


def _present(positions: Array) -> Array:
    return np.asarray(positions[positions != ABSENT])


def step_of(variable: Any) -> int:
    """Return the step of a variable: the last part of its index."""
    index = variable.index()
    return int(index[-1] if isinstance(index, tuple) else index)
