"""Reading a solved `network_block`: arrays, the relaxation gap, labelled SI results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from pp_p2p.names import BUS, LINE, TRAFO
from pp_p2p.network.block import Injection
from pp_p2p.network.branches import Array
from pp_p2p.network.converter_losses import LossLaw
from pp_p2p.network.grid import GridData
from pp_p2p.network.portfolio import Portfolio
from pp_p2p.network.timeline import Timeline


@dataclass(frozen=True, kw_only=True)
class FlowSolution:
    """Load flow of all steps, per unit.

    Parameters
    ----------
    v : (step, node)
        Squared voltage.
    p, q, l : (step, branch)
        Power sent into the series impedance, squared current through it.
    p_source, q_source : (step, source)
        Power from the external grids.
    p_injected, q_injected : (step, node)
        Power of all devices into the grid.
    """

    v: Array
    p: Array
    q: Array
    l: Array
    p_source: Array
    q_source: Array
    p_injected: Array
    q_injected: Array


def read_flows(block: Any, injection: Injection, *, has_losses: bool) -> FlowSolution:
    """Read the values of a solved network block."""
    n_steps = injection.p.shape[1]

    def values(variable: Any) -> Array:
        flat = np.fromiter((member.value for member in variable.values()), float, len(variable))
        return flat.reshape(-1, n_steps).T

    p = values(block.p)
    return FlowSolution(
        v=values(block.v),
        p=p,
        q=values(block.q),
        l=values(block.l) if has_losses else np.zeros_like(p),
        p_source=values(block.p_source),
        q_source=values(block.q_source),
        p_injected=_injected(injection.p, injection.p_terms),
        q_injected=_injected(injection.q, injection.q_terms),
    )


def _injected(fixed: Array, terms: Any) -> Array:
    total = fixed.copy()
    for (node, step), pairs in terms.items():
        total[node, step] += sum(coef * variable.value for coef, variable in pairs)
    return total.T


def relaxation_gaps(grid: GridData, flows: FlowSolution) -> Array:
    """Return ``l v - P^2 - Q^2`` (step, branch), p.u.: zero where the cone is tight."""
    tree = grid.tree
    gap: Array = flows.l * tree.v_scale_parent * flows.v[:, tree.parent] - flows.p**2 - flows.q**2
    return gap


def converter_slack(m: Any, portfolio: Portfolio) -> Array:
    """Return the slack of the converters' cones (step, terminal), p.u.: zero where they are tight.

    That is ``k^2 - p^2 - q^2``, or ``m - p^2 - q^2`` with quadratic losses. A converter without
    losses has none: nothing hangs on its ``k``.
    """
    return cone_slack(m.sop, portfolio.sops.law, np.ones(len(portfolio.sops.index)))


def cone_slack(sop: Any, law: LossLaw, units: Array) -> Array:
    """Return `converter_slack` of a block with `units` (terminal,) of each device."""
    slack = np.zeros((len(sop.TIME), len(law.factor)))
    for i in np.flatnonzero((law.factor > 0) | (law.quadratic > 0)).tolist():
        for t in sop.TIME:
            p, q = sop.p[i, t].value, sop.q[i, t].value
            squares = [sop.k[i, t].value ** 2] if law.factor[i] > 0 else []
            squares += [units[i] * sop.m[i, t].value] if law.quadratic[i] > 0 else []
            slack[t, i] = max(squares) - p**2 - q**2
    return slack


def losses_mw(grid: GridData, flows: FlowSolution) -> Array:
    """Return the losses of branches and shunts (step,), MW."""
    series = flows.l @ grid.tree.r
    shunt = flows.v @ grid.y_shunt.real
    return np.asarray((series + shunt) * grid.s_base_mva)


def element_loading_percent(grid: GridData, flows: FlowSolution) -> Array:
    """Return the loading (step, element), %, as pandapower defines it.

    The larger terminal current of both ends over the rated current; 0 where there is no rating.
    """
    tree, elements, of = grid.tree, grid.branches, grid.branch_of
    share = np.conj(grid.share)
    v_parent = flows.v[:, tree.parent] * tree.v_scale_parent
    v_child = flows.v[:, tree.child] * tree.v_scale_child
    sent = flows.p + 1j * flows.q
    received = sent - (tree.r + 1j * tree.x) * flows.l
    from_is_child = grid.nodes_of(elements.from_bus) == tree.child[of]
    y_parent = np.where(from_is_child, elements.y_to, elements.y_from)
    y_child = np.where(from_is_child, elements.y_from, elements.y_to)
    s_parent = sent[:, of] * share + np.conj(y_parent) * v_parent[:, of]
    s_child = received[:, of] * share - np.conj(y_child) * v_child[:, of]

    def kilo_ampere(power: Array, node: Array) -> Array:
        base = grid.s_base_mva / np.sqrt(3) / grid.vn_kv[node]
        return np.asarray(np.abs(power) / np.sqrt(flows.v[:, node]) * base)

    i_parent = kilo_ampere(s_parent, tree.parent[of])
    i_child = kilo_ampere(s_child, tree.child[of])
    i_from = np.where(from_is_child, i_child, i_parent)
    i_to = np.where(from_is_child, i_parent, i_child)
    loading = np.maximum(i_from / elements.rated_from_ka, i_to / elements.rated_to_ka)
    return np.asarray(100.0 * loading)


def label_flows(grid: GridData, flows: FlowSolution, line: Timeline) -> xr.Dataset:
    """Return voltages, loadings, exchange and losses as a dataset over the timeline's dims."""
    buses = np.array(sorted(grid.bus_node), dtype=np.int64)
    vm = np.sqrt(flows.v[:, grid.nodes_of(buses)])
    loading = element_loading_percent(grid, flows)
    ds = xr.Dataset(coords=dict(line.coords))

    def put(name: str, values: Array, dim: str | None = None, labels: Array | None = None) -> None:
        dims = line.dims if dim is None else (*line.dims, dim)
        shaped = values.reshape(*line.shape, *values.shape[1:])
        ds[name] = (dims, shaped)
        if dim is not None:
            ds.coords[dim] = labels

    put("vm_pu", vm, BUS, buses)
    for element, dim in (("line", LINE), ("trafo", TRAFO)):
        mine = grid.branches.element == element
        if mine.any():
            order = np.argsort(grid.branches.index[mine])
            labels = grid.branches.index[mine][order]
            put(f"{element}_loading_percent", loading[:, mine][:, order], dim, labels)
    put("p_source_mw", flows.p_source * grid.s_base_mva, "ext_grid", grid.source_ext_grid)
    put("q_source_mvar", flows.q_source * grid.s_base_mva, "ext_grid", grid.source_ext_grid)
    put("loss_mw", losses_mw(grid, flows))
    return ds


