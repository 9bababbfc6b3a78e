"""The lower level without a centre: participants and operator agree under given configurations.

Two-block ADMM of `pp_p2p.market.agreement` at a fixed sequence of configurations. What participants
tell the operator between two outer rounds are their offers: the duals y of what ties their own
hours together. Each finds them from its own devices at the prices that were agreed on,

    min  sum_t (c_t - worth_t a_t - price_t n_t)'x_t   s.t.  its devices' laws             (1)

with a_t what a device takes from the account and n_t what it feeds into the node.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import numpy as np
import pyomo.environ as pyo
import scipy.sparse as sp

from pp_p2p.errors import NoSolution, NotConverged, TimeLimit
from pp_p2p.market.day_result import Day, worth_of
from pp_p2p.market.distributed import Distributed
from pp_p2p.market.distributed_day import DistributedDays
from pp_p2p.market.fixed_topology import FixedTopology, Point, injected
from pp_p2p.market.looped_market import LoopedMarket, part_of
from pp_p2p.market.reconfiguration_options import operations
from pp_p2p.network.branches import Array
from pp_p2p.network.tree_flow import shape_of
from pp_p2p.solve.run import CompiledSolver
from pp_p2p.solve.vectors import ABSENT

DEVICES: Final = (
    ("storage", ("charge", "discharge", "energy")),
    ("generator", ("p",)),
    ("flexible", ("up", "down", "curtail", "response")),
)
"""Variables of devices whose hours may be tied."""


class AgreedTopology(FixedTopology):
    """As `FixedTopology`, by agreement.

    Parameters
    ----------
    scheme : Distributed
    terms : mapping
        ``trading``, ``without`` and ``operator_weight`` of the day.
    """

    def __init__(self, *args: Any, scheme: Distributed, terms: dict[str, Any]) -> None:
        super().__init__(*args)
        self._scheme, self._terms = scheme, terms
        self._row = {id(row): k for k, row in enumerate(self.market.problem.rows)}

    def _solve(self, closed: Array) -> Point | None:
        if any(shape_of(self.graph, tree) is None for tree in np.unique(closed, axis=0)):
            return None
        grid = dataclasses.replace(self.data.grid, open_at=~closed.T)
        data = dataclasses.replace(self.data, grid=grid)
        days = DistributedDays(data, self._physics, self._scheme, self._config)
        try:
            day = days.solve(**self._terms)
        except TimeLimit:
            raise
        except NoSolution:
            return None
        except NotConverged:
            if any(self._known.values()):
                return None  # a trial that nobody agrees on; the incumbent stays
            raise
        values = {v.name: v.value for v in _variables(day.model)}
        x = np.array([values[v.name] for v in self.market.problem.columns], dtype=float)
        duals = _renamed(day, self.market)
        count = int(operations(self.graph.closed, closed).sum())
        return Point(
            closed=closed,
            objective=day.report.objective + self._switching_cost * count,
            x=x,
            report=dataclasses.replace(day.report, duals=duals),
            load=injected(day.model),
            duals=self._offers(day, duals),
            residuals=day.residuals,
            agreed=day,
        )

    def day(self, point: Point) -> Day:
        """Return the trading day of a point; its model holds the point's values."""
        day = point.agreed
        assert day is not None
        self.market.load(point.x)
        return dataclasses.replace(
            day, model=self.market.model, report=point.report, cost=day.cost.copy()
        )

    def _offers(self, day: Day, duals: dict[Any, float]) -> Array:
        """Return the duals (tying row,) of (1)."""
        market, problem = self.market, self.market.problem
        if not len(self.hours.tying):
            return np.zeros(0)
        model, line = market.model, self.data.line
        root = int(self.graph.root[0])
        operator = len(self.data.participants)
        worth = worth_of(day, self.data) * self.data.step_mwh
        price = np.zeros(len(problem.rows))
        for t in range(line.n_steps):
            of_energy = duals.get(model.network.balance_p[root, t], 0.0)
            for j in range(self.graph.n_nodes):
                at = self._row[id(model.network.balance_p[j, t])]
                price[at] = duals.get(problem.rows[at], 0.0) - of_energy
            for a in range(operator + 1):
                at = self._row[id(model.account_balance[a, t])]
                price[at] = of_energy if a == operator else worth[a, t]
        cost = problem.cost - problem.matrix.T @ price
        columns = self._device_columns()
        inside = np.zeros(len(problem.columns), dtype=bool)
        inside[columns] = True
        pattern = abs(sp.csr_matrix(problem.matrix))
        rows = np.flatnonzero((pattern @ ~inside == 0) & (pattern @ inside > 0))
        part = part_of(problem, columns, rows, np.zeros(len(problem.cone_sizes), dtype=bool))
        _, report = CompiledSolver(
            dataclasses.replace(part, cost=cost[columns]), self._config
        ).solve()
        return self.hours.duals(report)

    def _device_columns(self) -> Array:
        model = self.market.model
        found = [
            self.market.columns_of(model.component(block).component(name))
            for block, names in DEVICES
            for name in names
        ]
        columns = np.concatenate(found)
        return np.sort(columns[columns != ABSENT])


def _variables(model: Any) -> Any:
    return model.component_data_objects(pyo.Var)


def _renamed(day: Day, market: LoopedMarket) -> dict[Any, float]:
    """Return the duals of a day by the rows of the looped market."""
    names = {row.name: dual for row, dual in day.report.duals.items()}
    return {row: names[row.name] for row in market.problem.rows if row.name in names}
