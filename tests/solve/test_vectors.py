"""A compiled problem solved again with other vectors is the new problem solved afresh."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from typing import Any

import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pp_p2p.errors import NoSolution, TimeLimit
from pp_p2p.solve import conic
from pp_p2p.solve.compiled import CompiledProblem, compile_model, cost_unit
from pp_p2p.solve.report import SolverConfig, relative_gap
from pp_p2p.solve.run import CompiledSolver, run_solver
from pp_p2p.solve.scip import Scip
from pp_p2p.solve.vectors import ABSENT, Positions, Vectors

INF = np.inf


def _model(*, quadratic: bool = False, cone: bool = False, whole: bool = False) -> Any:
    """Two sources feed a demand; the second is dearer; with a cone, their size costs too."""
    m = pyo.ConcreteModel()
    domain = pyo.Integers if whole else pyo.Reals
    m.x = pyo.Var([0, 1], bounds=(0, 8), domain=domain)
    m.idle = pyo.Var(bounds=(0, 1))
    m.size = pyo.Var(bounds=(0, 99))
    m.demand = pyo.Constraint([0], rule=lambda m, _: m.x[0] + m.x[1] == 6)
    m.limit = pyo.Constraint(expr=(-5, m.x[0] - m.x[1], 5))
    if cone:
        m.cone = pyo.Constraint(expr=m.x[0] ** 2 + m.x[1] ** 2 <= m.size**2)
    cost = m.x[0] + 3 * m.x[1] + (m.size if cone else 0.0)
    m.cost = pyo.Objective(expr=cost + (m.x[0] ** 2 if quadratic else 0.0) + 7)
    return m


KINDS: dict[str, tuple[dict[str, bool], str]] = {
    "LP highs": ({}, "highs"),
    "LP clarabel": ({}, "clarabel"),
    "QP highs": ({"quadratic": True}, "highs"),
    "QP clarabel": ({"quadratic": True}, "clarabel"),
    "SOCP": ({"cone": True}, "clarabel"),
    "MILP": ({"whole": True}, "highs"),
    "MISOCP": ({"cone": True, "whole": True}, "highs+clarabel"),
    "MISOCP scip": ({"cone": True, "whole": True}, "scip"),
}


def _solver_or_skip(name: str) -> None:
    if name == "scip":
        pytest.importorskip("pyscipopt", reason="pyscipopt is not installed")


def _replaced(
    problem: CompiledProblem, m: Any, demand: float, most: float, cost: float
) -> CompiledProblem:
    at, vectors = Positions(problem), Vectors.of(problem)
    vectors.equate(at.rows(m.demand), demand)
    vectors.bound(at.columns(m.x), 0.0, [8.0, most])
    vectors.price(at.columns(m.x), [1.0, cost])
    return vectors.put_into(problem)


@pytest.mark.parametrize("kind", KINDS)
def test_one_solver_many_vectors(kind: str) -> None:
    """Among them: a bound that becomes an equality, one that is none again, no solution."""
    options, name = KINDS[kind]
    _solver_or_skip(name)
    config = SolverConfig(name=name, rel_gap=1e-7)
    m = _model(**options)
    problem = compile_model(m)
    solver = CompiledSolver(problem, config)
    for demand, most, cost in (
        (6.0, 8.0, 3.0),
        (7.0, 8.0, 0.5),
        (5.0, 0.0, 3.0),
        (9.0, 8.0, 3.0),
        (3.0, 8.0, -2.0),
        (17.0, 8.0, 3.0),
        (6.0, 8.0, 3.0),
    ):
        new = _replaced(problem, m, demand, most, cost)
        if demand > 16:
            with pytest.raises(NoSolution):
                solver.solve(new)
            continue
        x, report = solver.solve(new)
        _, fresh = CompiledSolver(new, config).solve()
        assert report.status == fresh.status == "optimal"
        assert report.objective == pytest.approx(fresh.objective, abs=1e-6)
        assert report.bound == pytest.approx(fresh.bound, abs=1e-5)
        assert x[Positions(problem).columns(m.x)].sum() == pytest.approx(demand, abs=1e-6)
        for row, dual in report.duals.items():
            assert dual == pytest.approx(fresh.duals[row], abs=1e-5)


@pytest.mark.parametrize("name", ["highs", "clarabel"])
def test_only_vectors_go_to_the_solver(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second solve sets nothing up; another matrix does."""
    m = _model()
    problem = compile_model(m)
    solver = CompiledSolver(problem, SolverConfig(name=name))
    solver.solve()

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("set up again")

    monkeypatch.setattr(conic, "conic_form", refuse)
    monkeypatch.setattr("pp_p2p.solve.highs._model", refuse)
    new = _replaced(problem, m, 5.0, 4.0, 2.0)
    assert solver.solve(new)[1].objective == pytest.approx(12.0, abs=1e-6)
    with pytest.raises(AssertionError, match="set up again"):
        solver.solve(dataclasses.replace(problem, matrix=problem.matrix * 2.0))


@settings(max_examples=40, deadline=None)
@given(
    demand=st.floats(0.0, 12.0),
    most=st.floats(4.0, 8.0),
    cost=st.floats(0.1, 9.0),
    cone=st.booleans(),
)
def test_history_leaves_no_trace(demand: float, most: float, cost: float, cone: bool) -> None:
    m = _model(cone=cone)
    problem = compile_model(m)
    solver = CompiledSolver(problem)
    solver.solve()
    new = _replaced(problem, m, demand, most, cost)
    _, fresh = CompiledSolver(new).solve()
    assert solver.solve(new)[1].objective == pytest.approx(fresh.objective, rel=1e-6, abs=1e-6)


