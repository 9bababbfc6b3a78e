"""The contract clears what the Python mechanism clears, and refuses everything else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pp_p2p.ledger.packing import PAD, pack_energy
from pp_p2p.market.combined_offers import NOT_OFFERED, combine


def _offers(rng: np.random.Generator, n: int, steps: int, reach: int, most: int) -> np.ndarray:
    offers = rng.integers(-most, most + 1, (n, steps, 2 * reach + 1)).astype(np.int64)
    offers[rng.random(offers.shape) < 0.1] = NOT_OFFERED
    offers[:, :, reach] = 0
    return offers


def _revealed(bench: Any, offers: np.ndarray, **terms: Any) -> None:
    n, steps, levels = offers.shape
    bench.open(n, steps=steps, levels=levels, **terms)
    for r in range(n):
        need = int(np.maximum(offers[r], 0).max(axis=1).sum())
        bench.commit(r, offers[r], deposit=1_000 + need)
    for r in range(n):
        bench.reveal(r, offers[r])


def test_clearing_is_that_of_python_on_more_than_500_instances(bench: Any) -> None:
    """Every step is an instance of its own."""
    rng = np.random.default_rng(11)
    seen = 0
    for case in range(14):
        n, reach = int(rng.integers(2, 6)), int(rng.integers(1, 4))
        offers = _offers(rng, n, 40, reach, (6, 10**12)[case % 2])
        sharing = ("equal", "traders", "weights")[case % 3]
        weights = rng.integers(1, 9, n).astype(np.int64)
        limit = int(rng.integers(0, 2 * n)) if case % 4 == 3 else None
        room = {} if limit is None else {"limit": limit}
        with bench.undone():
            _revealed(bench, offers, sharing=sharing, weights=weights, **room)
            found = combine(offers, limit=limit, sharing=sharing, weights=weights)
            bench.propose(bench.holders[0], offers, found.level * 100)
            assert bench.read("value") == found.value.sum()
            paid = [bench.read("payment", r) for r in range(n)]
            assert paid == found.payment.sum(axis=1).tolist()
            assert sum(paid) == 0
            with pytest.raises(Exception, match="not better"):
                bench.propose(bench.holders[1], offers, found.level * 100)
            seen += offers.shape[1]
    assert seen >= 500


def test_worse_comes_first_and_the_optimum_replaces_it(bench: Any) -> None:
    """Whoever proposes first: what stands in the end is the optimum with its ties broken."""
    rng = np.random.default_rng(2)
    offers = _offers(rng, 3, 6, 2, 4)
    _revealed(bench, offers)
    best = combine(offers)
    nothing = np.zeros_like(best.level)
    bench.propose(bench.holders[2], offers, nothing)
    half = best.level.copy()
    half[:, 3:] = 0
    bench.propose(bench.holders[1], offers, half * 100)
    bench.propose(bench.operator, offers, best.level * 100)
    assert bench.read("value") == best.value.sum()
    for worse in (nothing, half):
        with pytest.raises(Exception, match="not better"):
            bench.propose(bench.holders[0], offers, worse * 100)


def test_a_proposal_must_be_sound(bench: Any) -> None:
    offers = np.array([[[-5, 0, 9]], [[7, 0, -2]], [[NOT_OFFERED, 0, 1]]])
    _revealed(bench, offers)
    first = bench.holders[0]
    for levels, said in (
        ([1, 0, 0], "not balanced"),
        ([1, 0, -1], "not offered"),
        ([2, -1, -1], "beyond the levels"),
        ([-1, 0, 1], "nothing is gained"),
    ):
        with pytest.raises(Exception, match=said):
            bench.propose(first, offers, np.array(levels)[:, None] * 100)
    for energy in (50, 150, -1):
        with pytest.raises(Exception, match="no level"):
            bench.propose(first, offers, np.array([[energy], [-energy], [0]]))
    other = offers.copy()
    other[1, 0, 0] = 8
    with pytest.raises(Exception, match="other offers"):
        bench.propose(first, other, np.array([[100], [-100], [0]]))
    with pytest.raises(Exception, match="no seat"):
        bench.propose(bench.stranger, offers, np.array([[100], [-100], [0]]))
    with pytest.raises(Exception, match="length of schedule"):
        bench.propose(first, offers, np.array([[100, 0], [-100, 0], [0, 0]]))
    bench.propose(first, offers, np.array([[100], [-100], [0]]))
    assert [bench.read("payment", r) for r in range(3)] == [9 - 6, 7 - 5, -5]


def test_the_limit_of_the_link_holds(bench: Any) -> None:
    offers = np.array([[[-9, -9, 0, 9, 9]], [[9, 9, 0, -1, -1]]])
    _revealed(bench, offers, limit=1)
    with pytest.raises(Exception, match="beyond the link"):
        bench.propose(bench.holders[0], offers, np.array([[200], [-200]]))
    bench.propose(bench.holders[0], offers, np.array([[100], [-100]]))


def test_offers_that_are_not_covered_or_not_normal_are_refused(bench: Any) -> None:
    good = np.array([[-5, 0, 9], [-5, 0, 4]])
    for offers, deposit, said in (
        (good, 1_012, "cover"),
        (good + 1, 5_000, "level 0"),
        (np.where(good == 0, NOT_OFFERED, good), 5_000, "level 0"),
        (good * (10**12), 10**20, "too large"),
        (-good * (10**12), 10**20, "too large"),
        (good[:1], 5_000, "length"),
    ):
        with bench.undone():
            bench.open(2, steps=2, levels=3)
            bench.commit(0, offers, deposit=deposit)
            bench.commit(1, good, deposit=5_000)
            with pytest.raises(Exception, match=said):
                bench.reveal(0, offers)


def test_gas_does_not_grow_with_the_levels_but_for_linear_checks(bench: Any) -> None:
    """Twice the levels cost the checks of twice the offers, and no more storage."""
    gas = {}
    rng = np.random.default_rng(3)
    for reach in (3, 6, 12):
        with bench.undone():
            offers = _offers(rng, 4, 24, reach, 100)
            bench.open(4, steps=24, levels=2 * reach + 1)
            for r in range(4):
                bench.commit(r, offers[r], deposit=10**6)
            commit = bench.gas
            bench.reveal(0, offers[0])
            reveal = bench.gas
            for r in range(1, 4):
                bench.reveal(r, offers[r])
            bench.propose(bench.holders[0], offers, combine(offers).level * 100)
            gas[2 * reach + 1] = (commit, reveal, bench.gas)
    print("\nlevels -> gas of commit, reveal, propose (4 regions, 24 steps)", gas)
    assert gas[7][0] == pytest.approx(gas[25][0], abs=3_000)
    per_level = [(gas[25][k] - gas[13][k]) / 12 for k in (1, 2)]
    before = [(gas[13][k] - gas[7][k]) / 6 for k in (1, 2)]
    assert per_level[0] == pytest.approx(before[0], rel=0.1)
    assert per_level[1] < 0.03 * gas[13][2]


def test_schedule_survives_packing() -> None:
    energy = np.array([[5, -7], [0, 2**31 - 1]])
    from pp_p2p.ledger.packing import unpack_energy

    assert (unpack_energy((pack_energy(energy) + PAD)[:-32]) == energy.ravel()).all()
