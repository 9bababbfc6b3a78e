"""Markets on published feeders: the joint optimum is found, and fixing binaries loses nothing.

Ten on 16 buses, at more hours: ``python tests/benchmarks/run.py reconfigured_trading_16``; a day of
33 and of 118 buses: ``reconfigured_trading_fixing``.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandapower.networks as pn
import pytest

from pp_p2p.network.spanning import graph_facts


@pytest.mark.parametrize("seed", [3, 4])
def test_rounds_find_what_the_joint_problem_proves(
    seed: int, benchmarks: Any, feeder_of: Any, market_of: Any
) -> None:
    net, day, options = benchmarks("feeder_market").market_16(feeder_of("case16ci"), seed, 2)
    market = market_of(net, day, **options, compare_joint=True)
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
    unproven = dataclasses.replace(ended.outcome, bound=-np.inf)
    bound = market.bounded(dataclasses.replace(ended, outcome=unproven)).outcome.bound
    assert 0.99 * size <= bound <= joint.objective + 1e-7 * size


@pytest.mark.parametrize("max_operations", [None, 4])
def test_fixed_binaries_spare_hours_and_lose_nothing(
    max_operations: int | None, benchmarks: Any, market_of: Any
) -> None:
    """On 33 buses, whose 50 751 configurations are not all looked at."""
    valued, objective = [], []
    for unchanged in (1, None):
        net = pn.case33bw()
        net.poly_cost = net.poly_cost.iloc[:0]
        net, day = benchmarks("feeder_market").feeder_market(net, 6, 2, seed=0)
        market = market_of(
            net, day, switching_cost_eur=1.0, max_operations=max_operations,
            unchanged_rounds=unchanged,
        )  # fmt: skip
        present = np.tile(market.graph.closed, (2, 1))
        ended = market.ended([present], trading=True, weight=1.0)
        assert market.operations(ended.point) <= (max_operations or np.inf)
        valued.append(sum(each.looked_at for each in ended.outcome.rounds))
        objective.append(ended.point.objective)
    bounded = market.bounded(ended)  # the joint problem's gap was 0.4 % after minutes
    assert ended.outcome.bound == -np.inf
    assert 0.99 * objective[1] <= bounded.outcome.bound <= objective[1]
    assert bounded.point is ended.point
    assert valued[0] < valued[1]
    assert objective[0] == pytest.approx(objective[1], rel=1e-6)
