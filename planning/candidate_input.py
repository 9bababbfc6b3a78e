"""Reading rows of ``net.candidate``: devices of one unit each, ties, and what cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from planning.reliability import Tie
from pp_p2p.elements.schema import NONE
from pp_p2p.elements.tables import frame
from pp_p2p.elements.terminals import resupply_ways
from pp_p2p.errors import Finding, UnsupportedFeature
from pp_p2p.names import TECHNOLOGY
from pp_p2p.network.branches import Array
from pp_p2p.network.grid import GridData
from pp_p2p.network.portfolio import Generators, Storages
from pp_p2p.network.timeline import Timeline

RENEWABLE = ("pv", "wind")
GENERATION = (*RENEWABLE, "dispatchable")
ENERGY = "storage_energy"
SUPPORTED = (*GENERATION, "storage", ENERGY, "line", "replacement", "switch", "sop")
FORMING = ("storage", "dispatchable")
"""Technologies that can form the grid of an island."""


def tie_ends(net: Any, row: Any) -> tuple[int, int] | None:
    """Return the buses that a line would tie; None for anything else."""
    if row.technology != "line":
        return None
    line = net.line.loc[row.line]
    return int(line.from_bus), int(line.to_bus)


def tied_nodes(
    grid: GridData, ends: tuple[tuple[int, int] | None, ...]
) -> list[tuple[int, ...] | None]:
    """Return the nodes of the `ends` of lines."""
    return [
        None if pair is None else tuple(grid.nodes_of(np.array(pair)).tolist()) for pair in ends
    ]


def terminals_of(net: Any, table: Any, technology: Array) -> Any:
    """Return the rows of ``net.sop_terminal`` of the soft open points that may be built."""
    terminal = frame(net, "sop_terminal")
    return terminal[np.isin(terminal["sop"], table["sop"].to_numpy()[technology == "sop"])]


def resupply_ties(sop: Array, terminals: pd.DataFrame) -> tuple[tuple[int, Tie], ...]:
    """Return what the devices `sop` (candidate,) connect after a fault."""
    ways = resupply_ways(terminals)
    return tuple(
        (int(k), Tie(way.from_bus, way.to_bus, one_way=way.one_way))
        for way in ways
        for k in np.flatnonzero(sop == way.sop)
    )


def new_generators(
    grid: GridData, days: xr.Dataset, line: Timeline, table: Any, of: Array
) -> Generators:
    """Return the generators at positions `of` in `table`, one unit of each."""
    rows = table.iloc[of]
    available = np.zeros((line.n_steps, len(rows)))
    if len(rows):
        given = "availability_pu" in days
        per_unit = line.array(days, "availability_pu") if given else np.zeros((line.n_steps, 0))
        labels = [str(name) for name in days[TECHNOLOGY].to_numpy()] if given else []
        for k, row in enumerate(rows.itertuples()):
            known = row.technology in RENEWABLE
            share = per_unit[:, labels.index(row.technology)] if known else 1.0
            available[:, k] = share * row.unit_p_mw
    return Generators(
        index=rows.index.to_numpy(np.int64),
        node=grid.nodes_of(rows.bus.to_numpy()),
        owner=rows.participant.to_numpy(np.int64),
        available=available / grid.s_base_mva,
        q=np.zeros_like(available),
        curtailable=np.ones(len(rows), dtype=bool),
        p_min=np.zeros(len(rows)),
        q_min=np.zeros(len(rows)),
        q_max=np.zeros(len(rows)),
        cost_eur_per_mwh=np.zeros(len(rows)),
        cost_eur_per_mw2h=np.zeros(len(rows)),
    )


def new_storages(grid: GridData, table: Any, of: Array) -> Storages:
    """Return the storage units at positions `of` in `table`, one of each."""
    rows = table.iloc[of]
    power = rows.unit_p_mw.to_numpy(float) / grid.s_base_mva
    energy = rows.unit_e_mwh.to_numpy(float) / grid.s_base_mva
    return Storages(
        index=rows.index.to_numpy(np.int64),
        node=grid.nodes_of(rows.bus.to_numpy()),
        sop=np.full(len(rows), NONE),
        owner=rows.participant.to_numpy(np.int64),
        p_charge=power,
        p_discharge=power,
        e_min=energy * rows.min_soc_percent.to_numpy(float) / 100.0,
        e_max=energy,
        e_start=np.full(len(rows), np.nan),
        charge_efficiency=rows.charge_efficiency_percent.to_numpy(float) / 100.0,
        discharge_efficiency=rows.discharge_efficiency_percent.to_numpy(float) / 100.0,
        degradation_eur_per_mwh=rows.variable_om_eur_per_mwh.to_numpy(float),
    )


def _hosts(table: pd.DataFrame, technology: Array) -> dict[int, int]:
    """Return the storage candidate at bus and owner of each that adds energy; `NONE` without."""
    places = list(zip(table.bus.tolist(), table.participant.tolist(), strict=True))
    storage = {places[k]: k for k in np.flatnonzero(technology == "storage").tolist()}
    return {k: storage.get(places[k], NONE) for k in np.flatnonzero(technology == ENERGY).tolist()}


def added_energy(table: pd.DataFrame, technology: Array) -> tuple[Array, Array]:
    """Return the candidates that add energy to storage, and those that get it."""
    hosts = _hosts(table, technology)
    return np.array(list(hosts), dtype=np.int64), np.array(list(hosts.values()), dtype=np.int64)


def refuse_technologies(table: Any, technology: Array) -> None:
    """Refuse what the plan does not build.

    Raises
    ------
    UnsupportedFeature
    """
    foreign = ~np.isin(technology, SUPPORTED)
    if foreign.any():
        raise UnsupportedFeature(
            "plan_network",
            Finding(
                table="candidate",
                column="technology",
                rows=tuple(table.index[foreign]),
                rule="is not built by this version",
                mend=f"choose one of {', '.join(SUPPORTED)}, or set in_service to False",
            ),
        )


def candidate_findings(
    table: Any, technology: Array, node: Array, ends: list[Any], days: xr.Dataset
) -> Iterator[Finding]:
    """Yield candidates that cannot be where they are, or do what they must."""
    dead = (node < 0) & np.isin(technology, (*GENERATION, "storage", ENERGY))
    if dead.any():
        yield Finding(
            table="candidate",
            column="bus",
            rows=tuple(table.index[dead]),
            rule="is not fed by any external grid",
            mend="choose an energised bus",
        )
    useless = [e is not None and (min(e) < 0 or e[0] == e[1]) for e in ends]
    if any(useless):
        yield Finding(
            table="candidate",
            column="line",
            rows=tuple(table.index[useless]),
            rule="does not tie two different energised nodes",
            mend="choose another line, or set in_service to False",
        )
    lost = [k for k, host in _hosts(table, technology).items() if host == NONE]
    if lost:
        yield Finding(
            table="candidate",
            column="bus",
            rows=tuple(table.index[lost]),
            rule="adds energy to storage, but its owner has no storage candidate at that bus",
            mend="create one of technology 'storage' there, or set in_service to False",
        )
    known = [str(name) for name in days[TECHNOLOGY].to_numpy()] if TECHNOLOGY in days else []
    blind = [t in RENEWABLE and t not in known for t in technology]
    if any(blind):
        yield Finding(
            table="candidate",
            column="technology",
            rows=tuple(table.index[blind]),
            rule="has no availability profile",
            mend="add it to availability_pu(time, technology) of the profiles",
        )
