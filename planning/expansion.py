"""Reliability-constrained expansion of a radial network on typical days, a MISOCP.

    min  sum_k ( CRF_k c_k x_k + CRF_k f_k z_k ) + cost of the year                   (1)
    s.t. operation and reliability of the year                            (2)-(6) year_model.py
         budget, sites, penetration                                           (7) investment.py
         x_k integer or of any size, 0 <= x_k <= max_units, site z_k          (8)

[ADN-thesis] ch. 1, reconstructed. Storage, shiftable load and curtailable generation that exist
take part. The objective pays for losses, which keeps the cone relaxation of the load flow exact
while energy has a positive price. Typical days are apart but for the integers, and for the
variables that the suffix ``linking`` names: sizes, allotments of annual limits, what ties restore.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyomo.environ as pyo
import xarray as xr

from planning.annual_limits import explain_annual
from planning.expansion_result import read_plan
from planning.fault_graph import Isolators
from planning.investment import (
    MONEY_SCALE,
    add_investment_limits,
    annuities,
)
from planning.plan_rules import grown, option_findings, require_convex, require_reachable, units_of
from planning.year_model import (
    ExpansionData,
    Islands,
    add_year,
    without_investment,
)
from pp_p2p.errors import NoSolution, TimeLimit, raise_if_any
from pp_p2p.network.formulation import Formulation, get_formulation
from pp_p2p.network.limits import explain_limits
from pp_p2p.network.tightening import PLAIN, Tightening, added_value, require_cone
from pp_p2p.operation.provenance import provenance
from pp_p2p.results import input_hash, label
from pp_p2p.solve.report import DEFAULT_CONFIG, SolverConfig
from pp_p2p.solve.run import run_solver


def plan_network(
    net: Any,
    days: xr.Dataset,
    *,
    interest_rate_percent: float = 5.0,
    eens_limit_mwh_per_year: float = np.inf,
    saidi_limit_h_per_year: float = np.inf,
    saifi_limit_per_year: float = np.inf,
    asai_limit_percent: float = 0.0,
    value_of_lost_load_eur_per_mwh: float = 0.0,
    islands: Islands = "reserve",
    budget_eur: float = np.inf,
    max_sites: float = np.inf,
    max_penetration_percent: float = np.inf,
    renewable_share_percent: float = 0.0,
    emission_price_eur_per_t: float = 0.0,
    emission_cap_t_per_year: float = np.inf,
    demand_growth_percent: float = 0.0,
    isolators: Isolators = "every_branch",
    formulation: str = "branch_flow",
    tightening: Tightening = PLAIN,
    solver: SolverConfig = DEFAULT_CONFIG,
    seed: int = 0,
) -> xr.Dataset:
    """Choose what to build so that a year costs least and the limits hold.

    Parameters
    ----------
    net : pandapowerNet
        With rows in ``net.candidate``; is not changed. `pp_p2p.write_back` builds the plan in it.
    days : Dataset
        Typical days with weights (`clustering.typical_days`); one year's worth of days.
    interest_rate_percent : float
        Real interest rate of the annuities, %/a.
    eens_limit_mwh_per_year : float
        Upper limit of the expected energy not served, MWh/a.
    saidi_limit_h_per_year, saifi_limit_per_year, asai_limit_percent : float
        Limits of the indices of customers; that of ASAI from below, %. Islands bring no customer
        back here.
    value_of_lost_load_eur_per_mwh : float
        Price of energy not served in the objective, EUR/MWh.
    islands : {"none", "reserve", "schedule"}
        What storage and generators that are built carry after a fault: nothing; the energy that
        storage keeps below ``min_soc_percent`` for it; or what the normal schedule has stored in
        the hour of the fault, averaged over all hours, and what generators feed in
        (`planning.islands`).
    budget_eur : float
        Upper limit of the sum of investments, EUR, above 0.
    max_sites : float
        Most candidates of which anything is built.
    max_penetration_percent : float
        Upper limit of the rated power of generators built, % of the highest demand in `days`.
    renewable_share_percent : float
        Least energy that PV, wind and the existing static generators feed in over a year, after
        curtailment, as share of the demand of the load profiles, %.
    emission_price_eur_per_t, emission_cap_t_per_year : float
        Price and limit of the CO2 of purchases (``grid_emission_t_per_mwh(time)`` of `days`) and
        of dispatchable units, EUR/t and t/a.
    demand_growth_percent : float
        By how much all load exceeds that of `days`, %.
    isolators : {"every_branch", "switches"}
        Whether every line and transformer can be isolated at both ends after a fault, or only
        switches of the net isolate (`reliability_indices`).
    formulation : str
        ``"branch_flow"`` or ``"lindistflow"``.
    tightening : Tightening
        Of the cone relaxation. ``objective_eur_per_year`` leaves its addition out,
        ``objective_added_eur_per_year`` holds it.
    solver : SolverConfig
    seed : int
        Stored with the result; the plan itself draws no random number.

    Returns
    -------
    Dataset
        ``units(candidate)``, costs per year by item for doing nothing and for the plan, operation
        of every typical hour, EENS, and the certificates in the attributes.

    Raises
    ------
    InvalidInput, UnsupportedFeature
        Before anything is built.
    NoSolution
        No plan meets the limits; the message says which cannot hold.
    """
    limits: dict[str, Any] = {
        "eens_limit_mwh_per_year": eens_limit_mwh_per_year,
        "saidi_limit_h_per_year": saidi_limit_h_per_year,
        "saifi_limit_per_year": saifi_limit_per_year,
        "asai_limit_percent": asai_limit_percent,
        "value_of_lost_load_eur_per_mwh": value_of_lost_load_eur_per_mwh,
        "islands": islands,
        "budget_eur": budget_eur,
        "max_sites": max_sites,
        "max_penetration_percent": max_penetration_percent,
        "renewable_share_percent": renewable_share_percent,
        "emission_price_eur_per_t": emission_price_eur_per_t,
        "emission_cap_t_per_year": emission_cap_t_per_year,
    }
    raise_if_any(option_findings(limits, interest_rate_percent, demand_growth_percent, days))
    if demand_growth_percent:
        net, days = grown(net, days, 1.0 + demand_growth_percent / 100.0)
    data = ExpansionData.from_net(
        net,
        days,
        interest_rate=interest_rate_percent / 100.0,
        isolators=isolators,
        tightening=tightening,
        **limits,
    )
    physics = get_formulation(formulation)
    require_cone(tightening, physics)
    require_convex(data, physics)
    require_reachable(data)
    model = build(data, physics)
    try:
        report = run_solver(model, solver)
    except TimeLimit:
        raise
    except NoSolution as error:
        reasons = explain_year(data, physics) or str(error)
        raise NoSolution(f"no plan meets the limits: {reasons}", error.report) from error
    nothing = build(without_investment(data), physics)
    run_solver(nothing)
    options = {
        "interest_rate_percent": interest_rate_percent,
        **limits,
        "demand_growth_percent": demand_growth_percent,
        "isolators": isolators,
        "formulation": formulation,
        "tightening": dataclasses.asdict(tightening),
        "solver": dataclasses.asdict(solver),
    }
    result, proof = read_plan(data, physics, model=model, nothing=nothing, net=net)
    attrs = provenance(
        "plan_network",
        report,
        proof,
        formulation=physics,
        seed=seed,
        options=options,
        digest=input_hash(net, days, options),
    )
    attrs |= {
        "objective_eur_per_year": (report.objective - added_value(model)) * MONEY_SCALE,
        "bound_eur_per_year": (report.bound - added_value(model)) * MONEY_SCALE,
        "objective_added_eur_per_year": added_value(model) * MONEY_SCALE,
        "tightening": options["tightening"],
        "eens_computed": bool(data.faults.rate.any()),
    }
    return label(result, attrs)


def explain_year(data: ExpansionData, physics: Formulation) -> str:
    """Return which limits of the year, else which of the network, cannot hold; ``""`` if none."""
    if annual := explain_annual(data, physics, broken_only=True) or _explain_islands(data, physics):
        return annual
    network = explain_limits(build(data, physics), data.grid, data.line)
    return "; ".join(filter(None, [network, explain_annual(data, physics)]))


def _explain_islands(data: ExpansionData, physics: Formulation) -> str:
    """Return the best EENS of any size of all candidates, where islands cannot reach the limit."""
    limit = data.eens_limit_mwh_per_year
    if data.islands != "schedule" or not np.isfinite(limit):
        return ""
    m = build(dataclasses.replace(data, eens_limit_mwh_per_year=np.inf), physics)
    pyo.TransformationFactory("core.relax_integer_vars").apply_to(m)
    m.annual_cost.deactivate()
    m.best = pyo.Objective(expr=m.eens)
    try:
        best = run_solver(m).bound
    except NoSolution:
        return ""
    if best <= limit:
        return ""
    return (
        f"eens_limit_mwh_per_year = {limit:g} cannot be reached: with islands='schedule' and "
        f"every other limit, the best that candidates of any size reach is {best:.4g} MWh/a"
    )


def build(data: ExpansionData, formulation: Formulation) -> Any:
    """Return the Pyomo model of (1)-(8)."""
    m = pyo.ConcreteModel(name="plan_network")
    c = data.candidates
    units, sites = units_of(m, data)  # (8)
    add_year(m, data, formulation, units, sites)  # (2)-(6)
    add_investment_limits(m, c, units, sites, data.investment_limits, data.peak_mw)  # (7)
    cost = annuities(c, units, sites) + m.yearly_cost + m.added
    m.annual_cost = pyo.Objective(expr=cost)  # (1)
    return m
