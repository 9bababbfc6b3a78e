"""Lloyd's iteration from given seeds: no random numbers, no empty cluster.

    label_i  = argmin_k |x_i - c_k|                       (1)
    c_k      = sum_{i in k} weight_i x_i / sum weight_i   (2)
    until the labels stay, or |dc| <= tol * spread        (3)

Lloyd (1982), IEEE Trans. Inf. Theory 28, 129. A cluster that (1) leaves empty takes the row
farthest from its own centre.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, overload

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from clustering.pair_distances import COPIES, MANY_COLUMNS, Floats, Ints

CANCELLED: Final = 1e-6
"""Share of the total sum of squares below which a difference of sums is not trusted."""

ROUGH: Final = 1e-3
"""Relative fall of the sum of squares that ends an iteration with a bound."""

PATIENCE: Final = 3.0
"""The sum of squares is expected to fall by at most this many times its last fall."""


@dataclass(frozen=True, kw_only=True)
class Partition:
    """Rows divided into clusters.

    Parameters
    ----------
    labels : (m,)
        Cluster of each row.
    centers : (clusters, features)
        Weighted mean of each cluster.
    inertia : float
        Weighted sum of the squared distances to the centres.
    n_iter : int
        Rounds of (1) and (2).
    converged : bool
        Whether (3) was met.
    """

    labels: Ints
    centers: Floats
    inertia: float
    n_iter: int
    converged: bool

    def after(self, n_iter: int) -> Partition:
        """Return the same division with `n_iter` rounds in all."""
        return replace(self, n_iter=n_iter)


@dataclass(frozen=True, kw_only=True)
class Lloyd:
    """The iteration, bound to its rows.

    Parameters
    ----------
    points : (m, features)
        Different rows about their mean: the expansion of the square in (1) is accurate there.
    weights : (m,), > 0
        How often each row counts.
    squares : (m,)
        Squared length of each row.
    weighted : (m, features + 1)
        Rows times their weights, and last the weights.
    max_iter : int
        Largest number of rounds.
    smallest_move : float
        Movement of all centres together that ends the iteration.
    max_memory_mb : float
        Bound of the memory for distances to the centres, MB.
    total : float
        Weighted sum of the squares.
    """

    points: Floats
    weights: Floats
    squares: Floats
    weighted: Floats
    max_iter: int
    smallest_move: float
    max_memory_mb: float
    total: float

    @classmethod
    def of(
        cls, points: Floats, weights: Floats, *, max_iter: int, tol: float, max_memory_mb: float
    ) -> Lloyd:
        """Bind the iteration; `tol` is relative to the root mean square of the rows."""
        squares = np.einsum("ij,ij->i", points, points)
        return cls(
            points=points,
            weights=weights,
            squares=squares,
            weighted=np.column_stack([weights[:, None] * points, weights]),
            max_iter=max_iter,
            smallest_move=tol * float(np.sqrt(np.average(squares, weights=weights))),
            max_memory_mb=max_memory_mb,
            total=float(weights @ squares),
        )

    @overload
    def run(self, centers: Floats, *, rounds: int | None = None) -> Partition: ...

    @overload
    def run(self, centers: Floats, *, bound: float) -> Partition | None: ...

    def run(
        self, centers: Floats, *, rounds: int | None = None, bound: float = np.inf
    ) -> Partition | None:
        """Iterate from `centers` (clusters, features).

        Every cluster has a member unless fewer different places than centres exist. With
        `rounds` it ends after so many at most. With a `bound` of the sum of squares it ends as
        soon as that hardly falls any more, and with None where it falls too slowly to come below
        the bound.
        """
        most = self.max_iter if rounds is None else min(rounds, self.max_iter)
        clusters = len(centers)
        labels = np.full(len(self.points), -1, dtype=np.int64)
        partial = _Sums(values=np.zeros((clusters, self.weighted.shape[1])))
        near = _Nearest(self, clusters)
        active = np.ones(clusters, dtype=bool)
        converged = False
        inertia = np.inf
        n_iter = 0
        while n_iter < most and not converged:
            n_iter += 1
            new_labels, size = near.assigned(centers, active)
            changed = np.flatnonzero(new_labels != labels)
            if not len(changed):
                converged = True
                break
            partial.move(self, changed, labels[changed], new_labels[changed])
            partial.values[size == 0] = 0.0  # not a rounded remainder
            labels = new_labels
            moved = partial.means(centers)
            step = moved - centers
            lengths = np.einsum("ij,ij->i", step, step)
            converged = bool(np.sqrt(lengths.sum()) <= self.smallest_move)
            active = lengths > 0.0
            centers = moved
            before, inertia = inertia, self._between(centers, partial.mass)
            if bound < np.inf:
                fall = before - inertia
                if inertia - PATIENCE * fall > bound:
                    return None
                converged |= fall < ROUGH * inertia
        final = rounds is None and bound == np.inf
        if final or inertia < CANCELLED * self.total:
            # sums that were kept up to date are rounded often
            centers = self.means(labels, centers)
            inertia = self._inertia(labels, centers)
        return Partition(
            labels=labels,
            centers=centers,
            inertia=inertia,
            n_iter=n_iter,
            converged=converged,
        )

    def means(self, labels: Ints, old: Floats) -> Floats:
        """Return the means (2), and `old` (clusters, features) where a cluster has no member."""
        mass: Floats = np.bincount(labels, weights=self.weights, minlength=len(old)).astype(float)
        sums = self.sums(labels, len(old), self.points)
        return _ratio(sums, mass, old)

    def blocks(self, clusters: int) -> Iterator[slice]:
        """Yield slices of rows whose distances to `clusters` centres fit into the memory."""
        return row_blocks(len(self.points), block_rows(clusters, self.max_memory_mb))

    def sums(self, labels: Ints, clusters: int, values: Floats) -> Floats:
        """Return the weighted sums (clusters, features) of `values` (m, features) by label."""
        total = np.zeros((clusters, values.shape[1]))
        for rows in self.blocks(clusters):
            here = labels[rows]
            member = np.zeros((clusters, len(here)))
            member[here, np.arange(len(here))] = self.weights[rows]
            total += member @ values[rows]
        return total

    def squares_to(self, centers: Floats, some: slice) -> Floats:
        """Return the squared distances (rows, clusters) of `some` rows to `centers`."""
        block = self.points[some] @ (-2.0 * centers.T)
        block += np.einsum("ij,ij->i", centers, centers)
        block += self.squares[some, None]
        return block

    def _between(self, centers: Floats, mass: Floats) -> float:
        """Return the sum of squares about `centers` that are means: all less that of the means."""
        return self.total - float(mass @ np.einsum("ij,ij->i", centers, centers))

    def _inertia(self, labels: Ints, centers: Floats) -> float:
        mass: Floats = np.bincount(labels, weights=self.weights, minlength=len(centers)).astype(
            float
        )
        within = self._between(centers, mass)
        if within > CANCELLED * self.total:
            return within
        residual = self.points - centers[labels]
        return float(self.weights @ np.einsum("ij,ij->i", residual, residual))


@dataclass(kw_only=True)
class _Sums:
    """Weighted sums and, last, masses of the clusters (clusters, features + 1), kept up to date."""

    values: Floats

    @property
    def mass(self) -> Floats:
        mass: Floats = self.values[:, -1]
        return mass

    def move(self, rows: Lloyd, changed: Ints, old: Ints, new: Ints) -> None:
        """Take the rows `changed` (c,) from clusters `old` (c,) (-1 for none) to `new` (c,)."""
        clusters = len(self.values)
        for some in row_blocks(len(changed), block_rows(clusters, rows.max_memory_mb)):
            column = np.arange(len(changed[some]))
            member = np.zeros((clusters + 1, len(column)))  # the last one is no cluster
            member[new[some], column] = 1.0
            member[old[some], column] = -1.0
            every = len(column) == len(rows.points)
            moved = rows.weighted if every else rows.weighted[changed[some]]
            self.values += (member @ moved)[:-1]

    def means(self, old: Floats) -> Floats:
        return _ratio(self.values[:, :-1], self.mass, old)


class _Nearest:
    """Nearest centres; with many columns, distances to centres that stay are kept."""

    def __init__(self, rows: Lloyd, clusters: int) -> None:
        self.rows = rows
        self.slices = list(rows.blocks(clusters))
        keep = len(self.slices) == 1 and rows.points.shape[1] >= MANY_COLUMNS
        self.kept = np.empty((len(rows.points), clusters)) if keep else None

    def assigned(self, centers: Floats, active: NDArray[np.bool_]) -> tuple[Ints, Ints]:
        """Return (1) for centres of which those not `active` (clusters,) stayed, and the sizes."""
        rows = self.rows
        labels = np.empty(len(rows.points), dtype=np.int64)
        square = np.einsum("ij,ij->i", centers, centers)
        for some in self.slices:
            if self.kept is None or active.all():
                block = rows.points[some] @ (-2.0 * centers.T)
                block += square
            else:
                block = self.kept
                block[:, active] = rows.points @ (-2.0 * centers[active].T) + square[active]
            if self.kept is not None:
                self.kept = block
            labels[some] = block.argmin(axis=1)
        size = np.bincount(labels, minlength=len(centers))
        if not size.all():
            residual = rows.points - centers[labels]
            _fill_empty(labels, np.einsum("ij,ij->i", residual, residual), size)
            size = np.bincount(labels, minlength=len(centers))
        return labels, size


def _ratio(sums: Floats, mass: Floats, old: Floats) -> Floats:
    if mass.all():
        return sums / mass[:, None]
    return np.where(mass[:, None] > 0.0, sums / np.where(mass, mass, 1.0)[:, None], old)


def block_rows(clusters: int, max_memory_mb: float) -> int:
    """Return how many rows' distances to `clusters` centres fit into the memory."""
    return max(1, int(max_memory_mb * 2**20 / (8 * clusters * COPIES)))


