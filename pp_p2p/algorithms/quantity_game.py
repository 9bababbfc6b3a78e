"""A quantity game among sellers: each chooses how much it sells, prices follow.

Prices are what buyers pay for the amounts that are offered, ``p = alpha - K q``, K symmetric and
positive semidefinite (what buyers' choices of `followers` add up to), costs as in `price_game`:

    max  (alpha_i - sum_k K_ik q_k) q_i - b_i q_i - 1/2 a_i q_i^2,   0 <= q_i <= E_i        (1)
    q_i = clip( (alpha_i - b_i - sum_{k != i} K_ik q_k) / (2 K_ii + a_i), 0, E_i )          (2)

Cournot's game. All goods may be alike, and capacities may bind: (1) has an exact potential that is
strictly concave where K_ii > 0,

    sum_i (alpha_i - b_i) q_i - 1/2 q'(K + diag K + diag a) q                               (3)

so that an equilibrium in pure strategies exists, is the only one, and (2), taken in turn, finds it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pp_p2p.algorithms.price_game import (
    Array,
    search_regret,
    settle_or_show_cycle,
)
from pp_p2p.errors import Finding, raise_if_any


@dataclass(frozen=True, kw_only=True)
class QuantityGame:
    """A game (1); arrays (..., seller), `steep` K (..., seller, seller)."""

    choke: Array
    steep: Array
    cost: Array
    cost_slope: Array
    capacity: Array

    def __post_init__(self) -> None:
        raise_if_any(_findings(self))

    @property
    def _own(self) -> Array:
        return np.asarray(np.diagonal(self.steep, axis1=-2, axis2=-1))

    def price(self, amount: Array) -> Array:
        """Return the price of each seller's energy."""
        return np.asarray(self.choke - np.einsum("...ik,...k->...i", self.steep, amount))

    def profit(self, amount: Array) -> Array:
        """Return what each earns."""
        return self._earned(amount, self.price(amount))

    def _earned(self, amount: Array, price: Array) -> Array:
        return np.asarray((price - self.cost) * amount - 0.5 * self.cost_slope * amount**2)

    def best_response(self, amount: Array) -> Array:
        """Return the amount (2) of each seller to the others'."""
        free = self.price(amount) + self._own * amount - self.cost
        bend = 2.0 * self._own + self.cost_slope
        wanted = np.divide(free, bend, out=np.zeros_like(free), where=bend > 0)
        return np.asarray(np.clip(wanted, 0.0, self.capacity))

    def solve(self) -> tuple[Array, int]:
        """Return the equilibrium by Gauss-Seidel, and its sweeps.

        Raises
        ------
        NotConverged
            The sweeps did not come to rest.
        """
        own, bend = self._own, 2.0 * self._own + self.cost_slope

        def sweep(amount: Array) -> Array:
            amount = amount.copy()
            for i in range(amount.shape[-1]):
                others = (self.steep[..., i, :] * amount).sum(-1) - own[..., i] * amount[..., i]
                free = self.choke[..., i] - self.cost[..., i] - others
                wanted = np.divide(free, bend[..., i], out=np.zeros_like(free),
                                   where=bend[..., i] > 0)  # fmt: skip
                amount[..., i] = np.clip(wanted, 0.0, self.capacity[..., i])
            return amount

        return settle_or_show_cycle(sweep, np.zeros(self.choke.shape), "the quantity game")

    def regret(self, amount: Array) -> Array:
        """Return what each could earn more by another amount (..., seller), by search alone."""
        others = self.price(amount) + self._own * amount

        def earned(tried: Array) -> Array:
            price = others[..., None] - self._own[..., None] * tried
            return np.asarray(
                (price - self.cost[..., None]) * tried - 0.5 * self.cost_slope[..., None] * tried**2
            )

        most = np.where(self._own > 0, np.maximum(self.choke, 0.0) / np.maximum(self._own, 1e-300),
                        0.0)  # fmt: skip
        high = np.minimum(np.maximum(most, amount), self.capacity)
        return search_regret(earned, amount, np.zeros(amount.shape), high)


def _findings(game: QuantityGame) -> list[Finding]:
    found = []
    symmetric = np.allclose(game.steep, np.swapaxes(game.steep, -1, -2), rtol=1e-9)
    for column, bad, rule, mend in (
        ("steep", not symmetric, "is not symmetric", "add up buyers' choices"),
        ("steep", bool((game._own < 0).any()), "has a negative diagonal: prices rise with sales",
         "give own-price slopes <= 0"),
        ("cost_slope", bool((game.cost_slope < 0).any()), "is negative", "use a number >= 0"),
        ("capacity", bool((game.capacity < 0).any()), "is negative", "use a number >= 0"),
    ):  # fmt: skip
        if bad:
            found.append(Finding(table="quantity game", column=column, rule=rule, mend=mend))
    return found
