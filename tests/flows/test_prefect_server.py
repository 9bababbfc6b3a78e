"""Prefect's servers: the one of our own process, and one that a user starts and deploys to."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from flows import prefect_server
from pp_p2p.errors import StepFailed

sys.path.insert(0, str(Path(__file__).parent))
from prefect_local import LIMIT_S, background, command, server
from small_study import IMPOSSIBLE, write_small

ROOT = Path(__file__).parents[2]
CASES = '[[scenario]]\nname = "base"\n' + IMPOSSIBLE

STARTED = """
import os, signal
from flows import prefect_server
one = prefect_server.start()
one.wait()
print(one.given, one.url, one._process and one._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_the_own_server_ends_with_its_process_even_killed(tmp_path: Path) -> None:
    env = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"}
    env |= {"PYTHONPATH": str(ROOT), "PREFECT_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", STARTED], env=env, capture_output=True, text=True, check=False,
        timeout=LIMIT_S,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    given, url, pid = done.stdout.split()
    assert given == "False"
    assert url.startswith("http://127.0.0.1:")
    until = time.monotonic() + 20.0
    while alive(int(pid)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not alive(int(pid))


def test_an_address_in_prefects_profile_is_used(tmp_path: Path) -> None:
    """`prefect config set` writes it there, where only Prefect looks."""
    url = "http://127.0.0.1:9/api"
    profile = f'active = "mine"\n[profiles.mine]\nPREFECT_API_URL = "{url}"\n'
    (tmp_path / "profiles.toml").write_text(profile)
    env = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT")}
    env |= {"PYTHONPATH": str(ROOT), "PREFECT_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", STARTED], env=env, capture_output=True, text=True, check=False,
        timeout=LIMIT_S,
    )  # fmt: skip
    assert done.stdout.split()[:2] == ["True", url], done.stderr


def test_a_server_that_does_not_start_is_one_message(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", "sqlite+aiosqlite:////nowhere/x.db")
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    one = prefect_server.Server()
    with pytest.raises(StepFailed, match=r"did not start; --engine plain needs none: (.|\n)*open"):
        one.wait()


def _asked(url: str, what: str, **body: object) -> Any:
    request = urllib.request.Request(
        f"{url}/{what}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60.0) as answer:
        return json.load(answer)


def test_studies_are_deployed_and_run_on_a_server(tmp_path: Path) -> None:
    """The commands of README, "Studies on a server", one after the other."""
    study = write_small(tmp_path, CASES)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for said in (
        "prefect server start",
        "prefect work-pool create studies --type process",
        "PP_P2P_HOME=$PWD prefect --no-prompt deploy --all --prefect-file flows/prefect.yaml",
        "prefect worker start --pool studies",
        "prefect deployment run 'pp-p2p study/study' --param study=",
    ):
        assert said in readme

    env: dict[str, str] = {}

    def call(*arguments: str) -> str:
        done = subprocess.run(
            command(*arguments), cwd=ROOT, env={**os.environ, **env}, capture_output=True,
            text=True, check=False, timeout=LIMIT_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    with server(tmp_path / "home") as given:
        env |= {**given, "PP_P2P_HOME": str(ROOT), "PYTHONPATH": str(ROOT)}
        url = env["PREFECT_API_URL"]
        call("work-pool", "create", "studies", "--type", "process")
        worker = command("worker", "start", "--pool", "studies")
        with background(tmp_path / "worker.log", *worker, env=env):
            call("--no-prompt", "deploy", "--all", "--prefect-file", "flows/prefect.yaml")
            wanted = [f"study={study}", f"output={tmp_path / 'out'}", "runner=serial"]
            parts = [part for one in wanted for part in ("--param", one)]
            call("deployment", "run", "pp-p2p study/study", *parts)
            until = time.monotonic() + LIMIT_S
            while True:
                runs = _asked(url, "flow_runs/filter", flow_runs={"parent_task_run_id": {
                    "operator": "and_", "is_null_": True}})  # fmt: skip
                state = runs[0]["state"]
                if state["type"] in ("COMPLETED", "FAILED", "CRASHED"):
                    break
                assert time.monotonic() < until, (tmp_path / "worker.log").read_text()
                time.sleep(0.5)
        assert state["type"] == "COMPLETED", (state, (tmp_path / "worker.log").read_text())
        found = {one["key"]: one for one in _asked(url, "artifacts/filter")}
    assert set(found) == {"cases", "case-report", "report", "comparison"}
    rows = json.loads(found["cases"]["data"])
    assert [(row["case"], row["state"]) for row in rows] == [
        ("base", "done"), ("impossible", "no solution")
    ]  # fmt: skip
    assert "eac_eur_per_year" in found["report"]["data"]
    assert (tmp_path / "out" / "comparison.html").is_file()
    report = re.search(r"\((file://[^)]*report\.html)\)", found["case-report"]["data"])
    assert report
    assert Path(urllib.request.url2pathname(report[1].removeprefix("file://"))).is_file()
