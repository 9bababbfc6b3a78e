"""Bounds that hold for duals of any accuracy, and proofs that there is no feasible point.

For min x'Px/2 + q'x s.t. b - Ax in K, every z in the dual cone and every x^, a feasible x within
|x| <= R has, with r = Px^ + q + A'z,

    x'Px/2 + q'x  >=  -x^'Px^/2 - b'z + r'x  >=  -x^'Px^/2 - b'z - |r|'R                  (1)
    0 <= z'(b - Ax) <= b'z + |A'z|'R                                                      (2)

(1) is a bound whatever the solver says of z, and where (2) is broken there is no feasible x.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from pp_p2p.network.branches import Array
from pp_p2p.solve.conic import ConicForm, ConicSolution


def certified_bound(form: ConicForm, answer: ConicSolution, reach: Array) -> float:
    """Return (1), without the constant of the problem.

    Parameters
    ----------
    form : ConicForm
    answer : ConicSolution
        Its duals need not be optimal.
    reach : (column,) of float
        R: how far from 0 some feasible point that is as good as any may lie.

    Returns
    -------
    float
        ``-inf`` where the answer holds no numbers.
    """
    z = _in_dual_cone(form, answer.z)
    curved = (form.P + sp.triu(form.P, 1).T) @ answer.x
    residual = np.abs(curved + form.q + form.A.T @ z)
    bound = float(-0.5 * (answer.x @ curved) - form.b @ z - residual @ reach)
    return bound if np.isfinite(bound) else -np.inf


def proves_infeasible(form: ConicForm, answer: ConicSolution, reach: Array) -> bool:
    """Return whether (2) is broken: no point within `reach` (column,) is feasible."""
    z = _in_dual_cone(form, answer.z)
    return bool(form.b @ z + np.abs(form.A.T @ z) @ reach < 0.0)


def _in_dual_cone(form: ConicForm, z: Array) -> Array:
    """Return `z`, moved into the dual cone where rounding has left it outside."""
    z = z.copy()
    first = form.zero + form.nonnegative
    z[form.zero : first] = np.maximum(z[form.zero : first], 0.0)
    if len(form.cone_sizes):
        starts = first + np.cumsum(form.cone_sizes) - form.cone_sizes
        square = np.add.reduceat(z[first:] ** 2, starts - first) - z[starts] ** 2
        z[starts] = np.maximum(z[starts], np.sqrt(np.maximum(square, 0.0)))
    return z
