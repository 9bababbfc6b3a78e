"""`plan_network`: enumeration, laws, certificates, bad input."""

from __future__ import annotations

import copy
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
from planning.reliability import Faults, energy_not_served
from planning.year_model import ExpansionData
from pp_p2p import (
    GridData,
    SolverConfig,
    create_candidate,
    set_line_reliability,
    write_back,
)
from pp_p2p.errors import InvalidInput, NoSolution, TimeLimit
from pp_p2p.network.formulation import get_formulation
from pp_p2p.solve.run import run_solver

TIGHT = SolverConfig(rel_gap=1e-6)
MakeDays = Callable[..., xr.Dataset]


@pytest.fixture
def study(feeder: Any, make_days: MakeDays, failing_with_tie: Any) -> tuple[Any, xr.Dataset]:
    """Two days; PV, storage and a tie, each in up to three units, none of them obviously good."""
    tie = failing_with_tie(feeder)
    life = {"lifetime_years": 20.0}
    create_candidate(
        feeder, 4, technology="pv", unit_p_mw=0.7, max_units=3, capex_eur_per_unit=9e5, **life
    )
    create_candidate(
        feeder,
        2,
        technology="storage",
        unit_p_mw=0.5,
        unit_e_mwh=1.0,
        max_units=3,
        capex_eur_per_unit=2.2e5,
        min_soc_percent=20.0,
        **life,
    )
    create_candidate(feeder, 0, technology="line", line=tie, capex_eur_per_unit=1e5, **life)
    return feeder, make_days(feeder)


def _cost_of(data: ExpansionData, units: tuple[int, ...]) -> float:
    model = build(data, get_formulation("branch_flow"))
    for k, n in enumerate(units):
        model.units[k].setlb(n)
        model.units[k].setub(n)
    for k in model.CANDIDATE:
        model.units[k].domain = pyo.Reals
    try:
        return run_solver(model).objective
    except NoSolution:
        return np.inf


def test_optimum_equals_enumeration(study: tuple[Any, xr.Dataset]) -> None:
    net, days = study
    limit = 5.0
    ds = plan_network(net, days, eens_limit_mwh_per_year=limit, solver=TIGHT)
    data = ExpansionData.from_net(
        net,
        days,
        interest_rate=0.05,
        eens_limit_mwh_per_year=limit,
        value_of_lost_load_eur_per_mwh=0.0,
        budget_eur=np.inf,
    )
    every = {u: _cost_of(data, u) for u in itertools.product(range(4), range(4), range(2))}
    best = min(every.values()) * 1e3
    assert ds.attrs["objective_eur_per_year"] == pytest.approx(best, rel=1e-6)
    assert ds.attrs["bound_eur_per_year"] <= best * (1 + 1e-8)
    assert ds.attrs["gap"] <= 1e-6
    assert float(ds["eens_mwh_per_year"].sel(case="plan")) <= limit + 1e-6


def test_certificates_and_cost_items(study: tuple[Any, xr.Dataset]) -> None:
    net, days = study
    before = copy.deepcopy(net)
    ds = plan_network(net, days, value_of_lost_load_eur_per_mwh=5000.0, solver=TIGHT)
    assert pp.toolbox.nets_equal(net, before)
    assert ds.attrs["relaxation"] == "exact"
    assert ds.attrs["relaxation_gap"] <= 1e-6
    assert ds.attrs["ac_vm_error_pu"] <= 1e-4
    assert ds.attrs["ac_loss_error_percent"] <= 0.1
    cost = ds["cost_eur_per_year"].sum("item")
    assert float(cost.sel(case="plan")) == pytest.approx(
        ds.attrs["objective_eur_per_year"], rel=1e-5
    )
    assert float(cost.sel(case="plan")) <= float(cost.sel(case="nothing")) * (1 + 1e-6)
    assert abs(ds["vm_pu"] - ds["vm_ac_pu"]).max() <= 1e-4


def test_energy_is_balanced(study: tuple[Any, xr.Dataset]) -> None:
    net, days = study
    ds = plan_network(net, days, solver=TIGHT)
    load = days["load_p_mw"].sum("load")
    supply = ds["p_source_mw"].sum("ext_grid") + ds["candidate_p_mw"].sum("candidate")
    np.testing.assert_allclose(supply - ds["loss_mw"], load, atol=1e-6)
    np.testing.assert_allclose(
        ds["p_source_mw"].sum("ext_grid"), ds["p_buy_mw"] - ds["p_sell_mw"], atol=1e-6
    )


