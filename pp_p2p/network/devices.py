"""Pyomo blocks of the devices: storage, static generators, shiftable load.

Storage k, step t of length h, over each day:

    e[t+1] = e[t] + eta_c c[t] h - d[t] h / eta_d,   e[after last] = e[first]   (storage_dynamics)
    0 <= c <= C n,   0 <= d <= D n,   E_min n <= e <= E_max n                   (…_limit)

with n = 1 for what exists and n = the units built for a candidate. Charging and discharging at
once never pays where energy has a positive price, so no binary variable forbids it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyomo.environ as pyo

from pp_p2p.network.algebra import linear
from pp_p2p.network.block import Injection
from pp_p2p.network.branches import Array
from pp_p2p.network.formulation import Formulation
from pp_p2p.network.portfolio import FlexibleLoads, Generators, Loads, Portfolio, Storages
from pp_p2p.network.soft_open_point import sop_block
from pp_p2p.network.timeline import Timeline

Units = Mapping[int, Any]
"""Decision variable 'units built' of device k; a device that is not a key exists already."""


def fixed_injection(
    n_nodes: int, line: Timeline, loads: Loads, generators: Generators
) -> Injection:
    """Return the injection of loads and of generators' reactive and non-curtailable power."""
    p, q = np.zeros((n_nodes, line.n_steps)), np.zeros((n_nodes, line.n_steps))
    np.add.at(p, loads.node, -loads.p.T)
    np.add.at(q, loads.node, -loads.q.T)
    still = ~generators.reactive
    np.add.at(q, generators.node[still], generators.q[:, still].T)
    stiff = ~generators.curtailable
    np.add.at(p, generators.node[stiff], generators.available[:, stiff].T)
    return Injection(p=p, q=q)


def storage_block(
    data: Storages, line: Timeline, injection: Injection, units: Units | None = None
) -> Any:
    """Return a block with ``charge``, ``discharge`` (p.u.) and ``energy`` (p.u. h) of storage.

    The net discharge is added to `injection`.
    """
    units = units or {}
    block = pyo.Block(concrete=True)
    block.STORAGE = pyo.RangeSet(0, len(data.index) - 1)
    block.TIME = pyo.RangeSet(0, line.n_steps - 1)

    def most(k: int) -> float:
        return float(units[k].ub) if k in units else 1.0

    def e_bounds(_: Any, k: int, t: int) -> tuple[float, float]:
        start = data.e_start[k]
        if k not in units and t % line.steps_per_day == 0 and np.isfinite(start):
            return float(start), float(start)
        return float(0.0 if k in units else data.e_min[k]), float(data.e_max[k] * most(k))

    def within(rating: Array) -> Any:
        return lambda _, k, _t: (0.0, float(rating[k] * most(k)))

    grid_of = (block.STORAGE, block.TIME)
    block.charge = pyo.Var(*grid_of, bounds=within(data.p_charge))
    block.discharge = pyo.Var(*grid_of, bounds=within(data.p_discharge))
    block.energy = pyo.Var(*grid_of, bounds=e_bounds)

    def storage_dynamics(b: Any, k: int, t: int) -> Any:
        gain = line.step_h * float(data.charge_efficiency[k])
        drain = line.step_h / float(data.discharge_efficiency[k])
        after = b.energy[k, line.next_step(t)]
        if line.steps_per_day == 1:
            return gain * b.charge[k, t] - drain * b.discharge[k, t] == 0.0
        coefs = [1.0, -1.0, -gain, drain]
        variables = [after, b.energy[k, t], b.charge[k, t], b.discharge[k, t]]
        return linear(coefs, variables) == 0.0

    block.storage_dynamics = pyo.Constraint(*grid_of, rule=storage_dynamics)
    if units:
        _limit_by_units(block, data, units)
    for k in block.STORAGE:
        for t in block.TIME:
            terms = injection.p_terms[int(data.node[k]), t]
            terms.append((1.0, block.discharge[k, t]))
            terms.append((-1.0, block.charge[k, t]))
    return block


