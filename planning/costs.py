"""Money over time: annuities."""

from __future__ import annotations


def capital_recovery_factor(rate: float, years: float) -> float:
    """Return the annuity of 1 EUR: ``i (1 + i)^n / ((1 + i)^n - 1)``, and ``1 / n`` for i = 0.

    Parameters
    ----------
    rate : float
        Real interest rate per year, as a fraction (0.07 for 7 %).
    years : float
        Life, a.

    Examples
    --------
    >>> round(capital_recovery_factor(0.07, 5), 8)
    0.24389069
    """
    if rate == 0.0:
        return 1.0 / years
    growth = (1.0 + rate) ** years
    return float(rate * growth / (growth - 1.0))
