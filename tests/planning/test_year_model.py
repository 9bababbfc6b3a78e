"""The model of one year, as a block of a larger one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyomo.environ as pyo
import pytest
import xarray as xr

from planning.expansion_result import installed_units
from planning.investment import MONEY_SCALE
from planning.year_model import ExpansionData, add_year
from pp_p2p import create_candidate
from pp_p2p.network.formulation import get_formulation
from pp_p2p.solve.run import run_solver


def test_years_are_blocks_that_share_their_units(
    feeder: Any, make_days: Callable[..., xr.Dataset]
) -> None:
    create_candidate(feeder, 4, technology="pv", unit_p_mw=0.7, max_units=3, capex_eur_per_unit=1.0)
    data = ExpansionData.from_net(
        feeder,
        make_days(feeder),
        interest_rate=0.05,
        eens_limit_mwh_per_year=float("inf"),
        value_of_lost_load_eur_per_mwh=0.0,
        budget_eur=float("inf"),
    )
    physics = get_formulation("branch_flow")
    costs = []
    for years in (1, 2):
        m = pyo.ConcreteModel()
        m.installed = pyo.Var([0], bounds=(2, 2))
        m.year = pyo.Block(range(years), concrete=True)
        for year in m.year.values():
            add_year(year, data, physics, m.installed)
        m.cost = pyo.Objective(expr=sum(year.yearly_cost + year.added for year in m.year.values()))
        costs.append(run_solver(m).objective)
        assert installed_units(m.year[years - 1]).tolist() == [2]
    assert costs[0] * MONEY_SCALE > 1e5
    assert costs[1] == pytest.approx(2 * costs[0], rel=1e-7)
