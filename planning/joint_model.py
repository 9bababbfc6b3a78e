"""Models of a joint plan: all accounts within the network, and one participant alone.

Accounts a are the participants and the operator. With integer units z_k of candidates, steps t of
all typical days, and N_t h the hours of a year that a step stands for,

    C_a = sum_(k of a) (CRF_k c_k + om_k) z_k
          + sum_t N_t h [ b_t buy_at - s_t sell_at + devices_at ] + fee_a                   (1)
    buy_at - sell_at + e_at = load_at - generation_at + charge_at - discharge_at            (2)
    sum of external grids = sum_a (buy_at - sell_at)                                        (3)
    load flow and limits of every typical hour                       (pp_p2p.network)       (4)
    sum_a e_at = 0, limits of trades                                 (pp_p2p.market.trades) (5)
    fee_a = sum_t N_t h phi |e_at| / 2                                                      (6)
    EENS(z) <= limit; the operator pays for energy not served        (planning.reliability) (7)
    investments and sites of an account within its own limits        (planning.investment)  (8)

(2) holds for participants; (3) leaves to the operator the load of others and all losses. The
structure is that of a trading day (`pp_p2p.market.clearing`), with investments. Costs are in units
of `MONEY_SCALE` EUR/a.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyomo.environ as pyo

from planning.investment import MONEY_SCALE, add_investment_limits, add_units
from planning.joint_accounts import (
    Terms,
    account_cost,
    add_operator,
    add_participant,
    operator_cost,
)
from planning.joint_data import JointData
from planning.replacement import add_replacements
from pp_p2p.market.trades import net_terms, trade_block
from pp_p2p.network.algebra import linear
from pp_p2p.network.block import Injection, network_block
from pp_p2p.network.devices import fixed_injection
from pp_p2p.network.formulation import Formulation
from pp_p2p.network.tightening import added_losses


def build_joint(data: JointData, formulation: Formulation) -> Any:
    """Return the model of (1)-(8): least cost of all accounts, each of which is in ``m.cost``."""
    m = _model(data, "plan_together")
    year, n = data.year, len(data.participants)
    m.injection = _injection(data)
    m.investor = pyo.Block(range(n), concrete=True)
    for a, label in enumerate(data.participants):
        add_participant(m.investor[a], data, int(label), m.injection, m, formulation)
    add_operator(m, data, formulation)
    _add_network(m, data, formulation)  # (4)
    _add_exchange_limits(m, data)
    limit = np.minimum(data.max_trade, data.most)
    m.trades = trade_block(limit, None, year.line.n_steps)  # (5)
    bought = net_terms(m.trades)

    def account_balance(_: Any, a: int, t: int) -> Any:
        return _balance(m, m.investor[a], a, t, bought[a, t])

    m.account_balance = pyo.Constraint(range(n), m.TIME, rule=account_balance)  # (2)
    _add_exchange(m)  # (3)
    m.cost = pyo.Expression(range(n + 1))
    half = 0.5 * data.fee_eur_per_mwh * data.step_mwh / MONEY_SCALE
    for a in range(n):
        fee = [(float(half[t]), v[a, t]) for v in (m.trades.bought, m.trades.sold) for t in m.TIME]
        m.cost[a] = account_cost(m, m.investor[a], data, a, fee)
    m.cost[n] = operator_cost(m, data)
    per_pu, sops = data.step_mwh / MONEY_SCALE, year.portfolio.sops
    m.added = pyo.Expression(expr=added_losses(m, year.tightening, year.grid, sops, per_pu))
    m.social_cost = pyo.Objective(expr=sum(m.cost[a] for a in m.ACCOUNT) + m.added)
    return m


def build_participant(data: JointData, formulation: Formulation, a: int) -> Any:
    """Return one participant's own plan (1), (2), (8): no network, all others as they are.

    ``traded`` is what it buys net from peers, ``bought`` less ``sold``: whoever solves the model
    says within which bounds, and at what price.

    Parameters
    ----------
    data : JointData
    formulation : Formulation
    a : int
        Position of the participant.
    """
    m = _model(data, "own_plan")
    label = int(data.participants[a])
    for k in m.units:
        if data.year.candidates.owner[k] != label:
            m.units[k].fix(0)
    m.own = pyo.Block(concrete=True)
    none = np.zeros((data.year.grid.n_nodes, data.year.line.n_steps))
    add_participant(m.own, data, label, Injection(p=none, q=none.copy()), m, formulation)
    _add_exchange_limits(m, data)
    most = min(float(data.max_trade[a]), data.most)
    m.bought = pyo.Var(m.TIME, bounds=(0.0, most))
    m.sold = pyo.Var(m.TIME, bounds=(0.0, most))
    m.traded = pyo.Var(m.TIME, bounds=(-most, most))

    def net_trade(_: Any, t: int) -> Any:
        return linear([1.0, -1.0, -1.0], [m.bought[t], m.sold[t], m.traded[t]]) == 0.0

    def account_balance(_: Any, t: int) -> Any:
        return _balance(m, m.own, a, t, [(1.0, m.traded[t])])

    m.net_trade = pyo.Constraint(m.TIME, rule=net_trade)
    m.account_balance = pyo.Constraint(m.TIME, rule=account_balance)
    m.own_cost = pyo.Objective(expr=account_cost(m, m.own, data, a, []))
    return m


def _model(data: JointData, name: str) -> Any:
    m = pyo.ConcreteModel(name=name)
    c, line = data.year.candidates, data.year.line
    m.TIME = pyo.RangeSet(0, line.n_steps - 1)
    m.ACCOUNT = pyo.RangeSet(0, len(data.accounts) - 1)
    counted = any(np.isfinite(limits.max_sites) for limits in data.own_limits.values())
    units, sites = add_units(m, c, sites=counted)
    m.own_limits = pyo.Block(list(data.own_limits), concrete=True)  # (8)
    for account, limits in data.own_limits.items():
        mine = data.candidates_of(account).tolist()
        own, stand = ({k: of[k] for k in mine} for of in (units, sites))
        add_investment_limits(m.own_limits[account], c, own, stand, limits, np.inf)
    return m


def _injection(data: JointData) -> Injection:
    p = data.year.portfolio
    return fixed_injection(data.year.grid.n_nodes, data.year.line, p.loads, p.generators)


def _add_network(m: Any, data: JointData, formulation: Formulation) -> None:
    year = data.year
    m.network = network_block(year.grid, formulation, m.injection, year.tightening)
    units = {k: m.units[k] for k in m.CANDIDATE}
    add_replacements(m.network, year.grid, year.candidates.replacements, units)


def _add_exchange_limits(m: Any, data: JointData) -> None:
    m.rows = data.accounts.tolist()  # labels, for whoever must name an account
    for name, limit in (("buy", data.max_import), ("sell", data.max_export)):
        bound = np.minimum(np.append(limit, np.inf), data.most)
        variable = pyo.Var(m.ACCOUNT, m.TIME, bounds=lambda _, a, _t, b=bound: (0.0, float(b[a])))
        m.add_component(name, variable)


def _balance(m: Any, own: Any, a: int, t: int, bought: Terms) -> Any:
    terms = [(1.0, m.buy[a, t]), (-1.0, m.sell[a, t]), *bought]
    terms += [(-c, v) for c, v in own.movable_load[t]]
    return linear([c for c, _ in terms], [v for _, v in terms]) == float(own.fixed_load[t])


def _add_exchange(m: Any) -> None:
    sources, accounts = list(m.network.SOURCE), list(m.ACCOUNT)

    def exchange(_: Any, t: int) -> Any:
        n = len(accounts)
        coefs = [1.0] * len(sources) + [-1.0] * n + [1.0] * n
        variables = [m.network.p_source[k, t] for k in sources]
        variables += [m.buy[a, t] for a in accounts] + [m.sell[a, t] for a in accounts]
        return linear(coefs, variables) == 0.0

    m.exchange = pyo.Constraint(m.TIME, rule=exchange)
