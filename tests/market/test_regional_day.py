"""A day of regions around a soft open point: the laws of its offers, money, and its replay."""

from __future__ import annotations

import copy
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pytest
import xarray as xr

import pp_p2p as p2p
from pp_p2p.errors import InvalidInput, UnsupportedFeature

EXAMPLE = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "sop_market.py"))


@pytest.fixture(scope="module")
def market() -> tuple[Any, xr.Dataset]:
    """Four small regions with a battery and a flexible load, five hours of the day."""
    net, profiles = EXAMPLE["network"](3)
    battery = pp.create_storage(
        net, 1, 0.0, max_e_mwh=0.8, min_e_mwh=0.1, max_p_mw=0.3, min_p_mw=-0.3
    )
    p2p.assign(net, 0, storage=[battery])
    p2p.create_flexible_load(net, int(net.load.index[-1]), max_up_percent=20, max_down_percent=20)
    return net, profiles.isel(time=slice(9, 14))


@pytest.fixture(scope="module")
def day(market: Any) -> xr.Dataset:
    return p2p.trade_day(*market, mechanism=p2p.CombinedOffer(step_mw=0.2, max_level=4))


def test_levels_balance_money_is_conserved_and_nobody_loses(day: xr.Dataset) -> None:
    assert day.attrs["trade"] == "agreed"
    assert day.attrs["relaxation"] == "exact"
    assert not day["cleared_level"].sum("participant").any()
    assert (day["step_payment_eur"].sum("participant").round(9) == 0).all()
    assert (day["saving_eur"] > 0).all()
    assert float(day["saving_eur"].sum()) >= day.attrs["gain_eur"] - 1e-3  # storage adds to it
    trade = day["trade_mw"]
    assert (trade >= 0).all()
    net_trade = (trade.sum("seller") - trade.sum("buyer").rename(seller="buyer")).transpose(
        "buyer", "time"
    )
    np.testing.assert_allclose(net_trade, day["link_mw"], atol=1e-12)


def test_offers_are_concave_and_nothing_for_no_exchange(day: xr.Dataset) -> None:
    """A convex programme is worth less and less the more it gets."""
    offers = day["offer_eur"].transpose("participant", "time", "level").to_numpy()
    assert not offers[:, :, 4].any()
    assert (np.diff(offers, 2, axis=2) <= 1e-3).all()


def test_no_schedule_beats_the_central_optimum_and_finer_levels_come_closer(market: Any) -> None:
    """One dispatch of everything, soft open point included, costs at most as much."""
    net, profiles = market
    central = p2p.dispatch(net, profiles, objective="cost").attrs["objective"]
    costs = []
    for step, levels in ((0.4, 2), (0.2, 4)):
        mechanism = p2p.CombinedOffer(step_mw=step, max_level=levels)
        costs.append(p2p.trade_day(net, profiles, mechanism=mechanism).attrs["objective_eur"])
    assert central <= costs[1] + 1e-3
    assert costs[1] <= costs[0] + 1e-2


def test_the_limit_of_the_link_costs_gain(market: Any, day: xr.Dataset) -> None:
    mechanism = p2p.CombinedOffer(step_mw=0.2, max_level=4, total_limit_mw=0.45)
    tight = p2p.trade_day(*market, mechanism=mechanism)
    assert float(tight["link_mw"].clip(min=0).sum("participant").max()) <= 0.4 + 1e-9
    assert tight.attrs["gain_eur"] < day.attrs["gain_eur"]


def test_what_a_converter_cannot_carry_is_not_offered(market: Any, day: xr.Dataset) -> None:
    net = copy.deepcopy(market[0])
    net.sop_terminal.loc[2, "sn_mva"] = 0.5
    small = p2p.trade_day(net, market[1], mechanism=p2p.CombinedOffer(step_mw=0.2, max_level=4))
    offered = ~np.isnan(small["offer_eur"].sel(participant=2))
    assert offered.all("time").to_numpy().tolist() == [False] * 2 + [True] * 5 + [False] * 2
    assert (np.abs(small["link_mw"].sel(participant=2)) <= 0.4 + 1e-9).all()
    assert not np.isnan(day["offer_eur"]).any()


