"""`trade_day`: money, energy and network laws on small markets."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pandapower as pp
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pp_p2p as p2p
from pp_p2p.errors import InvalidInput, NoSolution

MakeDays = Callable[..., xr.Dataset]


@pytest.fixture
def market(feeder: Any, make_days: MakeDays) -> tuple[Any, xr.Dataset]:
    """PV surplus at the end, wind amid, a buyer with a battery, and loads of nobody."""
    a = p2p.create_participant(feeder, 4, name="sun")
    b = p2p.create_participant(feeder, 3, name="wind")
    c = p2p.create_participant(feeder, 2, name="battery")
    pv = pp.create_sgen(feeder, 4, p_mw=3.0)
    wind = pp.create_sgen(feeder, 3, p_mw=1.2)
    battery = pp.create_storage(
        feeder, 2, p_mw=0.0, max_e_mwh=1.0, min_e_mwh=0.1, max_p_mw=0.4, min_p_mw=-0.4
    )
    p2p.assign(feeder, a, load=[3], sgen=[pv])
    p2p.assign(feeder, b, load=[2], sgen=[wind])
    p2p.assign(feeder, c, load=[1], storage=[battery])
    p2p.create_flexible_load(
        feeder, 1, max_up_percent=20.0, max_down_percent=20.0, shift_cost_eur_per_mwh=3.0
    )
    day = make_days(feeder, n=1, hours=12).isel(day=0, drop=True).rename(hour="time")
    per_unit = day["availability_pu"]
    power = xr.concat(
        [
            per_unit.sel(technology="pv", drop=True) * 3.0,
            per_unit.sel(technology="wind", drop=True) * 1.2,
        ],
        dim="sgen",
    ).assign_coords(sgen=[pv, wind])
    return feeder, day.drop_vars("weight").assign(sgen_p_mw=power)


def _laws(ds: xr.Dataset, profiles: xr.Dataset, fee: float) -> None:
    """Assert what must hold for every traded day."""
    gain = ds.attrs["gain_eur"]
    scale = float(abs(ds["cost_alone_eur"]).sum()) + 1.0
    money = float(ds["payment_eur"].sum()) + float(ds["operator_payment_eur"])
    assert abs(money) <= 1e-9 * scale
    assert gain >= -1e-6 * scale
    assert (ds["saving_eur"] >= -1e-6 * scale).all()
    assert abs(float(ds["operator_saving_eur"])) <= 1e-6 * scale  # held harmless
    np.testing.assert_allclose(
        ds["cost_alone_eur"] - ds["cost_eur"], ds["saving_eur"], atol=1e-9 * scale
    )
    assert (ds["trade_mw"] >= 0).all()
    step_h = float(np.diff(ds["time"])[0])
    traded = float(ds["trade_mw"].sum()) * step_h
    assert float(ds["fee_eur"].sum()) == pytest.approx(fee * traded, abs=1e-6)
    # energy: external grid = loads - generation - discharge + losses
    storage = ds["storage_p_mw"].sum("storage")
    load = profiles["load_p_mw"].sum("load")
    supply = ds["p_source_mw"].sum("ext_grid") + ds["sgen_p_mw"].sum("sgen")
    flexible_day = (supply - ds["loss_mw"] - storage - load).sum("time")
    assert abs(float(flexible_day)) <= 1e-5  # shifting keeps the day's energy
    exchange = ds["p_grid_mw"].sum("participant") + ds["operator_p_grid_mw"]
    np.testing.assert_allclose(exchange, ds["p_source_mw"].sum("ext_grid"), atol=1e-6)
    assert (ds["sgen_p_mw"] <= ds["sgen_available_mw"] + 1e-7).all()


def _objective_is_the_sum_of_costs(ds: xr.Dataset) -> None:
    total = float(ds["cost_eur"].sum()) + float(ds["operator_cost_eur"])
    assert ds.attrs["objective_eur"] == pytest.approx(total, rel=1e-9)
    assert ds.attrs["bound_eur"] <= total + 1e-4 * abs(total)


def test_laws_hold_and_the_replay_confirms(market: tuple[Any, xr.Dataset]) -> None:
    net, day = market
    before = copy.deepcopy(net)
    ds = p2p.trade_day(net, day)
    assert pp.toolbox.nets_equal(net, before)
    _laws(ds, day, fee=5.0)
    _objective_is_the_sum_of_costs(ds)
    assert ds.attrs["gain_eur"] > 1.0
    assert ds.attrs["status"] == "optimal"
    assert ds.attrs["relaxation"] == "exact"
    assert ds.attrs["relaxation_gap"] <= 1e-6
    assert ds.attrs["ac_vm_error_pu"] <= 1e-4
    assert ds.attrs["ac_loss_error_percent"] <= 0.1


def test_savings_are_shared_as_the_powers_say(market: tuple[Any, xr.Dataset]) -> None:
    net, day = market
    equal = p2p.trade_day(net, day)
    np.testing.assert_allclose(equal["saving_eur"], equal.attrs["gain_eur"] / 3, rtol=1e-9)
    net.participant["bargaining_power"] = [1.0, 2.5, 0.5]
    given_ = p2p.trade_day(net, day, mechanism=p2p.NashBargaining(bargaining_power="given"))
    gain = given_.attrs["gain_eur"]
    np.testing.assert_allclose(
        given_["saving_eur"], [gain / 4, gain * 2.5 / 4, gain / 8], atol=1e-9 * gain
    )
    volume = p2p.trade_day(net, day, mechanism=p2p.NashBargaining(bargaining_power="net_volume"))
    net_mw = volume["trade_mw"].sum("seller").rename(buyer="participant") - volume["trade_mw"].sum(
        "buyer"
    ).rename(seller="participant")
    share = abs(net_mw).sum("time") / abs(net_mw).sum()
    np.testing.assert_allclose(
        volume["saving_eur"], share * volume.attrs["gain_eur"], rtol=1e-6, atol=1e-6
    )


def test_operator_with_power_takes_its_share(market: tuple[Any, xr.Dataset]) -> None:
    ds = p2p.trade_day(*market, mechanism=p2p.NashBargaining(operator_power=1.0))
    assert float(ds["operator_saving_eur"]) == pytest.approx(ds.attrs["gain_eur"] / 4)


def test_higher_fee_never_raises_the_gain(market: tuple[Any, xr.Dataset]) -> None:
    gains = [
        p2p.trade_day(*market, mechanism=p2p.NashBargaining(network_fee_eur_per_mwh=fee)).attrs[
            "gain_eur"
        ]
        for fee in (1.0, 20.0, 60.0)
    ]
    assert gains[0] > gains[1] > gains[2] >= 0


def test_fee_above_the_spread_ends_in_no_trade(market: tuple[Any, xr.Dataset]) -> None:
    ds = p2p.trade_day(*market, mechanism=p2p.NashBargaining(network_fee_eur_per_mwh=500.0))
    assert ds.attrs["trade"].startswith("none")
    assert float(ds["trade_mw"].sum()) == 0.0
    assert (ds["payment_eur"] == 0).all()
    np.testing.assert_array_equal(ds["cost_eur"], ds["cost_alone_eur"])
    _objective_is_the_sum_of_costs(ds)


def test_two_formulations_agree_where_the_lines_are_strong(market: tuple[Any, xr.Dataset]) -> None:
    net, day = market
    net.line[["r_ohm_per_km", "x_ohm_per_km"]] = 1e-2
    soc = p2p.trade_day(net, day)
    lin = p2p.trade_day(net, day, formulation="lindistflow")
    np.testing.assert_allclose(soc["cost_eur"], lin["cost_eur"], rtol=1e-3, atol=1.0)
    np.testing.assert_allclose(soc["vm_pu"], lin["vm_pu"], atol=1e-4)


def test_social_cost_of_one_hour_by_hand(feeder: Any) -> None:
    """One seller with 2 MW, one buyer with 1 MW, no losses: the whole of it in one's head."""
    feeder.line[["r_ohm_per_km", "x_ohm_per_km"]] = 1e-3
    seller = p2p.create_participant(feeder, 1)
    buyer = p2p.create_participant(feeder, 2)
    pv = pp.create_sgen(feeder, 1, p_mw=2.0)
    p2p.assign(feeder, seller, sgen=[pv])
    p2p.assign(feeder, buyer, load=[1])
    hour = xr.Dataset(
        {
            "price_buy_eur_per_mwh": ("time", [100.0]),
            "price_sell_eur_per_mwh": ("time", [40.0]),
        },
        coords={"time": [0.0]},
    )
    fee = 10.0
    ds = p2p.trade_day(
        feeder,
        hour,
        mechanism=p2p.NashBargaining(network_fee_eur_per_mwh=fee),
        formulation="lindistflow",
    )
    np.testing.assert_allclose(ds["cost_alone_eur"], [-80.0, 100.0], atol=1e-6)
    np.testing.assert_allclose(ds["trade_mw"].isel(time=0), [[0, 1], [0, 0]], atol=1e-6)
    assert ds.attrs["gain_eur"] == pytest.approx(100.0 - 40.0 - fee, abs=1e-5)
    np.testing.assert_allclose(ds["saving_eur"], 25.0, atol=1e-5)
    # the seller got 40 for the other MW, paid 5 of fee, and receives 70 for the traded one
    np.testing.assert_allclose(ds["payment_eur"], [-70.0, 70.0], atol=1e-5)


