"""Devices, transformers, feeders, demand and bad input: small nets done by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pytest
import xarray as xr

from planning import reliability_indices
from pp_p2p import (
    create_sop,
    from_netcdf,
    set_customers,
    set_line_reliability,
    set_trafo_reliability,
    to_netcdf,
)
from pp_p2p.errors import InvalidInput, UnsupportedFeature

RATE, REPAIR, SWITCHING = 0.1, 5.0, 1.0


@pytest.fixture
def faulty(feeder: Any) -> Any:
    """Lines 0-1, 1-2, 2-3, 3-4 of 1 km, no switch at all, 1 MW at each of buses 1 to 4."""
    set_line_reliability(
        feeder, failure_rate_per_km_year=RATE, repair_time_h=REPAIR, switching_time_h=SWITCHING
    )
    return feeder


def _per_fault(net: Any, **options: Any) -> tuple[list[float], list[float]]:
    """Return interruptions and hours by load, in units of the rate of one line."""
    ds = reliability_indices(net, **options)
    rate = ds["failure_rate_per_year"].to_numpy() / RATE
    hours = ds["unavailability_h_per_year"].to_numpy() / RATE
    return rate.round(9).tolist(), hours.round(9).tolist()


def test_without_any_switch_all_wait_for_every_repair(faulty: Any) -> None:
    assert _per_fault(faulty) == ([4.0] * 4, [4 * REPAIR] * 4)


def test_every_branch_isolated_is_rule_r1(faulty: Any) -> None:
    # U_i = tau sum over the feeder + (r - tau) over the path
    hours = [4 * SWITCHING + k * (REPAIR - SWITCHING) for k in (1, 2, 3, 4)]
    assert _per_fault(faulty, isolators="every_branch") == ([4.0] * 4, hours)


@pytest.mark.parametrize("kind", ["LBS", "LS", "DS", None])
def test_isolator_brings_back_what_lies_upstream(faulty: Any, kind: str | None) -> None:
    pp.create_switch(faulty, 2, 2, et="l", type=kind)
    rate, hours = _per_fault(faulty)
    assert rate == [4.0] * 4
    assert hours == [2 * REPAIR + 2 * SWITCHING] * 2 + [4 * REPAIR] * 2


@pytest.mark.parametrize("kind", ["CB", "fuse", "Fuse"])
def test_breaker_and_fuse_spare_what_lies_upstream(faulty: Any, kind: str) -> None:
    pp.create_switch(faulty, 2, 2, et="l", type=kind)
    assert _per_fault(faulty) == ([2.0, 2.0, 4.0, 4.0], [10.0, 10.0, 20.0, 20.0])


def test_strongest_of_two_devices_in_series_counts(faulty: Any) -> None:
    pp.create_switch(faulty, 2, 2, et="l", type="DS")
    pp.create_switch(faulty, 2, 2, et="l", type="CB")
    assert _per_fault(faulty)[0] == [2.0, 2.0, 4.0, 4.0]


def test_bus_bus_switch_isolates_too(faulty: Any) -> None:
    bus = pp.create_bus(faulty, 10.0)
    faulty.line.loc[2, "from_bus"] = bus
    pp.create_switch(faulty, 2, bus, et="b", type="LBS")
    assert _per_fault(faulty)[1] == [2 * REPAIR + 2 * SWITCHING] * 2 + [4 * REPAIR] * 2


def test_faults_of_a_line_that_hangs_on_one_end_trip_its_feeder(faulty: Any) -> None:
    tie = pp.create_line_from_parameters(faulty, 0, 4, 1.0, 0.3, 0.3, 0.0, 1.0)
    pp.create_switch(faulty, 0, tie, et="l", closed=False)
    set_line_reliability(
        faulty, [tie], failure_rate_per_km_year=RATE, repair_time_h=REPAIR, switching_time_h=1.0
    )
    # bus 4 has no isolator of its own, so the tie cannot help it and its fault keeps it waiting
    assert _per_fault(faulty) == ([5.0] * 4, [5 * REPAIR] * 4)
    rate, hours = _per_fault(faulty, isolators="every_branch")
    assert (rate, hours) == ([5.0] * 4, [5 * SWITCHING] * 4)
    pp.create_switch(faulty, 4, tie, et="l", closed=False)
    assert _per_fault(faulty, isolators="every_branch") == ([4.0] * 4, [4 * SWITCHING] * 4)


def test_line_out_of_service_is_not_there(faulty: Any) -> None:
    tie = pp.create_line_from_parameters(faulty, 0, 4, 1.0, 0.3, 0.3, 0.0, 1.0, in_service=False)
    set_line_reliability(faulty, [tie], failure_rate_per_km_year=RATE, repair_time_h=REPAIR)
    assert _per_fault(faulty) == ([4.0] * 4, [4 * REPAIR] * 4)


def test_repair_faster_than_switching_ends_the_outage_for_all(faulty: Any) -> None:
    pp.create_switch(faulty, 2, 2, et="l", type="LBS")
    faulty.line["switching_time_h"] = 8.0
    assert _per_fault(faulty) == ([4.0] * 4, [4 * REPAIR] * 4)


def _substation() -> Any:
    """110/20 kV transformers 0 and 1 on one busbar (2), feeders 2-3 and 2-4, service load at 2."""
    net = pp.create_empty_network()
    high, coupled = (int(pp.create_bus(net, 110.0)) for _ in range(2))
    busbar, one, two = (int(pp.create_bus(net, 20.0)) for _ in range(3))
    pp.create_ext_grid(net, high)
    pp.create_switch(net, high, coupled, et="b", type="CB")
    for hv in (high, coupled):
        pp.create_transformer(net, hv, busbar, std_type="25 MVA 110/20 kV")
    for bus in (one, two):
        pp.create_line_from_parameters(net, busbar, bus, 1.0, 0.3, 0.3, 0.0, 1.0)
    for bus in (busbar, one, two):
        pp.create_load(net, bus, p_mw=1.0)
    set_line_reliability(
        net, failure_rate_per_km_year=RATE, repair_time_h=REPAIR, switching_time_h=SWITCHING
    )
    return net


def test_feeders_of_a_substation_have_breakers_of_their_own() -> None:
    net = _substation()
    ds = reliability_indices(net)
    assert ds["load_feeder"].to_numpy().tolist() == ["bus 2", "line 0", "line 1"]
    assert _per_fault(net) == ([0.0, 1.0, 1.0], [0.0, REPAIR, REPAIR])
    assert ds["feeder_saifi_per_year"].to_numpy().tolist() == pytest.approx([0.0, RATE, RATE])
    # without them a fault takes all, until someone has opened what can be opened: nothing
    assert _per_fault(net, feeder_breakers=False) == ([2.0] * 3, [2 * REPAIR] * 3)


def test_second_transformer_takes_over_after_switching() -> None:
    net = _substation()
    net.line["failure_rate_per_km_year"] = 0.0
    set_trafo_reliability(net, failure_rate_per_year=RATE, repair_time_h=200.0, switching_time_h=1)
    # parallel with a breaker at every terminal: not even an interruption
    assert _per_fault(net) == ([0.0] * 3, [0.0] * 3)
    # one of them is off: switched on after the other has failed
    net.switch.loc[0, "closed"] = False
    assert _per_fault(net) == ([1.0] * 3, [SWITCHING] * 3)
    net.trafo.loc[1, "in_service"] = False
    assert _per_fault(net) == ([1.0] * 3, [200.0] * 3)


def test_spare_transformer_counts_where_it_is_faster() -> None:
    net = _substation()
    net.line["failure_rate_per_km_year"] = 0.0
    net.trafo.loc[1, "in_service"] = False
    for repair, replacement, hours in ((200.0, 10.0, 10.0), (5.0, 10.0, 5.0), (0.0, 10.0, 10.0)):
        set_trafo_reliability(
            net, [0], failure_rate_per_year=RATE, repair_time_h=repair, switching_time_h=1.0,
            replacement_time_h=replacement,
        )  # fmt: skip
        assert _per_fault(net)[1] == [hours] * 3


@pytest.mark.parametrize("capacity", [False, True])
def test_island_that_a_soft_open_point_forms(faulty: Any, capacity: bool) -> None:
    """Stated simplification: it is a source, whatever fails at its other terminals."""
    island = [int(pp.create_bus(faulty, 10.0)) for _ in range(2)]
    pp.create_line_from_parameters(faulty, *island, 1.0, 0.3, 0.3, 0.0, 1.0)
    set_line_reliability(
        faulty, [4], failure_rate_per_km_year=RATE, repair_time_h=REPAIR, switching_time_h=1.0
    )
    pp.create_load(faulty, island[1], p_mw=0.5)
    with pytest.raises(InvalidInput, match="row 4 is not fed by any external grid"):
        reliability_indices(faulty, capacity=capacity)
    create_sop(faulty, buses=[4, island[0]], sn_mva=1.0, grid_forming=[False, True])
    assert _per_fault(faulty, capacity=capacity)[1] == [4 * REPAIR] * 4 + [REPAIR]


def test_two_sources_with_a_tie_between_their_feeders(faulty: Any) -> None:
    other = pp.create_bus(faulty, 10.0)
    pp.create_ext_grid(faulty, other)
    for bus, line in ((1, 1), (2, 2), (3, 3)):
        pp.create_switch(faulty, bus, line, et="l", type="LBS")
    pp.create_switch(faulty, 4, other, et="b", type="CB", closed=False)
    # each waits only for the section it hangs on (rule R2)
    assert _per_fault(faulty)[1] == [4 * SWITCHING + REPAIR - SWITCHING] * 4


def test_customers_and_demand_weigh(faulty: Any) -> None:
    pp.create_switch(faulty, 2, 2, et="l", type="CB")
    set_customers(faulty, customers=[10, 0, 30, 60])
    faulty.load["p_mw"] = [1.0, 2.0, 3.0, 4.0]
    faulty.load["scaling"] = [1.0, 0.5, 1.0, 1.0]
    ds = reliability_indices(faulty, load_factor=0.5)
    saifi, saidi = RATE * (10 * 2 + 90 * 4) / 100, RATE * (10 * 10 + 90 * 20) / 100
    eens = 0.5 * RATE * (1 * 10 + 1 * 10 + 3 * 20 + 4 * 20)
    expected = {
        "saifi_per_year": saifi,
        "saidi_h_per_year": saidi,
        "caidi_h": saidi / saifi,
        "asai_pu": 1 - saidi / 8760,
        "eens_mwh_per_year": eens,
        "aens_kwh_per_year": 1e3 * eens / 100,
    }
    for name, value in expected.items():
        assert float(ds[name]) == pytest.approx(value)
        assert float(ds[f"feeder_{name}"].sel(feeder="line 0")) == pytest.approx(value)
        assert ds[name].attrs["units"]
    assert float(ds["load_eens_mwh_per_year"].sum()) == pytest.approx(eens)
    assert float(ds["fault_eens_mwh_per_year"].sum()) == pytest.approx(eens)
    assert float(ds["fault_saidi_h_per_year"].sum()) == pytest.approx(saidi)


def test_average_demand_of_profiles(faulty: Any, make_days: Callable[..., xr.Dataset]) -> None:
    days = make_days(faulty)
    days["weight"] = ("day", [300.0, 65.0])
    mean = float((days["load_p_mw"].mean("hour").sum("load") * days["weight"]).sum() / 365)
    ds = reliability_indices(faulty, days)
    assert float(ds["eens_mwh_per_year"]) == pytest.approx(mean * RATE * 4 * REPAIR)
    with pytest.raises(InvalidInput, match="load_factor.*is given beside profiles"):
        reliability_indices(faulty, days, load_factor=0.5)


def test_nothing_fails(feeder: Any) -> None:
    ds = reliability_indices(feeder)
    for name in ("saifi_per_year", "saidi_h_per_year", "eens_mwh_per_year", "aens_kwh_per_year"):
        assert float(ds[name]) == 0.0
    assert float(ds["asai_pu"]) == 1.0
    # the mean length of interruptions that never happen is no number
    assert np.isnan(float(ds["caidi_h"]))
    assert np.isnan(ds["outage_time_h"]).all()


def test_net_is_not_changed_and_the_result_can_be_stored(faulty: Any, tmp_path: Any) -> None:
    before = copy.deepcopy(faulty)
    for options in ({}, {"method": "monte_carlo", "years": 100}, {"capacity": True}):
        ds = reliability_indices(faulty, **options)
        assert pp.toolbox.nets_equal(faulty, before)
        xr.testing.assert_identical(from_netcdf(to_netcdf(ds, tmp_path / "indices.nc")), ds)


def test_net_without_switches_or_transformers_on_the_loads() -> None:
    """A published test feeder as it comes: loads on medium voltage, ties out of service."""
    net = pn.case33bw()
    set_line_reliability(net, failure_rate_per_km_year=0.1, repair_time_h=4.0, switching_time_h=0.5)
    ds = reliability_indices(net, isolators="every_branch")
    total = float(net.line.length_km[net.line.in_service].sum() * 0.1)
    np.testing.assert_allclose(ds["failure_rate_per_year"], total)
    nearest = float(ds["unavailability_h_per_year"].min())
    assert nearest == pytest.approx(0.5 * total + 3.5 * 0.1)  # one line on its path


@pytest.mark.parametrize("value", [-0.1, np.inf])
def test_negative_and_infinite_rates_are_refused(faulty: Any, value: float) -> None:
    faulty.line.loc[1, "failure_rate_per_km_year"] = value
    with pytest.raises(InvalidInput, match="failure_rate_per_km_year: row 1"):
        reliability_indices(faulty)


def test_missing_rate_is_no_fault(faulty: Any) -> None:
    """A missing value reads as the declared default everywhere: 0."""
    faulty.line.loc[1, "failure_rate_per_km_year"] = np.nan
    assert _per_fault(faulty)[0] == [3.0] * 4


def test_all_bad_input_is_named(faulty: Any) -> None:
    faulty.line.loc[[1, 2], "repair_time_h"] = 0.0
    with pytest.raises(InvalidInput, match="repair_time_h: rows 1, 2 is 0 or missing"):
        reliability_indices(faulty)
    faulty.line["repair_time_h"] = REPAIR
    far = pp.create_bus(faulty, 10.0)
    pp.create_load(faulty, far, p_mw=1.0, index=77)
    faulty.load.loc[0, "p_mw"] = -1.0
    set_customers(faulty, customers=0)
    with pytest.raises(InvalidInput) as raised:
        reliability_indices(faulty)
    text = str(raised.value)
    assert "load: row 77 is not fed by any external grid" in text
    assert "load.customers: adds up to 0" in text
    assert "load.p_mw: row 0 feeds in" in text
    faulty.load["in_service"] = False
    with pytest.raises(InvalidInput, match="has no row in service"):
        reliability_indices(faulty)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"load_factor": 0.0}, "load_factor"),
        ({"load_factor": 1.1}, "load_factor"),
        ({"isolators": "all"}, "isolators"),
        ({"method": "guess"}, "method"),
        ({"repair": "never"}, "repair"),
        ({"years": 19}, "years"),
        ({"confidence_percent": 100.0}, "confidence_percent"),
    ],
)
def test_options_out_of_range(faulty: Any, options: dict[str, Any], match: str) -> None:
    with pytest.raises(InvalidInput, match=match):
        reliability_indices(faulty, **options)


def test_what_the_network_model_does_not_know_is_refused(faulty: Any) -> None:
    pp.create_gen(faulty, 1, p_mw=1.0)
    with pytest.raises(UnsupportedFeature, match="gen"):
        reliability_indices(faulty)


def test_profile_of_an_unknown_load(faulty: Any, make_days: Callable[..., xr.Dataset]) -> None:
    days = make_days(faulty).assign_coords(load=[0, 1, 2, 9])
    with pytest.raises(InvalidInput, match="row 9 is a profile of a load that does not exist"):
        reliability_indices(faulty, days)
