"""Move centres that are hardly needed to where some are missing, as long as that pays.

Taking centre j away costs, and giving cluster c two centres instead of one gains about

    cost_j = sum_{i in j} w_i (d_i2 - d_i1)                      (1)
    gain_c = w_a w_b / (w_a + w_b) |c_a - c_b|^2                 (2)

with d_i1, d_i2 the squared distances to the nearest and second nearest centre, and a, b the two
parts of cluster c that two-means finds when it starts from the halves on either side of the
cluster's mean along its principal axis. The moves that promise most are tried one by one: Lloyd's
iteration follows, and what it finds is kept where the sum of squares falls.

Density peaks alone are the published seeds; these moves are ours: a single run of Lloyd's
iteration cannot leave a poor division.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from clustering.lloyd import Lloyd, Partition
from clustering.pair_distances import Floats
from clustering.rivals import LEAST_GAIN

TRIES: Final = 6
"""Moves tried before the division is taken as it is."""

REPEATS: Final = 2
"""Times that one centre is taken away, or one cluster split, among these."""

POWER_ROUNDS: Final = 2
"""Steps of the power iteration that finds the principal axes."""

SPLIT_ROUNDS: Final = 1
"""Rounds of two-means; its result is a start, not an end."""


def improve(partition: Partition, rows: Lloyd, *, max_swaps: int) -> Partition:
    """Move centres while that lowers the inertia.

    Moves are tried also where (1) and (2) do not promise that they pay: both leave out that the
    other centres follow.

    Parameters
    ----------
    partition : Partition
        Division to start from, into fewer clusters than there are rows.
    rows : Lloyd
        Rows that are divided, and the iteration.
    max_swaps : int
        Largest number of centres moved and kept there.

    Returns
    -------
    Partition
        Of no larger inertia; ``n_iter`` counts all rounds.
    """
    for _ in range(max_swaps):
        better, n_iter = _first_better(partition, rows)
        partition = (better or partition).after(n_iter)
        if better is None:
            break
    # what was found by moves has been iterated roughly only
    done = rows.run(partition.centers)
    return done.after(partition.n_iter + done.n_iter)


def _first_better(partition: Partition, rows: Lloyd) -> tuple[Partition | None, int]:
    """Return what the first move that pays leads to, and the rounds so far."""
    n_iter = partition.n_iter
    halves = _splits(partition, rows)
    for taken, split in _moves(_changes(partition, rows, halves)):
        centers = partition.centers.copy()
        centers[[split, taken]] = halves[split]
        moved = rows.run(centers, bound=partition.inertia)
        if moved is None:
            continue
        n_iter += moved.n_iter
        if moved.inertia < partition.inertia * (1.0 - LEAST_GAIN):
            return moved, n_iter
    return None, n_iter


def _moves(change: Floats) -> list[tuple[int, int]]:
    """Return the moves (taken, split) to try, best first."""
    clusters = len(change)
    chosen: list[tuple[int, int]] = []
    used = np.zeros((2, clusters), dtype=np.int64)
    for move in np.argsort(change, axis=None, kind="stable"):
        taken, split = divmod(int(move), clusters)
        if taken == split or len(chosen) == TRIES:
            break
        if used[0, taken] < REPEATS and used[1, split] < REPEATS:
            chosen.append((taken, split))
            used[0, taken] += 1
            used[1, split] += 1
    return chosen


def _changes(partition: Partition, rows: Lloyd, halves: Floats) -> Floats:
    """Return (1) for taking each centre (clusters,) and splitting each cluster (clusters,)."""
    labels, clusters = partition.labels, len(partition.centers)
    added = np.zeros(clusters)
    removed = np.zeros((clusters, clusters))
    for some in rows.blocks(3 * clusters):
        x, label, weight = rows.points[some], labels[some], rows.weights[some]
        near = np.arange(len(x))
        square = rows.squares_to(partition.centers, some)
        first = square[near, label].copy()
        square[near, label] = np.inf
        second = square.min(axis=1)
        new = np.minimum(*(rows.squares_to(halves[:, half], some) for half in (0, 1)))
        kept = np.minimum(new, first[:, None])
        rest = np.minimum(new, second[:, None])
        member = np.zeros((clusters, len(x)))
        member[label, near] = weight
        removed += member @ (rest - kept)
        kept[near, label] = rest[near, label]
        added += weight @ (kept - first[:, None])
    change = removed + added
    np.fill_diagonal(change, np.inf)
    return change


def _splits(partition: Partition, rows: Lloyd) -> Floats:
    """Return two centres for every cluster (clusters, 2, features)."""
    labels, centers = partition.labels, partition.centers
    clusters = len(centers)
    residual = rows.points - centers[labels]
    axis = _principal_axes(partition, rows, residual)
    upper = np.einsum("ij,ij->i", residual, axis[labels]) > 0.0
    gain = np.zeros(clusters)
    halves = np.repeat(centers[:, None], 2, axis=1)
    for last in range(SPLIT_ROUNDS, -1, -1):
        part = 2 * labels + upper
        mass = np.bincount(part, weights=rows.weights, minlength=2 * clusters).reshape(clusters, 2)
        sums = rows.sums(part, 2 * clusters, residual).reshape(clusters, 2, -1)
        divided = mass.all(axis=1)
        middle = sums / np.where(mass, mass, 1.0)[:, :, None]
        apart = middle[:, 1] - middle[:, 0]
        now = np.where(divided, mass.prod(axis=1) / mass.sum(axis=1), 0.0)
        now *= np.einsum("ij,ij->i", apart, apart)
        better = now > gain
        gain[better] = now[better]
        halves[better] = centers[better, None] + middle[better]
        if not last or not better.any():
            break
        border = np.einsum("ij,ij->i", apart, middle.mean(axis=1))
        upper = np.einsum("ij,ij->i", residual, apart[labels]) > border[labels]
    return halves


def _principal_axes(partition: Partition, rows: Lloyd, residual: Floats) -> Floats:
    """Return about the direction (clusters, features) of largest spread of every cluster."""
    labels, clusters = partition.labels, len(partition.centers)
    length = np.einsum("ij,ij->i", residual, residual)
    by_cluster = np.lexsort((-length, labels))
    far = by_cluster[np.searchsorted(labels[by_cluster], np.arange(clusters))]
    axis = residual[far]
    for _ in range(POWER_ROUNDS):
        along = np.einsum("ij,ij->i", residual, axis[labels])
        axis = rows.sums(labels, clusters, residual * along[:, None])
        size = np.sqrt(np.einsum("ij,ij->i", axis, axis))
        axis /= np.where(size, size, 1.0)[:, None]
    return axis
