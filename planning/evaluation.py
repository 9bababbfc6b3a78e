"""`evaluate`: a plan run through every day of a year, so that what typical days miss is a number.

The plan is built into a copy of the net, and each day of the year is one least-cost dispatch

    min  sum_t h [ b_t P_buy - s_t P_sell + cost of devices ]    s.t. load flow, limits      (1)

with storage cyclic in the day, as in `plan_network`. It is compiled once; every other day only
replaces vectors, and days are dealt among processes. The energy not served is that of the plan's
investments with the average demand of the year instead of the typical days'.
"""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from planning.built_profiles import profiles_with_plan
from planning.evaluation_input import check_plan, days_of, net_with_plan
from planning.year_model import ExpansionData
from pp_p2p.errors import NoSolution, TimeLimit
from pp_p2p.names import DAY, HOUR, LINE, TRAFO
from pp_p2p.network.branches import Array
from pp_p2p.network.formulation import get_formulation
from pp_p2p.network.relaxation import loss_price
from pp_p2p.network.solution import FlowSolution, converter_slack, label_flows, read_flows
from pp_p2p.network.tightening import Tightening, added_value
from pp_p2p.network.timeline import Timeline
from pp_p2p.operation.dispatch_data import DispatchData
from pp_p2p.operation.dispatch_model import CompiledDispatch
from pp_p2p.operation.dispatch_objective import SCALE
from pp_p2p.operation.powerflow import Certificate, certify
from pp_p2p.operation.provenance import provenance
from pp_p2p.results import input_hash, label
from pp_p2p.solve.report import DEFAULT_CONFIG, SolverConfig, SolveReport, Status

CASES: Final = ("plan", "year")
OPERATION: Final = ("purchase", "sale", "variable_om")


def evaluate(
    net: Any,
    plan: xr.Dataset,
    profiles: xr.Dataset,
    *,
    solver: SolverConfig = DEFAULT_CONFIG,
) -> xr.Dataset:
    """Run a plan through every day of `profiles`.

    Parameters
    ----------
    net : pandapowerNet
        The net that the plan was made for, the plan not yet written back; is not changed.
    plan : Dataset
        Result of `plan_network`.
    profiles : Dataset
        Dim ``time``, whole days in local standard time, or ``day`` and ``hour``: those that the
        typical days were taken from, with prices and ``availability_pu``.
    solver : SolverConfig
        ``processes`` deals the days out.

    Returns
    -------
    Dataset
        ``cost_eur_per_year(case, item)`` and ``eens_mwh_per_year(case)`` of the plan's own claim
        and of the year, ``daily_cost_eur(day)`` of operation, ``feasible(day)``, ``reason(day)``,
        ``p_buy_mw``, ``p_sell_mw``, ``loss_mw`` ``(day, hour)``, ``vm_min_pu(bus)``,
        ``vm_max_pu(bus)``, ``line_loading_max_percent(line)``. The year's costs are those of as
        many days as the plan's weights sum to. Attributes: ``cost_error_percent`` (plan's claim
        over the year's cost, less 1), ``operation_error_percent``, ``eens_error_percent``,
        ``infeasible_days``, and the certificate of all hours.

    Raises
    ------
    InvalidInput
        The plan is not of this net or was built already; profiles with gaps or without whole days.
    NoSolution
        No day has a feasible operation.

    Warns
    -----
    UserWarning
        Days have no feasible operation: their number and the first one's reason. The year's
        costs then are the other days', scaled up.
    """
    table = check_plan(net, plan)
    options = json.loads(plan.attrs["options"])
    physics = get_formulation(str(plan.attrs["formulation"]))
    days = days_of(profiles)
    built, rows = net_with_plan(net, plan, table)
    data = DispatchData.from_net(
        built,
        profiles_with_plan(days, plan, rows),
        "cost",
        1.0,
        tightening=Tightening(**options["tightening"]),
    )
    every = _solve_all(data, physics.name, solver)
    solved = [day for day in every if day.flows is not None]
    if not solved:
        raise NoSolution(f"evaluate: no day has a feasible operation; the first: {every[0].reason}")
    part = _only(data, [day.number for day in solved])
    flows = FlowSolution(
        **{
            f.name: np.concatenate([getattr(day.flows, f.name) for day in solved])
            for f in dataclasses.fields(FlowSolution)
        }
    )
    proof = certify(
        built,
        data.grid,
        flows,
        has_losses=physics.has_losses,
        converter_slack=np.concatenate([day.slack for day in solved]),
        loss_price=loss_price(flows, part.price_buy, part.price_sell) + data.tightening.loss_weight,
    )
    ds = _label_days(data, part, every, flows)
    ds = ds.merge(_costs(plan, every)).merge(_not_served(net, plan, days, options))
    attrs = _attributes(plan, every, proof, solver, input_hash(net, days, options))
    errors = _errors(ds)
    _warn(every)
    return label(ds, attrs | errors)


