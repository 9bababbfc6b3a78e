"""Reliability as constraints: what the units installed do after every fault.

(1)-(4) of `planning.reliability` with x the units installed. Parts that only new ties bring back
one after the other, and existing ties between such parts, are a flow of one unit for each part
restored: from what is supplied over the ties that are built, at most as many as there are parts.
With whole ties the largest flow restores exactly what is connected. Soft open points are ties that
lead to their grid-forming terminals; x is there whether one is built.

    served_c <= W_c restored_c + carried_c,   served_c <= W_c,   restored_c <= 1           (5)
    restored_c = sum in - sum out,   |flow_k| <= n x_k  (one way: >= 0)                    (6)
    SAIFI N = sum_f lambda_f N(interrupted)                                                (7)
    SAIDI N = sum_f lambda_f [ tau_f N(interrupted) + (r_f - tau_f) N(section) ]
              + sum_c lambda_f (r_f - tau_f) N(c) (1 - restored_c)                         (8)
    early_w <= x_s for every switch s of a way w,   sum_w early_w <= 1                      (9)
    and early_w <= x_f for the faults of a line that is built

(9) takes (tau_f - slowest switch of w) D off for what a way of remote switches brings back early
(`planning.remote_control`), and N in (8),

with N the customers of a set of sections, and lambda_f x_f the rate of a line that is built: its
parts are restored only where it is there. A part that an island carries counts as interrupted in
(8): whole customers cannot be shed in part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyomo.environ as pyo

from planning.interruption_indices import HOURS_PER_YEAR
from planning.reliability import Faults
from pp_p2p.elements.schema import NONE
from pp_p2p.network.algebra import linear
from pp_p2p.network.branches import Array

if TYPE_CHECKING:
    from planning.candidates import Candidates


@dataclass(frozen=True, kw_only=True)
class ReliabilityLimits:
    """Upper limits of the indices of a year; ``inf`` is none."""

    eens_mwh_per_year: float = np.inf
    saidi_h_per_year: float = np.inf
    saifi_per_year: float = np.inf

    @classmethod
    def of(cls, eens: float, saidi: float, saifi: float, asai: float) -> ReliabilityLimits:
        """Return the limits with that of ASAI, a share of the year, as hours of SAIDI."""
        return cls(
            eens_mwh_per_year=eens,
            saidi_h_per_year=min(saidi, (1.0 - asai) * HOURS_PER_YEAR) if asai > 0 else saidi,
            saifi_per_year=saifi,
        )


def add_reliability(
    m: Any,
    faults: Faults,
    demand_mw: Array,
    customers: Array,
    candidates: Candidates,
    units: Mapping[int, Any],
    *,
    sites: Mapping[int, Any] | None = None,
    reserves: bool = True,
) -> None:
    """Add what is served after faults, and the expressions ``eens`` (MWh/a), ``saidi``, ``saifi``.

    Parameters
    ----------
    m : pyomo.ConcreteModel or pyomo.Block
    faults : Faults
    demand_mw, customers : (section,) of float
    candidates : Candidates
    units : mapping
        Units installed of each candidate.
    sites : mapping, optional
        1 where something of a candidate is installed; without it, the units.
    reserves : bool
        Whether stored reserves carry islands (4).
    """
    m.PART = pyo.RangeSet(0, len(faults.part_fault) - 1)
    waiting = faults.waiting_mwh(demand_mw)
    there = dict(units)
    if sites is not None:
        there |= {int(k): sites[int(k)] for k in np.flatnonzero(candidates.least_one)}
    _add_restored(m, faults, candidates, there)
    weights = _add_early(m, faults, candidates, units)
    _add_served(m, faults, waiting, candidates, units, reserves=reserves)
    rate = faults.rate[faults.part_fault]
    exists = _existence(faults, candidates, units)

    def expected(per_fault: Array, per_part: Array, brought_back: list[tuple[float, Any]]) -> Any:
        """Return what faults cost, less what is brought back."""
        whole = per_fault + np.bincount(faults.part_fault, per_part, minlength=len(per_fault))
        coefs = [-c for c, _ in brought_back]
        variables = [v for _, v in brought_back]
        for f, unit in exists.items():
            coefs.append(float(whole[f]))
            variables.append(unit)
        certain = np.ones(len(whole), dtype=bool)
        certain[list(exists)] = False
        return linear(coefs, variables, float(whole[certain].sum()))

    def early(per_section: Array) -> list[tuple[float, Any]]:
        return [
            (float(hours * per_section[faults.early[key[0]].sections].sum()), m.early[key])
            for key, hours in weights.items()
        ]

    served = [(float(rate[b]), m.served[b]) for b in m.PART] + early(demand_mw)
    m.eens = pyo.Expression(
        expr=expected(faults.rate * faults.certain_mwh(demand_mw), rate * waiting, served)
    )
    total = max(float(customers.sum()), 1.0)
    hours = rate * faults.waiting_mwh(customers) / total
    restored = [(float(hours[b]), m.restored[b]) for b in m.PART] + early(customers / total)
    m.saidi = pyo.Expression(
        expr=expected(faults.rate * faults.certain_mwh(customers) / total, hours, restored)
    )
    hit = faults.rate * (faults.zone @ customers) / total
    m.saifi = pyo.Expression(expr=expected(hit, np.zeros_like(hours), []))


def limit_reliability(m: Any, limits: ReliabilityLimits) -> None:
    """Add the finite ones of `limits` as constraints on what `add_reliability` added."""
    for name, expression, limit in (
        ("eens_limit", m.eens, limits.eens_mwh_per_year),
        ("saidi_limit", m.saidi, limits.saidi_h_per_year),
        ("saifi_limit", m.saifi, limits.saifi_per_year),
    ):
        if np.isfinite(limit):
            m.add_component(name, pyo.Constraint(expr=expression <= limit))


def _add_early(
    m: Any, faults: Faults, c: Candidates, units: Mapping[int, Any]
) -> dict[tuple[int, int, int], float]:
    """Add (9); return the hours a year that ways save, by component, way and line that fails.

    The line is `NONE` for what fails whatever is built.
    """
    built = {int(c.switch[k]): units[k] for k in np.flatnonzero(c.switch != NONE).tolist()}
    lines = {int(c.line[k]): units[k] for k in c.ties_of}
    saved: dict[tuple[int, int, int], float] = {}
    for g, one in enumerate(faults.early):
        mine = np.flatnonzero(faults.row == one.row)
        for line in np.unique(faults.line[mine]).tolist():
            f = mine[faults.line[mine] == line]
            for w, way in enumerate(one.ways):
                slowest = max((faults.remote_h[s] for s in way), default=0.0)
                hours = np.maximum(faults.switching_h[f] - slowest, 0.0)
                saved[g, w, line] = float(faults.rate[f] @ hours)
    needed = [
        (*key, s) for key in saved for s in sorted(faults.early[key[0]].ways[key[1]]) if s in built
    ]
    m.early = pyo.Var(list(saved), bounds=(0.0, 1.0))
    m.early_way = pyo.Constraint(
        needed,
        rule=lambda b, *key: linear([1.0, -1.0], [b.early[key[:3]], built[key[3]]]) <= 0.0,
    )
    m.early_where_built = pyo.Constraint(
        [key for key in saved if key[2] != NONE],
        rule=lambda b, *key: linear([1.0, -1.0], [b.early[key], lines[key[2]]]) <= 0.0,
    )
    ways: dict[tuple[int, int], list[int]] = {}
    for g, w, line in saved:
        ways.setdefault((g, line), []).append(w)

    def early_once(b: Any, g: int, line: int) -> Any:
        of = ways[g, line]
        return linear([1.0] * len(of), [b.early[g, w, line] for w in of]) <= 1.0

    m.early_once = pyo.Constraint(list(ways), rule=early_once)
    return saved


def _existence(faults: Faults, candidates: Candidates, units: Mapping[int, Any]) -> dict[int, Any]:
    """Return the unit on which each fault hangs, of those that hang on one."""
    row = {int(candidates.line[k]): units[k] for k in candidates.ties_of}
    return {int(f): row[int(faults.line[f])] for f in np.flatnonzero(faults.line != NONE)}


def _add_restored(m: Any, faults: Faults, c: Candidates, units: Mapping[int, Any]) -> None:
    """Add (6), and that what a line interrupts is brought back only where it is built."""
    direct: dict[int, list[Any]] = {}
    links = [(faults.existing, 1.0), *((faults.link(*tie), units[k]) for k, tie in c.paths)]
    arcs: list[tuple[int, int, Any, bool]] = []
    for link, unit in links:
        for b in link.direct.tolist():
            direct.setdefault(b, []).append(unit)
        arcs += [(int(a), int(b), unit, False) for a, b in link.between]
        arcs += [(int(a), int(b), unit, True) for a, b in link.onward]
    chained = {b for _, b, *_ in arcs} | {a for a, *_ in arcs}
    n = float(max(1, np.bincount(faults.part_fault, minlength=1).max(initial=1)))
    tied = faults.tied
    m.restored = pyo.Var(m.PART, bounds=lambda _, b: (float(tied[b]), 1.0))
    m.TIE_ARC = pyo.RangeSet(0, len(arcs) - 1)
    m.tie_flow = pyo.Var(m.TIE_ARC, bounds=lambda _, k: (0.0 if arcs[k][3] else -n, n))
    m.supply = pyo.Var(sorted(chained), bounds=(0.0, n))
    into: dict[int, list[tuple[float, Any]]] = {b: [(1.0, m.supply[b])] for b in chained}
    for k, (a, b, *_) in enumerate(arcs):
        into[a].append((-1.0, m.tie_flow[k]))
        into[b].append((1.0, m.tie_flow[k]))

    def tie_connected(_: Any, b: int) -> Any:
        if tied[b]:
            return pyo.Constraint.Skip
        near = direct.get(b, [])
        if b in chained:
            coefs = [1.0, *(-c for c, _ in into[b])]
            return linear(coefs, [m.restored[b], *(v for _, v in into[b])]) == 0.0
        return linear([1.0, *[-1.0] * len(near)], [m.restored[b], *near]) <= 0.0

    def tie_supply(_: Any, b: int) -> Any:
        near = direct.get(b, [])
        return linear([1.0, *[-n] * len(near)], [m.supply[b], *near]) <= 0.0

    def tie_limit(_: Any, k: int, sense: int) -> Any:
        unit = arcs[k][2]
        if isinstance(unit, float) or (arcs[k][3] and sense < 0):
            return pyo.Constraint.Skip
        return linear([float(sense), -n], [m.tie_flow[k], unit]) <= 0.0

    exists = _existence(faults, c, units)
    own = [b for b, f in enumerate(faults.part_fault.tolist()) if f in exists]

    def only_where_built(_: Any, b: int) -> Any:
        unit = exists[int(faults.part_fault[b])]
        return linear([1.0, -1.0], [m.restored[b], unit]) <= 0.0

    m.tie_connected = pyo.Constraint(m.PART, rule=tie_connected)
    m.tie_supply = pyo.Constraint(sorted(chained), rule=tie_supply)
    m.tie_limit = pyo.Constraint(m.TIE_ARC, (-1, 1), rule=tie_limit)
    for b in own:
        m.restored[b].setlb(0.0)
    m.only_where_built = pyo.Constraint(own, rule=only_where_built)


def _add_served(
    m: Any,
    faults: Faults,
    waiting: Array,
    c: Candidates,
    units: Mapping[int, Any],
    *,
    reserves: bool,
) -> None:
    """Add (2)-(5)."""
    outage = faults.outage_h[faults.part_fault]
    bound = [float(w) for w in waiting]
    m.served = pyo.Var(m.PART, bounds=lambda _, b: (0.0, bound[b]))
    m.carried = pyo.Var(m.PART, bounds=lambda _, b: (0.0, bound[b] if reserves else 0.0))
    held = [int(k) for k in (*c.storage_of, *c.energy_of)] if reserves else []
    inside = {k: faults.within(int(c.bus[k])) for k in held}

    def served_by_ties_and_reserves(_: Any, b: int) -> Any:
        variables = [m.served[b], m.carried[b], m.restored[b]]
        return linear([1.0, -1.0, -bound[b]], variables) <= 0.0

    def reserve(rating: Array, hours: Array) -> Any:
        def limit(_: Any, b: int) -> Any:
            own = [k for k in inside if inside[k][b]]
            coefs = [1.0, *(-float(rating[k] * hours[b]) for k in own)]
            return linear(coefs, [m.carried[b], *(units[k] for k in own)]) <= 0.0

        return pyo.Constraint(m.PART, rule=limit)

    m.served_by_ties_and_reserves = pyo.Constraint(m.PART, rule=served_by_ties_and_reserves)
    m.reserve_energy = reserve(c.reserve_mwh, np.ones_like(outage))
    m.reserve_power = reserve(c.unit_p_mw, outage)
    exists = _existence(faults, c, units)
    own = [b for b, f in enumerate(faults.part_fault.tolist()) if f in exists]

    def served_where_built(_: Any, b: int) -> Any:
        unit = exists[int(faults.part_fault[b])]
        return linear([1.0, -bound[b]], [m.served[b], unit]) <= 0.0

    m.served_where_built = pyo.Constraint(own, rule=served_where_built)
