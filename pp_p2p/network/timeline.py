"""Time as models see it: days of equal steps, one after the other, each with a weight.

One hour, one day and a set of typical days are the same thing here; there is no second,
multi-period copy of any problem.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import xarray as xr

from pp_p2p.errors import Finding, InvalidInput, raise_if_any
from pp_p2p.names import DAY, HOUR, PROFILE_DIMS, SCENARIO, SET_POINT_DIMS, TIME
from pp_p2p.network.branches import Array

_NS_PER_H = 3_600e9

PROBABILITY_TOLERANCE = 1e-6
"""Rounding that is left to the sum of probabilities."""


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Steps of a problem.

    Parameters
    ----------
    n_days : int
        Blocks over which storage and shiftable energy are balanced.
    steps_per_day : int
        Steps of each block.
    step_h : float
        Length of a step, h.
    weight : (day,) of float
        How many days of the year each block stands for; 1 where a day stands for itself.
    dims : tuple of str
        ``("time",)``, ``("day", "hour")`` or ``("scenario", "time")``: dimensions of a result.
        Scenarios of one day are days whose weights are their probabilities.
    coords : mapping
        Coordinates of those dimensions.
    """

    n_days: int
    steps_per_day: int
    step_h: float
    weight: Array
    dims: tuple[str, ...]
    coords: Mapping[str, Array]

    @property
    def n_steps(self) -> int:
        """Number of steps over all days."""
        return self.n_days * self.steps_per_day

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of `dims`."""
        return tuple(len(self.coords[dim]) for dim in self.dims)

    @property
    def step_weight(self) -> Array:
        """Weight of every step (step,)."""
        return np.repeat(self.weight, self.steps_per_day)

    def next_step(self, step: int) -> int:
        """Return the step after `step`; the first of the day after the last one."""
        day, position = divmod(step, self.steps_per_day)
        return day * self.steps_per_day + (position + 1) % self.steps_per_day

    def first_steps(self) -> Array:
        """Return the first step of every day."""
        return np.arange(self.n_days) * self.steps_per_day

    @property
    def hour_of_day(self) -> Array:
        """Hour of the day (step,) at which each step begins."""
        last = self.coords[self.dims[-1]]
        if np.issubdtype(last.dtype, np.datetime64):
            hours = (last - last.astype("datetime64[D]")).astype("timedelta64[ns]").astype(float)
            hours = hours / _NS_PER_H
        else:
            hours = last.astype(float)
        return np.tile(np.mod(hours, 24.0), self.n_steps // len(last))

    def label(self, step: int) -> str:
        """Return the name of `step`: ``time 2016-01-01T00``, ``day 0, hour 12.0``."""
        position = np.unravel_index(step, self.shape)
        named = zip(self.dims, position, strict=True)
        return ", ".join(f"{dim} {self.coords[dim][k]}" for dim, k in named)

    def array(self, profiles: xr.Dataset, name: str) -> Array:
        """Return variable `name` as (step,) or (step, element) floats.

        What does not depend on the scenario is the same in each.
        """
        given = profiles[name]
        if SCENARIO in self.dims and SCENARIO not in given.dims:
            given = given.expand_dims({SCENARIO: self.coords[SCENARIO]})
        values = given.transpose(*self.dims, ...).to_numpy().astype(float)
        return values.reshape(self.n_steps, *values.shape[len(self.dims) :])

    @classmethod
    def from_profiles(cls, profiles: xr.Dataset) -> Self:
        """Read the time axis of `profiles`: ``time`` (stamps or hours), or ``day`` and ``hour``.

        With a dim ``scenario`` beside ``time``, each scenario is one way that the time may go, with
        its ``probability(scenario)``.

        Raises
        ------
        InvalidInput
            No dataset, neither of both, no step at all, uneven steps, a weight below zero, a
            scenario without a chance, a profile with other dims than `pp_p2p.names` says, or a
            value that is not a finite number.
        """
        if not isinstance(profiles, xr.Dataset):
            raise InvalidInput(
                Finding(
                    table="profiles",
                    rule=f"is a {type(profiles).__name__}",
                    mend="pass an xarray.Dataset with a dim 'time'",
                )
            )
        if {DAY, HOUR} <= set(profiles.dims):
            line = cls._of_days(profiles)
        elif TIME in profiles.dims:
            line = cls._of_time(profiles)
        else:
            raise InvalidInput(
                Finding(
                    table="profiles",
                    rule="has neither a dim 'time' nor the dims 'day' and 'hour'",
                    mend="name the time dimension 'time', or pass typical days",
                )
            )
        raise_if_any(_of_the_axis(line))
        raise_if_any(_not_finite(profiles, line))
        return line

    @classmethod
    def _of_days(cls, days: xr.Dataset) -> Self:
        hours = days.sizes[HOUR]
        weight = days["weight"].to_numpy().astype(float) if "weight" in days else None
        return cls(
            n_days=days.sizes[DAY],
            steps_per_day=hours,
            step_h=float(days.attrs.get("step_h", 24.0 / max(hours, 1))),
            weight=np.ones(days.sizes[DAY]) if weight is None else weight,
            dims=(DAY, HOUR),
            coords={DAY: days[DAY].to_numpy(), HOUR: days[HOUR].to_numpy()},
        )

    @classmethod
    def _of_time(cls, profiles: xr.Dataset) -> Self:
        stamps = profiles[TIME].to_numpy()
        step_h = 1.0
        if len(stamps) > 1:
            steps = np.diff(stamps)
            if np.issubdtype(stamps.dtype, np.datetime64):
                steps = steps.astype("timedelta64[ns]").astype(float) / _NS_PER_H
            uneven = np.flatnonzero(~np.isclose(steps, steps[0]))
            if uneven.size or steps[0] <= 0:
                raise InvalidInput(
                    Finding(
                        table="profiles",
                        column=TIME,
                        rows=tuple(str(stamps[k + 1]) for k in uneven),
                        rule="steps are not equal and increasing",
                        mend="resample the profiles to one step length",
                    )
                )
            step_h = float(steps[0])
        one = cls(
            n_days=1,
            steps_per_day=len(stamps),
            step_h=step_h,
            weight=np.ones(1),
            dims=(TIME,),
            coords={TIME: stamps},
        )
        if SCENARIO not in profiles.dims:
            return one
        weight = _probabilities(profiles)
        return dataclasses.replace(
            one,
            n_days=len(weight),
            weight=weight,
            dims=(SCENARIO, TIME),
            coords={SCENARIO: profiles[SCENARIO].to_numpy(), TIME: stamps},
        )


def _probabilities(profiles: xr.Dataset) -> Array:
    """Return the probability of each scenario; equal where none is given."""
    count = profiles.sizes[SCENARIO]
    if "probability" not in profiles:
        return np.full(count, 1.0 / max(count, 1))
    weight = profiles["probability"].to_numpy().astype(float)
    bad = np.flatnonzero(~(weight > 0)) if weight.shape == (count,) else np.zeros(0, dtype=int)
    if bad.size:
        raise InvalidInput(
            Finding(
                table="profiles",
                column="probability",
                rows=tuple(f"{SCENARIO} {profiles[SCENARIO].to_numpy()[k]}" for k in bad),
                rule="is not a number above 0",
                mend="drop scenarios that cannot come true: a model would not price them",
            )
        )
    if weight.shape != (count,) or abs(weight.sum() - 1.0) > PROBABILITY_TOLERANCE:
        raise InvalidInput(
            Finding(
                table="profiles",
                column="probability",
                rule=f"has the shape {weight.shape} and sums to {weight.sum():.6g}",
                mend="give one probability for each scenario, summing to 1",
            )
        )
    return weight


def read_prices(profiles: xr.Dataset, line: Timeline) -> tuple[Array, Array]:
    """Return purchase and sale price (step,), EUR/MWh.

    Raises
    ------
    InvalidInput
        One is missing, or the sale price is above the purchase price, which would pay for buying
        and selling at once.
    """
    names = ("price_buy_eur_per_mwh", "price_sell_eur_per_mwh")
    raise_if_any(
        Finding(table="profiles", column=name, rule="is missing", mend=f"add {name}(time)")
        for name in names
        if name not in profiles
    )
    buy, sell = (line.array(profiles, name) for name in names)
    crossed = np.flatnonzero(sell > buy)
    if crossed.size:
        raise InvalidInput(
            Finding(
                table="profiles",
                column=names[1],
                rows=tuple(line.label(int(k)) for k in crossed),
                rule="is above the purchase price, which pays for buying and selling at once",
                mend=f"lower it to at most {names[0]}",
            )
        )
    return buy, sell


def _of_the_axis(line: Timeline) -> list[Finding]:
    found = []
    if line.n_steps == 0:
        rule, mend = "has no step", "pass at least one"
        found.append(Finding(table="profiles", column=line.dims[0], rule=rule, mend=mend))
    elif not (np.isfinite(line.step_h) and line.step_h > 0):
        rule, mend = f"is {line.step_h}, not a length above 0", "say the hours of a step"
        found.append(Finding(table="profiles", column="step_h", rule=rule, mend=mend))
    bad = np.flatnonzero(~(np.isfinite(line.weight) & (line.weight >= 0)))
    if bad.size:
        rule, mend = "is not a number of at least 0", "say how many days each stands for"
        rows = tuple(str(line.coords[line.dims[0]][k]) for k in bad)
        found.append(Finding(table="profiles", column="weight", rows=rows, rule=rule, mend=mend))
    return found


def _not_finite(profiles: xr.Dataset, line: Timeline) -> list[Finding]:
    found = []
    for name, dims in {**PROFILE_DIMS, **SET_POINT_DIMS}.items():
        if name not in profiles:
            continue
        wanted = {*line.dims, *dims[1:]}
        have = {str(dim) for dim in profiles[name].dims}
        if have not in (wanted, wanted - {SCENARIO}):
            found.append(
                Finding(
                    table="profiles",
                    column=name,
                    rule=f"has the dims {', '.join(sorted(have)) or 'none'}",
                    mend=f"give it the dims {', '.join(sorted(wanted))}",
                )
            )
            continue
        if profiles[name].dtype.kind not in "biuf":
            rule, mend = f"holds {profiles[name].dtype} values", "give numbers"
            found.append(Finding(table="profiles", column=name, rule=rule, mend=mend))
            continue
        values = line.array(profiles, name).reshape(line.n_steps, -1)
        rows = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if rows.size:
            found.append(
                Finding(
                    table="profiles",
                    column=name,
                    rows=tuple(line.label(int(k)) for k in rows),
                    rule="is not a finite number",
                    mend="fill the gaps before you pass the profiles",
                )
            )
    return found
