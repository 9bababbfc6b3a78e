"""Annuities, real interest, net present cost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planning.costs import (
    annuity_factor,
    capital_recovery_factor,
    equivalent_annual_cost,
    net_present_cost,
    real_interest_rate,
)
from pp_p2p.errors import InvalidInput


def test_published_value() -> None:
    # HOMER's example: 7 %, 5 years
    assert capital_recovery_factor(0.07, 5) == pytest.approx(0.24389069, abs=1e-8)


def test_without_interest_it_is_straight_line() -> None:
    assert capital_recovery_factor(0.0, 8) == 0.125
    assert capital_recovery_factor(1e-9, 8) == pytest.approx(0.125, rel=1e-6)


@given(rate=st.floats(0.001, 0.3), years=st.integers(1, 60))
def test_present_value_of_the_annuities_is_the_investment(rate: float, years: int) -> None:
    annuity = capital_recovery_factor(rate, years)
    assert sum(annuity / (1 + rate) ** y for y in range(1, years + 1)) == pytest.approx(1.0)


@given(rate=st.floats(0.0, 0.3), years=st.integers(0, 60))
def test_annuity_factor_is_the_sum_of_discounted_years(rate: float, years: int) -> None:
    assert annuity_factor(rate, years) == pytest.approx(
        sum((1 + rate) ** -y for y in range(1, years + 1))
    )


@given(real=st.floats(0.0, 0.2), inflation=st.floats(-0.05, 0.2))
def test_real_rate_takes_inflation_out(real: float, inflation: float) -> None:
    nominal = (1 + real) * (1 + inflation) - 1
    assert real_interest_rate(nominal, inflation) == pytest.approx(real, abs=1e-12)


def test_total_deflation_is_refused() -> None:
    with pytest.raises(InvalidInput, match="inflation"):
        real_interest_rate(0.05, -1.0)


@given(rate=st.floats(0.0, 0.3), years=st.integers(1, 40), cost=st.floats(1.0, 1e6))
def test_equivalent_annual_cost_is_worth_the_net_present_cost(
    rate: float, years: int, cost: float
) -> None:
    annual = equivalent_annual_cost(cost, rate, years)
    assert net_present_cost([0.0, *[annual] * years], rate) == pytest.approx(cost)
