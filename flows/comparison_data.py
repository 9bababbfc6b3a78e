"""The numbers of the comparison page: what stands in it as JSON for its pictures and its table."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from flows.comparison import WORST, summary_table, with_known_reliability
from flows.key_figures import ITEM_NAMES
from planning.figures import ITEM_COLOURS
from pp_p2p.names import unit_of
from pp_p2p.plotting.style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, SOP_COLOUR
from pp_p2p.plotting.ways import along, hub

LABELS: Final[Mapping[str, tuple[str, str]]] = {
    "eac_eur_per_year": ("Annual cost", "low"),
    "npc_eur": ("Net present cost", "low"),
    "capex_eur": ("Investment", ""),
    "eens_mwh_per_year": ("Energy not served", "low"),
    "saidi_h_per_year": ("SAIDI", "low"),
    "saifi_per_year": ("SAIFI", "low"),
    "loss_mwh_per_year": ("Losses", "low"),
    "vm_min_pu": ("Lowest voltage", "high"),
    "vm_max_pu": ("Highest voltage", ""),
    "line_loading_max_percent": ("Highest line loading", "low"),
    "emission_t_per_year": ("Emissions", "low"),
    "traded_mwh_per_year": ("Traded energy", ""),
    "gain_eur_per_year": ("Gain of trading", "high"),
    "trade_cost_eur_per_year": ("Cost after trade", "low"),
    "trade_loss_mwh_per_year": ("Losses with trade", "low"),
    "switching_per_year": ("Switching operations", ""),
    "switching_cost_eur_per_year": ("Cost of switching", "low"),
    "plan_gap": ("Gap of the plan", ""),
}
"""Name of each number, and whether less or more of it is better."""

TECHNOLOGIES: Final = {
    "pv": "PV",
    "storage_energy": "storage energy",
    "sop": "soft open point",
    "line": "tie line",
    "replacement": "line replaced",
    "switch": "remote control",
    "dispatchable": "dispatchable unit",
}

COLOURS: Final = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED, "#B8A800", "#52606D", "#8C510A", "#5E3C99")
"""Of participants, years and cases: those of Okabe and Ito, and four that stay apart from them."""

UNITS: Final = {"saifi_per_year": "1/a", "vm_min_pu": "p.u.", "vm_max_pu": "p.u."}
"""Units as a reader expects them, where the stored ones are plainer."""

THOUSANDS_FROM: Final = 1e5
"""Money is shown in thousands where some case reaches this."""

VOLTAGE_STEP: Final = 1e-4
"""Voltages of buses are stored in the page as whole multiples of this, in p.u."""


def page_data(
    compared: xr.Dataset, network: xr.Dataset | None, base: str | None = None
) -> dict[str, Any]:
    """Return what the page's script reads.

    Parameters
    ----------
    compared : Dataset
        What `planning.compare` returns.
    network : Dataset, optional
        Group ``network`` of the cases.
    base : str, optional
        Case that the others are compared with at first; the first one.
    """
    names = compared["case"].to_numpy().astype(str).tolist()
    compared_with = names.index(base) if base in names else 0
    compared = with_known_reliability(compared.load())
    numbers = summary_table(compared)
    metrics = [_metric(compared, numbers, k) for k in map(str, numbers)]
    keys = [one["key"] for one in metrics]
    across = "eens_mwh_per_year" if "eens_mwh_per_year" in keys else keys[-1]
    several = bool(compared["several_years"].any())
    return {
        "cases": names,
        "base": compared_with,
        "exact": compared["exact"].to_numpy().tolist(),
        "detail": _cheapest_other(numbers, compared_with),
        "metrics": metrics,
        "pareto": [keys.index(across), keys.index("eac_eur_per_year")],
        "stages": compared["stage"].to_numpy().tolist(),
        "stage_labels": stage_labels(compared),
        "stage_years": _list(compared["stage_years"].transpose("case", "stage").to_numpy()),
        "years": compared["year"].to_numpy().tolist(),
        "first_year": compared["first_year"].to_numpy().tolist(),
        "several": compared["several_years"].to_numpy().tolist(),
        "cost_unit": "EUR" if several else "EUR/a",
        "items": _items(compared, several=several),
        "stage_metrics": [one for one in map(_by_stage, metrics) if one],
        "participants": _participants(compared),
        "candidates": _candidates(compared),
        "technologies": TECHNOLOGIES,
        "colours": COLOURS,
        "owners": sorted(set(compared["candidate_owner"].to_numpy().astype(str).tolist())),
        "units": _of_candidates(compared, "units_installed"),
        "bought": _of_candidates(compared, "units_built"),
        "network": _network(network),
        "bus_vm": _bus_vm(compared, network),
    }


def as_json(content: Mapping[str, Any]) -> str:
    """Return JSON that cannot end the script it stands in."""
    return json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")


def stage_labels(compared: xr.Dataset) -> list[str]:
    """Return the years of each stage, ``2026–2028``, or its number where cases differ in them."""
    stages = compared["stage"].to_numpy().tolist()
    if not bool(compared["several_years"].any()):
        return ["a year"] if len(stages) == 1 else [f"stage {s}" for s in stages]
    first = compared["stage_first_year"] + compared["first_year"] - 1
    last = first + compared["stage_years"] - 1
    labels = []
    for s in stages:
        spans = {
            (int(a), int(b))
            for a, b in zip(first.sel(stage=s).values, last.sel(stage=s).values, strict=True)
            if math.isfinite(a) and math.isfinite(b)
        }
        a, b = next(iter(spans), (0, 0))
        known = f"{a}–{b}" if b > a else str(a)
        labels.append(known if len(spans) == 1 else f"stage {s}")
    return labels


def _metric(compared: xr.Dataset, numbers: pd.DataFrame, key: str) -> dict[str, Any]:
    values = numbers[key].to_numpy()
    label, better = LABELS[key]
    raw = unit_of(key)
    unit, scale = UNITS.get(key, "" if raw in ("1", "") else raw), 1.0
    if unit.startswith("EUR") and np.nanmax(np.abs(values)) >= THOUSANDS_FROM:
        unit, scale = f"k {unit}", 1e-3
    elif key == "plan_gap":
        unit, scale = "%", 100.0
    one = compared[key].sum("candidate", min_count=1) if key == "capex_eur" else compared[key]
    stages = one.transpose("case", "stage") if set(one.dims) == {"case", "stage"} else None
    return {
        "key": key,
        "label": label,
        "unit": unit,
        "raw_unit": "" if raw in ("1", "") else raw,
        "scale": scale,
        "better": better,
        "values": _list(values),
        "stages": None if stages is None else _list(stages.to_numpy()),
    }


def _by_stage(metric: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the number over the stages, scaled, for its small picture; investments have others."""
    if metric["stages"] is None or metric["key"] == "capex_eur":
        return None
    scale = metric["scale"]
    values = [[v if v is None else v * scale for v in row] for row in metric["stages"]]
    worst = {"min": "lowest of the year", "max": "highest of the year"}
    return {
        "label": metric["label"],
        "unit": metric["unit"],
        "of": worst.get(WORST.get(metric["key"], ""), ""),
        "values": _list(np.array(values, dtype=float)),
    }


