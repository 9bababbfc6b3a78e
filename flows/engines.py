"""How the cases of a study are called: one after the other, in threads, or as a Prefect flow."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, Literal

from flows import prefect_server
from flows.case_run import Call, CaseResult, Watch, caught
from flows.study import Study

if TYPE_CHECKING:
    from flows.study_run import StudyResult

Engine = Literal["prefect", "plain"]
ENGINES: Final[tuple[Engine, ...]] = ("prefect", "plain")

Meanwhile = Iterable[Callable[[], object]]
"""What can be called while others start or work."""

Finish = Callable[[list[Any]], "StudyResult"]
"""Takes what each case has returned or raised."""

Each = Callable[
    [Callable[[Study], CaseResult], Sequence[Study], int, Finish, Meanwhile], "StudyResult"
]
"""Runs a function for each case, so many at the same time, then finishes."""


def choose_engine(engine: Engine, name: str, watch: Watch) -> tuple[Call, Each]:
    """Return how a piece of work is called, and how all cases are."""
    return _prefect(name, watch) if engine == "prefect" else (_here, _each_here)


def _here(_: str, function: Callable[[], Any]) -> Any:
    return function()


def _each_here(
    run: Callable[[Study], CaseResult],
    cases: Sequence[Study],
    count: int,
    finish: Finish,
    meanwhile: Meanwhile,
) -> StudyResult:
    if min(count, len(cases)) == 1:
        return finish([caught(run, case) for case in cases])
    with ThreadPoolExecutor(count) as pool:
        told = pool.map(lambda case: caught(run, case), cases)
        for call in meanwhile:
            call()
        return finish(list(told))


def _prefect(name: str, watch: Watch) -> tuple[Call, Each]:
    """Return how Prefect calls: each case and each piece of work a task of one flow."""
    server = prefect_server.start()
    starting = ExitStack()
    starting.enter_context(watch("start Prefect"))
    collecting = gc.isenabled()
    gc.disable()  # a third of the time that loading Prefect takes
    try:
        from flows.prefect_engine import as_task, run_flow
    finally:
        if collecting:
            gc.enable()

    def each(
        run: Callable[[Study], CaseResult],
        cases: Sequence[Study],
        count: int,
        finish: Finish,
        meanwhile: Meanwhile,
    ) -> StudyResult:
        server.wait(meanwhile)
        return run_flow(name, run, cases, count, finish, server=server, started=starting.close)

    return as_task, each
