"""Where to draw buses, and a net as a labelled dataset that a stored result carries along."""

from __future__ import annotations

import json
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
import xarray as xr

from pp_p2p.elements.ownership import participant_names
from pp_p2p.elements.tables import extension, frame
from pp_p2p.elements.terminals import live_terminals
from pp_p2p.names import BUS, LINE, OPERATOR, PARTICIPANT
from pp_p2p.network.branches import Array, max_loading
from pp_p2p.network.grid import GridData
from pp_p2p.network.tree_layout import closed_lines, is_radial, tree_places

Layout = Literal["auto", "net", "tree"]
"""Where buses are drawn: see `describe_net`."""

MOST_CROSSINGS: Final = 0.05
"""A radial net without routes of lines crosses itself at most so often, per line, where its
coordinates are those of real places: 0.03 in SimBench's nets, 0.09 in pandapower's case33bw."""


def describe_net(net: Any, layout: Layout = "auto") -> xr.Dataset:
    """Return what a picture of `net` needs, as a dataset.

    Parameters
    ----------
    net : pandapowerNet
        Is not changed.
    layout : {"auto", "net", "tree"}
        Draw buses at the net's own coordinates, or as a tree. ``"auto"`` draws a tree where a
        bus has no coordinates, and where those of a radial net are not from a real place: lines
        have no routes, and cross each other more than `MOST_CROSSINGS` times each.

    Returns
    -------
    Dataset
        ``x(bus)``, ``y(bus)``, ``vn_kv``, voltage limits, ``load_mw(bus)``, ``bus_owner(bus)``;
        ``from_bus(line)``, ``to_bus(line)``, ``closed(line)``; highest loadings allowed as
        ``line_max_loading_percent(line)``, ``trafo_max_loading_percent(trafo)``;
        ``participant_name(participant)``, ``participant_bus``; transformers as
        ``trafo_hv_bus(trafo)``, ``trafo_lv_bus(trafo)``; soft open points as ``sop_name(sop)``,
        ``terminal_sop(sop_terminal)``, ``terminal_bus``, ``terminal_sn_mva`` of the terminals in
        service. The attribute ``layout`` says where the coordinates are from: ``"net"`` or
        ``"tree"``.
    """
    grid = GridData.from_net(net)
    x, y = _of_supplied(net, grid, layout)
    terminals = live_terminals(net)
    devices = frame(net, "sop").loc[sorted(set(terminals["sop"]))]
    closed = set(grid.branches.index[grid.branches.element == "line"].tolist())
    rows = net.load[net.load.in_service.to_numpy(bool)]
    load = (rows.p_mw * rows.scaling).groupby(rows.bus).sum()
    owner = bus_owners(net)
    people, names = frame(net, "participant"), participant_names(net)
    return xr.Dataset(
        {
            "x": (BUS, x),
            "y": (BUS, y),
            "vn_kv": (BUS, net.bus.vn_kv.to_numpy(float)),
            "vm_min_pu": (BUS, _limit(net, grid, grid.vm_min)),
            "vm_max_pu": (BUS, _limit(net, grid, grid.vm_max)),
            "load_mw": (BUS, load.reindex(net.bus.index).fillna(0.0).to_numpy(float)),
            "bus_owner": (BUS, owner.reindex(net.bus.index).fillna(OPERATOR).to_numpy(np.int64)),
            "from_bus": (LINE, net.line.from_bus.to_numpy(np.int64)),
            "to_bus": (LINE, net.line.to_bus.to_numpy(np.int64)),
            "closed": (LINE, np.array([int(k) in closed for k in net.line.index], dtype=np.int8)),
            "line_max_loading_percent": (LINE, 100.0 * max_loading(net.line)),
            "trafo_max_loading_percent": ("trafo", 100.0 * max_loading(net.trafo)),
            "trafo_hv_bus": ("trafo", net.trafo.hv_bus.to_numpy(np.int64)),
            "trafo_lv_bus": ("trafo", net.trafo.lv_bus.to_numpy(np.int64)),
            "participant_name": (PARTICIPANT, np.array([names[int(k)] for k in people.index], str)),
            "participant_bus": (PARTICIPANT, people.bus.to_numpy(np.int64)),
            "source_bus": ("ext_grid", grid.node_bus[grid.source_node]),
            "sop_name": ("sop", devices["name"].to_numpy(object).astype(str)),
            "terminal_sop": ("sop_terminal", terminals["sop"].to_numpy(np.int64)),
            "terminal_bus": ("sop_terminal", terminals.bus.to_numpy(np.int64)),
            "terminal_sn_mva": ("sop_terminal", terminals.sn_mva.to_numpy(float)),
        },
        coords={
            BUS: net.bus.index.to_numpy(np.int64),
            LINE: net.line.index.to_numpy(np.int64),
            "trafo": net.trafo.index.to_numpy(np.int64),
            PARTICIPANT: people.index.to_numpy(np.int64),
            "ext_grid": grid.source_ext_grid,
            "sop": devices.index.to_numpy(np.int64),
            "sop_terminal": terminals.index.to_numpy(np.int64),
        },
        attrs={"layout": "net" if _own_places(net, layout) else "tree"},
    )


