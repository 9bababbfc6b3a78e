"""A batch of scheduling problems as the first block of the schemes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pp_p2p.algorithms.batch_data import Array
from pp_p2p.algorithms.batch_qp import INFEASIBLE, OPTIMAL, BatchQP, BatchSolution
from pp_p2p.algorithms.exchange import balanced, price
from pp_p2p.algorithms.two_block import Local, Penalty, Reply, TwoBlockState
from pp_p2p.errors import NoSolution


def scheduled(
    batch: BatchQP, *, with_boundary: bool = False, tell_cost: bool = True, tolerance: float = 1e-7
) -> Local:
    """Return agents that answer with their trade, and with their boundary power where asked.

    Parameters
    ----------
    batch : BatchQP
        With ``boundary`` in its problems where `with_boundary`.
    with_boundary : bool
        Two parts: trade and boundary power, both (agent, step).
    tell_cost : bool
        Report costs, so that the loop can watch the objective.
    tolerance : float
        Of the local solves.

    Raises
    ------
    NoSolution
        At the first call: agents without a feasible schedule, or a solve that stalls, by number.
    """
    parts = 2 if with_boundary else 1

    def local(targets: tuple[Array, ...], penalties: tuple[Penalty, ...], memory: Any) -> Reply:
        return _reply(batch, targets[:parts], penalties[:parts], memory, tell_cost, tolerance)

    return local


def exchange_bounds(
    batch: BatchQP, *, tolerance: float = 1e-8
) -> Callable[[TwoBlockState], tuple[float, float]]:
    """Return bounds of the optimum of an exchange among these agents alone, for `consensus.run`.

    From below: every agent's best answer to the price, no matter whether the market clears (the
    Lagrangian). From above: the cost of the positions repaired to clear (infinite where an agent
    cannot follow them). Both are solves of all agents. Costs leave the agents as two numbers each.
    """
    box = batch.problems.trade

    def bounds(state: TwoBlockState) -> tuple[float, float]:
        warm = state.memory if isinstance(state.memory, BatchSolution) else None
        alone = batch.solve(trade_cost=price(state), tolerance=tolerance, warm=warm)
        raise_unsolved(alone)
        position = balanced(state.x[0], box.lower, box.upper)
        repaired = batch.solve(fixed_trade=position, tolerance=tolerance)
        follows = bool((repaired.status == OPTIMAL).all())
        return float(alone.cost.sum()), float(repaired.cost.sum()) if follows else float("inf")

    return bounds


def raise_unsolved(solution: BatchSolution, labels: Array | None = None) -> None:
    """Raise `NoSolution` with the numbers of agents that have no schedule, or none was found.

    `labels` (agent,) replace the numbers.
    """
    labels = np.arange(len(solution.status)) if labels is None else labels
    for status, what in (
        (INFEASIBLE, "have no feasible schedule; widen their limits or let them shed load"),
        (None, "were not solved to tolerance; rescale their data or loosen the tolerance"),
    ):
        bad = solution.status == status if status is not None else solution.status != OPTIMAL
        if bad.any():
            raise NoSolution(f"agents {labels[bad].tolist()[:12]} {what}")


def _reply(
    batch: BatchQP,
    targets: tuple[Array, ...],
    penalties: tuple[Penalty, ...],
    memory: BatchSolution | None,
    tell_cost: bool,
    tolerance: float,
) -> Reply:
    first, *rest = zip(targets, penalties, strict=True)
    target, penalty = rest[0] if rest else (0.0, 0.0)
    solution = batch.solve(
        trade_cost=-first[1] * first[0],
        trade_curvature=first[1],
        boundary_cost=-penalty * target,
        boundary_curvature=penalty,
        tolerance=tolerance,
        warm=memory,
    )
    raise_unsolved(solution)
    x = (solution.trade, solution.boundary)[: len(targets)]
    cost = None
    if tell_cost:
        proximal = sum(
            (penalty * value * (0.5 * value - target)).sum(axis=1)
            for value, target, penalty in zip(x, targets, penalties, strict=True)
        )
        cost = solution.cost - proximal
    return Reply(x, cost, solution)
