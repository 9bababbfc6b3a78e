"""Soft open points over many steps: their balance, voltages that they hold, islands they form.

Where only set points enter the balance of the devices, one batch of power flows is enough. Else
batches alternate with the balance, as in `runpp`: reactive power q of the terminals that hold the
voltage of their bus is moved by

    q <- q + J^-1 (V_set - |V(q)|)                                                     (1)

with the sensitivities J of `pp_p2p.operation.voltage_control` at the first voltages, until it
meets a limit; what forms an island feeds in what the island draws. Steps rest one by one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np

from pp_p2p.elements.terminals import live_terminals
from pp_p2p.errors import raise_if_any
from pp_p2p.network.branches import Array
from pp_p2p.operation.batch_flow import BatchFlow, BatchSolution
from pp_p2p.operation.given_profiles import Given
from pp_p2p.operation.runpp import MOST_ROUNDS, REST_MW
from pp_p2p.operation.terminal_state import (
    TerminalState,
    overloads,
    terminal_state,
)
from pp_p2p.operation.voltage_control import sensitivity

VM_REST_PU: Final = 1e-11
"""Distance of a voltage from its set point at which it counts as held."""


@dataclass(frozen=True, kw_only=True)
class SopSteps:
    """Terminals of soft open points that take part, with set points (step, terminal)."""

    state: TerminalState

    @classmethod
    def from_net(cls, net: Any, given: Given) -> Self:
        """Read the terminals that take part and close every device.

        Raises
        ------
        InvalidInput
            A set point above the rating, losses included, or a device that nothing balances.
        """
        rows = live_terminals(net)
        n = given.line.n_steps
        p, q = (
            _over_steps(rows, rows[column], given.values(f"sop_{column}"), n)
            for column in ("p_mw", "q_mvar")
        )
        storage = (net.storage.p_mw * net.storage.scaling).astype(float)
        drawn = _over_steps(net.storage, storage, given.values("storage_p_mw"), n)
        state = terminal_state(net, p_mw=p, q_mvar=q, storage_mw=drawn, line=given.line)
        return cls(state=state)

    @property
    def forming(self) -> dict[int, float]:
        """Bus -> voltage (p.u.) of the terminals that form islands."""
        rows = self.state.rows[self.state.forming]
        return dict(zip(rows.bus.tolist(), rows.vm_pu.tolist(), strict=True))

    @property
    def at_limit(self) -> Array:
        """Whether a terminal (step, terminal) gave up its voltage for its reactive limit."""
        return np.asarray(self.state.roles() == "q_limit")

    def solve(
        self, flow: BatchFlow, power: dict[str, Any], steps: slice, *, currents: bool
    ) -> BatchSolution:
        """Solve `steps`, whose other injections are `power`; the state keeps what was found."""
        part = self._part(steps)
        if self.state.settled_beforehand:
            return flow.solve(**self._with_terminals(flow, power, part), currents=currents)
        rested = self._alternate(flow, power, part)
        for name in ("p", "q", "holds_voltage"):
            getattr(self.state, name)[steps] = getattr(part, name)
        raise_if_any(overloads(_of(part, np.flatnonzero(rested))))
        solution = flow.solve(**self._with_terminals(flow, power, part), currents=currents)
        return solution.only(rested)

    def with_terminals(self, flow: BatchFlow, power: dict[str, Any]) -> dict[str, Any]:
        """Return `power` of all steps with what the terminals feed in."""
        return self._with_terminals(flow, power, self.state)

    def _part(self, steps: slice) -> TerminalState:
        return _of(self.state, np.arange(len(self.state.p))[steps])

    def _with_terminals(
        self, flow: BatchFlow, power: dict[str, Any], part: TerminalState
    ) -> dict[str, Any]:
        """Return `power` with what the terminals feed in; a source feeds in what islands draw."""
        at = flow.columns(part.rows.bus.to_numpy())
        own = ~part.forming
        out = dict(power)
        for name, values in (("p_mw", part.p), ("q_mvar", part.q)):
            total = np.array(power[name])
            np.add.at(total.T, at[own], np.nan_to_num(values[:, own]).T)
            out[name] = total
        return out

    def _alternate(self, flow: BatchFlow, power: dict[str, Any], part: TerminalState) -> Array:
        """Move `part` to rest; return which steps have come to it."""
        rested = np.zeros(len(part.p), dtype=bool)
        active = np.arange(len(part.p))
        jacobian = None
        for _ in range(MOST_ROUNDS):
            now = _of(part, active)
            chosen = {name: _rows(value, active) for name, value in power.items()}
            solution = flow.solve(**self._with_terminals(flow, chosen, now), currents=False)
            if jacobian is None:
                jacobian = self._jacobian(flow)
            error = self._hold(flow, now, solution, jacobian)
            self._form(flow, now, solution)
            limited = now.give_way()
            change = now.close()
            for name in ("p", "q", "holds_voltage"):
                getattr(part, name)[active] = getattr(now, name)
            found = solution.converged & ~np.isnan(now.p).any(axis=1)
            done = found & (change <= REST_MW) & (error <= VM_REST_PU) & ~limited
            rested[active[done]] = True
            active = active[found & ~done]
            if not active.size:
                break
        return rested

    def _jacobian(self, flow: BatchFlow) -> Array:
        """Return d|V| / dq (terminal, terminal), p.u. per Mvar, at rated voltage."""
        model = flow.model
        nodes = model.nodes_of(self.state.rows.bus.to_numpy())
        inside = ~self.state.forming & ~np.isin(nodes, model.source_node)
        out = np.eye(len(nodes))
        kept = np.flatnonzero(inside)
        if kept.size:
            flat = np.ones((1, kept.size), dtype=complex)
            out[np.ix_(kept, kept)] = sensitivity(model, nodes[kept], flat)[0]
        return out / model.s_base_mva

    def _hold(
        self, flow: BatchFlow, now: TerminalState, solution: BatchSolution, jacobian: Array
    ) -> Array:
        """Move reactive power by (1); return the largest error of a held voltage (step,)."""
        vm = solution.vm_pu[:, flow.columns(now.rows.bus.to_numpy())]
        error = np.where(now.holds_voltage, now.rows.vm_pu.to_numpy(float) - vm, 0.0)
        error = np.where(np.isnan(error), 0.0, error)
        both = now.holds_voltage[:, :, None] & now.holds_voltage[:, None, :]
        matrix = np.where(both, jacobian, np.eye(jacobian.shape[0]))
        now.q = now.q + np.linalg.solve(matrix, error[:, :, None])[:, :, 0]
        return np.asarray(np.abs(error).max(axis=1, initial=0.0))

    def _form(self, flow: BatchFlow, now: TerminalState, solution: BatchSolution) -> None:
        if now.forming.any():
            at = np.flatnonzero(flow.ext_grid < 0)
            now.p[:, now.forming] = solution.p_source_mw[:, at]
            now.q[:, now.forming] = solution.q_source_mvar[:, at]


def _of(state: TerminalState, rows: Array) -> TerminalState:
    """Return a copy of some steps of `state`."""
    steps = {name: _rows(getattr(state, name), rows) for name in ("p", "q", "holds_voltage")}
    return replace(state, **steps, drawn=_rows(state.drawn, rows))


def _rows(values: Any, rows: Array) -> Any:
    """Return the rows of an array, or of each array of a pair; None stays."""
    if values is None:
        return None
    if isinstance(values, np.ndarray):
        return values[rows].copy()
    return replace(values, p_mw=values.p_mw[rows], q_mvar=values.q_mvar[rows])


def _over_steps(rows: Any, own: Any, given: tuple[Array, Array] | None, n_steps: int) -> Array:
    """Return (step, row): what was given, else the row's own value."""
    out = np.tile(own.to_numpy(float), (n_steps, 1))
    if given is not None:
        labels, values = given
        position = rows.index.get_indexer(labels)
        out[:, position[position >= 0]] = values[:, position >= 0]
    return out
