"""Which limits cannot hold: an elastic solve of an infeasible problem.

Every chosen bound or row may be broken at a price of 1 per unit, everything else stays
hard, the original objective is dropped. What is broken at the optimum is a least set of limits,
in the 1-norm, that must give way.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.sparse as sp

from pp_p2p.solve.compiled import Array, CompiledProblem
from pp_p2p.solve.conic import ConicSolver, conic_form


@dataclasses.dataclass(frozen=True, kw_only=True)
class Violations:
    """How far limits must be broken: bounds of `columns`, `rows`; 0 elsewhere."""

    columns: Array
    rows: Array


def least_violations(
    problem: CompiledProblem, columns: Array, rows: Array, from_zero: Array
) -> Violations | None:
    """Return how far the bounds of `columns` and the constraints `rows` must be broken.

    A lower bound of 0 is the sign of a magnitude and holds, but for columns `from_zero`. Integers
    are relaxed. Returns None where even that leaves no feasible point: the conflict then lies
    elsewhere in the model.
    """
    form = conic_form(problem)
    side = np.asarray(form.A[form.bound_rows, form.bound_columns]).ravel()
    is_sign = (side < 0) & (form.b[form.bound_rows] == 0.0)
    is_sign &= ~np.isin(form.bound_columns, from_zero)
    bounds = np.isin(form.bound_columns, columns) & ~is_sign
    chosen = np.isin(form.row_of, rows)
    equal = np.flatnonzero(chosen & (np.arange(len(form.b)) < form.zero))
    above = np.flatnonzero(chosen & (np.arange(len(form.b)) >= form.zero))
    # an equality may be missed on either side
    at = np.concatenate([form.bound_rows[bounds], above, equal, equal])
    sign = np.ones(len(at))
    sign[len(at) - len(equal) :] = -1.0
    n, m, k = len(form.q), len(form.b), len(at)
    slack = sp.csc_matrix((-sign, (at, np.arange(k))), shape=(m, k))
    positive = sp.hstack([sp.csc_matrix((k, n)), -sp.identity(k)])
    upper = form.zero + form.nonnegative
    with_slack = sp.hstack([form.A, slack], format="csr")
    A = sp.vstack([with_slack[:upper], positive, with_slack[upper:]], format="csc")
    elastic = dataclasses.replace(
        form,
        P=sp.csc_matrix((n + k, n + k)),
        q=np.concatenate([np.zeros(n), np.ones(k)]),
        A=A,
        b=np.concatenate([form.b[:upper], np.zeros(k), form.b[upper:]]),
        nonnegative=form.nonnegative + k,
    )
    answer = ConicSolver(elastic).solve()
    if not answer.solved:
        return None
    broken = Violations(columns=np.zeros(n), rows=np.zeros(len(problem.rows)))
    amount, split = answer.x[n:], int(bounds.sum())
    np.maximum.at(broken.columns, form.bound_columns[bounds], amount[:split])
    np.maximum.at(broken.rows, form.row_of[at[split:]], amount[split:])
    return broken
