"""Highest combined offer: enumeration, the reference of four regions, money."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import pp_p2p as p2p
from pp_p2p.errors import InvalidInput
from pp_p2p.market.combined_offers import NOT_OFFERED, combine, highest_levels

MICRO = 1_000_000


def _random(rng: np.random.Generator, regions: int, steps: int, reach: int) -> np.ndarray:
    offers = rng.integers(-20, 21, (regions, steps, 2 * reach + 1)).astype(np.int64)
    offers[rng.random(offers.shape) < 0.15] = NOT_OFFERED
    offers[:, :, reach] = 0
    return offers


def _enumerated(offers: np.ndarray, t: int, limit: int | None) -> tuple[int, ...]:
    reach = offers.shape[2] // 2
    best: tuple[object, ...] = ()
    for levels in itertools.product(range(-reach, reach + 1), repeat=len(offers)):
        taken = sum(k for k in levels if k > 0)
        if sum(levels) or (limit is not None and taken > limit):
            continue
        values = [int(offers[r, t, k + reach]) for r, k in enumerate(levels)]
        if NOT_OFFERED in values:
            continue
        key = (-sum(values), 2 * taken, levels)
        best = min(best, key) if best else key
    return best[2]  # type: ignore[return-value]


def test_reference_of_four_regions() -> None:
    k = np.arange(-6, 7)
    beta, q = np.array([3, -2, 1, 0.5]), np.array([0.3, 0.25, 0.2, 0.4])
    value = (beta[:, None] * k - q[:, None] * k**2)[:, None, :]
    found = p2p.CombinedOffer().clear(value)
    assert found.level[:, 0].tolist() == [4, -5, 1, 0]
    assert found.value.tolist() == [11_750_000]
    assert found.payment[:, 0].tolist() == [4_262_500, 812_500, -2_137_500, -2_937_500]
    only = p2p.CombinedOffer(sharing="traders").clear(value)
    assert only.payment[3, 0] == 0
    assert only.payment.sum() == 0
    shared = p2p.CombinedOffer(sharing="weights").clear(value, weights=[1.0, 2.0, 0.0, 1.0])
    gain = [7_200_000, 3_750_000, 800_000, 0] - shared.payment[:, 0]
    assert gain.tolist() == [2_937_500, 5_875_000, 0, 2_937_500]


@pytest.mark.parametrize("limit", [None, 0, 2, 3])
def test_dynamic_programming_is_enumeration(limit: int | None) -> None:
    rng = np.random.default_rng(3)
    for regions, reach in ((2, 6), (3, 4), (4, 2), (5, 1)):
        offers = _random(rng, regions, 40, reach)
        found = highest_levels(offers, limit)
        for t in range(40):
            assert tuple(found[:, t].tolist()) == _enumerated(offers, t, limit)


def test_money_is_conserved_and_nobody_loses() -> None:
    rng = np.random.default_rng(5)
    for sharing in ("equal", "traders", "weights"):
        for _ in range(40):
            offers = _random(rng, int(rng.integers(2, 7)), 6, 4)
            weights = rng.integers(0, 5, len(offers)).astype(np.int64)
            weights[-1] += 1
            found = combine(offers, sharing=sharing, weights=weights)
            assert (found.payment.sum(axis=0) == 0).all()
            chosen = np.take_along_axis(offers, (found.level + 4)[:, :, None], 2)[..., 0]
            assert (chosen - found.payment >= 0).all()
            assert (found.level.sum(axis=0) == 0).all()
            assert (found.level[:, found.value == 0] == 0).all()


def test_order_of_the_regions_changes_no_total_and_scale_no_schedule() -> None:
    rng = np.random.default_rng(7)
    offers = rng.integers(-(10**6), 10**6, (4, 20, 11))  # values that no two tuples share
    offers[rng.random(offers.shape) < 0.15] = NOT_OFFERED
    offers[:, :, 5] = 0
    found = combine(offers)
    order = rng.permutation(4)
    again = combine(offers[order])
    assert (again.value == found.value).all()
    assert (again.level == found.level[order]).all()
    gain = np.abs(again.payment - found.payment[order])
    assert gain.max() <= 3  # what division leaves goes to who is first
    scaled = combine(np.where(offers == NOT_OFFERED, NOT_OFFERED, offers * 7))
    assert (scaled.level == found.level).all()


def test_no_trade_where_nothing_is_gained() -> None:
    offers = -np.ones((3, 2, 5))
    offers[:, :, 2] = 0
    found = p2p.CombinedOffer(max_level=2).clear(offers)
    assert not found.level.any()
    assert not found.payment.any()


def test_bad_offers_are_all_named() -> None:
    for wrong, said in (
        (np.zeros((3, 5)), "shape"),
        (np.zeros((3, 2, 4)), "shape"),
        (np.full((3, 2, 5), np.inf), "1e6 EUR"),
        (np.full((3, 2, 5), np.nan), "level 0"),
        (np.zeros((1, 2, 5)), "alone"),
        (np.zeros((3, 2, 7)), "7 levels"),
    ):
        with pytest.raises(InvalidInput, match=said):
            p2p.CombinedOffer(max_level=2).clear(wrong)
    with pytest.raises(InvalidInput, match="one number >= 0"):
        p2p.CombinedOffer(max_level=2, sharing="weights").clear(np.zeros((2, 1, 5)), [0.0, 0.0])


def test_a_bad_mechanism_names_everything() -> None:
    with pytest.raises(InvalidInput) as error:
        p2p.CombinedOffer(step_mw=0.0, max_level=0, total_limit_mw=-1.0, sharing="mine")  # type: ignore[arg-type]
    columns = {finding.column for finding in error.value.findings}
    assert columns == {"step_mw", "max_level", "total_limit_mw", "sharing"}
    for bad in ({"step_mw": np.nan}, {"max_level": 1.5}, {"max_level": True}, {"step_mw": "1"}):
        with pytest.raises(InvalidInput):
            p2p.CombinedOffer(**bad)  # type: ignore[arg-type]
