"""The upper level of a joint plan: trades and operation of all at given units.

It is compiled once: plans are bounds of its columns. `planning.joint_agreement` finds the trades
without a centre, and has them read here.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyomo.environ as pyo
import scipy.sparse as sp
from pyomo.repn import generate_standard_repn

from planning.alternation import Plan
from planning.investment import MONEY_SCALE
from planning.joint_data import JointData
from planning.joint_model import build_joint
from pp_p2p.errors import NoSolution, TimeLimit
from pp_p2p.market.trades import in_proportion
from pp_p2p.network.branches import Array
from pp_p2p.network.formulation import Formulation
from pp_p2p.solve.compiled import CompiledProblem, compile_model, load_values
from pp_p2p.solve.report import SolverConfig, SolveReport
from pp_p2p.solve.run import CompiledSolver
from pp_p2p.solve.vectors import ABSENT, Positions, Vectors


@dataclass(frozen=True, kw_only=True)
class Point:
    """A solved upper level.

    `plan` may be fractional only for the relaxation. `cost` (account,) EUR/a with fees and before
    payments; `trade` (participant, step), p.u., positive buys; `price` (step,) of trades, EUR/MWh,
    NaN without duals.
    """

    units: Array
    objective: float
    cost: Array
    trade: Array
    price: Array
    x: Array
    report: SolveReport

    @property
    def plan(self) -> Plan:
        """Units as integers."""
        return tuple(int(n) for n in np.round(self.units))


DEVIATION_GAP: Final = 1e-6
"""Relative gap of the plans that an agreement is held against."""


@dataclass(frozen=True, kw_only=True)
class Deviation:
    """Units of all candidates where one investor plans anew; social cost and bound, EUR/a."""

    units: Plan
    cost: float
    bound: float


class JointProblem:
    """The model of all accounts, compiled once for every use that is made of it.

    Parameters
    ----------
    data : JointData
    formulation : Formulation
    """

    def __init__(self, data: JointData, formulation: Formulation) -> None:
        self.data = data
        self.model = build_joint(data, formulation)
        self.compiled = compile_model(self.model)
        positions = Positions(self.compiled)
        m, trades = self.model, self.model.trades
        self.units = positions.columns(m.units)
        self.sites = dict(zip(m.SITE, positions.columns(m.site).tolist(), strict=True))
        self.bought, self.sold = (
            positions.columns(v).reshape(len(data.participants), -1)
            for v in (trades.bought, trades.sold)
        )
        self._exchange = [
            positions.columns(v).reshape(len(data.accounts), -1)[:-1] for v in (m.buy, m.sell)
        ]
        of_operator = generate_standard_repn(m.cost[max(m.ACCOUNT)].expr, quadratic=True)
        self._operator = _terms(of_operator, self.compiled)

    def shared_alike(self, x: Array) -> Array:
        """Return `x` with pool trades of the same cost in which all have a proportional part.

        Without that, who trades how much would be the solver's choice.
        """
        data, known = self.data, np.append(x, 0.0)  # what is in no law is 0: ABSENT is the last
        net = known[self.bought] - known[self.sold]
        grid = known[self._exchange[0]] - known[self._exchange[1]]
        most = (data.max_trade, data.max_import, data.max_export)
        net, grid, hours = in_proportion(net, grid, most)
        for (up, down), values in zip(
            ((self.bought, self.sold), self._exchange), (net, grid), strict=True
        ):
            for columns, signed in ((up, values), (down, -values)):
                known[columns[:, hours]] = np.maximum(signed[:, hours], 0.0)
        return known[:-1]

    def weighted(self, weight: float) -> CompiledProblem:
        """Return the problem with the operator's cost at `weight`."""
        if weight == 1.0:
            return self.compiled
        offset, cost, quadratic = self._operator
        less = 1.0 - weight
        curved = self.compiled.quadratic
        if quadratic is not None:
            curved = sp.csc_matrix(curved - less * quadratic)
        return dataclasses.replace(
            self.compiled,
            cost=self.compiled.cost - less * cost,
            offset=self.compiled.offset - less * offset,
            quadratic=curved,
        )