def test_every_schedule_replays_in_the_power_flow(market: Any, day: xr.Dataset) -> None:
    delivered = p2p.ledger.deliver(*market, day)
    np.testing.assert_allclose(delivered.energy_wh / 1e6, day["link_mw"], atol=2e-6)
    np.testing.assert_allclose(delivered.sop_p_mw, day["sop_p_mw"], atol=1e-6)
    np.testing.assert_allclose(
        delivered.loss_mw, day["region_loss_mw"].sum("participant"), rtol=1e-3
    )
    hurt = p2p.ledger.deliver(*market, day, failed={3: [1]}, noise_mwh=1e-4, seed=2)
    assert hurt.fault[3].tolist() == [False, True, False, False, False]
    assert abs(hurt.energy_wh[3, 1]) < 1_000
    assert abs(hurt.energy_wh[:, 1].sum()) < 2_000  # the link stays balanced but for the noise
    with pytest.raises(InvalidInput, match="no participants of the day"):
        p2p.ledger.deliver(*market, day, failed={9: [0]})


def test_a_day_can_be_written_back_stored_and_repeated(
    market: Any, day: xr.Dataset, tmp_path: Path
) -> None:
    net = copy.deepcopy(market[0])
    p2p.write_back(net, day)
    np.testing.assert_allclose(net.res_participant.saving_eur, day["saving_eur"])
    stored = p2p.from_netcdf(p2p.to_netcdf(day, tmp_path / "day.nc"))
    assert stored.identical(day)
    again = p2p.trade_day(*market, mechanism=p2p.CombinedOffer(step_mw=0.2, max_level=4))
    xr.testing.assert_equal(again, day)


def test_what_makes_no_regions_is_named(market: Any) -> None:
    net, profiles = market
    mechanism = p2p.CombinedOffer()

    def refused(change: Any, error: type[Exception], said: str, **options: Any) -> None:
        changed = copy.deepcopy(net)
        change(changed)
        with pytest.raises(error, match=said):
            p2p.trade_day(changed, profiles, mechanism=mechanism, **options)

    def out(table: str, row: int) -> Any:
        return lambda n: n[table].__setitem__("in_service", n[table].index != row)

    def same(_: Any) -> None: ...

    refused(out("sop", 0), InvalidInput, "no row in service")
    refused(out("participant", 1), InvalidInput, "without a participant")
    refused(out("ext_grid", 2), InvalidInput, "no external grid feeds")
    refused(lambda n: n.participant.__setitem__("bus", 1), InvalidInput, "share a region")
    refused(
        lambda n: pp.create_switch(n, 0, 3, et="b", closed=True), InvalidInput, "connected through"
    )
    refused(lambda n: p2p.create_sop(n, [0, 4], sn_mva=1.0), InvalidInput, "several rows")
    refused(same, UnsupportedFeature, "not 'central'", algorithm="distributed")
    refused(same, UnsupportedFeature, "tightening", tightening=p2p.Tightening(voltage=True))


def test_a_second_device_or_storage_on_the_link_is_not_passed_over(market: Any) -> None:
    net = copy.deepcopy(market[0])
    p2p.create_sop(net, [0, 4], sn_mva=1.0)
    with pytest.raises(UnsupportedFeature, match="connects regions as well"):
        p2p.trade_day(net, market[1], mechanism=p2p.CombinedOffer(sop=0))
    net = copy.deepcopy(market[0])
    p2p.set_storage(net, [0], sop=0)
    with pytest.raises(UnsupportedFeature, match="on the link"):
        p2p.trade_day(net, market[1], mechanism=p2p.CombinedOffer())
