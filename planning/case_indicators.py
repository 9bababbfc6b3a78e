"""What a study comes to in a few labelled numbers: alike for one year and for several.

Candidates and participants carry their names here, not their rows: cases of different nets then
stand side by side without being mixed up.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import xarray as xr

from planning.stages import STAGE, YEAR
from pp_p2p.errors import Finding, InvalidInput
from pp_p2p.names import BUS, CANDIDATE, DAY, HOUR, LINE, OPERATOR, PARTICIPANT
from pp_p2p.network.branches import Array
from pp_p2p.results import label

NEEDED: Final = ("network", "days", "plan")

EMISSION: Final = "emission_t_per_year"

INDICES: Final = (
    "eens_mwh_per_year",
    "saidi_h_per_year",
    "saifi_per_year",
    EMISSION,
    "renewable_mwh_per_year",
)
"""Of a plan, year by year."""

CERTIFICATES: Final = ("gap", "relaxation_gap", "ac_vm_error_pu", "ac_loss_error_percent")


def study_indicators(study: xr.DataTree | Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Return what a study comes to.

    Parameters
    ----------
    study : DataTree or mapping
        Groups ``network``, ``days``, ``plan`` (of `plan_network` or `plan_horizon`) and, where
        there was trading, ``trade``.

    Returns
    -------
    Dataset
        Over ``stage`` (from 1; one for a plan of one year): reliability, losses, voltages,
        loading, emissions (NaN where none are given). Over ``year`` and ``item``:
        ``cash_flow_eur`` and ``present_value_eur``; a plan of one year has the annuity as
        ``investment``. Over ``stage`` and ``candidate`` (by name): what is built. Over ``stage``
        and ``participant`` (by name): gains of trading in a year; over ``stage`` what all pay
        after trade, the losses on the traded days, whatever the mechanism, and, where the network
        is reconfigured, operations and what they cost. Scalars: ``npc_eur``,
        ``eac_eur_per_year``.

    Raises
    ------
    InvalidInput
        A group is missing.
    """
    groups = {name: _dataset(study[name]) for name in (*NEEDED, "trade") if name in study}
    missing = [name for name in NEEDED if name not in groups]
    if missing:
        mend = "pass the tree of a study's result"
        rule = f"lacks the groups {', '.join(missing)}"
        raise InvalidInput(Finding(table="study", rule=rule, mend=mend))
    network, plan = groups["network"], groups["plan"]
    several = STAGE in plan.dims
    parts = [
        _accounts(plan) if several else _annual_cost(plan),
        _of_stages(plan, groups["days"], network, several=several),
        _built(plan, network, several=several),
    ]
    if "trade" in groups:
        parts.append(_gains(groups["trade"], groups["days"], network))
    ds = xr.merge(parts, join="exact", compat="equals", combine_attrs="drop")
    for name in CERTIFICATES:
        worst = [float(g.attrs[name]) for k, g in groups.items() if name in g.attrs]
        ds[f"worst_{name}"] = max(worst, default=np.nan)
    ds["plan_gap"] = float(plan.attrs.get("gap", np.nan))
    states = {k: g.attrs for k, g in groups.items() if k in ("plan", "trade")}
    ds.attrs = {
        "exact": int(all(a.get("relaxation") == "exact" for a in states.values())),
        "status": json.dumps({k: str(a.get("status", "")) for k, a in states.items()}),
        "eens_computed": int(plan.attrs.get("eens_computed", 1)),
        "several_years": int(several),
        "network_hash": _network_hash(network),
    }
    return label(ds, {})


def _network_hash(network: xr.Dataset) -> str:
    """Return a hash of the buses and lines and where they are: cases of one share a map."""
    digest = hashlib.sha256()
    for name in (BUS, "x", "y", LINE, "from_bus", "to_bus"):
        if name in network:
            digest.update(name.encode() + network[name].to_numpy().astype(float).tobytes())
    return digest.hexdigest()[:16]


def _dataset(node: Any) -> xr.Dataset:
    ds: xr.Dataset = node.to_dataset() if isinstance(node, xr.DataTree) else node
    return ds


def _accounts(plan: xr.Dataset) -> xr.Dataset:
    names = ["cash_flow_eur", "present_value_eur", "npc_eur", "eac_eur_per_year"]
    first = plan["stage_first_year"].to_numpy()
    ds = plan[names].reset_coords(drop=True)
    return ds.assign(stage_first_year=(STAGE, first), stage_years=(STAGE, plan["stage_years"].data))


