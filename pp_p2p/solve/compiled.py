"""A Pyomo model as matrices: linear rows, second-order cones, bounds, integers.

Pyomo is where the algebra is written; from here on nothing touches it. A quadratic constraint is
recognised as a cone where its form is one of (a, k > 0; u, w variables with lower bound >= 0)

    sum a_i x_i^2 <= k u w,   sum a_i x_i^2 <= k u,   sum a_i x_i^2 <= k u^2,   sum a_i x_i^2 <= k
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyomo.environ as pyo
import scipy.sparse as sp
from pyomo.common.errors import InfeasibleConstraintException, InvalidExpressionError
from pyomo.common.gc_manager import PauseGC
from pyomo.common.modeling import unique_component_name
from pyomo.repn import generate_standard_repn
from pyomo.repn.plugins.standard_form import LinearStandardFormCompiler
from scipy.sparse.linalg import splu

from pp_p2p.errors import NoSolution, SolverCannot
from pp_p2p.solve.cones import Cones, column_of
from pp_p2p.solve.report import ProblemClass

Array = npt.NDArray[Any]

LINKING = "linking"
"""Name of the suffix that declares linking variables."""

CONVEXITY_MARGIN = 1e-9
"""Negative curvature below this part of the largest coefficient counts as rounding."""


@dataclass(frozen=True, kw_only=True)
class CompiledProblem:
    """``min c'x + x'Qx/2 + c0`` over rows, cones, bounds and integers.

    Parameters
    ----------
    columns : list
        Pyomo variables.
    cost : (column,) of float
    offset : float
    quadratic : sparse (column, column) or None
        Symmetric positive semidefinite Q.
    matrix : sparse (row, column)
    row_lower, row_upper : (row,) of float
    rows : list
        Pyomo constraints of the rows.
    lower, upper : (column,) of float
    integer : (column,) of bool
    cone_matrix : sparse (cone row, column)
    cone_offset : (cone row,) of float
        ``cone_offset + cone_matrix @ x`` lies in the product of second-order cones.
    cone_sizes : (cone,) of int
        Rows of each cone, its bound first.
    linking : (column,) of bool or None
        Continuous columns declared to tie otherwise separate parts together (`compile_model`).
    """

    columns: list[Any]
    cost: Array
    offset: float
    quadratic: Any
    matrix: Any
    row_lower: Array
    row_upper: Array
    rows: list[Any]
    lower: Array
    upper: Array
    integer: Array
    cone_matrix: Any
    cone_offset: Array
    cone_sizes: Array
    linking: Array | None = None

    @property
    def coupling(self) -> Array:
        """Columns that are integer or linking."""
        both = self.integer if self.linking is None else self.integer | self.linking
        return np.flatnonzero(both)

    @property
    def problem_class(self) -> ProblemClass:
        """Class of the problem, by what it holds."""
        if len(self.cone_sizes):
            return ProblemClass.MISOCP if self.integer.any() else ProblemClass.SOCP
        if self.quadratic is not None:
            return ProblemClass.MIQP if self.integer.any() else ProblemClass.QP
        return ProblemClass.MILP if self.integer.any() else ProblemClass.LP

    def same_structure(self, other: CompiledProblem) -> bool:
        """Tell whether `other` differs in vectors alone (``dataclasses.replace`` makes such)."""
        return all(
            getattr(self, name) is getattr(other, name)
            for name in ("matrix", "quadratic", "cone_matrix", "cone_sizes", "integer")
        )

    def objective(self, x: Array) -> float:
        """Return the objective at `x`."""
        value = float(self.cost @ x) + self.offset
        if self.quadratic is not None:
            value += 0.5 * float(x @ (self.quadratic @ x))
        return value


def compile_model(model: Any) -> CompiledProblem:
    """Compile a Pyomo model; the model is left as it was.

    A suffix ``linking`` of the model or of one of its blocks (``m.linking[var] = True``, for a
    variable or a member of one) names continuous variables that tie otherwise separate parts
    together, as the shares of an annual limit tie days. It changes no answer, only how a
    mixed-integer problem is taken apart (`pp_p2p.solve.projection`).

    Raises
    ------
    SolverCannot
        A constraint that is neither linear nor a second-order cone, or an objective that is not
        linear or convex quadratic.
    NoSolution
        A constraint without variables that does not hold.
    """
    try:
        with PauseGC():  # hundreds of thousands of small objects, none of them garbage
            try:
                return _compile(model, list(_quadratic_constraints(model, by_first=True)))
            except InvalidExpressionError:  # a container holds more than one law: look at all
                return _compile(model, list(_quadratic_constraints(model, by_first=False)))
    except InvalidExpressionError as error:
        raise SolverCannot(f"neither linear nor a second-order cone: {error}") from error
    except InfeasibleConstraintException as error:
        raise NoSolution(f"{error}, whatever the variables are") from error


def _compile(model: Any, quadratic: list[Any]) -> CompiledProblem:
    objective, objective_repn = _quadratic_objective(model)
    linear_objective = pyo.Objective(expr=_linear_part(objective_repn))
    for constraint in quadratic:
        constraint.deactivate()
    objective.deactivate()
    model.add_component(unique_component_name(model, "linear_objective"), linear_objective)
    try:
        form = LinearStandardFormCompiler().write(model, mixed_form=True)
    finally:
        model.del_component(linear_objective)
        objective.activate()
        for constraint in quadratic:
            constraint.activate()
    columns = list(form.columns)
    position = {id(variable): k for k, variable in enumerate(columns)}
    cones = Cones(columns, position)
    for constraint in quadratic:
        cones.add(constraint)
    Q = _quadratic_matrix(objective_repn, columns, position)
    n, m = len(columns), len(form.rows)
    matrix = sp.csr_matrix(form.A)
    matrix.resize((m, n))
    cost = np.zeros(n)
    first = np.asarray(form.c.todense()).ravel()
    cost[: len(first)] = first
    kind = np.array([row[1] for row in form.rows], dtype=int)
    rhs = np.asarray(form.rhs, dtype=float)
    bounds = [variable.bounds for variable in columns]
    return CompiledProblem(
        columns=columns,
        cost=cost,
        offset=float(form.c_offset[0]),
        quadratic=Q,
        matrix=matrix,
        row_lower=np.where(kind <= 0, rhs, -np.inf),
        row_upper=np.where(kind >= 0, rhs, np.inf),
        rows=[row[0] for row in form.rows],
        lower=np.array([-np.inf if lo is None else lo for lo, _ in bounds], dtype=float),
        upper=np.array([np.inf if up is None else up for _, up in bounds], dtype=float),
        integer=np.array([not v.is_continuous() for v in columns], dtype=bool),
        cone_matrix=cones.matrix(),
        cone_offset=np.array(cones.offsets),
        cone_sizes=np.array(cones.sizes, dtype=np.int64),
        linking=_linking(model, columns),
    )


def _linking(model: Any, columns: list[Any]) -> Array | None:
    """Return which columns a suffix ``linking`` declares, None where there is none."""
    named: set[int] = set()
    for suffix in model.component_objects(pyo.Suffix, active=True):
        if suffix.local_name == LINKING:
            for component, flag in suffix.items():
                members = component.values() if component.is_indexed() else [component]
                named.update(id(member) for member in members if flag)
    if not named:
        return None
    return np.array([id(v) in named and v.is_continuous() for v in columns], dtype=bool)


def cost_unit(cost: Array, quadratic: Any = None) -> float:
    """Return the power of 16 by which an objective is divided so that it is not small.

    Solvers stop at absolute tolerances, which say nothing where all coefficients are below 1; the
    quadratic solver of HiGHS even cycles there. Large ones stay: relative tolerances rule them.
    """
    largest = float(np.abs(cost).max(initial=0.0))
    if quadratic is not None and quadratic.nnz:
        largest = max(largest, float(np.abs(quadratic.data).max()))
    if not 0.0 < largest < 1.0:
        return 1.0
    return float(16.0 ** np.floor(np.log2(largest) / 4.0))  # 1 to 16 remain; exact to divide by


def load_values(problem: CompiledProblem, x: Array) -> None:
    """Write the solution into the Pyomo variables; integers are rounded to integers."""
    values = np.where(problem.integer, np.round(x), x)
    for variable, value in zip(problem.columns, values.tolist(), strict=True):
        variable.set_value(value, skip_validation=True)


def is_nonlinear(model: Any) -> bool:
    """Tell whether `model` holds a quadratic equality: a law that no cone can write."""
    for container in model.component_objects(pyo.Constraint, active=True):
        first = next(iter(container.values()), None)
        if first is not None and first.equality and first.body.polynomial_degree() == 2:
            return True
    return False


def _quadratic_constraints(model: Any, *, by_first: bool) -> Iterator[Any]:
    """Yield the quadratic constraints.

    Members of one container mostly share one law: `by_first` skips a container whose first
    member is not quadratic, which spares the look at every linear row.
    """
    for container in model.component_objects(pyo.Constraint, active=True):
        members = [member for member in container.values() if member.active]
        if by_first and members and members[0].body.polynomial_degree() != 2:
            continue
        yield from (member for member in members if member.body.polynomial_degree() == 2)


def _quadratic_objective(model: Any) -> tuple[Any, Any]:
    objectives = list(model.component_data_objects(pyo.Objective, active=True))
    if len(objectives) != 1 or objectives[0].sense != pyo.minimize:
        raise SolverCannot("a model needs exactly one objective, to be minimised")
    repn = generate_standard_repn(objectives[0].expr, quadratic=True)
    if repn.nonlinear_vars:
        raise SolverCannot("the objective is neither linear nor quadratic")
    return objectives[0], repn


def _linear_part(repn: Any) -> Any:
    pairs = zip(repn.linear_coefs, repn.linear_vars, strict=True)
    return repn.constant + sum(coef * var for coef, var in pairs)


def _quadratic_matrix(repn: Any, columns: list[Any], position: dict[int, int]) -> Any:
    if not repn.quadratic_vars:
        return None
    rows, cols, data = [], [], []
    for coef, (one, two) in zip(repn.quadratic_coefs, repn.quadratic_vars, strict=True):
        i, j = (column_of(v, columns, position) for v in (one, two))
        rows += [i, j]
        cols += [j, i]
        data += [coef, coef]
    Q = sp.csc_matrix((data, (rows, cols)), shape=(len(columns), len(columns)))
    if not _is_convex(Q):
        raise SolverCannot("the objective is not convex")
    return Q


def _is_convex(Q: Any) -> bool:
    """Return whether a symmetric matrix is positive semidefinite, by the signs of its pivots."""
    used = np.unique(Q.nonzero()[0])
    if not len(used):
        return True
    part = Q[used][:, used]
    lifted = part + CONVEXITY_MARGIN * abs(part).max() * sp.identity(len(used))
    try:
        factors = splu(
            sp.csc_matrix(lifted),
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )
    except RuntimeError:  # a pivot of exactly zero
        return False
    on_diagonal = np.array_equal(factors.perm_r, factors.perm_c)
    return on_diagonal and bool((factors.U.diagonal() > 0).all())
