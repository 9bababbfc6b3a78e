"""A solved day of trading, and how it is labelled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from pp_p2p.market.clearing import ClearingData, evaluate_costs
from pp_p2p.market.settlement import Settlement
from pp_p2p.market.trades import in_proportion, split_pool
from pp_p2p.names import BUS, BUYER, PARTICIPANT, PARTNER, SELLER
from pp_p2p.network.branches import Array
from pp_p2p.network.formulation import Formulation
from pp_p2p.network.solution import label_devices, label_flows, read_flows
from pp_p2p.solve.report import SolveReport


@dataclass(frozen=True, kw_only=True)
class Day:
    """A solved day: model, report, and what follows from both.

    `cost` (account,) and `fee` (participant,) are EUR, `trades_mwh` (seller, buyer, hour). `worth`
    (participant, hour), EUR/MWh, is what energy is worth to each, where no dual of the model says
    it; `residuals` (primal and dual, iteration) are those of a distributed run.
    """

    model: Any
    report: SolveReport
    cost: Array
    fee: Array
    trades_mwh: Array
    worth: Array | None = None
    residuals: Array | None = None

    @property
    def unproved(self) -> float:
        """Distance of the cost that is minimised from its proven bound, EUR."""
        return abs(self.report.objective - self.report.bound)


def day_of(
    data: ClearingData,
    model: Any,
    report: SolveReport,
    trades: Array,
    *,
    worth: Array | None = None,
    residuals: Array | None = None,
) -> Day:
    """Return the day of a solved model.

    Parameters
    ----------
    data : ClearingData
    model : pyomo.ConcreteModel
        Of `pp_p2p.market.clearing.build`, with values.
    report : SolveReport
    trades : (seller, buyer, hour), p.u.
    worth : (participant, hour), EUR/MWh, optional
    residuals : (2, iteration), optional
    """
    trades_mwh = share_alike(data, model, trades) * data.step_mwh
    price = data.fee_eur_per_mwh[:, :, None]
    if data.mechanism.fee == "nodal_price":
        price = _price_differences(model, data, report)
    half = 0.5 * (trades_mwh * price).sum(axis=2)  # of the trades as they are published
    fee = half.sum(axis=0) + half.sum(axis=1)
    cost = evaluate_costs(model, data)
    cost[:-1] += fee
    return Day(
        model=model,
        report=report,
        cost=cost,
        fee=fee,
        trades_mwh=trades_mwh,
        worth=worth,
        residuals=residuals,
    )


def _duals(constraint: Any, members: Any, data: ClearingData, report: SolveReport) -> Array:
    """Return duals (member, step), EUR per p.u. step; NaN where the solver gave none."""
    return np.array(
        [
            [report.duals.get(constraint[k, t], np.nan) for t in range(data.line.n_steps)]
            for k in members
        ]
    ).reshape(-1, data.line.n_steps)


def _price_differences(model: Any, data: ClearingData, report: SolveReport) -> Array:
    """Return nodal price of the buyer less that of the seller (seller, buyer, hour), EUR/MWh."""
    node = data.participant_node
    duals = _duals(model.network.balance_p, node.tolist(), data, report)
    hourly = duals.reshape(len(node), data.line.n_days, -1).sum(axis=1) / data.step_mwh
    return np.asarray(np.nan_to_num(hourly[None, :, :] - hourly[:, None, :]))


def share_alike(data: ClearingData, model: Any, trades: Array) -> Array:
    """Return trades of the same cost that everyone has a proportional part of, p.u.

    Through a pool, who needs energy in an hour pays the same for it as all others who do: it makes
    no difference who of them takes it from whom. Of these trades those are taken in which everyone
    trades the same part of what it draws or feeds in; exchange with the grid in `model` follows.
    Hours in which a limit of a participant would break stay as they are, and so do days of several
    scenarios, where trades are agreed before power is known.

    Parameters
    ----------
    data : ClearingData
    model : pyomo.ConcreteModel
    trades : (seller, buyer, hour), p.u.
    """
    n, steps = len(data.participants), data.line.n_steps
    if data.pairwise or data.line.n_days > 1 or not trades.any():
        return trades
    grid = np.array([[model.buy[a, t].value - model.sell[a, t].value for t in range(steps)] for a in
                     range(n)])  # fmt: skip
    found = trades.sum(axis=0) - trades.sum(axis=1)
    most = (data.max_trade, data.max_import, data.max_export)
    shared, left, hours = in_proportion(found, grid, most)
    for t in hours.tolist():
        for a in range(n):
            model.buy[a, t].set_value(max(left[a, t], 0.0), skip_validation=True)
            model.sell[a, t].set_value(max(-left[a, t], 0.0), skip_validation=True)
    return split_pool(shared)


def worth_of(day: Day, data: ClearingData) -> Array:
    """Return what a MWh is worth to each participant (participant, hour), EUR/MWh."""
    if day.worth is not None:
        return day.worth
    n, line = len(data.participants), data.line
    duals = _duals(day.model.account_balance, range(n), data, day.report)
    hourly = duals.reshape(n, line.n_days, -1).sum(axis=1) / data.step_mwh
    middle = 0.5 * (data.price_buy + data.price_sell).reshape(line.n_days, -1)
    return np.asarray(np.where(np.isnan(hourly), line.weight @ middle, hourly))


def label_money(data: ClearingData, day: Day, cost_alone: Array, money: Settlement) -> xr.Dataset:
    """Return trades and money by participant; the operator's as scalars."""
    n = len(data.participants)
    after = day.cost + money.payment
    by_account = {
        "cost_alone_eur": cost_alone,
        "cost_before_payment_eur": day.cost,
        "payment_eur": money.payment,
        "cost_eur": after,
        "saving_eur": cost_alone - after,
        "bargaining_power": money.power,
    }
    ds = xr.Dataset({name: (PARTICIPANT, v[:n]) for name, v in by_account.items()})
    ds["fee_eur"] = (PARTICIPANT, day.fee)
    ds["bargaining_group"] = (PARTICIPANT, money.group[:n])
    for name, values in by_account.items():
        ds[f"operator_{name}"] = float(values[n])
    time = data.line.dims[-1]
    trades = day.trades_mwh / data.line.step_h
    ds["trade_mw"] = ((SELLER, BUYER, time), trades)
    ds["net_trade_mw"] = ((PARTICIPANT, time), trades.sum(axis=0) - trades.sum(axis=1))
    labels = dict.fromkeys((PARTICIPANT, SELLER, BUYER), data.participants)
    return ds.assign_coords({**labels, **data.line.coords})


