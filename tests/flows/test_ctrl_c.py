"""Ctrl-C while steps run: one line, no traceback, nothing left, and the run goes on later."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import flows
from flows.ctrl_c import STOPPED

sys.path.insert(0, str(Path(__file__).parent))
from small_study import write_small

ROOT = Path(__file__).parents[2]
CASES = """
[[scenario]]
name = "a"

[[scenario]]
name = "b"
[scenario.network]
load_growth_percent = 10.0
"""
STEP = "choose typical days"
LIMIT_S = 120.0


def of_session(leader: int) -> list[int]:
    """Return the processes of a session that are alive."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(session) == leader and state != "Z":
            found.append(int(stat.parent.name))
    return found


def wait_until(done: object, what: str) -> None:
    until = time.monotonic() + LIMIT_S
    while not done():  # type: ignore[operator]
        assert time.monotonic() < until, what
        time.sleep(0.05)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are listed by /proc")
@pytest.mark.parametrize(("engine", "runner"), [("prefect", "threads"), ("plain", "processes")])
def test_ctrl_c_ends_all_and_leaves_what_is_computed(
    tmp_path: Path, engine: str, runner: str
) -> None:
    study = write_small(tmp_path, CASES)
    env = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT")}
    env |= {"PYTHONPATH": str(ROOT), "PREFECT_HOME": str(tmp_path / "prefect")}
    command = [sys.executable, "-c", "from flows.cli import main; main()", "run", str(study)]
    said = tmp_path / "said.txt"
    with said.open("w") as out:
        run = subprocess.Popen(
            [*command, "--engine", engine, "--runner", runner, "--workers", "2"],
            stdout=out, stderr=out, env=env, start_new_session=True,
        )  # fmt: skip
    try:
        wait_until(lambda: STEP in said.read_text() or run.poll() is not None, "no step")
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does it: to every process
        assert run.wait(LIMIT_S) == STOPPED
        wait_until(lambda: not of_session(run.pid), "a process is left")
    finally:
        run.kill()
    *steps, last = said.read_text().splitlines()
    assert last == "stopped; run the same command again to go on"
    assert not [line for line in steps if "Traceback" in line or "write files" in line], steps
    told: list[str] = []
    again = flows.run_study(study, engine="plain", only=["a"], tell=told.append)
    assert [one.state for one in again.cases] == ["done"]
    assert "of an earlier run" in told[0]
