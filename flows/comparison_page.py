"""The page that compares cases: one HTML file that needs neither network nor server.

Its pictures are drawn by the page's own small script, so that a page of a hundred cases is light
and opens at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import xarray as xr

from flows.comparison import summary_table
from flows.comparison_data import as_json, page_data
from flows.key_figures import digits, money
from flows.report_page import page, paragraph, section, table, text

SAME_COST: Final = 1e-9
"""Costs that differ by less than this share are the same."""

SCRIPTS: Final = ("comparison_svg.js", "comparison_pictures.js", "comparison.js")
"""One after the other: each uses what those before it define."""

STYLE: Final = """
.controls { position: sticky; top: 0; z-index: 5; background: white; display: flex;
  flex-wrap: wrap; gap: 8px 16px; padding: 10px 12px; border: 1px solid #E4E7EB;
  border-radius: 8px; margin: 12px 0; align-items: end; }
.controls label, .choose label { display: flex; flex-direction: column; font-size: 0.8rem;
  color: #3E4C59; min-width: 0; }
.controls label[hidden], .choose label[hidden] { display: none; }
.controls label.tick, .choose label.tick { flex-direction: row; gap: 6px; align-items: center; }
.controls input[type=search], .controls select, .choose select { font: inherit; padding: 4px 6px;
  max-width: min(20rem, 78vw); }
:focus-visible { outline: 2px solid #0072B2; outline-offset: 1px; }
.choose { display: flex; flex-wrap: wrap; gap: 8px 16px; }
nav a { margin-right: 14px; color: #005A8C; white-space: nowrap; }
button { font: inherit; }
.save { font-size: 0.8rem; background: none; border: 1px solid #CBD2D9; border-radius: 4px;
  padding: 1px 8px; cursor: pointer; color: #3E4C59; }
#cases button { font-weight: 600; background: none; border: 0; padding: 0;
  cursor: pointer; text-align: inherit; }
#cases .less { display: block; font-size: 0.75rem; color: #52606D; }
#cases .good { color: #00664A; } #cases .bad { color: #A33B00; }
#cases tr.base th, #cases tr.base td { background: #E8F1F8; }
#cases tr.off { opacity: 0.55; } #cases tr.detail th { box-shadow: inset 3px 0 #0072B2;
  padding-left: 8px; }
#cases table { font-size: 0.85rem; } #cases th, #cases td { padding-right: 9px; }
#cases table th.long { min-width: 8rem; overflow-wrap: break-word; }
#cases thead th { white-space: normal; }
#cases { max-height: 75vh; overflow: auto; }
#cases thead th { position: sticky; top: 0; background: white; }
#cases tbody th { position: static; }
.cards { grid-template-columns: repeat(auto-fit, minmax(min(185px, 46%), 1fr)); }
.cards:empty { display: none; } dl.card { margin: 0; }
.plot svg { display: block; max-width: 100%; height: auto; } svg [data-case] { cursor: pointer; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 6px 0;
  padding: 0; font-size: 0.85rem; } .legend svg { vertical-align: -2px; margin-right: 5px; }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: 12px 28px; }
.two.single { grid-template-columns: 1fr; } .two > * { min-width: 0; }
.several { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(320px, 100%), 1fr));
  gap: 10px 24px; } .several > * { min-width: 0; }
