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
    representative: Literal["medoid", "mean"] = "medoid",
    keep_energy: bool = True,
    extreme_days: Sequence[str] = (),
    weights_by: Mapping[str, float] | None = None,
    max_days: int | None = None,
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
        Number of clusters. Extreme days come on top.
    representative : {"medoid", "mean"}, default="medoid"
        A real day of the cluster (keeps the variability) or the mean of its days.
    keep_energy : bool, default=True
        Scale each channel of the representatives so that its weighted sum equals the sum of the
        days they stand for, never beyond the channel's own limits; zero stays zero; positive and
        negative values are conserved apart. Variables with "price" in their name are shifted
        instead, within their own limits, so that spreads stay and the mean is conserved.
    extreme_days : sequence of {"peak_net_load", "min_net_load", "peak_load"}
        Days that represent themselves, unscaled, with weight 1: the ones with the largest
        (smallest) step of load less sgen, or the largest step of load. They are put aside before
        the others are clustered. Of equal days the first counts.
    weights_by : mapping of str to float, optional
        Weight of each variable's features; 1 where not given.
    max_days : int, optional
        Bound on the number of representatives, extreme days included. Without it "auto" tries up
        to ``min(20, sqrt(days))`` clusters.

    Returns
    -------
    xr.Dataset
        The variables on (day, hour, ...), representatives in the order of their dates and then
        the extreme days; ``hour`` is the start of the step in h since midnight.
        weight : (day,), days that each represents; sums to the number of days
        source_day : (day,), ISO date, "" for a mean
        original_date : (original_day,), ISO date
        label : (original_day,), representative of each day

        attrs: step_h (h), n_days_total, method, time_unit, and as JSON: scores (what "auto"
        compared), extreme_days (name -> date), feature_range (variable -> annual range of each
        channel), energy_not_kept (channels that could not be conserved and were left as they
        are).

    Raises
    ------
    InvalidInput
        With every finding: NaN, stamps that are missing, repeated, uneven or with a time zone,
        incomplete days, unknown options, more clusters than (different) days.

    Notes
    -----
    Two prices are left unshifted, and reported, if shifting would put price_sell_eur_per_mwh
    above price_buy_eur_per_mwh where it never was.

    References
    ----------
    Thesis on planning of active distribution networks, ch. 1: typical days by density peaks and
    K-means. The conservation of sums and the choice of "auto" are reconstructed.
    """
    from clustering.day_options import Options, check_counts, check_options
    from clustering.profile_days import ProfileDays, check_profiles
    from clustering.representatives import divide, extremes_of, represent

    options = Options(
        n_days=n_days,
        representative=representative,
        keep_energy=keep_energy,
        extreme_days=extreme_days,
        weights_by={} if weights_by is None else weights_by,
        max_days=max_days,
    )
    raise_if_any([*check_profiles(profiles), *check_options(profiles, options)])
    days = ProfileDays.of(profiles)
    extremes = extremes_of(days, options.extreme_days)
    features, ranges = days.features(options.weights_by)
    raise_if_any(check_counts(features, extremes, options))
    division = divide(features, extremes, options)
    return represent(days, division, options, ranges)


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