def label_pairs(data: ClearingData, day: Day, money: Settlement) -> xr.Dataset:
    """Return payments and average prices between two, and of each participant."""
    n = len(data.participants)
    bought = day.trades_mwh.sum(axis=2).T
    net = bought - bought.T

    def per_mwh(eur: Array, mwh: Array) -> Array:
        return np.divide(eur, mwh, out=np.full_like(eur, np.nan), where=np.abs(mwh) > 1e-9)

    both = (PARTICIPANT, PARTNER)
    pair_price = per_mwh(money.pair_payment[:n, :n], net)
    return xr.Dataset(
        {
            "pair_payment_eur": (both, money.pair_payment[:n]),
            "pair_price_eur_per_mwh": (both, np.pad(pair_price, ((0, 0), (0, 1)),
                                                    constant_values=np.nan)),
            "average_price_eur_per_mwh": (
                PARTICIPANT,
                per_mwh(money.payment[:n].copy(), net.sum(axis=1)),
            ),
        },
        coords={PARTICIPANT: data.participants, PARTNER: data.accounts},
    )  # fmt: skip


def label_operation(m: Any, data: ClearingData, physics: Formulation) -> xr.Dataset:
    """Return load flow, exchange with the grid and device schedules."""
    line, base = data.line, data.grid.s_base_mva
    flows = read_flows(m.network, m.injection, has_losses=physics.has_losses)
    ds = label_flows(data.grid, flows, line)
    ds = ds.assign_coords({PARTICIPANT: data.participants})

    def rows(variable: Any, keys: Any) -> Array:
        values = [[variable[k, t].value for t in m.TIME] for k in keys]
        return np.array(values).reshape(len(values), *line.shape) * base

    exchange = rows(m.buy, m.ACCOUNT) - rows(m.sell, m.ACCOUNT)
    ds["p_grid_mw"] = ((PARTICIPANT, *line.dims), exchange[:-1])
    ds["operator_p_grid_mw"] = (line.dims, exchange[-1])
    return ds.merge(label_devices(m, data.portfolio, data.grid, line))


def label_prices(day: Day, data: ClearingData) -> xr.Dataset:
    """Return the social cost of one more MWh at each bus, where the solver gave duals."""
    if not day.report.duals:
        return xr.Dataset()
    grid, line = data.grid, data.line
    buses = np.array(sorted(grid.bus_node), dtype=np.int64)
    nodes = grid.nodes_of(buses)
    duals = _duals(day.model.network.balance_p, nodes.tolist(), data, day.report)
    # a load of nobody is the operator's: the balance of its bus, and that of its account
    duals += _duals(day.model.account_balance, [len(data.participants)], data, day.report)
    values = duals / (data.step_mwh * line.step_weight)
    return xr.Dataset(
        {"price_eur_per_mwh": ((BUS, *line.dims), values.reshape(len(buses), *line.shape))},
        coords={**line.coords, BUS: buses},
    ).transpose(*line.dims, BUS)
