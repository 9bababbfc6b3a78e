"""The report of a study over several years."""

from __future__ import annotations

import xarray as xr

from flows import report_sections as sections
from flows.key_figures import ITEM_NAMES, confirmed, digits, money, whole
from flows.report_certificates import certificate_section, verdict
from flows.report_page import card, figure, page, paragraph, section, table, text
from flows.summary import STAGE_ROWS
from pp_p2p.names import CANDIDATE, PARTICIPANT

READING = (
    "Exact, as far as confirmed above: the load flow of every typical hour of each stage, and the "
    "choice of what to build when, up to the certified gap (with rolling foresight each stage has "
    "a gap of its own). Heuristic: a few typical days stand for a year, a year of a stage for all "
    "its years. Prices are real; units that outlive the horizon count as the study file says."
)


def years_html(tree: xr.DataTree) -> str:
    """Return the report of a study over several years as one self-contained HTML page."""
    name = " - ".join(filter(None, [str(tree.attrs.get("study")), str(tree.attrs.get("case", ""))]))
    title = f"Planning study {name}"
    of = tree["indicators"].to_dataset()
    parts = (
        f"<header>\n<h1>{text(title)}</h1>",
        paragraph(_sentence(of), "lead"),
        verdict(tree, confirmed(tree)),
        _cards(of),
        "</header>",
        _map_section(tree),
        _cash_section(tree),
        _stages_section(tree, of),
        _gains_section(tree, of),
        sections.days_section(tree),
        certificate_section(tree),
        section("reading", "How to read this", paragraph(READING)),
    )
    return page(title, parts)


def _years(tree: xr.DataTree, of: xr.Dataset) -> list[str]:
    """Return the calendar years of each stage."""
    first = int(tree.attrs.get("first_year", 1)) - 1
    begins, lengths = of["stage_first_year"].to_numpy(), of["stage_years"].to_numpy()
    spans = [
        (first + int(a), first + int(a) + int(n) - 1) for a, n in zip(begins, lengths, strict=True)
    ]
    return [f"{a}-{b}" if b > a else str(a) for a, b in spans]


def _sentence(of: xr.Dataset) -> str:
    n, capex = int(of["stage_years"].sum()), float(of["capex_eur"].sum())
    return (
        f"{n} years in {of.sizes['stage']} stages cost {money(float(of['npc_eur']))} of net "
        f"present value, {money(float(of['eac_eur_per_year']))} a year; {money(capex)} is "
        "invested."
    )


def _cards(of: xr.Dataset) -> str:
    eens = of["eens_mwh_per_year"].to_numpy()
    capex = of["capex_eur"].sum(CANDIDATE).to_numpy()
    more = ", ".join(money(float(v)) for v in capex)
    cards = [
        card(
            "Net present cost", money(float(of["npc_eur"])), f"{int(of['stage_years'].sum())} years"
        ),
        card("Equivalent annual cost", f"{money(float(of['eac_eur_per_year']))}/a"),
        card("Invested", money(float(capex.sum())), f"by stage: {more}"),
        card(
            "Energy not served (EENS)",
            f"{digits(float(eens[-1]), 2)} MWh/a" if of.attrs.get("eens_computed", 1) else "–",
            f"last stage; first: {digits(float(eens[0]), 2)} MWh/a",
        ),
        card("Gap of the plan", f"{digits(100 * float(of['plan_gap']), 2)} %"),
    ]
    if "gain_eur_per_year" in of:
        gain = of["gain_eur_per_year"].to_numpy()
        cards.append(
            card(
                "Gain of trading",
                f"{money(float(gain[-1]))}/a",
                f"last stage; first: {money(float(gain[0]))}/a",
            )
        )
    return f'<div class="cards">{"".join(cards)}</div>'


def _map_section(tree: xr.DataTree) -> str:
    from planning import plan_at
    from pp_p2p.plotting import network_figure

    plan = tree["plan"].to_dataset()
    last = plan_at(plan, int(plan["stage"][-1]))
    picture = figure(
        network_figure(tree["network"].to_dataset(), last),
        "map",
        "Map of the network with what stands at the end; the table below tells when it is built.",
        "Colour: owner. Symbol: technology, with the stage in which the first unit is built.",
        tools=True,
    )
    stages = plan["stage"].to_numpy().tolist()
    built = plan["units_built"].transpose(CANDIDATE, "stage").to_numpy()
    rows = [
        (name, *(f"{n:.3g}" if n else "–" for n in units))
        for name, units in zip(plan["candidate_name"].to_numpy().tolist(), built, strict=True)
        if units.any()
    ]
    if not rows:
        return section("network", "Network", picture, paragraph("Nothing is built."))
    head = ("Investment", *(f"Stage {s}" for s in stages))
    return section("network", "Network and investments", picture, table("Units built", head, rows))


def _cash_section(tree: xr.DataTree) -> str:
    from planning import cash_flow_figure

    plan = tree["plan"].to_dataset()
    names = {**ITEM_NAMES, "investment": "Investment"}  # paid at once here, no annuity
    cash, worth = plan["cash_flow_eur"], plan["present_value_eur"]
    items = [k for k in cash["item"].to_numpy().tolist() if float(abs(cash.sel(item=k)).sum()) > 0]
    first = int(tree.attrs.get("first_year", 1)) - 1
    rows = [
        (
            str(first + int(year)),
            *(whole(cash.sel(year=year, item=k)) for k in items),
            whole(cash.sel(year=year).sum()),
            whole(worth.sel(year=year).sum()),
        )
        for year in cash["year"].to_numpy()
    ]
    total = ("All years", *(whole(cash.sel(item=k).sum()) for k in items),
             whole(cash.sum()), whole(worth.sum()))  # fmt: skip
    head = (
        "Year",
        *(names.get(k, k.replace("_", " ")) for k in items),
        "Sum",
        "Present value",
    )
    alt = "What is paid in each year, by item, as stacked bars; the table has the numbers."
    return section(
        "cash",
        "Cash flow",
        figure(cash_flow_figure(plan), "cash", alt),
        table("Paid in each year, EUR", head, [*rows, total], sums=1),
    )


def _stages_section(tree: xr.DataTree, of: xr.Dataset) -> str:
    rows = [
        (words, *(digits(float(v), 4) for v in of[name]))
        for name, words in STAGE_ROWS.items()
        if name in of
    ]
    head = ("", *_years(tree, of))
    return section("stages", "Stages", table("A year of each stage", head, rows))


def _gains_section(tree: xr.DataTree, of: xr.Dataset) -> str:
    if "saving_eur_per_year" not in of:
        return ""
    saving = of["saving_eur_per_year"].transpose(PARTICIPANT, "stage")
    rows = [
        (name, *(whole(v) for v in values))
        for name, values in zip(
            saving[PARTICIPANT].to_numpy().tolist(), saving.to_numpy(), strict=True
        )
    ]
    if of["operator_saving_eur_per_year"].notnull().any():  # there is one at the table
        rows.append(("operator", *(whole(v) for v in of["operator_saving_eur_per_year"])))
    head = ("Participant", *_years(tree, of))
    caption = "What trading saves each of them in a year, EUR"
    return section("gains", "Gains of trading", table(caption, head, rows))
