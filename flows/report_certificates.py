"""What the report says about how far its numbers can be believed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import xarray as xr

from flows.key_figures import NO_BOUND, NONE, digits, diverged, first_of, stages, whole
from flows.report_market import words_of
from flows.report_page import folded, paragraph, section, table
from flows.study_notes import stored_notes

MOST_DEVIATION_PU: Final = 1.0
"""Beyond this a voltage deviation is no number to go by: the replay ended, or has no solution."""


def verdict(tree: xr.DataTree, confirmed: Mapping[str, bool]) -> str:
    """Return whether the AC power flow confirms every stage, in plain words."""
    from pp_p2p.operation.powerflow import (
        GAP_TOLERANCE,
        LOSS_TOLERANCE_PERCENT,
        VM_TOLERANCE_PU,
    )

    within = (
        f"{digits(VM_TOLERANCE_PU)} p.u. of voltage, {digits(LOSS_TOLERANCE_PERCENT)} % of losses, "
        f"and a relaxation gap of {GAP_TOLERANCE:.0e} of the largest squared flow (at least 1 p.u.)"
    )
    *first, last = stages(tree)
    if all(confirmed.values()):
        return (
            '<p class="verdict"><strong>Confirmed by AC power flow.</strong> Every '
            f"hour of {', '.join(first)} and {last}, run again by Newton's method, agrees within "
            f"{within}.</p>"
        )
    failing = " and ".join(stage for stage, good in confirmed.items() if not good)
    steps = ", ".join(
        f"{stage}: {diverged(tree[stage].attrs)}"
        for stage in stages(tree)
        if diverged(tree[stage].attrs) != "none"
    )
    more = f" {_deviations(tree, confirmed)}"
    more += f" Hours without a power flow solution: {steps}." if steps else ""
    return (
        f'<p class="verdict bad"><strong>NOT confirmed by AC power flow: {failing}.'
        f"</strong> At least one hour differs from the power flow by Newton's method by more than "
        f"{within}: read voltages, losses and costs of it as estimates.{more}</p>"
    )


def _deviations(tree: xr.DataTree, confirmed: Mapping[str, bool]) -> str:
    """Return the largest voltage deviation of each stage that is not confirmed."""
    found = {
        stage: float(tree[stage].attrs["ac_vm_error_pu"])
        for stage, good in confirmed.items()
        if not good
    }
    listed = (
        f"{'at least 1' if error > MOST_DEVIATION_PU else digits(error, 2)} p.u. in {stage}"
        for stage, error in found.items()
    )
    return f"The largest voltage deviation is {' and '.join(listed)}."


def certificate_section(tree: xr.DataTree) -> str:
    """Return what was solved, how well, and how it can be checked."""
    rows = [
        (name, *(_attribute(tree, stage, names, kind) for stage in stages(tree)))
        for name, names, kind in _CERTIFICATE
    ]
    root = tree.attrs
    rows.append(
        ("Seed", *(str(tree[s].attrs.get("seed", root.get("seed", NONE))) for s in stages(tree)))
    )
    file_text = str(root.get("study_file", ""))
    return section(
        "certificates",
        "Certificates",
        table(
            "Solutions and their proofs",
            ("", *(_STAGE_NAMES[stage] for stage in stages(tree))),
            rows,
            n_text=1 + len(stages(tree)),
        ),
        folded("Study file", file_text) if file_text else "",
    )


_STAGE_NAMES: Final = {
    "plan": "Plan",
    "joint": "Planning together",
    "trade": "Trade (worst of all days)",
}

_CERTIFICATE: Final = (
    ("Mechanism", ("mechanism",), "words"),
    ("Congestion management", ("congestion",), "words"),
    ("Algorithm", ("algorithm",), "words"),
    ("Status", ("status",), "text"),
    ("Ended because", ("termination",), "text"),
    ("Confirmed by AC power flow", ("relaxation",), "confirmed"),
    ("Objective", ("objective_eur_per_year", "objective_eur"), "money"),
    ("Bound", ("bound_eur_per_year", "bound_eur"), "bound"),
    ("Gap, relative", ("gap",), "gap"),
    ("Iterations", ("iterations",), "text"),
    ("Formulation", ("formulation",), "text"),
    ("Solver and version", ("solver",), "text"),
    ("Seconds", ("seconds",), "number"),
    ("Relaxation gap, p.u.", ("relaxation_gap",), "number"),
    ("AC voltage error, p.u.", ("ac_vm_error_pu",), "number"),
    ("AC loss error, %", ("ac_loss_error_percent",), "number"),
    ("Steps without AC solution", (), "diverged"),
    ("Input hash", ("input_hash",), "text"),
    ("Version of pp-p2p", ("version",), "text"),
)


def _attribute(tree: xr.DataTree, stage: str, names: tuple[str, ...], kind: str) -> str:
    attrs = tree[stage].attrs
    if kind == "diverged":
        return diverged(attrs)
    value = first_of(attrs, names)
    if value is None or value == "":
        return NONE
    if kind == "confirmed":
        return "yes" if value == "exact" else "NO"
    if kind in ("bound", "gap") and not math.isfinite(float(value)):
        return NO_BOUND
    if kind in ("money", "bound"):
        per_year = any(name.endswith("per_year") and name in attrs for name in names)
        return f"{whole(value)} EUR{'/a' if per_year else ''}"
    if kind == "words":
        return str(value).replace("_", " ")
    return digits(value, 2) if kind in ("number", "gap") else str(value)


READING: Final = (
    "Exact, as far as confirmed above: the load flow of every typical hour, its voltages, losses "
    "and costs, and the choice of what to build for these days and prices up to the certified gap. "
    "Heuristic: a few typical days stand for a whole span, so rare hours outside of them are not "
    "seen, unless they were kept as extreme days. Energy not served is an expectation over single "
    "faults; ties and stored reserves that take over are not limited there by the capacity or "
    "voltage of the lines. {payments} Costs are annuities at today's prices in one representative "
    "year."
)


def reading_section(tree: xr.DataTree) -> str:
    """Return what may be believed how far."""
    words = READING.format(payments=words_of(tree).reading)
    notes = (paragraph(f"Of the inputs: {note}.") for note in stored_notes(tree))
    return section("reading", "How to read this", paragraph(words), *notes)
