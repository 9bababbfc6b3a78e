"""What profiles and the rows of devices must hold to make sense together, and who owns a row."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from pp_p2p.elements.tables import TABLES, extension, frame
from pp_p2p.elements.terminals import live_terminals
from pp_p2p.errors import ConstantGeneration, Finding, listed
from pp_p2p.names import OPERATOR, PROFILE_DIMS
from pp_p2p.network.branches import Array
from pp_p2p.network.grid import GridData
from pp_p2p.network.timeline import Timeline

_PROFILED = ("load_p_mw", "load_q_mvar", "sgen_p_mw")


def owners(net: Any, table: str, rows: pd.DataFrame) -> Array:
    """Return the owner of each row; a participant out of service leaves its devices behind."""
    owner = extension(net, table, "participant").loc[rows.index].to_numpy(np.int64)
    participant = frame(net, "participant")
    active = participant.index[participant.in_service.to_numpy(bool)]
    return np.where(np.isin(owner, active), owner, OPERATOR)


def curtailable(net: Any, rows: pd.DataFrame) -> Array:
    """Return which static generators may run below what is available: owned or controllable."""
    free: Array = (owners(net, "sgen", rows) != OPERATOR) | controllable(rows)
    return free


def controllable(rows: pd.DataFrame) -> Array:
    """Return pandapower's own flag; False where the column or the entry is missing."""
    if "controllable" not in rows:
        return np.zeros(len(rows), dtype=bool)
    return np.asarray(rows.controllable.map(lambda c: c is True or c == 1).to_numpy(bool))


def device_findings(net: Any, grid: GridData, profiles: xr.Dataset) -> Iterator[Finding]:
    """Yield what is wrong with `profiles` and the devices of `net`."""
    for name in _PROFILED:
        if name in profiles:
            yield from label_findings(net, profiles, name, PROFILE_DIMS[name][1])
    yield from _negative_power(net, profiles)
    yield from _storage_limits(net)
    yield from _crossed_limits(net)
    yield from _dead_devices(net, grid)
    yield from _dead_terminals(net, grid)


def warn_of_constant_generation(net: Any, profiles: xr.Dataset, line: Timeline) -> None:
    """Warn of static generators that have no profile: they feed in the same power in every step.

    A single step says nothing about time, and a unit with costs (``net.poly_cost``) is dispatched.

    Warns
    -----
    ConstantGeneration
        The rows of ``net.sgen`` and how to give them a profile.
    """
    if line.n_steps == 1:
        return
    profiled: list[Any] = profiles["sgen"].to_numpy().tolist() if "sgen_p_mw" in profiles else []
    rows = net.sgen[net.sgen.in_service.to_numpy(bool) & ~net.sgen.index.isin(profiled)]
    rows = rows[(rows.p_mw * rows.scaling).to_numpy(float) > 0]
    priced = net.poly_cost.element[net.poly_cost.et == "sgen"]
    if constant := rows.index[~rows.index.isin(priced)].tolist():
        warnings.warn(
            f"net.sgen {listed(constant)} without a profile: p_mw in all {line.n_steps} steps, by "
            "night, too; give profiles['sgen_p_mw'] a column for each (a constant one where that "
            "is meant), or set in_service = False",
            ConstantGeneration,
            stacklevel=4,
        )


def label_findings(net: Any, profiles: xr.Dataset, name: str, table: str) -> Iterator[Finding]:
    """Yield the labels of profile `name` that are not rows of `table`, or that come twice."""
    labels = pd.Index(profiles[name][table].to_numpy())
    known = frame(net, table).index if table in TABLES else net[table].index
    unknown = labels[~labels.isin(known)]
    if len(unknown):
        yield Finding(
            table="profiles",
            column=name,
            rows=tuple(unknown.tolist()),
            rule=f"is a profile of a {table} that does not exist",
            mend=f"drop it, or create the {table}",
        )
    if labels.has_duplicates:
        yield Finding(
            table="profiles",
            column=name,
            rows=tuple(labels[labels.duplicated()].unique().tolist()),
            rule=f"holds a {table} more than once",
            mend="keep one profile of each",
        )


