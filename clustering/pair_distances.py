"""Distances between all pairs of rows, and the density peaks read from them.

    rho_i   = sum_j weight_j k(d_ij) - 1          (1)  k = exp(-(d/d_c)^2), or 1 where d < d_c
    delta_i = min_{j before i} d_ij               (2)  "before": denser; the first has max_j d_ij
    gamma_i = rho~_i delta~_i                     (3)  both scaled to [0, 1]

The -1 in (1) is the row itself: a row of weight w stands for w rows in one place. Everything
goes block by block, so the memory is bounded whatever the number of rows is, and every pair is
seen once where that suffices.

Rodriguez & Laio (2014), Science 344, 1492.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]

COPIES: Final = 4
"""Arrays of a block's size that are alive at once (the block, a mask, two temporaries)."""

CACHED: Final = 2**17
"""Values of a block; more would leave the processor's cache."""


LEAST_ROWS: Final = 16
"""Rows of a block where even one row hardly fits into the cache."""

MANY_COLUMNS: Final = 16
"""From here on the expanded square is faster than summing squared differences."""

CLOSE: Final = 1e-6
"""Squared distances below this share of the largest squared length are computed directly."""

ROUNDING: Final = 1e-12
"""Relative error that sums of weights may have."""


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """Density, separation and height (m,) of every row, and the rows by falling height."""

    rho: Floats
    delta: Floats
    gamma: Floats
    order: Ints


