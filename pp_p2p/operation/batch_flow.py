"""`BatchFlow`: the AC power flow of many steps at once.

Newton's method of power-grid-model (LF Energy) on pandapower's own bus/branch model
(`pp_p2p.operation.bus_branch`), compiled and multi-threaded; pandapower's own loop costs about as
much for one step as this for a hundred. Every converged step is checked against the node
equations

    S_i = V_i conj(sum_j Y_ij V_j)                                                         (1)

with pandapower's admittances, so that a result never rests on how another engine reads a net.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Self

import numpy as np
import pandas as pd

from pp_p2p.errors import Finding, InvalidInput
from pp_p2p.network.branches import Array
from pp_p2p.operation.bus_branch import NOTHING, BusBranch
from pp_p2p.operation.newton_engine import voltages
from pp_p2p.operation.voltage_control import hold_voltages

MISMATCH_MVA: Final = 1e-6
"""Largest violation of (1) of a converged step."""

CHUNK_NUMBERS: Final = 1_000_000
"""Nodes and branches times steps that are held at once beside the result."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Consumption (step, bus) of voltage-dependent kind, MW and Mvar at 1 p.u."""

    p_mw: Array
    q_mvar: Array


@dataclass(frozen=True, kw_only=True)
class BatchSolution:
    """Power flow of all steps; NaN where a step diverged or nothing feeds a bus.

    Parameters
    ----------
    vm_pu, va_degree : (step, bus)
        Voltages at `BatchFlow.buses`.
    p_source_mw, q_source_mvar : (step, ext_grid)
        Power from `BatchFlow.ext_grid`; external grids at one node share evenly, as in pandapower.
    loss_mw : (step,)
        Active power that branches and shunts take.
    i_from_ka, i_to_ka : mapping of str to (step, element)
        Currents of lines (``"line"``) at their from and to end, of transformers (``"trafo"``) at
        the high- and low-voltage side. Empty where currents were not asked for.
    loading_percent : mapping of str to (step, element)
        By ``"line"``, ``"trafo"``, ``"trafo3w"``, as pandapower defines it.
    converged : (step,) of bool
    """

    vm_pu: Array
    va_degree: Array
    p_source_mw: Array
    q_source_mvar: Array
    loss_mw: Array
    i_from_ka: Mapping[str, Array]
    i_to_ka: Mapping[str, Array]
    loading_percent: Mapping[str, Array]
    converged: Array

    def only(self, steps: Array) -> BatchSolution:
        """Return the same with the steps outside `steps` (step,) of bool as diverged."""

        def masked(value: Any) -> Any:
            if isinstance(value, Mapping):
                return {key: masked(array) for key, array in value.items()}
            keep = steps.reshape(-1, *[1] * (value.ndim - 1))
            return np.where(keep, value, np.nan)

        names = [name for name in self.__dataclass_fields__ if name != "converged"]
        values = {name: masked(getattr(self, name)) for name in names}
        return BatchSolution(**values, converged=self.converged & steps)


