"""The arguments of `typical_days` and what can be wrong with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import xarray as xr

from clustering.day_count import MOST_DAYS
from clustering.distinct_rows import DistinctRows
from clustering.pair_distances import Floats
from pp_p2p.errors import Finding

EXTREMES: Final = ("peak_net_load", "min_net_load", "peak_load", "max_ramp")

REPRESENTATIVES: Final = ("medoid", "mean", "distribution")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Arguments of `typical_days`, described there."""

    n_days: int | Literal["auto"]
    representative: Literal["medoid", "mean", "distribution"]
    keep_energy: bool
    extreme_days: Sequence[str]
    weights_by: Mapping[str, float]
    max_days: int | None
    max_duration_rmse_percent: float
    max_correlation_rmse: float
    seed: int

    @property
    def target(self) -> dict[str, float]:
        """What "auto" has to keep."""
        return {
            "max_duration_rmse_percent": self.max_duration_rmse_percent,
            "max_correlation_rmse": self.max_correlation_rmse,
        }


def check_options(profiles: object, options: Options) -> list[Finding]:
    """Return everything that is wrong with the arguments beside `profiles`."""
    variables = {str(n) for n in profiles.data_vars} if isinstance(profiles, xr.Dataset) else set()
    findings = []

    def wrong(argument: str, value: object, mend: str) -> None:
        findings.append(Finding(table=argument, rule=f"is {value!r}", mend=mend))

    if options.n_days != "auto" and not _is_count(options.n_days):
        wrong("n_days", options.n_days, "give a whole number of at least 1, or 'auto'")
    if options.max_days is not None and not _is_count(options.max_days):
        wrong("max_days", options.max_days, "give a whole number of at least 1, or None")
    if options.representative not in REPRESENTATIVES:
        mend = f"give any of {', '.join(map(repr, REPRESENTATIVES))}"
        wrong("representative", options.representative, mend)
    for name, limit in options.target.items():
        if not (_is_weight(limit) and limit > 0.0):
            wrong(name, limit, "give a finite number > 0")
    if not isinstance(options.seed, int | np.integer) or isinstance(options.seed, bool):
        wrong("seed", options.seed, "give a whole number; it changes nothing")
    if isinstance(options.extreme_days, str):
        wrong("extreme_days", options.extreme_days, "give a sequence of names, not one string")
    else:
        for name in options.extreme_days:
            if name not in EXTREMES:
                wrong("extreme_days", name, f"give any of {', '.join(EXTREMES)}")
            elif variables and "load_p_mw" not in variables:
                wrong("extreme_days", name, "give load_p_mw(time, load) in the profiles")
    for variable, weight in options.weights_by.items():
        if not _is_weight(weight):
            wrong(f"weights_by[{variable!r}]", weight, "give a finite number >= 0")
        if variables and variable not in variables:
            wrong("weights_by", variable, f"name any of {', '.join(sorted(variables))}")
    return findings


def check_counts(features: Floats, extremes: Mapping[str, int], options: Options) -> list[Finding]:
    """Return a finding where the days do not suffice for the representatives asked for."""
    aside = sorted(set(extremes.values()))
    rest = np.delete(features, aside, axis=0)
    clusters = 1 if options.n_days == "auto" else int(options.n_days)
    if len(rest) < clusters:
        return [
            Finding(
                table="n_days",
                rule=f"asks for {clusters} clusters of {len(rest)} days "
                f"({len(features)} days, {len(aside)} of them extreme)",
                mend="give more days or ask for fewer",
            )
        ]
    if options.max_days is not None and clusters + len(aside) > options.max_days:
        return [
            Finding(
                table="max_days",
                rule=f"is {options.max_days}, but {clusters} clusters and {len(aside)} extreme "
                "days are needed",
                mend="raise it, or ask for fewer days",
            )
        ]
    different = len(DistinctRows.of(rest, np.ones(len(rest))).points)
    if different < clusters:
        return [
            Finding(
                table="n_days",
                rule=f"asks for {clusters} clusters, but only {different} days differ",
                mend=f"ask for at most {different}, or for 'auto'",
            )
        ]
    return []


def most_clusters(features: Floats, extremes: Mapping[str, int], options: Options) -> int:
    """Return the largest number of clusters that "auto" may try."""
    aside = sorted(set(extremes.values()))
    different = len(
        DistinctRows.of(
            np.delete(features, aside, axis=0), np.ones(len(features) - len(aside))
        ).points
    )
    most = MOST_DAYS if options.max_days is None else options.max_days - len(aside)
    return min(most, different)


def _is_count(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= 1


def _is_weight(value: object) -> bool:
    return isinstance(value, int | float | np.number) and 0.0 <= float(value) < np.inf
