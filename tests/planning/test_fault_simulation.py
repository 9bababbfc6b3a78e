"""Monte Carlo: intervals cover the analytic indices, overlaps merge, seeds decide."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

from planning import reliability_indices
from planning.fault_simulation import _merge
from pp_p2p import set_line_reliability

INDICES = {
    "saifi_per_year": "saifi_bound_per_year",
    "saidi_h_per_year": "saidi_bound_h_per_year",
    "caidi_h": "caidi_bound_h",
    "asai_pu": "asai_bound_pu",
    "eens_mwh_per_year": "eens_bound_mwh_per_year",
    "aens_kwh_per_year": "aens_bound_kwh_per_year",
}
EQUIPMENT = {"isolators": True, "fuses": True, "ties": True}


@pytest.mark.parametrize("repair", ["constant", "exponential"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_interval_covers_the_analytic_indices(
    rbts: Callable[..., Any], seed: int, repair: str
) -> None:
    net = rbts(**EQUIPMENT)
    exact = reliability_indices(net)
    ds = reliability_indices(
        net, method="monte_carlo", years=10_000, seed=seed, repair=repair, confidence_percent=99.0
    )
    for name, bound in INDICES.items():
        low, high = ds[bound].to_numpy()
        assert low <= float(exact[name]) <= high, name
        assert low <= float(ds[name]) <= high
        assert high - low <= 0.25 * float(exact["caidi_h"] if name == "caidi_h" else abs(ds[name]))


@pytest.mark.parametrize("case", ["D", "E"])
def test_other_designs_are_covered(rbts: Callable[..., Any], case: str) -> None:
    design = {
        "D": {"isolators": True, "fuses": False, "ties": True},
        "E": {**EQUIPMENT, "replaced": True},
    }[case]
    net = rbts(**design)
    exact = reliability_indices(net)
    ds = reliability_indices(net, method="monte_carlo", seed=5, confidence_percent=99.0)
    for name, bound in INDICES.items():
        low, high = ds[bound].to_numpy()
        assert low <= float(exact[name]) <= high, name


def test_intervals_hold_what_they_promise(rbts: Callable[..., Any]) -> None:
    """Of 60 intervals of 90 %, 54 cover on average; fewer than 46 has a chance below 0.1 %."""
    net = rbts(**EQUIPMENT, replaced=True)
    exact = float(reliability_indices(net)["saidi_h_per_year"])
    covered = 0
    for seed in range(60):
        ds = reliability_indices(
            net, method="monte_carlo", years=600, seed=seed, confidence_percent=90.0
        )
        low, high = ds["saidi_bound_h_per_year"].to_numpy()
        covered += low <= exact <= high
    assert 46 <= covered < 60


def test_load_points_are_covered(rbts: Callable[..., Any]) -> None:
    net = rbts(**EQUIPMENT, replaced=True)
    exact = reliability_indices(net)
    ds = reliability_indices(net, method="monte_carlo", years=20_000, seed=4)
    pairs = (
        ("failure_rate_per_year", "failure_rate_bound_per_year"),
        ("unavailability_h_per_year", "unavailability_bound_h_per_year"),
    )
    for name, bound in pairs:
        low, high = ds[bound].to_numpy()
        inside = (low <= exact[name].to_numpy()) & (exact[name].to_numpy() <= high)
        assert inside.mean() >= 0.8  # 95 % of 22, which are not independent


def test_seed_decides(rbts: Callable[..., Any]) -> None:
    net = rbts(**EQUIPMENT)
    one, same, other = (
        reliability_indices(net, method="monte_carlo", years=500, seed=seed) for seed in (7, 7, 8)
    )
    xr.testing.assert_identical(one, same)
    assert float(one["saidi_h_per_year"]) != float(other["saidi_h_per_year"])


def test_years_average_to_the_estimate(rbts: Callable[..., Any]) -> None:
    ds = reliability_indices(rbts(**EQUIPMENT), method="monte_carlo", years=400)
    for index in ("saifi_per_year", "saidi_h_per_year", "eens_mwh_per_year"):
        mean = float(ds[f"yearly_{index}"].mean("year"))
        assert mean == pytest.approx(float(ds[index]), rel=1e-9)


def test_faults_that_overlap_are_one_interruption() -> None:
    year = 8760.0
    start = np.array([10.0, 12.0, 30.0, year - 1.0, year + 5.0, 2 * year - 2.0])
    length = np.array([5.0, 1.0, 2.0, 3.0, 1.0, 10.0])
    count, hours = _merge(start, length, 2)
    assert count.tolist() == [3.0, 2.0]
    assert hours.tolist() == [5.0 + 2.0 + 3.0, 1.0 + 2.0]
    count, hours = _merge(np.array([1.0, 2.0]), np.array([3.0, 4.0]), 1)
    assert (count.tolist(), hours.tolist()) == ([1.0], [5.0])


def test_long_repairs_overlap_and_the_simulation_knows(feeder: Any) -> None:
    """Four lines, each out for half of the time: available (1/2)^4 of the time, exactly."""
    set_line_reliability(
        feeder, failure_rate_per_km_year=10.0, repair_time_h=876.0, switching_time_h=1.0
    )
    ds = reliability_indices(feeder, method="monte_carlo", years=4000, confidence_percent=99.0)
    low, high = ds["asai_bound_pu"].to_numpy()
    assert low <= 1 / 16 <= high
    assert float(reliability_indices(feeder)["asai_pu"]) < 0  # first order is useless here


def test_nothing_fails(feeder: Any) -> None:
    ds = reliability_indices(feeder, method="monte_carlo", years=50)
    assert float(ds["saidi_h_per_year"]) == 0.0
    assert ds["saidi_bound_h_per_year"].to_numpy().tolist() == [0.0, 0.0]
    assert np.isnan(ds["caidi_bound_h"]).all()
    assert ds.attrs["n_faults"] == 0