def _negative_power(net: Any, profiles: xr.Dataset) -> Iterator[Finding]:
    profiled: list[Any] = []
    if "sgen_p_mw" in profiles:
        profiled = profiles["sgen"].to_numpy().tolist()
        if bool((profiles["sgen_p_mw"] < 0).any()):
            yield Finding(
                table="profiles",
                column="sgen_p_mw",
                rule="has negative available power",
                mend="clip it at 0: consumption is a load",
            )
    rows = net.sgen[net.sgen.in_service.to_numpy(bool)]
    negative = curtailable(net, rows) & (rows.p_mw * rows.scaling < 0).to_numpy(bool)
    negative &= ~rows.index.isin(profiled)
    if negative.any():
        yield Finding(
            table="sgen",
            column="p_mw",
            rows=tuple(rows.index[negative].tolist()),
            rule="is below 0, but may be curtailed: it would be available power",
            mend="make it a load",
        )


def _storage_limits(net: Any) -> Iterator[Finding]:
    rows = net.storage[net.storage.in_service.to_numpy(bool)]
    none = pd.Series(np.nan, index=rows.index)
    low, high = (rows.get(c, none).astype(float).fillna(0.0) for c in ("min_e_mwh", "max_e_mwh"))
    soc = rows.get("soc_percent", none).astype(float)
    start = soc / 100.0 * high  # NaN where the start is free
    tiny = 1e-9 * (1.0 + high.abs())
    for column, wrong, rule in (
        ("min_e_mwh", low < 0, "is below 0: no storage holds less than nothing"),
        ("max_e_mwh", low > high + tiny, "is below min_e_mwh"),
        (
            "soc_percent",
            (start < low - tiny) | (start > high + tiny),
            "lies outside the energy limits: the unit cannot end the day where it starts",
        ),
        (
            "max_p_mw",
            rows.get("max_p_mw", none).astype(float) < 0,
            "is below 0: it limits charging",
        ),
        (
            "min_p_mw",
            rows.get("min_p_mw", none).astype(float) > 0,
            "is above 0: it limits discharging",
        ),
    ):
        if wrong.any():
            at = tuple(rows.index[wrong.to_numpy(bool)].tolist())
            mend = "mend the row or take it out of service"
            yield Finding(table="storage", column=column, rows=at, rule=rule, mend=mend)


def _crossed_limits(net: Any) -> Iterator[Finding]:
    rows = net.sgen[net.sgen.in_service.to_numpy(bool)]
    rows = rows[controllable(rows)]
    for power in ("p_mw", "q_mvar"):
        low, high = f"min_{power}", f"max_{power}"
        if not {low, high} <= set(rows):
            continue
        crossed = rows[low].astype(float) > rows[high].astype(float)
        if crossed.any():
            yield Finding(
                table="sgen",
                column=low,
                rows=tuple(rows.index[crossed.to_numpy(bool)].tolist()),
                rule=f"is above {high}",
                mend="exchange the two limits",
            )


def _dead_devices(net: Any, grid: GridData) -> Iterator[Finding]:
    for table in ("load", "sgen", "storage"):
        rows = net[table]
        owned = extension(net, table, "participant").to_numpy(np.int64) != OPERATOR
        dead = owned & rows.in_service.to_numpy(bool) & (grid.nodes_of(rows.bus.to_numpy()) < 0)
        if dead.any():
            yield Finding(
                table=table,
                column="bus",
                rows=tuple(rows.index[dead].tolist()),
                rule="belongs to a participant but no external grid feeds its bus",
                mend="close the switch that feeds it, or take it out of service",
            )


def _dead_terminals(net: Any, grid: GridData) -> Iterator[Finding]:
    rows = live_terminals(net)
    dead = (grid.nodes_of(rows.bus.to_numpy()) < 0) & ~rows.grid_forming.to_numpy(bool)
    yield from unsupplied_terminals(rows.index[dead])


def unsupplied_terminals(rows: pd.Index[Any]) -> Iterator[Finding]:
    """Yield terminals that would drop out of their device's balance in silence."""
    if len(rows):
        yield Finding(
            table="sop_terminal",
            column="bus",
            rows=tuple(rows.tolist()),
            rule="is in service, but no external grid feeds its bus",
            mend="close the switch that feeds it, let it form the grid (grid_forming), or take the"
            " terminal out of service",
        )


def reference_price_findings(rows: pd.DataFrame) -> Iterator[Finding]:
    """Yield the elastic loads `rows` that have no reference price."""
    if len(rows):
        yield Finding(
            table="flexible_load",
            column="reference_price_eur_per_mwh",
            rows=tuple(rows.index.tolist()),
            rule="is not given, and the profiles hold no purchase price whose mean it could be",
            mend="give the price at which the load draws its profile",
        )
