"""What typical days keep of the year they stand for.

The figures and their equations stand in clustering.comparison. Nothing heavy is imported before
the first call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pp_p2p.errors import raise_if_any

if TYPE_CHECKING:
    import xarray as xr


def fidelity(
    days: xr.Dataset,
    profiles: xr.Dataset,
    cost: Callable[[xr.Dataset], float] | None = None,
) -> xr.Dataset:
    """Compare typical days with the profiles that they were made from.

    Parameters
    ----------
    days : xr.Dataset
        As returned by `typical_days`.
    profiles : xr.Dataset
        The profiles it was given.
    cost : callable, optional
        Cost of a fixed design, EUR: called with typical days, and once more with all days in the
        same layout (each with weight 1). It has to count every day ``weight`` times.

    Returns
    -------
    xr.Dataset
        Per ``channel`` (a column of a variable, and ``net_load_mw``: all loads less all sgens), in
        %: energy_error_percent, rmse_percent, duration_rmse_percent, peak_error_percent,
        valley_error_percent, ramp_error_percent, ramp_distance_percent; energy_all_days and
        energy_typical_days in the channel's unit times h. correlation_error (channel,
        other_channel), 1. Over all channels that differ from day to day, each variable counting
        the same however many columns it has: mean_rmse_percent, mean_duration_rmse_percent; and
        correlation_rmse, 1. With `cost`: cost_all_days_eur, cost_typical_days_eur,
        decision_error_percent. Errors are typical days less all days.

        NaN where a figure has no meaning: ramps of days of one step, shares of nothing (the range
        of a constant channel, energy that is zero), correlation with a constant channel.

    Raises
    ------
    InvalidInput
        Profiles that `typical_days` would refuse, or other days, steps, variables or columns than
        `days` has; a cost that is no finite number.
    """
    from clustering.comparison import check_cost, check_same, compare, decision
    from clustering.profile_days import ProfileDays, check_profiles
    from clustering.representatives import check_days, every_day

    raise_if_any([*check_profiles(profiles), *check_days(days)])
    year = ProfileDays.of(profiles)
    raise_if_any(check_same(days, year))
    result = compare(days, year)
    if cost is not None:
        costs = {"all_days": cost(every_day(year)), "typical_days": cost(days)}
        raise_if_any(check_cost(costs))
        result = result.assign(decision(costs))
    return result
