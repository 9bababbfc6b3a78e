"""The exact branch flow equations: a nonlinear programme for Ipopt.

As `pp_p2p.network.branch_flow`, with the current law as it is,

    P^2 + Q^2 = a_i v_i l                                                 (2')

On a radial grid this is the AC load flow (Farivar & Low 2013): its solutions are load flows, its
local optima upper bounds of the least cost.
"""

from __future__ import annotations

from typing import Any, Literal

import pyomo.environ as pyo

from pp_p2p.network.branch_flow import BranchFlow
from pp_p2p.network.grid import GridData


class AcBranchFlow(BranchFlow):
    """Exact branch flow equations."""

    name = "ac"
    capability: Literal["cone", "exact", "polygon"] = "exact"

    def add_branch_physics(self, block: Any, grid: GridData) -> None:
        """Add the voltage drop (1) and the current law (2')."""
        super().add_branch_physics(block, grid)
        tree = grid.tree
        block.del_component(block.current_cone)

        def current_law(b: Any, k: int, t: int) -> Any:
            i, scale = int(tree.parent[k]), float(tree.v_scale_parent[k])
            return b.p[k, t] ** 2 + b.q[k, t] ** 2 == scale * b.l[k, t] * b.v[i, t]

        block.current_law = pyo.Constraint(block.BRANCH, block.TIME, rule=current_law)