@dataclass(frozen=True, kw_only=True)
class BatchFlow:
    """The power flow of one net for any number of steps.

    Parameters
    ----------
    model : BusBranch
    threads : int
        Threads of the engine; 0 is one per core. The numbers do not depend on it.
    """

    model: BusBranch
    threads: int = 0

    @classmethod
    def from_net(
        cls,
        net: Any,
        *,
        forming: Mapping[int, float] = NOTHING,
        threads: int = 0,
        checked: bool = False,
    ) -> Self:
        """Prepare `net`; see `BusBranch.from_net` for what is read, refused and left out.

        Examples
        --------
        >>> import numpy as np, pandapower.networks as pn
        >>> flow = BatchFlow.from_net(pn.case33bw())
        >>> solution = flow.solve(np.zeros((2, 33)), np.zeros((2, 33)))
        >>> solution.vm_pu.shape
        (2, 33)
        """
        model = BusBranch.from_net(net, forming=forming, checked=checked)
        return cls(model=model, threads=threads)

    @property
    def buses(self) -> Array:
        """Labels of the buses (bus,)."""
        return self.model.buses

    def columns(self, buses: Array) -> Array:
        """Return the position of each of `buses` in `self.buses`; -1 where there is none."""
        return np.asarray(pd.Index(self.buses).get_indexer(pd.Index(buses)))

    @property
    def ext_grid(self) -> Array:
        """Labels of the external grids in service, then -1 for each forming bus."""
        return self.model.ext_grid

    @property
    def steps_per_chunk(self) -> int:
        """Steps that are solved at once."""
        width = self.model.n_nodes + len(self.model.from_node)
        return max(1, CHUNK_NUMBERS // width)

    def solve(
        self,
        p_mw: Array,
        q_mvar: Array,
        *,
        source_vm_pu: Array | None = None,
        constant_current: Drawn | None = None,
        constant_impedance: Drawn | None = None,
        currents: bool = True,
    ) -> BatchSolution:
        """Solve all steps.

        Parameters
        ----------
        p_mw, q_mvar : (step, bus), MW and Mvar
            Constant power that is fed in at `buses`, generation less consumption. What stands at a
            bus that nothing feeds is left out.
        source_vm_pu : (step, ext_grid), optional
            Voltage of each external grid; without it, that of the net.
        constant_current, constant_impedance : Drawn, optional
            Consumption that follows the voltage or its square.
        currents : bool
            Whether currents and loadings are wanted.

        Raises
        ------
        InvalidInput
            Wrong shapes, or values that are not finite.
        """
        kinds = [Drawn(p_mw=-np.asarray(p_mw, float), q_mvar=-np.asarray(q_mvar, float))]
        kinds += [constant_current or _NOTHING, constant_impedance or _NOTHING]
        n_steps = len(kinds[0].p_mw)
        self._check(n_steps, kinds, source_vm_pu)
        size = self.steps_per_chunk
        parts = [
            self._chunk(
                [_cut(kind, slice(k, k + size)) for kind in kinds],
                None if source_vm_pu is None else source_vm_pu[k : k + size],
                currents=currents,
            )
            for k in range(0, n_steps, size)
        ]
        return parts[0] if len(parts) == 1 else _joined(parts)

    def _check(self, n_steps: int, kinds: Sequence[Drawn], vm: Array | None) -> None:
        wanted = (n_steps, len(self.buses))
        given = [
            array for kind in kinds if kind is not _NOTHING for array in (kind.p_mw, kind.q_mvar)
        ]
        ok = n_steps > 0 and all(a.shape == wanted and np.isfinite(a).all() for a in given)
        if vm is not None:
            ok &= np.shape(vm) == (n_steps, len(self.ext_grid)) and bool(np.isfinite(vm).all())
        if not ok:
            raise InvalidInput(
                Finding(
                    table="power of the steps",
                    rule="is not finite, or has another shape than (step, bus) one step at least",
                    mend=f"pass arrays of {len(self.buses)} columns, one for each of `buses`",
                )
            )

    def _chunk(self, kinds: Sequence[Drawn], vm: Array | None, *, currents: bool) -> BatchSolution:
        model = self.model
        drawn = [self._at_nodes(kind) for kind in kinds]
        drawn[0] = drawn[0] + model.standing
        drawn[0], voltage, converged = self._solved(drawn, self._set_voltage(vm, len(drawn[0])))
        magnitude = np.abs(voltage)
        at_nodes = voltage * np.conj(_times(model.y_bus, voltage))
        power = drawn[0] + drawn[1] * magnitude + drawn[2] * magnitude**2
        mismatch = at_nodes + power
        source = mismatch[:, model.source_node] * model.s_base_mva
        mismatch[:, model.source_node] = 0.0
        with np.errstate(invalid="ignore"):
            worst = np.abs(mismatch).max(axis=1) * model.s_base_mva
            converged &= worst <= MISMATCH_MVA
        voltage[~converged] = np.nan
        source[~converged] = np.nan
        shared = self._by_ext_grid(source)
        loss = np.where(converged, at_nodes.real.sum(axis=1) * model.s_base_mva, np.nan)
        flows = _flows(model, voltage, converged) if currents else _NO_FLOWS
        at = model.bus_node
        vm_pu = np.where(at >= 0, np.abs(voltage)[:, at], np.nan)
        va = np.where(at >= 0, np.rad2deg(np.angle(voltage))[:, at], np.nan)
        return BatchSolution(
            vm_pu=vm_pu,
            va_degree=va,
            p_source_mw=shared.real,
            q_source_mvar=shared.imag,
            loss_mw=loss,
            i_from_ka=flows[0],
            i_to_ka=flows[1],
            loading_percent=flows[2],
            converged=converged,
        )

    def _solved(
        self, drawn: Sequence[Array], source_vm: Array | None
    ) -> tuple[Array, Array, Array]:
        """Return the constant power with what generators add, voltages, which converged."""

        def solve(power: Array, steps: Array) -> tuple[Array, Array]:
            kinds = [power, *(k if len(k) == 1 else k[steps] for k in drawn[1:])]
            vm = None if source_vm is None else source_vm[steps]
            return voltages(self.model, kinds, vm, threads=self.threads)

        if len(self.model.regulated_node):
            return hold_voltages(self.model, drawn[0], solve)
        return drawn[0], *solve(drawn[0], np.arange(len(drawn[0])))

    def _at_nodes(self, kind: Drawn) -> Array:
        """Return the consumption (step, node), p.u."""
        if kind is _NOTHING:
            return np.zeros((1, 1), dtype=complex)
        power = (kind.p_mw + 1j * kind.q_mvar) / self.model.s_base_mva
        return np.asarray(power @ self._bus_to_node)

    @cached_property
    def _bus_to_node(self) -> Any:
        from scipy.sparse import csr_array

        rows = np.flatnonzero(self.model.bus_node >= 0)
        shape = (len(self.buses), self.model.n_nodes)
        return csr_array((np.ones(len(rows)), (rows, self.model.bus_node[rows])), shape=shape)

    def _set_voltage(self, vm: Array | None, n_steps: int) -> Array | None:
        if vm is None:
            return None
        at = self.model.ext_grid_source
        out = np.tile(self.model.source_vm, (n_steps, 1))
        out[:, at[at >= 0]] = np.asarray(vm, float)[:, at >= 0]
        return out

    def _by_ext_grid(self, source: Array) -> Array:
        at = self.model.ext_grid_source
        count = np.bincount(at[at >= 0], minlength=source.shape[1])
        return np.asarray(np.where(at >= 0, (source / np.maximum(count, 1))[:, at], 0.0))


_NOTHING: Final = Drawn(p_mw=np.zeros((0, 0)), q_mvar=np.zeros((0, 0)))
_NO_FLOWS: Final[tuple[dict[str, Array], dict[str, Array], dict[str, Array]]] = ({}, {}, {})


def _times(matrix: Any, voltage: Array) -> Array:
    """Return ``matrix @ v`` for every step: (step, row)."""
    return np.asarray((matrix @ voltage.T).T)


def _flows(
    model: BusBranch, voltage: Array, converged: Array
) -> tuple[dict[str, Array], dict[str, Array], dict[str, Array]]:
    """Return currents at both ends, kA, and loadings, %, by element."""
    starts: dict[str, Array] = {}
    ends: dict[str, Array] = {}
    loading: dict[str, Array] = {}
    i_from = np.abs(_times(model.y_from, voltage)) * model.base_ka[model.from_node]
    i_to = np.abs(_times(model.y_to, voltage)) * model.base_ka[model.to_node]
    for table, rows in model.elements.items():
        first = _of_rows(i_from, rows.branch, rows.from_alive, converged)
        last = _of_rows(i_to, rows.branch, rows.to_alive, converged)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.maximum(first / rows.rated_from_ka, last / rows.rated_to_ka)
        loading[table] = 100.0 * share.max(axis=2)
        if rows.branch.shape[1] == 1:
            starts[table], ends[table] = first[:, :, 0], last[:, :, 0]
    return starts, ends, loading


def _of_rows(current: Array, branch: Array, alive: Array, converged: Array) -> Array:
    """Return the currents (step, element, winding); a branch out of service carries none."""
    out = np.tile(np.where(alive, 0.0, np.nan), (len(current), 1, 1))
    carries = branch >= 0
    out[:, carries] = current[:, branch[carries]]
    out[~converged] = np.nan
    return out


def _cut(kind: Drawn, steps: slice) -> Drawn:
    if kind is _NOTHING:
        return kind
    return Drawn(p_mw=kind.p_mw[steps], q_mvar=kind.q_mvar[steps])


def _joined(parts: Sequence[BatchSolution]) -> BatchSolution:
    def whole(name: str) -> Any:
        values = [getattr(part, name) for part in parts]
        if isinstance(values[0], Mapping):
            return {key: np.concatenate([v[key] for v in values]) for key in values[0]}
        return np.concatenate(values)

    return BatchSolution(**{name: whole(name) for name in BatchSolution.__dataclass_fields__})
