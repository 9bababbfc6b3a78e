"""Terminals of soft open points in a power flow: who balances, who holds a voltage.

Terminal i of a device feeds p_i + jq_i into the grid and loses L_i; storage on the link draws d:

    sum_i (p_i + L_i) + d = 0                                                          (1)

One terminal of each device balances (1): the one whose ``control_mode_dc`` is ``"vm_pu"``, else
the last in service. The others hold ``p_mw``. Where all terminals in service form islands, storage
on the link balances.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandapower.topology
import pandas as pd

from pp_p2p.elements.schema import NONE
from pp_p2p.elements.tables import extension
from pp_p2p.elements.terminals import forming_terminals, live_terminals
from pp_p2p.errors import Finding, raise_if_any
from pp_p2p.network.branches import Array
from pp_p2p.network.converter_losses import LossLaw, close_balance
from pp_p2p.network.device_rules import unsupplied_terminals
from pp_p2p.network.timeline import Timeline

OVERLOAD_TOLERANCE: Final = 1e-5
"""Part of the rating by which a set point may exceed it: what a solver's tolerance leaves."""


@dataclass(kw_only=True)
class TerminalState:
    """Terminals in service during power flows, MW and Mvar.

    Parameters
    ----------
    rows : DataFrame
        Their rows of ``net.sop_terminal``.
    law : LossLaw
    forming, balancing : (terminal,) of bool
        Who forms an island, and who balances (1).
    holds_voltage : (..., terminal) of bool
        Who holds the voltage of its bus still.
    drawn : (..., terminal)
        What storage on the link draws, at the balancing terminal.
    p, q : (..., terminal)
        Power into the buses, of one power flow or of many steps.
    """

    rows: pd.DataFrame
    law: LossLaw
    forming: Array
    balancing: Array
    holds_voltage: Array
    drawn: Array
    p: Array
    q: Array

    @property
    def device(self) -> Array:
        """Row of ``net.sop`` of each (terminal,)."""
        return self.rows["sop"].to_numpy(np.int64)

    @property
    def losses(self) -> Array:
        """Losses (..., terminal), MW."""
        return self.law.losses(self.p, self.q)

    @property
    def settled_beforehand(self) -> bool:
        """Whether no power flow enters (1)."""
        return not (self.holds_voltage.any() or self.forming.any())

    def close(self) -> Array:
        """Balance every device; return how far the powers of each flow have moved (...), MW."""
        closed = close_balance(self.law, self.device, self.balancing, self.p, self.q, self.drawn)
        change = np.abs(closed - self.p).max(axis=-1, initial=0.0)
        self.p = closed
        return np.asarray(change)

    def reactive_limits(self) -> tuple[Array, Array]:
        """Return the reactive power (..., terminal) that rating and limits leave beside `p`."""
        rated = self.rows.sn_mva.to_numpy(float)
        reach = np.sqrt(np.maximum(rated**2 - self.p**2, 0.0))
        low = self.rows.min_q_mvar.astype(float).fillna(-np.inf).to_numpy(float)
        high = self.rows.max_q_mvar.astype(float).fillna(np.inf).to_numpy(float)
        return np.maximum(low, -reach), np.minimum(high, reach)

    def give_way(self) -> Array:
        """Hold reactive power at its limit where the voltage asks for more.

        Returns
        -------
        (...) of bool
            Which flows have a terminal that gave way just now.
        """
        low, high = self.reactive_limits()
        beyond = self.holds_voltage & ((self.q < low) | (self.q > high))
        self.q = np.where(beyond, np.clip(self.q, low, high), self.q)
        self.holds_voltage = self.holds_voltage & ~beyond
        return np.asarray(beyond.any(axis=-1))

    def roles(self) -> Array:
        """Return what each (..., terminal) did: its mode, ``grid_forming`` or ``q_limit``."""
        mode = np.where(self.forming, "grid_forming", self.rows.control_mode_ac.to_numpy(object))
        gave_way = (mode == "vm_pu") & ~self.holds_voltage
        return np.where(gave_way, "q_limit", mode)


