"""`trade_day`: a day of trading between participants, as one labelled result."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import numpy as np
import xarray as xr

from pp_p2p.errors import Finding, UnsupportedFeature
from pp_p2p.market.bargaining import NashBargaining, nash_payments, net_volume_power
from pp_p2p.market.clearing import ClearingData, build, evaluate_costs
from pp_p2p.names import BUS, BUYER, PARTICIPANT, SELLER
from pp_p2p.network.branches import Array
from pp_p2p.network.formulation import Formulation, get_formulation
from pp_p2p.network.limits import solve_or_explain
from pp_p2p.network.solution import converter_slack, label_devices, label_flows, read_flows
from pp_p2p.operation.powerflow import certify
from pp_p2p.operation.provenance import provenance
from pp_p2p.results import input_hash, label
from pp_p2p.solve.report import DEFAULT_CONFIG, SolverConfig, SolveReport

GAIN_TOLERANCE: Final = 1e-6
"""A gain below this share of all cost is the solver's noise: no trade is published."""


def trade_day(
    net: Any,
    profiles: xr.Dataset,
    *,
    mechanism: NashBargaining | None = None,
    formulation: str = "branch_flow",
    algorithm: str = "central",
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
    mechanism : NashBargaining, optional
    formulation : str
        ``"branch_flow"`` or ``"lindistflow"``; stand-alone and cooperation use the same.
    algorithm : str
        ``"central"``.
    solver : SolverConfig
    seed : int
        Stored with the result; the clearing itself draws no random number.

    Returns
    -------
    Dataset
        ``trade_mw(seller, buyer, time)``, ``payment_eur``, ``cost_alone_eur``, ``cost_eur`` (after
        payments), ``saving_eur`` and ``fee_eur`` by participant, ``p_grid_mw(participant, time)``
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
    data = ClearingData.from_net(net, profiles, mechanism.network_fee_eur_per_mwh)
    physics = get_formulation(formulation)
    alone, alone_report = _solve(data, physics, solver, trading=False)
    together, report = _solve(data, physics, solver, trading=True)
    cost_alone, cost = evaluate_costs(alone, data), evaluate_costs(together, data)
    gain = float(cost_alone.sum() - cost.sum())
    noise = GAIN_TOLERANCE * max(float(np.abs(cost_alone).sum()), 1.0)
    traded = gain > noise
    prices = _nodal_prices(together, data, report)
    if not traded:
        together, cost = alone, cost_alone
    trades = _trades(together, data)
    power = _powers(mechanism, data, trades)
    share = cost_alone - cost
    payment = nash_payments(share, power) if traded and power.sum() > 0 else np.zeros(len(cost))
    ds = _operation(together, data, physics).merge(prices)
    ds = ds.merge(_money(data, trades, cost_alone, cost, payment, power))
    flows = read_flows(together.network, together.injection, has_losses=physics.has_losses)
    proof = certify(
        net,
        data.grid,
        flows,
        has_losses=physics.has_losses,
        converter_slack=converter_slack(together, data.portfolio) if physics.has_losses else 0.0,
    )
    options = {
        "mechanism": dataclasses.asdict(mechanism),
        "formulation": formulation,
        "algorithm": algorithm,
        "solver": dataclasses.asdict(solver),
    }
    attrs = provenance(
        "trade_day",
        report,
        proof,
        formulation=physics,
        seed=seed,
        options=options,
        digest=input_hash(net, profiles, options),
    )
    attrs |= {
        "objective_eur": float(cost.sum()),
        "bound_eur": report.bound,
        "gain_eur": gain,
        "gain_tolerance_eur": noise,
        "trade": "agreed" if traded else "none: the gain is below the solver's tolerance",
        "status_alone": alone_report.status.value,
    }
    return label(ds, attrs)


def _solve(
    data: ClearingData, physics: Formulation, solver: SolverConfig, *, trading: bool
) -> tuple[Any, SolveReport]:
    model = build(data, physics, trading=trading)
    problem = "trade_day" if trading else "trade_day, before any trade"
    return model, solve_or_explain(model, data.grid, data.line, solver, problem)


def _trades(m: Any, data: ClearingData) -> Array:
    """Return trades (seller, buyer, step), MW; what is below the solver's tolerance is 0."""
    n = len(data.participants)
    trades = np.zeros((n, n, data.line.n_steps))
    for i, j in m.PAIR:
        trades[i, j] = [max(m.trade[i, j, t].value, 0.0) for t in m.TIME]
    return np.where(trades < 1e-7, 0.0, trades) * data.grid.s_base_mva


def _powers(mechanism: NashBargaining, data: ClearingData, trades: Array) -> Array:
    """Return the bargaining power of every account, the operator last."""
    if mechanism.bargaining_power == "equal":
        own = np.ones(len(data.participants))
    elif mechanism.bargaining_power == "given":
        own = data.power
    else:
        bought_minus_sold = trades.sum(axis=0) - trades.sum(axis=1)
        own = net_volume_power(bought_minus_sold * data.line.step_h)
    return np.append(own, mechanism.operator_power)


def _money(
    data: ClearingData, trades: Array, cost_alone: Array, cost: Array, payment: Array, power: Array
) -> xr.Dataset:
    """Return trades and money by participant; the operator's as scalars."""
    n, mwh = len(data.participants), data.line.step_h
    volume = (trades.sum(axis=(1, 2)) + trades.sum(axis=(0, 2))) * mwh
    after = cost + payment
    by_participant = {
        "cost_alone_eur": cost_alone,
        "cost_before_payment_eur": cost,
        "payment_eur": payment,
        "cost_eur": after,
        "saving_eur": cost_alone - after,
        "bargaining_power": power,
    }
    ds = xr.Dataset({name: (PARTICIPANT, v[:n]) for name, v in by_participant.items()})
    ds["fee_eur"] = (PARTICIPANT, 0.5 * data.fee_eur_per_mwh * volume)
    for name, values in by_participant.items():
        ds[f"operator_{name}"] = float(values[n])
    ds["trade_mw"] = ((SELLER, BUYER, *data.line.dims), trades)
    labels = dict.fromkeys((PARTICIPANT, SELLER, BUYER), data.participants)
    return ds.assign_coords({**labels, **data.line.coords})


def _operation(m: Any, data: ClearingData, physics: Formulation) -> xr.Dataset:
    """Return load flow, exchange with the grid and device schedules."""
    line, base = data.line, data.grid.s_base_mva
    flows = read_flows(m.network, m.injection, has_losses=physics.has_losses)
    ds = label_flows(data.grid, flows, line)
    ds = ds.assign_coords({PARTICIPANT: data.participants})

    def rows(variable: Any, keys: Any) -> Array:
        values = [[variable[k, t].value for t in m.TIME] for k in keys]
        return np.array(values).reshape(len(values), line.n_steps) * base

    buy, sell = rows(m.buy, m.ACCOUNT), rows(m.sell, m.ACCOUNT)
    ds["p_grid_mw"] = ((PARTICIPANT, *line.dims), (buy - sell)[:-1])
    ds["operator_p_grid_mw"] = (line.dims, (buy - sell)[-1])
    return ds.merge(label_devices(m, data.portfolio, data.grid, line))


def _nodal_prices(m: Any, data: ClearingData, report: SolveReport) -> xr.Dataset:
    """Return the social cost of one more MWh at each bus, where the solver gave duals."""
    if not report.duals:
        return xr.Dataset()
    grid, line = data.grid, data.line
    buses = np.array(sorted(grid.bus_node), dtype=np.int64)
    balance = m.network.balance_p
    price = np.array([[report.duals[balance[j, t]] for j in m.network.BUS] for t in m.TIME])
    values = price[:, grid.nodes_of(buses)] / data.step_mwh
    return xr.Dataset(
        {"price_eur_per_mwh": ((*line.dims, BUS), values)}, coords={**line.coords, BUS: buses}
    )


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