figcaption { display: flex; justify-content: space-between; gap: 8px; align-items: center;
  color: #1F2933; max-width: none; }
figcaption .unit { color: #52606D; }
#tip { position: fixed; z-index: 9; background: #1F2933; color: white; padding: 5px 9px;
  border-radius: 4px; font-size: 0.8rem; white-space: pre-line; pointer-events: none;
  max-width: min(340px, 90vw); overflow-wrap: anywhere; }
@media (max-width: 600px) { .controls { position: static; } .two { grid-template-columns: 1fr; }
  .controls label { width: 100%; } .controls input[type=search], .controls select
  { max-width: none; width: 100%; } .controls label.tick { width: auto; } }
@page { size: A4 landscape; margin: 12mm; }
@media print { .controls, nav, .save, .choose, #csv, #cases td:first-child,
  #cases thead th:first-child { display: none; }
  #cases { max-height: none; overflow: visible; } #cases thead th { position: static; }
  .controls + * { margin-top: 0; } figure, .two > * { break-inside: avoid; }
  #detail-cases, #years { break-before: page; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""


def comparison_html(
    compared: xr.Dataset,
    network: xr.Dataset | None = None,
    *,
    base: str | None = None,
    states: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Return the page.

    Parameters
    ----------
    compared : Dataset
        What `planning.compare` returns.
    network : Dataset, optional
        Group ``network`` of the cases: the map is drawn on it.
    base : str, optional
        Case that the others are compared with at first; the first one.
    states : sequence of mapping
        ``case``, ``state``, ``message`` of every case; those that are not done are told.
    """
    names = compared["case"].to_numpy().astype(str).tolist()
    content = page_data(compared, network, base)
    failed = [one for one in states if one["state"] != "done"]
    title = f"Comparison of {len(names)} case{'s' if len(names) != 1 else ''}"
    numbers = summary_table(compared)
    sections = _sections(compared, content, _still(names, content))
    links = " ".join(f'<a href="#{key}">{text(words)}</a>' for key, words, _ in sections)
    scripts = "".join(
        Path(__file__).with_name(name).read_text(encoding="utf-8") for name in SCRIPTS
    )
    parts = (
        f"<style>{STYLE}</style>\n<header>\n<h1>{text(title)}</h1>",
        paragraph(_lead(numbers), "lead"),
        _failed(failed),
        f'<nav aria-label="Parts of the page">{links}</nav>\n</header>',
        CONTROLS,
        '<div id="cards" class="cards" aria-label="Best cases" role="group"></div>',
        *(section(*one) for one in sections),
        '<div id="tip" role="tooltip" hidden></div>',
        f'<script type="application/json" id="data">{as_json(content)}</script>',
        f"<script>(function () {{\n'use strict';\n{scripts}}})();</script>",
    )
    return page(title, parts, plotly=False)


def _still(names: Sequence[str], content: Mapping[str, Any]) -> str:
    """Return the table for a browser without scripts; the script draws a better one."""
    metrics = content["metrics"]
    head = [f"{m['label']}, {m['unit']}" if m["unit"] else m["label"] for m in metrics]
    rows = [
        (name, *(digits(m["values"][k] and m["values"][k] * m["scale"], 4) for m in metrics))
        for k, name in enumerate(names)
    ]
    return table("Cases", ("Case", *head), rows)


def _sections(
    compared: xr.Dataset, content: Mapping[str, Any], still: str
) -> list[tuple[str, str, str]]:
    """Return key, title and content of the parts of the page."""
    map_there = content["network"] is not None
    found = [
        ("table", "Cases side by side", f'<div id="cases" class="scroll" tabindex="0" '
         f'role="region" aria-label="Cases and their numbers">{still}</div>'
         '<p><button type="button" class="save" id="csv">Save the shown cases as CSV</button></p>'),
        ("cost", "Cost and its parts", paragraph(_cost_note(compared), "note") + LESS
         + _picture("costs", "Cost of each case by item; the mark is the sum",
                    "Cost of each case by item, as stacked bars.")),
        ("detail-cases", "Two cases in detail",
         CHOOSE_CASE.format(colour=CHOOSE_COLOUR if map_there else "")
         + ("" if map_there else paragraph(NO_MAP, "note")) + _two(map_there=map_there)),
        ("years", "Reliability, losses, voltages, emissions",
         paragraph("One picture a number; the base is "
                   f"{'dashed' if compared.sizes['stage'] > 1 else 'the dark point'}.", "note")
         + '<div id="stages-legend"></div><div class="several">'
         + "".join(_small(n, one) for n, one in enumerate(content["stage_metrics"])) + "</div>"),
    ]  # fmt: skip
    if content["participants"]:
        alt = "Saving of each participant and the operator by case, as stacked bars."
        gains = _picture("gains", "Gain of trading by participant, in a year", alt)
        found.append(("gain", "What each participant gains by trading", gains))
    best = CHOOSE_PARETO + _picture(
        "pareto", "Two numbers of each case", "Two numbers of each case as points; those that no "
        "other case beats in both are joined."
    ) + '<p id="best" class="note" aria-live="polite"></p>'  # fmt: skip
    return [*found, ("compromise", "Which cases are not beaten", best)]


def _lead(numbers: Any) -> str:
    cost = numbers.get("eac_eur_per_year")
    if cost is None or cost.notna().sum() < 2:
        return "What the cases cost, build and come to."
    if cost.max() - cost.min() <= SAME_COST * abs(cost.max()):
        which = "All cases" if cost.notna().all() else "All cases with a cost"
        return f"{which} cost the same: {money(cost.min())} a year."
    best, worst = cost.idxmin(), cost.idxmax()
    return (
        f"The cheapest case is {best!r} with {money(cost.min())} a year, the dearest {worst!r} "
        f"with {money(cost.max())} a year."
    )


def _cost_note(compared: xr.Dataset) -> str:
    if bool(compared["several_years"].all()):
        return "Present value of all years of the horizon, by item. Below zero: income."
    if bool(compared["several_years"].any()):
        return (
            "Cases of one year show their annual cost, cases of several years the present value of "
            "all: compare these by the annual cost in the table."
        )
    return "Annual cost by item; investments as annuities. Below zero: income."


def _failed(failed: Sequence[Mapping[str, Any]]) -> str:
    if not failed:
        return ""
    rows = [(one["case"], one["state"], one["message"]) for one in failed]
    words = f"{len(failed)} case{'s have' if len(failed) > 1 else ' has'} no result."
    listed = table("Cases without a result", ("Case", "State", "Why"), rows, n_text=3)
    return f'<p class="verdict bad"><strong>{text(words)}</strong></p>{listed}'


def _picture(key: str, title: str, alt: str, *, legend: bool = True, unit: str = "") -> str:
    """Return the place of a picture, with a button that saves it."""
    after = f' <span class="unit">{text(unit)}</span>' if unit else ""
    return (
        f"<figure><figcaption><strong>{text(title)}{after}</strong>"
        f'<button type="button" class="save" data-save="{key}" data-title="{text(title)}" '
        f'aria-label="Save as PNG: {text(title)}">PNG</button></figcaption>'
        + (f'<div id="{key}-legend"></div>' if legend else "")
        + f'<div class="plot" id="{key}" role="img" aria-label="{text(alt)}"></div></figure>'
    )


def _two(*, map_there: bool) -> str:
    """Return the places of the base and the chosen case, side by side."""
    columns = []
    for of, name in (("first", "the base"), ("second", "the chosen case")):
        maps = _picture(
            f"{of}-map", "What stands, on the map",
            f"Map of the network with what stands in the chosen years in {name}; the table below "
            "has the same in words.", legend=False,
        ) if map_there else ""  # fmt: skip
        years = _picture(
            f"{of}-years", "Cost and its parts by year",
            f"What {name} costs in each year, as stacked bars.", legend=False,
        )  # fmt: skip
        columns.append(f'<div id="{of}"><h3 id="{of}-name"></h3>{maps}{years}</div>')
    legends = ('<div id="map-legend"></div>' if map_there else "") + '<div id="years-legend"></div>'
    return (
        f'{legends}<div class="two" id="pair">{"".join(columns)}</div><div id="built" '
        'class="scroll" tabindex="0" role="region" aria-label="What is bought when"></div>'
    )


def _small(n: int, metric: Mapping[str, Any]) -> str:
    unit = ", ".join(filter(None, (metric["unit"], metric["of"])))
    alt = f"{metric['label']} of each case over the stages, as lines."
    return _picture(f"stage-{n}", metric["label"], alt, legend=False, unit=unit)


NO_MAP: Final = "There is no map: the cases have different networks, or none is stored."
CONTROLS: Final = """<form class="controls" aria-label="What is shown" onsubmit="return false">
<label>Filter cases <input type="search" id="filter" placeholder="words of their names"></label>
<label>Base <select id="base"></select></label>
<label>Years <select id="stage"></select></label>
<label class="tick"><input type="checkbox" id="percent"> differences in percent</label>
<label class="tick"><input type="checkbox" id="differ"> only numbers that differ</label>
<span id="count" role="status" aria-live="polite"></span>
</form>"""
CHOOSE_CASE: Final = """<p class="choose">
<label>Case beside the base <select id="detail"></select></label>{colour}
<label>Money of each year <select id="money"><option value="cash">as it is paid</option>
<option value="worth">its present value</option></select></label></p>"""
CHOOSE_COLOUR: Final = """
<label>Colours of the map <select id="map-colour"><option value="years">years of purchase</option>
<option value="owner">owner</option></select></label>"""
LESS: Final = (
    '<p class="choose"><label class="tick"><input type="checkbox" id="costs-less"> '
    "as difference to the base</label></p>"
)
CHOOSE_PARETO: Final = (
    '<p class="choose"><label>Across <select id="pareto-x"></select></label>'
    '<label>Up <select id="pareto-y"></select></label></p>'
)
