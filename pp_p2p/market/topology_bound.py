"""A proven lower bound of trading under the best sequence of configurations, on any network.

The joint problem of `pp_p2p.market.joint_trading` contains every sequence of configurations with
its trades, limits of operations and dwell times; what operations cost is in its objective. Its
convex relaxations are below all of them:

root     the joint problem with binaries between 0 and 1, one cone problem. Its duals y price what
         ties the periods of one configuration: storage, loads that shift, operations. Where periods
         are split further, of the first two the offers at the incumbent are nearer to the optimum.
parts    with these prices every period stands for itself (Lagrangian duality, Geoffrion 1974):
         b'y + sum_k min (c_k - A_k'y)'x_k bounds the joint problem for every y, as (1) of
         `pp_p2p.market.looped_market` does. In each period the chains of switches are replaced by
         their convex hulls (`pp_p2p.market.chain_hull`), which raises its least cost.
branch   a period's relaxation is split on a chain, "cut" or "uncut", and then on where it is cut;
         the least of its open nodes bounds it. More nodes, a higher bound at the same prices.

The bound is the largest of these, each computed from duals of any accuracy within the finite reach
of all columns (`pp_p2p.market.certified_bound`): it holds if a solver stops early, too. It does not
ask for a safe order of operations, no more than the joint problem does. In "lindistflow" it bounds
the linear model.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import pyomo.environ as pyo
import scipy.sparse as sp

from pp_p2p.market.certified_bound import certified_bound
from pp_p2p.market.chain_hull import TYING, ChainHull, Group, groups_of, only
from pp_p2p.market.joint_trading import JointTrading
from pp_p2p.market.looped_market import LoopedMarket, part_of, step_of
from pp_p2p.market.period_search import ChainBinaries, PeriodSearch
from pp_p2p.network.branches import Array
from pp_p2p.network.on_off import own_end
from pp_p2p.network.spanning import graph_facts
from pp_p2p.solve.compiled import CompiledProblem, compile_model
from pp_p2p.solve.conic import ConicSolver, conic_form, row_duals
from pp_p2p.solve.vectors import ABSENT, Positions

ROOT_NODES: Final = 2
"""Nodes of each period up to which the prices of the root fit better than an incumbent's."""

LEAST_S: Final = 1.0
"""Time that a cone problem is given at least."""


@dataclass(frozen=True, kw_only=True)
class TopologyBound:
    """The bound of a day.

    Parameters
    ----------
    value : float
        EUR, finite.
    root : float
        What the root alone proves, EUR.
    n_relaxed : int
        Cone problems solved.
    seconds : float
    """

    value: float
    root: float
    n_relaxed: int
    seconds: float


def bound_jointly(
    joint: JointTrading,
    market: LoopedMarket,
    *,
    nodes: int,
    time_limit_s: float,
    target: float = np.inf,
    offers: tuple[Array, Array] | None = None,
) -> TopologyBound:
    """Bound the joint problem from below.

    Parameters
    ----------
    joint : JointTrading
    market : LoopedMarket
        The same day with every edge, as the rounds solve it.
    nodes : int
        Relaxations of each period; 0 leaves it at the root.
    time_limit_s : float
        Once the root is solved, the rest ends here.
    target : float
        The bound need not be higher than this, EUR.
    offers : ((tying row,) of int, (tying row,) of float), optional
        Rows of `market` that tie hours, and their prices at an incumbent.
    """
    started = time.perf_counter()

    def left() -> float:
        return time_limit_s - (time.perf_counter() - started)

    relaxation = _Relaxation(joint, market)
    root = relaxation.root(max(left(), LEAST_S))
    best, n_relaxed = root, 1
    if nodes and left() > 0 and root < target and relaxation.separable:
        if offers is not None and nodes > ROOT_NODES:
            relaxation.take(*offers)
        parts = relaxation.parts()
        for _ in range(nodes):
            open_parts = [part for part in parts if not part.done]
            for part in open_parts:
                if left() <= 0:
                    break
                n_relaxed += part.improve(max(left(), LEAST_S))
            best = max(best, relaxation.constant + sum(part.bound for part in parts))
            if not open_parts or best >= target or left() <= 0:
                break
    seconds = time.perf_counter() - started
    return TopologyBound(value=best, root=root, n_relaxed=n_relaxed, seconds=seconds)


