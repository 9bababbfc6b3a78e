"""A study survives: killed, disturbed, run by others, it comes to the same numbers."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import flows
from flows import subproblems, workers
from flows.cli import CODES
from flows.clusters import DaskWorkers
from flows.comparison import find_results
from flows.ctrl_c import STOPPED
from flows.file_lock import only_run
from flows.steps import step
from flows.study import Study, load_cases
from flows.study_run import StudyResult, read_manifest
from flows.study_scenarios import Running
from flows.task_store import TaskStore, checksum
from flows.work import Work, sendable
from flows.workers import Processes
from pp_p2p import from_netcdf
from pp_p2p.errors import Finding, InvalidInput, NoSolution, StepFailed, UnsupportedFeature

sys.path.insert(0, str(Path(__file__).parent))
from small_study import HORIZON, IMPOSSIBLE, Asks, write_small

ROOT = Path(__file__).parents[2]
TWO = '[[scenario]]\nname = "base"\n[[scenario]]\nname = "dear PV"\n[scenario.candidate.PV]\n'
CASES = TWO + "capex_eur_per_kw = 1500.0\n" + IMPOSSIBLE
KILLS = int(os.environ.get("PP_P2P_KILLS", "2"))
"""How often the run is killed; the benchmark of the whole test is 20."""


class Titles(list[str]):
    def watch(self, title: str) -> Any:
        self.append(title)
        return nullcontext()

    @property
    def computed(self) -> list[str]:
        return [t for t in self if not t.endswith("(kept)") and "write" not in t]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StudyResult]:
    """Study file and what an undisturbed run leaves."""
    folder = tmp_path_factory.mktemp("study")
    study = write_small(folder, CASES)
    return study, flows.run_study(study, engine="plain")


def numbers(folder: Path) -> dict[str, xr.DataTree]:
    """Return the results of all cases without what may differ between runs: times."""
    found = {}
    for name, file in find_results([folder]).items():
        tree = from_netcdf(file)
        assert isinstance(tree, xr.DataTree)
        for node in tree.subtree:
            node.attrs.pop("seconds", None)
        found[name] = tree
    return found


def assert_same(folder: Path, other: Path) -> None:
    one, two = numbers(folder), numbers(other)
    assert list(one) == list(two)
    for name in one:
        xr.testing.assert_identical(one[name], two[name])


def test_an_infeasible_case_does_not_stop_the_others(reference: Any) -> None:
    _, told = reference
    assert [one.state for one in told.cases] == ["done", "done", "no solution"]
    assert "eens_limit_mwh_per_year" in told.cases[2].message
    assert isinstance(told.cases[2].error, NoSolution)
    assert [one.result.is_file() for one in told.cases] == [True, True, False]
    assert [one.report.is_file() for one in told.cases] == [True, True, False]
    assert told.comparison.is_file()
    assert "no solution" in told.comparison.read_text()
    manifest = read_manifest(told.folder)
    assert manifest["cases"][0]["sha256"] == checksum(told.result)
    tree = told.tree
    assert set(tree.children) == {"network", "days", "plan", "trade", "indicators"}
    assert tree.attrs["case"] == "base"
    assert tree.attrs["Conventions"] == "CF-1.11"


def test_what_is_there_is_not_computed_again(reference: Any) -> None:
    study, told = reference
    before = checksum(told.result)
    titles = Titles()
    again = flows.run_study(study, engine="plain", watch=titles.watch)
    assert titles.computed == ["impossible: plan the network", "compare the cases"]
    assert checksum(again.result) == before


def test_a_damaged_result_is_computed_again(reference: Any, tmp_path: Path) -> None:
    study, told = reference
    store = told.folder / ".tasks"
    for number, damaged in enumerate(sorted(store.glob("plan-*.nc"))[:1]):
        content = bytearray(damaged.read_bytes())
        content[len(content) // 2] ^= 0xFF
        damaged.write_bytes(content if number == 0 else content[:100])
    wrong, said = numbers(told.folder), Titles()
    lines: list[str] = []
    flows.run_study(study, engine="plain", watch=said.watch, tell=lines.append)
    assert next(t.partition(": ")[2] for t in said.computed) == "plan the network"
    assert re.fullmatch(r"\d+ steps of an earlier run are kept", lines[0])
    assert len(lines) == 2
    assert "damaged" in lines[1]
    assert numbers(told.folder)["base"].identical(wrong["base"])


def test_a_second_run_is_refused(reference: Any) -> None:
    study, told = reference
    with only_run(told.folder), pytest.raises(InvalidInput, match=f"process {os.getpid()}"):
        flows.run_study(study, engine="plain")


def test_only_some_cases_and_unknown_ones(reference: Any) -> None:
    study, told = reference
    one = flows.run_study(study, engine="plain", only=["dear PV"])
    assert [case.case for case in one.cases] == ["dear PV"]
    assert len(read_manifest(told.folder)["cases"]) == 3
    with pytest.raises(InvalidInput, match="no case 'x'; its cases are: 'base'"):
        flows.run_study(study, engine="plain", only=["x"])
    with pytest.raises(InvalidInput, match="choose one of serial, threads, processes"):
        flows.run_study(study, engine="plain", runner="cluster")
    with pytest.raises(InvalidInput, match="'proceses'; did you mean 'processes'") as caught:
        flows.run_study(study, engine="plain", runner="proceses")
    assert "workers" not in str(caught.value)
    with pytest.raises(InvalidInput, match="workers: -1 is no number of workers") as caught:
        flows.run_study(study, engine="plain", n_workers=-1)
    assert "runner" not in str(caught.value)


def test_processes_come_to_the_same_numbers(reference: Any, tmp_path: Path) -> None:
    study, told = reference
    flows.run_study(study, engine="plain", runner="processes", n_workers=2, output=tmp_path)
    assert_same(tmp_path, told.folder)


@pytest.mark.filterwarnings("ignore:Creating scratch directories")  # of Dask, on a busy machine
@pytest.mark.parametrize("package", ["distributed", "ray"])
def test_clusters_come_to_the_same_numbers(reference: Any, tmp_path: Path, package: str) -> None:
    pytest.importorskip(package, reason=f"needs the extra of {package}")
    study, told = reference
    runner = "dask" if package == "distributed" else "ray"
    flows.run_study(study, engine="plain", runner=runner, n_workers=2, output=tmp_path)
    assert_same(tmp_path, told.folder)


def asks_for_subproblems(_: Work) -> str:
    """Stand for a step that sends subproblems out."""
    executor = subproblems.executor()
    assert executor is not None
    return ",".join(map(str, executor.map(abs, [-1, 2, -3])))


@pytest.mark.filterwarnings("ignore:Creating scratch directories")
def test_subproblems_are_solved_by_the_same_cluster(tmp_path: Path, monkeypatch: Any) -> None:
    """As many steps that wait for theirs as there are workers: none stands in the other's way."""
    distributed = pytest.importorskip("distributed", reason="needs the extra dask")
    monkeypatch.setattr("flows.clusters.do_work", asks_for_subproblems)
    study = load_cases(write_small(tmp_path))[0]
    joint = Work(kind="step", name="joint", title="a step", study=study, key="k", store=tmp_path)
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
    )
    with cluster:
        team = DaskWorkers(2, Running(runner="dask", address=cluster.scheduler_address))
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(team.do, [joint] * 4)) == ["1,2,3"] * 4
        assert "a step" in cluster.scheduler.task_prefixes  # what Dask's pages show
        team.close()


