"""The estimator: scikit-learn's contract, known clusters, invariances, quality of the optimum."""

from __future__ import annotations

import doctest
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.distance import cdist, pdist
from sklearn import datasets
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import (
    calinski_harabasz_score,
    davies_bouldin_score,
    silhouette_score,
)
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_limits

import clustering.density_peak
from clustering import DensityPeakKMeans
from clustering.distinct_rows import DistinctRows
from clustering.lloyd import Lloyd
from clustering.pair_distances import PairDistances
from clustering.rivals import ward
from pp_p2p.errors import InvalidInput

FITTED = ("rho_", "delta_", "gamma_", "labels_")


def blobs(sizes=(60, 60, 60), seed=0):
    rng = np.random.default_rng(seed)
    centers = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 12.0]])
    parts = [c + rng.standard_normal((n, 2)) for c, n in zip(centers, sizes, strict=True)]
    return np.vstack(parts)


@parametrize_with_checks([DensityPeakKMeans(), DensityPeakKMeans(n_clusters=3, density="cutoff")])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def test_doctest():
    assert doctest.testmod(clustering.density_peak).failed == 0


@pytest.mark.parametrize("sizes", [(60, 60, 60), (200, 200, 40)])
@pytest.mark.parametrize("density", ["gaussian", "cutoff"])
def test_three_blobs_are_three(sizes, density):
    X = blobs(sizes)
    model = DensityPeakKMeans(density=density).fit(X)
    assert model.n_clusters_ == 3
    assert sorted(np.bincount(model.labels_)) == sorted(sizes)
    gap = model.scores_["gamma_gap"]
    assert model.scores_["n_clusters"][gap.argmax()] == 3


def test_scores_agree_with_scikit_learn():
    X = blobs() * [1.0, 0.3]
    model = DensityPeakKMeans(max_swaps=0).fit(X)
    for at, clusters in enumerate(model.scores_["n_clusters"]):
        labels = DensityPeakKMeans(int(clusters), max_swaps=0).fit_predict(X)
        assert model.scores_["silhouette"][at] == pytest.approx(silhouette_score(X, labels))
        assert model.scores_["davies_bouldin"][at] == pytest.approx(
            davies_bouldin_score(X, labels), rel=1e-6
        )
        assert model.scores_["calinski_harabasz"][at] == pytest.approx(
            calinski_harabasz_score(X, labels)
        )


def test_peaks_by_definition():
    X = blobs((7, 8, 9))
    model = DensityPeakKMeans(n_clusters=2, cutoff_quantile=0.1).fit(X)
    d = np.linalg.norm(X[:, None] - X, axis=2)
    cutoff = np.quantile(pdist(X), 0.1, method="inverted_cdf")
    rho = np.exp(-((d / cutoff) ** 2)).sum(axis=1) - 1.0
    delta = [d[i, rho > rho[i]].min(initial=np.inf) for i in range(len(X))]
    delta[rho.argmax()] = d[rho.argmax()].max()
    np.testing.assert_allclose(model.rho_, rho)
    np.testing.assert_allclose(model.delta_, delta)


@pytest.mark.parametrize("n_clusters", ["auto", 5])
def test_order_of_rows_does_not_matter(n_clusters):
    # few different values: many ties of density and distance
    X = np.random.default_rng(3).integers(0, 6, (150, 3)).astype(float)
    weight = np.random.default_rng(4).integers(0, 3, 150) / 3
    order = np.random.default_rng(5).permutation(150)
    one = DensityPeakKMeans(n_clusters).fit(X, sample_weight=weight)
    other = DensityPeakKMeans(n_clusters).fit(X[order], sample_weight=weight[order])
    for name in FITTED:
        np.testing.assert_array_equal(getattr(one, name)[order], getattr(other, name))
    np.testing.assert_array_equal(one.cluster_centers_, other.cluster_centers_)
    assert one.inertia_ == other.inertia_
    np.testing.assert_array_equal(X[one.medoid_indices_], X[order][other.medoid_indices_])


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=14),
    st.integers(1, 4),
)
@settings(max_examples=60, deadline=None)
def test_repeating_a_row_is_weighting_it(rows, times):
    X = np.array(rows, dtype=float)
    weight = np.ones(len(X))
    weight[0] = times
    weighted = DensityPeakKMeans().fit(X, sample_weight=weight)
    repeated = DensityPeakKMeans().fit(np.vstack([X, *[X[:1]] * (times - 1)]))
    np.testing.assert_array_equal(weighted.labels_, repeated.labels_[: len(X)])
    np.testing.assert_allclose(weighted.rho_, repeated.rho_[: len(X)])
    assert weighted.inertia_ == pytest.approx(repeated.inertia_, abs=1e-12)
    assert np.unique(weighted.labels_).size == weighted.n_clusters_


