"""What remote control of switches brings back before the hands of a crew do.

After a fault in section S everything that is interrupted and need not wait for the repair falls,
S taken away, into components that hang together over closed links. A component is back as soon as
the slowest switch on its way is operated: those that isolate it from S, and, where it is fed over
ties, those ties and whatever the components on the way need. Breakers and fuses isolate by
themselves. There may be several ways; the fastest counts:

    time(component, f) = min over ways of max over its switches of t_s,   t_s = tau_f by hand   (1)

So remote control of some switches pays only where it completes a way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from planning.fault_effects import FaultEffects, members
from planning.fault_graph import FUSE, FaultGraph, labels
from pp_p2p.elements.tables import extension
from pp_p2p.network.branches import Array

MOST_WAYS = 16
"""Ways kept for each component, those with the fewest switches first."""

Way = frozenset[int]


@dataclass(frozen=True, kw_only=True)
class Restoration:
    """A component that may be back early.

    Parameters
    ----------
    row : int
        Row of `FaultEffects` of its faults.
    sections : (section,) of int
    ways : tuple of frozenset of int
        Switches of each way, rows of ``net.switch``; all of them may be remotely controlled.
    """

    row: int
    sections: Array
    ways: tuple[Way, ...]


def remote_times(net: Any) -> dict[int, float]:
    """Return the time (h) of every switch with remote control."""
    time = extension(net, "switch", "remote_switching_time_h").to_numpy(float)
    rows = zip(net.switch.index.tolist(), time.tolist(), strict=True)
    return {int(row): t for row, t in rows if not np.isnan(t)}


def restorations(
    graph: FaultGraph, effects: FaultEffects, times: Mapping[int, float]
) -> Iterator[Restoration]:
    """Yield what may be back early where the switches in `times` have remote control."""
    if not times:
        return
    a, b = graph.section[graph.a], graph.section[graph.b]
    crossing = a != b
    for row, section in enumerate(effects.section.tolist()):
        lost = members(effects.interrupted, row)
        dark = np.union1d(lost, np.setdiff1d(np.arange(graph.n_sections), _alive(graph)))
        inside = np.zeros(graph.n_sections, dtype=bool)
        inside[dark] = True
        inside[section] = False
        within = graph.closed & crossing & inside[a] & inside[b]
        component = np.where(inside, labels(graph.n_sections, a[within], b[within]), -1)
        ways = _ways(graph, component, section, set(times), cut_off=members(effects.cut_off, row))
        waits = members(effects.waiting, row)
        for label, found in ways.items():
            back = np.setdiff1d(np.intersect1d(np.flatnonzero(component == label), lost), waits)
            if len(back) and found:
                yield Restoration(row=row, sections=back, ways=tuple(found))


def _alive(graph: FaultGraph) -> Array:
    return np.unique(graph.section[graph.energised])


def _ways(
    graph: FaultGraph, component: Array, faulty: int, remote: set[int], *, cut_off: Array
) -> dict[int, list[Way]]:
    """Return the ways of every component that lead over switches in `remote` alone."""
    a, b = graph.section[graph.a], graph.section[graph.b]
    apart = set(component[cut_off].tolist())
    isolating: dict[int, set[int]] = {}
    ties: dict[int, list[tuple[int, int]]] = {}
    for k in np.flatnonzero((a != b) & (graph.closed | graph.closable)).tolist():
        switch, protects = int(graph.switch[k]), graph.kind[k] >= FUSE
        for here, there in ((int(a[k]), int(b[k])), (int(b[k]), int(a[k]))):
            at = int(component[here])
            if at < 0:
                continue
            if graph.closed[k] and there == faulty and not protects:
                isolating.setdefault(at, set()).add(switch)
            elif not graph.closed[k] and there != faulty:
                ties.setdefault(at, []).append((switch, int(component[there])))
    dead = set(component.tolist()) - {-1} - set(component[_alive(graph)].tolist())
    names = sorted(set(component.tolist()) - {-1})
    own = {at: frozenset(isolating.get(at, ())) for at in names}
    ways: dict[int, list[Way]] = {
        at: [own[at]] if at not in apart and at not in dead and own[at] <= remote else []
        for at in names
    }
    for _ in names:
        before = {at: list(found) for at, found in ways.items()}
        for at in names:
            if at not in apart and at not in dead:
                continue
            found = {
                own[at] | {switch} | way
                for switch, other in ties.get(at, ())
                for way in ([frozenset[int]()] if other < 0 else before[other])
                if own[at] | {switch} <= remote
            }
            ways[at] = _least({*found, *ways[at]})
        if ways == before:
            break
    return ways


def _least(ways: set[Way]) -> list[Way]:
    """Return the ways that hold no other one, those with the fewest switches first."""
    ordered = sorted(ways, key=lambda way: (len(way), sorted(way)))
    kept: list[Way] = []
    for way in ordered:
        if not any(other <= way for other in kept):
            kept.append(way)
    return kept[:MOST_WAYS]


def early_hours(one: Restoration, switching_h: Array, times: Mapping[int, float]) -> Array:
    """Return by how many hours (fault,) a component is back earlier than `switching_h`.

    `times` are those of the switches that have remote control now.
    """
    best = np.zeros_like(switching_h)
    for way in one.ways:
        if way <= times.keys():
            slowest = max((times[s] for s in way), default=0.0)
            best = np.maximum(best, switching_h - slowest)
    return best
