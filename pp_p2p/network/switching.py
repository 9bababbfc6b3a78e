"""`SwitchGraph`: everything that could be closed in a net, as a graph with loops.

`GridData` is the radial network as it stands; this is the network a reconfiguration chooses from:
nodes, the edges that are closed for good, and the edges that a switch or the user's list lets open
and close. An open edge may leave one end of its line energised: that admittance is kept.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd

from pp_p2p.errors import Finding, InvalidInput, raise_if_any
from pp_p2p.network.branches import Array, Branches, dangling_admittance
from pp_p2p.network.grid import GridData
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
from pp_p2p.network.switch_tables import (
    Switchable,
    bad_rows,
    default_switchable,
    is_closed,
    nothing_to_switch,
    operating_switches,
    set_closed,
)
from pp_p2p.network.topology import Tree, merge_parallel


@dataclass(frozen=True, kw_only=True)
class SwitchGraph:
    """Nodes and edges of all possible configurations, per unit.

    Parameters
    ----------
    s_base_mva : float
    node_bus : (node,) of int
        Smallest pandapower bus of each node.
    bus_node : mapping int -> int
    vn_kv, vm_min, vm_max : (node,) of float
    y_node : (node,) of complex
        Shunts that are there in every configuration.
    root, root_vm, root_ext_grid : (root,)
        Nodes with fixed voltage, that voltage, and the row of ``net.ext_grid``.
    root_limits : SourceLimits
        What these may feed in.
    tail, head : (edge,) of int
    z : (edge,) of complex
        Series impedance.
    scale : (edge,) of float
        Squared voltage behind the ratio at the tail, per squared voltage of the tail.
    y_tail, y_head : (edge,) of complex
        Shunts of a closed edge at its ends, on the voltage of the node.
    y_tail_open, y_head_open : (edge,) of complex
        What stays connected to either end while the edge is open.
    i_max : (edge,) of float
    switchable, closed : (edge,) of bool
        Whether the edge may be operated, and whether it is closed now.
    element, index : (edge,)
        ``"line"``, ``"switch"``, ``"trafo"`` and the row of that table; of merged fixed elements,
        the first.
    """

    s_base_mva: float
    node_bus: Array
    bus_node: Mapping[int, int]
    vn_kv: Array
    vm_min: Array
    vm_max: Array
    y_node: Array
    root: Array
    root_vm: Array
    root_ext_grid: Array
    root_limits: SourceLimits
    tail: Array
    head: Array
    z: Array
    scale: Array
    y_tail: Array
    y_head: Array
    y_tail_open: Array
    y_head_open: Array
    i_max: Array
    switchable: Array
    closed: Array
    element: Array
    index: Array

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return len(self.node_bus)

    @property
    def n_edges(self) -> int:
        """Number of edges, open ones included."""
        return len(self.tail)

    @property
    def n_open(self) -> int:
        """Number of edges that are open in every radial configuration."""
        return self.n_edges - (self.n_nodes - len(self.root))

    def name(self, edge: int) -> str:
        """Return the edge's element in words: ``line 6``."""
        return f"{self.element[edge]} {self.index[edge]}"

    def as_grid(self) -> GridData:
        """Return all edges, as if closed, as the branches of a `GridData` with loops.

        Its branches are the edges in their order, tail as parent. Shunts of edges count as
        connected whether the edge is closed or not.
        """
        y = self.y_node.copy()
        np.add.at(y, self.tail, self.y_tail)
        np.add.at(y, self.head, self.y_head)
        order, ones = np.arange(self.n_edges), np.ones(self.n_edges)
        edges = Branches(
            element=self.element,
            index=self.index,
            from_bus=self.node_bus[self.tail],
            to_bus=self.node_bus[self.head],
            z=self.z,
            y_from=self.y_tail / self.scale,
            y_to=self.y_head,
            ratio=1.0 / np.sqrt(self.scale),
            shift=np.zeros(self.n_edges),
            i_max=self.i_max,
            rated_from_ka=np.full(self.n_edges, np.inf),
            rated_to_ka=np.full(self.n_edges, np.inf),
        )
        tree = Tree(
            parent=self.tail,
            child=self.head,
            r=self.z.real,
            x=self.z.imag,
            v_scale_parent=self.scale,
            v_scale_child=ones,
            y_parent=edges.y_from,
            y_child=edges.y_to,
            i_max=self.i_max,
            reversed=np.zeros(self.n_edges, dtype=bool),
            position=order,
        )
        return GridData(
            s_base_mva=self.s_base_mva,
            node_bus=self.node_bus,
            bus_node=self.bus_node,
            vn_kv=self.vn_kv,
            vm_min=self.vm_min,
            vm_max=self.vm_max,
            y_shunt=y,
            source_node=self.root,
            source_vm=self.root_vm,
            source_ext_grid=self.root_ext_grid,
            source_limits=self.root_limits,
            branches=edges,
            branch_of=order,
            share=ones.astype(complex),
            tree=tree,
        )

    @classmethod
    def from_net(cls, net: Any, switchable: Switchable | None = None) -> Self:
        """Read a pandapower net.

        Parameters
        ----------
        net : pandapowerNet
        switchable : mapping, optional
            ``{"line": [...], "switch": [...]}``; see `default_switchable` for the default.

        Raises
        ------
        InvalidInput
            A row that does not exist, no switchable element, or loads that no configuration feeds.
        UnsupportedFeature
            As `GridData.from_net`.
        """
        raise_unsupported(net)
        chosen = default_switchable(net) if switchable is None else switchable
        raise_if_any(bad_rows(net, chosen))
        lines = [int(k) for k in chosen.get("line", ())]
        switches = [int(k) for k in chosen.get("switch", ())]
        if not lines and not switches:
            raise InvalidInput(nothing_to_switch())
        everything = _closed_copy(net, lines, switches)
        s_base = float(net.sn_mva)
        live, dangling = closed_branches(everything, s_base)
        direct = _zero_impedance(net, everything, switches, s_base)
        live = Branches.concatenate(live, direct)
        nodes = Nodes.energised(everything, fuse(everything), live)
        live = live.take(nodes.has(live.from_bus) & nodes.has(live.to_bus))
        raise_if_any(_unfed(net, nodes))
        y_node = shunts(net, nodes, s_base) + dangling_shunts(dangling, nodes)
        sources = Sources.of(everything, nodes, s_base)
        movable = _movable(live, lines, switches)
        edges = _edges(live, movable, nodes)
        closed = _closed_now(net, edges)
        y_open = _open_admittance(net, edges)
        vm_min, vm_max = voltage_limits(everything, nodes)
        ends = [nodes.of(edges.from_bus), nodes.of(edges.to_bus)]
        scale = 1.0 / edges.ratio**2
        return cls(
            s_base_mva=s_base,
            node_bus=nodes.bus,
            bus_node=nodes.node,
            vn_kv=net.bus.vn_kv.loc[nodes.bus].to_numpy(float),
            vm_min=vm_min,
            vm_max=vm_max,
            y_node=y_node,
            root=sources.node,
            root_vm=sources.vm,
            root_ext_grid=sources.ext_grid,
            root_limits=sources.limits,
            tail=ends[0],
            head=ends[1],
            z=edges.z,
            scale=scale,
            y_tail=edges.y_from * scale,
            y_head=edges.y_to,
            y_tail_open=y_open[0],
            y_head_open=y_open[1],
            i_max=edges.i_max,
            switchable=_movable(edges, lines, switches),
            closed=closed,
            element=edges.element,
            index=edges.index,
        )


