"""`trading_cases`: one table of one day under several assumptions."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import xarray as xr

import pp_p2p as p2p
from pp_p2p.errors import InvalidInput, NoSolution

Market = tuple[Any, xr.Dataset]


@pytest.fixture(scope="module")
def compared(make_market: Any) -> tuple[Any, xr.Dataset, xr.Dataset]:
    net, day = make_market(3)
    price = day["price_buy_eur_per_mwh"]
    factor = xr.DataArray([0.9, 1.1], dims="scenario", coords={"scenario": [0, 1]})
    scenarios = (
        (price * factor)
        .to_dataset(name="price_buy_eur_per_mwh")
        .assign(probability=("scenario", [0.5, 0.5]))
    )
    before = copy.deepcopy(net)
    cases = p2p.trading_cases(
        net, day, scenarios=scenarios, line_limits_mva={int(net.line.index[0]): 50.0}
    )
    for table in ("participant", "line", "flexible_load"):
        assert net[table].equals(before[table])
    return net, day, cases


def test_every_combination_is_a_case(compared: Any) -> None:
    _, _, cases = compared
    assert cases.sizes["case"] == 8
    assert len(set(cases["case"].to_numpy().tolist())) == 8
    for name in ("response", "limit", "stochastic"):
        assert int(cases[name].sum()) == 4
    assert "scenario" not in cases.dims


def test_a_case_is_its_day_with_and_without_trading(compared: Any) -> None:
    net, day, cases = compared
    base, ds = cases.sel(case="base"), p2p.trade_day(net, day)
    for name in ("cost_eur", "cost_alone_eur", "p_grid_mw", "vm_pu", "storage_p_mw"):
        np.testing.assert_allclose(base[name], ds[name], atol=1e-9)
    # alone: the exchange with the grid pays for the cost alone, but for wear and discomfort
    h, alone = float(np.diff(day["time"])[0]), base["p_grid_alone_mw"]
    bought, sold = alone.clip(min=0.0), (-alone).clip(min=0.0)
    euro = h * (bought * day["price_buy_eur_per_mwh"] - sold * day["price_sell_eur_per_mwh"]).sum(
        "time"
    )
    assert (base["cost_alone_eur"] >= euro - 1e-4).all()
    np.testing.assert_allclose(base["grid_purchase_alone_mwh"], h * bought.sum("time"))
    assert not np.allclose(base["p_grid_alone_mw"], base["p_grid_mw"], atol=1e-3)
    assert float(abs(base["vm_alone_pu"] - base["vm_pu"]).max()) > 1e-6


def test_trading_and_response_help_in_every_case(compared: Any) -> None:
    _, _, cases = compared
    assert (cases["cost_eur"] <= cases["cost_alone_eur"] + 1e-6).all()
    for prices in ("", "uncertain prices, "):
        able = cases["social_cost_eur"].sel(case=prices.removesuffix(", ") or "base")
        assert float(able) <= float(cases["social_cost_eur"].sel(case=f"{prices}no response"))


def test_a_wide_limit_changes_nothing(compared: Any) -> None:
    _, _, cases = compared
    free, wide = (cases["social_cost_eur"].sel(case=c) for c in ("base", "limited lines"))
    assert float(wide) == pytest.approx(float(free), rel=1e-5)


def test_bad_input(make_market: Any) -> None:
    net, day = make_market(3)
    with pytest.raises(InvalidInput, match="line: row 99 are limited but do not exist"):
        p2p.trading_cases(net, day, line_limits_mva={99: 1.0})
    with pytest.raises(InvalidInput, match="have a limit of 0 or less"):
        p2p.trading_cases(net, day, line_limits_mva={0: 0.0})
    with pytest.raises(InvalidInput, match="mechanism: is 'nash'"):
        p2p.trading_cases(net, day, mechanism="nash")  # type: ignore[arg-type]
    net.bus["min_vm_pu"] = 0.9999
    with pytest.raises(NoSolution, match="no case has a solution: .*voltage limits"):
        p2p.trading_cases(net, day)
