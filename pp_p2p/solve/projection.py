"""Mixed-integer conic problems by projection onto their integers.

Where the integers y are few and everything else is convex, the optimal value of the rest is a
convex function of y, and the rest falls apart into components (the typical days of a plan):

    min  c'y + sum_d phi_d(y),   phi_d(y) = min x'Px/2 + q'x  s.t.  b - T y - A x in K_d   (1)

A master (`cut_master`, HiGHS) holds y, the small linear components and cuts of phi_d from dual
points of the components (`components`, Clarabel) that are valid at finite accuracy: its bound is a
proven bound of (1). It is started from the continuous relaxation (`relaxed_start`), so that the
first bound is no worse. Generalised Benders decomposition (Geoffrion 1972), the components' cuts
kept apart.

The points that give the bound are far ones whose cuts say little. Those visited are the integer
points nearest to the relaxation's and to the best one whose value, as far as the cuts know, is
within a level between the bound and the best: the level problem of bundle methods (Lemarechal,
Nemirovskii & Nesterov 1995) with the distance of local branching (Fischetti & Lodi 2003). Where no
integer point reaches the level, the level is a bound.

Linking columns are continuous and tie components together (an annual limit, shared out among the
days); y holds them beside the integers. A component's value at the master's share is no value of
(1), so an integer point is solved whole, its integers fixed. The duals of that solve give cuts with
which the master, by duality, values this integer point at what it is worth: each integer point is
solved at most once, and the search ends, with or without linking columns.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from pp_p2p.errors import NoSolution, SolverCannot, TimeLimit
from pp_p2p.solve.compiled import Array, CompiledProblem
from pp_p2p.solve.component_pool import ComponentPool
from pp_p2p.solve.components import Component, Cut, split
from pp_p2p.solve.conic import ConicForm, conic_form
from pp_p2p.solve.cut_master import CutMaster, MasterPoint
from pp_p2p.solve.relaxed_start import FixedIntegers, relax_by_components, relax_whole
from pp_p2p.solve.report import OBJECTIVE_FLOOR, Answer, SolverConfig, relative_gap

WHOLE_COLUMNS = 100_000
"""The continuous relaxation of a larger problem is found by components, too."""

LEVEL_PART = 0.6
"""Where the level lies between bound and best point."""

FIRST_LEVEL = 2e-3
"""Where it lies above the bound, relatively, while there is no best point."""

LAZY = 0.2
"""The master may miss its optimum by this part of the present gap, at most by `LAZIEST`."""

LAZIEST = 1e-2

RELAXED_PART = 0.5
"""Part of the time that the relaxation by components may take."""


def solve_by_projection(problem: CompiledProblem, config: SolverConfig) -> Answer:
    """Solve a mixed-integer conic problem.

    Raises
    ------
    NoSolution
        The continuous relaxation or the integer problem has no feasible point, or none was found
        in time.
    SolverCannot
        A column without finite bounds, or a quadratic objective that multiplies a coupling column
        with another one.
    """
    started = time.perf_counter()
    coupling = problem.coupling
    _require(problem, coupling)
    whole = conic_form(problem)
    parts = split(problem, whole, coupling)
    with ComponentPool(parts[0], config.processes) as pool:
        return _Search(problem, config, whole, parts, pool, started).run()


class Projection:
    """The projection as a backend of the solver room."""

    def __init__(self, config: SolverConfig) -> None:
        self._config = config

    def solve(self, problem: CompiledProblem) -> Answer:
        """Solve; every problem starts anew."""
        return solve_by_projection(problem, self._config)


class _Search:
    """One problem: its master, its components, the best point so far."""

    def __init__(
        self,
        problem: CompiledProblem,
        config: SolverConfig,
        whole: ConicForm,
        parts: tuple[list[Component], Array],
        pool: ComponentPool,
        started: float,
    ) -> None:
        self.problem, self.config, self.whole, self.pool = problem, config, whole, pool
        self.columns, self.started = problem.coupling, started
        self.components, in_master = parts
        self.is_integer = problem.integer[self.columns]
        self.linked = not self.is_integer.all()
        self.curved = _curvature(problem)
        count = len(self.components) + (self.curved is not None)
        self.master = CutMaster(problem, self.columns, in_master, count, config.threads)
        self.fixed = FixedIntegers(problem, whole, self.components) if self.linked else None
        self.seen: set[bytes] = set()
        self.solved: set[bytes] = set()
        self.best: tuple[float, Array] | None = None
        self.bound = -np.inf
        self.exact = False
        self.history: list[tuple[float, float, float]] = []
        self.iterations = 0

    def run(self) -> Answer:
        termination = self._search(self._start())
        if self.best is None:
            raise TimeLimit(f"no feasible point was found ({termination}); raise time_limit_s")
        objective, x = self.best
        bound = min(self.bound, objective)
        return Answer(
            x=x,
            objective=objective,
            bound=bound,
            optimal=relative_gap(objective, bound) <= self.config.rel_gap,
            iterations=self.iterations,
            termination=termination,
            history=tuple(self.history),
        )

    def _start(self) -> Array:
        """Add the relaxation's cuts; return its coupling columns."""
        origin = np.zeros(len(self.columns))
        floor = [part.least() for part in self.components]  # whatever happens, there is a bound
        self.master.add([*floor, *self._curvature_cut(origin)])
        seconds = self._seconds_left()
        if len(self.problem.cost) <= WHOLE_COLUMNS or self.curved is not None:
            x, cuts = relax_whole(self.whole, self.components, seconds)
            self.master.add([*cuts, *self._curvature_cut(x[self.columns])])
            return x[self.columns]
        seconds *= RELAXED_PART
        x = relax_by_components(
            self.problem, self.whole, self.components, self.master, self.pool, seconds
        )
        return x[self.columns]

    def _search(self, centre: Array) -> str:
        """Look for better points and bounds; return why it ended."""
        while self._seconds_left() > 0:
            point = self.master.bound(rel_gap=self._lazy_gap(), time_limit_s=self._seconds_left())
            self.bound = max(self.bound, point.bound)
            if not point.has_point:
                if self.best is None and point.termination == "Infeasible":
                    raise NoSolution("the integers have no feasible value")
                return "gap closed" if self._closed() else point.termination
            if self._closed():
                return "gap closed"
            stepped = [self._step(at) for at in self._centres(centre)]
            if not any(stepped):
                if self._closed():
                    return "gap closed"
                new = self._visit(point)
                if not new and self.exact:
                    return "no new cut"
                self.exact = not new  # a known point: ask the master for its true optimum
            if self._closed():
                return "gap closed"
        return "time limit"

    def _centres(self, relaxed: Array) -> list[Array]:
        """Return the points around which to search."""
        return [relaxed] if self.best is None else [relaxed, self.best[1][self.columns]]

    def _step(self, centre: Array) -> bool:
        """Visit the point nearest to `centre` that promises the level, or raise the bound."""
        if self.best is None:
            level = self.bound + FIRST_LEVEL * max(abs(self.bound), OBJECTIVE_FLOOR)
        else:
            level = self.bound + LEVEL_PART * (self.best[0] - self.bound)
        if self._closed() or self._seconds_left() <= 0 or not np.isfinite(level):
            return False
        point = self.master.near(centre, level, time_limit_s=self._seconds_left())
        if point.has_point:
            return self._visit(point)
        if point.termination == "Infeasible" and self.best is not None:
            self.bound = max(self.bound, level)
        return False

    def _visit(self, point: MasterPoint) -> bool:
        """Evaluate the integers of a master's point; tell whether the master learnt from it."""
        x = point.x.copy()
        y = x[self.columns]
        y[self.is_integer] = np.round(y[self.is_integer]) + 0.0  # -0.0 is 0.0
        x[self.columns] = y
        key = y[self.is_integer].tobytes()
        if key in self.solved:  # its cuts are all there: what is left is the master's tolerance
            return False
        self.iterations += 1
        whole = self.fixed is not None and (
            key in self.seen or self.best is None or len(x) <= WHOLE_COLUMNS
        )
        self.seen.add(key)
        if whole or not self.linked:
            self.solved.add(key)
        if whole and self.fixed is not None:
            cuts, value, x = self.fixed.solve(x)
        else:
            cuts, value, x = self._evaluate(x)
        cuts = [*cuts, *self._curvature_cut(y)]
        # duals of the whole exclude or value the integers together: none of them may be left out
        new = self.master.add(cuts) if whole else self.master.add(cuts, y, point.theta)
        if np.isfinite(value) and (self.best is None or value < self.best[0]):
            self.best = (value, x)
        objective = self.best[0] if self.best else np.inf
        self.history.append((time.perf_counter() - self.started, self.bound, objective))
        return new

    def _evaluate(self, x: Array) -> tuple[list[Cut], float, Array]:
        """Solve every component at the coupling columns of `x`; return cuts, value and point."""
        found = self.pool.evaluate(x[self.columns])
        cuts = [one.cut for one in found]
        done = self.master.complete(x)
        if done is None or not all(one.feasible for one in found):
            return cuts, np.inf, x
        for part, one in zip(self.components, found, strict=True):
            done[part.columns] = one.x
        return cuts, self.problem.objective(done), done

    def _curvature_cut(self, y: Array) -> list[Cut]:
        """Return the tangent at `y` of the quadratic cost of the coupling columns."""
        if self.curved is None:
            return []
        slope = np.asarray(self.curved @ y)
        return [Cut(constant=-0.5 * float(y @ slope), slope=slope)]

    def _closed(self) -> bool:
        if self.best is None:
            return False
        objective = self.best[0]
        return relative_gap(objective, self.bound) <= self.config.rel_gap or self.bound >= objective

    def _lazy_gap(self) -> float:
        """Return the gap that the master may leave: a part of the present one."""
        least = self.config.rel_gap / 10
        if self.exact:
            return least
        gap = LAZIEST if self.best is None else relative_gap(self.best[0], self.bound)
        return min(max(least, LAZY * gap), LAZIEST)

    def _seconds_left(self) -> float:
        return self.config.time_limit_s - (time.perf_counter() - self.started)


def _curvature(problem: CompiledProblem) -> Any:
    """Return the quadratic cost of the coupling columns among themselves, None without any."""
    if problem.quadratic is None:
        return None
    among = problem.quadratic[problem.coupling][:, problem.coupling]
    return among if among.nnz else None


def _require(problem: CompiledProblem, coupling: Array) -> None:
    endless = ~np.isfinite(problem.lower) | ~np.isfinite(problem.upper)
    if endless.any():
        names = ", ".join(problem.columns[k].name for k in np.flatnonzero(endless)[:5])
        raise SolverCannot(f"a certified bound needs finite bounds on every variable: {names}")
    if problem.quadratic is not None:
        others = np.setdiff1d(np.arange(len(problem.cost)), coupling)
        if problem.quadratic[coupling][:, others].nnz:
            raise SolverCannot(
                "the quadratic objective multiplies an integer or linking variable with another "
                "one: highs+clarabel keeps them apart; name 'scip'"
            )
