"""Where a cone relaxation is inexact, branch by branch and hour by hour, and why.

A current is inflated where that pays (Gan, Li, Topcu & Low 2015): losses earn money or cost
nothing, or they are the means that keeps a limit which surplus power would break. The reasons are
told from the solution by these signs; they say what is there, not what alone would mend it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import xarray as xr

from pp_p2p.names import LINE, TRAFO
from pp_p2p.network.branches import Array
from pp_p2p.network.grid import GridData
from pp_p2p.network.solution import FlowSolution
from pp_p2p.network.timeline import Timeline

NEGATIVE_PRICE: Final = "negative price: what is lost is paid for"
UNPRICED: Final = "the objective does not price losses"
REVERSE_FLOW: Final = "an upper voltage limit binds under reverse flow"
CURRENT_LIMIT: Final = "a current limit binds under reverse flow"
SOURCE_LIMIT: Final = "an external grid takes no more: what is too much is lost"
NO_LOAD_FLOW: Final = "the AC power flow finds no solution at these set points"
UNKNOWN: Final = "none of the known reasons applies"

BINDS: Final = 1e-5
"""Relative distance to a limit at which it binds: ten times what the solver leaves open."""

FLOW_FLOOR_PU: Final = 1e-6
"""Smaller flows against the tree's orientation are the solver's zero."""


def loss_price(flows: FlowSolution, price_buy: Array, price_sell: Array) -> Array:
    """Return what one more MWh of losses costs (step,): it is bought, or it is not sold."""
    imported = flows.p_source.sum(axis=1) > 0
    return np.where(imported, price_buy, price_sell)


def label_gaps(
    grid: GridData, line: Timeline, *, branch: Array, converter: Array, terminals: Array
) -> xr.Dataset:
    """Return the slack of every cone, p.u. of a squared power.

    Parameters
    ----------
    grid : GridData
    line : Timeline
    branch : (step, branch)
        `pp_p2p.network.solution.relaxation_gaps`; elements in parallel share their branch's.
    converter : (step, terminal)
        `pp_p2p.network.solution.converter_slack`.
    terminals : (terminal,)
        Their rows in ``net.sop_terminal``.

    Returns
    -------
    Dataset
        ``line_relaxation_gap_pu``, ``trafo_relaxation_gap_pu``, ``sop_relaxation_gap_pu`` over
        the timeline's dims and the element, each where the net has such elements.
    """
    ds = xr.Dataset(coords=dict(line.coords))
    for element in (LINE, TRAFO):
        mine = np.flatnonzero(grid.branches.element == element)
        if len(mine):
            mine = mine[np.argsort(grid.branches.index[mine])]
            values = branch[:, grid.branch_of[mine]].reshape(*line.shape, -1)
            ds[f"{element}_relaxation_gap_pu"] = ((*line.dims, element), values)
            ds.coords[element] = grid.branches.index[mine]
    if len(terminals):
        values = converter.T.reshape(-1, *line.shape)
        ds["sop_relaxation_gap_pu"] = (("sop_terminal", *line.dims), values)
        ds.coords["sop_terminal"] = terminals
    return ds


def relaxation_reasons(
    grid: GridData,
    flows: FlowSolution,
    *,
    inexact: Array,
    price: Array | None = None,
    diverged: tuple[int, ...] = (),
) -> tuple[str, ...]:
    """Return which known reasons for an inexact relaxation apply.

    Parameters
    ----------
    grid : GridData
    flows : FlowSolution
    inexact : (step, branch) of bool
        Where the relaxation is inexact.
    price : (step,), optional
        What the objective charges for one more MWh of losses, in its own unit; None where that is
        not known.
    diverged : tuple of int
        Steps whose AC replay has no solution.
    """
    steps = inexact.any(axis=1)
    if not steps.any():
        return (NO_LOAD_FLOW,) if diverged else ()
    found = []
    if price is not None:
        tiny = 1e-9 * max(1.0, float(np.abs(price).max(initial=0.0)))
        if (price[steps] < -tiny).any():
            found.append(NEGATIVE_PRICE)
        if (np.abs(price[steps]) <= tiny).any():
            found.append(UNPRICED)
    if (inexact & _reverse_flow_at_a_limit(grid, flows)).any():
        found.append(REVERSE_FLOW)
    if (inexact & _behind_a_full_branch(grid, flows)).any():
        found.append(CURRENT_LIMIT)
    if (steps & _takes_no_more(grid, flows)).any():
        found.append(SOURCE_LIMIT)
    if diverged:
        found.append(NO_LOAD_FLOW)
    return tuple(found) or (UNKNOWN,)


def _reverse_flow_at_a_limit(grid: GridData, flows: FlowSolution) -> Array:
    """Return (step, branch): whether a bus of its tree is full, reached against the flow."""
    tree = grid.tree
    root = np.arange(grid.n_nodes)
    reverse = np.zeros((len(flows.v), grid.n_nodes), dtype=bool)
    against = (flows.p < -FLOW_FLOOR_PU) | (flows.q < -FLOW_FLOOR_PU)
    for k, (parent, child) in enumerate(zip(tree.parent, tree.child, strict=True)):
        root[child] = root[parent]
        reverse[:, child] = reverse[:, parent] | against[:, k]
    full = np.where(reverse, flows.v / grid.vm_max**2, 0.0)
    in_tree = np.zeros(full.shape, dtype=bool)
    for source in grid.source_node:
        members = root == source
        in_tree[:, members] = (full[:, members].max(axis=1) >= 1.0 - BINDS)[:, None]
    return np.asarray(in_tree[:, tree.child])


def _takes_no_more(grid: GridData, flows: FlowSolution) -> Array:
    """Return (step,): whether an external grid is at its least active or reactive power."""
    limits, size = grid.source_limits, max(1.0, float(np.abs(flows.p).max(initial=0.0)))
    at_least = (flows.p_source <= limits.p_min + BINDS * size) | (
        flows.q_source <= limits.q_min + BINDS * size
    )
    return np.asarray(at_least.any(axis=1))


def _behind_a_full_branch(grid: GridData, flows: FlowSolution) -> Array:
    """Return (step, branch): whether a branch between it and its source carries its limit."""
    tree = grid.tree
    behind = np.zeros((len(flows.v), grid.n_nodes), dtype=bool)
    carried = (flows.p**2 + flows.q**2) / (flows.v[:, tree.parent] * tree.v_scale_parent)
    full = (carried >= tree.i_max**2 * (1.0 - BINDS)) & (flows.p < -FLOW_FLOOR_PU)
    for k, (parent, child) in enumerate(zip(tree.parent, tree.child, strict=True)):
        behind[:, child] = behind[:, parent] | full[:, k]
    return np.asarray(behind[:, tree.parent])
