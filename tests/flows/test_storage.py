"""Results in shared storage: kept there file by file, gone on with elsewhere, read from there."""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

import flows
import planning
from flows import claims
from flows.claims import STALE_AFTER_S
from flows.cli import app
from flows.comparison import find_results
from flows.mirror import RUNNING, Mirror, mirror_of
from flows.study_run import read_manifest
from flows.task_store import TaskStore, checksum
from pp_p2p import from_netcdf
from pp_p2p.errors import InvalidInput
from pp_p2p.storage import below, cache_folder, filesystem, is_remote, local_file, local_path

sys.path.insert(0, str(Path(__file__).parent))
from small_study import write_small

ROOT = Path(__file__).parents[2]
TWO = '[[scenario]]\nname = "base"\n[[scenario]]\nname = "dear PV"\n[scenario.candidate.PV]\n'
CASES = TWO + "capex_eur_per_kw = 1500.0\n"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PP_P2P_CACHE", str(tmp_path / "cache"))
    mirror_of.cache_clear()
    return tmp_path / "cache"


def elsewhere(folder: Path) -> str:
    """Return a URL on disk that fsspec does not count as a local path."""
    folder.mkdir(exist_ok=True)
    return f"dir://{folder.name}::file://{folder.parent}"


def test_a_file_url_is_a_local_folder(tmp_path: Path) -> None:
    assert not is_remote(tmp_path)
    assert not is_remote((tmp_path / "a b").as_uri())
    assert local_path((tmp_path / "a b").as_uri()) == tmp_path / "a b"
    assert is_remote("s3://bucket/folder")
    assert is_remote("memory://folder")
    assert below("s3://bucket/a/", "b/c.nc") == "s3://bucket/a/b/c.nc"
    assert below("dir://a::file:///x", "b") == "dir://a/b::file:///x"
    assert below("simplecache::s3://a", "b") == "simplecache::s3://a/b"


