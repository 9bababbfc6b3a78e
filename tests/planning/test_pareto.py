"""Cost against reliability: each point is the plan of its limit, and the front is monotone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from planning import plan_network, reliability_front
from planning.figures import reliability_front_figure
from pp_p2p import SolverConfig, create_candidate, from_netcdf, to_netcdf
from pp_p2p.errors import InvalidInput, NoSolution

TIGHT = SolverConfig(rel_gap=1e-6)
LIMITS = [3.2, np.inf, 5.0, 4.0, 100.0]


@pytest.fixture
def study(
    feeder: Any, make_days: Callable[..., xr.Dataset], failing_with_tie: Any
) -> tuple[Any, xr.Dataset]:
    tie = failing_with_tie(feeder)
    create_candidate(
        feeder, 2, technology="storage", unit_p_mw=0.5, unit_e_mwh=1.0, max_units=3,
        capex_eur_per_unit=2.2e5, min_soc_percent=20.0, lifetime_years=20.0,
    )  # fmt: skip
    create_candidate(
        feeder, 0, technology="line", line=tie, capex_eur_per_unit=1e5, lifetime_years=20.0
    )
    return feeder, make_days(feeder, n=1, hours=4)


def test_front_is_the_plan_of_each_limit(study: tuple[Any, xr.Dataset], tmp_path: Path) -> None:
    front = reliability_front(*study, LIMITS, solver=TIGHT)
    assert front["limit"].to_numpy().tolist() == sorted(LIMITS, reverse=True)
    for limit in (np.inf, 5.0, 3.2):
        alone = plan_network(*study, eens_limit_mwh_per_year=limit, solver=TIGHT)
        point = front.sel(limit=limit)
        assert float(point["objective_eur_per_year"]) == pytest.approx(
            alone.attrs["objective_eur_per_year"], rel=2e-6
        )
        assert point["units"].to_numpy().tolist() == alone["units"].to_numpy().tolist()
    assert (front["eens_mwh_per_year"] <= front["limit"] + 1e-9).all()
    assert (np.diff(front["objective_eur_per_year"]) >= 0.0).all()
    assert (np.diff(front["bound_eur_per_year"]) >= 0.0).all()
    assert (front["gap"] <= 1e-6).all()
    np.testing.assert_allclose(
        front["cost_eur_per_year"].sum("item"), front["objective_eur_per_year"], rtol=1e-5
    )
    # nothing is cheapest, and nothing keeps 100 MWh/a as well; the tie keeps 5, 4 and 3.2
    assert front["solved"].to_numpy().tolist() == [True, False, True, False, False]
    xr.testing.assert_identical(from_netcdf(to_netcdf(front, tmp_path / "front.nc")), front)


def test_figure_shows_what_is_paid_for_what(study: tuple[Any, xr.Dataset]) -> None:
    front = reliability_front(*study, LIMITS, solver=TIGHT)
    figure = reliability_front_figure(front)
    plans = next(trace for trace in figure.data if trace.name == "plan")
    np.testing.assert_allclose(plans.x, np.unique(front["eens_mwh_per_year"])[::-1])
    assert len(plans.x) == 2
    assert "tie" in plans.customdata[1] or "line" in plans.customdata[1]


def test_bad_limits(study: tuple[Any, xr.Dataset]) -> None:
    with pytest.raises(InvalidInput, match="holds -1"):
        reliability_front(*study, [-1.0, 2.0])
    with pytest.raises(InvalidInput, match="is empty"):
        reliability_front(*study, [])
    with pytest.raises(NoSolution, match=r"cannot be reached: the best .* is \d"):
        reliability_front(*study, [5.0, 0.1])
    study[0].bus["min_vm_pu"] = 0.999
    with pytest.raises(NoSolution, match=r"no plan keeps 5 MWh/a: the voltage limits"):
        reliability_front(*study, [5.0])
