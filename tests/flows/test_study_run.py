"""A study end to end: both engines, the command line, every kind of bad input."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import flows
from flows.study import study_template
from pp_p2p import from_netcdf, to_netcdf
from pp_p2p.errors import InvalidInput

ROOT = Path(__file__).parents[2]
Edit = tuple[str, str]


def _edited(*edits: Edit) -> str:
    text = study_template()
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    return text


SMALL: tuple[Edit, ...] = (
    ("n_days = 4", "n_days = 2"),
    ('extreme_days = ["peak_net_load", "min_net_load"]', "extreme_days = []"),
    ("mip_gap_percent = 0.05", "mip_gap_percent = 0.5"),
)


@pytest.fixture
def write_study(tmp_path: Path) -> Callable[..., Path]:
    def write(*edits: Edit) -> Path:
        path = tmp_path / "study.toml"
        path.write_text(_edited(*SMALL, *edits), encoding="utf-8")
        return path

    return write


def _command(*args: str, cwd: Path, hide: str = "", **env: str) -> Any:
    """Run the command line in a process of its own; `hide` makes a module unimportable."""
    hidden = f"sys.modules[{hide!r}] = None; " if hide else ""
    code = f"import sys; {hidden}from flows.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *args],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PREFECT_HOME": str(cwd / "prefect"), **env},
        check=False,
    )


def _numbers(tree: xr.DataTree) -> xr.DataTree:
    """Return the tree without what may differ between runs: times."""
    plain = tree.copy(deep=True)
    for node in plain.subtree:
        node.attrs.pop("seconds", None)
    return plain


@pytest.mark.slow
def test_plain_engine_writes_a_whole_study(write_study: Callable[..., Path]) -> None:
    study = write_study()
    stages: list[str] = []

    def watch(name: str) -> Any:
        stages.append(name)
        return nullcontext()

    result = flows.run_study(study, engine="plain", watch=watch)
    assert stages[0].startswith("read")
    assert stages[-1].startswith("write")
    assert result.result == study.parent / "results" / "ieee33" / "result.nc"
    assert result.report.is_file()
    tree = from_netcdf(result.result)
    assert isinstance(tree, xr.DataTree)
    assert set(tree.children) == {"network", "days", "plan", "joint", "trade", "indicators"}
    copy = from_netcdf(to_netcdf(tree, study.parent / "copy.nc"))
    assert isinstance(copy, xr.DataTree)
    xr.testing.assert_identical(copy, tree)
    plan, joint, trade, days = (tree[g].to_dataset() for g in ("plan", "joint", "trade", "days"))
    assert float(days["weight"].sum()) == 366.0
    for ds in (plan, joint, trade):
        assert ds.attrs["termination"]
        assert ds.attrs["relaxation"] == "exact"
        assert ds.attrs["ac_vm_error_pu"] <= 1e-4
        assert ds.attrs["ac_loss_error_percent"] <= 0.1
        assert ds.attrs["relaxation_gap"] <= 1e-6
    assert plan.attrs["gap"] <= 0.005
    assert float(plan["eens_mwh_per_year"].sel(case="plan")) <= 4.8
    gain = joint.attrs["gain_eur_per_year"]
    assert joint.attrs["equilibrium"].startswith("certified")
    assert abs(float(joint["payment_eur_per_year"].sum())) <= 1e-6 * gain
    assert (joint["saving_eur_per_year"] >= -1e-6 * gain).all()
    # what is traded is what is built together
    assert trade.sizes["storage"] == 1 + int(
        ((joint["units"] > 0) & (joint["technology_built"] == "storage")).sum()
    )
    money = trade["payment_eur"].sum("participant") + trade["operator_payment_eur"]
    np.testing.assert_allclose(money, 0.0, atol=1e-6)
    assert (trade["saving_eur"] >= -1e-3).all()
    # every quantity that has a unit says so
    for name in ("vm_pu", "p_buy_mw", "cost_eur_per_year"):
        assert plan[name].attrs["units"]
    for name in ("cost_eur_per_year", "move_radius_mw", "net_volume_mwh_per_year"):
        assert joint[name].attrs["units"]

    again = flows.run_study(study, engine="plain", output=study.parent / "again")
    xr.testing.assert_identical(
        xr.DataTree.to_dataset(_numbers(again.tree)["plan"]),
        xr.DataTree.to_dataset(_numbers(result.tree)["plan"]),
    )
    for group in ("joint", "trade"):
        xr.testing.assert_identical(
            xr.DataTree.to_dataset(_numbers(again.tree)[group]),
            xr.DataTree.to_dataset(_numbers(result.tree)[group]),
        )


@pytest.mark.slow
def test_command_line_runs_the_study_as_a_prefect_flow(
    write_study: Callable[..., Path], tmp_path: Path
) -> None:
    study = write_study()
    plain = flows.run_study(study, engine="plain", output=tmp_path / "plain")
    done = _command("run", str(study), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    for stage in ("start Prefect", "plan the network", "write files"):
        assert stage in done.stderr
    for word in ("gap", "AC", "Wind at 11", "MG 23"):
        assert word in done.stdout
    stored = from_netcdf(study.parent / "results" / "ieee33" / "result.nc")
    assert isinstance(stored, xr.DataTree)
    xr.testing.assert_equal(stored["plan"].to_dataset(), plain.tree["plan"].to_dataset())

    # and the same run's report can be drawn again
    again = _command("report", str(plain.result), "--output", "again.html", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "again.html").read_text() == plain.report.read_text()


NO_SOLUTION, MISTAKE = 3, 2


@pytest.mark.parametrize(
    ("edits", "code", "words"),
    [
        ([("max_units = 5", "max_unit = 5")], MISTAKE, ["candidate[0].max_unit", "max_units"]),
        ([("n_days = 2", 'n_days = "two"')], MISTAKE, ["typical_days.n_days"]),
        ([("bus = 22 ", "bus = 220 ")], MISTAKE, ["participant[1].bus", "220"]),
        ([("min_vm_pu = 0.90", "min_vm_pu = 1.20")], MISTAKE, ["min_vm_pu"]),
        ([('source = "case33bw"', 'source = "case33bv"')], MISTAKE, ["case33bv", "case33bw"]),
        ([('file = "simbench2016"', 'file = "nowhere.csv"')], MISTAKE, ["nowhere.csv"]),
        ([('file = "simbench2016"', 'file = "short.csv"')], MISTAKE, ["short.csv"]),
        ([("min_vm_pu = 0.90", "min_vm_pu = 0.9995")], NO_SOLUTION, ["voltage limits", "bus"]),
        (
            [("eens_limit_mwh_per_year = 4.8", "eens_limit_mwh_per_year = 0.5")],
            NO_SOLUTION,
            ["eens_limit_mwh_per_year", "the best that the candidates reach is 4.488 MWh/a"],
        ),
    ],
)
def test_bad_study_is_one_clear_message(
    write_study: Callable[..., Path],
    tmp_path: Path,
    edits: list[Edit],
    code: int,
    words: list[str],
) -> None:
    whole = (ROOT / "examples" / "data" / "simbench_2016.csv").read_text().splitlines()
    (tmp_path / "short.csv").write_text(
        "\n".join([*whole[:200], whole[200].split(",")[0] + ",", ""])
    )
    before = set(tmp_path.iterdir())
    study = write_study(*edits)
    done = _command("run", str(study), "--engine", "plain", cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    for word in words:
        assert word in done.stderr
    results = tmp_path / "results"
    assert set(tmp_path.iterdir()) - before <= {study, tmp_path / "prefect", results}
    left = [p for p in results.rglob("*") if p.is_file() and ".tasks" not in p.parts]
    assert left == [], "half a result"


@pytest.mark.slow
def test_mistakes_behind_prefect_are_as_clear(
    write_study: Callable[..., Path], tmp_path: Path
) -> None:
    study = write_study(("min_vm_pu = 0.90", "min_vm_pu = 0.9995"))
    done = _command("run", str(study), cwd=tmp_path)
    assert done.returncode == NO_SOLUTION, done.stderr
    assert "voltage limits" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_missing_solver_is_named(write_study: Callable[..., Path], tmp_path: Path) -> None:
    done = _command("run", str(write_study()), "--engine", "plain", cwd=tmp_path, hide="clarabel")
    assert done.returncode == MISTAKE, done.stderr
    assert "clarabel" in done.stderr
    assert "pip install" in done.stderr
    assert "Traceback" not in done.stderr


def test_unwritable_output_is_named(write_study: Callable[..., Path], tmp_path: Path) -> None:
    from flows.chain import write_text

    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InvalidInput, match="cannot be written"):
        write_text(tmp_path / "file" / "report.html", "page")


def test_init_and_solvers(tmp_path: Path) -> None:
    made = _command("init", "mine.toml", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "mine.toml").read_text() == study_template()
    again = _command("init", "mine.toml", cwd=tmp_path)
    assert again.returncode == MISTAKE
    assert "--force" in again.stderr
    solvers = _command("solvers", cwd=tmp_path, COLUMNS="200")
    for name in ("highs", "clarabel", "ipopt"):
        assert name in solvers.stdout
    hidden = _command("solvers", cwd=tmp_path, hide="highspy", COLUMNS="200")
    assert "missing" in hidden.stdout
    assert "pip install highspy" in hidden.stdout


def test_unknown_engine_is_refused(write_study: Callable[..., Path]) -> None:
    with pytest.raises(InvalidInput, match="prefect, plain"):
        flows.run_study(write_study(), engine="airflow")  # type: ignore[arg-type]
