"""A day that is cleared without the network and then brought within its limits.

    clear the market -> AC power flow -> limits broken? -> market capacity -> clear anew     (1)

for the day without trades (sales to the grid alone) and for the day with them, whatever the
mechanism. Losses of the power flow are the operator's, at the grid's prices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from pp_p2p.errors import NoSolution, NotConverged
from pp_p2p.market.bargaining import NashBargaining
from pp_p2p.market.clearing import ClearingData, evaluate_costs
from pp_p2p.market.congestion import (
    Capacity,
    CongestionManagement,
    Sold,
    tighten,
)
from pp_p2p.market.day_result import share_alike
from pp_p2p.market.network_state import Network, State
from pp_p2p.market.own_schedules import OwnSchedules, Schedule
from pp_p2p.market.price_market import Cleared, Offers, clear_market
from pp_p2p.market.stackelberg import Stackelberg
from pp_p2p.market.trades import read_trades
from pp_p2p.network.branches import Array
from pp_p2p.solve.report import SolverConfig

LAST_ROUNDS: Final = 100
"""Rounds after those that are asked for in which sales are cut to nothing, before giving up."""


@dataclass(frozen=True, kw_only=True)
class Market:
    """What a market of a day came to: `trades` (seller, buyer, hour), p.u., and its schedule.

    `cleared` is what sellers and buyers came to, where they compete.
    """

    schedule: Schedule
    trades: Array
    cleared: Cleared | None = None


@dataclass(frozen=True, kw_only=True)
class Managed:
    """A market within the network's limits, or not, where nobody manages them.

    `broken` (round,) counts broken limits (rows and hours), `overload` (round,) is the largest
    excess of a loading, %, and `limited_mw` (round,) the sum of what sellers lost to limits.
    """

    market: Market
    state: State
    capacity: Capacity
    broken: Array
    overload: Array
    limited_mw: Array


def manage(
    clear: Callable[[Capacity], Market],
    data: ClearingData,
    network: Network,
    how: CongestionManagement | None,
    solver: SolverConfig,
) -> Managed:
    """Return the market that (1) ends with; without `how`, the first.

    Raises
    ------
    NoSolution
        Limits that do not hold without any sale, or no load flow.
    """
    n, hours = len(data.participants), data.line.n_steps
    capacity = Capacity.endless(n, hours)
    broken, overload, limited = [], [], []
    first: Array | None = None
    for k in range(LAST_ROUNDS + (0 if how is None else how.max_rounds)):
        market = clear(capacity)
        state = network.state(market.schedule.flows)
        _require_flow(data, state)
        violations = network.violations(state)
        sold = _sold(data, market)
        total = sold.trade.sum(axis=1) + sold.grid
        first = total if first is None else first
        broken.append(len(violations))
        overload.append(max((v.excess for v in violations if v.table != "bus"), default=0.0))
        limited.append(float(np.maximum(first - total, 0.0).sum()) * data.grid.s_base_mva)
        if how is None or how.rule == "watch" or not violations:
            return Managed(
                market=market,
                state=state,
                capacity=capacity,
                broken=np.array(broken),
                overload=np.array(overload),
                limited_mw=np.array(limited),
            )
        forced = k >= how.max_rounds
        capacity = tighten(
            capacity, sold, violations, how, line=data.line, solver=solver, forced=forced
        )
    raise NotConverged(
        f"congestion management did not come to rest in {len(broken)} rounds; {broken[-1]} limits "
        "are still broken",
        history=[float(count) for count in broken],
    )


def alone_market(own: OwnSchedules, n: int, hours: int) -> Callable[[Capacity], Market]:
    """Return the clearing without trades."""

    def clear(capacity: Capacity) -> Market:
        return Market(schedule=own.alone(capacity), trades=np.zeros((n, n, hours)))

    return clear


def bargained_market(own: OwnSchedules, data: ClearingData) -> Callable[[Capacity], Market]:
    """Return the clearing of those who minimise the social cost and bargain over money."""

    def clear(capacity: Capacity) -> Market:
        schedule = own.together(capacity)
        trades = read_trades(schedule.model.trades)
        if not capacity.binds:  # through a pool many trades cost the same
            trades = share_alike(data, schedule.model, trades)
        return Market(schedule=schedule, trades=trades)

    return clear


def strategic_market(
    own: OwnSchedules, data: ClearingData, mechanism: Stackelberg, fee: Array
) -> Callable[[Capacity], Market]:
    """Return the clearing of those who compete."""
    n, base = len(data.participants), data.grid.s_base_mva
    free = np.minimum(data.max_export, 1e6)
    limited_exports = bool(np.isfinite(data.max_export).any())
    offer = own.offer() if limited_exports else own.alone(Capacity.endless(n, data.line.n_steps))
    net = (offer.rows("buy", n) - offer.rows("sell", n)) * base
    most = data.max_trade[:, None] * base

    def clear(capacity: Capacity) -> Market:
        cleared = clear_market(
            Offers(
                surplus=np.minimum(np.maximum(-net, 0.0), most),
                deficit=np.minimum(np.maximum(net, 0.0), most),
                taken_by_grid=np.minimum(free[:, None], capacity.grid) * base,
                price_buy=data.price_buy,
                price_sell=data.price_sell,
                fee=fee,
                limit=capacity.limit * base,
                limited=capacity.limited,
            ),
            mechanism,
        )
        trades = cleared.trade_mw / base
        return Market(schedule=own.with_trades(trades, capacity), trades=trades, cleared=cleared)

    return clear


def costs_with_losses(data: ClearingData, managed: Managed) -> Array:
    """Return the cost of every account (account,), EUR, losses at the operator's."""
    model = managed.market.schedule.model
    cost = evaluate_costs(model, data)
    exchange, lost = operator_exchange(data, managed)
    for power, sign in ((exchange + lost, 1.0), (exchange, -1.0)):
        paid = data.price_buy * np.maximum(power, 0.0) - data.price_sell * np.maximum(-power, 0.0)
        cost[-1] += sign * data.step_mwh * float(paid.sum())
    return cost


