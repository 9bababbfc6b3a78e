"""Branch flow with its second-order cone relaxation.

For every branch i -> j, with a_i, a_j the squared ratios at its ends and l = |I|^2:

    a_j v_j = a_i v_i - 2 (r P + x Q) + (r^2 + x^2) l                     (1)
    P^2 + Q^2 <= a_i v_i l                                                (2)
    0 <= l <= I_max^2                                                     (3)

Baran & Wu (1989); (2) relaxes the equality (Farivar & Low 2013). It is exact where losses cost
something and no upper voltage limit binds under reverse flow (Gan, Li, Topcu & Low 2015): every
result carries the largest slack of (2) and an AC replay. The limit (3) is on the current through
the series impedance, which leaves the line's charging current out.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pyomo.environ as pyo

from pp_p2p.network.algebra import linear
from pp_p2p.network.branches import Array
from pp_p2p.network.grid import GridData


def current_bound(grid: GridData, flow_bound: float) -> Array:
    """Return the limit (3) of the squared current (branch,), or what `flow_bound` leaves of it."""
    tree = grid.tree
    lowest = tree.v_scale_parent * grid.vm_min[tree.parent] ** 2
    return np.asarray(np.minimum(tree.i_max**2, flow_bound**2 / lowest))


class BranchFlow:
    """Second-order cone relaxation of the branch flow equations."""

    name = "branch_flow"
    has_losses = True
    capability: Literal["cone", "exact", "polygon"] = "cone"

    def add_variables(self, block: Any, grid: GridData, flow_bound: float) -> None:
        """Add the squared current ``l`` with its limit (3)."""
        most = current_bound(grid, flow_bound).tolist()
        block.l = pyo.Var(block.BRANCH, block.TIME, bounds=lambda _, k, _t: (0.0, most[k]))

    def add_branch_physics(self, block: Any, grid: GridData) -> None:
        """Add the voltage drop (1) and the current cone (2)."""
        tree = grid.tree
        z_sqr = tree.r**2 + tree.x**2

        def voltage_drop(b: Any, k: int, t: int) -> Any:
            i, j = int(tree.parent[k]), int(tree.child[k])
            coefs = [
                tree.v_scale_child[k],
                -tree.v_scale_parent[k],
                2 * tree.r[k],
                2 * tree.x[k],
                -z_sqr[k],
            ]
            variables = [b.v[j, t], b.v[i, t], b.p[k, t], b.q[k, t], b.l[k, t]]
            return linear(coefs, variables) == 0.0

        def current_cone(b: Any, k: int, t: int) -> Any:
            i, scale = int(tree.parent[k]), float(tree.v_scale_parent[k])
            return b.p[k, t] ** 2 + b.q[k, t] ** 2 - scale * b.l[k, t] * b.v[i, t] <= 0.0

        block.voltage_drop = pyo.Constraint(block.BRANCH, block.TIME, rule=voltage_drop)
        block.current_cone = pyo.Constraint(block.BRANCH, block.TIME, rule=current_cone)

    def add_branch_limits(self, block: Any, grid: GridData) -> None:
        """Add nothing: (3) is a bound of ``l``."""
