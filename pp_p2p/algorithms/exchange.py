"""Exchange: net positions that add up to zero at one price per step.

    min sum_n f_n(e_n) + g(e_0)   s.t.  sum_n e_n = e_0

e_n is what agent n takes in; e_0 what an extra agent gives (none: 0). The second block of
`two_block` has the closed form (Boyd et al. 2011, 7.3.2), v = e' - y/rho:

    e_0 <- argmin g(e_0) + rho/(2N) |e_0 - sum v|^2,     z_n = v_n + (e_0 - sum v) / N     (1)

After one step y_n is the same for all n: the price is -y. What leaves an agent is its net
position, what reaches it is the price and its share of the imbalance.

With a fee phi |e_n| that everyone pays on what it takes or gives, and limits L_n, the closed form
has one unknown price mu per step, at which a sum that falls with mu vanishes:

    z_n = clip( soft(v_n - mu, phi / rho), +-L_n ),    sum_n z_n = 0                       (2)

Who takes and who gives then see prices that differ by twice the fee.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from pp_p2p.algorithms.consensus import Array
from pp_p2p.algorithms.two_block import Answer, Part, Second, TwoBlockState
from pp_p2p.errors import Finding, raise_if_any

BISECTIONS: Final = 60
"""Halvings of the interval of a price: what is left is rounding."""


def exchange(
    extra: Second | None = None,
    *,
    fee: float = 0.0,
    limit: Array | float = np.inf,
    weight: float = 1.0,
) -> Part:
    """Return the part that balances net positions (agent, step).

    Parameters
    ----------
    extra : Second, optional
        Solves (1) for ``e_0`` (step,): the network operator, the grid, a battery of the community.
        Not together with fee or limit.
    fee : float
        phi of (2), per unit and step.
    limit : broadcastable to (agent, step)
        L of (2).
    weight : float
        Penalty relative to the scheme's.
    """
    charged = fee > 0.0 or bool(np.isfinite(limit).any())
    raise_if_any(
        Finding(table="exchange", column=column, rule=rule, mend=mend)
        for column, rule, mend, wrong in (
            ("fee", f"is {fee}", "use a finite number >= 0", not 0.0 <= fee < np.inf),
            ("limit", "is negative", "use >= 0", not (np.asarray(limit) >= 0.0).all()),
            ("extra", "knows no fee and no limit", "leave one out", charged and extra is not None),
        )
        if wrong
    )

    def second(point: Array, penalty: float, memory: Any) -> Answer:
        if charged:
            z = _charged(point, fee / penalty, np.broadcast_to(limit, point.shape))
            return Answer(z, float(fee * np.abs(z).sum()))
        total = point.sum(axis=0)
        given = Answer(np.zeros_like(total))
        if extra is not None:
            given = extra(total, penalty / len(point), memory)
        return Answer(point + (given.z - total) / len(point), given.cost, given.memory)

    return Part(name="net position", counterpart="coordinator", second=second, weight=weight)


def price(state: TwoBlockState, part: int = 0) -> Array:
    """Return the price (step,) at which an exchange has come to rest."""
    found: Array = -state.y[part].mean(axis=0)
    return found


def balanced(
    position: Array, lower: Array | float, upper: Array | float, given: Array | float = 0.0
) -> Array:
    """Return the nearest net positions within bounds that add up to `given`, to rounding.

    Parameters
    ----------
    position : (agent, step)
    lower, upper : broadcastable to (agent, step)
    given : broadcastable to (step,)

    Raises
    ------
    InvalidInput
        The bounds do not allow the sum in some step.
    """
    lower, upper = np.broadcast_to(lower, position.shape), np.broadcast_to(upper, position.shape)
    given = np.broadcast_to(np.asarray(given, dtype=float), position.shape[1:])
    scale = 1.0 + np.abs(position).sum(axis=0)
    least, most = lower.sum(axis=0), upper.sum(axis=0)
    bad = (given < least - 1e-9 * scale) | (given > most + 1e-9 * scale)
    raise_if_any(
        [
            Finding(
                table="position",
                rows=tuple(np.flatnonzero(bad).tolist()),
                rule="cannot add up to the given sum within the bounds in these steps",
                mend="widen the bounds",
            )
        ]
        if bad.any()
        else []
    )
    return _water_filled(position, lower, upper, given)


def _charged(point: Array, dead: float, limit: Array) -> Array:
    """Return (2) with phi / rho = `dead`, by bisection of mu; exact but for rounding."""

    def at(mu: Array) -> Array:
        shifted = point - mu
        soft = np.sign(shifted) * np.maximum(np.abs(shifted) - dead, 0.0)
        return np.asarray(np.clip(soft, -limit, limit))

    low, high = point.min(axis=0) - dead, point.max(axis=0) + dead
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        above = at(middle).sum(axis=0) > 0.0
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    # between both ends the sum is linear: the point where it vanishes
    first, last = at(low), at(high)
    over, under = first.sum(axis=0), -last.sum(axis=0)
    part = np.divide(over, over + under, out=np.zeros_like(over), where=over + under > 0.0)
    return np.asarray(first + part * (last - first))


def _water_filled(position: Array, lower: Array, upper: Array, given: Array) -> Array:
    """Bisect the shift s of ``clip(position + s, lower, upper)``, then share out the rest."""
    spread = np.abs(position).max(axis=0) + np.abs(given)
    finite = [np.abs(np.where(np.isfinite(b), b, 0.0)).max(axis=0) for b in (lower, upper)]
    high = spread + np.maximum(*finite) + 1.0
    low = -high
    for _ in range(200):
        middle = 0.5 * (low + high)
        above = np.clip(position + middle, lower, upper).sum(axis=0) > given
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    found = np.clip(position + 0.5 * (low + high), lower, upper)
    for _ in range(3):
        lacking = given - found.sum(axis=0)
        room = np.where(lacking > 0.0, upper > found, lower < found)
        found = np.clip(found + lacking * room / np.maximum(room.sum(axis=0), 1), lower, upper)
    return np.asarray(found)
