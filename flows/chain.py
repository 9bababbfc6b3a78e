"""The chain of a study: which stage follows which.

A stage is a plain function. The engine decides how it is called: `call(name, function)` runs it
here (``plain``) or as a Prefect task.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from flows.profiles import read_profiles
from flows.study import Study
from flows.study_net import build_net
from flows.study_text import StudyText
from pp_p2p.errors import InvalidInput
from pp_p2p.names import DAY, HOUR, TIME
from pp_p2p.version import __version__

Call = Callable[[str, Callable[[], Any]], Any]
"""Runs a stage: its name, and the function without arguments."""

RESULT_NAME = "result.nc"
REPORT_NAME = "report.html"


@dataclass(frozen=True)
class Inputs:
    """The net of a study and a year of profiles."""

    net: Any
    profiles: xr.Dataset


@dataclass(frozen=True)
class StudyResult:
    """What a study leaves behind: both files, and what stands in the first."""

    result: Path
    report: Path
    tree: xr.DataTree


def run_chain(study: Study, call: Call, output: Path | None = None) -> StudyResult:
    """Run every stage of `study`; nothing is written before all of them have succeeded."""
    folder = output or study.output_dir
    inputs = call("read network and profiles", lambda: read_inputs(study))
    days = call("choose typical days", lambda: choose_days(study, inputs))
    plan = call("plan the network", lambda: plan_stage(study, inputs, days))
    trade = call("trade on every typical day", lambda: trade_stage(study, inputs, days, plan))
    tree = call("collect results", lambda: collect(study, inputs, days, plan, trade))
    page = call("draw the report", lambda: draw(tree))
    result: StudyResult = call("write files", lambda: store(folder, tree, page))
    return result


def read_inputs(study: Study) -> Inputs:
    """Open the net and read its year of profiles."""
    net = build_net(study)
    return Inputs(net=net, profiles=read_profiles(study, load=net.load, sgen=net.sgen))


def choose_days(study: Study, inputs: Inputs) -> xr.Dataset:
    """Make the year small."""
    from clustering import typical_days

    chosen = study.typical_days
    try:
        return typical_days(
            inputs.profiles,
            n_days=chosen.n_days,
            representative=chosen.representative,
            keep_energy=chosen.keep_energy,
            extreme_days=chosen.extreme_days,
        )
    except InvalidInput as error:
        text = StudyText(study.file, study.text)
        raise InvalidInput(
            text.finding(("typical_days", one.table), one.rule, one.mend)
            if one.table in type(chosen).model_fields
            else one
            for one in error.findings
        ) from error


def plan_stage(study: Study, inputs: Inputs, days: xr.Dataset) -> xr.Dataset:
    """Decide what to build."""
    from planning import plan_network
    from pp_p2p import SolverConfig

    p = study.planning
    unlimited = float("inf")
    return plan_network(
        inputs.net,
        days,
        interest_rate_percent=p.interest_rate_percent,
        eens_limit_mwh_per_year=(
            unlimited if p.eens_limit_mwh_per_year is None else p.eens_limit_mwh_per_year
        ),
        value_of_lost_load_eur_per_mwh=p.value_of_lost_load_eur_per_mwh,
        budget_eur=unlimited if p.budget_eur is None else p.budget_eur,
        formulation=p.formulation,
        solver=SolverConfig(rel_gap=p.mip_gap_percent / 100.0, time_limit_s=p.time_limit_s),
        seed=study.study.seed,
    )


def trade_stage(study: Study, inputs: Inputs, days: xr.Dataset, plan: xr.Dataset) -> xr.Dataset:
    """Trade every typical day on the planned network; one dataset with dim ``day``."""
    from planning import profiles_with_plan
    from pp_p2p import NashBargaining, trade_day, write_back

    net = copy.deepcopy(inputs.net)
    profiles = profiles_with_plan(days, plan, write_back(net, plan))
    mechanism = NashBargaining(
        network_fee_eur_per_mwh=study.trade.network_fee_eur_per_mwh,
        bargaining_power=study.trade.bargaining_power,
    )
    results = []
    for day in days[DAY].to_numpy():
        one = profiles.sel({DAY: day}, drop=True).rename({HOUR: TIME})
        results.append(
            trade_day(
                net,
                one,
                mechanism=mechanism,
                formulation=study.trade.formulation,
                seed=study.study.seed,
            )
        )
    return _joined(results, days)


def collect(
    study: Study, inputs: Inputs, days: xr.Dataset, plan: xr.Dataset, trade: xr.Dataset
) -> xr.DataTree:
    """Return the whole study as one tree: ``network``, ``days``, ``plan``, ``trade``."""
    from pp_p2p.network.layout import describe_net
    from pp_p2p.results import SCHEMA_VERSION, label

    root = label(
        xr.Dataset(),
        {
            "Conventions": "CF-1.11",
            "title": f"pp-p2p study {study.study.name}",
            "study": study.study.name,
            "study_file": study.text,
            "schema_version": SCHEMA_VERSION,
            "version": __version__,
            "seed": study.study.seed,
        },
    )
    network = label(describe_net(inputs.net), {"source": study.network.source})
    groups = {"network": network, "days": label(days, {}), "plan": plan, "trade": trade}
    return xr.DataTree.from_dict({"/": root, **{f"/{k}": v for k, v in groups.items()}})


def draw(tree: xr.DataTree) -> str:
    """Return the report of a study as one HTML page."""
    from flows.report import report_html

    return report_html(tree)


def store(folder: Path, tree: xr.DataTree, page: str) -> StudyResult:
    """Write both files, each whole or not at all."""
    from pp_p2p.results import to_netcdf

    result = to_netcdf(tree, folder / RESULT_NAME)
    return StudyResult(result, write_text(folder / REPORT_NAME, page), tree)


def write_text(path: Path, text: str) -> Path:
    """Write a text file, whole or not at all."""
    from pp_p2p.results import whole_file

    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")
    return path


def _joined(results: list[xr.Dataset], days: xr.Dataset) -> xr.Dataset:
    """Return the days' results along ``day``; attributes are the worst of all days."""
    joined = xr.concat(
        [r.rename({TIME: HOUR}) for r in results],
        dim=days[DAY],
        data_vars="all",
        coords="minimal",
        compat="override",
        join="exact",
        combine_attrs="drop_conflicts",
    )
    from pp_p2p.results import label

    worst = ("gap", "relaxation_gap", "ac_vm_error_pu", "ac_loss_error_percent")
    attrs: dict[str, Any] = {key: max(r.attrs[key] for r in results) for key in worst}
    inexact = any(r.attrs["relaxation"] == "inexact" for r in results)
    statuses = {r.attrs["status"] for r in results}
    attrs["relaxation"] = "inexact" if inexact else "exact"
    attrs["status"] = "optimal" if statuses == {"optimal"} else "feasible"
    attrs["termination"] = ", ".join(dict.fromkeys(r.attrs["termination"] for r in results))
    attrs["seconds"] = sum(r.attrs["seconds"] for r in results)
    attrs["iterations"] = sum(r.attrs["iterations"] for r in results)
    hashes = "".join(r.attrs["input_hash"] for r in results)
    attrs["input_hash"] = hashlib.sha256(hashes.encode()).hexdigest()
    keep = ("problem", "solver", "formulation", "version", "seed", "options")
    attrs |= {key: results[0].attrs[key] for key in keep}
    for name in ("gain_eur", "objective_eur", "bound_eur"):
        joined[name] = (DAY, [r.attrs[name] for r in results])
    joined["trade_agreed"] = (DAY, [int(r.attrs["trade"] == "agreed") for r in results])
    joined = joined.assign_coords(weight=days["weight"])
    for name in ("objective_eur", "bound_eur"):
        attrs[f"{name}_per_year"] = float((joined[name] * joined["weight"]).sum())
    return label(joined, attrs)
