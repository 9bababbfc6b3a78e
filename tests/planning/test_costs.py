"""Annuities."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planning import capital_recovery_factor


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