def test_nodal_price_is_the_cost_of_one_more_load(market: tuple[Any, xr.Dataset]) -> None:
    net, day = market
    hour, bus, more = 5, 1, 1e-3
    ds = p2p.trade_day(net, day)
    heavier = day.copy(deep=True)
    heavier["load_p_mw"][hour, 0] += more
    step_h = float(np.diff(day["time"])[0])
    slope = (p2p.trade_day(net, heavier).attrs["objective_eur"] - ds.attrs["objective_eur"]) / (
        more * step_h
    )
    assert float(ds["price_eur_per_mwh"].isel(time=hour).sel(bus=bus)) == pytest.approx(
        slope, rel=1e-3
    )


def test_relabelling_buses_changes_nothing(market: tuple[Any, xr.Dataset]) -> None:
    net, day = market
    ds = p2p.trade_day(net, day)
    lookup = {0: 70, 1: 11, 2: 35, 3: 2, 4: 90}
    pp.toolbox.reindex_buses(net, lookup)
    net.participant["bus"] = net.participant.bus.map(lookup)
    moved = p2p.trade_day(net, day)
    np.testing.assert_allclose(moved["cost_eur"], ds["cost_eur"], rtol=1e-6, atol=1e-4)
    for old, new in lookup.items():
        np.testing.assert_allclose(moved["vm_pu"].sel(bus=new), ds["vm_pu"].sel(bus=old), atol=1e-5)


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    sun=st.floats(0.0, 5.0),
    spread=st.floats(0.05, 0.95),
    limit=st.one_of(st.none(), st.floats(0.0, 1.0)),
    seed=st.integers(0, 99),
)
def test_laws_on_random_markets(
    market: tuple[Any, xr.Dataset], sun: float, spread: float, limit: float | None, seed: int
) -> None:
    net, day = copy.deepcopy(market[0]), market[1].copy(deep=True)
    rng = np.random.default_rng(seed)
    day["load_p_mw"] *= rng.uniform(0.3, 1.2, day["load_p_mw"].shape)
    day["sgen_p_mw"][0] *= sun / 3.0
    day["price_sell_eur_per_mwh"] = day["price_buy_eur_per_mwh"] * spread
    if limit is not None:
        net.participant["max_trade_mw"] = limit
    ds = p2p.trade_day(net, day)
    _laws(ds, day, fee=5.0)
    if limit is not None:
        assert float(ds["trade_mw"].max()) <= limit + 1e-6


