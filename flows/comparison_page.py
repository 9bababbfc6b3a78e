"""The page that compares cases: one HTML file that needs neither network nor server."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from flows.comparison import SUMMARY, summary_table
from flows.key_figures import ITEM_NAMES, digits
from flows.report_page import page, paragraph, section, table, text
from pp_p2p.names import unit_of

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
    "plan_gap": ("Gap of the plan", ""),
}
"""Name of each number, and whether less or more of it is better."""

STYLE: Final = """
.controls { position: sticky; top: 0; z-index: 5; background: white; display: flex;
  flex-wrap: wrap; gap: 8px 16px; padding: 10px 12px; border: 1px solid #E4E7EB;
  border-radius: 8px; margin: 12px 0; align-items: end; }
.controls label, .choose label { display: flex; flex-direction: column; font-size: 0.8rem;
  color: #52606D; min-width: 0; }
.controls label[hidden] { display: none; }
.controls label.tick { flex-direction: row; gap: 6px; align-items: center; }
.controls input[type=search], .controls select, .choose select { font: inherit; padding: 4px 6px;
  max-width: min(20rem, 78vw); }
.controls :focus-visible, .choose :focus-visible, #cases :focus-visible { outline: 2px solid
  #0072B2; outline-offset: 1px; }
.choose { display: flex; flex-wrap: wrap; gap: 8px 16px; }
#cases button { font: inherit; font-weight: 600; background: none; border: 0; padding: 0;
  cursor: pointer; text-align: inherit; }
#cases .less { display: block; font-size: 0.75rem; color: #52606D; }
#cases .good { color: #00664A; } #cases .bad { color: #A33B00; }
#cases tr.base th, #cases tr.base td { background: #F0F6FA; }
#cases table th.long { min-width: 8rem; } #cases thead th { white-space: normal; }
#cases { max-height: 75vh; overflow: auto; }
#cases tbody th, #cases thead th:first-child { position: static; }
@media (max-width: 600px) { .controls { position: static; }
  .controls label { width: 100%; } .controls input[type=search], .controls select
  { max-width: none; width: 100%; } }
"""

FIGURES: Final = (
    ("costs", "Cost and its parts", "Cost of each case by item, as stacked bars."),
    ("stages", "Reliability, losses, voltages, emissions",
     "One number of each case over the stages, as lines."),
    ("gains", "What each participant gains by trading",
     "Saving of each participant and the operator by case, as stacked bars."),
    ("pareto", "What is not beaten",
     "Two numbers of each case as points; those that no other case beats in both are joined."),
)  # fmt: skip


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
        Group ``network`` of the first case: the map is drawn on it.
    base : str, optional
        Case that the others are compared with at first; the first one.
    states : sequence of mapping
        ``case``, ``state``, ``message`` of every case; those that are not done are told.
    """
    names = compared["case"].to_numpy().astype(str).tolist()
    content = _data(compared, network, names.index(base) if base in names else 0)
    failed = [one for one in states if one["state"] != "done"]
    title = f"Comparison of {len(names)} case{'s' if len(names) != 1 else ''}"
    numbers = summary_table(compared)
    still = table(
        "Cases",
        ("Case", *(LABELS[str(k)][0] for k in numbers)),
        [
            (case, *(digits(v, 4) for v in row))
            for case, row in zip(names, numbers.to_numpy(), strict=True)
        ],
    )  # fmt: skip
    parts = (
        f"<style>{STYLE}</style>\n<header>\n<h1>{text(title)}</h1>",
        paragraph(_lead(numbers), "lead"),
        _failed(failed),
        "</header>",
        CONTROLS,
        section("table", "Cases side by side", f'<div id="cases" class="scroll" tabindex="0" '
                f'role="region" aria-label="Cases and their numbers">{still}</div>',
                '<p><button type="button" id="csv">Download the shown cases as CSV</button></p>'),
        _picture(*FIGURES[0], before=paragraph(_cost_note(compared), "note")),
        section("one", "One case in detail", CHOOSE_CASE,
                _plot("map", "Map of the network with what stands in the chosen stage.")
                if network is not None else "", '<p id="built" aria-live="polite"></p>',
                _plot("years", "What the chosen case costs in each year, as stacked bars.")),
        _picture(*FIGURES[1], before=CHOOSE_METRIC),
        *((_picture(*FIGURES[2]),) if content["participants"] else ()),
        _picture(*FIGURES[3], before=CHOOSE_PARETO),
        f'<script type="application/json" id="data">{_json(content)}</script>',
        f"<script>{Path(__file__).with_name('comparison.js').read_text(encoding='utf-8')}</script>",
    )  # fmt: skip
    return page(title, parts)


