"""A year of profiles as a few typical days with weights, and back.

    1 check the profiles and cut them into days            clustering.profile_days
    2 put extreme days aside, divide the rest by features  clustering.representatives
    3 one representative per cluster, its sums conserved   clustering.conservation

Nothing heavy is imported before the first call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from pp_p2p.errors import raise_if_any

if TYPE_CHECKING:
    import xarray as xr


def typical_days(
    profiles: xr.Dataset,
    n_days: int | Literal["auto"] = "auto",
    *,
    representative: Literal["medoid", "mean", "distribution"] = "medoid",
    keep_energy: bool = True,
    extreme_days: Sequence[str] = (),
    weights_by: Mapping[str, float] | None = None,
    max_days: int | None = None,
    max_duration_rmse_percent: float = 3.0,
    max_correlation_rmse: float = 0.1,
    seed: int = 0,
) -> xr.Dataset:
    """Choose days that stand for all days of `profiles`.

    Days are clustered by `DensityPeakKMeans`. Each channel (column of a variable) is normalised
    by its annual range, and each variable counts the same however many columns it has.

    Parameters
    ----------
    profiles : xr.Dataset
        Variables over ``time`` (datetime64, local standard time, even steps that divide 24 h, a
        stamp is the start of its step, whole days). Variables without ``time`` are carried over.
    n_days : int or "auto", default="auto"
        Number of clusters. Extreme days come on top. "auto" takes the fewest whose days keep
        `max_duration_rmse_percent` and `max_correlation_rmse`.
    representative : {"medoid", "mean", "distribution"}, default="medoid"
        A real day of the cluster, which keeps what happens at the same time; the mean of its days,
        which has no high and low hours; or a day made of the values of all its days, sorted as the
        mean day is, which keeps duration curves best.
    keep_energy : bool, default=True
        Scale each channel of the representatives so that its weighted sum equals the sum of the
        days they stand for, never beyond the channel's own limits; zero stays zero; positive and
        negative values are conserved apart. Variables with "price" in their name are shifted
        instead, within their own limits, so that spreads stay and the mean is conserved.
    extreme_days : sequence of {"peak_net_load", "min_net_load", "peak_load", "max_ramp"}
        Days that represent themselves, unscaled, with weight 1: the ones with the largest
        (smallest) step of load less sgen, the largest step of load, or the largest change of load
        less sgen from a step to the next within the day. They are put aside before the others are
        clustered. Of equal days the first counts.
    weights_by : mapping of str to float, optional
        Weight of each variable's features; 1 where not given.
    max_days : int, optional
        Bound on the number of representatives, extreme days included. Without it "auto" tries up
        to 20 clusters.
    max_duration_rmse_percent : float, default=3.0
        What "auto" may miss of the duration curves: root mean square, % of each channel's range,
        mean over the variables that differ from day to day (`clustering.fidelity`).
    max_correlation_rmse : float, default=0.1
        What "auto" may miss of the correlations of channels: root mean square over all pairs.
    seed : int, default=0
        Goes into the result only: nothing is drawn at random.

    Returns
    -------
    xr.Dataset
        The variables on (day, hour, ...), representatives in the order of their dates and then
        the extreme days; ``hour`` is the start of the step in h since midnight.
        weight : (day,), days that each represents; sums to the number of days
        source_day : (day,), ISO date, "" for a day that is no real one
        original_date : (original_day,), ISO date
        label : (original_day,), representative of each day

        attrs: step_h (h), n_days_total, method, seed, time_unit, and as JSON: scores (what "auto"
        tried: n_clusters, duration_rmse_percent, correlation_rmse), extreme_days (name -> date),
        feature_range (variable -> annual range of each channel), energy_not_kept (channels that
        could not be conserved and were left as they are).

    Raises
    ------
    InvalidInput
        With every finding: NaN, stamps that are missing, repeated, uneven or with a time zone,
        incomplete days, unknown options, more clusters than (different) days.

    Notes
    -----
    Where no number of clusters that "auto" may try keeps the limits, the one that exceeds them
    least is taken; `scores` shows by how much.

    Several years are one set of days: weights sum to all of them. For a plan of one year divide
    ``weight`` by the number of years.

    Two prices are left unshifted, and reported, if shifting would put price_sell_eur_per_mwh
    above price_buy_eur_per_mwh where it never was.

    References
    ----------
    Thesis on planning of active distribution networks, ch. 1: typical days by density peaks and
    K-means. The conservation of sums and the choice of "auto" are reconstructed. "distribution":
    Hoffmann, Kotzur & Stolten (2021), Applied Energy 304, 117825.
    """
    from clustering.day_options import Options, check_counts, check_options
    from clustering.profile_days import ProfileDays, check_profiles
    from clustering.representatives import extremes_of, typical

    options = Options(
        n_days=n_days,
        representative=representative,
        keep_energy=keep_energy,
        extreme_days=extreme_days,
        weights_by={} if weights_by is None else weights_by,
        max_days=max_days,
        max_duration_rmse_percent=max_duration_rmse_percent,
        max_correlation_rmse=max_correlation_rmse,
        seed=seed,
    )
    raise_if_any([*check_profiles(profiles), *check_options(profiles, options)])
    days = ProfileDays.of(profiles)
    extremes = extremes_of(days, options.extreme_days)
    features, ranges = days.features(options.weights_by)
    raise_if_any(check_counts(features, extremes, options))
    return typical(days, features, ranges, extremes, options)


def every_day(profiles: xr.Dataset) -> xr.Dataset:
    """Return all days of `profiles`, each for itself: a year as if every day were typical.

    Parameters
    ----------
    profiles : xr.Dataset
        As of `typical_days`.

    Returns
    -------
    xr.Dataset
        As `typical_days` returns it, every ``weight`` 1: for a plan that no choice of days touches.

    Raises
    ------
    InvalidInput
        As of `typical_days`.
    """
    from clustering import representatives
    from clustering.profile_days import ProfileDays, check_profiles

    raise_if_any(check_profiles(profiles))
    return representatives.every_day(ProfileDays.of(profiles))


def rebuild(days: xr.Dataset) -> xr.Dataset:
    """Put each day's representative in its place: typical days become a series again.

    Parameters
    ----------
    days : xr.Dataset
        As returned by `typical_days`; may hold further variables on (day, hour, ...), such as
        results of the typical days.

    Returns
    -------
    xr.Dataset
        Variables on (day, hour, ...) as (time, ...) on the original time axis; variables with
        none of these dims as they are. What has only one of the dims is left out.

    Raises
    ------
    InvalidInput
        Variables that `typical_days` writes are missing, or a label has no representative.
    """
    from clustering.representatives import check_days, spread

    raise_if_any(check_days(days))
    return spread(days)
