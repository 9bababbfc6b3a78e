"""Nodes of a pandapower net: which buses are one, what is energised, what holds their voltage.

`GridData` and `SwitchGraph` both start from here: the radial network as it stands, and all that
could be closed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pp_p2p.elements.terminals import forming_terminals
from pp_p2p.errors import Finding, UnsupportedFeature
from pp_p2p.network.branches import (
    Array,
    Branches,
    bus_bus_switches,
    dangling_admittance,
    line_branches,
    switch_branches,
    trafo_branches,
)
from pp_p2p.network.topology import DisjointSets

VM_FLOOR_PU, VM_CEILING_PU = 0.5, 1.5
"""Voltage bounds of a bus that has none of its own: every variable of a model has finite bounds."""


@dataclass(frozen=True)
class Nodes:
    """Energised nodes: the bus that labels each, and the node of every bus.

    `forming` are the terminals that form the grid of what no external grid feeds.
    """

    bus: Array
    node: Mapping[int, int]
    forming: Array

    @classmethod
    def energised(cls, net: Any, group: Mapping[int, int], live: Branches) -> Nodes:
        """Return the groups of fused buses (`fuse`) that `live` branches tie to a source."""
        connected = DisjointSets(set(group.values()))
        for a, b in zip(live.from_bus, live.to_bus, strict=True):
            connected.join(group[int(a)], group[int(b)])
        ext = net.ext_grid[net.ext_grid.in_service.to_numpy(bool)]
        feeding = {connected.find(group[int(b)]) for b in ext.bus if int(b) in group}
        forming = []
        for terminal, bus in forming_terminals(net).items():
            island = connected.find(group[bus]) if bus in group else None
            if island is not None and island not in feeding:
                feeding.add(island)
                forming.append(terminal)
        labels = sorted({g for g in group.values() if connected.find(g) in feeding})
        position = {label: k for k, label in enumerate(labels)}
        node = {bus: position[g] for bus, g in group.items() if g in position}
        return cls(np.array(labels, dtype=np.int64), node, np.array(forming, dtype=np.int64))

    def of(self, buses: Array) -> Array:
        """Return the node of each bus, all of them energised."""
        return np.array([self.node[int(bus)] for bus in buses], dtype=np.int64)

    def has(self, buses: Array) -> Array:
        """Return which buses are energised."""
        return np.array([int(bus) in self.node for bus in buses], dtype=bool)


def fuse(net: Any) -> dict[int, int]:
    """Return for every in-service bus the smallest bus of its group of fused buses."""
    buses = {int(bus) for bus in net.bus.index[net.bus.in_service.to_numpy(bool)]}
    groups = DisjointSets(buses)
    solid = bus_bus_switches(net)
    if "z_ohm" in net.switch:
        solid &= ~(net.switch.z_ohm.fillna(0.0).to_numpy(float) > 0)
    for a, b in net.switch.loc[solid, ["bus", "element"]].itertuples(index=False):
        if int(a) in buses and int(b) in buses:
            groups.join(int(a), int(b))
    return {bus: groups.find(bus) for bus in buses}


def closed_branches(net: Any, s_base: float) -> tuple[Branches, list[tuple[Branches, Array]]]:
    """Return the branches closed at both ends, and what hangs on one end with a mask of from."""
    in_service = {int(bus) for bus in net.bus.index[net.bus.in_service.to_numpy(bool)]}
    line, trafo = line_branches(net, s_base), trafo_branches(net, s_base)
    switch = switch_branches(net, s_base)
    whole, dangling = [], []
    for branches, et in ((line, "l"), (trafo, "t"), (switch, "")):
        from_live, to_live = _live_ends(net, branches, et, in_service)
        half = from_live ^ to_live
        whole.append(branches.take(from_live & to_live))
        dangling.append((branches.take(half), from_live[half]))
    return Branches.concatenate(*whole), dangling


def _live_ends(net: Any, branches: Branches, et: str, in_service: set[int]) -> tuple[Array, Array]:
    """Return per branch whether its from end and its to end are connected to a bus in service.

    A line hangs on one end where the other is open or at a bus out of service; of transformers
    and bus-bus switches only an open switch makes that, as in ``pandapower.runpp``.
    """
    opened = net.switch[(net.switch.et == et).to_numpy(bool) & ~net.switch.closed.to_numpy(bool)]
    open_ends = set(opened[["element", "bus"]].itertuples(index=False, name=None))

    def ends(buses: Array) -> tuple[Array, Array]:
        pairs = zip(branches.index.tolist(), buses.tolist(), strict=True)
        closed = np.array([pair not in open_ends for pair in pairs], dtype=bool)
        return closed, np.array([bus in in_service for bus in buses.tolist()], dtype=bool)

    (from_closed, from_there), (to_closed, to_there) = (
        ends(branches.from_bus),
        ends(branches.to_bus),
    )
    from_live, to_live = from_closed & from_there, to_closed & to_there
    if et != "l":
        away = (from_closed & ~from_there) | (to_closed & ~to_there)
        from_live, to_live = from_live & ~away, to_live & ~away
    return from_live, to_live


def dangling_shunts(dangling: list[tuple[Branches, Array]], nodes: Nodes) -> Array:
    """Return the charging (node,), p.u., of what hangs on one end."""
    y = np.zeros(len(nodes.bus), dtype=complex)
    for branches, at_from in dangling:
        bus = np.where(at_from, branches.from_bus, branches.to_bus)
        known = nodes.has(bus)
        np.add.at(y, nodes.of(bus[known]), dangling_admittance(branches, at_from)[known])
    return y


def shunts(net: Any, nodes: Nodes, s_base: float) -> Array:
    """Return the admittance (node,), p.u., of the shunts in service."""
    y = np.zeros(len(nodes.bus), dtype=complex)
    shunt = net.shunt[net.shunt.in_service.to_numpy(bool)]
    shunt = shunt[nodes.has(shunt.bus.to_numpy())]
    bus_kv = net.bus.vn_kv.loc[shunt.bus.to_numpy()].to_numpy(float)
    rated_kv = shunt.vn_kv.astype(float).fillna(0.0).to_numpy(float)
    rated_kv = np.where(rated_kv > 0, rated_kv, bus_kv)
    steps = shunt.step.to_numpy(float) * (bus_kv / rated_kv) ** 2 / s_base
    power = (shunt.p_mw.to_numpy(float) - 1j * shunt.q_mvar.to_numpy(float)) * steps
    np.add.at(y, nodes.of(shunt.bus.to_numpy()), power)
    return y


@dataclass(frozen=True, kw_only=True)
class SourceLimits:
    """Least and most power (source,), p.u., that external grids feed in; infinite is none."""

    p_min: Array
    p_max: Array
    q_min: Array
    q_max: Array

    @classmethod
    def none(cls, n: int) -> SourceLimits:
        """Return those of `n` sources without limits."""
        most = np.full(n, np.inf)
        return cls(p_min=-most, p_max=most, q_min=-most, q_max=most)

    def excess(self, p: Array, q: Array) -> Array:
        """Return by how much `p` and `q` (..., source), p.u., lie outside."""
        over = (
            np.maximum(self.p_min - p, p - self.p_max),
            np.maximum(self.q_min - q, q - self.q_max),
        )
        return np.asarray(np.maximum(np.maximum(*over), 0.0))


@dataclass(frozen=True)
class Sources:
    """Nodes (source,) that an external grid holds at `vm` (p.u.), and the row of ``ext_grid``.

    `limits` are those of all rows at a node together.
    """

    node: Array
    vm: Array
    ext_grid: Array
    limits: SourceLimits

    @classmethod
    def of(cls, net: Any, nodes: Nodes, s_base: float) -> Sources:
        """Read the external grids in service, one per node.

        Raises
        ------
        UnsupportedFeature
            Nothing feeds the net, or one node is held at different voltages.
        """
        ext = net.ext_grid[net.ext_grid.in_service.to_numpy(bool)]
        ext = ext[nodes.has(ext.bus.to_numpy())]
        if ext.empty and not len(nodes.forming):
            raise UnsupportedFeature(
                "GridData",
                Finding(
                    table="ext_grid",
                    rule="no in-service external grid feeds the net",
                    mend="create one with pandapower.create_ext_grid",
                ),
            )
        node = nodes.of(ext.bus.to_numpy())
        _, first = np.unique(node, return_index=True)
        vm = ext.vm_pu.to_numpy(float)
        for k in range(len(node)):
            same = node == node[k]
            if not np.allclose(vm[same], vm[k]):
                raise UnsupportedFeature(
                    "GridData",
                    Finding(
                        table="ext_grid",
                        column="vm_pu",
                        rows=tuple(ext.index[same]),
                        rule="fix one node at different voltages",
                        mend="give them the same vm_pu or leave one of them out of service",
                    ),
                )
        first = np.sort(first)
        limits = _source_limits(ext, node, node[first], s_base)
        return cls(node[first], vm[first], ext.index.to_numpy()[first], limits)


def _source_limits(ext: pd.DataFrame, node: Array, sources: Array, s_base: float) -> SourceLimits:
    """Return the sum of the limits of the rows `ext`, at `node` (row,), of each of `sources`."""

    def total(column: str, none: float) -> Array:
        each = np.full(len(ext), none)
        if column in ext:
            each = ext[column].astype(float).fillna(none).to_numpy(float) / s_base
        return np.array([each[node == k].sum() for k in sources.tolist()], dtype=float)

    return SourceLimits(
        p_min=total("min_p_mw", -np.inf),
        p_max=total("max_p_mw", np.inf),
        q_min=total("min_q_mvar", -np.inf),
        q_max=total("max_q_mvar", np.inf),
    )


def voltage_limits(net: Any, nodes: Nodes) -> tuple[Array, Array]:
    """Return the lowest and highest voltage (node,), p.u.: the narrowest of the fused buses."""
    low, high = np.full(len(nodes.bus), VM_FLOOR_PU), np.full(len(nodes.bus), VM_CEILING_PU)
    buses = np.array(list(nodes.node), dtype=np.int64)
    at = nodes.of(buses)
    if "min_vm_pu" in net.bus:
        limit = net.bus.min_vm_pu.astype(float).fillna(VM_FLOOR_PU).loc[buses].to_numpy(float)
        np.maximum.at(low, at, limit)
    if "max_vm_pu" in net.bus:
        limit = net.bus.max_vm_pu.astype(float).fillna(VM_CEILING_PU).loc[buses].to_numpy(float)
        np.minimum.at(high, at, limit)
    return low, high
