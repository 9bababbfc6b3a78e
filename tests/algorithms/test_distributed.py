"""Distributed equals central: day-ahead exchange of random agents, to the numbers we promise."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from pp_p2p.algorithms.batch_agents import exchange_bounds, raise_unsolved, scheduled
from pp_p2p.algorithms.batch_data import Boxed, LocalProblems
from pp_p2p.algorithms.batch_qp import BatchQP, BatchSolution
from pp_p2p.algorithms.consensus import Balancing, Rest, Stop, run
from pp_p2p.algorithms.exchange import balanced, exchange
from pp_p2p.algorithms.pairs import Pairs, pair_trades, proposals
from pp_p2p.algorithms.two_block import TwoBlockState, start, stepper
from pp_p2p.errors import NoSolution

PENALTY = 700.0
"""Range of prices (60 to 200) over the usual net position (0.2)."""
EXPECTED = 130.0
"""Middle of the prices: where the price of the exchange starts."""


def _traded(batch: BatchQP, stop: Stop) -> Rest[TwoBlockState]:
    return run(
        stepper(scheduled(batch), (exchange(),)),
        start((batch.problems.shape,), PENALTY, multipliers=(-EXPECTED,)),
        stop=stop,
        balancing=Balancing(),
        bounds=exchange_bounds(batch),
    )


def _repaired(batch: BatchQP, state: TwoBlockState) -> BatchSolution:
    found = batch.solve(fixed_trade=balanced(state.x[0], -1.0, 1.0))
    raise_unsolved(found)
    return found


@pytest.mark.parametrize("n", [3, 10, 30, 100])
def test_piecewise_linear_costs_meet_the_central_optimum(
    random_agents: Any, central: Any, n: int
) -> None:
    problems = random_agents(n, 24, seed=5)
    least, _ = central(problems)
    batch = BatchQP(problems)
    rest = _traded(batch, Stop(absolute=1e-6, relative=1e-4, loose=50.0))
    cost = _repaired(batch, rest.state).cost.sum()
    assert cost == pytest.approx(least, rel=1e-4)
    assert rest.bounds is not None
    assert rest.bounds[0] <= least * (1 + 1e-7) <= rest.bounds[1] * (1 + 2e-7)
    assert rest.iterations <= (60 if n >= 30 else 120)
    print(f"{n} agents: {rest.iterations} iterations, gap {cost / least - 1:.1e}")


@pytest.mark.parametrize("n", [3, 10, 30, 100])
def test_net_positions_meet_the_central_optimum(random_agents: Any, central: Any, n: int) -> None:
    """Strictly convex costs make positions unique.

    They are flat: an error of 1e-3 in a position changes the cost by 1e-8, so that the tolerances
    have to be tighter than for costs.
    """
    problems = random_agents(n, 24, seed=6, convex=True)
    least, x = central(problems)
    batch = BatchQP(problems)
    rest = run(
        stepper(scheduled(batch, tolerance=1e-9), (exchange(),)),
        start(((n, 24),), 200.0, multipliers=(-EXPECTED,)),
        stop=Stop(absolute=1e-7, relative=1e-5),
        balancing=Balancing(),
    )
    final = _repaired(batch, rest.state)
    assert final.cost.sum() == pytest.approx(least, rel=1e-5)
    assert np.abs(final.trade.sum(axis=0)).max() <= 1e-12
    scale = np.abs(x[:, 0]).max()
    assert np.abs(final.trade - x[:, 0]).max() <= 1e-3 * scale
    assert rest.iterations <= 60


def test_pairs_and_exchange_agree_in_net_position(random_agents: Any, central: Any) -> None:
    problems = random_agents(10, 24, seed=7, convex=True)
    least, x = central(problems)
    batch, pairs = BatchQP(problems), Pairs.everyone(10)
    rest = run(
        stepper(proposals(scheduled(batch, tolerance=1e-9), pairs), (pair_trades(),)),
        start(((len(pairs.agents), 2, 24),), 1000.0, multipliers=(-EXPECTED,)),
        stop=Stop(absolute=1e-7, relative=1e-5),
        balancing=Balancing(),
    )
    trade = rest.state.z[0]
    assert np.abs(trade[:, 0] + trade[:, 1]).max() == 0.0
    final = batch.solve(fixed_trade=pairs.sums(trade))
    assert final.cost.sum() == pytest.approx(least, rel=1e-4)
    assert np.abs(final.trade - x[:, 0]).max() <= 1e-3 * np.abs(x[:, 0]).max()


def test_the_same_input_gives_the_same_numbers(random_agents: Any) -> None:
    stop = Stop(absolute=1e-6, relative=1e-3)
    first, second = (_traded(BatchQP(random_agents(12, 24, seed=1)), stop) for _ in range(2))
    np.testing.assert_array_equal(first.state.x[0], second.state.x[0])
    assert first.history == second.history


def test_agents_that_cannot_be_served_are_named() -> None:
    demand = np.ones((3, 2))
    demand[1, 1] = 5.0
    batch = BatchQP(LocalProblems(demand=demand, trade=Boxed(lower=-2.0, upper=2.0)))
    with pytest.raises(NoSolution, match=r"agents \[1\] have no feasible schedule"):
        _traded(batch, Stop())


@pytest.mark.slow
def test_memory_per_iteration_grows_linearly(random_agents: Any) -> None:
    """300, 1000 and 3000 agents; what an iteration takes is in the table ``trading_scale``."""
    memory = []
    for n in (300, 1000, 3000):
        batch = BatchQP(random_agents(n, 24, seed=0))
        step = stepper(scheduled(batch), (exchange(),))
        state = start(((n, 24),), PENALTY, multipliers=(-EXPECTED,))
        for _ in range(3):
            state = step(state)
        tracemalloc.start()
        state = step(state)
        memory.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert memory[2] <= 1.2 * 3 * memory[1]
    assert memory[2] <= 1e9
