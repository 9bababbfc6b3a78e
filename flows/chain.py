"""What the steps of a study do, each a plain function; `flows.steps` says which follows which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from flows import subproblems
from flows.places import placed
from flows.plan_years import plan_years
from flows.profiles import read_profiles
from flows.study import Study
from flows.study_net import build_net, rows_by_name
from flows.study_notes import input_notes
from pp_p2p.names import OPERATOR
from pp_p2p.version import __version__

RESULT_NAME = "result.nc"
REPORT_NAME = "report.html"


@dataclass(frozen=True)
class Inputs:
    """The net of a study, a year of profiles, and what a reader should know of them."""

    net: Any
    profiles: xr.Dataset
    notes: tuple[str, ...] = ()


def read_inputs(study: Study) -> Inputs:
    """Open the net and read its year of profiles."""
    net = build_net(study)
    profiles = read_profiles(study, load=net.load, sgen=net.sgen)
    return Inputs(net=net, profiles=profiles, notes=input_notes(study, net, profiles))


def choose_days(study: Study, inputs: Inputs) -> xr.Dataset:
    """Make the year small."""
    from clustering import typical_days

    chosen = study.typical_days
    with placed(study):
        return typical_days(
            inputs.profiles,
            n_days=chosen.n_days,
            representative=chosen.representative,
            keep_energy=chosen.keep_energy,
            extreme_days=chosen.extreme_days,
        )


def plan_stage(study: Study, inputs: Inputs, days: xr.Dataset) -> xr.Dataset:
    """Decide what to build: for one year, or in the stages of a horizon."""
    from pp_p2p import SolverConfig

    p = study.planning
    solver = SolverConfig(rel_gap=p.mip_gap_percent / 100.0, time_limit_s=p.time_limit_s)
    if study.horizon is not None:
        with placed(study, inputs.net):
            return plan_years(study, inputs.net, days, solver)
    from planning import plan_network

    limits = {
        name: getattr(p, name)
        for name in (
            "eens_limit_mwh_per_year",
            "saidi_limit_h_per_year",
            "saifi_limit_per_year",
            "budget_eur",
            "max_sites",
            "emission_cap_t_per_year",
        )
        if getattr(p, name) is not None
    }
    with placed(study, inputs.net):
        return plan_network(
            inputs.net,
            days,
            interest_rate_percent=p.interest_rate_percent,
            value_of_lost_load_eur_per_mwh=p.value_of_lost_load_eur_per_mwh,
            islands=p.islands,
            renewable_share_percent=p.renewable_share_percent,
            emission_price_eur_per_t=p.emission_price_eur_per_t,
            demand_growth_percent=p.demand_growth_percent,
            **limits,
            formulation=p.formulation,
            solver=solver,
            seed=study.study.seed,
        )


def joint_stage(study: Study, inputs: Inputs, days: xr.Dataset) -> xr.Dataset:
    """Let participants and operator decide together what each builds."""
    from planning import plan_together
    from planning.plan_rules import grown
    from pp_p2p import SolverConfig

    p, c = study.planning, study.collaboration
    assert c is not None
    names = ("eens_limit_mwh_per_year", "saidi_limit_h_per_year", "saifi_limit_per_year")
    limits = {name: getattr(p, name) for name in names if getattr(p, name) is not None}
    net, days = grown(inputs.net, days, 1.0 + p.demand_growth_percent / 100.0)
    with placed(study, net):
        return plan_together(
            net,
            days,
            powers=c.bargaining_power,
            operator_power=c.operator_power,
            budget_eur=_by_account(net, c.budget_eur),
            max_sites=_by_account(net, c.max_sites),
            network_fee_eur_per_mwh=study.trade.network_fee_eur_per_mwh,
            interest_rate_percent=p.interest_rate_percent,
            value_of_lost_load_eur_per_mwh=p.value_of_lost_load_eur_per_mwh,
            islands="none" if p.islands == "none" else "reserve",
            **limits,
            starts=c.starts,
            max_rounds=c.max_rounds,
            benchmark=c.benchmark,
            algorithm=c.algorithm,
            formulation=c.formulation,
            solver=SolverConfig(rel_gap=c.mip_gap_percent / 100.0, time_limit_s=c.time_limit_s),
            seed=study.study.seed,
            executor=subproblems.executor(),
        )


def _by_account(net: Any, limits: Mapping[str, float]) -> dict[int, float]:
    """Return limits by row of ``net.participant``, -1 for the operator."""
    rows = rows_by_name(net, "participant")
    return {rows.get(name, OPERATOR): float(limit) for name, limit in limits.items()}


def collect(study: Study, inputs: Inputs, groups: Mapping[str, xr.Dataset]) -> xr.DataTree:
    """Return the whole study as one tree: ``network``, a group per step, ``indicators``."""
    from planning.case_indicators import study_indicators
    from pp_p2p.network.layout import describe_net
    from pp_p2p.results import SCHEMA_VERSION, label

    root = label(
        xr.Dataset(),
        {
            "Conventions": "CF-1.11",
            "title": " - ".join(filter(None, [f"pp-p2p study {study.study.name}", study.case])),
            "study": study.study.name,
            "case": study.case,
            "study_file": study.case_text,
            "schema_version": SCHEMA_VERSION,
            "version": __version__,
            "seed": study.study.seed,
            "notes": list(inputs.notes),
            "first_year": study.horizon.first_year if study.horizon else 1,
        },
    )
    network = label(describe_net(inputs.net), {"source": study.network.source})
    tree = xr.DataTree.from_dict(
        {"/": root, "/network": network, **{f"/{k}": label(v, {}) for k, v in groups.items()}}
    )
    tree["indicators"] = xr.DataTree(label(study_indicators(tree), {}))
    return tree


def draw(tree: xr.DataTree) -> str:
    """Return the report of a study as one HTML page."""
    from flows.report import report_html

    return report_html(tree)


def write_text(path: Path, text: str) -> Path:
    """Write a text file, whole or not at all."""
    from pp_p2p.results import whole_file

    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")
    return path