def bus_owners(net: Any) -> pd.Series[int]:
    """Return bus -> participant, where one owns a load; else where one owns a plant or storage.

    Of several owners of the same kind at one bus the one with the largest index is named.
    """
    found: dict[int, int] = {}
    for table in ("storage", "sgen", "load"):
        owner = extension(net, table, "participant")
        mine = owner[owner != OPERATOR]
        by_bus = mine.groupby(net[table].bus.loc[mine.index]).max()
        found |= dict(zip(by_bus.index.tolist(), by_bus.tolist(), strict=True))
    return pd.Series(found, dtype=np.int64)


def _of_supplied(net: Any, grid: GridData, layout: Layout) -> tuple[Array, Array]:
    """Return x and y of every bus; in a tree, those without supply have none."""
    x, y = bus_coordinates(net, layout)
    if _own_places(net, layout):
        return x, y
    known = grid.nodes_of(net.bus.index.to_numpy()) >= 0
    return np.where(known, x, np.nan), np.where(known, y, np.nan)


def bus_coordinates(net: Any, layout: Layout = "auto") -> tuple[Array, Array]:
    """Return x and y of every bus: the net's own, or those of a tree; see `describe_net`."""
    if not _own_places(net, layout):
        at = tree_places(net)
        return at[:, 0], at[:, 1]
    points = [json.loads(text)["coordinates"] for text in net.bus.geo]
    return np.array([p[0] for p in points], float), np.array([p[1] for p in points], float)


def has_geodata(net: Any) -> bool:
    """Return whether every bus has coordinates."""
    return "geo" in net.bus and len(net.bus) > 0 and bool(net.bus.geo.notna().all())


def _own_places(net: Any, layout: Layout) -> bool:
    usable = layout != "tree" and has_geodata(net)
    return usable and not (layout == "auto" and _is_muddled(net))


def _is_muddled(net: Any) -> bool:
    """Return whether the coordinates are those of no place: see `describe_net`."""
    routed = "geo" in net.line and net.line.geo.notna().any()
    if routed or not is_radial(net):
        return False
    lines = net.line[closed_lines(net)]
    x, y = bus_coordinates(net, "net")
    at = np.column_stack([x, y])
    ends = [net.bus.index.get_indexer(lines[k].to_numpy()) for k in ("from_bus", "to_bus")]
    return bool(crossings(at[ends[0]], at[ends[1]]) > MOST_CROSSINGS * len(lines))


def crossings(a: Array, b: Array) -> int:
    """Return how many pairs of the straight lines from `a` to `b`, (line, 2), cross inside."""

    def side(p: Array, q: Array, r: Array) -> Array:
        pq, pr = q - p, r - p
        return np.asarray(np.sign(pq[..., 0] * pr[..., 1] - pq[..., 1] * pr[..., 0]))

    a1, b1, a2, b2 = a[:, None], b[:, None], a[None], b[None]
    cross = (side(a1, b1, a2) * side(a1, b1, b2) < 0) & (side(a2, b2, a1) * side(a2, b2, b1) < 0)
    return int(np.triu(cross).sum())


def _limit(net: Any, grid: GridData, limit: Array) -> Array:
    nodes = grid.nodes_of(net.bus.index.to_numpy())
    return np.where(nodes >= 0, limit[np.maximum(nodes, 0)], np.nan)
