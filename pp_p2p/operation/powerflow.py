"""AC replay: an optimised operation run through the power flow of pandapower's own model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from pp_p2p.network.branches import Array
from pp_p2p.network.grid import GridData
from pp_p2p.network.portfolio import Portfolio
from pp_p2p.network.relaxation import label_gaps, relaxation_reasons
from pp_p2p.network.solution import FlowSolution, losses_mw, relaxation_gaps
from pp_p2p.network.timeline import Timeline
from pp_p2p.operation.batch_flow import BatchFlow

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
    branch_gap : (step, branch)
        The same of each branch; zero where the formulation has no cone.
    converter_gap : (step, terminal)
        The same of each converter.
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
    has_losses : bool
        Whether the formulation has losses, and so gaps.
    reasons : tuple of str
        Why the relaxation is inexact (`pp_p2p.network.relaxation`); empty where it is exact.
    """

    relaxation_gap: float
    branch_gap: Array
    converter_gap: Array
    flow_scale: float
    ac_vm_error_pu: float
    ac_loss_error_percent: float
    ac_diverged: tuple[int, ...]
    vm_ac_pu: Array
    has_losses: bool
    reasons: tuple[str, ...] = ()

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
    converter_slack: ArrayLike = 0.0,
    further_slack: ArrayLike = 0.0,
    loss_price: Array | None = None,
) -> Certificate:
    """Replay `flows` in the AC power flow and compare.

    Parameters
    ----------
    net : pandapowerNet
        Is not changed.
    grid : GridData
        Made from `net`.
    flows : FlowSolution
    has_losses : bool
        Whether the formulation has losses, and so a relaxation gap.
    converter_slack : (step, terminal)
        Slack of the converters' cones (`pp_p2p.network.solution.converter_slack`).
    further_slack : (step, terminal)
        The same of converters that are not in the net yet.
    loss_price : (step,), optional
        What the objective charges for one more MWh of losses, for the reasons of a gap.
    """
    buses = np.array(sorted(grid.bus_node), dtype=np.int64)
    vm, loss, diverged = _replay(net, grid, flows, buses)
    ours = np.sqrt(flows.v[:, grid.nodes_of(buses)])
    vm_error = np.abs(vm - ours).max(axis=1)
    loss_error = np.abs(losses_mw(grid, flows) - loss) / np.maximum(loss, LOSS_FLOOR_MW) * 100.0
    worst_vm = float(np.where(np.isnan(vm_error), np.inf, vm_error).max())
    worst_loss = float(np.where(np.isnan(loss_error), np.inf, loss_error).max())
    gaps = relaxation_gaps(grid, flows) if has_losses else np.zeros_like(flows.p)
    slack = np.asarray(converter_slack, dtype=float)
    slack = slack if slack.ndim else np.full((len(flows.v), 1), slack)
    proof = Certificate(
        relaxation_gap=max(
            float(each.max(initial=0.0)) for each in (gaps, slack, np.asarray(further_slack))
        ),
        branch_gap=gaps,
        converter_gap=slack,
        flow_scale=max(1.0, float((flows.p**2 + flows.q**2).max(initial=0.0))),
        ac_vm_error_pu=worst_vm,
        ac_loss_error_percent=worst_loss,
        ac_diverged=diverged,
        vm_ac_pu=vm,
        has_losses=has_losses,
    )
    if proof.exact or not has_losses:
        return proof
    loose = gaps > GAP_TOLERANCE * proof.flow_scale
    loose |= (slack.max(axis=1, initial=0.0) > GAP_TOLERANCE * proof.flow_scale)[:, None]
    beside = ~((vm_error <= VM_TOLERANCE_PU) & (loss_error <= LOSS_TOLERANCE_PERCENT))
    loose |= (beside & ~loose.any(axis=1))[:, None]
    reasons = relaxation_reasons(grid, flows, inexact=loose, price=loss_price, diverged=diverged)
    return dataclasses.replace(proof, reasons=reasons)


def label_proof(
    proof: Certificate, grid: GridData, portfolio: Portfolio, line: Timeline
) -> xr.Dataset:
    """Return the slack of every cone as a dataset, empty where the formulation has none."""
    if not proof.has_losses:
        return xr.Dataset()
    return label_gaps(
        grid,
        line,
        branch=proof.branch_gap,
        converter=proof.converter_gap,
        terminals=portfolio.sops.index,
    )


def _replay(
    net: Any, grid: GridData, flows: FlowSolution, buses: Array
) -> tuple[Array, Array, tuple[int, ...]]:
    """Return voltages (step, bus), losses (step,) in MW, and the steps that diverged.

    All devices are constant power at the bus that labels their node; the rest is the net's own.
    """
    formed = zip(grid.node_bus[grid.forming_node].tolist(), grid.forming_vm.tolist(), strict=True)
    flow = BatchFlow.from_net(net, forming=dict(formed), checked=True)
    p, q = (np.zeros((len(flows.v), len(flow.buses))) for _ in range(2))
    at = flow.columns(grid.node_bus)
    p[:, at] = flows.p_injected * grid.s_base_mva
    q[:, at] = flows.q_injected * grid.s_base_mva
    solution = flow.solve(p, q, currents=False)
    diverged = np.flatnonzero(~solution.converged)
    return solution.vm_pu[:, flow.columns(buses)], solution.loss_mw, tuple(diverged.tolist())
