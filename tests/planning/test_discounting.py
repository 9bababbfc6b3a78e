"""Discounting: the identities of hand calculation, and laws over all conventions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planning.costs import annuity_factor, capital_recovery_factor, net_present_cost
from planning.discounting import Discounting
from pp_p2p.errors import InvalidInput

RATES = st.floats(0.001, 0.25)
LIVES = st.integers(1, 40)
HORIZONS = st.integers(1, 40)
SALVAGES = st.sampled_from(["annuity", "linear", "none", "perpetuity"])
MOMENTS = st.sampled_from(["start", "end"])


def _flat(price: float, horizon: int) -> np.ndarray:
    return np.full(horizon, price)


def test_annuities_inside_and_salvage_make_up_the_investment() -> None:
    # c = 1000, i = 6 %, n = 15, bought when 8 years have passed, H = 20
    d = Discounting(rate=0.06, horizon_years=20)
    cash = d.purchase(_flat(1000.0, 20), life_years=15, year=9)
    paid = float(d.investment_factors() @ cash[:, 0])
    assert paid == pytest.approx(627.412, abs=5e-4)
    assert d.present_value(cash) == pytest.approx(541.597, abs=5e-4)
    assert -cash[-1, 2] * d.end_factor() == pytest.approx(85.815, abs=5e-4)
    linear = Discounting(rate=0.06, horizon_years=20, salvage="linear")
    cash = linear.purchase(_flat(1000.0, 20), life_years=15, year=9)
    assert -cash[-1, 2] * linear.end_factor() == pytest.approx(62.361, abs=5e-4)


def test_investment_at_the_end_of_year_8_is_that_at_the_start_of_year_9() -> None:
    start, end = (
        Discounting(rate=0.06, horizon_years=20, investment_at=k) for k in ("start", "end")
    )
    assert start.investment_factors()[8] == pytest.approx(end.investment_factors()[7])
    assert start.investment_factors()[0] == 1.0


@given(rate=RATES, years=HORIZONS, data=st.data())
def test_stages_make_up_the_horizon(rate: float, years: int, data: st.DataObject) -> None:
    d = Discounting(rate=rate, horizon_years=years)
    cut = data.draw(st.integers(0, years))
    whole = d.stage_factor(1, cut) + d.stage_factor(cut + 1, years - cut)
    assert whole == pytest.approx(annuity_factor(rate, years))
    # the closed form of a stage
    closed = (1 + rate) ** -cut * (1 - (1 + rate) ** -(years - cut)) / rate
    assert d.stage_factor(cut + 1, years - cut) == pytest.approx(closed, rel=1e-9, abs=1e-12)


@given(rate=RATES, life=LIVES, horizon=HORIZONS, data=st.data())
def test_annuity_salvage_charges_the_annuities_of_the_years_served(
    rate: float, life: int, horizon: int, data: st.DataObject
) -> None:
    year = data.draw(st.integers(1, horizon))
    d = Discounting(rate=rate, horizon_years=horizon)
    cash = d.purchase(_flat(1.0, horizon), life_years=life, year=year)
    served = d.stage_factor(year, horizon - year + 1)
    assert d.present_value(cash) == pytest.approx(capital_recovery_factor(rate, life) * served)


@given(rate=RATES, life=LIVES, horizon=HORIZONS, salvage=SALVAGES, at=MOMENTS)
def test_longer_life_never_costs_more(
    rate: float, life: int, horizon: int, salvage: str, at: str
) -> None:
    d = Discounting(rate=rate, horizon_years=horizon, salvage=salvage, investment_at=at)
    short, longer = (
        d.present_value(d.purchase(_flat(1.0, horizon), life_years=n, year=1))
        for n in (life, life + 1)
    )
    assert longer <= short * (1 + 1e-9)


@given(rate=RATES, life=LIVES, horizon=HORIZONS, data=st.data())
def test_conventions_are_ordered(rate: float, life: int, horizon: int, data: st.DataObject) -> None:
    """Nothing left costs most; a straight line is worth less than annuities, whose early years
    are the cheaper half of a loan."""
    year = data.draw(st.integers(1, horizon))
    cost = {}
    for salvage in ("annuity", "linear", "none"):
        d = Discounting(rate=rate, horizon_years=horizon, salvage=salvage)
        cost[salvage] = d.present_value(d.purchase(_flat(1.0, horizon), life_years=life, year=year))
    assert cost["annuity"] <= cost["linear"] + 1e-9
    assert cost["linear"] <= cost["none"] + 1e-9


@given(rate=RATES, life=LIVES, horizon=HORIZONS, at=MOMENTS)
def test_perpetuity_is_the_annuity_for_ever(rate: float, life: int, horizon: int, at: str) -> None:
    d = Discounting(rate=rate, horizon_years=horizon, salvage="perpetuity", investment_at=at)
    cost = d.present_value(d.purchase(_flat(1.0, horizon), life_years=life, year=1))
    paid = float(d.investment_factors()[0])
    assert cost == pytest.approx(paid * capital_recovery_factor(rate, life) / rate)
    assert d.stage_factor(1, horizon) == pytest.approx(1.0 / rate)
    assert d.equivalent_annual_cost(cost) == pytest.approx(
        paid * capital_recovery_factor(rate, life)
    )


@given(rate=RATES, life=LIVES, horizon=HORIZONS)
def test_equivalent_annual_cost_of_a_unit_is_its_annuity(
    rate: float, life: int, horizon: int
) -> None:
    d = Discounting(rate=rate, horizon_years=horizon)
    cost = d.present_value(d.purchase(_flat(1.0, horizon), life_years=life, year=1))
    assert d.equivalent_annual_cost(cost) == pytest.approx(capital_recovery_factor(rate, life))


@given(rate=RATES, horizon=HORIZONS)
def test_npc_of_a_constant_cost_annualised_is_that_cost(rate: float, horizon: int) -> None:
    d = Discounting(rate=rate, horizon_years=horizon)
    npc = net_present_cost([0.0, *[7.0] * horizon], rate)
    assert npc == pytest.approx(7.0 * d.stage_factor(1, horizon))
    assert d.equivalent_annual_cost(npc) == pytest.approx(7.0)


def test_replacement_is_paid_at_the_price_of_its_year() -> None:
    d = Discounting(rate=0.0, horizon_years=7, salvage="none")
    price = np.array([10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0])
    cash = d.purchase(price, life_years=3, year=1)
    assert cash[:, 0].tolist() == [10, 0, 0, 0, 0, 0, 0]
    assert cash[:, 1].tolist() == [0, 0, 0, 7, 0, 0, 4]
    assert d.purchase(price, life_years=3, year=1, replaced=False)[:, 1].sum() == 0.0
    # what is left of the last one: two of three years at 4 EUR
    linear = Discounting(rate=0.0, horizon_years=7, salvage="linear")
    assert linear.purchase(price, life_years=3, year=1)[-1, 2] == pytest.approx(-8 / 3)
    assert linear.purchase(price, life_years=3, year=1, replaced=False)[-1, 2] == 0.0


def test_bad_conventions_are_all_told() -> None:
    with pytest.raises(InvalidInput) as told:
        Discounting(rate=-1.0, horizon_years=0, salvage="some", investment_at="noon")  # type: ignore[arg-type]
    assert len(told.value.findings) == 4
    with pytest.raises(InvalidInput, match="perpetuity"):
        Discounting(rate=0.0, horizon_years=3, salvage="perpetuity")