def _lead(numbers: Any) -> str:
    cost = numbers.get("eac_eur_per_year")
    if cost is None or cost.notna().sum() < 2:
        return "What the cases cost, build and come to."
    best, worst = cost.idxmin(), cost.idxmax()
    return (
        f"The cheapest case is {best!r} with {digits(cost.min() / 1e3, 4)} k EUR a year, the "
        f"dearest {worst!r} with {digits(cost.max() / 1e3, 4)} k EUR a year."
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


def _picture(key: str, title: str, alt: str, *, before: str = "") -> str:
    return section(f"section-{key}", title, before, _plot(key, alt))


def _plot(key: str, alt: str) -> str:
    return (
        f'<figure><div class="plot" role="img" aria-label="{text(alt)}">'
        f'<div id="{key}"></div></div></figure>'
    )


CONTROLS: Final = """<form class="controls" aria-label="What is shown" onsubmit="return false">
<label>Filter cases <input type="search" id="filter" placeholder="words of their names"></label>
<label>Base <select id="base"></select></label>
<label>Stage <select id="stage"></select></label>
<label class="tick"><input type="checkbox" id="percent"> differences in percent</label>
<span id="count" role="status" aria-live="polite"></span>
</form>"""
CHOOSE_CASE: Final = '<p class="choose"><label>Case <select id="detail"></select></label></p>'
CHOOSE_METRIC: Final = (
    '<p class="choose"><label>Number <select id="stage-metric"></select></label></p>'
)
CHOOSE_PARETO: Final = (
    '<p class="choose"><label>Across <select id="pareto-x"></select></label>'
    '<label>Up <select id="pareto-y"></select></label></p>'
)


def _data(compared: xr.Dataset, network: xr.Dataset | None, base: int) -> dict[str, Any]:
    numbers = summary_table(compared)
    metrics = [
        {
            "key": k,
            "label": LABELS[k][0],
            "unit": _unit(k),
            "better": LABELS[k][1],
            "values": _list(numbers[k].to_numpy()),
        }
        for k in map(str, numbers)
    ]
    keys = [one["key"] for one in metrics]
    across = "eens_mwh_per_year" if "eens_mwh_per_year" in keys else keys[-1]
    return {
        "cases": compared["case"].to_numpy().astype(str).tolist(),
        "base": base,
        "metrics": metrics,
        "pareto": [keys.index(across), keys.index("eac_eur_per_year")],
        "stages": compared["stage"].to_numpy().tolist(),
        "years": compared["year"].to_numpy().tolist(),
        "first_year": compared["first_year"].to_numpy().tolist(),
        "cost_unit": "EUR" if bool(compared["several_years"].any()) else "EUR/a",
        "items": _items(compared),
        "stage_metrics": _stage_metrics(compared),
        "participants": _participants(compared),
        "candidates": _candidates(compared),
        "owners": sorted(set(compared["candidate_owner"].to_numpy().astype(str).tolist())),
        "units": _list(_by(compared, "units_installed", "candidate")),
        "network": _network(network),
        "bus_vm": _bus_vm(compared, network),
    }


def _items(compared: xr.Dataset) -> list[dict[str, Any]]:
    worth = compared["present_value_eur"].transpose("case", "year", "item")
    cash = compared["cash_flow_eur"].transpose("case", "year", "item")
    several = bool(compared["several_years"].any())
    names = {**ITEM_NAMES, "investment": "Investment"} if several else ITEM_NAMES
    return [
        {
            "label": names.get(str(item), str(item).replace("_", " ").capitalize()),
            "total": _list(worth.sel(item=item).sum("year").to_numpy()),
            "by_year": _list(cash.sel(item=item).to_numpy()),
        }
        for item in worth["item"].to_numpy()
    ]


def _stage_metrics(compared: xr.Dataset) -> list[dict[str, Any]]:
    names = [k for k in SUMMARY if k in compared and compared[k].dims == ("case", "stage")]
    return [
        {
            "label": LABELS[k][0],
            "unit": _unit(k),
            "values": _list(compared[k].to_numpy()),
        }
        for k in names
    ]  # fmt: skip


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
    return [
        {
            "name": str(name),
            "technology": str(compared["technology"].to_numpy()[k]),
            "owner": str(compared["candidate_owner"].to_numpy()[k]),
            "bus": int(compared["candidate_bus"].to_numpy()[k]),
            "line": int(compared["candidate_line"].to_numpy()[k]),
        }
        for k, name in enumerate(compared["candidate"].to_numpy())
    ]


def _network(network: xr.Dataset | None) -> dict[str, Any] | None:
    if network is None:
        return None
    x, y = (network[k].to_numpy().astype(float) for k in ("x", "y"))
    span = float(max(np.ptp(x), np.ptp(y), 1e-9))
    half = max(float(np.ptp(y)) / 2 + 0.06 * span, 0.15 * span)
    middle = float(y.max() + y.min()) / 2
    return {
        "bus": network["bus"].to_numpy().tolist(),
        "x": _list(x),
        "y": _list(y),
        "line": network["line"].to_numpy().tolist(),
        "from": network["from_bus"].to_numpy().tolist(),
        "to": network["to_bus"].to_numpy().tolist(),
        "closed": network["closed"].to_numpy().astype(int).tolist(),
        "step": 0.02 * span,
        "range": [middle - half, middle + half],
    }


def _bus_vm(compared: xr.Dataset, network: xr.Dataset | None) -> Any:
    if network is None or "bus_vm_min_pu" not in compared:
        return None
    known = compared["bus_vm_min_pu"].reindex(bus=network["bus"].to_numpy())
    return _list(known.transpose("case", "stage", "bus").to_numpy().round(5))


def _by(compared: xr.Dataset, name: str, last: str) -> Any:
    return compared[name].transpose("case", "stage", last).to_numpy()


def _unit(name: str) -> str:
    unit = unit_of(name)
    return "" if unit in ("1", "") else unit


def _list(values: Any) -> Any:
    """Return an array as lists that JSON knows, numbers of seven digits, None for NaN."""
    if isinstance(values, np.ndarray):
        return [_list(one) for one in values]
    number = float(values)
    return float(f"{number:.7g}") if math.isfinite(number) else None


def _json(content: Mapping[str, Any]) -> str:
    """Return JSON that cannot end the script it stands in."""
    return json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
