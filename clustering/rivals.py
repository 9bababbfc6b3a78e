"""Rival divisions from other starts, each merged with the best division so far.

A rival starts from greedy K-means++ without chance: the candidates for the next seed are the rows
at even shares of the sum of squares that is left, and the one that leaves least is taken. Then

    2K centres of both divisions, and a few rounds of Lloyd's iteration        (1)
    merged two by two, those of least cost first, until K are left,
    cost = w_a w_b / (w_a + w_b) |c_a - c_b|^2                                 (2)
    Lloyd's iteration from these K; kept where the sum of squares falls        (3)

Where the two divisions differ, (2) takes from each what is better. Arthur & Vassilvitskii (2007)
and the greedy variant in scikit-learn for the starts; (2) as Ward (1963), J. Am. Stat. Assoc. 58,
236, with the merging of whole divisions after Franti (2000), Pattern Recognit. Lett. 21, 61.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from clustering.lloyd import Lloyd, Partition
from clustering.pair_distances import Floats, Ints, PairDistances, Peaks

CANDIDATES: Final = (16, 8, 32)
"""Rows compared for every seed, one number for each rival."""

ROUNDS: Final = 3
"""Rounds of Lloyd's iteration for a rival: it need not be good, but other."""

ROUNDS_OF_BOTH: Final = 2
"""Rounds for the centres of both divisions together."""

LEAST_GAIN: Final = 1e-4
"""Relative fall of the sum of squares that makes a division better."""


def merged_with_rivals(
    partition: Partition, rows: Lloyd, pairs: PairDistances, peaks: Peaks
) -> Partition:
    """Merge rivals with a division.

    Parameters
    ----------
    partition : Partition
        Division to start from, into fewer clusters than there are rows.
    rows : Lloyd
        Rows that are divided, and the iteration.
    pairs : PairDistances
        Distances of the same rows.
    peaks : Peaks
        Their peaks; the first seed of each rival is another one.

    Returns
    -------
    Partition
        Of no larger inertia, roughly iterated; ``n_iter`` counts all rounds.
    """
    clusters, n_iter = len(partition.centers), partition.n_iter
    for candidates, first in zip(CANDIDATES, peaks.order, strict=False):
        seeds = greedy_seeds(pairs, rows.weights, clusters, peaks.order, int(first), candidates)
        rival = rows.run(rows.points[seeds], rounds=ROUNDS)
        n_iter += rival.n_iter
        if rival.inertia < partition.inertia:
            partition, rival = rival, partition
        both = rows.run(np.vstack([partition.centers, rival.centers]), rounds=ROUNDS_OF_BOTH)
        n_iter += both.n_iter
        mass: Floats = np.bincount(
            both.labels, weights=rows.weights, minlength=2 * clusters
        ).astype(float)
        centers = ward(both.centers[mass > 0.0], mass[mass > 0.0], clusters)
        child = rows.run(centers, bound=partition.inertia)
        if child is None:
            continue
        n_iter += child.n_iter
        if child.inertia < partition.inertia * (1.0 - LEAST_GAIN):
            partition = child
    return partition.after(n_iter)


def greedy_seeds(
    pairs: PairDistances, weights: Floats, clusters: int, order: Ints, first: int, candidates: int
) -> Ints:
    """Return the rows (clusters,) of seeds, the `first` one given; the same ones every time.

    Shares are counted along `order` (m,), which no order of rows or columns may change.
    """
    shares = (np.arange(candidates) + 0.5) / candidates
    seeds = np.full(clusters, first, dtype=np.int64)
    nearest = pairs.to(seeds[:1])[0]
    for at in range(1, clusters):
        reached = np.cumsum((weights * nearest)[order])
        rows = order[np.searchsorted(reached, shares * reached[-1])]
        left = np.minimum(pairs.to(rows), nearest)
        best = int((left @ weights).argmin())
        seeds[at], nearest = rows[best], left[best]
    return seeds


def ward(centers: Floats, mass: Floats, clusters: int) -> Floats:
    """Merge `centers` (c, features) of `mass` (c,) by (2) into means (clusters, features)."""
    square = np.einsum("ij,ij->i", centers, centers)
    cost = square[:, None] + square - 2.0 * (centers @ centers.T)
    cost *= np.multiply.outer(mass, mass) / np.add.outer(mass, mass)
    np.fill_diagonal(cost, np.inf)
    into, total = np.arange(len(mass)), mass.copy()
    for _ in range(len(mass) - clusters):
        a, b = divmod(int(cost.argmin()), len(mass))
        # the cost of merging with a and b together, from that with either (Lance & Williams)
        new = (total + total[a]) * cost[a] + (total + total[b]) * cost[b] - total * cost[a, b]
        new /= total + (total[a] + total[b])
        cost[a] = cost[:, a] = new
        cost[b] = cost[:, b] = np.inf
        total[a] += total[b]
        into[into == b] = a
    member = np.unique(into)[:, None] == into
    means: Floats = (member * mass) @ centers / (member @ mass)[:, None]
    return means
