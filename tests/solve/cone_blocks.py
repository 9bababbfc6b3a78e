"""Problems that are taken apart: blocks of a feeder's cone, tied by integers."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
import pyomo.environ as pyo

from pp_p2p.errors import NoSolution
from pp_p2p.solve.run import run_solver


class Drawn(NamedTuple):
    """What was drawn for the blocks: `price` (block,), `size` (kind,), `sun`, `demand` (block,)."""

    price: Any
    size: Any
    sun: Any
    demand: Any


def cone_blocks(rng: Any, *, blocks: int, n: int, most: int, bought: float) -> tuple[Any, Drawn]:
    """Return a model of `blocks` with a cone each and `n` kinds of units, without objective.

    Units are up to `most` of each kind, for all blocks; a block buys up to `bought`.
    """
    m = pyo.ConcreteModel()
    m.BLOCK, m.KIND = pyo.RangeSet(0, blocks - 1), pyo.RangeSet(0, n - 1)
    m.build = pyo.Var(m.KIND, domain=pyo.Integers, bounds=(0, most))
    m.p = pyo.Var(m.BLOCK, m.KIND, bounds=(0, 10))
    m.bought = pyo.Var(m.BLOCK, bounds=(0, bought))
    m.l = pyo.Var(m.BLOCK, bounds=(0, 200))
    m.v = pyo.Var(m.BLOCK, bounds=(0.7, 1.2))
    size, demand = rng.uniform(0.3, 1.5, n), rng.uniform(1.0, 6.0, blocks)
    r, price = rng.uniform(0.02, 0.08, blocks), rng.uniform(1.0, 3.0, blocks)
    sun = rng.uniform(0.2, 1.0, (blocks, n))
    m.available = pyo.Constraint(
        m.BLOCK, m.KIND, rule=lambda m, d, k: m.p[d, k] <= sun[d, k] * size[k] * m.build[k]
    )
    m.balance = pyo.Constraint(
        m.BLOCK,
        rule=lambda m, d: (
            m.bought[d] + sum(m.p[d, k] for k in m.KIND) == float(demand[d]) + float(r[d]) * m.l[d]
        ),
    )
    m.drop = pyo.Constraint(
        m.BLOCK, rule=lambda m, d: m.v[d] == 1.0 - 0.02 * m.bought[d] + 0.001 * m.l[d]
    )
    m.cone = pyo.Constraint(m.BLOCK, rule=lambda m, d: m.bought[d] ** 2 <= m.l[d] * m.v[d])
    return m, Drawn(price=price, size=size, sun=sun, demand=demand)


def cost_of(m: Any, rng: Any, drawn: Drawn) -> Any:
    """Return the cost of units, drawn so that some of them pay, and of what is bought."""
    capex = rng.uniform(0.7, 2.0, len(drawn.size)) * (drawn.price @ drawn.sun) * drawn.size
    cost = sum(float(capex[k]) * m.build[k] for k in m.KIND)
    return cost + sum(float(drawn.price[d]) * m.bought[d] for d in m.BLOCK)


def enumerated(model: Any) -> float:
    """Return the optimum over every integer point, each solved by the conic solver alone."""
    integers = [v for v in model.component_data_objects(pyo.Var) if not v.is_continuous()]
    best = np.inf
    for point in itertools.product(*(range(v.lb, v.ub + 1) for v in integers)):
        for variable, value in zip(integers, point, strict=True):
            variable.fix(value)
        try:
            best = min(best, run_solver(model).objective)
        except NoSolution:
            continue
    for variable in integers:
        variable.unfix()
    return best
