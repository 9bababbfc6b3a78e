"""Price scenarios: the mean, the probabilities and the spread, and every refusal."""

from __future__ import annotations

import doctest
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import clustering
from pp_p2p.errors import InvalidInput

FORECAST = 60.0 + 25.0 * np.sin(np.arange(24) / 24 * 2 * np.pi)


def test_doctest():
    module = sys.modules["clustering.price_scenarios"]
    found = doctest.testmod(module)
    assert (found.failed, found.attempted > 0) == (0, True)


@given(
    st.integers(0, 2**32),
    st.integers(1, 12),
    st.floats(-0.95, 0.95),
    st.sampled_from(["mean", "medoid"]),
)
@settings(max_examples=30, deadline=None)
def test_mean_and_probabilities_are_kept(seed, n_scenarios, correlation, representative):
    ds = clustering.price_scenarios(
        FORECAST,
        7.0,
        200,
        n_scenarios,
        seed,
        correlation=correlation,
        representative=representative,
    )
    probability = ds["probability"].to_numpy()
    assert ds["price_eur_per_mwh"].shape == (n_scenarios, 24)
    assert probability.min() > 0.0
    assert abs(probability.sum() - 1.0) <= 1e-15
    assert (np.diff(probability) <= 0.0).all()
    np.testing.assert_allclose(
        probability @ ds["price_eur_per_mwh"].to_numpy(), FORECAST, rtol=1e-13
    )
    assert 0.0 <= ds.attrs["sigma_kept_percent"] <= 120.0


def test_as_many_scenarios_as_samples_are_the_samples():
    ds = clustering.price_scenarios(FORECAST, 5.0, 40, 40, correlation=0.5)
    assert ds.attrs["sigma_kept_percent"] == pytest.approx(100.0)
    np.testing.assert_allclose(ds["probability"], 1 / 40)


@pytest.mark.parametrize("correlation", [0.0, 0.6, -0.5, 0.95])
def test_paths_have_the_variance_and_correlation_asked_for(correlation):
    sigma = np.linspace(2.0, 9.0, 24)
    ds = clustering.price_scenarios(FORECAST, sigma, 4000, 4000, correlation=correlation)
    deviation = (ds["price_eur_per_mwh"].to_numpy() - FORECAST) / sigma
    np.testing.assert_allclose(deviation.std(axis=0), 1.0, atol=0.05)
    lag = (deviation[:, 1:] * deviation[:, :-1]).mean(axis=0)
    np.testing.assert_allclose(lag, correlation, atol=0.07)


def test_more_scenarios_and_more_correlation_keep_more_variance():
    kept = [
        clustering.price_scenarios(FORECAST, 5.0, 500, n, correlation=c).attrs["sigma_kept_percent"]
        for n, c in ((5, 0.0), (50, 0.0), (50, 0.95))
    ]
    assert kept == sorted(kept)


def test_same_seed_same_numbers():
    one, same, other = (clustering.price_scenarios(FORECAST, 5.0, seed=s) for s in (3, 3, 4))
    xr.testing.assert_identical(one, same)
    assert not one["price_eur_per_mwh"].equals(other["price_eur_per_mwh"])
    assert one.attrs["seed"] == 3


def test_forecast_keeps_its_name_and_stamps():
    time = pd.date_range("2030-01-01", periods=24, freq="h")
    forecast = xr.DataArray(
        FORECAST, {"time": time}, ("time",), "price_buy_eur_per_mwh", {"source": "model"}
    )
    ds = clustering.price_scenarios(forecast, xr.full_like(forecast, 3.0), n_scenarios=4)
    price = ds["price_buy_eur_per_mwh"]
    assert price.dims == ("scenario", "time")
    assert price.attrs == {"units": "EUR/MWh", "source": "model"}
    assert price.indexes["time"].equals(time)


def test_no_uncertainty_is_one_scenario():
    ds = clustering.price_scenarios(FORECAST, 0.0)
    assert dict(ds.sizes) == {"scenario": 1, "time": 24}
    np.testing.assert_array_equal(ds["price_eur_per_mwh"][0], FORECAST)
    assert float(ds["probability"][0]) == 1.0
    sure = np.where(np.arange(24) < 12, 0.0, 5.0)
    partly = clustering.price_scenarios(FORECAST, sure)["price_eur_per_mwh"]
    np.testing.assert_allclose(partly[:, :12], np.tile(FORECAST[:12], (10, 1)))


@pytest.mark.parametrize(
    ("forecast", "sigma", "kwargs", "table"),
    [
        (np.append(FORECAST, np.nan), 1.0, {}, "forecast"),
        (np.zeros((2, 24)), 1.0, {}, "forecast"),
        ([], 1.0, {}, "forecast"),
        (["dear"], 1.0, {}, "forecast"),
        (xr.DataArray(FORECAST, dims="hour"), 1.0, {}, "forecast"),
        (FORECAST, -1.0, {}, "sigma"),
        (FORECAST, np.where(np.arange(24) == 5, -1.0, 1.0), {}, "sigma"),
        (FORECAST, np.nan, {}, "sigma"),
        (FORECAST, np.ones(23), {}, "sigma"),
        (FORECAST, "much", {}, "sigma"),
        (FORECAST, 1.0, {"n_scenarios": 0}, "n_scenarios"),
        (FORECAST, 1.0, {"n_scenarios": 11, "n_samples": 10}, "n_scenarios"),
        (FORECAST, 1.0, {"n_samples": 2.5}, "n_samples"),
        (FORECAST, 1.0, {"seed": -1}, "seed"),
        (FORECAST, 1.0, {"correlation": 1.0}, "correlation"),
        (FORECAST, 1.0, {"correlation": np.nan}, "correlation"),
        (FORECAST, 1.0, {"representative": "median"}, "representative"),
    ],
)
def test_bad_input_is_named(forecast, sigma, kwargs, table):
    with pytest.raises(InvalidInput) as caught:
        clustering.price_scenarios(forecast, sigma, **kwargs)
    assert [finding.table for finding in caught.value.findings] == [table]
    assert caught.value.findings[0].mend


def test_all_findings_come_at_once():
    with pytest.raises(InvalidInput) as caught:
        clustering.price_scenarios([np.nan], -1.0, 0, 0, -1, correlation=2.0)
    assert len(caught.value.findings) == 6
