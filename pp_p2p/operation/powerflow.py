"""AC replay: an optimised operation run through pandapower's own Newton power flow."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandapower as pp
from pandapower.powerflow import LoadflowNotConverged

from pp_p2p.network.branches import Array
from pp_p2p.network.grid import GridData
from pp_p2p.network.solution import FlowSolution, losses_mw, relaxation_gaps

VM_TOLERANCE_PU: Final = 1e-4
"""Largest voltage difference at which a result counts as confirmed by the AC replay."""

LOSS_TOLERANCE_PERCENT: Final = 0.1
"""Largest difference of losses, % of the AC losses, at which a result counts as confirmed."""

GAP_TOLERANCE: Final = 1e-6
"""Largest slack of a cone at which the relaxation counts as exact: p.u. of the squared flow that
is largest, or 1 p.u. where that is larger (the slack is a squared power, and so is its scale)."""

LOSS_FLOOR_MW: Final = 1e-4
"""Steps that lose less than this (100 W) are compared absolutely, not relatively."""


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """How an optimised load flow compares with the exact one.

    Parameters
    ----------
    relaxation_gap : float
        Largest ``l v - P^2 - Q^2`` of any branch and step, p.u., or ``k^2 - p^2 - q^2`` of a
        converter.
    flow_scale : float
        Largest ``P^2 + Q^2`` of any branch and step, at least 1 p.u.
    ac_vm_error_pu : float
        Largest voltage difference to the replay; ``inf`` where it did not converge.
    ac_loss_error_percent : float
        Largest difference of a step's losses to the replay's, %.
    ac_diverged : tuple of int
        Steps whose replay did not converge.
    vm_ac_pu : (step, bus) of float
        Voltages of the replay; NaN where it did not converge.
    """

    relaxation_gap: float
    flow_scale: float
    ac_vm_error_pu: float
    ac_loss_error_percent: float
    ac_diverged: tuple[int, ...]
    vm_ac_pu: Array

    @property
    def exact(self) -> bool:
        """Whether gap, voltages and losses are all within tolerance."""
        return (
            self.relaxation_gap <= GAP_TOLERANCE * self.flow_scale
            and self.ac_vm_error_pu <= VM_TOLERANCE_PU
            and self.ac_loss_error_percent <= LOSS_TOLERANCE_PERCENT
        )


def certify(
    net: Any,
    grid: GridData,
    flows: FlowSolution,
    *,
    has_losses: bool,
    converter_slack: float = 0.0,
) -> Certificate:
    """Replay `flows` in pandapower and compare.

    Parameters
    ----------
    net : pandapowerNet
        Is not changed.
    grid : GridData
        Made from `net`.
    flows : FlowSolution
    has_losses : bool
        Whether the formulation has losses, and so a relaxation gap.
    converter_slack : float
        Largest slack of a converter's cone (`pp_p2p.network.solution.converter_slack`).
    """
    buses = np.array(sorted(grid.bus_node), dtype=np.int64)
    vm, loss, diverged = _replay(net, grid, flows, buses)
    ours = np.sqrt(flows.v[:, grid.nodes_of(buses)])
    vm_error = np.abs(vm - ours).max(axis=1)
    loss_error = np.abs(losses_mw(grid, flows) - loss) / np.maximum(loss, LOSS_FLOOR_MW) * 100.0
    worst_vm = float(np.where(np.isnan(vm_error), np.inf, vm_error).max())
    worst_loss = float(np.where(np.isnan(loss_error), np.inf, loss_error).max())
    gaps = relaxation_gaps(grid, flows) if has_losses else np.zeros(1)
    branch_gap = float(gaps.max(initial=0.0))
    return Certificate(
        relaxation_gap=max(branch_gap, converter_slack),
        flow_scale=max(1.0, float((flows.p**2 + flows.q**2).max(initial=0.0))),
        ac_vm_error_pu=worst_vm,
        ac_loss_error_percent=worst_loss,
        ac_diverged=diverged,
        vm_ac_pu=vm,
    )


def _replay(
    net: Any, grid: GridData, flows: FlowSolution, buses: Array
) -> tuple[Array, Array, tuple[int, ...]]:
    """Return voltages (step, bus), losses (step,) in MW, and the steps that diverged."""
    bare = copy.deepcopy(net)
    for table in ("load", "sgen", "storage"):
        bare[table]["in_service"] = False
    rows = [pp.create_load(bare, int(bus), p_mw=0.0) for bus in grid.node_bus]
    n_steps = len(flows.v)
    vm, loss = np.full((n_steps, len(buses)), np.nan), np.full(n_steps, np.nan)
    diverged = []
    for step in range(n_steps):
        bare.load.loc[rows, "p_mw"] = -flows.p_injected[step] * grid.s_base_mva
        bare.load.loc[rows, "q_mvar"] = -flows.q_injected[step] * grid.s_base_mva
        try:
            pp.runpp(bare, numba=False)
        except LoadflowNotConverged:
            diverged.append(step)
            continue
        vm[step] = bare.res_bus.vm_pu.loc[buses].to_numpy()
        injected = flows.p_injected[step].sum() * grid.s_base_mva
        loss[step] = bare.res_ext_grid.p_mw.sum() + injected
    return vm, loss, tuple(diverged)
