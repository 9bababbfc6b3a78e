"""Projection onto the integers, against the enumeration of every integer point."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pp_p2p.errors import NoSolution, SolverCannot
from pp_p2p.solve.compiled import compile_model
from pp_p2p.solve.components import IntegerCone
from pp_p2p.solve.projection import solve_by_projection
from pp_p2p.solve.report import SolverConfig
from pp_p2p.solve.run import run_solver

sys.path.insert(0, str(Path(__file__).parent))
from cone_blocks import cone_blocks, cost_of, enumerated

EXACT = SolverConfig(rel_gap=1e-6, time_limit_s=30.0)


def _random(seed: int, *, blocks: int = 3, n: int = 2, most: int = 3) -> Any:
    """Return blocks tied by the units built, of which there is a budget; some points infeasible."""
    rng = np.random.default_rng(seed)
    bought = float(rng.uniform(3.0, 9.0))
    m, drawn = cone_blocks(rng, blocks=blocks, n=n, most=most, bought=bought)
    m.budget = pyo.Constraint(expr=sum(m.build[k] for k in m.KIND) <= most * n - 1)
    m.cost = pyo.Objective(expr=cost_of(m, rng, drawn))
    return m


def _agrees(model: Any) -> None:
    optimum = enumerated(model)
    if not np.isfinite(optimum):
        with pytest.raises(NoSolution):
            run_solver(model, EXACT)
        return
    report = run_solver(model, EXACT)
    assert report.status == "optimal"
    assert report.solver == "highs+clarabel"
    assert report.objective == pytest.approx(optimum, rel=2e-6, abs=1e-6)
    # certified: not above the optimum, at no moment
    tolerance = 1e-6 * max(1.0, abs(optimum))
    assert report.bound <= optimum + tolerance
    assert all(bound <= optimum + tolerance for _, bound, _ in report.history)
    assert all(best >= optimum - tolerance for _, _, best in report.history)
    bounds = [bound for _, bound, _ in report.history]
    assert bounds == sorted(bounds)
    for constraint in model.component_data_objects(pyo.Constraint, active=True):
        assert constraint.slack() > -1e-6
    assert pyo.value(model.cost) == pytest.approx(report.objective, abs=1e-6)


@settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(seed=st.integers(0, 10**6))
def test_equals_enumeration(seed: int) -> None:
    _agrees(_random(seed))


@settings(max_examples=6, deadline=None, derandomize=True, database=None)
@given(seed=st.integers(0, 10**6))
def test_equals_enumeration_with_three_kinds(seed: int) -> None:
    _agrees(_random(seed, blocks=2, n=3))


def _needs_units() -> Any:
    """Demand 5 per block, 2 at most bought: only 3 or more units of 1 are feasible."""
    m = _random(3, blocks=2, n=1, most=5)
    for d in m.BLOCK:
        m.bought[d].setub(2.0)
        m.available[d, 0].set_value(m.p[d, 0] <= m.build[0])
        m.balance[d].set_value(m.bought[d] + m.p[d, 0] == 5.0 + 0.05 * m.l[d])
    m.del_component(m.budget)
    m.cost.set_value(10.0 * m.build[0] + sum(m.bought[d] for d in m.BLOCK))
    return m


def test_feasibility_cuts() -> None:
    """The relaxation wants 3.2 units, 3 are infeasible: the cut of the failed point says 4."""
    model = _needs_units()
    _agrees(model)
    assert model.build[0].value == 4.0


def test_infeasible_for_every_integer() -> None:
    """The relaxation is feasible at 1/2, no integer is."""
    m = pyo.ConcreteModel()
    m.n = pyo.Var(domain=pyo.Integers, bounds=(0, 3))
    m.x, m.t = pyo.Var(bounds=(-5, 5)), pyo.Var(bounds=(0, 0.3))
    m.cone = pyo.Constraint(expr=m.x**2 <= m.t**2)
    m.off = pyo.Constraint(expr=m.x == m.n - 0.5)
    m.cost = pyo.Objective(expr=m.n)
    with pytest.raises(NoSolution, match="the integers have no feasible value"):
        run_solver(m, EXACT)
    assert m.n.value is None


def test_infeasible_relaxation() -> None:
    m = _random(1)
    m.never = pyo.Constraint(expr=m.l[0] <= -1.0 * m.v[0])
    with pytest.raises(NoSolution, match="even the continuous relaxation"):
        run_solver(m, EXACT)


@pytest.mark.parametrize("seed", range(4))
def test_one_block(seed: int) -> None:
    """Everything hangs together: a single component."""
    _agrees(_random(seed, blocks=1))


def test_integers_inside_a_cone() -> None:
    """A converter of n units: p^2 + q^2 <= (0.7 n)^2, p and q wanted, units cost."""
    m = pyo.ConcreteModel()
    m.n = pyo.Var(domain=pyo.Integers, bounds=(0, 4))
    m.p, m.q = pyo.Var(bounds=(-9, 9)), pyo.Var(bounds=(-9, 9))
    m.spare = pyo.Var(bounds=(0, 3))
    m.cone = pyo.Constraint(expr=m.p**2 + m.q**2 <= 0.49 * m.n**2)
    m.want = pyo.Constraint(expr=m.p + m.q + m.spare >= 2.2)
    m.cost = pyo.Objective(expr=0.6 * m.n + m.spare)
    _agrees(m)


def test_integers_on_both_sides_of_a_cone() -> None:
    """p^2 <= n m with integers n, m."""
    m = pyo.ConcreteModel()
    m.n = pyo.Var(domain=pyo.Integers, bounds=(0, 4))
    m.k = pyo.Var(domain=pyo.Integers, bounds=(0, 4))
    m.p = pyo.Var(bounds=(0, 9))
    m.cone = pyo.Constraint(expr=m.p**2 <= m.n * m.k)
    m.want = pyo.Constraint(expr=m.p >= 2.2)
    m.cost = pyo.Objective(expr=m.n + 1.3 * m.k - 0.01 * m.p)
    _agrees(m)


@pytest.mark.parametrize("cost", [(-2, -1), (-1, -1.5), (1, -3), (1, 1)])
def test_cone_over_integers_alone(cost: tuple[float, float]) -> None:
    """No continuous variable at all: x^2 + y^2 <= 9."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(domain=pyo.Integers, bounds=(-5, 5))
    m.y = pyo.Var(domain=pyo.Integers, bounds=(-5, 5))
    m.ball = pyo.Constraint(expr=m.x**2 + m.y**2 <= 9)
    m.cost = pyo.Objective(expr=cost[0] * m.x + cost[1] * m.y)
    _agrees(m)


