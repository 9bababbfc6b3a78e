"""Prefect's side of a study: its flow and its tasks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import flow, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    temporary_settings,
)
from prefect.task_runners import ThreadPoolTaskRunner

from flows.case_run import CaseResult, caught
from flows.prefect_server import Server
from flows.study import Study

if TYPE_CHECKING:
    from flows.study_run import StudyResult


def as_task(title: str, function: Callable[[], Any]) -> Any:
    """Run a piece of work as a task. It takes no data, so nothing is hashed or pickled."""
    return task(name=title, cache_policy=NO_CACHE, persist_result=False)(function)()


def run_flow(
    name: str,
    run: Callable[[Study], CaseResult],
    cases: Sequence[Study],
    count: int,
    finish: Callable[[list[Any]], StudyResult],
    *,
    server: Server,
    started: Callable[[], None],
) -> StudyResult:
    """Run every case as a task of one flow, `count` at the same time, then `finish`.

    A case that fails is a failed task; the others go on, and `finish` takes its error in its
    place. The heartbeat is off, because joining its thread costs a second per flow.
    """
    for logger in ("prefect", "httpx", "uvicorn"):
        logging.getLogger(logger).setLevel(logging.CRITICAL + 1)

    def chain() -> StudyResult:
        started()
        if len(cases) == 1:
            told = [caught(run, cases[0])]
        else:
            futures = [_task_of(run, case).submit() for case in cases]
            told = [future.result(raise_on_failure=False) for future in futures]
        result = finish(told)
        if server.given:
            _show(name, result)
        return result

    runner: Any = ThreadPoolTaskRunner(max_workers=count)
    settings: dict[Any, Any] = {
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
        PREFECT_API_URL: server.url,
    }
    if not server.given:
        settings[PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED] = False  # it is this Prefect's own
    with temporary_settings(settings):
        made = flow(name=name, persist_result=False, log_prints=False, task_runner=runner)(chain)
        result: StudyResult = made()
    return result


def _task_of(run: Callable[[Study], CaseResult], case: Study) -> Any:
    """Return a case as a task; what it works with is not looked into."""

    def one() -> CaseResult:
        return run(case)

    return task(name=case.case or "study", cache_policy=NO_CACHE, persist_result=False)(one)


def _show(name: str, result: StudyResult) -> None:
    """Show what became of the cases in the server's pages: a table, links, the main numbers."""
    rows = [
        {
            "case": one.case or name,
            "state": one.state,
            "seconds": round(one.seconds, 1),
            "message": one.message,
        }
        for one in result.cases
    ]
    create_table_artifact(table=rows, key="cases", description="What became of each case")
    for one in result.done:
        create_link_artifact(
            link=_link(result, one.report),
            link_text=f"report {one.case}".strip(),
            key="case-report",
        )
    if result.comparison is not None:
        create_link_artifact(
            link=_link(result, result.comparison), link_text="comparison", key="comparison"
        )
    create_markdown_artifact(markdown=_report(name, result), key="report")


def _link(result: StudyResult, path: Path) -> str:
    return result.address(path) if result.url else path.as_uri()


def _report(name: str, result: StudyResult) -> str:
    """Return the main numbers of the cases, and where their files are, as Markdown."""
    from flows.comparison import compare_files, summary_table

    lines = [f"# {name}", "", f"{len(result.done)} of {len(result.cases)} cases are done.", ""]
    if result.done:
        files = {one.case or name: one.result for one in result.done}
        compared = compare_files(files)[0] if result.compared is None else result.compared
        table = summary_table(compared)
        lines += [
            "| " + " | ".join(["case", *map(str, table.columns)]) + " |",
            "| --- " * (len(table.columns) + 1) + "|",
        ]
        for row in table.itertuples():
            lines.append("| " + " | ".join([str(row[0]), *(f"{v:.6g}" for v in row[1:])]) + " |")
        lines += ["", *(f"- {case}: `{result.address(file)}`" for case, file in files.items())]
    return "\n".join(lines) + "\n"


@flow(name="pp-p2p study", log_prints=True, persist_result=False)
def study_flow(
    study: str,
    output: str | None = None,
    runner: str | None = None,
    workers: int | None = None,
    only: list[str] | None = None,
) -> dict[str, str]:
    """Run a study file on a worker: what `flows/prefect.yaml` deploys.

    Parameters
    ----------
    study : str
        Path of the study file, as the worker sees it.
    output, runner, workers, only
        As of `flows.run_study`.

    Returns
    -------
    dict
        Case -> what became of it.
    """
    from flows.study_run import run_study

    told = run_study(study, output=output, runner=runner, n_workers=workers, only=only or [])
    return {one.case: one.state for one in told.cases}
