"""Stages of a plan over several years: how long, what grows, what it costs by then, what limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import xarray as xr

from planning.plan_rules import grown
from pp_p2p.errors import Finding, InvalidInput, raise_if_any
from pp_p2p.network.branches import Array

Factor = float | Mapping[str, float]

STAGE: Final = "stage"
YEAR: Final = "year"

YEAR_LIMITS: Final = (
    "eens_limit_mwh_per_year",
    "saidi_limit_h_per_year",
    "saifi_limit_per_year",
    "renewable_share_percent",
    "emission_cap_t_per_year",
)
PRICE_PROFILES: Final = ("price_buy_eur_per_mwh", "price_sell_eur_per_mwh")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Years for which the same units stand and one set of typical days tells the operation.

    Parameters
    ----------
    years : int
        Length, a. Units bought for a stage serve from its first year on.
    demand_factor : float
        Of active and reactive power of every load, relative to the days.
    price_factor : float
        Of purchase and sale price, relative to the days; real, without inflation.
    capex_factor : float or mapping
        Of the price of one unit, or of each technology's (those left out: 1), relative to
        ``net.candidate``; real, too.
    eens_limit_mwh_per_year : float
        Upper limit of the expected energy not served in each year of the stage, MWh/a.
    saidi_limit_h_per_year, saifi_limit_per_year, renewable_share_percent, emission_cap_t_per_year
        Limits of each year of the stage, as of `plan_network`.
    budget_eur : float
        Upper limit of what is bought for this stage, EUR of its year; replacements not counted.
    days : Dataset, optional
        Typical days of this stage in place of those of the plan. They hold the demand of their
        year: a `demand_factor` beside them would grow it twice and is refused.

    Raises
    ------
    InvalidInput
        Not whole years, a negative factor or limit, or growth given twice.
    """

    years: int
    demand_factor: float = 1.0
    price_factor: float = 1.0
    capex_factor: Factor = 1.0
    eens_limit_mwh_per_year: float = np.inf
    saidi_limit_h_per_year: float = np.inf
    saifi_limit_per_year: float = np.inf
    renewable_share_percent: float = 0.0
    emission_cap_t_per_year: float = np.inf
    budget_eur: float = np.inf
    days: xr.Dataset | None = None

    def __post_init__(self) -> None:
        raise_if_any(self._findings())

    def capex_factors(self, technology: Array) -> Array:
        """Return (candidate,) factor of the price of a unit of each `technology`."""
        given = self.capex_factor
        if isinstance(given, Mapping):
            return np.array([float(given.get(str(k), 1.0)) for k in technology])
        return np.full(len(technology), float(given))

    def grown(self, net: Any, days: xr.Dataset) -> tuple[Any, xr.Dataset]:
        """Return a copy of `net` and of `days` with the demand and the prices of this stage."""
        typical = days if self.days is None else self.days
        prices = {k: typical[k] * self.price_factor for k in PRICE_PROFILES if k in typical}
        later = typical if self.price_factor == 1.0 else typical.assign(prices)
        return (net, later) if self.demand_factor == 1.0 else grown(net, later, self.demand_factor)

    def limits(self) -> dict[str, float]:
        """Return the limits of a year of this stage, as `ExpansionData` names them."""
        return {name: float(getattr(self, name)) for name in YEAR_LIMITS}

    def _findings(self) -> Iterator[Finding]:
        table = "stage"
        if not (float(self.years).is_integer() and self.years >= 1):
            rule, mend = f"is {self.years}", "give whole years, one at least"
            yield Finding(table=table, column="years", rule=rule, mend=mend)
        given = self.capex_factor
        factors = given.values() if isinstance(given, Mapping) else [given]
        for name, values in (
            ("demand_factor", [self.demand_factor]),
            ("price_factor", [self.price_factor]),
            ("capex_factor", factors),
        ):
            if not all(np.isfinite(v) and v >= 0.0 for v in values):
                rule, mend = f"is {getattr(self, name)}", "use finite factors of at least 0"
                yield Finding(table=table, column=name, rule=rule, mend=mend)
        for name in (*YEAR_LIMITS, "budget_eur"):
            if not getattr(self, name) >= 0.0:
                rule = f"is {getattr(self, name)}"
                yield Finding(table=table, column=name, rule=rule, mend="use >= 0")
        if self.days is not None and self.demand_factor != 1.0:
            rule = f"is {self.demand_factor:g} beside days of the stage's own: demand grows twice"
            mend = "leave demand_factor at 1, or give no days"
            yield Finding(table=table, column="demand_factor", rule=rule, mend=mend)


