"""What is left of a problem when its coupling columns are fixed: components, and their cuts.

With the integers and the linking columns y taken out, the rest of a problem falls apart into
components d that are found in the matrix. For every dual point z in K* and *any* point a of the
component, with r = P a + q + A'z and R the largest absolute value that each column may have,

    phi_d(y) = min x'Px/2 + q'x  s.t.  b - T y - A x in K
            >= -a'Pa/2 - z'(b - T y) - sum_j |r_j| R_j                                     (1)

since x'Px/2 >= a'Px - a'Pa/2 for a convex P: (1) holds for points and duals of finite accuracy,
and both may come from another problem than the component's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from pp_p2p.solve.compiled import Array, CompiledProblem
from pp_p2p.solve.conic import ConicForm, ConicSolution, ConicSolver

MASTER_COLUMNS = 2_000
"""Components without cones stay in the master while they have at most this many columns."""

FEASIBILITY_MARGIN = 1e-7
"""Violation of a normalised feasibility cut below which a point counts as feasible."""


@dataclass(frozen=True, kw_only=True)
class Component:
    """Part of the problem that only coupling columns tie to the rest.

    `columns` of the problem, `rows` of the whole conic form, the conic `form` over them, its
    full symmetric `quadratic` or None, `technology` T (row, coupling), `reach` (column,).
    """

    columns: Array
    rows: Array
    form: ConicForm
    quadratic: Any
    technology: Any
    reach: Array

    def right_side(self, y: Array) -> Array:
        """Return ``b - T y``."""
        moved: Array = self.form.b - self.technology @ y
        return moved

    def cut(self, x: Array, z: Array) -> Cut:
        """Return (1) of the point `x` and the dual point `z`."""
        curved = np.zeros(len(self.columns)) if self.quadratic is None else self.quadratic @ x
        residual = np.abs(curved + self.form.q + self.form.A.T @ z)
        constant = -0.5 * float(x @ curved) - float(z @ self.form.b) - float(residual @ self.reach)
        return Cut(constant=constant, slope=np.asarray(self.technology.T @ z))

    def least(self) -> Cut:
        """Return the cut of no knowledge at all: what the bounds of the columns leave."""
        return self.cut(np.zeros(len(self.columns)), np.zeros(len(self.rows)))

    def feasibility_cut(self, z: Array) -> Cut:
        """Return what the dual ray `z` says of the points that are feasible."""
        z = z / max(np.abs(z).max(), 1e-300)
        residual = np.abs(self.form.A.T @ z)
        constant = -float(z @ self.form.b) - float(residual @ self.reach)
        slope = np.asarray(self.technology.T @ z)
        return Cut(constant=constant, slope=slope, feasibility=True)


@dataclass(frozen=True, kw_only=True)
class Cut:
    """``theta >= constant + slope'y``, or ``0 >= constant + slope'y``."""

    constant: float
    slope: Array
    feasibility: bool = False

    def at(self, y: Array) -> float:
        """Return the right-hand side at `y`."""
        return self.constant + float(self.slope @ y)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A component at a point: its cut, and its value and columns where it has any."""

    cut: Cut
    objective: float
    x: Array

    @property
    def feasible(self) -> bool:
        """Whether there is a point."""
        return bool(np.isfinite(self.objective))


class ComponentSolver:
    """A component at its conic solver, solved for one point after another."""

    def __init__(self, part: Component) -> None:
        self.part = part
        self._solver = ConicSolver(part.form) if len(part.columns) else IntegerCone()

    def evaluate(self, y: Array) -> Evaluation:
        """Return value and cut at `y`; without an answer there still is a valid cut."""
        answer = self._solver.solve(self.part.right_side(y))
        if answer.infeasible:
            cut = self.part.feasibility_cut(answer.z)
            return Evaluation(cut=cut, objective=np.inf, x=answer.x)
        cut = self.part.cut(answer.x, answer.z)
        value = answer.objective if answer.solved else np.inf
        return Evaluation(cut=cut, objective=value, x=answer.x)


class IntegerCone:
    """A cone over integers alone: its point is known, and a hyperplane separates it if outside."""

    def solve(self, b: Array) -> ConicSolution:
        """Return z = 0 where `b` lies in the cone, else the z of the cut that `b` violates."""
        reach = float(np.linalg.norm(b[1:]))
        outside = reach - b[0] > FEASIBILITY_MARGIN * max(1.0, reach)
        z = np.concatenate([[1.0], -b[1:] / reach]) if outside else np.zeros(len(b))
        return ConicSolution(
            x=np.array([]),
            z=z,
            objective=0.0,
            dual_objective=0.0,
            status="PrimalInfeasible" if outside else "Solved",
            iterations=0,
            seconds=0.0,
            residual=0.0,
        )


