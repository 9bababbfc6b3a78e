"""Which limits cannot hold: an elastic solve of an infeasible problem.

Every chosen bound or inequality may be broken at a price of 1 per unit, everything else stays
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
    """How far limits must be broken: bounds of `columns`, inequality `rows`; 0 elsewhere."""

    columns: Array
    rows: Array


def least_violations(problem: CompiledProblem, columns: Array, rows: Array) -> Violations | None:
    """Return how far the bounds of `columns` and the inequalities `rows` must be broken.

    Integers are relaxed. Returns None where even that leaves no feasible point: the conflict then
    lies in the laws of the model, not in these limits.
    """
    form = conic_form(problem)
    bounds = np.isin(form.bound_columns, columns)
    inequality = np.isin(form.row_of, rows) & (np.arange(len(form.b)) >= form.zero)
    at = np.concatenate([form.bound_rows[bounds], np.flatnonzero(inequality)])
    n, m, k = len(form.q), len(form.b), len(at)
    slack = sp.csc_matrix((-np.ones(k), (at, np.arange(k))), shape=(m, k))
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
    np.maximum.at(broken.rows, form.row_of[inequality], amount[split:])
    return broken
