"""What may be wrong with the input of a plan over several years, told before anything is solved."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

import numpy as np
import xarray as xr

from planning.discounting import Salvage
from planning.plan_rules import NO_BUDGET
from planning.stages import Stage, first_years
from planning.year_model import Islands
from pp_p2p.elements.tables import frame
from pp_p2p.errors import Finding
from pp_p2p.names import DAY, HOUR
from pp_p2p.network.branches import Array
from pp_p2p.results import input_hash

TABLE = "plan_horizon"


def option_findings(
    numbers: Mapping[str, float], *, foresight: str, replacement: str, islands: str
) -> Iterator[Finding]:
    """Check plain options; `numbers` must not be negative."""
    for name, value in numbers.items():
        if not value >= 0.0:
            yield Finding(table=TABLE, column=name, rule=f"is {value}", mend="use >= 0")
    if numbers["budget_eur"] == 0.0:
        yield Finding(table=TABLE, column="budget_eur", rule="is 0.0", mend=NO_BUDGET)
    for name, chosen, known in (
        ("foresight", foresight, ("perfect", "rolling")),
        ("replacement", replacement, ("automatic", "optional")),
        ("islands", islands, get_args(Islands)),
    ):
        if chosen not in known:
            rule, mend = f"is {chosen!r}", f"choose one of {', '.join(known)}"
            yield Finding(table=TABLE, column=name, rule=rule, mend=mend)


def horizon_findings(
    net: Any,
    days: xr.Dataset,
    stages: Sequence[Stage],
    salvage: Salvage | None,
    available_from: Mapping[int, int],
) -> Iterator[Finding]:
    """Check what stages, candidates and days must fit together in."""
    if not stages:
        mend = "give one Stage at least (growing_stages makes them)"
        yield Finding(table=TABLE, column="stages", rule="is empty", mend=mend)
        return
    table = frame(net, "candidate")
    table = table[table.in_service.to_numpy(bool) & (table.max_units.to_numpy() > 0)]
    life = table.lifetime_years.to_numpy(float)
    uneven = life != np.round(life)
    if uneven.any():
        rule, mend = "is not a whole number of years", "round it: cash flows are yearly"
        rows = tuple(table.index[uneven])
        yield Finding(table="candidate", column="lifetime_years", rows=rows, rule=rule, mend=mend)
    elif salvage is None:
        yield from _without_salvage(table, life, stages)
    unknown = tuple(k for k in available_from if k not in table.index)
    if unknown:
        rule, mend = "is no candidate in service", "use rows of net.candidate"
        yield Finding(table=TABLE, column="available_from", rows=unknown, rule=rule, mend=mend)
    outside = tuple(k for k, s in available_from.items() if not 1 <= s <= len(stages))
    if outside:
        rule, mend = "names no stage", f"use 1 to {len(stages)}"
        yield Finding(table=TABLE, column="available_from", rows=outside, rule=rule, mend=mend)
    yield from _other_days(days, stages)


def life_years(net: Any, candidates: Array) -> Array:
    """Return the life of `candidates` (candidate,), whole years."""
    life = frame(net, "candidate").lifetime_years.loc[candidates].to_numpy(float)
    return np.round(life).astype(np.int64)


def stage_options(stage: Stage, net: Any) -> dict[str, object]:
    """Return what a result says about a stage; days of its own by their hash."""
    given = {
        field.name: getattr(stage, field.name)
        for field in dataclasses.fields(stage)
        if field.name != "days"
    }
    given["days"] = None if stage.days is None else input_hash(net, stage.days, {})
    return given


def _without_salvage(table: Any, life: Array, stages: Sequence[Stage]) -> Iterator[Finding]:
    """Refuse a horizon that ends before some life does, where nobody says what is left then."""
    horizon = sum(stage.years for stage in stages)
    left = horizon + 1 - first_years(stages)
    outlives = np.array([bool((n > left).any() or (left % n).any()) for n in life])
    if len(life) and outlives.any():
        yield Finding(
            table=TABLE,
            column="salvage",
            rows=tuple(table.index[outlives]),
            rule=f"is not given, and units of these candidates can outlive the {horizon} years",
            mend="choose 'annuity' (years beyond the horizon are not charged), 'linear', "
            "'none' or 'perpetuity'",
        )


def _other_days(days: xr.Dataset, stages: Sequence[Stage]) -> Iterator[Finding]:
    own = [(s, stage.days) for s, stage in enumerate(stages) if stage.days is not None]
    if DAY not in days.dims or HOUR not in days.dims:
        rule, mend = "has no dims 'day' and 'hour'", "pass typical days (clustering.typical_days)"
        yield Finding(table="days", rule=rule, mend=mend)
        return
    other = tuple(
        s + 1
        for s, given in own
        if any(dim not in given.dims or not given[dim].equals(days[dim]) for dim in (DAY, HOUR))
    )
    if other:
        rule = "have days of their own with other labels of day or hour than the plan's days"
        mend = "number the typical days of every stage alike"
        yield Finding(table="stages", column="days", rows=other, rule=rule, mend=mend)
