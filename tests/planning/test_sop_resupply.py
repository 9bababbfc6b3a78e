"""Soft open points that feed what has lost its source: hand-derived, brute force, and in a plan."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandapower as pp
import pytest
import xarray as xr

from planning import plan_at, plan_horizon, plan_network, reliability_indices
from planning.reliability import Faults, energy_not_served
from planning.stages import Stage
from pp_p2p import (
    SolverConfig,
    create_candidate,
    create_sop,
    set_customers,
    set_line_reliability,
    write_back,
)

sys.path.insert(0, str(Path(__file__).parent))
from two_feeders import REPAIR, SWITCHING, two_feeders, waits

TIGHT = SolverConfig(rel_gap=1e-6)
INDICES = ("eens_mwh_per_year", "saidi_h_per_year", "saifi_per_year", "asai_pu")


@pytest.fixture
def net() -> Any:
    """The two feeders, a load of 1 MW and one customer at each bus."""
    feeders = two_feeders(1.0, 1.0, 1.0, 1.0)
    set_customers(feeders, customers=[1, 1, 1, 1])
    return feeders


@pytest.mark.parametrize("capacity", [False, True])
def test_only_a_grid_forming_terminal_holds_the_voltage(net: Any, capacity: bool) -> None:
    create_sop(net, [3, 4], sn_mva=2.0)
    assert waits(net, capacity=capacity) == [1, 2, 3]
    net.sop_terminal["grid_forming"] = [False, True]  # that could carry bus 4
    assert waits(net, capacity=capacity) == [1, 2, 3]
    net.sop_terminal["grid_forming"] = [True, False]
    assert waits(net, capacity=capacity) == [1]
    net.sop_terminal["grid_forming"] = [True, True]
    assert waits(net, capacity=capacity) == [1]
    net.sop["in_service"] = False
    assert waits(net, capacity=capacity) == [1, 2, 3]


def test_rating_leaves_out_what_is_farther(net: Any) -> None:
    create_sop(net, [3, 4], sn_mva=[1.5, 9.0], grid_forming=[True, False])
    assert waits(net, capacity=True) == [1, 2]
    net.sop_terminal["sn_mva"] = [9.0, 0.9]
    assert waits(net, capacity=True) == [1, 2, 3]
    assert waits(net) == [1]
    net.sop_terminal["sn_mva"] = [2.0, 2.0]
    assert waits(net, capacity=True) == [1]
    net.line.loc[3, "max_i_ka"] = 2.5 / (np.sqrt(3) * 10.0)  # on the way: 1 MW of bus 4
    assert waits(net, capacity=True) == [1, 2]


def test_pair_of_terminals_carries_and_a_switch_goes_before(net: Any) -> None:
    far = pp.create_bus(net, 10.0, min_vm_pu=0.5)
    pp.create_line_from_parameters(net, 0, far, 1.0, 0.1, 0.1, 0.0, 100.0)
    set_line_reliability(net, [4], failure_rate_per_km_year=0.0)
    create_sop(net, [3, 4, far], sn_mva=[2.0, 0.5, 1.2], grid_forming=[True, False, False])
    assert waits(net, capacity=True) == [1, 2]  # over the better of two pairs
    pp.create_switch(net, 3, 4, et="b", type="LBS", closed=False)
    assert waits(net, capacity=True) == [1]


def test_simulation_agrees(net: Any) -> None:
    create_sop(net, [3, 4], sn_mva=2.0, grid_forming=[True, False])
    net.line["failure_rate_per_km_year"] = 0.2
    exact = reliability_indices(net)
    drawn = reliability_indices(net, method="monte_carlo", years=4000, confidence_percent=99.9)
    low, high = drawn["eens_bound_mwh_per_year"].to_numpy()
    assert low <= float(exact["eens_mwh_per_year"]) <= high
    net.sop["in_service"] = False
    assert float(reliability_indices(net)["eens_mwh_per_year"]) > high


def test_device_that_forms_an_island_does_not_feed_back(net: Any) -> None:
    alone = pp.create_bus(net, 10.0)
    pp.create_load(net, alone, p_mw=0.1, index=9)
    net.load.loc[9, "customers"] = 1
    create_sop(net, [3, alone], sn_mva=2.0, grid_forming=[True, True])
    assert waits(net) == [1, 2, 3]


def _random_feeder(seed: int) -> tuple[Any, list[tuple[int, int, bool, bool]]]:
    """Return a random tree with every line isolable, and pairs of buses with forming ends."""
    rng = np.random.default_rng(seed)
    net = pp.create_empty_network(sn_mva=1.0)
    n = int(rng.integers(5, 10))
    pp.create_buses(net, n, 10.0)
    pp.create_ext_grid(net, 0)
    at, to = [int(rng.integers(max(0, bus - 3), bus)) for bus in range(1, n)], list(range(1, n))
    pp.create_lines_from_parameters(net, at, to, 1.0, 0.1, 0.1, 0.0, 1.0)
    pp.create_loads(net, to, p_mw=rng.uniform(0.1, 1.0, n - 1))
    set_customers(net, customers=rng.integers(1, 9, len(net.load)).tolist())
    set_line_reliability(
        net,
        failure_rate_per_km_year=rng.uniform(0.05, 0.5, len(net.line)).tolist(),
        repair_time_h=REPAIR,
        switching_time_h=SWITCHING,
    )
    pairs = []
    for _ in range(3):
        a, b = (int(k) for k in rng.choice(len(net.bus), 2, replace=False))
        pairs.append((a, b, bool(rng.random() < 0.5), bool(rng.random() < 0.7)))
    return net, pairs


def _by_hand(net: Any, pairs: list[tuple[int, int, bool, bool]]) -> float:
    """Return the EENS, line by line, by walking what is connected and what devices feed."""
    total, head = 0.0, nx.Graph()
    rows = list(zip(net.line.index, net.line.from_bus, net.line.to_bus, strict=True))
    for _, a, b in rows:
        head.add_edge(int(a), int(b))
    demand = dict(zip(net.load.bus, net.load.p_mw, strict=True))
    for row, a, b in rows:
        without_source = head.subgraph(set(head.nodes) - {0})
        feeder = nx.node_connected_component(without_source, int(b))
        left = head.copy()
        left.remove_edge(int(a), int(b))
        supplied = set(nx.node_connected_component(left, 0))
        grew = True
        while grew:
            before = len(supplied)
            for one, two, forms_one, forms_two in pairs:
                if one in supplied and forms_two:
                    supplied |= nx.node_connected_component(left, two)
                if two in supplied and forms_one:
                    supplied |= nx.node_connected_component(left, one)
            grew = len(supplied) > before
        hours = {n: SWITCHING if n in supplied else REPAIR for n in feeder}
        rate = float(net.line.failure_rate_per_km_year[row])
        total += rate * sum(hours[n] * demand.get(n, 0.0) for n in feeder)
    return total


@pytest.mark.parametrize("seed", range(6))
def test_line_by_line_and_in_the_plan(seed: int) -> None:
    net, pairs = _random_feeder(seed)
    own = pairs[0]
    create_sop(net, own[:2], sn_mva=1.0, grid_forming=own[2:])
    later = [
        create_sop(net, pair[:2], sn_mva=1.0, grid_forming=pair[2:], in_service=False)
        for pair in pairs[1:]
    ]
    faults = Faults.from_net(net)
    demand = faults.demand(net.load.bus.to_numpy(), net.load.p_mw.to_numpy())
    ties: list[tuple[int, int, int, bool]] = []
    for n in range(3):
        known = _by_hand(net, pairs[: n + 1])
        ds = reliability_indices(net, isolators="every_branch")
        assert float(ds["eens_mwh_per_year"]) == pytest.approx(known, rel=1e-12)
        planned = float(energy_not_served(faults, demand, ties).sum())
        assert planned == pytest.approx(known, rel=1e-12)
        if n < 2:
            net.sop.loc[later[n], "in_service"] = True
            net.sop_terminal["in_service"] |= net.sop_terminal["sop"] == later[n]
            a, b, first, second = pairs[n + 1]
            one, two = (a, b) if second else (b, a)
            ties += [(one, two, -1, not (first and second))] if first or second else []


@pytest.fixture
def study(feeder: Any, make_days: Callable[..., xr.Dataset]) -> tuple[Any, xr.Dataset]:
    """The feeder with a side bus, a soft open point in service, two candidates and a line."""
    side = pp.create_bus(feeder, 10.0, min_vm_pu=0.9, max_vm_pu=1.1)
    pp.create_line_from_parameters(feeder, 1, side, 1.0, 0.3, 0.3, 0.0, 1.0)
    pp.create_load(feeder, side, p_mw=0.5, q_mvar=0.0)
    set_customers(feeder, customers=[10, 20, 30, 40, 50])
    create_sop(feeder, [side, 2], sn_mva=0.2, grid_forming=[True, False])
    sops = [
        create_sop(feeder, [0, 4], sn_mva=0.5, grid_forming=[False, True], in_service=False),
        create_sop(feeder, [4, side], sn_mva=0.5, grid_forming=[False, False], in_service=False),
    ]
    tie = pp.create_line_from_parameters(feeder, 4, side, 1.0, 0.3, 0.3, 0.0, 1.0, in_service=False)
    set_line_reliability(
        feeder, failure_rate_per_km_year=0.2, repair_time_h=6.0, switching_time_h=1.0
    )
    for k, sop in enumerate(sops):
        create_candidate(
            feeder, 4, technology="sop", sop=sop, max_units=2 - k, capex_eur_per_unit=4e6
        )
    create_candidate(feeder, 4, technology="line", line=tie, capex_eur_per_unit=2e6)
    return feeder, make_days(feeder, hours=4)


@pytest.mark.parametrize("isolators", ["every_branch", "switches"])
def test_plan_is_the_built_net(study: tuple[Any, xr.Dataset], isolators: Any) -> None:
    net, days = study
    if isolators == "switches":
        for line in (1, 2, 4):
            pp.create_switch(net, int(net.line.from_bus[line]), line, et="l", type="LBS")
    before = reliability_indices(net, days, isolators=isolators)
    one = _built(net, days, (1, 0, 0), isolators)
    ds = plan_network(
        net,
        days,
        saidi_limit_h_per_year=1.0001 * float(one["saidi_h_per_year"]),
        value_of_lost_load_eur_per_mwh=2e3,
        isolators=isolators,
        solver=TIGHT,
    )
    assert ds["units"].to_numpy()[0] == 1
    write_back(net, ds)
    after = reliability_indices(net, days, isolators=isolators)
    for name in INDICES:
        np.testing.assert_allclose(ds[name], [before[name], after[name]], rtol=1e-9, err_msg=name)
    assert ds.attrs["eens_model_mwh_per_year"] == pytest.approx(
        float(after["eens_mwh_per_year"]), rel=1e-6
    )


def test_cheapest_way_to_a_limit_is_found(study: tuple[Any, xr.Dataset]) -> None:
    """Every choice by its indices alone; the network is strong enough for all of them."""
    net, days = study
    costs, indices = [], []
    for units in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (1, 1, 1)):
        ds = _built(net, days, units)
        costs.append(float(np.array(units) @ net.candidate.capex_eur_per_unit))
        indices.append(float(ds["eens_mwh_per_year"]))
    assert indices[2] == indices[0]  # no terminal of it forms a grid
    assert indices[3] > indices[1]
    for limit in (indices[1], indices[3]):
        ds = plan_network(net, days, eens_limit_mwh_per_year=limit * (1 + 1e-9), solver=TIGHT)
        enough = [c for c, i in zip(costs, indices, strict=True) if i <= limit * (1 + 1e-9)]
        assert float(ds["capex_eur"].sum()) == min(enough)


def _built(
    net: Any, days: xr.Dataset, units: tuple[int, ...], isolators: Any = "every_branch"
) -> xr.Dataset:
    other = copy.deepcopy(net)
    plan = xr.Dataset(
        {"units": ("candidate", np.array(units))},
        {"candidate": net.candidate.index.to_numpy()},
        {"problem": "plan_network"},
    )
    write_back(other, plan)
    return reliability_indices(other, days, isolators=isolators)


def test_any_size_is_one_unit_at_least(study: tuple[Any, xr.Dataset]) -> None:
    net, days = study
    net.candidate["sizing"] = ["continuous", "continuous", "units"]
    limit = 1.0001 * float(_built(net, days, (1, 0, 0))["eens_mwh_per_year"])
    net.candidate.loc[2, "max_units"] = 0
    ds = plan_network(net, days, eens_limit_mwh_per_year=limit, solver=TIGHT)
    assert float(ds["units"][0]) >= 1.0 - 1e-6
    write_back(net, ds)
    after = reliability_indices(net, days, isolators="every_branch")
    assert float(ds["eens_mwh_per_year"].sel(case="plan")) == pytest.approx(
        float(after["eens_mwh_per_year"]), rel=1e-9
    )


@pytest.mark.parametrize("sizing", ["units", "continuous"])
def test_horizon_builds_it_for_the_stage_that_needs_it(
    study: tuple[Any, xr.Dataset], sizing: str
) -> None:
    net, days = study
    net.candidate["sizing"] = [sizing, "units", "units"]
    net.candidate.loc[[1, 2], "max_units"] = 0
    limit = 1.0001 * float(_built(net, days, (1, 0, 0))["eens_mwh_per_year"])
    stages = (Stage(years=2), Stage(years=3, eens_limit_mwh_per_year=limit))
    ds = plan_horizon(net, days, stages, salvage="annuity", solver=TIGHT)
    np.testing.assert_allclose(ds["units_installed"].sel(candidate=0), [0.0, 1.0], atol=1e-6)
    write_back(net, plan_at(ds, 2))
    after = reliability_indices(net, days, isolators="every_branch")
    assert float(ds["eens_mwh_per_year"].sel(stage=2)) == pytest.approx(
        float(after["eens_mwh_per_year"]), rel=1e-9
    )