def operator_exchange(data: ClearingData, managed: Managed) -> tuple[Array, Array]:
    """Return what the operator takes from the grid without losses (hour,), and losses, p.u."""
    model, a = managed.market.schedule.model, len(data.participants)
    exchange = np.array([model.buy[a, t].value - model.sell[a, t].value for t in model.TIME])
    return exchange, managed.state.solved.loss_mw / data.grid.s_base_mva


def _sold(data: ClearingData, market: Market) -> Sold:
    n = len(data.participants)
    grid = market.schedule.rows("sell", n)
    spread = (data.price_buy - data.price_sell)[None, None, :]
    worth = spread - data.fee_eur_per_mwh[:, :, None] + np.zeros_like(market.trades)
    if market.cleared is not None:
        asked = np.nan_to_num(market.cleared.price, nan=0.0)[:, None, :]
        bid = data.price_buy[None, None, :] - data.fee_eur_per_mwh[:, :, None]
        worth = np.maximum(bid - asked, 0.0) + np.zeros_like(market.trades)
    return Sold(trade=market.trades, grid=grid, worth=worth, grid_worth=np.zeros_like(grid))


def _require_flow(data: ClearingData, state: State) -> None:
    lost = np.flatnonzero(~state.solved.converged)
    if len(lost):
        named = ", ".join(data.line.label(int(t)) for t in lost[:5])
        raise NoSolution(
            f"the market's schedule has no load flow in {len(lost)} hours ({named}): lower loads "
            "or feed-in, or use NashBargaining without congestion management"
        )


def fees_of(data: ClearingData, mechanism: NashBargaining | Stackelberg, trades: Array) -> Array:
    """Return the network fees of each participant (participant,), EUR.

    Both sides pay half in a bargain; buyers pay all where they choose by what they pay.
    """
    paid = (trades.sum(axis=2) * data.step_mwh) * data.fee_eur_per_mwh
    if isinstance(mechanism, Stackelberg):
        return np.asarray(paid.sum(axis=0))
    return np.asarray(0.5 * (paid.sum(axis=0) + paid.sum(axis=1)))
