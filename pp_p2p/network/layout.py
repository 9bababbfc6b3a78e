"""Where to draw buses, and a net as a labelled dataset that a stored result carries along."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import numpy as np
import xarray as xr

from pp_p2p.elements.tables import extension, frame
from pp_p2p.names import BUS, LINE, OPERATOR, PARTICIPANT
from pp_p2p.network.branches import Array
from pp_p2p.network.grid import GridData


def describe_net(net: Any) -> xr.Dataset:
    """Return what a picture of `net` needs, as a dataset.

    Returns
    -------
    Dataset
        ``x(bus)``, ``y(bus)``, ``vn_kv``, voltage limits, ``load_mw(bus)``, ``bus_owner(bus)``;
        ``from_bus(line)``, ``to_bus(line)``, ``closed(line)``; ``participant_name(participant)``,
        ``participant_bus``; transformers as ``trafo_hv_bus(trafo)``, ``trafo_lv_bus(trafo)``.
    """
    grid = GridData.from_net(net)
    x, y = bus_coordinates(net, grid)
    closed = set(grid.branches.index[grid.branches.element == "line"].tolist())
    rows = net.load[net.load.in_service.to_numpy(bool)]
    load = (rows.p_mw * rows.scaling).groupby(rows.bus).sum()
    owner = extension(net, "load", "participant").groupby(net.load.bus).max()
    people = frame(net, "participant")
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
            "trafo_hv_bus": ("trafo", net.trafo.hv_bus.to_numpy(np.int64)),
            "trafo_lv_bus": ("trafo", net.trafo.lv_bus.to_numpy(np.int64)),
            "participant_name": (PARTICIPANT, people["name"].to_numpy(object).astype(str)),
            "participant_bus": (PARTICIPANT, people.bus.to_numpy(np.int64)),
            "source_bus": ("ext_grid", grid.node_bus[grid.source_node]),
        },
        coords={
            BUS: net.bus.index.to_numpy(np.int64),
            LINE: net.line.index.to_numpy(np.int64),
            "trafo": net.trafo.index.to_numpy(np.int64),
            PARTICIPANT: people.index.to_numpy(np.int64),
            "ext_grid": grid.source_ext_grid,
        },
    )


def bus_coordinates(net: Any, grid: GridData) -> tuple[Array, Array]:
    """Return x and y of every bus: the net's own, or a tree drawn from its sources."""
    if "geo" in net.bus and net.bus.geo.notna().all() and len(net.bus):
        points = [json.loads(text)["coordinates"] for text in net.bus.geo]
        return np.array([p[0] for p in points], float), np.array([p[1] for p in points], float)
    at = _tree_layout(grid)
    nodes = grid.nodes_of(net.bus.index.to_numpy())
    known = nodes >= 0
    x, y = np.full(len(nodes), np.nan), np.full(len(nodes), np.nan)
    x[known], y[known] = at[nodes[known], 0], at[nodes[known], 1]
    return x, y


def _tree_layout(grid: GridData) -> Array:
    """Place every node: depth to the right, leaves below each other, parents amid them."""
    children: dict[int, list[int]] = defaultdict(list)
    for parent, child in zip(grid.tree.parent.tolist(), grid.tree.child.tolist(), strict=True):
        children[parent].append(child)
    depth = np.zeros(grid.n_nodes)
    for parent, child in zip(grid.tree.parent, grid.tree.child, strict=True):
        depth[child] = depth[parent] + 1
    height = np.zeros(grid.n_nodes)
    row = 0
    stack = [(int(node), False) for node in reversed(grid.source_node)]
    while stack:
        node, done = stack.pop()
        if not children[node]:
            height[node], row = -row, row + 1
        elif done:
            height[node] = np.mean([height[child] for child in children[node]])
        else:
            stack.append((node, True))
            stack.extend((child, False) for child in reversed(children[node]))
    return np.column_stack([depth, height])


def _limit(net: Any, grid: GridData, limit: Array) -> Array:
    nodes = grid.nodes_of(net.bus.index.to_numpy())
    return np.where(nodes >= 0, limit[np.maximum(nodes, 0)], np.nan)
