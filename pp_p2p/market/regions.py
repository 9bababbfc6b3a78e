"""Regions: parts of the net that meet at the terminals of one soft open point."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from pp_p2p.elements.tables import extension, frame
from pp_p2p.elements.terminals import live_terminals
from pp_p2p.errors import Finding, InvalidInput, UnsupportedFeature, raise_if_any
from pp_p2p.market.combined_offer import CombinedOffer
from pp_p2p.network.branches import Array
from pp_p2p.network.grid import GridData


@dataclass(frozen=True, kw_only=True)
class Region:
    """What is connected to one terminal.

    Parameters
    ----------
    participant : int
        Row of ``net.participant`` that speaks for it.
    terminal : int
        Row of ``net.sop_terminal`` through which it trades.
    buses : (bus,) of int
        Its energised buses.
    terminals : DataFrame
        Rows of ``net.sop_terminal`` in it: `terminal`, and those of devices wholly within.
    """

    participant: int
    terminal: int
    buses: Array
    terminals: pd.DataFrame


def find_regions(net: Any, grid: GridData, mechanism: CombinedOffer) -> tuple[Region, ...]:
    """Return the regions, in the order of their participants.

    Raises
    ------
    InvalidInput
        No device to trade through, terminals or participants that do not make regions of their own.
    UnsupportedFeature
        Another device between regions, or storage on the link that is traded through.
    """
    device = _device(net, mechanism.sop)
    part = _parts(grid)
    rows = live_terminals(net)
    rows = rows[grid.nodes_of(rows.bus.to_numpy()) >= 0]
    part_of = pd.Series(part[grid.nodes_of(rows.bus.to_numpy())], index=rows.index)
    traded = rows.index[rows["sop"] == device]
    people = frame(net, "participant")
    people = people[people.in_service.to_numpy(bool)]
    node = grid.nodes_of(people.bus.to_numpy())
    lives = pd.Series(np.where(node >= 0, part[node], -1), index=people.index)
    raise_if_any(_part_findings(part_of, traded, lives, part[grid.source_node]))
    _refuse(net, device, rows, part_of)
    buses = np.array(sorted(grid.bus_node), dtype=np.int64)
    part_of_bus = part[grid.nodes_of(buses)]
    regions = []
    for participant in sorted(lives.index.tolist()):
        mine = int(lives[participant])
        terminal = next(i for i in traded.tolist() if part_of[i] == mine)
        regions.append(
            Region(
                participant=participant,
                terminal=terminal,
                buses=buses[part_of_bus == mine],
                terminals=rows[(part_of == mine).to_numpy()],
            )
        )
    return tuple(regions)


def _device(net: Any, wanted: int | None) -> int:
    table = frame(net, "sop")
    live = table.index[table.in_service.to_numpy(bool)].tolist()
    if wanted is None and len(live) == 1:
        return int(live[0])
    if wanted is not None and wanted in live:
        return int(wanted)
    rule = "has no row in service" if not live else f"has several rows in service: {live}"
    raise InvalidInput(
        Finding(
            table="sop",
            rule=rule if wanted is None else f"{rule} (CombinedOffer.sop is {wanted})",
            mend="pp_p2p.create_sop makes one, CombinedOffer(sop=...) chooses",
        )
    )


def _parts(grid: GridData) -> Array:
    """Return the connected part (node,) of every node."""
    n = grid.n_nodes
    edges = sp.coo_matrix(
        (np.ones(grid.n_branches), (grid.tree.parent, grid.tree.child)), shape=(n, n)
    )
    return np.asarray(connected_components(edges, directed=False)[1])


def _part_findings(
    part_of: pd.Series[Any], traded: pd.Index[Any], lives: pd.Series[Any], fed: Array
) -> Iterator[Finding]:
    of_terminal = part_of[traded]
    if len(traded) < 2:
        yield Finding(
            table="sop_terminal",
            rule="has fewer than two terminals in service on energised buses",
            mend="trading needs two regions or more",
        )
    if (twice := of_terminal.index[of_terminal.duplicated(keep=False)]).size:
        yield Finding(
            table="sop_terminal",
            column="bus",
            rows=tuple(twice.tolist()),
            rule="are connected through the net as well",
            mend="open the switch between them: a region has one terminal",
        )
    if (unfed := of_terminal.index[~of_terminal.isin(fed)]).size:
        yield Finding(
            table="sop_terminal",
            column="bus",
            rows=tuple(unfed.tolist()),
            rule="stand where no external grid feeds",
            mend="connect the region to an external grid",
        )
    if (outside := lives.index[~lives.isin(of_terminal)]).size:
        yield Finding(
            table="participant",
            column="bus",
            rows=tuple(outside.tolist()),
            rule="stand in no region with a terminal",
            mend="move them, or take them out of service",
        )
    if (crowded := lives.index[lives.duplicated(keep=False) & lives.isin(of_terminal)]).size:
        yield Finding(
            table="participant",
            column="bus",
            rows=tuple(crowded.tolist()),
            rule="share a region",
            mend="leave one in service for each region: it speaks for the region",
        )
    if (silent := of_terminal.index[~of_terminal.isin(lives)]).size:
        yield Finding(
            table="sop_terminal",
            column="bus",
            rows=tuple(silent.tolist()),
            rule="stand in regions without a participant in service",
            mend="create one there, or take the terminal out of service",
        )


def _refuse(net: Any, device: int, rows: pd.DataFrame, part_of: pd.Series[Any]) -> None:
    found = []
    spread = part_of.groupby(rows["sop"]).nunique()
    if others := [int(d) for d in spread.index[spread > 1] if d != device]:
        found.append(
            Finding(
                table="sop",
                rows=tuple(others),
                rule="connects regions as well",
                mend="take it out of service: regions trade through one device",
            )
        )
    on_link = extension(net, "storage", "sop").to_numpy(np.int64) == device
    on_link &= net.storage.in_service.to_numpy(bool)
    if on_link.any():
        found.append(
            Finding(
                table="storage",
                column="sop",
                rows=tuple(net.storage.index[on_link].tolist()),
                rule="stand on the link that is traded through",
                mend="place them in a region, or take them out of service",
            )
        )
    if found:
        raise UnsupportedFeature("CombinedOffer", found)
