"""`run_study`: a study file goes in, netCDF files, reports and a comparison come out."""

from __future__ import annotations

import fnmatch
import json
import os
import typing
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import xarray as xr
from pydantic import ValidationError

from flows import prefect_server
from flows.case_run import Call, CaseResult, CaseRunner, Watch
from flows.engines import ENGINES, Engine, choose_engine
from flows.file_lock import only_run
from flows.mirror import Mirror, mirror_of
from flows.study import Study, load_cases
from flows.study_scenarios import Runner, Running
from flows.study_text import closest
from flows.task_store import FOLDER, TaskStore, checksum, require_writable
from flows.workers import workers
from pp_p2p.errors import Finding, InvalidInput
from pp_p2p.storage import below, ends_with_process, is_remote, local_path

MANIFEST_NAME: Final = "study.json"
"""Says which cases a folder of results has, and what became of each."""

COMPARISON_NAME: Final = "comparison.html"

NAMES_SHOWN: Final = 20
"""Of so many cases the names are listed where one is not found."""


@dataclass(frozen=True)
class StudyResult:
    """What a study leaves behind.

    Parameters
    ----------
    cases : tuple of CaseResult
        One for a study without scenarios.
    folder : Path
        Of the files; of shared storage a local copy.
    comparison : Path, optional
        Page that compares the cases, where there are several.
    url : str
        Of shared storage, where the results are there.
    compared : Dataset, optional
        The cases that are done, by this run or before, side by side.
    """

    cases: tuple[CaseResult, ...]
    folder: Path
    comparison: Path | None = None
    url: str = ""
    compared: xr.Dataset | None = field(default=None, repr=False, compare=False)

    def address(self, path: Path) -> str:
        """Return where others find a file of the results: its path, or its URL."""
        within = path.relative_to(self.folder).as_posix()
        return below(self.url, within) if self.url else str(path)

    @property
    def done(self) -> tuple[CaseResult, ...]:
        """The cases that have a result."""
        return tuple(case for case in self.cases if case.state == "done")

    @property
    def result(self) -> Path:
        """Result file of the first case."""
        return self.cases[0].result

    @property
    def report(self) -> Path:
        """Report of the first case."""
        return self.cases[0].report

    @property
    def tree(self) -> xr.DataTree:
        """What stands in the result file of the first case."""
        return self.cases[0].tree


def run_study(
    path: str | os.PathLike[str],
    *,
    engine: Engine = "prefect",
    output: str | os.PathLike[str] | None = None,
    runner: str | None = None,
    n_workers: int | None = None,
    only: Sequence[str] = (),
    fresh: bool = False,
    watch: Watch | None = None,
    tell: Callable[[str], None] | None = None,
) -> StudyResult:
    """Run a study file: days, plan, plan together, trade and report of each case; then compare.

    What a run has computed is kept by a hash of what it depends on: a run that was killed goes on
    where it stood, and a changed input computes again exactly what depends on it.

    Parameters
    ----------
    path : path
        Study file (TOML); ``pp-p2p init`` writes a commented one.
    engine : {"prefect", "plain"}
        As a Prefect flow, with no server and no network needed; or the same steps without it.
    output : path or URL, optional
        Folder of the results; the study file's own where it is left out. Any URL of fsspec is
        shared storage: a local copy of it is worked on, each file is pushed when it is whole.
    runner : {"serial", "threads", "processes", "dask", "ray"}, optional
        In place of ``run.runner`` of the study file. Results are the same.
    n_workers : int, optional
        In place of ``run.workers``.
    only : sequence of str
        Run these cases only, each a name or a pattern of the shell (``high*``, ``*, dg ?``); the
        comparison has those that were run before, too.
    fresh : bool
        Forget what is kept.
    watch : callable, optional
        Called with the title of each piece of work for a context around it.
    tell : callable, optional
        Takes lines that the user should read.

    Returns
    -------
    StudyResult
        What became of each case and where its files are.

    Raises
    ------
    InvalidInput
        With every finding of the study file; for a study without scenarios also of the net and
        the profiles. Another run works in the same folder, or it cannot be written.
    NoSolution
        The plan or a day's trade of a study without scenarios has no feasible point; nothing is
        written. Where there are scenarios, their cases say so, and the others go on.
    """
    if engine not in ENGINES:
        raise InvalidInput(
            Finding(
                table="engine",
                rule=f"there is no engine {engine!r}",
                mend=f"{closest(engine, ENGINES)}choose one of {', '.join(ENGINES)}",
            )
        )
    if engine == "prefect":
        prefect_server.start()
    cases = load_cases(Path(path))
    folder, mirror = _place(cases[0], output)
    run = _running(cases[0], runner, n_workers)
    chosen = _chosen(cases, only)
    require_writable(folder)
    with ExitStack() as stack:
        stack.enter_context(only_run(folder))
        store = TaskStore(folder / FOLDER, mirror)
        if mirror is not None:
            stack.enter_context(mirror.only_run())
            mirror.fetch(folder / MANIFEST_NAME, again=True)
        store.sweep()
        if fresh:
            store.clear()
        team = stack.enter_context(workers(run))
        around = watch or (lambda _: nullcontext())
        call, each = choose_engine(engine, cases[0].study.name, around)
        one = CaseRunner(
            folder=folder, store=store, call=call, watch=around, do=team.do,
            tell=tell or (lambda _: None), url=mirror.url if mirror else "",
        )  # fmt: skip
        nothing_to_do = _tell_first(one, chosen)

        def finish(told: list[Any]) -> StudyResult:
            return _finished(one, cases, _outcomes(one, chosen, told), mirror)

        meanwhile = () if nothing_to_do else team.prepare(len(chosen))
        return each(one.run, chosen, team.count, finish, meanwhile)


