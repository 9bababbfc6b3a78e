"""Move a centre that is hardly needed to where one is missing, as long as that pays.

Taking centre j away costs, and giving cluster c two centres instead of one gains about

    cost_j = sum_{i in j} w_i (d_i2 - d_i1)                      (1)
    gain_c = W_c - W_c', W_c' after two-means of c alone         (2)

with d_i1, d_i2 the squared distances to the nearest and second nearest centre and W the weighted
sum of squares in a cluster. Two-means starts from the halves on either side of the cluster's
mean along its principal axis. The moves of least cost_j - gain_c are followed by Lloyd's
iteration and kept where the sum of squares falls.

Density peaks alone are the published seeds; these moves are ours: a single run of Lloyd's
iteration cannot leave a poor division.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from scipy.spatial.distance import cdist

from clustering.lloyd import Partition, lloyd, row_blocks
from clustering.pair_distances import Floats, Ints

TRIES: Final = 20
"""Moves tried, in a thorough search, before the division is taken as it is."""

SPLIT_ROUNDS: Final = 20
"""Rounds of two-means; its result is a start, not an end."""

LEAST_GAIN: Final = 1e-6
"""Relative fall of the sum of squares that makes a move worthwhile."""


def improve(
    partition: Partition,
    points: Floats,
    weights: Floats,
    iterate: Callable[[Floats], Partition],
    *,
    max_swaps: int,
    block_rows: int,
    thorough: bool,
) -> Partition:
    """Move centres while that lowers the inertia.

    Parameters
    ----------
    partition : Partition
        Division to start from.
    points : (m, features)
        Rows that are divided.
    weights : (m,)
        How often each row counts.
    iterate : callable
        Lloyd's iteration from given centres (clusters, features).
    max_swaps : int
        Largest number of moves kept.
    block_rows : int
        Rows whose distances to the centres are held at once.
    thorough : bool
        Whether to try also moves that (1) and (2) do not promise to pay: both leave out that
        the other centres follow.

    Returns
    -------
    Partition
        Of no larger inertia; ``n_iter`` counts all rounds.
    """
    for _ in range(max_swaps):
        better = _one_move(
            partition, points, weights, iterate, block_rows=block_rows, thorough=thorough
        )
        if better is None:
            break
        partition = better
    return partition


def _one_move(
    partition: Partition,
    points: Floats,
    weights: Floats,
    iterate: Callable[[Floats], Partition],
    *,
    block_rows: int,
    thorough: bool,
) -> Partition | None:
    clusters = len(partition.centers)
    cost = _costs(partition, points, weights, block_rows)
    gain, halves = _splits(partition, points, weights, block_rows)
    change = cost[:, None] - gain
    np.fill_diagonal(change, np.inf)
    rounds = partition.n_iter
    for move in np.argsort(change, axis=None, kind="stable")[:TRIES]:
        taken, split = divmod(int(move), clusters)
        if gain[split] <= 0.0 or not (thorough or change[taken, split] < 0.0):
            continue
        centers = partition.centers.copy()
        centers[[split, taken]] = halves[split]
        moved = iterate(centers)
        rounds += moved.n_iter
        if moved.inertia < partition.inertia * (1.0 - LEAST_GAIN):
            return moved.after(rounds)
    return None


def _costs(partition: Partition, points: Floats, weights: Floats, block_rows: int) -> Floats:
    """Return (1) for every centre (clusters,)."""
    clusters = len(partition.centers)
    if clusters == 1:
        return np.full(1, np.inf)
    cost = np.zeros(clusters)
    for rows in row_blocks(len(points), block_rows):
        square = cdist(points[rows], partition.centers, "sqeuclidean")
        square.partition(1, axis=1)
        further = weights[rows] * (square[:, 1] - square[:, 0])
        cost += np.bincount(partition.labels[rows], weights=further, minlength=clusters)
    return cost


def _splits(
    partition: Partition, points: Floats, weights: Floats, block_rows: int
) -> tuple[Floats, Floats]:
    """Return (2) for every cluster (clusters,) and its two centres (clusters, 2, features)."""
    clusters = len(partition.centers)
    gain = np.zeros(clusters)
    halves = np.repeat(partition.centers[:, None], 2, axis=1)
    for cluster in range(clusters):
        rows: Ints = np.flatnonzero(partition.labels == cluster)
        if len(rows) < 2:
            continue
        x, weight = points[rows], weights[rows]
        residual = x - partition.centers[cluster]
        upper = residual @ _principal_axis(residual * np.sqrt(weight)[:, None]) > 0.0
        if upper.all() or not upper.any():
            continue
        start = np.array([np.average(x[s], axis=0, weights=weight[s]) for s in (upper, ~upper)])
        split = lloyd(x, weight, start, max_iter=SPLIT_ROUNDS, tol=0.0, block_rows=block_rows)
        whole = float(weight @ np.einsum("ij,ij->i", residual, residual))
        gain[cluster] = whole - split.inertia
        halves[cluster] = split.centers
    return gain, halves


def _principal_axis(x: Floats) -> Floats:
    """Return the direction (features,) of largest spread of x (rows, features)."""
    if x.shape[0] < x.shape[1]:
        axis: Floats = np.linalg.eigh(x @ x.T)[1][:, -1] @ x
    else:
        axis = np.linalg.eigh(x.T @ x)[1][:, -1]
    return axis
