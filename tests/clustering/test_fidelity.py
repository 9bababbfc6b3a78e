"""Fidelity: every figure by its definition, what must be zero, and every refusal."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import ks_2samp

import clustering
from pp_p2p.errors import InvalidInput


def year(n_days=60, seed=0):
    rng = np.random.default_rng(seed)
    time = pd.date_range("2016-01-01", periods=24 * n_days, freq="h")
    hour = np.asarray(time.hour)
    sun = np.clip(np.sin((hour - 6) / 12 * np.pi), 0, None) * np.repeat(rng.random(n_days), 24)
    return xr.Dataset(
        {
            "load_p_mw": (("time", "load"), 1.0 + rng.random((24 * n_days, 2))),
            "sgen_p_mw": (("time", "sgen"), sun[:, None]),
            "price_buy_eur_per_mwh": ("time", np.where(hour < 12, 100.0, 200.0)),
            "constant_mw": ("time", np.full(24 * n_days, 3.0)),
        },
        coords={"time": time, "load": [4, 7], "sgen": [2]},
    )


@pytest.fixture(scope="module")
def profiles():
    return year()


@pytest.fixture(scope="module")
def days(profiles):
    return clustering.typical_days(profiles, 5, keep_energy=False)


def cost(days):
    """Energy above a capacity costs more than the rest."""
    net = days["load_p_mw"].sum("load") - days["sgen_p_mw"].sum("sgen")
    hourly = 100.0 * net + 1000.0 * (net - 3.5).clip(0.0)
    return float((hourly.sum("hour") * days["weight"]).sum())


def test_every_figure_by_its_definition(profiles, days):
    found = clustering.fidelity(days, profiles).sel(channel="load_p_mw [load 7]")
    x = profiles["load_p_mw"].sel(load=7).to_numpy()
    y = clustering.rebuild(days)["load_p_mw"].sel(load=7).to_numpy()
    span = np.ptp(x)
    expected = {
        "energy_all_days": x.sum(),
        "energy_typical_days": y.sum(),
        "energy_error_percent": 100 * (y.sum() - x.sum()) / x.sum(),
        "rmse_percent": 100 * np.sqrt(np.mean((y - x) ** 2)) / span,
        "duration_rmse_percent": 100 * np.sqrt(np.mean((np.sort(y) - np.sort(x)) ** 2)) / span,
        "peak_error_percent": 100 * (y.max() - x.max()) / span,
        "valley_error_percent": 100 * (y.min() - x.min()) / span,
    }
    dx, dy = (np.diff(v.reshape(-1, 24), axis=1).ravel() for v in (x, y))
    expected["ramp_error_percent"] = 100 * (np.abs(dy).max() / np.abs(dx).max() - 1)
    expected["ramp_distance_percent"] = 100 * ks_2samp(dx, dy).statistic
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(value, rel=1e-9, abs=1e-9), name
    other = profiles["sgen_p_mw"].sel(sgen=2).to_numpy()
    series = clustering.rebuild(days)["sgen_p_mw"].sel(sgen=2).to_numpy()
    error = np.corrcoef(y, series)[0, 1] - np.corrcoef(x, other)[0, 1]
    assert float(found["correlation_error"].sel(other_channel="sgen_p_mw [sgen 2]")) == (
        pytest.approx(error)
    )


def test_means_count_each_variable_once(profiles, days):
    found = clustering.fidelity(days, profiles)
    by_name = found["duration_rmse_percent"].to_series()
    loads = (by_name["load_p_mw [load 4]"] + by_name["load_p_mw [load 7]"]) / 2
    # the price is the same every day and the constant has no range: neither can be missed
    expected = (loads + by_name["sgen_p_mw [sgen 2]"]) / 2
    assert float(found["mean_duration_rmse_percent"]) == pytest.approx(expected)


def test_all_days_miss_nothing(profiles):
    days = clustering.typical_days(profiles, 60)
    found = clustering.fidelity(days, profiles, cost)
    for name, values in found.data_vars.items():
        if name.endswith("percent") or name.startswith("correlation"):
            np.testing.assert_allclose(values.fillna(0.0), 0.0, atol=1e-10, err_msg=str(name))


@pytest.mark.parametrize("representative", ["medoid", "mean", "distribution"])
def test_kept_energy_is_no_error(profiles, representative):
    days = clustering.typical_days(
        profiles, 4, representative=representative, extreme_days=["peak_net_load"]
    )
    found = clustering.fidelity(days, profiles)
    assert float(np.abs(found["energy_error_percent"]).max()) <= 1e-10


def test_distribution_keeps_duration_curves_best(profiles):
    missed = {
        kind: float(
            clustering.fidelity(
                clustering.typical_days(profiles, 5, representative=kind), profiles
            )["mean_duration_rmse_percent"]
        )
        for kind in ("medoid", "mean", "distribution")
    }
    assert missed["distribution"] < missed["medoid"] < missed["mean"]


def test_decision_error(profiles, days):
    found = clustering.fidelity(days, profiles, cost)
    one_by_one = clustering.typical_days(profiles, 60)
    assert float(found["cost_all_days_eur"]) == pytest.approx(cost(one_by_one))
    assert float(found["cost_typical_days_eur"]) == cost(days)
    error = 100 * (cost(days) / cost(one_by_one) - 1)
    assert float(found["decision_error_percent"]) == pytest.approx(error)


def test_figures_without_meaning_are_nan(profiles, days):
    found = clustering.fidelity(days, profiles)
    constant = found.sel(channel="constant_mw")
    assert np.isnan(float(constant["rmse_percent"]))
    assert np.isnan(constant["correlation_error"]).all()
    assert float(constant["energy_error_percent"]) == pytest.approx(0.0)
    daily = year().resample(time="1D").mean()
    one_step = clustering.fidelity(clustering.typical_days(daily, 4), daily)
    assert np.isnan(one_step["ramp_error_percent"]).all()


def test_every_figure_has_a_unit_and_netcdf_takes_it(profiles, days, tmp_path):
    found = clustering.fidelity(days, profiles, cost)
    assert all({"units", "long_name"} <= set(found[name].attrs) for name in found.data_vars)
    found.to_netcdf(tmp_path / "fidelity.nc")


@pytest.mark.parametrize(
    ("changed", "column"),
    [
        (lambda p: p.isel(time=slice(24, None)), "time"),
        (lambda p: p.resample(time="2h").mean(), "time"),
        (lambda p: p.rename(constant_mw="other_mw"), "other_mw"),
        (lambda p: p.isel(load=[0]), "load_p_mw"),
        (lambda p: p.isel(load=[1, 0]), "load_p_mw"),
        (lambda p: p.where(p["time"] > p["time"][0]), "constant_mw"),
    ],
)
def test_other_profiles_are_refused(profiles, days, changed, column):
    with pytest.raises(InvalidInput) as caught:
        clustering.fidelity(days, changed(profiles))
    assert column in {finding.column for finding in caught.value.findings}


@pytest.mark.parametrize("value", [np.nan, None, "cheap", np.ones(2)])
def test_cost_has_to_be_a_number(profiles, days, value):
    with pytest.raises(InvalidInput, match="one finite number"):
        clustering.fidelity(days, profiles, lambda _: value)
