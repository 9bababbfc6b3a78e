"""Every registered benchmark runs, at its smallest size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

RUN = Path(__file__).with_name("run.py")


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(RUN), *arguments], capture_output=True, text=True, check=False
    )


def test_every_benchmark_runs_and_agrees_with_its_peer() -> None:
    listed = _run("--list")
    names = listed.stdout.split()
    assert names, listed.stderr
    done = _run("--tiny")
    assert done.returncode == 0, done.stdout + done.stderr
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["name", "peer", "ours", "peer's", "ratio", "equal", "to", "note"]
    ran = list(dict.fromkeys(row.split()[0].removesuffix(":") for row in rows))
    assert ran == [name for name in names if name in ran]  # some have no small size
    assert {"year_flow", "ac_replay", "opf", "conic"} <= set(ran)


def test_unknown_name_is_a_clear_error() -> None:
    done = _run("--tiny", "nothing_of_the_kind")
    assert done.returncode == 2
    assert "no such benchmark" in done.stderr
    assert "Traceback" not in done.stderr
