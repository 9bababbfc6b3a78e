"""Days of trade become one dataset, attributes the worst of them; a study and its file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from flows.chain import Inputs, choose_days
from flows.study import load_study, study_template
from flows.trading import join_days
from planning.case_indicators import study_indicators
from pp_p2p import from_netcdf, to_netcdf
from pp_p2p.errors import InvalidInput

DAYS = xr.Dataset(coords={"day": [3, 5, 9], "weight": ("day", [200.0, 100.0, 66.0])})


def day(**attrs: Any) -> xr.Dataset:
    usual = {
        "status": "optimal",
        "termination": "Solved",
        "relaxation": "exact",
        "trade": "agreed",
        "gap": 1e-8,
        "relaxation_gap": 1e-8,
        "ac_vm_error_pu": 1e-7,
        "ac_loss_error_percent": 1e-3,
        "seconds": 1.0,
        "iterations": 10,
        "input_hash": "ab",
        "gain_eur": 2.0,
        "objective_eur": 10.0,
        "bound_eur": 9.0,
    }
    same = dict.fromkeys(("problem", "solver", "formulation", "version", "seed", "options"), "x")
    return xr.Dataset(
        {"vm_pu": ("time", np.ones(2))},
        coords={"time": [0.0, 1.0]},
        attrs={**usual, **same, **attrs},
    )


def test_attributes_are_the_worst_of_all_days() -> None:
    worst = day(
        status="feasible", termination="AlmostSolved", relaxation="inexact", gap=1e-3, trade="none"
    )
    joined = join_days([day(), worst, day()], DAYS)
    assert joined.attrs["status"] == "feasible"
    assert joined.attrs["termination"] == "Solved, AlmostSolved"
    assert joined.attrs["relaxation"] == "inexact"
    assert joined.attrs["gap"] == 1e-3
    assert joined.attrs["seconds"] == 3.0
    assert joined.attrs["objective_eur_per_year"] == 3660.0
    assert joined["trade_agreed"].to_numpy().tolist() == [1, 0, 1]
    assert joined["vm_pu"].dims == ("day", "hour")


def test_days_that_end_alike_are_told_once() -> None:
    assert join_days([day(), day(), day()], DAYS).attrs["termination"] == "Solved"


@pytest.mark.parametrize(
    ("n_days", "said"),
    [
        (400, "n_days: asks for 400 clusters of 4 days (6 days, 2 of them extreme); give more"),
        (4, "n_days: asks for 4 clusters, but only 2 days differ; ask for at most 2"),
    ],
)
def test_too_many_typical_days_are_found_in_the_study_file(
    tmp_path: Path, n_days: int, said: str
) -> None:
    path = tmp_path / "study.toml"
    text = study_template()
    path.write_text(text.replace("n_days = 4", f"n_days = {n_days}"), encoding="utf-8")
    line = 1 + text[: text.index("n_days = 4")].count("\n")
    hours = np.arange("2016-01-01", "2016-01-07", dtype="datetime64[h]").astype("datetime64[ns]")
    load = np.repeat([1.0, 2.0, 2.0, 3.0, 3.0, 9.0], 24)[:, None]
    year = xr.Dataset(
        {"load_p_mw": (("time", "load"), load), "sgen_p_mw": (("time", "sgen"), 0.1 * load)},
        coords={"time": hours, "load": [0], "sgen": [0]},
    )
    with pytest.raises(InvalidInput) as caught:
        choose_days(load_study(path), Inputs(net=None, profiles=year))
    assert f"study.toml:{line}, typical_days.{said}" in str(caught.value)


def managed(rounds: int, n_operations: int) -> xr.Dataset:
    """Return a day with records of its own length, of a market that knows no bound."""
    one = day(limits_broken=rounds, equilibrium="equilibrium", trade="cleared")
    del one.attrs["bound_eur"], one.attrs["ac_loss_error_percent"]
    one["broken_by_round"] = ("congestion_round", np.arange(rounds))
    one["operation_element"] = ("operation", np.array(["line 3"] * n_operations, dtype=str))
    return one.assign_coords(congestion_round=np.arange(1, rounds + 1))


def test_records_of_different_length_are_kept_whole() -> None:
    joined = join_days([managed(1, 0), managed(3, 2), managed(2, 1)], DAYS)
    assert joined["broken_by_round"].sel(day=5).to_numpy().tolist() == [0, 1, 2]
    assert joined["broken_by_round"].notnull().sum("congestion_round").to_numpy().tolist() == [
        1, 3, 2,
    ]  # fmt: skip
    assert joined["congestion_round"].to_numpy().tolist() == [1, 2, 3]
    assert joined["operation_element"].sel(day=9).to_numpy().tolist() == ["line 3", ""]
    assert joined["limits_broken"].to_numpy().tolist() == [1.0, 3.0, 2.0]
    assert joined["equilibrium"].to_numpy().tolist() == ["equilibrium"] * 3
    assert joined["trade_agreed"].to_numpy().tolist() == [1, 1, 1]
    assert "bound_eur_per_year" not in joined.attrs  # what no day has is not made up
    assert "ac_loss_error_percent" not in joined.attrs


@pytest.mark.parametrize("together", [False, True])
def test_a_study_comes_back_from_its_file_as_it_went_in(
    study_tree: Callable[..., xr.DataTree], tmp_path: Path, together: bool
) -> None:
    tree = study_tree(together=together)
    tree["indicators"] = xr.DataTree(study_indicators(tree))
    back = from_netcdf(to_netcdf(tree, tmp_path / "result.nc"))
    assert isinstance(back, xr.DataTree)
    xr.testing.assert_identical(back, tree)
