"""Pictures of plans hold the numbers of the result, and a browser draws them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

from planning import (
    build_map_figure,
    cash_flow_figure,
    convergence_figure,
    growing_stages,
    plan_horizon,
    reliability_front_figure,
)
from pp_p2p import SolverConfig, create_candidate
from pp_p2p.errors import InvalidInput
from pp_p2p.solve.report import ProblemClass, SolveReport, Status


@pytest.fixture
def study(
    feeder: Any, make_days: Callable[..., xr.Dataset], failing_with_tie: Any
) -> tuple[Any, xr.Dataset]:
    tie = failing_with_tie(feeder)
    create_candidate(
        feeder, 4, technology="pv", unit_p_mw=0.7, max_units=2, capex_eur_per_unit=1e5,
        name="roof <b>", lifetime_years=3.0,
    )  # fmt: skip
    create_candidate(feeder, 0, technology="line", line=tie, capex_eur_per_unit=1e5, name="tie")
    days = make_days(feeder, n=1, hours=4)
    stages = growing_stages([2, 4], learning_percent=20.0, eens_limit_mwh_per_year=[np.inf, 5.0])
    plan = plan_horizon(
        feeder, days, stages, salvage="annuity", available_from={0: 2},
        solver=SolverConfig(rel_gap=1e-6),
    )  # fmt: skip
    return feeder, plan


def test_cash_flow_bars_sum_to_the_line(study: tuple[Any, xr.Dataset]) -> None:
    _, plan = study
    for present in (False, True):
        figure = cash_flow_figure(plan, present_value=present)
        bars = [trace for trace in figure.data if trace.type == "bar"]
        line = next(trace for trace in figure.data if trace.name == "sum")
        np.testing.assert_allclose(np.sum([bar.y for bar in bars], axis=0), line.y)
        assert list(line.x) == [1, 2, 3, 4, 5, 6]
        assert "lost load" not in {bar.name for bar in bars}  # zero in every year
    assert sum(line.y) == pytest.approx(float(plan["npc_eur"]) / 1e6)
    assert figure.layout.barmode == "relative"


def test_build_map_says_what_is_built_when(study: tuple[Any, xr.Dataset]) -> None:
    net, plan = study
    assert plan["units_built"].sel(candidate=0).to_numpy().tolist() == [0, 2]
    figure = build_map_figure(net, plan)
    texts = [str(t) for trace in figure.data for t in np.atleast_1d(trace.hovertemplate)]
    assert any("roof &lt;b&gt;" in t and "from stage 2 on" in t for t in texts)
    assert any(trace.name == "tie, built (normally open)" for trace in figure.data)
    first = build_map_figure(net, plan, stage=1)
    assert not any("roof" in str(t) for trace in first.data for t in np.atleast_1d(trace.text))
    with pytest.raises(InvalidInput, match="no stage 7"):
        build_map_figure(net, plan, stage=7)


def test_convergence_ends_at_bound_and_objective(study: tuple[Any, xr.Dataset]) -> None:
    _, plan = study
    figure = convergence_figure(plan)
    best, bound = figure.data
    assert best.y[-1] * 1e6 == pytest.approx(plan.attrs["objective_eur"])
    assert bound.y[-1] * 1e6 <= plan.attrs["objective_eur"] * (1 + 1e-9)
    assert (np.diff(best.x) >= 0).all()
    report = SolveReport(
        status=Status.OPTIMAL,
        termination="",
        objective=2.0,
        bound=1.9,
        seconds=3.0,
        solver="",
        version="",
        problem_class=ProblemClass.MISOCP,
        history=((1.0, -np.inf, np.inf), (3.0, 1.9, 2.0)),
    )
    assert convergence_figure(report).data[0].y[-1] == 2.0
    assert np.isnan(convergence_figure(report).data[1].y[0])


def test_results_of_another_kind_are_refused(study: tuple[Any, xr.Dataset]) -> None:
    net, _ = study
    other = xr.Dataset()
    for draw in (cash_flow_figure, convergence_figure, reliability_front_figure):
        with pytest.raises(InvalidInput, match="pass the result of"):
            draw(other)
    with pytest.raises(InvalidInput, match="pass the result of"):
        build_map_figure(net, other)


def test_a_browser_draws_all(study: tuple[Any, xr.Dataset], in_browser: Any) -> None:
    net, plan = study
    front = xr.Dataset(
        {
            "objective_eur_per_year": ("limit", [1e6, 1.1e6]),
            "bound_eur_per_year": ("limit", [1e6, 1.09e6]),
            "eens_mwh_per_year": ("limit", [8.0, 3.0]),
            "units": (("limit", "candidate"), [[0], [1]]),
            "candidate_name": ("candidate", ["tie"]),
            "technology_built": ("candidate", ["line"]),
        },
        coords={"limit": [np.inf, 4.0], "candidate": [0]},
    )
    figures = (
        cash_flow_figure(plan),
        build_map_figure(net, plan),
        convergence_figure(plan),
        reliability_front_figure(front),
    )
    parts = [
        figure.to_html(full_html=False, include_plotlyjs=not k) for k, figure in enumerate(figures)
    ]
    seen = in_browser(f"<html><body>{''.join(parts)}</body></html>", 700)
    assert seen.pictures == 4
    assert seen.console == []
