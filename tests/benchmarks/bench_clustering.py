"""Clustering side by side with its peers, each pair in one run.

Seconds are those of the processor in this process, on one thread for everybody.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from registry import PeerMissing, Row, table
from threadpoolctl import threadpool_limits

import clustering
from clustering.profile_days import ProfileDays

ROOT = Path(__file__).parents[2]
CLUSTERS = range(4, 21)
N_DAYS = 8
RUNS = 20


def simbench_year() -> xr.Dataset:
    """Return the year of SimBench profiles, every column a variable of its own."""
    frame = pd.read_csv(
        ROOT / "examples/data/simbench_2016.csv", comment="#", index_col="time", parse_dates=True
    )
    frame = frame[[name for name in frame if not str(name).endswith("_qload")]]
    return xr.Dataset(
        {str(name): ("time", frame[name].to_numpy()) for name in frame},
        coords={"time": frame.index.to_numpy()},
    )


def data_sets() -> dict[str, np.ndarray]:
    """Return scikit-learn's generators, as its own comparison of clusterings uses them."""
    from sklearn import datasets

    skewed = datasets.make_blobs(500, random_state=170)[0] @ [[0.6, -0.6], [-0.4, 0.8]]
    return {
        "blobs": datasets.make_blobs(500, random_state=8)[0],
        "12 blobs, 4 features": datasets.make_blobs(500, 4, centers=12, random_state=0)[0],
        "skewed blobs": skewed,
        "blobs of varied width": datasets.make_blobs(
            500, cluster_std=[1.0, 2.5, 0.5], random_state=170
        )[0],
        "moons": datasets.make_moons(500, noise=0.05, random_state=170)[0],
        "circles": datasets.make_circles(500, factor=0.5, noise=0.05, random_state=170)[0],
        "S curve": datasets.make_s_curve(500, noise=0.05, random_state=170)[0],
        "Swiss roll": datasets.make_swiss_roll(500, noise=0.05, random_state=170)[0],
        "no structure": np.random.default_rng(170).random((500, 2)),
        "classification": datasets.make_classification(500, 8, n_informative=5, random_state=0)[0],
        "SimBench year, 312 features": ProfileDays.of(simbench_year()).features({})[0],
        "blobs, 2000 rows": datasets.make_blobs(2000, centers=12, random_state=0)[0],
    }


@table("clustering_kmeans", peer="scikit-learn KMeans")
def kmeans_rows() -> list[Row]:
    """Compare with ``KMeans(n_init=10, init="k-means++")``, K = 4..20."""
    from sklearn.cluster import KMeans

    rows: list[Row] = []
    for name, X in data_sets().items():
        ours, theirs, worse, again = [], [], [], []
        for k in CLUSTERS:
            a, a_s = _timed(lambda k=k, X=X: clustering.DensityPeakKMeans(k).fit(X))
            b, b_s = _timed(lambda k=k, X=X: KMeans(k, n_init=10, random_state=0).fit(X))
            ours.append(a_s)
            theirs.append(b_s)
            worse.append(100.0 * (a.inertia_ / b.inertia_ - 1.0))
            with threadpool_limits(limits=1):
                other = KMeans(k, n_init=10, random_state=1).fit(X)
            again.append(100.0 * (other.inertia_ / b.inertia_ - 1.0))
        peer = "KMeans n_init=10"
        note = f"mean {np.mean(worse):+.2f} %; the peer's column: itself with another seed"
        name_ = f"{name}: worst inertia over K, %"
        rows.append(Row(name_, peer, max(worse), max(again), np.nan, note))
        rows.append(_row(f"{name}: seconds for K = 4..20", peer, sum(ours), sum(theirs)))
    return rows


@table("clustering_tsam", peer="tsam")
def tsam_rows() -> list[Row]:
    """Compare with tsam on the SimBench year: figures, seconds and the spread over runs."""
    if find_spec("tsam") is None:
        raise PeerMissing("tsam")
    import tsam

    year = simbench_year()
    frame = year.to_dataframe()
    rows: list[Row] = []
    for ours, method, theirs in (
        ("medoid", "hierarchical", None),
        ("medoid", "kmeans", "medoid"),
        ("mean", "kmeans", "mean"),
        ("distribution", "hierarchical", "distribution"),
        ("distribution", "kmeans", "distribution"),
    ):
        config = tsam.ClusterConfig(method=method, representation=theirs)

        def peer(config: Any = config) -> pd.DataFrame:
            # a copy: the columns of what it is given come back sorted
            result = tsam.aggregate(frame.copy(), N_DAYS, cluster=config)
            return result.reconstructed[list(frame)]

        def own(ours: Any = ours) -> pd.DataFrame:
            days = clustering.typical_days(year, N_DAYS, representative=ours)
            return clustering.rebuild(days)[list(frame)].to_dataframe()

        name = f"{method}, {theirs or 'default'}"
        mine, my_s = _repeated(own, frame)
        other, other_s = _repeated(peer, frame)
        for figure in mine[0]:
            a, b = ([run[figure] for run in runs] for runs in (mine, other))
            note = f"spread over {RUNS} runs: ours {np.ptp(a):.1g}, peer {np.ptp(b):.1g}"
            rows.append(
                _row(f"{ours}: {figure}", f"tsam {name}", np.mean(a), np.mean(b), note=note)
            )
        rows.append(_row(f"{ours}: seconds", f"tsam {name}", my_s, other_s))
    return rows


