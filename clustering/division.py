"""From density peaks to clusters: a given number of them, or the number that suits the rows."""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from clustering.lloyd import Lloyd, Partition
from clustering.pair_distances import Ints, PairDistances, Peaks
from clustering.rivals import merged_with_rivals
from clustering.swap import improve
from clustering.validity import compare

MOST_CLUSTERS: Final = 20
"""Largest number of clusters that "auto" tries where ``max_clusters`` does not say."""


def divide(
    pairs: PairDistances,
    peaks: Peaks,
    rows: Lloyd,
    *,
    n_clusters: int | Literal["auto"],
    max_clusters: int | None,
    max_swaps: int,
) -> tuple[Partition, dict[str, NDArray[Any]]]:
    """Divide rows into clusters, seeded by the highest peaks.

    Parameters
    ----------
    pairs : PairDistances
        Distances of the rows (m, features).
    peaks : Peaks
        Their peaks.
    rows : Lloyd
        The iteration, bound to the same rows.
    n_clusters : int or "auto"
        Number of clusters; "auto" chooses among 2..`max_clusters`.
    max_clusters : int or None
        None is ``min(20, sqrt(rows))``.
    max_swaps : int
        Largest number of centres that are moved elsewhere; for 0 there are no rivals either.

    Returns
    -------
    partition : Partition
        The clusters.
    scores : dict of str to (candidate,)
        What "auto" compared; empty for a given number.
    """

    def divided(clusters: int) -> Partition:
        seeded = rows.run(rows.points[peaks.order[:clusters]])
        if not max_swaps or not 1 < clusters < len(rows.points):
            return seeded
        return merged_with_rivals(seeded, rows, pairs, peaks)

    scores: dict[str, NDArray[Any]] = {}
    if n_clusters != "auto":
        partition = divided(n_clusters)
    else:
        partitions = [divided(int(k)) for k in _candidates(rows.weights, max_clusters)]
        scores, chosen = compare(pairs, rows.weights, partitions, peaks)
        partition = divided(1) if chosen is None else partitions[chosen]
    if max_swaps and 1 < len(partition.centers) < len(rows.points):
        partition = improve(partition, rows, max_swaps=max_swaps)
    return partition, scores


def _candidates(weights: NDArray[np.float64], max_clusters: int | None) -> Ints:
    different, total = len(weights), float(weights.sum())
    usual = min(MOST_CLUSTERS, int(np.ceil(np.sqrt(max(different, total)))))
    most = usual if max_clusters is None else max_clusters
    # one row per cluster says nothing about the fit: no silhouette is defined there
    most = min(most, different if total > different else different - 1)
    return np.arange(2, most + 1, dtype=np.int64)
