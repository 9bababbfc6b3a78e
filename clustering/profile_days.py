"""Profiles seen as whole days: the checks, the split, the features for clustering.

Days are calendar days of the stamps given; a stamp is the start of its step. A channel is one
column of a variable. The feature of day d and channel c is

    weight_v / sqrt(varying columns of v) * (x_dhc - min_c) / (max_c - min_c)   for every hour h

so that every variable counts the same (times `weights_by`), however many columns it has.
Constant channels cannot tell days apart and are left out.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from clustering.pair_distances import Floats
from pp_p2p.errors import Finding
from pp_p2p.names import DAY, HOUR, TIME

ORIGINAL_DAY: Final = "original_day"
RESERVED: Final = frozenset(
    {DAY, HOUR, ORIGINAL_DAY, "weight", "source_day", "original_date", "label"}
)
NS_PER_HOUR: Final = 3_600_000_000_000
NS_PER_DAY: Final = 24 * NS_PER_HOUR


@dataclass(frozen=True, kw_only=True)
class ProfileDays:
    """Profiles cut into days.

    Parameters
    ----------
    source : xr.Dataset
        The profiles, already checked.
    dates : (day,)
        Midnight of each day.
    step_h : float
        Length of a step, h.
    values : mapping of variable to (day, hour, channel)
        All variables over time; further dims are one channel axis.
    """

    source: xr.Dataset
    dates: pd.DatetimeIndex
    step_h: float
    values: Mapping[str, Floats]

    @classmethod
    def of(cls, profiles: xr.Dataset) -> ProfileDays:
        """Cut `profiles` that `check_profiles` has no objection to."""
        index = pd.DatetimeIndex(profiles.indexes[TIME])
        step_ns = int(_stamps_ns(index)[:2] @ [-1, 1])
        per_day = NS_PER_DAY // step_ns
        values = {}
        for name, array in _over_time(profiles):
            flat = array.transpose(TIME, ...).to_numpy().astype(np.float64)
            columns = int(np.prod(flat.shape[1:], dtype=np.int64))
            values[name] = flat.reshape(len(index) // per_day, per_day, columns)
        return cls(
            source=profiles, dates=index[::per_day], step_h=step_ns / NS_PER_HOUR, values=values
        )

    def iso_dates(self) -> NDArray[np.str_]:
        """Return the dates (day,) as ISO strings."""
        return np.array(self.dates.strftime("%Y-%m-%d"), dtype="U10")

    def channel(self, variable: str, column: int) -> dict[str, str]:
        """Return the labels of one column of `variable` by dimension."""
        dims = self.source[variable].transpose(TIME, ...).dims[1:]
        at = np.unravel_index(column, [self.source.sizes[dim] for dim in dims])
        return {
            str(dim): str(self.source[dim].to_numpy()[place])
            for dim, place in zip(dims, at, strict=True)
        }

    def features(self, weights_by: Mapping[str, float]) -> tuple[Floats, dict[str, list[float]]]:
        """Return the features (day, hours of all channels) and each channel's annual range."""
        blocks = [np.zeros((len(self.dates), 1))]
        ranges = {}
        for name, values in self.values.items():
            span = np.ptp(values, axis=(0, 1)) if values.size else np.zeros(values.shape[2])
            ranges[name] = [float(width) for width in span]
            varying = span > 0.0
            if not varying.any():
                continue
            lowest = values.min(axis=(0, 1))[varying]
            unit = (values[:, :, varying] - lowest) / span[varying]
            factor = weights_by.get(name, 1.0) / np.sqrt(varying.sum())
            blocks.append((factor * unit).reshape(len(values), -1))
        # the zero column stands for "no difference" where every channel is constant
        return np.hstack(blocks[1:] if len(blocks) > 1 else blocks), ranges


def net_load(values: Mapping[str, Floats]) -> Floats | None:
    """Return all loads less all sgens (day, hour), MW; None where there are no loads."""
    if "load_p_mw" not in values:
        return None
    load: Floats = values["load_p_mw"].sum(axis=2)
    return load - values["sgen_p_mw"].sum(axis=2) if "sgen_p_mw" in values else load


def check_profiles(profiles: object) -> list[Finding]:
    """Return everything that keeps `profiles` from being cut into days."""
    if not isinstance(profiles, xr.Dataset):
        return [_finding(f"are a {type(profiles).__name__}", "give an xr.Dataset with dim 'time'")]
    if TIME not in profiles.dims or TIME not in profiles.indexes:
        return [
            _finding(
                "have no dim 'time' with stamps",
                "give every step its stamp: ds.assign_coords(time=...)",
                column=TIME,
            )
        ]
    findings = [
        _finding(
            "has a name that typical days use themselves", "rename it in the profiles", column=name
        )
        for name in sorted(RESERVED & {str(n) for n in (*profiles.variables, *profiles.dims)})
    ]
    if not any(True for _ in _over_time(profiles)):
        findings.append(
            _finding("have no variable over 'time'", "give load_p_mw(time, load) or others")
        )
    findings += check_time(profiles.indexes[TIME])
    stamps = np.array([str(stamp) for stamp in profiles.indexes[TIME]])
    for name, array in _over_time(profiles):
        findings += _check_values(name, array.transpose(TIME, ...), stamps)
    return findings


