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

import numpy as np
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist

from clustering.pair_distances import Floats, Ints


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


def lloyd(
    points: Floats, weights: Floats, centers: Floats, *, max_iter: int, tol: float, block_rows: int
) -> Partition:
    """Iterate from `centers`.

    Parameters
    ----------
    points : (m, features)
        Different rows.
    weights : (m,), > 0
        How often each row counts.
    centers : (clusters, features)
        First centres.
    max_iter : int
        Largest number of rounds.
    tol : float
        Movement of all centres together, relative to the spread of the rows, that ends it.
    block_rows : int
        Rows whose distances to the centres are held at once.

    Returns
    -------
    Partition
        Every cluster has a member unless fewer different places than centres exist.
    """
    mean = np.average(points, axis=0, weights=weights)
    x = points - mean  # keeps the expansion of the square in `_assign` accurate
    square = np.einsum("ij,ij->i", x, x)
    smallest_move = tol * np.sqrt(np.average(square, weights=weights))
    centers = centers - mean
    labels = np.full(len(x), -1, dtype=np.int64)
    converged = False
    n_iter = 0
    while n_iter < max_iter and not converged:
        n_iter += 1
        new_labels, distance = _assign(x, square, centers, block_rows)
        _fill_empty(new_labels, distance, len(centers))
        if np.array_equal(new_labels, labels):
            converged = True
            break
        labels = new_labels
        moved = means(x, weights, labels, centers)
        converged = bool(np.linalg.norm(moved - centers) <= smallest_move)
        centers = moved
    centers = means(points, weights, labels, centers + mean)
    residual = points - centers[labels]
    inertia = float(weights @ np.einsum("ij,ij->i", residual, residual))
    return Partition(
        labels=labels,
        centers=centers,
        inertia=inertia,
        n_iter=n_iter,
        converged=converged,
    )


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


def means(points: Floats, weights: Floats, labels: Ints, old: Floats) -> Floats:
    """Return the means (2), and `old` (clusters, features) where a cluster has no member."""
    clusters, rows = old.shape[0], len(points)
    # one entry per row: the row pointers are known, nothing has to be sorted
    member = csr_array((weights, labels, np.arange(rows + 1)), shape=(rows, clusters))
    mass = np.bincount(labels, weights=weights, minlength=clusters)
    size = np.bincount(labels, minlength=clusters)
    result: Floats = np.array(member.T @ points)
    result[size > 0] /= mass[size > 0, None]
    result[size == 0] = old[size == 0]
    # a cluster of one row has that row as its centre, not a rounded neighbour of it
    alone = size[labels] == 1
    result[labels[alone]] = points[alone]
    return result


def row_blocks(rows: int, block_rows: int) -> Iterator[slice]:
    """Yield slices of at most `block_rows` that cover ``range(rows)``."""
    for start in range(0, rows, block_rows):
        yield slice(start, min(start + block_rows, rows))


def _assign(x: Floats, square: Floats, centers: Floats, block_rows: int) -> tuple[Ints, Floats]:
    labels = np.empty(len(x), dtype=np.int64)
    distance = np.empty(len(x))
    square_center = np.einsum("ij,ij->i", centers, centers)
    for rows in row_blocks(len(x), block_rows):
        block = x[rows] @ centers.T
        block *= -2.0
        block += square_center
        labels[rows] = block.argmin(axis=1)
        distance[rows] = block.min(axis=1) + square[rows]
    return labels, distance


def _fill_empty(labels: Ints, distance: Floats, clusters: int) -> None:
    size = np.bincount(labels, minlength=clusters)
    empty = np.flatnonzero(size == 0)
    if not len(empty):
        return
    candidates = iter(np.argsort(-distance, kind="stable"))
    for cluster in empty:
        for row in candidates:
            if size[labels[row]] > 1:  # moving it must not empty its own cluster
                size[labels[row]] -= 1
                labels[row] = cluster
                break