def _terms(repn: Any, problem: CompiledProblem) -> tuple[float, Array, Any]:
    """Return constant, linear (column,) and quadratic terms of an expression."""
    position = {id(variable): k for k, variable in enumerate(problem.columns)}
    cost = np.zeros(len(problem.columns))
    for coef, variable in zip(repn.linear_coefs, repn.linear_vars, strict=True):
        cost[position[id(variable)]] += coef
    if not repn.quadratic_vars:
        return float(repn.constant), cost, None
    n = len(cost)
    rows, columns = ([position[id(pair[k])] for pair in repn.quadratic_vars] for k in (0, 1))
    half = sp.csc_matrix((np.array(repn.quadratic_coefs, float), (rows, columns)), shape=(n, n))
    return float(repn.constant), cost, sp.csc_matrix(half + half.T)


class Upper:
    """Least cost of all accounts at given units; the model holds the values of the last point.

    Parameters
    ----------
    problem : JointProblem
    solver : SolverConfig
    trading : bool
        False leaves the trades out: the stand-alone problem.
    operator_weight : float
        Weight of the operator's cost in the objective.
    """

    def __init__(
        self, problem: JointProblem, solver: SolverConfig, *, trading: bool, operator_weight: float
    ) -> None:
        self.problem, self.data, self.model = problem, problem.data, problem.model
        self.operator_weight = operator_weight
        self._solver, self._trading = solver, trading
        self._units = problem.units
        base = problem.weighted(operator_weight)
        if not trading:
            vectors = Vectors.of(base)
            vectors.bound(np.concatenate([problem.bought, problem.sold]).ravel(), 0.0, 0.0)
            base = vectors.put_into(base)
        self.integers = base
        self._relaxed = dataclasses.replace(base, integer=np.zeros_like(base.integer))
        self._again: CompiledSolver | None = None
        self._known: dict[Plan, Point | None] = {}
        self._deviations: dict[tuple[int, Plan], Deviation] = {}

    def at(self, plan: Plan) -> Point | None:
        """Return the point of `plan`; None where network or limits forbid it."""
        if plan not in self._known:
            try:
                self._known[plan] = self._solve(plan)
            except TimeLimit:
                raise
            except NoSolution:
                self._known[plan] = None
        return self._known[plan]

    def cost(self, plan: Plan) -> float:
        """Return the objective at `plan`, EUR/a; ``inf`` where it is forbidden."""
        point = self.at(plan)
        return np.inf if point is None else point.objective

    def relaxed(self, fixed: dict[int, int] | None = None) -> Point:
        """Return the optimum where units need not be integers; `fixed` candidates keep theirs."""
        return self._point(self._with_units(fixed or {}))

    def relaxed_without_fee(self) -> Point:
        """Return the optimum where units need not be integers, and trades cost nothing."""
        vectors = Vectors.of(self._relaxed)
        vectors.price(np.concatenate([self.problem.bought, self.problem.sold]).ravel(), 0.0)
        return self._point(vectors.put_into(self._relaxed))

    def without(self, a: int, plan: Plan) -> Point | None:
        """Return the point of `plan` at which the participant at position `a` does not trade."""
        vectors = Vectors.of(self._with_units(dict(enumerate(plan))))
        vectors.bound(np.concatenate([self.problem.bought[a], self.problem.sold[a]]), 0.0, 0.0)
        try:
            return self._point(vectors.put_into(self._relaxed))
        except TimeLimit:
            raise
        except NoSolution:
            return None

    def with_trades(self, plan: Plan, trade: Array) -> Point:
        """Return the point of `plan` at given trades (participant, step), p.u."""
        vectors = self._at_trades(Vectors.of(self._with_units(dict(enumerate(plan)))), trade)
        return self._point(vectors.put_into(self._relaxed))

    def deviation(self, account: int, point: Point) -> Deviation:
        """Return the best plan of `account` at the trades of `point`, units of others as there.

        Operation of all follows: the plan costs least for all, so that it is the best one of those
        that leave nobody else worse off, or for which the investor makes up.

        Raises
        ------
        NoSolution
            None within the solver's limits.
        """
        known = self._deviations.get((account, point.plan))
        if known is None:
            known = self._deviations[account, point.plan] = self.best_of(
                account, point.plan, point.trade
            )
        return known

    def best_of(self, account: int, plan: Plan, trade: Array | None = None) -> Deviation:
        """Return the best plan of `account`, units of others as in `plan`, trades as given if any.

        Raises
        ------
        NoSolution
            None within the solver's limits.
        """
        mine = set(self.data.candidates_of(account).tolist())
        vectors = Vectors.of(self._with_units({k: n for k, n in enumerate(plan) if k not in mine}))
        if trade is not None:
            vectors = self._at_trades(vectors, trade)
        problem = vectors.put_into(self.integers)
        gap = min(self._solver.rel_gap, DEVIATION_GAP)
        config = dataclasses.replace(self._solver, rel_gap=gap)
        x, report = CompiledSolver(problem, config).solve()
        units = np.where(self._units != ABSENT, x[self._units], 0.0)
        return Deviation(
            units=tuple(int(n) for n in np.round(units)),
            cost=report.objective * MONEY_SCALE,
            bound=report.bound * MONEY_SCALE,
        )

    def optimum(self, config: SolverConfig) -> Point:
        """Return the optimum over all integer plans: the central problem."""
        x, report = CompiledSolver(self.integers, config).solve()
        return self._read(self.integers, x, report)

    def load(self, point: Point) -> None:
        """Put a point's values into the model."""
        load_values(self._relaxed, point.x)

    def centrally(self, plan: Plan) -> Point:
        """Return the point of `plan` as one problem."""
        return self.relaxed(dict(enumerate(plan)))

    def _solve(self, plan: Plan) -> Point | None:
        return self.centrally(plan)

    def _at_trades(self, vectors: Vectors, trade: Array) -> Vectors:
        for columns, signed in ((self.problem.bought, trade), (self.problem.sold, -trade)):
            amount = np.maximum(signed, 0.0).ravel()
            vectors.bound(columns.ravel(), amount, amount)
        return vectors

    def _with_units(self, fixed: dict[int, int]) -> Any:
        vectors = Vectors.of(self._relaxed)
        for k, n in fixed.items():
            vectors.bound(self._units[[k]], n, n)
            if k in self.problem.sites:
                stands = float(n > 0)
                vectors.bound(np.array([self.problem.sites[k]]), stands, stands)
        return vectors.put_into(self._relaxed)

    def _point(self, problem: Any) -> Point:
        if self._again is None:
            self._again = CompiledSolver(self._relaxed, self._solver)
        x, report = self._again.solve(problem)
        return self._read(problem, x, report)

    def _read(self, problem: Any, x: Array, report: SolveReport) -> Point:
        m, data = self.model, self.data
        if self._trading:
            x = self.problem.shared_alike(x)
        load_values(problem, x)
        units = np.where(self._units != ABSENT, x[self._units], 0.0)
        steps, n = range(data.year.line.n_steps), len(data.participants)
        trade = np.array(
            [[m.trades.bought[a, t].value - m.trades.sold[a, t].value for t in steps]
             for a in range(n)]
        )  # fmt: skip
        # Contracts shift purchases between accounts, of which society sees nothing: their dual is
        # relative to what the operator saves, the dual of the exchange.
        duals = [
            report.duals.get(m.trades.pool_balance[t], np.nan)
            + report.duals.get(m.exchange[t], np.nan)
            for t in steps
        ]
        return Point(
            units=units,
            objective=report.objective * MONEY_SCALE,
            cost=np.array([float(pyo.value(m.cost[a])) for a in m.ACCOUNT]) * MONEY_SCALE,
            trade=trade if self._trading else np.zeros_like(trade),
            price=-np.array(duals) * MONEY_SCALE / data.step_mwh,
            x=x,
            report=report,
        )
