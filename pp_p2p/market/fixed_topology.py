"""The lower level: trading under a given sequence of configurations, checked in AC power flow."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from pp_p2p.errors import NoSolution, TimeLimit
from pp_p2p.market.clearing import ClearingData
from pp_p2p.market.day_result import Day, day_of
from pp_p2p.market.looped_market import LoopedMarket
from pp_p2p.market.reconfiguration_options import operations
from pp_p2p.market.trades import read_trades
from pp_p2p.network.branches import Array
from pp_p2p.network.formulation import Formulation
from pp_p2p.network.solution import read_flows
from pp_p2p.network.switching import SwitchGraph
from pp_p2p.network.tree_flow import shape_of
from pp_p2p.operation.reconfiguration_result import Replay, replay
from pp_p2p.solve.report import SolverConfig, SolveReport
from pp_p2p.solve.vectors import ABSENT

WIDE: Final = (0.25, 2.25)
"""Limits of squared voltage, p.u., that stand for none."""


class Point(NamedTuple):
    """A sequence of configurations, and the trading day under it.

    Parameters
    ----------
    closed : (step, edge) of bool
    objective : float
        Social cost with switching, as the rounds minimise it, EUR.
    x : (column,)
        Values of the looped market.
    report : SolveReport
    load : (node, step) of complex
        Power taken out of each node, p.u.
    duals : (tying row,)
        Prices of what ties the hours.
    residuals : (2, iteration) or None
        Of a distributed run.
    replay : Replay or None
        In pandapower, once it was asked for.
    """

    closed: Array
    objective: float
    x: Array
    report: SolveReport
    load: Array
    duals: Array
    residuals: Array | None = None
    replay: Replay | None = None
    agreed: Day | None = None

    @property
    def unsafe(self) -> int:
        """Number of operations after which a limit is broken."""
        return 0 if self.replay is None else sum(not o.safe for o in self.replay.operations)

    @property
    def unsafe_steps(self) -> set[int]:
        """Steps before which an operation breaks a limit."""
        return (
            set() if self.replay is None else {o.step for o in self.replay.operations if not o.safe}
        )

    @property
    def excess(self) -> float:
        """By how much limits are broken in the replay."""
        if self.replay is None:
            return 0.0
        return float("inf") if self.replay.diverged else self.replay.excess


class FixedTopology:
    """A trading day whose configurations are given.

    Parameters
    ----------
    net : pandapowerNet
    graph : SwitchGraph
    market : LoopedMarket
    formulation : Formulation
    config : SolverConfig
    switching_cost : float
        Of one operation in the objective, EUR: its weight included.
    """

    def __init__(
        self,
        net: Any,
        graph: SwitchGraph,
        market: LoopedMarket,
        formulation: Formulation,
        config: SolverConfig,
        switching_cost: float,
    ) -> None:
        self.net, self.graph, self.market = net, graph, market
        self.data: ClearingData = market.data
        self.hours = market.hours()
        self._physics, self._config = formulation, config
        self._switching_cost = switching_cost
        self._known: dict[bytes, Point | None] = {}

    def solve(self, closed: Array) -> Point | None:
        """Return the optimum under `closed` (step, edge); None where there is none."""
        key = closed.tobytes()
        if key not in self._known:
            self._known[key] = self._solve(closed)
        return self._known[key]

    def checked(self, point: Point) -> Point:
        """Return a point with its replay in pandapower, operations included."""
        if point.replay is not None:
            return point
        done = replay(self.net, self.graph, point.closed, point.load, self.data.line)
        point = point._replace(replay=done)
        self._known[point.closed.tobytes()] = point
        return point

    def day(self, point: Point) -> Day:
        """Return the trading day of a point; its model holds the point's values."""
        self.market.load(point.x)
        model = self.market.model
        return day_of(self.data, model, point.report, read_trades(model.trades))

    def least_cost(self, closed: Array) -> float:
        """Return the central optimum under `closed` (step, edge), without operations, EUR."""
        return self.market.solve(closed, self._config)[1].objective

    def vm(self, point: Point) -> Array:
        """Return the voltages (node, step), p.u., of the model at a point."""
        v = self.market.columns_of(self.market.model.network.v)
        known = np.append(point.x, np.nan)[v].reshape(-1, self.data.line.n_steps)
        known[self.graph.root] = self.graph.root_vm[:, None] ** 2
        return np.asarray(np.sqrt(np.maximum(known[: self.graph.n_nodes], 0.0)))

    def wish(self, closed: Array) -> Array | None:
        """Return the power (node, step) that would flow if the network had no limits."""
        market = self.market
        problem = market.problem
        positions = [market.model.network.component(name) for name in ("v", "l")]
        lower, upper = problem.lower.copy(), problem.upper.copy()
        v = market.columns_of(positions[0])
        free = v[(v != ABSENT)]
        free = free[lower[free] < upper[free]]
        lower[free], upper[free] = WIDE
        if positions[1] is not None:
            squared = market.columns_of(positions[1])
            squared = squared[squared != ABSENT]
            upper[squared] = np.maximum(upper[squared], market.widest_current)
        relaxed = dataclasses.replace(problem, lower=lower, upper=upper)
        try:
            market.solve(closed, self._config, problem=relaxed)
        except NoSolution:
            return None
        return injected(market.model)

    def _solve(self, closed: Array) -> Point | None:
        if any(shape_of(self.graph, tree) is None for tree in np.unique(closed, axis=0)):
            return None
        try:
            x, report = self.market.solve(closed, self._config)
        except TimeLimit:
            raise
        except NoSolution:
            return None
        count = operations(self.graph.closed, closed)
        return Point(
            closed=closed,
            objective=report.objective + self._switching_cost * int(count.sum()),
            x=x,
            report=report,
            load=injected(self.market.model),
            duals=self.hours.duals(report),
        )

    def flows(self) -> Any:
        """Return the flows that the model holds."""
        model = self.market.model
        return read_flows(model.network, model.injection, has_losses=self._physics.has_losses)


def injected(m: Any) -> Array:
    """Return the power taken out of each node (node, step), p.u., at the values of a model."""
    power = m.injection.p + 1j * m.injection.q
    for terms, unit in ((m.injection.p_terms, 1.0), (m.injection.q_terms, 1j)):
        for (node, step), pairs in terms.items():
            power[node, step] += unit * sum(c * variable.value for c, variable in pairs)
    return np.asarray(-power)


@dataclass(frozen=True, kw_only=True)
class Round:
    """One outer round, as it is recorded.

    Parameters
    ----------
    objective : float
        Of the incumbent after the round, EUR.
    bound : float
        Of what the sequences that were looked at may reach, EUR.
    free : int
        Binaries that were free.
    looked_at : int
        Hours solved for themselves, each under one configuration.
    trials : int
        Trading days solved in the round.
    accepted : bool
    operations : int
        Of the incumbent.
    seconds : float
        Since the first round began.
    ac_vm_error_pu, ac_excess : float
        Of the incumbent's replay: difference of voltages, and by how much limits are broken.
    """

    objective: float
    bound: float
    free: int
    looked_at: int
    trials: int
    accepted: bool
    operations: int
    seconds: float
    ac_vm_error_pu: float
    ac_excess: float