def test_a_study_goes_on_elsewhere_from_shared_storage(tmp_path: Path, cache: Path) -> None:
    """Two processes compute; another machine, with no copy, finds all of it."""
    study, place = write_small(tmp_path, CASES), tmp_path / "shared"
    url = elsewhere(place)
    told = flows.run_study(study, engine="plain", runner="processes", n_workers=2, output=url)
    assert [one.state for one in told.cases] == ["done", "done"]
    assert told.folder == cache_folder(url)
    here = {p.relative_to(told.folder) for p in told.folder.rglob("*") if p.is_file()}
    there = {p.relative_to(place) for p in place.rglob("*") if p.is_file()}
    assert {p for p in here if "lock" not in p.name and p.parent.name != "locks"} <= there
    for name in there:
        assert checksum(place / name) == checksum(told.folder / name), name
    before = {entry["case"]: entry["sha256"] for entry in read_manifest(place)["cases"]}

    code = "from flows.cli import main; main()"
    command = [sys.executable, "-c", code, "run", str(study), "--engine", "plain"]
    done = subprocess.run(
        [*command, "--output", url], capture_output=True, text=True, check=False, timeout=200,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PP_P2P_CACHE": str(tmp_path / "other")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"2 of 2 cases are done: {url}" in done.stdout
    assert f"compare {below(url, 'comparison.html')}" in done.stdout
    computed = [line for line in done.stderr.splitlines() if line.startswith("  ")]
    rest = [line for line in computed if not line.endswith("kept")]
    assert all("write files" in line or "compare" in line for line in rest), rest
    assert {e["case"]: e["sha256"] for e in read_manifest(place)["cases"]} == before

    shutil.rmtree(cache)
    files = find_results([url])
    assert list(files) == ["base", "dear PV"]
    numbers = planning.compare({"base": below(url, "base/result.nc")})["npc_eur"].values
    np.testing.assert_array_equal(numbers, planning.compare(files)["npc_eur"].values[:1])


def test_memory_is_shared_storage_too(tmp_path: Path, cache: Path) -> None:
    study = write_small(tmp_path, CASES)
    url = "memory://studies/tiny"
    said: list[str] = []
    flows.run_study(study, engine="plain", only=["base"], output=url, tell=said.append)
    assert said == [f"{url} lives in this process only; its copy in {cache_folder(url)} stays"]
    shutil.rmtree(cache)
    titles: list[str] = []

    def watch(title: str) -> Any:
        titles.append(title)
        return nullcontext()

    again = flows.run_study(study, engine="plain", only=["base"], output=url, watch=watch)
    assert [t for t in titles if not t.endswith("(kept)")] == [
        "base: write files", "compare the cases"
    ]  # fmt: skip
    address = again.address(again.result)
    assert address == f"{url}/base/result.nc"
    shutil.rmtree(cache)
    assert isinstance(from_netcdf(address), xr.DataTree)
    assert planning.compare({"a": address})["case"].values.tolist() == ["a"]
    assert list(find_results([address])) == ["base"]
    assert list(find_results([url, address])) == ["base", "tiny: base"]
    drawn = CliRunner().invoke(app, ["report", address, "--output", str(tmp_path / "drawn.html")])
    assert drawn.exit_code == 0, drawn.output
    assert "tiny" in (tmp_path / "drawn.html").read_text(encoding="utf-8")
    with pytest.raises(InvalidInput, match="does not exist"):
        from_netcdf(f"{url}/nothing/result.nc")
    with pytest.raises(InvalidInput, match="holds no result"):
        find_results(["memory://studies/nothing"])
    assert fsspec.filesystem("memory").ls(f"/studies/tiny/{RUNNING}") == []


def test_a_study_without_scenarios_is_called_as_its_url() -> None:
    system = fsspec.filesystem("memory")
    system.pipe_file("/some/x/result.nc", b"")
    told = {"case": "", "state": "done", "result": "result.nc", "sha256": ""}
    system.pipe_file("/some/x/study.json", json.dumps({"cases": [told]}).encode())
    assert list(find_results(["memory://some/x"])) == ["x"]


def test_a_report_is_drawn_beside_a_file_url(tmp_path: Path) -> None:
    kept = Path(__file__).parent / "data" / "study_layout_1.nc"
    shutil.copyfile(kept, tmp_path / "result.nc")
    drawn = CliRunner().invoke(app, ["report", (tmp_path / "result.nc").as_uri()])
    assert drawn.exit_code == 0, drawn.output
    assert (tmp_path / "report.html").is_file()


def test_what_is_damaged_there_is_found(tmp_path: Path, cache: Path) -> None:
    url = elsewhere(tmp_path / "shared")
    store = TaskStore(cache_folder(url) / ".tasks", Mirror(url))
    store.put("plan-1", xr.Dataset({"a": ("x", np.arange(100.0))}), {})
    damaged = tmp_path / "shared" / ".tasks" / "plan-1.nc"
    damaged.write_bytes(damaged.read_bytes()[:-10])
    assert store.has("plan-1", ".nc")  # the copy here is whole
    shutil.rmtree(cache)
    assert not store.has("plan-1", ".nc")
    assert store.is_damaged("plan-1", ".nc")
    left = tmp_path / "shared" / ".tasks" / ".part-1"
    left.touch()
    store.sweep()
    assert not left.exists()
    store.clear()
    assert list((tmp_path / "shared").rglob("*.nc")) == []


def test_one_run_at_a_time_in_shared_storage(tmp_path: Path) -> None:
    url = elsewhere(tmp_path / "shared")
    claims = tmp_path / "shared" / RUNNING
    mirror = Mirror(url)
    with mirror.only_run():
        (said,) = claims.iterdir()
        assert json.loads(said.read_text())["process"] == os.getpid()
        with pytest.raises(InvalidInput, match=f"process {os.getpid()} on"), mirror.only_run():
            pass
        TaskStore(mirror.folder / ".tasks", mirror).clear()
        assert said.is_file()  # what is forgotten is not who works here
    assert not said.exists()


@pytest.mark.parametrize("run", ["0", "z"])
def test_a_run_that_died_is_forgotten(tmp_path: Path, run: str) -> None:
    """Elsewhere after a while, by the clock of the storage; here at once."""
    mirror = Mirror(elsewhere(tmp_path / "shared"))
    said = tmp_path / "shared" / RUNNING / f"{run}.json"
    said.parent.mkdir(parents=True)
    other = {"host": "another", "machine": "another", "process": 1, "state": "has"}
    said.write_text(json.dumps({**other, "time": 0.0}))
    with pytest.raises(InvalidInput, match="process 1 on another"), mirror.only_run():
        pass
    os.utime(said, (time.time() - STALE_AFTER_S - 1.0,) * 2)
    with mirror.only_run():
        assert not said.exists()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    said.write_text(json.dumps({**other, "machine": claims._machine(), "process": dead.pid}))
    with mirror.only_run():
        assert not said.exists()


def test_a_claim_that_is_being_written_counts(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(claims, "PATIENCE_S", 0.1)
    mirror = Mirror(elsewhere(tmp_path / "shared"))
    said = tmp_path / "shared" / RUNNING / "z.json"
    said.parent.mkdir(parents=True)
    said.touch()
    with pytest.raises(InvalidInput, match="another run works in this folder"), mirror.only_run():
        pass
    assert [one.name for one in said.parent.iterdir()] == [said.name]


class Slow:
    """Storage each of whose answers comes late, by chance: what runs do falls in any order."""

    def __init__(self, url: str, seed: int) -> None:
        self._system, self.root = filesystem(url)
        self.dice = random.Random(seed)

    def __getattr__(self, name: str) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            time.sleep(self.dice.random() * 0.01)
            answer = getattr(self._system, name)(*given, **named)
            time.sleep(self.dice.random() * 0.01)
            return answer

        return call


def taken_at_once(url: str, count: int, seed: int) -> int:
    """Let so many runs begin within a twentieth of a second; return how many have the folder."""
    ready = threading.Barrier(count)

    def taken(number: int) -> bool:
        system = Slow(url, seed * count + number)
        claim = claims.Claim(system, f"{system.root}/{RUNNING}", url)
        ready.wait()
        time.sleep(system.dice.random() * 0.05)
        try:
            claim.take()
        except InvalidInput:
            return False
        return True

    with ThreadPoolExecutor(count) as pool:
        return sum(pool.map(taken, range(count)))


@pytest.mark.parametrize("count", [2, 4])
def test_of_runs_that_begin_at_once_one_goes_on(monkeypatch: Any, count: int) -> None:
    monkeypatch.setattr(claims, "ASKED_EVERY_S", 0.001)
    found = [taken_at_once(f"memory://at_once/{count}/{k}", count, k) for k in range(15)]
    assert found == [1] * 15


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """A bucket of S3, spoken over a real socket; what is set for it others see, too."""
    pytest.importorskip("s3fs", reason="needs the extra s3")
    moto = pytest.importorskip("moto.server", reason="needs moto[s3] and Flask")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*server.get_host_and_port()))
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        fsspec.filesystem("s3", skip_instance_cache=True).mkdir("studies")
        yield "s3://studies"
    server.stop()


