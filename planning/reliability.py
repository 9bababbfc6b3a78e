"""Expected energy not served within a plan, after isolation, ties and stored reserves.

Faults and what they interrupt are those of `fault_effects`; what one cuts off falls into the
faulty section itself, which waits for the repair, and the parts behind it that hang together. For
each such part c of a fault f, with D the average demand of a set of sections:

    EENS = sum_f lambda_f [ tau_f D(interrupted) + (r_f - tau_f) D(section) ]
           + sum_c lambda_f [ (r_f - tau_f) D(c) - e_c ]                                  (1)
    0 <= e_c <= (r_f - tau_f) D(c)                                                        (2)
    e_c <= [some tie leads from c to what is supplied] (r_f - tau_f) D(c) + s_c           (3)
    s_c <= sum_k eta_k E_k,   s_c <= (r_f - tau_f) sum_k P_k        (reserves k within c)  (4)

A line that is built fails too, and interrupts where it hangs. (4) is the convex surrogate of
islanding: the reserve is never used in normal operation, whatever the hour of the fault.

`planning.reliability_indices` of the net in which the plan is built gives the same EENS, but for
what differs by design. Here ties have no limits (``capacity=False`` there); a line that is built
reaches only what is supplied without other new lines, and brings back nothing for faults of its
own, so that (1) may be too high, never too low; and reserves are known only here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyomo.environ as pyo
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from planning.fault_effects import FaultEffects, members, sparse_rows
from planning.fault_graph import FaultGraph, Isolators
from pp_p2p.elements.schema import NONE
from pp_p2p.network.algebra import linear
from pp_p2p.network.branches import Array

if TYPE_CHECKING:
    from planning.candidates import Candidates


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

    @classmethod
    def from_net(
        cls,
        net: Any,
        candidate_lines: Iterable[int] = (),
        *,
        isolators: Isolators = "every_branch",
        feeder_breakers: bool = True,
    ) -> Self:
        """Read faults, devices and ties of `net`; `candidate_lines` are not ties yet.

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
        of, below = _parts(graph, effects, row, skip=new)
        waiting = effects.waiting[row[of]]
        own = [
            members(effects.waiting, r) if built else effects.section[r : r + 1]
            for r, built in zip(row.tolist(), new.tolist(), strict=True)
        ]
        return cls(
            graph=graph,
            rate=effects.rate[some],
            switching_h=effects.switching_h[some],
            outage_h=(effects.repair_h - effects.switching_h)[some],
            line=np.where(new, effects.index[some], NONE),
            zone=effects.interrupted[row],
            alone=sparse_rows(own, graph.n_sections),
            part_fault=of,
            below=below,
            waiting=waiting,
            tied=np.asarray((below * waiting).sum(axis=1) == 0),
        )

    def demand(self, buses: Array, mw: Array) -> Array:
        """Return (section,) the sum of `mw` at `buses`."""
        section = self.graph.section_of(buses)
        fed = section >= 0
        return np.bincount(section[fed], np.asarray(mw)[fed], minlength=self.graph.n_sections)

    def reached_by(self, a: int, b: int) -> Array:
        """Return (part,) True where a tie between buses `a` and `b` brings the part back."""
        one, two = self.graph.section_of([a, b])
        inside = [_column(self.below, section) for section in (one, two)]
        fed = [~_column(self.waiting, section) for section in (one, two)]
        reached: Array = (inside[0] & fed[1]) | (inside[1] & fed[0])
        return reached

    def within(self, bus: int) -> Array:
        """Return (part,) True where `bus` is in the part."""
        return _column(self.below, int(self.graph.section_of([bus])[0]))

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
    ties: Iterable[tuple[int, int]] = (),
    reserves: Iterable[Reserve] = (),
    built_lines: Iterable[int] = (),
) -> Array:
    """Return the expected energy not served by each fault (fault,), MWh/a.

    Parameters
    ----------
    faults : Faults
    demand_mw : (section,) of float
        Average demand (`Faults.demand`).
    ties : iterable of (bus, bus)
        Beside those that exist.
    reserves : iterable of Reserve
    built_lines : iterable of int
        Candidate lines whose own faults count.
    """
    waiting = faults.waiting_mwh(demand_mw)
    served = np.where(faults.tied, waiting, 0.0)
    for a, b in ties:
        served = np.where(faults.reached_by(a, b), waiting, served)
    held = list(reserves)
    energy = sum((faults.within(r.bus) * r.energy_mwh for r in held), np.zeros_like(waiting))
    power = sum((faults.within(r.bus) * r.power_mw for r in held), np.zeros_like(waiting))
    carried = np.minimum(energy, faults.outage_h[faults.part_fault] * power)
    served = np.minimum(waiting, served + carried)
    happens = np.isin(faults.line, [NONE, *built_lines])
    left = np.bincount(faults.part_fault, waiting - served, minlength=len(faults.rate))
    lost: Array = faults.rate * happens * (faults.certain_mwh(demand_mw) + left)
    return lost