def test_duplicates_only():
    X = np.repeat([[0.0, 1.0], [5.0, 5.0], [9.0, 0.0]], 40, axis=0)
    model = DensityPeakKMeans().fit(X)
    assert model.n_clusters_ == 3
    assert model.inertia_ == 0.0
    with pytest.warns(ConvergenceWarning, match="found 3 clusters instead of 5"):
        assert DensityPeakKMeans(5).fit(X).n_clusters_ == 3
    assert DensityPeakKMeans().fit(np.ones((6, 2))).n_clusters_ == 1


def test_as_many_clusters_as_rows_leave_nothing():
    X = np.random.default_rng(0).random((25, 4)) / 3
    model = DensityPeakKMeans(25).fit(X)
    assert model.inertia_ == 0.0
    assert sorted(model.medoid_indices_) == list(range(25))


def test_one_cluster_is_the_mean():
    X = blobs()
    model = DensityPeakKMeans(1).fit(X)
    np.testing.assert_allclose(model.cluster_centers_[0], X.mean(axis=0))
    assert model.inertia_ == pytest.approx(len(X) * X.var(axis=0).sum())
    assert model.score(X) == -model.inertia_


@pytest.mark.parametrize("clusters", range(4, 21))
def test_inertia_near_the_best_of_ten(clusters):
    for features, seed in ((2, 0), (2, 1), (6, 2)):
        X, _ = make_blobs(400, centers=clusters, n_features=features, random_state=seed)
        # on a busy machine the peer's threads wait for each other much longer than they work
        with threadpool_limits(limits=1):
            best = KMeans(clusters, n_init=10, random_state=0).fit(X).inertia_
        assert DensityPeakKMeans(clusters).fit(X).inertia_ <= 1.01 * best


def generated(name):
    skew = [[0.6, -0.6], [-0.4, 0.8]]
    rng = np.random.default_rng(170)
    return {
        "blobs": lambda: make_blobs(500, random_state=8)[0],
        "12 blobs": lambda: make_blobs(500, 4, centers=12, random_state=0)[0],
        "skewed": lambda: make_blobs(500, random_state=170)[0] @ skew,
        "widths": lambda: make_blobs(500, cluster_std=[1.0, 2.5, 0.5], random_state=170)[0],
        "moons": lambda: datasets.make_moons(500, noise=0.05, random_state=170)[0],
        "circles": lambda: datasets.make_circles(500, factor=0.5, noise=0.05, random_state=170)[0],
        "S curve": lambda: datasets.make_s_curve(500, noise=0.05, random_state=170)[0],
        "Swiss roll": lambda: datasets.make_swiss_roll(500, noise=0.05, random_state=170)[0],
        "no structure": lambda: rng.random((500, 2)),
        "classification": lambda: datasets.make_classification(
            500, 8, n_informative=5, random_state=0
        )[0],
    }[name]()


@pytest.mark.parametrize(
    "name",
    [
        *("blobs", "12 blobs", "skewed", "widths", "moons", "circles"),
        *("S curve", "Swiss roll", "no structure", "classification"),
    ],
)
def test_generated_rows_near_the_best_of_ten(name):
    X = generated(name)
    with threadpool_limits(limits=1):
        for clusters in range(4, 21):
            best = KMeans(clusters, n_init=10, random_state=0).fit(X).inertia_
            assert DensityPeakKMeans(clusters).fit(X).inertia_ <= 1.01 * best, clusters


def test_merging_finds_the_clusters_that_two_divisions_share():
    centers = np.array([[0.0, 0.0], [0.1, 0.0], [9.0, 0.0], [9.0, 0.3], [0.0, 8.0]])
    mass = np.array([1.0, 3.0, 2.0, 2.0, 5.0])
    merged = ward(centers, mass, 3)
    expected = [[0.0, 8.0], [0.075, 0.0], [9.0, 0.15]]
    np.testing.assert_allclose(merged[np.lexsort(merged.T[::-1])], expected, atol=1e-12)


