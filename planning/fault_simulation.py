"""Sequential Monte Carlo simulation of faults over many years.

Every element works for an exponentially distributed time of mean 8760 / lambda hours, fails, is
repaired and works again: an alternating renewal process on one time axis. A fault interrupts the
load points that its section interrupts (`fault_effects`) for the switching time, and those that
wait until the repair. Where interruptions of a load point overlap they are one. The repair takes
r hours, or (``"exponential"``) tau + Exp(r - tau), so that what waits for r hours on average is
interrupted tau hours at least.

The years are cut into equal batches; intervals are Student's t on the means of the batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from scipy import stats

from planning.fault_effects import FaultEffects, members, sparse_rows
from pp_p2p.network.branches import Array

Repair = Literal["constant", "exponential"]

N_BATCHES: Final = 20
"""Batches of a simulation: enough for a t interval, few enough to be nearly independent."""

_HOURS: Final = 8760.0


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What was simulated, by batch and by year.

    Parameters
    ----------
    rate, hours : (batch, load) of float
        Interruptions and hours without supply, per year.
    yearly : (3, year) of float
        Interruptions, hours and hours of all load points, weighted.
    n_faults : int
        Faults drawn.
    """

    rate: Array
    hours: Array
    yearly: Array
    n_faults: int


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Confidence intervals from means of batches (first axis of every argument)."""

    confidence: float
    n_batches: int

    def mean(self, values: Array) -> Array:
        """Return (2, ...) low and high of the mean of `values`."""
        half = self._quantile() * values.std(axis=0, ddof=1) / np.sqrt(self.n_batches)
        centre = values.mean(axis=0)
        return np.stack([centre - half, centre + half])

    def ratio(self, part: Array, whole: Array) -> Array:
        """Return (2,) low and high of mean(part) / mean(whole), to first order (delta method)."""
        if not whole.any():
            return np.full(2, np.nan)
        centre = part.mean() / whole.mean()
        half = self._quantile() * (part - centre * whole).std(ddof=1) / np.sqrt(self.n_batches)
        return np.array([centre - half / whole.mean(), centre + half / whole.mean()])

    def _quantile(self) -> float:
        return float(stats.t.ppf(0.5 + self.confidence / 2, self.n_batches - 1))


def simulate(
    effects: FaultEffects,
    interrupted: Any,
    waiting: Any,
    *,
    weights: Array,
    years: int,
    seed: int,
    repair: Repair,
) -> Sample:
    """Simulate `years` years.

    Parameters
    ----------
    effects : FaultEffects
    interrupted, waiting : sparse (row, load) of bool
        By rows of `effects`.
    weights : (3, load) of float
        Of load points in `Sample.yearly`.
    years : int
        At least `N_BATCHES`.
    seed : int
    repair : {"constant", "exponential"}
    """
    rng = np.random.default_rng(seed)
    start, fault, long_h = _draw(effects, years, rng, repair)
    short_h = effects.switching_h[fault]
    n_rows, n_loads = interrupted.shape
    of_row = sparse_rows(_positions(effects.row[fault], n_rows), len(start))
    batch = np.arange(years) * N_BATCHES // years
    length = np.bincount(batch, minlength=N_BATCHES)
    rate, hours, yearly = (np.zeros(n) for n in ((N_BATCHES, n_loads),) * 2 + ((3, years),))
    for loads, hit_rows, waiting_rows in _alike(interrupted, waiting):
        hit = np.sort(
            np.concatenate([np.zeros(0, np.int64), *(members(of_row, r) for r in hit_rows)])
        )
        waits = np.isin(effects.row[fault[hit]], waiting_rows)
        count, lost = _merge(start[hit], np.where(waits, long_h[hit], short_h[hit]), years)
        rate[:, loads] = (np.bincount(batch, count) / length)[:, None]
        hours[:, loads] = (np.bincount(batch, lost) / length)[:, None]
        yearly += np.stack([count, lost, lost]) * weights[:, loads].sum(axis=1)[:, None]
    return Sample(rate=rate, hours=hours, yearly=yearly, n_faults=len(start))


def _positions(label: Array, n: int) -> list[Array]:
    """Return for each of `n` labels where it stands in `label`."""
    order = np.argsort(label, kind="stable")
    return np.split(order, np.searchsorted(label[order], np.arange(1, n))) if n else []


def _alike(interrupted: Any, waiting: Any) -> Iterator[tuple[Array, Array, Array]]:
    """Yield load points that all faults treat alike, with the rows that interrupt and keep them."""
    hit, stays = interrupted.T.tocsr(), waiting.T.tocsr()
    groups: dict[tuple[bytes, bytes], list[int]] = {}
    for load in range(hit.shape[0]):
        key = (np.sort(members(hit, load)).tobytes(), np.sort(members(stays, load)).tobytes())
        groups.setdefault(key, []).append(load)
    for loads in groups.values():
        yield np.array(loads), members(hit, loads[0]), members(stays, loads[0])


def _draw(
    effects: FaultEffects, years: int, rng: np.random.Generator, repair: Repair
) -> tuple[Array, Array, Array]:
    """Return start (h), fault and repair time (h) of every fault, in the order of time."""
    starts, faults, lengths = [np.zeros(0)], [np.zeros(0, dtype=np.int64)], [np.zeros(0)]
    for f in np.flatnonzero(effects.rate > 0):
        expected = effects.rate[f] * years
        least = effects.switching_h[f] if repair == "exponential" else effects.repair_h[f]
        spread = effects.repair_h[f] - least
        now, begun = 0.0, []
        while now < years * _HOURS:
            n = int(expected + 6 * np.sqrt(expected) + 10)
            down = least + rng.exponential(spread, n) if spread > 0 else np.full(n, least)
            up = rng.exponential(_HOURS / effects.rate[f], n)
            begin = now + np.cumsum(up) + np.cumsum(down) - down
            begun.append((begin, down))
            now = float(begin[-1] + down[-1])
        begin, down = (np.concatenate(part) for part in zip(*begun, strict=True))
        inside = begin < years * _HOURS
        starts.append(begin[inside])
        lengths.append(down[inside])
        faults.append(np.full(int(inside.sum()), f))
    start = np.concatenate(starts)
    order = np.argsort(start, kind="stable")
    return start[order], np.concatenate(faults)[order], np.concatenate(lengths)[order]


def _merge(start: Array, length: Array, years: int) -> tuple[Array, Array]:
    """Return interruptions and hours (year,) of outages in the order of their start.

    Outages that overlap are one; one belongs to the year in which it starts, and what lasts beyond
    the last year is cut off.
    """
    if not len(start):
        return np.zeros(years), np.zeros(years)
    end = np.minimum(start + length, years * _HOURS)
    before = np.concatenate([[-np.inf], np.maximum.accumulate(end)[:-1]])
    year = (start // _HOURS).astype(np.int64)
    lasting = np.maximum(end - np.maximum(start, before), 0.0)
    count = np.bincount(year, start > before, minlength=years)
    return count, np.bincount(year, lasting, minlength=years)
