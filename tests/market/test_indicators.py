"""Indicators by hand, and what end-use characteristics and mechanisms do to a day."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandapower as pp
import pytest
import xarray as xr

import pp_p2p as p2p
from pp_p2p import plotting
from pp_p2p.errors import InvalidInput


def two_lines() -> Any:
    net = pp.create_empty_network(sn_mva=1.0)
    for _ in range(3):
        pp.create_bus(net, 10.0, min_vm_pu=0.95, max_vm_pu=1.05)
    pp.create_ext_grid(net, 0)
    for a, b in ((0, 1), (1, 2)):
        pp.create_line_from_parameters(net, a, b, 1.0, 0.4, 0.3, 0.0, 0.1)
    net.line["max_loading_percent"] = [100.0, 80.0]
    return net


def day(loading: Any, loss: float = 0.1, source: Any = (1.0, -0.5), **more: Any) -> xr.Dataset:
    return xr.Dataset(
        {
            "vm_pu": (("time", "bus"), np.array([[1.0, 1.06, 0.9], [1.0, 1.01, 1.0]])),
            "line_loading_percent": (("time", "line"), np.array(loading)),
            "loss_mw": ("time", np.full(2, loss)),
            "p_source_mw": (("time", "ext_grid"), np.array(source)[:, None]),
            **more,
        },
        coords={"time": [0.0, 2.0], "bus": [0, 1, 2], "line": [0, 1], "ext_grid": [0]},
    )


def test_indicators_are_what_they_say() -> None:
    rated = np.sqrt(3) * 10.0 * 0.1
    before = day([[120.0, 90.0], [50.0, 80.0]])
    after = day(
        [[100.0, 85.0], [50.0, 20.0]],
        loss=0.05,
        source=(0.5, 0.5),
        sgen_p_mw=(("sgen", "time"), np.array([[1.0, 0.5]])),
        sgen_available_mw=(("sgen", "time"), np.array([[1.0, 1.0]])),
        net_trade_mw=(("participant", "time"), np.array([[0.3, 0.0], [-0.3, 0.0]])),
        p_grid_mw=(("participant", "time"), np.array([[0.1, 0.2], [-0.3, 0.0]])),
    )
    told = p2p.indicators(two_lines(), before, after)
    np.testing.assert_allclose(told["overloaded_h"], [4.0, 2.0])
    np.testing.assert_allclose(told["overload_mvah"], [0.3 * rated * 2, 0.05 * rated * 2])
    assert float(told["congestion_mitigation"]) == pytest.approx(1 - 5 / 30)
    np.testing.assert_allclose(told["largest_loading_percent"], [120.0, 100.0])
    np.testing.assert_allclose(told["voltage_violated_h"], 4.0)
    np.testing.assert_allclose(told["voltage_deviation_pu_h"], 2 * (0.06 + 0.1 + 0.01))
    np.testing.assert_allclose(told["loss_mwh"], [0.4, 0.2])
    assert float(told["loss_reduction"]) == pytest.approx(0.5)
    np.testing.assert_allclose(told["renewable_accommodation"], [np.nan, 0.75])
    np.testing.assert_allclose(told["share_traded"], [np.nan, 0.5])
    np.testing.assert_allclose(told["self_sufficiency"][1], 1 - 1.0 / 2.5)
    np.testing.assert_allclose(told["grid_peak_mw"], [1.0, 0.5])
    np.testing.assert_allclose(told["grid_peak_export_mw"], [0.5, 0.0])


@pytest.mark.parametrize(
    ("before", "after", "mitigated"), [(50.0, 50.0, 1.0), (50.0, 150.0, np.nan), (150.0, 50.0, 1.0)]
)
def test_edges_of_mitigation(before: float, after: float, mitigated: float) -> None:
    days = [day(np.full((2, 2), value)) for value in (before, after)]
    told = p2p.indicators(two_lines(), *days)
    np.testing.assert_equal(float(told["congestion_mitigation"]), mitigated)


def test_a_day_without_voltages_or_of_another_net_is_refused() -> None:
    whole = day(np.zeros((2, 2)))
    with pytest.raises(InvalidInput, match=r"after.vm_pu: is missing"):
        p2p.indicators(two_lines(), whole, whole.drop_vars("vm_pu"))
    with pytest.raises(InvalidInput, match=r"before.line: row 7"):
        p2p.indicators(two_lines(), whole.assign_coords(line=[0, 7]), whole)


def test_years_and_dispatches_have_indicators_too() -> None:
    net = two_lines()
    pp.create_load(net, 2, p_mw=0.5)
    run = p2p.run_year(net, xr.Dataset(coords={"time": np.arange(3.0)}))
    told = p2p.indicators(net, run, p2p.dispatch(net, objective="loss"))
    assert float(told["loss_mwh"].sel(case="before")) == pytest.approx(
        3 * float(told["loss_mwh"].sel(case="after")), rel=1e-4
    )


@pytest.fixture(scope="module")
def pair() -> Any:
    """Two participants, one with sun, four hours."""
    net = two_lines()
    for bus, load in ((1, 0.2), (2, 0.6)):
        who = p2p.create_participant(net, bus)
        p2p.assign(net, who, load=[pp.create_load(net, bus, p_mw=load)])
    sun = pp.create_sgen(net, 1, p_mw=1.0)
    p2p.assign(net, 0, sgen=[sun])
    profiles = xr.Dataset(
        {
            "sgen_p_mw": (("time", "sgen"), np.array([[0.0], [0.6], [0.9], [0.2]])),
            "price_buy_eur_per_mwh": ("time", np.array([120.0, 200.0, 200.0, 240.0])),
            "price_sell_eur_per_mwh": ("time", np.full(4, 60.0)),
        },
        coords={"time": np.arange(4) * 6.0, "sgen": [sun]},
    )
    return net, profiles


def test_end_use_is_swept_in_one_call(pair: Any) -> None:
    net, profiles = pair
    ds = p2p.end_use_analysis(
        net, profiles, elasticity=[0.0, -0.4], shiftable_percent=[0.0, 50.0],
        load_shape={"as it is": None, "noon": [0.5, 1.0, 2.0, 0.5]},
    )  # fmt: skip
    cost = ds["social_cost_eur"]
    assert cost.dims == ("elasticity", "shiftable_percent", "load_shape")
    assert ds["cost_eur"].dims == (*cost.dims, "participant")
    assert set(ds["status"].to_numpy().ravel()) == {"optimal"}
    # alone, nobody who may shift or follow the price is worse off
    alone = ds["cost_eur"] + ds["saving_eur"]
    assert (alone.sel(shiftable_percent=50.0) <= alone.sel(shiftable_percent=0.0) + 1e-6).all()
    assert (alone.sel(elasticity=-0.4) <= alone.sel(elasticity=0.0) + 1e-6).all()
    own = ds["self_sufficiency"].sel(elasticity=0.0, shiftable_percent=0.0)
    assert float(own.sel(load_shape="noon")) > float(own.sel(load_shape="as it is"))
    assert len(plotting.end_use_figure(ds).data) == 4
    assert len(plotting.end_use_figure(ds, "cost_eur").data) == 4
    with pytest.raises(InvalidInput, match="nothing"):
        plotting.end_use_figure(ds, "nothing")


def test_bad_characteristics_are_refused(pair: Any) -> None:
    for arguments, says in (
        ({"elasticity": [0.2]}, "at most 0"),
        ({"shiftable_percent": [120.0]}, "0 to 100"),
        ({"elasticity": []}, "empty"),
        ({"load_shape": {"odd": [1.0, 2.0]}}, "2 values for 4 steps"),
        ({"load_shape": {"none": [0.0] * 4}}, "no energy"),
    ):
        with pytest.raises(InvalidInput, match=says):
            p2p.end_use_analysis(*pair, **arguments)


def test_mechanisms_side_by_side(pair: Any) -> None:
    net, profiles = pair
    ds = p2p.compare_mechanisms(net, profiles)
    assert ds["mechanism"].to_numpy().tolist() == ["no trading", "Nash bargaining", "Stackelberg"]
    gain = ds["gain_eur"]
    assert float(gain.sel(mechanism="no trading")) == 0.0
    assert float(gain.sel(mechanism="Nash bargaining")) >= float(gain.sel(mechanism="Stackelberg"))
    assert float(gain.sel(mechanism="Stackelberg")) > 0.0
    assert float(ds["spread_eur"].sel(mechanism="Nash bargaining")) == pytest.approx(0.0, abs=1e-4)
    assert len(plotting.mechanisms_figure(ds, {0: "sun", 1: "town"}).data) == 5


def test_loads_answer_prices_across_hours() -> None:
    profiles = xr.Dataset(
        {
            "load_p_mw": (("time", "load"), np.array([[10.0, 1.0], [20.0, 1.0], [30.0, 1.0]])),
            "load_q_mvar": (("time", "load"), np.full((3, 2), 0.5)),
            "price_buy_eur_per_mwh": ("time", np.array([110.0, 80.0, 130.0])),
            "price_sell_eur_per_mwh": ("time", np.full(3, 50.0)),
        },
        coords={"time": np.arange(3.0), "load": [4, 7]},
    )
    e = np.array([[-0.14, 0.03, 0.02], [0.04, -0.105, 0.05], [0.02, 0.06, -0.04]])
    out = p2p.price_response(profiles, e, reference_price_eur_per_mwh=100.0, loads=[4])
    np.testing.assert_allclose(out["load_p_mw"].sel(load=4), [9.86, 20.8, 29.34])
    np.testing.assert_allclose(out["load_p_mw"].sel(load=7), 1.0)
    np.testing.assert_allclose(out["load_q_mvar"].sel(load=4), 0.5 * np.array([0.986, 1.04, 0.978]))
    with pytest.raises(InvalidInput, match="rises with its own price"):
        p2p.price_response(profiles, np.eye(3))
    with pytest.raises(InvalidInput, match="load_p_mw"):
        p2p.price_response(profiles.drop_vars("load_p_mw"), e)