def _limit_by_units(block: Any, data: Storages, units: Units) -> None:
    def limit(variable: Any, rating: Array, sense: float) -> Any:
        def rule(_: Any, k: int, t: int) -> Any:
            size = sense * float(rating[k])
            return linear([sense, -size], [variable[k, t], units[k]]) <= 0.0

        return pyo.Constraint(list(units), block.TIME, rule=rule)

    block.charge_limit = limit(block.charge, data.p_charge, 1.0)
    block.discharge_limit = limit(block.discharge, data.p_discharge, 1.0)
    block.energy_limit = limit(block.energy, data.e_max, 1.0)
    block.energy_reserve = limit(block.energy, data.e_min, -1.0)


def generator_block(
    data: Generators, line: Timeline, injection: Injection, units: Units | None = None
) -> Any:
    """Return a block with what generators may choose; it is added to `injection`.

    Output ``p`` (p.u.), p_min <= p <= available, of those in ``GENERATOR``: the positions in
    `data` that are curtailable or to be built. Reactive power ``q`` (p.u.) of those in
    ``REACTIVE``, where it is free.
    """
    units = units or {}
    block = pyo.Block(concrete=True)
    block.GENERATOR = pyo.Set(
        initialize=[k for k in range(len(data.index)) if data.curtailable[k] or k in units]
    )
    block.TIME = pyo.RangeSet(0, line.n_steps - 1)

    def bounds(_: Any, k: int, t: int) -> tuple[float, float]:
        most = float(data.available[t, k] * (units[k].ub if k in units else 1.0))
        return min(float(data.p_min[k]), most), most

    block.p = pyo.Var(block.GENERATOR, block.TIME, bounds=bounds)
    block.REACTIVE = pyo.Set(initialize=np.flatnonzero(data.reactive).tolist())
    block.q = pyo.Var(
        block.REACTIVE,
        block.TIME,
        bounds=lambda _, k, _t: (float(data.q_min[k]), float(data.q_max[k])),
    )

    def availability(b: Any, k: int, t: int) -> Any:
        per_unit = -float(data.available[t, k])
        return linear([1.0, per_unit], [b.p[k, t], units[k]]) <= 0.0

    block.availability = pyo.Constraint(list(units), block.TIME, rule=availability)
    for k in block.GENERATOR:
        for t in block.TIME:
            injection.p_terms[int(data.node[k]), t].append((1.0, block.p[k, t]))
    for k in block.REACTIVE:
        for t in block.TIME:
            injection.q_terms[int(data.node[k]), t].append((1.0, block.q[k, t]))
    return block


def flexible_load_block(data: FlexibleLoads, line: Timeline, injection: Injection) -> Any:
    """Return a block with ``up`` and ``down`` (p.u.): load shifted within each day, energy kept.

    The change of load is taken from `injection`.
    """
    block = pyo.Block(concrete=True)
    block.FLEXIBLE = pyo.RangeSet(0, len(data.index) - 1)
    block.TIME = pyo.RangeSet(0, line.n_steps - 1)
    block.DAY = pyo.RangeSet(0, line.n_days - 1)

    def within(limit: Array) -> Any:
        return lambda _, k, t: (0.0, float(limit[t, k]))

    block.up = pyo.Var(block.FLEXIBLE, block.TIME, bounds=within(data.max_up))
    block.down = pyo.Var(block.FLEXIBLE, block.TIME, bounds=within(data.max_down))

    def shifted_energy_kept(b: Any, k: int, day: int) -> Any:
        first = day * line.steps_per_day
        steps = range(first, first + line.steps_per_day)
        return sum(b.up[k, t] - b.down[k, t] for t in steps) == 0.0

    block.shifted_energy_kept = pyo.Constraint(block.FLEXIBLE, block.DAY, rule=shifted_energy_kept)
    for k in block.FLEXIBLE:
        for t in block.TIME:
            terms = injection.p_terms[int(data.node[k]), t]
            terms.append((-1.0, block.up[k, t]))
            terms.append((1.0, block.down[k, t]))
    return block


def add_devices(
    m: Any, portfolio: Portfolio, line: Timeline, injection: Injection, formulation: Formulation
) -> None:
    """Add the blocks of everything that exists and moves: ``m.storage``, ``generator``, ..."""
    m.storage = storage_block(portfolio.storages, line, injection)
    m.generator = generator_block(portfolio.generators, line, injection)
    m.flexible = flexible_load_block(portfolio.flexible, line, injection)
    m.sop = sop_block(portfolio.sops, injection, law=formulation.capability)