def _tell_first(one: CaseRunner, chosen: Sequence[Study]) -> bool:
    """Tell what the user should know before it begins; return whether all is there already."""
    if ends_with_process(one.url):
        one.tell(f"{one.url} lives in this process only; its copy in {one.folder} stays")
    known = [one.kept(study) for study in chosen]
    if kept := len(set[str]().union(*(keys for keys, _ in known))):
        steps = "step of an earlier run is" if kept == 1 else "steps of an earlier run are"
        one.tell(f"{kept} {steps} kept")
    return all(whole for _, whole in known)


def _outcomes(one: CaseRunner, chosen: Sequence[Study], told: Sequence[Any]) -> list[CaseResult]:
    return [
        answer if isinstance(answer, CaseResult) else one.outcome(study, answer)
        for study, answer in zip(chosen, told, strict=True)
    ]


def _finished(
    one: CaseRunner, cases: Sequence[Study], results: list[CaseResult], mirror: Mirror | None
) -> StudyResult:
    """Note what became of the cases, and compare them where there are several."""
    if not cases[0].case and results[0].error is not None:
        raise results[0].error
    one.store.share(_write_manifest(one.folder, cases, results))
    page, compared = None, None
    entries = read_manifest(one.folder)["cases"]
    if cases[0].case and any(entry["state"] == "done" for entry in entries):
        page, compared = _compare(one.folder, one.call, one.watch, mirror)
        one.store.share(page)
    return StudyResult(tuple(results), one.folder, page, one.url, compared)


def _place(study: Study, output: str | os.PathLike[str] | None) -> tuple[Path, Mirror | None]:
    """Return the folder that is worked in, and what mirrors it."""
    given = study.output if output is None else output
    if is_remote(given):
        mirror = mirror_of(os.fspath(given).rstrip("/"))
        assert mirror is not None
        return mirror.folder, mirror
    return local_path(given).absolute(), None


def _running(study: Study, runner: str | None, n_workers: int | None) -> Running:
    given = {"runner": runner, "workers": n_workers}
    said = study.run.model_dump() | {k: v for k, v in given.items() if v is not None}
    try:
        return Running.model_validate(said)
    except ValidationError as error:
        wrong = {str(one["loc"][0]) for one in error.errors()}
    found = []
    if "runner" in wrong:
        kinds = typing.get_args(Runner)
        mend = f"{closest(str(runner), kinds)}choose one of {', '.join(kinds)}"
        found.append(Finding(table="runner", rule=f"there is no runner {runner!r}", mend=mend))
    if "workers" in wrong:
        mend = "give 0 or more; 0: one for each core"
        rule = f"{n_workers} is no number of workers"
        found.append(Finding(table="workers", rule=rule, mend=mend))
    raise InvalidInput(found)


