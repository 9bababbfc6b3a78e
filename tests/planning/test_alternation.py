"""`planning.alternation` on costs that are written down: order, descent, circles, end."""

from __future__ import annotations

import numpy as np
import pytest

from planning.alternation import Plan, alternate

OPTIONS = {"radii": [0.0, 1.0], "tolerance": 1e-9, "max_rounds": 20}


def test_the_cost_falls_with_every_accepted_move() -> None:
    def cost(plan: Plan) -> float:
        return float((plan[0] - 3) ** 2 + (plan[1] - 2) ** 2)

    def propose(plan: Plan, radius: float) -> dict[int, Plan]:
        if radius == 0.0:
            return {}
        return {0: (min(plan[0] + 1, 3), plan[1]), 1: (plan[0], min(plan[1] + 1, 2))}

    end = alternate("s", (0, 0), cost, propose, **OPTIONS)
    accepted = [m.cost for m in end.moves if m.accepted]
    assert end.plan == (3, 2)
    assert end.reason == "nobody moves"
    assert (np.diff(accepted) < 0).all()
    assert end.moves[1].movers == (0, 1)  # both at once, first
    assert end.moves[-1].movers == (0,)


def test_where_all_at_once_is_dearer_one_moves_alone() -> None:
    cost = {(0, 0): 5.0, (1, 1): 6.0, (1, 0): 3.0, (0, 1): 4.0}

    def propose(plan: Plan, radius: float) -> dict[int, Plan]:
        return {0: (1, plan[1]), 1: (plan[0], 1)} if plan == (0, 0) else {}

    end = alternate("s", (0, 0), cost.__getitem__, propose, **OPTIONS)
    assert end.plan == (1, 0)
    assert [m.movers for m in end.moves] == [(), (0, 1), (0,)]


def test_a_circle_is_counted_and_the_best_is_kept() -> None:
    after = {(0,): (1,), (1,): (2,), (2,): (0,)}
    cost = {(0,): 3.0, (1,): 2.0, (2,): 1.0}
    end = alternate("s", (0,), cost.__getitem__, lambda p, _: {0: after[p]}, **OPTIONS)
    assert end.plan == (2,)
    assert end.cost == 1.0
    assert end.cycles == 2  # the way back to (0,), at both radii
    assert end.reason == "nobody moves"


def test_a_plan_that_the_network_forbids_is_left_alone() -> None:
    cost = {(0,): 3.0, (1,): np.inf}
    end = alternate("s", (0,), cost.__getitem__, lambda *_: {0: (1,)}, **OPTIONS)
    assert end.plan == (0,)
    none = alternate("s", (1,), cost.__getitem__, lambda *_: {0: (0,)}, **OPTIONS)
    assert none.reason == "no operation"


@pytest.mark.parametrize("rounds", [1, 3])
def test_rounds_are_limited(rounds: int) -> None:
    end = alternate(
        "s", (0,), lambda p: -float(p[0]), lambda p, _: {0: (p[0] + 1,)}, radii=[0.0],
        tolerance=1e-9, max_rounds=rounds,
    )  # fmt: skip
    assert end.plan == (rounds,)
    assert end.reason == "most rounds"
