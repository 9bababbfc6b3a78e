"""Sellers that choose quantities, buyers that follow: Cournot's game on the buyers' own demand.

While the same pairs trade, buyers' sales ``D = A - N p`` (`followers`) turn into prices
``p = N^-1 (A - q)``, and the game is that of `quantity_game`; pairs are found anew at its prices
until they stay. Where everyone's energy is alike to a buyer (d = 0) and worth the same,

    p = v - sum_i q_i / sum_j (1 / s_j),      x_ji = q_i (1 / s_j) / sum_k (1 / s_k)         (1)
"""

from __future__ import annotations

from typing import Final

import numpy as np

from pp_p2p.algorithms.followers import Followers
from pp_p2p.algorithms.leaders import Led, Sellers
from pp_p2p.algorithms.price_game import Array
from pp_p2p.algorithms.quantity_game import QuantityGame
from pp_p2p.errors import NotConverged

MOST_ROUNDS: Final = 100
"""Times that the pairs that trade are found anew."""

HASTY: Final = 15
"""Rounds after which prices move half as far: pairs may come and go in turn."""

START: Final = 0.1
"""First price, between the lowest and the highest."""

REST: Final = 1e-10
"""Change of a price, relative to the largest, at which pairs count as found."""


def lead_by_quantity(sellers: Sellers, buyers: Followers) -> Led:
    """Return the equilibrium of every hour, and what everyone would regret.

    Raises
    ------
    NotConverged
        The pairs that trade do not settle.
    """
    there = sellers.capacity > 0
    # above the lowest price, at which needs may bind: amounts would then not follow prices
    price = sellers.low + START * (sellers.high - sellers.low)
    history = []
    for rounds in range(1, MOST_ROUNDS + 1):
        intercept, slope, cross = buyers.linear_demand(price)
        live = there & (slope > 0)
        steep = _inverse(slope, cross, live)
        choke = np.where(live, np.einsum("hik,hk->hi", steep, np.where(live, intercept, 0.0)), 0.0)
        game = _game(sellers, choke, steep, live)
        sold, _ = game.solve()
        new = np.where(live, game.price(sold), sellers.high)
        size = max(float(np.abs(new).max(initial=0.0)), 1e-12)
        history.append(float(np.abs(new - price).max(initial=0.0)) / size)
        price = new if rounds <= HASTY else 0.5 * (price + new)
        if history[-1] <= REST:
            amount = buyers.respond(price)[0]
            return _led(game, buyers, sold, price, amount, rounds)
    raise NotConverged(
        f"the pairs that trade in the quantity game did not settle in {MOST_ROUNDS} rounds",
        history=history,
        last=price,
    )


def lead_alike(sellers: Sellers, shared: Array, worth: Array, need: Array) -> Led:
    """Return the equilibrium (1) where all energy is alike.

    Parameters
    ----------
    sellers : Sellers
    shared : (hour, buyer)
        s > 0 of the buyers.
    worth : (hour,)
        What a unit of any seller's is worth to every buyer.
    need : (hour, buyer)
        0 for who does not buy.
    """
    weight = np.where(need > 0, 1.0 / shared, 0.0)
    total = weight.sum(axis=1)
    live = (sellers.capacity > 0) & (total > 0)[:, None]
    per = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
    steep = per[:, None, None] * (live[:, :, None] & live[:, None, :])
    game = _game(sellers, np.where(live, worth[:, None], 0.0), steep, live)
    sold, rounds = game.solve()
    price = np.where(live, game.price(sold), sellers.high)
    amount = (weight * per[:, None])[:, :, None] * sold[:, None, :]
    buyers = Followers(
        worth=np.broadcast_to(worth[:, None, None], amount.shape).copy(),
        own=np.full(need.shape, 1e-300),
        shared=shared,
        need=need,
    )
    return _led(game, buyers, sold, price, amount, rounds)


def _game(sellers: Sellers, choke: Array, steep: Array, live: Array) -> QuantityGame:
    return QuantityGame(
        choke=choke,
        steep=steep,
        cost=np.where(live, sellers.cost, 0.0),
        cost_slope=sellers.cost_slope,
        capacity=np.where(live, sellers.capacity, 0.0),
    )


def _inverse(slope: Array, cross: Array, live: Array) -> Array:
    """Return N^-1 (hour, seller, seller) of the sellers in `live`, 0 elsewhere."""
    both = live[:, :, None] & live[:, None, :]
    eye = np.eye(slope.shape[1])
    matrix = np.where(both, eye * slope[:, :, None] - cross, eye)
    inverse = np.where(both, np.linalg.inv(matrix), 0.0)
    return np.asarray(0.5 * (inverse + inverse.transpose(0, 2, 1)))


def _led(
    game: QuantityGame, buyers: Followers, sold: Array, price: Array, amount: Array, rounds: int
) -> Led:
    return Led(
        price=price,
        amount=amount,
        seller_regret=np.maximum(game.regret(sold), 0.0),
        buyer_regret=np.maximum(buyers.regret(amount, price), 0.0),
        margin=np.ones(len(price)),  # the potential is strictly concave: one equilibrium
        turnover=np.asarray((amount * price[:, None, :]).sum(axis=(1, 2))),
        rounds=rounds,
        searched=np.zeros(len(price), dtype=bool),
    )
