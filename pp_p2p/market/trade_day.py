"""`trade_day`: a day of trading between participants, as one labelled result."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr

from pp_p2p.errors import Finding, UnsupportedFeature
from pp_p2p.market.bargaining import NashBargaining
from pp_p2p.market.clearing import ALONE_WEIGHT, ClearingData, build, evaluate_costs
from pp_p2p.market.settlement import Settlement, bargaining_powers, settle
from pp_p2p.market.trades import read_trades
from pp_p2p.names import BUS, BUYER, PARTICIPANT, PARTNER, SELLER
from pp_p2p.network.branches import Array
from pp_p2p.network.formulation import Formulation, get_formulation
from pp_p2p.network.limits import solve_or_explain
from pp_p2p.network.relaxation import loss_price
from pp_p2p.network.solution import converter_slack, label_devices, label_flows, read_flows
from pp_p2p.network.tightening import PLAIN, Tightening, added_value, require_cone
from pp_p2p.operation.powerflow import Certificate, certify, label_proof
from pp_p2p.operation.provenance import provenance
from pp_p2p.results import input_hash, label
from pp_p2p.solve.report import DEFAULT_CONFIG, SolverConfig, SolveReport

GAIN_TOLERANCE: Final = 1e-6
"""A gain below this share of all cost is the solver's noise: no trade is published."""


@dataclass(frozen=True, kw_only=True)
class _Day:
    """A solved day: model, report, and what follows from both.

    `cost` (account,) and `fee` (participant,) are EUR, `trades_mwh` (seller, buyer, hour).
    """

    model: Any
    report: SolveReport
    cost: Array
    fee: Array
    trades_mwh: Array


def trade_day(
    net: Any,
    profiles: xr.Dataset,
    *,
    mechanism: NashBargaining | None = None,
    formulation: str = "branch_flow",
    algorithm: str = "central",
    tightening: Tightening = PLAIN,
    solver: SolverConfig = DEFAULT_CONFIG,
    seed: int = 0,
) -> xr.Dataset:
    """Trade one day between the participants of `net`.

    Parameters
    ----------
    net : pandapowerNet
        With ``net.participant`` and owned devices (`pp_p2p.assign`); is not changed.
    profiles : Dataset
        One day with dim ``time``: loads, available power, prices (see `pp_p2p.names.PROFILE_DIMS`).
        Prices (or anything else) may have a dim ``scenario`` with ``probability(scenario)``, as of
        `clustering.price_scenarios`: trades are then agreed before, everything else is chosen
        after it is known which scenario comes true.
    mechanism : NashBargaining, optional
    formulation : str
        ``"branch_flow"`` or ``"lindistflow"``; stand-alone and cooperation use the same.
    algorithm : str
        ``"central"``.
    tightening : Tightening
        Of the cone relaxation, of stand-alone and cooperation alike. Costs, gains and payments
        leave its addition to the objective out; nodal prices are those of the tightened problem.
    solver : SolverConfig
    seed : int
        Stored with the result; the clearing itself draws no random number.

    Returns
    -------
    Dataset
        ``trade_mw(seller, buyer, time)``, ``net_trade_mw(participant, time)``, ``payment_eur``,
        ``cost_alone_eur``, ``cost_eur`` (after payments), ``saving_eur`` and ``fee_eur`` by
        participant, ``pair_payment_eur(participant, partner)``, ``p_grid_mw(participant, time)``
        (positive = buys), operation, voltages, loadings, nodal prices, certificates.

    Raises
    ------
    InvalidInput, UnsupportedFeature
        Before anything is solved.
    NoSolution
        The network cannot serve the day even without trading; the limits are named.
    """
    mechanism = mechanism or NashBargaining()
    _require_central(algorithm)
    data = ClearingData.from_net(net, profiles, mechanism, tightening)
    physics = get_formulation(formulation)
    require_cone(tightening, physics)
    alone, alone_proof, weight = _stand_alone(net, data, physics, solver)
    together = _solve(data, physics, solver, trading=True, operator_weight=weight)
    prices = _nodal_prices(together, data)
    gain = _gain(data, alone, together)
    noise = GAIN_TOLERANCE * max(float(np.abs(alone.cost).sum()), 1.0)
    traded = gain > noise
    day = together if traded else dataclasses.replace(alone, report=together.report)
    marginal = None
    if traded and mechanism.bargaining_power == "marginal":
        marginal = gain - _gains_without(data, physics, solver, alone, weight)
    power = bargaining_powers(data, day.trades_mwh, marginal)
    money = settle(data, day.trades_mwh, alone.cost - day.cost, power, _worth(day, data))
    ds = _operation(day.model, data, physics).merge(prices)
    ds = ds.merge(_money(data, day, alone.cost, money)).merge(_pairs(data, day, money))
    proof = _certify(net, data, physics, day)
    ds = ds.merge(label_proof(proof, data.grid, data.portfolio, data.line))
    options = {
        "mechanism": dataclasses.asdict(mechanism),
        "formulation": formulation,
        "algorithm": algorithm,
        "tightening": dataclasses.asdict(tightening),
        "solver": dataclasses.asdict(solver),
    }
    attrs = provenance(
        "trade_day",
        together.report,
        proof,
        formulation=physics,
        seed=seed,
        options=options,
        digest=input_hash(net, profiles, options),
    )
    attrs |= {
        "objective_eur": float(day.cost.sum()),
        "bound_eur": together.report.bound - added_value(together.model),
        "objective_added_eur": added_value(together.model),
        "tightening": options["tightening"],
        "gain_eur": gain,
        "gain_tolerance_eur": noise,
        "trade": "agreed" if traded else "none: the gain is below the solver's tolerance",
        "status_alone": alone.report.status.value,
        "relaxation_alone": "exact" if alone_proof.exact else "inexact",
        "relaxation_gap_alone": alone_proof.relaxation_gap,
        "operator_weight": weight,
        "bargaining_groups": int(money.group.max(initial=-1)) + 1,
    }
    return label(ds, attrs)


