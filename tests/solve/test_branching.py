"""Branch and bound over conic relaxations: what enumeration finds, and a bound below it."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pyomo.environ as pyo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pp_p2p.errors import NoSolution, TimeLimit
from pp_p2p.solve.branching import solve_by_branching
from pp_p2p.solve.compiled import compile_model
from pp_p2p.solve.report import SolverConfig

EXACT = SolverConfig(rel_gap=1e-6)


def _closest_point(target: np.ndarray, price: np.ndarray, *, at_least: int = 1) -> Any:
    """min price'x + t, |x - target| <= t, x binary, sum x >= at_least."""
    m = pyo.ConcreteModel()
    n = range(len(target))
    m.x = pyo.Var(n, domain=pyo.Binary)
    m.d = pyo.Var(n, bounds=(-3.0, 3.0))
    m.t = pyo.Var(bounds=(0.0, 10.0))
    m.apart = pyo.Constraint(n, rule=lambda m, k: m.d[k] == m.x[k] - float(target[k]))
    m.cone = pyo.Constraint(expr=sum(m.d[k] ** 2 for k in n) - m.t**2 <= 0.0)
    m.some = pyo.Constraint(expr=sum(m.x[k] for k in n) >= at_least)
    m.cost = pyo.Objective(expr=m.t + sum(float(price[k]) * m.x[k] for k in n))
    return m


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1_000))
def test_equals_enumeration(seed: int) -> None:
    rng = np.random.default_rng(seed)
    target, price = rng.uniform(-0.5, 1.5, 5), rng.uniform(-0.3, 0.3, 5)
    best = min(
        float(np.linalg.norm(np.array(x) - target) + price @ np.array(x))
        for x in itertools.product((0, 1), repeat=5)
        if sum(x) >= 1
    )
    answer = solve_by_branching(compile_model(_closest_point(target, price)), EXACT)
    assert answer.objective == pytest.approx(best, abs=1e-6)
    assert answer.bound <= best + 1e-9
    assert answer.termination == "gap closed"


def test_starts_and_roundings_are_tried() -> None:
    target, price = np.array([0.4, 0.6, 0.5]), np.zeros(3)
    problem = compile_model(_closest_point(target, price))
    asked: list[np.ndarray] = []

    def rounding(y: np.ndarray) -> list[np.ndarray]:
        asked.append(y)
        return [np.round(y)]

    answer = solve_by_branching(problem, EXACT, [np.zeros(3), np.ones(3)], rounding)
    assert asked
    assert answer.objective == pytest.approx(np.linalg.norm([0.4, 0.4, 0.5]), abs=1e-6)


def test_no_integer_point() -> None:
    with pytest.raises(NoSolution):
        solve_by_branching(
            compile_model(_closest_point(np.zeros(2), np.zeros(2), at_least=3)), EXACT
        )


def test_no_time() -> None:
    problem = compile_model(_closest_point(np.full(3, 0.5), np.zeros(3)))
    with pytest.raises(TimeLimit):
        solve_by_branching(problem, SolverConfig(time_limit_s=0.0))