def _annual_cost(plan: xr.Dataset) -> xr.Dataset:
    cost = plan["cost_eur_per_year"].sel(case="plan", drop=True).expand_dims({YEAR: [1]})
    total = float(cost.sum())
    nothing = float(plan["cost_eur_per_year"].sel(case="nothing").sum())
    return xr.Dataset(
        {
            "cash_flow_eur": cost.transpose(YEAR, "item"),
            "present_value_eur": cost.transpose(YEAR, "item"),
            "npc_eur": np.nan,
            "eac_eur_per_year": total,
            "nothing_cost_eur_per_year": nothing,
            "stage_first_year": (STAGE, [1]),
            "stage_years": (STAGE, [1]),
        },
        coords={STAGE: [1]},
    ).drop_attrs()


def _of_stages(
    plan: xr.Dataset, days: xr.Dataset, network: xr.Dataset, *, several: bool
) -> xr.Dataset:
    """Return reliability, losses, voltages, loading and emissions (stage,)."""
    one = plan if several else plan.expand_dims({STAGE: [1]})
    weight, step_h = days["weight"], float(days.attrs["step_h"])
    found: dict[str, xr.DataArray] = {}
    for name in INDICES:
        if name in one:
            value = one[name] if several else one[name].sel(case="plan", drop=True)
            found[name] = value
    if EMISSION in found and not _emission_known(plan, days):
        found[EMISSION] = found[EMISSION].where(False)
    hours = weight * step_h
    for name, of in (("loss_mwh_per_year", "loss_mw"), ("purchase_mwh_per_year", "p_buy_mw"),
                     ("sale_mwh_per_year", "p_sell_mw")):  # fmt: skip
        if of in one:
            found[name] = (one[of] * hours).sum([DAY, HOUR])
    found["load_mwh_per_year"] = _load_mwh(one, days, hours, several=several)
    over: list[Any] = [DAY, HOUR]
    found["vm_min_pu"] = one["vm_pu"].min([*over, BUS])
    found["vm_max_pu"] = one["vm_pu"].max([*over, BUS])
    found["bus_vm_min_pu"] = one["vm_pu"].min(over)
    bounds = network.sel({BUS: one[BUS].to_numpy()})
    slack: Any = np.minimum(one["vm_pu"] - bounds["vm_min_pu"], bounds["vm_max_pu"] - one["vm_pu"])
    found["vm_margin_pu"] = slack.min([*over, BUS])
    for kind in ("line", "trafo"):
        loading = one.get(f"{kind}_loading_percent")
        if loading is not None and loading.size:
            found[f"{kind}_loading_max_percent"] = loading.max([*over, kind])
    kept = {k: v.reset_coords(drop=True).drop_attrs() for k, v in found.items()}
    return xr.Dataset(kept)


def _emission_known(plan: xr.Dataset, days: xr.Dataset) -> bool:
    """Return whether emissions were given, of the grid or of units: a 0 without is no number."""
    return "grid_emission_t_per_mwh" in days or bool((plan[EMISSION] != 0).any())


def _load_mwh(
    plan: xr.Dataset, days: xr.Dataset, hours: xr.DataArray, *, several: bool
) -> xr.DataArray:
    base = (days["load_p_mw"].sum("load") * hours).sum([DAY, HOUR])
    if several:
        return base * plan["demand_factor"]
    growth = json.loads(str(plan.attrs.get("options", "{}"))).get("demand_growth_percent", 0.0)
    return xr.DataArray([float(base) * (1 + float(growth) / 100)], {STAGE: [1]}, (STAGE,))


