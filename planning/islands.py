"""Islands after a fault, carried by what is built, from the schedule of the hour of the fault.

For a part c that a fault cuts off, a typical day d and the step t0 in which switching is done, with
the steps h of the outage that remains (h runs on through the same day, again from its start):

    g_h + s_h <= D_h,   g_h <= sum_k P_k avail_h x_k      (generators within c)              (1)
    s_h <= sum_k P_k x_k,   sum_h s_h <= sum_k eta_k e_k[t0]      (storage within c)         (2)
    g_h <= D_h sum_k z_k      (z: storage or dispatchable units that form the grid)          (3)
    carried = sum_h (g_h + s_h) <= (1 - restored_c) sum_h D_h                                (4)
    EENS falls by sum_c lambda_c sum_d N_d / 365 sum_t0 carried / steps of a day             (5)

e_k[t0] is what the normal schedule has stored (formulation of [ADN-thesis] ch. 1, reconstructed:
energy of all storage in the island counts as one, nothing is charged during the outage, and the
network within the island is taken to carry it). What a tie brings back needs no island.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyomo.environ as pyo

from planning.investment import declare_linking
from pp_p2p.elements.schema import NONE
from pp_p2p.network.algebra import linear
from pp_p2p.network.branches import Array

if TYPE_CHECKING:
    from planning.year_model import ExpansionData


@dataclass(frozen=True, kw_only=True)
class Island:
    """A part that what may be built could carry.

    `part` and `rate` (1/a) of its fault; demand (step,), MW; `generators` and `storages` are
    positions in ``candidates.generators`` and ``.storages``; `forming` are candidates; `line` is
    the candidate whose own fault it is, or `NONE`.
    """

    part: int
    rate: float
    outage_h: float
    demand_mw: Array
    generators: list[int]
    storages: list[int]
    forming: list[int]
    line: int


def islands_of(data: ExpansionData) -> Iterator[Island]:
    """Yield the parts in which something stands that can form a grid."""
    c, faults = data.candidates, data.faults
    within = {k: faults.within(int(c.bus[k])) for k in np.flatnonzero(c.node >= 0).tolist()}
    demand = faults.below @ data.section_demand_mw
    row = {int(c.line[k]): k for k in c.ties_of}
    for b in np.flatnonzero(~faults.tied | (faults.line[faults.part_fault] != NONE)).tolist():
        f = int(faults.part_fault[b])
        inside = [k for k in within if within[k][b] and c.max_units[k] > 0]
        forming = [k for k in inside if c.forming[k]]
        if forming and faults.outage_h[f] > 0:
            yield Island(
                part=b,
                rate=float(faults.rate[f]),
                outage_h=float(faults.outage_h[f]),
                demand_mw=np.asarray(demand[b]).ravel(),
                generators=[g for g, k in enumerate(c.generator_of) if k in inside],
                storages=[s for s, k in enumerate(c.storage_of) if k in inside],
                forming=forming,
                line=row.get(int(faults.line[f]), NONE),
            )


def window_h(data: ExpansionData, island: Island, step: int) -> dict[int, float]:
    """Return step -> hours of an outage that begins with `step`, within the typical day."""
    line, left, hours = data.line, island.outage_h, dict[int, float]()
    day, at = divmod(step, line.steps_per_day)
    whole = np.floor(left / (line.step_h * line.steps_per_day))
    for k in range(line.steps_per_day):
        position = day * line.steps_per_day + (at + k) % line.steps_per_day
        rest = left - whole * line.step_h * line.steps_per_day - k * line.step_h
        hours[position] = float(whole * line.step_h + np.clip(rest, 0.0, line.step_h))
    return {t: h for t, h in hours.items() if h > 0}


def start_probability(data: ExpansionData) -> Array:
    """Return the probability (step,) that a fault falls into a step."""
    share: Array = data.line.step_weight / data.line.step_weight.sum()
    return share


def add_islands(
    m: Any, data: ExpansionData, units: Mapping[int, Any], sites: Mapping[int, Any]
) -> None:
    """Add (1)-(5): ``m.eens`` falls by what islands carry.

    The EENS of a year couples its days: each has the variable ``island_of_day``, declared as
    linking with what ties restore.
    """
    found = list(islands_of(data))
    chance, line = start_probability(data), data.line
    starts = [(i, t) for i in range(len(found)) for t in range(line.n_steps) if chance[t] > 0]
    hours = [(i, t, h) for i, t in starts for h in window_h(data, found[i], t)]
    with_sun = [(i, t, h) for i, t, h in hours if found[i].generators]
    c, base = data.candidates, data.grid.s_base_mva
    length = {(i, t): window_h(data, found[i], t) for i, t in starts}

    def within_demand(_: Any, i: int, _t: int, h: int) -> tuple[float, float]:
        return 0.0, max(0.0, float(found[i].demand_mw[h]))

    m.island_generation = pyo.Var(with_sun, bounds=within_demand)
    m.island_discharge = pyo.Var(hours, bounds=within_demand)

    def generated(b: Any, i: int, t: int, h: int) -> Any:
        of = found[i].generators
        rated = [-float(c.generators.available[h, g]) * base for g in of]
        built = [units[int(c.generator_of[g])] for g in of]
        return linear([1.0, *rated], [b.island_generation[i, t, h], *built]) <= 0.0

    def discharged(b: Any, i: int, t: int, h: int) -> Any:
        of = [int(c.storage_of[s]) for s in found[i].storages]
        rated = [-float(c.unit_p_mw[k]) for k in of]
        return linear([1.0, *rated], [b.island_discharge[i, t, h], *(units[k] for k in of)]) <= 0.0

    def formed(b: Any, i: int, t: int, h: int) -> Any:
        of, most = found[i].forming, within_demand(b, i, t, h)[1]
        standing = [sites[k] for k in of]
        return linear([1.0, *[-most] * len(of)], [b.island_generation[i, t, h], *standing]) <= 0.0

    def demand(b: Any, i: int, t: int, h: int) -> Any:
        both = [b.island_generation[i, t, h], b.island_discharge[i, t, h]]
        return linear([1.0, 1.0], both) <= within_demand(b, i, t, h)[1]

    def stored(b: Any, i: int, t: int) -> Any:
        coefs = list(length[i, t].values())
        drawn = [b.island_discharge[i, t, h] for h in length[i, t]]
        of = found[i].storages
        left = [-float(c.storages.discharge_efficiency[s]) * base for s in of]
        return linear([*coefs, *left], [*drawn, *(b.new_storage.energy[s, t] for s in of)]) <= 0.0

    def carried(b: Any, i: int, t: int) -> list[tuple[float, Any]]:
        terms = [(w, b.island_discharge[i, t, h]) for h, w in length[i, t].items()]
        if found[i].generators:
            terms += [(w, b.island_generation[i, t, h]) for h, w in length[i, t].items()]
        return terms

    def waiting(i: int, t: int) -> float:
        return sum(w * within_demand(m, i, t, h)[1] for h, w in length[i, t].items())

    def not_restored(b: Any, i: int, t: int) -> Any:
        terms, most = carried(b, i, t), waiting(i, t)
        coefs, variables = [w for w, _ in terms], [v for _, v in terms]
        after = linear([*coefs, most], [*variables, b.restored[found[i].part]])
        if found[i].line == NONE:
            return after <= most
        return after - most * units[found[i].line] <= 0.0

    m.island_generated = pyo.Constraint(with_sun, rule=generated)
    m.island_formed = pyo.Constraint(with_sun, rule=formed)
    m.island_demand = pyo.Constraint(with_sun, rule=demand)
    m.island_discharged = pyo.Constraint(hours, rule=discharged)
    m.island_stored = pyo.Constraint(starts, rule=stored)
    m.island_or_tie = pyo.Constraint(starts, rule=not_restored)
    _sum_up_days(m, data, found, starts, carried, waiting)
    declare_linking(m, (m.restored[island.part] for island in found))


def _sum_up_days(
    m: Any, data: ExpansionData, found: list[Island], starts: Any, carried: Any, waiting: Any
) -> None:
    chance, per_day = start_probability(data), data.line.steps_per_day
    of_day: dict[int, list[tuple[int, int]]] = {d: [] for d in range(data.line.n_days)}
    for i, t in starts:
        of_day[t // per_day].append((i, t))
    most = {
        d: sum(found[i].rate * chance[t] * waiting(i, t) for i, t in pairs)
        for d, pairs in of_day.items()
    }
    m.island_of_day = pyo.Var(list(of_day), bounds=lambda _, d: (0.0, float(most[d])))

    def island_energy(b: Any, d: int) -> Any:
        coefs, variables = [1.0], [b.island_of_day[d]]
        for i, t in of_day[d]:
            for weight, variable in carried(b, i, t):
                coefs.append(-found[i].rate * float(chance[t]) * weight)
                variables.append(variable)
        return linear(coefs, variables) <= 0.0

    m.island_energy = pyo.Constraint(list(of_day), rule=island_energy)
    m.eens.set_value(m.eens.expr - sum(m.island_of_day.values()))
    declare_linking(m, m.island_of_day.values())


def islands_carry(data: ExpansionData, units: Array, stored_mwh: Array) -> float:
    """Return by how much islands lower the EENS, MWh/a: (1)-(5) at a given plan, in closed form.

    Parameters
    ----------
    data : ExpansionData
    units : (candidate,) of float
    stored_mwh : (step, storage) of float
        Energy of the normal schedule at the start of each step.
    """
    c, base = data.candidates, data.grid.s_base_mva
    restored = data.faults.restored(data.faults.link(*tie) for tie in c.ties(units))
    chance, total = start_probability(data), 0.0
    for island in islands_of(data):
        there = island.line == NONE or units[island.line] > 0.5
        if restored[island.part] or not there or not (units[island.forming] > 1e-6).any():
            continue
        g = island.generators
        free = c.generators.available[:, g] @ units[c.generator_of[g]] * base
        s = island.storages
        power = float(c.unit_p_mw[c.storage_of[s]] @ units[c.storage_of[s]])
        energy = stored_mwh[:, s] @ c.storages.discharge_efficiency[s]
        for t in np.flatnonzero(chance > 0).tolist():
            window = window_h(data, island, t)
            at, h = np.array(list(window)), np.array(list(window.values()))
            demand = np.maximum(island.demand_mw[at], 0.0)
            direct = np.minimum(demand, free[at])
            drawn = float(h @ np.minimum(demand - direct, power))
            total += island.rate * chance[t] * (float(h @ direct) + min(drawn, float(energy[t])))
    return float(total)
