"""Pictures: what they show is what was chosen; drawing needs no network."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError

import clustering
from pp_p2p.errors import InvalidInput


@pytest.fixture(scope="module")
def profiles():
    import pandas as pd
    import xarray as xr

    rng = np.random.default_rng(0)
    time = pd.date_range("2016-01-01", periods=24 * 30, freq="h")
    return xr.Dataset(
        {
            "load_p_mw": (("time", "load"), 1.0 + rng.random((len(time), 2))),
            "price_buy_eur_per_mwh": ("time", 50.0 + rng.random(len(time))),
        },
        coords={"time": time, "load": [0, 1]},
    )


@pytest.fixture(scope="module")
def days(profiles):
    return clustering.typical_days(profiles, 6, extreme_days=["peak_load"])


def test_decision_graph_marks_the_peaks():
    X, _ = make_blobs(90, centers=3, cluster_std=0.3, random_state=1)
    model = clustering.DensityPeakKMeans().fit(X, sample_weight=np.append(np.zeros(2), np.ones(88)))
    figure = clustering.decision_graph_figure(model)
    rows, peaks, gamma = figure.data
    assert len(rows.x) + len(peaks.x) == 88  # a row without weight has no place
    assert len(peaks.x) == model.n_clusters_ == 3
    np.testing.assert_array_equal(peaks.y, model.delta_[list(peaks.customdata)])
    assert list(gamma.y) == sorted(gamma.y, reverse=True)
    assert min(model.gamma_[list(peaks.customdata)]) >= np.nanmax(
        np.delete(model.gamma_, list(peaks.customdata))
    )
    with pytest.raises(NotFittedError):
        clustering.decision_graph_figure(clustering.DensityPeakKMeans())


@pytest.mark.parametrize("channel", [None, "load_p_mw [load 1]", "price_buy_eur_per_mwh"])
def test_each_typical_day_lies_over_its_cloud(profiles, days, channel):
    figure = clustering.typical_days_figure(days, profiles, channel)
    clouds = [trace for trace in figure.data if trace.name == "days it stands for"]
    typical = [trace for trace in figure.data if trace.name == "typical day"]
    assert [int(np.isnan(cloud.y.astype(float)).sum()) for cloud in clouds] == list(days["weight"])
    assert len(typical) == days.sizes["day"] == 7
    if channel == "price_buy_eur_per_mwh":
        for trace, day in zip(typical, days[channel].to_numpy(), strict=True):
            np.testing.assert_array_equal(trace.y, day)
    titles = [note.text for note in figure.layout.annotations]
    assert titles[0] == f"{days['source_day'].values[0]}: {float(days['weight'][0]):g} days"
    assert titles[-1].endswith(": 1 day")


def test_unknown_channel_is_refused(profiles, days):
    with pytest.raises(InvalidInput, match="load 1"):
        clustering.typical_days_figure(days, profiles, "heat_mw")


def test_duration_curves_fall(profiles, days):
    figure = clustering.duration_curves_figure(days, profiles)
    assert len(figure.data) == 6  # load, price, net load: all days and typical days
    for trace in figure.data:
        assert (np.diff(trace.y) <= 0.0).all()
        assert 0.0 < trace.x[0] < trace.x[-1] < 100.0
    for draw in (clustering.duration_curves_figure, clustering.typical_days_figure):
        with pytest.raises(InvalidInput, match="original_date"):
            draw(days, profiles.isel(time=slice(24, None)))


def test_pages_need_no_network(profiles, days):
    page = clustering.duration_curves_figure(days, profiles).to_html(include_plotlyjs=False)
    assert "http" not in page.replace("http://www.w3.org", "")
