"""Studies with scenarios: what Prefect adds to plain runs, and what processes take off."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from registry import Row, table

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests" / "flows"))

FEW_STEPS, MANY_STEPS = 2, 8
"""Numbers of cases whose runs differ by tasks alone."""


def _study(folder: Path, cases: int) -> Path:
    from small_study import write_small

    text = '[matrix]\n"planning.interest_rate_percent" = '
    return write_small(folder, text + str([5.0 + 0.1 * k for k in range(cases)]))


def _run(study: Path, output: Path, *options: str) -> float:
    """Return the seconds of a run in a process of its own, imports included."""
    code = "from flows.cli import main; main()"
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", code, "run", str(study), "--output", str(output), *options],
        check=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return time.perf_counter() - started


@table("study_prefect", peer="--engine plain", full={})
def study_prefect() -> list[Row]:
    """Run a study whose results are all kept: what is left is start and orchestration."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        seconds = {}
        for cases in (FEW_STEPS, MANY_STEPS):
            folder = Path(name) / str(cases)
            folder.mkdir()
            study, output = _study(folder, cases), folder / "out"
            _run(study, output, "--engine", "plain")
            plain = min(_run(study, output, "--engine", "plain") for _ in range(2))
            prefect = min(_run(study, output) for _ in range(2))
            seconds[cases] = prefect - plain
            note = f"{cases} cases, no server: {prefect - plain:.1f} s more"
            rows.append(Row("study_prefect", "plain", prefect, plain, plain / prefect, note))
        more_tasks = 2 * (MANY_STEPS - FEW_STEPS)  # kept steps are no tasks: a case and its files
        each = (seconds[MANY_STEPS] - seconds[FEW_STEPS]) / more_tasks
        rows[-1] = rows[-1]._replace(note=f"{rows[-1].note}, {1e3 * each:.0f} ms per task")
    return rows


@table("study_processes", peer="--runner serial", full={"cases": 8, "workers": 2})
def study_processes(*, cases: int, workers: int) -> list[Row]:
    """Run cases one after the other and in processes; the numbers are tested to be the same."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study = _study(folder, cases)
        plain = ("--engine", "plain")
        serial = _run(study, folder / "serial", *plain, "--runner", "serial")
        ours = _run(
            study, folder / "processes", *plain, "--runner", "processes", "--workers", str(workers)
        )
    note = f"{cases} cases of seconds each, {workers} processes of {os.cpu_count()} cores"
    return [Row("study_processes", "serial", ours, serial, serial / ours, note)]
