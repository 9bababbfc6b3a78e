"""What the licences of commercial solvers allow here: each is asked with a problem of its own."""

from __future__ import annotations

from typing import Final

import numpy as np
import scipy.sparse as sp

from pp_p2p.errors import SolverCannot, SolverUnavailable
from pp_p2p.solve.compiled import CompiledProblem

MEND: Final = {
    "gurobi": "https://www.gurobi.com/licenses",
    "copt": "https://www.shanshu.ai/copt",
    "mosek": "put the licence file at ~/mosek/mosek.lic (https://www.mosek.com/license)",
}
"""Where a full licence comes from."""

ASKS: Final = {"gurobi": 2_001, "copt": 10_001, "mosek": 1}
"""Columns of a problem that only a full licence takes; MOSEK has no other."""


def licence_of(name: str) -> str:
    """Return ``"full"``, ``"size-limited"`` or ``"none"``; ``""`` where none is needed."""
    if name not in ASKS:
        return ""
    from pp_p2p.solve.report import DEFAULT_CONFIG
    from pp_p2p.solve.run import BACKENDS

    try:
        BACKENDS[name](DEFAULT_CONFIG).solve(_trivial(ASKS[name]))
    except SolverCannot:
        return "size-limited"
    except SolverUnavailable:
        return "none"
    return "full"


def _trivial(n: int) -> CompiledProblem:
    """Return ``min sum x`` over 0 <= x <= 1 with a row for every column."""
    nothing = np.zeros(0)
    return CompiledProblem(
        columns=[],
        cost=np.ones(n),
        offset=0.0,
        quadratic=None,
        matrix=sp.identity(n, format="csr"),
        row_lower=np.zeros(n),
        row_upper=np.ones(n),
        rows=[],
        lower=np.zeros(n),
        upper=np.ones(n),
        integer=np.zeros(n, dtype=bool),
        cone_matrix=sp.csr_matrix((0, n)),
        cone_offset=nothing,
        cone_sizes=np.zeros(0, dtype=np.int64),
    )
