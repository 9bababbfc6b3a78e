"""LinDistFlow: branch flow without losses, a linear programme.

For every branch i -> j, with a_i, a_j the squared ratios at its ends:

    a_j v_j = a_i v_i - 2 (r P + x Q)                                    (1)
    cos(2 pi k / K) P + sin(2 pi k / K) Q <= I_max cos(pi / K), k < K     (2)

(1) is DistFlow of Baran & Wu (1989) with the loss terms dropped; (2) is a polygon inside the
circle |S| <= I_max at nominal voltage, safe for every K. An approximation, never a bound.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pyomo.environ as pyo

from pp_p2p.network.algebra import linear
from pp_p2p.network.grid import GridData

POLYGON_SIDES = 16
"""Sides of the polygon inside the current circle: at most 2 % of the capacity is given away."""


class LinDistFlow:
    """Lossless linear branch flow."""

    name = "lindistflow"
    has_losses = False
    capability: Literal["cone", "exact", "polygon"] = "polygon"

    def add_variables(self, block: Any, grid: GridData, flow_bound: float) -> None:
        """Add nothing: ``v``, ``p`` and ``q`` are enough."""

    def add_branch_physics(self, block: Any, grid: GridData) -> None:
        """Add the voltage drop (1)."""
        tree = grid.tree

        def voltage_drop(b: Any, k: int, t: int) -> Any:
            i, j = int(tree.parent[k]), int(tree.child[k])
            coefs = [tree.v_scale_child[k], -tree.v_scale_parent[k], 2 * tree.r[k], 2 * tree.x[k]]
            variables = [b.v[j, t], b.v[i, t], b.p[k, t], b.q[k, t]]
            return linear(coefs, variables) == 0.0

        block.voltage_drop = pyo.Constraint(block.BRANCH, block.TIME, rule=voltage_drop)

    def add_branch_limits(self, block: Any, grid: GridData) -> None:
        """Add the polygon (2) for branches with a limit."""
        limited = np.flatnonzero(np.isfinite(grid.tree.i_max)).tolist()
        angles = 2 * np.pi * np.arange(POLYGON_SIDES) / POLYGON_SIDES
        inside = np.cos(np.pi / POLYGON_SIDES)

        def current_polygon(b: Any, k: int, t: int, side: int) -> Any:
            coefs = [np.cos(angles[side]), np.sin(angles[side])]
            flow = linear(coefs, [b.p[k, t], b.q[k, t]])
            return flow <= float(grid.tree.i_max[k] * inside)

        block.current_polygon = pyo.Constraint(
            limited, block.TIME, range(POLYGON_SIDES), rule=current_polygon
        )
