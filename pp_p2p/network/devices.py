"""Pyomo blocks of the devices: storage, static generators, shiftable load.

Storage k, step t of length h, over each day:

    e[t+1] = e[t] + eta_c c[t] h - d[t] h / eta_d,   e[after last] = e[first]   (storage_dynamics)
    0 <= c <= C n,   0 <= d <= D n,   E_min n <= e <= E_max n                   (…_limit)

with n = 1 for what exists and n = the units built for a candidate; E may have units of its own
(`AddedEnergy`). Charging and discharging at
once never pays where energy has a positive price, so no binary variable forbids it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pyomo.environ as pyo

from pp_p2p.elements.schema import NONE
from pp_p2p.network.algebra import linear
from pp_p2p.network.block import Injection
from pp_p2p.network.branches import Array
from pp_p2p.network.formulation import Formulation
from pp_p2p.network.portfolio import FlexibleLoads, Generators, Loads, Portfolio, Storages
from pp_p2p.network.soft_open_point import Drawn, sop_block
from pp_p2p.network.timeline import Timeline

Units = Mapping[int, Any]
"""Decision variable 'units built' of device k; a device that is not a key exists already."""


class AddedEnergy(NamedTuple):
    """Energy that storage gets beside its units: `least` and `most` of one (p.u. h), how many."""

    least: float
    most: float
    units: Any


Added = Mapping[int, list[AddedEnergy]]
"""What adds energy to storage k."""

Bounds = dict[str, tuple[Array, Array]]
"""Lower and upper bound (device, step) of each variable of a block."""


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


def storage_bounds(
    data: Storages, line: Timeline, units: Units | None = None, added: Added | None = None
) -> Bounds:
    """Return the bounds of ``charge``, ``discharge`` and ``energy``, p.u. and p.u. h."""
    most, built = _most(len(data.index), units), _built(len(data.index), units)
    low = np.repeat(np.where(built, 0.0, data.e_min)[:, None], line.n_steps, axis=1)
    e_max = data.e_max * most
    for k, parts in (added or {}).items():
        e_max[k] += sum(part.most * float(part.units.ub) for part in parts)
    high = np.repeat(e_max[:, None], line.n_steps, axis=1)
    given = np.flatnonzero(~built & np.isfinite(data.e_start))
    first = np.ix_(given, line.first_steps())
    low[first] = high[first] = data.e_start[given][:, None]

    def rated(power: Array) -> tuple[Array, Array]:
        return np.zeros_like(high), np.repeat((power * most)[:, None], line.n_steps, axis=1)

    return {
        "charge": rated(data.p_charge),
        "discharge": rated(data.p_discharge),
        "energy": (low, high),
    }


def generator_bounds(data: Generators, units: Units | None = None) -> Bounds:
    """Return the bounds of ``p`` and ``q``, p.u., of all generators: the blocks hold some."""
    high = data.available.T * _most(len(data.index), units)[:, None]
    ones = np.ones_like(high)
    return {
        "p": (np.minimum(data.p_min[:, None], high), high),
        "q": (ones * data.q_min[:, None], ones * data.q_max[:, None]),
    }


def flexible_load_bounds(data: FlexibleLoads) -> Bounds:
    """Return the bounds of ``up``, ``down``, ``curtail`` and ``response``, p.u."""
    none = np.zeros_like(data.max_up.T)
    return {
        "up": (none, data.max_up.T),
        "down": (none, data.max_down.T),
        "curtail": (none, data.max_curtail.T),
        "response": (-data.level.T, data.level.T),
    }


def _most(n: int, units: Units | None) -> Array:
    """Return how many units of each device there may be: 1 of what exists."""
    units = units or {}
    return np.array([float(units[k].ub) if k in units else 1.0 for k in range(n)])


def _built(n: int, units: Units | None) -> Array:
    return np.isin(np.arange(n), list(units or {}))


def _within(bounds: tuple[Array, Array]) -> Any:
    low, high = (side.tolist() for side in bounds)
    return lambda _, k, t: (low[k][t], high[k][t])


def storage_block(
    data: Storages,
    line: Timeline,
    injection: Injection,
    units: Units | None = None,
    added: Added | None = None,
) -> Any:
    """Return a block with ``charge``, ``discharge`` (p.u.) and ``energy`` (p.u. h) of storage.

    The net discharge is added to `injection`, but for units on the link of a soft open point.
    `added` is for storage in `units` alone.
    """
    units = units or {}
    block = pyo.Block(concrete=True)
    block.STORAGE = pyo.RangeSet(0, len(data.index) - 1)
    block.TIME = pyo.RangeSet(0, line.n_steps - 1)

    bounds = storage_bounds(data, line, units, added)
    grid_of = (block.STORAGE, block.TIME)
    block.charge = pyo.Var(*grid_of, bounds=_within(bounds["charge"]))
    block.discharge = pyo.Var(*grid_of, bounds=_within(bounds["discharge"]))
    block.energy = pyo.Var(*grid_of, bounds=_within(bounds["energy"]))

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
        _limit_by_units(block, data, units, added or {})
    for k in np.flatnonzero(data.sop == NONE).tolist():
        for t in block.TIME:
            terms = injection.p_terms[int(data.node[k]), t]
            terms.append((1.0, block.discharge[k, t]))
            terms.append((-1.0, block.charge[k, t]))
    return block


def drawn_from_links(data: Storages, block: Any) -> Drawn:
    """Return what storage takes from the links of soft open points, by device and step."""
    drawn: dict[tuple[int, int], list[tuple[float, Any]]] = defaultdict(list)
    for k in np.flatnonzero(data.sop != NONE).tolist():
        for t in block.TIME:
            terms = drawn[int(data.sop[k]), t]
            terms += [(1.0, block.charge[k, t]), (-1.0, block.discharge[k, t])]
    return drawn


def _limit_by_units(block: Any, data: Storages, units: Units, added: Added) -> None:
    def limit(variable: Any, rating: Array, sense: float, more: str = "") -> Any:
        def rule(_: Any, k: int, t: int) -> Any:
            size = sense * float(rating[k])
            parts = added.get(k, ()) if more else ()
            sizes = [-sense * float(getattr(part, more)) for part in parts]
            counts = [part.units for part in parts]
            return linear([sense, -size, *sizes], [variable[k, t], units[k], *counts]) <= 0.0

        return pyo.Constraint(list(units), block.TIME, rule=rule)

    block.charge_limit = limit(block.charge, data.p_charge, 1.0)
    block.discharge_limit = limit(block.discharge, data.p_discharge, 1.0)
    block.energy_limit = limit(block.energy, data.e_max, 1.0, "most")
    block.energy_reserve = limit(block.energy, data.e_min, -1.0, "least")


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

    bounds = generator_bounds(data, units)
    block.p = pyo.Var(block.GENERATOR, block.TIME, bounds=_within(bounds["p"]))
    block.REACTIVE = pyo.Set(initialize=np.flatnonzero(data.reactive).tolist())
    block.q = pyo.Var(block.REACTIVE, block.TIME, bounds=_within(bounds["q"]))

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
    """Return a block with what loads change (p.u.); it is taken from `injection`.

    ``up`` and ``down`` shift within the window of each day, energy kept; ``curtail`` is forgone;
    ``response`` follows the price.
    """
    block = pyo.Block(concrete=True)
    block.FLEXIBLE = pyo.RangeSet(0, len(data.index) - 1)
    block.TIME = pyo.RangeSet(0, line.n_steps - 1)
    block.DAY = pyo.RangeSet(0, line.n_days - 1)
    block.CURTAILABLE = pyo.Set(initialize=np.flatnonzero(data.curtailable).tolist())
    block.ELASTIC = pyo.Set(initialize=np.flatnonzero(data.elastic).tolist())

    bounds = flexible_load_bounds(data)
    block.up = pyo.Var(block.FLEXIBLE, block.TIME, bounds=_within(bounds["up"]))
    block.down = pyo.Var(block.FLEXIBLE, block.TIME, bounds=_within(bounds["down"]))
    block.curtail = pyo.Var(block.CURTAILABLE, block.TIME, bounds=_within(bounds["curtail"]))
    block.response = pyo.Var(block.ELASTIC, block.TIME, bounds=_within(bounds["response"]))

    def shifted_energy_kept(b: Any, k: int, day: int) -> Any:
        first = day * line.steps_per_day
        steps = range(first, first + line.steps_per_day)
        return sum(b.up[k, t] - b.down[k, t] for t in steps) == 0.0

    def not_below_zero(b: Any, k: int, t: int) -> Any:
        terms = load_change(b, k, t)
        return linear([-c for c, _ in terms], [v for _, v in terms]) <= float(data.level[t, k])

    block.shifted_energy_kept = pyo.Constraint(block.FLEXIBLE, block.DAY, rule=shifted_energy_kept)
    block.SEVERAL = pyo.Set(initialize=sorted({*block.CURTAILABLE, *block.ELASTIC}))
    block.not_below_zero = pyo.Constraint(block.SEVERAL, block.TIME, rule=not_below_zero)
    for k in block.FLEXIBLE:
        for t in block.TIME:
            terms = injection.p_terms[int(data.node[k]), t]
            terms += [(-coef, variable) for coef, variable in load_change(block, k, t)]
    return block


def load_change(block: Any, k: int, t: int) -> list[tuple[float, Any]]:
    """Return what flexible load `k` draws more than its profile, as terms."""
    terms = [(1.0, block.up[k, t]), (-1.0, block.down[k, t])]
    if k in block.CURTAILABLE:
        terms.append((-1.0, block.curtail[k, t]))
    if k in block.ELASTIC:
        terms.append((1.0, block.response[k, t]))
    return terms


def add_devices(
    m: Any, portfolio: Portfolio, line: Timeline, injection: Injection, formulation: Formulation
) -> None:
    """Add the blocks of everything that exists and moves: ``m.storage``, ``generator``, ..."""
    m.storage = storage_block(portfolio.storages, line, injection)
    m.generator = generator_block(portfolio.generators, line, injection)
    m.flexible = flexible_load_block(portfolio.flexible, line, injection)
    drawn = drawn_from_links(portfolio.storages, m.storage)
    m.sop = sop_block(portfolio.sops, injection, drawn, law=formulation.capability)
    # labels, for whoever must name a device
    m.storage.rows = portfolio.storages.index.tolist()
    m.generator.rows = portfolio.generators.index.tolist()
    m.flexible.rows = portfolio.flexible.index.tolist()
    m.sop.rows = portfolio.sops.index.tolist()