def nearest(points: Floats, centers: Floats, block_rows: int) -> tuple[Ints, Floats]:
    """Return the nearest centre (n,) of each row, the first of equal ones, and its distance.

    Differences are squared directly, so that a row's answer depends on that row alone.
    """
    labels = np.empty(len(points), dtype=np.int64)
    distance = np.empty(len(points))
    for rows in row_blocks(len(points), block_rows):
        block = cdist(points[rows], centers)
        labels[rows] = block.argmin(axis=1)
        distance[rows] = block.min(axis=1)
    return labels, distance


def means(points: Floats, weights: Floats, labels: Ints, clusters: int) -> Floats:
    """Return the means (2) of clusters that all have a member; one row is its own mean."""
    order = np.argsort(labels, kind="stable")
    size = np.bincount(labels, minlength=clusters)
    first = np.cumsum(size) - size
    sums = np.add.reduceat((weights[:, None] * points)[order], first, axis=0)
    result: Floats = sums / np.add.reduceat(weights[order], first)[:, None]
    # a cluster of one row has that row as its centre, not a rounded neighbour of it
    result[size == 1] = points[order[first[size == 1]]]
    return result


def row_blocks(rows: int, block_rows: int) -> Iterator[slice]:
    """Yield slices of at most `block_rows` that cover ``range(rows)``."""
    for start in range(0, rows, block_rows):
        yield slice(start, min(start + block_rows, rows))


def _fill_empty(labels: Ints, distance: Floats, size: Ints) -> None:
    candidates = iter(np.argsort(-distance, kind="stable"))
    for cluster in np.flatnonzero(size == 0):
        for row in candidates:
            if size[labels[row]] > 1:  # moving it must not empty its own cluster
                size[labels[row]] -= 1
                labels[row] = cluster
                break
