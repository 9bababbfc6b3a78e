"""Command line ``pp-p2p``: run and compare studies, list solvers, write a study to start from."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from flows import prefect_server
from flows.ctrl_c import ended_by_ctrl_c
from pp_p2p.errors import NoSolution, P2PError, StepFailed

if TYPE_CHECKING:
    from flows.study_run import StudyResult

USER_MISTAKE: Final = 2
NO_SOLUTION: Final = 3
FAILED: Final = 4
CODES: Final = {
    "done": 0,
    "wrong input": USER_MISTAKE,
    "no solution": NO_SOLUTION,
    "failed": FAILED,
}
"""Exit code of what became of a case; of several cases the highest counts."""

ONE_CASE: Final = (
    "one case only: write [[scenario]] blocks into the study file, or pass more results"
)

app = typer.Typer(
    name="pp-p2p",
    help=(
        "Plan and trade in a distribution network.\n\n"
        "Start with `pp-p2p init study.toml`, change what you like (`pp-p2p reference` lists every "
        "key), then `pp-p2p run study.toml`. "
        "Exit code 0: done; 2: the input is wrong; 3: there is no solution, of one case at least; "
        "4: a case failed otherwise; 130: stopped by Ctrl-C."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out, err = Console(highlight=False), Console(stderr=True, highlight=False)


@app.command()
def run(
    study: Annotated[Path, typer.Argument(help="Study file (TOML).", show_default=False)],
    engine: Annotated[
        str, typer.Option(help="'prefect': one flow, no server needed; 'plain': without Prefect.")
    ] = "prefect",
    output: Annotated[
        str | None,
        typer.Option(
            help="Folder of the results, or a URL of shared storage; default: the study file's."
        ),
    ] = None,
    runner: Annotated[
        str | None,
        typer.Option(help="'serial', 'threads', 'processes', 'dask' or 'ray'; default: the file."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Cases at the same time; 0: one for each core.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Run this case only: its name, or a pattern in quotes like 'high*'; repeatable."
        ),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Forget what earlier runs have computed.")
    ] = False,
) -> None:
    """Run a study: typical days, plan, plan together, trade, result and report, for each case.

    What was computed is kept in the folder of the results: a run that was stopped goes on where
    it stood, and a changed study computes again only what depends on the change.
    """
    started = time.perf_counter()
    again = "the command without --fresh" if fresh else "the same command"
    with ended_by_ctrl_c(again, live=err.is_terminal):
        if engine == "prefect":
            prefect_server.start()  # while the rest is loaded
        from flows.study_run import run_study

        result = run_study(
            study,
            engine=engine,  # type: ignore[arg-type]
            output=output,
            runner=runner,
            n_workers=workers,
            only=only or (),
            fresh=fresh,
            watch=_progress,
            tell=lambda line: err.print(line, style="yellow", markup=False, soft_wrap=True),
        )
    code = _show_cases(result) if result.cases[0].case else _show_study(result)
    err.print(f"done in {time.perf_counter() - started:.1f} s")
    if code:
        sys.exit(code)


def _show_study(result: StudyResult) -> int:
    from flows.summary import caveats, summary_tables

    tree = result.tree
    for table in summary_tables(tree):
        out.print(table)
    for line in caveats(tree):
        err.print(line, style="yellow", markup=False, soft_wrap=True)
    out.print(f"result  {result.address(result.result)}", soft_wrap=True)
    out.print(f"report  {result.address(result.report)}", soft_wrap=True)
    return 0


def _show_cases(result: StudyResult) -> int:
    """Show what became of each case, and the numbers of those that are done."""
    from flows.summary import comparison_table

    if result.done and result.compared is not None:
        done = [one.case for one in result.done]
        out.print(comparison_table(result.compared.sel(case=done)))
    for one in result.cases:
        if one.state != "done":
            err.print(
                f"{one.case}: {one.state}: {one.message}", style="red", markup=False, soft_wrap=True
            )
    count = f"{len(result.done)} of {len(result.cases)} cases are done"
    out.print(f"{count}: {result.url or result.folder}", soft_wrap=True)
    if result.comparison is not None:
        out.print(f"compare {result.address(result.comparison)}", soft_wrap=True)
    return max((CODES[one.state] for one in result.cases), default=0)


@app.command()
def compare(
    results: Annotated[
        list[str],
        typer.Argument(
            help="Folders of studies, or result.nc files, or URLs of them.", show_default=False
        ),
    ],
    base: Annotated[
        str | None, typer.Option(help="Case that the others are compared with; default: the first.")
    ] = None,
    output: Annotated[Path, typer.Option(help="HTML page.")] = Path("comparison.html"),
    table: Annotated[
        list[Path] | None,
        typer.Option(help="Write the numbers: .csv, .xlsx, .parquet or .nc; repeatable."),
    ] = None,
    png: Annotated[
        Path | None, typer.Option(help="Write the pictures as PNG files into this folder.")
    ] = None,
) -> None:
    """Compare the results of studies and their scenarios: a table and one HTML page."""
    from flows.chain import write_text
    from flows.comparison import (
        compare_files,
        export,
        find_results,
        require_case,
        require_endings,
    )
    from flows.comparison_page import comparison_html
    from flows.summary import comparison_table

    require_endings(table or [])
    compared, network = compare_files(find_results(results))
    chosen = require_case(compared, base)
    out.print(comparison_table(compared))
    if compared.sizes["case"] == 1:
        err.print(ONE_CASE, style="yellow", markup=False, soft_wrap=True)
    page = write_text(output, comparison_html(compared, network, base=chosen))
    out.print(f"compare {page}", soft_wrap=True)
    for path in table or []:
        out.print(f"table   {export(compared, path)}", soft_wrap=True)
    if png is not None:
        from flows.comparison_figures import write_pictures

        for path in write_pictures(compared, network, png, base=chosen):
            out.print(f"picture {path}", soft_wrap=True)


@app.command()
def report(
    result: Annotated[
        str, typer.Argument(help="A study's result.nc, or a URL of it.", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            help="HTML file; by default report.html beside the result, of a URL in this folder."
        ),
    ] = None,
) -> None:
    """Draw the report of a stored study again."""
    from flows.chain import REPORT_NAME, write_text
    from flows.report import open_study, report_html
    from pp_p2p.storage import is_remote, local_path

    page = report_html(open_study(result))
    home = Path() if is_remote(result) else local_path(result).parent
    out.print(f"report  {write_text(output or home / REPORT_NAME, page)}", soft_wrap=True)


@app.command()
def solvers() -> None:
    """List the solvers: what is here, what each can solve, how to get the rest."""
    from pp_p2p.solve.available import list_solvers

    table = Table("solver", "version", "licence", "solves here")
    found = list_solvers()
    for solver in found:
        solves = ", ".join(solver.entry.solves) if solver.usable or not solver.version else "-"
        table.add_row(
            solver.entry.name,
            solver.version or "missing",
            solver.licence or ("free" if solver.version else ""),
            solves,
        )
    out.print(table)
    for solver in found:
        out.print(f"[bold]{solver.entry.name}[/bold]: {solver.entry.doc}", soft_wrap=True)
        if solver.mend:
            out.print(f"    get it, or more of it: {solver.mend}", soft_wrap=True, highlight=False)


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("study.toml"),
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Write a commented study file that runs as it is."""
    from flows.chain import write_text
    from flows.study import study_template
    from pp_p2p.errors import Finding, InvalidInput

    if path.exists() and not force:
        raise InvalidInput(
            Finding(table=str(path), rule="exists already", mend="choose another name or --force")
        )
    write_text(path, study_template())
    out.print(f"wrote {path}; run it with: pp-p2p run {path}", soft_wrap=True)


