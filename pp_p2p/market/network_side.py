"""The operator's side of a distributed day: the network, and boundary powers alone.

    min  w C_0(T)   s.t.  load flow and limits under the boundary powers T (port, step)   (1)
    C_0 = R_s[ sum_t h (b_st buy_0st - s_st sell_0st) + own devices ]                     (2)
    buy_0 - sell_0 = power of external grids - sum_k T_k                                  (3)

Since trades sum to zero, what participants exchange with the grid adds up to their boundary power:
(3) is what is left for the operator, as in `pp_p2p.market.clearing`. Of participants it knows, once
and for all, where they are connected, how much they may draw or feed in there, and the reactive
power at these nodes: fixed, or a range of which it chooses. What they own it does not know.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import pyomo.environ as pyo

from pp_p2p.algorithms.two_block import Answer
from pp_p2p.elements.schema import NONE
from pp_p2p.errors import NoSolution, TimeLimit
from pp_p2p.market.bargaining import NashBargaining
from pp_p2p.market.clearing import ClearingData
from pp_p2p.market.ownership_split import Ports, owned_by, rows_of
from pp_p2p.market.risk import add_risk
from pp_p2p.names import OPERATOR
from pp_p2p.network.algebra import linear
from pp_p2p.network.block import network_block
from pp_p2p.network.branches import Array
from pp_p2p.network.device_costs import CostTerm, device_costs
from pp_p2p.network.devices import (
    drawn_from_links,
    fixed_injection,
    flexible_load_block,
    generator_block,
    storage_block,
)
from pp_p2p.network.formulation import Formulation
from pp_p2p.network.grid import GridData
from pp_p2p.network.limits import solve_or_explain
from pp_p2p.network.portfolio import Generators, Portfolio
from pp_p2p.network.soft_open_point import sop_block
from pp_p2p.network.tightening import Tightening, weigh_losses
from pp_p2p.network.timeline import Timeline
from pp_p2p.solve.compiled import CompiledProblem, compile_model
from pp_p2p.solve.proximal import Proximal
from pp_p2p.solve.report import SolverConfig, SolveReport
from pp_p2p.solve.vectors import ABSENT, Positions, Vectors


@dataclass(frozen=True, kw_only=True)
class NetworkData:
    """Everything the operator knows.

    Parameters
    ----------
    grid, line, tightening, mechanism
        As of the day.
    portfolio : Portfolio
        Its own devices, and the generators of participants with nothing but their reactive range.
    rows : mapping of str to (device,) of int
        Positions of these in the day's portfolio.
    reactive : (node, step)
        Fixed reactive power that participants' loads draw, p.u.
    ports : Ports
    price_buy, price_sell : (step,), EUR/MWh
    """

    grid: GridData
    line: Timeline
    portfolio: Portfolio
    rows: dict[str, Array]
    reactive: Array
    ports: Ports
    price_buy: Array
    price_sell: Array
    mechanism: NashBargaining
    tightening: Tightening

    @property
    def step_mwh(self) -> float:
        """Energy of 1 p.u. over one step, MWh."""
        return self.line.step_h * self.grid.s_base_mva

    @classmethod
    def of(cls, data: ClearingData, ports: Ports) -> NetworkData:
        """Return what the operator of a day knows."""
        own = owned_by(data.portfolio, OPERATOR)
        others = np.flatnonzero(data.portfolio.generators.owner != OPERATOR)
        foreign = data.portfolio.loads.owner != OPERATOR
        reactive = np.zeros((data.grid.n_nodes, data.line.n_steps))
        loads = data.portfolio.loads
        np.add.at(reactive, loads.node[foreign], loads.q[:, foreign].T)
        portfolio = dataclasses.replace(
            own.portfolio,
            generators=_both(
                own.portfolio.generators, _reactive(data.portfolio.generators, others)
            ),
            sops=data.portfolio.sops,
        )
        rows = dict(own.rows)
        rows["generator"] = np.concatenate([rows["generator"], others])
        return cls(
            grid=data.grid,
            line=data.line,
            portfolio=portfolio,
            rows=rows,
            reactive=reactive,
            ports=ports,
            price_buy=data.price_buy,
            price_sell=data.price_sell,
            mechanism=data.mechanism,
            tightening=data.tightening,
        )


SLACK: Final = 1e-5
BURNT: Final = 2.0
"""Slack of a branch's cone (p.u. of a squared power) that counts as exact; or as exact as the
operator's own choice, times this."""


class Served(NamedTuple):
    """What the operator keeps of its answer: its weighted cost, and duals by number of the row.

    These are the prices at its nodes: it still chooses boundary power. With power given, no limit
    of the network would have a price.
    """

    cost: float
    duals: Mapping[Any, float]


