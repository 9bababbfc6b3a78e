"""Studies with scenarios: what Prefect adds to plain runs, and what processes take off."""

from __future__ import annotations

import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from registry import Row, table

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests" / "flows"))

TASKS = 200
"""So many empty tasks are timed."""

BARE_CODE = """
from prefect import flow, task

@task
def nothing(): pass

@flow
def bare(): nothing()

bare()
"""
"""The least that Prefect takes: a flow with one task, and the server that Prefect starts itself."""

TASKS_CODE = """
import sys, time
from types import SimpleNamespace
from flows import prefect_server
from flows.prefect_engine import as_task, run_flow

def calls(call):
    started = time.perf_counter()
    for number in range(int(sys.argv[1])):
        call(f"task {number}", lambda: None)
    return time.perf_counter() - started

case = SimpleNamespace(case="", study=SimpleNamespace(name="tasks"))
server = prefect_server.start()
told = run_flow(
    "tasks", lambda _: calls(as_task), [case], 1, lambda told: SimpleNamespace(cases=(), done=(),
    comparison=None, seconds=told[0]), server=server, started=lambda: None,
)
print(told.seconds, calls(lambda title, function: function()))
"""


def _study(folder: Path, cases: int, days: int = 1) -> Path:
    from small_study import write_small

    text = '[matrix]\n"planning.interest_rate_percent" = '
    changes = [("n_days = 1", f"n_days = {days}")]
    if days > 1:
        for section, gap in (("[trade]\n", ""), ("", "mip_gap_percent = 1.0\n")):
            simple = f'{section}{gap}formulation = "lindistflow"'
            changes.append((simple, simple.replace("lindistflow", "branch_flow")))
    return write_small(
        folder, text + str([5.0 + 0.1 * k for k in range(cases)]), changes=tuple(changes)
    )


class Took(NamedTuple):
    """Seconds of a run in a process of its own, imports included, and of all its processors."""

    wall: float
    cpu: float


def _python(code: str, *options: str, **env: str) -> tuple[Took, str]:
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, *options], check=False, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{' '.join(options)}: {done.stderr}")
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Took(wall, cpu), done.stdout


def _run(study: Path, output: Path, *options: str, **env: str) -> Took:
    code = "from flows.cli import main; main()"
    return _python(code, "run", str(study), "--output", str(output), *options, **env)[0]


@table("study_prefect", peer="--engine plain", full={"repeats": 3})
def study_prefect(*, repeats: int) -> list[Row]:
    """Run a study whose results are all kept: what is left is start and orchestration."""
    from prefect_local import SETTINGS, server

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study, output = _study(folder, 2), folder / "out"
        own = {"PREFECT_HOME": str(folder / "home")}
        _run(study, output, "--engine", "plain")
        first = _run(study, output, **own)
        rows = []

        def compared(kind: str, **env: str) -> None:
            pairs = [
                (_run(study, output, **env), _run(study, output, "--engine", "plain"))
                for _ in range(repeats)
            ]
            prefect, plain = (min(pair[k] for pair in pairs) for k in (0, 1))
            note = (
                f"{kind}: {prefect.wall - plain.wall:.1f} s more, "
                f"{prefect.cpu - plain.cpu:.1f} s of processor"
            )
            rows.append(
                Row(kind, "plain", prefect.wall, plain.wall, plain.wall / prefect.wall, note)
            )

        bare = min(_python(BARE_CODE, **own, **SETTINGS)[0].wall for _ in range(repeats))
        rows.append(Row("a bare flow", "", bare, math.nan, math.nan, "Prefect alone, no server"))
        compared("no server", **own)
        rows[1] = rows[1]._replace(note=f"{rows[1].note}; {first.wall:.1f} s in a new PREFECT_HOME")
        with server(folder / "server") as given:
            _run(study, output, **given)
            compared("with a server running", **given)
            seconds = _python(TASKS_CODE, str(TASKS), **given)[1].split()
        prefect, plain = (float(one) / TASKS for one in seconds)
        note = f"mean of {TASKS} empty tasks"
        rows.append(Row("per task", "plain", prefect, plain, math.nan, note))
    return rows


@table("study_processes", peer="--runner serial", full={"cases": 8, "workers": 2, "days": 40})
def study_processes(*, cases: int, workers: int, days: int) -> list[Row]:
    """Run cases one after the other and in processes; the numbers are tested to be the same."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study = _study(folder, cases, days)
        plain = ("--engine", "plain")
        serial = _run(study, folder / "serial", *plain, "--runner", "serial")
        ours = _run(
            study, folder / "processes", *plain, "--runner", "processes", "--workers", str(workers)
        )
    each = serial.cpu / cases
    note = f"{cases} cases of {each:.0f} s, {workers} processes of {os.cpu_count()} cores"
    return [Row("cases", "serial", ours.wall, serial.wall, serial.wall / ours.wall, note)]
