"""`GridData`: the energised part of a pandapower net as per-unit arrays, checked once.

Nodes are groups of buses that closed bus-bus switches fuse; branches are what is closed between
them. The unit border is crossed here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from pp_p2p.elements.tables import frame
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
from pp_p2p.network.support import raise_unsupported
from pp_p2p.network.topology import DisjointSets, Tree, merge_parallel, orient

VM_FLOOR_PU, VM_CEILING_PU = 0.5, 1.5
"""Voltage bounds of a bus that has none of its own: every variable of a model has finite bounds."""


def _no_island() -> Array:
    return np.array([], dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class GridData:
    """Energised part of a net, per unit on `s_base_mva` and each bus's rated voltage.

    Parameters
    ----------
    s_base_mva : float
        Power base.
    node_bus : (node,) of int
        Smallest pandapower bus index of each node.
    bus_node : mapping int -> int
        Node of every energised bus.
    vn_kv, vm_min, vm_max : (node,) of float
        Rated voltage, kV; voltage limits, p.u.
    y_shunt : (node,) of complex
        Shunt admittance: shunts, line charging, no-load losses.
    source_node, source_vm, source_ext_grid : (source,)
        Nodes with fixed voltage, that voltage (p.u.) and the row of ``net.ext_grid``.
    branches : Branches
        Elements that carry current, before parallel ones are merged.
    branch_of : (element,) of int
        Branch that an element of `branches` is part of.
    share : (element,) of complex
        Part of the branch's current that flows through the element.
    tree : Tree
        The radial network: per branch the parent and child node, impedance and limits.
    forming_node, forming_vm, forming_terminal : (island,)
        Nodes at which a soft open point forms the grid of an island, the voltage (p.u.) and the
        row of ``net.sop_terminal``.
    """

    s_base_mva: float
    node_bus: Array
    bus_node: Mapping[int, int]
    vn_kv: Array
    vm_min: Array
    vm_max: Array
    y_shunt: Array
    source_node: Array
    source_vm: Array
    source_ext_grid: Array
    branches: Branches
    branch_of: Array
    share: Array
    tree: Tree
    forming_node: Array = field(default_factory=_no_island)
    forming_vm: Array = field(default_factory=_no_island)
    forming_terminal: Array = field(default_factory=_no_island)

    @property
    def root_node(self) -> Array:
        """Nodes from which the tree grows: sources, then where islands are formed."""
        return np.concatenate([self.source_node, self.forming_node])

    @property
    def n_nodes(self) -> int:
        """Number of electrical nodes."""
        return len(self.node_bus)

    @property
    def n_branches(self) -> int:
        """Number of branches of the tree."""
        return len(self.tree.parent)

    @classmethod
    def from_net(cls, net: Any, s_base_mva: float | None = None) -> Self:
        """Read a pandapower net.

        Parameters
        ----------
        net : pandapowerNet
            Lines, two-winding transformers with taps, shunts, switches, external grids.
        s_base_mva : float, optional
            Power base; without it, the net's own ``sn_mva``.

        Returns
        -------
        GridData

        Raises
        ------
        UnsupportedFeature
            Where the energised part holds what a balanced, radial model cannot represent; the rows
            are named.
        InvalidInput
            Where a table of ours is broken, or no external grid feeds anything.
        """
        raise_unsupported(net)
        s_base = float(net.sn_mva if s_base_mva is None else s_base_mva)
        live, dangling = _closed_branches(net, s_base)
        group = _fuse(net)
        nodes = _Nodes.energised(net, group, live)
        live = live.take(nodes.has(live.from_bus) & nodes.has(live.to_bus))
        y_shunt = _shunts(net, nodes, s_base) + _dangling_shunts(dangling, nodes)
        sources = _sources(net, nodes)
        forming = frame(net, "sop_terminal").loc[nodes.forming]
        roots = np.concatenate([sources["node"], nodes.of(forming.bus.to_numpy())])
        merged = merge_parallel(live, nodes.of(live.from_bus), nodes.of(live.to_bus))
        tree = orient(merged, len(nodes.bus), roots, live)
        np.add.at(y_shunt, tree.parent, tree.y_parent * tree.v_scale_parent)
        np.add.at(y_shunt, tree.child, tree.y_child * tree.v_scale_child)
        vm_min, vm_max = _voltage_limits(net, nodes)
        return cls(
            s_base_mva=s_base,
            node_bus=nodes.bus,
            bus_node=nodes.node,
            vn_kv=net.bus.vn_kv.loc[nodes.bus].to_numpy(float),
            vm_min=vm_min,
            vm_max=vm_max,
            y_shunt=y_shunt,
            source_node=sources["node"],
            source_vm=sources["vm"],
            source_ext_grid=sources["ext_grid"],
            forming_node=nodes.of(forming.bus.to_numpy()),
            forming_vm=forming.vm_pu.to_numpy(float),
            forming_terminal=nodes.forming,
            branches=live,
            branch_of=tree.position[merged.member_of],
            share=merged.share,
            tree=tree,
        )

    def nodes_of(self, buses: Array) -> Array:
        """Return the node of each pandapower bus, -1 where the bus is not energised."""
        return np.array([self.bus_node.get(int(bus), -1) for bus in buses], dtype=np.int64)

    def path_resistance(self, nodes: Array) -> Array:
        """Return the resistance (p.u.) of the path between each two of `nodes` (node, node).

        Sources are one node here: what different ones feed is connected through them.
        """
        above = np.full(self.n_nodes, -1)
        above[self.tree.child] = np.arange(self.n_branches)
        on_path = np.zeros((len(nodes), self.n_branches), dtype=bool)
        for row, start in enumerate(nodes.tolist()):
            branch = above[start]
            while branch >= 0:
                on_path[row, branch] = True
                branch = above[self.tree.parent[branch]]
        either = on_path[:, None, :] ^ on_path[None, :, :]
        return np.asarray(either @ self.tree.r)


@dataclass(frozen=True)
class _Nodes:
    """Energised nodes: the bus that labels each, and the node of every bus.

    `forming` are the terminals that form the grid of what no external grid feeds.
    """

    bus: Array
    node: Mapping[int, int]
    forming: Array

    @classmethod
    def energised(cls, net: Any, group: Mapping[int, int], live: Branches) -> _Nodes:
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
        return np.array([self.node[int(bus)] for bus in buses], dtype=np.int64)

    def has(self, buses: Array) -> Array:
        return np.array([int(bus) in self.node for bus in buses], dtype=bool)


def _fuse(net: Any) -> dict[int, int]:
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


def _closed_branches(net: Any, s_base: float) -> tuple[Branches, list[tuple[Branches, Array]]]:
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


def _dangling_shunts(dangling: list[tuple[Branches, Array]], nodes: _Nodes) -> Array:
    y = np.zeros(len(nodes.bus), dtype=complex)
    for branches, at_from in dangling:
        bus = np.where(at_from, branches.from_bus, branches.to_bus)
        known = nodes.has(bus)
        np.add.at(y, nodes.of(bus[known]), dangling_admittance(branches, at_from)[known])
    return y


def _shunts(net: Any, nodes: _Nodes, s_base: float) -> Array:
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


def _sources(net: Any, nodes: _Nodes) -> dict[str, Array]:
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
    return {"node": node[first], "vm": vm[first], "ext_grid": ext.index.to_numpy()[first]}


def _voltage_limits(net: Any, nodes: _Nodes) -> tuple[Array, Array]:
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
