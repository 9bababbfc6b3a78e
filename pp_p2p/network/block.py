"""`network_block`: balances and limits of a radial grid, for every formulation.

For every node j and step t, with C(j) the branches to its children and y = g + jb its shunts:

    sum_{k in C(j)} P_k = P_in - r l_in + p_j + p_source - g_j v_j        (balance_p)
    sum_{k in C(j)} Q_k = Q_in - x l_in + q_j + q_source + b_j v_j        (balance_q)
    V_min^2 <= v_j <= V_max^2,   v_source = V_source^2
    P_min <= p_source <= P_max,   Q_min <= q_source <= Q_max

A soft open point that forms an island's grid fixes its voltage as a source does; its power is the
device's own, among p_j and q_j.

The terms in l are there where the formulation has losses.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyomo.environ as pyo

from pp_p2p.network.algebra import linear
from pp_p2p.network.branches import Array
from pp_p2p.network.formulation import Formulation
from pp_p2p.network.grid import GridData
from pp_p2p.network.on_off import Closed, add_on_off, with_own_ends
from pp_p2p.network.tightening import PLAIN, Tightening, tighten_voltage

Terms = dict[tuple[int, int], list[tuple[float, Any]]]


@dataclass(kw_only=True)
class Injection:
    """Power into the grid: fixed parts (node, step), p.u., and terms in variables of the model.

    `p_terms[node, step]` and `q_terms[node, step]` list pairs of coefficient and variable.
    """

    p: Array
    q: Array
    p_terms: Terms = field(default_factory=lambda: defaultdict(list))
    q_terms: Terms = field(default_factory=lambda: defaultdict(list))

    def magnitude_bound(self) -> float:
        """Return a bound of the apparent power that all injections of one step add up to."""
        fixed = np.hypot(self.p, self.q).sum(axis=0)
        movable = np.zeros_like(fixed)
        for terms in (self.p_terms, self.q_terms):
            for (_, step), pairs in terms.items():
                movable[step] += sum(abs(c) * max(map(abs, var.bounds)) for c, var in pairs)
        return float((fixed + movable).max())


LOSS_MARGIN = 4.0
"""Flows may exceed the sum of injections by losses; at the nose of the PV curve by a factor 2."""


def flow_bound(grid: GridData, magnitude: float) -> float:
    """Return a bound of every flow, p.u., from that of all injections of one step."""
    shunts = float(np.abs(grid.y_shunt).sum() * np.max(grid.vm_max, initial=1.0) ** 2)
    return LOSS_MARGIN * (magnitude + shunts) + 1e-3


def source_bounds(grid: GridData, most: float) -> dict[str, tuple[Array, Array]]:
    """Return the bounds (source,) of ``p_source`` and ``q_source``, p.u.: limits within `most`.

    A limit that asks for more than any flow stays out of reach: `most` is more than there can be.
    """
    limits = grid.source_limits
    of = {"p_source": (limits.p_min, limits.p_max), "q_source": (limits.q_min, limits.q_max)}
    return {
        name: (np.clip(low, -most, most), np.clip(high, -most, most))
        for name, (low, high) in of.items()
    }


def network_block(
    grid: GridData,
    formulation: Formulation,
    injection: Injection,
    tightening: Tightening = PLAIN,
    *,
    closed: Closed | None = None,
) -> Any:
    """Return a Pyomo block with the load flow of `grid` under `injection`.

    Parameters
    ----------
    grid : GridData
    formulation : Formulation
    injection : Injection
        Its arrays set the number of steps.
    tightening : Tightening
        Of the cone relaxation; `pp_p2p.network.tightening.weigh_losses` adds its part of the
        objective.
    closed : mapping, optional
        (branch, step) -> binary variable of a branch that may open; see `pp_p2p.network.on_off`.

    Returns
    -------
    pyomo.Block
        Variables ``v[node, step]``, ``p[branch, step]``, ``q``, ``p_source[source, step]``,
        ``q_source`` and those of the formulation; every one has finite bounds. ``most_supply``
        bounds what all external grids exchange, whatever their limits.
    """
    block = pyo.Block(concrete=True)
    block.BUS = pyo.RangeSet(0, grid.n_nodes - 1)
    block.BRANCH = pyo.RangeSet(0, grid.n_branches - 1)
    block.SOURCE = pyo.RangeSet(0, len(grid.source_node) - 1)
    block.TIME = pyo.RangeSet(0, injection.p.shape[1] - 1)
    most = flow_bound(grid, injection.magnitude_bound())
    physics = grid if closed is None else with_own_ends(grid, closed)
    _add_voltage(block, physics)
    flow = (-most, most)
    block.p = pyo.Var(block.BRANCH, block.TIME, bounds=flow)
    block.q = pyo.Var(block.BRANCH, block.TIME, bounds=flow)
    for name, (low, high) in source_bounds(grid, most).items():
        of_source = list(zip(low.tolist(), high.tolist(), strict=True))
        slack = pyo.Var(block.SOURCE, block.TIME, bounds=lambda _, k, _t, of=of_source: of[k])
        block.add_component(name, slack)
    block.most_supply = most * len(block.SOURCE)
    formulation.add_variables(block, physics, most)
    formulation.add_branch_physics(block, physics)
    formulation.add_branch_limits(block, physics)
    if closed is not None:
        add_on_off(block, grid, closed)
    if grid.open_at is not None:
        _open(block, grid.open_at)
    _add_balances(block, grid, formulation, injection)
    tighten_voltage(block, grid, formulation, tightening)
    return block


def _open(block: Any, open_at: Array) -> None:
    """Take the laws of branches that are open (branch, step) out of the block: no flow there."""
    for k, t in np.argwhere(open_at).tolist():
        for name in ("p", "q", "l"):
            flow = block.component(name)
            if flow is not None:
                flow[k, t].fix(0.0)
        for name in ("voltage_drop", "current_cone"):
            law = block.component(name)
            if law is not None:
                law[k, t].deactivate()
        polygon = block.component("current_polygon")
        if polygon is not None:
            for key, side in polygon.items():
                if key[:2] == (k, t):
                    side.deactivate()


def _add_voltage(block: Any, grid: GridData) -> None:
    fixed = dict(zip(grid.source_node.tolist(), grid.source_vm.tolist(), strict=True))
    fixed |= dict(zip(grid.forming_node.tolist(), grid.forming_vm.tolist(), strict=True))

    def bounds(_: Any, j: int, _t: int) -> tuple[float, float]:
        if j in fixed:
            return fixed[j] ** 2, fixed[j] ** 2
        return float(grid.vm_min[j] ** 2), float(grid.vm_max[j] ** 2)

    def start(_: Any, j: int, _t: int) -> float | None:
        return fixed[j] ** 2 if j in fixed else None  # a source alone is in no constraint

    nodes = range(grid.n_nodes)
    block.v = pyo.Var(nodes, block.TIME, bounds=bounds, initialize=start)


def _add_balances(
    block: Any, grid: GridData, formulation: Formulation, injection: Injection
) -> None:
    tree = grid.tree
    incoming: dict[int, list[int]] = defaultdict(list)  # more than one where branches may open
    outgoing: dict[int, list[int]] = defaultdict(list)
    for k, node in enumerate(tree.child):
        incoming[int(node)].append(k)
    for k, node in enumerate(tree.parent):
        outgoing[int(node)].append(k)
    source = {int(node): k for k, node in enumerate(grid.source_node)}

    def rule(
        flow: str, slack: str, impedance: Array, shunt: Array, fixed: Array, terms: Terms
    ) -> Any:
        def balance(b: Any, j: int, t: int) -> Any:
            flows = getattr(b, flow)
            coefs = [-1.0] * len(outgoing[j])
            variables = [flows[k, t] for k in outgoing[j]]
            for k in incoming[j]:
                coefs.append(1.0)
                variables.append(flows[k, t])
                if formulation.has_losses:
                    coefs.append(-float(impedance[k]))
                    variables.append(b.l[k, t])
            if shunt[j] != 0.0:
                coefs.append(float(shunt[j]))
                variables.append(b.v[j, t])
            if j in source:
                coefs.append(1.0)
                variables.append(getattr(b, slack)[source[j], t])
            for coef, variable in terms.get((j, t), ()):
                coefs.append(coef)
                variables.append(variable)
            return linear(coefs, variables) == -float(fixed[j, t])

        return balance

    p_rule = rule("p", "p_source", tree.r, -grid.y_shunt.real, injection.p, injection.p_terms)
    q_rule = rule("q", "q_source", tree.x, grid.y_shunt.imag, injection.q, injection.q_terms)
    block.balance_p = pyo.Constraint(block.BUS, block.TIME, rule=p_rule)
    block.balance_q = pyo.Constraint(block.BUS, block.TIME, rule=q_rule)