def test_line_limit_costs_and_holds(market: tuple[Any, xr.Dataset]) -> None:
    net, day = market
    free = p2p.trade_day(net, day)
    busiest = float(free["line_loading_percent"].sel(line=3).max())
    net.line.loc[3, "max_i_ka"] = net.line.max_i_ka[3] * busiest / 100.0 * 0.7
    tight = p2p.trade_day(net, day)
    assert float(tight["line_loading_percent"].sel(line=3).max()) <= 100.0 + 1e-3
    assert tight.attrs["objective_eur"] > free.attrs["objective_eur"]


def test_result_writes_back_and_survives_netcdf(
    market: tuple[Any, xr.Dataset], tmp_path: Any
) -> None:
    net, day = market
    ds = p2p.trade_day(net, day)
    xr.testing.assert_identical(p2p.from_netcdf(p2p.to_netcdf(ds, tmp_path / "day.nc")), ds)
    p2p.write_back(net, ds)
    assert net.res_participant.payment_eur.to_list() == ds["payment_eur"].values.tolist()


def test_bad_input(market: tuple[Any, xr.Dataset]) -> None:
    net, day = market
    with pytest.raises(InvalidInput, match="price_sell.*above the purchase price"):
        p2p.trade_day(net, day.assign(price_sell_eur_per_mwh=day["price_buy_eur_per_mwh"] + 1.0))
    with pytest.raises(InvalidInput, match="price_buy_eur_per_mwh: is missing"):
        p2p.trade_day(net, day.drop_vars("price_buy_eur_per_mwh"))
    with pytest.raises(InvalidInput, match="there is no formulation"):
        p2p.trade_day(net, day, formulation="dc")
    with pytest.raises(InvalidInput, match="choose 'central', 'distributed' or"):
        p2p.trade_day(net, day, algorithm="alone")
    two = xr.concat([day, day], dim="day").rename(time="hour").assign_coords(day=[0, 1])
    with pytest.raises(InvalidInput, match="holds 2 days"):
        p2p.trade_day(net, two)
    net.storage["soc_percent"] = 5.0  # below min_e_mwh
    with pytest.raises(InvalidInput, match="storage.soc_percent: row 0"):
        p2p.trade_day(net, day)
    net.storage["soc_percent"] = np.nan
    pp.toolbox.drop_elements(net, "sgen", [0])
    with pytest.raises(InvalidInput, match="sgen that does not exist"):
        p2p.trade_day(net, day)
    net.participant["in_service"] = net.sgen["in_service"] = False
    with pytest.raises(InvalidInput, match="no row in service"):
        p2p.trade_day(net, day.drop_vars(["sgen_p_mw", "sgen"]))


def test_network_that_cannot_serve_the_day_is_named(market: tuple[Any, xr.Dataset]) -> None:
    net, day = market
    net.bus["min_vm_pu"] = 0.995
    with pytest.raises(NoSolution, match="before any trade.*voltage limits"):
        p2p.trade_day(net, day)
