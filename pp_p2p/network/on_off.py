"""Branches that may open, whatever the formulation: each has its own copies of its end voltages.

With u the binary of a branch and v_i the squared voltage of its end,

    u V_min^2 <= v_i^u <= u V_max^2,   (1 - u) V_min^2 <= v_i - v_i^u <= (1 - u) V_max^2     (1)
    |P|, |Q| <= F u                                                                         (2)

and the formulation's laws hold for the copies v^u: exact where u is 0 or 1, and between them the
convex hull of both states of the branch, which no big-M constraint reaches (Balas 1979).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyomo.environ as pyo

from pp_p2p.network.algebra import linear
from pp_p2p.network.branches import Array
from pp_p2p.network.grid import GridData

Closed = Mapping[tuple[int, int], Any]
"""(branch, step) -> binary variable, for branches that may open."""


def own_end(grid: GridData, movable: Array, branch: int, *, child: bool) -> int:
    """Return the number of the node that stands for an end of a branch that may open."""
    return grid.n_nodes + 2 * int(np.searchsorted(movable, branch)) + int(child)


def with_own_ends(grid: GridData, closed: Closed) -> GridData:
    """Return `grid` with two more nodes for each branch that may open, after all others."""
    movable = _movable(closed)
    ends = np.column_stack([grid.tree.parent[movable], grid.tree.child[movable]]).ravel()
    parent, child = grid.tree.parent.copy(), grid.tree.child.copy()
    parent[movable] = [own_end(grid, movable, k, child=False) for k in movable]
    child[movable] = [own_end(grid, movable, k, child=True) for k in movable]
    low, high = grid.vm_min.copy(), grid.vm_max.copy()
    low[grid.source_node] = high[grid.source_node] = grid.source_vm
    return dataclasses.replace(
        grid,
        node_bus=np.concatenate([grid.node_bus, grid.node_bus[ends]]),
        vn_kv=np.concatenate([grid.vn_kv, grid.vn_kv[ends]]),
        vm_min=np.concatenate([grid.vm_min, low[ends]]),
        vm_max=np.concatenate([grid.vm_max, high[ends]]),
        tree=dataclasses.replace(grid.tree, parent=parent, child=child),
    )


def add_on_off(block: Any, grid: GridData, closed: Closed) -> None:
    """Add (1) and (2) to a block whose formulation saw `with_own_ends`."""
    movable = _movable(closed)
    block.ON_OFF = pyo.Set(initialize=list(closed), dimen=2)
    low, high = grid.vm_min**2, grid.vm_max**2
    low[grid.source_node] = high[grid.source_node] = grid.source_vm**2
    for k, t in closed:
        for child in (False, True):
            block.v[own_end(grid, movable, k, child=child), t].setlb(0.0)

    def copy_of_voltage(b: Any, k: int, t: int, child: int, side: int, state: int) -> Any:
        node = int((grid.tree.child if child else grid.tree.parent)[k])
        u, own, v = closed[k, t], b.v[own_end(grid, movable, k, child=bool(child)), t], b.v[node, t]
        bound = float((high if side else low)[node])
        sense = 1.0 if side else -1.0
        if state:  # closed: the copy lies between the limits
            return linear([sense, -sense * bound], [own, u]) <= 0.0
        return linear([sense, -sense, sense * bound], [v, own, u]) <= sense * bound

    both = (0, 1)
    block.copy_of_voltage = pyo.Constraint(block.ON_OFF, both, both, both, rule=copy_of_voltage)

    def flow_limit(b: Any, k: int, t: int, reactive: int, sense: int) -> Any:
        flow = (b.q if reactive else b.p)[k, t]
        return linear([float(sense), -float(flow.ub)], [flow, closed[k, t]]) <= 0.0

    block.flow_limit = pyo.Constraint(block.ON_OFF, both, (-1, 1), rule=flow_limit)


def _movable(closed: Closed) -> Array:
    return np.array(sorted({k for k, _ in closed}), dtype=np.int64)