def test_a_missing_package_is_named(reference: Any, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InvalidInput, match=r"needs the package distributed.*pp-p2p\[dask\]"):
        flows.run_study(reference[0], engine="plain", runner="dask", output=tmp_path)


def test_a_step_that_fails_is_one_failed_case(tmp_path: Path, monkeypatch: Any) -> None:
    """Also its exit code is not that of a missing solution."""
    study = write_small(tmp_path, TWO + "max_units = 1\n")
    trade = step("trade")

    def run(study: Study, *given: Any) -> xr.Dataset:
        if study.case == "base":
            raise RuntimeError("out of luck")
        return trade.run(study, *given)

    monkeypatch.setattr("flows.work.step", lambda name: replace(step(name), run=run)
                        if name == "trade" else step(name))  # fmt: skip
    told = flows.run_study(study, engine="plain")
    assert [one.state for one in told.cases] == ["failed", "done"]
    assert told.cases[0].message == "out of luck"
    assert CODES["failed"] > CODES["no solution"] > CODES["wrong input"] > CODES["done"]


def command_line(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "from flows.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False,
        timeout=200, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_the_exit_code_tells_of_a_case_without_solution(reference: Any) -> None:
    study, _ = reference
    done = command_line("run", str(study), "--engine", "plain")
    assert done.returncode == CODES["no solution"], done.stderr
    assert "impossible: no solution: " in done.stderr
    assert "2 of 3 cases are done" in done.stdout
    assert "Traceback" not in done.stderr


def test_ctrl_c_is_one_line() -> None:
    code = (
        "import os, signal, time, flows.cli, flows.study_run\n"
        "def run(*_, **__): os.kill(os.getpid(), signal.SIGINT); time.sleep(60)\n"
        "flows.study_run.run_study = run\n"
        "flows.cli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "run", "study.toml", "--engine", "plain"], check=False,
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=120,
    )  # fmt: skip
    assert done.returncode == STOPPED
    assert done.stderr == "stopped; run the same command again to go on\n"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    study = write_small(tmp_path, CASES)
    (tmp_path / "file").touch()
    place = tmp_path / "file" / "results"
    done = command_line("run", str(study), "--engine", "plain", "--output", str(place))
    assert done.returncode == CODES["wrong input"], done.stderr
    assert "cannot be written" in done.stderr
    assert str(place) in done.stderr


def test_a_step_that_hangs_is_ended(tmp_path: Path) -> None:
    study = write_small(tmp_path, "[run]\nstep_timeout_s = 0.2\n" + TWO + "max_units = 1\n")
    told = flows.run_study(study, engine="plain", only=["base"])
    assert [one.state for one in told.cases] == ["failed"]
    assert "took longer than step_timeout_s = 0.2 s" in told.cases[0].message


class Deadly:
    """Ends the process that receives it."""

    title = "a step"

    def __reduce__(self) -> Any:
        return os._exit, (7,)


def test_a_process_that_dies_is_one_failed_step() -> None:
    team = Processes(1, Running(runner="processes", retries=1))
    with pytest.raises(StepFailed, match=r"a step: its process ended by itself \(exit code 7\)"):
        team.do(Deadly())  # type: ignore[arg-type]
    team.close()


def test_processes_see_the_environment_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """What they are forked from began, at the latest, when the first of them did."""

    def seen() -> str:
        team = Processes(1, Running(runner="processes", retries=0))
        with pytest.raises(LookupError) as told:
            team.do(Asks())  # type: ignore[arg-type]
        team.close()
        return str(told.value.args[0])

    monkeypatch.delenv(Asks.NAME, raising=False)
    assert seen() == "nothing"
    monkeypatch.setenv(Asks.NAME, "now")
    assert seen() == "now"
    monkeypatch.delenv(Asks.NAME)
    assert seen() == "nothing"


def test_a_worker_whose_parent_is_gone_ends_without_a_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Left:
        """A pipe of which nobody holds the other end any more."""

        def recv(self) -> Any:
            os.kill(os.getpid(), signal.SIGINT)  # Ctrl-C reaches every process
            return Asks()

        def send(self, _: object) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(workers, "end_with_parent", lambda: None)
    before = signal.getsignal(signal.SIGINT)
    try:
        workers._serve(Left(), dict(os.environ))
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    "error",
    [
        InvalidInput(
            [Finding(table="a", rule="r", mend="m"), Finding(table="b", rule="r", mend="")]
        ),
        UnsupportedFeature("m", Finding(table="a", rule="r", mend="m")),
        NoSolution("nothing"),
        ValueError("v"),
    ],
)
def test_errors_come_back_from_processes_as_they_were(error: Exception) -> None:
    import pickle

    back = pickle.loads(pickle.dumps(sendable(error)))
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert getattr(back, "findings", ()) == getattr(error, "findings", ())


