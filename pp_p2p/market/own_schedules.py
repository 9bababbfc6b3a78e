"""Schedules that do not see the network: each participant minds its own cost, contracts are kept.

The model of `pp_p2p.market.clearing` on a net without impedances that matter and without limits
falls apart into its accounts. Three of its uses: alone (no trades), as an offer (what the grid
would not take may be sold to peers), and after the market (trades fixed, the rest anew). Reactive
power stays at its set point, since nothing here has a use for it.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import numpy as np

from pp_p2p.elements.schema import NONE
from pp_p2p.errors import Finding, UnsupportedFeature
from pp_p2p.market.clearing import ClearingData, build
from pp_p2p.market.congestion import Capacity
from pp_p2p.network.branches import Array
from pp_p2p.network.formulation import FORMULATIONS
from pp_p2p.network.limits import solve_or_explain
from pp_p2p.network.nodes import SourceLimits
from pp_p2p.network.solution import FlowSolution, read_flows
from pp_p2p.solve.report import SolverConfig, SolveReport

VM_CEILING: Final = 10.0
"""Voltage, p.u., that a net without limits stays below."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schedule:
    """A solved day without network limits."""

    model: Any
    report: SolveReport
    flows: FlowSolution

    def rows(self, name: str, n: int) -> Array:
        """Return variable `name` of the first `n` accounts (account, hour), p.u."""
        variable = getattr(self.model, name)
        return np.array([[variable[a, t].value for t in self.model.TIME] for a in range(n)])


class OwnSchedules:
    """Schedules of one day.

    Parameters
    ----------
    data : ClearingData
    solver : SolverConfig

    Raises
    ------
    UnsupportedFeature
        Several scenarios, or soft open points: who would move them?
    """

    def __init__(self, data: ClearingData, solver: SolverConfig) -> None:
        _require_plain(data)
        self._data, self._solver = _without_network(data), solver
        self._n = len(data.participants)

    def alone(self, capacity: Capacity) -> Schedule:
        """Return the day without trades, sales to the grid within `capacity`."""
        model = build(self._data, _LINEAR, trading=False)
        self._limit_sales(model, capacity)
        return self._solved(model, "trade_day, before any trade")

    def offer(self) -> Schedule:
        """Return the day in which peers take what the grid does not, at the grid's price."""
        model = build(self._data, _LINEAR, trading=False)
        most = model.network.most_supply
        for a in range(self._n):
            further = min(float(self._data.max_trade[a]), most)
            for t in model.TIME:
                model.sell[a, t].setub(min(model.sell[a, t].ub + further, most))
        return self._solved(model, "trade_day, offers")

    def with_trades(self, trades: Array, capacity: Capacity) -> Schedule:
        """Return the day in which `trades` (seller, buyer, hour), p.u., are kept."""
        data = self._data
        if data.pairwise:
            mechanism = dataclasses.replace(
                data.mechanism, fee="postage_stamp", pair_limit_mw=float("inf")
            )
            data = dataclasses.replace(data, mechanism=mechanism)
        model = build(data, _LINEAR, trading=True)
        for name, total in (("bought", trades.sum(axis=0)), ("sold", trades.sum(axis=1))):
            variable = model.trades.component(name)
            for (k, t), member in variable.items():
                member.setlb(float(total[k, t]))
                member.setub(float(total[k, t]))
        for h in model.trades.HOUR:  # holds by the trades' form, but for their rounding
            model.trades.pool_balance[h].deactivate()
        self._limit_sales(model, capacity)
        return self._solved(model, "trade_day, with its trades")

    def together(self, capacity: Capacity) -> Schedule:
        """Return the day of least social cost, trades within `capacity`."""
        data = self._data
        if capacity.binds and not data.pairwise:
            most = float(2.0 * data.grid.s_base_mva * 1e3)
            mechanism = dataclasses.replace(data.mechanism, pair_limit_mw=most)
            data = dataclasses.replace(data, mechanism=mechanism)
        model = build(data, _LINEAR, trading=True)
        self._limit_sales(model, capacity)
        if capacity.binds:
            _limit_trades(model, capacity)
        return self._solved(model, "trade_day")

    def _limit_sales(self, model: Any, capacity: Capacity) -> None:
        for a, t in np.argwhere(np.isfinite(capacity.grid)).tolist():
            model.sell[a, t].setub(min(model.sell[a, t].ub, float(capacity.grid[a, t])))

    def _solved(self, model: Any, problem: str) -> Schedule:
        report = solve_or_explain(model, self._data.grid, self._data.line, self._solver, problem)
        flows = read_flows(model.network, model.injection, has_losses=False)
        return Schedule(model=model, report=report, flows=flows)


_LINEAR: Final = FORMULATIONS["lindistflow"]


def _limit_trades(model: Any, capacity: Capacity) -> None:
    import pyomo.environ as pyo

    from pp_p2p.network.algebra import linear

    block = model.trades

    def market_capacity(b: Any, s: int, t: int) -> Any:
        to = [j for i, j in b.PAIR if i == s and capacity.limited[s, j, t]]
        if not to:
            return pyo.Constraint.Skip
        return linear([1.0] * len(to), [b.trade[s, j, t] for j in to]) <= float(
            capacity.limit[s, t]
        )

    where = [tuple(at) for at in np.argwhere(np.isfinite(capacity.limit)).tolist()]
    block.market_capacity = pyo.Constraint(where, rule=market_capacity)


def _without_network(data: ClearingData) -> ClearingData:
    """Return the same on a net that limits and loses nothing."""
    grid, g = data.grid, data.portfolio.generators
    free = dataclasses.replace(
        grid,
        vm_min=np.zeros_like(grid.vm_min),
        vm_max=np.full_like(grid.vm_max, VM_CEILING),
        y_shunt=1j * grid.y_shunt.imag,
        source_limits=SourceLimits.none(len(grid.source_node)),
        tree=dataclasses.replace(grid.tree, i_max=np.full_like(grid.tree.i_max, np.inf)),
    )
    still = np.zeros_like(g.q_min)
    generators = dataclasses.replace(g, q_min=still, q_max=still)
    portfolio = dataclasses.replace(data.portfolio, generators=generators)
    return dataclasses.replace(data, grid=free, portfolio=portfolio)


def _require_plain(data: ClearingData) -> None:
    found = []
    if data.line.n_days != 1:
        found.append(
            Finding(
                table="profiles",
                column="scenario",
                rule="makes prices uncertain",
                mend="pass one scenario, or use NashBargaining without congestion management",
            )
        )
    devices = data.portfolio.sops.device
    on_link = data.portfolio.storages.sop != NONE
    if len(devices) or on_link.any():
        found.append(
            Finding(
                table="sop",
                rows=tuple(np.unique(devices).tolist()),
                rule="are controlled by the network, which this market does not see",
                mend="take them out of service, or use NashBargaining without congestion "
                "management",
            )
        )
    if data.mechanism.fee == "nodal_price" or data.mechanism.bargaining_power == "marginal":
        found.append(
            Finding(
                table="NashBargaining",
                column="fee, bargaining_power",
                rule="is 'nodal_price' or 'marginal', which need the network's own prices or many "
                "more clearings",
                mend="choose another, or clear without congestion management",
            )
        )
    if found:
        raise UnsupportedFeature("a market that is cleared without the network", found)