class _Relaxation:
    """The compiled joint problem, and its parts at the prices of the root."""

    def __init__(self, joint: JointTrading, market: LoopedMarket) -> None:
        self._joint, self._market = joint, market
        self._model = joint.build()
        self._problem = p = compile_model(self._model)
        self._positions = Positions(p)
        self._reach = np.maximum(np.abs(p.lower), np.abs(p.upper))
        self._duals = np.zeros(len(p.rows))
        self.constant = p.offset

    @property
    def separable(self) -> bool:
        """Whether no quadratic cost ties columns of different periods."""
        if self._problem.quadratic is None:
            return True
        return bool((only(self._problem.quadratic, self._period_of_column) != TYING).all())

    def root(self, seconds: float) -> float:
        """Return the bound of the whole, and keep its prices."""
        p = self._problem
        form = conic_form(p)
        answer = ConicSolver(form, seconds).solve()
        self._duals = np.nan_to_num(row_duals(p, form, answer.z))
        least = float(np.minimum(p.cost * p.lower, p.cost * p.upper).sum())
        return max(certified_bound(form, answer, self._reach), least) + p.offset

    def take(self, tying: Array, offers: Array) -> None:
        """Take the prices of what ties the hours of the looped market from an incumbent."""
        rows: dict[int, list[int]] = {}
        for k, law in enumerate(self._problem.rows):
            rows.setdefault(id(law), []).append(k)
        known: dict[int, list[float]] = {}
        laws = {}
        for k, price in zip(tying.tolist(), offers.tolist(), strict=True):
            law = self._market.problem.rows[k]
            known.setdefault(id(law), []).append(price)
            laws[id(law)] = law
        for number, prices in known.items():
            law = laws[number]
            same = self._model.find_component(law.parent_component().name)[law.index()]
            mine = rows.get(id(same), [])
            if len(mine) == len(prices):  # a law with two sides is two rows, in the same order
                self._duals[mine] = prices

    def parts(self) -> list[PeriodSearch]:
        """Return the periods, each for itself, chains as their hulls."""
        joint = self._joint
        groups = groups_of(joint.graph, graph_facts(joint.graph))
        binary = self._binaries()
        hull = ChainHull(self._market, self._problem, self._places(), binary)
        for group in groups:
            hull.add(group)
        whole, origin = hull.problem()
        columns, rows, cones = self._without_on_off(whole, groups)
        period = self._period_of_column[origin]
        row_period = only(whole.matrix, period)
        cone_period = only(whole.cone_matrix, period, whole.cone_sizes)
        whole = self._priced(whole, np.flatnonzero(rows & (row_period == TYING)))
        series = self._positions.rows(self._model.radiality.series_group)
        series = series.reshape(-1, len(joint.first_step))
        found = []
        for k, t in enumerate(joint.first_step.tolist()):
            mine = np.flatnonzero(columns & (period == k))
            own_rows = np.flatnonzero(rows & (row_period == k))
            part = part_of(whole, mine, own_rows, cones & (cone_period == k))
            chains = [
                ChainBinaries(
                    np.searchsorted(mine, binary[group.edges, t]),
                    int(np.searchsorted(own_rows, series[group.number, k])),
                )
                for group in groups
            ]
            reach = self._reach[origin[mine]]
            found.append(PeriodSearch(dataclasses.replace(part, offset=0.0), reach, chains))
        return found

    def _places(self) -> Array:
        """Return where the columns of the looped market stand in the joint problem."""
        found = np.full(len(self._market.problem.columns), ABSENT)
        for mine in self._market.model.component_objects(pyo.Var):
            joint = self._model.find_component(mine.name)
            at = self._market.columns_of(mine)
            there = self._positions.columns_of([joint[key] for key in mine])
            found[at[at != ABSENT]] = there[at != ABSENT]
        return found

    def _binaries(self) -> Array:
        """Return the column of the binary of every edge in every step."""
        joint = self._joint
        found = np.full((joint.graph.n_edges, joint.line.n_steps), ABSENT)
        closed = self._model.switches.closed
        for (e, k), column in zip(closed, self._positions.columns(closed), strict=True):
            found[e, joint.period == k] = column
        return found

    @cached_property
    def _period_of_column(self) -> Array:
        """Return the period of every column; any would do, the bound holds for all."""
        m = self._model
        step = np.array([step_of(variable) for variable in self._problem.columns])
        period = self._joint.period[np.clip(step, 0, self._joint.line.n_steps - 1)]
        for component in (m.switches, m.radiality):
            for variables in component.component_objects(pyo.Var):
                at = self._positions.columns(variables)
                period[at[at != ABSENT]] = step[at[at != ABSENT]]
        at = self._positions.columns(m.operated)
        period[at[at != ABSENT]] = step[at[at != ABSENT]]
        return np.asarray(period)

    def _without_on_off(
        self, whole: CompiledProblem, groups: list[Group]
    ) -> tuple[Array, Array, Array]:
        """Return the columns, rows and cones but for the on-off laws of edges that have a hull."""
        network, grid = self._model.network, self._joint.data.grid
        movable = np.flatnonzero(self._joint.graph.switchable)
        hulled = {e for group in groups if len(group.edges) > 1 for e in group.edges.tolist()}
        ends = [own_end(grid, movable, e, child=c) for e in hulled for c in (False, True)]
        copies = self._positions.columns_of([network.v[k, t] for k in ends for t in network.TIME])
        columns = np.ones(len(whole.cost), dtype=bool)
        columns[copies[copies != ABSENT]] = False
        rows = np.asarray(abs(whole.matrix) @ ~columns == 0)
        of_limit = self._positions.rows(network.flow_limit)
        mine = np.array([key[0] in hulled for key in network.flow_limit], dtype=bool)
        rows[of_limit[mine & (of_limit != ABSENT)]] = False
        touched = np.asarray(abs(whole.cone_matrix) @ ~columns > 0)
        number = np.repeat(np.arange(len(whole.cone_sizes)), whole.cone_sizes)
        cones = np.ones(len(whole.cone_sizes), dtype=bool)
        cones[number[touched]] = False
        return columns, rows, cones

    def _priced(self, whole: CompiledProblem, tying: Array) -> CompiledProblem:
        """Return the problem with prices for the rows that tie periods, and keep their constant."""
        lower, upper = whole.row_lower[tying], whole.row_upper[tying]
        duals = self._duals[tying]
        side = np.where(duals > 0, lower, upper)
        usable = np.where(np.isfinite(side), duals, 0.0)
        constant = usable @ np.where(np.isfinite(side), side, 0.0)
        self.constant = whole.offset + float(constant)
        cost = whole.cost - sp.csr_matrix(whole.matrix)[tying].T @ usable
        return dataclasses.replace(whole, cost=cost)
