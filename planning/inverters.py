"""Reactive power of what is built, within the rating of its inverter or generator.

For candidate k with S_k a unit, and p_k what it feeds in:

    p_k^2 + q_k^2 <= (S_k x_k)^2                                                     (1)

as a cone, convex in x_k too, or as a polygon inside it where the formulation is linear.
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
from pp_p2p.network.lindistflow import POLYGON_SIDES


def inverter_block(
    rating: Array,
    node: Array,
    fed_in: Mapping[int, Any],
    injection: Injection,
    units: Mapping[int, Any],
    formulation: Formulation,
) -> Any:
    """Return a block with ``p`` and ``q`` (p.u.) of the candidates in `fed_in`.

    Parameters
    ----------
    rating : (candidate,), p.u.
        S_k.
    node : (candidate,) of int
    fed_in : mapping
        Candidate -> function of the step that returns its active power as terms.
    injection : Injection
        Gets the reactive power.
    units : mapping
    formulation : Formulation
    """
    block = pyo.Block(concrete=True)
    block.INVERTER = pyo.Set(initialize=[k for k in fed_in if rating[k] > 0])
    block.TIME = pyo.RangeSet(0, injection.p.shape[1] - 1)
    over = (block.INVERTER, block.TIME)
    most = {k: float(rating[k]) * float(units[k].ub) for k in block.INVERTER}
    block.p = pyo.Var(*over, bounds=lambda _, k, _t: (-most[k], most[k]))
    block.q = pyo.Var(*over, bounds=lambda _, k, _t: (-most[k], most[k]))

    def power(b: Any, k: int, t: int) -> Any:
        terms = fed_in[k](t)
        return linear([-1.0, *(c for c, _ in terms)], [b.p[k, t], *(v for _, v in terms)]) == 0.0

    block.inverter_power = pyo.Constraint(*over, rule=power)
    angles = 2 * np.pi * np.arange(POLYGON_SIDES) / POLYGON_SIDES
    reach = float(np.cos(np.pi / POLYGON_SIDES))

    def cone(b: Any, k: int, t: int) -> Any:
        square = float(rating[k]) ** 2
        return b.p[k, t] ** 2 + b.q[k, t] ** 2 - square * units[k] ** 2 <= 0.0

    def side(b: Any, k: int, t: int, m: int) -> Any:
        coefs = [float(np.cos(angles[m])), float(np.sin(angles[m])), -reach * float(rating[k])]
        return linear(coefs, [b.p[k, t], b.q[k, t], units[k]]) <= 0.0

    if formulation.capability == "cone":
        block.inverter_rating = pyo.Constraint(*over, rule=cone)
    else:
        block.inverter_rating = pyo.Constraint(*over, range(POLYGON_SIDES), rule=side)
    for k in block.INVERTER:
        for t in block.TIME:
            injection.q_terms[int(node[k]), t].append((1.0, block.q[k, t]))
    return block
