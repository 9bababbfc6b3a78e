"""Figures that say what typical days keep of the year.

With x a channel over all T steps, y the same steps rebuilt from typical days, R the range of x:

    energy error          (sum y - sum x) / sum |x|                                   (1)
    RMSE                  sqrt(mean (y_t - x_t)^2) / R                                (2)
    duration-curve RMSE   sqrt(mean (y_(t) - x_(t))^2) / R, both sorted               (3)
    peak, valley error    (max y - max x) / R, (min y - min x) / R                    (4)
    ramp error            (max |dy| - max |dx|) / max |dx|, within days               (5)
    ramp distance         largest difference of the distributions of dy and dx        (6)
    correlation error     corr(y_a, y_b) - corr(x_a, x_b) of channels a, b            (7)
    decision error        (cost of typical days - cost of all days) / |cost of all|   (8)

(3) as in Poncelet et al. (2017), IEEE Trans. Power Syst. 32, 1936, there NRMSE; (6) the statistic
of Kolmogorov and Smirnov; (8) is what a planner pays for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import xarray as xr

from clustering.pair_distances import Floats
from clustering.profile_days import ProfileDays, net_load
from pp_p2p.errors import Finding
from pp_p2p.names import DAY, HOUR, TIME

CHANNEL: Final = "channel"
OTHER: Final = "other_channel"
NET_LOAD: Final = "net_load_mw"

LONG_NAMES: Final[Mapping[str, str]] = {
    "energy_all_days": "sum over all steps, times their length",
    "energy_typical_days": "the same of typical days, by their weights",
    "energy_error_percent": "error of the sum, of the sum of magnitudes",
    "rmse_percent": "root mean square error of the rebuilt series, of the range",
    "duration_rmse_percent": "root mean square error of the duration curve, of the range",
    "peak_error_percent": "error of the largest value, of the range",
    "valley_error_percent": "error of the smallest value, of the range",
    "ramp_error_percent": "error of the largest step within a day, of that step",
    "ramp_distance_percent": "largest difference of the distributions of steps within days",
    "correlation_error": "error of the correlation of two channels",
    "mean_rmse_percent": "mean over the variables",
    "mean_duration_rmse_percent": "mean over the variables",
    "correlation_rmse": "root mean square over all pairs of channels",
    "cost_all_days_eur": "cost of the design on all days",
    "cost_typical_days_eur": "cost of the design on the typical days",
    "decision_error_percent": "error of the cost, of the cost on all days",
}


@dataclass(frozen=True, kw_only=True)
class Channels:
    """All channels side by side.

    Parameters
    ----------
    names : list of str
        Of each channel.
    share : (channel,)
        Weight of each in a mean over the variables; 0 for the net load, which is no variable,
        and for a channel that is the same on all days, which no choice of days can miss.
    values : (day, hour, channel)
        Any unit.
    """

    names: list[str]
    share: Floats
    values: Floats

    @classmethod
    def of(cls, year: ProfileDays, values: Mapping[str, Floats]) -> Channels:
        """Join `values` (day, hour, channel) of the variables of `year`."""
        names: list[str] = []
        share: list[float] = []
        for variable, columns in values.items():
            differs = np.ptp(columns, axis=0).any(axis=0)
            for column in range(columns.shape[2]):
                labels = ", ".join(f"{k} {v}" for k, v in year.channel(variable, column).items())
                names.append(f"{variable} [{labels}]" if labels else variable)
                share.append(differs[column] / max(differs.sum(), 1))
        joined = list(values.values())
        total = net_load(values)
        if total is not None:
            names.append(NET_LOAD)
            share.append(0.0)
            joined.append(total[:, :, None])
        return cls(names=names, share=np.array(share), values=np.concatenate(joined, axis=2))


def compare(days: xr.Dataset, year: ProfileDays) -> xr.Dataset:
    """Return the figures (1) to (7) that `clustering.fidelity` describes."""
    original = Channels.of(year, year.values)
    typical = Channels.of(year, rebuilt(days, year))
    x, y = original.values, typical.values
    with np.errstate(invalid="ignore", divide="ignore"):
        figures = {**_of_values(x, y, year.step_h), **_of_ramps(x, y)}
        error = _correlation(y) - _correlation(x)
    result = xr.Dataset(
        {name: (CHANNEL, values) for name, values in figures.items()},
        coords={CHANNEL: original.names, OTHER: original.names},
    )
    result["correlation_error"] = ((CHANNEL, OTHER), error)
    for name in ("rmse_percent", "duration_rmse_percent"):
        result[f"mean_{name}"] = _mean(figures[name], original.share)
    pairs = error[np.triu_indices(len(error), 1)]
    pairs = pairs[np.isfinite(pairs)]
    result["correlation_rmse"] = np.sqrt(np.mean(pairs**2)) if len(pairs) else np.nan
    return _labelled(result)


def decision(costs: Mapping[str, float]) -> xr.Dataset:
    """Return (8) of the costs of ``all_days`` and ``typical_days``, EUR."""
    whole, typical = float(costs["all_days"]), float(costs["typical_days"])
    error = 100.0 * (typical - whole) / abs(whole) if whole else np.nan
    return _labelled(
        xr.Dataset(
            {
                "cost_all_days_eur": whole,
                "cost_typical_days_eur": typical,
                "decision_error_percent": error,
            }
        )
    )


def check_cost(costs: Mapping[str, object]) -> list[Finding]:
    """Return a finding for each cost that is no finite number."""
    return [
        Finding(
            table="cost",
            rule=f"returns {value!r} for {name.replace('_', ' ')}",
            mend="return one finite number, EUR",
        )
        for name, value in costs.items()
        if not (np.ndim(value) == 0 and _is_finite(value))  # type: ignore[arg-type]
    ]


def check_same(days: xr.Dataset, year: ProfileDays) -> list[Finding]:
    """Return what shows that `days` were not made from the profiles of `year`."""
    findings: list[Finding] = []

    def wrong(column: str, rule: str) -> None:
        mend = "give the profiles that these days were made from"
        findings.append(Finding(table="profiles", column=column, rule=rule, mend=mend))

    if not np.array_equal(days["original_date"].to_numpy(), year.iso_dates()):
        wrong(TIME, "are other days than original_date of the typical days")
    if days.sizes[HOUR] * year.step_h != 24.0:
        wrong(TIME, f"have steps of {year.step_h:g} h, unlike the typical days")
    for name in year.values:
        columns = year.source[name].transpose(TIME, ...).isel({TIME: 0}, drop=True)
        if name not in days or not {DAY, HOUR} <= set(days[name].dims):
            wrong(name, "is not among the typical days")
            continue
        theirs = days[name].transpose(DAY, HOUR, ...).isel({DAY: 0, HOUR: 0}, drop=True)
        same = theirs.dims == columns.dims and theirs.shape == columns.shape
        if not same or any(not theirs[d].equals(columns[d]) for d in columns.dims):
            wrong(name, "has other columns than in the typical days")
    return findings


def _is_finite(value: object) -> bool:
    try:
        return bool(np.isfinite(float(value)))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


def rebuilt(days: xr.Dataset, year: ProfileDays) -> dict[str, Floats]:
    """Return every day (day, hour, channel) of each variable as its representative has it."""
    place = days.indexes[DAY].get_indexer(pd.Index(days["label"].to_numpy()))
    return {
        name: days[name]
        .transpose(DAY, HOUR, ...)
        .to_numpy()
        .reshape(days.sizes[DAY], values.shape[1], -1)[place]
        for name, values in year.values.items()
    }


def _of_values(x: Floats, y: Floats, step_h: float) -> dict[str, Floats]:
    """Return (1) to (4), % (channel,)."""
    x, y = (values.reshape(-1, values.shape[2]) for values in (x, y))
    span = np.ptp(x, axis=0)

    def root_mean_square(error: Floats) -> Floats:
        result: Floats = 100.0 * np.sqrt(np.mean(error**2, axis=0)) / span
        return result

    energy = {
        "energy_all_days": x.sum(axis=0) * step_h,
        "energy_typical_days": y.sum(axis=0) * step_h,
    }
    error = energy["energy_typical_days"] - energy["energy_all_days"]
    return {
        **energy,
        "energy_error_percent": 100.0 * error / (np.abs(x).sum(axis=0) * step_h),
        "rmse_percent": root_mean_square(y - x),
        "duration_rmse_percent": root_mean_square(np.sort(y, axis=0) - np.sort(x, axis=0)),
        "peak_error_percent": 100.0 * (y.max(axis=0) - x.max(axis=0)) / span,
        "valley_error_percent": 100.0 * (y.min(axis=0) - x.min(axis=0)) / span,
    }


def _of_ramps(x: Floats, y: Floats) -> dict[str, Floats]:
    """Return (5) and (6), % (channel,)."""
    if x.shape[1] < 2:
        nothing = np.full(x.shape[2], np.nan)
        return {"ramp_error_percent": nothing, "ramp_distance_percent": nothing}
    dx, dy = (np.diff(values, axis=1).reshape(-1, values.shape[2]) for values in (x, y))
    largest = np.abs(dx).max(axis=0)
    distance = [_distance(np.sort(a), np.sort(b)) for a, b in zip(dx.T, dy.T, strict=True)]
    return {
        "ramp_error_percent": 100.0 * (np.abs(dy).max(axis=0) - largest) / largest,
        "ramp_distance_percent": 100.0 * np.array(distance),
    }


def _distance(a: Floats, b: Floats) -> float:
    """Return the statistic of Kolmogorov and Smirnov of sorted `a` (n,) and `b` (n,)."""
    at = np.concatenate([a, b])
    below = (np.searchsorted(values, at, side="right") for values in (a, b))
    return float(np.abs(np.subtract(*below)).max() / len(a))


def _correlation(values: Floats) -> Floats:
    """Return the correlations (channel, channel); NaN where a channel is constant."""
    flat = values.reshape(-1, values.shape[2])
    flat = flat - flat.mean(axis=0)
    # a mean is rounded: what is left of a constant is no scatter
    flat[:, np.ptp(values, axis=(0, 1)) == 0.0] = 0.0
    covariance = flat.T @ flat
    size = np.sqrt(np.diag(covariance))
    result: Floats = covariance / np.outer(size, size)
    return result


def _mean(values: Floats, share: Floats) -> float:
    counted = np.isfinite(values) & (share > 0.0)
    return float(np.average(values[counted], weights=share[counted])) if counted.any() else np.nan


def _labelled(result: xr.Dataset) -> xr.Dataset:
    for name, text in LONG_NAMES.items():
        if name in result:
            unit = "%" if name.endswith("percent") else "EUR" if name.endswith("eur") else "1"
            unit = (
                "unit of the channel times h"
                if name.startswith("energy_") and unit == "1"
                else unit
            )
            result[name].attrs.update({"units": unit, "long_name": text})
    return result
