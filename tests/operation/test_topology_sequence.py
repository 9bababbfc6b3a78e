"""The best sequence out of a pool equals what enumeration finds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pp_p2p.operation.topology_sequence import Pool, SwitchingLimits, best_sequence


def _keeps(path: list[np.ndarray], limits: SwitchingLimits) -> tuple[bool, int]:
    """Return whether a path (present first) keeps the limits, and its operations."""
    flips = [a != b for a, b in itertools.pairwise(path)]
    total = int(sum(f.sum() for f in flips))
    ok = limits.max_operations is None or total <= limits.max_operations
    most = limits.max_operations_per_switch
    ok &= most is None or bool((np.sum(flips, axis=0) <= most).all())
    for (i, one), (j, two) in itertools.combinations(enumerate(flips), 2):
        ok &= not (j - i < limits.dwell_steps and bool((one & two).any()))
    ok &= all(limits.may_change[t] or not f.any() for t, f in enumerate(flips))
    return ok, total


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    most=st.sampled_from([None, 0, 2, 4, 6]),
    each=st.sampled_from([None, 1, 2]),
    dwell=st.integers(0, 3),
    price=st.sampled_from([0.0, 0.05]),
)
def test_equals_enumeration(
    seed: int, most: int | None, each: int | None, dwell: int, price: float
) -> None:
    rng = np.random.default_rng(seed)
    trees = np.array([[int(k not in pair) for k in range(4)] for pair in [(0, 1), (0, 2), (1, 3)]])
    closed = trees.astype(bool)
    cost = rng.uniform(0.0, 1.0, (3, 4))
    cost[rng.integers(0, 3), rng.integers(0, 4)] = np.inf
    limits = SwitchingLimits(
        max_operations=most,
        max_operations_per_switch=each,
        dwell_steps=dwell,
        cost=price,
        may_change=rng.uniform(size=4) < 0.8,
    )
    present = closed[0]
    best = np.inf
    for choice in itertools.product(range(3), repeat=4):
        ok, total = _keeps([present, *closed[list(choice)]], limits)
        if ok:
            best = min(best, price * total + sum(cost[i, t] for t, i in enumerate(choice)))
    found = best_sequence(Pool(closed=closed, cost=cost, present=present), limits)
    if np.isinf(best):
        assert found is None
        return
    assert found is not None
    assert found.proven
    assert found.cost == pytest.approx(best)
    ok, total = _keeps([present, *closed[found.choice]], limits)
    assert ok
    assert found.cost == pytest.approx(
        price * total + sum(cost[i, t] for t, i in enumerate(found.choice))
    )


def test_outside_bounds_what_the_pool_lacks() -> None:
    closed = np.array([[True, True, False], [True, False, True], [False, True, True]])
    cost = np.array([[3.0, 3.0], [1.0, 5.0], [5.0, 1.0]])
    limits = SwitchingLimits(
        max_operations=4,
        max_operations_per_switch=None,
        dwell_steps=0,
        cost=0.0,
        may_change=np.ones(2, dtype=bool),
    )
    whole = best_sequence(Pool(closed=closed, cost=cost, present=closed[0]), limits)
    assert whole is not None
    for kept in itertools.combinations(range(3), 2):
        missing = ({0, 1, 2} - set(kept)).pop()
        pool = Pool(
            closed=closed[list(kept)],
            cost=cost[list(kept)],
            present=closed[0],
            outside=cost[missing],
        )
        bound = best_sequence(pool, limits)
        assert bound is not None
        assert bound.cost <= whole.cost
