"""The sections of the report, each from a study's tree to HTML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from flows import report_figures as figures
from flows.key_figures import (
    COUNTED,
    ITEM_NAMES,
    NONE,
    KeyFigures,
    day_title,
    digits,
    eens_computed,
    money,
    owner_names,
    span_text,
    trade_per_year,
    whole,
)
from flows.limits import limits_sentence
from flows.report_page import card, figure, paragraph, section, table
from pp_p2p.names import BUS, CANDIDATE, DAY, LINE
from pp_p2p.plotting import (
    TECHNOLOGY_SYMBOLS,
    network_figure,
)


def cards(tree: xr.DataTree, key: KeyFigures) -> str:
    """Return the key figures."""
    plan, trade = (tree[stage].attrs for stage in ("plan", "trade"))
    saved = key.cost_nothing - key.cost_plan
    more = "less" if saved >= 0 else "more"
    share = (
        f" ({digits(abs(saved) / abs(key.cost_nothing) * 100, 2)}\u00a0%)"
        if key.cost_nothing
        else ""
    )
    gain = float(trade_per_year(tree)["gain_eur"])

    def both(name: str) -> str:
        return f"plan {digits(plan.get(name), 2)}, trade {digits(trade.get(name), 2)}"

    def worst(name: str) -> str:
        values = [float(a[name]) for a in (plan, trade) if name in a]
        return digits(max(values), 2) if values else NONE

    return (
        '<div class="cards">'
        + card(
            "Annual cost",
            money(key.cost_plan),
            f"instead of {money(key.cost_nothing)}: {money(abs(saved))} {more}{share}",
        )
        + card("Investment", money(key.capex), f"{key.n_built} of {_n_candidates(tree)} candidates")
        + card(
            "Energy not served (EENS)",
            f"{digits(key.eens_plan, 2)} MWh/a" if key.eens_computed else NONE,
            f"doing nothing: {digits(key.eens_nothing, 2)} MWh/a"
            if key.eens_computed
            else "not computed: no failure rates are given",
        )
        + card("Gain of trading", money(gain), f"in {span_text(tree)}, all participants")
        + _gap_card(plan)
        + card("Relaxation gap", f"{worst('relaxation_gap')} p.u.", both("relaxation_gap"))
        + card("AC voltage error", f"{worst('ac_vm_error_pu')} p.u.", both("ac_vm_error_pu"))
        + card(
            "AC loss error", f"{worst('ac_loss_error_percent')} %", both("ac_loss_error_percent")
        )
        + "</div>"
    )


def _gap_card(attrs: Mapping[Any, Any]) -> str:
    """Return how far the plan may be from the best one, as far as that is proven."""
    gap, ended = attrs.get("gap"), attrs.get("termination") or "a limit"
    limit = "" if attrs.get("status") == "optimal" else f"; the search ended on {ended}"
    if gap is None or not np.isfinite(float(gap)):
        words = f"no bound is proven: a cheaper plan of any size may exist{limit}"
        return card("Gap of the plan", "not known", words)
    name = "Gap of the plan, more than asked for" if limit else "Certified gap of the plan"
    words = f"no plan of this {_model_name(attrs)} model, on these typical days, is cheaper by more"
    return card(name, f"{digits(100 * float(gap), 2)} %", words + limit)


def map_section(tree: xr.DataTree) -> str:
    """Return the map and the table of investments."""
    network, plan = tree["network"].to_dataset(), tree["plan"].to_dataset()
    names, rows = owner_names(tree), []
    for k in range(plan.sizes[CANDIDATE]):
        one = plan.isel({CANDIDATE: k})
        if float(one["units"]) == 0:
            continue
        technology, line = str(one["technology_built"].item()), int(one["candidate_line"])
        where = f"line {line}" if line >= 0 else f"bus {int(one['candidate_bus'])}"
        rows.append(
            (
                one["candidate_name"].item(),
                COUNTED[technology][0]
                if technology in COUNTED
                else TECHNOLOGY_SYMBOLS.get(technology, (technology,))[0],
                where,
                names.get(int(one["candidate_owner"]), NONE),
                f"{float(one['units']):.3g} of {int(one['max_units'])}",
                _size(one["built_p_mw"]),
                _size(one["built_e_mwh"]),
                whole(one["capex_eur"]),
                whole(one["annuity_eur_per_year"]),
            )
        )
    head = ("Investment", "Technology", "At", "Owner", "Units", "MW", "MWh", "Capex, EUR")
    sums = [whole(plan[k].sum()) for k in ("capex_eur", "annuity_eur_per_year")]
    total = ("Total", "", "", "", "", "", "", *sums)
    alt = (
        f"Map of {network.sizes[BUS]} buses and {network.sizes[LINE]} lines with "
        f"{len(rows)} investments; the table below lists them."
    )
    caption = (
        "Colour: owner. Symbol: technology of what is built. Hover over a bus, a line or a symbol "
        "for its numbers. Bus and line numbers are pandapower indices."
    )
    picture = figure(network_figure(network, plan), "map", alt, caption, tools=True)
    if not rows:
        return section("network", "Network", picture, paragraph("Nothing is built."))
    listed = table("What is built", (*head, "Annuity, EUR/a"), [*rows, total], n_text=4, sums=1)
    return section("network", "Network and investments", picture, listed)


def days_section(tree: xr.DataTree) -> str:
    """Return one picture per typical day."""
    days = tree["days"].to_dataset()
    n = int(days.attrs.get("n_days_total", 0)) or digits(float(days["weight"].sum()))
    intro = (
        f"{days.sizes[DAY]} days stand for {n}: each title tells the day of the data that was "
        "chosen and how many days it stands for. Load is that of the whole network, PV and wind "
        "are what existing plants could feed in. All pictures have the same scales."
    )
    pictures = [
        f"<div><h3>{figures_title}</h3>"
        + figure(
            figures.day_figure(days, k),
            f"day-{k}",
            f"Load, available PV and wind, and prices over the hours of {figures_title}.",
        )
        + "</div>"
        for k in range(days.sizes[DAY])
        for figures_title in [day_title(tree, k)]
    ]
    method = str(days.attrs.get("method", ""))
    return section(
        "days",
        "Typical days",
        paragraph(intro),
        f'<div class="days">{"".join(pictures)}</div>',
        paragraph(f"Chosen by: {method}.", "note") if method else "",
    )


def _model_name(attrs: Mapping[Any, Any]) -> str:
    return "linear" if attrs.get("formulation") == "lindistflow" else "cone"


def costs_section(tree: xr.DataTree) -> str:
    """Return the costs of the plan against doing nothing."""
    plan = tree["plan"].to_dataset()
    cost = plan["cost_eur_per_year"].transpose("case", "item")
    nothing, planned = (cost.sel(case=case).to_numpy() for case in ("nothing", "plan"))
    names = [ITEM_NAMES.get(str(k), str(k)) for k in cost["item"].to_numpy()]
    known = [k != "lost_load" or eens_computed(plan) for k in cost["item"].to_numpy()]
    rows: list[tuple[str, ...]] = [
        (name, *(whole(v) for v in (a, b, b - a))) if there else (name, "not computed", NONE, NONE)
        for name, a, b, there in zip(names, nothing, planned, known, strict=True)
    ]
    totals = (nothing.sum(), planned.sum(), planned.sum() - nothing.sum())
    rows.append(("Total", *(whole(v) for v in totals)))
    alt = "Annual cost by item, plan and doing nothing, as stacked bars; the table has the numbers."
    return section(
        "costs",
        "Costs against doing nothing",
        figure(figures.cost_figure(plan), "costs", alt),
        paragraph(
            "Doing nothing is what the year would cost as the network stands; it is not held to "
            f"voltage and current limits. {limits_sentence(tree)} The plan settles the whole "
            "feeder at its supply point, while in trading every participant and the operator has "
            "a meter of its own: the operating costs of the two differ by that.",
            "note",
        ),
        table("Annual cost, EUR/a", ("Item", "Doing nothing", "Plan", "Difference"), rows, sums=1),
    )


def _size(value: Any) -> str:
    return digits(float(value)) if float(value) > 0 else NONE


def _n_candidates(tree: xr.DataTree) -> int:
    return int(tree["plan"].sizes[CANDIDATE])