@table("clustering_size", peer="")
def size_rows() -> list[Row]:
    """Measure ten years of hours, and 50 000 rows."""
    from sklearn.cluster import KMeans
    from sklearn.datasets import make_blobs

    decade = _decade()
    X = ProfileDays.of(decade).features({})[0]
    rows: list[Row] = []
    for name, X_, k in (
        ("3650 days x 4 channels x 24 h, K = 8", X, 8),
        ("50 000 rows x 10 features, K = 12", make_blobs(50_000, 10, centers=12)[0], 12),
    ):
        _, a = _timed(lambda X=X_, k=k: clustering.DensityPeakKMeans(k).fit(X), times=1)
        _, b = _timed(lambda X=X_, k=k: KMeans(k, n_init=10, random_state=0).fit(X), times=1)
        rows.append(_row(f"{name}: seconds", "KMeans n_init=10", a, b))
    for n_days in (N_DAYS, "auto"):
        found, a = _timed(lambda n=n_days: clustering.typical_days(decade, n), times=1)
        note = f"{found.sizes['day']} days"
        rows.append((f"ten years, n_days={n_days}: seconds", "none", a, np.nan, np.nan, note))
    return rows


def _decade() -> xr.Dataset:
    """Return ten years of hours made of the SimBench year: other order of days, other level."""
    year = simbench_year()[["H0-A_pload", "G0-A_pload", "PV3", "WP4"]].isel(time=slice(0, 365 * 24))
    rng = np.random.default_rng(0)
    time_ = pd.date_range("2011-01-01", periods=3650 * 24, freq="h")
    values = {}
    for name, array in year.items():
        days = array.to_numpy().reshape(365, 24)
        nearby = np.clip(np.arange(3650) % 365 + rng.integers(-7, 8, 3650), 0, 364)
        level = rng.uniform(0.8, 1.2, (3650, 1))
        values[str(name)] = ("time", (level * days[nearby]).ravel())
    return xr.Dataset(values, coords={"time": time_})


def _errors(rebuilt: pd.DataFrame, original: pd.DataFrame) -> dict[str, float]:
    """Return the figures of `clustering.fidelity`, mean over the columns, by plain numpy."""
    x, y = original.to_numpy(), rebuilt.to_numpy()
    span = np.ptp(x, axis=0)

    def rmse(error: np.ndarray) -> float:
        return float(np.mean(100.0 * np.sqrt(np.mean(error**2, axis=0)) / span))

    upper = np.triu_indices(x.shape[1], 1)
    correlation = (np.corrcoef(y.T) - np.corrcoef(x.T))[upper]
    return {
        "RMSE, % of range": rmse(y - x),
        "duration-curve RMSE, % of range": rmse(np.sort(y, axis=0) - np.sort(x, axis=0)),
        "correlation RMSE": float(np.sqrt(np.mean(correlation**2))),
        "peak missed, % of range": float(np.mean(100.0 * (x.max(axis=0) - y.max(axis=0)) / span)),
        "largest energy error, %": float(
            np.max(100.0 * np.abs((y - x).sum(axis=0)) / x.sum(axis=0))
        ),
    }


def _repeated(
    run: Callable[[], pd.DataFrame], original: pd.DataFrame
) -> tuple[list[dict[str, float]], float]:
    """Return the figures of all runs and the seconds of the fastest."""
    figures, seconds = [], np.inf
    for _ in range(RUNS):
        result, now = _timed(run, times=1)
        figures.append(_errors(result, original))
        seconds = min(seconds, now)
    return figures, seconds


def _timed(run: Callable[[], Any], *, times: int = 3) -> tuple[Any, float]:
    """Return what `run` gives and the processor seconds of the fastest of `times`."""
    best = np.inf
    with threadpool_limits(limits=1):
        for _ in range(times):
            started = time.process_time()
            result = run()
            best = min(best, time.process_time() - started)
    return result, best


def _row(name: str, peer: str, ours: float, theirs: float, note: str = "") -> Row:
    ratio = theirs / ours if ours else np.nan
    return Row(name, peer, float(ours), float(theirs), float(ratio), note)
