"""Uncertain prices as a few weighted scenarios.

    1 check the arguments                          clustering.price_paths
    2 draw price paths about the forecast          clustering.price_paths
    3 divide them, one scenario per cluster        clustering.density_peak

Nothing heavy is imported before the first call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pp_p2p.errors import raise_if_any

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import ArrayLike


def price_scenarios(
    forecast: xr.DataArray | ArrayLike,
    sigma: xr.DataArray | ArrayLike,
    n_samples: int = 1000,
    n_scenarios: int = 10,
    seed: int = 0,
    *,
    correlation: float = 0.0,
    representative: Literal["mean", "medoid"] = "mean",
) -> xr.Dataset:
    """Draw Gaussian price paths and reduce them to weighted scenarios.

    The deviation from the forecast is sigma_t z_t with a stationary first-order autoregression

        z_t = correlation z_(t-1) + sqrt(1 - correlation^2) e_t,   z_t and e_t ~ N(0, 1)

    The paths drawn are divided by `DensityPeakKMeans`; a scenario is a cluster, its probability the
    cluster's share of the paths.

    Parameters
    ----------
    forecast : (time,), EUR/MWh
        Expected price; a DataArray keeps its name, stamps and attributes, anything else becomes
        ``price_eur_per_mwh`` over 0, 1, 2, ... Prices may be negative.
    sigma : float or (time,), EUR/MWh
        Standard deviation, >= 0. Steps of zero stay at the forecast. Zero everywhere is no
        uncertainty: one scenario of probability 1, the forecast.
    n_samples : int, default=1000
        Number of paths drawn.
    n_scenarios : int, default=10
        Number of scenarios, at most `n_samples`.
    seed : int, default=0
        Of numpy's default generator; the same seed gives the same numbers.
    correlation : float, default=0.0
        Of the deviations of two successive steps, in (-1, 1). 0: steps are independent.
    representative : {"mean", "medoid"}, default="mean"
        The mean path of the cluster, or the path nearest to it, which is as rough as a drawn one.

    Returns
    -------
    xr.Dataset
        The price (scenario, time), the most probable scenario first, and probability(scenario),
        1, which sums to one. attrs: seed, n_samples, correlation, representative, and
        sigma_kept_percent, the root mean square over time of the scenarios' standard deviation,
        of that of the paths.

    Raises
    ------
    InvalidInput
        With every finding: NaN or no step at all, negative sigma, sigma of another shape, fewer
        samples than scenarios, correlation outside (-1, 1).

    Notes
    -----
    The mean is kept exactly, not only on average: the sample mean of the deviations is taken from
    every path, so the mean of all paths is the forecast at every step, and so is the mean of the
    cluster means weighted by their probabilities. Medoids are shifted together, each step by the
    same amount for all scenarios, until that holds for them too.

    What scenarios lose is variance: that within the clusters. `sigma_kept_percent` says how much
    is left; more scenarios or correlated steps keep more.

    References
    ----------
    Wang et al. (2024): Gaussian Monte-Carlo price paths reduced by clustering. Autocorrelation,
    the exact mean and the clustering by density peaks are ours.

    Examples
    --------
    >>> import numpy as np
    >>> from clustering import price_scenarios
    >>> forecast = 60.0 + 20.0 * np.sin(np.arange(24) / 24 * 2 * np.pi)
    >>> ds = price_scenarios(forecast, 8.0, n_scenarios=5, correlation=0.9)
    >>> dict(ds["price_eur_per_mwh"].sizes)
    {'scenario': 5, 'time': 24}
    >>> mean = ds["probability"].values @ ds["price_eur_per_mwh"].values
    >>> bool(np.allclose(mean, forecast, rtol=1e-12))
    True
    """
    from clustering.price_paths import PathOptions, check_paths, read_forecast, scenarios

    options = PathOptions(
        n_samples=n_samples,
        n_scenarios=n_scenarios,
        seed=seed,
        correlation=correlation,
        representative=representative,
    )
    raise_if_any(check_paths(forecast, sigma, options))
    return scenarios(read_forecast(forecast), sigma, options)
