"""Anderson acceleration of a fixed-point iteration s <- F(s), safeguarded.

With residuals g_k = F(s_k) - s_k, of which the last few are known, the next point is the mix

    s_(k+1) = F(s_k) - sum_j gamma_j (F(s_j+1) - F(s_j))
    gamma   = argmin |g_k - sum_j gamma_j (g_j+1 - g_j)|^2 + eta |gamma|^2                 (1)

Where F is linear nearby (a quadratic problem whose active limits have been found) this is GMRES.
A point that was mixed and has no clearly smaller residual than the one before is given up for
F(s_k), and what is known is forgotten: the plain iteration, which converges, goes on from there,
for longer every time. (Along a stretch on which costs are linear, residuals stay the same while
the points move on: there a mix of them only leads back.)

Walker and Ni (2011); for operator splitting, safeguard and regularisation: Zhang, O'Donoghue and
Boyd (2020).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from pp_p2p.algorithms.consensus import Array

REGULAR: Final = 1e-8
"""eta of (1), relative to the sum of squared differences of residuals and of points: a residual
that hardly changes may be followed far, but not for ever."""

WORSE: Final = 0.9
"""A mixed point is given up where its residual is more than this part of the one before."""


@dataclass(frozen=True, kw_only=True)
class Anderson:
    """What is known of the last points, oldest first.

    Parameters
    ----------
    depth : int
        Most differences in (1); 0 is the plain iteration.
    images, residuals : tuple of (size,)
        F(s_k) and g_k.
    mixed : bool
        Whether the last point that was given out is a mix.
    waiting, rested : int
        Plain points to come before the next mix, and how many there were to be after the last
        one that was given up: twice as many each time, half as many after one that was not.
    """

    depth: int = 10
    images: tuple[Array, ...] = ()
    residuals: tuple[Array, ...] = ()
    mixed: bool = False
    waiting: int = 0
    rested: int = 0

    def next(self, point: Array, residual: Array) -> tuple[Array, Anderson]:
        """Return the next point after `point` with its `residual`, and what is then known."""
        if not self.depth:
            return point + residual, self
        if self.mixed and _square(residual) > WORSE**2 * _square(self.residuals[-1]):
            wait = max(2 * self.rested, 1)
            return self.images[-1], Anderson(depth=self.depth, waiting=wait, rested=wait)
        images = (*self.images, point + residual)[-self.depth - 1 :]
        residuals = (*self.residuals, residual)[-self.depth - 1 :]
        rested = self.rested // 2 if self.mixed else self.rested
        known = replace(
            self,
            images=images,
            residuals=residuals,
            waiting=max(self.waiting - 1, 0),
            rested=rested,
            mixed=len(images) > 1 and not self.waiting,
        )
        if not known.mixed:
            return images[-1], known
        steps = np.diff(np.stack(residuals), axis=0)
        squares = steps @ steps.T
        moves = np.diff(np.stack(images), axis=0) - steps  # of the points themselves
        floor = REGULAR * (float(np.trace(squares)) + _square(moves))
        if not floor > 0.0:
            return images[-1], replace(known, mixed=False)
        gamma = np.linalg.solve(squares + floor * np.eye(len(steps)), steps @ residual)
        return images[-1] - gamma @ np.diff(np.stack(images), axis=0), known


def _square(values: Array) -> float:
    return float(np.vdot(values, values))
