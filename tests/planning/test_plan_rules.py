"""What a plan refuses, what it says where nothing helps, and laws of every limit."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandapower as pp
import pytest
import xarray as xr

from planning import Stage, plan_horizon, plan_network, reliability_indices
from pp_p2p import (
    SolverConfig,
    create_candidate,
    set_customers,
    set_line_reliability,
    set_remote_control,
    write_back,
)
from pp_p2p.errors import InvalidInput, NoSolution, P2PError
from pp_p2p.solve.projection import _Search

TIGHT = SolverConfig(rel_gap=1e-6)
Study = tuple[Any, xr.Dataset]


@pytest.fixture
def study(feeder: Any, make_days: Callable[..., xr.Dataset]) -> Study:
    """One day; wind, a dispatchable unit, storage with a reserve, and a tie that fails, too."""
    set_customers(feeder, customers=[10, 20, 30, 40])
    tie = pp.create_line_from_parameters(feeder, 0, 4, 1.0, 0.3, 0.3, 0.0, 1.0, in_service=False)
    set_line_reliability(
        feeder, failure_rate_per_km_year=0.2, repair_time_h=6.0, switching_time_h=1.0
    )
    size = {"unit_p_mw": 0.7, "lifetime_years": 20.0}
    create_candidate(
        feeder, 4, technology="wind", max_units=2, capex_eur_per_unit=9e6,
        min_soc_percent=0.0, **size,
    )  # fmt: skip
    create_candidate(
        feeder, 3, technology="dispatchable", max_units=2, capex_eur_per_unit=2e6,
        variable_om_eur_per_mwh=150.0, emission_t_per_mwh=0.1, **size,
    )  # fmt: skip
    create_candidate(
        feeder, 2, technology="storage", unit_e_mwh=2.0, max_units=2, capex_eur_per_unit=9e5,
        min_soc_percent=30.0, **size,
    )  # fmt: skip
    create_candidate(feeder, 0, technology="line", line=tie, capex_eur_per_unit=2e5)
    days = make_days(feeder, n=1, hours=4)
    return feeder, days.assign(grid_emission_t_per_mwh=days["price_buy_eur_per_mwh"] * 0 + 0.4)


def _cost(study: Study, **options: Any) -> float:
    ds = plan_network(*study, solver=TIGHT, **options)
    return float(ds.attrs["objective_eur_per_year"])


@pytest.mark.parametrize(
    ("name", "limits", "options"),
    [
        ("saidi_limit_h_per_year", (9.0, 2.0), {}),
        ("asai_limit_percent", (0.0, 99.977), {}),
        ("eens_limit_mwh_per_year", (9.0, 2.0), {"islands": "schedule"}),
        ("emission_cap_t_per_year", (1e4, 4000.0), {}),
        ("emission_price_eur_per_t", (0.0, 200.0), {}),
        ("renewable_share_percent", (0.0, 25.0), {}),
        ("budget_eur", (1e9, 1e5), {"value_of_lost_load_eur_per_mwh": 2e4}),
        ("max_sites", (4, 1), {"value_of_lost_load_eur_per_mwh": 2e4}),
        ("max_penetration_percent", (100.0, 0.0), {"emission_price_eur_per_t": 100.0}),
    ],
)
def test_tighter_limit_never_costs_less(
    study: Study, name: str, limits: tuple[float, ...], options: dict[str, Any]
) -> None:
    costs = [_cost(study, **options, **{name: limit}) for limit in limits]
    assert all(a <= b * (1 + 2e-6) for a, b in itertools.pairwise(costs))
    assert costs[-1] > costs[0] * (1 + 1e-5)  # the limits are ones


def test_wider_choice_and_longer_life_never_cost_more(study: Study) -> None:
    net, _ = study
    options = {"saidi_limit_h_per_year": 3.0, "emission_cap_t_per_year": 6000.0}
    net.candidate.loc[[0, 2], "max_units"] = 0
    few = _cost(study, **options)
    net.candidate.loc[[0, 2], "max_units"] = 2
    all_four = _cost(study, **options)
    create_candidate(
        net, 2, technology="storage_energy", unit_e_mwh=1.0, max_units=2, capex_eur_per_unit=2e4
    )
    more_energy = _cost(study, **options)
    assert more_energy <= all_four * (1 + 2e-6)
    assert all_four <= few * (1 + 2e-6)
    for years in (40.0,):
        net.candidate["lifetime_years"] = years
        longer = _cost(study, **options)
        assert longer < more_energy
        more_energy = longer


@pytest.mark.parametrize("several_years", [False, True])
def test_time_limit_returns_the_incumbent_flagged(
    study: Study, monkeypatch: pytest.MonkeyPatch, several_years: bool
) -> None:
    """The clock runs out with the first plan."""
    monkeypatch.setattr(_Search, "_seconds_left", lambda self: 0.0 if self.best else 100.0)
    exact = SolverConfig(rel_gap=1e-9)
    options: dict[str, Any] = {"value_of_lost_load_eur_per_mwh": 8e3, "solver": exact}
    if several_years:
        ds = plan_horizon(*study, (Stage(years=5),), salvage="annuity", **options)
        cost, bound = ds.attrs["objective_eur"], ds.attrs["bound_eur"]
    else:
        ds = plan_network(*study, **options)
        cost, bound = ds.attrs["objective_eur_per_year"], ds.attrs["bound_eur_per_year"]
    assert ds.attrs["status"] == "feasible"
    assert ds.attrs["termination"] == "time limit"
    assert bound < cost
    assert ds.attrs["gap"] == pytest.approx((cost - bound) / cost)
    assert ds.attrs["gap"] > 1e-9


def test_limits_that_nothing_reaches_say_the_best_value(study: Study) -> None:
    net, days = study
    with pytest.raises(NoSolution, match=r"eens_limit.* = 0.1 cannot .*reach is \d\.\d+ MWh/a"):
        plan_network(net, days, eens_limit_mwh_per_year=0.1)
    with pytest.raises(NoSolution, match=r"saidi_limit.* = 0.1 cannot .*reach is \d\.?\d* h/a"):
        plan_network(net, days, saidi_limit_h_per_year=0.1)
    with pytest.raises(NoSolution, match=r"asai_limit_percent = 99.9999 \(SAIDI 0.00876 h/a\)"):
        plan_network(net, days, asai_limit_percent=99.9999)
    with pytest.raises(NoSolution, match=r"saifi_limit.* = 0.1 cannot .*reach is 0\.8 1/a"):
        plan_network(net, days, saifi_limit_per_year=0.1)
    with pytest.raises(NoSolution, match=r"emission_cap.* = 10, but \d+ at least are emitted"):
        plan_network(net, days, emission_cap_t_per_year=10.0)
    stages = (Stage(years=2), Stage(years=2, emission_cap_t_per_year=10.0))
    with pytest.raises(NoSolution, match=r"limits of stage 2: .* = 10, but \d+ at least are em"):
        plan_horizon(net, days, stages, salvage="annuity")
    with pytest.raises(NoSolution, match=r"eens_limit.* = 1 cannot .*reach is 1\.\d+ MWh/a"):
        plan_network(net, days, eens_limit_mwh_per_year=1.0, islands="schedule")
    with pytest.raises(NoSolution, match=r"needs an investment of 200000 EUR at least"):
        plan_network(net, days, saidi_limit_h_per_year=2.5, budget_eur=1e5)


def test_day_without_operation_names_limit_place_and_hour(study: Study) -> None:
    net, days = study
    days["load_p_mw"][0, 2] *= 2.5
    net.bus["min_vm_pu"] = 0.97
    with pytest.raises(NoSolution, match=r"voltage limits.*bus 4 .*\(day 0, hour 12.0\)"):
        plan_network(net, days)
    net.bus["min_vm_pu"] = 0.5
    net.line["max_i_ka"] = 0.25
    with pytest.raises(NoSolution, match=r"current limits.*line 0 \(day 0, hour 12.0\)"):
        plan_network(net, days)


def test_bad_input_before_anything_is_solved(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    net, days = study

    def never(*_: Any) -> Any:
        raise AssertionError("something was solved")

    monkeypatch.setattr("planning.expansion.build", never)
    monkeypatch.setattr("planning.expansion.run_solver", never)
    monkeypatch.setattr("planning.plan_rules.run_solver", never)
    monkeypatch.setattr("planning.horizon.run_solver", never)
    stages = (Stage(years=5),)
    with pytest.raises(InvalidInput, match=r"budget_eur: is 0.0.*nothing can be built"):
        plan_network(net, days, budget_eur=0.0)
    with pytest.raises(InvalidInput, match=r"budget_eur: is 0.0.*nothing can be built"):
        plan_horizon(net, days, stages, salvage="annuity", budget_eur=0.0)
    with pytest.raises(InvalidInput, match="outlive the 5 years"):
        plan_horizon(net, days, stages)
    with pytest.raises(InvalidInput, match="sums to 364 days"):
        plan_network(net, days.assign(weight=("day", [364.0])))
    for column in (
        "capex_eur_per_unit", "fixed_capex_eur", "fixed_om_eur_per_unit_per_year",
        "variable_om_eur_per_mwh", "emission_t_per_mwh",
    ):  # fmt: skip
        before = net.candidate[column].copy()
        net.candidate.loc[1, column] = -1.0
        with pytest.raises(InvalidInput, match=rf"candidate\.{column}.*row.* 1"):
            plan_network(net, days)
        net.candidate[column] = before
    for name in ("emission_price_eur_per_t", "value_of_lost_load_eur_per_mwh", "max_sites"):
        with pytest.raises(InvalidInput, match=name):
            plan_network(net, days, **{name: -1.0})
    net.candidate = net.candidate.loc[[0, 1, 2, 3, 3]].reset_index(drop=True)
    with pytest.raises(InvalidInput, match=r"rows 3, 4.*must not be there twice"):
        plan_network(net, days)
    assert issubclass(InvalidInput, P2PError)


@pytest.mark.parametrize("isolators", ["switches", "every_branch"])
def test_remote_control_helps_after_faults_of_a_new_tie(study: Study, isolators: Any) -> None:
    net, days = study
    net.candidate["max_units"] = [0, 0, 0, 1]
    switches = [
        pp.create_switch(net, bus, line, et="l", type="LBS") for bus, line in ((1, 1), (3, 3))
    ]
    set_line_reliability(net, [4], failure_rate_per_km_year=0.5, repair_time_h=6.0,
                         switching_time_h=2.0)  # fmt: skip
    set_remote_control(net, switches[:1], remote_switching_time_h=0.1)
    create_candidate(
        net, 3, technology="switch", switch=switches[1], remote_switching_time_h=0.2,
        capex_eur_per_unit=1e3,
    )  # fmt: skip
    before = reliability_indices(net, days, isolators=isolators)
    ds = plan_network(
        net, days, value_of_lost_load_eur_per_mwh=1e5, isolators=isolators, solver=TIGHT
    )
    assert ds["units"].to_numpy().tolist() == [1, 1]
    write_back(net, ds)
    after = reliability_indices(net, days, isolators=isolators)
    for name in ("eens_mwh_per_year", "saidi_h_per_year", "saifi_per_year"):
        np.testing.assert_allclose(ds[name], [before[name], after[name]], rtol=1e-9, err_msg=name)
    assert ds.attrs["eens_model_mwh_per_year"] == pytest.approx(
        float(after["eens_mwh_per_year"]), rel=1e-6
    )
