"""The lower level of a joint plan: what each participant would build, all others as they are.

Each plan is a small mixed-integer programme that knows no network. It is compiled once, trades and
prices are vectors. Plans do not depend on each other, so that an executor may run them side by
side; the result is the same. The operator, whose plan is the network, plans in the upper level's
problem (`planning.joint_problem.Upper.deviation`).
"""

from __future__ import annotations

import dataclasses
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from planning.alternation import Plan
from planning.investment import MONEY_SCALE
from planning.joint_data import JointData
from planning.joint_model import build_participant
from planning.joint_problem import Point
from pp_p2p.names import OPERATOR
from pp_p2p.network.branches import Array
from pp_p2p.network.formulation import Formulation
from pp_p2p.solve.compiled import CompiledProblem, compile_model
from pp_p2p.solve.report import SolverConfig
from pp_p2p.solve.run import CompiledSolver
from pp_p2p.solve.vectors import ABSENT, Positions, Vectors

OWN_GAP: Final = 1e-7
"""Relative gap of participants' own plans: small problems, whose differences decide."""


@dataclass(frozen=True, kw_only=True)
class OwnPlan:
    """An investor's own plan: units of all candidates, cost without fees, bound, EUR/a."""

    units: Plan
    cost: float
    bound: float


class _OwnProblem:
    """A participant's compiled problem: bounds and prices of its trades are written into it."""

    def __init__(self, data: JointData, formulation: Formulation, a: int) -> None:
        self.a, self._data = a, data
        self._mine = data.candidates_of(int(data.participants[a]))
        m = build_participant(data, formulation, a)
        compiled = compile_model(m)
        positions = Positions(compiled)
        self.problem = compiled
        self._units = positions.columns(m.units)
        self._sites = dict(zip(m.SITE, positions.columns(m.site).tolist(), strict=True))
        self._bought, self._sold, self._traded = (
            positions.columns(v) for v in (m.bought, m.sold, m.traded)
        )

    def around(
        self, trade: Array, price: Array, radius: float, keep: Plan | None
    ) -> CompiledProblem:
        """Return the problem with trades within `radius` of `trade`, at `price` where they move.

        Where they do not, they cost nothing here: the fee is paid whatever is built.
        """
        vectors = Vectors.of(self.problem)
        if radius == 0.0:
            vectors.bound(self._traded, trade, trade)
            for columns, signed in ((self._bought, trade), (self._sold, -trade)):
                amount = np.maximum(signed, 0.0)
                vectors.bound(columns, amount, amount)
        else:
            most = self.problem.upper[self._traded]
            low, high = np.maximum(trade - radius, -most), np.minimum(trade + radius, most)
            vectors.bound(self._traded, low, high)
            per_pu, half = self._data.step_mwh / MONEY_SCALE, 0.5 * self._data.fee_eur_per_mwh
            vectors.price(self._bought, per_pu * (half + price))
            vectors.price(self._sold, per_pu * (half - price))
        for k in [] if keep is None else self._mine.tolist():
            n = 0 if keep is None else keep[k]
            vectors.bound(self._units[[k]], n, n)
            if k in self._sites:
                stands = float(n > 0)
                vectors.bound(np.array([self._sites[k]]), stands, stands)
        return vectors.put_into(self.problem)

    def units(self, x: Array, others: Plan) -> Plan:
        """Return units of all candidates, its own from `x`."""
        units = np.array(others)
        there = self._mine[self._units[self._mine] != ABSENT]
        units[there] = np.round(x[self._units[there]])
        return tuple(int(n) for n in units)


class _Task(NamedTuple):
    """A problem that may be solved in another process: its Pyomo components are forgotten."""

    problem: CompiledProblem
    config: SolverConfig

    @classmethod
    def of(cls, problem: CompiledProblem, config: SolverConfig) -> _Task:
        bare = dataclasses.replace(
            problem, columns=list(range(len(problem.cost))), rows=list(range(len(problem.rows)))
        )
        return cls(bare, config)


def _solved(task: _Task) -> tuple[Array, float, float]:
    """Return point, cost and bound, EUR/a."""
    x, report = CompiledSolver(task.problem, task.config).solve()
    return x, report.objective * MONEY_SCALE, report.bound * MONEY_SCALE


class Lower:
    """Own plans of participants around a point of the upper level.

    Parameters
    ----------
    data : JointData
    formulation : Formulation
    solver : SolverConfig
    executor : Executor, optional
        Runs the plans of participants side by side; default one after the other.
    """

    def __init__(
        self,
        data: JointData,
        formulation: Formulation,
        solver: SolverConfig,
        executor: Executor | None = None,
    ) -> None:
        self._data, self._formulation = data, formulation
        self._config = dataclasses.replace(solver, rel_gap=min(solver.rel_gap, OWN_GAP))
        self._accounts = [k for k in data.investors if k != OPERATOR]
        self._executor = executor
        self._problems: dict[int, _OwnProblem] = {}

    def propose(self, point: Point, radius: float) -> dict[int, Plan]:
        """Return the own plan of each participant that invests, trades within `radius` (p.u.)."""
        if radius > 0 and np.isnan(point.price).any():
            return {}
        plans = self._solve(self._accounts, point, radius=radius)
        return {k: own.units for k, own in zip(self._accounts, plans, strict=True)}

    def plans(self, point: Point, *, keep_units: bool = False) -> dict[int, OwnPlan]:
        """Return the own plans of the participants that invest, trades as they are."""
        plans = self._solve(self._accounts, point, keep=point.plan if keep_units else None)
        return dict(zip(self._accounts, plans, strict=True))

    def alone(self, a: int) -> OwnPlan:
        """Return the plan of the participant at position `a` without trades.

        Raises
        ------
        NoSolution
            It has none.
        """
        own, none = self._problem(a), np.zeros(self._data.year.line.n_steps)
        x, cost, bound = _solved(_Task.of(own.around(none, none, 0.0, None), self._config))
        nothing = tuple([0] * len(self._data.year.candidates.index))
        return OwnPlan(units=own.units(x, nothing), cost=cost, bound=bound)

    def _solve(
        self, accounts: list[int], point: Point, *, radius: float = 0.0, keep: Plan | None = None
    ) -> list[OwnPlan]:
        problems = [self._problem(self._data.position(k)) for k in accounts]
        tasks = [
            _Task.of(own.around(point.trade[own.a], point.price, radius, keep), self._config)
            for own in problems
        ]
        run = map if self._executor is None else self._executor.map
        return [
            OwnPlan(units=own.units(x, point.plan), cost=cost, bound=bound)
            for own, (x, cost, bound) in zip(problems, run(_solved, tasks), strict=True)
        ]

    def _problem(self, a: int) -> _OwnProblem:
        if a not in self._problems:
            self._problems[a] = _OwnProblem(self._data, self._formulation, a)
        return self._problems[a]
