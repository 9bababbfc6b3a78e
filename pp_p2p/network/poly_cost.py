"""Costs by pandapower's own table ``net.poly_cost``.

The constant of a polynomial moves no decision and is in no cost. ``net.pwl_cost`` is refused.
"""

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
    pieces = net.get("pwl_cost")
    if pieces is not None and len(pieces):
        yield Finding(
            table="pwl_cost",
            rows=tuple(pieces.index.tolist()),
            rule="holds piecewise linear costs, which no model here reads",
            mend="drop the rows and give the costs as net.poly_cost",
        )


def traded_cost_findings(net: Any) -> Iterator[Finding]:
    """Yield costs that a market cannot take: there, the wear of storage has a column of its own.

    Costs of an external grid are none of them: the prices of the profiles stand for it.
    """
    yield from poly_cost_findings(net)
    costs = net.poly_cost
    wear = (costs.et == "storage") & (costs.cp1_eur_per_mw != 0)
    if wear.any():
        yield Finding(
            table="poly_cost",
            rows=tuple(costs.index[wear]),
            rule="prices storage",
            mend="drop the row and give storage.degradation_eur_per_mwh (pp_p2p.set_storage)",
        )