def test_a_full_disk_leaves_no_half_file(tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="limits of file sizes are POSIX")
    code = (
        "import resource, signal, sys, numpy as np, xarray as xr; from pathlib import Path\n"
        "from flows.task_store import TaskStore\n"
        "from pp_p2p.errors import InvalidInput\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "ds = xr.Dataset({'a': ('x', np.random.default_rng(0).random(100_000))})\n"
        "try: TaskStore(Path(sys.argv[1])).put('plan-1', ds, {})\n"
        "except InvalidInput as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False, timeout=120,
    )  # fmt: skip
    assert "cannot be written" in done.stdout, done.stderr
    assert list(tmp_path.iterdir()) == []


def assert_nothing_half(folder: Path) -> None:
    """Every file that can be seen is whole."""
    store = TaskStore(folder / ".tasks")
    for note in store.folder.glob("*.json"):
        said = store.note(note.stem)
        assert said, note
        kept = store.path(note.stem, ".nc")
        if kept.is_file():
            assert checksum(kept) == said["sha256"]
    for file in folder.rglob("*.nc"):
        if not file.name.startswith("."):
            from_netcdf(file)
    for page in folder.rglob("*.html"):
        if not page.name.startswith("."):
            assert page.read_text(encoding="utf-8").rstrip().endswith("</html>")


