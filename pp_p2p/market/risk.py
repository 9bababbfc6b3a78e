"""Risk of uncertain prices: the mean of the worst scenarios beside the mean of all.

For costs X_s with probability rho_s (Rockafellar & Uryasev 2000)

    CVaR_level(X) = min_v  v + sum_s rho_s max(X_s - v, 0) / (1 - level)               (1)

A sum that is paid for sure moves (1) by just that sum, so that payments still split a gain as in
`pp_p2p.market.bargaining`.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pyomo.environ as pyo

from pp_p2p.market.bargaining import NashBargaining
from pp_p2p.network.algebra import linear
from pp_p2p.network.branches import Array
from pp_p2p.network.device_costs import CostTerm
from pp_p2p.network.timeline import Timeline


def add_risk(
    m: Any, costs: list[list[CostTerm]], line: Timeline, mechanism: NashBargaining
) -> None:
    """Add ``m.risk_cost[account]``: the mean of its cost over scenarios, or its mix with (1)."""
    weight = line.weight

    def scenario(term: CostTerm) -> int:
        return term.step // line.steps_per_day

    mean = [_weighted(terms, [float(weight[scenario(term)]) for term in terms]) for terms in costs]
    if mechanism.risk_weight == 0.0 or line.n_days == 1:
        m.risk_cost = pyo.Expression(m.ACCOUNT, rule=lambda _, a: mean[a])
        return
    m.SCENARIO = pyo.RangeSet(0, line.n_days - 1)
    reach = [1.0 + sum(_reach(term) for term in terms) for terms in costs]
    m.value_at_risk = pyo.Var(m.ACCOUNT, bounds=lambda _, a: (-reach[a], reach[a]))
    m.beyond = pyo.Var(m.ACCOUNT, m.SCENARIO, bounds=lambda _, a, _s: (0.0, 2.0 * reach[a]))
    m.convex = pyo.Var(m.ACCOUNT, m.SCENARIO, bounds=lambda _, a, _s: (0.0, reach[a]))
    straight: dict[tuple[int, int], Any] = defaultdict(float)
    square: dict[tuple[int, int], Any] = defaultdict(float)
    for a, terms in enumerate(costs):
        for term in terms:
            straight[a, scenario(term)] += term.linear * term.variable
            if term.square:
                square[a, scenario(term)] += term.square * term.variable**2
    m.tail = pyo.Constraint(
        m.ACCOUNT,
        m.SCENARIO,
        rule=lambda m, a, s: (
            straight[a, s] + m.convex[a, s] - m.value_at_risk[a] - m.beyond[a, s] <= 0.0
        ),
    )
    m.convex_cost = pyo.Constraint(
        sorted(square), rule=lambda m, a, s: square[a, s] - m.convex[a, s] <= 0.0
    )
    share, level = mechanism.risk_weight, mechanism.risk_level
    m.risk_cost = pyo.Expression(
        m.ACCOUNT,
        rule=lambda m, a: (
            (1.0 - share) * mean[a]
            + share * m.value_at_risk[a]
            + share / (1.0 - level) * sum(float(weight[s]) * m.beyond[a, s] for s in m.SCENARIO)
        ),
    )


def worst_mean(costs: Array, probability: Array, level: float) -> Array:
    """Return (1) of costs (..., scenario): the mean of the worst ``1 - level``."""
    order = np.argsort(-costs, axis=-1, kind="stable")
    sorted_costs = np.take_along_axis(costs, order, axis=-1)
    chance = probability[order]
    before = np.cumsum(chance, axis=-1) - chance
    counted = np.clip(1.0 - level - before, 0.0, chance)
    return np.asarray((sorted_costs * counted).sum(axis=-1) / (1.0 - level))


def _weighted(terms: list[CostTerm], weights: list[float]) -> Any:
    curved = [(w * term.square, term.variable) for w, term in zip(weights, terms, strict=True)]
    coefs = [w * term.linear for w, term in zip(weights, terms, strict=True)]
    straight = linear(coefs, [term.variable for term in terms])
    return straight + sum(c * x**2 for c, x in curved if c)


def _reach(term: CostTerm) -> float:
    most = max(map(abs, term.variable.bounds))
    return float(abs(term.linear) * most + term.square * most**2)