@app.command()
def reference(
    output: Annotated[
        Path | None, typer.Option(help="Markdown file; by default it is printed.")
    ] = None,
) -> None:
    """List every key of a study file: value, unit, default, meaning."""
    from flows.chain import write_text
    from flows.study_reference import study_reference

    if output is None:
        out.print(study_reference(), markup=False, soft_wrap=True, end="")
    else:
        out.print(f"wrote {write_text(output, study_reference())}", soft_wrap=True)


@app.command()
def schema(
    output: Annotated[
        Path | None, typer.Option(help="JSON file; by default it is printed.")
    ] = None,
) -> None:
    """Write the JSON Schema of a study file: editors complete keys and mark mistakes with it."""
    import json

    from flows.chain import write_text
    from flows.study_schema import study_schema

    text = json.dumps(study_schema(), indent=1) + "\n"
    if output is None:
        out.print(text, markup=False, soft_wrap=True, end="")
    else:
        out.print(f"wrote {write_text(output, text)}", soft_wrap=True)


def main() -> None:
    """Run the command line; a user's mistake is one message, never a traceback."""
    try:
        app(standalone_mode=True)
    except NoSolution as error:
        err.print("no solution:", str(error), style="red", markup=False, soft_wrap=True)
        sys.exit(NO_SOLUTION)
    except StepFailed as error:
        err.print(str(error), style="red", markup=False, soft_wrap=True)
        sys.exit(FAILED)
    except P2PError as error:
        err.print(str(error), style="red", markup=False, soft_wrap=True)
        sys.exit(USER_MISTAKE)


@contextmanager
def _progress(title: str) -> Iterator[None]:
    """Show a piece of work while it runs, where no other one is shown, and how long it took."""
    started = time.perf_counter()
    shown = _SHOWING.acquire(blocking=False)
    try:
        with err.status(title) if shown else nullcontext():
            yield
    finally:
        if shown:
            _SHOWING.release()
    took = "kept" if title.endswith(" (kept)") else f"{time.perf_counter() - started:.1f} s"
    name = title.removesuffix(" (kept)")
    err.print(f"  {name:<44} {took:>9}", markup=False, soft_wrap=True)


_SHOWING: Final = threading.Lock()
"""One line at a time can be alive in a terminal."""
