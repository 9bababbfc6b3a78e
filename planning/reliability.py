"""Expected energy not served within a plan, after isolation, ties and stored reserves.

Faults and what they interrupt are those of `fault_effects`; what one cuts off falls into the
faulty section itself, which waits for the repair, and the parts behind it that hang together. For
each such part c of a fault f, with D the average demand of a set of sections:

    EENS = sum_f lambda_f [ tau_f D(interrupted) + (r_f - tau_f) D(section) ]
           + sum_c lambda_f [ (r_f - tau_f) D(c) - e_c ]                                  (1)
    0 <= e_c <= (r_f - tau_f) D(c)                                                        (2)
    e_c <= [ties lead from c to what is supplied] (r_f - tau_f) D(c) + s_c                (3)
    s_c <= sum_k eta_k E_k,   s_c <= (r_f - tau_f) sum_k P_k        (reserves k within c)  (4)

A line that is built fails too, and interrupts where it hangs; its own fault it cannot bring back.
Ties lead on through other parts: what one brings back feeds the next. (4) is the convex surrogate
of islanding: the reserve is never used in normal operation, whatever the hour of the fault.

`planning.reliability_indices` of the net in which the plan is built gives the same EENS where no
reserve is built, for both know the same faults, ties and times; ties have no limits here
(``capacity=False`` there), and reserves are known only here. Soft open points are ties that lead
to their grid-forming terminals, in both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from planning.fault_effects import FaultEffects, members, sparse_rows
from planning.fault_graph import FaultGraph, Isolators
from planning.remote_control import Restoration, early_hours, remote_times, restorations
from pp_p2p.elements.schema import NONE
from pp_p2p.network.branches import Array

_FED, _DEAD = -1, -2


_NO_PAIRS = np.zeros((0, 2), dtype=np.int64)


class Tie(NamedTuple):
    """What connects buses `a` and `b` after a fault, or feeds `b` from `a` alone.

    `line` is its row, whose own faults take it out; `NONE` for a soft open point.
    """

    a: int
    b: int
    line: int = NONE
    one_way: bool = False


class Link(NamedTuple):
    """What a tie does after faults: `direct` (part,) it brings back, `between` (pair, 2) parts.

    `onward` (pair, 2) are parts of which only the first can feed the second.
    """

    direct: Array
    between: Array
    onward: Array = _NO_PAIRS


@dataclass(frozen=True, kw_only=True)
class Faults:
    """All faults with a rate, and the parts of the net that each cuts off.

    Parameters
    ----------
    graph : FaultGraph
    rate : (fault,) of float
        Faults per year.
    switching_h, outage_h : (fault,) of float
        Time until switching is done, h; the time until repair beyond it, h.
    line : (fault,) of int
        Row of ``net.line`` whose fault happens only where the line is built; -1 for all others.
    zone, alone : sparse (fault, section) of bool
        What is interrupted; what waits for the repair whatever is built.
    part_fault : (part,) of int
        The fault that cuts a part off.
    below, waiting : sparse (part, section) of bool
        The sections of the part; what has no supply after its fault, with the ties that exist.
    tied : (part,) of bool
        Whether a tie that exists brings the part back.
    row : (fault,) of int
        Row of the effects: what faults of one section share.
    early : tuple of Restoration
        What may be back before switching by hand is done.
    remote_h : mapping
        Time (h) of every switch that has remote control, or may get it.
    candidate_switches : frozenset of int
        Those that may get it.
    """

    graph: FaultGraph
    rate: Array
    switching_h: Array
    outage_h: Array
    line: Array
    zone: Any
    alone: Any
    part_fault: Array
    below: Any
    waiting: Any
    tied: Array
    row: Array
    early: tuple[Restoration, ...]
    remote_h: Mapping[int, float]
    candidate_switches: frozenset[int]

    @classmethod
    def from_net(
        cls,
        net: Any,
        candidate_lines: Iterable[int] = (),
        *,
        candidate_switches: Mapping[int, float] | None = None,
        isolators: Isolators = "every_branch",
        feeder_breakers: bool = True,
    ) -> Self:
        """Read faults, devices and ties of `net`; `candidate_lines` are not ties yet.

        `candidate_switches` maps rows of ``net.switch`` to the time (h) of a remote control that
        they may get.

        Raises
        ------
        InvalidInput
            An element that fails and has no repair time.
        """
        candidates = sorted({int(row) for row in candidate_lines})
        graph = FaultGraph.from_net(
            net,
            isolators=isolators,
            feeder_breakers=feeder_breakers,
            candidate_lines=candidates,
        )
        effects = FaultEffects.from_net(net, graph)
        some = np.flatnonzero(effects.rate > 0)
        missing = [row for row in candidates if not bool(net.line.in_service[row])]
        new = (effects.element[some] == "line") & np.isin(effects.index[some], missing)
        row = effects.row[some]
        of, below = _parts(graph, effects, row)
        waiting = effects.waiting[row[of]]
        remote = remote_times(net) | dict(candidate_switches or {})
        return cls(
            graph=graph,
            rate=effects.rate[some],
            switching_h=effects.switching_h[some],
            outage_h=(effects.repair_h - effects.switching_h)[some],
            line=np.where(new, effects.index[some], NONE),
            zone=effects.interrupted[row],
            alone=sparse_rows(list(effects.section[row][:, None]), graph.n_sections),
            part_fault=of,
            below=below,
            waiting=waiting,
            tied=np.asarray((below * waiting).sum(axis=1) == 0),
            row=row,
            early=tuple(restorations(graph, effects, remote)),
            remote_h=remote,
            candidate_switches=frozenset(candidate_switches or ()),
        )

    def demand(self, buses: Array, mw: Array) -> Array:
        """Return (section,) the sum of `mw` at `buses`."""
        section = self.graph.section_of(buses)
        fed = section >= 0
        return np.bincount(section[fed], np.asarray(mw)[fed], minlength=self.graph.n_sections)

    def reached_by(self, a: int, b: int, line: int = NONE) -> Array:
        """Return (part,) True where a tie between buses `a` and `b` brings the part back alone."""
        reached = np.zeros(len(self.part_fault), dtype=bool)
        reached[self.link(a, b, line).direct] = True
        return reached

    def link(self, a: int, b: int, line: int = NONE, one_way: bool = False) -> Link:
        """Return what a `Tie` connects after each fault."""
        one, two = self.graph.section_of([a, b]).tolist()
        return self._link(one, two, line, one_way)

    @cached_property
    def existing(self) -> Link:
        """What the ties that exist connect, beside what they bring back."""
        graph, links = self.graph, []
        for k in np.flatnonzero(graph.closable).tolist():
            ends = int(graph.section[graph.a[k]]), int(graph.section[graph.b[k]])
            links.append(self._link(*ends, NONE, bool(graph.one_way[k])))
        return Link(
            np.zeros(0, dtype=np.int64),
            np.concatenate([_NO_PAIRS, *(link.between for link in links)]),
            np.concatenate([_NO_PAIRS, *(link.onward for link in links)]),
        )

    def _link(self, one: int, two: int, line: int, one_way: bool) -> Link:
        at, to = self._place(one), self._place(two)
        there = (self.line != line) if line != NONE else np.ones(len(at), dtype=bool)
        direct = [to[(to >= 0) & (at == _FED) & there]]
        if not one_way:
            direct.append(at[(at >= 0) & (to == _FED) & there])
        both = (at >= 0) & (to >= 0) & (at != to) & there
        pairs = np.stack([at[both], to[both]], axis=1)
        held = (_NO_PAIRS, pairs) if one_way else (pairs, _NO_PAIRS)
        return Link(np.concatenate(direct), *held)

    def _place(self, section: int) -> Array:
        """Return (fault,) the part in which a section is, or `_FED`, or `_DEAD`."""
        place = np.full(len(self.rate), _FED if section >= 0 else _DEAD, dtype=np.int64)
        if section >= 0:
            place[_column(self.alone, section)] = _DEAD
            parts = np.flatnonzero(_column(self.below, section))
            place[self.part_fault[parts]] = np.where(self.tied[parts], _FED, parts)
        return place

    def restored(self, links: Iterable[Link]) -> Array:
        """Return (part,) True where ties bring the part back: those that exist, and `links`."""
        restored, held = self.tied.copy(), [self.existing, *links]
        for link in held:
            restored[link.direct] = True
        between = np.concatenate([link.between for link in held])
        onward = np.concatenate([between, between[:, ::-1], *(link.onward for link in held)])
        while True:
            ends = restored[onward]
            reached = ends[:, 0] & ~ends[:, 1]
            if not reached.any():
                return restored
            restored[onward[reached, 1]] = True

    def within(self, bus: int) -> Array:
        """Return (part,) True where `bus` is in the part."""
        return _column(self.below, int(self.graph.section_of([bus])[0]))

    def early_mwh(self, demand_mw: Array, remote: Iterable[int] = ()) -> Array:
        """Return (fault,) the energy per fault that remote control saves, MWh.

        `remote` are the candidate switches that got it.
        """
        have = {*(self.remote_h.keys() - self.candidate_switches), *remote}
        times = {row: t for row, t in self.remote_h.items() if row in have}
        saved = np.zeros(len(self.rate))
        for one in self.early:
            f = np.flatnonzero(self.row == one.row)
            hours = early_hours(one, self.switching_h[f], times)
            saved[f] += hours * float(demand_mw[one.sections].sum())
        return saved

    def waiting_mwh(self, demand_mw: Array) -> Array:
        """Return (part,) the energy per fault that a part waits for after switching, MWh."""
        waiting: Array = self.outage_h[self.part_fault] * (self.below @ demand_mw)
        return waiting

    def certain_mwh(self, demand_mw: Array) -> Array:
        """Return (fault,) the energy per fault that nothing brings back, MWh."""
        switching = self.switching_h * (self.zone @ demand_mw)
        certain: Array = switching + self.outage_h * (self.alone @ demand_mw)
        return certain


@dataclass(frozen=True, kw_only=True)
class Reserve:
    """Stored energy at a bus that is kept for islands, MWh after losses, and its power, MW."""

    bus: int
    energy_mwh: float
    power_mw: float


def energy_not_served(
    faults: Faults,
    demand_mw: Array,
    ties: Iterable[Tie | tuple[int, int]] = (),
    reserves: Iterable[Reserve] = (),
    built_lines: Iterable[int] = (),
    remote: Iterable[int] = (),
) -> Array:
    """Return the expected energy not served by each fault (fault,), MWh/a.

    Parameters
    ----------
    faults : Faults
    demand_mw : (section,) of float
        Average demand (`Faults.demand`).
    ties : iterable of Tie or (bus, bus)
        Beside those that exist: lines and soft open points that are built.
    reserves : iterable of Reserve
    built_lines : iterable of int
        Candidate lines whose own faults count.
    remote : iterable of int
        Candidate switches that got remote control.
    """
    waiting = faults.waiting_mwh(demand_mw)
    served = np.where(faults.restored(faults.link(*tie) for tie in ties), waiting, 0.0)
    held = list(reserves)
    energy = sum((faults.within(r.bus) * r.energy_mwh for r in held), np.zeros_like(waiting))
    power = sum((faults.within(r.bus) * r.power_mw for r in held), np.zeros_like(waiting))
    carried = np.minimum(energy, faults.outage_h[faults.part_fault] * power)
    served = np.minimum(waiting, served + carried)
    happens = np.isin(faults.line, [NONE, *built_lines])
    left = np.bincount(faults.part_fault, waiting - served, minlength=len(faults.rate))
    early = faults.early_mwh(demand_mw, remote)
    lost: Array = faults.rate * happens * (faults.certain_mwh(demand_mw) + left - early)
    return lost


def interruptions(
    faults: Faults,
    customers: Array,
    ties: Iterable[Tie | tuple[int, int]] = (),
    built_lines: Iterable[int] = (),
    remote: Iterable[int] = (),
) -> tuple[float, float]:
    """Return SAIDI (h/a) and SAIFI (1/a); islands bring no customer back.

    Parameters
    ----------
    faults : Faults
    customers : (section,) of float
    ties, built_lines, remote
        As `energy_not_served` takes them.
    """
    restored = faults.restored(faults.link(*tie) for tie in ties)
    waits = np.where(restored, 0.0, faults.waiting_mwh(customers))
    happens = faults.rate * np.isin(faults.line, [NONE, *built_lines])
    left = np.bincount(faults.part_fault, waits, minlength=len(faults.rate))
    total = max(float(customers.sum()), 1.0)
    early = faults.early_mwh(customers, remote)
    hours = happens @ (faults.certain_mwh(customers) + left - early) / total
    return float(hours), float(happens @ (faults.zone @ customers) / total)


def _column(matrix: Any, column: int) -> Array:
    found: Array = matrix[:, [column]].toarray().ravel()
    return found


def _parts(graph: FaultGraph, effects: FaultEffects, row: Array) -> tuple[Array, Any]:
    """Return fault (part,) and sections (part, section) of what each fault cuts off behind it."""
    n = graph.n_sections
    a, b = graph.section[graph.a[graph.closed]], graph.section[graph.b[graph.closed]]
    links = csr_array((np.ones(len(a), dtype=np.int8), (a, b)), shape=(n, n))
    of_row: dict[int, list[Array]] = {}
    for r in np.unique(row).tolist():
        behind = members(effects.cut_off, r)
        behind = behind[behind != effects.section[r]]
        inside = links[behind][:, behind] if len(behind) else links[:0, :0]
        component = connected_components(inside, directed=False)[1]
        of_row[r] = [behind[component == k] for k in np.unique(component)]
    pairs = [(f, part) for f, r in enumerate(row) for part in of_row[int(r)]]
    return np.array([f for f, _ in pairs], dtype=np.int64), sparse_rows([p for _, p in pairs], n)
