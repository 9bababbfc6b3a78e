"""Pyomo models as matrices: every accepted form gives the optimum a hand finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyomo.environ as pyo
import pytest

from pp_p2p.errors import SolverCannot
from pp_p2p.solve.compiled import compile_model, load_values
from pp_p2p.solve.report import ProblemClass
from pp_p2p.solve.run import run_solver

Model = Any


def _model(**bounds: tuple[float | None, float | None]) -> Model:
    model = pyo.ConcreteModel()
    for name, pair in bounds.items():
        model.add_component(name, pyo.Var(bounds=pair))
    return model


def _rotated() -> tuple[Model, float]:
    """Min u + w over 9 = x^2 <= u w: u = w = 3."""
    m = _model(x=(3, 9), u=(0, 50), w=(0, 50))
    m.cone = pyo.Constraint(expr=m.x**2 <= m.u * m.w)
    m.cost = pyo.Objective(expr=m.u + m.w)
    return m, 6.0


def _rotated_with_factors() -> tuple[Model, float]:
    """Min u + w over 4 * 9 + 0.5 * 8 = 40 <= 10 u w: u = w = 2."""
    m = _model(x=(3, 9), y=(None, None), u=(0, 50), w=(0, 50))
    m.fix_y = pyo.Constraint(expr=m.y**1 == -np.sqrt(8.0))
    m.cone = pyo.Constraint(expr=4 * m.x**2 + 0.5 * m.y**2 - 10 * m.u * m.w <= 0)
    m.cost = pyo.Objective(expr=m.u + m.w)
    return m, 4.0


def _one_linear() -> tuple[Model, float]:
    """Min u over 9 + 16 <= 5 u."""
    m = _model(x=(3, 9), y=(-9, -4), u=(0, 50))
    m.cone = pyo.Constraint(expr=m.x**2 + m.y**2 <= 5 * m.u)
    m.cost = pyo.Objective(expr=m.u)
    return m, 5.0


def _square() -> tuple[Model, float]:
    """Min u over 9 + 16 <= 4 u^2."""
    m = _model(x=(3, 9), y=(-9, -4), u=(0, 50))
    m.cone = pyo.Constraint(expr=m.x**2 + m.y**2 <= 4 * m.u**2)
    m.cost = pyo.Objective(expr=m.u)
    return m, 2.5


def _ball() -> tuple[Model, float]:
    """Min 3 x + 4 y over x^2 + 4 y^2 <= 13: -sqrt(13 (9 + 4))."""
    m = _model(x=(-99, 99), y=(-99, 99))
    m.cone = pyo.Constraint(expr=m.x**2 + 4 * m.y**2 + 2 <= 15)
    m.cost = pyo.Objective(expr=3 * m.x + 4 * m.y)
    return m, -13.0


def _fixed_factor() -> tuple[Model, float]:
    """A fixed variable is a number: x^2 <= 2 w with x = 2."""
    m = _model(x=(2, 9), u=(0, 50), w=(0, 50))
    m.u.fix(2.0)
    m.cone = pyo.Constraint(expr=m.x**2 <= m.u * m.w)
    m.cost = pyo.Objective(expr=m.w)
    return m, 2.0


def _only_in_the_cone() -> tuple[Model, float]:
    """No linear row has any of the variables."""
    m = _model(x=(-2, 2), u=(0.25, 9))
    m.cone = pyo.Constraint(expr=m.x**2 <= m.u)
    m.cost = pyo.Objective(expr=m.u - m.x)
    return m, -0.25


def _lower_bound_written_as_greater() -> tuple[Model, float]:
    m = _model(x=(3, 9), u=(0, 50), w=(0, 50))
    m.cone = pyo.Constraint(expr=m.u * m.w >= m.x**2)
    m.cost = pyo.Objective(expr=m.u + m.w)
    return m, 6.0


def _list_of_different_laws() -> tuple[Model, float]:
    m = _model(x=(-1, 1), y=(0, 1))
    m.laws = pyo.ConstraintList()
    m.laws.add(m.x >= 0.5)
    m.laws.add(m.x**2 <= m.y)
    m.cost = pyo.Objective(expr=m.y)
    return m, 0.25


def _container_with_a_linear_member() -> tuple[Model, float]:
    """Min x + 2 y over x^2 <= y, x + y >= 2: x = y = 1."""
    m = _model(x=(0, 9), y=(0, 9))
    m.laws = pyo.Constraint([0, 1], rule=lambda m, k: m.x + m.y >= 2 if k else m.x**2 <= m.y)
    m.cost = pyo.Objective(expr=m.x + 2 * m.y)
    return m, 3.0


def _quadratic_objective_and_cone() -> tuple[Model, float]:
    """Min (u - 1)^2 over 3 <= x, x <= u: 4."""
    m = _model(x=(3, 9), u=(0, 50))
    m.cone = pyo.Constraint(expr=m.x**2 <= m.u**2)
    m.cost = pyo.Objective(expr=(m.u - 1) ** 2)
    return m, 4.0


ACCEPTED: tuple[Callable[[], tuple[Model, float]], ...] = (
    _rotated,
    _rotated_with_factors,
    _one_linear,
    _square,
    _ball,
    _fixed_factor,
    _only_in_the_cone,
    _lower_bound_written_as_greater,
    _list_of_different_laws,
    _container_with_a_linear_member,
    _quadratic_objective_and_cone,
)


@pytest.mark.parametrize("make", ACCEPTED, ids=lambda make: make.__name__.strip("_"))
def test_accepted_cone(make: Callable[[], tuple[Model, float]]) -> None:
    model, optimum = make()
    report = run_solver(model)
    assert report.problem_class == ProblemClass.SOCP
    assert report.status == "optimal"
    assert report.objective == pytest.approx(optimum, abs=1e-6)
    assert report.bound == pytest.approx(optimum, abs=1e-6)
    assert pyo.value(model.cost) == pytest.approx(optimum, abs=1e-6)
    for constraint in model.component_data_objects(pyo.Constraint):
        assert constraint.active
        assert constraint.slack() > -1e-6
    assert model.cost.active


REFUSED: dict[str, Callable[[Model], Any]] = {
    "indefinite": lambda m: m.x**2 - m.y**2 + m.x <= 1,
    "product of squares' variables": lambda m: m.x * m.y <= 1,
    "outside of a ball": lambda m: m.x**2 + m.y**2 >= 1,
    "equality": lambda m: m.x**2 == m.u * m.w,
    "head that may be negative": lambda m: m.x**2 <= m.y * m.u,
    "one head that may be negative": lambda m: m.x**2 <= m.y,
    "square of what may be negative": lambda m: m.u**2 <= m.y**2,
    "two products": lambda m: m.x**2 <= m.u * m.w + m.u * m.u,
    "linear part beside a product": lambda m: m.x**2 + m.y <= m.u * m.w,
    "empty ball": lambda m: m.x**2 + m.y**2 <= -1,
    "cubic": lambda m: m.x**3 <= 1,
    "exponential": lambda m: pyo.exp(m.x) <= 1,
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_constraint_is_named(name: str) -> None:
    m = _model(x=(-9, 9), y=(-9, 9), u=(0, 9), w=(0, 9))
    m.linear = pyo.Constraint(expr=m.x + m.y <= 1)
    m.law = pyo.Constraint(expr=REFUSED[name](m))
    m.cost = pyo.Objective(expr=m.x)
    with pytest.raises(SolverCannot, match="law"):
        compile_model(m)
    assert m.cost.active
    assert m.law.active
    assert len(list(m.component_objects(pyo.Objective))) == 1


@pytest.mark.parametrize(
    "expr",
    [lambda m: m.x * m.y, lambda m: -(m.x**2), lambda m: m.x**2 + m.y**2 + 3 * m.x * m.y],
    ids=["saddle", "cap", "indefinite"],
)
@pytest.mark.parametrize("solver", ["auto", "clarabel"])
def test_objective_that_is_not_convex(expr: Callable[[Model], Any], solver: str) -> None:
    m = _model(x=(-1, 1), y=(-1, 1))
    m.cost = pyo.Objective(expr=expr(m))
    with pytest.raises(SolverCannot, match="not convex"):
        compile_model(m)


@pytest.mark.parametrize(
    "expr",
    [
        lambda m: (m.x - m.y) ** 2,
        lambda m: m.x**2 + m.y**2 + 2 * m.x * m.y,
        lambda m: m.x**2 + 0.0 * m.y**2,
    ],
    ids=["semidefinite", "square", "zero"],
)
def test_objective_that_is_barely_convex(expr: Callable[[Model], Any]) -> None:
    m = _model(x=(-1, 1), y=(-1, 1))
    m.cost = pyo.Objective(expr=expr(m))
    assert compile_model(m).quadratic is not None


def test_objectives() -> None:
    m = _model(x=(0, 1))
    with pytest.raises(SolverCannot, match="exactly one objective"):
        compile_model(m)
    m.cost = pyo.Objective(expr=m.x, sense=pyo.maximize)
    with pytest.raises(SolverCannot, match="minimised"):
        compile_model(m)
    m.cost.deactivate()
    m.other = pyo.Objective(expr=pyo.exp(m.x))
    with pytest.raises(SolverCannot, match="neither linear nor quadratic"):
        compile_model(m)


def test_classes() -> None:
    m = _model(x=(0, 9), y=(0, 9))
    m.n = pyo.Var(domain=pyo.Integers, bounds=(0, 3))
    m.row = pyo.Constraint(expr=m.x + m.y >= 1)
    m.linear = pyo.Objective(expr=m.x)
    assert compile_model(m).problem_class == ProblemClass.LP
    m.cone = pyo.Constraint(expr=m.x**2 <= m.y)
    assert compile_model(m).problem_class == ProblemClass.SOCP
    m.tie = pyo.Constraint(expr=m.n >= m.x)
    assert compile_model(m).problem_class == ProblemClass.MISOCP
    m.cone.deactivate()
    assert compile_model(m).problem_class == ProblemClass.MILP
    m.n.fix(2)
    assert compile_model(m).problem_class == ProblemClass.LP
    m.linear.deactivate()
    m.quadratic = pyo.Objective(expr=m.x**2)
    assert compile_model(m).problem_class == ProblemClass.QP
    m.n.unfix()
    assert compile_model(m).problem_class == ProblemClass.MIQP


def test_matrices() -> None:
    m = _model(x=(1, 4), y=(None, 5))
    m.le = pyo.Constraint(expr=m.x + 2 * m.y + 1 <= 4)
    m.ge = pyo.Constraint(expr=m.x - m.y >= -2)
    m.eq = pyo.Constraint(expr=m.x == 3)
    m.cost = pyo.Objective(expr=2 * m.x - m.y + 7)
    problem = compile_model(m)
    names = [v.name for v in problem.columns]
    x, y = names.index("x"), names.index("y")
    assert problem.cost[[x, y]].tolist() == [2.0, -1.0]
    assert problem.offset == 7.0
    rows = {c.name: k for k, c in enumerate(problem.rows)}
    dense = problem.matrix.toarray()
    assert dense[rows["le"], [x, y]].tolist() == [1.0, 2.0]
    assert (problem.row_lower[rows["le"]], problem.row_upper[rows["le"]]) == (-np.inf, 3.0)
    assert (problem.row_lower[rows["ge"]], problem.row_upper[rows["ge"]]) == (-2.0, np.inf)
    assert problem.row_lower[rows["eq"]] == problem.row_upper[rows["eq"]] == 3.0
    assert (problem.lower[x], problem.upper[x]) == (1.0, 4.0)
    assert (problem.lower[y], problem.upper[y]) == (-np.inf, 5.0)
    assert problem.objective(np.array([3.0, 1.0])[[x, y]]) == 12.0


def test_compiling_twice_gives_the_same() -> None:
    model, _ = _rotated_with_factors()
    one, two = compile_model(model), compile_model(model)
    np.testing.assert_array_equal(one.cone_matrix.toarray(), two.cone_matrix.toarray())
    assert [v.name for v in one.columns] == [v.name for v in two.columns]


def test_a_model_may_use_our_name() -> None:
    m = _model(linear_objective=(1, 2))
    m.cost = pyo.Objective(expr=m.linear_objective)
    assert compile_model(m).cost.tolist() == [1.0]
    assert m.linear_objective.bounds == (1, 2)


def test_integers_are_loaded_as_integers() -> None:
    m = _model(x=(0, 9))
    m.n = pyo.Var(domain=pyo.Integers, bounds=(0, 9))
    m.row = pyo.Constraint(expr=m.x + m.n >= 1)
    m.cost = pyo.Objective(expr=m.x)
    problem = compile_model(m)
    load_values(problem, np.where(problem.integer, 1.9999999, 0.1234567))
    assert m.n.value == 2.0
    assert m.x.value == 0.1234567
