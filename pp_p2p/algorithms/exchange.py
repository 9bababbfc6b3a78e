"""Exchange: net positions that add up to zero at one price per step.

    min sum_n f_n(e_n) + g(e_0)   s.t.  sum_n e_n = e_0

e_n is what agent n takes in; e_0 what an extra agent gives (none: 0). The second block of
`two_block` has the closed form (Boyd et al. 2011, 7.3.2), v = e' - y/rho:

    e_0 <- argmin g(e_0) + rho/(2N) |e_0 - sum v|^2,     z_n = v_n + (e_0 - sum v) / N     (1)

After one step y_n is the same for all n: the price is -y. What leaves an agent is its net
position, what reaches it is the price and its share of the imbalance.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pp_p2p.algorithms.consensus import Array
from pp_p2p.algorithms.two_block import Answer, Part, Second, TwoBlockState
from pp_p2p.errors import Finding, raise_if_any


def exchange(extra: Second | None = None, *, weight: float = 1.0) -> Part:
    """Return the part that balances net positions (agent, step).

    Parameters
    ----------
    extra : Second, optional
        Solves (1) for ``e_0`` (step,): the network operator, the grid, a battery of the community.
    weight : float
        Penalty relative to the scheme's.
    """

    def second(point: Array, penalty: float, memory: Any) -> Answer:
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
