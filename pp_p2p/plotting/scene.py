"""The net as it is drawn: a copy in which pandapower's plots find all that they need."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np

from pp_p2p.errors import Finding, InvalidInput
from pp_p2p.network.branches import Array
from pp_p2p.network.layout import bus_coordinates, has_geodata
from pp_p2p.network.tree_layout import closed_lines
from pp_p2p.plotting.ways import Point


def create_generic_coordinates(net: Any, overwrite: bool = False) -> None:
    """Give the buses of `net` the coordinates of a tree, as ``net.bus.geo``.

    As pandapower's function of this name, without igraph: feeders run to the right, what leaves
    them is drawn above and below (`pp_p2p.network.tree_layout`).

    Parameters
    ----------
    net : pandapowerNet
        Is changed in place; routes of lines are dropped, because they would lead elsewhere.
    overwrite : bool
        Replace coordinates that are there already.

    Raises
    ------
    InvalidInput
        Buses have coordinates, and `overwrite` is False.
    """
    if not overwrite and "geo" in net.bus and net.bus.geo.notna().any():
        rows = tuple(net.bus.index[net.bus.geo.notna()].tolist())
        mend = "pass overwrite=True to replace them"
        rule = "have coordinates already"
        raise InvalidInput(Finding(table="bus", column="geo", rows=rows, rule=rule, mend=mend))
    x, y = bus_coordinates(net, "tree")
    net.bus["geo"] = [_point(a, b) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    if "geo" in net.line:
        net.line["geo"] = None


def places(net: Any) -> dict[int, Point]:
    """Return x and y of every bus: the net's own, or a tree's where a bus has none."""
    x, y = bus_coordinates(net, "net")
    return {int(k): (a, b) for k, a, b in zip(net.bus.index, x.tolist(), y.tolist(), strict=True)}


def segments(net: Any) -> Array:
    """Return x and y of both ends (line, 4) of every closed line."""
    at = np.column_stack(bus_coordinates(net, "net"))
    lines = net.line[closed_lines(net)]
    ends = [net.bus.index.get_indexer(lines[k].to_numpy()) for k in ("from_bus", "to_bus")]
    return np.hstack([at[ends[0]], at[ends[1]]]).reshape(-1, 4)


def scene(net: Any) -> Any:
    """Return a copy of `net` with coordinates everywhere, and idle lines behind open switches.

    pandapower draws a line that is out of service like any other, and one with an open switch as
    disconnected.
    """
    import pandapower as pp

    drawn = copy.deepcopy(net)
    if not has_geodata(drawn):
        create_generic_coordinates(drawn, overwrite=True)
    elif "geo" in drawn.line and drawn.line.geo.notna().any():
        _complete_routes(drawn)
    for k in drawn.line.index[~drawn.line.in_service.to_numpy(bool)]:
        pp.create_switch(drawn, int(drawn.line.from_bus[k]), int(k), et="l", closed=False)
    return drawn


def _complete_routes(net: Any) -> None:
    """Draw lines without a route straight where others have one."""
    at = places(net)
    for k in net.line.index[net.line.geo.isna()]:
        ends = [list(at[int(net.line.at[k, side])]) for side in ("from_bus", "to_bus")]
        net.line.at[k, "geo"] = json.dumps({"coordinates": ends, "type": "LineString"})


def _point(x: float, y: float) -> str:
    return json.dumps({"coordinates": [x, y], "type": "Point"})
