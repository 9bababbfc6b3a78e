"""All participants as the first block of a distributed scheme.

Each keeps its devices, costs and limits to itself; what it tells is its trades and its boundary
power. Participants are solved in groups: many at once where their days have the form of the batch,
one by one where they do not. With an executor every group lives in the process that it runs in.
"""

from __future__ import annotations

import pickle
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import numpy as np

from pp_p2p.market.agent_answers import Ask, Told
from pp_p2p.market.agent_batch import BatchGroup, batch_group, fits_batch
from pp_p2p.market.agent_model import ModelGroup, compiled_agent
from pp_p2p.market.clearing import ClearingData
from pp_p2p.market.ownership_split import Ports, owned_by, ports_of, trade_reach
from pp_p2p.network.branches import Array
from pp_p2p.solve.report import SolverConfig

Group = BatchGroup | ModelGroup

KEPT: Final = 64
"""Groups that a process keeps set up."""

_OPENED: dict[str, Any] = {}


@dataclass(frozen=True, kw_only=True)
class Agents:
    """Groups of participants.

    Parameters
    ----------
    groups : tuple of group
    sealed : tuple of (str, bytes)
        Name and content of every group, for other processes; empty without an executor.
    ports : Ports
    most_trade : (participant,)
        Most that each may trade, p.u.
    n_hours, n_steps : int
        Of trades and of boundary power.
    executor : Executor or None
    """

    groups: tuple[Group, ...]
    opened: tuple[Any, ...]
    sealed: tuple[tuple[str, bytes], ...]
    ports: Ports
    most_trade: Array
    n_hours: int
    n_steps: int
    executor: Executor | None = None

    @property
    def n(self) -> int:
        """Number of participants."""
        return len(self.most_trade)

    @classmethod
    def of(
        cls,
        data: ClearingData,
        config: SolverConfig,
        *,
        group_size: int,
        executor: Executor | None = None,
    ) -> Agents:
        """Return the participants of a day.

        Parameters
        ----------
        data : ClearingData
        config : SolverConfig
            For participants that are solved one by one.
        group_size : int
            Most participants that are solved as one.
        executor : Executor, optional
            Runs the groups.
        """
        owned = tuple(owned_by(data.portfolio, int(label)) for label in data.participants)
        ports = ports_of(data, owned)
        most = trade_reach(data, ports)
        fits = np.array([fits_batch(data, mine) for mine in owned], dtype=bool)
        groups: list[Group] = []
        for agents in _chunks(np.flatnonzero(fits), group_size):
            mine = np.flatnonzero(np.isin(ports.agent, agents))
            groups.append(batch_group(data, owned, agents, mine, ports.capacity, most))
        for agents in _chunks(np.flatnonzero(~fits), group_size):
            problems = tuple(
                compiled_agent(data, owned[a], a, ports, float(most[a]), config)
                for a in agents.tolist()
            )
            mine = np.flatnonzero(np.isin(ports.agent, agents))
            groups.append(ModelGroup(agents=agents, ports=mine, problems=problems))
        away = executor is not None
        return cls(
            groups=tuple(groups),
            opened=() if away else tuple(group.opened() for group in groups),
            sealed=tuple((uuid4().hex, pickle.dumps(g)) for g in groups) if away else (),
            ports=ports,
            most_trade=most,
            n_hours=data.line.steps_per_day,
            n_steps=data.line.n_steps,
            executor=executor,
        )

    def answer(self, ask: Ask, memory: Any = None) -> Told:
        """Return the answer of all participants."""
        memories = memory or (None,) * len(self.groups)
        asks = [self._part(ask, group) for group in self.groups]
        if self.executor is None:
            told = [
                group.answer(part, own)
                for group, part, own in zip(self.opened, asks, memories, strict=True)
            ]
        else:
            jobs = [
                self.executor.submit(_answer, name, content, part, own)
                for (name, content), part, own in zip(self.sealed, asks, memories, strict=True)
            ]
            told = [job.result() for job in jobs]
        trade = np.zeros((self.n, self.n_hours))
        boundary = np.zeros((len(self.ports.agent), self.n_steps))
        cost = np.zeros(self.n)
        schedule: dict[str, tuple[Array, Array]] = {}
        for group, one in zip(self.groups, told, strict=True):
            trade[group.agents], boundary[group.ports] = one.trade, one.boundary
            cost[group.agents] = one.cost
            for name, (rows, values) in one.schedule.items():
                known = schedule.get(name)
                schedule[name] = (
                    (rows, values)
                    if known is None
                    else (np.concatenate([known[0], rows]), np.concatenate([known[1], values]))
                )
        return Told(
            trade=trade,
            boundary=boundary,
            cost=cost,
            schedule=schedule,
            memory=tuple(one.memory for one in told),
        )

    def _part(self, ask: Ask, group: Group) -> Ask:
        def rows(value: Any, which: Array, shape: tuple[int, int]) -> Array:
            return np.asarray(np.broadcast_to(value, shape)[which])

        trades, powers = (self.n, self.n_hours), (len(self.ports.agent), self.n_steps)
        fixed = ask.fixed_trade
        return Ask(
            trade_cost=rows(ask.trade_cost, group.agents, trades),
            trade_curvature=rows(ask.trade_curvature, group.agents, trades),
            boundary_cost=rows(ask.boundary_cost, group.ports, powers),
            boundary_curvature=rows(ask.boundary_curvature, group.ports, powers),
            fixed_trade=None if fixed is None else fixed[group.agents],
            schedule=ask.schedule,
        )


def _answer(name: str, content: bytes, ask: Ask, memory: Any) -> Told:
    """Answer in whatever process this is; the group is set up once in each."""
    if name not in _OPENED:
        while len(_OPENED) >= KEPT:
            _OPENED.pop(next(iter(_OPENED)))
        _OPENED[name] = pickle.loads(content).opened()
    told: Told = _OPENED[name].answer(ask, memory)
    return told


def _chunks(members: Array, size: int) -> list[Array]:
    return [members[k : k + size] for k in range(0, len(members), size)]
