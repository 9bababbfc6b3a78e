"""Every solver that is here finds the same optimum, ends in time, and says what it cannot."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyomo.environ as pyo
import pytest

from pp_p2p.errors import NoSolution, SolverCannot, SolverUnavailable, TimeLimit
from pp_p2p.solve import available, licences
from pp_p2p.solve.available import REGISTRY, SolverFound, list_solvers
from pp_p2p.solve.compiled import compile_model
from pp_p2p.solve.lifted import lift
from pp_p2p.solve.report import ProblemClass, SolverConfig
from pp_p2p.solve.run import BACKENDS, CompiledSolver, run_solver
from pp_p2p.solve.vectors import Positions, Vectors

C = ProblemClass
FOUND = {row.entry.name: row for row in list_solvers()}


def _usable(name: str) -> SolverFound:
    """Return the solver, or skip with the reason."""
    row = FOUND[name]
    if not row.usable:
        pytest.skip(f"{name} is {'not installed' if row.version is None else 'not licensed'} here")
    return row


def _base(*, whole: bool) -> Any:
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(3), bounds=(-3, 5), domain=pyo.Integers if whole else pyo.Reals)
    m.t = pyo.Var(bounds=(0, 99))
    m.le = pyo.Constraint(expr=3 * m.x[0] + 2 * m.x[1] + m.x[2] <= 18)
    m.ge = pyo.Constraint(expr=m.x[0] + m.x[1] + 0.5 * m.x[2] >= 1.5)
    m.range = pyo.Constraint(expr=(-6, m.x[0] - m.x[2], 5))
    m.eq = pyo.Constraint(expr=m.x[0] + 2 * m.t == 9.5 + m.x[1])
    return m


def _linear(whole: bool) -> Any:
    m = _base(whole=whole)
    m.cost = pyo.Objective(expr=-2 * m.x[0] - 3 * m.x[1] + m.x[2] + 0.1 * m.t + 4)
    return m


def _quadratic(whole: bool) -> Any:
    m = _base(whole=whole)
    square = (m.x[0] - 2.3) ** 2 + 2 * (m.x[1] - 1.6) ** 2 + m.x[0] * m.x[1] + 0.5 * m.x[2] ** 2
    m.cost = pyo.Objective(expr=square - m.x[2] + 0.1 * m.t + 4)
    return m


def _conic(whole: bool) -> Any:
    """A ball, a rotated cone with factors, a cone over one linear head."""
    m = _base(whole=whole)
    m.u, m.w, m.s = (pyo.Var(bounds=(0, 50)) for _ in range(3))
    m.rotated = pyo.Constraint(expr=2 * m.x[0] ** 2 + m.x[1] ** 2 <= 3 * m.u * m.w)
    m.one = pyo.Constraint(expr=m.x[2] ** 2 + m.t**2 <= 2 * m.s)
    m.ball = pyo.Constraint(expr=m.x[0] ** 2 + 4 * m.x[2] ** 2 <= 30)
    m.cost = pyo.Objective(expr=m.u + 2 * m.w + 0.2 * m.s - m.x[0] - 2 * m.x[1] - m.x[2])
    return m


MODELS: dict[ProblemClass, tuple[Callable[[bool], Any], bool]] = {
    C.LP: (_linear, False),
    C.MILP: (_linear, True),
    C.QP: (_quadratic, False),
    C.MIQP: (_quadratic, True),
    C.SOCP: (_conic, False),
    C.MISOCP: (_conic, True),
}
PAIRS = [(name, kind) for name, e in REGISTRY.items() for kind in e.solves if kind in MODELS]


def _by_enumeration(make: Callable[[bool], Any]) -> float:
    """Return the least optimum over all integers, each the continuous problem of Clarabel."""
    m = make(False)
    problem = compile_model(m)
    solver = CompiledSolver(problem, SolverConfig(name="clarabel"))
    at, best = Positions(problem).columns(m.x), np.inf
    for a, b, c in itertools.product(range(-3, 6), repeat=3):
        if 3 * a + 2 * b + c > 18 or a + b + 0.5 * c < 1.5 or not -6 <= a - c <= 5:
            continue
        vectors = Vectors.of(problem)
        vectors.bound(at, (a, b, c), (a, b, c))
        try:
            best = min(best, solver.solve(vectors.put_into(problem))[1].objective)
        except NoSolution:
            continue
    return best


@pytest.fixture(scope="module")
def optima() -> dict[ProblemClass, float]:
    """Continuous ones by Clarabel and by hand elsewhere; integer ones by enumeration."""
    found = {}
    for kind, (make, whole) in MODELS.items():
        config = SolverConfig(name="clarabel", rel_gap=1e-7)
        found[kind] = _by_enumeration(make) if whole else run_solver(make(False), config).objective
    return found


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_same_optimum(name: str, kind: ProblemClass, optima: dict[ProblemClass, float]) -> None:
    _usable(name)
    make, whole = MODELS[kind]
    m = make(whole)
    report = run_solver(m, SolverConfig(name=name, rel_gap=1e-6))
    assert (report.problem_class, report.solver) == (kind, name)
    assert report.status == "optimal"
    assert report.objective == pytest.approx(optima[kind], rel=2e-6, abs=2e-6)
    assert pyo.value(m.cost) == pytest.approx(report.objective, rel=1e-6, abs=1e-6)
    assert report.bound <= report.objective + 1e-7
    assert report.bound == pytest.approx(optima[kind], rel=1e-5, abs=1e-5)
    for constraint in m.component_data_objects(pyo.Constraint):
        assert constraint.slack() > -1e-5, constraint.name
    if whole:
        assert all(v.value == round(v.value) for v in m.x.values())


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_infeasible(name: str, kind: ProblemClass) -> None:
    _usable(name)
    make, whole = MODELS[kind]
    m = make(whole)
    m.no = pyo.Constraint(expr=m.x[0] + m.x[1] + m.x[2] >= 16)
    with pytest.raises(NoSolution):
        run_solver(m, SolverConfig(name=name))
    assert m.x[0].value is None


MIXED = [name for name, entry in REGISTRY.items() if C.MILP in entry.solves]


def _knapsacks(n: int = 60) -> Any:
    """Equality-like knapsacks with a slack: an incumbent at once, a proof never soon."""
    weights = np.random.default_rng(5).integers(1000, 100_000, size=(6, n))
    m = pyo.ConcreteModel()
    m.take = pyo.Var(range(n), domain=pyo.Binary)
    m.miss = pyo.Var(range(6), bounds=(0, 1e7))
    half = (weights.sum(axis=1) // 2).tolist()

    def near(m: Any, k: int, sign: int) -> Any:
        return m.miss[k] >= sign * (sum(int(weights[k, i]) * m.take[i] for i in range(n)) - half[k])

    m.near = pyo.Constraint(range(6), [-1, 1], rule=near)
    m.cost = pyo.Objective(expr=1 + sum(m.miss[k] for k in range(6)))
    return m


@pytest.mark.parametrize("name", MIXED)
def test_time_limit_with_an_incumbent(name: str) -> None:
    _usable(name)
    m = _knapsacks()
    report = run_solver(m, SolverConfig(name=name, time_limit_s=1.0))
    assert report.status == "feasible"
    assert 0.0 <= report.bound < report.objective
    assert report.gap > 1e-4
    assert pyo.value(m.cost) == pytest.approx(report.objective, rel=1e-6)
    assert report.seconds < 20


@pytest.mark.parametrize("name", MIXED)
def test_time_limit_without_a_point(name: str) -> None:
    """Market split (Cornuejols & Dawande 1999): no heuristic finds a point in no time."""
    _usable(name)
    weights = np.random.default_rng(2).integers(0, 100, size=(5, 40))
    m = pyo.ConcreteModel()
    m.take = pyo.Var(range(40), domain=pyo.Binary)
    m.split = pyo.Constraint(
        range(5),
        rule=lambda m, k: (
            sum(int(weights[k, i]) * m.take[i] for i in range(40)) == int(weights[k].sum() // 2)
        ),
    )
    m.cost = pyo.Objective(expr=m.take[0])
    with pytest.raises(TimeLimit, match="time_limit_s"):
        run_solver(m, SolverConfig(name=name, time_limit_s=0.3))


@pytest.mark.parametrize("name", MIXED)
def test_gap_is_honoured(name: str) -> None:
    """Where a gap was asked for, the one that is stated is within it."""
    _usable(name)
    rng = np.random.default_rng(3)
    weight, value = rng.integers(5, 60, (4, 40)), rng.integers(10, 40, 40)
    m = pyo.ConcreteModel()
    m.take = pyo.Var(range(40), domain=pyo.Binary)
    m.room = pyo.Constraint(
        range(4), rule=lambda m, k: sum(int(weight[k, i]) * m.take[i] for i in range(40)) <= 400
    )
    m.cost = pyo.Objective(expr=-sum(int(value[i]) * m.take[i] for i in range(40)))
    wide = run_solver(m, SolverConfig(name=name, rel_gap=0.2, time_limit_s=60.0))
    assert (wide.status, wide.gap <= 0.2) == ("optimal", True)
    narrow = run_solver(m, SolverConfig(name=name, rel_gap=0.01, time_limit_s=60.0))
    assert (narrow.status, narrow.gap <= 0.01) == ("optimal", True)
    assert wide.bound <= narrow.objective + 1e-6
    assert narrow.bound <= wide.objective + 1e-6


@pytest.mark.parametrize("name", ["gurobi", "copt"])
def test_too_large_for_the_licence(name: str) -> None:
    row = _usable(name)
    if row.licence != "size-limited":
        pytest.skip(f"{name} has a full licence here")
    with pytest.raises(SolverCannot, match="get a .*(gurobi.com|shanshu.ai)"):
        BACKENDS[name](SolverConfig()).solve(licences._trivial(licences.ASKS[name]))


def test_integers_and_squares_need_more_than_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pp_p2p.solve.run.installed_version", lambda _: None)
    with pytest.raises(SolverUnavailable, match="python -m pip install pyscipopt"):
        run_solver(_quadratic(True))
    with pytest.raises(SolverCannot, match="highs cannot solve a MIQP; these can: copt, gurobi"):
        run_solver(_quadratic(True), SolverConfig(name="highs"))


def test_every_missing_solver_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(available, "installed_version", lambda _: None)
    for row in list_solvers():
        assert not row.usable
        assert "python -m pip install" in row.mend
    here = SolverFound(entry=REGISTRY["mosek"], version="11", licence="none")
    assert not here.usable
    assert "mosek.lic" in here.mend
    limited = SolverFound(entry=REGISTRY["gurobi"], version="13", licence="size-limited")
    assert limited.usable
    assert "licenses" in limited.mend


@pytest.mark.parametrize(("distro", "flag"), [("debian", " --distro ubuntu2204"), ("ubuntu", "")])
def test_ipopt_command(distro: str, flag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(available.platform, "freedesktop_os_release", lambda: {"ID": distro})
    assert available._ipopt_install().endswith(f"idaes get-extensions{flag}")


def test_lifted_is_the_same_problem() -> None:
    m = _conic(False)
    problem = compile_model(m)
    lifted = lift(problem)
    run_solver(m)
    x = np.array([v.value for v in problem.columns])
    y = problem.cone_offset + problem.cone_matrix @ x
    whole = np.concatenate([x, y])
    rows = lifted.matrix @ whole
    assert (rows >= lifted.row_lower - 1e-7).all()
    assert (rows <= lifted.row_upper + 1e-7).all()
    assert len(lifted.cones) == len(problem.cone_sizes) == 3
    for head, *tail in lifted.cones:
        assert np.linalg.norm(whole[tail]) <= whole[head] + 1e-6
        assert lifted.lower[head] == 0.0


@pytest.mark.parametrize("kind", MODELS)
def test_task_of_mosek_holds_the_problem(kind: ProblemClass) -> None:
    """What MOSEK was told, read back from its own task: that needs no licence."""
    mosek = pytest.importorskip("mosek", reason="MOSEK is not installed here")
    from pp_p2p.solve.mosek import fill_task, set_parameters

    make, whole = MODELS[kind]
    problem = compile_model(make(whole))
    n = len(problem.cost)
    with mosek.Task() as task:
        fill_task(mosek, task, problem)
        set_parameters(mosek, task, problem, SolverConfig(rel_gap=1e-3, time_limit_s=5.0))
        assert (task.getnumvar(), task.getnumcon()) == (n, len(problem.rows))
        np.testing.assert_allclose([task.getcj(j) for j in range(n)], problem.cost)
        assert task.getcfix() == problem.offset
        for k in range(len(problem.rows)):
            at, values = task.getarow(k)[-2:]
            dense = np.zeros(n)
            dense[np.asarray(at)] = values
            np.testing.assert_allclose(dense, problem.matrix[[k]].toarray().ravel())
            _, low, high = task.getconbound(k)
            for told, wanted in ((low, problem.row_lower[k]), (high, problem.row_upper[k])):
                assert told == wanted if np.isfinite(wanted) else abs(told) >= 1e30
        integers = [task.getvartype(j) == mosek.variabletype.type_int for j in range(n)]
        assert integers == problem.integer.tolist()
        sizes = [task.getaccn(k) for k in range(task.getnumacc())]
        assert sizes == problem.cone_sizes.tolist()
        assert task.getnumafe() == len(problem.cone_offset)
        if problem.quadratic is not None:
            lower = np.zeros((n, n))
            i, j, q = task.getqobj()[-3:]
            lower[np.asarray(i), np.asarray(j)] = q
            np.testing.assert_allclose(lower, np.tril(problem.quadratic.toarray()))
        assert task.getdouparam(mosek.dparam.optimizer_max_time) == 5.0


def _mosek_stub(status: str, code: str = "ok") -> tuple[Any, Any]:
    """Return a module and a task that answer as MOSEK's manual says, for the reading alone."""
    solsta = SimpleNamespace(
        optimal="optimal",
        integer_optimal="integer_optimal",
        prim_feas="prim_feas",
        prim_and_dual_feas="prim_and_dual_feas",
        prim_infeas_cer="prim_infeas_cer",
        unknown="unknown",
    )
    mosek = SimpleNamespace(
        soltype=SimpleNamespace(itg="itg", bas="bas", itr="itr"),
        solsta=solsta,
        rescode=SimpleNamespace(trm_max_time="trm_max_time"),
        dinfitem=SimpleNamespace(mio_obj_bound="bound"),
    )
    point = {"x": 1.0}
    task = SimpleNamespace(
        solutiondef=lambda _: True,
        getsolsta=lambda _: status,
        getxx=lambda _: [point["x"]] * 4,
        getdouinf=lambda _: -20.0,
        getdualobj=lambda _: -5.0,
    )
    return mosek, task


def test_answers_of_mosek_are_read_as_its_manual_says() -> None:
    """MOSEK itself was never run: this holds the reading against its manual, not its solving."""
    from pp_p2p.solve.mosek import Mosek

    def read(status: str, code: str = "ok", *, whole: bool = True) -> Any:
        module, task = _mosek_stub(status)
        backend = Mosek.__new__(Mosek)
        backend._mosek, backend._config = module, SolverConfig()
        return backend._answer(compile_model(_linear(whole)), task, code)

    stopped = read("prim_feas", "trm_max_time")
    assert (stopped.optimal, stopped.bound) == (False, -20.0)
    assert read("integer_optimal").optimal is False  # its bound is 20 away: the figures decide
    with pytest.raises(TimeLimit):
        read("unknown", "trm_max_time")
    with pytest.raises(NoSolution, match="prim_infeas_cer"):
        read("prim_infeas_cer", whole=False)
