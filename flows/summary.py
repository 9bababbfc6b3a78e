"""What a study says, as tables for the terminal."""

from __future__ import annotations

import io
import math
from typing import Any

import xarray as xr
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.key_figures import (
    ITEM_NAMES,
    NO_BOUND,
    KeyFigures,
    confirmed,
    digits,
    first_of,
    owner_names,
    span_text,
    stages,
    trade_per_year,
    whole,
)
from flows.limits import broken_limits
from flows.report_market import market_findings
from pp_p2p.names import CANDIDATE, PARTICIPANT

STAGE_ROWS = {
    "eens_mwh_per_year": "energy not served, MWh/a",
    "loss_mwh_per_year": "losses, MWh/a",
    "vm_min_pu": "lowest voltage, p.u.",
    "line_loading_max_percent": "highest line loading, %",
    "emission_t_per_year": "emissions, t/a",
    "gain_eur_per_year": "gain of trading, EUR/a",
}
"""What is told of each stage, and in which words."""

WIDTH = 80
"""No table is wider than this many columns."""


def summary_tables(tree: xr.DataTree) -> list[Table]:
    """Return plan, costs, trade and certificates of a study.

    Parameters
    ----------
    tree : DataTree
        What `flows.run_study` returns.

    Returns
    -------
    list of rich.table.Table
        Each at most 80 columns wide.
    """
    several = "stage" in tree["plan"].dims
    joint = [_joint] if "joint" in tree.children else []
    one_year = [_built, _costs, *joint, _trade, _certificates]
    tables = [make(tree) for make in ([_years, _stages, _certificates] if several else one_year)]
    endless = Console(width=10 * WIDTH, file=io.StringIO())
    for table in tables:
        table.width = min(WIDTH, endless.measure(table).maximum)
    return tables


def _built(tree: xr.DataTree) -> Table:
    plan, names = tree["plan"].to_dataset(), owner_names(tree)
    table = _table(
        "Plan: what is built", ("investment", "at", "owner"), ("units", "MW", "MWh", "k EUR")
    )
    for k in range(plan.sizes[CANDIDATE]):
        one = plan.isel({CANDIDATE: k})
        if float(one["units"]) == 0:
            continue
        line = int(one["candidate_line"])
        where = f"line {line}" if line >= 0 else f"bus {int(one['candidate_bus'])}"
        sizes = [float(one[name]) for name in ("built_p_mw", "built_e_mwh")]
        _add(
            table,
            one["candidate_name"].item(),
            where,
            names.get(int(one["candidate_owner"]), "-"),
            f"{float(one['units']):.3g}/{int(one['max_units'])}",
            *(digits(size) if size > 0 else "-" for size in sizes),
            whole(float(one["capex_eur"]) / 1e3),
        )
    if not table.row_count:
        _add(table, "nothing", *["-"] * 6)
    return table


def _costs(tree: xr.DataTree) -> Table:
    plan, key = tree["plan"].to_dataset(), KeyFigures.of(tree)
    table = _table("Costs, k EUR/a", ("item",), ("doing nothing", "plan", "difference"))

    def row(name: str, nothing: float, planned: float) -> None:
        values = (nothing, planned, planned - nothing)
        _add(table, name, *(f"{v / 1e3:,.1f}".replace(",", " ") for v in values))

    for item in plan["item"].to_numpy().tolist():
        if item == "lost_load" and not key.eens_computed:
            _add(table, ITEM_NAMES[item], "not computed", "-", "-")
            continue
        cost = plan["cost_eur_per_year"].sel(item=item)
        row(
            ITEM_NAMES.get(item, item),
            float(cost.sel(case="nothing")),
            float(cost.sel(case="plan")),
        )
    table.add_section()
    row("total", key.cost_nothing, key.cost_plan)
    eens = (key.eens_nothing, key.eens_plan, key.eens_plan - key.eens_nothing)
    shown = [f"{v:.2f}" for v in eens] if key.eens_computed else ["not computed", "-", "-"]
    _add(table, "energy not served, MWh/a", *shown)
    return table


def _joint(tree: xr.DataTree) -> Table:
    joint, names = tree["joint"].to_dataset(), owner_names(tree)
    columns = ("cost_alone", "cost", "payment", "saving", "investment_together")
    table = _table(
        "Planning together, k EUR/a",
        ("investor",),
        ("alone", "together", "payment", "saving", "invested k EUR"),
    )
    for who in joint["investor"].to_numpy().tolist():
        one = joint.sel(investor=who)
        values = (one[f"{k}_eur" + "_per_year" * (k != columns[-1])] for k in columns)
        shown = (f"{float(v) / 1e3:,.1f}".replace(",", " ") for v in values)
        _add(table, names.get(who, str(who)), *shown)
    return table


def comparison_table(compared: xr.Dataset) -> Table:
    """Return one row per case with its main numbers.

    Parameters
    ----------
    compared : Dataset
        What `planning.compare` returns.
    """
    from flows.comparison import summary_table

    numbers = summary_table(compared)
    shown = {k: v for k, v in CASE_COLUMNS.items() if k in numbers}
    table = _table("Cases", ("case",), tuple(words for words, _ in shown.values()))
    table.columns[0].no_wrap = max(map(len, map(str, numbers.index))) <= 24
    for column in table.columns[1:]:
        column.no_wrap = False  # narrow terminals: two lines of heads, not a column less
    for case, row in numbers.iterrows():
        _add(table, case, *(digits(row[k] / scale, 4) for k, (_, scale) in shown.items()))
    return table


