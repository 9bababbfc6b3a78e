"""The front door: right solver, right optimum, right dual, and a word when there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyomo.environ as pyo
import pytest

from pp_p2p.errors import NoSolution, SolverCannot, SolverUnavailable
from pp_p2p.solve import available, run
from pp_p2p.solve.available import REGISTRY, list_solvers
from pp_p2p.solve.report import ProblemClass, SolverConfig, SolveReport, relative_gap
from pp_p2p.solve.run import run_solver

C = ProblemClass


def _lp(right: float = 4.0) -> Any:
    """Min -3 x - 5 y, x <= 4, 2 y <= 12, 3 x + 2 y <= 18: (2, 6), -36 (Hillier & Lieberman)."""
    m = pyo.ConcreteModel()
    m.x, m.y = pyo.Var(bounds=(0, 99)), pyo.Var(bounds=(0, 99))
    m.one = pyo.Constraint(expr=m.x <= right)
    m.two = pyo.Constraint(expr=2 * m.y <= 12)
    m.three = pyo.Constraint(expr=3 * m.x + 2 * m.y <= 18)
    m.cost = pyo.Objective(expr=-3 * m.x - 5 * m.y)
    return m


def _qp() -> Any:
    """Min x^2 + y^2 + x y, x + y = 3: (1.5, 1.5), 6.75."""
    m = pyo.ConcreteModel()
    m.x, m.y = pyo.Var(bounds=(-9, 9)), pyo.Var(bounds=(-9, 9))
    m.sum = pyo.Constraint(expr=m.x + m.y == 3)
    m.cost = pyo.Objective(expr=m.x**2 + m.y**2 + m.x * m.y)
    return m


def _milp() -> Any:
    """Knapsack of values 10, 13, 7, 11, weights 3, 4, 2, 3, room 7: items 1 and 3 make 24."""
    m = pyo.ConcreteModel()
    m.take = pyo.Var(range(4), domain=pyo.Binary)
    weight, value = (3, 4, 2, 3), (10, 13, 7, 11)
    m.room = pyo.Constraint(expr=sum(weight[k] * m.take[k] for k in range(4)) <= 7)
    m.cost = pyo.Objective(expr=-sum(value[k] * m.take[k] for k in range(4)))
    return m


def _cone(level: float = 2.0, *, whole: bool = False) -> Any:
    """Min t over |(x, y)| <= t, x + y >= level: level / sqrt(2); x integer: 1 with level 2."""
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(-9, 9), domain=pyo.Integers if whole else pyo.Reals)
    m.y, m.t = pyo.Var(bounds=(-9, 9)), pyo.Var(bounds=(0, 19))
    m.sum = pyo.Constraint(expr=m.x + m.y >= level)
    m.cone = pyo.Constraint(expr=m.x**2 + m.y**2 <= m.t**2)
    m.cost = pyo.Objective(expr=m.t)
    return m


CASES = {
    "LP highs": (_lp, "auto", C.LP, "highs", -36.0),
    "LP clarabel": (_lp, "clarabel", C.LP, "clarabel", -36.0),
    "QP highs": (_qp, "highs", C.QP, "highs", 6.75),
    "QP clarabel": (_qp, "auto", C.QP, "clarabel", 6.75),
    "MILP": (_milp, "auto", C.MILP, "highs", -24.0),
    "SOCP": (_cone, "auto", C.SOCP, "clarabel", np.sqrt(2.0)),
    "MISOCP": (lambda: _cone(3.0, whole=True), "auto", C.MISOCP, "highs+clarabel", np.sqrt(5.0)),
}


@pytest.mark.parametrize("name", CASES)
def test_optimum(name: str) -> None:
    make, solver, kind, answered, optimum = CASES[name]
    model = make()
    report = run_solver(model, SolverConfig(name=solver, rel_gap=1e-7))
    assert (report.status, report.problem_class, report.solver) == ("optimal", kind, answered)
    assert report.objective == pytest.approx(optimum, abs=1e-6)
    assert pyo.value(model.cost) == pytest.approx(optimum, abs=1e-6)
    assert report.bound == pytest.approx(optimum, abs=1e-6)
    assert report.bound <= report.objective + 1e-7
    assert report.gap <= 1e-6
    assert report.seconds > 0
    assert "?" not in report.version
    for constraint in model.component_data_objects(pyo.Constraint):
        assert constraint.slack() > -1e-6
    if answered == "highs+clarabel":
        assert report.history
        assert model.x.value in (1.0, 2.0)


def _rows(solver: str) -> list[tuple[str, str]]:
    return [
        ("le", solver),
        ("ge", solver),
        ("eq", solver),
        ("range low", solver),
        ("range high", solver),
    ]


def _for_duals(row: str, right: float) -> tuple[Any, Any]:
    """Return a QP whose optimum depends on the right-hand side of one row, and that row."""
    m = pyo.ConcreteModel()
    m.x, m.y = pyo.Var(bounds=(-99, 99)), pyo.Var(bounds=(-99, 99))
    m.tie = pyo.Constraint(expr=m.y >= m.x - 5)
    body = m.x + m.y
    sense = 1.0 if row in ("ge", "range low", "eq") else -1.0
    expressions = {
        "le": body <= right,
        "ge": body >= right,
        "eq": body == right,
        "range low": (right, body, right + 50),
        "range high": (right - 50, body, right),
    }
    m.row = pyo.Constraint(expr=expressions[row])
    m.cost = pyo.Objective(expr=sense * (2 * m.x + 3 * m.y))
    return m, m.row


@pytest.mark.parametrize(("row", "solver"), _rows("highs") + _rows("clarabel"))
def test_duals_are_derivatives(row: str, solver: str) -> None:
    """d(objective)/d(right-hand side), against finite differences."""

    def cost(right: float) -> SolveReport:
        return run_solver(_for_duals(row, right)[0], SolverConfig(name=solver))

    h = 0.5
    slope = (cost(10.0 + h).objective - cost(10.0 - h).objective) / (2 * h)
    model, constraint = _for_duals(row, 10.0)
    report = run_solver(model, SolverConfig(name=solver))
    assert abs(slope) > 1.0
    assert report.duals[constraint] == pytest.approx(slope, abs=1e-5)


@pytest.mark.parametrize("solver", ["highs", "clarabel"])
def test_duals_of_a_quadratic_problem(solver: str) -> None:
    """Min 3/4 s^2 over x + y = s: derivative 3 s / 2."""
    model = _qp()
    report = run_solver(model, SolverConfig(name=solver))
    assert report.duals[model.sum] == pytest.approx(4.5, abs=1e-5)


def test_dual_beside_a_cone() -> None:
    model = _cone(2.0)
    assert run_solver(model).duals[model.sum] == pytest.approx(1 / np.sqrt(2.0), abs=1e-5)


def test_dual_of_a_slack_row_is_zero() -> None:
    for solver in ("highs", "clarabel"):
        model = _lp()
        duals = run_solver(model, SolverConfig(name=solver)).duals
        assert duals[model.one] == pytest.approx(0.0, abs=1e-6)
        assert duals[model.two] == pytest.approx(-1.5, abs=1e-6)
        assert duals[model.three] == pytest.approx(-1.0, abs=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_infeasible(name: str) -> None:
    make, solver, *_ = CASES[name]
    model = make()
    variables = list(model.component_data_objects(pyo.Var))
    for k, variable in enumerate(variables):
        variable.set_value(float(k), skip_validation=True)
    model.low = pyo.Constraint(expr=variables[0] + 0.5 * variables[1] >= 0.25)
    model.high = pyo.Constraint(expr=variables[0] + 0.5 * variables[1] <= 0.2)
    with pytest.raises(NoSolution):
        run_solver(model, SolverConfig(name=solver))
    assert [v.value for v in variables] == [float(k) for k in range(len(variables))]


def test_bounds_that_cross() -> None:
    model = _lp()
    model.x.setlb(5.0)
    for solver in ("highs", "clarabel"):
        with pytest.raises(NoSolution):
            run_solver(model, SolverConfig(name=solver))


def test_row_that_fixed_variables_break() -> None:
    model = _lp()
    model.x.fix(5.0)
    with pytest.raises(NoSolution, match="infeasible constraint, 'one'"):
        run_solver(model)
    assert model.cost.active


@pytest.mark.parametrize("solver", ["highs", "clarabel"])
def test_unbounded_is_no_optimum(solver: str) -> None:
    m = pyo.ConcreteModel()
    m.x = pyo.Var()
    m.row = pyo.Constraint(expr=m.x <= 1)
    m.cost = pyo.Objective(expr=m.x)
    with pytest.raises(NoSolution):
        run_solver(m, SolverConfig(name=solver))


@pytest.mark.parametrize("whole", [False, True])
def test_optimum_of_zero_is_optimal(whole: bool) -> None:
    report = run_solver(_cone(0.0, whole=whole), SolverConfig(time_limit_s=20.0))
    assert report.status == "optimal"
    assert report.objective == pytest.approx(0.0, abs=1e-7)
    assert report.gap <= 1e-4


def test_unknown_solver() -> None:
    with pytest.raises(SolverUnavailable, match="there is no solver 'cplex'; choose 'auto' or one"):
        run_solver(_lp(), SolverConfig(name="cplex"))


@pytest.mark.parametrize(
    ("make", "solver"),
    [
        (_cone, "highs"),
        (_milp, "clarabel"),
        (lambda: _cone(whole=True), "clarabel"),
        (_lp, "ipopt"),
    ],
)
def test_solver_that_cannot(make: Any, solver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "BACKENDS", {})  # nothing is solved before it is refused
    with pytest.raises(SolverCannot, match=f"{solver} cannot solve a .*; these can: "):
        run_solver(make(), SolverConfig(name=solver))


def test_solver_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "installed_version", lambda name: None if name == "clarabel" else "1")
    monkeypatch.setattr(run, "BACKENDS", {})
    for make in (_cone, lambda: _cone(whole=True)):
        with pytest.raises(
            SolverUnavailable, match=r"not installed: python -m pip install clarabel"
        ):
            run_solver(make())


def test_list_of_solvers() -> None:
    found = {row.entry.name: row.version for row in list_solvers()}
    assert set(found) == set(REGISTRY)
    assert found["highs"]
    assert found["clarabel"]
    assert found["highs+clarabel"] == f"{found['highs']}+{found['clarabel']}"
    for kind in ProblemClass:
        assert any(kind in row.entry.solves for row in list_solvers())
        assert run.AUTO[kind] in REGISTRY
        assert kind in REGISTRY[run.AUTO[kind]].solves


def test_missing_solver_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(available.importlib, "import_module", gone)
    assert available.installed_version("highs") is None
    assert available.installed_version("highs+clarabel") is None


def _hard_knapsack(n: int = 60) -> Any:
    """Equality-like knapsacks with a slack: an incumbent at once, a proof never soon."""
    rng = np.random.default_rng(5)
    weights = rng.integers(1000, 100_000, size=(6, n))
    m = pyo.ConcreteModel()
    m.take = pyo.Var(range(n), domain=pyo.Binary)
    m.miss = pyo.Var(range(6), bounds=(0, 1e7))
    half = (weights.sum(axis=1) // 2).tolist()

    def near(m: Any, k: int, sign: int) -> Any:
        load = sum(int(weights[k, i]) * m.take[i] for i in range(n)) - half[k]
        return m.miss[k] >= sign * load

    m.near = pyo.Constraint(range(6), [-1, 1], rule=near)
    m.cost = pyo.Objective(expr=1 + sum(m.miss[k] for k in range(6)))
    return m


def test_time_limit_with_an_incumbent_is_feasible_and_says_the_gap() -> None:
    model = _hard_knapsack()
    report = run_solver(model, SolverConfig(time_limit_s=1.0))
    assert report.status == "feasible"
    assert "ime limit" in report.termination
    assert report.bound < report.objective
    assert report.gap > 1e-4
    assert pyo.value(model.cost) == pytest.approx(report.objective, rel=1e-6)
    assert report.seconds < 10


def test_misocp_stopped_in_time_is_feasible(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock runs out after the first integer point."""
    model = _hard_knapsack(30)
    model.radius = pyo.Var(bounds=(0, 100))
    model.cone = pyo.Constraint(expr=(model.miss[0] * 1e-5) ** 2 <= model.radius**2)
    model.cost.deactivate()
    model.both = pyo.Objective(expr=model.cost.expr + model.radius)
    report = run_solver(model, SolverConfig(time_limit_s=2.0))
    assert report.status == "feasible"
    assert report.bound < report.objective
    assert report.gap > 1e-4


def test_gap_is_relative_to_the_objective_or_to_a_floor() -> None:
    assert relative_gap(200.0, 198.0) == pytest.approx(0.01)
    assert relative_gap(-200.0, -202.0) == pytest.approx(0.01)
    assert relative_gap(0.0, -1e-9) == pytest.approx(1e-5)
    assert relative_gap(1.0, -np.inf) == np.inf
