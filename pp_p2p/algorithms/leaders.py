"""Sellers lead, buyers follow: prices from which nobody gains by moving alone.

Sellers know how buyers (`followers`) answer. While the same pairs trade, sales are linear in prices
and the equilibrium is that of `price_game`, solved by linear equations; pairs are found anew at its
prices until they stay. Hours in which they do not, or in which a seller would rather let some
buyers go, are left to Gauss-Seidel with a search for each seller's best price on the buyers' true
answers; where that runs in a circle there may be no equilibrium in pure strategies, and the cycle
is shown.

Whatever found them, the prices are tried afterwards: for each seller and hour, what it could earn
by any other price, the buyers answering anew. A structure of M leaders and N followers, as in
Paudel et al. (2019), with the price game of Liu et al. (2020), reconstructed.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pp_p2p.algorithms.followers import Followers
from pp_p2p.algorithms.price_game import (
    Array,
    PriceGame,
    search_regret,
    settle_or_show_cycle,
)
from pp_p2p.errors import NotConverged

MOST_ROUNDS: Final = 12
"""Times that the pairs that trade are found anew before the search takes over."""

REST: Final = 1e-9
"""Change of a price, relative to the largest, at which pairs count as found."""

SEARCHED: Final = 2e6
"""Up to this many hours x buyers x sellers x candidates regret is searched on true answers alone;
above, a bound comes first and only who does not meet it is searched."""

FEW: Final = 9
"""Prices tried at once on true answers."""

MANY: Final = 33
"""Prices tried at once on a bound, or for one seller."""

SEARCH_ROUNDS: Final = 14
"""Rounds of the search for a best price; each narrows it to a quarter."""


SEARCH_REST: Final = 2e-7
"""Change of a price, relative to the largest, at which searched prices rest: profits are flat at
their top, so that a search cannot tell prices apart that differ by less."""

SEARCH_SIZE: Final = 10_000
"""Buyers x sellers of an hour above which no search is made: what the linear demand gave stays, and
its regret says what it is worth."""

DOUBT: Final = 1e-9
"""Regret, relative to the turnover of an hour, above which the hour is searched."""


@dataclass(frozen=True, kw_only=True)
class Sellers:
    """Sellers of every hour: arrays (hour, seller), as in `price_game`.

    `capacity` is 0 for who does not sell. `spare` of it has no other use and costs `spare_cost`.
    """

    cost: Array
    cost_slope: Array
    low: Array
    high: Array
    capacity: Array
    spare: Array
    spare_cost: Array

    def game(self, demand: tuple[Array, Array, Array]) -> PriceGame:
        """Return the price game under a linear demand A, B, G."""
        intercept, slope, cross = demand
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return PriceGame(intercept=intercept, slope=slope, cross=cross, **fields)

    def profit(self, price: Array, amount: Array) -> Array:
        """Return what each earns (hour, seller, candidate) by selling `amount` at `price`."""
        own = {f.name: getattr(self, f.name)[..., None] for f in dataclasses.fields(self)}
        first = np.minimum(amount, own["spare"])
        cost = 0.5 * own["cost_slope"] * amount**2 + own["cost"] * (amount - first)
        cost = cost + own["spare_cost"] * first
        cost = cost + (own["high"] - own["cost"]) * np.maximum(amount - own["capacity"], 0.0)
        return np.asarray(price * amount - cost)

    def hours(self, which: npt.NDArray[Any]) -> Sellers:
        """Return some hours of the same."""
        return Sellers(**{f.name: getattr(self, f.name)[which] for f in dataclasses.fields(self)})


@dataclass(frozen=True, kw_only=True)
class Led:
    """What a game of leaders and followers came to.

    Parameters
    ----------
    price : (hour, seller)
    amount : (hour, buyer, seller)
    seller_regret, buyer_regret : (hour, seller), (hour, buyer)
        What each could gain by moving alone; the buyers' is a bound.
    margin : (hour,)
        Room of the uniqueness condition (5) of `price_game` at these prices; positive holds.
    turnover : (hour,)
    rounds : int
    searched : (hour,) of bool
        Hours that needed the search.
    """

    price: Array
    amount: Array
    seller_regret: Array
    buyer_regret: Array
    margin: Array
    turnover: Array
    rounds: int
    searched: Array


def lead(sellers: Sellers, buyers: Followers, steps: Array | None = None) -> Led:
    """Return the equilibrium of every hour, and what everyone would regret.

    `steps` (hour,) is what a message calls the hours; their positions without it.

    Raises
    ------
    NotConverged
        Best prices run in a circle; ``last`` holds it.
    """
    price, rounds, open_ = settle_linear(sellers, buyers)
    amount = buyers.respond(price)[0]
    regret = regret_of_sellers(sellers, buyers, price, amount)
    turnover = (amount * price[:, None, :]).sum(axis=(1, 2))
    open_ |= regret.max(axis=1, initial=0.0) > DOUBT * np.maximum(turnover, 1e-12)
    small = buyers.worth.shape[1] * price.shape[1] <= SEARCH_SIZE
    hours = np.flatnonzero(open_ & small)
    if len(hours):
        mine, theirs = sellers.hours(hours), buyers.hours(hours)
        price[hours] = _search(mine, theirs, price[hours], hours if steps is None else steps[hours])
        amount[hours] = theirs.respond(price[hours])[0]
        regret[hours] = regret_of_sellers(mine, theirs, price[hours], amount[hours])
    return Led(
        price=price,
        amount=amount,
        seller_regret=np.maximum(regret, 0.0),
        buyer_regret=np.maximum(buyers.regret(amount, price), 0.0),
        margin=sellers.game(buyers.linear_demand(price)).margin(),
        turnover=np.asarray((amount * price[:, None, :]).sum(axis=(1, 2))),
        rounds=rounds,
        searched=open_ & small,
    )


def settle_linear(sellers: Sellers, buyers: Followers) -> tuple[Array, int, Any]:
    """Return prices by linear demands, the rounds it took, and hours that did not settle.

    They are tried by nobody: for a search that needs many.
    """
    price = np.clip(0.5 * (sellers.low + sellers.high), sellers.low, sellers.high)
    open_ = np.ones(len(price), dtype=bool)
    rounds = 0
    while rounds < MOST_ROUNDS and open_.any():
        rounds += 1
        mine, theirs = sellers.hours(open_), buyers.hours(open_)
        try:
            new, _ = mine.game(theirs.linear_demand(price[open_])).solve(price[open_])
        except NotConverged:  # the regret of these prices decides whether to search
            break
        size = np.maximum(np.abs(new).max(axis=1, initial=0.0), 1e-12)
        moved = np.abs(new - price[open_]).max(axis=1, initial=0.0) > REST * size
        price[open_] = new
        open_[open_] = moved
    return price, rounds, open_


def regret_of_sellers(sellers: Sellers, buyers: Followers, price: Array, amount: Array) -> Array:
    """Return what each seller could earn more (hour, seller) by another price of its own."""
    size = price.size * buyers.need.shape[1] * FEW
    if size > SEARCHED:
        now = sellers.profit(price[..., None], amount.sum(axis=1)[..., None])[..., 0]

        def at_most(tried: Array) -> Array:
            bound = buyers.demand_bound(price, tried)
            return np.maximum(_best_below(sellers, tried, bound), now[..., None])

        found = search_regret(at_most, price, sellers.low, sellers.high, rounds=2, grid=MANY)
        turnover = max(float((amount * price[:, None, :]).sum()), 1e-12)
        doubtful = np.flatnonzero(found.max(axis=1) > DOUBT * turnover)
        for h in doubtful.tolist():  # the bound leaves them open: try true answers
            one = np.array([h])
            found[h] = _searched(sellers.hours(one), buyers.hours(one), price[one], rounds=2)[0]
        return found
    return _searched(sellers, buyers, price, rounds=SEARCH_ROUNDS)


def _best_below(sellers: Sellers, price: Array, amount: Array) -> Array:
    """Return the most that selling any part of `amount` at `price` may earn."""
    rise = (price - sellers.cost[..., None]) / np.maximum(sellers.cost_slope[..., None], 1e-12)
    wanted = np.where(price > sellers.cost[..., None], rise, 0.0)
    most = np.maximum(np.minimum(wanted, sellers.capacity[..., None]), sellers.spare[..., None])
    return sellers.profit(price, np.minimum(amount, most))


def _searched(sellers: Sellers, buyers: Followers, price: Array, *, rounds: int) -> Array:
    def earned(tried: Array) -> Array:
        return sellers.profit(tried, buyers.demand_if(price, tried))

    return search_regret(earned, price, sellers.low, sellers.high, rounds=rounds, grid=FEW)


def _search(sellers: Sellers, buyers: Followers, start: Array, steps: Array) -> Array:
    """Return prices at which every seller's best price, found by search, is its own."""
    found = np.empty_like(start)
    for h in range(len(start)):
        one = np.array([h])
        mine, theirs = sellers.hours(one), buyers.hours(one)

        def sweep(price: Array, mine: Sellers = mine, theirs: Followers = theirs) -> Array:
            price = price.copy()
            for i in np.flatnonzero(mine.capacity[0] > 0).tolist():
                price[0, i] = _best_price(mine, theirs, price, i)
            return price

        found[h] = settle_or_show_cycle(
            sweep, start[one], f"the price game of step {steps[h]}", rest=SEARCH_REST
        )[0][0]
    return found


def _best_price(sellers: Sellers, buyers: Followers, price: Array, i: int) -> float:
    low, high = float(sellers.low[0, i]), float(sellers.high[0, i])
    left, right, share = low, high, np.linspace(0.0, 1.0, MANY)
    best, most = float(price[0, i]), -np.inf
    alone = Sellers(
        **{f.name: getattr(sellers, f.name)[:, [i]] for f in dataclasses.fields(sellers)}
    )
    many = _repeated(buyers, MANY)
    for _ in range(SEARCH_ROUNDS):
        tried = left + (right - left) * share
        others = np.repeat(price, MANY, axis=0)
        others[:, i] = tried
        earned = alone.profit(tried[None, None], many.demand(others)[:, i][None, None])[0, 0]
        at = int(earned.argmax())
        if earned[at] > most:
            best, most = float(tried[at]), float(earned[at])
        step = (right - left) / (MANY - 1)
        left, right = max(best - step, low), min(best + step, high)
        if right - left <= 1e-13 * max(abs(high), 1.0):
            break
    return best


def _repeated(buyers: Followers, times: int) -> Followers:
    return buyers.hours(np.zeros(times, dtype=np.int64))
