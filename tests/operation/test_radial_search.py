"""The search proves what enumeration finds: bounds below, optima equal."""

from __future__ import annotations

import itertools
from typing import Any

import networkx as nx
import numpy as np
import pandapower.networks as pn
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pp_p2p.network.chains import FIXED, FREE, Reducer
from pp_p2p.network.spanning import graph_facts
from pp_p2p.network.switching import SwitchGraph
from pp_p2p.operation.radial_relaxation import Relaxation, TreeCut
from pp_p2p.operation.radial_search import search
from pp_p2p.operation.search_view import voltage_range
from pp_p2p.operation.start_configurations import start_configuration

ONE = np.ones(1)


def _networkx(graph: SwitchGraph) -> nx.MultiGraph:
    first, roots = int(graph.root[0]), set(graph.root.tolist())
    whole = nx.MultiGraph()
    for a, b in zip(graph.tail.tolist(), graph.head.tolist(), strict=True):
        whole.add_edge(first if a in roots else a, first if b in roots else b)
    return whole


@pytest.mark.parametrize(("case", "trees"), [("case33bw", 50_751), ("case16ci", 190)])
def test_counts_of_configurations(case: str, trees: int, feeder_of: Any) -> None:
    graph = SwitchGraph.from_net(pn.case33bw() if case == "case33bw" else feeder_of(case))
    assert graph_facts(graph).n_configurations == trees


def test_facts_of_the_33_bus_feeder() -> None:
    graph = SwitchGraph.from_net(pn.case33bw())
    facts = graph_facts(graph)
    assert [graph.name(e) for e in facts.bridges] == ["line 0"]
    assert len(facts.series_groups) == 12
    assert len(facts.cycles) == 5


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 10_000), ties=st.integers(1, 4))
def test_facts_agree_with_networkx(seed: int, ties: int, make_meshed: Any, every_tree: Any) -> None:
    graph = SwitchGraph.from_net(make_meshed(seed, 7, ties))
    trees = every_tree(graph, np.zeros((graph.n_nodes, 1), dtype=complex))
    facts = graph_facts(graph)
    assert facts.n_configurations == len(trees)
    always = np.all([closed for closed, _ in trees], axis=0)
    assert set(facts.bridges) == set(np.flatnonzero(always).tolist())
    for group in facts.series_groups:
        assert all((~closed[list(group)]).sum() <= 1 for closed, _ in trees)
    for cycle in facts.cycles:
        assert all((~closed[list(cycle)]).sum() >= 1 for closed, _ in trees)
    assert graph.n_open == _networkx(graph).number_of_edges() - (
        _networkx(graph).number_of_nodes() - 1
    )


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 10_000), ties=st.integers(1, 4), feed_in=st.booleans())
def test_optimum_equals_enumeration(
    seed: int, ties: int, feed_in: bool, make_meshed: Any, load_of: Any, every_tree: Any
) -> None:
    net = make_meshed(seed, 8, ties, feed_in=feed_in)
    graph = SwitchGraph.from_net(net)
    load = load_of(net, graph)
    trees = every_tree(graph, load)
    if not trees:
        return
    inside = [
        float(flow.loss[0])
        for _, flow in trees
        if (flow.vm() >= 0.85).all() and (flow.vm() <= 1.15).all()
    ]
    start = start_configuration(graph, load, ONE)
    result = search(graph, load, ONE, start, rel_gap=1e-7)
    if not inside:
        assert result.best is None
        return
    assert result.best is not None
    assert result.best.loss == pytest.approx(min(inside), rel=1e-6)
    assert result.bound <= min(inside) * (1 + 1e-7)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 10_000))
def test_relaxation_is_below_every_configuration(
    seed: int, make_meshed: Any, load_of: Any, every_tree: Any
) -> None:
    net = make_meshed(seed, 8, 3)
    graph = SwitchGraph.from_net(net)
    load = load_of(net, graph)
    trees = every_tree(graph, load)
    if not trees:
        return
    # touched far from any solution: the tangents must still lie below
    reducer = Reducer(graph, load[:, 0], np.full(graph.n_nodes, 0.9))
    low, high = voltage_range(graph, load)
    core = reducer.core([FREE if flag else FIXED for flag in graph.switchable], ())
    assert core is not None
    relaxed = Relaxation(reducer, core, v_min=low, v_max=high, flow_reach=100.0).solve()
    best = min(
        (
            float(flow.loss[0])
            for _, flow in trees
            if (flow.vm() >= 0.85).all() and (flow.vm() <= 1.15).all()
        ),
        default=np.inf,
    )
    assert relaxed.bound <= best * (1 + 1e-9)


def test_threshold_finds_every_configuration_below(
    make_meshed: Any, load_of: Any, every_tree: Any
) -> None:
    net = make_meshed(3, 9, 4)
    graph = SwitchGraph.from_net(net)
    load = load_of(net, graph)
    losses = {closed.tobytes(): float(flow.loss[0]) for closed, flow in every_tree(graph, load)}
    threshold = float(np.median(list(losses.values())))
    start = start_configuration(graph, load, ONE)
    result = search(graph, load, ONE, start, threshold=threshold)
    wanted = {key for key, loss in losses.items() if loss < threshold}
    assert set(result.found) == wanted
    assert result.bound >= threshold


