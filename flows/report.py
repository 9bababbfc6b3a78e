"""The report of a study: one HTML page that needs neither network nor server."""

from __future__ import annotations

import os
from typing import Final

import xarray as xr

from flows import report_sections as sections
from flows.key_figures import KeyFigures, built_text
from flows.report_certificates import certificate_section, reading_section, verdict
from flows.report_joint import joint_section
from flows.report_page import page, paragraph, text
from flows.report_trade import trade_section
from flows.report_voltages import voltage_section
from flows.report_years import years_html
from pp_p2p.errors import Finding, InvalidInput
from pp_p2p.results import SCHEMA_VERSION, from_netcdf

GROUPS: Final = {
    "network": ("x", "y", "from_bus", "to_bus", "closed", "participant_name"),
    "days": ("load_p_mw", "weight", "source_day"),
    "plan": ("units", "cost_eur_per_year", "eens_mwh_per_year", "vm_pu"),
    "trade": ("trade_mw", "payment_eur", "gain_eur", "weight"),
}
"""Groups of a study's result, and variables that tell them from those of another file."""

GROUPS_OF_YEARS: Final = {**GROUPS, "plan": ("units_installed", "cash_flow_eur", "npc_eur")}
"""The same where the plan is one of several years."""


def open_study(path: str | os.PathLike[str]) -> xr.DataTree:
    """Open what `flows.run_study` stored.

    Parameters
    ----------
    path : path
        A study's ``result.nc``.

    Raises
    ------
    InvalidInput
        The file does not exist, is no netCDF file, or holds something else than a study.
    """
    file = os.fspath(path)
    mend = "pass the result.nc that `pp-p2p run` has written"
    try:
        tree = from_netcdf(file)
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, InvalidInput):
            raise
        rule = "cannot be read as a netCDF file"
        raise InvalidInput(Finding(table=file, rule=rule, mend=mend)) from error
    missing = _missing(tree)
    if missing or not isinstance(tree, xr.DataTree):
        rule = f"is not a study's result: it lacks {', '.join(missing)}"
        raise InvalidInput(Finding(table=file, rule=rule, mend=mend))
    version = int(tree.attrs.get("schema_version", 1))
    if version > SCHEMA_VERSION:
        rule = f"has layout {version}, and this version knows up to {SCHEMA_VERSION}"
        raise InvalidInput(Finding(table=file, rule=rule, mend="install the newer pp-p2p"))
    return tree


def report_html(tree: xr.DataTree) -> str:
    """Return a study's report as one self-contained HTML page.

    Parameters
    ----------
    tree : DataTree
        Groups ``network``, ``days``, ``plan``, ``trade``: what `flows.run_study` stores.

    Raises
    ------
    InvalidInput
        A group is missing.
    """
    missing = _missing(tree)
    if missing:
        rule = f"lacks {', '.join(missing)}"
        mend = "pass the tree of a study, as run_study returns it"
        raise InvalidInput(Finding(table="tree", rule=rule, mend=mend))
    if "stage" in tree["plan"].dims:
        return years_html(tree)
    key = KeyFigures.of(tree)
    title = f"Planning study {key.study}"
    parts = (
        f"<header>\n<h1>{text(title)}</h1>",
        paragraph(key.sentence(built_text(tree["plan"].to_dataset())), "lead"),
        verdict(tree, key.confirmed),
        sections.cards(tree, key),
        "</header>",
        sections.map_section(tree),
        sections.days_section(tree),
        sections.costs_section(tree),
        voltage_section(tree),
        joint_section(tree) if "joint" in tree.children else "",
        trade_section(tree),
        certificate_section(tree),
        reading_section(tree),
    )
    return page(title, parts)


def _missing(tree: xr.Dataset | xr.DataTree) -> list[str]:
    """Return the groups and variables of a study that `tree` lacks."""
    if not isinstance(tree, xr.DataTree):
        return [f"the group {name}" for name in GROUPS]
    years = "plan" in tree.children and "stage" in tree["plan"].dims
    return [
        f"{name}/{variable}" if name in tree.children else f"the group {name}"
        for name, variables in (GROUPS_OF_YEARS if years else GROUPS).items()
        for variable in (variables if name in tree.children else variables[:1])
        if name not in tree.children or variable not in tree[name]
    ]
