"""Load that follows the price: elasticities within and across hours.

    linear    d_t = d0_t [1 + sum_s e_ts (p_s - p0_s) / p0_s]                               (1)
    power     d_t = d0_t prod_s (p_s / p0_s)^e_ts                                           (2)

e_tt <= 0, e_ts >= 0 elsewhere: what one hour loses others may gain. (1) shifts without loss where
for every s  sum_t d0_t e_ts = 0; a larger sum would create energy where the price rises.
Limits are kept together with the energy of (1) or (2): what a limit cuts off is dealt in proportion
over the hours that have room.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import numpy as np

from pp_p2p.algorithms.price_game import Array
from pp_p2p.errors import Finding, raise_if_any

Law = Literal["linear", "power"]

ROUNDING: Final = 1e-9
"""Part of a load's energy that a matrix may create by rounding."""

HALVINGS: Final = 100


def lossless_elasticity(load: Array, cross: Array) -> Array:
    """Return `cross` (step, step) with the diagonal that makes it shift without loss.

    Examples
    --------
    >>> load = np.array([10.0, 20.0, 30.0])
    >>> cross = np.array([[0, 0.03, 0.02], [0.04, 0, 0.05], [0.02, 0.06, 0]])
    >>> lossless_elasticity(load, cross).diagonal().round(4)
    array([-0.14 , -0.105, -0.04 ])
    """
    off = np.array(cross, dtype=float)
    np.fill_diagonal(off, 0.0)
    np.fill_diagonal(off, -(load @ off) / np.where(load > 0, load, 1.0))
    return off


def respond(
    load: Array,
    elasticity: Array,
    price: Array,
    reference: Array,
    *,
    law: Law = "linear",
    least: Array | float = 0.0,
    most: Array | float = np.inf,
) -> Array:
    """Return the load (step,) at `price` that draws `load` at `reference`.

    Parameters
    ----------
    load, price, reference : (step,)
    elasticity : (step, step)
    law : {"linear", "power"}
        (1) or (2).
    least, most : (step,) or float
        Limits; load never goes below 0.

    Raises
    ------
    InvalidInput
        Elasticities of the wrong sign, a matrix that creates energy, prices of 0 or less, limits
        that cross.

    Examples
    --------
    >>> load = np.array([10.0, 20.0, 30.0])
    >>> cross = np.array([[0, 0.03, 0.02], [0.04, 0, 0.05], [0.02, 0.06, 0]])
    >>> e = lossless_elasticity(load, cross)
    >>> respond(load, e, np.array([1.1, 0.8, 1.3]), np.ones(3)).round(4)
    array([ 9.86, 20.8 , 29.34])
    """
    load, price, reference = (np.asarray(a, dtype=float) for a in (load, price, reference))
    low = np.broadcast_to(np.maximum(least, 0.0), load.shape)
    high = np.broadcast_to(most, load.shape)
    raise_if_any(_findings(load, elasticity, price, reference, low, high, law))
    if law == "power":
        wanted = load * np.exp(elasticity @ np.log(price / reference))
    else:
        wanted = load * (1.0 + elasticity @ (price / reference - 1.0))
    return within(wanted, low, high)


def within(wanted: Array, low: Array, high: Array) -> Array:
    """Return the load between limits that has the energy of `wanted`, as far as there is room."""
    clipped = np.clip(wanted, low, high)
    total = float(np.clip(wanted.sum(), low.sum(), high.sum()))
    if np.array_equal(clipped, wanted):
        return np.asarray(clipped)
    base = np.maximum(clipped, 1e-12)
    least, most = 0.0, 1.0
    while np.clip(base * most, low, high).sum() < total and most < 1e12:
        most *= 2.0
    for _ in range(HALVINGS):
        middle = 0.5 * (least + most)
        below = np.clip(base * middle, low, high).sum() < total
        least, most = (middle, most) if below else (least, middle)
    return np.asarray(np.clip(base * most, low, high))


def _findings(
    load: Array, e: Array, price: Array, reference: Array, low: Array, high: Array, law: str
) -> Iterator[Finding]:
    def wrong(column: str, bad: Array, rule: str, mend: str) -> Iterator[Finding]:
        if bad.any():
            rows = tuple(np.flatnonzero(bad).tolist())
            yield Finding(table="elasticity", column=column, rows=rows, rule=rule, mend=mend)

    if e.shape != (len(load), len(load)) or price.shape != load.shape != reference.shape:
        yield Finding(table="elasticity", rule=f"has the shape {e.shape} for {len(load)} steps",
                      mend="give one row and one column for each step")  # fmt: skip
        return
    if law not in ("linear", "power"):
        yield Finding(table="elasticity", column="law", rule=f"is {law!r}",
                      mend="choose 'linear' or 'power'")  # fmt: skip
    own = np.diagonal(e)
    yield from wrong("own price", own > 0, "is positive: load rises with its own price",
                     "use elasticities of at most 0 on the diagonal")  # fmt: skip
    off = e - np.diag(own)
    against = np.asarray((off < 0).any(axis=1))
    yield from wrong("other prices", against, "is negative off the diagonal",
                     "use elasticities of at least 0 off the diagonal")  # fmt: skip
    made = load @ e > ROUNDING * max(float(np.abs(load).sum()), 1e-12)
    yield from wrong("energy", made, "creates energy where the price of these steps rises",
                     "lower the column, or take lossless_elasticity")  # fmt: skip
    for name, values in (("price", price), ("reference", reference)):
        yield from wrong(name, ~(np.isfinite(values) & (values > 0)), "is not above 0",
                         "give prices above 0")  # fmt: skip
    yield from wrong("load", ~(np.isfinite(load) & (load >= 0)), "is not a number of at least 0",
                     "give loads of at least 0")  # fmt: skip
    yield from wrong("limits", low > high, "cross", "raise most or lower least")
