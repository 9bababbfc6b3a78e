"""Pairwise combined offers: the reference, the transportation problem as a bound, money."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pp_p2p.errors import InvalidInput
from pp_p2p.market.pair_offers import PairOffers, match_pairs


def _reference(**changes: Any) -> PairOffers:
    given: dict[str, Any] = {
        "bid_eur_per_mwh": np.array([10.0, 9.0]),
        "demand_mwh": np.ones(2),
        "ask_eur_per_mwh": np.array([4.0, 5.0]),
        "supply_mwh": np.ones(2),
        "wheeling_eur_per_mwh": np.array([[0.0, 0.5], [0.0, 4.0]]),
        "loss_factor": np.zeros((2, 2)),
    }
    return PairOffers(**{**given, **changes})


def test_greedy_loses_where_wheeling_differs_by_pair() -> None:
    ds = match_pairs(_reference())
    assert ds.attrs["greedy_eur"] == pytest.approx(6.0)
    assert ds.attrs["optimal_eur"] == pytest.approx(9.5)
    assert ds.attrs["greedy_loss_eur"] == pytest.approx(3.5)


def test_greedy_never_beats_the_transportation_problem_and_money_is_conserved() -> None:
    rng = np.random.default_rng(4)
    for _ in range(15):
        buyers, sellers = rng.integers(1, 5, 2)
        offers = PairOffers(
            bid_eur_per_mwh=rng.uniform(5, 20, buyers),
            demand_mwh=rng.uniform(0, 3, buyers),
            ask_eur_per_mwh=rng.uniform(0, 12, sellers),
            supply_mwh=rng.uniform(0, 3, sellers),
            wheeling_eur_per_mwh=rng.uniform(0, 2, (buyers, sellers)),
            loss_factor=rng.uniform(0, 0.1, (buyers, sellers)),
            buyer_terminal_mwh=rng.uniform(0, 3, buyers),
            link_mwh=float(rng.uniform(0.5, 4)),
            seller_share=float(rng.uniform(0, 1)),
        )
        ds = match_pairs(offers)
        assert ds.attrs["greedy_eur"] <= ds.attrs["optimal_eur"] + 1e-7
        paid = float(ds["payment_eur"].sum())
        assert paid == pytest.approx(float(ds["income_eur"].sum() + ds["wheeling_eur"]))
        for match in (ds["greedy_mwh"].to_numpy(), ds["optimal_mwh"].to_numpy()):
            assert (match.sum(axis=0) <= offers.most_sent + 1e-7).all()
            received = ((1 - offers.loss_factor) * match).sum(axis=1)
            assert (received <= offers.most_received + 1e-7).all()
            assert match.sum() <= offers.link_mwh + 1e-7
        worth = ((1 - offers.loss_factor) * ds["greedy_mwh"].to_numpy()).sum(axis=1)
        assert (ds["payment_eur"] <= offers.bid_eur_per_mwh * worth + 1e-9).all()
        cost = offers.ask_eur_per_mwh * ds["greedy_mwh"].to_numpy().sum(axis=0)
        assert (ds["income_eur"] >= cost - 1e-9).all()


def test_greedy_is_optimal_without_wheeling_and_losses() -> None:
    rng = np.random.default_rng(6)
    offers = PairOffers(
        bid_eur_per_mwh=rng.uniform(5, 20, 4),
        demand_mwh=rng.uniform(0, 3, 4),
        ask_eur_per_mwh=rng.uniform(0, 12, 3),
        supply_mwh=rng.uniform(0, 3, 3),
        wheeling_eur_per_mwh=np.zeros((4, 3)),
        loss_factor=np.zeros((4, 3)),
    )
    assert match_pairs(offers).attrs["greedy_loss_eur"] == pytest.approx(0.0, abs=1e-6)


def test_bad_pairs_are_all_named() -> None:
    with pytest.raises(InvalidInput) as error:
        _reference(
            demand_mwh=np.array([-1.0, 1.0]),
            loss_factor=np.zeros((2, 3)),
            supply_mwh=np.array([np.nan, 1.0]),
            seller_share=2.0,
        )
    columns = {finding.column for finding in error.value.findings}
    assert columns == {"demand_mwh", "loss_factor", "supply_mwh", "seller_share"}
