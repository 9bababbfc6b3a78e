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
from pp_p2p.network.branches import Array, Branches
from pp_p2p.network.nodes import (
    Nodes,
    SourceLimits,
    Sources,
    closed_branches,
    dangling_shunts,
    fuse,
    shunts,
    voltage_limits,
)
from pp_p2p.network.support import raise_unsupported
from pp_p2p.network.topology import Tree, merge_parallel, orient


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
    source_limits : SourceLimits
        What these may feed in.
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
    open_at : (branch, step) of bool, optional
        Branches that are open in a step, where the branches are all edges of a switched network.
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
    source_limits: SourceLimits
    branches: Branches
    branch_of: Array
    share: Array
    tree: Tree
    forming_node: Array = field(default_factory=_no_island)
    forming_vm: Array = field(default_factory=_no_island)
    forming_terminal: Array = field(default_factory=_no_island)
    open_at: Array | None = None

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
        live, dangling = closed_branches(net, s_base)
        group = fuse(net)
        nodes = Nodes.energised(net, group, live)
        live = live.take(nodes.has(live.from_bus) & nodes.has(live.to_bus))
        y_shunt = shunts(net, nodes, s_base) + dangling_shunts(dangling, nodes)
        sources = Sources.of(net, nodes, s_base)
        forming = frame(net, "sop_terminal").loc[nodes.forming]
        roots = np.concatenate([sources.node, nodes.of(forming.bus.to_numpy())])
        merged = merge_parallel(live, nodes.of(live.from_bus), nodes.of(live.to_bus))
        tree = orient(merged, len(nodes.bus), roots, live)
        np.add.at(y_shunt, tree.parent, tree.y_parent * tree.v_scale_parent)
        np.add.at(y_shunt, tree.child, tree.y_child * tree.v_scale_child)
        vm_min, vm_max = voltage_limits(net, nodes)
        return cls(
            s_base_mva=s_base,
            node_bus=nodes.bus,
            bus_node=nodes.node,
            vn_kv=net.bus.vn_kv.loc[nodes.bus].to_numpy(float),
            vm_min=vm_min,
            vm_max=vm_max,
            y_shunt=y_shunt,
            source_node=sources.node,
            source_vm=sources.vm,
            source_ext_grid=sources.ext_grid,
            source_limits=sources.limits,
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