def test_a_study_that_was_killed_goes_on_from_s3(s3: str, tmp_path: Path, cache: Path) -> None:
    study, url = write_small(tmp_path, CASES), f"{s3}/tiny"
    system = fsspec.filesystem("s3")
    code = "from flows.cli import main; main()"
    first = subprocess.Popen(
        [sys.executable, "-c", code, "run", str(study), "--engine", "plain", "--output", url],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PP_P2P_CACHE": str(tmp_path / "other")},
    )  # fmt: skip
    until = time.monotonic() + 100.0
    while not system.glob("studies/tiny/.tasks/plan-*.json") and time.monotonic() < until:
        assert first.poll() is None
        time.sleep(0.1)
        system.invalidate_cache()
    first.kill()
    first.wait()
    assert len(system.ls(f"studies/tiny/{RUNNING}")) == 1  # of the one that was killed

    said: list[str] = []
    told = flows.run_study(study, engine="plain", output=url, tell=said.append)
    assert [one.state for one in told.cases] == ["done", "done"]
    assert said[0].endswith("steps of an earlier run are kept")
    system.invalidate_cache()
    assert not system.exists(f"studies/tiny/{RUNNING}")
    assert not system.glob("studies/tiny/.tasks/.part-*")
    shutil.rmtree(cache)
    there = find_results([url])
    here = flows.run_study(study, engine="plain", output=tmp_path / "here")
    for ours, theirs in zip(here.cases, there.values(), strict=True):
        one, two = from_netcdf(ours.result), from_netcdf(theirs)
        for node in (*one.subtree, *two.subtree):  # type: ignore[union-attr]
            node.attrs.pop("seconds", None)
        xr.testing.assert_identical(one, two)
    urls = {"base": f"{url}/base/result.nc", "dear": f"{url}/dear_PV/result.nc"}
    ours = {name: one.result for name, one in zip(urls, here.cases, strict=True)}
    xr.testing.assert_identical(planning.compare(urls), planning.compare(ours))
    xr.testing.assert_equal(
        planning.open_cases(urls, group="trade"), planning.open_cases(ours, group="trade")
    )


