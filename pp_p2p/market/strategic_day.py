"""`trade_day` of a market that is cleared without the network: strategic, or under management."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
import xarray as xr

from pp_p2p.market.bargaining import NashBargaining
from pp_p2p.market.clearing import ClearingData
from pp_p2p.market.congestion import CongestionManagement
from pp_p2p.market.day_bargain import gain_of, least_gain
from pp_p2p.market.day_result import Day, label_money, label_pairs, worth_of
from pp_p2p.market.managed_day import (
    Managed,
    alone_market,
    bargained_market,
    costs_with_losses,
    fees_of,
    manage,
    operator_exchange,
    strategic_market,
)
from pp_p2p.market.network_state import Network
from pp_p2p.market.own_schedules import OwnSchedules
from pp_p2p.market.price_market import Cleared
from pp_p2p.market.settlement import Settlement, bargaining_powers, settle
from pp_p2p.market.stackelberg import Stackelberg
from pp_p2p.names import PARTICIPANT
from pp_p2p.network.branches import Array
from pp_p2p.network.solution import label_devices
from pp_p2p.results import input_hash, label
from pp_p2p.solve.report import SolverConfig
from pp_p2p.version import __version__

ROUND = "congestion_round"


def managed_trade_day(
    net: Any,
    profiles: xr.Dataset,
    mechanism: NashBargaining | Stackelberg,
    congestion: CongestionManagement | None,
    *,
    solver: SolverConfig,
    seed: int,
) -> xr.Dataset:
    """Return the result of `pp_p2p.trade_day` for a market that does not see the network."""
    started = time.perf_counter()
    data = ClearingData.from_net(net, profiles, _bargain(mechanism))
    n, hours = len(data.participants), data.line.n_steps
    own, network = OwnSchedules(data, solver), Network(net, data)
    alone = manage(alone_market(own, n, hours), data, network, congestion, solver)
    if isinstance(mechanism, Stackelberg):
        clear = strategic_market(own, data, mechanism, data.fee_eur_per_mwh)
    else:
        clear = bargained_market(own, data)
    managed = manage(clear, data, network, congestion, solver)
    cost_alone = costs_with_losses(data, alone)
    day = _day(data, managed, mechanism)
    if isinstance(mechanism, NashBargaining) and not _agreed(data, cost_alone, day):
        managed, day = alone, _day(data, alone, mechanism)
    money = _money(data, managed, day, cost_alone)
    ds = _operation(data, managed)
    ds = ds.merge(label_money(data, day, cost_alone, money)).merge(label_pairs(data, day, money))
    ds = ds.merge(_management(data, managed))
    options = {
        "mechanism": {"kind": type(mechanism).__name__, **dataclasses.asdict(mechanism)},
        "congestion": None if congestion is None else dataclasses.asdict(congestion),
        "solver": dataclasses.asdict(solver),
    }
    report = managed.market.schedule.report
    attrs: dict[str, object] = {
        "problem": "trade_day",
        "status": report.status.value,
        "termination": report.termination,
        "gap": report.gap,
        "iterations": report.iterations,
        "solver": f"{report.solver} {report.version}",
        "seconds": time.perf_counter() - started,
        "formulation": "ac power flow",
        "relaxation": "exact",
        "relaxation_gap": 0.0,
        "ac_vm_error_pu": 0.0,
        "version": __version__,
        "input_hash": input_hash(net, profiles, options),
        "seed": seed,
        "options": options,
        "mechanism": type(mechanism).__name__,
        "objective_eur": float(day.cost.sum()),
        "gain_eur": float((cost_alone - day.cost).sum()),
        "trade": "cleared" if day.trades_mwh.any() else "none: no hour has a trade that pays",
        "limits_broken_alone": int(alone.broken[-1]),
        "limits_broken": int(managed.broken[-1]),
    }
    if managed.market.cleared is not None and isinstance(mechanism, Stackelberg):
        ds, attrs = _with_verdict(
            ds, attrs, data, mechanism, managed.market.cleared, limited=managed.capacity.binds
        )
        ds = ds.drop_vars(["bargaining_power", "operator_bargaining_power", "bargaining_group"])
    return label(ds, attrs, net)


def _bargain(mechanism: NashBargaining | Stackelberg) -> NashBargaining:
    """Return the bargain whose data a strategic market shares."""
    if isinstance(mechanism, NashBargaining):
        return mechanism
    return NashBargaining(
        network_fee_eur_per_mwh=mechanism.network_fee_eur_per_mwh,
        fee=mechanism.fee,
        operator="outside",
    )


def _day(data: ClearingData, managed: Managed, mechanism: NashBargaining | Stackelberg) -> Day:
    fee = fees_of(data, mechanism, managed.market.trades)
    cost = costs_with_losses(data, managed)
    cost[:-1] += fee
    schedule = managed.market.schedule
    return Day(
        model=schedule.model,
        report=schedule.report,
        cost=cost,
        fee=fee,
        trades_mwh=managed.market.trades * data.step_mwh,
    )


def _agreed(data: ClearingData, cost_alone: Array, day: Day) -> bool:
    return gain_of(data, cost_alone, day.cost) > least_gain(cost_alone)


def _money(
    data: ClearingData,
    managed: Managed,
    day: Day,
    cost_alone: Array,
) -> Settlement:
    """Return who pays whom: by the bargain, or what sellers asked."""
    n = len(data.participants)
    cleared = managed.market.cleared
    if cleared is None:
        power = bargaining_powers(data, day.trades_mwh, None)
        return settle(data, day.trades_mwh, cost_alone - day.cost, power, worth_of(day, data))
    paid = cleared.money.sum(axis=2).T * data.line.step_h  # (buyer, seller)
    pairs = np.zeros((n + 1, n + 1))
    pairs[:n, :n] = paid - paid.T
    return Settlement(
        payment=pairs.sum(axis=1),
        power=np.zeros(n + 1),
        pair_payment=pairs,
        group=np.full(n + 1, -1),
    )


def _operation(data: ClearingData, managed: Managed) -> xr.Dataset:
    """Return devices, exchange with the grid and the AC power flow."""
    schedule, base, n = managed.market.schedule, data.grid.s_base_mva, len(data.participants)
    ds = label_devices(schedule.model, data.portfolio, data.grid, data.line)
    ds = ds.assign_coords({PARTICIPANT: data.participants})
    exchange = (schedule.rows("buy", n) - schedule.rows("sell", n)) * base
    ds["p_grid_mw"] = ((PARTICIPANT, *data.line.dims), exchange)
    taken, lost = operator_exchange(data, managed)
    ds["operator_p_grid_mw"] = (data.line.dims, (taken + lost) * base)
    return ds.merge(managed.state.label())


def _management(data: ClearingData, managed: Managed) -> xr.Dataset:
    """Return market capacities and how the rounds of management went."""
    base, time_ = data.grid.s_base_mva, data.line.dims[-1]

    def mw(values: Array) -> Array:
        return np.where(np.isfinite(values), values * base, np.nan)

    by = (PARTICIPANT, time_)
    return xr.Dataset(
        {
            "market_capacity_mw": (by, mw(managed.capacity.limit)),
            "grid_capacity_mw": (by, mw(managed.capacity.grid)),
            "limits_broken_by_round": (ROUND, managed.broken),
            "overload_by_round_percent": (ROUND, managed.overload),
            "sales_lost_by_round_mw": (ROUND, managed.limited_mw),
        },
        coords={PARTICIPANT: data.participants, ROUND: np.arange(1, len(managed.broken) + 1)},
    )


def _with_verdict(
    ds: xr.Dataset,
    attrs: dict[str, object],
    data: ClearingData,
    mechanism: Stackelberg,
    cleared: Cleared,
    *,
    limited: bool,
) -> tuple[xr.Dataset, dict[str, object]]:
    """Add prices and regrets, and whether they make an equilibrium."""
    time_, hours = data.line.dims[-1], data.line.step_h
    regret = cleared.regret.sum(axis=1) * hours
    turnover = float(cleared.turnover.sum()) * hours
    ds["seller_price_eur_per_mwh"] = ((PARTICIPANT, time_), cleared.price)
    ds["regret_eur"] = (PARTICIPANT, regret)
    ds["uniqueness_margin"] = (time_, cleared.margin)
    ds["searched"] = (time_, cleared.searched.astype(np.int8))
    worst = float(regret.max(initial=0.0))
    holds = worst <= mechanism.tolerance * turnover
    kind = {"price": "price game", "quantity": "quantity game"}[mechanism.competition]
    if mechanism.selection == "replicator":
        kind = "prices taken as given"
    word = f"equilibrium ({kind})" if holds else (
        f"not an equilibrium: someone would gain {worst:.2g} EUR, more than "
        f"{mechanism.tolerance:.0e} of the turnover, by moving alone"
    )  # fmt: skip
    traded = cleared.turnover > 0
    word = word if traded.any() else "nothing is traded"
    unique = holds and bool((cleared.margin[traded] > 0).all()) and not cleared.searched.any()
    return ds, {
        **attrs,
        "equilibrium": word,
        "regret_eur": worst,
        "regret_tolerance": mechanism.tolerance,
        "turnover_eur": turnover,
        "existence": _existence(mechanism, limited=limited),
        "unique": "condition holds" if unique else "condition does not hold",
        "game_rounds": cleared.rounds,
    }


def _existence(mechanism: Stackelberg, *, limited: bool) -> str:
    """Return whether theory gives an equilibrium beforehand, and why."""
    if mechanism.competition == "quantity":
        return "guaranteed: the game has a concave potential"
    if mechanism.selection == "replicator":
        return "guaranteed: competitive prices of a concave market"
    if mechanism.fee == "postage_stamp" and not limited:
        return "guaranteed: all buyers let a seller go at the same price, profits are quasi-concave"
    return "not guaranteed: buyers let a seller go at different prices; the regret decides"