def _closed_copy(net: Any, lines: list[int], switches: list[int]) -> Any:
    """Return `net` with everything that may be operated closed; direct switches are left out."""
    whole = copy.deepcopy(net)
    for line in lines:
        set_closed(whole, "line", line, closed=True)
    for switch in switches:
        direct = not _z_ohm(whole, switch) > 0
        whole.switch.loc[switch, "closed"] = not direct  # else its buses would be fused
    return whole


def _z_ohm(net: Any, switch: int) -> float:
    return float(net.switch.z_ohm.fillna(0.0)[switch]) if "z_ohm" in net.switch else 0.0


def _zero_impedance(net: Any, everything: Any, switches: list[int], s_base: float) -> Branches:
    """Return the operable bus-bus switches without impedance as branches."""
    there = set(everything.bus.index[everything.bus.in_service.to_numpy(bool)])
    rows = net.switch.loc[[k for k in switches if not _z_ohm(net, k) > 0]]
    rows = rows[rows.bus.isin(there) & rows.element.isin(there)]
    vn_kv = net.bus.vn_kv.loc[rows.bus.to_numpy()].to_numpy(float)
    rated = rows.in_ka.to_numpy(float) if "in_ka" in rows else np.full(len(rows), np.nan)
    rated = np.where(np.isnan(rated) | (rated <= 0), np.inf, rated)
    none = np.zeros(len(rows), dtype=complex)
    return Branches(
        element=np.full(len(rows), "switch", dtype=object),
        index=rows.index.to_numpy(np.int64),
        from_bus=rows.bus.to_numpy(np.int64),
        to_bus=rows.element.to_numpy(np.int64),
        z=none,
        y_from=none,
        y_to=none,
        ratio=np.ones(len(rows)),
        shift=np.zeros(len(rows)),
        i_max=rated * np.sqrt(3) * vn_kv / s_base,
        rated_from_ka=rated,
        rated_to_ka=rated,
    )


