"""The bound of trading in a reconfigured network: below every sequence, and met by many nodes."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import pp_p2p as p2p
from pp_p2p.errors import NoSolution
from pp_p2p.market import topology_rounds
from pp_p2p.market.certified_bound import certified_bound, proves_infeasible
from pp_p2p.market.chain_hull import groups_of
from pp_p2p.market.looped_market import LoopedMarket
from pp_p2p.market.reconfigured_market import ReconfiguredMarket
from pp_p2p.market.topology_bound import TopologyBound, bound_jointly
from pp_p2p.market.topology_pool import all_trees
from pp_p2p.network.spanning import graph_facts
from pp_p2p.operation.start_configurations import least_impedance_tree
from pp_p2p.operation.topology_sequence import SwitchingLimits
from pp_p2p.solve.conic import ConicForm, ConicSolution, ConicSolver
from pp_p2p.solve.report import DEFAULT_CONFIG

LIMITS: list[dict[str, Any]] = [
    {},
    {"switching_cost_eur": 2.0},
    {"switching_cost_eur": 1.0, "max_operations": 2},
    {"max_operations_per_switch": 1},
    {"min_dwell_h": 24.0},
    {"change_every": "day"},
]

MANY = 100
"""Nodes that close the gap of an hour of the small nets."""


def every_objective(market: ReconfiguredMarket) -> list[tuple[np.ndarray, float]]:
    """Return all sequences of configurations with what trading costs, without operations."""
    graph = market.graph
    trees = all_trees(graph, least_impedance_tree(graph), 1000)
    assert trees is not None
    inner = LoopedMarket(market.data, market.physics, trading=True, operator_weight=1.0)
    found = []
    for some in itertools.product(trees, repeat=market.data.line.n_steps):
        closed = np.array(some)
        try:
            found.append((closed, inner.solve(closed, DEFAULT_CONFIG)[1].objective))
        except NoSolution:
            continue
    return found


def least_of(
    sequences: list[tuple[np.ndarray, float]], present: np.ndarray, limits: SwitchingLimits
) -> float:
    """Return the least objective of the sequences that keep the limits."""
    least = np.inf
    for closed, objective in sequences:
        moved = np.diff(np.vstack([present, closed]), axis=0)
        count = moved.sum(axis=0)
        most, each = limits.max_operations, limits.max_operations_per_switch
        kept = (most is None or count.sum() <= most) and (each is None or count.max() <= each)
        kept = kept and not moved[~limits.may_change].any()
        kept = kept and (limits.dwell_steps < 2 or count.max() <= 1)  # two steps in these days
        if kept:
            least = min(least, objective + limits.cost * count.sum())
    return least


def bound_of(market: ReconfiguredMarket, nodes: int, **options: Any) -> TopologyBound:
    """Return the bound of a day with trades, at the offers under the net as it stands."""
    joint = market.joint_problem(1.0)
    looped = LoopedMarket(market.data, market.physics, trading=True, operator_weight=1.0)
    closed = np.tile(market.graph.closed, (market.data.line.n_steps, 1))
    hours = looped.hours()
    given = (hours.tying, hours.duals(looped.solve(closed, DEFAULT_CONFIG)[1]))
    return bound_jointly(joint, looped, nodes=nodes, time_limit_s=60.0, offers=given, **options)


@pytest.mark.parametrize("seed", [1, 3])
def test_no_sequence_within_the_limits_is_below_the_bound(
    seed: int, meshed: Any, market_of: Any
) -> None:
    """With storage that ties the hours, and with every limit of switching."""
    net, day = meshed(seed)
    net.line["c_nf_per_km"] = 200.0
    sequences = every_objective(market_of(net, day))
    for options in LIMITS:
        market = market_of(net, day, **options)
        limits = market.options.limits(market.data.line, 1.0)
        least = least_of(sequences, market.graph.closed, limits)
        assert np.isfinite(least)
        bounds = [bound_of(market, nodes) for nodes in (0, 1, 20)]
        values = [each.value for each in bounds]
        assert bounds[0].n_relaxed == 1
        assert min(values) == values[0]
        assert max(values) <= least + 1e-7 * abs(least)
        assert values[0] >= least - 0.1 * abs(least)


@pytest.mark.parametrize("formulation", ["branch_flow", "lindistflow"])
@pytest.mark.parametrize("seed", range(5))
def test_many_nodes_prove_the_optimum_of_an_hour(
    seed: int, formulation: str, meshed: Any, market_of: Any
) -> None:
    net, day = meshed(seed, hours=1, storage=False)
    market = market_of(net, day, switching_cost_eur=1.0, formulation=formulation)
    limits = market.options.limits(market.data.line, 1.0)
    least = least_of(every_objective(market), market.graph.closed, limits)
    proven = bound_of(market, MANY)
    assert proven.root <= proven.value
    assert proven.value == pytest.approx(least, rel=2e-6)
    assert proven.value <= least + 1e-7 * abs(least)


def test_hulls_are_tighter_than_edges_alone(meshed: Any, market_of: Any) -> None:
    raised = []
    for seed in range(4):
        net, day = meshed(seed)
        bound = bound_of(market_of(net, day), 1)
        raised.append(bound.value - bound.root)
    assert min(raised) >= 0.0
    assert max(raised) > 0.0


def test_groups_hold_the_nodes_that_they_alone_feed(meshed: Any, market_of: Any) -> None:
    for seed in range(4):
        graph = market_of(*meshed(seed)).graph
        for group in groups_of(graph, graph_facts(graph)):
            assert not np.isin(graph.root, group.inner).any()
            at = [np.isin(ends, group.inner) for ends in (graph.tail, graph.head)]
            mine = np.isin(np.arange(graph.n_edges), [*group.edges, *group.between])
            assert (mine[at[0] | at[1]]).all()
            assert (at[0] & at[1])[group.between].all()


@pytest.mark.parametrize(
    ("algorithm", "nodes"),
    [("central", 0), ("central", MANY), (p2p.Distributed(tolerance=1e-3), MANY)],
)
def test_a_result_is_bounded_where_not_all_configurations_are_looked_at(
    algorithm: Any, nodes: int, meshed: Any, market_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, day = meshed(1, hours=1, storage=False)
    market = market_of(net, day)
    limits = market.options.limits(market.data.line, 1.0)
    least = least_of(every_objective(market), market.graph.closed, limits)
    monkeypatch.setattr(topology_rounds, "MOST_VALUES", 1)
    options = p2p.Reconfiguration(compare_joint=False, bound_nodes=nodes)
    attrs = p2p.trade_day(
        net,
        day,
        mechanism=p2p.NashBargaining(network_fee_eur_per_mwh=5.0),
        algorithm=algorithm,
        reconfigure=options,
    ).attrs
    assert attrs["bound_eur"] <= least + 1e-7 * abs(least)
    assert 0.0 <= attrs["gap"] < 0.1
    if nodes == MANY:
        assert attrs["bound_eur"] == pytest.approx(least, rel=2e-6)
    if nodes == MANY and algorithm == "central":
        assert attrs["termination"] == "proven optimum"
        assert attrs["status"] == "optimal"


def test_the_bound_is_finite_when_time_is_up(meshed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    net, day = meshed(0)
    monkeypatch.setattr(topology_rounds, "MOST_VALUES", 1)
    options = p2p.Reconfiguration(time_limit_s=1e-3, compare_joint=False)
    attrs = p2p.trade_day(net, day, reconfigure=options).attrs
    assert attrs["termination"] == "time limit"
    assert np.isfinite(attrs["gap"])
    assert attrs["bound_eur"] <= attrs["objective_eur"]


def test_the_bound_ends_where_it_need_not_be_higher(meshed: Any, market_of: Any) -> None:
    market = market_of(*meshed(3))
    root = bound_of(market, 0)
    assert bound_of(market, 5, target=root.value).n_relaxed == 1


def _cone_problem() -> tuple[ConicForm, np.ndarray]:
    """Return ``min x_0 + x_1`` over |x| <= 1 in the plane, as a cone, and how far x may reach."""
    nothing = np.array([], dtype=np.int64)
    form = ConicForm(
        P=sp.csc_matrix((2, 2)),
        q=np.ones(2),
        A=sp.csc_matrix(np.vstack([np.eye(2), np.zeros((1, 2)), -np.eye(2)])),
        b=np.array([1.0, 1.0, 1.0, 0.0, 0.0]),
        zero=0,
        nonnegative=2,
        cone_sizes=np.array([3]),
        bound_rows=nothing,
        bound_columns=nothing,
        row_of=nothing,
        row_sign=nothing,
    )
    return form, np.ones(2)


def _answer(z: np.ndarray) -> ConicSolution:
    return ConicSolution(
        x=np.zeros(2), z=z, objective=0.0, dual_objective=0.0, status="", iterations=0,
        seconds=0.0, residual=0.0,
    )  # fmt: skip


def test_duals_of_any_accuracy_give_a_bound() -> None:
    form, reach = _cone_problem()
    least = -np.sqrt(2.0)
    solved = ConicSolver(form).solve()
    assert certified_bound(form, solved, reach) == pytest.approx(least, abs=1e-7)
    rng = np.random.default_rng(0)
    for _ in range(200):
        z = rng.normal(size=5) * 10.0 ** rng.uniform(-2, 1)
        assert certified_bound(form, _answer(z), reach) <= least + 1e-12
        assert not proves_infeasible(form, _answer(z), reach)
    assert certified_bound(form, _answer(np.full(5, np.nan)), reach) == -np.inf


def test_infeasible_is_what_is_proven_to_be() -> None:
    form, reach = _cone_problem()
    form.b[:2] = -1.0  # both at most -1: outside the disc
    answer = ConicSolver(form).solve()
    assert answer.infeasible
    assert proves_infeasible(form, answer, reach)
    assert not proves_infeasible(form, _answer(np.zeros(5)), reach)
