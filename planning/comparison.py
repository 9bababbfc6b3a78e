"""Cases side by side: one dataset with the dim ``case``, differences, what is not dominated."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from pp_p2p.errors import Finding, InvalidInput
from pp_p2p.network.branches import Array
from pp_p2p.results import from_netcdf, label, read_group

CASE: Final = "case"
Compared = xr.DataTree | Mapping[str, xr.Dataset] | str | os.PathLike[str]

ZERO_WHERE_ABSENT: Final = ("units_installed", "units_built", "built_p_mw", "built_e_mwh",
                            "capex_eur")  # fmt: skip
"""A candidate that a case does not have is not built in it."""


def compare(cases: Mapping[str, Compared]) -> xr.Dataset:
    """Put the indicators of several studies side by side.

    Parameters
    ----------
    cases : mapping
        Name of the case -> study's result: its tree, a mapping of its groups, or the path or URL
        of its file. Of a file only the group ``indicators`` is read, so that many files cost
        little; files of an earlier layout, which have none, are read whole.

    Returns
    -------
    Dataset
        What `planning.study_indicators` returns, along ``case`` in the order given. Candidates,
        participants, items, stages and years of all cases are there: a candidate that a case does
        not have counts as not built, anything else that it does not have is NaN.

    Raises
    ------
    InvalidInput
        No case, or something that is no study's result.
    """
    if not cases:
        rule, mend = "there is no case", "pass at least one"
        raise InvalidInput(Finding(table="cases", rule=rule, mend=mend))
    found = {str(name): _indicators_of(str(name), case) for name, case in cases.items()}
    texts = ("technology", "candidate_owner")
    numbers = [
        ds.drop_vars([*texts, "candidate_bus", "candidate_line"], errors="ignore")
        for ds in found.values()
    ]
    joined = xr.concat(
        numbers,
        dim=pd.Index(list(found), name=CASE),
        data_vars="all",
        coords="minimal",
        compat="override",
        join="outer",
        combine_attrs="drop",
    )
    for name in ZERO_WHERE_ABSENT:
        units: Any = joined["units_installed"]
        lives = np.isfinite(units).any("candidate")
        joined[name] = joined[name].where(np.isfinite(joined[name]) | ~lives, 0.0)
    about = _about_candidates(found, texts, joined["candidate"].to_numpy().astype(str).tolist())
    joined = joined.merge(about, join="exact")
    for name in ("exact", "eens_computed", "several_years"):
        joined[name] = (CASE, [int(ds.attrs.get(name, 0)) for ds in found.values()])
    joined["first_year"] = (CASE, [int(ds.attrs.get("first_year", 1)) for ds in found.values()])
    return label(joined, {"problem": "compare"})


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


def _indicators_of(name: str, case: Compared) -> xr.Dataset:
    if isinstance(case, (str, os.PathLike)):
        return _read(case)
    stored: Any = case.get("indicators") if isinstance(case, (xr.DataTree, Mapping)) else None
    if isinstance(stored, xr.DataTree):
        stored = stored.to_dataset()
    if stored is None:
        from planning.case_indicators import study_indicators

        try:
            stored = study_indicators(case)
        except (KeyError, TypeError, AttributeError) as error:
            raise _no_study(name, error) from error
    ds: xr.Dataset = stored
    root: Mapping[Any, Any] = case.attrs if isinstance(case, xr.DataTree) else {}
    return ds.assign_attrs(first_year=int(root.get("first_year", ds.attrs.get("first_year", 1))))


def _read(path: str | os.PathLike[str]) -> xr.Dataset:
    """Return the indicators that stand in a file, or compute them."""
    try:
        stored = read_group(path, "indicators")
        if stored is not None:
            return stored
        tree = from_netcdf(path)
        if not isinstance(tree, xr.DataTree):
            raise KeyError("it has no groups")
        from planning.case_indicators import study_indicators

        return study_indicators(tree).assign_attrs(first_year=1)
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        if isinstance(error, InvalidInput) and "does not exist" in str(error):
            raise
        raise _no_study(str(path), error) from error


def _no_study(what: str, error: Exception) -> InvalidInput:
    rule = f"is no study's result ({error})"
    mend = "pass the result.nc that `pp-p2p run` has written"
    return InvalidInput(Finding(table=what, rule=rule, mend=mend))


def _about_candidates(
    found: Mapping[str, xr.Dataset], texts: Iterable[str], order: list[str]
) -> xr.Dataset:
    """Return what each candidate is: as the first case has it that knows it."""
    first: dict[str, dict[str, Any]] = {}
    names = (*texts, "candidate_bus", "candidate_line")
    for ds in found.values():
        for k, candidate in enumerate(ds["candidate"].to_numpy().astype(str).tolist()):
            first.setdefault(candidate, {name: ds[name].to_numpy()[k] for name in names})
    return xr.Dataset(
        {name: ("candidate", np.array([first[c][name] for c in order])) for name in names},
        coords={"candidate": np.array(order, dtype=str)},
    )