def test_cone_over_integers_beside_others() -> None:
    m = _random(7)
    m.ball = pyo.Constraint(expr=m.build[0] ** 2 + m.build[1] ** 2 <= 2)
    _agrees(m)


def test_point_outside_an_integer_cone_is_cut_off() -> None:
    b = np.array([3.0, 3.0, 4.0])
    answer = IntegerCone().solve(b)
    assert answer.infeasible
    assert answer.z @ b == pytest.approx(3.0 - 5.0)
    assert IntegerCone().solve(np.array([5.0, 3.0, 4.0])).solved


def test_linear_parts_stay_with_the_master() -> None:
    """A cone of its own, a linear block of its own, integers between them."""
    m = _random(11, blocks=1)
    m.s = pyo.Var(range(3), bounds=(0, 5))
    m.own = pyo.Constraint(range(3), rule=lambda m, k: m.s[k] >= 1.5 - 0.5 * m.build[0] + 0.1 * k)
    m.cost.set_value(m.cost.expr + 0.3 * sum(m.s[k] for k in range(3)))
    _agrees(m)


def test_cone_without_an_integer() -> None:
    """A component that no integer touches is solved once and its cost counts."""
    m = _random(13, blocks=1)
    m.a, m.b = pyo.Var(bounds=(1, 3)), pyo.Var(bounds=(0, 9))
    m.alone = pyo.Constraint(expr=m.a**2 <= m.b)
    m.cost.set_value(m.cost.expr + m.b)
    _agrees(m)


def test_objective_with_a_constant() -> None:
    m = _random(17)
    m.cost.set_value(m.cost.expr + 100.0)
    _agrees(m)


def test_same_numbers_twice() -> None:
    def numbers() -> tuple[Any, ...]:
        m = _random(23)
        report = run_solver(m, EXACT)
        values = [v.value for v in m.component_data_objects(pyo.Var)]
        history = [(bound, best) for _, bound, best in report.history]
        return report.objective, report.bound, report.iterations, history, values

    assert numbers() == numbers()


def test_wider_gap_costs_no_more_than_it_says() -> None:
    m = _random(29)
    optimum = enumerated(m)
    report = run_solver(m, SolverConfig(rel_gap=0.05))
    assert report.status == "optimal"
    assert report.gap <= 0.05
    assert report.bound - 1e-6 <= optimum <= report.objective + 1e-6


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda m: m.l[0].setub(None), r"finite bounds on every variable: l\[0\]"),
        (lambda m: m.build[1].setub(None), "finite bounds on every variable: build"),
        (
            lambda m: m.cost.set_value(m.cost.expr + (m.v[0] + m.build[0]) ** 2),
            "quadratic objective",
        ),
    ],
)
def test_what_the_projection_cannot(spoil: Callable[[Any], None], word: str) -> None:
    m = _random(31)
    spoil(m)
    with pytest.raises(SolverCannot, match=word):
        run_solver(m, EXACT)


def test_no_time_at_all() -> None:
    problem = compile_model(_random(37))
    with pytest.raises(NoSolution):
        solve_by_projection(problem, SolverConfig(time_limit_s=1e-9))
