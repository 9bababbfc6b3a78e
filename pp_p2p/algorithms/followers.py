"""Buyers that follow: a strictly convex choice among sellers and the grid, in closed form.

Buyer j needs D_j and takes x_ji >= 0 from seller i at price p_i, the rest from the grid:

    max  sum_i (v_ji - p_i) x_ji - 1/2 (d_j sum_i x_ji^2 + s_j (sum_i x_ji)^2)             (1)
    s.t. sum_i x_ji <= D_j,  x_ji >= 0

v_ji is what a unit from i is worth beside one from the grid: the grid's price, less fees, plus what
j pays for energy of its peers. With d_j = theta_j - sigma_j > 0 and s_j = sigma_j >= 0 this is the
choice of formulations 3.4; it has one solution,

    x_ji = max(0, (v_ji - p_i - t_j) / d_j),  t_j >= 0                                     (2)

t_j (what one more unit from everyone costs) is the largest root over how many sellers m a buyer
takes from, of linear equations in the sum of the m best offers.

As long as the same pairs trade, sales are linear in prices: the demand of `price_game`. Arrays
have the leading axis hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pp_p2p.algorithms.price_game import Array
from pp_p2p.errors import Finding, raise_if_any

NEVER: Final = -1e12
"""What an offer is worth that does not exist."""


@dataclass(frozen=True, kw_only=True)
class Followers:
    """Buyers of every hour.

    Parameters
    ----------
    worth : (hour, buyer, seller)
        v; ``-inf`` where a pair cannot trade.
    own, shared : (hour, buyer)
        d > 0 and s >= 0.
    need : (hour, buyer)
        D >= 0; 0 for who does not buy.
    """

    worth: Array
    own: Array
    shared: Array
    need: Array

    def __post_init__(self) -> None:
        raise_if_any(_findings(self))

    def hours(self, which: npt.NDArray[Any]) -> Followers:
        """Return some hours of the same."""
        return Followers(
            worth=self.worth[which],
            own=self.own[which],
            shared=self.shared[which],
            need=self.need[which],
        )

    def offers(self, price: Array) -> Array:
        """Return ``v - p`` (hour, buyer, seller) at prices (hour, seller)."""
        return np.asarray(self._worth - price[:, None, :])

    @cached_property
    def _worth(self) -> Array:
        """What offers are worth, `NEVER` where there is none."""
        there = np.isfinite(self.worth) & (self.need[..., None] > 0)
        return np.where(there, self.worth, NEVER)

    def respond(self, price: Array) -> tuple[Array, Array]:
        """Return amounts (hour, buyer, seller) and t (hour, buyer) at prices (hour, seller)."""
        offer = self.offers(price)
        level = self._level(offer)
        return np.maximum((offer - level[..., None]) / self.own[..., None], 0.0), level

    def _level(self, offer: Array) -> Array:
        best = -np.sort(-offer, axis=-1)
        total = np.cumsum(best, axis=-1)
        count = np.arange(1, offer.shape[-1] + 1, dtype=float)
        free, bound = _roots(total, count, self.own[..., None], self.shared[..., None],
                             self.need[..., None])  # fmt: skip
        return np.asarray(np.maximum(np.maximum(free, bound).max(axis=-1, initial=0.0), 0.0))

    def demand(self, price: Array) -> Array:
        """Return what each seller sells (hour, seller)."""
        return np.asarray(self.respond(price)[0].sum(axis=1))

    def linear_demand(
        self, price: Array, reply: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array, Array]:
        """Return A, B (hour, seller) and G (hour, seller, seller) while the same pairs trade.

        `reply` is what `respond` returns at `price`, where it is known.
        """
        offer = self.offers(price)
        amount, level = self.respond(price) if reply is None else reply
        taken = amount.sum(axis=-1)
        bound = taken >= self.need * (1.0 - 1e-12)
        free = (offer > level[..., None]).astype(float)
        count = free.sum(axis=-1)
        ratio = self.shared / self.own
        joint = np.where(bound, 1.0 / np.maximum(count, 1.0), ratio / (1.0 + ratio * count))
        lift = np.where(bound, self.need / np.maximum(count, 1.0), 0.0)
        worth = free * self._worth
        mean = joint * worth.sum(axis=-1)
        each = (worth - mean[..., None]) / self.own[..., None] + lift[..., None]
        intercept = (free * each).sum(axis=1)
        pull = joint / self.own
        cross = np.matmul((free * pull[..., None]).transpose(0, 2, 1), free)
        slope = (free * ((1.0 - joint) / self.own)[..., None]).sum(axis=1)
        diagonal = np.arange(cross.shape[-1])
        cross[:, diagonal, diagonal] = 0.0
        return intercept, np.maximum(slope, 0.0), cross

    def demand_if(self, price: Array, tried: Array) -> Array:
        """Return what seller i sells (hour, seller, candidate) if it alone asks `tried` instead.

        Parameters
        ----------
        price : (hour, seller)
        tried : (hour, seller, candidate)
        """
        return np.stack([self._if_hour(h, price[h], tried[h]) for h in range(len(price))])

    def _if_hour(self, h: int, price: Array, tried: Array) -> Array:
        """Return the same of one hour: t is moved from the sellers' own, offer by offer."""
        live = np.flatnonzero(self.need[h] > 0)
        worth = self._worth[h][live]
        n = len(price)
        if not len(live):
            return np.zeros(tried.shape)
        own, shared, need = (a[h][live][:, None, None] for a in (self.own, self.shared, self.need))
        offer = worth - price
        order = np.argsort(-offer, axis=1, kind="stable")
        best = np.take_along_axis(offer, order, axis=1)
        rank = np.argsort(order, axis=1, kind="stable")[:, :, None]
        total = np.concatenate([np.zeros((len(live), 1)), np.cumsum(best, axis=1)], axis=1)
        rim = np.concatenate(
            [np.full((len(live), 1), np.inf), best, np.full((len(live), 1), -np.inf)], axis=1
        )
        mine = worth[:, :, None] - tried[None]
        level = self._level_of(best, own[:, 0], shared[:, 0], need[:, 0])
        count = np.broadcast_to((best > level).sum(axis=1)[:, None, None], mine.shape).copy()
        row = np.broadcast_to(np.arange(len(live))[:, None, None], mine.shape)
        own, shared, need = (np.broadcast_to(a, mine.shape) for a in (own, shared, need))
        rank, before = np.broadcast_to(rank, mine.shape), np.broadcast_to(offer[:, :, None],
                                                                          mine.shape)  # fmt: skip
        level = np.zeros(mine.shape)
        open_ = np.nonzero(np.ones(mine.shape, dtype=bool))
        for _ in range(2 * n + 2):
            m, r = count[open_], row[open_]
            among = rank[open_] < m
            sum_, number = total[r, m] - np.where(among, before[open_], 0.0), m - among
            c = (own[open_], shared[open_], need[open_])
            t = np.maximum(np.maximum(*_roots(sum_, number, *c)),
                           np.maximum(*_roots(sum_ + mine[open_], number + 1, *c)))  # fmt: skip
            t = np.maximum(t, 0.0)
            level[open_] = t
            up, down = rim[r, m + 1] > t, rim[r, m] <= t
            count[open_] = m + up - (down & ~up)
            moved = up | down
            if not moved.any():
                break
            open_ = tuple(axis[moved] for axis in open_)
        return np.asarray((np.maximum(mine - level, 0.0) / own).sum(axis=0))

    @staticmethod
    def _level_of(best: Array, own: Array, shared: Array, need: Array) -> Array:
        total = np.cumsum(best, axis=-1)
        count = np.arange(1, best.shape[-1] + 1, dtype=float)
        free, bound = _roots(total, count, own, shared, need)
        return np.asarray(np.maximum(np.maximum(free, bound).max(-1, keepdims=True), 0.0))

    def utility(self, amount: Array, price: Array) -> Array:
        """Return (1) of each buyer (hour, buyer)."""
        gain = self.offers(price)
        squares = self.own * (amount**2).sum(-1) + self.shared * amount.sum(-1) ** 2
        return np.asarray((gain * amount).sum(-1) - 0.5 * squares)

    def regret(self, amount: Array, price: Array) -> Array:
        """Return a bound of what each buyer (hour, buyer) could gain by another choice.

        (1) is concave, so that no choice y gains more than its gradient at x does,
        ``max_y grad . (y - x)``; the best y is the whole need at the dearest gradient. It does
        not rest on (2).
        """
        slope = self.offers(price) - self.own[..., None] * amount
        slope = slope - (self.shared * amount.sum(-1))[..., None]
        now = (slope * amount).sum(-1)
        return np.asarray(self.need * np.maximum(slope.max(-1, initial=0.0), 0.0) - now)

    def demand_bound(self, price: Array, tried: Array) -> Array:
        """Return a bound (hour, seller, candidate) of `demand_if` that needs no new choice.

        What j takes from i is concave in its price where it is above 0, and so below the tangent at
        `price`; where j takes nothing, below the steepest line from the price at which it would.
        """
        offer = self.offers(price)
        level = self._level(offer)[..., None]
        active = offer > level
        count = active.sum(axis=-1)[..., None] + ~active
        ratio = (self.shared / self.own)[..., None]
        taken = (np.maximum(offer - level, 0.0)).sum(axis=-1) / self.own
        bound = (taken >= self.need * (1.0 - 1e-12))[..., None]
        joint = np.where(bound, 1.0 / np.maximum(count, 1), ratio / (1.0 + ratio * count))
        steep = (1.0 - joint) / self.own[..., None]
        now = np.where(active, (offer - level) / self.own[..., None], (offer - level) * steep)
        out = np.empty(tried.shape)
        for h in range(len(price)):
            moved = price[h][:, None] - tried[h]
            for k in range(tried.shape[2]):
                out[h, :, k] = np.maximum(now[h] + steep[h] * moved[:, k], 0.0).sum(axis=0)
        return out


def _roots(
    total: Array, count: Array, own: Array, shared: Array, need: Array
) -> tuple[Array, Array]:
    """Return t where `count` sellers are taken from whose offers sum to `total`.

    The first where the need does not bind, the second where it does.
    """
    ratio = shared / own
    free = ratio * total / (1.0 + ratio * count)
    bound = np.where(count > 0, (total - own * need) / np.maximum(count, 1), -np.inf)
    return free, bound


def _findings(buyers: Followers) -> list[Finding]:
    found = []
    for name, bad, mend in (
        ("own", ~(buyers.own > 0), "use theta > sigma: a strictly convex choice"),
        ("shared", ~(buyers.shared >= 0), "use sigma >= 0"),
        ("need", ~(np.isfinite(buyers.need) & (buyers.need >= 0)), "use a need >= 0"),
    ):
        if bad.any():
            rows = tuple(np.unique(np.argwhere(bad)[:, 1]).tolist())
            rule = "is not in its range"
            found.append(Finding(table="buyers", column=name, rows=rows, rule=rule, mend=mend))
    return found
