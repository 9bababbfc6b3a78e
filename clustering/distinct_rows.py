"""The different rows of a matrix in lexicographic order, and the frame they are seen in.

In this order nothing that is computed from the rows can depend on how they were given.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clustering.pair_distances import Floats, Ints


@dataclass(frozen=True, kw_only=True)
class DistinctRows:
    """The different rows of a matrix in lexicographic order.

    Parameters
    ----------
    points : (m, features)
        Different rows.
    weights : (m,)
        Sum of the weights of the rows that are equal to each.
    group : (n,)
        Distinct row of each given row; -1 for a row without weight, which does not count.
    """

    points: Floats
    weights: Floats
    group: Ints

    @classmethod
    def of(cls, points: Floats, weights: Floats) -> DistinctRows:
        """Sort and merge `points` (n, features); rows of zero weight are left out."""
        points = points + 0.0  # -0.0 becomes 0.0: equal values, equal rows
        counted = np.flatnonzero(weights > 0.0)
        rank = _ranks(points[counted])
        # the weight is the last key, so that sums do not depend on the order given either
        by_rank = np.lexsort((weights[counted], rank))
        order = counted[by_rank]
        first = np.ones(len(order), dtype=bool)
        first[1:] = np.diff(rank[by_rank]) != 0
        group = np.full(len(points), -1, dtype=np.int64)
        group[order] = np.cumsum(first) - 1
        return cls(
            points=points[order[first]],
            weights=np.add.reduceat(weights[order], np.flatnonzero(first)),
            group=group,
        )


def centred(points: Floats, weights: Floats) -> tuple[Floats, float]:
    """Return `points` (m, features) about their mean in units of their size, and that unit.

    The unit is a power of two: dividing by it changes no digit, and squares neither overflow nor
    vanish. At most m columns are kept, turned so that distances stay as they are.
    """
    x = points - np.average(points, axis=0, weights=weights)
    if x.shape[1] > len(x):
        _, turned = np.linalg.qr(x.T, mode="reduced")
        x = np.ascontiguousarray(turned.T)
    unit = float(np.ldexp(1.0, np.frexp(np.abs(x).max(initial=0.0))[1]))
    return x / unit, unit


def _ranks(points: Floats) -> Ints:
    """Return the place (n,) of each row in lexicographic order; equal rows share one."""
    rank = np.zeros(len(points), dtype=np.int64)
    tied = np.arange(len(points))
    for column in points.T:
        order = np.lexsort((column[tied], rank[tied]))
        rows = tied[order]
        old, value = rank[rows], column[rows]
        starts = np.ones(len(rows), dtype=bool)
        starts[1:] = old[1:] != old[:-1]
        apart = starts.copy()
        apart[1:] |= value[1:] != value[:-1]
        # a rank is the number of rows before: what is left tied keeps the first place of its own
        place = np.arange(len(rows))
        offset = (place - np.maximum.accumulate(np.where(starts, place, 0)))[apart]
        part = np.cumsum(apart) - 1
        rank[rows] = old + offset[part]
        size = np.bincount(part)[part]
        tied = rows[size > 1]
        if not len(tied):
            break
    return rank