def _cheapest_other(numbers: pd.DataFrame, base: int) -> int:
    """Return the position of the cheapest case beside the base; the base where there is none."""
    cost = numbers["eac_eur_per_year"].to_numpy(dtype=float, copy=True)
    cost[base] = np.nan
    return int(np.nanargmin(cost)) if np.isfinite(cost).any() else base


def _items(compared: xr.Dataset, *, several: bool) -> list[dict[str, Any]]:
    worth = compared["present_value_eur"].transpose("case", "year", "item")
    cash = compared["cash_flow_eur"].transpose("case", "year", "item")
    names = {**ITEM_NAMES, "investment": "Investment"} if several else ITEM_NAMES
    return [
        {
            "label": names.get(str(item), str(item).replace("_", " ").capitalize()),
            "colour": ITEM_COLOURS.get(str(item), GREY),
            "total": _list(worth.sel(item=item).sum("year").to_numpy()),
            "by_year": _list(cash.sel(item=item).to_numpy()),
            "worth": _list(_to_six_digits(worth.sel(item=item).to_numpy())) if several else None,
        }
        for item in worth["item"].to_numpy()
    ]


def _to_six_digits(values: Any) -> Any:
    """Round to whole EUR where that keeps six digits: half of what stands in the page."""
    return np.where(np.abs(values) >= 1e5, np.round(values), values)


