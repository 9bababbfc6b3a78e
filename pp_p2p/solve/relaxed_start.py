"""The continuous relaxation of a projection: first cuts, first bound, first centre.

A small problem is solved whole, and its duals are cuts of every component (`components`). A large
one is solved by components as well: in-out cuts (Ben-Ameur & Neto 2007) halfway between the
master's point and the best point so far, which starts from the relaxation with some components
alone, standing for all.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from pp_p2p.errors import NoSolution, TimeLimit
from pp_p2p.solve.compiled import Array, CompiledProblem
from pp_p2p.solve.component_pool import ComponentPool
from pp_p2p.solve.components import Component, Cut, take_component
from pp_p2p.solve.conic import ConicForm, ConicSolution, ConicSolver
from pp_p2p.solve.cut_master import CutMaster
from pp_p2p.solve.report import relative_gap

SAMPLE_COLUMNS = 40_000
"""Size of the problem with some components alone."""

RELAXED_GAP = 1e-3
"""Gap at which the relaxation by components ends."""

RELAXED_STEPS = 30
"""Most steps of the relaxation by components."""


class FixedIntegers:
    """The whole problem with its integers fixed: one convex problem for other right-hand sides.

    Parameters
    ----------
    problem : CompiledProblem
    whole : ConicForm
        Its relaxation.
    components : sequence of Component
    """

    def __init__(
        self, problem: CompiledProblem, whole: ConicForm, components: Sequence[Component]
    ) -> None:
        self._problem, self._components = problem, components
        integers, others = np.flatnonzero(problem.integer), np.flatnonzero(~problem.integer)
        every = np.arange(whole.A.shape[0]), np.arange(len(whole.cone_sizes))
        self._integers = integers
        self._part = take_component(problem, whole, integers, others, *every)
        self._solver = ConicSolver(self._part.form)

    def solve(self, x: Array) -> tuple[list[Cut], float, Array]:
        """Return the components' cuts, the value and the point at the integers of `x`."""
        answer = self._solver.solve(self._part.right_side(x[self._integers]))
        point = x.copy()
        if answer.infeasible:
            rays = (answer.z[part.rows] for part in self._components)
            largest = float(np.abs(answer.z).max())
            return (
                [
                    part.feasibility_cut(ray if np.abs(ray).max() > 1e-9 * largest else 0.0 * ray)
                    for part, ray in zip(self._components, rays, strict=True)
                ],
                np.inf,
                point,
            )
        point[self._part.columns] = answer.x
        cuts = [part.cut(point[part.columns], answer.z[part.rows]) for part in self._components]
        return cuts, self._problem.objective(point) if answer.solved else np.inf, point


def relax_whole(
    whole: ConicForm, components: Sequence[Component], seconds: float
) -> tuple[Array, list[Cut]]:
    """Return the point of the relaxation and a cut of every component.

    Raises
    ------
    NoSolution, TimeLimit
    """
    answer = _solved(ConicSolver(whole, max(seconds, 1e-3)).solve())
    return answer.x, [part.cut(answer.x[part.columns], answer.z[part.rows]) for part in components]


def relax_by_components(
    problem: CompiledProblem,
    whole: ConicForm,
    components: Sequence[Component],
    master: CutMaster,
    pool: ComponentPool,
    seconds: float,
) -> Array:
    """Add cuts to `master` until its relaxation is nearly solved; return the best point (column,).

    Raises
    ------
    NoSolution, TimeLimit
    """
    until = time.perf_counter() + seconds
    inner, value = _sampled(problem, whole, components, master, seconds), np.inf
    point = inner
    for _ in range(RELAXED_STEPS):
        left = until - time.perf_counter()
        if left <= 0:
            break
        found = pool.evaluate(point[master.coupling])
        master.add([one.cut for one in found])
        total = master.own_cost(point) + sum(one.objective for one in found)
        if total < value:
            inner, value = point, total
        outer = master.bound(rel_gap=0.0, time_limit_s=left, integer=False)
        if not outer.has_point:
            if outer.termination == "Infeasible":
                raise NoSolution("even the continuous relaxation has no feasible point")
            break
        if relative_gap(value, outer.objective) <= RELAXED_GAP:
            break
        point = 0.5 * (inner + outer.x)
    return inner


def _sampled(
    problem: CompiledProblem,
    whole: ConicForm,
    components: Sequence[Component],
    master: CutMaster,
    seconds: float,
) -> Array:
    """Return the relaxation with every n-th component, whose costs count n times."""
    size = sum(len(part.columns) for part in components)
    every = -(-size // SAMPLE_COLUMNS)
    some = components[every // 2 :: every]
    others = np.ones(whole.A.shape[0], dtype=bool)
    for part in components:
        others[part.rows] = False
    rows = np.sort(np.concatenate([np.flatnonzero(others), *(part.rows for part in some)]))
    sampled = [part.columns for part in some]
    columns = np.sort(np.concatenate([master.keep, *sampled]))
    first = whole.zero + whole.nonnegative
    starts = first + np.concatenate([[0], np.cumsum(whole.cone_sizes)[:-1]]).astype(np.int64)
    cones = np.flatnonzero(np.isin(starts, rows))
    nothing = np.array([], dtype=np.int64)
    form = take_component(problem, whole, nothing, columns, rows, cones).form
    share = np.ones(len(columns))
    share[np.searchsorted(columns, np.concatenate(sampled))] = len(components) / len(some)
    scaled = ConicForm(
        **{**vars(form), "q": share * form.q, "P": sp.csc_matrix(sp.diags(share) @ form.P)}
    )
    answer = _solved(ConicSolver(scaled, max(seconds, 1e-3)).solve())
    x = np.zeros(len(problem.cost))
    x[columns] = answer.x
    return x


def _solved(relaxed: ConicSolution) -> ConicSolution:
    if relaxed.infeasible:
        raise NoSolution("even the continuous relaxation has no feasible point")
    if not relaxed.solved:
        if relaxed.status == "MaxTime":
            raise TimeLimit("time ran out before a bound was found; raise time_limit_s")
        raise NoSolution(f"the continuous relaxation ended with {relaxed.status}")
    return relaxed