def check_time(index: pd.Index) -> list[Finding]:
    """Return everything that keeps the stamps `index` from being whole, even days."""
    if not isinstance(index, pd.DatetimeIndex):
        aware = len(index) > 0 and getattr(index[0], "tzinfo", None) is not None
        return (
            [_time_zone()]
            if aware
            else [
                _finding(
                    f"holds {index.dtype}, not datetime64", "give stamps as datetime64", column=TIME
                )
            ]
        )
    if index.tz is not None:
        return [_time_zone()]
    if index.hasnans:
        rows = tuple(int(row) for row in np.flatnonzero(index.isna()))
        return [_finding("has no stamp (NaT)", "give every step its stamp", TIME, rows)]
    findings = []
    repeated = index[index.duplicated()]
    if len(repeated):
        findings.append(
            _finding(
                "occur more than once",
                "keep one step per stamp; use standard time where clocks are put back",
                TIME,
                _texts(repeated),
            )
        )
    backwards = index[1:][np.diff(_stamps_ns(index)) < 0]
    if len(backwards):
        findings.append(
            _finding("come after a later stamp", "sort: ds.sortby('time')", TIME, _texts(backwards))
        )
    return findings + _check_grid(index.unique().sort_values())


def _check_grid(index: pd.DatetimeIndex) -> list[Finding]:
    stamps = _stamps_ns(index)
    if len(stamps) < 2:
        return [
            _finding(
                "has fewer than two stamps", "give at least one whole day", TIME, _texts(index)
            )
        ]
    lengths, counts = np.unique(np.diff(stamps), return_counts=True)
    step = int(lengths[counts.argmax()])
    if NS_PER_DAY % step:
        return [
            _finding(
                f"has steps of {step / NS_PER_HOUR:g} h, which do not divide 24 h",
                "resample to a step that divides 24 h",
                TIME,
            )
        ]
    uneven = index[1:][np.diff(stamps) % step != 0]
    if len(uneven):
        return [
            _finding(
                f"are no multiple of the step, {step / NS_PER_HOUR:g} h, after the stamp before",
                "resample to even steps",
                TIME,
                _texts(uneven),
            )
        ]
    return [*_check_gaps(index, step), *_check_ends(index, step)]


def _check_gaps(index: pd.DatetimeIndex, step: int) -> Iterator[Finding]:
    stamps = _stamps_ns(index)
    expected = np.arange(stamps[0], stamps[-1] + step, step)
    missing = pd.DatetimeIndex(np.setdiff1d(expected, stamps).astype("datetime64[ns]"))
    if len(missing):
        yield _finding(
            f"are missing (step {step / NS_PER_HOUR:g} h)",
            "fill the gap; use standard time where clocks are put forward",
            TIME,
            _texts(missing),
        )


def _check_ends(index: pd.DatetimeIndex, step: int) -> Iterator[Finding]:
    first, last = _stamps_ns(index)[[0, -1]]
    cut = [first % NS_PER_DAY != 0, (last + step) % NS_PER_DAY != 0]
    if any(cut):
        yield _finding(
            "leave the first or the last day incomplete",
            "cut or extend to whole days, from 00:00 to the last step before midnight; "
            "a stamp is the start of its step",
            TIME,
            _texts(index[[0, -1]][cut]),
        )


def _check_values(name: str, array: xr.DataArray, stamps: NDArray[np.str_]) -> Iterator[Finding]:
    if array.dtype.kind not in "fiub":
        yield _finding(f"holds {array.dtype}, not numbers", "give numbers", name)
        return
    bad = ~np.isfinite(array.to_numpy().astype(np.float64))
    if not bad.any():
        return
    rows = bad.reshape(len(stamps), -1).any(axis=1)
    where = ""
    for axis, dim in enumerate(array.dims[1:], start=1):
        others = tuple(a for a in range(array.ndim) if a != axis)
        labels = array[dim].to_numpy()[bad.any(axis=others)]
        where += f" in {dim} {', '.join(str(label) for label in labels)}"
    yield _finding(
        f"is NaN or infinite{where}",
        "give finite numbers: fill with ds.interpolate_na('time') or drop the column",
        name,
        tuple(str(stamp) for stamp in stamps[rows]),
    )


def _over_time(profiles: xr.Dataset) -> Iterator[tuple[str, xr.DataArray]]:
    return ((str(name), array) for name, array in profiles.data_vars.items() if TIME in array.dims)


def _stamps_ns(index: pd.DatetimeIndex) -> NDArray[np.int64]:
    return index.to_numpy().astype("datetime64[ns]").astype(np.int64)


def _texts(index: pd.DatetimeIndex) -> tuple[str, ...]:
    return tuple(str(stamp) for stamp in index)


def _time_zone() -> Finding:
    return _finding(
        "has stamps with a time zone",
        "give local standard time without zone: index.tz_convert('Etc/GMT-1').tz_localize(None)",
        column=TIME,
    )


def _finding(rule: str, mend: str, column: Hashable = "", rows: tuple[object, ...] = ()) -> Finding:
    return Finding(table="profiles", column=str(column), rows=rows, rule=rule, mend=mend)