CASE_COLUMNS = {
    "eac_eur_per_year": ("k EUR/a", 1e3),
    "npc_eur": ("NPC, k EUR", 1e3),
    "capex_eur": ("capex, k EUR", 1e3),
    "eens_mwh_per_year": ("EENS MWh/a", 1.0),
    "gain_eur_per_year": ("gain EUR/a", 1.0),
}
"""What is told of each case, in which words, divided by what."""


def _years(tree: xr.DataTree) -> Table:
    """Return what is built in which stage."""
    plan = tree["plan"].to_dataset()
    stages = plan["stage"].to_numpy().tolist()
    table = _table("Plan: units built", ("investment",), tuple(f"stage {s}" for s in stages))
    built = plan["units_built"].transpose(CANDIDATE, "stage").to_numpy()
    for name, units in zip(plan["candidate_name"].to_numpy(), built, strict=True):
        if units.any():
            _add(table, name, *(f"{n:.3g}" if n else "-" for n in units))
    if not table.row_count:
        _add(table, "nothing", *["-"] * len(stages))
    return table


def _stages(tree: xr.DataTree) -> Table:
    """Return what each stage comes to."""
    of = tree["indicators"].to_dataset()
    npc = whole(float(of["npc_eur"]) / 1e3)
    title = f"Stages (net present cost {npc} k EUR, {whole(of['eac_eur_per_year'] / 1e3)} k EUR/a)"
    table = _table(title, ("",), tuple(f"stage {s}" for s in of["stage"].to_numpy().tolist()))
    first = int(tree.attrs.get("first_year", 1)) - 1
    _add(table, "first year", *(str(first + int(y)) for y in of["stage_first_year"]))
    _add(table, "invested, k EUR", *(whole(v / 1e3) for v in of["capex_eur"].sum(CANDIDATE)))
    for name, words in STAGE_ROWS.items():
        if name in of:
            _add(table, words, *(digits(float(v), 4) for v in of[name]))
    return table


def _trade(tree: xr.DataTree) -> Table:
    year, names = trade_per_year(tree), owner_names(tree)
    columns = ("cost_alone_eur", "cost_eur", "payment_eur", "saving_eur")
    agreed = tree["trade"]["trade_agreed"].to_numpy() > 0
    table = _table(
        f"Trade over {span_text(tree)}, EUR (on {agreed.sum()} of {agreed.size} days)",
        ("participant",),
        ("alone", "with trade", "payment", "saving", "sold MWh", "net MWh"),
    )
    for who in year[PARTICIPANT].to_numpy().tolist():
        one = year.sel({PARTICIPANT: who})
        money = (whole(one[k]) for k in columns)
        energy = (digits(float(one[k])) for k in ("sold_mwh", "net_mwh"))
        _add(table, names.get(who, str(who)), *money, *energy)
    if "operator_cost_eur" in year:
        _add(table, "operator", *(whole(year[f"operator_{k}"]) for k in columns), "-", "-")
    return table


def _certificates(tree: xr.DataTree) -> Table:
    table = _table("Certificates", ("", *stages(tree)), ())
    objective = ("objective_eur_per_year", "objective_eur", "npc_eur")

    def row(name: str, *keys: str) -> None:
        values = (first_of(tree[stage].attrs, keys) for stage in stages(tree))
        _add(table, name, *("-" if v is None else digits(float(v), 2) for v in values))

    _add(table, "status", *(tree[s].attrs.get("status", "-") for s in stages(tree)))
    values = (first_of(tree[s].attrs, objective) for s in stages(tree))
    _add(table, "objective, EUR", *("-" if v is None else whole(v) for v in values))
    gaps = [first_of(tree[s].attrs, ("gap",)) for s in stages(tree)]
    _add(table, "gap, %", *(_gap(gap) for gap in gaps))
    row("relaxation gap, p.u.", "relaxation_gap")
    row("AC voltage error, p.u.", "ac_vm_error_pu")
    row("AC loss error, %", "ac_loss_error_percent")
    good = confirmed(tree)
    _add(
        table, "AC power flow", *("confirmed" if good[s] else "NOT confirmed" for s in stages(tree))
    )
    return table


def _gap(gap: Any) -> str:
    if gap is None:
        return "-"
    return digits(100.0 * float(gap), 2) if math.isfinite(float(gap)) else NO_BOUND


def _table(title: str, words: tuple[str, ...], numbers: tuple[str, ...]) -> Table:
    table = Table(title=escape(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in words:
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _add(table: Table, *cells: Any) -> None:
    """Add a row of plain text that any terminal's encoding can show."""
    plain = (str(cell).replace("\u202f", " ").replace("–", "-") for cell in cells)
    table.add_row(*(escape(cell) for cell in plain))


def caveats(tree: xr.DataTree) -> list[str]:
    """Return what a reader of the tables must know.

    Stages that are not proven or not confirmed, and limits that the case they are compared with
    breaks.
    """
    lines = []
    for stage in stages(tree):
        attrs = tree[stage].attrs
        if attrs.get("status") != "optimal":
            gap = float(attrs["gap"])
            known = (
                f"a gap of {100 * gap:.2g} %, more than was asked for"
                if math.isfinite(gap)
                else "no proven bound"
            )
            ended = attrs.get("termination", "a limit")
            lines.append(f"{stage}: ended on {ended} with {known}")
        if attrs.get("relaxation") != "exact":
            lines.append(
                f"{stage}: not confirmed by AC power flow (voltage error "
                f"{float(attrs['ac_vm_error_pu']):.2g} p.u., loss error "
                f"{float(attrs['ac_loss_error_percent']):.2g} %)"
            )
    lines += [f"trade: {phrase}" for phrase in market_findings(tree)]
    if "stage" in tree["plan"].dims:
        return lines
    return lines + [f"doing nothing: {phrase}" for phrase in broken_limits(tree, "nothing")]