def add_reliability(
    m: Any, faults: Faults, demand_mw: Array, candidates: Candidates, limit_mwh_per_year: float
) -> None:
    """Add what is served after faults (2)-(4), and EENS (1) as an expression, MWh/a, to `m`.

    `m` has ``units[candidate]``; a finite limit is a constraint.
    """
    c, waiting, rate = candidates, faults.waiting_mwh(demand_mw), faults.rate[faults.part_fault]
    outage = faults.outage_h[faults.part_fault]
    m.PART = pyo.RangeSet(0, len(waiting) - 1)
    m.served = pyo.Var(m.PART, bounds=lambda _, b: (0.0, float(waiting[b])))
    m.carried = pyo.Var(m.PART, bounds=lambda _, b: (0.0, float(waiting[b])))
    reach = {k: faults.reached_by(*ends) for k, ends in enumerate(c.ends) if ends is not None}
    inside = {int(k): faults.within(int(c.bus[k])) for k in c.storage_of}

    def served_by_ties_and_reserves(_: Any, b: int) -> Any:
        near = [k for k in reach if reach[k][b]]
        coefs = [1.0, -1.0, *[-float(waiting[b])] * len(near)]
        variables = [m.served[b], m.carried[b], *(m.units[k] for k in near)]
        return linear(coefs, variables) <= float(waiting[b] * faults.tied[b])

    def reserve(rating: Array, hours: Array) -> Any:
        def limit(_: Any, b: int) -> Any:
            own = [k for k in inside if inside[k][b]]
            coefs = [1.0, *(-float(rating[k] * hours[b]) for k in own)]
            return linear(coefs, [m.carried[b], *(m.units[k] for k in own)]) <= 0.0

        return pyo.Constraint(m.PART, rule=limit)

    m.served_by_ties_and_reserves = pyo.Constraint(m.PART, rule=served_by_ties_and_reserves)
    m.reserve_energy = reserve(c.reserve_mwh, np.ones_like(outage))
    m.reserve_power = reserve(c.unit_p_mw, outage)
    certain = faults.rate * faults.certain_mwh(demand_mw)
    constant = float(certain[faults.line == NONE].sum() + rate @ waiting)
    new = [(k, float(certain[faults.line == c.line[k]].sum())) for k in reach]
    m.eens = pyo.Expression(
        expr=linear(
            [*(-float(r) for r in rate), *(mwh for _, mwh in new)],
            [*(m.served[b] for b in m.PART), *(m.units[k] for k, _ in new)],
            constant,
        )
    )
    if np.isfinite(limit_mwh_per_year):
        m.eens_limit = pyo.Constraint(expr=m.eens <= limit_mwh_per_year)


def _column(matrix: Any, column: int) -> Array:
    found: Array = matrix[:, [column]].toarray().ravel()
    return found


def _parts(
    graph: FaultGraph, effects: FaultEffects, row: Array, *, skip: Array
) -> tuple[Array, Any]:
    """Return fault (part,) and sections (part, section) of what each fault cuts off behind it."""
    n = graph.n_sections
    a, b = graph.section[graph.a[graph.closed]], graph.section[graph.b[graph.closed]]
    links = csr_array((np.ones(len(a), dtype=np.int8), (a, b)), shape=(n, n))
    of_row: dict[int, list[Array]] = {}
    for r in np.unique(row[~skip]).tolist():
        behind = members(effects.cut_off, r)
        behind = behind[behind != effects.section[r]]
        inside = links[behind][:, behind] if len(behind) else links[:0, :0]
        component = connected_components(inside, directed=False)[1]
        of_row[r] = [behind[component == k] for k in np.unique(component)]
    pairs = [(f, part) for f, r in enumerate(row) if not skip[f] for part in of_row[int(r)]]
    return np.array([f for f, _ in pairs], dtype=np.int64), sparse_rows([p for _, p in pairs], n)