class PairDistances:
    """Squared Euclidean distances between the rows of `points`, in blocks of rows.

    The whole matrix is kept where it takes no more than half of the memory allowed, and
    computed anew for every pass otherwise. With few columns differences are squared and summed
    directly. With many the square is expanded, which is faster but loses the zeros and the small
    distances: those are computed again.

    Parameters
    ----------
    points : (m, features)
        Different rows.
    max_memory_mb : float
        Bound of the memory, MB; at least one row of distances is always held.
    """

    def __init__(self, points: Floats, max_memory_mb: float) -> None:
        rows = len(points)
        self._expand = points.shape[1] >= MANY_COLUMNS
        if self._expand:
            points = points - points.mean(axis=0)
            self._close = CLOSE * float(np.einsum("ij,ij->i", points, points).max())
        self.points = points
        self._bytes = max_memory_mb * 2.0**20
        allowed = min(self._bytes / 2 / (8 * COPIES), max(CACHED, LEAST_ROWS * rows))
        self.block_rows = int(np.clip(allowed / rows, 1, rows))
        keep = 8 * rows * rows <= self._bytes / 2
        self._matrix: Floats | None = self._squares(points, points) if keep else None

    def blocks(self) -> Iterator[tuple[slice, Floats]]:
        """Yield (rows, squared distances of these rows to all rows)."""
        for rows in self._slices():
            if self._matrix is None:
                yield rows, self._squares(self.points[rows], self.points)
            else:
                yield rows, self._matrix[rows]

    def peaks(
        self, weights: Floats, quantile: float, kernel: Literal["gaussian", "cutoff"]
    ) -> Peaks:
        """Return (1), (2) and (3) with the cut-off distance at a quantile of all pairs."""
        if len(weights) == 1:
            return Peaks(
                rho=weights - 1.0,
                delta=np.zeros(1),
                gamma=np.ones(1),
                order=np.zeros(1, dtype=np.int64),
            )
        rho = self.density(weights, self.quantile(weights, quantile), kernel)
        delta = self.separation(rho)
        gamma = peak_height(rho, delta)
        # gamma is 0 for the least dense and for the closest row: delta, then rho, part them
        order = np.lexsort((np.arange(len(rho)), -rho, -delta, -gamma))
        return Peaks(rho=rho, delta=delta, gamma=gamma, order=order)

    def quantile(self, weights: Floats, share: float) -> float:
        """Return the smallest distance that at least `share` of all pairs do not exceed.

        A pair of rows counts with the product of its weights. Exact: a sample of the rows says
        between which bounds the quantile lies, one pass over all pairs finds it there.
        """
        target = share * (float(weights.sum()) ** 2 - float(np.square(weights).sum())) / 2.0
        room = int(self._bytes / 2 / (8 * 2 * COPIES)) + 64
        least, most = 0.0, np.inf
        low, high = self._bracket(weights, share)
        while True:
            below, mass, inside, weight = self._between(weights, low, high, room)
            if below >= target and low > least:
                most = float(np.nextafter(low, 0.0))
                low, high = least, most
            elif below + mass < target * (1.0 - ROUNDING) and high < most:
                least = float(np.nextafter(high, np.inf))
                low, high = least, most
            elif low == high:
                return float(np.sqrt(low))
            else:
                least, most = low, high
                whole = len(inside) < room
                order = np.argsort(inside)  # of equal values any may come first
                inside, reached = inside[order], np.cumsum(weight[order])
                wanted = (target - below) * (1.0 if whole else reached[-1] / mass)
                at = min(int(np.searchsorted(reached, wanted)), len(order) - 1)
                if whole:
                    return float(np.sqrt(inside[at]))
                low, high = _narrowed(inside, at, low, high)

    def density(
        self, weights: Floats, cutoff: float, kernel: Literal["gaussian", "cutoff"]
    ) -> Floats:
        """Return rho (m,) of equation (1)."""
        square = max(cutoff * cutoff, float(np.finfo(np.float64).tiny))
        rho = np.zeros(len(weights))
        for rows, block in self._upper():
            if kernel == "gaussian":
                near = block * (-1.0 / square)
                np.exp(near, out=near)
            else:
                near = (np.sqrt(block) < cutoff).astype(np.float64)
            rho[rows] += near @ weights[rows.start :]
            rho[rows.stop :] += weights[rows] @ near[:, rows.stop - rows.start :]
        return rho - 1.0

    def separation(self, rho: Floats) -> Floats:
        """Return delta (m,) of equation (2); equally dense rows stand in lexicographic order."""
        order = np.argsort(-rho, kind="stable")
        ranked = self.points[order]
        delta = np.empty(len(rho))
        for rows in self._slices():
            some = order[rows]
            if self._matrix is None:
                block = self._squares(ranked[rows], ranked[: rows.stop])
            else:
                block = self._matrix[some].take(order[: rows.stop], axis=1)
            own = block[:, rows.start :]
            np.copyto(own, np.inf, where=np.tri(len(some), dtype=bool).T)
            delta[some] = block.min(axis=1)
        delta[order[0]] = self._squares(ranked[:1], ranked).max()
        return np.sqrt(delta)

    def _slices(self) -> Iterator[slice]:
        for start in range(0, len(self.points), self.block_rows):
            yield slice(start, min(start + self.block_rows, len(self.points)))

    def _upper(self) -> Iterator[tuple[slice, Floats]]:
        """Yield (rows, squared distances of these rows to themselves and all later ones)."""
        for rows in self._slices():
            if self._matrix is None:
                yield rows, self._squares(self.points[rows], self.points[rows.start :])
            else:
                yield rows, self._matrix[rows, rows.start :]

    def _squares(self, x: Floats, y: Floats) -> Floats:
        """Return the squared distances (rows of x, rows of y)."""
        if not self._expand:
            direct: Floats = cdist(x, y, "sqeuclidean")
            return direct
        block = x @ (-2.0 * y.T)
        block += np.einsum("ij,ij->i", x, x)[:, None]
        block += np.einsum("ij,ij->i", y, y)
        at, to = np.nonzero(block < self._close)
        chunk = max(1, block.size // x.shape[1])
        for start in range(0, len(at), chunk):
            some = np.s_[start : start + chunk]
            apart = x[at[some]] - y[to[some]]
            block[at[some], to[some]] = np.einsum("ij,ij->i", apart, apart)
        return block

    def _bracket(self, weights: Floats, share: float) -> tuple[float, float]:
        """Return bounds of the squared quantile, from the pairs of evenly spaced rows."""
        count = int(np.clip(len(weights) // 8, 128, 2048))
        some = np.unique(np.linspace(0, len(weights) - 1, count).astype(np.int64))
        square = self._squares(self.points[some], self.points[some])
        upper = np.tri(len(some), k=-1, dtype=bool).T
        sample = square[upper]
        order = np.argsort(sample)
        if (weights == weights[0]).all():
            mass = np.arange(1.0, len(order) + 1.0)
        else:
            mass = np.cumsum(np.multiply.outer(weights[some], weights[some])[upper][order])
        margin = 1.2 * np.sqrt(share * (1.0 - share) / len(some)) + 1.0 / len(some)
        low, high = np.searchsorted(mass, np.array([share - margin, share + margin]) * mass[-1])
        return (
            float(sample[order[low]]) if share > margin else 0.0,
            float(sample[order[high]]) if high < len(order) else np.inf,
        )

    def _between(
        self, weights: Floats, low: float, high: float, room: int
    ) -> tuple[float, float, Floats, Floats]:
        """Return the mass below `low`, the mass in [low, high], and up to `room` of its pairs."""
        even = bool((weights == weights[0]).all())
        below = mass = 0.0
        found: list[Floats] = []
        weight: list[Floats] = []
        for rows, block in self._upper():
            size = rows.stop - rows.start
            under, within = block < low, block <= high
            within ^= under
            for mask in (under, within):  # a pair of rows counts once
                mask[:, :size] &= np.tri(size, k=-1, dtype=bool).T
            values = block[within]
            if even:
                below += float(weights[0]) ** 2 * float(np.count_nonzero(under))
                product = np.full(len(values), float(weights[0]) ** 2)
            else:
                here = np.multiply.outer(weights[rows], weights[rows.start :])
                below += float(here[under].sum())
                product = here[within]
            mass += float(product.sum())
            if low < high and room > 0:
                found.append(values[:room])
                weight.append(product[:room])
                room -= len(found[-1])
        return (
            below,
            mass,
            np.concatenate(found) if found else np.zeros(0),
            np.concatenate(weight) if weight else np.zeros(0),
        )


def peak_height(rho: Floats, delta: Floats) -> Floats:
    """Return gamma (m,) of equation (3); where all values are equal, they count as 1."""

    def scaled(values: Floats) -> Floats:
        span = np.ptp(values)
        return (values - values.min()) / span if span > 0.0 else np.ones_like(values)

    return scaled(rho) * scaled(delta)


def _narrowed(inside: Floats, at: int, low: float, high: float) -> tuple[float, float]:
    """Return closer bounds about the sorted value `at` of a part of what lies in between."""
    margin = max(len(inside) // 16, 1)
    lower = float(inside[max(at - margin, 0)])
    upper = float(inside[min(at + margin, len(inside) - 1)])
    if (lower, upper) == (low, high):
        return float(inside[at]), float(inside[at])
    return lower, upper
