"""One case of a study from its file to its result: what is kept is not computed again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import xarray as xr

from flows.chain import REPORT_NAME, RESULT_NAME
from flows.steps import STEPS, inputs_key, result_key, step_key
from flows.study import Study
from flows.study_cases import folder_name
from flows.task_store import TaskStore, checksum, copy_whole
from flows.work import Work
from pp_p2p.errors import InvalidInput, NoSolution

Call = Callable[[str, Callable[[], Any]], Any]
"""Runs a piece of work: its title, and the function without arguments."""

Watch = Callable[[str], AbstractContextManager[Any]]
"""Gives a context around each piece of work, by title: what shows the progress."""

State = Literal["done", "no solution", "wrong input", "failed"]
KEPT: Final = " (kept)"
"""Follows the title of what was there already."""


@dataclass(frozen=True, kw_only=True)
class CaseResult:
    """What became of a case.

    Parameters
    ----------
    case : str
        Its name; empty for a study without scenarios.
    state : {"done", "no solution", "wrong input", "failed"}
    result, report : Path
        Its files; they exist where it is done.
    message : str
        Why it is not done.
    seconds : float
        How long it took, without what was kept.
    """

    case: str
    state: State
    result: Path
    report: Path
    message: str = ""
    seconds: float = 0.0
    error: BaseException | None = None

    @property
    def tree(self) -> xr.DataTree:
        """The result, loaded."""
        from flows.report import open_study

        return open_study(self.result)


@dataclass(frozen=True, kw_only=True)
class CaseRunner:
    """Runs cases of a study.

    Parameters
    ----------
    folder : Path
        Of the study's results.
    store : TaskStore
    call : callable
        Does a piece of work by title: as it is, or as a Prefect task.
    watch : callable
    do : callable
        Does it: `flows.workers`.
    tell : callable
        Takes a line that the user should read.
    """

    folder: Path
    store: TaskStore
    call: Call
    watch: Watch
    do: Callable[[Work], str]
    tell: Callable[[str], None]

    def files(self, study: Study) -> tuple[Path, Path]:
        """Return where result and report of a case go."""
        home = self.folder / folder_name(study.case) if study.case else self.folder
        return home / RESULT_NAME, home / REPORT_NAME

    def outcome(
        self, study: Study, error: BaseException | None, seconds: float = 0.0
    ) -> CaseResult:
        """Return what became of a case."""
        result, report = self.files(study)
        state: State = "done" if error is None else "failed"
        if isinstance(error, NoSolution):
            state = "no solution"
        elif isinstance(error, InvalidInput):
            state = "wrong input"
        said = "" if error is None else str(error) or type(error).__name__
        return CaseResult(
            case=study.case,
            state=state,
            result=result,
            report=report,
            message=said,
            seconds=seconds,
            error=error,
        )

    def run(self, study: Study) -> CaseResult:
        """Run every step of `study`; its files are written when all have succeeded."""
        started = time.perf_counter()
        digests, keys = self._digests(study), dict[str, str]()
        group_keys: dict[str, str] = {}
        for one in STEPS:
            for stage in one.stages(study):
                key = step_key(study, one, stage, digests, keys)
                needs = {n: k for n, k in group_keys.items() if n.partition("/")[0] in one.needs}
                self._get(
                    Work(
                        kind="step",
                        title=one.title_of(stage),
                        study=study,
                        key=key,
                        store=self.store.folder,
                        needs=needs,
                        name=one.name,
                        stage=stage,
                    )
                )
                group_keys[one.name if stage is None else f"{one.name}/{stage}"] = key
            keys[one.name] = "+".join(
                k for n, k in group_keys.items() if n.partition("/")[0] == one.name
            )
        self._write(study, result_key(study, keys, digests), group_keys)
        return self.outcome(study, None, time.perf_counter() - started)

    def _digests(self, study: Study) -> dict[str, str]:
        key = inputs_key(study)
        self._get(
            Work(
                kind="read",
                title="read network and profiles",
                study=study,
                store=self.store.folder,
                key=key,
            )
        )
        text = self.store.path(key, ".txt").read_text(encoding="utf-8")
        return {str(name): str(value) for name, value in json.loads(text).items()}

    def _write(self, study: Study, key: str, groups: dict[str, str]) -> None:
        collected = Work(
            kind="collect",
            title="collect results",
            study=study,
            store=self.store.folder,
            key=key,
            needs=groups,
        )
        self._get(collected)
        result, report = self.files(study)
        self._get(
            Work(
                kind="draw",
                title="draw the report",
                study=study,
                store=self.store.folder,
                key=key.replace("result-", "report-"),
                needs={"result": key},
                place=report,
            )
        )

        def write() -> None:
            if not result.is_file() or checksum(result) != self.store.note(key)["sha256"]:
                copy_whole(self.store.path(key, ".nc"), result)

        self._called(self._titled(study, "write files"), write)

    def _get(self, work: Work) -> None:
        title = self._titled(work.study, work.title)
        if self.store.has(work.key, work.suffix, work.place):
            with self.watch(title + KEPT):
                return
        if self.store.is_damaged(work.key, work.suffix, work.place):
            self.tell(f"{title}: the kept result is damaged, it is computed again")
        self._called(title, lambda: self.do(work))

    def _called(self, title: str, function: Callable[[], Any]) -> None:
        def watched() -> Any:
            with self.watch(title):
                return function()

        self.call(title, watched)

    @staticmethod
    def _titled(study: Study, title: str) -> str:
        return f"{study.case}: {title}" if study.case else title