def _chosen(cases: Sequence[Study], only: Sequence[str]) -> list[Study]:
    """Return the cases that `only` names, each by its name or by a pattern, in their own order."""
    names = [study.case for study in cases]
    fitting = {
        wanted: {name for name in names if fnmatch.fnmatchcase(name, wanted)} for wanted in only
    }
    if unknown := [wanted for wanted, found in fitting.items() if not found]:
        near = closest(unknown[0], names)
        shown = ", ".join(map(repr, names[:NAMES_SHOWN]))
        more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
        rule = f"the study has no case {', '.join(map(repr, unknown))}"
        mend = f"{near}its cases are: {shown}{more}; a pattern, as 'high*', names several"
        if names == [""]:
            mend = "leave it out: the study has no scenarios"
        raise InvalidInput(Finding(table="only", rule=rule, mend=mend))
    chosen = set[str]().union(*fitting.values())
    return [study for study in cases if not only or study.case in chosen]


def _write_manifest(folder: Path, cases: Sequence[Study], results: Sequence[CaseResult]) -> Path:
    """Note what became of each case; of those that were not run now, what was noted before."""
    from flows.chain import write_text
    from pp_p2p.results import SCHEMA_VERSION

    before = {entry["case"]: entry for entry in read_manifest(folder).get("cases", [])}
    now = {
        one.case: {
            "case": one.case,
            "state": one.state,
            "message": one.message,
            "result": one.result.relative_to(folder).as_posix() if one.state == "done" else "",
            "sha256": checksum(one.result) if one.state == "done" else "",
            "seconds": round(one.seconds, 3),
        }
        for one in results
    }
    entries = [now.get(study.case, before.get(study.case)) for study in cases]
    content = {
        "study": cases[0].study.name,
        "schema_version": SCHEMA_VERSION,
        "cases": [entry for entry in entries if entry is not None],
    }
    return write_text(folder / MANIFEST_NAME, json.dumps(content, indent=1) + "\n")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return what is noted about the cases of a folder of results; empty where there is nothing."""
    try:
        found = json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def fetch_results(folder: Path, mirror: Mirror) -> None:
    """Get the results that the manifest names and that are not here as they were written."""
    for entry in read_manifest(folder).get("cases", []):
        if entry["state"] == "done":
            file = folder / entry["result"]
            known = file.is_file() and checksum(file) == entry["sha256"]
            mirror.fetch(file, again=not known)


def results_of(url: str) -> Path:
    """Return a local folder with the results of a study in shared storage."""
    mirror = mirror_of(url.rstrip("/"))
    assert mirror is not None
    if not mirror.fetch(mirror.folder / MANIFEST_NAME, again=True):
        rule, mend = "holds no result of a study", "pass a folder that `pp-p2p run` has written"
        raise InvalidInput(Finding(table=url, rule=rule, mend=mend))
    fetch_results(mirror.folder, mirror)
    return mirror.folder


def _compare(
    folder: Path, call: Call, watch: Watch, mirror: Mirror | None
) -> tuple[Path, xr.Dataset]:
    """Write the page that compares what is done; return it and the cases side by side."""
    from flows.chain import write_text
    from flows.comparison import compare_files, find_results
    from flows.comparison_page import comparison_html

    entries = read_manifest(folder)["cases"]

    def compare() -> xr.Dataset:
        with watch("compare the cases"):
            if mirror is not None:  # cases that were run before, maybe elsewhere
                fetch_results(folder, mirror)
            compared, network = compare_files(find_results([folder]))
            page = comparison_html(compared, network, states=entries)
            write_text(folder / COMPARISON_NAME, page)
        return compared

    compared: xr.Dataset = call("compare the cases", compare)
    return folder / COMPARISON_NAME, compared
