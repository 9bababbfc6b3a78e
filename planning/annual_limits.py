"""What a year emits, and how much of its demand renewable energy covers.

    emission  = sum_d N_d sum_t h [ g_t P_buy + sum_k g_k p_k ]                          (1)
    renewable = sum_d N_d sum_t h [ pv, wind and existing static generators, as fed in ]  (2)
    emission <= cap,   renewable >= share x demand                                        (3)

(1) charges purchases and gives no credit for sales. Demand is that of the load profiles. A limit
of the year couples its typical days; it is split into an allotment for each day, so that days with
their allotments fixed are problems of their own:

    emission_d <= E_d,   sum_d E_d <= cap;      renewable_d >= R_d,   sum_d R_d >= share x demand
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pyomo.environ as pyo

from planning.investment import declare_linking
from pp_p2p.errors import NoSolution
from pp_p2p.network.algebra import linear
from pp_p2p.network.branches import Array
from pp_p2p.network.formulation import Formulation
from pp_p2p.solve.run import run_solver

if TYPE_CHECKING:
    from planning.year_model import ExpansionData

Terms = list[tuple[float, Any]]


def add_annual_limits(m: Any, data: ExpansionData) -> None:
    """Add the expressions ``emission`` (t/a) and ``renewable`` (MWh/a), and (3) where wanted."""
    emitted, produced, constant = _emitted(m, data), *_produced(m, data)
    m.DAY = pyo.RangeSet(0, data.line.n_days - 1)
    m.emission = pyo.Expression(expr=_sum([term for day in emitted for term in day]))
    m.renewable = pyo.Expression(
        expr=_sum([term for day in produced for term in day], float(constant.sum()))
    )
    if np.isfinite(data.emission_cap_t_per_year):
        scale = _scale(m.emission)
        emitted = [[(c / scale, v) for c, v in day] for day in emitted]
        most = [sum(c * v.ub for c, v in day) for day in emitted]
        m.emission_allotment = pyo.Var(m.DAY, bounds=lambda _, d: (0.0, most[d]))
        m.emission_of_day = pyo.Constraint(
            m.DAY, rule=lambda b, d: _sum([*emitted[d], (-1.0, b.emission_allotment[d])]) <= 0.0
        )
        allotted = _sum([(1.0, m.emission_allotment[d]) for d in m.DAY])
        m.emission_cap = pyo.Constraint(expr=allotted <= data.emission_cap_t_per_year / scale)
        declare_linking(m, m.emission_allotment.values())
    if data.renewable_share_percent > 0:
        scale = max(demand_mwh_per_year(data), 1.0)
        produced, constant = (
            [[(c / scale, v) for c, v in day] for day in produced],
            constant / scale,
        )
        high = [sum(c * v.ub for c, v in day) + constant[d] for d, day in enumerate(produced)]
        m.renewable_allotment = pyo.Var(m.DAY, bounds=lambda _, d: (0.0, float(high[d])))
        m.renewable_of_day = pyo.Constraint(
            m.DAY,
            rule=lambda b, d: (
                _sum([*((-c, v) for c, v in produced[d]), (1.0, b.renewable_allotment[d])])
                <= float(constant[d])
            ),
        )
        allotted = _sum([(1.0, m.renewable_allotment[d]) for d in m.DAY])
        least = data.renewable_share_percent / 100.0 * demand_mwh_per_year(data) / scale
        m.renewable_share = pyo.Constraint(expr=allotted >= least)
        declare_linking(m, m.renewable_allotment.values())


def explain_annual(
    data: ExpansionData, formulation: Formulation, *, broken_only: bool = False
) -> str:
    """Return what the limits (3) could be at best; ``""`` where other limits cannot hold.

    With any size of every candidate, and each limit alone; with `broken_only` those that no choice
    reaches.
    """
    from planning.year_model import add_year

    said: list[str] = []
    most = data.candidates.max_units
    share, cap = data.renewable_share_percent, data.emission_cap_t_per_year
    free = dataclasses.replace(
        data, renewable_share_percent=0.0, emission_cap_t_per_year=float("inf")
    )
    for name, wanted in (("renewable", share > 0), ("emission", np.isfinite(cap))):
        if not wanted:
            continue
        m = pyo.ConcreteModel(name="best_of_the_year")
        m.units = pyo.Var(range(len(most)), bounds=lambda _, k: (0.0, float(most[k])), initialize=0)
        add_year(m, free, formulation, dict(m.units.items()))
        sense = -1.0 if name == "renewable" else 1.0
        m.best = pyo.Objective(expr=sense * 1e-3 * getattr(m, name))
        try:
            best = sense * 1e3 * run_solver(m).objective
        except NoSolution:
            return ""
        if name == "renewable":
            best *= 100.0 / demand_mwh_per_year(data)
            text, broken = (
                f"share_percent = {share:g}, of which {best:.4g} can be reached",
                best < share,
            )
        else:
            text = f"cap_t_per_year = {cap:g}, but {best:.4g} at least are emitted"
            broken = best > cap
        if broken or not broken_only:
            said.append(f"{name}_{text}")
    return f"the limits of the year are {' and '.join(said)}" if said else ""


def demand_mwh_per_year(data: ExpansionData) -> float:
    """Return the demand of the load profiles, MWh/a."""
    return float(_mwh(data) @ data.portfolio.loads.p.sum(axis=1))


def _mwh(data: ExpansionData) -> Array:
    """Return MWh/a per p.u. in each step (step,)."""
    weighted: Array = data.line.step_weight * data.line.step_h * data.grid.s_base_mva
    return weighted


def _scale(total: Any) -> float:
    """Return a number of the size of what a linear expression may be: limits are divided by it."""
    terms = zip(total.expr.linear_coefs, total.expr.linear_vars, strict=True)
    return max(1.0, float(sum(c * v.ub for c, v in terms)))


def _sum(terms: Terms, constant: float = 0.0) -> Any:
    return linear([c for c, _ in terms], [v for _, v in terms], constant)


def _emitted(m: Any, data: ExpansionData) -> list[Terms]:
    """Return the terms (1) of each day."""
    c, mwh = data.candidates, _mwh(data)
    days: list[Terms] = [[] for _ in range(data.line.n_days)]
    for t in m.TIME:
        day = days[t // data.line.steps_per_day]
        if data.grid_emission[t]:
            day.append((float(mwh[t] * data.grid_emission[t]), m.buy[t]))
        for k, of in enumerate(c.generator_of):
            if c.emission_t_per_mwh[of]:
                day.append((float(mwh[t] * c.emission_t_per_mwh[of]), m.new_generator.p[k, t]))
    return days


def _produced(m: Any, data: ExpansionData) -> tuple[list[Terms], Array]:
    """Return the terms (2) of each day, and what runs whatever is decided (day,)."""
    c, mwh, existing = data.candidates, _mwh(data), data.portfolio.generators
    days: list[Terms] = [[] for _ in range(data.line.n_days)]
    stiff = mwh * existing.available[:, ~existing.curtailable].sum(axis=1)
    for t in m.TIME:
        day = days[t // data.line.steps_per_day]
        day += [(float(mwh[t]), m.generator.p[k, t]) for k in m.generator.GENERATOR]
        for k, of in enumerate(c.generator_of):
            if c.renewable[of]:
                day.append((float(mwh[t]), m.new_generator.p[k, t]))
    return days, stiff.reshape(data.line.n_days, -1).sum(axis=1)
