"""K-means whose first centres are density peaks: one run, always the same one.

    rho_i, delta_i, gamma_i of every row     (1)  clustering.pair_distances
    centres = the K rows of largest gamma    (2)
    Lloyd's iteration from these centres     (3)  clustering.lloyd
    merging with rivals, moving centres      (4)  clustering.rivals, clustering.swap
    K = "auto": choice among 2..max_clusters (5)  clustering.division, clustering.validity

Rodriguez & Laio (2014), Science 344, 1492 for (1) and (2); the planning thesis on active
distribution networks, ch. 1, for density peaks as seeds of K-means. The rule (5) is not
published there and is reconstructed; (4) is ours.
"""

from __future__ import annotations

import warnings
from functools import cache
from math import fsum
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]  # has no stubs

from clustering.distinct_rows import DistinctRows, centred
from clustering.division import divide
from clustering.lloyd import Lloyd, Partition, block_rows, means, nearest
from clustering.pair_distances import Floats, Ints, PairDistances
from pp_p2p.errors import Finding, InvalidInput


class DensityPeakKMeans(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, BaseEstimator
):
    """K-means seeded by density peaks: deterministic, without restarts.

    Rows that are dense and far from any denser row become the first centres; Lloyd's iteration
    does the rest. The result depends on the rows and their weights only, not on their order.

    Parameters
    ----------
    n_clusters : int or "auto", default="auto"
        Number of clusters; "auto" tries 2..`max_clusters` and chooses the best silhouette among
        the five largest gaps of gamma (reconstructed: the sources leave the rule open).
    max_clusters : int, optional
        Largest number that "auto" tries; ``min(20, sqrt(rows))`` where it is not given.
    density : {"gaussian", "cutoff"}, default="gaussian"
        Kernel of the local density; the Gaussian one hardly ever has ties.
    cutoff_quantile : float, default=0.02
        Share of all pairs of different rows that are closer than the cut-off distance; of more
        than 1000 rows a sample of 1000 says how far that is.
    max_iter : int, default=300
        Largest number of rounds of Lloyd's iteration.
    tol : float, default=1e-6
        Movement of all centres together, relative to the root mean square distance of the rows
        from their mean, that ends the iteration.
    max_memory_mb : float, default=512
        Memory for distances, MB; larger matrices are computed in blocks, again for every pass.
        The sample of the cut-off distance takes up to 25 MB whatever this is.
    representative : {"mean", "medoid"}, default="mean"
        What `representatives_` holds. The clusters are the same.
    max_swaps : int, default=50
        Largest number of centres that are moved elsewhere after the iteration, each move lowering
        the inertia. 0 is the published algorithm, without rivals or moves, which can stay in a
        poor division.

    Attributes
    ----------
    n_clusters_ : int
        Number of clusters found.
    labels_ : ndarray of shape (n_samples,)
        Cluster of each row.
    cluster_centers_ : ndarray of shape (n_clusters_, n_features)
        Weighted means.
    medoid_indices_ : ndarray of shape (n_clusters_,)
        Row nearest to each centre, which has the least sum of squared distances to its cluster.
    representatives_ : ndarray of shape (n_clusters_, n_features)
        The means, or the rows at `medoid_indices_`.
    inertia_ : float
        Weighted sum of the squared distances to the centres.
    n_iter_ : int
        Rounds of Lloyd's iteration, those after moved centres included.
    rho_, delta_, gamma_ : ndarray of shape (n_samples,)
        Density, distance to the nearest denser row, and their product, both scaled to [0, 1].
        NaN for a row of zero weight, which is not counted.
    scores_ : dict of str to ndarray of shape (candidates,)
        For "auto": "n_clusters", "silhouette", "davies_bouldin", "calinski_harabasz" and
        "gamma_gap" of every candidate, as compared: before the last moves of the chosen one.
        Empty for a fixed number.
    n_features_in_ : int
        Number of columns seen.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where they have names.

    Raises
    ------
    InvalidInput
        Fewer rows than clusters, or no row with a positive weight.

    Warns
    -----
    ConvergenceWarning
        Fewer different rows than clusters (so many are found), or `max_iter` was reached.

    Notes
    -----
    Equally dense rows stand in lexicographic order of their values; equal rows share everything.
    A weight counts as repetition: weight 2 is the row given twice, weight 0 is no row.

    A row far from all others is never a first centre, for its density is least; moving centres
    may still give it one, because that lowers the inertia. ``max_swaps=0`` keeps the peaks.

    All pairs of rows are looked at: the time grows with their square, the memory does not. A year
    of days is faster than ten restarts of K-means, 50 000 rows are much slower.

    References
    ----------
    Rodriguez, A. & Laio, A. (2014). Clustering by fast search and find of density peaks.
    Science 344, 1492-1496. Density peaks as seeds of K-means: thesis on planning of active
    distribution networks, ch. 1.

    Examples
    --------
    >>> import numpy as np
    >>> from clustering import DensityPeakKMeans
    >>> X = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2], [9.0], [9.1], [9.2]])
    >>> model = DensityPeakKMeans(n_clusters="auto").fit(X)
    >>> model.n_clusters_
    3
    >>> sorted(model.cluster_centers_.ravel().round(6).tolist())
    [0.1, 5.1, 9.1]
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_clusters": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "max_clusters": [None, Interval(Integral, 1, None, closed="left")],
        "density": [StrOptions({"gaussian", "cutoff"})],
        "cutoff_quantile": [Interval(Real, 0, 1, closed="right")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_memory_mb": [Interval(Real, 0, None, closed="neither")],
        "representative": [StrOptions({"mean", "medoid"})],
        "max_swaps": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        n_clusters: int | Literal["auto"] = "auto",
        *,
        max_clusters: int | None = None,
        density: Literal["gaussian", "cutoff"] = "gaussian",
        cutoff_quantile: float = 0.02,
        max_iter: int = 300,
        tol: float = 1e-6,
        max_memory_mb: float = 512,
        representative: Literal["mean", "medoid"] = "mean",
        max_swaps: int = 50,
    ) -> None:
        self.n_clusters = n_clusters
        self.max_clusters = max_clusters
        self.density = density
        self.cutoff_quantile = cutoff_quantile
        self.max_iter = max_iter
        self.tol = tol
        self.max_memory_mb = max_memory_mb
        self.representative = representative
        self.max_swaps = max_swaps

    def fit(
        self,
        X: ArrayLike,
        y: object = None,  # noqa: ARG002 - scikit-learn's signature
        sample_weight: ArrayLike | None = None,
    ) -> DensityPeakKMeans:
        """Find the peaks, the number of clusters and the clusters.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to divide; finite numbers.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), optional
            How often each row counts, >= 0.

        Returns
        -------
        DensityPeakKMeans
            The estimator itself.

        Raises
        ------
        InvalidInput
            Fewer rows than clusters, or no row with a positive weight.
        """
        self._validate_params()
        data, weight = self._rows(X, sample_weight, reset=True)
        _check_count(int(np.count_nonzero(weight)), self.n_clusters)
        # one thread: small products gain nothing from more, and their sums depend on how many
        with _threads().limit(limits=1, user_api="blas"):
            self._fit(data, weight)
        return self

    def predict(self, X: ArrayLike) -> Ints:
        """Return the nearest cluster (n_samples,) of each row of X (n_samples, n_features)."""
        return self._nearest(X, None)[0]

    def transform(self, X: ArrayLike) -> Floats:
        """Return the distances (n_samples, n_clusters_) of the rows of X to the centres."""
        check_is_fitted(self)
        distance: Floats = cdist(self._rows(X, None)[0], self.cluster_centers_)
        return distance

    def fit_predict(
        self,
        X: ArrayLike,
        y: object = None,  # noqa: ARG002 - scikit-learn's signature
        sample_weight: ArrayLike | None = None,
    ) -> Ints:
        """Fit X (n_samples, n_features) and return its labels (n_samples,)."""
        return self.fit(X, sample_weight=sample_weight).labels_

    def score(
        self,
        X: ArrayLike,
        y: object = None,  # noqa: ARG002 - scikit-learn's signature
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Return the negative inertia of X (n_samples, n_features) about the centres."""
        _, distance, weight = self._nearest(X, sample_weight)
        return -fsum(weight * np.square(distance))

    @property
    def _n_features_out(self) -> int:
        return self.n_clusters_

    def _rows(
        self, X: ArrayLike, sample_weight: ArrayLike | None, *, reset: bool = False
    ) -> tuple[Floats, Floats]:
        data = validate_data(self, X, dtype=np.float64, reset=reset)
        weight = _check_sample_weight(
            sample_weight, data, dtype=np.float64, ensure_non_negative=True
        )
        return data, weight

    def _nearest(
        self, X: ArrayLike, sample_weight: ArrayLike | None
    ) -> tuple[Ints, Floats, Floats]:
        check_is_fitted(self)
        data, weight = self._rows(X, sample_weight)
        rows = block_rows(self.n_clusters_, self.max_memory_mb)
        labels, distance = nearest(data, self.cluster_centers_, rows)
        return labels, distance, weight

    def _fit(self, data: Floats, weight: Floats) -> None:
        rows = DistinctRows.of(data, weight)
        points, unit = centred(rows.points, rows.weights)
        pairs = PairDistances(points, self.max_memory_mb)
        peaks = pairs.peaks(rows.weights, self.cutoff_quantile, self.density)
        iteration = Lloyd.of(
            points,
            rows.weights,
            max_iter=self.max_iter,
            tol=self.tol,
            max_memory_mb=self.max_memory_mb,
        )
        partition, self.scores_ = divide(
            pairs,
            peaks,
            iteration,
            n_clusters=self.n_clusters,
            max_clusters=self.max_clusters,
            max_swaps=self.max_swaps,
        )
        counted = rows.group >= 0
        self.rho_, self.delta_, self.gamma_ = (
            np.where(counted, values[rows.group], np.nan)
            for values in (peaks.rho, unit * peaks.delta, peaks.gamma)
        )
        self._settle(rows, data, weight, partition)

    def _settle(
        self, rows: DistinctRows, data: Floats, weight: Floats, partition: Partition
    ) -> None:
        """Take the clusters of the division to the rows as they were given."""
        used, of_row = np.unique(partition.labels, return_inverse=True)
        centers = means(rows.points, rows.weights, of_row, len(used))
        at_once = block_rows(len(centers), self.max_memory_mb)
        labels, distance = nearest(data, centers, at_once)
        held = np.bincount(labels, weights=weight, minlength=len(centers)) > 0.0
        if not held.all():
            centers = centers[held]
            labels, distance = nearest(data, centers, at_once)
        self.cluster_centers_ = centers
        self.labels_ = labels
        self.n_clusters_ = len(centers)
        self.inertia_ = fsum(weight * np.square(distance))
        self.n_iter_ = partition.n_iter
        apart = np.where(weight > 0.0, distance, np.inf)
        first = np.lexsort((apart, labels))
        self.medoid_indices_ = first[np.searchsorted(labels[first], np.arange(len(centers)))]
        medoids = self.representative == "medoid"
        self.representatives_ = data[self.medoid_indices_] if medoids else centers.copy()
        self._warn(partition)

    def _warn(self, partition: Partition) -> None:
        if self.n_clusters != "auto" and self.n_clusters_ < self.n_clusters:
            warnings.warn(
                f"found {self.n_clusters_} clusters instead of {self.n_clusters}: no more rows "
                "differ; ask for fewer clusters",
                ConvergenceWarning,
                stacklevel=5,
            )
        if not partition.converged:
            warnings.warn(
                f"centres still move after max_iter={self.max_iter} rounds; raise max_iter",
                ConvergenceWarning,
                stacklevel=5,
            )


@cache
def _threads() -> ThreadpoolController:
    return ThreadpoolController()


def _check_count(rows: int, n_clusters: int | Literal["auto"]) -> None:
    if rows == 0:
        raise InvalidInput(
            Finding(
                table="sample_weight",
                rule="has no positive weight",
                mend="give at least one row a positive weight",
            )
        )
    if n_clusters != "auto" and rows < n_clusters:
        raise InvalidInput(
            Finding(
                table="X",
                rule=f"n_samples={rows} rows with a positive weight are fewer than "
                f"n_clusters={n_clusters}",
                mend=f"give more rows or ask for at most {rows} clusters",
            )
        )
