"""The net as a protection engineer sees it: what trips together, what can be switched off alone.

Vertices are buses and the bodies of lines and transformers, links are what connects them: the
terminals of the elements and the bus-bus switches. A link is solid, or it holds a device:

    isolator    a switch of type ``"LBS"``, ``"LS"``, ``"DS"``, of any other type, or of none
    fuse        a switch of type ``"fuse"`` (capital letters do not matter)
    breaker     a switch of type ``"CB"``

Two devices in series at one terminal count as the stronger one. Breakers and fuses clear faults;
every device, opened while dead, isolates. Hence two partitions of the vertices:

    zone        what hangs together without passing a breaker or fuse
    section     what hangs together without passing any device

Busbars of substations are the buses that closed bus-bus switches connect with an external grid,
and those connected likewise with the low-voltage side of a transformer that stands there. Their
switchgear is rarely part of a net, so every terminal at them is taken to have a breaker unless the
caller says that only the switches of the net count.

Soft open points in service are links, too, open and without a switch: after a fault one feeds what
has lost its source from any of its terminals to one that is ``grid_forming``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self, get_args

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pp_p2p.elements.schema import NONE
from pp_p2p.elements.terminals import live_terminals, resupply_ways
from pp_p2p.errors import Finding, InvalidInput
from pp_p2p.network.branches import Array

Isolators = Literal["switches", "every_branch"]

SOLID, ISOLATOR, FUSE, BREAKER = range(4)

_KINDS: Final = {"cb": BREAKER, "fuse": FUSE}

_TERMINALS: Final = {
    "line": ("l", ("from_bus", "to_bus")),
    "trafo": ("t", ("hv_bus", "lv_bus")),
}
"""Elements that fail: their letter in ``net.switch.et``, and their bus columns."""


@dataclass(frozen=True, kw_only=True)
class FaultGraph:
    """Vertices and links of a net, its sections and zones.

    Parameters
    ----------
    element, index : (vertex,) of str, of int
        ``"bus"``, ``"line"`` or ``"trafo"``, and the row in that table.
    bus_vertex : mapping int -> int
        Vertex of every bus in service.
    a, b : (link,) of int
        Vertices that a link connects; `a` is a bus.
    switch : (link,) of int
        Row of ``net.switch``; -1 where the link has none.
    kind : (link,) of int
        `SOLID`, `ISOLATOR`, `FUSE` or `BREAKER`.
    closed, closable : (link,) of bool
        State in normal operation; whether an open one may be closed after a fault.
    sop : (link,) of int
        Row of ``net.sop``; -1 for all other links.
    one_way : (link,) of bool
        Whether only what hangs on `b` can be fed over it, from `a`.
    source : (source,) of int
        Vertices that hold the voltage: external grids, and soft open points that form islands.
    busbar : (vertex,) of bool
        Busbars of substations.
    energised : (vertex,) of bool
        What an external grid feeds in normal operation.
    section, zone : (vertex,) of int
    """

    element: Array
    index: Array
    bus_vertex: Mapping[int, int]
    a: Array
    b: Array
    switch: Array
    kind: Array
    closed: Array
    closable: Array
    sop: Array
    one_way: Array
    source: Array
    busbar: Array
    energised: Array
    section: Array
    zone: Array

    @classmethod
    def from_net(
        cls,
        net: Any,
        *,
        isolators: Isolators = "switches",
        feeder_breakers: bool = True,
        candidate_lines: Iterable[int] = (),
    ) -> Self:
        """Read buses, lines, transformers, switches and external grids of `net`.

        Parameters
        ----------
        net : pandapowerNet
        isolators : {"switches", "every_branch"}
            Whether only switches of the net isolate, or every line and transformer can be taken
            out at both ends (nets without switches).
        feeder_breakers : bool
            Whether every terminal at a busbar of a substation has a breaker of its own.
        candidate_lines : iterable of int
            Lines read as if in service and open, which no one may close: ties that may be built.

        Raises
        ------
        InvalidInput
            An unknown word for `isolators`.
        """
        if isolators not in get_args(Isolators):
            words = ", ".join(map(repr, get_args(Isolators)))
            raise InvalidInput(
                Finding(table="isolators", rule=f"is {isolators!r}", mend=f"use one of {words}")
            )
        links = _Links(net, set(candidate_lines))
        closed, kind = np.array(links.closed, dtype=bool), np.array(links.kind, dtype=np.int64)
        a, b = np.array(links.a, dtype=np.int64), np.array(links.b, dtype=np.int64)
        terminal = np.array([links.element[v] != "bus" for v in b.tolist()], dtype=bool)
        n = len(links.element)
        alive = labels(n, a[closed], b[closed])
        source, formed_by = _sources(net, links, alive)
        busbar = _busbars(links, a, b, closed, terminal, source)
        if isolators == "every_branch":
            kind = np.where(terminal, np.maximum(kind, ISOLATOR), kind)
        if feeder_breakers:
            kind = np.where(terminal & busbar[a], BREAKER, kind)
        solid, inside = closed & (kind == SOLID), closed & (kind < FUSE)
        sop = np.array(links.sop, dtype=np.int64)
        own = [formed_by.get(int(alive[v]), NONE) for v in range(n)]
        forms = np.array(
            [d != NONE and d in (own[i], own[j]) for d, i, j in zip(sop, a, b, strict=True)],
            dtype=bool,
        )
        return cls(
            element=np.array(links.element, dtype=object),
            index=np.array(links.index, dtype=np.int64),
            bus_vertex=links.bus_vertex,
            a=a,
            b=b,
            switch=np.array(links.switch, dtype=np.int64),
            kind=kind,
            closed=closed,
            closable=~closed & np.array(links.closable, dtype=bool) & ~forms,
            sop=sop,
            one_way=np.array(links.one_way, dtype=bool),
            source=source,
            busbar=busbar,
            energised=np.isin(alive, alive[source]),
            section=labels(n, a[solid], b[solid]),
            zone=labels(n, a[inside], b[inside]),
        )

    @property
    def n_sections(self) -> int:
        """Number of sections."""
        return int(self.section.max(initial=-1)) + 1

    def section_of(self, buses: Iterable[int]) -> Array:
        """Return the section of each bus; -1 where no external grid feeds it."""
        vertices = [self.bus_vertex.get(int(bus), -1) for bus in buses]
        return np.array(
            [self.section[v] if v >= 0 and self.energised[v] else -1 for v in vertices],
            dtype=np.int64,
        )


def labels(n: int, a: Array, b: Array) -> Array:
    """Return (vertex,) the component of each of `n` vertices under the links a-b."""
    links = coo_array((np.ones(len(a), dtype=np.int8), (a, b)), shape=(n, n))
    return np.asarray(connected_components(links, directed=False)[1], dtype=np.int64)


class _Links:
    """Collects vertices and links row by row, in the order of the tables' indices."""

    def __init__(self, net: Any, candidates: set[int]) -> None:
        buses = sorted(int(bus) for bus in net.bus.index[net.bus.in_service.to_numpy(bool)])
        self.bus_vertex = {bus: v for v, bus in enumerate(buses)}
        self.element: list[str] = ["bus"] * len(buses)
        self.index: list[int] = list(buses)
        self.a: list[int] = []
        self.b: list[int] = []
        self.switch: list[int] = []
        self.kind: list[int] = []
        self.closed: list[bool] = []
        self.closable: list[bool] = []
        self.sop: list[int] = []
        self.one_way: list[bool] = []
        devices = _devices(net)
        for table in _TERMINALS:
            self._add_elements(net, table, devices, candidates if table == "line" else set())
        for row, bus, other, closed, kind in _bus_bus(net):
            if bus in self.bus_vertex and other in self.bus_vertex:
                self._link(self.bus_vertex[bus], self.bus_vertex[other], row, kind, closed, True)
        self.terminals = live_terminals(net)
        for sop, one, two, one_way in resupply_ways(self.terminals):
            if one in self.bus_vertex and two in self.bus_vertex:
                ends = self.bus_vertex[one], self.bus_vertex[two]
                self._link(*ends, -1, ISOLATOR, False, True)
                self.sop[-1], self.one_way[-1] = sop, one_way

    def _add_elements(
        self,
        net: Any,
        table: str,
        devices: Mapping[tuple[str, int, int], tuple[int, int, bool]],
        candidates: set[int],
    ) -> None:
        letter, ends = _TERMINALS[table]
        rows = net[table].sort_index()
        for row, in_service, *buses in rows[["in_service", *ends]].itertuples(name=None):
            candidate = int(row) in candidates
            if not (in_service or candidate):
                continue
            vertex = len(self.element)
            self.element.append(table)
            self.index.append(int(row))
            found = [devices.get((letter, int(row), int(bus)), (-1, SOLID, True)) for bus in buses]
            if candidate and all(closed for _, _, closed in found):
                found[0] = (found[0][0], max(found[0][1], ISOLATOR), False)
            for bus, (switch, kind, closed) in zip(buses, found, strict=True):
                if int(bus) in self.bus_vertex:
                    at = self.bus_vertex[int(bus)]
                    self._link(at, vertex, switch, kind, closed, not candidate)

    def _link(self, a: int, b: int, switch: int, kind: int, closed: bool, closable: bool) -> None:
        self.a.append(a)
        self.b.append(b)
        self.switch.append(switch)
        self.kind.append(kind)
        self.closed.append(closed)
        self.closable.append(closable)
        self.sop.append(NONE)
        self.one_way.append(False)


