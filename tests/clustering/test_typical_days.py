"""Typical days: laws that hold for any profiles, calendar cases, and every refusal."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import clustering
from clustering.conservation import scale_to_sum, shift_to_sum
from pp_p2p.errors import InvalidInput

EXTREMES = ("peak_net_load", "min_net_load", "peak_load", "max_ramp")
ROUNDING = 1e-12


def year(n_days=366, step_h=1.0, start="2016-01-01", seed=0):
    rng = np.random.default_rng(seed)
    per_day = round(24 / step_h)
    time = pd.date_range(start, periods=n_days * per_day, freq=pd.Timedelta(hours=step_h))
    hour = np.asarray(time.hour)
    weekend = np.asarray(time.dayofweek) >= 5
    shape = 0.6 + 0.3 * np.sin((hour - 6) / 12 * np.pi)
    load = (shape * np.where(weekend, 0.7, 1.0))[:, None] * [0.2, 0.5, 0.1]
    load *= 1.0 + 0.1 * rng.standard_normal(load.shape)
    sun = np.clip(np.sin((hour - 6) / 12 * np.pi), 0.0, None)
    pv = sun * np.repeat(rng.beta(2, 1.5, n_days), per_day)
    wind = np.clip(0.4 + 0.3 * rng.standard_normal(len(time)), 0.0, 1.0)
    price = 60.0 + 30.0 * rng.standard_normal(len(time))
    return xr.Dataset(
        {
            "load_p_mw": (("time", "load"), load, {"units": "MW"}),
            "load_q_mvar": (("load", "time"), (load * [0.3, -0.2, 0.0]).T),
            "sgen_p_mw": (("time", "sgen"), np.stack([0.4 * pv, 0.3 * wind], axis=1)),
            "availability_pu": (("time", "technology"), np.stack([pv, wind], axis=1)),
            "price_buy_eur_per_mwh": ("time", price),
            "price_sell_eur_per_mwh": ("time", price - 20.0),
            "emission_kg_per_mwh": ((), 400.0),
        },
        coords={"time": time, "load": [0, 3, 7], "sgen": [1, 2], "technology": ["pv", "wind"]},
        attrs={"origin": "made up"},
    )


def over_time(profiles):
    return [name for name, array in profiles.data_vars.items() if "time" in array.dims]


def assert_conserved(profiles, days):
    """Weighted sums equal the year's, within the year's limits, where they could be kept."""
    lost = {
        (e["variable"], *e["channel"].values()) for e in json.loads(days.attrs["energy_not_kept"])
    }
    for name in over_time(profiles):
        old = profiles[name].transpose("time", ...).to_numpy().reshape(profiles.sizes["time"], -1)
        new = days[name].to_numpy().reshape(days.sizes["day"], days.sizes["hour"], -1)
        labels = profiles[name].transpose("time", ...)
        for column in range(old.shape[1]):
            channel = [str(labels[d].to_numpy()[column]) for d in labels.dims[1:]]
            if (name, *channel) in lost:
                continue
            total = (days.weight.to_numpy() @ new[:, :, column]).sum()
            size = np.abs(old[:, column]).sum()
            assert abs(total - old[:, column].sum()) <= 2 * ROUNDING * size, (name, channel)
            assert new[:, :, column].max() <= old[:, column].max()
            lowest = old[:, column].min()
            # what is scaled may come nearer to zero than it ever was, a price may not
            assert new[:, :, column].min() >= (lowest if "price" in name else min(lowest, 0.0))


@pytest.fixture(scope="module")
def leap_year():
    return year()


@pytest.mark.parametrize("representative", ["medoid", "mean", "distribution"])
@pytest.mark.parametrize("n_days", ["auto", 7])
def test_leap_year(leap_year, representative, n_days):
    days = clustering.typical_days(
        leap_year, n_days, representative=representative, extreme_days=EXTREMES
    )
    assert float(days.weight.sum()) == 366.0
    assert days.attrs["n_days_total"] == 366
    assert days.attrs["step_h"] == 1.0
    assert days.attrs["origin"] == "made up"
    np.testing.assert_array_equal(days.hour, np.arange(24.0))
    np.testing.assert_array_equal(np.bincount(days.label), days.weight)
    assert days.load_p_mw.dims == ("day", "hour", "load")
    assert days.load_q_mvar.dims == ("day", "hour", "load")
    assert days.load_p_mw.attrs == {"units": "MW"}
    np.testing.assert_array_equal(days["load"], leap_year["load"])
    assert float(days.emission_kg_per_mwh) == 400.0
    assert json.loads(days.attrs["energy_not_kept"]) == []
    assert_conserved(leap_year, days)


def test_result_survives_netcdf(leap_year, tmp_path):
    days = clustering.typical_days(leap_year, 5)
    days.to_netcdf(tmp_path / "days.nc")
    with xr.open_dataset(tmp_path / "days.nc") as again:
        assert list(again.source_day.to_numpy()) == list(days.source_day.to_numpy())
        xr.testing.assert_allclose(
            clustering.rebuild(again).load_p_mw, clustering.rebuild(days).load_p_mw
        )


def test_medoid_is_the_day_it_names(leap_year):
    days = clustering.typical_days(leap_year, 6, keep_energy=False)
    for day in days.day.to_numpy():
        date = str(days.source_day.to_numpy()[day])
        np.testing.assert_array_equal(
            days.load_p_mw[day], leap_year.load_p_mw.sel(time=date).to_numpy()
        )
        at = int(np.flatnonzero(days.original_date.to_numpy() == date)[0])
        assert int(days.label[at]) == day
    assert list(days.source_day.to_numpy()) == sorted(days.source_day.to_numpy())
    means = clustering.typical_days(leap_year, 6, representative="mean")
    assert set(means.source_day.to_numpy()) == {""}


def test_extreme_days_represent_themselves(leap_year):
    days = clustering.typical_days(leap_year, 4, extreme_days=EXTREMES)
    extremes = json.loads(days.attrs["extreme_days"])
    net = leap_year.load_p_mw.sum("load") - leap_year.sgen_p_mw.sum("sgen")
    assert extremes["peak_net_load"] == str(net.idxmax().dt.date.item())
    assert extremes["min_net_load"] == str(net.idxmin().dt.date.item())
    assert days.sizes["day"] == 4 + len(set(extremes.values()))
    for date in set(extremes.values()):
        at = int(np.flatnonzero(days.source_day.to_numpy() == date)[0])
        assert float(days.weight[at]) == 1.0
        for name in over_time(leap_year):
            expected = leap_year[name].transpose("time", ...).sel(time=date)
            np.testing.assert_array_equal(days[name][at], expected)
    assert float(days.weight.min()) >= 1.0


def test_rebuild_has_the_original_axis(leap_year):
    days = clustering.typical_days(leap_year, 5, extreme_days=["peak_load"])
    series = clustering.rebuild(days)
    pd.testing.assert_index_equal(
        series.indexes["time"], leap_year.indexes["time"], check_names=False
    )
    assert set(over_time(series)) == set(over_time(leap_year))
    expected = days.load_p_mw.to_numpy()[days.label.to_numpy()].reshape(-1, 3)
    np.testing.assert_array_equal(series.load_p_mw, expected)
    assert float(series.load_p_mw.sum()) == pytest.approx(float(leap_year.load_p_mw.sum()))


def test_as_many_days_as_there_are_rebuild_the_year():
    profiles = year(9)
    series = clustering.rebuild(clustering.typical_days(profiles, 9))
    for name in over_time(profiles):
        xr.testing.assert_allclose(series[name], profiles[name].transpose("time", ...))


@pytest.mark.parametrize("step_h", [0.25, 0.5, 2.0, 24.0])
def test_other_steps(step_h):
    profiles = year(20, step_h)
    days = clustering.typical_days(profiles, 3)
    assert days.attrs["step_h"] == step_h
    np.testing.assert_allclose(days.hour, np.arange(0.0, 24.0, step_h))
    assert float(days.weight.sum()) == 20.0
    pd.testing.assert_index_equal(
        clustering.rebuild(days).indexes["time"], profiles.indexes["time"], check_names=False
    )


@pytest.mark.parametrize("name", EXTREMES)
def test_each_extreme_day_is_the_one_it_says(leap_year, name):
    load = leap_year["load_p_mw"].sum("load").to_numpy().reshape(366, 24)
    net = load - leap_year["sgen_p_mw"].sum("sgen").to_numpy().reshape(366, 24)
    expected = {
        "peak_net_load": net.max(axis=1).argmax(),
        "min_net_load": net.min(axis=1).argmin(),
        "peak_load": load.max(axis=1).argmax(),
        "max_ramp": np.abs(np.diff(net, axis=1)).max(axis=1).argmax(),
    }
    days = clustering.typical_days(leap_year, 2, extreme_days=[name])
    date = json.loads(days.attrs["extreme_days"])[name]
    assert date == str(days["original_date"].values[expected[name]])


def test_several_years_are_one_set_of_days():
    profiles = year(365 + 366 + 365, start="2015-01-01")
    days = clustering.typical_days(profiles, 6, extreme_days=["max_ramp"])
    assert float(days["weight"].sum()) == 1096.0
    assert_conserved(profiles, days)
    series = clustering.rebuild(days)
    assert series["time"].equals(profiles["time"])
    assert "2016-02-29" in days["original_date"].values


@pytest.mark.parametrize(
    ("start", "text"), [("2016-03-26", "missing"), ("2016-10-29", "more than once")]
)
def test_clock_changes_are_refused_and_standard_time_is_the_way_out(start, text):
    profiles = year(3, start=start)
    utc = profiles.indexes["time"].tz_localize("Etc/GMT-1")
    clock = utc.tz_convert("Europe/Berlin").tz_localize(None)
    with pytest.raises(InvalidInput, match=text):
        clustering.typical_days(profiles.assign_coords(time=clock), 2)
    with pytest.raises(InvalidInput, match=r"tz_localize\(None\)"):
        clustering.typical_days(profiles.assign_coords(time=utc), 2)
    assert clustering.typical_days(profiles, 2).sizes["day"] == 2


@pytest.mark.parametrize("representative", ["medoid", "mean", "distribution"])
def test_one_day_only(representative):
    profiles = year(1)
    days = clustering.typical_days(profiles, representative=representative)
    assert days.sizes["day"] == 1
    assert float(days["weight"][0]) == 1.0
    np.testing.assert_array_equal(days["sgen_p_mw"][0, :, 0], profiles["sgen_p_mw"][:, 0])


def test_distribution_keeps_every_value_of_a_cluster(leap_year):
    days = clustering.typical_days(leap_year, 4, representative="distribution", keep_energy=False)
    for k in range(4):
        own = leap_year["load_p_mw"].to_numpy().reshape(366, 24, 3)[days["label"].values == k]
        levels = np.sort(own.reshape(-1, 3), axis=0).reshape(24, len(own), 3).mean(axis=1)
        np.testing.assert_allclose(np.sort(days["load_p_mw"][k], axis=0), levels, rtol=1e-12)
        order = own.mean(axis=0).argsort(axis=0)
        np.testing.assert_array_equal(days["load_p_mw"][k].values.argsort(axis=0), order)
    assert set(days["source_day"].values) == {""}


def test_auto_takes_the_fewest_days_that_keep_the_limits(leap_year):
    days = clustering.typical_days(leap_year, max_duration_rmse_percent=4.0)
    kept = clustering.fidelity(days, leap_year)
    assert float(kept["mean_duration_rmse_percent"]) <= 4.0
    assert float(kept["correlation_rmse"]) <= 0.1
    scores = json.loads(days.attrs["scores"])
    assert scores["n_clusters"] == list(range(1, days.sizes["day"] + 1))
    fewer = clustering.fidelity(
        clustering.typical_days(leap_year, days.sizes["day"] - 1), leap_year
    )
    assert (
        float(fewer["mean_duration_rmse_percent"]) > 4.0 or float(fewer["correlation_rmse"]) > 0.1
    )
    strict = clustering.typical_days(leap_year, max_duration_rmse_percent=0.01, max_days=6)
    scores = json.loads(strict.attrs["scores"])
    assert scores["n_clusters"] == list(range(1, 7))
    assert min(scores["duration_rmse_percent"]) > 0.01


def test_typical_days_of_the_rebuilt_year_are_the_same(leap_year):
    days = clustering.typical_days(leap_year, 6)
    again = clustering.typical_days(clustering.rebuild(days), 6)
    np.testing.assert_array_equal(again["label"], _by_first_date(days))
    for k in range(6):
        same = int(days["label"].values[again["label"].values == k][0])
        np.testing.assert_allclose(again["load_p_mw"][k], days["load_p_mw"][same], rtol=1e-9)


def _by_first_date(days):
    """Labels numbered by the first day that each representative stands for."""
    labels = days["label"].to_numpy()
    first = [int(np.flatnonzero(labels == k)[0]) for k in range(days.sizes["day"])]
    return np.argsort(np.argsort(first))[labels]


@given(st.sampled_from(["medoid", "mean", "distribution"]), st.floats(-30, 30).map(round))
@settings(max_examples=15, deadline=None)
def test_unit_of_the_profiles_does_not_matter(representative, power):
    profiles = year(12)
    scaled = profiles * 2.0**power
    one, other = (
        clustering.typical_days(p, 3, representative=representative) for p in (profiles, scaled)
    )
    np.testing.assert_array_equal(one["label"], other["label"])
    np.testing.assert_allclose(other["load_p_mw"], one["load_p_mw"] * 2.0**power, rtol=1e-12)


@given(st.permutations(range(10)))
@settings(max_examples=15, deadline=None)
def test_order_of_days_does_not_matter(order):
    profiles = year(10)
    blocks = [profiles.isel(time=slice(24 * k, 24 * k + 24)) for k in order]
    moved = xr.concat(blocks, dim="time", data_vars="minimal").assign_coords(time=profiles["time"])
    one, other = (clustering.typical_days(p, 3) for p in (profiles, moved))
    together = one["label"].values[:, None] == one["label"].values
    moved_together = other["label"].values[:, None] == other["label"].values
    np.testing.assert_array_equal(together[np.ix_(order, order)], moved_together)


def test_seed_is_recorded_and_changes_nothing(leap_year):
    one, other = (clustering.typical_days(leap_year, 4, seed=s) for s in (0, 7))
    assert (one.attrs.pop("seed"), other.attrs.pop("seed")) == (0, 7)
    xr.testing.assert_identical(one, other)


def test_order_of_variables_and_columns_does_not_matter(leap_year):
    turned = leap_year.isel(load=[2, 0, 1])[list(leap_year.data_vars)[::-1]]
    one, other = (clustering.typical_days(p, 6) for p in (leap_year, turned))
    np.testing.assert_array_equal(one.label, other.label)


def test_columns_of_a_variable_share_one_weight():
    profiles = year(40)
    doubled = xr.concat([profiles[["load_p_mw"]]] * 2, dim="load").assign_coords(load=range(6))
    twice = profiles.drop_vars(["load_p_mw", "load_q_mvar", "load"]).merge(doubled)
    once = profiles.drop_vars("load_q_mvar")
    one, other = (clustering.typical_days(p, 5) for p in (once, twice))
    np.testing.assert_array_equal(one.label, other.label)


def test_weight_of_a_variable_decides(leap_year):
    only_load = clustering.typical_days(
        leap_year, 2, weights_by={n: float(n == "load_p_mw") for n in over_time(leap_year)}
    )
    weekend = pd.to_datetime(only_load.original_date.to_numpy()).dayofweek >= 5
    labels = only_load.label.to_numpy()
    assert len(set(labels[weekend])) == len(set(labels[~weekend])) == 1


def test_number_of_days_is_bounded(leap_year):
    days = clustering.typical_days(leap_year, max_days=5, extreme_days=EXTREMES[:2])
    assert days.sizes["day"] <= 5
    assert max(json.loads(days.attrs["scores"])["n_clusters"]) == 3


def test_constant_profiles_are_one_day():
    profiles = xr.full_like(year(10), 0.1)
    days = clustering.typical_days(profiles)
    assert days.sizes["day"] == 1
    assert float(days.weight[0]) == 10.0


def test_profiles_without_columns():
    profiles = year(10).isel(sgen=[])
    days = clustering.typical_days(profiles, 2, extreme_days=["min_net_load"])
    assert days.sgen_p_mw.shape == (3, 24, 0)


def test_selling_never_pays_more_than_buying():
    profiles = year(30, seed=3)
    # equal below 40: shifts of different size would bring them out of order
    profiles["price_sell_eur_per_mwh"] = np.minimum(profiles.price_buy_eur_per_mwh, 40.0)
    days = clustering.typical_days(profiles, 3)
    assert bool((days.price_sell_eur_per_mwh <= days.price_buy_eur_per_mwh).all())
    lost = {entry["variable"] for entry in json.loads(days.attrs["energy_not_kept"])}
    assert lost == {"price_buy_eur_per_mwh", "price_sell_eur_per_mwh"}


def test_what_cannot_be_conserved_is_left_and_reported():
    profiles = year(30)[["load_p_mw"]]
    spike = np.zeros(profiles.sizes["time"])
    spike[5 * 24 + 3] = 1.0  # one hour of one day: the medoids hardly have it
    profiles["sgen_p_mw"] = (("time", "sgen"), spike[:, None])
    days = clustering.typical_days(
        profiles.assign_coords(sgen=[4]), 2, weights_by={"sgen_p_mw": 0.0}
    )
    assert float(days.sgen_p_mw.sum()) == 0.0
    (entry,) = json.loads(days.attrs["energy_not_kept"])
    assert entry == {
        "variable": "sgen_p_mw",
        "channel": {"sgen": "4"},
        "wanted": 1.0,
        "got": 0.0,
    }


VALUES = st.one_of(st.just(0.0), st.floats(1e-3, 10.0), st.floats(-10.0, -1e-3))


@st.composite
def small_profiles(draw):
    n_days = draw(st.integers(2, 8))
    steps = draw(st.sampled_from([1, 2, 4]))
    columns = draw(st.integers(1, 2))
    time = pd.date_range("2023-02-26", periods=n_days * steps, freq=pd.Timedelta(hours=24 // steps))
    arrays = hnp.arrays(float, (n_days * steps, columns), elements=VALUES)
    return xr.Dataset(
        {
            "load_p_mw": (("time", "load"), np.abs(draw(arrays))),
            "load_q_mvar": (("time", "load"), draw(arrays)),
            "price_buy_eur_per_mwh": ("time", draw(arrays)[:, 0]),
        },
        coords={"time": time, "load": np.arange(columns)},
    )


@given(
    small_profiles(),
    st.sampled_from(["medoid", "mean", "distribution"]),
    st.sets(st.sampled_from(EXTREMES)),
)
@settings(max_examples=40, deadline=None)
def test_laws(profiles, representative, extremes):
    n_days = profiles.sizes["time"] // round(
        24 / (np.diff(profiles.time)[0] / np.timedelta64(1, "h"))
    )
    if len(extremes) >= n_days:
        extremes = set()
    days = clustering.typical_days(
        profiles, representative=representative, extreme_days=sorted(extremes)
    )
    assert float(days.weight.sum()) == n_days
    np.testing.assert_array_equal(np.bincount(days.label, minlength=days.sizes["day"]), days.weight)
    assert float(days.weight.min()) >= 1.0
    assert_conserved(profiles, days)
    # without conserved sums "auto" may need another number of days
    clusters = days.sizes["day"] - len(set(json.loads(days.attrs["extreme_days"]).values()))
    raw = clustering.typical_days(
        profiles,
        clusters,
        representative=representative,
        extreme_days=sorted(extremes),
        keep_energy=False,
    )
    for name in ("load_p_mw", "load_q_mvar"):
        assert (days[name].to_numpy()[raw[name].to_numpy() == 0.0] == 0.0).all()
    series = clustering.rebuild(days)
    assert series.time.equals(profiles.time)
    np.testing.assert_array_equal(
        series.load_p_mw.to_numpy().reshape(n_days, -1),
        days.load_p_mw.to_numpy()[days.label.to_numpy()].reshape(n_days, -1),
    )


def test_scale_holds_at_the_limit():
    chosen = np.array([[1.0, 4.0, 0.0], [2.0, 2.0, 5.0]])
    everyday = np.array([[3.0, 5.0, 0.0], [3.0, 4.0, 5.0], [3.0, 3.0, 4.0]])
    scaled = scale_to_sum(chosen, np.array([1.0, 2.0]), everyday, np.array([0.0, 5.0]))
    assert scaled is not None
    assert np.array([1.0, 2.0]) @ scaled.sum(axis=1) == pytest.approx(30.0, rel=1e-14)
    assert scaled.max() == 5.0
    assert scaled[0, 2] == 0.0
    # free values keep their proportion: 1 : 2 : 2
    np.testing.assert_allclose(scaled[1, :2], 2 * scaled[0, 0])


def test_shift_keeps_spreads_within_limits():
    chosen = np.array([[10.0, 20.0, 40.0]])
    everyday = np.array([[10.0, 20.0, 40.0], [20.0, 30.0, 42.0]])
    shifted = shift_to_sum(chosen, np.array([2.0]), everyday, np.array([-5.0, 42.0]))
    assert shifted is not None
    np.testing.assert_allclose(shifted, [[14.5, 24.5, 42.0]])


def bad_profiles():
    good = year(4)
    hours = good.indexes["time"]
    nan = good.copy(deep=True)
    nan["load_p_mw"][5, 1] = np.nan
    inf = good.copy(deep=True)
    inf["price_buy_eur_per_mwh"][7] = np.inf
    nat = hours.to_numpy().copy()
    nat[3] = np.datetime64("NaT")
    repeated = hours.to_numpy().copy()
    repeated[4] = repeated[3]
    uneven = hours.to_numpy().copy()
    uneven[30] += np.timedelta64(20, "m")
    return {
        "nan": (nan, "load_p_mw", "2016-01-01 05:00:00", "load 3"),
        "inf": (inf, "price_buy_eur_per_mwh", "2016-01-01 07:00:00", "infinite"),
        "text": (good.assign(name=("time", ["a"] * 96)), "name", None, "not numbers"),
        "partial": (good.isel(time=slice(0, 90)), "time", "2016-01-04 17:00:00", "incomplete"),
        "late": (good.isel(time=slice(3, None)), "time", "2016-01-01 03:00:00", "incomplete"),
        "end of step": (
            good.assign_coords(time=hours + pd.Timedelta("1h")),
            "time",
            "2016-01-01 01:00:00",
            "start of its step",
        ),
        "missing": (good.drop_isel(time=[30]), "time", "2016-01-02 06:00:00", "missing"),
        "repeated": (good.assign_coords(time=repeated), "time", "03:00:00", "more than once"),
        "backwards": (good.isel(time=slice(None, None, -1)), "time", "22:00:00", "sortby"),
        "uneven": (good.assign_coords(time=uneven), "time", "2016-01-02 06:20:00", "no multiple"),
        "step": (
            good.assign_coords(time=pd.date_range("2016-01-01", periods=96, freq="7h")),
            "time",
            None,
            "divide 24 h",
        ),
        "one stamp": (good.isel(time=[0]), "time", "2016-01-01", "fewer than two"),
        "NaT": (good.assign_coords(time=nat), "time", 3, "NaT"),
        "zone": (
            good.assign_coords(time=hours.tz_localize("Europe/Berlin")),
            "time",
            None,
            "time zone",
        ),
        "numbers": (good.assign_coords(time=np.arange(96)), "time", None, "not datetime64"),
        "no stamps": (good.drop_vars("time"), "time", None, "assign_coords"),
        "no time": (good.isel(time=0, drop=True), "time", None, "no dim 'time'"),
        "nothing over time": (good[["time"]], "", None, "no variable"),
        "reserved": (good.assign(weight=("time", np.ones(96))), "weight", None, "rename"),
        "not a dataset": (good.load_p_mw, "", None, "xr.Dataset"),
    }


@pytest.mark.parametrize("case", bad_profiles())
def test_bad_profiles_are_named(case):
    profiles, column, row, text = bad_profiles()[case]
    with pytest.raises(InvalidInput) as caught:
        clustering.typical_days(profiles, 2)
    assert {f.table for f in caught.value.findings} == {"profiles"}
    found = [f for f in caught.value.findings if f.column == column and text in str(f)]
    assert len(found) == 1
    finding = found[0]
    assert finding.mend
    if row is not None:
        assert any(str(row) in str(shown) for shown in finding.rows)


@pytest.mark.parametrize(
    ("kwargs", "table"),
    [
        ({"n_days": 0}, "n_days"),
        ({"n_days": 2.5}, "n_days"),
        ({"n_days": True}, "n_days"),
        ({"n_days": 5}, "n_days"),
        ({"n_days": 4, "extreme_days": ["peak_load"]}, "n_days"),
        ({"n_days": 3, "max_days": 2}, "max_days"),
        ({"max_days": 0}, "max_days"),
        ({"representative": "median"}, "representative"),
        ({"extreme_days": "peak_load"}, "extreme_days"),
        ({"extreme_days": ["max_price"]}, "extreme_days"),
        ({"max_duration_rmse_percent": 0.0}, "max_duration_rmse_percent"),
        ({"max_correlation_rmse": np.nan}, "max_correlation_rmse"),
        ({"seed": "today"}, "seed"),
        ({"weights_by": {"load_p_mw": -1.0}}, "weights_by['load_p_mw']"),
        ({"weights_by": {"heat_mw": 1.0}}, "weights_by"),
    ],
)
def test_bad_options_are_named(kwargs, table):
    with pytest.raises(InvalidInput) as caught:
        clustering.typical_days(year(4), **kwargs)
    assert [finding.table for finding in caught.value.findings] == [table]


def test_all_findings_come_at_once():
    bad = bad_profiles()["nan"][0].drop_isel(time=[30])
    with pytest.raises(InvalidInput) as caught:
        clustering.typical_days(bad, 0, representative="median")
    assert len(caught.value.findings) == 4


def test_fewer_different_days_than_clusters():
    one = year(1)
    time = pd.date_range("2016-01-01", periods=96, freq="h")
    same = xr.concat([one] * 4, dim="time", data_vars="minimal").assign_coords(time=time)
    with pytest.raises(InvalidInput, match="only 1 days differ"):
        clustering.typical_days(same, 2)
    assert clustering.typical_days(same).sizes["day"] == 1


def test_extreme_days_need_loads():
    with pytest.raises(InvalidInput, match="load_p_mw"):
        clustering.typical_days(year(4)[["sgen_p_mw"]], 2, extreme_days=["peak_net_load"])


@pytest.mark.parametrize(
    ("broken", "column"),
    [
        (lambda days: days.drop_vars("label"), "label"),
        (lambda days: days.isel(day=[0]), "label"),
    ],
)
def test_rebuild_refuses_what_is_not_whole(broken, column):
    days = clustering.typical_days(year(6), 3)
    with pytest.raises(InvalidInput) as caught:
        clustering.rebuild(broken(days))
    assert [finding.column for finding in caught.value.findings] == [column]
    with pytest.raises(InvalidInput, match="typical_days"):
        clustering.rebuild(days.load_p_mw)


def test_import_is_light_and_names_are_functions():
    code = (
        "import sys, clustering\n"
        "heavy = {'sklearn', 'scipy', 'xarray', 'pandas', 'pandapower'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "import clustering.typical_days\n"
        "assert callable(clustering.typical_days) and callable(clustering.rebuild)\n"
        "assert clustering.DensityPeakKMeans().n_clusters == 'auto'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'KMedoids'"):
        _ = clustering.KMedoids