def test_cost_of_merging_is_what_the_inertia_rises():
    X = np.random.default_rng(0).random((9, 3))
    mass = np.random.default_rng(1).random(9) + 0.5

    def within(rows):
        mean = mass[rows] @ X[rows] / mass[rows].sum()
        return mass[rows] @ np.square(X[rows] - mean).sum(axis=1)

    pairs = [(a, b) for a in range(9) for b in range(a)]
    best = min(pairs, key=lambda pair: within(list(pair)))
    mean = mass[list(best)] @ X[list(best)] / mass[list(best)].sum()
    assert np.isclose(ward(X, mass, 8), mean).all(axis=1).any()


def test_moving_centres_never_raises_the_inertia():
    X, _ = make_blobs(300, centers=12, random_state=1)
    published = DensityPeakKMeans(12, max_swaps=0).fit(X)
    assert DensityPeakKMeans(12).fit(X).inertia_ <= published.inertia_


def test_memory_bound_changes_nothing():
    X = np.random.default_rng(0).random((400, 3))
    free = DensityPeakKMeans().fit(X)
    bounded = DensityPeakKMeans(max_memory_mb=0.3).fit(X)
    np.testing.assert_array_equal(free.labels_, bounded.labels_)
    np.testing.assert_allclose(free.rho_, bounded.rho_)
    assert free.n_clusters_ == bounded.n_clusters_


@pytest.mark.parametrize("share", [0.003, 0.02, 0.5, 1.0])
def test_quantile_in_little_memory_is_exact(share):
    X = np.random.default_rng(0).random((300, 3))
    rows = DistinctRows.of(X, np.ones(300))
    small = PairDistances(rows.points, max_memory_mb=0.2)
    assert small.block_rows < 300
    expected = np.quantile(pdist(rows.points), share, method="inverted_cdf")
    assert small.quantile(rows.weights, share) == pytest.approx(expected, rel=1e-12)


def test_empty_cluster_takes_the_farthest_row():
    X = np.array([[0.0], [1.0], [2.0], [50.0]])
    start = np.array([[1.0], [1.0]])
    rows = Lloyd.of(X, np.ones(4), max_iter=50, tol=0.0, max_memory_mb=1.0)
    found = rows.run(start)
    assert found is not None
    assert found.converged
    assert sorted(found.centers.ravel()) == [1.0, 50.0]


small_matrices = hnp.arrays(
    float,
    st.tuples(st.integers(2, 24), st.integers(1, 20)),
    elements=st.floats(-50.0, 50.0).map(lambda x: round(x, 2)),
)


