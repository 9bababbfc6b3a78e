"""Days of trade become one dataset, and its attributes the worst of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from flows.chain import Inputs, _joined, choose_days
from flows.study import load_study, study_template
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
    joined = _joined([day(), worst, day()], DAYS)
    assert joined.attrs["status"] == "feasible"
    assert joined.attrs["termination"] == "Solved, AlmostSolved"
    assert joined.attrs["relaxation"] == "inexact"
    assert joined.attrs["gap"] == 1e-3
    assert joined.attrs["seconds"] == 3.0
    assert joined.attrs["objective_eur_per_year"] == 3660.0
    assert joined["trade_agreed"].to_numpy().tolist() == [1, 0, 1]
    assert joined["vm_pu"].dims == ("day", "hour")


def test_days_that_end_alike_are_told_once() -> None:
    assert _joined([day(), day(), day()], DAYS).attrs["termination"] == "Solved"


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
