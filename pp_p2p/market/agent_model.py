"""A participant whose day is a model of its own: whatever its devices, scenarios and risk.

    min  R_s[ sum_t h (b_st buy_st - s_st sell_st) + devices_s ]                          (1)
    buy_st - sell_st + e_t = sum_k P_kst,     P_k what its devices draw at port k         (2)

R is that of `pp_p2p.market.risk`. Trades e are agreed before it is known which scenario s comes
true. The model is written in Pyomo once and solved from its matrices ever after.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyomo.environ as pyo

from pp_p2p.elements.schema import NONE
from pp_p2p.errors import NoSolution
from pp_p2p.market.agent_answers import Ask, Schedule, Told
from pp_p2p.market.clearing import ClearingData
from pp_p2p.market.ownership_split import Owned, Ports
from pp_p2p.market.risk import add_risk
from pp_p2p.network.algebra import linear
from pp_p2p.network.branches import Array
from pp_p2p.network.device_costs import CostTerm, device_costs
from pp_p2p.network.devices import (
    drawn_from_links,
    fixed_injection,
    flexible_load_block,
    generator_block,
    storage_block,
)
from pp_p2p.solve.compiled import compile_model
from pp_p2p.solve.proximal import Proximal
from pp_p2p.solve.report import SolverConfig
from pp_p2p.solve.vectors import Positions

DEVICE_VARIABLES = {
    "storage": ("charge", "discharge", "energy"),
    "generator": ("p",),
    "flexible": ("up", "down", "curtail", "response"),
}
"""Variables of the day's model that are decided by whoever owns the device, by block."""


@dataclass(frozen=True, kw_only=True)
class ModelGroup:
    """Participants with a compiled problem each.

    Parameters
    ----------
    agents, ports : (agent,), (port,) of int
        Their positions, and those of all their ports, participant by participant.
    problems : tuple of CompiledAgent
    """

    agents: Array
    ports: Array
    problems: tuple[CompiledAgent, ...]

    def opened(self) -> ModelGroup:
        """Return the group set up to be solved."""
        return self

    def answer(self, ask: Ask, memory: Any) -> Told:
        """Return the best schedules under the terms of `ask`."""
        sizes = np.cumsum([len(p.boundary) for p in self.problems])
        counts = np.split(np.arange(len(self.ports)), sizes[:-1])
        told = []
        for k, (problem, ports) in enumerate(zip(self.problems, counts, strict=True)):
            told.append(problem.answer(_for_one(ask, k, ports, len(self.agents), len(self.ports))))
        return Told(
            trade=np.concatenate([t.trade for t in told]),
            boundary=np.concatenate([t.boundary for t in told]),
            cost=np.concatenate([t.cost for t in told]),
            schedule=_joined([t.schedule for t in told]),
            memory=memory,
        )


@dataclass(frozen=True, kw_only=True)
class CompiledAgent:
    """One participant's compiled problem.

    Parameters
    ----------
    label : int
        Its row in ``net.participant``.
    problem : Proximal
        Coupled columns: trades, then boundary powers.
    trade : (hour,) of int
        Columns of the trades.
    boundary : (port, step) of int
        Columns of the boundary powers.
    devices : mapping
        Variable of the day's model -> its rows and their columns (row, step).
    """

    label: int
    problem: Proximal
    trade: Array
    boundary: Array
    devices: dict[str, tuple[Array, Array]]

    def answer(self, ask: Ask) -> Told:
        """Return the answer of this participant alone; arrays (1, hour) and (port, step)."""
        hours, ports = self.trade.shape, self.boundary.shape
        terms = [
            np.concatenate(
                [
                    np.broadcast_to(trade, (1, *hours)).ravel(),
                    np.broadcast_to(boundary, ports).ravel(),
                ]
            )
            for trade, boundary in (
                (ask.trade_cost, ask.boundary_cost),
                (ask.trade_curvature, ask.boundary_curvature),
            )
        ]
        fixed = None
        if ask.fixed_trade is not None:
            fixed = dict(zip(self.trade.tolist(), ask.fixed_trade.ravel().tolist(), strict=True))
        try:
            x, _ = self.problem.solve(*terms, fixed=fixed)
        except NoSolution as error:
            raise NoSolution(
                f"participant {self.label} has no feasible schedule ({error}); widen its limits "
                "or let it shed load",
                error.report,
            ) from error
        schedule: Schedule = {}
        if ask.schedule:
            known = np.append(x, np.nan)  # what is in no law has no column: ABSENT is the last
            schedule = {name: (rows, known[at]) for name, (rows, at) in self.devices.items()}
        return Told(
            trade=x[self.trade][None, :],
            boundary=x[self.boundary],
            cost=np.array([self.problem.cost(x)]),
            schedule=schedule,
        )


