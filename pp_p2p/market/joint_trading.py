"""Trading and configurations in one central mixed-integer cone problem: the benchmark.

    min  social cost of `pp_p2p.market.clearing` + c_s sum y                              (1)
    s.t. its laws, with branches that open and close            (pp_p2p.network.on_off)
         closed branches make a spanning tree in every period   (pp_p2p.network.radiality)
         operations, dwell times             (pp_p2p.operation.joint_reconfiguration)

Nobody could solve it who does not know everything of everyone; it says what the rounds of
`pp_p2p.market.topology_rounds` give away. It does not ask for a safe order of operations: where
the joint optimum has none, the rounds end above it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyomo.environ as pyo

from pp_p2p.errors import NoSolution, TimeLimit
from pp_p2p.market.clearing import ClearingData, build
from pp_p2p.network.branches import Array
from pp_p2p.network.formulation import Formulation
from pp_p2p.network.radiality import radiality_block
from pp_p2p.network.spanning import graph_facts
from pp_p2p.network.switching import SwitchGraph
from pp_p2p.network.timeline import Timeline
from pp_p2p.operation.joint_reconfiguration import TreeColumns, add_operations
from pp_p2p.operation.topology_sequence import SwitchingLimits
from pp_p2p.solve.branching import solve_by_branching
from pp_p2p.solve.compiled import compile_model, load_values
from pp_p2p.solve.report import SolverConfig

JOINT_BINARIES: Final = 48
"""Binaries up to which the joint problem is solved unless it is said otherwise."""

JOINT_GAP: Final = 1e-6
"""Relative gap at which the joint problem ends."""


@dataclass(frozen=True, kw_only=True)
class JointAnswer:
    """What the joint problem came to.

    Parameters
    ----------
    objective, bound : float
        EUR; NaN and ``-inf`` where no point was found in time.
    closed : (step, edge) of bool or None
    seconds : float
    n_nodes : int
    history : tuple of (seconds, bound, objective)
    """

    objective: float
    bound: float
    closed: Array | None
    seconds: float
    n_nodes: int
    history: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True, kw_only=True)
class JointTrading:
    """The joint problem of a day.

    Parameters
    ----------
    data : ClearingData
        On all edges of `graph`.
    graph : SwitchGraph
    formulation : Formulation
    limits : SwitchingLimits
        Its cost is that of an operation in the objective.
    operator_weight : float
    """

    data: ClearingData
    graph: SwitchGraph
    formulation: Formulation
    limits: SwitchingLimits
    operator_weight: float

    @property
    def line(self) -> Timeline:
        """Steps."""
        return self.data.line

    @property
    def period(self) -> Array:
        """Period (step,) of every step."""
        return np.asarray(np.cumsum(self.limits.may_change) - 1)

    @property
    def first_step(self) -> Array:
        """First step (period,) of every period."""
        return np.flatnonzero(np.diff(self.period, prepend=-1))

    @property
    def day(self) -> Array:
        """Day (period,) that a period lies in: there is one."""
        return np.zeros(len(self.first_step), dtype=np.int64)

    @property
    def n_binaries(self) -> int:
        """Binaries of the problem."""
        return int(self.graph.switchable.sum()) * len(self.first_step)

    def solve(self, config: SolverConfig, starts: tuple[Array, ...] = ()) -> JointAnswer:
        """Solve (1) by branch and bound, from the net as it stands and `starts` (step, edge)."""
        began = time.perf_counter()
        m = self.build()
        compiled = compile_model(m)
        columns = TreeColumns(self, m, compiled)
        present = np.tile(self.graph.closed, (len(self.first_step), 1))
        begin = [present, *(closed[self.first_step] for closed in starts)]
        try:
            answer = solve_by_branching(
                compiled,
                config,
                [columns.point(closed) for closed in begin],
                lambda y: [columns.point(closed) for closed in columns.trees(y)],
            )
        except TimeLimit:
            spent = time.perf_counter() - began
            return JointAnswer(
                objective=np.nan, bound=-np.inf, closed=None, seconds=spent, n_nodes=0, history=()
            )
        except NoSolution as error:
            raise NoSolution(f"trade_day, the joint problem: {error}") from error
        load_values(compiled, answer.x)
        closed = np.ones((self.line.n_steps, self.graph.n_edges), dtype=bool)
        for (e, p), variable in m.switches.closed.items():
            closed[self.period == p, e] = round(variable.value) == 1
        return JointAnswer(
            objective=answer.objective,
            bound=answer.bound,
            closed=closed,
            seconds=time.perf_counter() - began,
            n_nodes=answer.n_nodes,
            history=answer.history,
        )

    def build(self) -> pyo.ConcreteModel:
        """Return the Pyomo model of (1)."""
        movable = np.flatnonzero(self.graph.switchable).tolist()
        periods, period = len(self.first_step), self.period
        switches = pyo.Block(concrete=True)
        switches.closed = pyo.Var(movable, range(periods), domain=pyo.Binary)
        of_step = {
            (e, t): switches.closed[e, int(period[t])]
            for e in movable
            for t in range(self.line.n_steps)
        }
        m = build(
            self.data,
            self.formulation,
            trading=True,
            operator_weight=self.operator_weight,
            closed=of_step,
        )
        m.switches = switches
        of_period = {(e, p): switches.closed[e, p] for e in movable for p in range(periods)}
        facts = graph_facts(self.graph)
        m.radiality = radiality_block(self.graph, facts, of_period, periods, "single_commodity")
        add_operations(m, self, movable, m.social_cost, 1.0)
        return m
