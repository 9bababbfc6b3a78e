"""Keep what a year sums to when a few days stand for all of its days.

A quantity x >= 0 with the year's sum E and the year's largest value M is scaled:

    find s:  sum_k weight_k sum_h min(s x_kh, M) = E              (1)

What may be negative is divided into its positive and its negative part, each with its own E and
M. A price is shifted instead, so that differences between hours, and with them what storage can
earn, stay as they are:

    find s:  sum_k weight_k sum_h clip(x_kh + s, low, high) = E   (2)

Both are monotone and piecewise linear in s: values that pass a limit are held there and s is
found again for the rest, until no more pass.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from clustering.pair_distances import Floats

TOLERANCE: Final = 1e-12
"""Relative error of a sum that still counts as conserved."""


def scale_to_sum(
    chosen: Floats, weights: Floats, everyday: Floats, limits: Floats
) -> Floats | None:
    """Scale representative days by (1) to the sum of the days they stand for.

    Parameters
    ----------
    chosen : (representative, hour)
        Values of the representative days, any unit.
    weights : (representative,)
        Number of days that each stands for.
    everyday : (day, hour)
        All days that the representatives stand for.
    limits : (2,)
        Smallest and largest value of the year.

    Returns
    -------
    (representative, hour) or None
        None where no scale conserves the sum: nothing is left to be scaled.
    """
    weight = np.broadcast_to(weights[:, None], chosen.shape)
    result = np.zeros_like(chosen)
    for sign, limit in ((1.0, limits[1]), (-1.0, -limits[0])):
        part = np.maximum(sign * chosen, 0.0)
        wanted = float(np.maximum(sign * everyday, 0.0).sum())
        scaled = _scaled(part, weight, wanted, max(float(limit), 0.0))
        if scaled is None:
            return None
        result += sign * scaled
    return result


def shift_to_sum(
    chosen: Floats, weights: Floats, everyday: Floats, limits: Floats
) -> Floats | None:
    """Shift representative days by (2); parameters and return as in `scale_to_sum`."""
    weight = np.broadcast_to(weights[:, None], chosen.shape)
    wanted = float(everyday.sum())
    size = float(np.abs(everyday).sum())
    if _kept(chosen, weight, wanted, size):
        return chosen
    short = wanted - float((weight * chosen).sum())
    sign = 1.0 if short >= 0.0 else -1.0
    # shifting down is shifting the mirrored price up
    result = sign * _raised(
        sign * chosen, weight, sign * wanted, sign * float(limits[1] if sign > 0 else limits[0])
    )
    np.clip(result, limits[0], limits[1], out=result)  # rounding may pass a limit
    return result if _kept(result, weight, wanted, size) else None


def _scaled(x: Floats, weight: Floats, wanted: float, limit: float) -> Floats | None:
    if _kept(x, weight, wanted, wanted):
        return x
    free = x > 0.0
    held = np.zeros_like(free)
    result = x
    while free.any():
        scale = (wanted - limit * weight[held].sum()) / (weight * x)[free].sum()
        if not (np.isfinite(scale) and scale >= 0.0):
            return None
        result = np.where(held, limit, np.minimum(scale * x, limit))
        passing = free & (scale * x > limit)
        if not passing.any():
            break
        held |= passing
        free &= ~passing
    return result if _kept(result, weight, wanted, wanted) else None


def _raised(x: Floats, weight: Floats, wanted: float, limit: float) -> Floats:
    free = x < limit
    while free.any():
        shift = (wanted - limit * weight[~free].sum()) / weight[free].sum() - (
            np.average(x[free], weights=weight[free])
        )
        passing = free & (x + shift > limit)
        if not passing.any():
            return np.where(free, x + shift, limit)
        free &= ~passing
    return np.full_like(x, limit)


def _kept(result: Floats, weight: Floats, wanted: float, size: float) -> bool:
    return abs(float((weight * result).sum()) - wanted) <= TOLERANCE * size
