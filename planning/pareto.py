"""Cost against reliability: the least annual cost under each of several EENS limits.

The plans of one net and one set of days under limits e_1 > e_2 > ... are related:

    a plan that already keeps e_2 is optimal under e_2, too, where it was under e_1      (1)
    no plan under e_2 costs less than the bound under e_1                                (2)
    a plan under e_2 is one under e_1                                                    (3)

The model is built and compiled once; limits are taken from the loosest to the tightest, solved
only where (1) does not answer, and (2) and (3) tighten what solver tolerances leave open.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import xarray as xr

from planning import expansion_result
from planning.expansion import build
from planning.fault_graph import Isolators
from planning.investment import MONEY_SCALE
from planning.plan_rules import require_convex, require_reachable
from planning.year_model import ExpansionData
from pp_p2p.errors import Finding, NoSolution, TimeLimit, raise_if_any
from pp_p2p.names import CANDIDATE
from pp_p2p.network.branches import Array
from pp_p2p.network.formulation import Formulation, get_formulation
from pp_p2p.network.limits import explain_limits
from pp_p2p.operation.powerflow import Certificate
from pp_p2p.results import input_hash, label
from pp_p2p.solve.compiled import compile_model, load_values
from pp_p2p.solve.report import DEFAULT_CONFIG, SolverConfig, SolveReport, relative_gap
from pp_p2p.solve.run import CompiledSolver
from pp_p2p.version import __version__

LIMIT: Final = "limit"


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Plan:
    """A plan of the front: units, cost by item (EUR/a), EENS, certificate; EUR/a in total."""

    units: Array
    cost: Array
    eens: float
    proof: Certificate
    objective: float


def reliability_front(
    net: Any,
    days: xr.Dataset,
    limits_mwh_per_year: Sequence[float],
    *,
    interest_rate_percent: float = 5.0,
    value_of_lost_load_eur_per_mwh: float = 0.0,
    isolators: Isolators = "every_branch",
    formulation: str = "branch_flow",
    solver: SolverConfig = DEFAULT_CONFIG,
    seed: int = 0,
) -> xr.Dataset:
    """Plan under each limit of the expected energy not served: cost against reliability.

    Parameters
    ----------
    net : pandapowerNet
        With rows in ``net.candidate``; is not changed.
    days : Dataset
        Typical days with weights, as of `plan_network`.
    limits_mwh_per_year : sequence of float
        Limits of the expected energy not served, MWh/a; ``inf`` is none.
    interest_rate_percent, value_of_lost_load_eur_per_mwh, isolators, formulation
        As of `plan_network`.
    solver : SolverConfig
        Of each plan.
    seed : int
        Stored with the result; no random number is drawn.

    Returns
    -------
    Dataset
        Over ``limit``, the loosest first: ``units(limit, candidate)``,
        ``cost_eur_per_year(limit, item)``, ``objective_eur_per_year``, ``bound_eur_per_year``,
        ``gap``, ``eens_mwh_per_year``, ``capex_eur``, the certificates, and ``solved``: whether
        the plan is a solve of its own, or that of another limit.

    Raises
    ------
    InvalidInput, UnsupportedFeature
        Before anything is built.
    NoSolution
        The tightest limit cannot be reached, or no plan can be operated.
    """
    limits = np.sort(np.unique(np.asarray(limits_mwh_per_year, dtype=float)))[::-1]
    raise_if_any(_findings(limits))
    data = ExpansionData.from_net(
        net,
        days,
        interest_rate=interest_rate_percent / 100.0,
        isolators=isolators,
        eens_limit_mwh_per_year=float(limits[-1]),
        value_of_lost_load_eur_per_mwh=value_of_lost_load_eur_per_mwh,
        budget_eur=np.inf,
    )
    require_reachable(data)
    physics = get_formulation(formulation)
    require_convex(data, physics)
    plans, bounds, reports = _solve(net, data, physics, limits, solver)
    options = {
        "limits_mwh_per_year": limits.tolist(),
        "interest_rate_percent": interest_rate_percent,
        "value_of_lost_load_eur_per_mwh": value_of_lost_load_eur_per_mwh,
        "isolators": isolators,
        "formulation": formulation,
        "solver": dataclasses.asdict(solver),
    }
    ds = _label(data, limits, plans, bounds, np.array([r is not None for r in reports]))
    solved = [report for report in reports if report is not None]
    exact = all(plan.proof.exact for plan in plans)
    attrs = {
        "problem": "reliability_front",
        "status": "optimal" if bool((ds["gap"] <= solver.rel_gap).all()) else "feasible",
        "gap": float(ds["gap"].max()),
        "solver": f"{solved[0].solver} {solved[0].version}",
        "seconds": sum(report.seconds for report in solved),
        "formulation": physics.name,
        "relaxation": "exact" if exact else "inexact",
        "relaxation_gap": float(ds["relaxation_gap"].max()),
        "ac_vm_error_pu": float(ds["ac_vm_error_pu"].max()),
        "version": __version__,
        "input_hash": input_hash(net, days, options),
        "seed": seed,
        "options": options,
    }
    return label(ds, attrs)


def _solve(
    net: Any, data: ExpansionData, physics: Formulation, limits: Array, config: SolverConfig
) -> tuple[list[_Plan], Array, list[SolveReport | None]]:
    """Return plan, bound (EUR/a) and report of each limit; no report where it needed no solve."""
    model = build(data, physics)
    problem = compile_model(model)
    row = [k for k, c in enumerate(problem.rows) if c is getattr(model, "eens_limit", None)]
    solver = CompiledSolver(problem, config)
    plans: list[_Plan] = []
    bounds: list[float] = []
    reports: list[SolveReport | None] = []
    for limit in limits.tolist():
        if plans and plans[-1].eens <= limit:  # (1)
            plans.append(plans[-1])
            bounds.append(bounds[-1])
            reports.append(None)
            continue
        upper = problem.row_upper.copy()
        upper[row] += limit - data.eens_limit_mwh_per_year
        try:
            x, report = solver.solve(dataclasses.replace(problem, row_upper=upper))
        except TimeLimit:
            raise
        except NoSolution as error:
            why = explain_limits(model, data.grid, data.line) or error
            raise NoSolution(f"no plan keeps {limit:g} MWh/a: {why}", error.report) from error
        load_values(problem, x)
        plans.append(_read(net, data, physics, model, report.objective))
        bounds.append(max([report.bound * MONEY_SCALE, *bounds[-1:]]))  # (2)
        reports.append(report)
    for k in reversed(range(len(plans) - 1)):
        if plans[k + 1].objective < plans[k].objective:  # (3)
            plans[k] = plans[k + 1]
    return plans, np.array(bounds), reports


def _read(
    net: Any, data: ExpansionData, physics: Formulation, model: Any, objective: float
) -> _Plan:
    units = expansion_result.installed_units(model, data.candidates.continuous)
    _, _, proof = expansion_result.year_proof(data, physics, model, net, units)
    eens = expansion_result.year_indices(data, model, units)["eens_mwh_per_year"]
    return _Plan(
        units=units,
        cost=np.array(expansion_result._costs(data, model, units, eens)),
        eens=eens,
        proof=proof,
        objective=objective * MONEY_SCALE,
    )


def _label(
    data: ExpansionData, limits: Array, plans: Sequence[_Plan], bounds: Array, solved: Array
) -> xr.Dataset:
    c = data.candidates
    units = np.array([plan.units for plan in plans])
    objective = np.array([plan.objective for plan in plans])
    bounds = np.minimum(bounds, objective)
    gaps = [relative_gap(a, b) for a, b in zip(objective, bounds, strict=True)]
    over_limits = {
        "objective_eur_per_year": objective,
        "bound_eur_per_year": bounds,
        "gap": np.array(gaps),
        "eens_mwh_per_year": np.array([plan.eens for plan in plans]),
        "capex_eur": units @ c.capex_eur + (units > 0) @ c.fixed_capex_eur,
        "solved": solved,
        "relaxation_gap": np.array([plan.proof.relaxation_gap for plan in plans]),
        "ac_vm_error_pu": np.array([plan.proof.ac_vm_error_pu for plan in plans]),
    }
    return xr.Dataset(
        {name: (LIMIT, values) for name, values in over_limits.items()}
        | {
            "units": ((LIMIT, CANDIDATE), units),
            "cost_eur_per_year": ((LIMIT, "item"), np.array([plan.cost for plan in plans])),
            "candidate_name": (CANDIDATE, c.name),
            "technology_built": (CANDIDATE, c.technology),
        },
        coords={
            LIMIT: (LIMIT, limits, {"units": "MWh/a", "long_name": "limit of EENS"}),
            CANDIDATE: c.index,
            "item": list(expansion_result.ITEMS),
        },
    )


def _findings(limits: Array) -> list[Finding]:
    wrong = limits[~(limits >= 0.0)]
    name = "limits_mwh_per_year"
    found = []
    if not len(limits):
        mend = "give one limit at least"
        found.append(Finding(table="reliability_front", column=name, rule="is empty", mend=mend))
    if len(wrong):
        rule = f"holds {', '.join(f'{v:g}' for v in wrong)}"
        found.append(Finding(table="reliability_front", column=name, rule=rule, mend="use >= 0"))
    return found