def _movable(branches: Branches, lines: list[int], switches: list[int]) -> Array:
    is_line, is_switch = branches.element == "line", branches.element == "switch"
    mask: Array = (is_line & np.isin(branches.index, lines)) | (
        is_switch & np.isin(branches.index, switches)
    )
    return mask


def _edges(live: Branches, movable: Array, nodes: Nodes) -> Branches:
    """Return the operable branches as they are, and the fixed ones with parallel ones merged."""
    fixed = live.take(~movable)
    merged = merge_parallel(fixed, nodes.of(fixed.from_bus), nodes.of(fixed.to_bus))
    first = np.array(
        [np.flatnonzero(merged.member_of == b)[0] for b in range(len(merged.z))], dtype=np.int64
    )
    kept = fixed.take(first)
    joined = Branches(
        element=kept.element,
        index=kept.index,
        from_bus=kept.from_bus,
        to_bus=kept.to_bus,
        z=merged.z,
        y_from=merged.y_from,
        y_to=merged.y_to,
        ratio=merged.ratio,
        shift=kept.shift,
        i_max=merged.i_max,
        rated_from_ka=kept.rated_from_ka,
        rated_to_ka=kept.rated_to_ka,
    )
    both = Branches.concatenate(joined, live.take(movable))
    table = np.where(both.element == "line", 0, np.where(both.element == "trafo", 1, 2))
    return both.take(np.lexsort((both.index, table)))


def _closed_now(net: Any, edges: Branches) -> Array:
    pairs = zip(edges.element.tolist(), edges.index.tolist(), strict=True)
    return np.array([name == "trafo" or is_closed(net, name, row) for name, row in pairs], bool)


def _open_admittance(net: Any, edges: Branches) -> tuple[Array, Array]:
    """Return what an open line leaves connected at its from and its to end."""
    at_from, at_to = (np.zeros(len(edges), dtype=complex) for _ in range(2))
    for live_from, out in ((True, at_from), (False, at_to)):
        mask = np.full(len(edges), live_from)
        seen = dangling_admittance(edges, mask)
        for k in np.flatnonzero((edges.element == "line") & (seen != 0)):
            switches = operating_switches(net, int(edges.index[k]))
            open_at = {int(bus) for bus in net.switch.bus.loc[switches]}
            end, other = int(edges.from_bus[k]), int(edges.to_bus[k])
            if not live_from:
                end, other = other, end
            if other in open_at and end not in open_at:
                out[k] = seen[k]
    return at_from, at_to


def _unfed(net: Any, nodes: Nodes) -> list[Finding]:
    """Yield the loads and generators that no configuration feeds."""
    there = set(net.bus.index[net.bus.in_service.to_numpy(bool)].tolist())
    found = []
    for name in ("load", "sgen", "storage"):
        rows: pd.DataFrame = net[name][net[name].in_service.to_numpy(bool)]
        lost = rows.index[[b in there and b not in nodes.node for b in rows.bus.tolist()]]
        if len(lost):
            found.append(
                Finding(
                    table=name,
                    column="bus",
                    rows=tuple(lost.tolist()),
                    rule="stand where no radial configuration feeds them",
                    mend="add switches or lines that reach them, or take them out of service",
                )
            )
    return found
