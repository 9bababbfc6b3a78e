"""`evaluate`: a plan through every day of a year."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pandapower as pp
import pytest
import xarray as xr

from planning import evaluate, plan_network
from pp_p2p import SolverConfig, create_candidate, write_back
from pp_p2p.errors import InvalidInput

MakeDays = Callable[..., xr.Dataset]


@pytest.fixture
def study(feeder: Any, make_days: MakeDays, failing_with_tie: Any) -> tuple[Any, xr.Dataset]:
    """Three days that are the whole year, each as often as the others."""
    tie = failing_with_tie(feeder)
    life = {"lifetime_years": 20.0}
    for technology, bus, capex, om in (("pv", 4, 5e5, 3.0), ("wind", 3, 7e5, 8.0)):
        create_candidate(
            feeder, bus, technology=technology, unit_p_mw=0.7, max_units=3,
            capex_eur_per_unit=capex, variable_om_eur_per_mwh=om, **life,
        )  # fmt: skip
    create_candidate(
        feeder, 2, technology="storage", unit_p_mw=0.5, unit_e_mwh=1.0, max_units=3,
        capex_eur_per_unit=2.4e4, min_soc_percent=20.0, variable_om_eur_per_mwh=2.0, **life,
    )  # fmt: skip
    create_candidate(feeder, 0, technology="line", line=tie, capex_eur_per_unit=1.2e5, **life)
    days = make_days(feeder, 3)
    return feeder, days.assign(weight=("day", np.full(3, 365 / 3)))


def _as_year(days: xr.Dataset) -> xr.Dataset:
    """Return the days one after the other, over time."""
    step = days.attrs["step_h"]
    year = days.drop_vars("weight").stack(time=("day", "hour")).transpose("time", ...)
    stamps = np.datetime64("2024-02-28T00", "h") + (
        np.arange(year.sizes["time"]) * int(step)
    ).astype("timedelta64[h]")
    return year.drop_vars(["time", "day", "hour"]).assign_coords(time=stamps.astype("M8[ns]"))


def test_a_plan_on_all_days_claims_what_the_year_costs(study: tuple[Any, xr.Dataset]) -> None:
    """Where the typical days are the year, the operation found is the plan's: item by item."""
    net, days = study
    plan = plan_network(net, days, eens_limit_mwh_per_year=5.0, solver=SolverConfig(rel_gap=1e-6))
    assert plan["units"].to_numpy().all()
    before = copy.deepcopy(net)
    ds = evaluate(net, plan, _as_year(days))
    assert pp.toolbox.nets_equal(net, before)
    assert ds.sizes["day"] == 3
    assert bool(ds["feasible"].all())
    cost = ds["cost_eur_per_year"]
    np.testing.assert_allclose(cost.sel(case="year"), cost.sel(case="plan"), rtol=2e-5, atol=0.5)
    assert abs(ds.attrs["cost_error_percent"]) < 1e-3
    assert abs(ds.attrs["eens_error_percent"]) < 1e-9
    assert ds.attrs["relaxation"] == "exact"
    assert ds.attrs["ac_vm_error_pu"] <= 1e-4
    assert ds.attrs["status"] == "optimal"
    operation = ["purchase", "sale", "variable_om"]
    assert 365 * float(ds["daily_cost_eur"].mean()) == pytest.approx(
        float(cost.sel(case="year", item=operation).sum()), rel=1e-9
    )
    np.testing.assert_allclose(ds["p_buy_mw"] - ds["p_sell_mw"], _net(plan), atol=2e-3)
    assert float(ds["vm_min_pu"].min()) >= 0.9


def _net(plan: xr.Dataset) -> xr.DataArray:
    return plan["p_buy_mw"] - plan["p_sell_mw"]


def test_what_a_typical_day_misses_is_a_number(study: tuple[Any, xr.Dataset]) -> None:
    net, days = study
    one = days.isel(day=[0]).assign(weight=("day", [365.0]))
    plan = plan_network(net, one)
    ds = evaluate(net, plan, days)
    claim, year = (float(ds["cost_eur_per_year"].sel(case=c).sum()) for c in ("plan", "year"))
    assert year > claim * 1.01  # the other days have a higher demand
    assert ds.attrs["cost_error_percent"] == pytest.approx(100 * (claim / year - 1))
    assert ds.attrs["eens_error_percent"] < -1.0


def test_processes_change_no_number(study: tuple[Any, xr.Dataset]) -> None:
    net, days = study
    plan = plan_network(net, days)
    one, two = (evaluate(net, plan, days, solver=SolverConfig(processes=n)) for n in (1, 2))
    assert one.drop_attrs().equals(two.drop_attrs())


def test_a_day_without_feasible_operation_is_named(study: tuple[Any, xr.Dataset]) -> None:
    net, days = study
    plan = plan_network(net, days)
    hard = days.copy(deep=True)
    hard["load_p_mw"][1, 2] *= 12.0
    with pytest.warns(UserWarning, match=r"1 of 3 days have no feasible operation.*day 1"):
        ds = evaluate(net, plan, hard)
    assert ds["feasible"].to_numpy().tolist() == [True, False, True]
    assert "cannot hold" in str(ds["reason"][1].item()) or "load flow" in str(
        ds["reason"][1].item()
    )
    assert ds.attrs["infeasible_days"] == "[1]"
    assert np.isnan(float(ds["daily_cost_eur"][1]))
    assert np.isfinite(ds["cost_eur_per_year"]).all()


def test_plan_of_another_net_is_refused(study: tuple[Any, xr.Dataset]) -> None:
    net, days = study
    plan = plan_network(net, days, eens_limit_mwh_per_year=5.0)
    other = copy.deepcopy(net)
    other.candidate.loc[0, "bus"] = 3
    with pytest.raises(InvalidInput, match="differ from the plan's"):
        evaluate(other, plan, days)
    with pytest.raises(InvalidInput, match="not a plan"):
        evaluate(net, days, days)
    with pytest.raises(InvalidInput, match="no whole days"):
        evaluate(net, plan, _as_year(days).isel(time=slice(0, 5)))
    write_back(net, plan)
    with pytest.raises(InvalidInput, match="not in service in this net"):
        evaluate(net, plan, days)
