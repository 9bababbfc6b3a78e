"""Who owns what, and where it is connected: the day's data cut into accounts.

A participant takes part through its *ports*: the nodes at which its devices stand, and the links of
soft open points that its storage feeds. What it draws at a port is its boundary power; the rest of
the world needs no other power of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np

from pp_p2p.elements.schema import NONE
from pp_p2p.market.clearing import ClearingData
from pp_p2p.network.branches import Array
from pp_p2p.network.portfolio import Portfolio

MARGIN: Final = 1e-3
"""Room (relative, and p.u.) left above the most that a port can draw: the bound never binds."""

D = TypeVar("D")


@dataclass(frozen=True, kw_only=True)
class Owned:
    """Devices of one account.

    Parameters
    ----------
    label : int
        Row of ``net.participant``, or `pp_p2p.names.OPERATOR`.
    portfolio : Portfolio
        Its devices alone; soft open points are the operator's.
    rows : mapping of str to (device,) of int
        Positions of its flexible loads, generators and storage in the day's portfolio.
    """

    label: int
    portfolio: Portfolio
    rows: Mapping[str, Array]


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Where participants are connected.

    Parameters
    ----------
    agent : (port,) of int
        Position of the participant.
    node : (port,) of int
        Node of the grid; -1 for a port on a link.
    link : (port,) of int
        Row of ``net.sop`` for a port on its link; `NONE` for the grid.
    capacity : (port,)
        Most that may be drawn or fed in, p.u.
    """

    agent: Array
    node: Array
    link: Array
    capacity: Array

    def sums(self, power: Array, n_agents: int) -> Array:
        """Return the sum (agent, step) over the ports of each."""
        total = np.zeros((n_agents, power.shape[1]))
        np.add.at(total, self.agent, power)
        return total


def owned_by(portfolio: Portfolio, label: int) -> Owned:
    """Return the devices of account `label`."""
    parts: dict[str, Any] = {
        "loads": portfolio.loads,
        "flexible": portfolio.flexible,
        "generator": portfolio.generators,
        "storage": portfolio.storages,
    }
    rows = {name: np.flatnonzero(part.owner == label) for name, part in parts.items()}
    return Owned(
        label=label,
        portfolio=Portfolio(
            loads=rows_of(portfolio.loads, rows["loads"]),
            flexible=rows_of(portfolio.flexible, rows["flexible"]),
            generators=rows_of(portfolio.generators, rows["generator"]),
            storages=rows_of(portfolio.storages, rows["storage"]),
            sops=rows_of(portfolio.sops, np.zeros(0, dtype=np.int64)),
        ),
        rows=rows,
    )


def rows_of(data: D, which: Array) -> D:
    """Return some rows of a table of arrays (row,) and (step, row)."""

    def some(value: Any) -> Any:
        if dataclasses.is_dataclass(value):
            return rows_of(value, which)
        return value[which] if value.ndim == 1 else value[:, which]

    fields = {f.name: some(getattr(data, f.name)) for f in dataclasses.fields(data)}  # type: ignore[arg-type]
    return dataclasses.replace(data, **fields)  # type: ignore[type-var]


def ports_of(data: ClearingData, owned: tuple[Owned, ...]) -> Ports:
    """Return the ports of all participants, one after the other."""
    agent, node, link, capacity = [], [], [], []
    for a, mine in enumerate(owned):
        for at_node, at_link in places(mine, int(data.participant_node[a])):
            low, high = reach(mine.portfolio, at_node, at_link)
            most = float(max(np.abs(low).max(), np.abs(high).max()))
            agent.append(a)
            node.append(at_node)
            link.append(at_link)
            capacity.append(most * (1.0 + MARGIN) + MARGIN)
    return Ports(
        agent=np.array(agent, dtype=np.int64),
        node=np.array(node, dtype=np.int64),
        link=np.array(link, dtype=np.int64),
        capacity=np.array(capacity),
    )


def places(owned: Owned, home: int) -> list[tuple[int, int]]:
    """Return node and link of every port of one participant; its own node where it has none."""
    p = owned.portfolio
    on_grid = p.storages.sop == NONE
    nodes = np.concatenate([p.loads.node, p.generators.node, p.storages.node[on_grid]])
    links = np.unique(p.storages.sop[~on_grid])
    found = [(int(node), NONE) for node in np.unique(nodes)] + [(-1, int(k)) for k in links]
    return found or [(home, NONE)]


def reach(p: Portfolio, node: int, link: int) -> tuple[Array, Array]:
    """Return the least and the most (step,) that devices at a port may draw, p.u."""
    low, high = np.zeros(len(p.loads.p)), np.zeros(len(p.loads.p))
    here = p.storages.sop == link if link != NONE else at_node(p, node)
    low -= p.storages.p_discharge[here].sum()
    high += p.storages.p_charge[here].sum()
    if link != NONE:
        return low, high
    fixed = p.loads.p[:, p.loads.node == node].sum(axis=1)
    low, high = low + fixed, high + fixed
    f, g = p.flexible, p.generators
    mine = f.node == node
    follows = f.level[:, mine] * f.elastic[mine]
    low -= (f.max_down[:, mine] + f.max_curtail[:, mine] + follows).sum(axis=1)
    high += (f.max_up[:, mine] + follows).sum(axis=1)
    mine = g.node == node
    available = g.available[:, mine]
    least = np.where(g.curtailable[mine], np.minimum(g.p_min[mine], available), available)
    return low - available.sum(axis=1), high - least.sum(axis=1)


def at_node(p: Portfolio, node: int) -> Array:
    """Return which storage (storage,) stands at `node` of the grid."""
    return np.asarray((p.storages.sop == NONE) & (p.storages.node == node))


def trade_reach(data: ClearingData, ports: Ports) -> Array:
    """Return the most (participant,) that each may trade, p.u.

    Where nobody's exchange with the grid is limited, nobody gains by trading more than it draws or
    feeds in: who would pass energy on lets both sides use the grid at the same price, without the
    fee. Otherwise one may pass on what all others have.
    """
    n = len(data.participants)
    own = ports.sums(ports.capacity[:, None], n)[:, 0]
    unlimited = (data.max_import >= own).all() and (data.max_export >= own).all()
    most = own if unlimited else np.full(n, own.sum())
    return np.minimum(data.max_trade, most)
