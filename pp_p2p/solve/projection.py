"""Mixed-integer conic problems by projection onto their integers.

Where the integers y are few and everything else is convex, the optimal value of the rest is a
convex function of y. With the integer columns taken out, the rest falls apart into components
(the typical days of a plan) that are found in the matrix, not declared:

    min  c'y + sum_d phi_d(y),   phi_d(y) = min q'x  s.t.  b_d - T_d y - A_d x in K_d      (1)

A mixed-integer linear master (HiGHS) holds the integers, the small linear components, and cuts

    theta_d >= -z'(b_d - T_d y) - sum_j |q + A_d'z|_j max|x_j|                             (2)

from any dual point z in K* of component d (Clarabel). The last term makes (2) valid for duals of
finite accuracy, since every column is bounded: the master's bound is a proven bound of (1).
The first cuts come from the duals of the continuous relaxation, so that the first bound is no
worse than it. A component without a feasible point gives the cut 0 <= z'(b_d - T_d y).
Generalised Benders decomposition (Geoffrion 1972) with the components' cuts kept apart.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from pp_p2p.errors import NoSolution, SolverCannot, TimeLimit
from pp_p2p.solve.compiled import Array, CompiledProblem
from pp_p2p.solve.conic import ConicForm, ConicSolution, ConicSolver, conic_form
from pp_p2p.solve.highs import HighsSolution, solve_highs
from pp_p2p.solve.report import Answer, SolverConfig, relative_gap

MASTER_COLUMNS = 2_000
"""Components without cones stay in the master while they have at most this many columns."""

FEASIBILITY_MARGIN = 1e-7
"""Violation of a normalised feasibility cut below which an integer point counts as feasible."""


@dataclass(frozen=True, kw_only=True)
class Component:
    """Part of the problem that only integers tie to the rest.

    `columns` of the problem, the conic `form` over them, `rows` of the whole conic form, and
    `technology` T (row, integer).
    """

    columns: Array
    rows: Array
    form: ConicForm
    technology: Any
    reach: Array

    def right_side(self, y: Array) -> Array:
        """Return ``b - T y``."""
        moved: Array = self.form.b - self.technology @ y
        return moved


@dataclass(frozen=True, kw_only=True)
class Cut:
    """``theta_component >= constant + slope'y``, or ``0 >= constant + slope'y``."""

    component: int
    constant: float
    slope: Array
    feasibility: bool = False


def solve_by_projection(problem: CompiledProblem, config: SolverConfig) -> Answer:
    """Solve a mixed-integer conic problem.

    Raises
    ------
    NoSolution
        The continuous relaxation or the integer problem has no feasible point, or none was found
        in time.
    SolverCannot
        A column without finite bounds, or a quadratic objective.
    """
    _require_finite(problem)
    return _Projection(problem, config).run()


class Projection:
    """The projection as a backend of the solver room."""

    def __init__(self, config: SolverConfig) -> None:
        self._config = config

    def solve(self, problem: CompiledProblem) -> Answer:
        """Solve; every problem starts anew."""
        return solve_by_projection(problem, self._config)


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


class _Projection:
    def __init__(self, problem: CompiledProblem, config: SolverConfig) -> None:
        self.problem, self.config = problem, config
        self.started = time.perf_counter()
        self.integers = np.flatnonzero(problem.integer)
        self.whole = conic_form(problem)
        self.components, in_master = _split(problem, self.whole, self.integers)
        self.master = _Master(problem, self.integers, in_master, len(self.components))
        self.solvers = [
            ConicSolver(part.form) if len(part.columns) else IntegerCone()
            for part in self.components
        ]
        self.seen: set[bytes] = set()
        self.best: tuple[float, Array] | None = None
        self.history: list[tuple[float, float, float]] = []

    def run(self) -> Answer:
        bound, iterations, termination = self._relax(), 0, "time limit"
        while self._seconds_left() > 0:
            answer = self.master.solve(self._master_config())
            if not answer.has_point:
                if self.best is None and answer.termination == "Infeasible":
                    raise NoSolution("the integers have no feasible value")
                termination = answer.termination
                break
            iterations += 1
            bound = max(bound, answer.bound)
            if self._closed(bound):
                termination = "gap closed"
                break
            new = self._evaluate(answer.x)
            objective = self.best[0] if self.best else np.inf
            self.history.append((time.perf_counter() - self.started, bound, objective))
            if self._closed(bound) or not new:
                termination = "gap closed" if self._closed(bound) else "no new cut"
                break
        if self.best is None:
            raise TimeLimit(f"no feasible point was found ({termination}); raise time_limit_s")
        objective, x = self.best
        bound = min(bound, objective)
        return Answer(
            x=x,
            objective=objective,
            bound=bound,
            optimal=relative_gap(objective, bound) <= self.config.rel_gap,
            iterations=iterations,
            termination=termination,
            history=tuple(self.history),
        )

    def _relax(self) -> float:
        """Solve the continuous relaxation and cut with its duals; return its bound."""
        relaxed = ConicSolver(self.whole, self.config.time_limit_s).solve()
        if relaxed.infeasible:
            raise NoSolution("even the continuous relaxation has no feasible point")
        if not relaxed.solved:
            if relaxed.status == "MaxTime":
                raise TimeLimit("time ran out before a bound was found; raise time_limit_s")
            raise NoSolution(f"the continuous relaxation ended with {relaxed.status}")
        for d, part in enumerate(self.components):
            self.master.add(_optimality_cut(d, part, relaxed.z[part.rows]))
        return -np.inf

    def _evaluate(self, master_x: Array) -> bool:
        """Solve every component at the master's integers; True where a cut was new."""
        y = np.round(master_x[self.integers]) + 0.0  # -0.0 is 0.0
        if y.tobytes() in self.seen:  # its cuts are all there: what is left is HiGHS's tolerance
            return False
        self.seen.add(y.tobytes())
        x = master_x.copy()
        x[self.integers] = y
        total, feasible = self.master.own_cost(x), True
        theta = self.master.theta
        new = False
        for d, (part, solver) in enumerate(zip(self.components, self.solvers, strict=True)):
            answer = solver.solve(part.right_side(y))
            cut = _cut_from(d, part, answer)
            new |= self.master.add_if_violated(cut, y, theta[d])
            if cut.feasibility:
                feasible = False
                continue
            total += answer.objective
            x[part.columns] = answer.x
        if feasible and (self.best is None or total < self.best[0]):
            self.best = (total, x)
        return new

    def _closed(self, bound: float) -> bool:
        return self.best is not None and (
            relative_gap(self.best[0], bound) <= self.config.rel_gap or bound >= self.best[0]
        )

    def _seconds_left(self) -> float:
        return self.config.time_limit_s - (time.perf_counter() - self.started)

    def _master_config(self) -> SolverConfig:
        return dataclasses.replace(
            self.config,
            rel_gap=self.config.rel_gap / 10,
            time_limit_s=max(self._seconds_left(), 0.1),
        )


