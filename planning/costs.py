"""Money over time: annuities, real interest, net present cost.

    CRF(i, n) = i (1 + i)^n / ((1 + i)^n - 1)                                         (1)
    i = (i_nominal - f) / (1 + f)                                                     (2)
    NPC = sum_y (1 + i)^-y cash_y                                                     (3)
    EAC = CRF(i, H) NPC                                                               (4)

Rates are fractions a year. All money of a plan is real (of the base year), so its rate is real,
too: a nominal rate on real prices would count inflation as interest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from pp_p2p.errors import Finding, InvalidInput


def capital_recovery_factor(rate: float, years: float) -> float:
    """Return the annuity of 1 EUR (1), ``1 / n`` for i = 0.

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
    return float(rate / -np.expm1(-years * np.log1p(rate)))


def annuity_factor(rate: float, years: float) -> float:
    """Return the present value of 1 EUR at the end of each of `years` years: ``1 / CRF``.

    Parameters
    ----------
    rate : float
        Real interest rate per year, as a fraction.
    years : float
        0 gives 0.
    """
    return 1.0 / capital_recovery_factor(rate, years) if years else 0.0


def real_interest_rate(nominal_rate: float, inflation: float) -> float:
    """Return the real rate (2) of a nominal one.

    Parameters
    ----------
    nominal_rate, inflation : float
        Per year, as fractions.

    Raises
    ------
    InvalidInput
        Inflation of -100 % or less.

    Examples
    --------
    >>> round(real_interest_rate(0.08, 0.02), 6)
    0.058824
    """
    if not inflation > -1.0:
        rule = f"is {inflation}"
        raise InvalidInput(Finding(table="inflation", rule=rule, mend="give a fraction above -1"))
    return (nominal_rate - inflation) / (1.0 + inflation)


def net_present_cost(cash_flow_eur: ArrayLike, rate: float) -> float:
    """Return the present value (3) of a cash flow, EUR.

    Parameters
    ----------
    cash_flow_eur : (year,) of float
        Paid now, at the end of the first year, of the second year, and so on; positive is cost.
    rate : float
        Real interest rate per year, as a fraction.
    """
    cash = np.asarray(cash_flow_eur, dtype=float)
    return float(cash @ (1.0 + rate) ** -np.arange(len(cash), dtype=float))


def equivalent_annual_cost(npc_eur: float, rate: float, years: float) -> float:
    """Return the constant annual cost (4) over `years` that is worth `npc_eur`, EUR/a.

    Plans over horizons of different lengths compare by this, not by net present cost.

    Parameters
    ----------
    npc_eur : float
        Net present cost, EUR.
    rate : float
        Real interest rate per year, as a fraction.
    years : float
        Horizon, a.
    """
    return capital_recovery_factor(rate, years) * npc_eur
