"""`plan_horizon`: enumeration, accounts, laws, bad input."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pytest
import xarray as xr

from planning import Stage, growing_stages, plan_at, plan_horizon, plan_network
from planning.horizon_model import HorizonData, build_all
from pp_p2p import SolverConfig, create_candidate, from_netcdf, to_netcdf
from pp_p2p import write_back as write_back_plan
from pp_p2p.errors import InvalidInput, NoSolution
from pp_p2p.network.formulation import get_formulation
from pp_p2p.solve.compiled import compile_model
from pp_p2p.solve.run import CompiledSolver

TIGHT = SolverConfig(rel_gap=1e-6)
MakeDays = Callable[..., xr.Dataset]
Study = tuple[Any, xr.Dataset]
RATE = 0.05


@pytest.fixture
def study(feeder: Any, make_days: MakeDays, failing_with_tie: Any) -> Study:
    """One day; PV, storage and a tie; none of them obviously good at once."""
    tie = failing_with_tie(feeder)
    create_candidate(
        feeder, 4, technology="pv", unit_p_mw=0.7, max_units=2, capex_eur_per_unit=9e5,
        fixed_om_eur_per_unit_per_year=2e3, lifetime_years=20.0,
    )  # fmt: skip
    create_candidate(
        feeder, 2, technology="storage", unit_p_mw=0.5, unit_e_mwh=1.0, max_units=1,
        capex_eur_per_unit=2.0e5, min_soc_percent=20.0, lifetime_years=10.0,
    )  # fmt: skip
    create_candidate(
        feeder, 0, technology="line", line=tie, capex_eur_per_unit=1e5, lifetime_years=40.0
    )
    return feeder, make_days(feeder, n=1, hours=4)


def _stages(**options: Any) -> tuple[Stage, ...]:
    given: dict[str, Any] = {
        "demand_growth_percent": 3.0,
        "learning_percent": {"pv": 8.0, "storage": 4.0},
        "eens_limit_mwh_per_year": [np.inf, 5.0],
    }
    return growing_stages([4, 6], **(given | options))


def _plan(study: Study, stages: tuple[Stage, ...] | None = None, **options: Any) -> xr.Dataset:
    given: dict[str, Any] = {"salvage": "annuity", "solver": TIGHT}
    return plan_horizon(*study, stages or _stages(), **(given | options))


def _enumerated(data: HorizonData) -> float:
    """Return the least net present cost of all purchases of at most one unit, EUR."""
    model = build_all(data, get_formulation("branch_flow"))
    problem = compile_model(model)
    problem = dataclasses.replace(problem, integer=np.zeros_like(problem.integer))
    place = {id(column): k for k, column in enumerate(problem.columns)}
    built = [place[id(member)] for member in model.built.values()]
    solver, best = CompiledSolver(problem), np.inf
    for units in itertools.product((0.0, 1.0), repeat=len(built)):
        lower, upper = problem.lower.copy(), problem.upper.copy()
        lower[built] = upper[built] = units
        try:
            _, report = solver.solve(dataclasses.replace(problem, lower=lower, upper=upper))
        except NoSolution:
            continue
        best = min(best, report.objective)
    return best * 1e3


@pytest.mark.parametrize("replacement", ["automatic", "optional"])
def test_optimum_equals_enumeration(
    study: Study, monkeypatch: pytest.MonkeyPatch, replacement: Any
) -> None:
    net, days = study
    net.candidate.loc[0, "max_units"] = 1
    net.candidate.loc[1, "lifetime_years"] = 4.0  # replaced twice, or bought again
    seen: list[HorizonData] = []

    def spy(data: HorizonData, *args: Any) -> Any:
        seen.append(data)
        return build_all(data, *args)

    monkeypatch.setattr("planning.horizon.build_all", spy)
    ds = _plan((net, days), replacement=replacement)
    best = _enumerated(seen[0])
    assert ds.attrs["objective_eur"] == pytest.approx(best, rel=1e-6)
    assert ds.attrs["bound_eur"] <= best * (1 + 1e-8)
    assert float(ds["npc_eur"]) == pytest.approx(best, rel=1e-5)
    assert float(ds["eens_mwh_per_year"].sel(stage=2)) <= 5.0 + 1e-6


def test_accounts_of_a_plan_by_hand(study: Study) -> None:
    net, days = study
    net.candidate["capex_eur_per_unit"] = [2e5, 1e4, 1e5]
    ds = _plan(study, _stages(price_growth_percent=1.0))
    assert ds["units_built"].sum() > 1
    cash, worth = ds["cash_flow_eur"], ds["present_value_eur"]
    # investments at the start of their year, operation at its end
    bought = (ds["units_built"] * ds["capex_eur_per_unit"]).sum("candidate").to_numpy()
    np.testing.assert_allclose(cash.sel(item="investment")[[0, 4]], bought)
    np.testing.assert_allclose(worth.sel(item="investment")[4], bought[1] * 1.05**-4)
    paid = cash.sel(item="purchase")
    np.testing.assert_allclose(worth.sel(item="purchase"), paid * 1.05 ** -np.arange(1.0, 11.0))
    # energy of a year: the exchange of the typical day, 365 times
    energy = (ds["p_buy_mw"].sel(stage=2) * days["price_buy_eur_per_mwh"] * 1.01**9).sum() * 6 * 365
    np.testing.assert_allclose(cash.sel(item="purchase", year=[5, 10]), float(energy), rtol=1e-9)
    assert float(worth.sum()) == pytest.approx(float(ds["npc_eur"]))
    assert float(ds["stage_cost_eur"].sum()) == pytest.approx(float(ds["npc_eur"]))
    assert float(ds["npc_eur"]) == pytest.approx(ds.attrs["objective_eur"], rel=1e-5)
    annual = float(ds["eac_eur_per_year"])
    assert sum(annual * 1.05**-y for y in range(1, 11)) == pytest.approx(float(ds["npc_eur"]))
    assert ds.attrs["salvage"] == "annuity"
    assert ds.attrs["investment_at"] == "start"


def test_every_stage_is_certified(study: Study) -> None:
    net, days = study
    before = copy.deepcopy(net)
    ds = _plan(study)
    assert pp.toolbox.nets_equal(net, before)
    assert ds.attrs["relaxation"] == "exact"
    assert ds.attrs["gap"] <= 1e-6
    assert (ds["ac_vm_error_pu"] <= 1e-4).all()
    assert (ds["ac_loss_error_percent"] <= 0.1).all()
    assert float(abs(ds["vm_pu"] - ds["vm_ac_pu"]).max()) <= 1e-4
    load = days["load_p_mw"].sum("load") * ds["demand_factor"]
    supply = ds["p_source_mw"].sum("ext_grid") + ds["candidate_p_mw"].sum("candidate")
    np.testing.assert_allclose(*xr.broadcast(supply - ds["loss_mw"], load), atol=1e-6)
    assert ds["progress_bound_eur"][-1] <= ds.attrs["objective_eur"] * (1 + 1e-9)


@pytest.mark.parametrize("years", [7, 20])
def test_one_stage_is_the_plan_of_a_year(study: Study, years: int) -> None:
    """Annuities inside the horizon, whatever its length: the same units, the annual cost."""
    net, days = study
    net.candidate["capex_eur_per_unit"] = [3e5, 1e5, 1e5]
    limit = 5.0
    ds = _plan(study, (Stage(years=years, eens_limit_mwh_per_year=limit),))
    one = plan_network(net, days, eens_limit_mwh_per_year=limit, solver=TIGHT)
    assert ds["units_installed"][0].to_numpy().tolist() == one["units"].to_numpy().tolist()
    assert float(ds["eac_eur_per_year"]) == pytest.approx(
        one.attrs["objective_eur_per_year"], rel=1e-5
    )


def test_stages_that_are_alike_are_one(study: Study) -> None:
    whole = _plan(study, (Stage(years=10, eens_limit_mwh_per_year=5.0),))
    halves = _plan(study, (Stage(years=5, eens_limit_mwh_per_year=5.0),) * 2)
    assert float(halves["npc_eur"]) == pytest.approx(float(whole["npc_eur"]), rel=2e-6)
    assert halves["units_built"].sel(stage=2).sum() == 0


def test_foresight_never_costs_more(study: Study) -> None:
    net, _ = study
    # bought by the annuity of today's price, though it will be much cheaper soon
    net.candidate["capex_eur_per_unit"] = [4e5, 2e5, 1e5]
    stages = _stages(learning_percent=30.0)
    perfect, rolling = (_plan(study, stages, foresight=k) for k in ("perfect", "rolling"))
    assert float(perfect["npc_eur"]) <= float(rolling["npc_eur"]) * (1 + 1e-6)
    assert float(perfect["npc_eur"]) < 0.999 * float(rolling["npc_eur"])
    assert (rolling["stage_gap"] <= 1e-6).all()
    assert (rolling["eens_mwh_per_year"] <= rolling["eens_limit_mwh_per_year"] + 1e-6).all()


def test_longer_life_never_costs_more(study: Study) -> None:
    net, _ = study
    costs = []
    for life in (3.0, 5.0, 10.0, 30.0):
        net.candidate["lifetime_years"] = life
        costs.append(float(_plan(study)["npc_eur"]))
    assert all(b <= a * (1 + 2e-6) for a, b in itertools.pairwise(costs))


def test_more_growth_never_costs_less(study: Study) -> None:
    costs = [
        float(_plan(study, _stages(demand_growth_percent=g))["npc_eur"]) for g in (0.0, 2.0, 4.0)
    ]
    assert all(a <= b * (1 + 2e-6) for a, b in itertools.pairwise(costs))


def test_limits_and_wider_choice(study: Study) -> None:
    net, _ = study
    free = float(_plan(study, _stages(eens_limit_mwh_per_year=np.inf))["npc_eur"])
    held = _plan(study)
    assert free <= float(held["npc_eur"]) * (1 + 2e-6)
    net.candidate.loc[1, "in_service"] = False
    fewer = float(_plan(study)["npc_eur"])
    assert float(held["npc_eur"]) <= fewer * (1 + 2e-6)


def test_units_wait_for_their_stage_and_their_budget(study: Study) -> None:
    net, _ = study
    net.candidate["capex_eur_per_unit"] = [1e5, 1e4, 1e5]  # all of it pays at once
    stages = _stages(eens_limit_mwh_per_year=np.inf)
    assert _plan(study, stages)["units_built"].sel(stage=1, candidate=0) == 2
    late = _plan(study, stages, available_from={0: 2})
    assert late["units_built"].sel(candidate=0).to_numpy().tolist() == [0, 2]
    poor = _plan(study, (dataclasses.replace(stages[0], budget_eur=1.2e5), stages[1]))
    assert poor["units_built"].sel(candidate=0).to_numpy().tolist() == [1, 1]
    assert float(poor["capex_eur"].sel(stage=1).sum()) <= 1.2e5
    little = _plan(study, stages, budget_eur=1.2e5)
    assert float(little["capex_eur"].sum()) <= 1.2e5
    assert (little["units_installed"] <= little["max_units"]).all()


def test_limits_of_a_year_hold_in_their_stage(study: Study) -> None:
    study[0].candidate.loc[0, "capex_eur_per_unit"] = 5e6  # never pays
    stages = _stages(eens_limit_mwh_per_year=np.inf)
    last = dataclasses.replace(stages[1], renewable_share_percent=8.0, saidi_limit_h_per_year=2.0)
    ds = _plan(study, (stages[0], last))
    demand = study[1]["load_p_mw"].sum() * 6 * 365 * ds["demand_factor"]
    share = ds["renewable_mwh_per_year"] / demand
    assert share.to_numpy()[0] < 0.08 <= share.to_numpy()[1] + 1e-9
    saidi = ds["saidi_h_per_year"].to_numpy()
    assert saidi[1] <= 2.0 < saidi[0]


def test_what_dies_must_be_bought_again(study: Study) -> None:
    net, _ = study
    net.candidate["capex_eur_per_unit"] = [1e5, 1e4, 1e5]
    net.candidate.loc[0, "lifetime_years"] = 4.0
    stages = growing_stages([4, 4])
    chosen = _plan((net, study[1]), stages, replacement="optional")
    assert chosen["units_built"].sel(candidate=0).to_numpy().tolist() == [2, 2]
    kept = _plan((net, study[1]), stages)
    assert kept["units_built"].sel(candidate=0).to_numpy().tolist() == [2, 0]
    assert float(kept["cash_flow_eur"].sel(item="replacement", year=5)) == pytest.approx(2e5)
    assert float(kept["npc_eur"]) == pytest.approx(float(chosen["npc_eur"]), rel=1e-5)


def test_stored_and_read_again(study: Study, tmp_path: Path) -> None:
    ds = _plan(study)
    xr.testing.assert_identical(from_netcdf(to_netcdf(ds, tmp_path / "plan.nc")), ds)
    again = _plan(study)
    for one in (ds, again):
        del one.attrs["seconds"]
    xr.testing.assert_identical(ds.drop_vars("progress_s"), again.drop_vars("progress_s"))


def test_a_stage_is_written_back(study: Study) -> None:
    net, _ = study
    net.candidate["capex_eur_per_unit"] = [1e5, 1e4, 1e3]
    ds = _plan(study, available_from={0: 2})
    with pytest.raises(InvalidInput, match="plan_at"):
        write_back_plan(net, ds)
    last = plan_at(ds, 2)
    built = write_back_plan(net, last)
    assert set(built) == {k for k in (0, 1, 2) if last["units"].sel(candidate=k) > 0}
    assert net.sgen.p_mw.sum() == pytest.approx(1.4)
    with pytest.raises(InvalidInput, match="no stage 3"):
        plan_at(ds, 3)


def test_limit_out_of_reach_names_the_stage(study: Study) -> None:
    with pytest.raises(NoSolution, match=r"stage 2: .*cannot be reached: the best .* is \d"):
        _plan(study, _stages(eens_limit_mwh_per_year=[np.inf, 0.1]))
    with pytest.raises(NoSolution, match=r"stage 1: "):
        _plan(study, _stages(eens_limit_mwh_per_year=[4.0, 5.0]), available_from={1: 2, 2: 2})


def test_growth_that_the_net_cannot_carry_names_the_stage(study: Study) -> None:
    net, days = study
    with pytest.raises(NoSolution, match=r"limits of stage 2: the voltage limits.*bus 4"):
        _plan((net, days), _stages(demand_growth_percent=25.0, eens_limit_mwh_per_year=np.inf))


def test_budget_that_the_limit_needs(study: Study) -> None:
    with pytest.raises(NoSolution, match="budget"):
        _plan(study, budget_eur=5e4)


def test_bad_input_is_told_before_anything_is_solved(study: Study) -> None:
    net, days = study
    with pytest.raises(InvalidInput, match=r"salvage: rows 0, 1, 2 .*outlive the 10 years"):
        _plan(study, salvage=None)
    with pytest.raises(InvalidInput) as told:
        _plan(study, foresight="some", replacement="some", budget_eur=-1.0, available_from={9: 1})
    assert len(told.value.findings) == 4
    with pytest.raises(InvalidInput, match="names no stage"):
        _plan(study, available_from={0: 3})
    with pytest.raises(InvalidInput, match="grows twice"):
        Stage(years=1, demand_factor=1.1, days=days)
    with pytest.raises(InvalidInput, match="other labels"):
        _plan(study, (Stage(years=5, days=days.assign_coords(day=[7])),))
    with pytest.raises(InvalidInput, match="stages: is empty"):
        plan_horizon(net, days, ())
    with pytest.raises(InvalidInput, match=r"2 values for 3 stages"):
        growing_stages([1, 1, 1], budget_eur=[1.0, 2.0])
    with pytest.raises(InvalidInput):
        Stage(years=0, price_factor=-1.0, eens_limit_mwh_per_year=-1.0)
    net.candidate.loc[0, "lifetime_years"] = 12.5
    with pytest.raises(InvalidInput, match="whole number of years"):
        _plan(study)


def test_days_of_a_stage_replace_growth(study: Study) -> None:
    net, days = study
    grown = days.assign(load_p_mw=days["load_p_mw"] * 1.2, load_q_mvar=days["load_q_mvar"] * 1.2)
    own = _plan(study, (Stage(years=4), Stage(years=6, days=grown)))
    factor = _plan(study, (Stage(years=4), Stage(years=6, demand_factor=1.2)))
    assert float(own["npc_eur"]) == pytest.approx(float(factor["npc_eur"]), rel=2e-6)
    # loads without a profile grow, too
    bare = days.drop_vars(["load_p_mw", "load_q_mvar", "load"])
    one, more = (_plan((net, bare), (Stage(years=4, demand_factor=f),)) for f in (1.0, 1.1))
    assert float(more["p_buy_mw"].sum()) > 1.09 * float(one["p_buy_mw"].sum())


def test_a_site_is_paid_once(study: Study) -> None:
    """Fixed costs: of a site with several units apart from them, of a single unit with it."""
    net, _ = study
    net.candidate["capex_eur_per_unit"] = [1e5, 2e5, 1e5]
    plain = _plan(study)
    net.candidate["fixed_capex_eur"] = [3e4, 0.0, 2e4]
    sited = _plan(study)
    xr.testing.assert_equal(plain["units_installed"], sited["units_installed"])
    assert plain["units_built"].sel(candidate=0).to_numpy().tolist() == [2, 0]
    assert plain["units_built"].sel(candidate=2).to_numpy().tolist() == [0, 1]
    more = sited["capex_eur"] - plain["capex_eur"]
    assert more.sel(candidate=0).to_numpy().tolist() == pytest.approx([3e4, 0.0])
    assert more.sel(candidate=2).to_numpy().tolist() == pytest.approx([0.0, 2e4])
    assert float(sited["npc_eur"]) == pytest.approx(sited.attrs["objective_eur"], rel=1e-5)
    net.candidate.loc[0, "fixed_capex_eur"] = 1e8
    assert _plan(study)["units_built"].sel(candidate=0).sum() == 0


def test_any_size_costs_no_more_than_whole_units(study: Study) -> None:
    net, _ = study
    net.candidate["capex_eur_per_unit"] = [4.5e5, 2e5, 1e5]
    whole = _plan(study)
    net.candidate["sizing"] = ["continuous", "units", "units"]
    free = _plan(study)
    assert float(free["npc_eur"]) <= float(whole["npc_eur"]) * (1 + 2e-6)
    assert free["units_built"].dtype == float
    assert float(free["npc_eur"]) == pytest.approx(free.attrs["objective_eur"], rel=1e-5)
