"""Quantities of a trading day: least cost of all accounts under the network's limits.

Accounts a are the participants and the operator. Each owns devices; the operator owns what nobody
else does, and buys the losses. For scenario s of the prices with probability rho_s and every hour
t of length h, with e_at what a buys net from peers,

    min  sum_a w_a C_a                                                              (1)
    C_a = R_s[ sum_t h (b_st buy_ast - s_st sell_ast) + devices_as ] + fee_a        (2)
    buy_ast - sell_ast + e_at = load_at - generation_ast + charge_ast - discharge_ast   (3)
    the same for the operator, its load with all losses                             (4)
    load flow and limits                                      (pp_p2p.network)      (5)
    sum_a e_at = 0, limits of trades                          (pp_p2p.market.trades) (6)
    R_s: the mean over scenarios, or its mix with the worst   (pp_p2p.market.risk)  (7)

(3) holds for participants. (3) to (6) add up to what the external grids give: sum_a (buy - sell).
Written as that sum, (4) would join all participants in one dense row. A trade is a contract: it
moves money, while (5) sees the devices at their buses.
Trades are agreed before prices are known; exchange with the grid and all devices come after.

Cooperation has w = 1, but for an operator outside the bargain. Alone (the disagreement point)
there are no trades, each participant minds its own cost, and the operator's enters with the small
weight `ALONE_WEIGHT`, which settles ties and keeps the cone relaxation exact; all participants
together are worse off by at most that share of what the operator saves by it. Where losses at that
weight are so cheap that the relaxation burns energy to keep a limit, the weight is 1. Both use the
same network model.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import pyomo.environ as pyo
import xarray as xr
from pyomo.common.gc_manager import PauseGC

from pp_p2p.elements.schema import NONE
from pp_p2p.elements.tables import frame
from pp_p2p.errors import Finding, UnsupportedFeature, raise_if_any
from pp_p2p.market.bargaining import NashBargaining
from pp_p2p.market.risk import add_risk, worst_mean
from pp_p2p.market.trades import fee_terms, net_terms, trade_block
from pp_p2p.names import OPERATOR, SCENARIO
from pp_p2p.network.algebra import linear
from pp_p2p.network.block import network_block
from pp_p2p.network.branches import Array
from pp_p2p.network.device_costs import CostTerm, device_costs
from pp_p2p.network.devices import add_devices, fixed_injection, load_change
from pp_p2p.network.formulation import Formulation
from pp_p2p.network.grid import GridData
from pp_p2p.network.on_off import Closed
from pp_p2p.network.poly_cost import traded_cost_findings
from pp_p2p.network.portfolio import Portfolio
from pp_p2p.network.power_base import power_base_mva
from pp_p2p.network.tightening import PLAIN, Tightening, weigh_losses
from pp_p2p.network.timeline import Timeline, read_prices

ALONE_WEIGHT: Final = 0.1
"""Weight of the operator's cost in the stand-alone problem, and where it is outside."""

Terms = list[tuple[float, Any]]


