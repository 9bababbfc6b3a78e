"""Linking columns, quadratic costs, processes and large problems of the projection."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyomo.environ as pyo
import pytest

from pp_p2p.errors import NoSolution, SolverCannot
from pp_p2p.solve import projection
from pp_p2p.solve.compiled import compile_model
from pp_p2p.solve.components import split
from pp_p2p.solve.conic import ConicSolver, conic_form
from pp_p2p.solve.report import SolverConfig
from pp_p2p.solve.run import run_solver

sys.path.insert(0, str(Path(__file__).parent))
from cone_blocks import cone_blocks, cost_of, enumerated

EXACT = SolverConfig(rel_gap=1e-6, time_limit_s=30.0)


def _linked(seed: int, *, declared: bool = True, curved: bool = False, blocks: int = 3) -> Any:
    """Return blocks with an annual limit that is shared out among them."""
    rng = np.random.default_rng(seed)
    m, drawn = cone_blocks(rng, blocks=blocks, n=2, most=3, bought=8.0)
    # what is emitted in a block is its share of the annual limit
    m.share = pyo.Var(m.BLOCK, bounds=(0, 10))
    m.emitted = pyo.Constraint(m.BLOCK, rule=lambda m, d: 0.8 * m.bought[d] <= m.share[d])
    limit = 0.8 * float(drawn.demand.sum()) * float(rng.uniform(0.4, 1.1))
    m.limit = pyo.Constraint(expr=sum(m.share[d] for d in m.BLOCK) <= limit)
    cost = cost_of(m, rng, drawn)
    if curved:
        cost += sum(0.2 * (m.p[d, 0] - m.p[d, 1]) ** 2 + 0.1 * m.p[d, 0] ** 2 for d in m.BLOCK)
        cost += 0.3 * m.build[0] ** 2 + 0.1 * (m.build[0] - m.build[1]) ** 2
    m.cost = pyo.Objective(expr=cost)
    if declared:
        m.linking = pyo.Suffix()
        m.linking[m.share] = True
    return m


def _check(model: Any, optimum: float, config: SolverConfig = EXACT) -> None:
    if not np.isfinite(optimum):
        with pytest.raises(NoSolution):
            run_solver(model, config)
        return
    report = run_solver(model, config)
    assert report.status == "optimal", (report.termination, report.gap)
    assert report.solver == "highs+clarabel"
    tolerance = 2e-6 * max(1.0, abs(optimum))
    assert report.objective == pytest.approx(optimum, abs=tolerance)
    assert all(bound <= optimum + tolerance for _, bound, _ in report.history)
    assert pyo.value(model.cost) == pytest.approx(report.objective, abs=1e-6)
    for constraint in model.component_data_objects(pyo.Constraint, active=True):
        assert constraint.slack() > -1e-6


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("curved", [False, True])
def test_linking_columns_change_no_answer(seed: int, curved: bool) -> None:
    optimum = enumerated(_linked(seed, curved=curved))
    for declared in (True, False):
        _check(_linked(seed, declared=declared, curved=curved), optimum)


@pytest.mark.parametrize("seed", range(4))
def test_large_problems_are_solved_by_components(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit of 'large' set to nothing: relaxation by components, shares of the master first."""
    monkeypatch.setattr(projection, "WHOLE_COLUMNS", 0)
    optimum = enumerated(_linked(seed, blocks=4))
    _check(_linked(seed, blocks=4), optimum)


def test_linking_parts_the_problem() -> None:
    for declared, parts in ((True, 3), (False, 1)):
        problem = compile_model(_linked(0, declared=declared))
        found, _ = split(problem, conic_form(problem), problem.coupling)
        assert len(found) == parts


def test_linking_may_be_declared_in_a_block() -> None:
    m = _linked(0, declared=False)
    m.inner = pyo.Block()
    m.inner.linking = pyo.Suffix()
    m.inner.linking[m.share[1]] = True
    problem = compile_model(m)
    assert problem.linking is not None
    assert [problem.columns[k].name for k in np.flatnonzero(problem.linking)] == ["share[1]"]


def test_processes_change_no_number() -> None:
    one, two = (
        run_solver(_linked(5, declared=False, blocks=4), SolverConfig(processes=n)) for n in (1, 2)
    )
    assert (one.objective, one.bound) == (two.objective, two.bound)
    assert [h[1:] for h in one.history] == [h[1:] for h in two.history]


@pytest.mark.parametrize("seed", range(6))
def test_any_point_and_any_dual_gives_a_valid_cut(seed: int) -> None:
    """Law (1) of the components, with a quadratic cost: random points, duals of no accuracy."""
    rng = np.random.default_rng(seed)
    problem = compile_model(_linked(seed, curved=True))
    parts, _ = split(problem, conic_form(problem), problem.coupling)
    low, high = problem.lower[problem.coupling], problem.upper[problem.coupling]
    for part in parts:
        assert part.quadratic is not None
        solver = ConicSolver(part.form)
        here = solver.solve(part.right_side(high))
        assert here.solved
        noise = 1.0 + 0.05 * rng.uniform(-1, 1, len(here.z))
        cuts = [part.cut(here.x, here.z)]
        cuts += [part.cut(here.x + 0.1 * rng.normal(size=len(here.x)), here.z)]
        first = part.form.zero + part.form.nonnegative
        scaled = here.z.copy()
        scaled[:first] *= noise[:first]  # the cones' part stays in its cone
        cuts += [part.cut(here.x, scaled), part.least()]
        assert cuts[0].at(high) == pytest.approx(here.objective, abs=1e-5)
        for _ in range(5):
            y = rng.uniform(low, high)
            there = solver.solve(part.right_side(y))
            if there.solved:
                assert all(cut.at(y) <= there.objective + 1e-6 for cut in cuts)


def test_a_product_of_integer_and_continuous_is_refused() -> None:
    m = _linked(1)
    m.cost.set_value(m.cost.expr + 0.1 * (m.build[0] + m.p[0, 0]) ** 2)
    with pytest.raises(SolverCannot, match="multiplies an integer"):
        run_solver(m, EXACT)
