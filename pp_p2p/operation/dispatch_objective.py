"""Objectives (1), (2) and (3) of `pp_p2p.operation.dispatch` as Pyomo expressions."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyomo.environ as pyo

from pp_p2p.network.algebra import linear
from pp_p2p.network.branches import Array
from pp_p2p.network.device_costs import device_costs
from pp_p2p.network.formulation import Formulation
from pp_p2p.network.soft_open_point import loss_terms
from pp_p2p.operation.dispatch_data import DispatchData

LOSS_WEIGHT: Final = 1e-2
"""Weight of losses (p.u.) in the voltage objective: without it nothing makes the cone tight."""

SCALE: Final[dict[str, float]] = {"loss": 1.0, "cost": 1e2, "voltage": 1.0}
"""Units of the objective per unit of the model's: keeps the model near 1 for the solvers."""


def objective_of(m: Any, data: DispatchData, formulation: Formulation) -> Any:
    """Return the objective of `data`, in units of `SCALE`; adds the variables it needs to `m`."""
    return _TERMS[data.objective](m, data, formulation)


def per_pu_hour(data: DispatchData) -> Array:
    """Return units of the objective per p.u. over each step (step,), at 1 per MWh."""
    return np.asarray(_weights(data) * data.grid.s_base_mva / SCALE[data.objective])


def _weights(data: DispatchData) -> Array:
    return data.line.step_weight * data.line.step_h


def _losses(m: Any, data: DispatchData, formulation: Formulation) -> Any:
    """Return the losses (1), MWh: branches, shunts, converters."""
    tree, grid, n = data.grid.tree, data.grid, m.network
    shunt = np.flatnonzero(grid.y_shunt.real).tolist()
    conductance, sop = grid.y_shunt.real.tolist(), data.portfolio.sops
    total = 0.0
    for t, weight in enumerate(_weights(data)):
        series = sum(
            float(tree.r[k])
            * (n.l[k, t] if formulation.has_losses else n.p[k, t] ** 2 + n.q[k, t] ** 2)
            for k in n.BRANCH
        )
        standing = sum(conductance[j] * n.v[j, t] for j in shunt)
        converters = float(sop.law.standby.sum())
        for i in m.sop.TERMINAL:
            converters += sum(c * v for c, v in loss_terms(m.sop, sop, i, t))
        total += float(weight) * (series + standing + converters)
    return total * (grid.s_base_mva / SCALE["loss"])


def _costs(m: Any, data: DispatchData, _: Formulation) -> Any:
    """Return the cost (2), in units of ``SCALE["cost"]``."""
    n = m.network
    most = n.most_supply
    m.buy = pyo.Var(m.TIME, bounds=(0.0, most))
    m.sell = pyo.Var(m.TIME, bounds=(0.0, most))
    m.exchange = pyo.Constraint(
        m.TIME, rule=lambda m, t: sum(n.p_source[k, t] for k in n.SOURCE) == m.buy[t] - m.sell[t]
    )
    hours = _weights(data)
    moved = device_costs(m, data.portfolio, hours, data.grid.s_base_mva)
    coefs = [term.linear for term in moved]
    total = linear(coefs, [term.variable for term in moved])
    total += sum(term.square * term.variable**2 for term in moved if term.square)
    for t, weight in enumerate(hours):
        hour = sum(_of(data.source_cost[k], n.p_source[k, t]) for k in n.SOURCE)
        for k in np.flatnonzero(data.storage_cost[:, 0]).tolist():
            charge, discharge = m.storage.charge[k, t], m.storage.discharge[k, t]
            hour += float(data.storage_cost[k, 0]) * (charge - discharge)
        total += float(weight) * hour
    coefs = np.concatenate(exchange_cost(data)).tolist()
    exchange = linear(coefs, [*m.buy.values(), *m.sell.values()])
    return total / SCALE["cost"] + exchange


def exchange_cost(data: DispatchData) -> tuple[Array, Array]:
    """Return what buying and selling 1 p.u. in a step costs (step,), in units of ``SCALE``."""
    mwh = _weights(data) * (data.grid.s_base_mva / SCALE["cost"])
    return mwh * data.price_buy, -mwh * data.price_sell


def _of(cost: Array, power: Any) -> Any:
    one, two = (float(c) for c in cost)
    return one * power + (two * power**2 if two else 0.0)


def _voltage(m: Any, data: DispatchData, formulation: Formulation) -> Any:
    """Return the deviation (3), p.u. hours, with its share of losses."""
    n, reference = m.network, data.vm_ref_pu**2
    reach = max(abs(v.ub - reference) + abs(v.lb - reference) for v in n.v.values())
    m.above = pyo.Var(n.BUS, m.TIME, bounds=(0.0, reach))
    m.below = pyo.Var(n.BUS, m.TIME, bounds=(0.0, reach))
    m.deviation = pyo.Constraint(
        n.BUS,
        m.TIME,
        rule=lambda m, j, t: n.v[j, t] - m.above[j, t] + m.below[j, t] == reference,
    )
    deviation = sum(
        float(weight) * (m.above[j, t] + m.below[j, t]) / 2
        for t, weight in enumerate(_weights(data))
        for j in n.BUS
    )
    return deviation + LOSS_WEIGHT / data.grid.s_base_mva * _losses(m, data, formulation)


_TERMS: Final = {"loss": _losses, "cost": _costs, "voltage": _voltage}
