"""Time axes: stamps, hours, typical days; what is uneven or missing is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from pp_p2p.errors import InvalidInput
from pp_p2p.network.timeline import Timeline


def _over_time(stamps: Any) -> xr.Dataset:
    n = len(stamps)
    return xr.Dataset(
        {"load_p_mw": (("time", "load"), np.ones((n, 1)))}, coords={"time": stamps, "load": [0]}
    )


@pytest.mark.parametrize("freq", ["15min", "h", "2h"])
def test_stamps(freq: str) -> None:
    line = Timeline.from_profiles(_over_time(pd.date_range("2016-02-28", periods=8, freq=freq)))
    assert line.step_h == {"15min": 0.25, "h": 1.0, "2h": 2.0}[freq]
    assert (line.n_days, line.n_steps, line.dims, line.shape) == (1, 8, ("time",), (8,))
    assert [line.next_step(t) for t in range(8)] == [1, 2, 3, 4, 5, 6, 7, 0]


def test_hours_as_numbers() -> None:
    assert Timeline.from_profiles(_over_time([0.0, 0.5, 1.0])).step_h == 0.5


def test_typical_days(feeder: Any, make_days: Callable[..., xr.Dataset]) -> None:
    days = make_days(feeder, n=3, hours=4)
    line = Timeline.from_profiles(days)
    assert (line.n_days, line.steps_per_day, line.step_h) == (3, 4, 6.0)
    assert line.shape == (3, 4)
    assert [line.next_step(t) for t in (0, 3, 4, 7, 11)] == [1, 0, 5, 4, 8]
    assert line.first_steps().tolist() == [0, 4, 8]
    assert line.step_weight.sum() == pytest.approx(4 * 365)
    assert line.label(5) == "day 1, hour 6.0"
    shuffled = days.transpose("load", "technology", "hour", "day")
    for name in ("load_p_mw", "availability_pu", "price_buy_eur_per_mwh"):
        np.testing.assert_array_equal(line.array(shuffled, name), line.array(days, name))


def test_days_without_weight_stand_for_themselves(
    feeder: Any, make_days: Callable[..., xr.Dataset]
) -> None:
    line = Timeline.from_profiles(make_days(feeder).drop_vars("weight"))
    assert line.weight.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("stamps", "row"),
    [
        (pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-04"]), "2020-01-04"),
        ([0.0, 1.0, 1.0], "1.0"),
        ([2.0, 1.0, 0.0], ""),
        ([0.0, np.nan, 2.0], "nan"),
    ],
    ids=["gap", "twice", "backwards", "nan"],
)
def test_uneven_steps(stamps: Any, row: str) -> None:
    with pytest.raises(InvalidInput, match="not equal and increasing") as error:
        Timeline.from_profiles(_over_time(stamps))
    assert any(row in str(r) for r in error.value.findings[0].rows) or not row


def test_no_time_at_all() -> None:
    with pytest.raises(InvalidInput, match="neither a dim 'time'"):
        Timeline.from_profiles(xr.Dataset({"load_p_mw": ("load", [1.0])}))


def test_no_step() -> None:
    with pytest.raises(InvalidInput, match="has no step"):
        Timeline.from_profiles(_over_time(pd.date_range("2020", periods=0)))


def test_values_that_are_no_numbers_name_their_steps(
    feeder: Any, make_days: Callable[..., xr.Dataset]
) -> None:
    days = make_days(feeder)
    days["load_p_mw"][1, 2, 0] = np.nan
    days["price_buy_eur_per_mwh"][0, 0] = np.inf
    with pytest.raises(InvalidInput) as error:
        Timeline.from_profiles(days)
    rows = {f.column: f.rows for f in error.value.findings}
    assert rows == {
        "load_p_mw": ("day 1, hour 8.0",),
        "price_buy_eur_per_mwh": ("day 0, hour 0.0",),
    }


@pytest.mark.parametrize("weight", [-1.0, np.nan])
def test_bad_weight(feeder: Any, make_days: Callable[..., xr.Dataset], weight: float) -> None:
    days = make_days(feeder)
    days["weight"][1] = weight
    with pytest.raises(InvalidInput, match=r"profiles.weight: row 1 "):
        Timeline.from_profiles(days)


@pytest.mark.parametrize("dims", [("time",), ("time", "bus"), ("draw", "time", "load")])
def test_other_dims_than_declared(dims: tuple[str, ...]) -> None:
    profiles = _over_time([0.0, 1.0])
    profiles["load_q_mvar"] = (dims, np.ones([{"time": 2}.get(d, 1) for d in dims]))
    with pytest.raises(InvalidInput, match=r"profiles.load_q_mvar: .*give it the dims load, time"):
        Timeline.from_profiles(profiles)


def test_scenarios_are_days_that_weigh_their_probability() -> None:
    profiles = _over_time([0.0, 1.0]).assign(
        price_buy_eur_per_mwh=(("scenario", "time"), [[1.0, 2.0], [3.0, 4.0]]),
        load_p_mw=(("time", "load"), [[5.0], [6.0]]),
        probability=("scenario", [0.25, 0.75]),
    )
    line = Timeline.from_profiles(profiles)
    assert (line.n_days, line.steps_per_day, line.dims) == (2, 2, ("scenario", "time"))
    assert line.weight.tolist() == [0.25, 0.75]
    assert line.array(profiles, "price_buy_eur_per_mwh").tolist() == [1.0, 2.0, 3.0, 4.0]
    assert line.array(profiles, "load_p_mw").ravel().tolist() == [5.0, 6.0, 5.0, 6.0]
    assert line.hour_of_day.tolist() == [0.0, 1.0, 0.0, 1.0]