def split(
    problem: CompiledProblem, whole: ConicForm, coupling: Array
) -> tuple[list[Component], Array]:
    """Return the components with cones (or too large), and the columns left to the master."""
    n = len(problem.cost)
    free = np.ones(n, dtype=bool)
    free[coupling] = False
    incidence = sp.csr_matrix(abs(whole.A))[:, free]
    curved = None if problem.quadratic is None else abs(problem.quadratic)[free][:, free]
    pattern = sp.bmat([[None, incidence], [incidence.T, curved]], format="csr")
    _, label = connected_components(pattern, directed=False)
    row_label, column_label = label[: incidence.shape[0]], label[incidence.shape[0] :]
    # a cone ties its rows together even where they share no column
    first = whole.zero + whole.nonnegative
    starts = first + np.concatenate([[0], np.cumsum(whole.cone_sizes)[:-1]])
    row_label, column_label = _tie_cones(
        row_label, column_label, starts.astype(int), whole.cone_sizes
    )
    convex = set(row_label[first:].tolist())
    if curved is not None:
        convex |= set(column_label[np.unique(curved.nonzero()[0])].tolist())
    columns, A = np.flatnonzero(free), sp.csr_matrix(whole.A)
    rows_of, columns_of = _groups(row_label), _groups(column_label)
    cones_of = _groups(row_label[starts.astype(int)])
    nothing = np.array([], dtype=np.int64)
    components, in_master = [], []

    def component(name: int, own: Array) -> Component:
        rows, cones = rows_of.get(name, nothing), cones_of.get(name, nothing)
        return take_component(problem, whole, coupling, own, rows, cones, A)

    for name in dict.fromkeys(column_label.tolist()):
        own = columns[columns_of[name]]
        if name not in convex and len(own) <= MASTER_COLUMNS:
            in_master.append(own)
        else:
            components.append(component(name, own))
    components.extend(  # cones over coupling columns alone
        component(name, nothing)
        for name in dict.fromkeys(row_label[first:].tolist())
        if name not in columns_of
    )
    return components, np.concatenate([nothing, *in_master])


def _groups(label: Array) -> dict[int, Array]:
    """Return the positions of each label, ascending."""
    if not len(label):
        return {}
    order = np.argsort(label, kind="stable")
    names, starts = np.unique(label[order], return_index=True)
    return dict(zip(names.tolist(), np.split(order, starts[1:]), strict=True))


def _tie_cones(
    row_label: Array, column_label: Array, starts: Array, sizes: Sequence[int] | Array
) -> tuple[Array, Array]:
    """Give all rows of a cone one label; rows with coupling columns alone had one of their own."""
    alias = np.arange(int(max(row_label.max(initial=0), column_label.max(initial=0))) + 1)
    for start, size in zip(starts, sizes, strict=True):
        tied = np.unique(alias[row_label[start : start + size]])
        if len(tied) > 1:
            alias[np.isin(alias, tied)] = tied[0]
    return alias[row_label], alias[column_label]


def take_component(
    problem: CompiledProblem,
    whole: ConicForm,
    coupling: Array,
    columns: Array,
    rows: Array,
    cones: Array,
    A: Any = None,
) -> Component:
    """Return the part of `whole` with the `rows` and `cones` given, ascending, and `columns`.

    `A` is the matrix of `whole` by rows, where the caller has it.
    """
    A = (sp.csr_matrix(whole.A) if A is None else A)[rows]
    first = whole.zero + whole.nonnegative
    nothing = np.array([], dtype=np.int64)
    quadratic = None
    if problem.quadratic is not None:
        quadratic = sp.csc_matrix(problem.quadratic[columns][:, columns])
    empty = sp.csc_matrix((len(columns), len(columns)))
    form = ConicForm(
        P=empty if quadratic is None else sp.triu(quadratic, format="csc"),
        q=whole.q[columns],
        A=sp.csc_matrix(A[:, columns]),
        b=whole.b[rows],
        zero=int(np.sum(rows < whole.zero)),
        nonnegative=int(np.sum((rows >= whole.zero) & (rows < first))),
        cone_sizes=whole.cone_sizes[cones],
        bound_rows=nothing,
        bound_columns=nothing,
        row_of=whole.row_of[rows],
        row_sign=whole.row_sign[rows],
    )
    return Component(
        columns=columns,
        rows=rows,
        form=form,
        quadratic=quadratic if quadratic is not None and quadratic.nnz else None,
        technology=sp.csr_matrix(A[:, coupling]),
        reach=np.maximum(np.abs(problem.lower[columns]), np.abs(problem.upper[columns])),
    )
