"""What a plan refuses before it is solved: impossible options, limits that nothing reaches."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import numpy as np
import pyomo.environ as pyo
import xarray as xr

from planning.investment import MONEY_SCALE, add_units, invested
from planning.reliability import interruptions
from planning.reliability_model import limit_reliability
from planning.year_model import ExpansionData, Islands, add_interruptions
from pp_p2p.errors import Finding, NoSolution, UnsupportedFeature
from pp_p2p.network.formulation import Formulation
from pp_p2p.solve.run import run_solver

DAYS_OF_A_YEAR = (365.0, 366.0)
DAYS_TOLERANCE = 0.01

_AT_LEAST_0 = (
    "eens_limit_mwh_per_year",
    "saidi_limit_h_per_year",
    "saifi_limit_per_year",
    "value_of_lost_load_eur_per_mwh",
    "budget_eur",
    "max_sites",
    "max_penetration_percent",
    "emission_price_eur_per_t",
    "emission_cap_t_per_year",
)
NO_BUDGET = (
    "so that nothing can be built: give a budget above 0, or read the case 'nothing' of any plan"
)
_PERCENT = ("asai_limit_percent", "renewable_share_percent")


def option_findings(
    limits: Mapping[str, Any],
    rate_percent: float,
    growth_percent: float,
    days: xr.Dataset,
    problem: str = "plan_network",
) -> Iterator[Finding]:
    """Yield what no plan can be made with; a limit that is not in `limits` is none."""

    def refuse(column: str, value: object, mend: str) -> Finding:
        return Finding(table=problem, column=column, rule=f"is {value}", mend=mend)

    numbers = {"interest_rate_percent": rate_percent}
    numbers |= {name: limits[name] for name in _AT_LEAST_0 if name in limits}
    for name, value in numbers.items():
        if not value >= 0.0:
            yield refuse(name, value, "use >= 0")
    if limits.get("budget_eur") == 0.0:
        yield refuse("budget_eur", 0.0, NO_BUDGET)
    for name in (name for name in _PERCENT if name in limits):
        if not 0.0 <= limits[name] <= 100.0:
            yield refuse(name, limits[name], "use 0 to 100")
    if not (np.isfinite(growth_percent) and growth_percent > -100.0):
        yield refuse("demand_growth_percent", growth_percent, "use a number above -100")
    if limits["islands"] not in get_args(Islands):
        words = ", ".join(map(repr, get_args(Islands)))
        yield refuse("islands", repr(limits["islands"]), f"use one of {words}")
    if "weight" in days and "day" in days.dims and days["weight"].dims == ("day",):
        total = float(days["weight"].sum())
        if np.isfinite(total) and min(abs(total - n) for n in DAYS_OF_A_YEAR) > DAYS_TOLERANCE:
            yield Finding(
                table="days",
                column="weight",
                rule=f"sums to {total:.6g} days, but a plan is for a year",
                mend="let the weights of the typical days sum to 365 or 366",
            )


def require_convex(data: ExpansionData, formulation: Formulation) -> None:
    """Refuse to replace lines where the formulation has no convex model of it.

    Raises
    ------
    UnsupportedFeature
    """
    rows = data.candidates.index[[one.candidate for one in data.candidates.replacements]]
    if len(rows) and (formulation.capability != "cone" or data.tightening.voltage):
        raise UnsupportedFeature(
            "plan_network",
            Finding(
                table="candidate",
                column="technology",
                rows=tuple(rows.tolist()),
                rule="is a replacement, which only formulation='branch_flow' without "
                "Tightening(voltage=True) can choose",
                mend="choose that, or set in_service to False",
            ),
        )


def grown(net: Any, days: xr.Dataset, factor: float) -> tuple[Any, xr.Dataset]:
    """Return `net` and `days` with all load times `factor`."""
    net = copy.deepcopy(net)
    net.load["scaling"] = net.load.scaling.astype(float) * factor
    scaled = {name: days[name] * factor for name in ("load_p_mw", "load_q_mvar") if name in days}
    return net, days.assign(scaled)


def units_of(m: Any, data: ExpansionData) -> tuple[dict[int, Any], dict[int, Any]]:
    """Add the units and sites of all candidates to `m`, as its data need them."""
    counted = bool(np.isfinite(data.max_sites))
    return add_units(m, data.candidates, sites=counted, forming=data.islands == "schedule")


def least_investment_eur(data: ExpansionData) -> float:
    """Return the least investment that meets the limits of reliability, EUR, without a network."""
    m = pyo.ConcreteModel(name="least_investment")
    units, sites = units_of(m, data)
    add_interruptions(m, data, units, sites)
    limit_reliability(m, data.reliability_limits)
    m.investment = pyo.Objective(expr=invested(data.candidates, units, sites))
    return run_solver(m).bound * MONEY_SCALE


def require_reachable(data: ExpansionData) -> None:
    """Refuse limits of reliability that nothing, or nothing within the budget, reaches.

    Raises
    ------
    NoSolution
        With the best value that can be reached, or the least investment that it takes. With
        ``islands="schedule"`` this is the affair of the solver: only a schedule tells.
    """
    limits = data.reliability_limits
    saidi = f"saidi_limit_h_per_year = {limits.saidi_h_per_year:g}"
    if limits.saidi_h_per_year < data.saidi_limit_h_per_year:
        percent = data.asai_limit_percent
        saidi = f"asai_limit_percent = {percent:g} (SAIDI {limits.saidi_h_per_year:.4g} h/a)"
    eens = f"eens_limit_mwh_per_year = {limits.eens_mwh_per_year:g}"
    saifi = f"saifi_limit_per_year = {limits.saifi_per_year:g}"
    given = [
        (eens, limits.eens_mwh_per_year, "eens", "MWh/a"),
        (saidi, limits.saidi_h_per_year, "saidi", "h/a"),
        (saifi, limits.saifi_per_year, "saifi", "1/a"),
    ]
    given = [one for one in given if np.isfinite(one[1])]
    if data.islands == "schedule":
        given = [one for one in given if one[2] != "eens"]
    for text, limit, index, unit in given:
        best = _best(data, index)
        if best > limit * (1 + 1e-9) + 1e-9:
            raise NoSolution(
                f"{text} cannot be reached: the best that the candidates reach is "
                f"{best:.4g} {unit}; raise the limit or add candidates of technology "
                "'line', 'sop' with a grid-forming terminal, or 'storage' with min_soc_percent"
            )
    if given and np.isfinite(data.budget_eur) and data.islands != "schedule":
        least = least_investment_eur(data)
        if least > data.budget_eur * (1 + 1e-9):
            named = " and ".join(text for text, *_ in given)
            raise NoSolution(
                f"{named} needs an investment of {least:.0f} EUR at least, but budget_eur = "
                f"{data.budget_eur:g}; raise one of both"
            )


def _best(data: ExpansionData, index: str) -> float:
    """Return the least value of an index that any choice of candidates reaches."""
    m = pyo.ConcreteModel(name="best_reliability")
    free = dataclasses.replace(data, max_sites=np.inf)
    units, sites = units_of(m, free)
    add_interruptions(m, free, units, sites)
    m.best = pyo.Objective(expr=getattr(m, index))
    run_solver(m)
    built = np.array([round(pyo.value(units[k])) for k in units], dtype=float)
    if index == "eens":
        return float(pyo.value(m.best))
    c = data.candidates
    values = interruptions(
        data.faults, data.customers, c.ties(built), c.built_lines(built), c.remote(built)
    )
    return values[0 if index == "saidi" else 1]
