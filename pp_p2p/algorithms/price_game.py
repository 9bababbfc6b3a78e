"""A price game among sellers whose goods differ: best responses, equilibrium, conditions, regret.

Seller i meets the demand, and earns

    D_i(p) = max(0, Z_i - B_i p_i),   Z_i = A_i + sum_{k != i} G_ik p_k                    (1)
    w_i(p) = p_i D_i - C_i(D_i),      low_i <= p_i <= high_i                               (2)
    C_i(D) = 1/2 a_i D^2 + b'_i min(D, E'_i) + b_i max(D - E'_i, 0) + high_i max(D - E_i, 0)

The first E'_i are spare: they cost b'_i <= b_i. Beyond its capacity E_i a seller buys what it sold
at the highest price. w_i is concave in p_i wherever D_i > 0, so that an equilibrium in pure
strategies exists (Debreu, Glicksberg, Fan) and the best response is a closed form,

    r(b) = [Z_i (1 + a_i B_i) + B_i b] / [B_i (2 + a_i B_i)],    k(E) = (Z_i - E) / B_i    (3)
    p_i = clip( max( r(b'_i), min( k(E'_i), r(b_i) ), k(E_i) ), low_i, high_i )            (4)

without spare energy and capacity Liu et al. (2020), reconstructed. (4) is a contraction, and its
fixed point the only equilibrium, where for every seller

    sum_k |G_ik| < B_i (2 + a_i B_i) / (1 + a_i B_i)   (or < B_i where an amount may bind) (5)

Pure numbers: any unit of price and amount. All arrays may have leading axes (hours).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pp_p2p.errors import Finding, NotConverged, raise_if_any

Array = npt.NDArray[Any]

MOST_SWEEPS: Final = 500
"""Sweeps of Gauss-Seidel before giving up."""

TOLERANCE: Final = 1e-10
"""Change of a price, relative to the largest, at which the sweeps end."""

ALIKE: Final = 1e-7
"""Prices that differ by less (relative) are the same point of a cycle."""

GRID: Final = 65
"""Prices that the search of a better reply tries in every round."""

ROUNDS: Final = 6
"""Rounds of that search; each looks between the neighbours of the best price so far."""


def _none() -> Array:
    return np.array(0.0)


def _endless() -> Array:
    return np.array(np.inf)


@dataclass(frozen=True, kw_only=True)
class PriceGame:
    """A game (1), (2); arrays (..., seller), `cross` (..., seller, seller) with a zero diagonal.

    Parameters
    ----------
    intercept, slope, cross : array
        A, B > 0 and G of (1). Where B is 0 nobody demands anything: the seller asks its lowest
        price.
    cost, cost_slope : array
        b and a >= 0 of the seller's cost.
    low, high : array
        Least and highest price.
    spare, spare_cost, capacity : array, optional
        E', b' and E; none spare, and no limit.

    Raises
    ------
    InvalidInput
        Own-price slopes below 0 (demand that rises with the price), price limits that cross,
        negative costs' slopes or amounts, values that are not finite.
    """

    intercept: Array
    slope: Array
    cross: Array
    cost: Array
    cost_slope: Array
    low: Array
    high: Array
    spare: Array = field(default_factory=_none)
    spare_cost: Array = field(default_factory=_none)
    capacity: Array = field(default_factory=_endless)

    def __post_init__(self) -> None:
        raise_if_any(_findings(self))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of prices."""
        return tuple(np.broadcast_shapes(self.intercept.shape, self.slope.shape))

    def level(self, price: Array) -> Array:
        """Return Z of (1)."""
        return np.asarray(self.intercept + np.einsum("...ik,...k->...i", self.cross, price))

    def demand(self, price: Array) -> Array:
        """Return what each sells (1)."""
        return np.asarray(np.maximum(self.level(price) - self.slope * price, 0.0))

    def profit(self, price: Array) -> Array:
        """Return what each earns (2)."""
        amount = self.demand(price)
        return price * amount - self.cost_of(amount)

    def cost_of(self, amount: Array) -> Array:
        """Return the cost of selling `amount`."""
        first = np.minimum(amount, self.spare)
        beyond = np.maximum(amount - self.capacity, 0.0)
        own = 0.5 * self.cost_slope * amount**2 + self.cost * (amount - first)
        return np.asarray(own + np.where(first > 0, self.spare_cost * first, 0.0)
                          + (self.high - self.cost) * beyond)  # fmt: skip

    def best_response(self, price: Array) -> Array:
        """Return the price (4) of each seller to the others' prices."""
        return self._choose(self.level(price))[0]

    def _choose(self, level: Array) -> tuple[Array, Array, Array]:
        """Return (4) at Z, and the piece that is taken: ``p = weight Z + constant``."""
        a, B = self.cost_slope, self.slope
        alive = B > 0
        B = np.where(alive, B, 1.0)
        bend = (1.0 + a * B) / (B * (2.0 + a * B))
        pieces = [
            (bend, self.spare_cost / (2.0 + a * B)),
            (1.0 / B, -self.spare / B),
            (bend, self.cost / (2.0 + a * B)),
            (1.0 / B, -np.where(np.isfinite(self.capacity), self.capacity, 0.0) / B),
        ]
        weights = [np.broadcast_to(w, level.shape) for w, _ in pieces]
        constants = [np.broadcast_to(c, level.shape) for _, c in pieces]
        at = [w * level + c for w, c in zip(weights, constants, strict=True)]
        at[3] = np.where(np.isfinite(self.capacity), at[3], -np.inf)
        piece = np.where(at[1] <= at[2], 1, 2)
        found = np.minimum(at[1], at[2])
        piece, found = np.where(at[0] > found, 0, piece), np.maximum(found, at[0])
        piece, found = np.where(at[3] > found, 3, piece), np.maximum(found, at[3])
        inside = alive & (found > self.low) & (found < self.high)
        price = np.where(alive, np.clip(found, self.low, self.high), self.low)
        weight = np.where(inside, np.choose(piece, weights), 0.0)
        return price, weight, np.where(inside, np.choose(piece, constants), price)

    def margin(self) -> Array:
        """Return the least room (...) of (5) over the sellers; positive: one equilibrium.

        One less the largest slope of a best response, summed over the others' prices.
        """
        a, B = self.cost_slope, np.where(self.slope > 0, self.slope, 1.0)
        steep = (1.0 + a * B) / (B * (2.0 + a * B))
        binds = np.isfinite(self.capacity) | (self.spare > 0)
        steep = np.where(binds, np.maximum(1.0 / B, steep), steep)
        total = np.abs(self.cross).sum(axis=-1) * np.where(self.slope > 0, steep, 0.0)
        return np.asarray(1.0 - total.max(axis=-1, initial=0.0))

    def sweep(self, price: Array) -> Array:
        """Return prices after each seller has answered once, one after the other."""
        price = price.copy()
        for i in range(price.shape[-1]):
            own = self._alone[i]
            level = self.intercept[..., i] + (self.cross[..., i, :] * price).sum(axis=-1)
            price[..., i : i + 1] = own._choose(level[..., None])[0]
        return price

    @cached_property
    def _alone(self) -> list[PriceGame]:
        """The data of each seller by itself."""
        return [self._of(i) for i in range(self.shape[-1])]

    def _of(self, i: int) -> PriceGame:
        def one(value: Array) -> Array:
            wide: Array = np.broadcast_to(value, self.shape)[..., i : i + 1]
            return wide

        object_ = object.__new__(PriceGame)  # checked already
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            object.__setattr__(object_, name, value if name == "cross" else one(value))
        return object_

    def gauss_seidel(self, start: Array | None = None) -> tuple[Array, int]:
        """Return the prices at rest, and the sweeps it took.

        Raises
        ------
        NotConverged
            The sweeps run in a circle (its prices are in the message and in ``last``), or do not
            come to rest.
        """
        first = np.broadcast_to(self.low, self.shape).astype(float) if start is None else start
        return settle_or_show_cycle(self.sweep, first, "the price game")

    def solve(self, start: Array | None = None) -> tuple[Array, int]:
        """Return the equilibrium by linear equations, and how many were solved.

        Each seller's piece of (4) makes one row of ``(I - W G) p = W A + c``; pieces are chosen
        anew at the solution until they stay. Where they do not, Gauss-Seidel takes over.
        """
        price = np.broadcast_to(self.low, self.shape).astype(float) if start is None else start
        eye = np.eye(self.shape[-1])
        for count in range(1, 51):
            _, weight, constant = self._choose(self.level(price))
            matrix = eye - weight[..., None] * self.cross
            right = weight * self.intercept + constant
            new = np.linalg.solve(matrix, right[..., None])[..., 0]
            size = max(float(np.abs(new).max(initial=0.0)), 1e-12)
            rest = float(np.abs(self.best_response(new) - new).max(initial=0.0)) / size
            price = new
            if rest <= TOLERANCE:
                return np.clip(price, self.low, self.high), count
        return self.gauss_seidel(np.clip(price, self.low, self.high))

    def regret(self, price: Array) -> Array:
        """Return what each could earn more by another price (..., seller), by search alone."""
        level = self.level(price)

        def earned(own: Array) -> Array:
            amount = np.maximum(level[..., None] - self.slope[..., None] * own, 0.0)
            parts = np.moveaxis(amount, -1, 0)
            cost = np.moveaxis(np.array([self.cost_of(part) for part in parts]), 0, -1)
            return np.asarray(own * amount - cost)

        return search_regret(earned, price, *self._limits())

    def _limits(self) -> tuple[Array, Array]:
        return (
            np.broadcast_to(self.low, self.shape).astype(float),
            np.broadcast_to(self.high, self.shape).astype(float),
        )


