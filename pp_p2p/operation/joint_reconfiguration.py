"""Configurations and the set points of devices in one mixed-integer problem.

    min   losses or cost of `dispatch`  +  c_s sum y                                       (1)
    s.t.  load flow with branches that open and close             pp_p2p.network.on_off
          set points of devices                                   their blocks
          closed branches make a spanning tree                    pp_p2p.network.radiality
          y_{e,p} >= |u_{e,p} - u_{e,p-1}|,  sum y <= N,  sum_p y_{e,p} <= n,  dwell times    (2)

over periods p of steps that share one configuration. It starts from alternation: the best sequence
of configurations for given set points (`topology_day`, exact losses), then the best set points for
that sequence, until neither changes. Branch and bound goes on from there and gives the bound. In
"lindistflow" the bound is of the linear model: an approximation, not a bound of the AC problem.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyomo.environ as pyo
import xarray as xr

from pp_p2p.errors import NoSolution, TimeLimit
from pp_p2p.network.algebra import linear
from pp_p2p.network.branches import Array
from pp_p2p.network.formulation import Formulation, get_formulation
from pp_p2p.network.grid import GridData
from pp_p2p.network.radiality import Radiality, radiality_block
from pp_p2p.network.solution import converter_slack, label_devices, read_flows, relaxation_gaps
from pp_p2p.network.spanning import graph_facts
from pp_p2p.network.switching import SwitchGraph
from pp_p2p.network.timeline import Timeline
from pp_p2p.network.topology import DisjointSets
from pp_p2p.operation.dispatch_data import DispatchData
from pp_p2p.operation.dispatch_model import build
from pp_p2p.operation.dispatch_objective import SCALE
from pp_p2p.operation.radial_relaxation import TreeCut
from pp_p2p.operation.reconfiguration_result import Outcome
from pp_p2p.operation.start_configurations import start_configuration
from pp_p2p.operation.topology_day import Day
from pp_p2p.operation.topology_sequence import SwitchingLimits
from pp_p2p.solve.branching import BranchingResult, solve_by_branching
from pp_p2p.solve.compiled import CompiledProblem, compile_model, load_values
from pp_p2p.solve.report import SolverConfig

ALTERNATIONS = 3
"""Rounds of set points and configurations that the start takes at most."""

START_SHARE = 0.3
"""Part of the time limit that the start may take."""


@dataclass(kw_only=True)
class JointProblem:
    """Net, devices and what switching may do; `period` (step,) numbers the configurations."""

    graph: SwitchGraph
    data: DispatchData
    formulation: Formulation
    limits: SwitchingLimits
    period: Array
    radiality: Radiality
    required: tuple[TreeCut, ...]

    @property
    def line(self) -> Timeline:
        """Steps."""
        return self.data.line

    @property
    def first_step(self) -> Array:
        """First step (period,) of every period."""
        return np.flatnonzero(np.diff(self.period, prepend=-1))

    @property
    def day(self) -> Array:
        """Day (period,) that a period lies in."""
        return np.asarray(self.first_step // self.line.steps_per_day)


def solve_jointly(problem: JointProblem, solver: SolverConfig) -> Outcome:
    """Solve (1)-(2).

    Raises
    ------
    NoSolution
        No configuration within reach keeps the limits.
    """
    started = time.perf_counter()
    m = build_joint(problem)
    compiled = compile_model(m)
    share = dataclasses.replace(solver, time_limit_s=solver.time_limit_s * START_SHARE)
    starts = _alternate(problem, m, compiled, share)
    spent = time.perf_counter() - started
    rest = dataclasses.replace(solver, time_limit_s=max(solver.time_limit_s - spent, 1.0))
    columns = TreeColumns(problem, m, compiled)
    try:
        answer = solve_by_branching(
            compiled,
            rest,
            [columns.point(closed) for closed in starts],
            lambda y: [columns.point(closed) for closed in columns.trees(y)],
        )
    except TimeLimit:
        raise
    except NoSolution as error:
        raise NoSolution(
            "reconfigure: no radial configuration within reach keeps the limits, whatever the set "
            "points; widen net.bus.min_vm_pu / max_vm_pu or max_i_ka, allow more operations, or "
            "add switches"
        ) from error
    load_values(compiled, answer.x)
    return _outcome(problem, m, answer, time.perf_counter() - started)


def build_joint(problem: JointProblem) -> Any:
    """Return the Pyomo model."""
    graph, line = problem.graph, problem.line
    movable = np.flatnonzero(graph.switchable).tolist()
    periods = len(problem.first_step)
    switches = pyo.Block(concrete=True)
    switches.closed = pyo.Var(movable, range(periods), domain=pyo.Binary)
    steps = range(line.n_steps)
    of_step = {(e, t): switches.closed[e, int(problem.period[t])] for e in movable for t in steps}
    m = build(problem.data, problem.formulation, closed=of_step)
    m.switches = switches
    of_period = {(e, p): switches.closed[e, p] for e in movable for p in range(periods)}
    m.radiality = radiality_block(graph, graph_facts(graph), of_period, periods, problem.radiality)
    _add_required(m, problem)
    add_operations(m, problem, movable, m.objective, SCALE[problem.data.objective])
    return m


def _add_required(m: Any, problem: JointProblem) -> None:
    """Keep open what heuristics keep open."""
    kept = [[e for e in cut.edges if problem.graph.switchable[e]] for cut in problem.required]

    def required(m: Any, k: int, p: int) -> Any:
        most = float(len(kept[k]) - problem.required[k].at_least)
        return sum(m.switches.closed[e, p] for e in kept[k]) <= most

    periods = range(len(problem.first_step))
    m.required = pyo.Constraint(range(len(kept)), periods, rule=required)


class Switched(Protocol):
    """What (2) is made of: the network, the limits, and the periods of one configuration each."""

    @property
    def graph(self) -> SwitchGraph:
        """Network."""

    @property
    def limits(self) -> SwitchingLimits:
        """Limits of switching."""

    @property
    def line(self) -> Timeline:
        """Steps."""

    @property
    def first_step(self) -> Array:
        """First step (period,) of every period."""

    @property
    def day(self) -> Array:
        """Day (period,) that a period lies in."""


def add_operations(
    m: Any, problem: Switched, movable: list[int], objective: Any, unit: float
) -> None:
    """Add (2), and what operations cost, over `unit`, to an objective of `m`.

    ``m.switches.closed[edge, period]`` are the binaries.
    """
    limits, graph = problem.limits, problem.graph
    closed, periods = m.switches.closed, range(len(problem.first_step))
    day, first = problem.day, problem.first_step
    m.operated = pyo.Var(movable, periods, bounds=(0.0, 1.0))

    def change(m: Any, e: int, p: int, sense: int) -> Any:
        sign = float(sense)
        if p == 0 or day[p] != day[p - 1]:
            now = sign * float(graph.closed[e])
            return linear([1.0, -sign], [m.operated[e, p], closed[e, p]]) >= -now
        variables = [m.operated[e, p], closed[e, p], closed[e, p - 1]]
        return linear([1.0, -sign, sign], variables) >= 0.0

    m.change = pyo.Constraint(movable, periods, (-1, 1), rule=change)
    days = range(problem.line.n_days)
    of_day = {d: [p for p in periods if day[p] == d] for d in days}
    if limits.max_operations is not None:
        m.day_limit = pyo.Constraint(
            days,
            rule=lambda m, d: (
                sum(m.operated[e, p] for e in movable for p in of_day[d])
                <= float(limits.max_operations)
            ),
        )
    if limits.max_operations_per_switch is not None:
        m.switch_limit = pyo.Constraint(
            movable,
            days,
            rule=lambda m, e, d: (
                sum(m.operated[e, p] for p in of_day[d]) <= float(limits.max_operations_per_switch)
            ),
        )
    pairs = [
        (p, o)
        for p in periods
        for o in periods
        if p < o and day[p] == day[o] and first[o] - first[p] < limits.dwell_steps
    ]
    m.dwell = pyo.Constraint(
        movable, pairs, rule=lambda m, e, p, o: m.operated[e, p] + m.operated[e, o] <= 1.0
    )
    if limits.cost:
        weight = problem.line.weight
        objective.expr += sum(
            limits.cost * float(weight[day[p]]) / unit * m.operated[e, p]
            for e in movable
            for p in periods
        )


class TreeColumns:
    """The integer columns of the compiled model as configurations (period, edge) and back."""

    def __init__(self, problem: Switched, m: Any, compiled: CompiledProblem) -> None:
        self.graph = problem.graph
        place = {id(variable): key for key, variable in m.switches.closed.items()}
        integer = np.flatnonzero(compiled.integer)
        self.keys = [place[id(compiled.columns[k])] for k in integer]
        self.periods = len(problem.first_step)

    def point(self, closed: Array) -> Array:
        """Return the integers of configurations (period, edge)."""
        return np.array([float(closed[p, e]) for e, p in self.keys])

    def trees(self, y: Array) -> list[Array]:
        """Return spanning trees of greatest weight, for each period its own and one for all."""
        weight = np.where(self.graph.switchable, 0.0, 2.0)
        of_period = np.tile(weight, (self.periods, 1))
        for (e, p), value in zip(self.keys, y.tolist(), strict=True):
            of_period[p, e] = value
        own = np.array([self._tree(w) for w in of_period])
        same = np.tile(self._tree(of_period.mean(axis=0)), (self.periods, 1))
        return [own, same]

    def _tree(self, weight: Array) -> Array:
        graph = self.graph
        joined = DisjointSets(range(graph.n_nodes))
        for root in graph.root.tolist():
            joined.join(int(graph.root[0]), root)
        closed = np.zeros(graph.n_edges, dtype=bool)
        for e in np.argsort(-weight, kind="stable").tolist():
            closed[e] = joined.join(int(graph.tail[e]), int(graph.head[e]))
        return closed


def _alternate(
    problem: JointProblem, m: Any, compiled: CompiledProblem, share: SolverConfig
) -> list[Array]:
    """Return configurations (period, edge) to start from, the best one last."""
    columns = TreeColumns(problem, m, compiled)
    started = time.perf_counter()
    load = -m.injection.p - 1j * m.injection.q
    found: list[Array] = []
    for _ in range(ALTERNATIONS):
        left = share.time_limit_s - (time.perf_counter() - started)
        sequence = _best_for(problem, load, max(left / 2, 1.0))
        if any((sequence == known).all() for known in found):
            break
        found.append(sequence)
        if left <= 0:
            break
        try:
            answer = solve_by_branching(
                _fixed(compiled, columns.point(sequence)), share, [columns.point(sequence)]
            )
        except NoSolution:
            break
        load_values(compiled, answer.x)
        load = -_injected(m)
    return found


def _fixed(compiled: CompiledProblem, y: Array) -> CompiledProblem:
    lower, upper = compiled.lower.copy(), compiled.upper.copy()
    lower[compiled.integer] = upper[compiled.integer] = y
    return dataclasses.replace(compiled, lower=lower, upper=upper)


def _best_for(problem: JointProblem, load: Array, seconds: float) -> Array:
    """Return the best configurations (period, edge) found for given power out of each node."""
    graph, line = problem.graph, problem.line
    steps, parts = np.arange(line.steps_per_day), []
    weight = line.step_weight * line.step_h
    for d in range(line.n_days):
        mine = steps + d * line.steps_per_day
        may_change = np.diff(problem.period[mine], prepend=-1) != 0
        try:
            day = Day(
                graph=graph,
                load=load[:, mine],
                weight=weight[mine],
                limits=dataclasses.replace(problem.limits, may_change=may_change, cost=0.0),
                required=problem.required,
                rel_gap=1e-2,
                time_limit_s=seconds / line.n_days,
            ).solve()
            closed = day.closed
        except NoSolution:  # limits may hold with other set points
            start = start_configuration(graph, load[:, mine], weight[mine])
            closed = np.tile(start.closed, (len(mine), 1))
        parts.append(closed[np.flatnonzero(may_change)])
    return np.concatenate(parts)


def _injected(m: Any) -> Array:
    """Return the power into each node (node, step) at the values of the model."""
    power = m.injection.p + 1j * m.injection.q
    for terms, unit in ((m.injection.p_terms, 1.0), (m.injection.q_terms, 1j)):
        for (node, step), pairs in terms.items():
            power[node, step] += unit * sum(c * variable.value for c, variable in pairs)
    return np.asarray(power)


def _outcome(problem: JointProblem, m: Any, answer: BranchingResult, seconds: float) -> Outcome:
    graph, line, physics = problem.graph, problem.line, problem.formulation
    closed = np.ones((line.n_steps, graph.n_edges), dtype=bool)
    for (e, p), variable in m.switches.closed.items():
        closed[problem.period == p, e] = round(variable.value) == 1
    flows = read_flows(m.network, m.injection, has_losses=physics.has_losses)
    grid = problem.data.grid
    v = np.maximum(flows.v[:, : graph.n_nodes].T, 0.0)
    lost = (flows.l if physics.has_losses else flows.p**2 + flows.q**2) @ grid.tree.r
    gap = 0.0
    if physics.has_losses:
        gap = _relaxation_gap(grid, flows, closed)
        gap = max(gap, float(converter_slack(m, problem.data.portfolio).max(initial=0.0)))
    return Outcome(
        closed=closed,
        load=-_injected(m),
        vm=np.sqrt(v),
        loss=lost + flows.v[:, : graph.n_nodes] @ grid.y_shunt.real,
        objective=answer.objective * SCALE[problem.data.objective],
        bound=answer.bound * SCALE[problem.data.objective],
        relaxation_gap=gap,
        exact=False,
        seconds=seconds,
        iterations=answer.n_nodes,
        termination=answer.termination,
        solver="branch and bound",
        history=answer.history,
        devices=label_devices(m, problem.data.portfolio, grid, line),
    )


def _relaxation_gap(grid: GridData, flows: Any, closed: Array) -> float:
    """Return the largest slack of the cone of a closed branch, p.u."""
    slack = relaxation_gaps(grid, flows)
    return float(np.where(closed, slack, 0.0).max(initial=0.0))


def joint_problem(
    net: Any,
    graph: SwitchGraph,
    profiles: xr.Dataset,
    *,
    limits: SwitchingLimits,
    required: tuple[TreeCut, ...],
    options: Mapping[str, Any],
) -> JointProblem:
    """Read what the joint problem needs from net and profiles."""
    data = DispatchData.from_net(net, profiles, options["objective"], 1.0, grid=graph.as_grid())
    period = np.cumsum(limits.may_change) - 1
    return JointProblem(
        graph=graph,
        data=data,
        formulation=get_formulation(options["formulation"]),
        limits=limits,
        period=period,
        radiality=options["radiality"],
        required=required,
    )
