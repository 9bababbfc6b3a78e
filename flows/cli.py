"""Command line ``pp-p2p``: run a study, list the solvers, write a study file to start from."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from pp_p2p.errors import NoSolution, P2PError

USER_MISTAKE: Final = 2
NO_SOLUTION: Final = 3

app = typer.Typer(
    name="pp-p2p",
    help=(
        "Plan and trade in a distribution network.\n\n"
        "Start with `pp-p2p init study.toml`, change what you like (`pp-p2p reference` lists every "
        "key), then `pp-p2p run study.toml`. "
        "Exit code 0: done; 2: the input is wrong; 3: there is no solution."
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
        Path | None,
        typer.Option(help="Folder of the results; by default the study file says which."),
    ] = None,
) -> None:
    """Run a study: typical days, plan, trade on every typical day, netCDF file and report."""
    from flows.study_run import run_study
    from flows.summary import caveats, summary_tables

    started = time.perf_counter()
    result = run_study(study, engine=engine, output=output, watch=_progress)  # type: ignore[arg-type]
    for table in summary_tables(result.tree):
        out.print(table)
    for line in caveats(result.tree):
        err.print(line, style="yellow", markup=False, soft_wrap=True)
    out.print(f"result  {result.result}", soft_wrap=True)
    out.print(f"report  {result.report}", soft_wrap=True)
    err.print(f"done in {time.perf_counter() - started:.1f} s")


@app.command()
def report(
    result: Annotated[Path, typer.Argument(help="A study's result.nc.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option(help="HTML file; by default report.html beside the result.")
    ] = None,
) -> None:
    """Draw the report of a stored study again."""
    from flows.chain import REPORT_NAME, write_text
    from flows.report import open_study, report_html

    page = report_html(open_study(result))
    out.print(f"report  {write_text(output or result.parent / REPORT_NAME, page)}", soft_wrap=True)


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


def main() -> None:
    """Run the command line; a user's mistake is one message, never a traceback."""
    try:
        app(standalone_mode=True)
    except NoSolution as error:
        err.print("no solution:", str(error), style="red", markup=False, soft_wrap=True)
        sys.exit(NO_SOLUTION)
    except P2PError as error:
        err.print(str(error), style="red", markup=False, soft_wrap=True)
        sys.exit(USER_MISTAKE)


@contextmanager
def _progress(stage: str) -> Iterator[None]:
    started = time.perf_counter()
    with err.status(stage):
        yield
    err.print(f"  {stage:<28} {time.perf_counter() - started:6.1f} s")
