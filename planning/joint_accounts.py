"""What one account of a joint plan brings into a model: devices, those it may build, its cost.

The terms of (1), (2) and (7) of `planning.joint_model` that belong to one account. Whoever builds
a model decides which accounts are in it: all of them, or one.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from planning.inverters import inverter_block
from planning.investment import MONEY_SCALE
from planning.joint_data import JointData, owned
from planning.reliability_model import add_reliability, limit_reliability
from pp_p2p.elements.schema import NONE
from pp_p2p.names import OPERATOR
from pp_p2p.network.algebra import linear
from pp_p2p.network.block import Injection
from pp_p2p.network.device_costs import device_costs, storage_costs
from pp_p2p.network.devices import (
    add_devices,
    flexible_load_block,
    generator_block,
    load_change,
    storage_block,
)
from pp_p2p.network.formulation import Formulation
from pp_p2p.network.soft_open_point import sop_block

Terms = list[tuple[float, Any]]


def add_participant(
    b: Any, data: JointData, label: int, injection: Injection, m: Any, formulation: Formulation
) -> None:
    """Add a participant's devices, those it may build, and its net load to `b`.

    Parameters
    ----------
    b : pyomo.Block
    data : JointData
    label : int
        Row of ``net.participant``.
    injection : Injection
        Gets what the devices feed in.
    m : pyomo.ConcreteModel
        Holds the units.
    formulation : Formulation
    """
    p, line = data.portfolio_of(label), data.year.line
    b.storage = storage_block(p.storages, line, injection)
    b.generator = generator_block(p.generators, line, injection)
    b.flexible = flexible_load_block(p.flexible, line, injection)
    _add_candidates(b, data, label, injection, m, formulation)
    fixed = p.loads.p.sum(axis=1)
    fixed = fixed - p.generators.available[:, ~p.generators.curtailable].sum(axis=1)
    movable: dict[int, Terms] = defaultdict(list)
    for t in range(line.n_steps):
        for k in b.generator.GENERATOR:
            movable[t].append((-1.0, b.generator.p[k, t]))
        for k in b.new_generator.GENERATOR:
            movable[t].append((-1.0, b.new_generator.p[k, t]))
        for block in (b.storage, b.new_storage):
            for k in block.STORAGE:
                movable[t] += [(1.0, block.charge[k, t]), (-1.0, block.discharge[k, t])]
        for k in b.flexible.FLEXIBLE:
            movable[t] += load_change(b.flexible, k, t)
    b.fixed_load, b.movable_load = fixed, movable


def add_operator(m: Any, data: JointData, formulation: Formulation) -> None:
    """Add the operator's devices, those it may build, and what happens after faults to `m`."""
    year = data.year
    add_devices(m, data.portfolio_of(OPERATOR), year.line, m.injection, formulation)
    _add_candidates(m, data, OPERATOR, m.injection, m, formulation)
    c = year.candidates
    devices = {int(c.sop[k]): m.units[k] for k in np.flatnonzero(c.sop != NONE).tolist()}
    m.new_sop = sop_block(c.sops, m.injection, {}, law=formulation.capability, units=devices)
    add_reliability(
        m,
        year.faults,
        year.demand_mw,
        year.customers,
        c,
        {k: m.units[k] for k in m.CANDIDATE},
        reserves=year.islands == "reserve",
    )
    limit_reliability(m, year.reliability_limits)


def _add_candidates(
    b: Any, data: JointData, label: int, injection: Injection, m: Any, formulation: Formulation
) -> None:
    c, line, units = data.year.candidates, data.year.line, m.units
    storages, generators = c.storages.owner == label, c.generators.owner == label
    b.storage_of = c.storage_of[storages].tolist()
    b.generator_of = c.generator_of[generators].tolist()
    b.new_storages = owned(c.storages, storages)
    b.new_storage = storage_block(
        b.new_storages, line, injection, {k: units[of] for k, of in enumerate(b.storage_of)}
    )
    b.new_generator = generator_block(
        owned(c.generators, generators),
        line,
        injection,
        {k: units[of] for k, of in enumerate(b.generator_of)},
    )

    def of_generator(g: int) -> Any:
        return lambda t: [(1.0, b.new_generator.p[g, t])]

    def of_storage(s: int) -> Any:
        return lambda t: [(1.0, b.new_storage.discharge[s, t]), (-1.0, b.new_storage.charge[s, t])]

    fed_in = {k: of_generator(g) for g, k in enumerate(b.generator_of)}
    fed_in |= {k: of_storage(s) for s, k in enumerate(b.storage_of)}
    rating = c.unit_sn_mva / data.year.grid.s_base_mva
    b.inverter = inverter_block(rating, c.node, fed_in, injection, units, formulation)


def account_cost(m: Any, own: Any, data: JointData, a: int, more: Terms) -> Any:
    """Return the cost of account `a` in units of `MONEY_SCALE`.

    Parameters
    ----------
    m : pyomo.ConcreteModel
        Holds units, sites and exchange with the grid.
    own : pyomo.Block
        Holds the account's devices.
    data : JointData
    a : int
        Position of the account.
    more : list of (float, variable)
        Further terms.
    """
    year, label = data.year, int(data.accounts[a])
    c, mwh = year.candidates, data.step_mwh
    terms: Terms = list(more)
    for k in data.candidates_of(label).tolist():
        yearly = c.annuity_eur_per_year[k] + c.fixed_om_eur_per_year[k]
        terms.append((float(yearly) / MONEY_SCALE, m.units[k]))
        if c.fixed_annuity_eur_per_year[k] > 0:
            site = m.site[k] if k in m.SITE else m.units[k]
            terms.append((float(c.fixed_annuity_eur_per_year[k]) / MONEY_SCALE, site))
    for t in m.TIME:
        terms.append((float(mwh[t] * year.price_buy[t]) / MONEY_SCALE, m.buy[a, t]))
        terms.append((-float(mwh[t] * year.price_sell[t]) / MONEY_SCALE, m.sell[a, t]))
        for k, of in enumerate(own.generator_of):
            eur = float(mwh[t] * c.variable_om_eur_per_mwh[of])
            terms.append((eur / MONEY_SCALE, own.new_generator.p[k, t]))
    hours, base = year.line.step_weight * year.line.step_h, year.grid.s_base_mva
    moved = [
        *device_costs(own, data.portfolio_of(label), hours, base),
        *storage_costs(own.new_storage, own.new_storages, hours, base),
    ]
    terms += [(term.linear / MONEY_SCALE, term.variable) for term in moved]
    curved = sum(term.square / MONEY_SCALE * term.variable**2 for term in moved if term.square)
    return linear([k for k, _ in terms], [v for _, v in terms]) + curved


def operator_cost(m: Any, data: JointData) -> Any:
    """Return the operator's cost: the last account's, and energy not served."""
    lost_load = data.year.value_of_lost_load_eur_per_mwh / MONEY_SCALE * m.eens
    return account_cost(m, m, data, len(data.participants), []) + lost_load