def growing_stages(
    years: Sequence[int],
    *,
    demand_growth_percent: float = 0.0,
    price_growth_percent: float = 0.0,
    learning_percent: Factor = 0.0,
    eens_limit_mwh_per_year: float | Sequence[float] = np.inf,
    budget_eur: float | Sequence[float] = np.inf,
    operation_of: Literal["first", "last"] = "last",
) -> tuple[Stage, ...]:
    """Return stages of a steady growth.

    Parameters
    ----------
    years : sequence of int
        Length of each stage, a; the days are those of the first year of all.
    demand_growth_percent, price_growth_percent : float
        Of each year over the one before, %/a.
    learning_percent : float or mapping
        By how much a unit, or one of each technology, gets cheaper each year, %/a. A stage's units
        are bought at the price of its first year.
    eens_limit_mwh_per_year, budget_eur : float or sequence
        Of every stage, or of each.
    operation_of : {"first", "last"}
        Whose demand and prices stand for a stage: with ``"last"`` and growth the limits hold in
        all its years.

    Raises
    ------
    InvalidInput
        As `Stage`, or sequences of other lengths.

    Examples
    --------
    >>> [round(s.demand_factor, 4) for s in growing_stages([3, 3], demand_growth_percent=2.0)]
    [1.0404, 1.1041]
    """
    ends = np.cumsum([int(n) for n in years])
    first = ends - np.array([int(n) for n in years])
    if operation_of not in ("first", "last"):
        rule, mend = f"is {operation_of!r}", "choose 'first' or 'last'"
        raise InvalidInput(Finding(table="operation_of", rule=rule, mend=mend))
    elapsed = first if operation_of == "first" else ends - 1
    limits = _each(eens_limit_mwh_per_year, len(years), "eens_limit_mwh_per_year")
    budgets = _each(budget_eur, len(years), "budget_eur")
    stages = []
    for k, length in enumerate(years):
        demand, price = (
            (1.0 + growth / 100.0) ** int(elapsed[k])
            for growth in (demand_growth_percent, price_growth_percent)
        )
        stages.append(
            Stage(
                years=length,
                demand_factor=float(demand),
                price_factor=float(price),
                capex_factor=_learned(learning_percent, int(first[k])),
                eens_limit_mwh_per_year=limits[k],
                budget_eur=budgets[k],
            )
        )
    return tuple(stages)


def first_years(stages: Sequence[Stage]) -> Array:
    """Return the year, from 1, in which each stage begins."""
    lengths = np.array([stage.years for stage in stages], dtype=np.int64)
    begins: Array = np.cumsum(lengths) - lengths + 1
    return begins


def _learned(percent: Factor, years: int) -> Factor:
    if isinstance(percent, Mapping):
        return {str(k): (1.0 - float(v) / 100.0) ** years for k, v in percent.items()}
    return float((1.0 - percent / 100.0) ** years)


def _each(given: float | Sequence[float], count: int, name: str) -> list[float]:
    values = np.asarray(given, dtype=float)
    if values.ndim and len(values) != count:
        rule, mend = f"has {len(values)} values for {count} stages", "give one, or one each"
        raise InvalidInput(Finding(table="stages", column=name, rule=rule, mend=mend))
    return [float(v) for v in np.broadcast_to(values, count)]
