"""Alternating optimisation over integer plans: who moves, in what order, and when it ends.

From a start z, with W(z) the least social cost of plans z under trades and network (upper level),

    1. upper: quantities and prices of trades at z, hence W(z);
    2. lower: every investor's own plan z_i, trades kept, or moved within a trust region of them
       at the upper level's prices;
    3. all who would change move at once; where W does not fall, one at a time in their order;
    4. where nobody moves, the trust region shrinks; when the smallest is done, z is the end;
    5. the best end of all starts is taken up once more: each plans with the network in view,
       trades kept: who changes makes up for what the others then pay more.

W falls by more than a tolerance with every move and plans are finitely many, so that it ends. The
end is an equilibrium, not the social optimum; hence several starts, of which the best is kept.
[ADN-thesis] ch. 3, reconstructed; steps 3 to 5 are ours. Without 3 the plans may run in a circle
where the network forbids what its investors want: a proposal that was left before is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pp_p2p.network.branches import Array

Plan = tuple[int, ...]
"""Units of every candidate."""

Cost = Callable[[Plan], float]
"""Social cost W of a plan; ``inf`` where the network or a limit forbids it."""

Propose = Callable[[Plan, float], dict[int, Plan]]
"""Own plans around a plan at a radius: investor -> the whole plan with that investor's part."""


@dataclass(frozen=True, kw_only=True)
class Move:
    """One entry of the record: `accepted` moves lower the social cost."""

    start: str
    round: int
    radius: float
    movers: tuple[int, ...]
    cost: float
    accepted: bool


@dataclass(frozen=True, kw_only=True)
class Ending:
    """Where an alternation ended: plan, cost, its moves, how often a left plan came back, why."""

    start: str
    plan: Plan
    cost: float
    moves: tuple[Move, ...]
    cycles: int
    reason: str


def alternate(
    start: str,
    plan: Plan,
    cost: Cost,
    propose: Propose,
    *,
    radii: Sequence[float],
    tolerance: float,
    max_rounds: int,
) -> Ending:
    """Run the alternation from `plan`.

    Parameters
    ----------
    start : str
        Name of the start.
    plan : tuple of int
    cost, propose : callable
        Upper and lower level.
    radii : sequence of float
        Trust regions in the order in which they are tried; 0 keeps the trades.
    tolerance : float
        A move must lower the cost by more.
    max_rounds : int
        Most rounds.
    """
    now = cost(plan)
    moves = [Move(start=start, round=0, radius=0.0, movers=(), cost=now, accepted=True)]
    left: set[Plan] = set()
    cycles, reason = 0, "most rounds"
    if not np.isfinite(now):
        return Ending(start=start, plan=plan, cost=now, moves=tuple(moves), cycles=0,
                      reason="no operation")  # fmt: skip
    for number in range(1, max_rounds + 1):
        better: Plan | None = None
        for radius in radii:
            for movers, to in _trials(plan, propose(plan, radius)):
                if to in left:
                    cycles += 1
                    continue
                reached = cost(to)
                accepted = reached < now - tolerance
                moves.append(
                    Move(start=start, round=number, radius=radius, movers=movers, cost=reached,
                         accepted=accepted)
                )  # fmt: skip
                if accepted:
                    better, now = to, reached
                    break
            if better is not None:
                break
        if better is None:
            reason = "nobody moves"
            break
        left.add(plan)
        plan = better
    return Ending(
        start=start, plan=plan, cost=now, moves=tuple(moves), cycles=cycles, reason=reason
    )


def followed(first: Ending, then: Ending) -> Ending:
    """Return `first`, taken up by `then` where it ended."""
    rounds = max(move.round for move in first.moves)
    more = [replace(move, round=move.round + rounds) for move in then.moves[1:]]
    return replace(then, moves=(*first.moves, *more), cycles=first.cycles + then.cycles)


def _trials(plan: Plan, proposals: dict[int, Plan]) -> list[tuple[tuple[int, ...], Plan]]:
    """Return what is tried: all changes at once, then each alone."""
    changed = {k: to for k, to in proposals.items() if to != plan}
    if not changed:
        return []
    old = np.array(plan)
    together: Array = old.copy()
    for to in changed.values():
        together += np.array(to) - old
    trials = [(tuple(changed), tuple(together.tolist()))]
    if len(changed) > 1:
        trials += [((k,), to) for k, to in changed.items()]
    return trials
