"""Who does the work of a study: this process, processes of its own, or a cluster."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final, Protocol

from flows.child_process import end_with_parent
from flows.study_scenarios import Running
from flows.work import Work, do_work, sendable
from pp_p2p.errors import StepFailed

LOADED: Final = (
    "pp_p2p.network.grid",
    "clustering.typical_days",
    "planning.expansion",
    "pp_p2p.market.trade_day",
    "flows.report",
)
"""Modules that every study needs and that are slow to load."""

COMPARING: Final = ("planning.comparison", "flows.comparison_page")
"""Modules that the process itself needs where others do the work."""


class Workers(Protocol):
    """Who does work. `do` may be called by `count` threads at the same time."""

    count: int

    def prepare(self, cases: int, /) -> Iterable[Callable[[], object]]:
        """Make ready for so many cases at once; return what can be called while others start."""

    def do(self, work: Work) -> str:
        """Do a piece of work and return its key, or raise what it raised."""


@contextmanager
def workers(run: Running) -> Iterator[Workers]:
    """Give the workers that a study asks for.

    Raises
    ------
    InvalidInput
        They need a package that is not installed.
    """
    count = run.workers or os.cpu_count() or 1
    if run.runner in ("serial", "threads") and run.step_timeout_s is None:
        yield Here(1 if run.runner == "serial" else count)
        return
    from flows.clusters import DaskWorkers, RayWorkers

    makers: dict[str, Any] = {"dask": DaskWorkers, "ray": RayWorkers}
    single = run.runner == "serial"
    made = makers.get(run.runner, Processes)(1 if single else count, run)
    try:
        yield made
    finally:
        made.close()


class Here:
    """The process itself, in as many threads as there are cases at the same time."""

    def __init__(self, count: int) -> None:
        self.count = count

    def prepare(self, _: int, /) -> Iterable[Callable[[], object]]:
        """Return what loads the modules that every study needs."""
        return (partial(importlib.import_module, name) for name in LOADED)

    def do(self, work: Work) -> str:
        """Do it here."""
        return do_work(work)


class Processes:
    """Processes of our own, which can be ended: one for each case at the same time."""

    def __init__(self, count: int, run: Running) -> None:
        self.count = count
        self._timeout_s, self._retries = run.step_timeout_s, run.retries
        self._free: list[_Process] = []
        self._lock = threading.Lock()

    def prepare(self, cases: int, /) -> Iterable[Callable[[], object]]:
        """Start the processes; return what loads what comparing needs here at the same time."""
        with self._lock:
            while len(self._free) < min(self.count, cases):
                self._free.append(_Process())
        return (partial(importlib.import_module, name) for name in COMPARING)

    def do(self, work: Work) -> str:
        """Do it in a process that is free; one that dies is replaced."""
        for attempt in range(self._retries + 1):
            with self._lock:
                process = self._free.pop() if self._free else _Process()
            try:
                key = process.do(work, self._timeout_s)
            except _Died as died:
                if attempt == self._retries:
                    raise StepFailed(f"{work.title}: {died}") from None
                continue
            except BaseException:
                self._give_back(process)
                raise
            self._give_back(process)
            return key
        raise AssertionError("unreachable")

    def _give_back(self, process: _Process) -> None:
        with self._lock:
            if process.alive:
                self._free.append(process)

    def close(self) -> None:
        """End all processes."""
        for process in self._free:
            process.end()


class _Died(Exception):
    """The process of a step is gone."""


class _Process:
    """A process that does one piece of work after the other."""

    def __init__(self) -> None:
        context = _context()
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, dict(os.environ)), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def alive(self) -> bool:
        return bool(self._process.is_alive())

    def do(self, work: Work, timeout_s: float | None) -> str:
        try:
            self._pipe.send(work)
            if not self._pipe.poll(timeout_s):
                self.end()
                raise StepFailed(
                    f"{work.title}: took longer than step_timeout_s = {timeout_s:g} s and was ended"
                )
            answer: Any = self._pipe.recv()
        except (EOFError, OSError) as error:
            self.end()
            code = self._process.exitcode
            raise _Died(f"its process ended by itself (exit code {code})") from error
        if isinstance(answer, BaseException):
            raise answer
        return str(answer)

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()


def _context() -> Any:
    """Return how processes are made: from one that has loaded the modules, or each on its own.

    That one has no threads and has computed nothing, unlike this process: it can be forked.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():  # Windows
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["flows.workers", *LOADED])
    return context


def _serve(pipe: Any, environment: dict[str, str]) -> None:
    """Do what comes through `pipe` until it is closed.

    The process that this one is forked from may be older than what is set in `environment` now.
    """
    # Ctrl-C reaches every process: the first one tells of it, and this one ends with it. Solvers
    # that it has started are not to ignore it, which they would inherit.
    signal.signal(signal.SIGINT, lambda *_: None)
    os.environ.clear()
    os.environ.update(environment)
    end_with_parent()
    for name in LOADED:
        importlib.import_module(name)
    with suppress(EOFError, OSError):  # the other end is closed, or its process gone
        while True:
            work = pipe.recv()
            try:
                answer: object = do_work(work)
            except Exception as error:
                answer = sendable(error)
            pipe.send(answer)