class Hosted(NamedTuple):
    """What the network makes of given boundary power: the operator's weighted cost, and how."""

    cost: float
    x: Array
    report: SolveReport
    duals: Mapping[Any, float]


class NetworkSide:
    """The operator as the second block of a scheme.

    Parameters
    ----------
    data : NetworkData
    formulation : Formulation
    weight : float
        w of (1).
    config : SolverConfig
    """

    def __init__(
        self, data: NetworkData, formulation: Formulation, weight: float, config: SolverConfig
    ) -> None:
        self.data, self._config = data, config
        self.model = network_model(data, formulation, weight)
        self._problem = compile_model(self.model)
        positions = Positions(self._problem)
        self._target = positions.columns(self.model.target)
        self._proximal = Proximal(self._problem, self._target, config)
        self._limits = _Limits.of(self._problem, positions, self.model.network)
        self._positions, self._slack = positions, 0.0

    def second(self, point: Array, penalty: float, _memory: Any) -> Answer:
        """Return ``argmin w C_0(T) + penalty/2 |T - point|^2`` (port, step)."""
        try:
            x, report = self._proximal.solve(-penalty * point.ravel(), penalty)
        except TimeLimit:
            raise
        except NoSolution:
            self._explain()
            raise
        cost, self._slack = self._proximal.cost(x), self._burnt(x)
        served = Served(cost, report.duals)
        return Answer(x[self._target].reshape(point.shape), cost, served)

    def inside(self, point: Array, penalty: float, margin: float) -> Array:
        """Return what `second` returns, with every limit of the network drawn in by `margin`."""
        within = self._limits.drawn_in(self._problem, margin)
        x, _ = self._proximal.solve(-penalty * point.ravel(), penalty, within=within)
        return np.asarray(x[self._target].reshape(point.shape))

    def host(self, boundary: Array) -> Hosted | None:
        """Return the best operation under given `boundary` (port, step).

        None where a limit breaks, or would but for losses that are not there: with power given, a
        cone relaxation may burn some of it.
        """
        fixed = dict(zip(self._target.tolist(), boundary.ravel().tolist(), strict=True))
        try:
            x, report = self._proximal.solve(fixed=fixed)
        except TimeLimit:
            raise
        except NoSolution:
            return None
        if self._burnt(x) > max(SLACK, BURNT * self._slack):
            return None
        return Hosted(self._proximal.cost(x), x, report, report.duals)

    def prices(self, hosted: Hosted) -> dict[Any, float]:
        """Return the duals of `hosted` by the rows of ``self.model``."""
        rows = self._problem.rows
        return {rows[k]: dual for k, dual in hosted.duals.items()}

    def load(self, hosted: Hosted) -> Any:
        """Return the model with the values of `hosted`."""
        for variable, value in zip(self._problem.columns, hosted.x.tolist(), strict=True):
            variable.set_value(value, skip_validation=True)
        return self.model

    def _burnt(self, x: Array) -> float:
        """Return the largest slack of a branch's cone at `x`, p.u. of a squared power."""
        network, tree = self.model.network, self.data.grid.tree
        if network.component("l") is None:
            return 0.0
        n_steps = self.data.line.n_steps

        def at(name: str) -> Array:
            values = np.append(x, np.nan)[self._positions.columns(network.component(name))]
            return values.reshape(-1, n_steps)

        v = at("v")[tree.parent] * tree.v_scale_parent[:, None]
        return float(np.nanmax(at("l") * v - at("p") ** 2 - at("q") ** 2, initial=0.0))

    def _explain(self) -> None:
        """Raise `NoSolution` that names what no boundary power can mend, if anything."""
        solve_or_explain(
            self.model, self.data.grid, self.data.line, self._config, "trade_day, the network alone"
        )


@dataclass(frozen=True, kw_only=True)
class _Limits:
    """Columns and rows of a compiled problem that are limits of the network."""

    voltage: Array
    current: Array
    flow: Array
    source: Array

    @classmethod
    def of(cls, problem: CompiledProblem, positions: Positions, network: Any) -> _Limits:
        none = np.zeros(0, dtype=np.int64)
        v = positions.columns(network.v)
        squared, polygon = network.component("l"), network.component("current_polygon")
        return cls(
            voltage=v[(v != ABSENT) & (problem.lower[v] < problem.upper[v])],
            current=none if squared is None else positions.columns(squared),
            flow=none if polygon is None else positions.rows(polygon),
            source=np.concatenate(
                [positions.columns(network.p_source), positions.columns(network.q_source)]
            ),
        )

    def drawn_in(self, problem: CompiledProblem, margin: float) -> CompiledProblem:
        """Return `problem` with limits drawn in by `margin`.

        Squared voltages and external grids by itself, currents by that part of them.
        """
        vectors = Vectors.of(problem)
        vectors.lower[self.voltage] += margin
        vectors.upper[self.voltage] -= margin
        vectors.upper[self.current] *= 1.0 - margin
        vectors.row_upper[self.flow] -= margin * np.abs(vectors.row_upper[self.flow])
        there = self.source[self.source != ABSENT]
        inset = np.minimum(margin, 0.5 * (vectors.upper[there] - vectors.lower[there]))
        vectors.lower[there] += inset
        vectors.upper[there] -= inset
        return vectors.put_into(problem)


