"""What a hostile user may pass to a market: one clear message, or a documented answer."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pandapower as pp
import pytest
import xarray as xr

import pp_p2p as p2p
from pp_p2p.errors import InexactRelaxation, InvalidInput, NoSolution, UnsupportedFeature
from pp_p2p.market.bargaining import POWERS
from pp_p2p.market.settlement import split_quality, verdict

Market = tuple[Any, xr.Dataset]

BUY, SELL = "price_buy_eur_per_mwh", "price_sell_eur_per_mwh"


@pytest.fixture(scope="module")
def drawn(make_market: Any) -> Market:
    return make_market(3)  # type: ignore[no-any-return]


@pytest.fixture
def market(drawn: Market) -> Market:
    """Four participants with sun, storage and flexible loads: 7 buses, hours 0, 8 and 16."""
    return copy.deepcopy(drawn[0]), drawn[1].copy(deep=True)


def _uncertain(day: xr.Dataset, buy: Any, sell: Any, chance: Any) -> xr.Dataset:
    factors = (xr.DataArray(np.array(f, dtype=float), dims="scenario") for f in (buy, sell))
    prices = {name: day[name] * f for name, f in zip((BUY, SELL), factors, strict=True)}
    return day.assign(prices).assign(probability=("scenario", np.array(chance, dtype=float)))


# ---- profiles -------------------------------------------------------------------------------

PROFILES: dict[str, tuple[Callable[[xr.Dataset], Any], str]] = {
    "sale above purchase": (
        lambda day: day.assign({SELL: day[BUY] + xr.where(day.time == 8.0, 1.0, -1.0)}),
        r"price_sell_eur_per_mwh: row time 8.0 is above the purchase price, which pays for buying",
    ),
    "sale above purchase in a scenario": (
        lambda day: _uncertain(day, [1, 0.01], [0.01, 0.5], [0.5, 0.5]),
        r"price_sell_eur_per_mwh: rows scenario 1, time 0.0, scenario 1, time 8.0",
    ),
    "price missing": (lambda day: day.drop_vars(BUY), f"{BUY}: is missing; add {BUY}"),
    "price nan": (
        lambda day: day.assign({BUY: day[BUY].where(day.time < 16.0)}),
        r"price_buy_eur_per_mwh: row time 16.0 is not a finite number",
    ),
    "price infinite": (lambda day: day.assign({BUY: day[BUY] * np.inf}), "not a finite number"),
    "price text": (
        lambda day: day.assign({BUY: ("time", ["a", "b", "c"])}),
        r"price_buy_eur_per_mwh: holds <U1 values; give numbers",
    ),
    "load nan": (
        lambda day: day.assign(load_p_mw=day["load_p_mw"].where(day.time > 0.0)),
        r"load_p_mw: row time 0.0 is not a finite number",
    ),
    "load text": (lambda day: day.assign(load_p_mw=day["load_p_mw"].astype(str)), "give numbers"),
    "chances sum to 0.9": (
        lambda day: _uncertain(day, [1, 1], [1, 1], [0.5, 0.4]),
        "probability: .*sums to 0.9; give one probability for each scenario",
    ),
    "a chance below zero": (
        lambda day: _uncertain(day, [1, 1], [1, 1], [1.5, -0.5]),
        "probability: row scenario 1 is not a number above 0; drop scenarios",
    ),
    "no chance at all": (
        lambda day: _uncertain(day, [1, 1], [1, 1], [1.0, 0.0]),
        "probability: row scenario 1 is not a number above 0",
    ),
    "a chance that is no number": (
        lambda day: _uncertain(day, [1, 1], [1, 1], [np.nan, 1.0]),
        "probability: row scenario 0 is not a number above 0",
    ),
    "no sun below zero": (
        lambda day: day.assign(sgen_p_mw=day["sgen_p_mw"] - 9.0),
        "sgen_p_mw: has negative available power",
    ),
    "steps uneven": (lambda day: day.assign_coords(time=[0.0, 1.0, 9.0]), "not equal"),
    "no step": (lambda day: day.isel(time=slice(0, 0)), "has no step"),
    "other name of time": (lambda day: day.rename(time="hour"), "name the time dimension 'time'"),
    "nothing": (lambda _: None, "profiles: is a NoneType; pass an xarray.Dataset"),
    "a table": (lambda day: day[BUY].to_dataframe(), "profiles: is a DataFrame"),
}


@pytest.mark.parametrize("case", PROFILES)
def test_profiles(market: Market, case: str) -> None:
    net, day = market
    change, message = PROFILES[case]
    with pytest.raises(InvalidInput, match=message) as error:
        p2p.trade_day(net, change(day))
    assert len(error.value.findings) == 1


# ---- the mechanism --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"network_fee_eur_per_mwh": -1.0},
        {"network_fee_eur_per_mwh": np.nan},
        {"network_fee_eur_per_mwh": np.inf},
        {"network_fee_eur_per_mwh": "5"},
        {"network_fee_eur_per_mwh": None},
        {"pair_limit_mw": -0.1},
        {"pair_limit_mw": np.nan},
        {"operator_power": -1.0},
        {"risk_weight": 1.1},
        {"risk_level": 1.0},
        {"price_corridor": "no"},
        {"bargaining_power": [1.0, 2.0]},
        {"fee": "flat"},
        {"operator": None},
    ],
    ids=str,
)
def test_mechanism(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(InvalidInput, match=rf"^NashBargaining\.{name}: is .*; (use|choose)"):
        p2p.NashBargaining(**wrong)


@pytest.mark.parametrize("wrong", ["nash", p2p.NashBargaining, 0])
def test_mechanism_of_another_kind(market: Market, wrong: Any) -> None:
    with pytest.raises(InvalidInput, match=r"^mechanism: is .*pass pp_p2p\.NashBargaining"):
        p2p.trade_day(*market, mechanism=wrong)


def test_nodal_fee_needs_prices(market: Market) -> None:
    mechanism = p2p.NashBargaining(fee="nodal_price")
    with pytest.raises(UnsupportedFeature, match="no such prices here; use formulation"):
        p2p.trade_day(*market, mechanism=mechanism, formulation="ac")


# ---- the net --------------------------------------------------------------------------------


def _storage(net: Any, **limits: float) -> None:
    given = {"max_e_mwh": 1.0, "min_e_mwh": 0.1, "max_p_mw": 0.3, "min_p_mw": -0.3, **limits}
    unit = pp.create_storage(net, net.bus.index[1], 0.0, index=77, **given)
    p2p.assign(net, 0, storage=[unit])


def _island(net: Any) -> int:
    return int(pp.create_bus(net, 10.0, index=5000))


def _on_an_island(net: Any) -> None:
    load = pp.create_load(net, _island(net), 1.0, index=78)
    p2p.assign(net, 0, load=[load])


def _set(table: str, row: Any, column: str, value: Any) -> Callable[[Any], None]:
    def change(net: Any) -> None:
        net[table].loc[row, column] = value

    return change


NETS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "storage starts outside": (
        lambda net: _storage(net, soc_percent=5.0),
        r"storage.soc_percent: row 77 .* cannot end the day where it starts",
    ),
    "storage upside down": (lambda net: _storage(net, min_e_mwh=2.0), r"storage.max_e_mwh: row 77"),
    "storage below nothing": (
        lambda net: _storage(net, min_e_mwh=-2.0, max_e_mwh=-1.0),
        r"storage.min_e_mwh: row 77 is below 0",
    ),
    "storage must discharge": (
        lambda net: _storage(net, min_p_mw=0.1),
        r"storage.min_p_mw: row 77",
    ),
    "nobody": (
        _set("participant", slice(None), "in_service", False),
        "participant: has no row in service; create one",
    ),
    "unfed participant": (
        lambda net: _set("participant", 0, "bus", _island(net))(net),
        r"participant.bus: row 0 is fed by no external grid",
    ),
    "unfed load": (_on_an_island, r"load.bus: row 78 belongs to a participant but no external"),
    "no such bus": (_set("participant", 0, "bus", 9999), r"participant.bus: row 0 must be a row"),
    "no such owner": (_set("load", 1, "participant", 88), r"load.participant: row 1 must be a row"),
    "power below zero": (
        _set("participant", 0, "bargaining_power", -1.0),
        r"participant.bargaining_power: row 0 must be >= 0",
    ),
}


@pytest.mark.parametrize("case", NETS)
def test_nets(market: Market, case: str) -> None:
    net, day = market
    change, message = NETS[case]
    change(net)
    with pytest.raises(InvalidInput, match=message):
        p2p.trade_day(net, day)


COSTS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "pieces": (
        lambda net: pp.create_pwl_cost(net, 0, "sgen", [[0, 1, 50], [1, 2, 60]]),
        "pwl_cost: row 0 holds piecewise linear costs",
    ),
    "concave": (
        lambda net: pp.create_poly_cost(net, 0, "sgen", 50.0, cp2_eur_per_mw2=-1.0),
        "has a negative quadratic part",
    ),
    "storage": (
        lambda net: (_storage(net), pp.create_poly_cost(net, 77, "storage", 5.0)),
        "prices storage; drop the row and give storage.degradation_eur_per_mwh",
    ),
    "load": (
        lambda net: pp.create_poly_cost(net, 0, "load", 5.0),
        "element that is not dispatched",
    ),
}


@pytest.mark.parametrize("case", COSTS)
def test_costs(market: Market, case: str) -> None:
    net, day = market
    change, message = COSTS[case]
    change(net)
    with pytest.raises(UnsupportedFeature, match=message):
        p2p.trade_day(net, day)


def test_nobody_has_two_owners(market: Market) -> None:
    net, _ = market
    p2p.assign(net, 0, load=[1])
    p2p.assign(net, 1, load=[1])
    assert net.load.participant.loc[1] == 1  # one column: the last word counts
    with pytest.raises(InvalidInput, match="load: has no row 999"):
        p2p.assign(net, 0, load=[999])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            _set("bus", slice(None), "min_vm_pu", 0.9999),
            r"before any trade: the voltage limits of \d+ buses .*bus \d+ .*\(time",
        ),
        (
            _set("line", slice(None), "max_i_ka", 1e-3),
            r"before any trade: the current limits of \d+ branches .*line \d+ \(time",
        ),
        (
            _set("participant", slice(None), "max_import_mw", 1e-3),
            r"before any trade: .*exchange limits .*participant 1 by about .* MW \(time",
        ),
    ],
    ids=["voltage", "current", "import"],
)
def test_who_cannot_be_served_and_when(market: Market, change: Any, message: str) -> None:
    net, day = market
    change(net)
    with pytest.raises(NoSolution, match=message):
        p2p.trade_day(net, day)


# ---- documented answers ---------------------------------------------------------------------


def _assert_no_trade(ds: xr.Dataset, why: str) -> None:
    assert ds.attrs["trade"].startswith(why)
    assert ds.attrs["split"] == "no gain to split"
    for name in ("trade_mw", "payment_eur", "saving_eur", "pair_payment_eur", "fee_eur"):
        assert not ds[name].any()
    np.testing.assert_array_equal(ds["cost_eur"], ds["cost_alone_eur"])
    assert ds["average_price_eur_per_mwh"].isnull().all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("operator", ["inside", "outside"])
def test_no_gain_is_no_trade(market: Market, power: Any, operator: Any) -> None:
    net, day = market
    day[SELL] = day[BUY]  # the grid takes and gives at one price: peers have nothing to add
    mechanism = p2p.NashBargaining(
        bargaining_power=power, operator=operator, price_corridor=operator == "outside"
    )
    ds = p2p.trade_day(net, day, mechanism=mechanism, formulation="lindistflow")
    _assert_no_trade(ds, "none: no trade lowers the cost")


@pytest.mark.parametrize(
    "mechanism",
    [
        p2p.NashBargaining(pair_limit_mw=0.0, operator="outside"),
        p2p.NashBargaining(pair_limit_mw=0.0, bargaining_power="marginal", operator="outside"),
    ],
    ids=["equal", "marginal"],
)
def test_pairs_that_may_not_trade(market: Market, mechanism: p2p.NashBargaining) -> None:
    _assert_no_trade(p2p.trade_day(*market, mechanism=mechanism), "none: no trade")


@pytest.mark.parametrize("power", POWERS)
def test_one_participant_has_nobody_to_trade_with(market: Market, power: Any) -> None:
    net, day = market
    net.participant.loc[1:, "in_service"] = False
    mechanism = p2p.NashBargaining(
        bargaining_power=power, operator="outside", fee="electrical_distance"
    )
    _assert_no_trade(p2p.trade_day(net, day, mechanism=mechanism), "none: no trade")


def test_gain_below_the_tolerance_is_said(market: Market) -> None:
    net, day = market
    net.participant["max_trade_mw"] = 1e-6
    ds = p2p.trade_day(net, day, mechanism=p2p.NashBargaining(operator="outside"))
    _assert_no_trade(ds, "none: the gain (")
    assert "EUR) is below the solver's tolerance (" in ds.attrs["trade"]
    assert ds.attrs["gain_eur"] <= ds.attrs["gain_tolerance_eur"]


def test_gain_that_is_mostly_gap_is_called_noise() -> None:
    assert split_quality(100.0, 0.99, agreed=True) == "certain"
    assert split_quality(100.0, 1.01, agreed=True).startswith("noise: the solver leaves 1 EUR")
    assert split_quality(1.0, np.inf, agreed=True).startswith("noise")
    nobody = np.zeros(0, dtype=np.int64)
    assert verdict(1.0, 2.0, 1.0, nobody) == "agreed"
    assert verdict(1.0, 2.0, 1.0, np.array([3, 5])).endswith(
        "participants 3, 5 worse off than alone"
    )


def test_power_of_zero(market: Market) -> None:
    net, day = market
    mechanism = p2p.NashBargaining(bargaining_power="given")
    net.participant["bargaining_power"] = 0.0
    with pytest.raises(InvalidInput, match="bargaining_power: is 0 for every participant; give at"):
        p2p.trade_day(net, day, mechanism=mechanism)
    assert p2p.trade_day(net, day).attrs["trade"] == "agreed"  # where powers are equal, unread
    net.participant.loc[2, "bargaining_power"] = 1.0
    ds = p2p.trade_day(net, day, mechanism=mechanism)
    near = 1e-9 * float(abs(ds["cost_alone_eur"]).sum())
    np.testing.assert_allclose(ds["saving_eur"][[0, 1, 3]], 0.0, atol=near)
    assert float(ds["saving_eur"][2]) == pytest.approx(ds.attrs["gain_eur"], abs=near)


def test_group_without_power(market: Market) -> None:
    """Two who trade with each other only, and have no power: nobody could take their gain."""
    net, day = market
    net.participant.loc[[2, 3], "max_trade_mw"] = 0.0
    net.participant.loc[[0, 1], "bargaining_power"] = 0.0
    mechanism = p2p.NashBargaining(bargaining_power="given", operator="outside")
    with pytest.raises(InvalidInput, match="rows 0, 1 is 0 for everyone of a group that trades"):
        p2p.trade_day(net, day, mechanism=mechanism)


@pytest.mark.parametrize("factor", [0.0, -1.0])
def test_prices_of_nothing_and_below_are_inexact_and_say_so(market: Market, factor: float) -> None:
    net, day = market
    day[BUY], day[SELL] = factor * day[SELL], factor * day[BUY]
    with pytest.warns(InexactRelaxation, match="price"):
        ds = p2p.trade_day(net, day)
    assert ds.attrs["relaxation"] == "inexact"
    assert "price" in ds.attrs["relaxation_reasons"]
    linear = p2p.trade_day(net, day, formulation="lindistflow")
    assert linear.attrs["status"] == "optimal"
    assert float(abs(linear["payment_eur"].sum() + linear["operator_payment_eur"])) <= 1e-6


def test_worst_cases_alone_leave_losses_unpriced(market: Market) -> None:
    net, day = market
    spread = _uncertain(day, [1, 2, 3], [1, 1, 1], [0.4, 0.3, 0.3])
    mechanism = p2p.NashBargaining(risk_weight=1.0, risk_level=0.7)
    with pytest.warns(InexactRelaxation, match="does not price losses"):
        p2p.trade_day(net, spread, mechanism=mechanism)
