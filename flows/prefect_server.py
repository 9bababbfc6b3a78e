"""A Prefect server for one process, started in the background where no server is given.

Prefect starts such a server itself, but only when the first flow runs, and it loads all of the
server's code in the flow's process to do so. Here a process of its own loads it from the moment a
study is asked for, while the study is read.
"""

from __future__ import annotations

import atexit
import gc
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from flows.child_process import end_with_parent

SETTINGS: Final = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",  # DO_NOT_TRACK alone does not stop the server's
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_SERVER_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
}
"""Set before Prefect is imported, where the user has not set them."""

_OF_THE_PROCESS: Final = {
    "PREFECT_UI_ENABLED": "0",
    "PREFECT__SERVER_EPHEMERAL": "1",  # only the services that a flow needs
    "PREFECT__SERVER_FINAL": "1",
}
"""What Prefect sets for a server of this kind."""

_CODE: Final = (
    "import sys; parent, *sys.path = sys.argv[1:]\n"
    "from flows.prefect_server import serve; serve(int(parent))"
)

START_LIMIT_S: Final = 180.0
"""A server that does not answer by then has failed; a first start makes its database."""


class Server:
    """The server that a flow speaks to; `start` gives it.

    Parameters
    ----------
    url : str
        Of the API of a server that is given; empty: one is started.
    """

    def __init__(self, url: str = "") -> None:
        self.url = url
        self.given = bool(url)
        self._process: subprocess.Popen[str] | None = None
        self._said: Any = None
        if not url:
            self._start()

    def _start(self) -> None:
        self._said = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._heard = threading.Event()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _CODE, str(os.getpid()), *sys.path],
            env={**os.environ, **_OF_THE_PROCESS},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._said, text=True,
        )  # fmt: skip
        self._listener = threading.Thread(target=self._listen, args=(self._process,), daemon=True)
        self._listener.start()
        atexit.register(self.end)

    def _listen(self, process: subprocess.Popen[str]) -> None:
        """Take the one line that the process says when it is up."""
        assert process.stdout is not None
        with process.stdout as said:
            kind, _, url = said.readline().strip().partition(" ")
        self.given, self.url = kind == "given", url
        self._heard.set()

    def wait(self, meanwhile: Iterable[Callable[[], object]] = ()) -> None:
        """Wait until it answers; until then call what is in `meanwhile`, one after the other.

        Raises
        ------
        StepFailed
            It ended, or takes too long.
        """
        if self._process is None:
            return
        started = time.monotonic()
        for call in meanwhile:
            if self._heard.is_set():
                break
            call()
        left = START_LIMIT_S - (time.monotonic() - started)
        if not self._heard.wait(max(left, 1.0)) or not self.url:
            from pp_p2p.errors import StepFailed

            said = self.end()[-2000:].strip() or "it says nothing"
            raise StepFailed(f"Prefect's server did not start; --engine plain needs none: {said}")

    def end(self) -> str:
        """End the process, if there is one; return what it said of errors."""
        process, self._process = self._process, None
        if process is None:
            return ""
        atexit.unregister(self.end)
        _RUNNING.pop(os.getpid(), None)
        process.terminate()
        try:
            process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._listener.join()
        with self._said as said:
            said.seek(0)
            text: str = said.read()
        return text


_RUNNING: Final[dict[int, Server]] = {}
"""Of each process its own: a child that was forked must not use its parent's."""


def start() -> Server:
    """Return the server that Prefect's settings name; without one start one, and do not wait.

    It is kept until this process ends, however that ends: further studies use it, too.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    url = _given_url()
    if url:
        return Server(url)
    server = _RUNNING.get(os.getpid())
    if server is None:
        server = _RUNNING[os.getpid()] = Server()
    return server


def _given_url() -> str:
    """Return the address that the environment or, where it is loaded already, Prefect knows.

    Prefect's profiles are read by the process that is started: it says what they name.
    """
    if "prefect" not in sys.modules:
        return os.environ.get("PREFECT_API_URL", "")
    return _known_to_prefect()


def _known_to_prefect() -> str:
    from prefect.settings import PREFECT_API_URL

    return str(PREFECT_API_URL.value() or "")


def serve(parent: int) -> None:
    """Be the server, or say which one is given."""
    gc.disable()  # a third of the time that loading takes
    end_with_parent(parent)
    url = _known_to_prefect()
    if url:
        print("given", url, flush=True)
        return
    import socket

    import uvicorn

    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))

    class Telling(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            gc.enable()
            print(f"own http://127.0.0.1:{bound.getsockname()[1]}/api", flush=True)

    made = "prefect.server.api.server:create_app"
    Telling(uvicorn.Config(made, factory=True, log_level="error", lifespan="on")).run([bound])
