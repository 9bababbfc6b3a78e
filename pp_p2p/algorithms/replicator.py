"""Seller selection by imitation: replicator dynamics of buyers, prices that follow scarcity.

Every buyer deals its need D_j over sellers and the grid in shares y_ji that sum to 1. Shares grow
where a unit is worth more than on average (Paudel et al. 2019, discrete form; reconstructed):

    y_ji <- y_ji [1 + eta_j (U_ji - sum_k y_jk U_jk)],   U_ji = v_ji - p_i - d_j x_ji - s_j sum x_j
    p_i  <- clip(p_i + zeta_i (sum_j x_ji - E_i), low_i, high_i)                            (1)

with x_ji = y_ji D_j and U of the grid 0. At rest all that is taken is worth the same: the choice of
`followers`. Sellers do not steer here; they take prices, and the rest point is a competitive one.
It is approached slowly and tested as such: no price may leave a seller with energy that it would
rather have sold, no share a buyer that would rather have bought elsewhere.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from pp_p2p.algorithms.followers import Followers
from pp_p2p.algorithms.leaders import Led, Sellers
from pp_p2p.algorithms.price_game import Array
from pp_p2p.errors import NotConverged

MOST_STEPS: Final = 40_000
"""Steps before giving up."""

STOP_REGRET: Final = 1e-4
"""Regret of all, relative to the turnover of an hour, at which the dynamics end."""

CHECKED_EVERY: Final = 100

GROWTH: Final = 0.5
"""eta, relative to the largest difference that a buyer's utilities may have."""

PRICE_STEP: Final = 0.05
"""zeta, relative to the slope of demand at which all buyers take from all sellers."""


def imitate(sellers: Sellers, buyers: Followers) -> Led:
    """Return the rest point of (1) for every hour.

    Raises
    ------
    NotConverged
        Regrets stay above `STOP_REGRET` of the turnover; with the largest of each check.
    """
    n = buyers.worth.shape[2]
    there = (buyers.worth > -np.inf) & (buyers.need[..., None] > 0)
    there &= (sellers.capacity > 0)[:, None, :]
    worth = np.where(there, buyers.worth, 0.0)
    share = there / (n + 1.0)
    steep = (there / (buyers.own + buyers.shared)[..., None]).sum(axis=1)
    move = PRICE_STEP / np.maximum(steep, 1e-12)
    price = np.where(sellers.capacity > 0, sellers.low, sellers.high).astype(float)
    reach = np.where(there, worth - sellers.low[:, None, :], 0.0).max(axis=-1, initial=0.0)
    grow = GROWTH / np.maximum(reach + (buyers.own + buyers.shared) * buyers.need, 1e-12)
    history = []
    for step in range(1, MOST_STEPS + 1):
        amount = share * buyers.need[..., None]
        utility = worth - price[:, None, :] - buyers.own[..., None] * amount
        utility = np.where(there, utility - (buyers.shared * amount.sum(-1))[..., None], 0.0)
        mean = (share * utility).sum(-1)
        share = share * (1.0 + grow[..., None] * (utility - mean[..., None]))
        scarce = amount.sum(axis=1) - sellers.capacity
        price = np.clip(price + move * scarce, sellers.low, sellers.high)
        if step % CHECKED_EVERY == 0:
            led = _tested(sellers, buyers, price, np.where(there, amount, 0.0), step)
            history.append(_worst(led))
            if history[-1] <= STOP_REGRET:
                return led
    raise NotConverged(
        f"replicator dynamics did not come to rest in {MOST_STEPS} steps; the largest regret is "
        f"still {history[-1]:.2g} of the turnover",
        history=history,
        last=price,
    )


def _worst(led: Led) -> float:
    regret = np.maximum(led.seller_regret.max(1, initial=0.0), led.buyer_regret.max(1, initial=0.0))
    return float((regret / np.maximum(led.turnover, 1e-12))[led.turnover > 1e-12].max(initial=0.0))


def _tested(sellers: Sellers, buyers: Followers, price: Array, amount: Array, steps: int) -> Led:
    """Return the point with what everyone would regret who takes prices as they are."""
    sold = amount.sum(axis=1)
    wide = price[..., None]
    best = np.maximum(
        sellers.profit(wide, sellers.capacity[..., None])[..., 0],
        sellers.profit(wide, sellers.spare[..., None])[..., 0],
    )
    margin = sellers.game(buyers.linear_demand(price)).margin()
    return Led(
        price=price,
        amount=amount,
        seller_regret=np.maximum(best - sellers.profit(wide, sold[..., None])[..., 0], 0.0),
        buyer_regret=np.maximum(buyers.regret(amount, price), 0.0),
        margin=margin,
        turnover=np.asarray((sold * price).sum(axis=1)),
        rounds=steps,
        searched=np.zeros(len(price), dtype=bool),
    )