def compiled_agent(
    data: ClearingData, owned: Owned, a: int, ports: Ports, most_trade: float, config: SolverConfig
) -> CompiledAgent:
    """Return participant `a` (position) as a compiled problem."""
    m = agent_model(data, owned, a, ports, most_trade)
    problem = compile_model(m)
    positions = Positions(problem)
    steps = data.line.n_steps
    trade = positions.columns(m.trade)
    boundary = positions.columns(m.boundary).reshape(-1, steps)
    devices = {
        "buy": (np.array([a]), positions.columns(m.buy).reshape(1, steps)),
        "sell": (np.array([a]), positions.columns(m.sell).reshape(1, steps)),
    }
    for block, names in DEVICE_VARIABLES.items():
        for name in names:
            variable = m.component(block).component(name)
            keys = sorted({key[0] for key in variable})
            if keys:
                at = positions.columns(variable).reshape(len(keys), steps)
                devices[f"{block}.{name}"] = (owned.rows[block][keys], at)
    return CompiledAgent(
        label=owned.label,
        problem=Proximal(problem, np.concatenate([trade, boundary.ravel()]), config),
        trade=trade,
        boundary=boundary,
        devices=devices,
    )


def agent_model(data: ClearingData, owned: Owned, a: int, ports: Ports, most_trade: float) -> Any:
    """Return the Pyomo model of (1), (2) for participant `a`."""
    m = pyo.ConcreteModel(name=f"participant_{owned.label}")
    line, p = data.line, owned.portfolio
    mine = np.flatnonzero(ports.agent == a)
    m.TIME = pyo.RangeSet(0, line.n_steps - 1)
    m.HOUR = pyo.RangeSet(0, line.steps_per_day - 1)
    m.ACCOUNT, m.PORT = pyo.RangeSet(0, 0), pyo.RangeSet(0, len(mine) - 1)
    injection = fixed_injection(data.grid.n_nodes, line, p.loads, p.generators)
    m.storage = storage_block(p.storages, line, injection)
    m.generator = generator_block(p.generators, line, injection)
    m.flexible = flexible_load_block(p.flexible, line, injection)
    drawn = drawn_from_links(p.storages, m.storage)
    total = float(ports.capacity[mine].sum()) + most_trade
    m.trade = pyo.Var(m.HOUR, bounds=(-most_trade, most_trade))
    m.buy = pyo.Var(m.TIME, bounds=(0.0, min(float(data.max_import[a]), total)))
    m.sell = pyo.Var(m.TIME, bounds=(0.0, min(float(data.max_export[a]), total)))
    m.boundary = pyo.Var(
        m.PORT, m.TIME, bounds=lambda _, k, _t: _both(float(ports.capacity[mine[k]]))
    )

    def at_port(m: Any, k: int, t: int) -> Any:
        node, link = int(ports.node[mine[k]]), int(ports.link[mine[k]])
        fixed = 0.0 if link != NONE else -float(injection.p[node, t])
        if link != NONE:
            terms = [(-c, v) for c, v in drawn[link, t]]
        else:
            terms = injection.p_terms.get((node, t), [])
        coefs = [1.0, *(c for c, _ in terms)]
        return linear(coefs, [m.boundary[k, t], *(v for _, v in terms)]) == fixed

    def account_balance(m: Any, t: int) -> Any:
        drawn_here = [m.boundary[k, t] for k in m.PORT]
        coefs = [1.0, -1.0, 1.0] + [-1.0] * len(drawn_here)
        hour = t % line.steps_per_day
        return linear(coefs, [m.buy[t], m.sell[t], m.trade[hour], *drawn_here]) == 0.0

    m.at_port = pyo.Constraint(m.PORT, m.TIME, rule=at_port)
    m.account_balance = pyo.Constraint(m.TIME, rule=account_balance)
    add_risk(m, [_costs(m, data, owned)], line, data.mechanism)
    m.cost = pyo.Objective(expr=m.risk_cost[0])
    return m


def _costs(m: Any, data: ClearingData, owned: Owned) -> list[CostTerm]:
    costs = []
    for t in m.TIME:
        buy, sell = (data.step_mwh * float(price[t]) for price in (data.price_buy, data.price_sell))
        costs.append(CostTerm(owned.label, t, m.buy[t], buy))
        costs.append(CostTerm(owned.label, t, m.sell[t], -sell))
    hours = np.full(data.line.n_steps, data.line.step_h)
    return [*costs, *device_costs(m, owned.portfolio, hours, data.grid.s_base_mva)]


def _both(most: float) -> tuple[float, float]:
    return -most, most


def _for_one(ask: Ask, k: int, ports: Array, n_agents: int, n_ports: int) -> Ask:
    def of_agent(value: Array | float) -> Array | float:
        return value[[k]] if isinstance(value, np.ndarray) and len(value) == n_agents else value

    def of_ports(value: Array | float) -> Array | float:
        return value[ports] if isinstance(value, np.ndarray) and len(value) == n_ports else value

    return Ask(
        trade_cost=of_agent(ask.trade_cost),
        trade_curvature=of_agent(ask.trade_curvature),
        boundary_cost=of_ports(ask.boundary_cost),
        boundary_curvature=of_ports(ask.boundary_curvature),
        fixed_trade=None if ask.fixed_trade is None else ask.fixed_trade[[k]],
        schedule=ask.schedule,
    )


def _joined(schedules: list[Schedule]) -> Schedule:
    names = {name for schedule in schedules for name in schedule}
    return {
        name: (
            np.concatenate([s[name][0] for s in schedules if name in s]),
            np.concatenate([s[name][1] for s in schedules if name in s]),
        )
        for name in sorted(names)
    }
