"""From the profiles file of a study to the profiles dataset of the net's loads and generators.

The file is a CSV with a column ``time`` (start of each step, equal steps, whole days) and one
column per profile, per unit of nominal power: loads ``<name>_pload`` and, where reactive power
has a shape of its own, ``<name>_qload``; PV and wind ``<name>``. Lines that start with ``#`` are
skipped. Without a ``_qload`` column a load keeps the power factor of the net.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from flows.profile_keys import missing_column
from flows.profile_prices import price_findings, price_values
from flows.profiles_file import read_csv, stamp_findings, step_hours
from flows.study import Study, profiles_path
from pp_p2p.errors import Finding, raise_if_any
from pp_p2p.names import LOAD, PROFILE_DIMS, SGEN, TECHNOLOGY, TIME, unit_of

Array = npt.NDArray[np.float64]

CONSTANT = "constant"
"""Profile, without a column, of a generator that feeds in its nominal power all year."""

LARGEST_FEED_IN_PU = 1.05
"""A PV or wind profile above this is hardly per unit of the installed power."""


def read_profiles(
    study: Study, *, load: pd.DataFrame, sgen: pd.DataFrame | None = None
) -> xr.Dataset:
    """Return the year of load, feed-in, availability and prices.

    Parameters
    ----------
    study : Study
        Its ``profiles``, ``prices``, ``participant`` and ``network.load_growth_percent`` count.
    load : pd.DataFrame
        ``net.load``: nominal ``p_mw`` and ``q_mvar`` (times ``scaling``, where it has one).
        Scaling ``"peak"`` stretches each load's profile so that its highest value in the file is
        nominal (reactive power by its own highest magnitude): the net's loads are peaks, and no
        hour is worse than the net as it stands. ``"net_peak"`` goes on with one factor for all
        loads, so that the highest total of the year is the net's total: the net's loads are its
        peak hour, as in the published feeders. ``"nominal"``: a profile value of 1.0 is nominal,
        as SimBench means it. Growth multiplies everything.
    sgen : pd.DataFrame, optional
        ``net.sgen`` after the participants' generators were added: a row whose ``name`` is that
        of an existing generator of the study follows its profile, any other ``profiles.sgen``
        or the row's own column ``profile``. Available power is ``p_mw`` times the profile;
        `CONSTANT` needs no column.

    Returns
    -------
    xr.Dataset
        Variables and dimensions as in ``pp_p2p.names.PROFILE_DIMS``; ``technology`` is
        ``("pv", "wind")``; element dimensions carry the indices of the tables; each variable has
        ``units``, the dataset ``step_h``, ``profiles_file``, ``profiles_sha256``, ``load_scaling``.

    Raises
    ------
    InvalidInput
        All findings: column, stamps and mend.
    """
    path = profiles_path(study)
    frame = read_csv(path)
    sgen = load.iloc[:0].reindex(columns=["name", "p_mw"]) if sgen is None else sgen
    who = _Assignment(study, load, sgen)
    raise_if_any(
        [
            *who.findings,
            *stamp_findings(frame, path, study.profiles.year),
            *_column_findings(frame, path, study, who),
            *price_findings(frame, path, study),
        ]
    )
    values = {
        **_load_power(frame, study, load, who),
        "sgen_p_mw": _columns(frame, who.sgen) * sgen["p_mw"].to_numpy(dtype=float),
        "availability_pu": _columns(frame, who.new),
        **price_values(frame, study),
    }
    return _dataset(values, frame.index, path, study, load=load, sgen=sgen)


class _Assignment:
    """Which profile each load, generator and new technology follows."""

    def __init__(self, study: Study, load: pd.DataFrame, sgen: pd.DataFrame) -> None:
        chosen, brought = study.profiles.load, study.profiles.sgen
        own = {site.name: site.profile for site in study.sgens()}
        names = sgen["name"] if "name" in sgen else pd.Series("", index=sgen.index)
        of_sgen = {i: own[name] for i, name in names.items() if name in own}
        of_owner = _of_owners(study, load)
        self.load, no_load = _dealt(load, {**of_owner, **chosen.by_load}, chosen.names)
        self.sgen, no_sgen = _dealt(sgen, {**of_sgen, **brought.by_sgen}, brought.names)
        self.new = [study.profiles.availability.pv, study.profiles.availability.wind]
        self.findings = [
            Finding(
                table=f"{study.file.name}, profiles.{table}",
                rows=tuple(rows),
                rule=f"these rows of net.{table} have no profile",
                mend=f'add names = ["...", ...] or by_{table} under [profiles.{table}]{more}',
            )
            for table, rows, more in (
                (LOAD, no_load, ""),
                (SGEN, no_sgen, f'; "{CONSTANT}" is its p_mw all year'),
            )
            if rows
        ]


def _of_owners(study: Study, load: pd.DataFrame) -> dict[Any, str]:
    """Return the profiles that participants deal to their own loads, by load index."""
    profiles: dict[Any, str] = {}
    for owner in study.participant:
        own = load.index[load["bus"].isin(owner.load_buses)] if owner.load_profiles else ()
        for position, index in enumerate(own):
            profiles[index] = owner.load_profiles[position % len(owner.load_profiles)]
    return profiles


def _dealt(
    table: pd.DataFrame, by_index: Mapping[Any, str], names: Sequence[str]
) -> tuple[list[str], list[object]]:
    """Return the profile of each row and the rows that have none.

    First `by_index`, then `names` dealt in turn, then the table's own column ``profile``.
    """
    own = table["profile"] if "profile" in table else pd.Series("", index=table.index)
    profiles: list[str] = []
    without: list[object] = []
    for position, index in enumerate(table.index):
        in_turn = names[position % len(names)] if names else ""
        found = by_index.get(index) or in_turn or (own[index] if pd.notna(own[index]) else "")
        profiles.append(str(found))
        if not found:
            without.append(index)
    return profiles, without


def _column_findings(
    frame: pd.DataFrame, path: Path, study: Study, who: _Assignment
) -> Iterator[Finding]:
    """Yield what is wrong with the columns that are used; the others do not matter."""

    def finding(
        column: str, rule: str, mend: str, wrong: npt.NDArray[np.bool_] | None = None
    ) -> Finding:
        rows = () if wrong is None else tuple(str(stamp) for stamp in frame.index[wrong])
        return Finding(table=path.name, column=column, rows=rows, rule=rule, mend=mend)

    steady = () if CONSTANT in frame else (CONSTANT,)
    of_sgen = [name for name in who.sgen if name not in steady]
    feed_in = dict.fromkeys(name for name in [*of_sgen, *who.new] if name)
    loads = dict.fromkeys(f"{name}_pload" for name in who.load if name)
    reactive = [q for q in (_q_of(column) for column in loads) if q in frame]
    for column in [*loads, *reactive, *feed_in]:
        if column not in frame:
            yield from missing_column(frame, path, study, column)
            continue
        numbers = pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=float)
        if (wrong := ~np.isfinite(numbers)).any():
            rule = f"{wrong.sum()} of {len(wrong)} values are empty or no number"
            yield finding(column, rule, "fill the gaps or cut those days", wrong)
        elif column in feed_in and (wrong := _no_feed_in(numbers)).any():
            rule = f"{wrong.sum()} values are not between 0 and 1 per unit of installed power"
            yield finding(column, rule, "divide by the installed power", wrong)
        elif column in loads and not (numbers.max() > 0):
            yield finding(column, "the profile never is above 0", "choose another one")


def _no_feed_in(numbers: Array) -> npt.NDArray[np.bool_]:
    return (numbers < 0) | (numbers > LARGEST_FEED_IN_PU)


def _load_power(
    frame: pd.DataFrame, study: Study, load: pd.DataFrame, who: _Assignment
) -> dict[str, Array]:
    """Return ``load_p_mw`` and ``load_q_mvar``, each shape (time, load)."""
    growth = 1 + study.network.load_growth_percent / 100
    scaling = load["scaling"].to_numpy(dtype=float) if "scaling" in load else 1.0
    p_columns = [f"{name}_pload" for name in who.load]
    q_columns = [q if (q := _q_of(p)) in frame else p for p in p_columns]
    p_pu, q_pu = _columns(frame, p_columns), _columns(frame, q_columns)
    if study.profiles.load.scaling != "nominal":
        p_pu, q_pu = _to_peak(p_pu), _to_peak(q_pu)
    p_mw = p_pu * (scaling * load["p_mw"].to_numpy(dtype=float))
    q_mvar = q_pu * (scaling * load["q_mvar"].to_numpy(dtype=float))
    if study.profiles.load.scaling == "net_peak":
        highest_mw = float(p_mw.sum(axis=1).max(initial=0.0))
        growth *= float((scaling * load["p_mw"]).sum()) / highest_mw if highest_mw > 0 else 1.0
    return {"load_p_mw": growth * p_mw, "load_q_mvar": growth * q_mvar}


def _to_peak(values: Array) -> Array:
    """Stretch each column so that its largest magnitude is one; a column of zeros stays."""
    peak = np.abs(values).max(axis=0, initial=0.0)
    return np.asarray(values / np.where(peak > 0, peak, 1.0))


def _dataset(
    values: Mapping[str, Array],
    stamps: pd.Index[Any],
    path: Path,
    study: Study,
    *,
    load: pd.DataFrame,
    sgen: pd.DataFrame,
) -> xr.Dataset:
    return xr.Dataset(
        {
            name: (PROFILE_DIMS[name], data, {"units": unit_of(name)})
            for name, data in values.items()
        },
        coords={
            TIME: stamps.to_numpy(),
            LOAD: load.index.to_numpy(dtype=np.int64),
            SGEN: sgen.index.to_numpy(dtype=np.int64),
            TECHNOLOGY: ["pv", "wind"],
        },
        attrs={
            "step_h": step_hours(stamps[1] - stamps[0]),
            "profiles_file": path.name,
            "profiles_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "load_scaling": study.profiles.load.scaling,
        },
    )


def _columns(frame: pd.DataFrame, names: Sequence[str]) -> Array:
    """Return the named columns side by side, shape (time, len(names)); names may repeat."""
    if not names:
        return np.empty((len(frame), 0))
    steady = np.ones(len(frame))  # `CONSTANT`: any other name is a column
    return np.column_stack(
        [frame[name].to_numpy(dtype=float) if name in frame else steady for name in names]
    )


def _q_of(p_column: str) -> str:
    return p_column.removesuffix("_pload") + "_qload"