@dataclass(frozen=True, kw_only=True)
class _Day:
    """A day's operation; without flows it has none, and `reason` says why.

    `cost` is (item of `OPERATION`,), EUR; `p_buy`, `p_sell` are (step,), p.u.
    """

    number: int
    reason: str = ""
    flows: FlowSolution | None = None
    slack: Array = dataclasses.field(default_factory=lambda: np.zeros((0, 0)))
    cost: Array = dataclasses.field(default_factory=lambda: np.full(3, np.nan))
    report: SolveReport | None = None


def _solve_all(data: DispatchData, physics: str, solver: SolverConfig) -> list[_Day]:
    numbers = range(data.line.n_days)
    count = max(1, min(solver.processes, len(numbers)))
    if count == 1:
        return _solve_days(data, physics, solver, numbers)
    shares = np.array_split(np.array(numbers), count)
    with ProcessPoolExecutor(count) as pool:
        parts = [pool.submit(_solve_days, data, physics, solver, s.tolist()) for s in shares]
        return [day for part in parts for day in part.result()]


def _solve_days(
    data: DispatchData, physics: str, solver: SolverConfig, numbers: Sequence[int]
) -> list[_Day]:
    """Solve some days with the model of the first day of all, which others only give vectors.

    So the answer of a day does not depend on which process has it.
    """
    first = _only(data, [0])
    structure, physical = first.structure(), get_formulation(physics)
    common = CompiledDispatch(first, physical, solver)
    found = []
    for number in numbers:
        day = _only(data, [number])
        alike = day.structure() == structure
        compiled = common if alike else CompiledDispatch(day, physical, solver)
        found.append(_solve_day(compiled, day, number))
    return found


def _solve_day(compiled: CompiledDispatch, day: DispatchData, number: int) -> _Day:
    try:
        report = compiled.solve(day, afresh=True)
    except TimeLimit:
        raise
    except NoSolution as error:
        return _Day(number=number, reason=str(error).removeprefix("dispatch: "))
    m = compiled.model
    has_losses = m.network.component("l") is not None
    mwh = day.line.step_h * day.grid.s_base_mva
    buy = mwh * float(sum(p * m.buy[t].value for t, p in enumerate(day.price_buy)))
    sell = -mwh * float(sum(p * m.sell[t].value for t, p in enumerate(day.price_sell)))
    total = (report.objective - added_value(m)) * SCALE["cost"]
    return _Day(
        number=number,
        flows=read_flows(m.network, m.injection, has_losses=has_losses),
        slack=converter_slack(m, day.portfolio) if has_losses else np.zeros((day.line.n_steps, 1)),
        cost=np.array([buy, sell, total - buy - sell]),
        report=dataclasses.replace(report, duals={}),
    )


def _only(data: DispatchData, numbers: Sequence[int]) -> DispatchData:
    """Return `data` with some of its days."""
    line, per_day = data.line, data.line.steps_per_day
    steps = (np.asarray(numbers)[:, None] * per_day + np.arange(per_day)).ravel()
    p = data.portfolio
    parts: dict[str, Any] = {
        name: dataclasses.replace(part, **{of: getattr(part, of)[steps] for of in _BY_STEP[name]})
        for name, part in (
            ("loads", p.loads),
            ("flexible", p.flexible),
            ("generators", p.generators),
        )
    }
    coords = {DAY: line.coords[DAY][list(numbers)], HOUR: line.coords[HOUR]}
    return dataclasses.replace(
        data,
        line=dataclasses.replace(
            line, n_days=len(numbers), weight=line.weight[list(numbers)], coords=coords
        ),
        portfolio=dataclasses.replace(p, **parts),
        price_buy=data.price_buy[steps],
        price_sell=data.price_sell[steps],
    )


_BY_STEP: Final = {
    "loads": ("p", "q"),
    "flexible": (
        "max_up",
        "max_down",
        "max_curtail",
        "level",
        "benefit_eur_per_mwh",
        "benefit_slope",
    ),
    "generators": ("available", "q"),
}
"""Arrays of a portfolio whose first axis is the step."""


