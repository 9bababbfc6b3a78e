"""How many typical days suffice: the fewest that miss the profiles by no more than allowed.

    mean duration-curve RMSE <= max_duration_rmse_percent        (1)  clustering.comparison
    RMSE of correlations     <= max_correlation_rmse             (2)

Both are measured on the finished days: representatives chosen, sums conserved, extreme days in
place. Indices of separation (silhouette and its like, which decide in `DensityPeakKMeans`) do not
serve here: the days of a year are a continuum without gaps, where such indices prefer two or three
clusters, however much of the year those lose.

The rule is ours; the thesis on planning of active distribution networks leaves it open.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import xarray as xr

from clustering.comparison import compare
from clustering.profile_days import ProfileDays

MOST_DAYS: Final = 20
"""Largest number of clusters tried where ``max_days`` does not say."""


def fewest_days(
    year: ProfileDays,
    made: Callable[[int], xr.Dataset],
    most: int,
    *,
    max_duration_rmse_percent: float,
    max_correlation_rmse: float,
) -> tuple[xr.Dataset, dict[str, list[float | None]]]:
    """Return the fewest typical days that keep both limits, or else the best of all tried.

    Parameters
    ----------
    year : ProfileDays
        All days.
    made : callable
        Gives typical days for a number of clusters.
    most : int
        Largest number to try, at least 1.
    max_duration_rmse_percent, max_correlation_rmse : float
        Limits of (1), %, and (2).

    Returns
    -------
    days : xr.Dataset
        Typical days; where no number keeps the limits, those that exceed them least.
    scores : dict of str to list
        What was tried: "n_clusters", "duration_rmse_percent", "correlation_rmse".
    """
    tried: dict[str, list[float | None]] = {
        "n_clusters": [],
        "duration_rmse_percent": [],
        "correlation_rmse": [],
    }
    chosen, least = xr.Dataset(), np.inf
    for count in range(1, most + 1):
        days = made(count)
        kept = compare(days, year)
        # without two channels that vary there is no correlation to keep
        errors = [float(kept["mean_duration_rmse_percent"]), float(kept["correlation_rmse"])]
        for values, value in zip(tried.values(), [count, *errors], strict=True):
            values.append(value if np.isfinite(value) else None)
        excess = max(
            0.0 if np.isnan(error) else error / limit
            for error, limit in zip(
                errors, (max_duration_rmse_percent, max_correlation_rmse), strict=True
            )
        )
        if excess < least:
            chosen, least = days, excess
        if excess <= 1.0:
            break
    return chosen, tried