class _Master:
    """Mixed-integer linear master: integers, small linear components, one theta per component."""

    def __init__(
        self, problem: CompiledProblem, integers: Array, in_master: Array, n_components: int
    ) -> None:
        keep = np.sort(np.concatenate([integers, in_master]))
        others = np.setdiff1d(np.arange(len(problem.cost)), keep)
        foreign = np.asarray(abs(problem.matrix[:, others]).sum(axis=1)).ravel()
        rows = np.flatnonzero(foreign == 0)
        self.problem, self.keep, self.integers = problem, keep, integers
        self.n_theta = n_components
        self.theta = np.full(n_components, -np.inf)
        self._base = sp.hstack(
            [problem.matrix[rows][:, keep], sp.csr_matrix((len(rows), n_components))], format="csr"
        )
        self._rows = rows
        self._cuts: list[tuple[Array, float]] = []
        self._place = {int(column): k for k, column in enumerate(keep)}

    def own_cost(self, x: Array) -> float:
        """Return the cost of the master's own columns at the point `x` of the problem."""
        return float(self.problem.cost[self.keep] @ x[self.keep]) + self.problem.offset

    def add(self, cut: Cut) -> None:
        """Add ``slope'y - theta <= -constant``."""
        row = np.zeros(len(self.keep) + self.n_theta)
        row[[self._place[int(column)] for column in self.integers]] = cut.slope
        if not cut.feasibility:
            row[len(self.keep) + cut.component] = -1.0
        self._cuts.append((row, -cut.constant))

    def add_if_violated(self, cut: Cut, y: Array, theta: float) -> bool:
        """Add the cut where it cuts the present point off."""
        value = cut.constant + float(cut.slope @ y)
        level = 0.0 if cut.feasibility else theta
        slack = FEASIBILITY_MARGIN if cut.feasibility else 1e-9 * max(1.0, abs(theta))
        if value <= level + slack:
            return False
        self.add(cut)
        return True

    def solve(self, config: SolverConfig) -> HighsSolution:
        """Solve the master; the point is given in the columns of the whole problem."""
        problem, n = self.problem, len(self.keep) + self.n_theta
        bottom = sp.csr_matrix(np.array([row for row, _ in self._cuts]).reshape(-1, n))
        limit = np.array([right for _, right in self._cuts])
        free = np.full(self.n_theta, np.inf)
        linear = CompiledProblem(
            columns=[],
            cost=np.concatenate([problem.cost[self.keep], np.ones(self.n_theta)]),
            offset=problem.offset,
            quadratic=None,
            matrix=sp.vstack([self._base, bottom], format="csr"),
            row_lower=np.concatenate([problem.row_lower[self._rows], np.full(len(limit), -np.inf)]),
            row_upper=np.concatenate([problem.row_upper[self._rows], limit]),
            rows=[],
            lower=np.concatenate([problem.lower[self.keep], -free]),
            upper=np.concatenate([problem.upper[self.keep], free]),
            integer=np.concatenate([problem.integer[self.keep], np.zeros(self.n_theta, bool)]),
            cone_matrix=sp.csr_matrix((0, n)),
            cone_offset=np.array([]),
            cone_sizes=np.array([], dtype=np.int64),
        )
        answer = solve_highs(linear, config)
        if not answer.has_point:
            return answer
        x = np.zeros(len(problem.cost))
        x[self.keep] = answer.x[: len(self.keep)]
        self.theta = answer.x[len(self.keep) :]
        return dataclasses.replace(answer, x=x)


