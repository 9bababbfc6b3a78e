"""What converters lose, and the active power that balances their direct-current link.

A terminal that feeds p + jq into its bus, S = |p + jq|, loses

    L = c0 + c1 S + c2 S^2                                                        (1)

(c1 alone: proportional losses; all three: Daelemans et al. 2009, with the squared current at
nominal voltage). The terminal that holds the voltage of the link takes what the others leave, c:

    p + L(p, q) = c                                                               (2)

For c2 = 0 the solution is closed; the rest is Newton's method from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from pp_p2p.network.branches import Array

MOST_STEPS: Final = 50
"""Newton's method on (2) converges in less than ten steps wherever there is a solution."""

ROUNDING: Final = 1e-13
"""Residual of (2), relative to the powers in it, at which it counts as solved."""


@dataclass(frozen=True, kw_only=True)
class LossLaw:
    """Coefficients of (1) (terminal,), in any consistent unit of power."""

    standby: Array
    factor: Array
    quadratic: Array

    def losses(self, p: Array, q: Array) -> Array:
        """Return the losses (1) of powers (..., terminal)."""
        apparent = np.hypot(p, q)
        total: Array = self.standby + self.factor * apparent + self.quadratic * apparent**2
        return total

    def take(self, rows: Array) -> LossLaw:
        """Return the law of some terminals."""
        return LossLaw(
            standby=self.standby[rows], factor=self.factor[rows], quadratic=self.quadratic[rows]
        )


def balancing_power(law: LossLaw, q: Array, left: Array) -> Array:
    """Return the active power that solves (2).

    Parameters
    ----------
    law : LossLaw
        Of the balancing terminals (terminal,).
    q : (..., terminal)
        Their reactive power.
    left : (..., terminal)
        The right-hand side c.

    Returns
    -------
    (..., terminal)
        NaN where there is no solution: the losses would exceed what is left.
    """
    a, b, c = law.factor, law.quadratic, left - law.standby
    rest = 1.0 - a**2
    with np.errstate(divide="ignore", invalid="ignore"):
        root = np.sqrt(c**2 + rest * q**2)
        # the same root twice: the first form keeps its digits as a approaches 1
        p = np.where(c > 0, (c**2 - (a * q) ** 2) / (c + a * root), (c - a * root) / rest)
        solved = np.broadcast_to(b == 0.0, p.shape)
        scale = np.abs(c) + np.abs(q) + np.finfo(float).tiny
        for _ in range(MOST_STEPS):
            apparent = np.hypot(p, q)
            residual = p + a * apparent + b * apparent**2 - c
            solved = solved | (np.abs(residual) <= ROUNDING * scale)
            if solved.all():
                break
            tilt = np.divide(p, apparent, out=np.zeros_like(p), where=apparent > 0)
            slope = 1.0 + a * tilt + 2.0 * b * p
            p = np.where(solved, p, p - residual / slope)
    return np.where(solved, p, np.nan)


def close_balance(
    law: LossLaw, device: Array, balancing: Array, p: Array, q: Array, drawn: Array
) -> Array:
    """Return `p` with the power of each device's balancing terminal by (2).

    Parameters
    ----------
    law : LossLaw
    device : (terminal,)
        Label of the device of each terminal.
    balancing : (terminal,) of bool
        At most one terminal of each device; a device without one keeps its powers.
    p, q : (..., terminal)
        Power fed into the buses; `p` of balancing terminals is ignored.
    drawn : (..., terminal)
        What storage on the link draws, at the balancing terminal of its device.
    """
    one = np.flatnonzero(balancing)
    same = device[:, None] == device[one][None, :]
    others = np.where(balancing, 0.0, p + law.losses(p, q))
    closed = np.array(np.broadcast_to(p, np.broadcast_shapes(p.shape, drawn.shape)), dtype=float)
    left = -(others @ same) - drawn[..., one]
    closed[..., one] = balancing_power(law.take(one), q[..., one], left)
    return closed
