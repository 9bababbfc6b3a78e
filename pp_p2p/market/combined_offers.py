"""Modified highest combined offer over the discrete levels of a soft open point.

Region r offers v_r(k) for every exchange level k = -K..K of its terminal (v > 0: what it would pay
for that level, v < 0: what it asks for it, v_r(0) = 0). Cleared is, for every step,

    V = max sum_r v_r(k_r)   s.t.  sum_r k_r = 0,   sum_r max(k_r, 0) <= limit              (1)

    f_r(s, u) = max_k v_r(k) + f_{r+1}(s + k, u + max(k, 0)),   f_R(0, .) = 0               (2)

by dynamic programming (2) in O(R^2 K^2) without a limit, where enumeration takes K^(R-1). Where
V <= 0 nothing is traded. The profit V is shared with weights w,

    payment_r = v_r(k_r) - w_r V / sum w,   sum_r payment_r = 0                             (3)

Ji et al., IEEE Trans. Industrial Informatics (2022), by the authors' published code: w = 1 for all
regions. Money is counted in whole micro-EUR, so that (3) holds to the last unit and any other
machine (`pp_p2p.ledger`) finds the same: what division leaves goes to the first who shares. Ties
go to the least exchange, then to the smallest levels in the order of the regions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from pp_p2p.errors import Finding, raise_if_any

Sharing = Literal["equal", "traders", "weights"]
SHARINGS: Final[tuple[Sharing, ...]] = ("equal", "traders", "weights")

Integers = npt.NDArray[np.int64]

MICRO: Final = 1_000_000
"""Units of money (micro-EUR) per EUR; also units of weight per 1."""

NOT_OFFERED: Final = -(2**60)
"""Stands for a level that a region does not offer."""

LARGEST_OFFER: Final = 10**12
"""Largest offer for one step, micro-EUR: sums stay exact in 64 bits."""

_NONE: Final = -(2**61)


@dataclass(frozen=True, kw_only=True)
class Combination:
    """What was cleared; money in micro-EUR.

    Parameters
    ----------
    level : (region, step) of int
    value : (step,) of int
        Summed offer V of (1); 0 where nothing is traded.
    payment : (region, step) of int
        Positive pays; sums to zero in every step.
    """

    level: Integers
    value: Integers
    payment: Integers


def combine(
    offers: Integers,
    *,
    limit: int | None = None,
    sharing: Sharing = "equal",
    weights: Integers | None = None,
) -> Combination:
    """Return the highest combined offer of every step, and who pays what.

    Parameters
    ----------
    offers : (region, step, level) of int, micro-EUR
        Of the levels -K..K; `NOT_OFFERED` where there is none.
    limit : int, optional
        Most levels that may cross the link in a step, all regions together.
    sharing : {"equal", "traders", "weights"}
        Who shares the profit: all regions alike, all whose level is not 0, or all by `weights`.
    weights : (region,) of int, optional
        Needed by ``"weights"``; >= 0, not all 0.

    Raises
    ------
    InvalidInput
        Everything that is wrong with the offers.

    Examples
    --------
    Four regions that offer ``beta k - q k^2``:

    >>> k = np.arange(-6, 7)
    >>> beta, q = np.array([3, -2, 1, 0.5]), np.array([0.3, 0.25, 0.2, 0.4])
    >>> offers = (1e6 * (beta[:, None] * k - q[:, None] * k**2)).round().astype(int)[:, None, :]
    >>> found = combine(offers)
    >>> found.level[:, 0], found.value
    (array([ 4, -5,  1,  0]), array([11750000]))
    """
    raise_if_any(offer_findings(offers))
    level = highest_levels(offers, limit)
    chosen = np.take_along_axis(offers, (level + offers.shape[2] // 2)[:, :, None], axis=2)[..., 0]
    value = chosen.sum(axis=0)
    level[:, value <= 0] = 0
    chosen[:, value <= 0] = 0
    value = np.maximum(value, 0)
    share = np.zeros_like(chosen)
    for t in np.flatnonzero(value).tolist():
        share[:, t] = shares(int(value[t]), share_weights(level[:, t], sharing, weights))
    return Combination(level=level, value=value, payment=chosen - share)


def share_weights(level: Integers, sharing: Sharing, weights: Integers | None) -> Integers:
    """Return the weights w (region,) of (3) for the levels of one step."""
    if sharing == "traders":
        return np.asarray(level != 0, dtype=np.int64)
    if sharing == "weights":
        if weights is None:
            raise ValueError("sharing by weights needs weights")
        return weights
    return np.ones(len(level), dtype=np.int64)


def shares(value: int, weights: Integers) -> Integers:
    """Return the shares (region,) of `value`, which they sum to exactly."""
    of = [int(w) for w in weights]  # as Python's: the product may leave 64 bits
    share = [value * w // sum(of) for w in of]
    share[next(r for r, w in enumerate(of) if w)] += value - sum(share)
    return np.array(share, dtype=np.int64)


def highest_levels(offers: Integers, limit: int | None = None) -> Integers:
    """Return the levels (region, step) that solve (1), by (2); ties as the module says."""
    n_regions, n_steps, n_levels = offers.shape
    reach = n_levels // 2
    size = 2 * n_regions * reach + 1  # of the sums; and no exchange of all levels is larger
    levels = np.arange(-reach, reach + 1)
    score = np.where(offers == NOT_OFFERED, _NONE, offers * size - np.abs(levels))
    room = 0 if limit is None else min(limit, n_regions * reach)
    # after[r][t, s, u]: best of regions r.., when those before sum to s and import u
    after = np.full((n_regions + 1, n_steps, size, room + 1), _NONE, dtype=np.int64)
    after[n_regions, :, n_regions * reach, :] = 0
    for r in reversed(range(n_regions)):
        for n, k in enumerate(levels.tolist()):
            used = 0 if limit is None else max(k, 0)
            if used > room:
                continue
            to = _shifted(after[r + 1], k, used)
            found = score[r, :, n, None, None] + to
            found[(to == _NONE) | (score[r, :, n] == _NONE)[:, None, None]] = _NONE
            np.maximum(after[r], found, out=after[r])
    return _follow(after, score, levels, limited=limit is not None)


def _follow(after: Integers, score: Integers, levels: Integers, *, limited: bool) -> Integers:
    """Return the levels (region, step) along the best path, the smallest that lies on one."""
    n_regions, n_steps, _ = score.shape
    reach, step = len(levels) // 2, np.arange(n_steps)
    s, u = np.full(n_steps, n_regions * reach), np.zeros(n_steps, dtype=np.int64)
    chosen = np.zeros((n_regions, n_steps), dtype=np.int64)
    for r in range(n_regions):
        best, open_ = after[r, step, s, u], np.ones(n_steps, dtype=bool)
        for n, k in enumerate(levels.tolist()):
            used = max(k, 0) if limited else 0
            to = (s + k).clip(0, after.shape[2] - 1), (u + used).clip(0, after.shape[3] - 1)
            fits = (to[0] == s + k) & (to[1] == u + used) & open_
            rest = after[r + 1, step, *to]
            fits &= (rest != _NONE) & (score[r, :, n] != _NONE) & (score[r, :, n] + rest == best)
            chosen[r, fits] = k
            open_ &= ~fits
        s += chosen[r]
        u += np.maximum(chosen[r], 0) if limited else 0
    return chosen


def _shifted(table: Integers, k: int, used: int) -> Integers:
    """Return ``table[:, s + k, u + used]`` at [:, s, u], nothing outside."""
    moved = np.full_like(table, _NONE)
    size = table.shape[1]
    here, there = slice(max(0, -k), size - max(0, k)), slice(max(0, k), size + min(0, k))
    moved[:, here, : table.shape[2] - used] = table[:, there, used:]
    return moved


def to_micro(offers_eur: npt.ArrayLike) -> Integers:
    """Return offers (region, step, level) in micro-EUR, less that of level 0; NaN is none.

    Raises
    ------
    InvalidInput
        Not three dimensions, an even number of levels, infinite values, no offer for level 0.
    """
    value = np.asarray(offers_eur, dtype=float)
    raise_if_any(_value_findings(value))
    value = value - value[:, :, value.shape[2] // 2, None]
    micro = np.full(value.shape, NOT_OFFERED, dtype=np.int64)
    given = ~np.isnan(value)
    micro[given] = np.round(value[given] * MICRO).astype(np.int64)
    raise_if_any(offer_findings(micro))
    return micro


def _value_findings(value: npt.NDArray[np.float64]) -> Iterator[Finding]:
    if value.ndim != 3 or not all(value.shape) or value.shape[2] % 2 == 0:
        yield Finding(
            table="offers",
            rule=f"have the shape {value.shape}",
            mend="give (region, step, level) with the levels -K..K",
        )
        return
    if value.shape[0] < 2:
        yield _finding(np.ones(1, bool), "is alone", "give the offers of two regions or more")
    large = (np.abs(value) > LARGEST_OFFER / MICRO).any(axis=(1, 2))
    yield from _wherever(large, "offers more than 1e6 EUR for a step", "use smaller steps")
    nothing = np.isnan(value[:, :, value.shape[2] // 2]).any(axis=1)
    yield from _wherever(nothing, "does not value level 0", "give it: it is what no trade is worth")


def offer_findings(offers: Integers) -> Iterator[Finding]:
    """Yield what is wrong with offers in micro-EUR (region, step, level)."""
    given = offers != NOT_OFFERED
    large = ((np.abs(offers) > LARGEST_OFFER) & given).any(axis=(1, 2))
    yield from _wherever(large, "offers more than 1e6 EUR for a step", "use smaller steps")
    zero = (offers[:, :, offers.shape[2] // 2] != 0).any(axis=1)
    yield from _wherever(zero, "offers something for level 0", "subtract it from every level")


def _wherever(bad: npt.ArrayLike, rule: str, mend: str) -> Iterator[Finding]:
    if np.any(bad):
        yield _finding(bad, rule, mend)


def _finding(bad: npt.ArrayLike, rule: str, mend: str) -> Finding:
    rows = tuple(np.flatnonzero(bad).tolist())
    return Finding(table="offers", column="region", rows=rows, rule=rule, mend=mend)
