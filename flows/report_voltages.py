"""The report's section on voltages and loading, for the plan and for doing nothing."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import xarray as xr

from flows.key_figures import NONE, digits
from flows.limits import limits_sentence, loading_limit, loading_of
from flows.report_page import figure, paragraph, section, table
from pp_p2p.names import BUS, DAY, LINE, TRAFO
from pp_p2p.plotting import loading_figure, voltage_figure

UNRATED_PERCENT: Final = 1.0
"""Lines that are never loaded more than this have a rating that only stands for 'none'."""

MOST_TRAFOS: Final = 12
"""So many transformers are listed."""


def voltage_section(tree: xr.DataTree) -> str:
    """Return voltages of both cases and the loading of lines."""
    plan, network = tree["plan"].to_dataset(), tree["network"].to_dataset()
    cases = [("plan", plan["vm_pu"])]
    if "vm_nothing_pu" in plan:
        cases.insert(0, ("doing nothing", plan["vm_nothing_pu"]))
    rows: list[tuple[str, ...]]
    rows = [(name, *_extreme(tree, vm, "min"), *_extreme(tree, vm, "max")) for name, vm in cases]
    low, high = (network[k].to_numpy() for k in ("vm_min_pu", "vm_max_pu"))
    limits = (
        f"Limits: {_range_text(low)} to {_range_text(high)} p.u." if np.isfinite(low).any() else ""
    )
    head = ("Case", "Lowest, p.u.", "at", "Highest, p.u.", "at")
    parts = [
        figure(
            voltage_figure(plan, network),
            "voltage",
            "Lowest to highest voltage of each bus over all typical hours, for both cases.",
            f"From the lowest to the highest voltage of each bus over all typical hours. {limits}",
        ),
        table("Extreme voltages of all typical hours", head, rows, n_text=5),
        *_line_loading(plan, network),
        *_trafo_loading(plan, network),
    ]
    return section("voltages", "Voltages and loading", paragraph(limits_sentence(tree)), *parts)


def _line_loading(plan: xr.Dataset, network: xr.Dataset) -> list[str]:
    loading = loading_of(plan, LINE, "plan")
    if loading is None or not float(loading.max()) > UNRATED_PERCENT:
        return [paragraph("The lines have no rating, so no loading is shown.", "note")]
    nothing = loading_of(plan, LINE, "nothing")
    cases = [("With the plan", loading)]
    cases += [] if nothing is None else [("doing nothing", nothing)]
    highest = [(words, values.isel(values.argmax(...))) for words, values in cases]
    caption = "; ".join(
        f"{words}, the highest is {digits(float(one))} % on line {int(one[LINE])}"
        for words, one in highest
    )
    return [
        "<h3>Line loading</h3>",
        figure(
            loading_figure(loading, nothing, loading_limit(network, LINE)),
            "loading",
            "Highest loading of each line over all typical hours, for both cases.",
            f"{caption}.",
        ),
    ]


def _trafo_loading(plan: xr.Dataset, network: xr.Dataset) -> list[str]:
    """Return the highest loading of transformers, the most loaded first."""
    over = [dim for dim in plan["vm_pu"].dims if dim != BUS]
    cases = [loading_of(plan, TRAFO, case) for case in ("nothing", "plan")]
    highest = [None if one is None else one.max(over) for one in cases]
    planned = highest[1]
    if planned is None or not float(planned.max()) > UNRATED_PERCENT:
        return []
    order = planned.sortby(-planned)[TRAFO].to_numpy().tolist()
    limit = loading_limit(network, TRAFO)
    rows = [
        (
            f"transformer {k}",
            *(NONE if one is None else digits(float(one.sel({TRAFO: k}))) for one in highest),
            digits(float(limit.sel({TRAFO: k}))),
        )
        for k in order[:MOST_TRAFOS]
    ]
    left = len(order) - MOST_TRAFOS
    more = [paragraph(f"{left} more are loaded less.", "note")] if left > 0 else []
    caption = "Highest loading of transformers over all typical hours, %"
    return [
        "<h3>Transformer loading</h3>",
        table(caption, ("Transformer", "Doing nothing", "Plan", "Limit"), rows),
        *more,
    ]


def _extreme(tree: xr.DataTree, vm: xr.DataArray, kind: str) -> tuple[str, str]:
    where = vm.argmin(...) if kind == "min" else vm.argmax(...)
    one = vm.isel(where)
    row = tree["days"][DAY].to_numpy().tolist().index(int(one[DAY]))
    date = str(tree["days"]["source_day"].to_numpy()[row]) or f"mean day {row + 1}"
    hour = float(one["hour"])
    clock = f"{int(hour):02d}:{round(60 * (hour % 1)):02d}"
    return f"{float(one):.4f}", f"bus {int(one[BUS])}, {date}, {clock}"


def _range_text(values: Any) -> str:
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return f"{low:.3g}" if low == high else f"{low:.3g}…{high:.3g}"