def search_regret(
    earned: Callable[[Array], Array],
    price: Array,
    low: Array,
    high: Array,
    *,
    rounds: int = ROUNDS,
    grid: int = GRID,
) -> Array:
    """Return how much better the best price found is than `price`, by a search on grids.

    It knows nothing of how `price` came about: each round tries a grid, the next one the room
    between the neighbours of the best price.

    Parameters
    ----------
    earned : callable
        Profits (..., seller, candidate) of prices of that shape, the others' prices fixed.
    price, low, high : (..., seller)
    """
    now = earned(price[..., None])[..., 0]
    best, left, right = now.copy(), low.copy(), high.copy()
    share = np.linspace(0.0, 1.0, grid)
    for _ in range(rounds):
        tried = left[..., None] + (right - left)[..., None] * share
        value = earned(tried)
        at = value.argmax(axis=-1)
        best = np.maximum(best, np.take_along_axis(value, at[..., None], axis=-1)[..., 0])
        step = (right - left) / (grid - 1)
        middle = np.take_along_axis(tried, at[..., None], axis=-1)[..., 0]
        left, right = np.maximum(middle - step, low), np.minimum(middle + step, high)
    return np.asarray(best - now)


def settle_or_show_cycle(
    step: Callable[[Array], Array], start: Array, what: str, *, rest: float = TOLERANCE
) -> tuple[Array, int]:
    """Return the point at which `step` rests, and the steps it took.

    Parameters
    ----------
    step : callable
    start : array
    what : str
        What a message calls it.
    rest : float
        Change, relative to the largest entry, at which it rests.

    Raises
    ------
    NotConverged
        With the cycle, where one is found: its points are ``last``.
    """
    points, history = [start], []
    for count in range(1, MOST_SWEEPS + 1):
        new = step(points[-1])
        size = max(float(np.abs(new).max(initial=0.0)), 1e-12)
        history.append(float(np.abs(new - points[-1]).max(initial=0.0)))
        if history[-1] <= rest * size:
            return new, count
        for back, old in enumerate(reversed(points[:-1]), start=2):
            if np.abs(new - old).max(initial=0.0) <= max(ALIKE, 2.0 * rest) * size < history[-1]:
                cycle = np.array([*points[-back + 1 :], new])
                raise NotConverged(
                    f"{what} runs in a circle of {len(cycle)} points: {_shown(cycle)}; no "
                    "equilibrium in pure strategies was found. Let sellers compete by quantities, "
                    "where there is one",
                    history=history,
                    last=cycle,
                )
        points = [*points[-40:], new]
    raise NotConverged(
        f"{what} did not come to rest in {MOST_SWEEPS} sweeps; prices still move by "
        f"{history[-1]:.3g}",
        history=history,
        last=points[-1],
    )