@dataclass(frozen=True, kw_only=True)
class ClearingData:
    """Everything the clearing may use.

    `participants` (participant,) are rows of ``net.participant``, `participant_node` where they
    are metered; limits are p.u., ``inf`` where there is none. `fee_eur_per_mwh`
    (participant, participant) is that of trades from row to column.
    """

    grid: GridData
    line: Timeline
    portfolio: Portfolio
    participants: Array
    participant_node: Array
    max_import: Array
    max_export: Array
    max_trade: Array
    power: Array
    price_buy: Array
    price_sell: Array
    fee_eur_per_mwh: Array
    mechanism: NashBargaining
    tightening: Tightening = PLAIN

    def __post_init__(self) -> None:
        raise_if_any(_findings(self))

    @property
    def accounts(self) -> Array:
        """Labels of all accounts: participants, then the operator."""
        return np.append(self.participants, OPERATOR)

    @property
    def step_mwh(self) -> float:
        """Energy of 1 p.u. over one step, MWh."""
        return self.line.step_h * self.grid.s_base_mva

    @property
    def pairwise(self) -> bool:
        """Whether fees or limits depend on who trades with whom."""
        return self.mechanism.fee == "electrical_distance" or np.isfinite(
            self.mechanism.pair_limit_mw
        )

    @classmethod
    def from_net(
        cls,
        net: Any,
        profiles: xr.Dataset,
        mechanism: NashBargaining,
        tightening: Tightening = PLAIN,
        *,
        grid: GridData | None = None,
    ) -> Self:
        """Read net and profiles of one day; `grid` stands for the net where branches may open."""
        unread = list(traded_cost_findings(net))
        if unread:
            raise UnsupportedFeature("trade_day", unread)
        line = Timeline.from_profiles(profiles)
        by_distance = mechanism.fee == "electrical_distance"  # in the net as it stands
        if grid is None or by_distance:
            stands = GridData.from_net(net, power_base_mva(net, profiles))
        else:
            stands = grid
        grid = stands if grid is None else grid
        rows = frame(net, "participant")
        rows = rows[rows.in_service.to_numpy(bool)].sort_index()

        def limit(name: str) -> Array:
            mw = rows[name].astype(float).fillna(np.inf).to_numpy(float)
            return np.asarray(mw / grid.s_base_mva)

        raise_if_any(_unfed(rows, grid))
        node = grid.nodes_of(rows.bus.to_numpy())
        buy, sell = read_prices(profiles, line)
        return cls(
            grid=grid,
            line=line,
            portfolio=Portfolio.from_net(net, grid, profiles, line),
            participants=rows.index.to_numpy(np.int64),
            participant_node=node,
            max_import=limit("max_import_mw"),
            max_export=limit("max_export_mw"),
            max_trade=limit("max_trade_mw"),
            power=rows.bargaining_power.to_numpy(float),
            price_buy=buy,
            price_sell=sell,
            fee_eur_per_mwh=_fees(mechanism, stands, rows.bus.to_numpy()),
            mechanism=mechanism,
            tightening=tightening,
        )


def build(
    data: ClearingData,
    formulation: Formulation,
    *,
    trading: bool,
    without: int | None = None,
    operator_weight: float = ALONE_WEIGHT,
    closed: Closed | None = None,
) -> Any:
    """Return the Pyomo model of (1)-(7).

    Parameters
    ----------
    trading : bool
        False is the stand-alone problem.
    without : int, optional
        Position of a participant that stays out of the trades.
    operator_weight : float
        Weight of the operator's cost where it has no say of its own.
    closed : mapping, optional
        Variables of branches that may open (`pp_p2p.network.on_off`).
    """
    with PauseGC():  # hundreds of thousands of small objects, none of them garbage
        return _build(data, formulation, trading, without, operator_weight, closed)


def _build(
    data: ClearingData,
    formulation: Formulation,
    trading: bool,
    without: int | None,
    operator_weight: float,
    closed: Closed | None,
) -> Any:
    m = pyo.ConcreteModel(name="trade_day" if trading else "stand_alone")
    line, p = data.line, data.portfolio
    m.TIME = pyo.RangeSet(0, line.n_steps - 1)
    m.ACCOUNT = pyo.RangeSet(0, len(data.accounts) - 1)
    m.injection = fixed_injection(data.grid.n_nodes, line, p.loads, p.generators)
    add_devices(m, p, line, m.injection, formulation)
    m.network = network_block(  # (5)
        data.grid, formulation, m.injection, data.tightening, closed=closed
    )
    _add_exchange(m, data)
    _add_trades(m, data, trading=trading, without=without)  # (6)
    _add_balances(m, data)  # (3), (4)
    weight = np.ones(len(data.accounts))
    if not trading or data.mechanism.operator == "outside":
        weight[-1] = operator_weight
    costs, fees = account_costs(m, data), account_fees(m, data)
    add_risk(m, costs, data.line, data.mechanism)  # (7)
    m.social_cost = pyo.Objective(
        expr=sum(
            float(w) * (m.risk_cost[a] + sum(c * v for c, v in fees[a]))
            for a, w in enumerate(weight)
        )
    )  # (1)
    per_pu = data.step_mwh * line.step_weight
    weigh_losses(m, data.tightening, data.grid, p.sops, per_pu)
    return m


