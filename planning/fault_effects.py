"""What each permanent fault interrupts, and for how long.

A fault in section S trips the breakers and fuses that bound its zone Z; whoever has no path to an
external grid around Z is interrupted. After switching S alone is isolated and everything else is
connected again that has a path around S, first over links that are normally closed, then over
normally open ones. The rest waits for the repair:

    interrupted(S) = what Z dominates            in the graph of zones, normally closed links    (1)
    cut_off(S)     = what S dominates            in the graph of sections, normally closed links (2)
    waiting(S)     = what S dominates            in the graph of sections, all links             (3)

A vertex dominates another where every path from the external grids to it leads through the first
(Lengauer & Tarjan 1979), so that radial feeders, parallel elements and closed loops are one case:
around a fault in a loop all breakers that bound its zone open. (3) knows no limit of the ties;
`post_fault` does.

Out of service after switching for min(switching, repair), while waiting for the repair, or for the
replacement where that is faster.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import networkx as nx
import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from planning.fault_graph import FaultGraph
from pp_p2p.elements.tables import extension
from pp_p2p.errors import Finding, raise_if_any
from pp_p2p.network.branches import Array


@dataclass(frozen=True, kw_only=True)
class FaultEffects:
    """Faults of all energised lines and transformers, and what they do to the sections.

    Parameters
    ----------
    element, index : (fault,) of str, of int
        Table and row of what fails.
    rate : (fault,) of float
        Faults per year.
    switching_h, repair_h : (fault,) of float
        Time until switching has brought back what it can, h; time until all are back, h, never
        the shorter one.
    row : (fault,) of int
        Row of the matrices below: faults of one section do the same.
    section : (row,) of int
        The section that is isolated.
    interrupted, cut_off, waiting : sparse (row, section) of bool
        (1), (2) and (3).
    """

    element: Array
    index: Array
    rate: Array
    switching_h: Array
    repair_h: Array
    row: Array
    section: Array
    interrupted: Any
    cut_off: Any
    waiting: Any

    @classmethod
    def from_net(cls, net: Any, graph: FaultGraph) -> Self:
        """Read rates and times of `net`.

        Raises
        ------
        InvalidInput
            An element that fails and has no repair time.
        """
        fails = graph.energised & (graph.element != "bus")
        rates = _rates(net)
        keys = zip(graph.element[fails].tolist(), graph.index[fails].tolist(), strict=True)
        times = np.array([rates[key] for key in keys], dtype=float).reshape(-1, 3)
        rate, switching, repair = times.T
        section, row = np.unique(graph.section[fails], return_inverse=True)
        normal, every = graph.closed, graph.closed | graph.closable
        sections = np.arange(graph.n_sections)
        cut_off = _dominated(graph, graph.section, normal).rows(section, sections)
        # what is dead in normal operation has nothing to lose
        waiting = _dominated(graph, graph.section, every).rows(section, sections) * cut_off
        zone_of = np.zeros(graph.n_sections, dtype=np.int64)
        zone_of[graph.section] = graph.zone
        return cls(
            element=graph.element[fails],
            index=graph.index[fails],
            rate=rate,
            switching_h=np.minimum(switching, repair),
            repair_h=repair,
            row=np.asarray(row, dtype=np.int64).ravel(),
            section=section,
            interrupted=_dominated(graph, graph.zone, normal).rows(zone_of[section], zone_of),
            cut_off=cut_off,
            waiting=waiting,
        )


@dataclass(frozen=True)
class _Dominated:
    """Dominator tree as intervals: `first` <= first of a descendant < `last`; -1 is unreached."""

    first: Array
    last: Array

    def rows(self, of: Array, part: Array) -> Any:
        """Return sparse (row, member) True where the part `of` a row dominates that of a member.

        Parameters
        ----------
        of : (row,) of int
        part : (member,) of int
            A part dominates itself.
        """
        order = np.argsort(self.first[part], kind="stable")
        place = self.first[part][order]
        reached = self.first[of] >= 0
        begin = np.where(reached, np.searchsorted(place, self.first[of]), 0)
        end = np.where(reached, np.searchsorted(place, self.last[of]), 0)
        return sparse_rows([order[b:e] for b, e in zip(begin, end, strict=True)], len(part))


def sparse_rows(members: Sequence[Array], n: int) -> Any:
    """Return the sparse (row, n) matrix of bool that is True at the `members` of each row."""
    ends = np.cumsum([0, *(len(row) for row in members)])
    columns = np.concatenate([np.zeros(0, dtype=np.int64), *members])
    matrix = csr_array((np.ones(len(columns), dtype=bool), columns, ends), (len(members), n))
    matrix.sort_indices()
    return matrix


def members(matrix: Any, row: int) -> Array:
    """Return the columns at which a row of a sparse matrix is True."""
    return np.asarray(matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]], dtype=np.int64)


def _dominated(graph: FaultGraph, part: Array, links: Array) -> _Dominated:
    """Return the dominator tree of the `part` (vertex,) of `graph` under the mask `links`."""
    n = int(part.max(initial=-1)) + 1
    root = n
    ends = np.stack([part[graph.a[links]], part[graph.b[links]]], axis=1)
    ends = np.concatenate([ends, ends[~graph.one_way[links], ::-1]])
    ends = np.unique(ends[ends[:, 0] != ends[:, 1]], axis=0)
    directed = nx.DiGraph()
    directed.add_node(root)
    directed.add_edges_from((root, int(k)) for k in np.unique(part[graph.source]))
    directed.add_edges_from(ends.tolist())
    children: dict[int, list[int]] = {}
    for vertex, above in nx.immediate_dominators(directed, root).items():
        if vertex != root:
            children.setdefault(above, []).append(vertex)
    first, last = np.full(n + 1, -1), np.full(n + 1, -1)
    count, stack = 0, [(root, False)]
    while stack:
        vertex, left = stack.pop()
        if left:
            last[vertex] = count
            continue
        first[vertex] = count
        count += 1
        stack.append((vertex, True))
        stack.extend((child, False) for child in children.get(vertex, ()))
    return _Dominated(first[:n], last[:n])


def _rates(net: Any) -> dict[tuple[str, int], tuple[float, float, float]]:
    """Return rate (1/a), switching and repair time (h) of every line and transformer.

    Raises
    ------
    InvalidInput
        What fails and is never repaired.
    """
    rate = {
        "line": extension(net, "line", "failure_rate_per_km_year") * net.line.length_km,
        "trafo": extension(net, "trafo", "failure_rate_per_year"),
    }
    found: list[Finding] = []
    read: dict[tuple[str, int], tuple[float, float, float]] = {}
    for table in ("line", "trafo"):
        repair = extension(net, table, "repair_time_h").to_numpy(float)
        if table == "trafo":
            # NaN: no spare; a repair time of 0: none is given, so that the spare counts
            spare = extension(net, table, "replacement_time_h").to_numpy(float)
            repair = np.where(repair > 0, np.fmin(repair, spare), np.nan_to_num(spare))
        rates = rate[table].to_numpy(float)
        found += _never_repaired(table, net[table].index, (rates > 0) & ~(repair > 0))
        switching = extension(net, table, "switching_time_h").to_numpy(float)
        rows = [(table, int(row)) for row in net[table].index]
        values = zip(rates.tolist(), switching.tolist(), repair.tolist(), strict=True)
        read.update(zip(rows, values, strict=True))
    raise_if_any(found)
    return read


def _never_repaired(table: str, index: pd.Index[Any], lost: Array) -> Iterator[Finding]:
    if lost.any():
        yield Finding(
            table=table,
            column="repair_time_h",
            rows=tuple(index[lost].tolist()),
            rule="is 0 or missing, but the row has a failure rate",
            mend="give the time from fault to repair (set_line_reliability, "
            "set_trafo_reliability), or set the rate to 0",
        )
