"""Distances between all pairs of rows, and the density peaks read from them.

    rho_i   = sum_j weight_j k(d_ij) - 1          (1)  k = exp(-(d/d_c)^2), or 1 where d < d_c
    delta_i = min_{j before i} d_ij               (2)  "before": denser; the first has max_j d_ij
    gamma_i = rho~_i delta~_i                     (3)  both scaled to [0, 1]

The -1 in (1) is the row itself: a row of weight w stands for w rows in one place. Everything
goes block by block, so the memory is bounded whatever the number of rows is.

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

BINS: Final = 4096


@dataclass(frozen=True, kw_only=True)
class DistinctRows:
    """The different rows of a matrix in lexicographic order.

    In this order nothing computed from them can depend on how the rows were given.

    Parameters
    ----------
    points : (m, features)
        Different rows.
    weights : (m,)
        Sum of the weights of the rows that are equal to each.
    group : (n,)
        Distinct row of each given row; -1 for a row without weight, which does not count.
    """

    points: Floats
    weights: Floats
    group: Ints

    @classmethod
    def of(cls, points: Floats, weights: Floats) -> DistinctRows:
        """Sort and merge `points` (n, features); rows of zero weight are left out."""
        points = points + 0.0  # -0.0 becomes 0.0: equal values, equal rows
        # the weight is the last key, so that sums do not depend on the order given either
        order = np.lexsort((weights, *points.T[::-1]))
        order = order[weights[order] > 0.0]
        ordered = points[order]
        first = np.ones(len(order), dtype=bool)
        first[1:] = np.any(ordered[1:] != ordered[:-1], axis=1)
        group = np.full(len(points), -1, dtype=np.int64)
        group[order] = np.cumsum(first) - 1
        return cls(
            points=ordered[first],
            weights=np.add.reduceat(weights[order], np.flatnonzero(first)),
            group=group,
        )


def fewest_columns(points: Floats) -> Floats:
    """Return `points` (m, features) moved and turned into at most m columns; distances stay."""
    if points.shape[1] <= len(points):
        return points
    _, turned = np.linalg.qr((points - points.mean(axis=0)).T, mode="reduced")
    columns: Floats = np.ascontiguousarray(turned.T)
    return columns


class PairDistances:
    """Euclidean distances between the rows of `points`, in blocks of rows.

    The whole matrix is kept where it takes no more than half of the memory allowed, and
    computed anew for every pass otherwise. Differences are squared and summed directly: the
    faster expansion of the square would lose the zeros and the small distances.

    Parameters
    ----------
    points : (m, features)
        Different rows.
    max_memory_mb : float
        Bound of the memory, MB; at least one row of distances is always held.
    """

    def __init__(self, points: Floats, max_memory_mb: float) -> None:
        rows = len(points)
        self.points = points
        self._bytes = max_memory_mb * 2.0**20
        self.block_rows = int(np.clip(self._bytes / 2 / (8 * rows * COPIES), 1, rows))
        keep = 8 * rows * rows <= self._bytes / 2
        self._matrix: Floats | None = cdist(points, points) if keep else None

    def blocks(self) -> Iterator[tuple[slice, Floats]]:
        """Yield (rows, distances of these rows to all rows)."""
        for start in range(0, len(self.points), self.block_rows):
            rows = slice(start, min(start + self.block_rows, len(self.points)))
            if self._matrix is None:
                yield rows, cdist(self.points[rows], self.points)
            else:
                yield rows, self._matrix[rows]

    def quantile(self, weights: Floats, share: float) -> float:
        """Return the smallest distance that at least `share` of all pairs do not exceed.

        A pair of rows counts with the product of its weights. Exact: a histogram is refined
        around the quantile until the pairs left fit into memory.
        """
        pairs = len(weights) * (len(weights) - 1) // 2
        target = share * (weights.sum() ** 2 - np.square(weights).sum()) / 2
        room = max(BINS, int(self._bytes / 2 / (8 * 6)))
        low, below = 0.0, 0.0
        high = float(np.linalg.norm(np.ptp(self.points, axis=0))) * (1.0 + 1e-9)
        while pairs > room and high > np.nextafter(low, np.inf):
            edges = np.linspace(low, high, BINS + 1)
            count = np.zeros(BINS, dtype=np.int64)
            mass = np.zeros(BINS)
            for distance, weight in self._pairs(weights, low, high):
                count += np.histogram(distance, edges)[0]
                mass += np.histogram(distance, edges, weights=weight)[0]
            reached = below + np.cumsum(mass)
            at = min(int(np.searchsorted(reached, target)), BINS - 1)
            below = float(reached[at - 1]) if at else below
            low, high, pairs = float(edges[at]), float(edges[at + 1]), int(count[at])
        if pairs > room:
            return high
        found = list(self._pairs(weights, low, high))
        distance = np.concatenate([part[0] for part in found])
        order = np.argsort(distance, kind="stable")
        reached = below + np.cumsum(np.concatenate([part[1] for part in found])[order])
        return float(distance[order[min(int(np.searchsorted(reached, target)), len(order) - 1)]])

    def density(
        self, weights: Floats, cutoff: float, kernel: Literal["gaussian", "cutoff"]
    ) -> Floats:
        """Return rho (m,) of equation (1)."""
        rho = np.empty(len(weights))
        for rows, block in self.blocks():
            if kernel == "gaussian":
                near = block / cutoff
                np.square(near, out=near)
                np.negative(near, out=near)
                np.exp(near, out=near)
            else:
                near = (block < cutoff).astype(np.float64)
            rho[rows] = near @ weights
        return rho - 1.0

    def separation(self, rho: Floats) -> Floats:
        """Return delta (m,) of equation (2); equally dense rows stand in lexicographic order."""
        rank = np.empty(len(rho), dtype=np.int64)
        rank[np.argsort(-rho, kind="stable")] = np.arange(len(rho))
        delta = np.empty(len(rho))
        for rows, block in self.blocks():
            before = rank < rank[rows, None]
            delta[rows] = np.min(block, axis=1, where=before, initial=np.inf)
            for first in np.flatnonzero(rank[rows] == 0):
                delta[rows.start + first] = block[first].max()
        return delta

    def _pairs(self, weights: Floats, low: float, high: float) -> Iterator[tuple[Floats, Floats]]:
        column = np.arange(len(weights))
        for rows, block in self.blocks():
            wanted = (column > column[rows, None]) & (block >= low) & (block <= high)
            yield block[wanted], np.multiply.outer(weights[rows], weights)[wanted]


def peak_height(rho: Floats, delta: Floats) -> Floats:
    """Return gamma (m,) of equation (3); where all values are equal, they count as 1."""

    def scaled(values: Floats) -> Floats:
        span = np.ptp(values)
        return (values - values.min()) / span if span > 0.0 else np.ones_like(values)

    return scaled(rho) * scaled(delta)
