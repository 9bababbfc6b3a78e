"""What is built, what it costs, and what limits it whatever the operation.

    0 <= x_k <= X_k, integer or of any size;   x_k <= X_k z_k,   z_k in {0, 1}        (1)
    sum_k c_k x_k + f_k z_k <= budget                                                 (2)
    sum_k z_k <= sites     (energy of storage has no site of its own)                 (3)
    sum_k P_k x_k <= share of the peak demand     (pv, wind, dispatchable)            (4)

A site z_k has a variable of its own where something hangs on it: a cost f_k whatever the size, a
limit of sites, or an island whose grid it forms. Elsewhere z_k is x_k. Where one unit is the least
size, z_k <= x_k, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyomo.environ as pyo

from planning.candidate_input import ENERGY, GENERATION
from planning.candidates import Candidates
from pp_p2p.network.algebra import linear
from pp_p2p.network.branches import Array

MONEY_SCALE: Final = 1e3
"""EUR per unit of the model's objective: keeps it near 1 for the solvers."""

SAME_MONEY: Final = 1e-9
"""Part of a budget by which rounding may exceed it."""


@dataclass(frozen=True, kw_only=True)
class InvestmentLimits:
    """Limits of what is built altogether; ``inf`` is none.

    Parameters
    ----------
    budget_eur : float
        Of all investments.
    max_sites : float
        Candidates of which something is built.
    max_penetration_percent : float
        Rated power of the generators built over the peak demand, %.
    """

    budget_eur: float = np.inf
    max_sites: float = np.inf
    max_penetration_percent: float = np.inf

    def allow(self, c: Candidates, units: Array) -> bool:
        """Tell whether whole `units` (candidate,) keep the budget and the number of sites."""
        stands = units > 0
        spent = float(c.capex_eur @ units + c.fixed_capex_eur @ stands)
        sites = int((stands & (c.technology != ENERGY)).sum())
        return spent <= self.budget_eur * (1 + SAME_MONEY) and sites <= self.max_sites


def declare_linking(m: Any, variables: Any) -> None:
    """Say that `variables` tie typical days together that are apart otherwise.

    A decomposition takes them out together with the integers; the model is the same without.
    """
    if not hasattr(m, "linking"):
        m.linking = pyo.Suffix(direction=pyo.Suffix.LOCAL)
    for variable in variables:
        m.linking[variable] = True


def add_units(
    m: Any, c: Candidates, *, sites: bool = False, forming: bool = False
) -> tuple[dict[int, Any], dict[int, Any]]:
    """Add (1) to `m`; return the units and the sites of each candidate.

    Parameters
    ----------
    m : pyomo.ConcreteModel or pyomo.Block
    c : Candidates
    sites : bool
        Whether sites are counted.
    forming : bool
        Whether it matters that something stands which can form the grid of an island.
    """
    m.CANDIDATE = pyo.RangeSet(0, len(c.index) - 1)
    kinds = [pyo.Reals if free else pyo.Integers for free in c.continuous]
    m.units = pyo.Var(
        m.CANDIDATE,
        within=lambda _, k: kinds[k],
        bounds=lambda _, k: (0, int(c.max_units[k])),
        initialize=0,
    )
    wanted = c.site_needed(counted=sites) | (forming & c.forming & c.continuous)
    m.SITE = pyo.Set(initialize=np.flatnonzero(wanted).tolist())
    m.site = pyo.Var(m.SITE, within=pyo.Binary, initialize=0)
    m.site_limit = pyo.Constraint(
        m.SITE,
        rule=lambda b, k: linear([1.0, -float(c.max_units[k])], [b.units[k], b.site[k]]) <= 0.0,
    )
    m.site_least = pyo.Constraint(
        np.flatnonzero(c.least_one).tolist(),
        rule=lambda b, k: linear([1.0, -1.0], [b.site[k], b.units[k]]) <= 0.0,
    )
    declare_linking(m, (m.units[k] for k in m.CANDIDATE if c.continuous[k]))
    units = {k: m.units[k] for k in m.CANDIDATE}
    return units, {k: m.site[k] if k in m.SITE else units[k] for k in units}


def invested(c: Candidates, units: Mapping[int, Any], sites: Mapping[int, Any]) -> Any:
    """Return the sum of investments in units of `MONEY_SCALE`."""
    return _priced(c.capex_eur, c.fixed_capex_eur, units, sites)


def annuities(c: Candidates, units: Mapping[int, Any], sites: Mapping[int, Any]) -> Any:
    """Return the annuities of all investments in units of `MONEY_SCALE` a year."""
    return _priced(c.annuity_eur_per_year, c.fixed_annuity_eur_per_year, units, sites)


def _priced(unit: Any, site: Any, units: Mapping[int, Any], sites: Mapping[int, Any]) -> Any:
    fixed = [k for k in sites if site[k] > 0]
    priced = [*(unit[k] for k in units), *(site[k] for k in fixed)]
    coefs = [float(eur) / MONEY_SCALE for eur in priced]
    return linear(coefs, [*units.values(), *(sites[k] for k in fixed)])


def add_investment_limits(
    m: Any,
    c: Candidates,
    units: Mapping[int, Any],
    sites: Mapping[int, Any],
    limits: InvestmentLimits,
    peak_mw: float,
) -> None:
    """Add (2)-(4), those that are finite."""
    if np.isfinite(limits.budget_eur):
        m.budget = pyo.Constraint(expr=invested(c, units, sites) <= limits.budget_eur / MONEY_SCALE)
    if np.isfinite(limits.max_sites):
        own = [sites[k] for k in sites if c.technology[k] != ENERGY]
        counted = linear([1.0] * len(own), own)
        m.sites_limit = pyo.Constraint(expr=counted <= limits.max_sites)
    if np.isfinite(limits.max_penetration_percent):
        of = np.flatnonzero(np.isin(c.technology, GENERATION)).tolist()
        rated = linear([float(c.unit_p_mw[k]) for k in of], [units[k] for k in of])
        most = limits.max_penetration_percent / 100.0 * peak_mw
        m.penetration_limit = pyo.Constraint(expr=rated <= most)