def account_costs(m: Any, data: ClearingData) -> list[list[CostTerm]]:
    """Return the cost (2) of every account but for fees, as terms in EUR of their scenario."""
    p, line = data.portfolio, data.line
    hours = np.full(line.n_steps, line.step_h)
    costs: list[list[CostTerm]] = [[] for _ in data.accounts]
    place = {int(label): a for a, label in enumerate(data.accounts)}
    for t in m.TIME:
        buy, sell = (data.step_mwh * float(price[t]) for price in (data.price_buy, data.price_sell))
        for a, label in enumerate(data.accounts):
            costs[a].append(CostTerm(int(label), t, m.buy[a, t], buy))
            costs[a].append(CostTerm(int(label), t, m.sell[a, t], -sell))
    for term in device_costs(m, p, hours, data.grid.s_base_mva):
        costs[place[term.owner]].append(term)
    return costs


def account_fees(m: Any, data: ClearingData) -> list[Terms]:
    """Return the fees of every account as pairs of coefficient (EUR) and variable."""
    fees: list[Terms] = [[] for _ in data.accounts]
    for (a, _), terms in fee_terms(m.trades, data.fee_eur_per_mwh * data.step_mwh).items():
        fees[a] += terms
    return fees


def evaluate_costs(m: Any, data: ClearingData) -> Array:
    """Return the cost of every account (account,), EUR, at the model's values, without fees."""
    line, mechanism = data.line, data.mechanism
    by_scenario = np.zeros((len(data.accounts), line.n_days))
    with PauseGC():
        for a, terms in enumerate(account_costs(m, data)):
            for term in terms:
                by_scenario[a, term.step // line.steps_per_day] += term.value
    mean = by_scenario @ line.weight
    if mechanism.risk_weight > 0:
        tail = worst_mean(by_scenario, line.weight, mechanism.risk_level)
        mean = (1.0 - mechanism.risk_weight) * mean + mechanism.risk_weight * tail
    return np.asarray(mean)


def _add_exchange(m: Any, data: ClearingData) -> None:
    m.rows = data.accounts.tolist()  # labels, for whoever must name an account
    most = m.network.most_supply
    limits = {
        "buy": np.append(data.max_import, np.inf),
        "sell": np.append(data.max_export, np.inf),
    }
    for name, limit in limits.items():
        bound = np.minimum(limit, most)
        variable = pyo.Var(m.ACCOUNT, m.TIME, bounds=lambda _, a, _t, b=bound: (0.0, float(b[a])))
        m.add_component(name, variable)


def _add_trades(m: Any, data: ClearingData, *, trading: bool, without: int | None) -> None:
    most = m.network.most_supply
    limit = np.minimum(data.max_trade, most) * float(trading)
    if without is not None:
        limit[without] = 0.0
    n = len(data.participants)
    pair = data.mechanism.pair_limit_mw / data.grid.s_base_mva
    pairs = np.full((n, n), min(pair, most)) if data.pairwise else None
    m.trades = trade_block(limit, pairs, data.line.steps_per_day)


def _add_balances(m: Any, data: ClearingData) -> None:
    fixed, movable = _net_loads(m, data)
    operator = len(data.participants)
    bought = net_terms(m.trades)

    def account_balance(_: Any, a: int, t: int) -> Any:
        terms = [(1.0, m.buy[a, t]), (-1.0, m.sell[a, t])]
        terms += [(-c, v) for c, v in movable[a, t]]
        if a == operator:
            terms += [(-c, v) for c, v in _loss_terms(m, data, t)]
        else:
            terms += bought[a, t % data.line.steps_per_day]
        return linear([c for c, _ in terms], [v for _, v in terms]) == float(fixed[a, t])

    m.account_balance = pyo.Constraint(m.ACCOUNT, m.TIME, rule=account_balance)


def _loss_terms(m: Any, data: ClearingData, t: int) -> Terms:
    """Return what branches, shunts and soft open points lose at a step, as terms."""
    grid, network, p = data.grid, m.network, data.portfolio
    terms: Terms = []
    if hasattr(network, "l"):
        terms += [(float(r), network.l[k, t]) for k, r in enumerate(grid.tree.r)]
    shunts = grid.y_shunt.real
    terms += [(float(shunts[j]), network.v[j, t]) for j in np.flatnonzero(shunts).tolist()]
    # what terminals draw and storage on their links does not take
    terms += [(-1.0, m.sop.p[i, t]) for i in m.sop.TERMINAL]
    for k in np.flatnonzero(p.storages.sop != NONE).tolist():
        terms += [(-1.0, m.storage.charge[k, t]), (1.0, m.storage.discharge[k, t])]
    return terms


def _net_loads(m: Any, data: ClearingData) -> tuple[Array, dict[tuple[int, int], Terms]]:
    """Return each account's fixed net load (account, step) and its terms in variables."""
    p, steps = data.portfolio, range(data.line.n_steps)
    place = {int(label): a for a, label in enumerate(data.accounts)}
    fixed = np.zeros((len(data.accounts), data.line.n_steps))
    movable: dict[tuple[int, int], Terms] = defaultdict(list)
    np.add.at(fixed, [place[int(o)] for o in p.loads.owner], p.loads.p.T)
    for k, owner in enumerate(p.generators.owner):
        a = place[int(owner)]
        if not p.generators.curtailable[k]:
            fixed[a] -= p.generators.available[:, k]
            continue
        for t in steps:
            movable[a, t].append((-1.0, m.generator.p[k, t]))
    for k, owner in enumerate(p.storages.owner):
        a = place[int(owner)]
        for t in steps:
            movable[a, t] += [(1.0, m.storage.charge[k, t]), (-1.0, m.storage.discharge[k, t])]
    for k, owner in enumerate(p.flexible.owner):
        a = place[int(owner)]
        for t in steps:
            movable[a, t] += load_change(m.flexible, k, t)
    return fixed, movable


def _fees(mechanism: NashBargaining, grid: GridData, bus: Array) -> Array:
    """Return the fee of trades between participants (seller, buyer), EUR/MWh."""
    n = len(bus)
    if mechanism.fee == "nodal_price":  # known when the quantities are: nothing is charged before
        return np.zeros((n, n))
    flat = np.full((n, n), mechanism.network_fee_eur_per_mwh)
    if mechanism.fee == "postage_stamp":
        return flat
    distance = grid.path_resistance(grid.nodes_of(bus))
    apart = ~np.eye(n, dtype=bool)
    mean = float(distance[apart].mean()) if apart.any() else 0.0
    return flat * distance / mean if mean > 0 else flat


def _unfed(rows: Any, grid: GridData) -> list[Finding]:
    dead = rows.index[grid.nodes_of(rows.bus.to_numpy()) < 0]
    if not len(dead):
        return []
    return [
        Finding(
            table="participant",
            column="bus",
            rows=tuple(dead.tolist()),
            rule="is fed by no external grid",
            mend="close the switch that feeds it, or take the participant out of service",
        )
    ]


def _findings(data: ClearingData) -> list[Finding]:
    found = []
    if not len(data.participants):
        found.append(
            Finding(
                table="participant",
                rule="has no row in service",
                mend="create one with pp_p2p.create_participant and assign devices to it",
            )
        )
    if data.mechanism.bargaining_power == "given" and len(data.power):
        operator = data.mechanism.operator == "inside" and data.mechanism.operator_power > 0
        if not (data.power.any() or operator):
            found.append(
                Finding(
                    table="participant",
                    column="bargaining_power",
                    rule="is 0 for every participant",
                    mend="give at least one a power > 0, or choose bargaining_power='equal'",
                )
            )
    if data.line.n_days != 1 and SCENARIO not in data.line.dims:
        found.append(
            Finding(
                table="profiles",
                rule=f"holds {data.line.n_days} days",
                mend="pass one day: profiles.isel(day=0).rename(hour='time')",
            )
        )
    return found