def _built(plan: xr.Dataset, network: xr.Dataset, *, several: bool) -> xr.Dataset:
    """Return what is bought and what stands (stage, candidate), candidates by name."""
    names = unique_names(plan["candidate_name"].to_numpy().astype(str), plan[CANDIDATE].to_numpy())
    owner = dict(zip(network[PARTICIPANT].to_numpy().tolist(), _people(network), strict=True))
    owners = [
        owner.get(int(k), "operator" if int(k) == OPERATOR else str(k))
        for k in plan["candidate_owner"].to_numpy()
    ]

    def by_stage(name: str) -> Array:
        values = plan[name]
        return np.asarray(values.transpose(STAGE, CANDIDATE) if several else values.data[None])

    stage = plan[STAGE].to_numpy() if several else np.array([1])
    installed, bought = ("units_installed", "units_built") if several else ("units", "units")
    over = (STAGE, CANDIDATE)
    return xr.Dataset(
        {
            "units_installed": (over, by_stage(installed).astype(float)),
            "units_built": (over, by_stage(bought).astype(float)),
            "built_p_mw": (over, by_stage("built_p_mw")),
            "built_e_mwh": (over, by_stage("built_e_mwh")),
            "capex_eur": (over, by_stage("capex_eur")),
            "technology": (CANDIDATE, plan["technology_built"].to_numpy().astype(str)),
            "candidate_bus": (CANDIDATE, plan["candidate_bus"].to_numpy().astype(float)),
            "candidate_line": (CANDIDATE, plan["candidate_line"].to_numpy().astype(float)),
            "candidate_owner": (CANDIDATE, np.array(owners, dtype=str)),
        },
        coords={STAGE: stage, CANDIDATE: names},
    )


def _gains(trade: xr.Dataset, days: xr.Dataset, network: xr.Dataset) -> xr.Dataset:
    """Return what each participant gains by trading in a year (stage, participant)."""
    one = trade if STAGE in trade.dims else trade.expand_dims({STAGE: [1]})
    weight, step_h = days["weight"], float(days.attrs["step_h"])
    found = {
        f"{name}_eur_per_year": (one[f"{name}_eur"] * weight).sum(DAY)
        for name in ("saving", "payment", "cost", "cost_alone")
    }
    energy = (one["trade_mw"] * weight).sum([DAY, HOUR]) * step_h
    people = one[PARTICIPANT].to_numpy()
    for name, summed, kept in (("sold", "buyer", "seller"), ("bought", "seller", "buyer")):
        found[f"{name}_mwh_per_year"] = energy.sum(summed).rename({kept: PARTICIPANT})
    ds = xr.Dataset({k: v.reset_coords(drop=True).drop_attrs() for k, v in found.items()})
    names = dict(zip(network[PARTICIPANT].to_numpy().tolist(), _people(network), strict=True))
    ds = ds.assign_coords({PARTICIPANT: [names.get(int(k), str(k)) for k in people]})
    ds["traded_mwh_per_year"] = ds["sold_mwh_per_year"].sum(PARTICIPANT)
    return ds.merge(_of_market(one, weight, step_h))


def _of_market(one: xr.Dataset, weight: xr.DataArray, step_h: float) -> xr.Dataset:
    """Return what any mechanism comes to (stage,); NaN where it knows no operator apart."""
    gain = one["gain_eur"]
    nobody = xr.full_like(gain, np.nan, dtype=float)
    cost = one["cost_eur"].sum(PARTICIPANT)
    lost = one.get("loss_mw", nobody)
    if "sop_loss_mw" in one:
        lost = lost + one["sop_loss_mw"].sum("sop_terminal")
    over: list[Any] = [k for k in lost.dims if k == HOUR]
    of_day = {
        "gain_eur_per_year": gain,
        "operator_saving_eur_per_year": one.get("operator_saving_eur", nobody),
        "trade_cost_eur_per_year": cost + one.get("operator_cost_eur", xr.zeros_like(cost)),
        "trade_loss_mwh_per_year": (lost * step_h).sum(over, skipna=False),
    }
    found = {k: (v * weight).sum(DAY, skipna=False) for k, v in of_day.items()}
    if "limits_broken" in one:
        found["limits_broken_per_year"] = (one["limits_broken"] * weight).sum(DAY)
    if "operations" in one:
        found["switching_per_year"] = (one["operations"].sum(HOUR) * weight).sum(DAY)
    if "switching_cost_eur" in one:
        found["switching_cost_eur_per_year"] = (one["switching_cost_eur"] * weight).sum(DAY)
    return xr.Dataset({k: v.reset_coords(drop=True).drop_attrs() for k, v in found.items()})


def _people(network: xr.Dataset) -> list[str]:
    rows = network[PARTICIPANT].to_numpy()
    return list(unique_names(network["participant_name"].to_numpy().astype(str), rows))


def unique_names(names: Array, rows: Array) -> Array:
    """Return `names`; those that are empty or taken twice get the number of their row."""
    twice = {name for name in names if (names == name).sum() > 1}
    return np.array(
        [
            f"{name} {row}".strip() if not name or name in twice else name
            for name, row in zip(names.tolist(), rows.tolist(), strict=True)
        ],
        dtype=str,
    )
