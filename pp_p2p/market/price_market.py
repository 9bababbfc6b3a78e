"""The market of one day: who sells and buys in which hour, and what they come to.

Net positions of the microgrids' own schedules become sellers and buyers of
`pp_p2p.algorithms.leaders`. A seller counts a MWh at the grid's sale price, one that the grid would
not take at nothing, and asks from the sale price up to what the keenest buyer would pay. Where the
operator limits what a seller may sell to some (`pp_p2p.market.congestion`), its energy is dealt
into two offers beforehand: at most the limit to these, the rest to the others, each at a price of
its own, as zones of a market have.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Final

import numpy as np

from pp_p2p.algorithms.followers import Followers
from pp_p2p.algorithms.leaders import Led, Sellers, lead
from pp_p2p.algorithms.quantity_leaders import lead_alike, lead_by_quantity
from pp_p2p.algorithms.replicator import imitate
from pp_p2p.market.stackelberg import Stackelberg
from pp_p2p.network.branches import Array

SMALLEST_MW: Final = 1e-7
"""Less than this is nobody's offer or need: the solver's tolerance of a schedule."""


@dataclass(frozen=True, kw_only=True)
class Offers:
    """Net positions of a day and the market's data.

    Parameters
    ----------
    surplus, deficit : (participant, hour), MW
    taken_by_grid : (participant, hour), MW
        Most of its surplus that each may sell to the grid.
    price_buy, price_sell : (hour,), EUR/MWh
    fee : (seller, buyer), EUR/MWh
    limit : (participant, hour), MW
        Most that each may sell to `limited`; ``inf`` where there is no limit.
    limited : (seller, buyer, hour) of bool
    """

    surplus: Array
    deficit: Array
    taken_by_grid: Array
    price_buy: Array
    price_sell: Array
    fee: Array
    limit: Array
    limited: Array


@dataclass(frozen=True, kw_only=True)
class Cleared:
    """What a day's market came to.

    `trade_mw` (seller, buyer, hour); `money` (seller, buyer, hour), EUR/h, is what the buyer pays
    the seller; `price` (participant, hour), EUR/MWh, is the mean of what a seller asks, NaN where
    it sells nothing. `regret` (participant, hour), EUR/h; `margin`, `turnover` (hour,).
    """

    trade_mw: Array
    money: Array
    price: Array
    regret: Array
    margin: Array
    turnover: Array
    rounds: int
    searched: Array


def clear_market(offers: Offers, mechanism: Stackelberg) -> Cleared:
    """Return the trades of every hour.

    An hour with sellers alone or buyers alone has no trade.

    Raises
    ------
    NotConverged
        Best prices of an hour run in a circle; the cycle is in the message.
    """
    n, hours = offers.surplus.shape
    sells = (offers.surplus > SMALLEST_MW).any(axis=1)
    buys = (offers.deficit > SMALLEST_MW).any(axis=1)
    both = (offers.surplus > SMALLEST_MW).any(axis=0) & (offers.deficit > SMALLEST_MW).any(axis=0)
    at = np.flatnonzero(both & (offers.price_buy + mechanism.preference_eur_per_mwh
                                - offers.fee.min(initial=0.0) > offers.price_sell))  # fmt: skip
    by, to = np.flatnonzero(sells), np.flatnonzero(buys)
    trade, money = np.zeros((n, n, hours)), np.zeros((n, n, hours))
    price, regret = np.full((n, hours), np.nan), np.zeros((n, hours))
    margin, turnover = np.ones(hours), np.zeros(hours)
    searched = np.zeros(hours, dtype=bool)
    rounds = 0
    if len(at):
        owner, sellers, buyers = _players(offers, mechanism, by, to, at)
        led = _compete(sellers, buyers, mechanism, at)
        sold = led.amount.sum(axis=1)  # searched prices leave rounding above a capacity
        over = np.divide(sellers.capacity, sold, out=np.ones_like(sold), where=sold > 0)
        led = dataclasses.replace(led, amount=led.amount * np.minimum(over, 1.0)[:, None, :])
        pays = led.amount * led.price[:, None, :]
        for k, i in enumerate(owner.tolist()):
            trade[i, to[:, None], at] += led.amount[:, :, k].T
            money[i, to[:, None], at] += pays[:, :, k].T
            regret[i, at] += led.seller_regret[:, k]
        regret[to[:, None], at] += led.buyer_regret.T
        margin[at], turnover[at], searched[at] = led.margin, led.turnover, led.searched
        sold = trade.sum(axis=1)
        np.divide(money.sum(axis=1), sold, out=price, where=sold > SMALLEST_MW)
        rounds = led.rounds
    return Cleared(
        trade_mw=trade,
        money=money,
        price=price,
        regret=regret,
        margin=margin,
        turnover=turnover,
        rounds=rounds,
        searched=searched,
    )


def _compete(sellers: Sellers, buyers: Followers, mechanism: Stackelberg, steps: Array) -> Led:
    if mechanism.selection == "replicator":
        return imitate(sellers, buyers)
    if mechanism.alike:
        worth = buyers.worth.max(axis=(1, 2))
        return lead_alike(sellers, buyers.shared, worth, buyers.need)
    if mechanism.competition == "quantity":
        return lead_by_quantity(sellers, buyers)
    return lead(sellers, buyers, steps)


def _players(
    offers: Offers, mechanism: Stackelberg, by: Array, to: Array, at: Array
) -> tuple[Array, Sellers, Followers]:
    """Return the owner of every offer (offer,), the offers and the buyers of the hours `at`."""
    surplus = np.where(offers.surplus > SMALLEST_MW, offers.surplus, 0.0)[by][:, at].T
    need = np.where(offers.deficit > SMALLEST_MW, offers.deficit, 0.0)[to][:, at].T
    limit = offers.limit[by][:, at].T
    dealt = np.isfinite(limit)
    split = np.flatnonzero(dealt.any(axis=0))
    across = np.minimum(np.where(dealt, limit, 0.0), surplus)
    capacity = np.concatenate([surplus - across, across[:, split]], axis=1)
    beyond = np.maximum(surplus - offers.taken_by_grid[by][:, at].T, 0.0)
    part = np.divide(beyond, surplus, out=np.zeros_like(surplus), where=surplus > 0)
    spare = capacity * np.concatenate([part, part[:, split]], axis=1)
    sale = np.repeat(offers.price_sell[at][:, None], capacity.shape[1], axis=1)
    steers = mechanism.competition == "price" and mechanism.selection == "convex"
    most = offers.price_buy[at] + mechanism.preference_eur_per_mwh
    sellers = Sellers(
        cost=sale,
        cost_slope=np.zeros_like(sale),
        low=sale,
        high=np.maximum(np.repeat(most[:, None], sale.shape[1], axis=1), sale),
        capacity=capacity,
        spare=spare if steers else np.zeros_like(spare),
        spare_cost=np.zeros_like(sale),
    )
    barred = offers.limited[np.ix_(by, to, at)].transpose(2, 1, 0)
    open_ = np.concatenate([~barred, barred[:, :, split]], axis=2) & (capacity > 0)[:, None, :]
    fee = offers.fee[np.ix_(by, to)].T
    worth = most[:, None, None] - np.concatenate([fee, fee[:, split]], axis=1)
    worth = np.where(open_, worth, -np.inf)
    return np.concatenate([by, by[split]]), sellers, _followers(worth, need, sale, mechanism)


def _followers(worth: Array, need: Array, sale: Array, mechanism: Stackelberg) -> Followers:
    """Return buyers with the utility (1) of `pp_p2p.market.stackelberg`."""
    count = np.isfinite(worth).sum(axis=2)
    reach = worth.max(axis=2, initial=-np.inf) - sale[:, :1]
    need = np.where(reach > 0, need, 0.0)
    s = mechanism.substitution
    wanted = np.where(need > 0, mechanism.peer_share * need * (1.0 + (count - 1.0) * s), 1.0)
    theta = np.where(need > 0, np.where(need > 0, reach, 1.0) * count / wanted, 1.0)
    own = theta * (1.0 - s) if not mechanism.alike else theta
    return Followers(worth=worth, own=own, shared=theta * s, need=need)
