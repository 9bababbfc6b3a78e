"""One case of a study from its file to its result: what is kept is not computed again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

import xarray as xr

from flows.chain import REPORT_NAME, RESULT_NAME
from flows.steps import STEPS, inputs_key, result_key, step_key
from flows.study import Study
from flows.study_cases import folder_name
from flows.task_store import TaskStore, checksum, copy_whole
from flows.work import Kind, Work
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
    url : str
        Of shared storage that has the study's folder; empty: there is none.
    told : set of str
        Notes about inputs that were told.
    """

    folder: Path
    store: TaskStore
    call: Call
    watch: Watch
    do: Callable[[Work], str]
    tell: Callable[[str], None]
    url: str = ""
    told: set[str] = field(default_factory=set)

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
        self._get(self._reading(study))
        self._tell_notes(study)
        works = self._works(study)
        for work in works:
            self._get(work)
        self._write(study, next(work.key for work in works if work.kind == "collect"))
        return self.outcome(study, None, time.perf_counter() - started)

    def kept(self, study: Study) -> tuple[set[str], bool]:
        """Return the keys of what earlier runs have computed of `study`, and whether that is all.

        What is to be done is known when the inputs are read.
        """
        reading = self._reading(study)
        if not self._has(reading):
            return set(), False
        works = self._works(study)
        found = {work.key for work in works if self._has(work)}
        return {reading.key, *found}, len(found) == len(works)

    def _reading(self, study: Study) -> Work:
        return self._work(study, "read", "read network and profiles", inputs_key(study))

    def _read(self, study: Study) -> dict[str, Any]:
        """Return what is known of the inputs once they are read."""
        text = self.store.path(inputs_key(study), ".txt").read_text(encoding="utf-8")
        known: dict[str, Any] = json.loads(text)
        return known

    def _tell_notes(self, study: Study) -> None:
        """Tell what is told of the inputs, what other cases share once."""
        for note in self._read(study)["notes"]:
            if note not in self.told:
                self.told.add(note)
                self.tell(note)

    def _works(self, study: Study) -> list[Work]:
        """Return what is to be done when the inputs are read, in its order."""
        digests = {name: str(self._read(study)[name]) for name in ("net", "profiles")}
        works, keys, group_keys = list[Work](), dict[str, str](), dict[str, str]()
        for one in STEPS:
            for stage in one.stages(study):
                key = step_key(study, one, stage, digests, keys)
                needs = {n: k for n, k in group_keys.items() if n.partition("/")[0] in one.needs}
                work = self._work(study, "step", one.title_of(stage), key, needs)
                works.append(replace(work, name=one.name, stage=stage))
                group_keys[one.name if stage is None else f"{one.name}/{stage}"] = key
            keys[one.name] = "+".join(
                k for n, k in group_keys.items() if n.partition("/")[0] == one.name
            )
        key = result_key(study, keys, digests)
        works.append(self._work(study, "collect", "collect results", key, group_keys))
        drawn = key.replace("result-", "report-")
        drawing = self._work(study, "draw", "draw the report", drawn, {"result": key})
        works.append(replace(drawing, place=self.files(study)[1]))
        return works

    def _work(
        self, study: Study, kind: Kind, title: str, key: str, needs: Mapping[str, str] | None = None
    ) -> Work:
        return Work(
            kind=kind, title=title, study=study, key=key, store=self.store.folder,
            needs=dict(needs or {}), mirror=self.url,
        )  # fmt: skip

    def _write(self, study: Study, key: str) -> None:
        result = self.files(study)[0]

        def write() -> None:
            if not result.is_file() or checksum(result) != self.store.note(key)["sha256"]:
                copy_whole(self.store.path(key, ".nc"), result)
                self.store.share(result)

        self._called(self._titled(study, "write files"), write)

    def _has(self, work: Work) -> bool:
        return self.store.has(work.key, work.suffix, work.place)

    def _get(self, work: Work) -> None:
        title = self._titled(work.study, work.title)
        if self._has(work):
            with self.watch(title + KEPT):
                return
        if self.store.is_damaged(work.key, work.suffix, work.place):
            self.tell(f"{title}: the kept result is damaged, it is computed again")

        def done() -> None:
            self.do(work)
            self.store.settle(work.key, work.suffix, work.place)

        self._called(title, done)

    def _called(self, title: str, function: Callable[[], Any]) -> None:
        def watched() -> Any:
            with self.watch(title):
                return function()

        self.call(title, watched)

    @staticmethod
    def _titled(study: Study, title: str) -> str:
        return f"{study.case}: {title}" if study.case else title


def caught(run: Callable[[Study], CaseResult], study: Study) -> CaseResult | Exception:
    """Return what `run` makes of a case, or what it raises: the other cases go on."""
    try:
        return run(study)
    except Exception as error:
        return error