def _solve(
    data: ClearingData,
    physics: Formulation,
    solver: SolverConfig,
    *,
    trading: bool,
    without: int | None = None,
    operator_weight: float = ALONE_WEIGHT,
) -> _Day:
    model = build(data, physics, trading=trading, without=without, operator_weight=operator_weight)
    problem = "trade_day" if trading else "trade_day, before any trade"
    report = solve_or_explain(model, data.grid, data.line, solver, problem)
    trades = read_trades(model.trades) * data.step_mwh
    price = data.fee_eur_per_mwh[:, :, None]
    if data.mechanism.fee == "nodal_price":
        price = _price_differences(model, data, report)
    half = 0.5 * (trades * price).sum(axis=2)  # of the trades as they are published
    fee = half.sum(axis=0) + half.sum(axis=1)
    cost = evaluate_costs(model, data)
    cost[:-1] += fee
    return _Day(model=model, report=report, cost=cost, fee=fee, trades_mwh=trades)


def _stand_alone(
    net: Any, data: ClearingData, physics: Formulation, solver: SolverConfig
) -> tuple[_Day, Certificate, float]:
    """Return the day without trades, its certificate, and the weight of the operator's cost."""
    for weight in (ALONE_WEIGHT, 1.0):
        day = _solve(data, physics, solver, trading=False, operator_weight=weight)
        proof = _certify(net, data, physics, day)
        if proof.exact or not physics.has_losses:
            break
    return day, proof, weight


def _certify(net: Any, data: ClearingData, physics: Formulation, day: _Day) -> Certificate:
    flows = read_flows(day.model.network, day.model.injection, has_losses=physics.has_losses)
    slack = converter_slack(day.model, data.portfolio) if physics.has_losses else 0.0
    price = loss_price(flows, data.price_buy, data.price_sell) + data.tightening.loss_weight
    return certify(
        net,
        data.grid,
        flows,
        has_losses=physics.has_losses,
        converter_slack=slack,
        loss_price=price,
    )


def _gain(data: ClearingData, alone: _Day, together: _Day) -> float:
    """Return what all who bargain gain together, EUR."""
    saved = alone.cost - together.cost
    return float(saved.sum() if data.mechanism.operator == "inside" else saved[:-1].sum())


def _gains_without(
    data: ClearingData, physics: Formulation, solver: SolverConfig, alone: _Day, weight: float
) -> Array:
    """Return the gain of all others where one participant stays out of the trades."""
    days = [
        _solve(data, physics, solver, trading=True, without=k, operator_weight=weight)
        for k in range(len(data.participants))
    ]
    return np.array([_gain(data, alone, day) for day in days])


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


def _worth(day: _Day, data: ClearingData) -> Array:
    """Return what a MWh is worth to each participant (participant, hour), EUR/MWh."""
    n, line = len(data.participants), data.line
    duals = _duals(day.model.account_balance, range(n), data, day.report)
    hourly = duals.reshape(n, line.n_days, -1).sum(axis=1) / data.step_mwh
    middle = 0.5 * (data.price_buy + data.price_sell).reshape(line.n_days, -1)
    return np.asarray(np.where(np.isnan(hourly), line.weight @ middle, hourly))


def _money(data: ClearingData, day: _Day, cost_alone: Array, money: Settlement) -> xr.Dataset:
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


def _pairs(data: ClearingData, day: _Day, money: Settlement) -> xr.Dataset:
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


def _operation(m: Any, data: ClearingData, physics: Formulation) -> xr.Dataset:
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


def _nodal_prices(day: _Day, data: ClearingData) -> xr.Dataset:
    """Return the social cost of one more MWh at each bus, where the solver gave duals."""
    if not day.report.duals:
        return xr.Dataset()
    grid, line = data.grid, data.line
    buses = np.array(sorted(grid.bus_node), dtype=np.int64)
    nodes = grid.nodes_of(buses)
    duals = _duals(day.model.network.balance_p, nodes.tolist(), data, day.report)
    values = duals / (data.step_mwh * line.step_weight)
    return xr.Dataset(
        {"price_eur_per_mwh": ((BUS, *line.dims), values.reshape(len(buses), *line.shape))},
        coords={**line.coords, BUS: buses},
    ).transpose(*line.dims, BUS)


def _require_central(algorithm: str) -> None:
    if algorithm != "central":
        raise UnsupportedFeature(
            "trade_day",
            Finding(
                table="algorithm",
                rule=f"{algorithm!r} is not part of this version",
                mend="use algorithm='central'",
            ),
        )
