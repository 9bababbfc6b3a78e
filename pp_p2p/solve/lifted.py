"""A compiled problem with its cones over columns of their own, as most solvers want them.

c + M x in K   becomes   y = c + M x,  y in K
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from pp_p2p.solve.compiled import Array, CompiledProblem


@dataclass(frozen=True, kw_only=True)
class Lifted:
    """``min c'x + x'Qx/2 + c0`` over rows, bounds, integers, and second-order cones of columns.

    The first `own` columns are the problem's; `cones` lists the columns of each cone, its bound
    first, whose lower bound is 0.
    """

    own: int
    cost: Array
    offset: float
    quadratic: Any
    matrix: Any
    row_lower: Array
    row_upper: Array
    lower: Array
    upper: Array
    integer: Array
    cones: tuple[Array, ...]


def lift(problem: CompiledProblem) -> Lifted:
    """Return `problem` with a column for every row of its cones."""
    n, m, k = len(problem.cost), problem.matrix.shape[0], len(problem.cone_offset)
    below = sp.hstack([-problem.cone_matrix, sp.identity(k)])
    free = np.full(k, -np.inf)
    starts = np.concatenate([[0], np.cumsum(problem.cone_sizes)]).astype(np.int64)
    free[starts[:-1]] = 0.0
    quadratic = problem.quadratic
    return Lifted(
        own=n,
        cost=np.concatenate([problem.cost, np.zeros(k)]),
        offset=problem.offset,
        quadratic=None if quadratic is None else sp.block_diag([quadratic, sp.csc_matrix((k, k))]),
        matrix=sp.csr_matrix(
            sp.vstack([sp.hstack([problem.matrix, sp.csr_matrix((m, k))]), below])
        ),
        row_lower=np.concatenate([problem.row_lower, problem.cone_offset]),
        row_upper=np.concatenate([problem.row_upper, problem.cone_offset]),
        lower=np.concatenate([problem.lower, free]),
        upper=np.concatenate([problem.upper, np.full(k, np.inf)]),
        integer=np.concatenate([problem.integer, np.zeros(k, dtype=bool)]),
        cones=tuple(n + np.arange(a, b) for a, b in itertools.pairwise(starts)),
    )
