"""Storage whose power and energy are sized apart: enumeration, limits, several years, bad input."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandapower as pp
import pytest
import xarray as xr

from planning import Stage, evaluate, plan_at, plan_horizon, plan_network
from planning.expansion import build
from planning.reliability import Faults, Reserve, energy_not_served
from planning.year_model import ExpansionData
from pp_p2p import SolverConfig, create_candidate, set_line_reliability, write_back
from pp_p2p.errors import InvalidInput, NoSolution
from pp_p2p.network.formulation import get_formulation
from pp_p2p.solve.compiled import compile_model
from pp_p2p.solve.run import CompiledSolver

TIGHT = SolverConfig(rel_gap=1e-6)
Study = tuple[Any, xr.Dataset]
HOST: dict[str, Any] = {"technology": "storage", "unit_p_mw": 0.4}
ENERGY: dict[str, Any] = {"technology": "storage_energy", "unit_e_mwh": 0.5}


@pytest.fixture
def study(feeder: Any, make_days: Callable[..., xr.Dataset]) -> Study:
    """Dear converters, cheap energy: more of the second than of the first pays."""
    create_candidate(
        feeder, 3, max_units=4, capex_eur_per_unit=3e4, fixed_om_eur_per_unit_per_year=100.0,
        lifetime_years=10.0, **ENERGY,
    )  # fmt: skip
    create_candidate(
        feeder, 3, max_units=2, capex_eur_per_unit=3e4, min_soc_percent=20.0, lifetime_years=20.0,
        **HOST,
    )  # fmt: skip
    return feeder, make_days(feeder, hours=8)


def _enumerated(net: Any, days: xr.Dataset, **limits: Any) -> dict[tuple[int, ...], float]:
    """Return the cost (EUR/a) of every choice of units that is feasible."""
    given = {
        "eens_limit_mwh_per_year": np.inf,
        "value_of_lost_load_eur_per_mwh": 0.0,
        "budget_eur": np.inf,
    }
    data = ExpansionData.from_net(net, days, interest_rate=0.05, **(given | limits))
    problem = compile_model(build(data, get_formulation("branch_flow")))
    whole = np.flatnonzero(problem.integer)
    problem = dataclasses.replace(problem, integer=np.zeros_like(problem.integer))
    solver, costs = CompiledSolver(problem), {}
    ranges = [range(int(problem.lower[k]), int(problem.upper[k]) + 1) for k in whole]
    for units in itertools.product(*ranges):
        lower, upper = problem.lower.copy(), problem.upper.copy()
        lower[whole] = upper[whole] = units
        try:
            _, report = solver.solve(dataclasses.replace(problem, lower=lower, upper=upper))
        except NoSolution:
            continue
        costs[units] = 1e3 * report.objective
    return costs


def test_optimum_equals_enumeration(study: Study) -> None:
    ds = plan_network(*study, solver=TIGHT)
    costs = _enumerated(*study)
    assert len(costs) == 1 + 5 * 2  # no energy without the storage that holds it
    best = min(costs.values())
    assert ds.attrs["objective_eur_per_year"] == pytest.approx(best, rel=3e-6)
    energy, power = ds["units"].to_numpy().tolist()
    assert energy > power > 0
    paid = float(ds["cost_eur_per_year"].sel(case="plan").sum())
    assert paid == pytest.approx(ds.attrs["objective_eur_per_year"], rel=1e-5)
    stored = ds["candidate_energy_mwh"].sel(candidate=1)
    assert float(stored.max()) <= 0.5 * energy + 1e-5
    assert float(stored.min()) >= 0.2 * 0.5 * energy - 1e-5
    assert ds["built_e_mwh"].to_numpy().tolist() == [0.5 * energy, 0.0]
    dear = study[0].candidate
    dear.loc[0, "capex_eur_per_unit"] = 6e4
    fewer = plan_network(*study, solver=TIGHT)
    assert float(fewer["units"][0]) <= energy
    assert fewer.attrs["objective_eur_per_year"] >= best * (1 - 2e-6)


def test_both_in_a_unit_is_the_same_as_apart(study: Study) -> None:
    net, days = study
    net.candidate.loc[0, ["max_units", "lifetime_years", "fixed_om_eur_per_unit_per_year"]] = (
        2, 20.0, 0.0,
    )  # fmt: skip
    net.candidate["capex_eur_per_unit"] = [4e4, 0.0]
    apart = plan_network(net, days, solver=TIGHT)
    net.candidate.loc[0, "in_service"] = False
    net.candidate.loc[1, ["unit_e_mwh", "unit_p_mw", "capex_eur_per_unit"]] = 0.5, 0.8, 4e4
    both = plan_network(net, days, solver=TIGHT)
    assert float(both["units"][0]) == float(apart["units"].sel(candidate=0)) > 0
    assert both.attrs["objective_eur_per_year"] == pytest.approx(
        apart.attrs["objective_eur_per_year"], rel=3e-6
    )


def test_any_size_costs_no_more(study: Study) -> None:
    whole = plan_network(*study, solver=TIGHT)
    study[0].candidate["sizing"] = "continuous"
    free = plan_network(*study, solver=TIGHT)
    assert free.attrs["objective_eur_per_year"] < whole.attrs["objective_eur_per_year"]
    duration = float(free["built_e_mwh"].sum()) / float(free["built_p_mw"].sum())
    assert 0.5 < duration < 12.0
    study[0].candidate["sizing"] = ["continuous", "units"]
    mixed = plan_network(*study, solver=TIGHT)
    assert (
        free.attrs["objective_eur_per_year"] * (1 - 2e-6)
        <= mixed.attrs["objective_eur_per_year"]
        <= whole.attrs["objective_eur_per_year"] * (1 + 2e-6)
    )


def test_reserve_carries_islands_with_all_energy(study: Study) -> None:
    net, days = study
    set_line_reliability(net, failure_rate_per_km_year=0.2, repair_time_h=6.0, switching_time_h=1.0)
    none = float(plan_network(net, days, budget_eur=1.0)["eens_mwh_per_year"].sel(case="plan"))
    limit = none - 0.1
    ds = plan_network(net, days, eens_limit_mwh_per_year=limit, max_sites=1, solver=TIGHT)
    costs = _enumerated(net, days, eens_limit_mwh_per_year=limit)
    assert 0 < len(costs) < 11
    assert ds.attrs["objective_eur_per_year"] == pytest.approx(min(costs.values()), rel=3e-6)
    built = write_back(net, ds)
    row = net.storage.loc[built[1][1]]
    reserve = Reserve(bus=3, energy_mwh=0.95 * row.min_e_mwh, power_mw=row.max_p_mw)
    faults = Faults.from_net(net)
    mean = (days["load_p_mw"] * days["weight"]).sum("day").mean("hour") / 365.0
    demand = faults.demand(net.load.bus.to_numpy(), mean.to_numpy())
    lost = float(energy_not_served(faults, demand, reserves=[reserve]).sum())
    assert float(ds["eens_mwh_per_year"].sel(case="plan")) == pytest.approx(lost, rel=1e-9)


def test_built_storage_runs_as_planned(study: Study) -> None:
    net, days = study
    ds = plan_network(net, days, solver=TIGHT)
    year = evaluate(net, ds, days)
    assert abs(year.attrs["cost_error_percent"]) < 1e-2
    built = write_back(net, ds)
    assert built[0] == built[1]
    assert len(net.storage) == 1
    energy, power = ds["units"].to_numpy()
    row = net.storage.loc[built[1][1]]
    assert row.max_e_mwh == pytest.approx(0.5 * energy)
    assert row.min_e_mwh == pytest.approx(0.1 * energy)
    assert row.max_p_mw == pytest.approx(0.4 * power)
    assert not net.candidate.in_service.any()


def test_horizon_buys_energy_later_and_again(study: Study) -> None:
    """Energy lives half as long as the converter, and gets cheaper."""
    net, days = study
    net.candidate["lifetime_years"] = [4.0, 8.0]
    stages = (
        Stage(years=2),
        Stage(years=4, capex_factor={"storage_energy": 0.3}, price_factor=1.2),
    )
    ds = plan_horizon(net, days, stages, salvage="annuity", solver=TIGHT)
    energy = ds["units_built"].sel(candidate=0).to_numpy()
    assert energy[1] > 0
    standing = ds["units_installed"].to_numpy()
    assert (standing[:, 0] <= 4 * standing[:, 1]).all()
    assert float(ds["npc_eur"]) == pytest.approx(ds.attrs["objective_eur"], rel=1e-5)
    bought = float(ds["cash_flow_eur"].sel(item="investment").sum())
    prices = ds["capex_eur_per_unit"] * ds["units_built"]
    assert bought == pytest.approx(float(prices.sum()), rel=1e-9)
    assert ds["capex_eur_per_unit"].sel(candidate=0).to_numpy().tolist() == [3e4, 9e3]
    write_back(net, plan_at(ds, 2))
    assert net.storage.max_e_mwh.tolist() == pytest.approx([0.5 * standing[1, 0]])


def test_bad_input(study: Study) -> None:
    net, days = study
    with pytest.raises(InvalidInput, match="unit_e_mwh"):
        create_candidate(net, 2, capex_eur_per_unit=1.0, **HOST)  # nothing adds energy there
    with pytest.raises(InvalidInput, match="unit_e_mwh"):
        create_candidate(net, 2, technology="storage_energy", capex_eur_per_unit=1.0)
    with pytest.raises(InvalidInput, match="must not be there twice"):
        create_candidate(net, 3, capex_eur_per_unit=1.0, **ENERGY)
    ds = plan_network(net, days, solver=TIGHT)
    alone = ds.assign(units=("candidate", np.array([1, 0])))
    with pytest.raises(InvalidInput, match="is built, but not the storage"):
        write_back(net, alone)
    net.candidate.loc[1, "in_service"] = False
    with pytest.raises(InvalidInput, match="has no storage candidate at that bus"):
        plan_network(net, days)
    pp.create_bus(net, 10.0)
    net.candidate["bus"] = 5
    net.candidate["in_service"] = True
    with pytest.raises(InvalidInput, match=r"rows 0, 1.*not fed"):
        plan_network(net, days)
