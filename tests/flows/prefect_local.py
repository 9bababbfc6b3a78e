"""A Prefect server as a user starts it, with a home of its own, for tests and benchmarks."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.prefect_server import SETTINGS

LIMIT_S = 180.0
"""For a server, or a worker, to be ready on a busy machine."""


def free_port() -> int:
    """Return a port that nobody listens to."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def command(*arguments: str) -> list[str]:
    """Return Prefect's command line."""
    return [sys.executable, "-m", "prefect", *arguments]


@contextmanager
def server(home: Path) -> Iterator[dict[str, str]]:
    """Run ``prefect server start``; give the environment of those who use it."""
    port = free_port()
    env = {"PREFECT_HOME": str(home), **SETTINGS}
    home.mkdir(parents=True, exist_ok=True)
    with background(home / "server.log", *command(
        "server", "start", "--host", "127.0.0.1", "--port", str(port)), env=env
    ) as process:  # fmt: skip
        url = f"http://127.0.0.1:{port}/api"
        started = time.monotonic()
        while not _answers(f"{url}/health"):
            if process.poll() is not None or time.monotonic() - started > LIMIT_S:
                raise RuntimeError((home / "server.log").read_text())
            time.sleep(0.2)
        yield {**env, "PREFECT_API_URL": url}


@contextmanager
def background(
    log: Path, *arguments: str, env: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command beside; end it, and what it has started, with the context."""
    with log.open("wb") as said:
        process = subprocess.Popen(
            arguments, env={**os.environ, **env}, stdout=said, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        try:
            yield process
        finally:
            for sign, wait_s in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0)):
                try:
                    os.killpg(process.pid, sign)
                    process.wait(wait_s)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    continue


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5.0):
            return True
    except OSError:
        return False
