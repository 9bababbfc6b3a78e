"""Gaussian price paths and the scenarios that stand for them: see `clustering.price_scenarios`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from clustering.density_peak import DensityPeakKMeans
from clustering.lloyd import means
from clustering.pair_distances import Floats, Ints
from pp_p2p.errors import Finding
from pp_p2p.names import TIME, unit_of

SCENARIO: Final = "scenario"
PRICE: Final = "price_eur_per_mwh"
PROBABILITY: Final = "probability"


@dataclass(frozen=True, kw_only=True)
class PathOptions:
    """Arguments of `price_scenarios`, described there."""

    n_samples: int
    n_scenarios: int
    seed: int
    correlation: float
    representative: Literal["mean", "medoid"]


def check_paths(
    forecast: xr.DataArray | ArrayLike, sigma: xr.DataArray | ArrayLike, options: PathOptions
) -> list[Finding]:
    """Return everything that is wrong with the arguments of `price_scenarios`."""
    findings: list[Finding] = []

    def wrong(argument: str, rule: str, mend: str, rows: tuple[object, ...] = ()) -> None:
        findings.append(Finding(table=argument, rule=rule, mend=mend, rows=rows))

    price, spread = _numbers(forecast), _numbers(sigma)
    if isinstance(forecast, xr.DataArray) and forecast.dims != (TIME,):
        wrong("forecast", f"has dims {forecast.dims}", "give it the one dim 'time'")
    elif price is None or price.ndim != 1 or not price.size:
        wrong("forecast", "is no sequence of numbers", "give a price for every step, EUR/MWh")
    elif not np.isfinite(price).all():
        rows = tuple(int(row) for row in np.flatnonzero(~np.isfinite(price)))
        wrong("forecast", "is NaN or infinite", "give finite prices", rows)
    if spread is None or spread.ndim > 1:
        wrong("sigma", "is no number and no sequence of numbers", "give EUR/MWh, one or per step")
    elif not (np.isfinite(spread).all() and (spread >= 0.0).all()):
        bad = np.atleast_1d(~(np.isfinite(spread) & (spread >= 0.0)))
        rows = tuple(int(row) for row in np.flatnonzero(bad)) if spread.ndim else ()
        wrong("sigma", "is negative, NaN or infinite", "give finite numbers >= 0", rows)
    elif spread.ndim and price is not None and spread.shape != price.shape:
        wrong("sigma", f"has shape {spread.shape}", f"give one number, or shape {price.shape}")
    for name in ("n_samples", "n_scenarios"):
        if not _is_whole(getattr(options, name), 1):
            wrong(name, f"is {getattr(options, name)!r}", "give a whole number of at least 1")
    if not findings and options.n_scenarios > options.n_samples:
        wrong(
            "n_scenarios",
            f"asks for {options.n_scenarios} scenarios of {options.n_samples} samples",
            "draw more samples or ask for fewer scenarios",
        )
    if not _is_whole(options.seed, 0):
        wrong("seed", f"is {options.seed!r}", "give a whole number of at least 0")
    if not (isinstance(options.correlation, int | float) and -1.0 < options.correlation < 1.0):
        wrong("correlation", f"is {options.correlation!r}", "give a number between -1 and 1")
    if options.representative not in ("mean", "medoid"):
        wrong("representative", f"is {options.representative!r}", "give 'mean' or 'medoid'")
    return findings


def read_forecast(forecast: xr.DataArray | ArrayLike) -> xr.DataArray:
    """Return the forecast as an array over ``time`` that has a name and units."""
    if isinstance(forecast, xr.DataArray):
        array = forecast.astype(np.float64)
        array.name = array.name or PRICE
    else:
        values = np.asarray(forecast, dtype=np.float64)
        array = xr.DataArray(values, {TIME: np.arange(len(values))}, (TIME,), name=PRICE)
    array.attrs = {"units": unit_of(str(array.name)) or "EUR/MWh", **array.attrs}
    return array


def scenarios(
    forecast: xr.DataArray, sigma: xr.DataArray | ArrayLike, options: PathOptions
) -> xr.Dataset:
    """Return the scenarios that `price_scenarios` describes."""
    mean = forecast.to_numpy()
    spread = np.broadcast_to(np.asarray(sigma, dtype=np.float64), mean.shape)
    deviation = spread * _standard_paths(len(mean), options)
    labels, chosen = _reduced(deviation, options)
    count = np.bincount(labels)
    probability = count / count.sum()
    chosen = chosen - probability @ chosen  # rounding, and all of what medoids are off
    order = np.lexsort((*chosen.T[::-1], -count))
    kept = np.sqrt(probability @ np.square(chosen)), deviation.std(axis=0)
    drawn = float(np.linalg.norm(kept[1]))
    result = xr.Dataset(
        {
            str(forecast.name): ((SCENARIO, TIME), mean + chosen[order], forecast.attrs),
            PROBABILITY: (SCENARIO, probability[order], {"units": "1"}),
        },
        coords={**forecast.coords, SCENARIO: np.arange(len(order))},
    )
    result.attrs = {
        "seed": options.seed,
        "n_samples": options.n_samples,
        "correlation": float(options.correlation),
        "representative": options.representative,
        "sigma_kept_percent": 100.0 * float(np.linalg.norm(kept[0])) / drawn if drawn else 100.0,
    }
    return result


def _standard_paths(steps: int, options: PathOptions) -> Floats:
    """Return deviations (sample, time) of variance one whose sample mean is zero."""
    draws = np.random.default_rng(options.seed).standard_normal((options.n_samples, steps))
    fresh = np.sqrt(1.0 - options.correlation**2)
    for step in range(1, steps):
        draws[:, step] = options.correlation * draws[:, step - 1] + fresh * draws[:, step]
    centred: Floats = draws - draws.mean(axis=0)
    return centred


def _reduced(deviation: Floats, options: PathOptions) -> tuple[Ints, Floats]:
    """Return the scenario of each path and the deviations (scenario, time) of the scenarios."""
    if not deviation.any():
        return np.zeros(len(deviation), dtype=np.int64), deviation[:1]
    model = DensityPeakKMeans(options.n_scenarios).fit(deviation)
    labels: Ints = model.labels_
    if options.representative == "medoid":
        return labels, deviation[model.medoid_indices_]
    return labels, means(deviation, np.ones(len(deviation)), labels, model.n_clusters_)


def _numbers(values: object) -> Floats | None:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        return None


def _is_whole(value: object, least: int) -> bool:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return whole and int(value) >= least  # type: ignore[call-overload]