def test_reliability_of_the_built_net_is_the_plans(study: tuple[Any, xr.Dataset]) -> None:
    net, days = study
    ds = plan_network(net, days, eens_limit_mwh_per_year=5.0, solver=TIGHT)
    built = write_back(net, ds)
    weight = days["weight"] / days["weight"].sum() / days.sizes["hour"]
    mean = (days["load_p_mw"] * weight).sum(("day", "hour")).to_numpy()
    faults = Faults.from_net(net)
    demand = faults.demand(net.load.bus, mean)
    reserves = []
    for table, row in built.values():
        if table == "storage":
            from planning.reliability import Reserve

            s = net.storage.loc[row]
            after_losses = s.min_e_mwh * s.discharge_efficiency_percent / 100.0
            reserves.append(Reserve(bus=int(s.bus), energy_mwh=after_losses, power_mw=s.max_p_mw))
    lost = energy_not_served(faults, demand, reserves=reserves).sum()
    assert lost == pytest.approx(float(ds["eens_mwh_per_year"].sel(case="plan")), rel=1e-9)


@pytest.mark.parametrize("isolators", ["every_branch", "switches"])
def test_indices_of_the_built_net_are_the_plans(
    feeder: Any, make_days: MakeDays, isolators: Any
) -> None:
    """The plan and `reliability_indices` are one model: a tie that fails too, and devices."""
    for bus, line in ((1, 1), (2, 2), (3, 3)):
        pp.create_switch(feeder, bus, line, et="l", type="CB" if bus == 2 else "LBS")
    tie = pp.create_line_from_parameters(feeder, 0, 4, 2.0, 0.3, 0.3, 0.0, 1.0, in_service=False)
    set_line_reliability(
        feeder, failure_rate_per_km_year=0.2, repair_time_h=6.0, switching_time_h=1.0
    )
    create_candidate(feeder, 0, technology="line", line=tie, capex_eur_per_unit=1e5)
    days = make_days(feeder)
    before = float(reliability_indices(feeder, days, isolators=isolators)["eens_mwh_per_year"])
    limit = 0.9 * before
    ds = plan_network(
        feeder,
        days,
        eens_limit_mwh_per_year=limit,
        value_of_lost_load_eur_per_mwh=1e3,  # so that the model serves all it can
        isolators=isolators,
    )
    write_back(feeder, ds)
    after = float(reliability_indices(feeder, days, isolators=isolators)["eens_mwh_per_year"])
    assert ds["units"].to_numpy().tolist() == [1]
    assert after <= limit
    np.testing.assert_allclose(ds["eens_mwh_per_year"], [before, after], rtol=1e-9)
    assert ds.attrs["eens_model_mwh_per_year"] == pytest.approx(after, rel=1e-6)


def test_unknown_isolators_are_refused(study: tuple[Any, xr.Dataset]) -> None:
    with pytest.raises(InvalidInput, match="isolators"):
        plan_network(*study, isolators="some")


def test_tighter_limit_never_costs_less_and_a_wider_choice_never_more(
    study: tuple[Any, xr.Dataset],
) -> None:
    net, days = study
    costs = [
        plan_network(net, days, eens_limit_mwh_per_year=limit, solver=TIGHT).attrs[
            "objective_eur_per_year"
        ]
        for limit in (100.0, 6.0, 4.0, 3.2)
    ]
    assert all(a <= b * (1 + 2e-6) for a, b in itertools.pairwise(costs))
    net.candidate.loc[1, "max_units"] = 0
    fewer = plan_network(net, days, solver=TIGHT).attrs["objective_eur_per_year"]
    assert costs[0] <= fewer * (1 + 2e-6)


def test_longer_life_never_costs_more(study: tuple[Any, xr.Dataset]) -> None:
    net, days = study
    short = plan_network(net, days, solver=TIGHT).attrs["objective_eur_per_year"]
    net.candidate["lifetime_years"] = 40.0
    assert plan_network(net, days, solver=TIGHT).attrs["objective_eur_per_year"] <= short * (
        1 + 2e-6
    )


def test_budget_holds(study: tuple[Any, xr.Dataset]) -> None:
    net, days = study
    net.candidate["capex_eur_per_unit"] = [2e5, 3e4, 1e5]  # now all of it pays
    free = plan_network(net, days, solver=TIGHT)
    bound = plan_network(net, days, budget_eur=2.5e5, solver=TIGHT)
    assert float(free["capex_eur"].sum()) > 2.5e5
    assert float(bound["capex_eur"].sum()) <= 2.5e5
    assert bound.attrs["objective_eur_per_year"] >= free.attrs["objective_eur_per_year"]