def _devices(net: Any) -> dict[tuple[str, int, int], tuple[int, int, bool]]:
    """Return switch row, kind and state at each terminal; of several the strongest, in series."""
    found: dict[tuple[str, int, int], tuple[int, int, bool]] = {}
    for row, bus, element, et, kind, closed in _switches(net):
        if et in {"l", "t"}:
            before = found.get((et, element, bus), (row, SOLID, True))
            found[et, element, bus] = (before[0], max(before[1], kind), before[2] and closed)
    return found


def _bus_bus(net: Any) -> Iterator[tuple[int, int, int, bool, int]]:
    for row, bus, element, et, kind, closed in _switches(net):
        if et == "b" and bus != element:
            yield row, bus, element, closed, kind


def _switches(net: Any) -> Iterator[tuple[int, int, int, str, int, bool]]:
    columns = ["bus", "element", "et", "type", "closed"]
    for row, bus, element, et, kind, closed in net.switch.sort_index()[columns].itertuples(
        name=None
    ):
        known = _KINDS.get(str(kind).strip().lower(), ISOLATOR)
        yield int(row), int(bus), int(element), str(et), known, bool(closed)


def _sources(net: Any, links: _Links, alive: Array) -> tuple[Array, dict[int, int]]:
    """Return the vertices that hold the voltage: external grids, and of islands what forms them.

    And of those islands, by their label in `alive`, the soft open point.
    """
    grids = net.ext_grid.bus[net.ext_grid.in_service.to_numpy(bool)]
    found = {links.bus_vertex[int(bus)] for bus in grids if int(bus) in links.bus_vertex}
    formed_by: dict[int, int] = {}
    terminals = links.terminals.sort_index()
    terminals = terminals[terminals.grid_forming.to_numpy(bool)]
    for bus, sop in zip(terminals.bus.tolist(), terminals["sop"].tolist(), strict=True):
        vertex = links.bus_vertex.get(int(bus))
        if vertex is not None and alive[vertex] not in {alive[v] for v in found}:
            found.add(vertex)
            formed_by[int(alive[vertex])] = int(sop)
    return np.array(sorted(found), dtype=np.int64), formed_by


def _busbars(
    links: _Links, a: Array, b: Array, closed: Array, terminal: Array, source: Array
) -> Array:
    """Return (vertex,) True for the busbars of substations."""
    coupled = labels(len(links.element), a[closed & ~terminal], b[closed & ~terminal])
    bar: Array = np.isin(coupled, coupled[source])
    is_trafo = np.array([element == "trafo" for element in links.element], dtype=bool)
    supplied = closed & terminal & bar[a] & is_trafo[b]
    standing = np.zeros_like(bar)
    standing[b[supplied]] = True
    behind = a[closed & terminal & standing[b]]
    bar |= np.isin(coupled, coupled[behind])
    bar &= np.array([element == "bus" for element in links.element], dtype=bool)
    return bar
