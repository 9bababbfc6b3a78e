"""Where the relaxation is inexact: said by branch and hour, with the reason, and what mends it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandapower as pp
import pytest
import xarray as xr

import pp_p2p as p2p
from pp_p2p.errors import InvalidInput, NoSolution
from pp_p2p.network.relaxation import (
    CURRENT_LIMIT,
    NEGATIVE_PRICE,
    NO_LOAD_FLOW,
    REVERSE_FLOW,
    UNPRICED,
)

Tightening = p2p.Tightening


def _prices(buy: list[float], sell: list[float] | None = None) -> xr.Dataset:
    return xr.Dataset(
        {
            "price_buy_eur_per_mwh": ("time", buy),
            "price_sell_eur_per_mwh": ("time", sell or buy),
        },
        coords={"time": np.arange(len(buy), dtype=float)},
    )


@pytest.fixture
def surplus(feeder: Any) -> Any:
    """More output at the end of the feeder than its upper voltage limit lets through."""
    feeder.bus["max_vm_pu"] = 1.02
    pp.create_sgen(
        feeder,
        4,
        p_mw=0.0,
        controllable=True,
        min_p_mw=0.0,
        max_p_mw=8.0,
        min_q_mvar=0.0,
        max_q_mvar=0.0,
    )
    return feeder


def _reasons(ds: xr.Dataset) -> list[str]:
    return list(json.loads(ds.attrs["relaxation_reasons"]))


def _inexact(net: Any, profiles: Any, **how: Any) -> xr.Dataset:
    with pytest.warns(p2p.InexactRelaxation, match="relaxation is inexact"):
        ds = p2p.dispatch(net, profiles, objective="cost", **how)
    assert ds.attrs["relaxation"] == "inexact"
    return ds


def test_reverse_flow_at_the_voltage_limit(surplus: Any) -> None:
    """Both tightenings make it exact; what each costs lies between cone and exact programme."""
    hour = _prices([50.0], [40.0])
    plain = _inexact(surplus, hour)
    assert REVERSE_FLOW in _reasons(plain)
    assert NEGATIVE_PRICE not in _reasons(plain)
    exact = p2p.dispatch(surplus, hour, objective="cost", repair="ac")
    assert (exact.attrs["repaired"], exact.attrs["relaxation"]) == (1, "exact")
    cost = exact.attrs["objective"]
    assert plain.attrs["objective"] < cost - 1.0
    weighed, bounded = (
        p2p.dispatch(surplus, hour, objective="cost", tightening=t)
        for t in (Tightening(loss_weight=60.0), Tightening(voltage=True))
    )
    for ds in (weighed, bounded):
        assert ds.attrs["relaxation"] == "exact"
        assert ds.attrs["relaxation_gap"] <= 1e-6
        assert _reasons(ds) == []
        # a load flow is no cheaper than the best one, up to what Ipopt and Clarabel leave open
        assert ds.attrs["objective"] >= cost - 1e-4
    # the bound leaves the limit unused by what losses take off the voltage
    assert 0.001 < 1.02 - float(bounded["vm_pu"].max()) < 0.002
    assert float(weighed["vm_pu"].max()) == pytest.approx(1.02, abs=1e-6)
    assert float(bounded["sgen_p_mw"].sum()) > 0.97 * float(exact["sgen_p_mw"].sum())
    assert bounded.attrs["objective_added"] == 0.0
    lost = float(weighed["loss_mw"].sum())
    assert weighed.attrs["objective_added"] == pytest.approx(60.0 * lost, rel=1e-6)


def test_negative_price_needs_a_weight_above_it(surplus: Any) -> None:
    hour = _prices([-50.0])
    exact = p2p.dispatch(surplus, hour, objective="cost", repair="ac").attrs["objective"]
    for cannot in (Tightening(), Tightening(loss_weight=40.0), Tightening(voltage=True)):
        ds = _inexact(surplus, hour, tightening=cannot)
        assert _reasons(ds) == [NEGATIVE_PRICE]
        assert ds.attrs["objective"] < exact
    weighed = p2p.dispatch(surplus, hour, objective="cost", tightening=Tightening(loss_weight=60.0))
    assert weighed.attrs["relaxation"] == "exact"
    assert weighed.attrs["objective"] == pytest.approx(exact, abs=1e-3)


def test_repair_mends_what_the_tightening_cannot(surplus: Any) -> None:
    weak = Tightening(loss_weight=40.0, voltage=True)
    ds = p2p.dispatch(surplus, _prices([-50.0]), objective="cost", tightening=weak, repair="ac")
    assert (ds.attrs["repaired"], ds.attrs["relaxation"]) == (1, "exact")
    assert ds.attrs["objective_added"] == 0.0  # the exact programme needs none
    assert json.loads(ds.attrs["tightening"]) == {"loss_weight": 40.0, "voltage": True}


def test_converter_that_burns_energy(feeder: Any) -> None:
    p2p.create_sop(feeder, [1, 4], sn_mva=0.5, loss_factor=0.05)
    hour = _prices([-50.0])
    ds = _inexact(feeder, hour)
    assert float(ds["sop_relaxation_gap_pu"].max()) > 0.1
    tight = p2p.dispatch(feeder, hour, objective="cost", tightening=Tightening(loss_weight=70.0))
    assert tight.attrs["relaxation"] == "exact"
    lost = float(tight["loss_mw"].sum() + tight["sop_loss_mw"].sum())
    assert tight.attrs["objective_added"] == pytest.approx(70.0 * lost, rel=1e-6)


def test_gap_is_said_by_branch_and_hour(surplus: Any) -> None:
    low = pp.create_bus(surplus, 0.4)
    pp.create_transformer(surplus, 2, low, std_type="0.4 MVA 10/0.4 kV")
    pp.create_load(surplus, low, p_mw=0.1)
    p2p.create_sop(surplus, [1, 3], sn_mva=0.5, loss_factor=0.05)
    ds = _inexact(surplus, _prices([50.0, -50.0, 50.0], [-60.0, -60.0, 49.0]))
    names = ("line_relaxation_gap_pu", "trafo_relaxation_gap_pu", "sop_relaxation_gap_pu")
    assert max(float(ds[name].max()) for name in names) == ds.attrs["relaxation_gap"]
    assert dict(ds[names[0]].sizes) == {"time": 3, "line": 4}
    assert dict(ds[names[1]].sizes) == {"time": 3, "trafo": 1}
    by_hour = xr.concat([ds[n].max(set(ds[n].dims) - {"time"}) for n in names], "of").max("of")
    assert by_hour[1] > 1e-3
    assert ds[names[0]].attrs["units"] == "1"
    exact = p2p.dispatch(surplus, _prices([50.0], [0.0]), objective="loss")
    assert max(float(exact[name].max()) for name in names) <= 1e-6
    linear = p2p.dispatch(surplus, _prices([50.0], [0.0]), formulation="lindistflow")
    assert not set(names) & set(linear)


def test_losses_that_nobody_pays(surplus: Any) -> None:
    assert UNPRICED in _reasons(_inexact(surplus, _prices([0.0])))


def test_output_that_a_full_line_cannot_carry(feeder: Any) -> None:
    """Losses behind the line are what keeps its limit; without curtailment nothing mends it."""
    feeder.line.loc[1, "max_i_ka"] = 0.2  # 3.5 MVA
    pp.create_sgen(feeder, 4, p_mw=7.2)
    ds = _inexact(feeder, _prices([50.0], [40.0]))
    assert _reasons(ds) == [CURRENT_LIMIT]
    gap = ds["line_relaxation_gap_pu"].isel(time=0)
    assert float(gap.sel(line=[0, 1]).max()) < 1e-5 < float(gap.sel(line=[2, 3]).max())


def test_linear_result_that_is_no_load_flow(feeder: Any) -> None:
    """Beyond the nose LinDistFlow still finds losses; it must not stand as a dispatch."""
    feeder.load[["p_mw", "q_mvar"]] *= 8.0
    feeder.bus["min_vm_pu"] = np.nan
    feeder.line["max_i_ka"] = 99_999.0
    with pytest.warns(p2p.InexactRelaxation, match=NO_LOAD_FLOW):
        ds = p2p.dispatch(feeder, formulation="lindistflow")
    assert json.loads(ds.attrs["ac_diverged_steps"]) == [0]
    for formulation in ("branch_flow", "ac"):
        with pytest.raises(NoSolution, match=r"load flow has no solution: .* bus 4 by about"):
            p2p.dispatch(feeder, formulation=formulation)


def test_bound_that_fixed_injections_break_is_named(feeder: Any) -> None:
    feeder.bus["max_vm_pu"] = 1.02
    feeder.load[["p_mw", "q_mvar"]] = 0.0
    pp.create_sgen(feeder, 4, p_mw=2.6)
    with pytest.raises(NoSolution, match=r"Tightening\(voltage=True\), the voltage .*bus 4 "):
        p2p.dispatch(feeder, tightening=Tightening(voltage=True))


def test_where_nothing_is_loose_nothing_moves(case33: Any) -> None:
    p2p.create_sop(case33, [11, 21], sn_mva=0.5, loss_factor=0.02)
    plain = p2p.dispatch(case33)
    tight = p2p.dispatch(case33, tightening=Tightening(voltage=True, loss_weight=1.0))
    assert tight.attrs["objective"] == pytest.approx(plain.attrs["objective"], rel=1e-6)
    assert tight.attrs["objective_added"] == pytest.approx(plain.attrs["objective"], rel=1e-6)
    np.testing.assert_allclose(tight["vm_pu"], plain["vm_pu"], atol=1e-5)


@pytest.mark.filterwarnings("ignore::pp_p2p.errors.ConstantGeneration")
def test_market_and_plan_pass_it_through(feeder: Any, make_days: Callable[..., xr.Dataset]) -> None:
    from planning import plan_network

    pp.create_sgen(feeder, 4, p_mw=1.5)
    p2p.create_candidate(
        feeder, 3, technology="pv", unit_p_mw=0.5, capex_eur_per_unit=3e5, lifetime_years=20.0
    )
    seller, buyer = (p2p.create_participant(feeder, bus) for bus in (4, 2))
    p2p.assign(feeder, seller, sgen=[0])
    p2p.assign(feeder, buyer, load=[1])
    tight = Tightening(loss_weight=5.0, voltage=True)
    days = make_days(feeder)
    plain, plan = plan_network(feeder, days), plan_network(feeder, days, tightening=tight)
    assert json.loads(plan.attrs["tightening"]) == {"loss_weight": 5.0, "voltage": True}
    items = float(plan["cost_eur_per_year"].sel(case="plan").sum())
    assert plan.attrs["objective_eur_per_year"] == pytest.approx(items, rel=1e-6)
    assert plan.attrs["objective_added_eur_per_year"] > 0
    assert items == pytest.approx(plain.attrs["objective_eur_per_year"], rel=1e-3)
    assert "line_relaxation_gap_pu" in plan
    day = days.isel(day=0, drop=True).rename(hour="time").drop_vars("weight")
    plain, traded = p2p.trade_day(feeder, day), p2p.trade_day(feeder, day, tightening=tight)
    lost = float(traded["loss_mw"].sum()) * 4.0  # steps of 4 h
    assert traded.attrs["objective_added_eur"] == pytest.approx(5.0 * lost, rel=1e-5)
    assert traded.attrs["objective_eur"] == pytest.approx(plain.attrs["objective_eur"], rel=1e-4)
    assert "line_relaxation_gap_pu" in traded
    paid = dict.fromkeys(("price_buy_eur_per_mwh", "price_sell_eur_per_mwh"), -30.0)
    paid_day = day.assign({name: xr.full_like(day[name], value) for name, value in paid.items()})
    with pytest.warns(p2p.InexactRelaxation, match="negative price"):
        ds = p2p.trade_day(feeder, paid_day)
    assert NEGATIVE_PRICE in _reasons(ds)


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_weight_that_is_none(weight: float) -> None:
    with pytest.raises(InvalidInput, match="tightening.loss_weight"):
        Tightening(loss_weight=weight)


@pytest.mark.parametrize("formulation", ["lindistflow", "ac"])
def test_nothing_to_tighten(feeder: Any, formulation: str) -> None:
    with pytest.raises(InvalidInput, match="for the cone relaxation"):
        p2p.dispatch(feeder, formulation=formulation, tightening=Tightening(voltage=True))
