"""Certificate of a trading day whose configuration changes, from its replay in pandapower."""

from __future__ import annotations

import dataclasses

import numpy as np

from pp_p2p.market.fixed_topology import FixedTopology, Point
from pp_p2p.network.branches import Array
from pp_p2p.network.formulation import Formulation
from pp_p2p.network.relaxation import NEGATIVE_PRICE, UNKNOWN, UNPRICED
from pp_p2p.network.solution import converter_slack, losses_mw, relaxation_gaps
from pp_p2p.operation.powerflow import Certificate


def certify_switched(
    topology: FixedTopology, point: Point, physics: Formulation, price: Array
) -> Certificate:
    """Compare the model at a checked point with its replay.

    Parameters
    ----------
    topology : FixedTopology
    point : Point
        With its replay.
    physics : Formulation
    price : (step,)
        Of losses in the objective, EUR/MWh.
    """
    replayed = point.replay
    assert replayed is not None
    topology.market.load(point.x)
    flows, data = topology.flows(), topology.data
    gaps, slack = np.zeros_like(flows.p), np.zeros((len(flows.p), 1))
    if physics.has_losses:
        # an ideal switch has no voltage drop: its current is in no law
        has_impedance = (data.grid.tree.r != 0) | (data.grid.tree.x != 0)
        gaps = np.where(point.closed & has_impedance, relaxation_gaps(data.grid, flows), 0.0)
        slack = converter_slack(topology.market.model, data.portfolio)
    proof = Certificate(
        relaxation_gap=max(float(gaps.max(initial=0.0)), float(slack.max(initial=0.0))),
        branch_gap=gaps,
        converter_gap=slack,
        has_losses=physics.has_losses,
        flow_scale=max(1.0, float((flows.p**2 + flows.q**2).max(initial=0.0))),
        ac_vm_error_pu=replayed.vm_error(topology.vm(point)),
        ac_loss_error_percent=replayed.loss_error(losses_mw(data.grid, flows)),
        ac_diverged=replayed.diverged,
        vm_ac_pu=replayed.vm,
    )
    return (
        proof
        if proof.exact or not physics.has_losses
        else dataclasses.replace(proof, reasons=_reasons(price))
    )


def _reasons(price: Array) -> tuple[str, ...]:
    found = [NEGATIVE_PRICE] if (price < 0).any() else []
    found += [UNPRICED] if (price == 0).any() else []
    return tuple(found) or (UNKNOWN,)
