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
    STAGES,
    KeyFigures,
    digits,
    first_of,
    owner_names,
    span_text,
    trade_per_year,
    whole,
)
from flows.limits import broken_limits
from pp_p2p.names import CANDIDATE, PARTICIPANT

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
    tables = [_built(tree), _costs(tree), _trade(tree), _certificates(tree)]
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
        if int(one["units"]) == 0:
            continue
        line = int(one["candidate_line"])
        where = f"line {line}" if line >= 0 else f"bus {int(one['candidate_bus'])}"
        sizes = [float(one[name]) for name in ("built_p_mw", "built_e_mwh")]
        _add(
            table,
            one["candidate_name"].item(),
            where,
            names.get(int(one["candidate_owner"]), "-"),
            f"{int(one['units'])}/{int(one['max_units'])}",
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


def _trade(tree: xr.DataTree) -> Table:
    year, names = trade_per_year(tree), owner_names(tree)
    columns = ("cost_alone_eur", "cost_eur", "payment_eur", "saving_eur")
    agreed = tree["trade"]["trade_agreed"].to_numpy() > 0
    table = _table(
        f"Trade over {span_text(tree)}, EUR (agreed on {agreed.sum()} of {agreed.size} days)",
        ("participant",),
        ("alone", "with trade", "payment", "saving", "sold MWh", "net MWh"),
    )
    for who in year[PARTICIPANT].to_numpy().tolist():
        one = year.sel({PARTICIPANT: who})
        money = (whole(one[k]) for k in columns)
        energy = (digits(float(one[k])) for k in ("sold_mwh", "net_mwh"))
        _add(table, names.get(who, str(who)), *money, *energy)
    _add(table, "operator", *(whole(year[f"operator_{k}"]) for k in columns), "-", "-")
    return table


def _certificates(tree: xr.DataTree) -> Table:
    table = _table("Certificates", ("", "plan", "trade"), ())
    objective = ("objective_eur_per_year", "objective_eur")

    def row(name: str, *keys: str, factor: float = 1.0) -> None:
        values = (first_of(tree[stage].attrs, keys) for stage in STAGES)
        _add(table, name, *("-" if v is None else digits(factor * float(v), 2) for v in values))

    _add(table, "status", *(tree[s].attrs.get("status", "-") for s in STAGES))
    values = (first_of(tree[s].attrs, objective) for s in STAGES)
    _add(table, "objective, EUR", *("-" if v is None else whole(v) for v in values))
    row("gap, %", "gap", factor=100.0)
    row("relaxation gap, p.u.", "relaxation_gap")
    row("AC voltage error, p.u.", "ac_vm_error_pu")
    row("AC loss error, %", "ac_loss_error_percent")
    good = KeyFigures.of(tree).confirmed
    _add(table, "AC power flow", *("confirmed" if good[s] else "NOT confirmed" for s in STAGES))
    return table


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
    for stage in STAGES:
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
    return lines + [f"doing nothing: {phrase}" for phrase in broken_limits(tree, "nothing")]
