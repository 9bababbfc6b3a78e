"""Choose representatives of days, conserve what they sum to, and spread them over the year."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from clustering.conservation import scale_to_sum, shift_to_sum
from clustering.day_count import fewest_days
from clustering.day_options import EXTREMES, Options, most_clusters
from clustering.density_peak import DensityPeakKMeans
from clustering.pair_distances import Floats, Ints
from clustering.profile_days import ORIGINAL_DAY, ProfileDays, net_load
from pp_p2p.errors import Finding
from pp_p2p.names import DAY, HOUR, TIME

BUY: Final = "price_buy_eur_per_mwh"
SELL: Final = "price_sell_eur_per_mwh"


@dataclass(frozen=True, kw_only=True)
class Division:
    """Days divided among representatives.

    Parameters
    ----------
    labels : (original_day,)
        Representative of each day.
    medoids : (representative,)
        Original day nearest to each cluster's centre; the day itself for an extreme day.
    clusters : int
        Representatives that stand for a cluster; the others are extreme days.
    extremes : mapping of name to original day
        Which day is which extreme.
    """

    labels: Ints
    medoids: Ints
    clusters: int
    extremes: Mapping[str, int]


def extremes_of(days: ProfileDays, names: Sequence[str]) -> dict[str, int]:
    """Return the original day of each extreme asked for; of equal days the first."""
    net = net_load(days.values)
    if not names or net is None:
        return {}
    steps = np.abs(np.diff(net, axis=1))
    found = {
        "peak_net_load": int(net.max(axis=1).argmax()),
        "min_net_load": int(net.min(axis=1).argmin()),
        "peak_load": int(days.values["load_p_mw"].sum(axis=2).max(axis=1).argmax()),
        "max_ramp": int(steps.max(axis=1, initial=0.0).argmax()),
    }
    return {name: found[name] for name in EXTREMES if name in names}


def divide(features: Floats, extremes: Mapping[str, int], n_clusters: int) -> Division:
    """Cluster the days that are not extreme; every extreme day is on its own."""
    aside = np.array(sorted(set(extremes.values())), dtype=np.int64)
    rest = np.setdiff1d(np.arange(len(features)), aside)
    model = DensityPeakKMeans(n_clusters).fit(features[rest])
    medoids = rest[model.medoid_indices_]
    place = np.empty(len(medoids), dtype=np.int64)
    place[np.argsort(medoids)] = np.arange(len(medoids))
    labels = np.empty(len(features), dtype=np.int64)
    labels[rest] = place[model.labels_]
    labels[aside] = len(medoids) + np.arange(len(aside))
    return Division(
        labels=labels,
        medoids=np.concatenate([np.sort(medoids), aside]),
        clusters=len(medoids),
        extremes=extremes,
    )


def typical(
    days: ProfileDays,
    features: Floats,
    ranges: Mapping[str, list[float]],
    extremes: Mapping[str, int],
    options: Options,
) -> xr.Dataset:
    """Return the typical days, for "auto" as few as keep the limits."""

    def made(clusters: int) -> xr.Dataset:
        return represent(days, divide(features, extremes, clusters), options, ranges)

    scores: dict[str, list[float | None]] = {}
    if options.n_days == "auto":
        most = most_clusters(features, extremes, options)
        result, scores = fewest_days(days, made, most, **options.target)
    else:
        result = made(options.n_days)
    result.attrs["scores"] = json.dumps(scores)
    return result


def represent(
    days: ProfileDays,
    division: Division,
    options: Options,
    ranges: Mapping[str, list[float]],
) -> xr.Dataset:
    """Return the dataset of representatives that `typical_days` describes."""
    weight = np.bincount(division.labels).astype(np.float64)
    chosen = {name: _chosen(v, division, options) for name, v in days.values.items()}
    lost: list[dict[str, object]] = []
    if options.keep_energy:
        for name, values in chosen.items():
            lost += _conserve(name, values, weight, days, division)
        lost += _keep_prices_in_order(chosen, days, division, options)
    dates = days.iso_dates()
    source = dates[division.medoids]
    if options.representative != "medoid":
        source[: division.clusters] = ""
    result = _as_days(days, chosen, source, division.labels)
    result.attrs = {
        **result.attrs,
        "method": _method(options),
        "seed": options.seed,
        "extreme_days": json.dumps({n: str(dates[at]) for n, at in division.extremes.items()}),
        "feature_range": json.dumps(dict(ranges)),
        "energy_not_kept": json.dumps(lost),
    }
    return result


def every_day(days: ProfileDays) -> xr.Dataset:
    """Return all days in the layout of typical days: each represents itself with weight 1."""
    return _as_days(days, days.values, days.iso_dates(), np.arange(len(days.dates)))


def check_days(days: object) -> list[Finding]:
    """Return everything that keeps `days` from being spread over the year."""
    if not isinstance(days, xr.Dataset):
        rule = f"are a {type(days).__name__}"
        return [Finding(table="days", rule=rule, mend="give what typical_days returned")]
    needed = (DAY, HOUR, "original_date", "label")
    findings = [
        Finding(
            table="days", column=name, rule="is missing", mend="give what typical_days returned"
        )
        for name in needed
        if name not in days.variables
    ]
    if findings:
        return findings
    lost = ~np.isin(days["label"].to_numpy(), days[DAY].to_numpy())
    if lost.any():
        findings.append(
            Finding(
                table="days",
                column="label",
                rows=tuple(str(date) for date in days["original_date"].to_numpy()[lost]),
                rule="names a representative that is not among the days",
                mend="keep all days that typical_days returned",
            )
        )
    return findings


def spread(days: xr.Dataset) -> xr.Dataset:
    """Return the series that `rebuild` describes."""
    unit = str(days.attrs.get("time_unit", "ns"))
    dates = days["original_date"].to_numpy().astype("datetime64[ns]")
    steps = pd.to_timedelta(days[HOUR].to_numpy(), unit="h").round("us").to_numpy()
    stamps = (dates[:, None] + steps.astype("timedelta64[ns]")).ravel()
    place = pd.Index(days[DAY].to_numpy()).get_indexer(days["label"].to_numpy())
    own = {DAY, HOUR, ORIGINAL_DAY}
    result = days.drop_dims(own & set(days.dims)).assign_coords(
        {TIME: stamps.astype(f"datetime64[{unit}]")}
    )
    for name in days.data_vars:
        if not {DAY, HOUR} <= set(days[name].dims):
            continue
        array = days[name].transpose(DAY, HOUR, ...)
        coords = {dim: array.coords[dim] for dim in array.dims[2:] if dim in array.coords}
        values = array.to_numpy()[place].reshape(len(stamps), *array.shape[2:])
        result[name] = xr.DataArray(values, coords, (TIME, *array.dims[2:]), attrs=array.attrs)
    return result


def _as_days(
    days: ProfileDays, chosen: Mapping[str, Floats], source: NDArray[np.str_], labels: Ints
) -> xr.Dataset:
    """Return `chosen` (day, hour, channel) of each variable, with weights and labels."""
    profiles = days.source
    weight = np.bincount(labels).astype(np.float64)
    hours = np.arange(round(24 / days.step_h)) * days.step_h
    result = profiles.drop_dims(TIME).assign_coords({DAY: np.arange(len(weight)), HOUR: hours})
    for name, values in chosen.items():
        array = profiles[name].transpose(TIME, ...)
        coords = {dim: array.coords[dim] for dim in array.dims[1:] if dim in array.coords}
        shape = (len(weight), len(hours), *array.shape[1:])
        result[name] = xr.DataArray(
            values.reshape(shape), coords, (DAY, HOUR, *array.dims[1:]), attrs=array.attrs
        )
    result["weight"] = (DAY, weight, {"long_name": "days represented"})
    result["source_day"] = (DAY, source)
    result["original_date"] = (ORIGINAL_DAY, days.iso_dates())
    result["label"] = (ORIGINAL_DAY, labels)
    result[HOUR].attrs["units"] = "h"
    result.attrs = {
        **profiles.attrs,
        "step_h": days.step_h,
        "n_days_total": len(days.dates),
        "time_unit": np.datetime_data(profiles.indexes[TIME].to_numpy().dtype)[0],
    }
    return result


def _chosen(values: Floats, division: Division, options: Options) -> Floats:
    chosen = values[division.medoids]
    if options.representative != "medoid":
        of = _mean if options.representative == "mean" else _by_distribution
        for cluster in range(division.clusters):
            chosen[cluster] = of(values[division.labels == cluster])
    return chosen


def _mean(own: Floats) -> Floats:
    # a mean of equal values can be rounded beyond them
    mean: Floats = np.clip(own.mean(axis=0), own.min(axis=0), own.max(axis=0))
    return mean


def _by_distribution(own: Floats) -> Floats:
    """Return a day (hour, channel) with the values of `own` days (day, hour, channel).

    The highest values of all days, as many as there are days, become one value, their mean, which
    goes to the hour that is highest on the mean day; the next highest to the next hour.
    """
    days, hours, channels = own.shape
    level = np.sort(own.reshape(-1, channels), axis=0).reshape(hours, days, channels)
    value = np.clip(level.mean(axis=1), level[:, 0], level[:, -1])
    place = np.argsort(np.argsort(own.mean(axis=0), axis=0, kind="stable"), axis=0)
    sorted_as_mean: Floats = np.take_along_axis(value, place, axis=0)
    return sorted_as_mean


def _conserve(
    name: str, chosen: Floats, weight: Floats, days: ProfileDays, division: Division
) -> list[dict[str, object]]:
    """Conserve the sums of `chosen` (day, hour, channel) in place; return what could not be."""
    clusters = division.clusters
    values = days.values[name]
    everyday = values[division.labels < clusters]
    conserve = shift_to_sum if "price" in name else scale_to_sum
    lost: list[dict[str, object]] = []
    for column in range(values.shape[2]):
        limits = np.array([values[:, :, column].min(), values[:, :, column].max()])
        kept = conserve(
            chosen[:clusters, :, column], weight[:clusters], everyday[:, :, column], limits
        )
        if kept is not None:
            chosen[:clusters, :, column] = kept
            continue
        wanted = float(everyday[:, :, column].sum())
        got = float((weight[:clusters] @ chosen[:clusters, :, column]).sum())
        lost.append(
            {
                "variable": name,
                "channel": days.channel(name, column),
                "wanted": wanted * days.step_h,
                "got": got * days.step_h,
            }
        )
    return lost


def _keep_prices_in_order(
    chosen: dict[str, Floats], days: ProfileDays, division: Division, options: Options
) -> list[dict[str, object]]:
    """Undo the shift of both prices where it would let energy be bought and sold at a gain."""
    if BUY not in chosen or SELL not in chosen:
        return []
    if days.values[BUY].shape != days.values[SELL].shape:
        return []
    was_in_order = bool((days.values[SELL] <= days.values[BUY]).all())
    if not was_in_order or bool((chosen[SELL] <= chosen[BUY]).all()):
        return []
    for name in (BUY, SELL):
        chosen[name] = _chosen(days.values[name], division, options)
    reason = "shifted prices would sell above buying"
    return [{"variable": name, "channel": {}, "reason": reason} for name in (BUY, SELL)]


def _method(options: Options) -> str:
    kept = "sums conserved per channel" if options.keep_energy else "values as they are"
    number = (
        "fewest clusters that keep duration curves and correlations"
        if options.n_days == "auto"
        else "number of clusters given"
    )
    return f"density-peak K-means, {options.representative} of each cluster, {kept}; {number}"