def test_required_keeps_the_distance(make_meshed: Any, load_of: Any, every_tree: Any) -> None:
    net = make_meshed(5, 9, 4, feed_in=False)
    graph = SwitchGraph.from_net(net)
    load = load_of(net, graph)
    now_open = frozenset(np.flatnonzero(~graph.closed).tolist())
    cut = TreeCut(now_open, len(now_open) - 1)  # one exchange
    start = start_configuration(graph, load, ONE)
    result = search(graph, load, ONE, start, required=(cut,), rel_gap=1e-7)
    best = min(
        float(flow.loss[0])
        for closed, flow in every_tree(graph, load)
        if (closed != graph.closed).sum() <= 2
    )
    assert result.best is not None
    assert result.best.loss == pytest.approx(best, rel=1e-6)


def test_16_bus_optimum_by_enumeration(feeder_of: Any, load_of: Any, every_tree: Any) -> None:
    net = feeder_of("case16ci")
    graph = SwitchGraph.from_net(net)
    load = load_of(net, graph)
    trees = every_tree(graph, load)
    assert len(trees) == 190
    start = start_configuration(graph, load, ONE)
    assert start.loss * net.sn_mva * 1e3 == pytest.approx(511.436, abs=1e-3)
    result = search(graph, load, ONE, start)
    assert result.gap <= 1e-4
    best = min(trees, key=lambda tree: float(tree[1].loss[0]))
    assert result.best is not None
    assert (result.best.closed == best[0]).all()
    assert result.best.loss * net.sn_mva * 1e3 == pytest.approx(466.127, abs=1e-3)
    assert graph.index[~result.best.closed].tolist() == [6, 7, 15]


def test_33_bus_optimum_by_enumeration(load_of: Any) -> None:
    net = pn.case33bw()
    graph = SwitchGraph.from_net(net)
    load = load_of(net, graph)
    start = start_configuration(graph, load, ONE)
    result = search(graph, load, ONE, start)
    assert result.gap <= 1e-4
    assert result.best is not None
    assert graph.index[~result.best.closed].tolist() == [6, 8, 13, 31, 36]
    three_best = _three_best_of_all(graph, load[:, 0])
    assert result.best.loss == pytest.approx(three_best[0], rel=1e-9)
    in_kw = np.array(three_best) * net.sn_mva * 1e3
    np.testing.assert_allclose(in_kw, [139.551, 139.978, 140.279], atol=1e-3)


def _three_best_of_all(graph: SwitchGraph, load: np.ndarray) -> list[float]:
    """Return the three least losses of all 50 751 trees, by a batch of exact sweeps."""
    ends = np.zeros((graph.n_edges, graph.n_nodes))
    ends[np.arange(graph.n_edges), graph.tail] = 1.0
    ends[np.arange(graph.n_edges), graph.head] = -1.0
    ends = np.delete(ends, graph.root, axis=1)
    power = np.delete(load, graph.root)
    trees = _all_trees(graph)
    assert len(trees) == 50_751
    parts = [_losses(graph, ends, power, batch) for batch in np.array_split(trees, 30)]
    return sorted(np.concatenate(parts).tolist())[:3]


def _all_trees(graph: SwitchGraph) -> np.ndarray:
    """Return the closed edges (tree, branch) of all spanning trees.

    Five edges may be open together where the loops through them are independent: where the 0-1
    matrix of the five loops and the five edges has an odd determinant.
    """
    loops = np.zeros((graph.n_open, graph.n_edges))
    for k, cycle in enumerate(graph_facts(graph).cycles):
        loops[k, list(cycle)] = 1.0
    opened = np.array(list(itertools.combinations(range(graph.n_edges), graph.n_open)))
    odd = np.round(np.linalg.det(loops[:, opened].transpose(1, 0, 2))).astype(int) % 2 == 1
    closed = np.ones((int(odd.sum()), graph.n_edges), dtype=bool)
    closed[np.arange(len(closed))[:, None], opened[odd]] = False
    return np.nonzero(closed)[1].reshape(len(closed), -1)


def _losses(
    graph: SwitchGraph, ends: np.ndarray, power: np.ndarray, trees: np.ndarray
) -> np.ndarray:
    """Return the exact losses of trees; infinite where the sweep finds no solution."""
    # branch currents of node currents: the inverse of the tree's incidence matrix
    feeds = np.linalg.inv(ends[trees].transpose(0, 2, 1))
    z = graph.z[trees]
    voltage = np.ones((len(trees), len(power)), dtype=complex)
    loss, change = np.zeros(len(trees)), np.full(len(trees), np.inf)
    active = np.arange(len(trees))
    for _ in range(100):
        current = np.matmul(feeds[active], np.conj(-power / voltage[active])[..., None])[..., 0]
        drop = np.matmul((z[active] * current)[:, None, :], feeds[active])[:, 0, :]
        moved = 1.0 + drop
        change[active] = np.abs(moved - voltage[active]).max(axis=1)
        voltage[active] = moved
        loss[active] = (z[active].real * np.abs(current) ** 2).sum(axis=1)
        # voltages fall from sweep to sweep, so losses rise: what is far above is out of the race
        active = np.flatnonzero((change >= 1e-11) & (loss < 1.5 * loss.min()))
        if not len(active):
            break
    fallen = np.abs(voltage).min(axis=1) < 0.5
    return np.where(fallen, np.inf, loss)