def _participants(compared: xr.Dataset) -> list[dict[str, Any]]:
    if "saving_eur_per_year" not in compared:
        return []
    saving = compared["saving_eur_per_year"].transpose("participant", "case", "stage")
    people = [
        {"name": str(name), "saving": _list(values)}
        for name, values in zip(saving["participant"].to_numpy(), saving.to_numpy(), strict=True)
    ]
    operator = compared["operator_saving_eur_per_year"].transpose("case", "stage")
    return [*people, {"name": "operator", "saving": _list(operator.to_numpy())}]


def _candidates(compared: xr.Dataset) -> list[dict[str, Any]]:
    names = ("technology", "candidate_owner", "candidate_bus", "candidate_line")
    about = [compared[k].to_numpy().tolist() for k in ("candidate", *names)]
    return [
        {"name": str(name), "technology": str(technology), "owner": str(owner),
         "bus": int(bus), "line": int(line)}
        for name, technology, owner, bus, line in zip(*about, strict=True)
    ]  # fmt: skip


def _of_candidates(compared: xr.Dataset, name: str) -> Any:
    return _list(compared[name].transpose("case", "stage", "candidate").to_numpy())


def _network(network: xr.Dataset | None) -> dict[str, Any] | None:
    if network is None:
        return None
    x, y = (network[k].to_numpy().astype(float) for k in ("x", "y"))
    devices = _devices(network)
    across = [*x.tolist(), *(one["x"] for one in devices)]
    up = [*y.tolist(), *(one["y"] for one in devices)]
    return {
        "bus": network["bus"].to_numpy().tolist(),
        "x": _list(x),
        "y": _list(y),
        "left": min(across),
        "right": max(across),
        "bottom": min(up),
        "top": max(up),
        "sops": devices,
        "sop_colour": SOP_COLOUR,
        "line": network["line"].to_numpy().tolist(),
        "from": network["from_bus"].to_numpy().tolist(),
        "to": network["to_bus"].to_numpy().tolist(),
        "closed": network["closed"].to_numpy().astype(int).tolist(),
    }


def _devices(network: xr.Dataset) -> list[dict[str, Any]]:
    """Return the soft open points that stand already: name, buses, where their ways meet."""
    if "terminal_bus" not in network:  # stored by an earlier version
        return []
    rows = zip(*(network[k].to_numpy().tolist() for k in ("bus", "x", "y")), strict=True)
    at = {int(bus): (x, y) for bus, x, y in rows if math.isfinite(x) and math.isfinite(y)}
    closed = network.sel(line=network["closed"].to_numpy() > 0)
    ends = zip(closed["from_bus"].to_numpy(), closed["to_bus"].to_numpy(), strict=True)
    ways = [(*at[int(a)], *at[int(b)]) for a, b in ends if int(a) in at and int(b) in at]
    drawn, found = along(np.array(ways, dtype=float).reshape(-1, 4)), []
    for row, name in zip(network["sop"].to_numpy(), network["sop_name"].to_numpy(), strict=True):
        own = network["terminal_bus"].to_numpy()[network["terminal_sop"].to_numpy() == row]
        buses = [int(bus) for bus in own]
        if not buses or any(bus not in at for bus in buses):
            continue
        spots = np.array([at[bus] for bus in buses], dtype=float)
        x, y = hub(spots, np.array(list(at.values()), dtype=float), drawn)
        title = str(name) or f"soft open point {row}"
        found.append({"name": title, "buses": buses, "x": float(x), "y": float(y)})
    return found


def _bus_vm(compared: xr.Dataset, network: xr.Dataset | None) -> Any:
    """Return the lowest voltage of every bus (case, stage, bus) in whole `VOLTAGE_STEP`."""
    if network is None or "bus_vm_min_pu" not in compared:
        return None
    known = compared["bus_vm_min_pu"].reindex(bus=network["bus"].to_numpy())
    return _list((known.transpose("case", "stage", "bus").to_numpy() / VOLTAGE_STEP).round())


def _list(values: Any) -> Any:
    """Return an array as lists that JSON knows, numbers of seven digits, None for NaN.

    Whole numbers lose their ``.0``: it would be a third of the page.
    """
    if isinstance(values, np.ndarray):
        return [_list(one) for one in values]
    number = float(values)
    if not math.isfinite(number):
        return None
    short = float(f"{number:.7g}")
    return int(short) if short.is_integer() else short