def label_devices(m: Any, portfolio: Portfolio, grid: GridData, line: Timeline) -> xr.Dataset:
    """Return the schedules of all devices of a solved model, SI.

    Storage in load convention (charging positive), generators and converters in generator
    convention.
    """
    base, p = grid.s_base_mva, portfolio

    def rows(variable: Any, keys: Any) -> Array:
        values = [[variable[k, t].value for t in range(line.n_steps)] for k in keys]
        return np.array(values, dtype=float).reshape(len(values), line.n_steps) * base

    output, reactive = p.generators.available.T * base, p.generators.q.T * base
    for target, variable, keys in (
        (output, m.generator.p, list(m.generator.GENERATOR)),
        (reactive, m.generator.q, list(m.generator.REACTIVE)),
    ):
        if keys:
            target[keys] = rows(variable, keys)
    charge, discharge = (
        rows(variable, m.storage.STORAGE) for variable in (m.storage.charge, m.storage.discharge)
    )
    shifted = rows(m.flexible.up, m.flexible.FLEXIBLE) - rows(m.flexible.down, m.flexible.FLEXIBLE)
    curtailed, response = np.zeros_like(shifted), np.zeros_like(shifted)
    for target, variable, keys in (
        (curtailed, m.flexible.curtail, list(m.flexible.CURTAILABLE)),
        (response, m.flexible.response, list(m.flexible.ELASTIC)),
    ):
        if keys:
            target[keys] = rows(variable, keys)
    law = p.sops.law
    lost = law.standby[:, None] * base + law.factor[:, None] * rows(m.sop.k, m.sop.TERMINAL)
    squared = list(m.sop.SQUARED)
    lost[squared] += law.quadratic[squared, None] * rows(m.sop.m, squared)
    table: dict[str, tuple[str, Array]] = {
        "sgen_p_mw": ("sgen", output),
        "sgen_q_mvar": ("sgen", reactive),
        "sgen_available_mw": ("sgen", p.generators.available.T * base),
        "storage_p_mw": ("storage", charge - discharge),
        "storage_energy_mwh": ("storage", rows(m.storage.energy, m.storage.STORAGE)),
        "load_shift_mw": ("flexible_load", shifted),
        "load_curtailed_mw": ("flexible_load", curtailed),
        "load_response_mw": ("flexible_load", response),
        "sop_p_mw": ("sop_terminal", rows(m.sop.p, m.sop.TERMINAL)),
        "sop_q_mvar": ("sop_terminal", rows(m.sop.q, m.sop.TERMINAL)),
        "sop_loss_mw": ("sop_terminal", lost),
    }
    shaped = {
        name: ((dim, *line.dims), values.reshape(len(values), *line.shape))
        for name, (dim, values) in table.items()
    }
    return xr.Dataset(
        shaped,
        coords={
            **line.coords,
            "sgen": p.generators.index,
            "storage": p.storages.index,
            "flexible_load": p.flexible.index,
            "sop_terminal": p.sops.index,
            "sop": ("sop_terminal", p.sops.device),
        },
    )
