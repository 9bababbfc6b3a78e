"""Trading in a reconfigurable network: laws, enumeration, the joint optimum, bad input."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import networkx
import numpy as np
import pandapower as pp
import pandapower.topology as top
import pandas as pd
import pytest
import xarray as xr

import pp_p2p as p2p
from pp_p2p.algorithms.two_block import Message
from pp_p2p.errors import InvalidInput, NoSolution, UnsupportedFeature
from pp_p2p.market.looped_market import LoopedMarket
from pp_p2p.market.reconfiguration_options import operations
from pp_p2p.market.reconfigured_market import ReconfiguredMarket
from pp_p2p.market.topology_pool import FreeBinaries, all_trees, neighbours
from pp_p2p.network.spanning import graph_facts
from pp_p2p.network.tree_flow import shape_of
from pp_p2p.operation.start_configurations import least_impedance_tree
from pp_p2p.solve.report import DEFAULT_CONFIG


def least_by_enumeration(market: ReconfiguredMarket) -> float:
    """Return the least objective of all sequences of configurations."""
    graph, line = market.graph, market.data.line
    trees = all_trees(graph, least_impedance_tree(graph), 1000)
    assert trees is not None
    assert len(trees) == graph_facts(graph).n_configurations
    inner = LoopedMarket(market.data, market.physics, trading=True, operator_weight=1.0)
    limits = market.options.limits(line, 1.0)
    least = np.inf
    for some in itertools.product(trees, repeat=line.n_steps):
        closed = np.array(some)
        count = operations(graph.closed, closed).sum()
        if limits.max_operations is not None and count > limits.max_operations:
            continue
        try:
            _, report = inner.solve(closed, DEFAULT_CONFIG)
        except NoSolution:
            continue
        least = min(least, report.objective + limits.cost * count)
    return least


@pytest.fixture(scope="module")
def day_of_seed_0(meshed: Any) -> xr.Dataset:
    """Return a whole result, of a market in which storage ties the hours."""
    net, day = meshed(0)
    return p2p.trade_day(
        net,
        day,
        mechanism=p2p.NashBargaining(network_fee_eur_per_mwh=5.0),
        reconfigure=p2p.Reconfiguration(switching_cost_eur=1.0, compare_joint=True),
    )


@pytest.mark.parametrize("seed", [0, 2])
def test_rounds_find_what_enumeration_finds(seed: int, meshed: Any, market_of: Any) -> None:
    net, day = meshed(seed)
    market = market_of(net, day, switching_cost_eur=1.0, max_operations=4 - seed)
    present = np.tile(market.graph.closed, (2, 1))
    ended = market.ended([present], trading=True, weight=1.0)
    least = least_by_enumeration(market)
    assert ended.point.objective == pytest.approx(least, rel=1e-6)
    assert ended.outcome.bound <= least + 1e-6 * abs(least)


def test_joint_optimum_is_found_in_nine_of_ten_cases(meshed: Any, market_of: Any) -> None:
    found = 0
    for seed in range(10):
        net, day = meshed(seed)
        market = market_of(net, day, switching_cost_eur=1.0, compare_joint=True)
        present = np.tile(market.graph.closed, (2, 1))
        ended = market.ended([present], trading=True, weight=1.0)
        joint = market.joint(ended)
        assert joint is not None
        gap = (ended.point.objective - joint.objective) / abs(joint.objective)
        assert gap >= -1e-6  # the joint optimum is one
        found += gap <= 1e-6
    assert found >= 9


@pytest.mark.parametrize("seed", [1])
def test_values_of_hours_are_bounds_and_exact_at_their_own_configurations(
    seed: int, meshed: Any, market_of: Any
) -> None:
    net, day = meshed(seed)
    market = market_of(net, day)
    inner = LoopedMarket(market.data, market.physics, trading=True, operator_weight=1.0)
    here = np.tile(market.graph.closed, (2, 1))
    _, report = inner.solve(here, DEFAULT_CONFIG)
    hours = inner.hours()
    assert not hours.independent
    hours.price(hours.duals(report))

    def value(closed: Any) -> float:
        return hours.constant + sum(hours.value(tree, t) for t, tree in enumerate(closed))

    assert value(here) == pytest.approx(report.objective, rel=1e-6)
    for near in neighbours(market.graph, market.graph.closed, market.graph.switchable):
        there = np.array([near, here[1]])
        try:
            _, report = inner.solve(there, DEFAULT_CONFIG)
        except NoSolution:
            continue
        assert value(there) <= report.objective + 1e-5 * abs(report.objective)


def test_result_is_monotone_radial_safe_and_replayed(day_of_seed_0: xr.Dataset) -> None:
    ds = day_of_seed_0
    assert (np.diff(ds["round_objective_eur"]) <= 1e-9).all()
    assert (np.diff(ds["round_seconds"]) >= 0).all()
    assert ds.attrs["limits_hold"] == 1
    assert ds.attrs["unsafe_operations"] == 0
    assert ds["operation_safe"].all()
    assert ds.attrs["ac_vm_error_pu"] < 1e-6
    assert ds.attrs["relaxation"] == "exact"
    assert ds.attrs["joint_gap"] == pytest.approx(0.0, abs=1e-6)
    assert int(ds["operations"].sum()) == ds.attrs["operations"]
    assert float(ds["switching_cost_eur"]) == ds.attrs["operations"] * 1.0
    assert ds.attrs["termination"] == "proven optimum"
    assert ds.attrs["status"] == "optimal"


def test_every_hour_stands_in_pandapower(day_of_seed_0: xr.Dataset, meshed: Any) -> None:
    """Set the switches by hand and run pandapower itself: a tree, and the same voltages."""
    ds, (net, day) = day_of_seed_0, meshed(0)
    for t in range(2):
        hour = copy.deepcopy(net)
        for k, closed in zip(ds["element_index"].values, ds["closed"].values[t], strict=True):
            hour.line.loc[k, "in_service"] = bool(closed)
        graph = top.create_nxgraph(hour, multi=False)
        assert networkx.is_tree(graph)
        hour.load["p_mw"] = day["load_p_mw"].values[t]
        hour.sgen["p_mw"] = ds["sgen_p_mw"].values[:, t]
        hour.storage["p_mw"] = ds["storage_p_mw"].values[:, t]
        pp.runpp(hour, numba=False)
        assert hour.res_bus.vm_pu.to_numpy() == pytest.approx(ds["vm_pu"].values[t], abs=1e-6)
        assert (hour.res_line.loading_percent <= 100.0 + 1e-4).all()


def test_money_is_conserved_and_everyone_gains(day_of_seed_0: xr.Dataset) -> None:
    ds = day_of_seed_0
    paid = float(ds["payment_eur"].sum() + ds["operator_payment_eur"])
    assert paid == pytest.approx(0.0, abs=1e-6)
    assert (ds["saving_eur"] >= -1e-6).all()
    total = float(ds["cost_before_payment_eur"].sum() + ds["operator_cost_before_payment_eur"])
    assert total == pytest.approx(ds.attrs["rounds_objective_eur"], rel=1e-6)


def test_reconfiguring_never_costs_more_than_the_net_as_it_stands(meshed: Any) -> None:
    net, day = meshed(3, hours=1)
    fixed = p2p.trade_day(net, day)
    free = p2p.trade_day(net, day, reconfigure=p2p.Reconfiguration(compare_joint=False))
    none = p2p.trade_day(
        net, day, reconfigure=p2p.Reconfiguration(max_operations=0, compare_joint=False)
    )
    cost = fixed.attrs["objective_eur"]
    assert free.attrs["objective_eur"] <= cost + 1e-6 * abs(cost)
    assert none.attrs["objective_eur"] == pytest.approx(cost, rel=1e-6)
    assert none["saving_eur"].values == pytest.approx(fixed["saving_eur"].values, abs=1e-2)
    assert int(none["operations"].sum()) == 0


def test_agreement_without_a_centre_ends_at_the_same_configurations(meshed: Any) -> None:
    net, day = meshed(1, hours=1, storage=False)
    heard: list[Message] = []
    options = p2p.Reconfiguration(compare_joint=False, listen=heard.append)
    runs = [
        p2p.trade_day(net, day, algorithm=algorithm, reconfigure=options)
        for algorithm in ("central", p2p.Distributed(tolerance=1e-3))
    ]
    assert (runs[0]["closed"] == runs[1]["closed"]).all()
    assert abs(runs[1].attrs["distributed_gap"]) <= 1e-3
    assert {"inner_round", "iteration"} == set(runs[1]["inner_residual_primal"].dims)
    assert np.nanmin(runs[1]["inner_residual_primal"].values) < 1e-2
    assert (np.diff(runs[1]["round_objective_eur"]) <= 1e-9).all()
    said = {(m.sender, m.receiver, m.quantity) for m in heard}
    assert ("agents", "operator", "offers") in said
    assert ("operator", "agents", "configurations") in said


def test_binaries_are_fixed_where_nothing_changes(meshed: Any, market_of: Any) -> None:
    net, day = meshed(0)
    market = market_of(net, day)
    graph = market.graph
    now = np.tile(graph.closed, (2, 1))
    free = FreeBinaries(graph, 2, 1, 0)
    assert (free.free(now) == graph.switchable).all()
    free.after(now, now)
    assert (free.free(now) == (graph.switchable & ~now)).all()  # what is open stays free
    onward = free.copy()
    onward.after(now, ~now)
    assert (free.free(now) == (graph.switchable & ~now)).all()  # a copy goes on alone
    every = FreeBinaries(graph, 2, None, 0)
    every.after(now, now)
    assert (every.free(now) == graph.switchable).all()


def test_neighbours_are_all_trees_one_exchange_away(meshed: Any, market_of: Any) -> None:
    net, day = meshed(4)
    graph = market_of(net, day).graph
    trees = all_trees(graph, least_impedance_tree(graph), 1000)
    assert trees is not None
    assert all(shape_of(graph, tree) is not None for tree in trees)
    near = {t.tobytes() for t in neighbours(graph, trees[0], graph.switchable)}
    assert near == {t.tobytes() for t in trees if (t != trees[0]).sum() == 2}
    assert all_trees(graph, trees[0], len(trees) - 1) is None


def test_one_call_compares_topologies(meshed: Any) -> None:
    net, day = meshed(6, hours=1)
    table = p2p.reconfiguration_cases(net, day)
    assert table["topology"].values.tolist() == ["fixed", "static", "hourly"]
    cost = table["social_cost_eur"]
    slack = 1e-6 * np.abs(cost).max()
    assert (cost.diff("topology") <= slack).all()
    assert (cost.sel(trading=True) <= cost.sel(trading=False) + slack).all()
    assert (table["volume_mwh"].sel(trading=False) == 0).all()
    for name in ("loss_mwh", "vm_min_pu", "line_loading_max_percent", "price_spread_eur_per_mwh"):
        assert np.isfinite(table[name]).all()


@pytest.mark.parametrize(
    ("wrong", "column"),
    [
        ({"max_operations": -1}, "max_operations"),
        ({"max_operations": 1.5}, "max_operations"),
        ({"switching_cost_eur": float("nan")}, "switching_cost_eur"),
        ({"unchanged_rounds": 0}, "unchanged_rounds"),
        ({"bound_nodes": -1}, "bound_nodes"),
        ({"bound_nodes": None}, "bound_nodes"),
        ({"change_every": "hour"}, "change_every"),
        ({"time_limit_s": 0.0}, "time_limit_s"),
        ({"switchable": [3, 4]}, "switchable"),
    ],
)
def test_wrong_options_are_named(wrong: dict[str, Any], column: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        p2p.Reconfiguration(**wrong)
    assert [finding.column for finding in caught.value.findings] == [column]


@pytest.mark.parametrize("wrong", [4, True, {"max_operations": 4}])
def test_what_is_no_reconfiguration_is_named(wrong: Any, meshed: Any) -> None:
    net, day = meshed(0)
    for call in (p2p.trade_day, p2p.reconfiguration_cases):
        with pytest.raises(InvalidInput, match=r"reconfigure: is .*Reconfiguration"):
            call(net, day, reconfigure=wrong)


@pytest.mark.parametrize("wrong", [None, pd.DataFrame()])
def test_what_are_no_profiles_is_named(wrong: Any, meshed: Any) -> None:
    net, _ = meshed(0)
    with pytest.raises(InvalidInput, match="profiles: is a"):
        p2p.trade_day(net, wrong, reconfigure=p2p.Reconfiguration())


def test_a_step_is_written_back_with_its_switches(day_of_seed_0: xr.Dataset, meshed: Any) -> None:
    ds, (net, _) = day_of_seed_0, meshed(0)
    changed = p2p.write_back(net, ds, step=1)
    rows = ds["element_index"].values
    assert (net.line.in_service[rows].to_numpy() == ds["closed"].values[1].astype(bool)).all()
    moved = np.flatnonzero(ds["closed"].values[1] != ds["closed_before"].values)
    assert sorted(changed) == moved.tolist()
    assert net.res_participant.payment_eur.to_numpy() == pytest.approx(ds["payment_eur"].values)


def test_a_line_that_is_no_tie_may_be_out_of_service(meshed: Any) -> None:
    net, day = meshed(1, hours=1, storage=False)
    ties = net.line.index[~net.line.in_service].tolist()
    switchable = [*ties[:1], *net.line.index[net.line.in_service]]
    options = p2p.Reconfiguration(compare_joint=False, switchable={"line": switchable})
    ds = p2p.trade_day(net, day, reconfigure=options)
    assert ds["line"].values.tolist() == net.line.index.tolist()
    assert not ds["line_loading_percent"].sel(line=ties[1]).fillna(0.0).any()


def test_a_net_without_switches_is_refused(meshed: Any) -> None:
    net, day = meshed(0)
    net.line = net.line[net.line.in_service]
    with pytest.raises(InvalidInput, match="no line switch"):
        p2p.trade_day(net, day, reconfigure=p2p.Reconfiguration())


def test_uncertain_prices_are_refused(meshed: Any) -> None:
    net, day = meshed(0)
    day["price_buy_eur_per_mwh"] = day["price_buy_eur_per_mwh"].expand_dims(scenario=[0, 1])
    day["probability"] = ("scenario", [0.5, 0.5])
    with pytest.raises(UnsupportedFeature, match="scenario"):
        p2p.trade_day(net, day, reconfigure=p2p.Reconfiguration())


def test_limits_that_no_topology_keeps_are_named(meshed: Any) -> None:
    net, day = meshed(0)
    net.bus.loc[1:, "min_vm_pu"] = 1.05
    with pytest.raises(NoSolution, match="no radial configuration of all"):
        p2p.trade_day(net, day, reconfigure=p2p.Reconfiguration())


def test_an_operation_limit_that_only_unreachable_topologies_keep_is_named(
    meshed: Any, market_of: Any
) -> None:
    net, day = meshed(0)
    graph = market_of(net, day).graph
    near = neighbours(graph, graph.closed, graph.switchable)[0]
    weak = int(graph.index[np.flatnonzero(graph.closed & ~near)[0]])
    net.line.loc[weak, "max_i_ka"] = 1e-6
    with pytest.raises(NoSolution, match="max_operations=0"):
        p2p.trade_day(net, day, reconfigure=p2p.Reconfiguration(max_operations=0))
    ds = p2p.trade_day(net, day, reconfigure=p2p.Reconfiguration(compare_joint=False))
    assert ds["closed"].sel(switchable=f"line {weak}").sum() == 0
    assert ds.attrs["limits_hold"] == 1


def test_a_time_limit_returns_the_incumbent_flagged(meshed: Any) -> None:
    net, day = meshed(0)
    ds = p2p.trade_day(
        net, day, reconfigure=p2p.Reconfiguration(time_limit_s=1e-3, compare_joint=False)
    )
    assert ds.attrs["termination"] == "time limit"
    assert ds.attrs["status"] == "feasible"
    assert ds.attrs["limits_hold"] == 1
