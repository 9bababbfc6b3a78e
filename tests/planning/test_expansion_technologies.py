"""`plan_network`: every technology and limit against enumeration, and what is written back."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandapower as pp
import pyomo.environ as pyo
import pytest
import xarray as xr

from planning import plan_network, profiles_with_plan, reliability_indices
from planning.expansion import build
from planning.year_model import ExpansionData
from pp_p2p import (
    SolverConfig,
    create_candidate,
    create_sop,
    dispatch,
    set_customers,
    set_line_reliability,
    set_remote_control,
    write_back,
)
from pp_p2p.errors import InvalidInput, NoSolution, UnsupportedFeature
from pp_p2p.network.formulation import get_formulation
from pp_p2p.solve.run import run_solver

TIGHT = SolverConfig(rel_gap=1e-6)
MakeDays = Callable[..., xr.Dataset]
NO_LIMITS: dict[str, Any] = {
    "eens_limit_mwh_per_year": np.inf,
    "value_of_lost_load_eur_per_mwh": 0.0,
    "budget_eur": np.inf,
}


@pytest.fixture
def days(feeder: Any, make_days: MakeDays) -> xr.Dataset:
    """Two days of four steps."""
    return make_days(feeder, hours=4)


def _enumerated(net: Any, days: xr.Dataset, **limits: Any) -> tuple[float, tuple[int, ...]]:
    """Return the least cost (EUR/a) over all integers of the model, and the units."""
    data = ExpansionData.from_net(net, days, interest_rate=0.05, **(NO_LIMITS | limits))
    model = build(data, get_formulation("branch_flow"))
    whole = [v for v in model.component_data_objects(pyo.Var) if not v.is_continuous()]
    ranges = [range(int(v.lb), int(v.ub) + 1) for v in whole]
    best, units = np.inf, ()
    for values in itertools.product(*ranges):
        for variable, value in zip(whole, values, strict=True):
            variable.domain = pyo.Reals
            variable.setlb(value)
            variable.setub(value)
        try:
            cost = run_solver(model).objective * 1e3
        except NoSolution:
            continue
        if cost < best:
            best, units = cost, values
    return best, units


def _same_as_enumeration(net: Any, days: xr.Dataset, **limits: Any) -> xr.Dataset:
    ds = plan_network(net, days, solver=TIGHT, **limits)
    best, _ = _enumerated(net, days, **limits)
    assert ds.attrs["objective_eur_per_year"] == pytest.approx(best, rel=3e-6)
    assert ds.attrs["bound_eur_per_year"] <= best * (1 + 1e-6)
    assert ds.attrs["relaxation"] == "exact"
    cost = float(ds["cost_eur_per_year"].sel(case="plan").sum())
    assert cost == pytest.approx(ds.attrs["objective_eur_per_year"], rel=1e-5)
    return ds


def test_dispatchable_unit_runs_where_it_is_cheaper(feeder: Any, days: xr.Dataset) -> None:
    create_candidate(
        feeder,
        3,
        technology="dispatchable",
        unit_p_mw=0.8,
        unit_sn_mva=1.0,
        max_units=3,
        capex_eur_per_unit=3e5,
        variable_om_eur_per_mwh=120.0,
        emission_t_per_mwh=0.5,
    )
    days["grid_emission_t_per_mwh"] = days["price_buy_eur_per_mwh"] * 0 + 0.4
    ds = _same_as_enumeration(feeder, days)
    power, price = ds["candidate_p_mw"].isel(candidate=0), days["price_buy_eur_per_mwh"]
    assert float(ds["units"][0]) > 0
    assert float(power.where(price < 120).max()) < 1e-4
    np.testing.assert_allclose(
        power.where(price > 120, drop=True), float(ds["built_p_mw"][0]), atol=1e-5
    )
    assert float(abs(ds["candidate_q_mvar"]).max()) > 0.05
    hours = days["weight"] * 6.0
    emitted = (hours * (0.4 * ds["p_buy_mw"] + 0.5 * power)).sum()
    np.testing.assert_allclose(ds["emission_t_per_year"].sel(case="plan"), emitted, rtol=1e-6)
    capped = _same_as_enumeration(
        feeder, days, emission_cap_t_per_year=float(emitted) - 30.0, emission_price_eur_per_t=5.0
    )
    assert float(capped["emission_t_per_year"].sel(case="plan")) <= float(emitted) - 30.0 + 1e-3
    built = write_back(feeder, ds)
    assert feeder.sgen.loc[built[0][1], "max_q_mvar"] == pytest.approx(float(ds["units"][0]))
    assert feeder.poly_cost.cp1_eur_per_mw.tolist() == [120.0]
    available = profiles_with_plan(days, ds, built)["sgen_p_mw"]
    np.testing.assert_allclose(available, float(ds["built_p_mw"][0]))


def test_soft_open_point_is_sized_with_its_losses(feeder: Any, days: xr.Dataset) -> None:
    far = pp.create_bus(feeder, 10.0, min_vm_pu=0.9, max_vm_pu=1.1)
    pp.create_line_from_parameters(feeder, 0, far, 1.0, 0.1, 0.1, 0.0, 1.0)
    feeder.line["r_ohm_per_km"] = [2.0, 2.0, 2.0, 2.0, 0.1]
    feeder.bus["min_vm_pu"] = 0.8
    sop = create_sop(
        feeder,
        [4, far],
        sn_mva=0.3,
        loss_factor=0.01,
        loss_standby_mw=0.001,
        loss_quadratic_per_mva=0.01,
        in_service=False,
    )
    create_candidate(feeder, 4, technology="sop", sop=sop, max_units=3, capex_eur_per_unit=2e4)
    ds = _same_as_enumeration(feeder, days)
    units = float(ds["units"][0])
    assert units > 0
    assert float(ds["loss_mw"].max()) < float(ds["loss_nothing_mw"].max())
    p, q = ds["candidate_sop_p_mw"], ds["candidate_sop_q_mvar"]
    assert float(np.hypot(p, q).max()) <= 0.3 * units + 1e-6
    apparent = np.hypot(p, q)
    lost = 0.001 * units + 0.01 * apparent + 0.01 * apparent**2 / units
    np.testing.assert_allclose((p + lost).sum("candidate_sop_terminal"), 0.0, atol=1e-5)
    write_back(feeder, ds)
    one = dispatch(feeder, days.drop_vars(["availability_pu", "technology"]), objective="cost")
    np.testing.assert_allclose(one["loss_mw"], ds["loss_mw"], atol=2e-5)


def test_replaced_line_is_one_of_two_states(feeder: Any, days: xr.Dataset) -> None:
    pp.create_std_type(
        feeder,
        {"r_ohm_per_km": 0.1, "x_ohm_per_km": 0.2, "c_nf_per_km": 200.0, "max_i_ka": 0.6},
        "thick",
        "line",
    )
    feeder.line["max_i_ka"] = [0.26, 1.0, 1.0, 1.0]  # the first must be replaced, or carry less
    new: dict[str, Any] = {"technology": "replacement", "capex_eur_per_unit": 1e5}
    create_candidate(feeder, 0, line=0, std_type="thick", **new)
    create_candidate(feeder, 1, line=1, parallel=2, **new)
    create_candidate(feeder, 3, line=3, std_type="thick", parallel=2, **new)
    create_candidate(feeder, 4, technology="pv", unit_p_mw=0.5, max_units=1, capex_eur_per_unit=1e6)
    days["load_p_mw"] = days["load_p_mw"] * 1.15
    ds = _same_as_enumeration(feeder, days)
    assert ds.attrs["ac_vm_error_pu"] <= 1e-4
    built = ds["units"].to_numpy()
    assert built[0] == 1
    assert not built[2]
    assert float(ds["line_loading_percent"].max()) <= 100.0 + 1e-4
    with pytest.raises(UnsupportedFeature, match="is a replacement"):
        plan_network(feeder, days, formulation="lindistflow")
    write_back(feeder, ds)
    assert feeder.line.r_ohm_per_km[0] == 0.1
    if built[1]:
        assert feeder.line.parallel[1] == 2


def test_site_cost_and_any_size(feeder: Any, days: xr.Dataset) -> None:
    pv: dict[str, Any] = {
        "technology": "pv",
        "unit_p_mw": 1.0,
        "max_units": 3,
        "capex_eur_per_unit": 2.6e6,
        "sizing": "continuous",
    }
    create_candidate(feeder, 4, fixed_capex_eur=2e4, **pv)
    create_candidate(feeder, 2, fixed_capex_eur=1e4, **pv)
    ds = _same_as_enumeration(feeder, days)
    units = ds["units"].to_numpy()
    assert units.dtype == float
    assert ((units > 0) & (np.abs(units - np.round(units)) > 1e-3)).any()
    capex = units * 2.6e6 + (units > 0) * np.array([2e4, 1e4])
    np.testing.assert_allclose(ds["capex_eur"], capex)
    feeder.candidate["fixed_capex_eur"] = 1e8
    assert not plan_network(feeder, days, solver=TIGHT)["units"].to_numpy().any()


def test_limits_of_what_is_built(feeder: Any, days: xr.Dataset) -> None:
    for bus in (1, 2, 4):
        create_candidate(
            feeder, bus, technology="pv", unit_p_mw=0.5, max_units=2, capex_eur_per_unit=1.5e5
        )
    free = plan_network(feeder, days, solver=TIGHT)
    assert (free["units"] > 0).sum() == 3
    one = _same_as_enumeration(feeder, days, max_sites=1)
    assert (one["units"] > 0).sum() == 1
    peak = float(days["load_p_mw"].sum("load").max())
    some = _same_as_enumeration(feeder, days, max_penetration_percent=30.0)
    assert float(some["built_p_mw"].sum()) <= 0.3 * peak
    costs = [ds.attrs["objective_eur_per_year"] for ds in (free, one, some)]
    assert costs[0] < min(costs[1:])


def test_renewable_share_is_reached_and_never_cheaper(feeder: Any, days: xr.Dataset) -> None:
    create_candidate(
        feeder, 4, technology="wind", unit_p_mw=0.7, max_units=4, capex_eur_per_unit=5.5e6
    )
    costs = []
    for percent in (0.0, 20.0, 45.0):
        ds = _same_as_enumeration(feeder, days, renewable_share_percent=percent)
        demand = float((days["load_p_mw"].sum("load") * days["weight"] * 6.0).sum())
        made = float((ds["candidate_p_mw"].isel(candidate=0) * days["weight"] * 6.0).sum())
        assert made >= percent / 100.0 * demand * (1 - 1e-6)
        assert float(ds["renewable_mwh_per_year"].sel(case="plan")) == pytest.approx(made)
        costs.append(ds.attrs["objective_eur_per_year"])
    assert costs[0] <= costs[1] * (1 + 2e-6)
    assert costs[1] * (1 + 2e-6) < costs[2]
    with pytest.raises(NoSolution, match=r"renewable_share_percent = 100, of which \d+\.\d+ can"):
        plan_network(feeder, days, renewable_share_percent=100.0)


@pytest.fixture
def faulty(feeder: Any) -> Any:
    """The feeder with faults and customers, and two ties that only together reach its middle."""
    set_line_reliability(
        feeder, failure_rate_per_km_year=0.2, repair_time_h=6.0, switching_time_h=1.0
    )
    set_customers(feeder, customers=[10, 20, 30, 40])
    return feeder


@pytest.mark.parametrize("isolators", ["every_branch", "switches"])
def test_ties_in_a_chain_are_exact(faulty: Any, days: xr.Dataset, isolators: str) -> None:
    side = pp.create_bus(faulty, 10.0, min_vm_pu=0.9, max_vm_pu=1.1)
    pp.create_line_from_parameters(faulty, 1, side, 1.0, 0.3, 0.3, 0.0, 1.0)
    pp.create_load(faulty, side, p_mw=0.5, q_mvar=0.0)
    days = days.reindex(load=[*faulty.load.index])
    days["load_p_mw"] = days["load_p_mw"].fillna(0.4)
    days["load_q_mvar"] = days["load_q_mvar"].fillna(0.0)
    if isolators == "switches":
        for line in (1, 2, 4):
            pp.create_switch(faulty, int(faulty.line.from_bus[line]), line, et="l", type="LBS")
    set_line_reliability(
        faulty, failure_rate_per_km_year=0.2, repair_time_h=6.0, switching_time_h=1.0
    )
    for a, b in ((0, 4), (4, side)):
        tie = pp.create_line_from_parameters(
            faulty, a, b, 1.5, 0.3, 0.3, 0.0, 1.0, in_service=False
        )
        set_line_reliability(
            faulty, [tie], failure_rate_per_km_year=0.02, repair_time_h=6.0, switching_time_h=1.0
        )
        create_candidate(faulty, a, technology="line", line=tie, capex_eur_per_unit=1e4)
    ds = plan_network(
        faulty, days, value_of_lost_load_eur_per_mwh=2e4, isolators=isolators, solver=TIGHT
    )
    assert ds["units"].to_numpy().tolist() == [1, 1]
    before = reliability_indices(faulty, days, isolators=isolators)
    write_back(faulty, ds)
    after = reliability_indices(faulty, days, isolators=isolators)
    for name in ("eens_mwh_per_year", "saidi_h_per_year", "saifi_per_year", "asai_pu"):
        np.testing.assert_allclose(ds[name], [before[name], after[name]], rtol=1e-9, err_msg=name)
    assert ds.attrs["eens_model_mwh_per_year"] == pytest.approx(
        float(after["eens_mwh_per_year"]), rel=1e-6
    )


def test_customers_indices_are_limited(faulty: Any, days: xr.Dataset) -> None:
    for to in (3, 4):
        tie = pp.create_line_from_parameters(
            faulty, 0, to, 1.0, 0.3, 0.3, 0.0, 1.0, in_service=False
        )
        create_candidate(
            faulty, to, technology="line", line=tie, capex_eur_per_unit=1e5 if to == 3 else 2e5
        )
    free = plan_network(faulty, days, solver=TIGHT)
    assert not free["units"].to_numpy().any()
    saidi = float(free["saidi_h_per_year"].sel(case="plan"))
    ds = _same_as_enumeration(faulty, days, saidi_limit_h_per_year=0.8 * saidi)
    assert float(ds["saidi_h_per_year"].sel(case="plan")) <= 0.8 * saidi
    share = 100.0 * (1.0 - 0.8 * saidi / 8760.0)
    same = plan_network(faulty, days, asai_limit_percent=share, solver=TIGHT)
    assert same["units"].to_numpy().tolist() == ds["units"].to_numpy().tolist()
    with pytest.raises(NoSolution, match=r"saifi_limit_per_year = 0.1 cannot be reached"):
        plan_network(faulty, days, saifi_limit_per_year=0.1)


@pytest.mark.parametrize("technology", ["storage", "dispatchable"])
def test_islands_from_the_schedule(faulty: Any, days: xr.Dataset, technology: str) -> None:
    size: dict[str, Any] = {"unit_p_mw": 0.5, "max_units": 2}
    if technology == "storage":
        size |= {"unit_e_mwh": 2.0}
    create_candidate(faulty, 4, technology=technology, capex_eur_per_unit=1e5, **size)
    create_candidate(faulty, 3, technology="pv", unit_p_mw=0.5, max_units=1, capex_eur_per_unit=1e6)
    none = plan_network(faulty, days, islands="none", solver=TIGHT)
    worst = float(none["eens_mwh_per_year"].sel(case="plan"))
    ds = _same_as_enumeration(
        faulty, days, islands="schedule", eens_limit_mwh_per_year=0.93 * worst
    )
    assert float(ds["eens_mwh_per_year"].sel(case="plan")) <= 0.93 * worst * (1 + 1e-6)
    assert ds["units"].to_numpy()[0] > 0  # the sun alone forms no island
    costly = _same_as_enumeration(
        faulty, days, islands="schedule", value_of_lost_load_eur_per_mwh=2e4
    )
    modelled = costly.attrs["eens_model_mwh_per_year"]
    assert float(costly["eens_mwh_per_year"].sel(case="plan")) == pytest.approx(modelled, rel=1e-5)


def test_bad_input_of_a_plan(feeder: Any, days: xr.Dataset) -> None:
    pv: dict[str, Any] = {"technology": "pv", "unit_p_mw": 1.0}
    create_candidate(feeder, 2, capex_eur_per_unit=4e5, **pv)
    with pytest.raises(InvalidInput, match="must not be there twice"):
        create_candidate(feeder, 2, capex_eur_per_unit=5e5, **pv)
    with pytest.raises(InvalidInput, match="capex_eur_per_unit"):
        create_candidate(feeder, 3, capex_eur_per_unit=-1.0, **pv)
    with pytest.raises(InvalidInput, match="sums to 400 days"):
        plan_network(feeder, days.assign(weight=days["weight"] * 400 / 365))
    with pytest.raises(InvalidInput, match="islands.*use one of 'none'"):
        plan_network(feeder, days, islands="some")
    with pytest.raises(InvalidInput, match="renewable_share_percent"):
        plan_network(feeder, days, renewable_share_percent=120.0)
    assert not plan_network(feeder, days, budget_eur=1.0)["units"].to_numpy().any()
    grown = plan_network(feeder, days, demand_growth_percent=10.0, budget_eur=1.0)
    same = plan_network(feeder, days, budget_eur=1.0)
    assert float(grown["p_buy_mw"].sum()) > 1.1 * float(same["p_buy_mw"].sum())


def test_remote_control_pays_where_it_completes_a_way(faulty: Any, days: xr.Dataset) -> None:
    tie = pp.create_line_from_parameters(faulty, 0, 4, 1.0, 0.3, 0.3, 0.0, 1.0)
    switches = [
        pp.create_switch(faulty, int(faulty.line.from_bus[line]), line, et="l", type="LBS")
        for line in (1, 3)
    ]
    switches.append(pp.create_switch(faulty, 4, tie, et="l", closed=False, type="LBS"))
    for switch in switches:
        create_candidate(
            faulty,
            0,
            technology="switch",
            switch=switch,
            remote_switching_time_h=0.1,
            capex_eur_per_unit=3e4,
        )
    base: dict[str, Any] = {"isolators": "switches"}
    before = reliability_indices(faulty, days, **base)
    ds = _same_as_enumeration(
        faulty, days, **base, eens_limit_mwh_per_year=0.85 * float(before["eens_mwh_per_year"])
    )
    assert 0 < int(ds["units"].sum()) <= 3
    write_back(faulty, ds)
    after = reliability_indices(faulty, days, **base)
    for name in ("eens_mwh_per_year", "saidi_h_per_year", "saifi_per_year"):
        np.testing.assert_allclose(ds[name], [before[name], after[name]], rtol=1e-9, err_msg=name)
    np.testing.assert_allclose(after["fault_eens_mwh_per_year"].sum(), after["eens_mwh_per_year"])
    with pytest.raises(UnsupportedFeature, match="analytic method alone"):
        reliability_indices(faulty, days, method="monte_carlo", **base)


def test_remote_control_by_hand_derivation(faulty: Any, days: xr.Dataset) -> None:
    """Two sections: upstream is back early with the one switch between, downstream waits."""
    middle = pp.create_switch(faulty, 2, 2, et="l", type="LBS")  # at the head of line 2-3
    before = reliability_indices(faulty, days)
    set_remote_control(faulty, [middle], remote_switching_time_h=0.25)
    after = reliability_indices(faulty, days)
    saved = before["unavailability_h_per_year"] - after["unavailability_h_per_year"]
    # faults of the two lines beyond, 0.2 a year each: 1 h by hand, 0.25 h remotely
    np.testing.assert_allclose(saved, [2 * 0.2 * 0.75] * 2 + [0.0] * 2)
