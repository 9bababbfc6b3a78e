"""Discounting over a horizon: when money is paid, what it is worth now, what is left at the end.

Years are numbered 1..H. Operation of year y is paid at its end, an investment for year y at its
start, unless asked otherwise:

    operation   d_y = (1 + i)^-y        or (1 + i)^-(y-1)                             (1)
    investment  e_y = (1 + i)^-(y-1)    or (1 + i)^-y                                 (2)
    stage of years y0+1 .. y0+L: sum of d_y = (1 + i)^-y0 (1 - (1 + i)^-L) / i        (3)

A unit bought for year y at price c serves the years y .. y+n-1. What it is worth after year H:

    "annuity"     share sum_{y' > H} (1 + i)^-y' / sum_{y' >= y} (1 + i)^-y' of c e_y, the sums
                  over its years: the annuities beyond the horizon are not charged      (4)
    "linear"      c (y + n - 1 - H) / n at the end of year H (HOMER, at the price paid)  (5)
    "none"        nothing
    "perpetuity"  nothing ends: the annuity of every unit and the operation of the last
                  year go on for ever, c CRF(i, n) / i and d_H / i                       (6)

(6) is the convention of Munoz-Delgado, Contreras & Arroyo (2014), IEEE Trans. Power Systems 29.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np

from planning.costs import annuity_factor, capital_recovery_factor
from pp_p2p.errors import Finding, raise_if_any
from pp_p2p.network.branches import Array

Salvage = Literal["annuity", "linear", "none", "perpetuity"]
Moment = Literal["start", "end"]

PURCHASE_ITEMS: Final = ("investment", "replacement", "salvage")
"""Columns of what one unit costs over the years."""


@dataclass(frozen=True, kw_only=True)
class Discounting:
    """Conventions by which a cash flow over a horizon becomes one number.

    Parameters
    ----------
    rate : float
        Real interest rate per year, as a fraction.
    horizon_years : int
        H.
    salvage : {"annuity", "linear", "none", "perpetuity"}
        What units are worth after the horizon (4)-(6).
    investment_at, operation_at : {"start", "end"}
        When in its year each is paid (1), (2).

    Raises
    ------
    InvalidInput
        A rate below 0, a horizon below one year, an unknown convention, or a perpetuity
        without interest.
    """

    rate: float
    horizon_years: int
    salvage: Salvage = "annuity"
    investment_at: Moment = "start"
    operation_at: Moment = "end"

    def __post_init__(self) -> None:
        raise_if_any(self._findings())

    def investment_factors(self) -> Array:
        """Return (year,) present value of 1 EUR invested for each year of the horizon (2)."""
        return self._factors(self.investment_at)

    def operation_factors(self) -> Array:
        """Return (year,) present value of 1 EUR of operation of each year (1).

        With ``"perpetuity"`` the last year stands for all that follow, too.
        """
        factors = self._factors(self.operation_at)
        if self.salvage == "perpetuity":
            factors[-1] += factors[-1] / self.rate
        return factors

    def stage_factor(self, first_year: int, years: int) -> float:
        """Return the present value (3) of 1 EUR in each of `years` years from `first_year` on."""
        return float(self.operation_factors()[first_year - 1 : first_year - 1 + years].sum())

    def end_factor(self) -> float:
        """Return the present value of 1 EUR at the end of the horizon."""
        return float((1.0 + self.rate) ** -self.horizon_years)

    def purchase(
        self, price_eur: Array, *, life_years: int, year: int, replaced: bool = True
    ) -> Array:
        """Return the cash flow (year, item) of one unit, EUR; the items are `PURCHASE_ITEMS`.

        Parameters
        ----------
        price_eur : (year,) of float
            Price of one unit in each year of the horizon.
        life_years : int
        year : int
            Year, from 1, whose start it serves first.
        replaced : bool
            Whether it is bought again, at the price of that year, whenever its life ends.

        Notes
        -----
        Salvage stands in the last year and is negative; with ``"perpetuity"`` it is what the
        units cost after the horizon, and positive.
        """
        cash = np.zeros((self.horizon_years, len(PURCHASE_ITEMS)))
        bought = [*range(year, self.horizon_years + 1, life_years if replaced else 10**9)]
        for at in bought:
            cash[at - 1, int(at > year)] = price_eur[at - 1]
        if self.salvage == "perpetuity":
            cash[-1, 2] = self._goes_on(cash[:, :2].sum(axis=1), price_eur, life_years, bought)
        else:
            last = bought[-1]
            cash[-1, 2] = -self._salvage(float(price_eur[last - 1]), life_years, last)
        return cash

    def present_value(self, cash: Array) -> float:
        """Return what one unit's cash flow (year, item) of `purchase` is worth now, EUR."""
        paid = self.investment_factors() @ cash[:, :2].sum(axis=1)
        return float(paid + self.end_factor() * cash[:, 2].sum())

    def equivalent_annual_cost(self, npc_eur: float) -> float:
        """Return the constant annual cost that is worth `npc_eur`, EUR/a; for ever in (6)."""
        if self.salvage == "perpetuity":
            return self.rate * npc_eur
        return capital_recovery_factor(self.rate, self.horizon_years) * npc_eur

    def conventions(self) -> dict[str, str | float | int]:
        """Return what a result states: each convention by its name."""
        return {
            "interest_rate": self.rate,
            "horizon_years": self.horizon_years,
            "salvage": self.salvage,
            "investment_at": self.investment_at,
            "operation_at": self.operation_at,
        }

    def _factors(self, moment: Moment) -> Array:
        elapsed = np.arange(self.horizon_years, dtype=float) + (moment == "end")
        factors: Array = (1.0 + self.rate) ** -elapsed
        return factors

    def _salvage(self, price: float, life: int, year: int) -> float:
        """Return the value (4), (5) of a unit at the end of year H, EUR of that year."""
        left = max(year + life - 1 - self.horizon_years, 0)
        if self.salvage == "none" or left == 0:
            return 0.0
        if self.salvage == "linear":
            return price * left / life
        used = life - left
        beyond = annuity_factor(self.rate, life) - annuity_factor(self.rate, used)
        share = beyond / annuity_factor(self.rate, life)
        paid = float(self.investment_factors()[year - 1])
        return price * share * paid / self.end_factor()

    def _goes_on(self, cash: Array, price: Array, life: int, bought: list[int]) -> float:
        """Return the value at the end of year H of what is paid after it (6), EUR of that year.

        The annuities of what serves in year H go on for ever, those of a unit whose life ended
        before end with it.
        """
        factors, annuity = self.investment_factors(), capital_recovery_factor(self.rate, life)
        worth = 0.0
        for at in bought:
            ended = at + life <= self.horizon_years
            years = annuity_factor(self.rate, life) if ended else 1.0 / self.rate
            worth += float(price[at - 1] * factors[at - 1]) * annuity * years
        return (worth - float(factors @ cash)) / self.end_factor()

    def _findings(self) -> Iterator[Finding]:
        table = "discounting"
        if not (np.isfinite(self.rate) and self.rate >= 0.0):
            rule, mend = f"is {self.rate}", "use a fraction of at least 0"
            yield Finding(table=table, column="rate", rule=rule, mend=mend)
        if not (float(self.horizon_years).is_integer() and self.horizon_years >= 1):
            rule, mend = f"is {self.horizon_years}", "give whole years, one at least"
            yield Finding(table=table, column="horizon_years", rule=rule, mend=mend)
        for name, known in (
            ("salvage", get_args(Salvage)),
            ("investment_at", get_args(Moment)),
            ("operation_at", get_args(Moment)),
        ):
            if getattr(self, name) not in known:
                rule, mend = f"is {getattr(self, name)!r}", f"choose one of {', '.join(known)}"
                yield Finding(table=table, column=name, rule=rule, mend=mend)
        if self.salvage == "perpetuity" and self.rate == 0.0:
            rule = "'perpetuity' has no finite value without interest"
            mend = "give a rate above 0 or another salvage"
            yield Finding(table=table, column="salvage", rule=rule, mend=mend)