def terminal_state(
    net: Any,
    *,
    p_mw: Array | None = None,
    q_mvar: Array | None = None,
    storage_mw: Array | None = None,
    line: Timeline | None = None,
) -> TerminalState:
    """Return the terminals of `net` as they start into power flows, closed by (1).

    Parameters
    ----------
    net : pandapowerNet
    p_mw, q_mvar : (step, terminal), optional
        Set points of the rows of `live_terminals`, in their order, in place of the table's.
    storage_mw : (step, storage), optional
        Power drawn by the rows of ``net.storage``, in place of the table's.
    line : Timeline, optional
        Names the steps in messages.

    Raises
    ------
    InvalidInput
        A device without a terminal that could balance it, or a set point that rating and losses
        make impossible.
    """
    rows, forming = _supplied_terminals(net)
    balancing = _balancing(rows, forming)
    p = rows.p_mw.to_numpy(float) if p_mw is None else p_mw
    q = rows.q_mvar.to_numpy(float) if q_mvar is None else q_mvar
    drawn = _drawn(net, rows, balancing, storage_mw)
    shape = np.broadcast_shapes(p.shape, q.shape, drawn.shape)
    holds = (rows.control_mode_ac == "vm_pu").to_numpy(bool) & ~forming
    state = TerminalState(
        rows=rows,
        law=LossLaw(
            standby=rows.loss_standby_mw.to_numpy(float),
            factor=rows.loss_factor.to_numpy(float),
            quadratic=rows.loss_quadratic_per_mva.to_numpy(float),
        ),
        forming=forming,
        balancing=balancing,
        holds_voltage=np.array(np.broadcast_to(holds, shape)),
        drawn=drawn,
        p=np.where(forming, 0.0, np.broadcast_to(p, shape)),
        q=np.where(forming, 0.0, np.broadcast_to(q, shape)),
    )
    raise_if_any(_unbalanced(net, state))
    state.close()
    if state.settled_beforehand:
        raise_if_any(overloads(state, line))
    return state


def overloads(state: TerminalState, line: Timeline | None = None) -> list[Finding]:
    """Return the terminals whose rating is exceeded, at any step; `line` names the first."""
    rated = state.rows.sn_mva.to_numpy(float)
    within = np.hypot(state.p, state.q) <= rated * (1.0 + OVERLOAD_TOLERANCE)
    beyond = ~np.atleast_2d(within)  # NaN, where losses leave no solution, is not within
    over = state.rows.index[np.flatnonzero(beyond.any(axis=0))]
    if not len(over):
        return []
    steps = np.flatnonzero(beyond.any(axis=1))
    when = "" if line is None else f", in {len(steps)} steps, first at {line.label(int(steps[0]))}"
    return [
        Finding(
            table="sop_terminal",
            column="sn_mva",
            rows=tuple(over.tolist()),
            rule="is below the apparent power that it carries, losses of the device included"
            + when,
            mend="lower the set points of the device, or raise sn_mva",
        )
    ]


def storage_on_links(net: Any) -> Array:
    """Return which rows of ``net.storage`` (storage,) in service stand on the link of a device."""
    on_link = extension(net, "storage", "sop").to_numpy(np.int64) != NONE
    return np.asarray(on_link & net.storage.in_service.to_numpy(bool))


def _supplied_terminals(net: Any) -> tuple[pd.DataFrame, Array]:
    """Return the terminals in service, and which of them form an island.

    Of each part of the net that nothing else feeds, the first able terminal forms the grid.

    Raises
    ------
    InvalidInput
        A terminal on a bus that nothing feeds.
    """
    rows = live_terminals(net)
    if rows.empty:
        return rows, np.zeros(0, dtype=bool)
    topology = pandapower.topology
    dead = {int(bus) for bus in topology.unsupplied_buses(net)}
    dead |= set(net.bus.index[~net.bus.in_service.to_numpy(bool)].tolist())
    able, chosen = forming_terminals(net), []
    graph = topology.create_nxgraph(net) if able else None
    for terminal, bus in able.items():
        if bus in dead and bool(net.bus.in_service[bus]):
            chosen.append(terminal)
            dead -= set(topology.connected_component(graph, bus))
    raise_if_any(unsupplied_terminals(rows.index[rows.bus.isin(dead)]))
    return rows, np.asarray(rows.index.isin(chosen))


def _balancing(rows: pd.DataFrame, forming: Array) -> Array:
    """Return which terminal balances each device: who holds the link, else the last."""
    balancing = np.zeros(len(rows), dtype=bool)
    device = rows["sop"].to_numpy()
    holds = (rows.control_mode_dc == "vm_pu").to_numpy(bool)
    for label in np.unique(device):
        free = np.flatnonzero((device == label) & ~forming)
        holding = free[holds[free]]
        if free.size:
            balancing[holding[0] if holding.size else free[-1]] = True
    return balancing


def _drawn(net: Any, rows: pd.DataFrame, balancing: Array, given: Array | None) -> Array:
    """Return what storage on the links draws (..., terminal), at the balancing terminals."""
    power = (net.storage.p_mw * net.storage.scaling).to_numpy(float) if given is None else given
    power = np.where(storage_on_links(net), power, 0.0)
    device = extension(net, "storage", "sop").to_numpy(np.int64)
    here = (device[:, None] == rows["sop"].to_numpy()[None, :]) & balancing
    return np.asarray(power @ here.astype(float))


def _unbalanced(net: Any, state: TerminalState) -> list[Finding]:
    stored = extension(net, "storage", "sop").to_numpy(np.int64)[storage_on_links(net)]
    able = {*state.device[state.balancing].tolist(), *stored.tolist()}
    lost = sorted(set(state.device.tolist()) - able)
    if not lost:
        return []
    return [
        Finding(
            table="sop",
            rows=tuple(lost),
            rule="have neither a terminal nor storage that could balance what forms an island",
            mend="put a terminal on a supplied bus in service, or storage on the link",
        )
    ]
