"""Costs by pandapower's own table ``net.poly_cost``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pp_p2p.errors import Finding
from pp_p2p.network.branches import Array

PRICED = ("ext_grid", "sgen", "storage")
"""Elements whose costs the model reads."""


def polynomial_costs(net: Any, element: str, index: Array) -> Array:
    """Return linear and quadratic cost (row, 2) of rows `index`, EUR/MWh and EUR/(MW2 h)."""
    cost = np.zeros((len(index), 2))
    rows = net.poly_cost[net.poly_cost.et == element]
    for row in rows.itertuples():
        at = np.flatnonzero(index == row.element)
        cost[at] = (row.cp1_eur_per_mw, row.cp2_eur_per_mw2)
    return cost


def poly_cost_findings(net: Any) -> Iterator[Finding]:
    """Yield costs that no model can take, by row."""
    costs = net.poly_cost
    reactive = (costs[["cq1_eur_per_mvar", "cq2_eur_per_mvar2"]].fillna(0.0) != 0).any(axis=1)
    unknown = ~costs.et.isin(PRICED)
    square = (costs.et == "storage") & (costs.cp2_eur_per_mw2 != 0)
    concave = costs.cp2_eur_per_mw2 < 0
    for bad, rule in (
        (reactive, "prices reactive power"),
        (unknown & ~reactive, "prices an element that is not dispatched"),
        (square, "prices storage quadratically"),
        (concave, "has a negative quadratic part"),
    ):
        if bad.any():
            yield Finding(
                table="poly_cost",
                rows=tuple(costs.index[bad]),
                rule=rule,
                mend="drop the row or set the term to 0",
            )