def network_model(data: NetworkData, formulation: Formulation, weight: float) -> Any:
    """Return the Pyomo model of (1)-(3)."""
    m = pyo.ConcreteModel(name="network_side")
    line, p, ports = data.line, data.portfolio, data.ports
    m.TIME, m.ACCOUNT = pyo.RangeSet(0, line.n_steps - 1), pyo.RangeSet(0, 0)
    m.PORT = pyo.RangeSet(0, len(ports.agent) - 1)
    most = ports.capacity.tolist()
    m.target = pyo.Var(m.PORT, m.TIME, bounds=lambda _, k, _t: (-most[k], most[k]))
    m.injection = fixed_injection(data.grid.n_nodes, line, p.loads, p.generators)
    m.injection.q -= data.reactive
    m.storage = storage_block(p.storages, line, m.injection)
    m.generator = generator_block(p.generators, line, m.injection)
    m.flexible = flexible_load_block(p.flexible, line, m.injection)
    drawn = drawn_from_links(p.storages, m.storage)
    for k in m.PORT:
        node, link = int(ports.node[k]), int(ports.link[k])
        for t in m.TIME:
            if link != NONE:
                drawn[link, t].append((1.0, m.target[k, t]))
            else:
                m.injection.p_terms[node, t].append((-1.0, m.target[k, t]))
    m.sop = sop_block(p.sops, m.injection, drawn, law=formulation.capability)
    _name_rows(m, p)
    m.network = network_block(data.grid, formulation, m.injection, data.tightening)
    limit = m.network.most_supply
    m.buy = pyo.Var(m.TIME, bounds=(0.0, limit))
    m.sell = pyo.Var(m.TIME, bounds=(0.0, limit))

    def exchange(m: Any, t: int) -> Any:
        sources, targets = list(m.network.SOURCE), list(m.PORT)
        coefs = [1.0] * len(sources) + [-1.0] * len(targets) + [-1.0, 1.0]
        variables = [m.network.p_source[k, t] for k in sources]
        variables += [m.target[k, t] for k in targets] + [m.buy[t], m.sell[t]]
        return linear(coefs, variables) == 0.0

    m.exchange = pyo.Constraint(m.TIME, rule=exchange)
    add_risk(m, [_costs(m, data)], line, data.mechanism)
    m.social_cost = pyo.Objective(expr=float(weight) * m.risk_cost[0])
    weigh_losses(m, data.tightening, data.grid, p.sops, data.step_mwh * line.step_weight)
    return m


def _costs(m: Any, data: NetworkData) -> list[CostTerm]:
    costs = []
    for t in m.TIME:
        buy, sell = (data.step_mwh * float(price[t]) for price in (data.price_buy, data.price_sell))
        costs += [CostTerm(OPERATOR, t, m.buy[t], buy), CostTerm(OPERATOR, t, m.sell[t], -sell)]
    hours = np.full(data.line.n_steps, data.line.step_h)
    own = device_costs(m, data.portfolio, hours, data.grid.s_base_mva)
    return [*costs, *(term for term in own if term.owner == OPERATOR)]


def _name_rows(m: Any, p: Portfolio) -> None:
    """Give the blocks the labels of their devices, for whoever must name one."""
    m.storage.rows = p.storages.index.tolist()
    m.generator.rows = p.generators.index.tolist()
    m.flexible.rows = p.flexible.index.tolist()
    m.sop.rows = p.sops.index.tolist()


def _reactive(data: Generators, which: Array) -> Generators:
    """Return generators of which nothing but the reactive power is known."""
    some = rows_of(data, which)
    none = np.zeros(len(which))
    return dataclasses.replace(
        some,
        owner=np.full(len(which), OPERATOR),
        available=np.zeros_like(some.available),
        curtailable=np.zeros(len(which), dtype=bool),
        p_min=none,
        cost_eur_per_mwh=none,
        cost_eur_per_mw2h=none,
    )


def _both(one: Generators, two: Generators) -> Generators:
    fields = {
        f.name: np.concatenate([getattr(one, f.name), getattr(two, f.name)], axis=-1)
        for f in dataclasses.fields(one)
    }
    return Generators(**fields)
