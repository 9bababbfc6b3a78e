"""Results of studies, found by folder, compared and exported."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from flows.chain import RESULT_NAME
from pp_p2p.errors import Finding, InvalidInput
from pp_p2p.storage import filesystem, is_remote, local_file, local_path

SUMMARY: Final = (
    "eac_eur_per_year",
    "npc_eur",
    "capex_eur",
    "eens_mwh_per_year",
    "saidi_h_per_year",
    "saifi_per_year",
    "loss_mwh_per_year",
    "vm_min_pu",
    "vm_max_pu",
    "line_loading_max_percent",
    "emission_t_per_year",
    "traded_mwh_per_year",
    "gain_eur_per_year",
    "trade_cost_eur_per_year",
    "trade_loss_mwh_per_year",
    "switching_per_year",
    "switching_cost_eur_per_year",
    "plan_gap",
)
"""Columns of the table, as far as the cases have them."""

RELIABILITY: Final = ("eens_mwh_per_year", "saidi_h_per_year", "saifi_per_year")
"""What only failure rates tell."""

WORST: Final = {"vm_min_pu": "min", "vm_max_pu": "max", "line_loading_max_percent": "max"}
"""How these become one number for all stages; the others are means over years, capex a sum."""


def find_results(paths: Iterable[str | os.PathLike[str]]) -> dict[str, Path]:
    """Return name -> result file of every case in `paths`.

    Parameters
    ----------
    paths : iterable of path
        Result files, or folders of studies, or URLs of fsspec of them. A study without scenarios
        has the name of its study.

    Raises
    ------
    InvalidInput
        Nothing is found under a path.
    """
    from flows.study_run import read_manifest, results_of

    found: dict[str, Path] = {}
    missing = []
    for path in paths:
        called = ""
        if not is_remote(path):
            given = local_path(path)
        elif (there := filesystem(os.fspath(path))[1]).endswith(".nc"):
            given, called = local_file(path), PurePosixPath(there).parent.parent.name
        else:  # what the copy is called says nothing
            given, called = results_of(os.fspath(path)), PurePosixPath(there).name
        if given.is_dir():
            entries = read_manifest(given).get("cases", [])
            files = [
                (one["case"] or called or given.name, given / one["result"])
                for one in entries
                if one["state"] == "done"
            ] or [
                (file.parent.name, file)
                for file in sorted([*given.glob(RESULT_NAME), *given.glob(f"*/{RESULT_NAME}")])
            ]
        else:
            files = [(given.parent.name if given.name == RESULT_NAME else given.stem, given)]
        missing += [] if files else [given]
        for name, file in files:
            found[_free_name(name, called or file.parent.parent.name, found)] = file
    if missing or not found:
        raise InvalidInput(
            Finding(
                table=", ".join(map(str, missing)) or "results",
                rule="holds no result of a study",
                mend="pass result.nc files, or folders that `pp-p2p run` has written",
            )
        )
    return found


def _free_name(name: str, study: str, taken: Mapping[str, Path]) -> str:
    """Return `name`, told apart from those that are taken."""
    if name not in taken:
        return name
    longer = f"{study}: {name}"
    number = 2
    while longer in taken:
        longer = f"{name} ({number})"
        number += 1
    return longer


def compare_files(files: Mapping[str, Path]) -> tuple[xr.Dataset, xr.Dataset | None]:
    """Return the cases side by side, and the net of the first one for the map.

    The net is None where the cases have different ones.
    """
    from planning import compare
    from pp_p2p.results import read_group

    compared = compare(files)
    if len(set(compared["network_hash"].to_numpy().tolist())) > 1:
        return compared, None
    return compared, read_group(next(iter(files.values())), "network")


def with_known_reliability(compared: xr.Dataset) -> xr.Dataset:
    """Return `compared` with NaN for the indices of cases that have no failure rates."""
    if "eens_computed" not in compared:
        return compared
    known = compared["eens_computed"] > 0
    return compared.assign({k: compared[k].where(known) for k in RELIABILITY if k in compared})


def summary_table(compared: xr.Dataset) -> pd.DataFrame:
    """Return one row per case: the means over the years, the sum of investments, the worst."""
    compared, years = with_known_reliability(compared), compared["stage_years"]
    columns: dict[str, Any] = {}
    for name in SUMMARY:
        if name not in compared:
            continue
        value = compared[name]
        if name == "capex_eur":
            value = value.sum(["candidate", "stage"])
        elif "stage" in value.dims and name in WORST:
            value = getattr(value, WORST[name])("stage")
        elif "stage" in value.dims:
            value = value.weighted(years.fillna(0.0)).mean("stage")
        if np.isfinite(value).any():
            columns[name] = value.to_numpy()
    return pd.DataFrame(columns, index=pd.Index(compared["case"].to_numpy(), name="case"))


def long_table(compared: xr.Dataset) -> pd.DataFrame:
    """Return every number as a row: case, variable, unit, where it stands, value."""
    rows = []
    for name, values in compared.data_vars.items():
        if "case" not in values.dims or values.dtype.kind not in "fib":
            continue
        frame = values.astype(float).rename("value").to_dataframe().reset_index()
        frame = frame[frame["value"].notna()]
        extra = [k for k in values.dims if k != "case"]
        frame["at"] = [
            ", ".join(f"{k} {v}" for k, v in zip(extra, row, strict=True))
            for row in frame[extra].itertuples(index=False)
        ] if extra else ""  # fmt: skip
        frame["variable"], frame["unit"] = str(name), str(values.attrs.get("units", ""))
        rows.append(frame[["case", "variable", "unit", "at", "value"]])
    return pd.concat(rows, ignore_index=True)


ENDINGS: Final = (".csv", ".xlsx", ".parquet", ".nc")
"""Of the files that `export` writes."""


def require_endings(paths: Iterable[Path]) -> None:
    """Refuse files that `export` could not write, before any work.

    Raises
    ------
    InvalidInput
        One has another ending than those of `ENDINGS`.
    """
    mend = f"use {', '.join(ENDINGS)}"
    findings = [
        Finding(table=str(path), rule="has an unknown ending", mend=mend)
        for path in paths
        if path.suffix.lower() not in ENDINGS
    ]
    if findings:
        raise InvalidInput(findings)


def export(compared: xr.Dataset, path: Path) -> Path:
    """Write the numbers of the cases: by its ending as CSV, Excel, Parquet or netCDF.

    Raises
    ------
    InvalidInput
        Another ending, a package that is missing, or a place that cannot be written.
    """
    from pp_p2p.results import to_netcdf, whole_file

    require_endings([path])
    table, suffix = long_table(compared), path.suffix.lower()
    if suffix == ".nc":
        return to_netcdf(compared, path)
    writers: Mapping[str, Any] = {
        ".csv": lambda f: table.to_csv(f, index=False),
        ".xlsx": lambda f: _to_excel(compared, table, f),
        ".parquet": lambda f: table.to_parquet(f, index=False),
    }
    try:
        with whole_file(path) as part:
            writers[suffix](part)
    except ImportError as error:
        package = "pyarrow" if suffix == ".parquet" else "openpyxl"
        mend = f"python -m pip install {package}, or write .csv"
        rule = f"needs a package that is not installed ({error.name or package})"
        raise InvalidInput(Finding(table=str(path), rule=rule, mend=mend)) from None
    return path


def _to_excel(compared: xr.Dataset, table: pd.DataFrame, path: Path) -> None:
    content = io.BytesIO()  # pandas leaves a file open where it does not find its writer
    with pd.ExcelWriter(content) as book:
        summary_table(compared).to_excel(book, sheet_name="cases")
        table.to_excel(book, sheet_name="numbers", index=False)
    path.write_bytes(content.getvalue())


def require_case(compared: xr.Dataset, base: str | None) -> str:
    """Return the case to compare with: the first one where none is named.

    A scenario of a matrix is enough of a name where one case alone has it.
    """
    names: Sequence[str] = compared["case"].to_numpy().astype(str).tolist()
    if base is None:
        return names[0]
    of_scenario = [name for name in names if name.startswith(f"{base}, ")]
    if base not in names and len(of_scenario) == 1:
        return of_scenario[0]
    if base not in names:
        mend = f"cases are: {', '.join(map(repr, names))}"
        rule = f"there is no case {base!r}"
        raise InvalidInput(Finding(table="base", rule=rule, mend=mend))
    return base
