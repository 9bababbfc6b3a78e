"""Soft open points: converters on one direct-current link.

Terminal i feeds p_i, q_i into its bus and loses L_i; storage k on the link takes c_k - d_k. For
the terminals I and the storage K of one device and every step

    sum_{i in I} (p_i + L_i) + sum_{k in K} (c_k - d_k) = 0               (sop_balance)
    p_i^2 + q_i^2 <= k_i^2,   k_i <= S_i,   Qmin_i <= q_i <= Qmax_i        (sop_capability)
    L_i = c0_i + c1_i k_i + c2_i m_i,   k_i^2 <= m_i                       (sop_square)

n devices in parallel share all power alike: n S_i, n c0_i, and k_i^2 <= n m_i. That is how a
device is sized that may be built: convex in n too.

The cones are exact where losses cost something: then k_i is the apparent power and m_i its
square. In the exact formulation k_i = sqrt(p_i^2 + q_i^2 + APEX^2), smooth where the device
idles; in the linear one both are polygons. A soft open point closes no loop: radiality does not
see it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyomo.environ as pyo

from pp_p2p.network.algebra import linear
from pp_p2p.network.branches import Array
from pp_p2p.network.lindistflow import POLYGON_SIDES
from pp_p2p.network.sop_data import SoftOpenPoints

if TYPE_CHECKING:
    from pp_p2p.network.block import Injection

APEX: Final = 1e-4
"""Apparent power (p.u.) that the exact law adds in quadrature: its derivative exists at 0."""


TANGENTS: Final = 8
"""Tangents that stand for the square of the apparent power in the linear formulation."""

Drawn = Mapping[tuple[int, int], list[tuple[float, Any]]]
"""What storage on the link of a device takes at a step: pairs of coefficient and variable."""


def sop_block(
    data: SoftOpenPoints,
    injection: Injection,
    drawn: Drawn,
    *,
    law: str,
    units: Mapping[int, Any] | None = None,
) -> Any:
    """Return a block with ``p``, ``q`` and ``k`` (terminal, step), p.u.; adds to `injection`.

    ``m`` is there for the terminals with quadratic losses.

    Parameters
    ----------
    data : SoftOpenPoints
    injection : Injection
    drawn : mapping
        Power of storage on the links, by device and step.
    law : {"cone", "exact", "polygon"}
        How apparent power is written.
    units : mapping, optional
        Device -> variable of how many of them there are; a device that is not a key is there once.
    """
    units = units or {}
    of = [units.get(int(device)) for device in data.device]
    most = np.array([1.0 if n is None else float(n.ub) for n in of])
    block = pyo.Block(concrete=True)
    block.TERMINAL = pyo.RangeSet(0, len(data.index) - 1)
    block.TIME = pyo.RangeSet(0, injection.p.shape[1] - 1)
    over = (block.TERMINAL, block.TIME)
    s = (data.s_max * most).tolist()
    q_min, q_max = (
        (np.minimum(data.q_min, data.q_min * most)).tolist(),
        (np.maximum(data.q_max, data.q_max * most)).tolist(),
    )
    block.p = pyo.Var(*over, bounds=lambda _, i, _t: (-s[i], s[i]))
    block.q = pyo.Var(*over, bounds=lambda _, i, _t: (q_min[i], q_max[i]))
    block.k = pyo.Var(*over, bounds=lambda _, i, _t: (0.0, s[i]))
    block.SQUARED = pyo.Set(initialize=np.flatnonzero(data.law.quadratic).tolist())
    square = (data.s_max**2 * most).tolist()
    block.m = pyo.Var(block.SQUARED, block.TIME, bounds=lambda _, i, _t: (0.0, square[i]))
    devices = {int(d): np.flatnonzero(data.device == d).tolist() for d in np.unique(data.device)}

    def sop_balance(b: Any, device: int, t: int) -> Any:
        members = devices[device]
        terms = [(1.0, b.p[i, t]) for i in members]
        terms += [term for i in members for term in loss_terms(b, data, i, t)]
        terms += drawn.get((device, t), ())
        standby = float(data.law.standby[members].sum())
        if device in units:
            terms.append((standby, units[device]))
            standby = 0.0
        return linear([c for c, _ in terms], [v for _, v in terms]) == -standby

    block.sop_balance = pyo.Constraint(list(devices), block.TIME, rule=sop_balance)
    _CAPABILITY[law](block, over, data)
    _SQUARE[law](block, data, of)
    _limit_by_units(block, data, of)
    for i in block.TERMINAL:
        for t in block.TIME:
            injection.p_terms[int(data.node[i]), t].append((1.0, block.p[i, t]))
            injection.q_terms[int(data.node[i]), t].append((1.0, block.q[i, t]))
    return block


def _limit_by_units(block: Any, data: SoftOpenPoints, of: list[Any]) -> None:
    sized = [i for i, n in enumerate(of) if n is not None]

    def limit(variable: str, rating: Array, sense: float) -> Any:
        def rule(b: Any, i: int, t: int) -> Any:
            size = sense * float(rating[i])
            return linear([sense, -size], [getattr(b, variable)[i, t], of[i]]) <= 0.0

        return pyo.Constraint(sized, block.TIME, rule=rule)

    block.sop_rating = limit("k", data.s_max, 1.0)
    block.sop_q_max = limit("q", data.q_max, 1.0)
    block.sop_q_min = limit("q", data.q_min, -1.0)


def loss_terms(block: Any, data: SoftOpenPoints, i: int, t: int) -> list[tuple[float, Any]]:
    """Return the losses of terminal `i` at step `t`, but for the standby part, as terms."""
    terms = []
    if data.law.factor[i]:
        terms.append((float(data.law.factor[i]), block.k[i, t]))
    if data.law.quadratic[i]:
        terms.append((float(data.law.quadratic[i]), block.m[i, t]))
    return terms


def _cone(block: Any, over: tuple[Any, Any], _: SoftOpenPoints) -> None:
    block.sop_capability = pyo.Constraint(
        *over, rule=lambda b, i, t: b.p[i, t] ** 2 + b.q[i, t] ** 2 - b.k[i, t] ** 2 <= 0.0
    )


def _exact(block: Any, over: tuple[Any, Any], data: SoftOpenPoints) -> None:
    def law(b: Any, i: int, t: int) -> Any:
        square = b.p[i, t] ** 2 + b.q[i, t] ** 2
        if data.law.factor[i] == 0.0:  # nothing hangs on k but the rating
            return square <= b.k[i, t] ** 2
        return b.k[i, t] == (square + APEX**2) ** 0.5  # squared, it is singular at the apex

    block.sop_capability = pyo.Constraint(*over, rule=law)


def _polygon(block: Any, over: tuple[Any, Any], _: SoftOpenPoints) -> None:
    angles = 2 * np.pi * np.arange(POLYGON_SIDES) / POLYGON_SIDES
    reach = float(np.cos(np.pi / POLYGON_SIDES))

    def side(b: Any, i: int, t: int, m: int) -> Any:
        # outside the circle by 1 / reach, so that k is never below the apparent power
        coefs = [float(np.cos(angles[m])), float(np.sin(angles[m])), -reach]
        return linear(coefs, [b.p[i, t], b.q[i, t], b.k[i, t]]) <= 0.0

    block.sop_capability = pyo.Constraint(*over, range(POLYGON_SIDES), rule=side)


def _square_cone(block: Any, _: SoftOpenPoints, of: list[Any]) -> None:
    def square(b: Any, i: int, t: int) -> Any:
        times = b.m[i, t] if of[i] is None else b.m[i, t] * of[i]
        return b.k[i, t] ** 2 - times <= 0.0

    sized = [i for i in block.SQUARED if of[i] is not None]
    single = [i for i in block.SQUARED if of[i] is None]
    block.sop_square = pyo.Constraint(single, block.TIME, rule=square)
    block.sop_square_sized = pyo.Constraint(sized, block.TIME, rule=square)


def _square_exact(block: Any, _: SoftOpenPoints, of: list[Any]) -> None:
    if any(n is not None for n in of):
        raise NotImplementedError("the exact law is for devices that exist")
    block.sop_square = pyo.Constraint(
        block.SQUARED,
        block.TIME,
        rule=lambda b, i, t: b.p[i, t] ** 2 + b.q[i, t] ** 2 == b.m[i, t],
    )


def _square_tangents(block: Any, data: SoftOpenPoints, of: list[Any]) -> None:
    touch = (np.arange(TANGENTS) + 0.5) / TANGENTS

    def tangent(b: Any, i: int, t: int, n: int) -> Any:
        at = float(touch[n] * data.s_max[i])
        if of[i] is not None:
            return linear([2.0 * at, -1.0, -(at**2)], [b.k[i, t], b.m[i, t], of[i]]) <= 0.0
        return linear([2.0 * at, -1.0], [b.k[i, t], b.m[i, t]]) <= at**2

    block.sop_square = pyo.Constraint(block.SQUARED, block.TIME, range(TANGENTS), rule=tangent)


_SQUARE: Final = {"cone": _square_cone, "exact": _square_exact, "polygon": _square_tangents}
_CAPABILITY: Final = {"cone": _cone, "exact": _exact, "polygon": _polygon}
