"""Strategic trading and congestion management: laws of the day, limits, bad input."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pp_p2p as p2p
from pp_p2p.errors import InvalidInput, NoSolution, UnsupportedFeature
from pp_p2p.market.clearing import ClearingData
from pp_p2p.market.congestion import Capacity, CongestionManagement, Sold, tighten
from pp_p2p.market.network_state import Network, Violation
from pp_p2p.market.own_schedules import OwnSchedules
from pp_p2p.market.price_market import Offers, clear_market
from pp_p2p.market.stackelberg import Stackelberg
from pp_p2p.network.timeline import Timeline
from pp_p2p.results import net_hash
from pp_p2p.solve.report import DEFAULT_CONFIG

RULES = ("pro_rata", "price_priority", "least_violation")


def street(*, rated_ka: float = 1.0, vm_max: float = 1.2, base_mw: float = 0.1) -> tuple[Any, Any]:
    """Return two branches of two buses each: two sellers on one, two buyers on the other."""
    net = pp.create_empty_network(sn_mva=1.0)
    for _ in range(6):
        pp.create_bus(net, 10.0, min_vm_pu=0.8, max_vm_pu=vm_max)
    pp.create_ext_grid(net, 0)
    for a, b in ((0, 1), (1, 2), (2, 3), (1, 4), (4, 5)):
        pp.create_line_from_parameters(net, a, b, 1.0, 0.4, 0.3, 0.0, rated_ka)
    hours = np.arange(4) * 6.0
    sun = np.array([0.0, 0.6, 1.0, 0.3])
    made = {}
    for bus, load, pv in ((2, 0.2, 1.5), (3, 0.1, 2.0), (4, 1.0, 0.0), (5, 0.8, 0.2)):
        who = p2p.create_participant(net, bus, name=f"P{bus}", max_export_mw=0.1)
        row = pp.create_load(net, bus, p_mw=load, q_mvar=0.0)
        p2p.assign(net, who, load=[row])
        if pv:
            unit = pp.create_sgen(net, bus, p_mw=pv)
            made[unit] = pv * sun
            p2p.assign(net, who, sgen=[unit])
    pp.create_load(net, 1, p_mw=base_mw)
    day = xr.Dataset(
        {
            "sgen_p_mw": (("time", "sgen"), np.stack(list(made.values()), axis=1)),
            "price_buy_eur_per_mwh": ("time", np.array([150.0, 200.0, 200.0, 180.0])),
            "price_sell_eur_per_mwh": ("time", np.full(4, 60.0)),
        },
        coords={"time": hours, "sgen": list(made)},
    )
    return net, day


def balanced(ds: xr.Dataset) -> None:
    """Assert that money and energy are conserved."""
    paid = float(ds["payment_eur"].sum() + ds["operator_payment_eur"])
    assert abs(paid) < 1e-9
    pairs = ds["pair_payment_eur"].to_numpy()
    np.testing.assert_allclose(pairs.sum(axis=1), ds["payment_eur"], atol=1e-9)
    taken = ds["p_grid_mw"].sum("participant") + ds["operator_p_grid_mw"]
    np.testing.assert_allclose(taken, ds["p_source_mw"].sum("ext_grid"), atol=1e-5)
    np.testing.assert_allclose(ds["net_trade_mw"].sum("participant"), 0.0, atol=1e-9)


@pytest.mark.parametrize(
    "mechanism",
    [
        Stackelberg(),
        Stackelberg(fee="electrical_distance"),
        Stackelberg(competition="quantity"),
        Stackelberg(competition="quantity", substitution=1.0),
        Stackelberg(selection="replicator"),
    ],
    ids=["price", "distance", "quantity", "alike", "replicator"],
)
def test_competition_conserves_money_and_leaves_nobody_worse(mechanism: Any) -> None:
    net, day = street()
    ds = p2p.trade_day(net, day, mechanism=mechanism)
    balanced(ds)
    assert ds.attrs["equilibrium"].startswith("equilibrium")
    assert ds.attrs["regret_eur"] <= mechanism.tolerance * ds.attrs["turnover_eur"]
    assert ds.attrs["unique"] == "condition holds"
    assert float(ds["trade_mw"].sum()) > 0.1
    assert (ds["saving_eur"] >= -1e-6).all()
    price = ds["seller_price_eur_per_mwh"]
    assert (price.min("participant") >= day["price_sell_eur_per_mwh"] - 1e-6)[1:].all()
    assert (price.max("participant") <= day["price_buy_eur_per_mwh"] + 1e-6)[1:].all()
    sold = ds["trade_mw"].sum("buyer").rename(seller="participant")
    bought = ds["trade_mw"].sum("seller").rename(buyer="participant")
    assert (np.minimum(sold, bought) < 1e-9).all()  # one role in an hour
    assert (ds["p_grid_mw"] >= -0.1 - 1e-6).all()  # what the grid takes


def test_price_of_a_monopolist_is_the_middle() -> None:
    """One seller with more than enough, one buyer: half way between cost and choke price."""
    offers = Offers(
        surplus=np.array([[5.0], [0.0]]),
        deficit=np.array([[0.0], [1.0]]),
        taken_by_grid=np.full((2, 1), np.inf),
        price_buy=np.array([200.0]),
        price_sell=np.array([60.0]),
        fee=np.full((2, 2), 10.0),
        limit=np.full((2, 1), np.inf),
        limited=np.zeros((2, 2, 1), dtype=bool),
    )
    cleared = clear_market(offers, Stackelberg(peer_share=1.0))
    assert cleared.price[0, 0] == pytest.approx((60.0 + 190.0) / 2, abs=1e-9)
    assert cleared.trade_mw[0, 1, 0] == pytest.approx(0.5, abs=1e-9)


@pytest.mark.parametrize("who", ["sellers", "buyers"])
def test_sellers_without_buyers_and_the_reverse_do_not_trade(who: str) -> None:
    net, day = street()
    if who == "sellers":
        net.load["p_mw"] = 0.0
        net.load.loc[0, "p_mw"] = 0.01
        day["sgen_p_mw"] = day["sgen_p_mw"].clip(min=0.5)
    else:
        day["sgen_p_mw"] = day["sgen_p_mw"] * 0.0
    net.participant.loc[2, "in_service"] = False  # has no PV
    net.load.loc[2, "participant"] = -1
    ds = p2p.trade_day(net, day, mechanism=Stackelberg())
    assert float(ds["trade_mw"].sum()) == 0.0
    assert ds.attrs["equilibrium"] == "nothing is traded"
    np.testing.assert_allclose(ds["saving_eur"], 0.0, atol=1e-6)


@settings(
    max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 200))
def test_random_markets_have_equilibria_that_help(make_market: Any, seed: int) -> None:
    net, day = make_market(seed)
    ds = p2p.trade_day(net, day, mechanism=Stackelberg())
    balanced(ds)
    assert not ds.attrs["equilibrium"].startswith("not ")  # nothing may be traded
    assert (ds["saving_eur"] >= -1e-5).all()


@pytest.mark.parametrize("mechanism", [Stackelberg(), p2p.NashBargaining()], ids=["led", "nash"])
def test_days_without_congestion_are_left_as_they_are(mechanism: Any) -> None:
    net, day = street()
    free = p2p.trade_day(net, day, mechanism=mechanism, congestion="watch")
    assert free.attrs["limits_broken"] == 0
    for rule in RULES if isinstance(mechanism, Stackelberg) else RULES[:1]:
        managed = p2p.trade_day(net, day, mechanism=mechanism, congestion=rule)
        for name in free.data_vars:
            np.testing.assert_allclose(managed[name], free[name], atol=1e-9, err_msg=str(name))


@pytest.mark.parametrize(
    ("mechanism", "rule"),
    [*((Stackelberg(), rule) for rule in RULES), (p2p.NashBargaining(), "pro_rata")],
    ids=[*RULES, "nash"],
)
def test_congestion_is_gone_in_the_power_flow(mechanism: Any, rule: str) -> None:
    net, day = street(rated_ka=0.03, vm_max=1.004)
    net.line.loc[[0, 3, 4], "max_i_ka"] = 1.0
    free = p2p.trade_day(net, day, mechanism=mechanism, congestion="watch")
    assert free.attrs["limits_broken"] > 0
    ds = p2p.trade_day(net, day, mechanism=mechanism, congestion=rule)
    balanced(ds)
    assert ds.attrs["limits_broken"] == 0
    assert float(ds["trade_mw"].sum()) > 0.05  # not everything is cut
    if isinstance(mechanism, Stackelberg):
        assert ds.attrs["equilibrium"].startswith("equilibrium")
        assert int(free.attrs["limits_broken"]) == int(ds["limits_broken_by_round"][0])
    for t, hour in enumerate(day["time"].to_numpy()):
        net.sgen["p_mw"] = ds["sgen_p_mw"].sel(time=hour).to_series()
        p2p.runpp(net, numba=False)
        assert (net.res_line.loading_percent <= 100.0 + 1e-6).all()
        assert (net.res_bus.vm_pu.iloc[1:] <= 1.004 + 1e-8).all()
        np.testing.assert_allclose(ds["vm_pu"][t], net.res_bus.vm_pu, atol=1e-8)
        np.testing.assert_allclose(
            ds["line_loading_percent"][t], net.res_line.loading_percent, atol=1e-5
        )
    told = p2p.indicators(net, free, ds)
    assert float(told["congestion_mitigation"]) == 1.0
    assert float(told["overload_mvah"].sel(case="after")) == 0.0


def test_limits_that_no_sale_breaks_are_named() -> None:
    net, day = street()
    net.line.loc[4, "max_i_ka"] = 0.01  # to a buyer that needs more
    with pytest.raises(NoSolution, match=r"no sale loads: line 4"):
        p2p.trade_day(net, day, mechanism=Stackelberg(), congestion="pro_rata")


def violation(pull: Any, excess: float, *, step: int = 0) -> Violation:
    return Violation(
        table="line", row=1, step=step, value=120.0, excess=excess, pull=np.array(pull)
    )


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(RULES))
def test_market_capacity_never_grows_and_spares_counter_flow(seed: int, rule: Any) -> None:
    rng = np.random.default_rng(seed)
    n, hours = 4, 2
    sold = Sold(
        trade=rng.uniform(0, 1, (n, n, hours)), grid=rng.uniform(0, 1, (n, hours)),
        worth=rng.uniform(0, 100, (n, n, hours)), grid_worth=np.zeros((n, hours)),
    )  # fmt: skip
    pull = np.where(rng.random(n) < 0.5, rng.uniform(1, 9, n), -rng.uniform(0, 9, n))
    pull[0] = 5.0
    capacity = Capacity.endless(n, hours)
    line = Timeline.from_profiles(xr.Dataset(coords={"time": np.arange(2.0)}))
    for _ in range(2):
        broken = [violation(pull, rng.uniform(0.1, 2.0))]
        tighter = tighten(
            capacity, sold, broken, CongestionManagement(rule=rule),
            line=line, solver=DEFAULT_CONFIG,
        )  # fmt: skip
        assert (tighter.limit <= capacity.limit).all()
        assert (tighter.grid <= capacity.grid).all()
        assert (capacity.limited <= tighter.limited).all()
        against = ~((pull[:, None] > 0) & (pull[:, None] > pull[None, :]))
        assert not tighter.limited[against, 0].any()  # counter-flow and local trades
        assert np.isinf(tighter.grid[pull <= 0, 0]).all()
        assert np.isinf(tighter.limit[:, 1]).all()  # the other hour is whole
        loads = np.where(tighter.limited[:, :, 0], sold.trade[:, :, 0], 0.0).sum(axis=1)
        kept = np.minimum(tighter.limit[:, 0], loads), np.minimum(tighter.grid[:, 0],
                                                                  sold.grid[:, 0])  # fmt: skip
        relief = np.maximum(pull, 0.0) @ (loads - kept[0] + sold.grid[:, 0] - kept[1])
        assert relief >= broken[0].excess - 1e-6
        capacity = tighter


def test_trades_that_make_buyers_draw_are_halved_and_then_gone() -> None:
    trade = np.zeros((3, 3, 1))
    trade[0, 1, 0], trade[0, 2, 0] = 0.4, 0.2
    sold = Sold(trade=trade, grid=np.zeros((3, 1)), worth=trade, grid_worth=np.zeros((3, 1)))
    line = Timeline.from_profiles(xr.Dataset(coords={"time": [0.0]}))
    broken = [violation([0.0, -5.0, 0.0], 3.0)]  # what 1 draws loads the line
    arguments: dict[str, Any] = {"line": line, "solver": DEFAULT_CONFIG}
    how, capacity = CongestionManagement(), Capacity.endless(3, 1)
    once = tighten(capacity, sold, broken, how, **arguments)
    assert once.limited[:, :, 0].tolist() == [[False, True, False], [False] * 3,
                                              [False, True, False]]  # fmt: skip
    assert once.limit[0, 0] == pytest.approx(0.2)
    gone = tighten(once, sold, broken, how, forced=True, **arguments)
    assert gone.limit[0, 0] == 0.0
    later = np.concatenate([0 * trade, trade], axis=2)  # draws now to trade later
    charging = Sold(trade=later, grid=np.zeros((3, 2)), worth=later, grid_worth=np.zeros((3, 2)))
    day = Capacity.endless(3, 2)
    assert tighten(day, charging, broken, how, **arguments).limit[0, 1] == pytest.approx(0.2)
    none = Sold(trade=0 * trade, grid=np.zeros((3, 1)), worth=trade, grid_worth=np.zeros((3, 1)))
    with pytest.raises(NoSolution, match="no sale loads: line 1"):
        tighten(capacity, none, broken, how, **arguments)


def test_sensitivities_are_those_of_the_power_flow() -> None:
    net, day = street(rated_ka=0.02, vm_max=1.0005)
    data = ClearingData.from_net(net, day, p2p.NashBargaining())
    network = Network(net, data)
    flows = OwnSchedules(data, DEFAULT_CONFIG).offer().flows
    state = network.state(flows)
    found = network.violations(state)
    assert {v.table for v in found} == {"line", "bus"}
    step = 1e-4
    for k, node in enumerate(data.participant_node):
        more = copy.deepcopy(flows)
        more.p_injected[:, node] += step
        moved = network.state(more)
        for v in found:
            if v.table == "bus":
                at = network.buses.tolist().index(v.row)
                change = (moved.vm_pu - state.vm_pu)[v.step, at] / step
                sign = 1.0 if v.value > 1 else -1.0
                assert v.pull[k] == pytest.approx(sign * change, abs=0.1 * abs(change) + 1e-4)
            else:
                labels, after, _, _ = moved.rated("line")
                at = labels.tolist().index(v.row)
                change = (after - state.rated("line")[1])[v.step, at] / step
                assert v.pull[k] == pytest.approx(change, rel=0.1, abs=5.0)


def test_results_are_stored_and_the_same_twice(tmp_path: Path) -> None:
    net, day = street(rated_ka=0.03)
    net.line.loc[[0, 3, 4], "max_i_ka"] = 1.0
    before = net_hash(net)
    once, twice = (
        p2p.trade_day(net, day, mechanism=Stackelberg(), congestion="pro_rata") for _ in range(2)
    )
    for name in once.data_vars:
        np.testing.assert_array_equal(once[name], twice[name])
    assert net_hash(net) == before
    loaded = p2p.from_netcdf(p2p.to_netcdf(once, tmp_path / "day.nc"))
    xr.testing.assert_identical(loaded, once)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"substitution": 1.0}, "Bertrand and Edgeworth.*competition='quantity'"),
        ({"substitution": 1.5}, "substitution"),
        ({"peer_share": 0.0}, "peer_share"),
        ({"competition": "cost"}, "choose one of price, quantity"),
        ({"competition": "quantity", "selection": "replicator"}, "take prices"),
        ({"competition": "quantity", "substitution": 1.0, "fee": "electrical_distance"}, "pair"),
        ({"network_fee_eur_per_mwh": -1.0}, "network_fee"),
    ],
)
def test_bad_mechanisms_are_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        Stackelberg(**change)


def test_bad_calls_are_refused() -> None:
    net, day = street()
    for arguments, says in (
        ({"congestion": "first come"}, "choose one of pro_rata"),
        ({"congestion": 3}, "congestion"),
        ({"mechanism": Stackelberg(), "formulation": "lindistflow"}, "cleared without the network"),
        ({"mechanism": Stackelberg(), "algorithm": "distributed"}, "cleared without the network"),
        ({"mechanism": "stackelberg"}, "mechanism"),
    ):
        with pytest.raises(InvalidInput, match=says):
            p2p.trade_day(net, day, **arguments)
    with pytest.raises(InvalidInput, match="max_rounds"):
        CongestionManagement(max_rounds=0)
    crossed = day.assign(price_sell_eur_per_mwh=day["price_buy_eur_per_mwh"] + 1.0)
    with pytest.raises(InvalidInput, match="price_sell"):
        p2p.trade_day(net, crossed, mechanism=Stackelberg())
    uncertain = day.assign(
        price_buy_eur_per_mwh=day["price_buy_eur_per_mwh"].expand_dims(scenario=[0, 1])
    )
    with pytest.raises(UnsupportedFeature, match="uncertain"):
        p2p.trade_day(net, uncertain, mechanism=Stackelberg())
    p2p.create_sop(net, buses=[3, 5], sn_mva=0.5)
    with pytest.raises(UnsupportedFeature, match="sop"):
        p2p.trade_day(net, day, mechanism=Stackelberg())
