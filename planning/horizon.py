"""Planning over several years: what to build where, and when.

The stages of a horizon have their own demand, prices, limits and cost of units; units stand until
the horizon ends or their life does. `planning.horizon_model` has the equations,
`planning.discounting` the conventions by which money of different years becomes one number.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from planning.discounting import Discounting, Moment, Salvage
from planning.expansion import explain_year
from planning.fault_graph import Isolators
from planning.horizon_model import (
    HorizonData,
    Replacement,
    build_all,
    build_one,
    read_bought,
)
from planning.horizon_result import label_horizon, read_stage, worst_proof
from planning.horizon_rules import horizon_findings, life_years, option_findings, stage_options
from planning.investment import MONEY_SCALE
from planning.plan_rules import require_convex, require_reachable
from planning.progress import label_progress
from planning.stages import STAGE, Stage
from planning.year_model import ExpansionData, Islands
from pp_p2p.errors import NoSolution, TimeLimit, raise_if_any
from pp_p2p.network.branches import Array
from pp_p2p.network.formulation import Formulation, get_formulation
from pp_p2p.network.tightening import PLAIN, Tightening, added_value, require_cone
from pp_p2p.operation.provenance import provenance
from pp_p2p.results import input_hash, label
from pp_p2p.solve.report import DEFAULT_CONFIG, SolverConfig, SolveReport
from pp_p2p.solve.run import run_solver

Foresight = Literal["perfect", "rolling"]


def plan_horizon(
    net: Any,
    days: xr.Dataset,
    stages: Sequence[Stage],
    *,
    interest_rate_percent: float = 5.0,
    salvage: Salvage | None = None,
    foresight: Foresight = "perfect",
    replacement: Replacement = "automatic",
    available_from: Mapping[int, int] | None = None,
    budget_eur: float = np.inf,
    value_of_lost_load_eur_per_mwh: float = 0.0,
    emission_price_eur_per_t: float = 0.0,
    islands: Islands = "reserve",
    investment_at: Moment = "start",
    operation_at: Moment = "end",
    isolators: Isolators = "every_branch",
    formulation: str = "branch_flow",
    tightening: Tightening = PLAIN,
    solver: SolverConfig = DEFAULT_CONFIG,
    seed: int = 0,
) -> xr.Dataset:
    """Choose what to build in which stage, so that the net present cost is least.

    Parameters
    ----------
    net : pandapowerNet
        With rows in ``net.candidate``; is not changed.
    days : Dataset
        Typical days with weights (`clustering.typical_days`) of the base year.
    stages : sequence of Stage
        One after the other from year 1 on; `growing_stages` makes them from growth rates.
    interest_rate_percent : float
        Real interest rate, %/a (`real_interest_rate` of a nominal one).
    salvage : {"annuity", "linear", "none", "perpetuity"}, optional
        What units are worth after the horizon (`Discounting`). Must be said where any could
        outlive it.
    foresight : {"perfect", "rolling"}
        ``"perfect"`` decides all stages at once. ``"rolling"`` decides each knowing only itself,
        by annuities and its annual cost, with what was bought before; the accounts are the same.
    replacement : {"automatic", "optional"}
        ``"automatic"``: what was bought is bought again whenever its life ends, at the price of
        that year, and stands until the horizon ends. ``"optional"``: a unit stands in the stages
        that its life covers whole, and is bought again where that pays.
    available_from : mapping, optional
        Row of ``net.candidate`` -> first stage, from 1, for which it can be bought.
    budget_eur : float
        Upper limit of what is bought in all stages, EUR, undiscounted, without replacements; every
        stage has its own limit beside it.
    value_of_lost_load_eur_per_mwh : float
        Price of energy not served in the objective, EUR/MWh.
    emission_price_eur_per_t, islands
        As of `plan_network`.
    investment_at, operation_at : {"start", "end"}
        When in its year each is paid.
    isolators, formulation, tightening, solver, seed
        As of `plan_network`.

    Returns
    -------
    Dataset
        ``units_built`` and ``units_installed`` (stage, candidate); ``cash_flow_eur`` and
        ``present_value_eur`` (year, item), ``npc_eur``, ``eac_eur_per_year``; the operation of
        every typical hour, EENS and certificates of each stage; gap, bound and conventions in the
        attributes. `plan_at` takes one stage out.

    Raises
    ------
    InvalidInput, UnsupportedFeature
        Before anything is built.
    NoSolution
        No plan meets the limits; the message says which cannot hold, and in which stage.
    TimeLimit
        No plan was found in time.
    """
    raise_if_any(
        [
            *option_findings(
                {
                    "interest_rate_percent": interest_rate_percent,
                    "budget_eur": budget_eur,
                    "value_of_lost_load_eur_per_mwh": value_of_lost_load_eur_per_mwh,
                    "emission_price_eur_per_t": emission_price_eur_per_t,
                },
                foresight=foresight, replacement=replacement, islands=islands,
            ),
            *horizon_findings(net, days, stages, salvage, available_from or {}),
        ]
    )  # fmt: skip
    physics = get_formulation(formulation)
    require_cone(tightening, physics)
    discounting = Discounting(
        rate=interest_rate_percent / 100.0,
        horizon_years=sum(stage.years for stage in stages),
        salvage=salvage or "none",  # nothing outlives the horizon
        investment_at=investment_at,
        operation_at=operation_at,
    )
    data = _read(
        net,
        days,
        stages,
        discounting=discounting,
        replacement=replacement,
        available_from=available_from or {},
        budget_eur=budget_eur,
        value_of_lost_load_eur_per_mwh=value_of_lost_load_eur_per_mwh,
        emission_price_eur_per_t=emission_price_eur_per_t,
        islands=islands,
        isolators=isolators,
        tightening=tightening,
    )
    for s, year in enumerate(data.years):
        _in_stage(s, require_reachable, year)
        require_convex(year, physics)
    solve = _solve_all if foresight == "perfect" else _solve_rolling
    bought, blocks, reports, attrs = solve(data, physics, solver)
    operations = [read_stage(data, physics, s, blocks[s], bought) for s in range(len(stages))]
    ds = label_horizon(data, bought, operations)
    if foresight == "perfect":
        ds = ds.merge(label_progress(reports[0], scale=MONEY_SCALE, unit="eur"))
    else:
        ds["stage_gap"] = (STAGE, np.array([report.gap for report in reports]))
    options = {
        "foresight": foresight,
        "replacement": replacement,
        "available_from": {str(k): int(v) for k, v in (available_from or {}).items()},
        "budget_eur": budget_eur,
        "value_of_lost_load_eur_per_mwh": value_of_lost_load_eur_per_mwh,
        "emission_price_eur_per_t": emission_price_eur_per_t,
        "islands": islands,
        "isolators": isolators,
        "formulation": formulation,
        "tightening": dataclasses.asdict(tightening),
        "solver": dataclasses.asdict(solver),
        "stages": [stage_options(stage, net) for stage in stages],
        **discounting.conventions(),
    }
    attrs |= provenance(
        "plan_horizon",
        _worst(reports),
        worst_proof([operation.proof for operation in operations]),
        formulation=physics,
        seed=seed,
        options=options,
        digest=input_hash(net, days, options),
    )
    attrs |= {**discounting.conventions(), "foresight": foresight, "replacement": replacement}
    attrs |= {"eens_computed": any(year.faults.rate.any() for year in data.years)}
    return label(ds, attrs)


def _read(
    net: Any,
    days: xr.Dataset,
    stages: Sequence[Stage],
    *,
    discounting: Discounting,
    replacement: Replacement,
    available_from: Mapping[int, int],
    budget_eur: float,
    **options: Any,
) -> HorizonData:
    nets, years = [], []
    for stage in stages:
        later, typical = stage.grown(net, days)
        nets.append(later)
        years.append(
            ExpansionData.from_net(
                later,
                typical,
                interest_rate=discounting.rate,
                **{"budget_eur": np.inf, **stage.limits(), **options},
            )
        )
    index = years[0].candidates.index
    return HorizonData.of(
        stages,
        years,
        nets,
        available_from=np.array([available_from.get(int(k), 1) - 1 for k in index], dtype=int),
        life_years=life_years(net, index),
        discounting=discounting,
        replacement=replacement,
        budget_eur=budget_eur,
    )


Solved = tuple[Array, list[Any], list[SolveReport], dict[str, object]]
"""What is bought (stage, purchase), block of each stage, reports, attributes."""


def _solve_all(data: HorizonData, physics: Formulation, solver: SolverConfig) -> Solved:
    model = build_all(data, physics)
    try:
        report = run_solver(model, solver)
    except TimeLimit:
        raise
    except NoSolution as error:
        raise NoSolution(_explain(data, physics), error.report) from error
    added = added_value(model)
    attrs: dict[str, object] = {
        "objective_eur": (report.objective - added) * MONEY_SCALE,
        "bound_eur": (report.bound - added) * MONEY_SCALE,
        "objective_added_eur": added * MONEY_SCALE,
    }
    blocks = [model.stage[s] for s in range(data.shape[0])]
    return read_bought(model, data), blocks, [report], attrs


def _solve_rolling(data: HorizonData, physics: Formulation, solver: SolverConfig) -> Solved:
    bought, blocks, reports = np.zeros(data.shape), [], []
    for s in range(data.shape[0]):
        model = build_one(data, physics, s, bought)
        try:
            reports.append(run_solver(model, solver))
        except TimeLimit:
            raise
        except NoSolution as error:
            why = _explain(data, physics)
            message = (
                f"foresight='rolling' ends in stage {s + 1} with what was bought before: {why}"
            )
            raise NoSolution(message, error.report) from error
        blocks.append(model.stage[s])
        bought += read_bought(model, data)
    return bought, blocks, reports, {}


def _explain(data: HorizonData, physics: Formulation) -> str:
    """Return which stage cannot be operated even with all that it may have, and why."""
    for s, year in enumerate(data.years):
        if reasons := explain_year(year, physics):
            return f"no plan meets the limits of stage {s + 1}: {reasons}"
    return (
        "no plan meets the limits of all stages, though each alone has one with all its candidates "
        "built: budget_eur, the budgets of stages or what is bought for one stage only stand in "
        "the way"
    )


def _in_stage(number: int, rule: Any, year: ExpansionData) -> None:
    try:
        rule(year)
    except NoSolution as error:
        raise NoSolution(f"stage {number + 1}: {error}", error.report) from error


def _worst(reports: Sequence[SolveReport]) -> SolveReport:
    """Return the report with the largest gap, with the time and the iterations of all."""
    return dataclasses.replace(
        max(reports, key=lambda report: report.gap),
        seconds=sum(report.seconds for report in reports),
        iterations=sum(report.iterations for report in reports),
    )