def test_what_another_machine_has_written_is_seen(s3: str) -> None:
    """Also by one that has looked before; s3fs remembers what was there then."""
    mirror = Mirror(f"{s3}/seen")
    with mirror.only_run():
        mirror.sweep()
        theirs = fsspec.filesystem("s3", skip_instance_cache=True)
        theirs.pipe_file("studies/seen/.tasks/plan-1.json", b"{}")
        theirs.pipe_file("studies/seen/base/result.nc", b"1")
        assert mirror.fetch(mirror.folder / ".tasks" / "plan-1.json")
        fsspec.filesystem("s3").ls("studies/seen/base")
        theirs.pipe_file("studies/seen/base/other.nc", b"2")
        assert local_file(f"{s3}/seen/base/other.nc").read_bytes() == b"2"


@pytest.mark.filterwarnings("ignore:Creating scratch directories")  # of Dask, on a busy machine
def test_a_cluster_that_shares_only_s3_does_the_work(s3: str, tmp_path: Path) -> None:
    """Its workers have copies of their own, at places of their own."""
    distributed = pytest.importorskip("distributed", reason="needs the extra dask")
    elsewhere = {"PP_P2P_CACHE": str(tmp_path / "of the workers"), "PYTHONPATH": str(ROOT)}
    cluster = distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=None, env=elsewhere
    )
    with cluster:
        address = f'[run]\naddress = "{cluster.scheduler_address}"\n'
        study = write_small(tmp_path, address + CASES)
        told = flows.run_study(
            study, engine="plain", runner="dask", only=["base"], output=f"{s3}/cluster"
        )
    assert [one.state for one in told.cases] == ["done"], told.cases[0].message
    assert told.report.is_file()
    theirs = next((tmp_path / "of the workers").iterdir())
    assert {one.name for one in (theirs / ".tasks").glob("*.nc")} == {
        one.name for one in (told.folder / ".tasks").glob("*.nc")
    }


def test_of_runs_that_begin_at_once_in_s3_one_goes_on(s3: str) -> None:
    assert [taken_at_once(f"{s3}/at_once/{k}", 3, k) for k in range(3)] == [1] * 3


def test_a_bucket_is_not_made_by_a_misspelt_name(s3: str) -> None:
    with (
        pytest.raises(InvalidInput, match="there is no bucket 'studied'"),
        Mirror("s3://studied/tiny").only_run(),
    ):
        pass
    assert not fsspec.filesystem("s3").exists("studied")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(InvalidInput, match=r"gs://bucket/x.*python -m pip install gcsfs"):
        filesystem("gs://bucket/x")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense://bucket/x", "nonsense"),
        ("dir://nowhere::file:///proc", "cannot be used"),
    ],
)
def test_storage_that_cannot_be_used_is_one_message(tmp_path: Path, url: str, words: str) -> None:
    study = write_small(tmp_path, CASES)
    with pytest.raises(InvalidInput, match=words):
        flows.run_study(study, engine="plain", output=url)


def test_the_study_file_may_name_shared_storage(tmp_path: Path) -> None:
    study = write_small(
        tmp_path, changes=(('name = "tiny"', 'name = "tiny"\noutput = "memory://named"'),)
    )
    assert flows.load_study(study).output == "memory://named"