def _shown(cycle: Array) -> str:
    moved = np.ptp(cycle, axis=0)
    flat = cycle.reshape(len(cycle), -1)[:, np.flatnonzero(moved.ravel() > 0)[:4]]
    return " -> ".join("(" + ", ".join(f"{v:.4g}" for v in point) + ")" for point in flat[:8])


def _findings(game: PriceGame) -> list[Finding]:
    found = []

    def wrong(column: str, bad: Array, rule: str, mend: str) -> None:
        if bad.any():
            rows = tuple(np.unique(np.argwhere(bad)[:, -1]).tolist()) if bad.ndim else ()
            found.append(
                Finding(table="price game", column=column, rows=rows, rule=rule, mend=mend)
            )

    for name in ("intercept", "slope", "cross", "cost", "cost_slope", "low", "high"):
        bad = ~np.isfinite(getattr(game, name))
        wrong(name, bad, "is not a finite number", "give finite numbers")
    wrong("slope", game.slope < 0, "is negative: demand rises with the seller's own price",
          "give own-price slopes >= 0 (elasticities <= 0)")  # fmt: skip
    wrong("low", np.asarray(game.low > game.high), "is above high: the price limits cross",
          "raise high or lower low")  # fmt: skip
    for name in ("cost_slope", "spare", "capacity"):
        wrong(name, np.asarray(getattr(game, name) < 0), "is negative", "use a number >= 0")
    if (np.diagonal(game.cross, axis1=-2, axis2=-1) != 0).any():
        rule, mend = "has a diagonal that is not 0", "put a seller's own price into slope"
        found.append(Finding(table="price game", column="cross", rule=rule, mend=mend))
    return found