def test_linear_formulation_agrees_roughly(study: tuple[Any, xr.Dataset]) -> None:
    net, days = study
    exact = plan_network(net, days, solver=TIGHT)
    linear = plan_network(net, days, formulation="lindistflow", solver=TIGHT)
    # without losses it is cheaper, by no more than the losses of doing nothing
    ratio = linear.attrs["objective_eur_per_year"] / exact.attrs["objective_eur_per_year"]
    assert 0.93 < ratio < 1.0
    assert linear.attrs["relaxation"] == "inexact"


def test_same_input_same_numbers(study: tuple[Any, xr.Dataset]) -> None:
    one, two = (plan_network(*study, solver=TIGHT) for _ in range(2))
    for ds in (one, two):
        del ds.attrs["seconds"]
    xr.testing.assert_identical(one, two)


def test_written_back_plan_is_built_once(study: tuple[Any, xr.Dataset]) -> None:
    net, days = study
    net.candidate["capex_eur_per_unit"] = [1e5, 1e4, 1e3]
    ds = plan_network(net, days, eens_limit_mwh_per_year=3.2, solver=TIGHT)
    built = write_back(net, ds)
    assert {table for table, _ in built.values()} == {"sgen", "storage", "line"}
    assert net.sgen.p_mw.sum() == pytest.approx(float(ds["built_p_mw"][0]))
    assert net.line.in_service.all()
    GridData.from_net(net)  # the tie is open: still radial
    profiles = profiles_with_plan(days, ds, built)
    expected = days["availability_pu"].sel(technology="pv") * float(ds["built_p_mw"][0])
    np.testing.assert_allclose(profiles["sgen_p_mw"].isel(sgen=0), expected)
    with pytest.raises(InvalidInput, match="not in service"):
        write_back(net, ds)


def test_unreachable_reliability_says_what_is_reachable(study: tuple[Any, xr.Dataset]) -> None:
    with pytest.raises(NoSolution, match=r"the best that the candidates reach is \d"):
        plan_network(*study, eens_limit_mwh_per_year=0.1)


def test_limit_that_the_budget_cannot_pay_says_what_it_takes(
    study: tuple[Any, xr.Dataset],
) -> None:
    with pytest.raises(NoSolution, match=r"needs an investment of 100000 EUR at least"):
        plan_network(*study, eens_limit_mwh_per_year=4.0, budget_eur=5e4)


def test_too_little_time_is_not_called_infeasible(study: tuple[Any, xr.Dataset]) -> None:
    with pytest.raises(TimeLimit, match="time_limit_s"):
        plan_network(*study, solver=SolverConfig(time_limit_s=1e-9))


def test_nothing_to_build_is_a_plan_too(feeder: Any, make_days: MakeDays) -> None:
    ds = plan_network(feeder, make_days(feeder))
    assert ds.sizes["candidate"] == 0
    assert ds.attrs["eens_computed"] == 0
    assert write_back(feeder, ds) == {}


def test_impossible_voltage_limit_names_buses(study: tuple[Any, xr.Dataset]) -> None:
    net, days = study
    net.bus["min_vm_pu"] = 0.999
    with pytest.raises(NoSolution, match=r"voltage limits.*bus 4.*min_vm_pu"):
        plan_network(net, days)


def test_impossible_current_limit_names_lines(study: tuple[Any, xr.Dataset]) -> None:
    net, days = study
    net.line["max_i_ka"] = 0.02
    with pytest.raises(NoSolution, match=r"current limits.*line 0"):
        plan_network(net, days)


def test_bad_input_is_found_before_anything_is_solved(study: tuple[Any, xr.Dataset]) -> None:
    net, days = study
    with pytest.raises(InvalidInput, match="price_sell"):
        plan_network(net, days.assign(price_sell_eur_per_mwh=days["price_buy_eur_per_mwh"] + 1))
    with pytest.raises(InvalidInput, match="budget_eur"):
        plan_network(net, days, budget_eur=-1.0)
    with pytest.raises(InvalidInput, match="price_buy_eur_per_mwh.*missing"):
        plan_network(net, days.drop_vars("price_buy_eur_per_mwh"))
    with pytest.raises(InvalidInput, match="availability"):
        plan_network(net, days.drop_vars(["availability_pu", "technology"]))
    broken = days.copy(deep=True)
    broken["load_p_mw"][1, 2, 0] = np.nan
    with pytest.raises(InvalidInput, match="load_p_mw.*not a finite number"):
        plan_network(net, broken)
