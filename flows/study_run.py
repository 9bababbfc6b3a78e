"""`run_study`: a study file goes in, a netCDF file and a report come out."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any, Final, Literal

from flows.chain import StudyResult, run_chain
from flows.study import Study, load_study
from pp_p2p.errors import Finding, InvalidInput

Engine = Literal["prefect", "plain"]
ENGINES: Final[tuple[Engine, ...]] = ("prefect", "plain")

Watch = Callable[[str], AbstractContextManager[Any]]
"""Gives a context around each stage, by name: what shows the progress."""

PREFECT_SETTINGS: Final = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",  # DO_NOT_TRACK alone does not stop the server's
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_SERVER_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
}
"""Set before Prefect is imported, where the user has not set them."""


def run_study(
    path: str | os.PathLike[str],
    *,
    engine: Engine = "prefect",
    output: str | os.PathLike[str] | None = None,
    watch: Watch | None = None,
) -> StudyResult:
    """Run a study file: typical days, plan, trade on every typical day, netCDF, report.

    Parameters
    ----------
    path : path
        Study file (TOML); ``pp-p2p init`` writes a commented one.
    engine : {"prefect", "plain"}
        As a Prefect flow, with no server and no network needed; or the same stages without it.
    output : path, optional
        Folder of the results; the study file's own where it is left out.
    watch : callable, optional
        Called with each stage's name for a context around it.

    Returns
    -------
    StudyResult
        Paths of ``result.nc`` and ``report.html``, and the result itself.

    Raises
    ------
    InvalidInput
        With every finding of the study file, the net and the profiles.
    NoSolution
        The plan or a day's trade has no feasible point; nothing is written.
    """
    if engine not in ENGINES:
        raise InvalidInput(
            Finding(
                table="engine",
                rule=f"there is no engine {engine!r}",
                mend=f"choose one of {', '.join(ENGINES)}",
            )
        )
    study = load_study(Path(path))
    folder = None if output is None else Path(output)
    around = watch or (lambda _: nullcontext())
    return (_with_prefect if engine == "prefect" else _plainly)(study, folder, around)


def _plainly(study: Study, output: Path | None, watch: Watch) -> StudyResult:
    def call(name: str, stage: Callable[[], Any]) -> Any:
        with watch(name):
            return stage()

    return run_chain(study, call, output)


def _with_prefect(study: Study, output: Path | None, watch: Watch) -> StudyResult:
    """Run the chain as one flow, each stage a task; tasks take no data, so none is hashed."""
    for name, value in PREFECT_SETTINGS.items():
        os.environ.setdefault(name, value)
    with ExitStack() as starting:
        starting.enter_context(watch("start Prefect"))
        from flows.prefect_engine import flow_and_task

        flow, call_as_task = flow_and_task(study.study.name)

        def call(name: str, stage: Callable[[], Any]) -> Any:
            with watch(name):
                return call_as_task(name, stage)

        def chain() -> StudyResult:
            starting.close()
            return run_chain(study, call, output)

        result: StudyResult = flow(chain)
    return result