@given(small_matrices, st.integers(-40, 40), st.sampled_from(["auto", 1, 2]))
@settings(max_examples=40, deadline=None)
def test_unit_of_the_rows_does_not_matter(X, power, n_clusters):
    one, other = (DensityPeakKMeans(n_clusters, max_swaps=3) for _ in range(2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different rows than clusters
        one.fit(X)
        other.fit(np.ldexp(X, power))
    np.testing.assert_array_equal(one.labels_, other.labels_)
    np.testing.assert_array_equal(one.rho_, other.rho_)
    np.testing.assert_array_equal(np.ldexp(one.delta_, power), other.delta_)
    np.testing.assert_array_equal(np.ldexp(one.cluster_centers_, power), other.cluster_centers_)


@given(small_matrices, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_no_order_of_rows_matters(X, random):
    order = random.sample(range(len(X)), len(X))
    one, other = DensityPeakKMeans().fit(X), DensityPeakKMeans().fit(X[order])
    for name in FITTED:
        np.testing.assert_array_equal(getattr(one, name)[order], getattr(other, name))
    np.testing.assert_array_equal(one.cluster_centers_, other.cluster_centers_)


@given(small_matrices, st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_clusters_of_the_centres_are_the_centres(X, n_clusters):
    n_clusters = min(n_clusters, len(np.unique(X, axis=0)))
    model = DensityPeakKMeans(n_clusters).fit(X)
    mass = np.bincount(model.labels_)
    again = DensityPeakKMeans(n_clusters).fit(model.cluster_centers_, sample_weight=mass)
    np.testing.assert_array_equal(again.cluster_centers_[again.labels_], model.cluster_centers_)
    assert again.inertia_ == 0.0
    np.testing.assert_array_equal(model.predict(X), model.labels_)


def test_lexicographic_order_is_numpys():
    X = np.random.default_rng(0).integers(0, 3, (200, 5)).astype(float)
    rows = DistinctRows.of(X, np.ones(200))
    expected, group, count = np.unique(X, axis=0, return_inverse=True, return_counts=True)
    np.testing.assert_array_equal(rows.points, expected)
    np.testing.assert_array_equal(rows.group, group.ravel())
    np.testing.assert_array_equal(rows.weights, count)


def test_many_columns_lose_no_small_distance():
    X = np.random.default_rng(0).random((60, 40))
    X[30:] = X[:30] + 1e-9  # far below what the expanded square can tell
    pairs = PairDistances(X, 512)
    (rows, square), *_ = pairs.blocks()
    np.testing.assert_allclose(np.sqrt(square), cdist(X[rows], X), rtol=1e-6, atol=1e-15)


def test_weighted_quantile_counts_pairs_by_their_weights():
    X = np.random.default_rng(0).random((40, 2))
    weight = np.random.default_rng(1).integers(1, 5, 40).astype(float)
    pairs = PairDistances(X, 512)
    distance = pdist(X)
    mass = np.multiply.outer(weight, weight)[np.triu_indices(40, 1)]
    order = np.argsort(distance)
    for share in (0.02, 0.4, 1.0):
        at = np.searchsorted(np.cumsum(mass[order]), share * mass.sum())
        assert pairs.quantile(weight, share) == pytest.approx(distance[order[at]], rel=1e-12)


def test_quantile_among_ties_in_little_memory():
    X = np.random.default_rng(0).integers(0, 2, (500, 12)).astype(float)
    rows = DistinctRows.of(X, np.ones(500))
    small = PairDistances(rows.points, max_memory_mb=0.01)
    for share in (0.02, 0.3, 0.9):
        large = PairDistances(rows.points, max_memory_mb=512).quantile(rows.weights, share)
        assert small.quantile(rows.weights, share) == large


def test_representatives_are_means_or_rows():
    X = blobs()
    mean = DensityPeakKMeans(3).fit(X)
    medoid = DensityPeakKMeans(3, representative="medoid").fit(X)
    np.testing.assert_array_equal(mean.labels_, medoid.labels_)
    np.testing.assert_array_equal(mean.representatives_, mean.cluster_centers_)
    np.testing.assert_array_equal(medoid.representatives_, X[medoid.medoid_indices_])


@pytest.mark.slow
def test_fifty_thousand_rows_fit_into_two_gigabytes():
    code = (
        "import resource, numpy as np\n"
        "from sklearn.datasets import make_blobs\n"
        "from clustering import DensityPeakKMeans\n"
        "X, _ = make_blobs(50_000, 10, centers=12, random_state=0)\n"
        "model = DensityPeakKMeans(12).fit(X)\n"
        "assert len(set(model.labels_)) == 12\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert int(done.stdout) * 1024 < 2e9


def test_more_columns_than_rows():
    X = np.hstack([blobs((20, 20, 20)), np.zeros((60, 200))])
    model = DensityPeakKMeans().fit(X)
    assert model.n_clusters_ == 3
    assert model.cluster_centers_.shape == (3, 202)
    np.testing.assert_allclose(model.transform(X).min(axis=1) ** 2 @ np.ones(60), model.inertia_)


def test_weightless_rows_get_a_label_only():
    X = np.vstack([blobs(), [[500.0, 500.0]]])
    weight = np.append(np.ones(180), 0.0)
    model = DensityPeakKMeans(3).fit(X, sample_weight=weight)
    assert np.isnan(model.rho_[-1])
    assert model.cluster_centers_.max() < 20.0
    assert 180 not in model.medoid_indices_


@pytest.mark.parametrize(
    ("kwargs", "weight", "text"),
    [
        ({"n_clusters": 5}, None, "fewer than n_clusters=5"),
        ({"n_clusters": 3}, [1, 1, 0, 0], "n_samples=2"),
    ],
)
def test_bad_input_is_named(kwargs, weight, text):
    with pytest.raises(InvalidInput, match=text):
        DensityPeakKMeans(**kwargs).fit(np.arange(8.0).reshape(4, 2), sample_weight=weight)


def test_no_weight_at_all_is_refused():
    # newer scikit-learn refuses it before this package can
    with pytest.raises(ValueError, match=r"positive weight|non-zero"):
        DensityPeakKMeans().fit(np.ones((4, 2)), sample_weight=np.zeros(4))


def test_too_few_rounds_are_reported():
    X, _ = make_blobs(300, centers=6, random_state=1, cluster_std=4.0)
    with pytest.warns(ConvergenceWarning, match="max_iter=1"):
        DensityPeakKMeans(6, max_iter=1).fit(X)
