"""Which load points wait although a tie could reach them: limits of the post-fault network.

After a fault and its isolation, the parts of the net without supply that hang together come back
one after the other over one tie each, the part with the highest demand first. Of all ties between
the part and what is supplied the one counts that brings back most demand, of equal ones the switch
with the smallest index, a soft open point after all switches. That is a tie without impedance, of
the rating of the smaller of its two terminals and without losses, and of several terminals one pair
is used. A tie may lead to a part that another tie has brought back.

Where all of a part does not fit, its load points are picked up one by one, from the tie outwards,
and one that breaks a limit is left out until the repair. Limits hold where the transfer changes
something: the rating of every line, transformer and switch on the way from the source, and the
lower voltage limit of every bus behind the first of them. So a feeder that is over a limit before
takes nothing more. Load flow is LinDistFlow, its limits as in `pp_p2p.network.lindistflow` with the
circle instead of the polygon, without shunts, at high demand (`load_points`); generation and
storage do not help here. What parallel elements go on supplying after the fault is not limited.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np

from planning.fault_effects import FaultEffects, members, sparse_rows
from planning.fault_graph import FaultGraph, labels
from planning.load_points import LoadPoints
from pp_p2p.elements.schema import NONE
from pp_p2p.elements.terminals import live_terminals
from pp_p2p.network.branches import (
    Array,
    Branches,
    line_branches,
    switch_branches,
    trafo_branches,
)
from pp_p2p.network.grid import GridData
from pp_p2p.network.linear_flow import LinearFlow
from pp_p2p.network.nodes import VM_FLOOR_PU
from pp_p2p.network.topology import merge_parallel, orient

TOLERANCE: Final = 1e-9
"""Relative excess of a limit that is rounding."""


def waiting_within_limits(
    net: Any, graph: FaultGraph, effects: FaultEffects, points: LoadPoints
) -> Any:
    """Return sparse (row, load) True where a load point waits for the repair.

    Raises
    ------
    UnsupportedFeature
        The net is not radial.
    """
    grid = GridData.from_net(net)  # refuses loops, and names what lies on them
    network = _Network.from_net(net, grid, graph, points)
    cut_off, lost = (m[:, points.section] for m in (effects.cut_off, effects.waiting))
    waiting = []
    for row in range(len(effects.section)):
        loads = members(cut_off, row)
        if len(loads) > len(members(lost, row)):
            back = _Restoration(network, effects, row).brought_back()
            loads = loads[~back[loads]]
        waiting.append(loads)
    return sparse_rows(waiting, len(points.index))


@dataclass(frozen=True, kw_only=True)
class _Network:
    """What every restoration reads, per unit: branches by vertex, loads, limits, sources."""

    graph: FaultGraph
    branches: Branches
    of_vertex: Array
    of_link: Array
    load_vertex: Array
    load_p: Array
    load_q: Array
    vm_min: Array
    source_vm: Array

    @classmethod
    def from_net(cls, net: Any, grid: GridData, graph: FaultGraph, points: LoadPoints) -> Self:
        base = float(net.sn_mva)
        parts = [
            line_branches(net, base),
            trafo_branches(net, base),
            switch_branches(net, base),
            _sop_branches(net, graph, base),
        ]
        branches = Branches.concatenate(*parts)
        keys = zip(branches.element.tolist(), branches.index.tolist(), strict=True)
        position = {key: k for k, key in enumerate(keys)}
        pairs = zip(graph.element.tolist(), graph.index.tolist(), strict=True)
        body = graph.element[graph.b] != "bus"
        keys_of_links = [
            ("switch", int(row)) if sop == NONE else ("sop", k)
            for k, (row, sop) in enumerate(zip(graph.switch, graph.sop, strict=True))
        ]
        lowest = np.full(len(graph.element), VM_FLOOR_PU)
        if "min_vm_pu" in net.bus:
            buses = graph.element == "bus"
            limit = net.bus.min_vm_pu.astype(float).fillna(VM_FLOOR_PU)
            lowest[buses] = limit.loc[graph.index[buses]].to_numpy(float)
        held = np.concatenate([grid.source_vm, grid.forming_vm])
        vm = dict(zip(grid.root_node.tolist(), held.tolist(), strict=True))
        return cls(
            graph=graph,
            branches=branches,
            of_vertex=np.array([position.get(pair, -1) for pair in pairs], dtype=np.int64),
            of_link=np.array(
                [
                    -1 if terminal else position.get(key, -1)
                    for terminal, key in zip(body, keys_of_links, strict=True)
                ],
                dtype=np.int64,
            ),
            load_vertex=np.array([graph.bus_vertex[int(b)] for b in points.bus], dtype=np.int64),
            load_p=points.high_p_mw / base,
            load_q=points.high_q_mvar / base,
            vm_min=lowest,
            source_vm=np.array([vm[k] for k in grid.nodes_of(graph.index[graph.source])]),
        )


def _sop_branches(net: Any, graph: FaultGraph, base: float) -> Branches:
    """Return soft open points as branches: their index is the link."""
    links = np.flatnonzero(graph.sop != NONE)
    rows = live_terminals(net)
    sn = dict(zip(zip(rows["sop"], rows.bus, strict=True), rows.sn_mva / base, strict=True))
    ends = [graph.index[side[links]].astype(np.int64) for side in (graph.a, graph.b)]
    rated = [[sn[d, bus] for d, bus in zip(graph.sop[links], at, strict=True)] for at in ends]
    none, unknown = np.zeros(len(links), dtype=complex), np.full(len(links), np.inf)
    return Branches(
        element=np.full(len(links), "sop", dtype=object),
        index=links,
        from_bus=ends[0],
        to_bus=ends[1],
        z=none,
        y_from=none,
        y_to=none,
        ratio=np.ones(len(links)),
        shift=np.zeros(len(links)),
        i_max=np.min(np.array(rated, dtype=float).reshape(2, -1), axis=0),
        rated_from_ka=unknown,
        rated_to_ka=unknown,
    )


class _Restoration:
    """What comes back after one fault."""

    def __init__(self, network: _Network, effects: FaultEffects, row: int) -> None:
        graph = network.graph
        self.network = network
        cut_off = np.zeros(graph.n_sections, dtype=bool)
        cut_off[members(effects.cut_off, row)] = True
        dead = cut_off[graph.section] | ~graph.energised
        isolated = graph.section == effects.section[row]
        self.supplied = ~dead & ~isolated
        self.picked = self.supplied[network.load_vertex]
        self.used = graph.closed & ~isolated[graph.a] & ~isolated[graph.b]
        usable = graph.closable & ~isolated[graph.a] & ~isolated[graph.b]
        self.ties = np.flatnonzero(usable).tolist()
        self.ties.sort(key=lambda link: (graph.sop[link], graph.switch[link], link))
        self.part = labels(len(dead), graph.a[self.used], graph.b[self.used])
        self.start = self.picked.copy()

    def brought_back(self) -> Array:
        """Return (load,) True for what ties supply before the repair."""
        while reached := self._parts_in_reach():
            self._supply(reached[0])
        back: Array = self.picked & ~self.start
        return back

    def _parts_in_reach(self) -> list[int]:
        """Return the parts that some tie connects with what is supplied, highest demand first."""
        graph, network = self.network.graph, self.network
        found = {self._beyond(link) for link in self.ties} - {-1}
        demand = np.bincount(
            self.part[network.load_vertex], network.load_p, minlength=int(self.part.max()) + 1
        )
        first = {part: int(graph.index[self.part == part].min()) for part in found}
        return sorted(found, key=lambda part: (-demand[part], first[part]))

    def _beyond(self, link: int) -> int:
        """Return the part without supply that a tie leads to; -1 where it leads to none."""
        a, b = int(self.network.graph.a[link]), int(self.network.graph.b[link])
        if self.supplied[a] == self.supplied[b] or (
            self.network.graph.one_way[link] and self.supplied[b]
        ):
            return -1
        return int(self.part[b if self.supplied[a] else a])

    def _supply(self, part: int) -> None:
        """Connect `part` over its best tie."""
        network = self.network
        mine = np.flatnonzero(self.part[network.load_vertex] == part)
        best, served, most = -1, np.zeros(0, dtype=np.int64), -1.0
        for link in self.ties:
            if self._beyond(link) != part:
                continue
            loads = self._pick_up(part, link, mine)
            demand = float(network.load_p[loads].sum())
            if demand > most * (1 + TOLERANCE) + TOLERANCE:
                best, served, most = link, loads, demand
            if len(loads) == len(mine):
                break
        self.used[best] = True
        sop = self.network.graph.sop
        if sop[best] != NONE:
            self.ties = [link for link in self.ties if sop[link] != sop[best]]
        self.supplied |= self.part == part
        self.picked[served] = True

    def _pick_up(self, part: int, link: int, mine: Array) -> Array:
        """Return which of the loads `mine` of `part` fit behind the tie `link`."""
        if not len(mine):
            return mine
        state = _State(self, part, link)
        if state.fits(mine):
            return mine
        taken: list[int] = []
        for load in mine[np.lexsort((mine, state.distance[mine]))]:
            if state.fits(np.array([*taken, load])):
                taken.append(int(load))
        return np.array(sorted(taken), dtype=np.int64)


class _State:
    """The radial network in which `part` hangs on the tie `link`."""

    def __init__(self, restoration: _Restoration, part: int, link: int) -> None:
        network = self.network = restoration.network
        graph = network.graph
        alive = restoration.supplied | (restoration.part == part)
        closed = restoration.used & alive[graph.a] & alive[graph.b]
        closed[link] = True
        body = graph.element[graph.b] != "bus"
        whole = np.bincount(graph.b[closed & body], minlength=len(alive)) == 2
        solid = closed & ~body & (network.of_link < 0)
        node = labels(len(alive), graph.a[solid], graph.b[solid])
        carried = np.concatenate(
            [network.of_vertex[whole & alive], network.of_link[closed & (network.of_link >= 0)]]
        )
        rows = network.branches.take(np.sort(carried))
        at = {bus: int(node[v]) for bus, v in graph.bus_vertex.items()}
        ends = [np.array([at[int(b)] for b in side]) for side in (rows.from_bus, rows.to_bus)]
        merged = merge_parallel(rows, *ends)
        source = node[graph.source]
        tree = orient(merged, int(node.max()) + 1, np.unique(source), rows)
        self.flow = LinearFlow.of_tree(tree, int(node.max()) + 1, source, network.source_vm)
        self.load_node = node[network.load_vertex]
        self.start = restoration.picked
        lowest = np.full(int(node.max()) + 1, VM_FLOOR_PU)
        np.maximum.at(lowest, node, np.where(alive, network.vm_min, VM_FLOOR_PU))
        self.v_min = lowest**2
        own = np.isin(np.arange(len(lowest)), node[restoration.part == part])
        self.changed = self.flow.behind[:, own].any(axis=1)
        self.touched = self.flow.behind[self.changed].any(axis=0)
        depth = np.zeros(len(lowest))
        depth[tree.child] = 1.0 + np.arange(len(tree.child))
        self.distance = depth[self.load_node]

    def fits(self, loads: Array) -> bool:
        """Return whether the limits hold with `loads` beside what was supplied before."""
        served = self.start.copy()
        served[loads] = True
        n = len(self.v_min)
        at = self.load_node[served]
        p = np.bincount(at, self.network.load_p[served], minlength=n)
        q = np.bincount(at, self.network.load_q[served], minlength=n)
        flow_p, flow_q = self.flow.flows(p, q)
        within = np.hypot(flow_p, flow_q) <= self.flow.tree.i_max * (1 + TOLERANCE)
        v = self.flow.squared_voltage(flow_p, flow_q)
        high = v >= self.v_min * (1 - TOLERANCE)
        return bool(within[self.changed].all() and high[self.touched].all())
