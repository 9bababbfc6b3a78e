"""What participants may do: response of load, units with costs, scenarios of prices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandapower as pp
import pytest
import xarray as xr

import pp_p2p as p2p
from pp_p2p.errors import InvalidInput

MakeDays = Callable[..., xr.Dataset]


@pytest.fixture
def neighbours(feeder: Any, make_days: MakeDays) -> tuple[Any, xr.Dataset]:
    """A roof with sun at bus 4, a house at bus 2, and the rest of the feeder."""
    a = p2p.create_participant(feeder, 4, name="roof")
    b = p2p.create_participant(feeder, 2, name="house")
    pv = pp.create_sgen(feeder, 4, p_mw=2.5)
    p2p.assign(feeder, a, load=[3], sgen=[pv])
    p2p.assign(feeder, b, load=[1])
    day = make_days(feeder, n=1, hours=12).isel(day=0, drop=True).rename(hour="time")
    sun = day["availability_pu"].sel(technology="pv", drop=True) * 2.5
    return feeder, day.drop_vars("weight").assign(sgen_p_mw=sun.expand_dims(sgen=[pv], axis=-1))


def flat(**values: Any) -> p2p.NashBargaining:
    return p2p.NashBargaining(network_fee_eur_per_mwh=0.0, **values)


def test_elastic_load_follows_the_price(neighbours: tuple[Any, xr.Dataset]) -> None:
    net, day = neighbours
    net.sgen["in_service"] = False
    p2p.create_flexible_load(net, 1, price_elasticity=-0.3, reference_price_eur_per_mwh=120.0)
    ds = p2p.trade_day(net, day, formulation="lindistflow")
    price, profile = day["price_buy_eur_per_mwh"], day["load_p_mw"].sel(load=1)
    expected = -0.3 * profile * (price / 120.0 - 1.0)
    np.testing.assert_allclose(ds["load_response_mw"].isel(flexible_load=0), expected, atol=1e-5)


def test_reference_price_is_the_mean_of_the_day(neighbours: tuple[Any, xr.Dataset]) -> None:
    net, day = neighbours
    net.sgen["in_service"] = False
    p2p.create_flexible_load(net, 1, price_elasticity=-0.2)
    ds = p2p.trade_day(net, day, formulation="lindistflow")
    price = day["price_buy_eur_per_mwh"]
    expected = -0.2 * day["load_p_mw"].sel(load=1) * (price / price.mean() - 1.0)
    np.testing.assert_allclose(ds["load_response_mw"].isel(flexible_load=0), expected, atol=1e-5)
    with pytest.raises(InvalidInput, match="reference_price_eur_per_mwh"):
        p2p.dispatch(net)


def test_load_is_forgone_where_that_is_cheaper(neighbours: tuple[Any, xr.Dataset]) -> None:
    net, day = neighbours
    net.sgen["in_service"] = False  # energy is then worth what the grid asks: 100 or 200 EUR/MWh
    p2p.create_flexible_load(net, 1, max_curtail_percent=30.0, curtail_cost_eur_per_mwh=150.0)
    ds = p2p.trade_day(net, day, formulation="lindistflow")
    most = 0.3 * day["load_p_mw"].sel(load=1)
    expected = most.where(day["price_buy_eur_per_mwh"] > 150.0, 0.0)
    np.testing.assert_allclose(ds["load_curtailed_mw"].isel(flexible_load=0), expected, atol=1e-6)
    assert float(expected.sum()) > 0.0


@pytest.mark.parametrize(("start", "end"), [(8.0, 16.0), (20.0, 6.0)])
def test_energy_moves_within_the_window_only(
    neighbours: tuple[Any, xr.Dataset], start: float, end: float
) -> None:
    net, day = neighbours
    p2p.create_flexible_load(
        net, 1, max_up_percent=50.0, max_down_percent=50.0, window_start_h=start, window_end_h=end
    )
    ds = p2p.trade_day(net, day)
    shift = ds["load_shift_mw"].isel(flexible_load=0)
    hour = ds["time"]
    inside = (hour >= start) & (hour < end) if start < end else (hour >= start) | (hour < end)
    assert abs(shift.where(~inside, 0.0)).max() <= 1e-6
    assert abs(float(shift.sum())) <= 1e-6


def test_discomfort_spreads_the_shift(neighbours: tuple[Any, xr.Dataset]) -> None:
    net, day = neighbours
    p2p.create_flexible_load(net, 1, max_up_percent=50.0, max_down_percent=50.0)
    free = p2p.trade_day(net, day)
    net.flexible_load["shift_discomfort_eur_per_mw2h"] = 400.0
    felt = p2p.trade_day(net, day)
    assert float(abs(felt["load_shift_mw"]).sum()) < float(abs(free["load_shift_mw"]).sum())
    assert felt.attrs["objective_eur"] >= free.attrs["objective_eur"] - 1e-3


def test_unit_with_costs_runs_where_it_is_cheaper(neighbours: tuple[Any, xr.Dataset]) -> None:
    net, day = neighbours
    net.sgen["in_service"] = False
    unit = pp.create_sgen(net, 3, p_mw=0.0, controllable=True, min_p_mw=0.0, max_p_mw=0.3)
    pp.create_poly_cost(net, unit, "sgen", cp1_eur_per_mw=95.0, cp2_eur_per_mw2=50.0)
    p2p.assign(net, 1, sgen=unit)
    ds = p2p.trade_day(net, day, mechanism=flat(), formulation="lindistflow")
    expected = ((day["price_buy_eur_per_mwh"] - 95.0) / 100.0).clip(0.0, 0.3)
    np.testing.assert_allclose(ds["sgen_p_mw"].sel(sgen=unit), expected, atol=1e-4)
    assert sorted(set(expected.to_numpy().round(6).tolist())) == [0.05, 0.3]


def test_pairs_and_pool_agree(neighbours: tuple[Any, xr.Dataset]) -> None:
    net, day = neighbours
    third = p2p.create_participant(net, 3, name="shop")
    p2p.assign(net, third, load=[2])
    pool = p2p.trade_day(net, day)
    pairs = p2p.trade_day(net, day, mechanism=p2p.NashBargaining(pair_limit_mw=50.0))
    assert pairs.attrs["objective_eur"] == pytest.approx(pool.attrs["objective_eur"], rel=1e-6)
    np.testing.assert_allclose(pairs["net_trade_mw"].sum("participant"), 0.0, atol=1e-12)
    np.testing.assert_allclose(pool["net_trade_mw"].sum("participant"), 0.0, atol=1e-12)
    tight = p2p.trade_day(net, day, mechanism=p2p.NashBargaining(pair_limit_mw=0.1))
    assert float(tight["trade_mw"].max()) <= 0.1 + 1e-6
    assert tight.attrs["objective_eur"] >= pool.attrs["objective_eur"]


def test_fee_by_distance_keeps_the_mean_and_favours_the_near(
    neighbours: tuple[Any, xr.Dataset],
) -> None:
    net, day = neighbours
    third = p2p.create_participant(net, 3, name="shop")
    p2p.assign(net, third, load=[2])
    ds = p2p.trade_day(
        net,
        day,
        mechanism=p2p.NashBargaining(fee="electrical_distance", network_fee_eur_per_mwh=9.0),
    )
    # 4-3, 3-2: one line; 4-2: two lines; the mean over pairs is 4/3 lines
    lines = xr.DataArray(
        [[0, 2, 1], [2, 0, 1], [1, 1, 0]],
        dims=("seller", "buyer"),
        coords={"seller": range(3), "buyer": range(3)},
    )
    charged = 9.0 * (ds["trade_mw"] * 2.0 * lines).sum() / (4 / 3)
    assert float(ds["fee_eur"].sum()) == pytest.approx(float(charged), rel=1e-6)
    assert float(ds["trade_mw"].sel(seller=0, buyer=2).sum()) > 0.0


def test_nodal_fees_are_the_differences_of_prices(neighbours: tuple[Any, xr.Dataset]) -> None:
    net, day = neighbours
    ds = p2p.trade_day(net, day, mechanism=p2p.NashBargaining(fee="nodal_price"))
    price = ds["price_eur_per_mwh"]
    net_sold = (ds["trade_mw"].sel(seller=0, buyer=1) - ds["trade_mw"].sel(seller=1, buyer=0)) * 2.0
    expected = (net_sold * (price.sel(bus=2) - price.sel(bus=4))).sum()
    assert float(ds["fee_eur"].sum()) == pytest.approx(float(expected), rel=1e-6)


def test_operator_outside_and_payments_between_pairs(neighbours: tuple[Any, xr.Dataset]) -> None:
    net, day = neighbours
    ds = p2p.trade_day(net, day, mechanism=p2p.NashBargaining(operator="outside"))
    assert float(ds["operator_payment_eur"]) == 0.0
    assert float(ds["payment_eur"].sum()) == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose(ds["saving_eur"], ds.attrs["gain_eur"] / 2, rtol=1e-9)
    inside = p2p.trade_day(net, day)
    for result in (ds, inside):
        np.testing.assert_allclose(
            result["pair_payment_eur"].sum("partner"), result["payment_eur"], atol=1e-8
        )
    pair = inside["pair_payment_eur"].sel(partner=inside["participant"].to_numpy()).to_numpy()
    np.testing.assert_allclose(pair, -pair.T, atol=1e-9)


def test_strangers_bargain_apart(neighbours: tuple[Any, xr.Dataset]) -> None:
    net, day = neighbours
    loner = p2p.create_participant(net, 1, name="loner", max_trade_mw=0.0)
    p2p.assign(net, loner, load=[0])
    ds = p2p.trade_day(net, day, mechanism=p2p.NashBargaining(operator="outside"))
    assert ds["bargaining_group"].to_numpy().tolist() == [0, 0, -1]
    assert float(ds["payment_eur"].sel(participant=loner)) == 0.0


def test_corridor_keeps_prices_between_those_of_the_grid(
    neighbours: tuple[Any, xr.Dataset],
) -> None:
    net, day = neighbours
    net.participant["bargaining_power"] = [1.0, 200.0]  # the house would pay next to nothing
    options = {"bargaining_power": "given", "operator": "outside"}
    kept = p2p.trade_day(net, day, mechanism=flat(price_corridor=True, **options))
    mwh = kept["net_trade_mw"].sel(participant=1) * 2.0
    low = float((mwh * day["price_sell_eur_per_mwh"]).sum())
    high = float((mwh * day["price_buy_eur_per_mwh"]).sum())
    assert low - 1e-6 <= float(kept["payment_eur"].sel(participant=1)) <= high + 1e-6


def test_power_by_marginal_contribution(neighbours: tuple[Any, xr.Dataset]) -> None:
    net, day = neighbours
    loner = p2p.create_participant(net, 1, name="loner", max_trade_mw=0.0)
    p2p.assign(net, loner, load=[0])
    ds = p2p.trade_day(net, day, mechanism=p2p.NashBargaining(bargaining_power="marginal"))
    power = ds["bargaining_power"]
    assert float(power.sel(participant=loner)) <= 1e-3 * float(power.max())
    # two who need each other contribute the same: all of it
    assert float(power[0]) == pytest.approx(float(power[1]), rel=1e-3)


def scenarios(day: xr.Dataset, factors: list[float], chance: list[float]) -> xr.Dataset:
    factor = xr.DataArray(factors, dims="scenario", coords={"scenario": range(len(factors))})
    prices = {
        name: day[name] * factor for name in ("price_buy_eur_per_mwh", "price_sell_eur_per_mwh")
    }
    return day.assign(prices).assign(probability=("scenario", chance))


def test_equal_scenarios_are_one(neighbours: tuple[Any, xr.Dataset]) -> None:
    net, day = neighbours
    one = p2p.trade_day(net, day)
    many = p2p.trade_day(net, scenarios(day, [1.0, 1.0, 1.0], [0.2, 0.3, 0.5]))
    assert many.attrs["objective_eur"] == pytest.approx(one.attrs["objective_eur"], rel=1e-6)
    np.testing.assert_allclose(many["cost_eur"], one["cost_eur"], rtol=1e-4, atol=0.05)
    assert many["p_grid_mw"].dims == ("participant", "scenario", "time")
    assert many["trade_mw"].dims == ("seller", "buyer", "time")


def test_recourse_and_risk(neighbours: tuple[Any, xr.Dataset]) -> None:
    net, day = neighbours
    p2p.create_flexible_load(net, 1, max_curtail_percent=30.0, curtail_cost_eur_per_mwh=150.0)
    spread = scenarios(day, [0.6, 1.0, 1.8], [0.3, 0.4, 0.3])
    mean_price = float((xr.DataArray([0.6, 1.0, 1.8]) * [0.3, 0.4, 0.3]).sum())
    certain = p2p.trade_day(net, scenarios(day, [mean_price], [1.0]))
    stochastic = p2p.trade_day(net, spread)
    # responding after the price is known is worth something (Jensen)
    assert stochastic.attrs["objective_eur"] <= certain.attrs["objective_eur"] + 1e-3
    averse = p2p.trade_day(
        net, spread, mechanism=p2p.NashBargaining(risk_weight=0.5, risk_level=0.6)
    )
    assert averse.attrs["objective_eur"] >= stochastic.attrs["objective_eur"] - 1e-3
    np.testing.assert_allclose(
        float(averse["cost_eur"].sum()) + float(averse["operator_cost_eur"]),
        averse.attrs["objective_eur"],
        rtol=1e-9,
    )
    assert averse.attrs["bound_eur"] == pytest.approx(averse.attrs["objective_eur"], rel=1e-4)


def test_probabilities_must_sum_to_one(neighbours: tuple[Any, xr.Dataset]) -> None:
    net, day = neighbours
    with pytest.raises(InvalidInput, match="probability"):
        p2p.trade_day(net, scenarios(day, [1.0, 2.0], [0.5, 0.6]))
