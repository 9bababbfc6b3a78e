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
from scipy.spatial.distance import cdist, pdist, squareform

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]

COPIES: Final = 4
"""Arrays of a block's size that are alive at once (the block, a mask, two temporaries)."""

CACHED: Final = 2**16
"""Values of a block; more would leave the processor's cache."""


LEAST_ROWS: Final = 16
"""Rows of a block where even one row hardly fits into the cache."""

MANY_COLUMNS: Final = 16
"""From here on the expanded square is faster than summing squared differences."""

CLOSE: Final = 1e-6
"""Squared distances below this share of the largest squared length are computed directly."""

ROUNDING: Final = 1e-12
"""Relative error that sums of weights may have."""

SAMPLED: Final = 1000
"""Most rows whose pairs say where the cut-off distance lies; they take 25 MB at most."""

UNDERFLOW: Final = -700.0
"""Below this the exponential is no normal number: slow, and lost beside the row's own 1."""


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """Density, separation and height (m,) of every row, and the rows by falling height."""

    rho: Floats
    delta: Floats
    gamma: Floats
    order: Ints


class PairDistances:
    """Squared Euclidean distances between the rows of `points`, in blocks of rows.

    With few columns differences are squared and summed directly, anew for every pass: that is
    as fast as reading them from memory. With many the square is expanded, which is faster but
    loses the zeros and the small distances: those are computed again. The expanded matrix is kept
    where it takes no more than half of the memory allowed.

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
        allowed = min(max_memory_mb * 2.0**20 / 2 / (8 * COPIES), max(CACHED, LEAST_ROWS * rows))
        self.block_rows = int(np.clip(allowed / rows, 1, rows))
        keep = self._expand and 8 * rows * rows <= max_memory_mb * 2.0**20 / 2
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

        A pair of rows counts with the product of its weights. Exact for at most `SAMPLED` rows;
        of more, so many are taken at even steps in lexicographic order.
        """
        count = min(len(weights), SAMPLED)
        some = np.linspace(0, len(weights) - 1, count).astype(np.int64)
        square, weight = self._condensed(some), weights[some]
        if (weight == weight[0]).all():
            at = int(np.ceil(share * (1.0 - ROUNDING) * len(square))) - 1
            square.partition(at)  # in place: new memory costs more than the search
            return float(np.sqrt(square[at]))
        order = np.argsort(square)  # of equal values any may come first
        mass = squareform(np.multiply.outer(weight, weight), checks=False)
        reached = np.cumsum(mass[order])
        at = int(np.searchsorted(reached, share * (1.0 - ROUNDING) * reached[-1]))
        return float(np.sqrt(square[order[at]]))

    def density(
        self, weights: Floats, cutoff: float, kernel: Literal["gaussian", "cutoff"]
    ) -> Floats:
        """Return rho (m,) of equation (1)."""
        square = max(cutoff * cutoff, float(np.finfo(np.float64).tiny))
        rho = np.zeros(len(weights))
        for rows, block in self._upper():
            if kernel == "gaussian":
                near = block * (-1.0 / square)  # block may be kept
                np.maximum(near, UNDERFLOW, out=near)
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

    def to(self, some: Ints) -> Floats:
        """Return the squared distances (some, m) of `some` rows to all rows."""
        if self._matrix is None:
            return self._squares(self.points[some], self.points)
        return self._matrix[some]

    def _condensed(self, some: Ints) -> Floats:
        """Return the squared distances (pairs,) between `some` rows, every pair once."""
        points = self.points[some]
        if not self._expand:
            direct: Floats = pdist(points, "sqeuclidean")
            return direct
        whole = self._matrix is not None and len(some) == len(self.points)
        pairs: Floats = squareform(
            self._matrix if whole else self._squares(points, points), checks=False
        )
        return pairs

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
        block = x @ y.T  # of one array with itself numpy computes one triangle only
        block *= -2.0
        block += np.einsum("ij,ij->i", x, x)[:, None]
        block += np.einsum("ij,ij->i", y, y)
        at, to = np.nonzero(block < self._close)
        chunk = max(1, block.size // x.shape[1])
        for start in range(0, len(at), chunk):
            some = np.s_[start : start + chunk]
            apart = x[at[some]] - y[to[some]]
            block[at[some], to[some]] = np.einsum("ij,ij->i", apart, apart)
        return block


def peak_height(rho: Floats, delta: Floats) -> Floats:
    """Return gamma (m,) of equation (3); where all values are equal, they count as 1."""

    def scaled(values: Floats) -> Floats:
        span = np.ptp(values)
        return (values - values.min()) / span if span > 0.0 else np.ones_like(values)

    return scaled(rho) * scaled(delta)
