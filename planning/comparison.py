"""Cases side by side: one dataset with the dim ``case``, differences, what is not dominated."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from planning.case_files import CaseGroup, of_dataset, of_file
from planning.case_indicators import study_indicators, unique_names
from planning.case_stack import CASE, stacked
from pp_p2p.errors import Finding, InvalidInput
from pp_p2p.names import OF_PARTICIPANTS, OPERATOR, OPERATOR_NAME, PARTICIPANT
from pp_p2p.network.branches import Array
from pp_p2p.results import from_netcdf, label
from pp_p2p.storage import local_file

Compared = xr.DataTree | Mapping[str, xr.Dataset] | xr.Dataset | str | os.PathLike[str]
INDICATORS: Final = "indicators"

ZERO_WHERE_ABSENT: Final = ("units_installed", "units_built", "built_p_mw", "built_e_mwh",
                            "capex_eur")  # fmt: skip
"""A candidate that a case does not have is not built in it."""

ABOUT_CANDIDATES: Final = ("technology", "candidate_owner", "candidate_bus", "candidate_line")


def compare(cases: Mapping[str, Compared]) -> xr.Dataset:
    """Put several studies, or several results of one kind, side by side.

    Parameters
    ----------
    cases : mapping
        Name of the case -> study's result: its tree, a mapping of its groups, or the path or URL
        of its file. Of a file only the group ``indicators`` is opened, once, and what is large in
        it is read when it is used; files of an earlier layout, which have none, are read whole.
        Or name -> Dataset: what `study_indicators` returns, or results of any one kind (days of
        `trade_day`, plans).

    Returns
    -------
    Dataset
        What `planning.study_indicators` returns, along ``case`` in the order given. Candidates,
        participants, items, stages and years of all cases are there, aligned by label: a
        candidate that a case does not have counts as not built, anything else that it does not
        have is NaN. Of other results: their variables along ``case``, aligned likewise.

    Raises
    ------
    InvalidInput
        No case, or something that is no study's result.

    See Also
    --------
    open_cases : any other group of many files.
    """
    if not cases:
        rule, mend = "there is no case", "pass at least one"
        raise InvalidInput(Finding(table="cases", rule=rule, mend=mend))
    datasets = {str(k): v for k, v in cases.items() if isinstance(v, xr.Dataset)}
    if len(datasets) == len(cases) and not any(ABOUT_CANDIDATES[0] in v for v in datasets.values()):
        of_one_kind = {name: of_dataset(ds) for name, ds in datasets.items()}
        return label(stacked(of_one_kind), {"problem": "compare"})
    found = {str(name): _indicators_of(str(name), case) for name, case in cases.items()}
    numbers = {
        name: replace(
            one, variables={k: v for k, v in one.variables.items() if k not in ABOUT_CANDIDATES}
        )
        for name, one in found.items()
    }
    joined = stacked(numbers, zero_where_absent=ZERO_WHERE_ABSENT, zero_along="candidate")
    about = _about_candidates(found, joined["candidate"].to_numpy().astype(str).tolist())
    joined = joined.merge(about, join="exact")
    for name in ("exact", "eens_computed", "several_years"):
        joined[name] = (CASE, [int(one.attrs.get(name, 0)) for one in found.values()])
    nets = [str(one.attrs.get("network_hash", "")) for one in found.values()]
    joined["network_hash"] = (CASE, np.array(nets, dtype=str))
    joined["first_year"] = (CASE, [int(one.attrs.get("first_year", 1)) for one in found.values()])
    return label(joined, {"problem": "compare"})


def open_cases(
    files: Mapping[str, str | os.PathLike[str]] | Iterable[str | os.PathLike[str]],
    *,
    group: str,
    load: Collection[str] = (),
) -> xr.Dataset:
    """Open one group of many stored studies as one dataset along ``case``; read what is used.

    Parameters
    ----------
    files : mapping or iterable of path or URL
        Name of the case -> file of its result. Without names the case that stands in each file
        names it, or its study.
    group : str
        ``days``, ``plan``, ``joint``, ``trade``, ``network`` or ``indicators``.
    load : collection of str
        Variables that are read while the files are open anyway. Opening a file once more, which
        each variable does that is used later, takes longer than reading most of them.

    Returns
    -------
    Dataset
        Every variable over ``case`` and its own dims; a plan's own dim ``case`` (``nothing``,
        ``plan``) is ``plan_case``. Labels are those of all cases: what a case does not have is
        NaN, and whole numbers are then floats. Candidates, participants, sellers and buyers are
        aligned by name, which a case that leaves some out keeps; buses, lines, hours and stages
        by what they are in the files. Day k is the k-th typical day of its own case:
        ``source_day`` of the group ``days`` says which.

        Labels and small variables (16 KB in a case) are in memory, all others stay in the files:
        ``ds["trade_mw"].sel(case="base", day=0)`` reads a day of one file. ``ds.chunk(case=1)``
        makes Dask arrays of them. No file stays open, reading is safe under threads, and a file
        that a run has replaced since is refused.

    Raises
    ------
    InvalidInput
        No file, one that does not exist or is no study's result or has no such group, or a
        variable to load that no case has.
    """
    named = isinstance(files, Mapping)
    paths = [local_file(path) for path in (files.values() if isinstance(files, Mapping) else files)]
    if not paths:
        rule, mend = "there is no case", "pass at least one file"
        raise InvalidInput(Finding(table="files", rule=rule, mend=mend))
    opened = [_opened(path, group, "network", load=load) for path in paths]
    lacking = [path for path, (one, _) in zip(paths, opened, strict=True) if one is None]
    if lacking:
        rule, mend = f"has no group {group!r}", "pass files that have it, or another group"
        raise InvalidInput([Finding(table=str(path), rule=rule, mend=mend) for path in lacking])
    found = [_by_name(one, network) for one, network in opened if one is not None]
    _require_variables(found, load)
    names = map(str, files) if named else _names(found, paths)
    found_by_name = dict(zip(names, found, strict=True))
    return label(stacked(found_by_name), {"problem": "open_cases", "group": group})


def difference_to(compared: xr.Dataset, base: str) -> xr.Dataset:
    """Return every number of `compared` less that of the case `base`.

    Raises
    ------
    InvalidInput
        There is no such case.
    """
    if base not in compared[CASE].to_numpy():
        names = ", ".join(map(repr, compared[CASE].to_numpy().tolist()))
        raise InvalidInput(
            Finding(table="base", rule=f"there is no case {base!r}", mend=f"cases are: {names}")
        )
    numbers = compared[
        [k for k, v in compared.data_vars.items() if v.dtype.kind in "fi" and CASE in v.dims]
    ]
    less = numbers - numbers.sel({CASE: base}, drop=True)
    return label(less, {"problem": "compare", "base": base})


def pareto_cases(values: xr.Dataset) -> xr.DataArray:
    """Return which cases no other one beats in all of `values`, where less is better.

    Parameters
    ----------
    values : Dataset
        Variables over ``case``, NaN where a case has none: it is then not compared.

    Returns
    -------
    DataArray
        (case,) bool.
    """
    table: Array = np.stack([values[k].to_numpy() for k in values.data_vars], axis=1)
    known = np.isfinite(table).all(axis=1)
    beaten = np.zeros(len(table), dtype=bool)
    for k in np.flatnonzero(known):
        others = table[known]
        beaten[k] = bool(((others <= table[k]).all(axis=1) & (others < table[k]).any(axis=1)).any())
    return xr.DataArray(known & ~beaten, {CASE: values[CASE]}, (CASE,))


def _indicators_of(name: str, case: Compared) -> CaseGroup:
    if isinstance(case, (str, os.PathLike)):
        return _read(local_file(case))
    if isinstance(case, xr.Dataset) and ABOUT_CANDIDATES[0] in case:
        return of_dataset(case)
    stored: Any = case.get(INDICATORS) if isinstance(case, (xr.DataTree, Mapping)) else None
    if isinstance(stored, xr.DataTree):
        stored = stored.to_dataset()
    if stored is None:
        try:
            stored = study_indicators(case)  # type: ignore[arg-type]
        except (KeyError, TypeError, AttributeError) as error:
            raise _no_study(name, error) from error
    ds: xr.Dataset = stored
    root: Mapping[Any, Any] = case.attrs if isinstance(case, xr.DataTree) else {}
    first = int(root.get("first_year", ds.attrs.get("first_year", 1)))
    return of_dataset(ds.assign_attrs(first_year=first))


def _read(path: Path) -> CaseGroup:
    """Return the indicators that stand in a file, or compute them."""
    stored = _opened(path, INDICATORS)[0]
    if stored is not None:
        return stored
    try:
        tree = from_netcdf(path)
        if not isinstance(tree, xr.DataTree):
            raise KeyError("it has no groups")
        return of_dataset(study_indicators(tree).assign_attrs(first_year=1))
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise _no_study(str(path), error) from error


def _opened(path: Path, *groups: str, load: Collection[str] = ()) -> list[CaseGroup | None]:
    try:
        return of_file(path, *groups, load=load)
    except InvalidInput:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        raise _no_study(str(path), error) from error


def _require_variables(found: Sequence[CaseGroup], names: Collection[str]) -> None:
    known = {name for one in found for name in (*one.variables, *one.labels)}
    if unknown := [name for name in names if name not in known]:
        rule = f"no case has the variable {', '.join(map(repr, unknown))}"
        mend = "leave it out; a dataset opened without `load` has all variables"
        raise InvalidInput(Finding(table="load", rule=rule, mend=mend))


def _no_study(what: str, error: Exception) -> InvalidInput:
    rule = f"is no study's result ({error})"
    mend = "pass the result.nc that `pp-p2p run` has written"
    return InvalidInput(Finding(table=what, rule=rule, mend=mend))


def _names(found: Iterable[CaseGroup], paths: Iterable[Path]) -> list[str]:
    """Name files by the case or the study that stands in them, told apart by numbers."""
    names: list[str] = []
    for one, path in zip(found, paths, strict=True):
        name = str(one.attrs.get("case", "") or one.attrs.get("study", "") or path.stem)
        free, number = name, 2
        while free in names:
            free, number = f"{name} ({number})", number + 1
        names.append(free)
    return names


def _by_name(one: CaseGroup, network: CaseGroup | None) -> CaseGroup:
    """Give candidates and participants their names as labels: their rows differ between cases."""
    labels = dict(one.labels)
    if "candidate_name" in one.variables and "candidate" in labels:
        names = one.variables["candidate_name"].whole()
        labels["candidate"] = unique_names(names.astype(str), labels["candidate"])
    if network is not None and "participant_name" in network.variables:
        rows = network.labels[PARTICIPANT]
        names = unique_names(network.variables["participant_name"].whole().astype(str), rows)
        known = {OPERATOR: OPERATOR_NAME, **dict(zip(rows.tolist(), names.tolist(), strict=True))}
        for dim in OF_PARTICIPANTS:
            if dim in labels and labels[dim].dtype.kind in "iu":
                labels[dim] = np.array([known.get(k, str(k)) for k in labels[dim].tolist()], str)
    beside = {f"{dim}_name" for dim in OF_PARTICIPANTS} & one.coords
    numbers = {k: v for k, v in one.variables.items() if k not in beside}
    return replace(one, labels=labels, variables=numbers, coords=one.coords - beside)


def _about_candidates(found: Mapping[str, CaseGroup], order: list[str]) -> xr.Dataset:
    """Return what each candidate is: as the first case has it that knows it."""
    first: dict[str, dict[str, Any]] = {}
    for one in found.values():
        values = {k: one.variables[k].whole() for k in ABOUT_CANDIDATES}
        for k, candidate in enumerate(one.labels["candidate"].astype(str).tolist()):
            first.setdefault(candidate, {name: of[k] for name, of in values.items()})
    return xr.Dataset(
        {name: ("candidate", np.array([first[c][name] for c in order]))
         for name in ABOUT_CANDIDATES},
        coords={"candidate": np.array(order, dtype=str)},
    )  # fmt: skip
