"""Soft open points: converters on one direct-current link.

Terminal i feeds p_i, q_i into its bus and loses L_i; for the terminals I of one device and every
step

    sum_{i in I} (p_i + L_i) = 0                                          (sop_balance)
    p_i^2 + q_i^2 <= k_i^2,   k_i <= S_i,   Qmin_i <= q_i <= Qmax_i        (sop_capability)
    L_i = A_i k_i                                                         (sop_loss)

The cone is exact where losses cost something: then k_i is the apparent power. In the exact
formulation k_i = sqrt(p_i^2 + q_i^2 + APEX^2), smooth where the device idles; in the linear one it
is a polygon. A soft open point closes no loop: radiality does not see it.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyomo.environ as pyo

from pp_p2p.network.algebra import linear
from pp_p2p.network.block import Injection
from pp_p2p.network.lindistflow import POLYGON_SIDES
from pp_p2p.network.sop_data import SoftOpenPoints

APEX: Final = 1e-4
"""Apparent power (p.u.) that the exact law adds in quadrature: its derivative exists at 0."""


def sop_block(data: SoftOpenPoints, injection: Injection, *, law: str) -> Any:
    """Return a block with ``p``, ``q`` and ``k`` (terminal, step), p.u.; adds to `injection`.

    Parameters
    ----------
    data : SoftOpenPoints
    injection : Injection
    law : {"cone", "exact", "polygon"}
        How apparent power is written.
    """
    block = pyo.Block(concrete=True)
    block.TERMINAL = pyo.RangeSet(0, len(data.index) - 1)
    block.TIME = pyo.RangeSet(0, injection.p.shape[1] - 1)
    over = (block.TERMINAL, block.TIME)
    s, q_min, q_max = data.s_max.tolist(), data.q_min.tolist(), data.q_max.tolist()
    block.p = pyo.Var(*over, bounds=lambda _, i, _t: (-s[i], s[i]))
    block.q = pyo.Var(*over, bounds=lambda _, i, _t: (q_min[i], q_max[i]))
    block.k = pyo.Var(*over, bounds=lambda _, i, _t: (0.0, s[i]))
    devices = {int(d): np.flatnonzero(data.device == d).tolist() for d in np.unique(data.device)}

    def sop_balance(b: Any, device: int, t: int) -> Any:
        members = devices[device]
        coefs = [1.0] * len(members) + [float(data.loss_factor[i]) for i in members]
        return linear(coefs, [b.p[i, t] for i in members] + [b.k[i, t] for i in members]) == 0.0

    block.sop_balance = pyo.Constraint(list(devices), block.TIME, rule=sop_balance)
    _CAPABILITY[law](block, over, data)
    for i in block.TERMINAL:
        for t in block.TIME:
            injection.p_terms[int(data.node[i]), t].append((1.0, block.p[i, t]))
            injection.q_terms[int(data.node[i]), t].append((1.0, block.q[i, t]))
    return block


def _cone(block: Any, over: tuple[Any, Any], _: SoftOpenPoints) -> None:
    block.sop_capability = pyo.Constraint(
        *over, rule=lambda b, i, t: b.p[i, t] ** 2 + b.q[i, t] ** 2 - b.k[i, t] ** 2 <= 0.0
    )


def _exact(block: Any, over: tuple[Any, Any], data: SoftOpenPoints) -> None:
    def law(b: Any, i: int, t: int) -> Any:
        square = b.p[i, t] ** 2 + b.q[i, t] ** 2
        if data.loss_factor[i] == 0.0:  # nothing hangs on k but the rating
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


_CAPABILITY: Final = {"cone": _cone, "exact": _exact, "polygon": _polygon}
