"""Quantities of a trading day: least cost of all accounts under the network's limits.

Accounts a are the participants and the operator. Each owns devices; the operator owns what nobody
else does, and buys the losses. For every step t of length h, with trades e_ij >= 0 from i to j:

    min  sum_a w_a C_a                                                              (1)
    C_a = sum_t h [ b_t buy_a - s_t sell_a + phi/2 sum (e_in + e_out)
                    + wear (c + d) + shift up ]                                     (2)
    buy_a - sell_a + sum_i e_ia - sum_j e_aj = load_a - generation_a + c_a - d_a    (3)
    sum of external grids = sum_a (buy_a - sell_a)                                  (4)
    load flow and limits (pp_p2p.network)                                           (5)

(3) holds for participants; (4) makes the operator's exchange what is left: the load of others and
all losses. A trade is a contract: it moves money, while (5) sees the devices at their buses.

Cooperation has w = 1 throughout. Alone (the disagreement point) there are no trades, each
participant minds its own cost, and the operator's enters with the small weight `ALONE_WEIGHT`,
which settles ties and keeps the cone relaxation exact; all participants together are worse off by
at most that share of what the operator saves by it. Both use the same network model.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import pyomo.environ as pyo
import xarray as xr

from pp_p2p.elements.tables import frame
from pp_p2p.errors import Finding, raise_if_any
from pp_p2p.names import OPERATOR
from pp_p2p.network.algebra import linear
from pp_p2p.network.block import network_block
from pp_p2p.network.branches import Array
from pp_p2p.network.devices import add_devices, fixed_injection
from pp_p2p.network.formulation import Formulation
from pp_p2p.network.grid import GridData
from pp_p2p.network.portfolio import Portfolio
from pp_p2p.network.timeline import Timeline, read_prices

ALONE_WEIGHT: Final = 0.1
"""Weight of the operator's cost in the stand-alone problem."""

Account = dict[str, list[tuple[float, Any]]]


@dataclass(frozen=True, kw_only=True)
class ClearingData:
    """Everything the clearing may use.

    `participants` (participant,) are rows of ``net.participant``; limits are p.u., ``inf`` where
    there is none.
    """

    grid: GridData
    line: Timeline
    portfolio: Portfolio
    participants: Array
    max_import: Array
    max_export: Array
    max_trade: Array
    power: Array
    price_buy: Array
    price_sell: Array
    fee_eur_per_mwh: float

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

    @classmethod
    def from_net(cls, net: Any, profiles: xr.Dataset, fee_eur_per_mwh: float) -> Self:
        """Read net and profiles of one day."""
        grid = GridData.from_net(net)
        line = Timeline.from_profiles(profiles)
        rows = frame(net, "participant")
        rows = rows[rows.in_service.to_numpy(bool)].sort_index()

        def limit(name: str) -> Array:
            mw = rows[name].astype(float).fillna(np.inf).to_numpy(float)
            return np.asarray(mw / grid.s_base_mva)

        buy, sell = read_prices(profiles, line)
        return cls(
            grid=grid,
            line=line,
            portfolio=Portfolio.from_net(net, grid, profiles, line),
            participants=rows.index.to_numpy(np.int64),
            max_import=limit("max_import_mw"),
            max_export=limit("max_export_mw"),
            max_trade=limit("max_trade_mw"),
            power=rows.bargaining_power.to_numpy(float),
            price_buy=buy,
            price_sell=sell,
            fee_eur_per_mwh=fee_eur_per_mwh,
        )


def build(data: ClearingData, formulation: Formulation, *, trading: bool) -> Any:
    """Return the Pyomo model of (1)-(5); without `trading`, the stand-alone problem."""
    m = pyo.ConcreteModel(name="trade_day" if trading else "stand_alone")
    line, p = data.line, data.portfolio
    m.TIME = pyo.RangeSet(0, line.n_steps - 1)
    m.ACCOUNT = pyo.RangeSet(0, len(data.accounts) - 1)
    m.injection = fixed_injection(data.grid.n_nodes, line, p.loads, p.generators)
    add_devices(m, p, line, m.injection, formulation)
    m.network = network_block(data.grid, formulation, m.injection)  # (5)
    _add_exchange(m, data)
    _add_trades(m, data, trading=trading)
    _add_balances(m, data)  # (3), (4)
    cost = account_costs(m, data)
    weight = np.ones(len(data.accounts))
    if not trading:
        weight[-1] = ALONE_WEIGHT
    coefs = [w * c for a, w in enumerate(weight) for c, _ in cost[a]]
    variables = [v for a in range(len(weight)) for _, v in cost[a]]
    m.social_cost = pyo.Objective(expr=linear(coefs, variables))  # (1)
    return m