def test_a_killed_study_goes_on_where_it_stood(reference: Any, tmp_path: Path) -> None:
    """Kill -9 at random moments; what was computed stays, nothing half is ever seen."""
    study, told = reference
    dice = random.Random(12)
    code = "from flows.cli import main; main()"
    command = [sys.executable, "-c", code, "run", str(study), "--engine", "plain"]
    kept, limit = 0, 10.0
    for _ in range(KILLS):
        done = subprocess.Popen(
            [*command, "--output", str(tmp_path)], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )  # fmt: skip
        try:
            done.wait(dice.uniform(2.5, limit))
        except subprocess.TimeoutExpired:
            os.killpg(done.pid, signal.SIGKILL)
            done.wait()
        assert_nothing_half(tmp_path)
        if done.returncode != -signal.SIGKILL:  # it was done before: begin anew
            shutil.rmtree(tmp_path)
            tmp_path.mkdir()
            kept = 0
            continue
        now = len(list((tmp_path / ".tasks").glob("*.json")))
        assert now >= kept
        kept = now
    flows.run_study(study, engine="plain", output=tmp_path)
    assert_nothing_half(tmp_path)
    assert_same(tmp_path, told.folder)
    assert not list((tmp_path / ".tasks").glob(".*"))


def test_stages_of_a_horizon_stand_in_one_file(tmp_path: Path) -> None:
    """Also: what trading gains is stored for each stage, and the report is drawn."""
    told = flows.run_study(write_small(tmp_path, HORIZON), engine="plain")
    tree = told.tree
    plan, of = tree["plan"].to_dataset(), tree["indicators"].to_dataset()
    assert tree["trade"].sizes["stage"] == 2
    np.testing.assert_allclose(of["present_value_eur"].sum(), plan["npc_eur"])
    np.testing.assert_allclose(
        tree["trade"]["payment_eur"].sum("participant") + tree["trade"]["operator_payment_eur"],
        0.0,
        atol=1e-6,
    )
    assert tree["days"]["weight"].sum() == 366
    assert "2027-2028" in told.report.read_text()
