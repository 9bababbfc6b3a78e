"""How good a number of clusters is: four published scores, and the choice among them.

    silhouette         mean of (b - a) / max(a, b); a: mean distance within the own cluster,
                       b: to the nearest other one                 Rousseeuw (1987)
    Davies-Bouldin     mean of the worst (s_i + s_j) / |c_i - c_j|  Davies & Bouldin (1979)
    Calinski-Harabasz  (B / (K - 1)) / (W / (N - K))                Calinski & Harabasz (1974)
    gamma gap          gamma_(K) / gamma_(K+1), sorted descending   after Rodriguez & Laio (2014)

A row of weight w counts as w rows in one place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist

from clustering.lloyd import Partition
from clustering.pair_distances import Floats, Ints, PairDistances, Peaks

GAPS_KEPT: Final = 5
"""The silhouette decides among the candidates with this many largest gamma gaps."""

OUTLIER_SHARE: Final = 0.05
"""A peak that is less dense than this share of the rows is an outlier, not a centre."""


def compare(
    pairs: PairDistances,
    weights: Floats,
    partitions: Sequence[Partition],
    peaks: Peaks,
) -> tuple[dict[str, NDArray[Any]], int | None]:
    """Score partitions into ever more clusters and choose one.

    Parameters
    ----------
    pairs : PairDistances
        Distances of the rows (m, features).
    weights : (m,)
        How often each row counts.
    partitions : sequence of Partition
        One per candidate.
    peaks : Peaks
        Density and height (m,) of the rows as peaks, and their order.

    Returns
    -------
    scores : dict of str to (candidate,)
        Number of clusters and the four scores.
    chosen : int or None
        Position of the chosen candidate; None where there is none.
    """
    rho, order = peaks.rho, peaks.order
    candidates = np.array([len(p.centers) for p in partitions], dtype=np.int64)
    points = pairs.points
    scores: dict[str, NDArray[Any]] = {
        "n_clusters": candidates,
        "silhouette": silhouettes(pairs, weights, partitions),
        "davies_bouldin": np.array([davies_bouldin(points, weights, p) for p in partitions]),
        "calinski_harabasz": np.array([calinski_harabasz(points, weights, p) for p in partitions]),
        "gamma_gap": gamma_gaps(peaks.gamma[order], candidates),
    }
    if not partitions:
        return scores, None
    by_rho = np.argsort(rho, kind="stable")
    reached = np.cumsum(weights[by_rho])
    outlier_rho = rho[by_rho[np.searchsorted(reached, OUTLIER_SHARE * reached[-1])]]
    peak_rho = rho[order[candidates - 1]]
    chosen = choose(scores["silhouette"], scores["gamma_gap"], peak_rho, float(outlier_rho))
    return scores, chosen


def silhouettes(pairs: PairDistances, weights: Floats, partitions: Sequence[Partition]) -> Floats:
    """Return the mean silhouette (candidate,) of every partition, in one pass over the pairs."""
    if not partitions:
        return np.zeros(0)
    sizes = [len(partition.centers) for partition in partitions]
    start = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])
    rows = np.arange(len(weights))
    columns = np.concatenate(
        [partition.labels + first for partition, first in zip(partitions, start, strict=False)]
    )
    member = csr_array(
        (np.tile(weights, len(sizes)), (columns, np.tile(rows, len(sizes)))),
        shape=(int(start[-1]), len(weights)),
    )
    mass = np.asarray(member.sum(axis=1)).ravel()
    total = np.zeros(len(sizes))
    for block_rows, block in pairs.blocks():
        sums = (member @ np.sqrt(block).T).T
        for at, partition in enumerate(partitions):
            own = slice(start[at], start[at + 1])
            width = _silhouette(sums[:, own], mass[own], partition.labels[block_rows])
            total[at] += weights[block_rows] @ width
    mean: Floats = total / weights.sum()
    return mean


def davies_bouldin(points: Floats, weights: Floats, partition: Partition) -> float:
    """Return the Davies-Bouldin index; smaller is better."""
    residual = points - partition.centers[partition.labels]
    distance = np.sqrt(np.einsum("ij,ij->i", residual, residual))
    clusters = len(partition.centers)
    mass = np.bincount(partition.labels, weights=weights, minlength=clusters)
    scatter = np.bincount(partition.labels, weights=weights * distance, minlength=clusters)
    width = scatter / np.maximum(mass, np.finfo(float).tiny)
    between = cdist(partition.centers, partition.centers)
    between[between == 0.0] = np.inf
    return float(((width[:, None] + width) / between).max(axis=1).mean())


def calinski_harabasz(points: Floats, weights: Floats, partition: Partition) -> float:
    """Return the Calinski-Harabasz index; larger is better, infinite without any scatter."""
    clusters, total = len(partition.centers), weights.sum()
    mass = np.bincount(partition.labels, weights=weights, minlength=clusters)
    from_mean = partition.centers - np.average(points, axis=0, weights=weights)
    between = float(mass @ np.einsum("ij,ij->i", from_mean, from_mean))
    if partition.inertia == 0.0 or total <= clusters:
        return np.inf
    return float(between / (clusters - 1) / (partition.inertia / (total - clusters)))


def gamma_gaps(gamma_sorted: Floats, candidates: Ints) -> Floats:
    """Return gamma_(K) / gamma_(K+1) (candidate,); 0/0 is 1, and infinite where no row is left."""
    here = gamma_sorted[candidates - 1]
    after = np.append(gamma_sorted, 0.0)[candidates]
    gaps = np.where(here > 0.0, np.inf, 1.0)
    np.divide(here, after, out=gaps, where=after > 0.0)
    return gaps


def choose(silhouette: Floats, gap: Floats, peak_rho: Floats, outlier_rho: float) -> int:
    """Return the position of the chosen candidate.

    Reconstructed: the sources say neither which index decides nor how peaks and indices are
    combined. Here the best silhouette wins among the candidates with the `GAPS_KEPT` largest
    gamma gaps; a candidate whose last peak is an outlier is left out as long as others remain.

    Parameters
    ----------
    silhouette, gap, peak_rho : (candidate,)
        Scores, and the density of the peak that each candidate adds.
    outlier_rho : float
        Density below which a peak is an outlier.
    """
    dense = np.flatnonzero(peak_rho >= outlier_rho)
    eligible = dense if len(dense) else np.arange(len(gap))
    kept = np.sort(eligible[np.argsort(-gap[eligible], kind="stable")[:GAPS_KEPT]])
    return int(kept[np.argmax(silhouette[kept])])


def _silhouette(sums: Floats, mass: Floats, labels: Ints) -> Floats:
    rows = np.arange(len(labels))
    others = mass[labels] - 1.0
    within = sums[rows, labels] / np.where(others > 0.0, others, 1.0)
    mean = sums / np.where(mass > 0.0, mass, 1.0)
    mean[:, mass == 0.0] = np.inf
    mean[rows, labels] = np.inf
    nearest = mean.min(axis=1)
    larger = np.maximum(within, nearest)
    defined = (others > 0.0) & (larger > 0.0) & np.isfinite(larger)
    width = np.zeros(len(labels))
    np.divide(nearest - within, larger, out=width, where=defined)
    return width