def account_costs(m: Any, data: ClearingData) -> list[list[tuple[float, Any]]]:
    """Return the cost (2) of every account as pairs of coefficient (EUR) and variable."""
    mwh, p = data.step_mwh, data.portfolio
    costs: list[list[tuple[float, Any]]] = [[] for _ in data.accounts]
    place = {int(label): a for a, label in enumerate(data.accounts)}
    for t in m.TIME:
        for a in m.ACCOUNT:
            costs[a].append((mwh * float(data.price_buy[t]), m.buy[a, t]))
            costs[a].append((-mwh * float(data.price_sell[t]), m.sell[a, t]))
        for i, j in m.PAIR:
            for a in (i, j):
                costs[a].append((0.5 * mwh * data.fee_eur_per_mwh, m.trade[i, j, t]))
        for k in m.storage.STORAGE:
            wear = mwh * float(p.storages.degradation_eur_per_mwh[k])
            own = costs[place[int(p.storages.owner[k])]]
            own += [(wear, m.storage.charge[k, t]), (wear, m.storage.discharge[k, t])]
        for k in m.flexible.FLEXIBLE:
            shift = mwh * float(p.flexible.cost_eur_per_mwh[k])
            costs[place[int(p.flexible.owner[k])]].append((shift, m.flexible.up[k, t]))
    return costs


def evaluate_costs(m: Any, data: ClearingData) -> Array:
    """Return the cost of every account (account,), EUR, at the model's values."""
    return np.array([sum(c * v.value for c, v in pairs) for pairs in account_costs(m, data)])


def _add_exchange(m: Any, data: ClearingData) -> None:
    most = sum(m.network.p_source[k, 0].ub for k in m.network.SOURCE)
    limits = {
        "buy": np.append(data.max_import, np.inf),
        "sell": np.append(data.max_export, np.inf),
    }
    for name, limit in limits.items():
        bound = np.minimum(limit, most)
        variable = pyo.Var(m.ACCOUNT, m.TIME, bounds=lambda _, a, _t, b=bound: (0.0, float(b[a])))
        m.add_component(name, variable)


def _add_trades(m: Any, data: ClearingData, *, trading: bool) -> None:
    n = len(data.participants)
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j] if trading else []
    m.PAIR = pyo.Set(dimen=2, initialize=pairs)
    most = sum(m.network.p_source[k, 0].ub for k in m.network.SOURCE)
    limit = np.minimum(data.max_trade, most)
    m.trade = pyo.Var(
        m.PAIR, m.TIME, bounds=lambda _, i, j, _t: (0.0, float(min(limit[i], limit[j])))
    )


def _add_balances(m: Any, data: ClearingData) -> None:
    fixed, movable = _net_loads(m, data)
    sources = list(m.network.SOURCE)
    operator = len(data.participants)

    def account_balance(_: Any, a: int, t: int) -> Any:
        coefs = [1.0, -1.0, *(-c for c, _ in movable[a, t])]
        variables = [m.buy[a, t], m.sell[a, t], *(v for _, v in movable[a, t])]
        for i, j in m.PAIR:
            if a in (i, j):
                coefs.append(1.0 if a == j else -1.0)
                variables.append(m.trade[i, j, t])
        return linear(coefs, variables) == float(fixed[a, t])

    def exchange(_: Any, t: int) -> Any:
        coefs = [1.0] * len(sources) + [-1.0] * (operator + 1) + [1.0] * (operator + 1)
        variables = [m.network.p_source[k, t] for k in sources]
        variables += [m.buy[a, t] for a in m.ACCOUNT] + [m.sell[a, t] for a in m.ACCOUNT]
        return linear(coefs, variables) == 0.0

    m.account_balance = pyo.Constraint(range(operator), m.TIME, rule=account_balance)
    m.exchange = pyo.Constraint(m.TIME, rule=exchange)


def _net_loads(m: Any, data: ClearingData) -> tuple[Array, dict[tuple[int, int], list[Any]]]:
    """Return each account's fixed net load (account, step) and its terms in variables."""
    p, steps = data.portfolio, range(data.line.n_steps)
    place = {int(label): a for a, label in enumerate(data.accounts)}
    fixed = np.zeros((len(data.accounts), data.line.n_steps))
    movable: dict[tuple[int, int], list[tuple[float, Any]]] = defaultdict(list)
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
            movable[a, t] += [(1.0, m.flexible.up[k, t]), (-1.0, m.flexible.down[k, t])]
    return fixed, movable


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
    if data.line.n_days != 1:
        found.append(
            Finding(
                table="profiles",
                rule=f"holds {data.line.n_days} days",
                mend="pass one day: profiles.isel(day=0).rename(hour='time')",
            )
        )
    return found