def _require_finite(problem: CompiledProblem) -> None:
    endless = ~np.isfinite(problem.lower) | ~np.isfinite(problem.upper)
    if endless.any():
        names = ", ".join(problem.columns[k].name for k in np.flatnonzero(endless)[:5])
        raise SolverCannot(f"a certified bound needs finite bounds on every variable: {names}")
    if problem.quadratic is not None:
        raise SolverCannot("highs+clarabel takes no quadratic objective; name 'scip'")


def _split(
    problem: CompiledProblem, whole: ConicForm, integers: Array
) -> tuple[list[Component], Array]:
    """Return the components with cones (or too large), and the columns left to the master."""
    n = len(problem.cost)
    free = np.ones(n, dtype=bool)
    free[integers] = False
    incidence = sp.csr_matrix(abs(whole.A))[:, free]
    pattern = sp.bmat([[None, incidence], [incidence.T, None]], format="csr")
    _, label = connected_components(pattern, directed=False)
    row_label, column_label = label[: incidence.shape[0]], label[incidence.shape[0] :]
    # a cone ties its rows together even where they share no column
    first = whole.zero + whole.nonnegative
    cone_starts = first + np.concatenate([[0], np.cumsum(whole.cone_sizes)[:-1]])
    row_label, column_label = _tie_cones(
        row_label, column_label, cone_starts.astype(int), whole.cone_sizes
    )
    conic = set(row_label[first:].tolist())
    columns = np.flatnonzero(free)
    components, in_master = [], []
    for name in dict.fromkeys(column_label.tolist()):
        own = columns[column_label == name]
        if name not in conic and len(own) <= MASTER_COLUMNS:
            in_master.append(own)
        else:
            rows = np.flatnonzero(row_label == name)
            components.append(_component(problem, whole, integers, own, rows))
    nothing = np.array([], dtype=np.int64)
    for name in dict.fromkeys(row_label[first:].tolist()):  # cones over integers alone
        if name not in column_label:
            rows = np.flatnonzero(row_label == name)
            components.append(_component(problem, whole, integers, nothing, rows))
    return components, np.concatenate([nothing, *in_master])


def _tie_cones(
    row_label: Array, column_label: Array, starts: Array, sizes: Array
) -> tuple[Array, Array]:
    """Give all rows of a cone one label; rows with integers alone had one of their own."""
    alias = np.arange(int(max(row_label.max(initial=0), column_label.max(initial=0))) + 1)
    for start, size in zip(starts, sizes, strict=True):
        tied = np.unique(alias[row_label[start : start + size]])
        if len(tied) > 1:
            alias[np.isin(alias, tied)] = tied[0]
    return alias[row_label], alias[column_label]


def _component(
    problem: CompiledProblem, whole: ConicForm, integers: Array, columns: Array, rows: Array
) -> Component:
    first = whole.zero + whole.nonnegative
    starts = first + np.concatenate([[0], np.cumsum(whole.cone_sizes)[:-1]])
    mine = np.isin(starts, rows)
    A = whole.A.tocsr()[rows]
    nothing = np.array([], dtype=np.int64)
    form = ConicForm(
        P=sp.csc_matrix((len(columns), len(columns))),
        q=whole.q[columns],
        A=sp.csc_matrix(A[:, columns]),
        b=whole.b[rows],
        zero=int(np.sum(rows < whole.zero)),
        nonnegative=int(np.sum((rows >= whole.zero) & (rows < first))),
        cone_sizes=whole.cone_sizes[mine],
        bound_rows=nothing,
        bound_columns=nothing,
        row_of=whole.row_of[rows],
        row_sign=whole.row_sign[rows],
    )
    reach = np.maximum(np.abs(problem.lower[columns]), np.abs(problem.upper[columns]))
    technology = sp.csr_matrix(A[:, integers])
    return Component(columns=columns, rows=rows, form=form, technology=technology, reach=reach)


def _optimality_cut(number: int, part: Component, z: Array) -> Cut:
    """Return the cut (2) of the dual point `z`."""
    residual = np.abs(part.form.q + part.form.A.T @ z)
    constant = -float(z @ part.form.b) - float(residual @ part.reach)
    return Cut(component=number, constant=constant, slope=np.asarray(part.technology.T @ z))


def _cut_from(number: int, part: Component, answer: ConicSolution) -> Cut:
    if answer.solved:
        return _optimality_cut(number, part, answer.z)
    if not answer.infeasible:
        raise NoSolution(f"a component ended with {answer.status}; rescale the problem")
    z = answer.z / np.abs(answer.z).max()
    residual = np.abs(part.form.A.T @ z)
    constant = -float(z @ part.form.b) - float(residual @ part.reach)
    slope = np.asarray(part.technology.T @ z)
    return Cut(component=number, constant=constant, slope=slope, feasibility=True)
