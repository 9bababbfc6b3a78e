"""Read a profiles CSV: its stamps are checked here, its columns where they are used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pp_p2p.errors import Finding, InvalidInput
from pp_p2p.names import TIME

_PER_DAY = pd.Timedelta(days=1)


def read_csv(path: Path) -> pd.DataFrame:
    """Return the file with its stamps as index; cells that are no number become NaN."""
    try:
        frame = pd.read_csv(path, comment="#", low_memory=False, float_precision="round_trip")
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else "empty"
        mend = "give a CSV with commas, a header line and as many cells in every row"
        raise InvalidInput(
            Finding(table=path.name, rule=f"cannot be read as a table ({first})", mend=mend)
        ) from None
    if TIME not in frame or frame.empty:
        rule = "there is no column 'time'" if TIME not in frame else "there are no rows"
        mend = "give a header line with 'time' first and one row per step"
        raise InvalidInput(Finding(table=path.name, column=TIME, rule=rule, mend=mend))
    stamps = _stamps(frame[TIME], path)
    data = frame.drop(columns=TIME)
    data.index = stamps
    return data


def _stamps(text: pd.Series[Any], path: Path) -> pd.DatetimeIndex:
    """Return the stamps on the clock of the first one, without a zone."""
    stamps = pd.DatetimeIndex(pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce"))
    if wrong := [f"{text.iloc[i]} (row {i + 1})" for i in np.flatnonzero(stamps.isna())]:
        mend = "write the start of each step as 2016-01-31 23:00"
        raise InvalidInput(
            Finding(
                table=path.name, column=TIME, rows=tuple(wrong), rule="is no time stamp", mend=mend
            )
        )
    zone = pd.Timestamp(str(text.iloc[0])).tzinfo
    return (stamps if zone is None else stamps.tz_convert(zone)).tz_localize(None)


def stamp_findings(frame: pd.DataFrame, path: Path, year: int | None) -> Iterator[Finding]:
    """Yield what is wrong with the stamps: doubled, uneven, incomplete days, not all of `year`."""
    stamps = pd.DatetimeIndex(frame.index)

    def finding(rule: str, mend: str, rows: Iterable[object] = ()) -> Finding:
        return Finding(table=path.name, column=TIME, rule=rule, mend=mend, rows=tuple(rows))

    if len(stamps) < 2:
        yield finding("there is one row only", "give at least one whole day")
        return
    if (twice := stamps.duplicated()).any():
        rule = "is there more than once"
        mend = "keep one row of each step; use one clock without daylight saving, as CET or UTC"
        yield finding(rule, mend, dict.fromkeys(str(stamp) for stamp in stamps[twice]))
        stamps = stamps[~twice]
        if len(stamps) < 2:
            return
    steps = stamps[1:] - stamps[:-1]
    step = pd.Series(steps).mode()[0]
    if (wrong := (steps != step) | (steps <= pd.Timedelta(0))).any():
        rows = [str(stamp) for stamp in stamps[1:][wrong]]
        rule = f"the step before is not {step_hours(step):g} h as elsewhere"
        mend = "give every step once and in order; use one clock without daylight saving"
        yield finding(rule, mend, rows)
        return
    if twice.any():
        return  # how many steps there are is known once each is there once
    if _PER_DAY % step != pd.Timedelta(0) or len(stamps) % (_PER_DAY // step):
        rule = f"{len(stamps)} steps of {step_hours(step):g} h are no whole number of days"
        yield finding(rule, "add or cut rows so that each day is complete")
    elif stamps[0] != stamps[0].normalize():
        yield finding(f"the first step is {stamps[0]}", "let the data begin at 00:00")
    if year is not None:
        first, end = pd.Timestamp(year, 1, 1), pd.Timestamp(year + 1, 1, 1)
        wanted = (end - first) // step
        if stamps[0] != first or len(stamps) != wanted:
            rule = (
                f"{len(stamps)} rows from {stamps[0]} to {stamps[-1]}, but profiles.year = {year} "
                f"has {wanted} steps of {step_hours(step):g} h from {first} on"
            )
            yield finding(rule, "complete the file, or correct or remove 'year' in [profiles]")


def step_hours(step: pd.Timedelta) -> float:
    """Return the length of a step, h."""
    return float(step / pd.Timedelta(hours=1))