def test_positions() -> None:
    m = _model()
    problem = compile_model(m)
    at = Positions(problem)
    assert [problem.columns[k].name for k in at.columns(m.x)] == ["x[0]", "x[1]"]
    assert [problem.rows[k].name for k in at.rows(m.demand)] == ["demand[0]"]
    assert at.columns(m.idle).tolist() == [ABSENT]
    vectors = Vectors.of(problem)
    vectors.bound(at.columns(m.idle), 5.0, 6.0)  # nothing there to bound
    same = vectors.put_into(problem)
    assert same.same_structure(problem)
    np.testing.assert_array_equal(same.upper, problem.upper)
    vectors.bound(at.columns(m.x), 1.0, 2.0)
    assert problem.upper[at.columns(m.x)].tolist() == [8.0, 8.0]  # copies, not the problem's own


@pytest.mark.parametrize("unit", [1e-6, 1e-3, 1.0, 1e4])
@pytest.mark.parametrize("kind", ["LP highs", "LP clarabel", "QP highs", "QP clarabel", "SOCP"])
def test_small_objectives_are_solved_as_well(kind: str, unit: float) -> None:
    """Absolute tolerances of solvers say nothing about an objective of 1e-6."""
    options, name = KINDS[kind]
    reference = run_solver(_model(**options), SolverConfig(name=name))
    m = _model(**options)
    m.scaled = pyo.Objective(expr=unit * m.cost.expr)
    m.cost.deactivate()
    report = run_solver(m, SolverConfig(name=name))
    assert report.objective == pytest.approx(unit * reference.objective, rel=1e-6)
    assert report.bound == pytest.approx(unit * reference.objective, rel=1e-5)
    dual, wanted = (next(iter(r.duals.values())) for r in (report, reference))
    assert dual == pytest.approx(unit * wanted, rel=1e-4, abs=1e-5 * unit)


def test_cost_unit() -> None:
    assert cost_unit(np.array([0.3, -2.0])) == 1.0
    assert cost_unit(np.array([0.3, -0.2])) == 0.0625
    assert cost_unit(np.zeros(3)) == 1.0
    for smallest in (1e-9, 1e-3, 0.9):
        assert 1.0 <= smallest / cost_unit(np.array([smallest])) < 16.0


def _infimum_at_infinity(unit: float) -> Any:
    """Min u over 1 <= u w: 0, which no point has."""
    m = pyo.ConcreteModel()
    m.u, m.w = pyo.Var(bounds=(0, None)), pyo.Var(bounds=(0, None))
    m.one = pyo.Var(bounds=(1, 1))
    m.cone = pyo.Constraint(expr=m.one**2 <= m.u * m.w)
    m.cost = pyo.Objective(expr=unit * m.u)
    return m


def _asymptote(unit: float) -> Any:
    """Min y - x over |(x, 1)| <= y: 0, which no point has."""
    m = pyo.ConcreteModel()
    m.x, m.y = pyo.Var(), pyo.Var(bounds=(0, None))
    m.one = pyo.Var(bounds=(1, 1))
    m.cone = pyo.Constraint(expr=m.x**2 + m.one**2 <= m.y**2)
    m.cost = pyo.Objective(expr=unit * (m.y - m.x))
    return m


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("make", [_infimum_at_infinity, _asymptote])
def test_almost_solved_is_held_by_its_figures(make: Any, unit: float) -> None:
    """No bounds, no optimum: whatever Clarabel calls it, the bound is below 0 and the gap open."""
    try:
        report = run_solver(make(unit))
    except NoSolution as error:
        assert "Clarabel" in str(error)  # noqa: PT017
        return
    assert report.objective > 0.0
    assert report.bound <= 0.0
    if report.objective > 1e-4:
        assert report.status == "feasible"
    if report.status == "optimal":
        assert relative_gap(report.objective, 0.0) <= SolverConfig().rel_gap


def test_far_optimum_is_optimal() -> None:
    """An optimum 500 away, with no bound in sight, is one."""
    m = _asymptote(1.0)
    m.near = pyo.Constraint(expr=m.y - m.x <= 1e-3)
    m.cost.deactivate()
    m.least = pyo.Objective(expr=m.x)
    report = run_solver(m)
    assert report.status == "optimal"
    assert report.objective == pytest.approx((1 - 1e-6) / 2e-3, rel=1e-5)


@pytest.mark.parametrize("quadratic", [False, True])
def test_scip_begins_at_a_point_and_records_what_it_finds(quadratic: bool) -> None:
    _solver_or_skip("scip")
    problem = compile_model(_model(cone=True, whole=True, quadratic=quadratic))
    found = Scip(SolverConfig(rel_gap=1e-7)).solve(problem)
    assert found.history[-1][1:] == (found.bound, found.objective)
    assert all(later[2] <= sooner[2] + 1e-9 for sooner, later in pairwise(found.history))
    assert found.history[-2][2] == pytest.approx(found.objective, rel=1e-6)  # when it was found
    at_once = SolverConfig(rel_gap=1e-7, time_limit_s=1e-9)
    with pytest.raises(TimeLimit):
        Scip(at_once).solve(problem)
    begun = Scip(at_once, feasibility=1e-6).solve(problem, found.x)
    assert begun.objective == pytest.approx(found.objective, rel=1e-6)
    assert begun.termination == "timelimit"