def _label_days(
    data: DispatchData, part: DispatchData, every: list[_Day], flows: FlowSolution
) -> xr.Dataset:
    line: Timeline = data.line
    hourly = label_flows(data.grid, flows, part.line)
    net_mw = hourly["p_source_mw"].sum("ext_grid")
    kept = xr.Dataset(
        {
            "p_buy_mw": net_mw.clip(min=0.0),
            "p_sell_mw": (-net_mw).clip(min=0.0),
            "loss_mw": hourly["loss_mw"],
        }
    ).reindex({DAY: line.coords[DAY]})
    over = (DAY, HOUR)
    kept["vm_min_pu"] = hourly["vm_pu"].min(over)
    kept["vm_max_pu"] = hourly["vm_pu"].max(over)
    for table, dim in ((LINE, LINE), (TRAFO, TRAFO)):
        if f"{table}_loading_percent" in hourly:
            kept[f"{dim}_loading_max_percent"] = hourly[f"{table}_loading_percent"].max(over)
    kept["daily_cost_eur"] = (DAY, np.array([day.cost.sum() for day in every]))
    kept["feasible"] = (DAY, np.array([day.flows is not None for day in every]))
    kept["reason"] = (DAY, np.array([day.reason for day in every], dtype=object).astype(str))
    return kept


def _costs(plan: xr.Dataset, every: list[_Day]) -> xr.Dataset:
    """Return the plan's claim beside the year's costs, EUR/a of the plan's own number of days."""
    claim = plan["cost_eur_per_year"].sel(case="plan", drop=True)
    operation = np.nanmean(np.stack([day.cost for day in every]), axis=0)
    year = claim.copy(deep=True)
    year.loc[{"item": list(OPERATION)}] = operation * float(plan["weight"].sum())
    both = xr.concat([claim, year], dim=pd.Index(CASES, name="case"))
    return xr.Dataset({"cost_eur_per_year": both})


def _not_served(
    net: Any, plan: xr.Dataset, days: xr.Dataset, options: dict[str, Any]
) -> xr.Dataset:
    """Return the energy not served with the plan's average demand and with the year's, MWh/a."""
    data = ExpansionData.from_net(
        net,
        days,
        interest_rate=float(options["interest_rate_percent"]) / 100.0,
        isolators=options["isolators"],
        eens_limit_mwh_per_year=np.inf,
        value_of_lost_load_eur_per_mwh=0.0,
        budget_eur=np.inf,
    )
    year = float(data.energy_not_served(plan["units"].to_numpy()).sum())
    claim = float(plan["eens_mwh_per_year"].sel(case="plan"))
    return xr.Dataset({"eens_mwh_per_year": ("case", [claim, year])})


def _errors(ds: xr.Dataset) -> dict[str, object]:
    """Return how far the plan's claim is from the year, % of the year's figure."""

    def percent(values: xr.DataArray) -> float:
        claim, year = (float(values.sel(case=case)) for case in CASES)
        return 100.0 * (claim / year - 1.0) if year else float("nan") if claim else 0.0

    cost = ds["cost_eur_per_year"]
    return {
        "cost_error_percent": percent(cost.sum("item")),
        "operation_error_percent": percent(cost.sel(item=list(OPERATION)).sum("item")),
        "eens_error_percent": percent(ds["eens_mwh_per_year"]),
    }


def _attributes(
    plan: xr.Dataset, every: list[_Day], proof: Certificate, solver: SolverConfig, digest: str
) -> dict[str, object]:
    reports = [day.report for day in every if day.report is not None]
    worst = max(reports, key=lambda report: report.gap)
    all_optimal = all(report.status is Status.OPTIMAL for report in reports)
    report = dataclasses.replace(
        worst,
        status=Status.OPTIMAL if all_optimal else Status.FEASIBLE,
        seconds=sum(one.seconds for one in reports),
        iterations=sum(one.iterations for one in reports),
    )
    attrs = provenance(
        "evaluate",
        report,
        proof,
        formulation=get_formulation(str(plan.attrs["formulation"])),
        seed=int(plan.attrs["seed"]),
        options={"solver": dataclasses.asdict(solver)},
        digest=digest,
    )
    return attrs | {
        "plan_input_hash": plan.attrs["input_hash"],
        "days": len(every),
        "infeasible_days": [day.number for day in every if day.flows is None],
    }


def _warn(every: list[_Day]) -> None:
    lost = [day for day in every if day.flows is None]
    if lost:
        warnings.warn(
            f"evaluate: {len(lost)} of {len(every)} days have no feasible operation; the first, "
            f"day {lost[0].number}: {lost[0].reason}. The costs of the year are those of the "
            "other days, scaled up",
            UserWarning,
            stacklevel=3,
        )
