"""What is agreed on a day: whether the gain of trading is real, who gets which part of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from pp_p2p.market.clearing import ClearingData
from pp_p2p.market.day_result import Day, worth_of
from pp_p2p.market.settlement import (
    Settlement,
    bargaining_powers,
    settle,
    split_quality,
    verdict,
    worse_off,
)
from pp_p2p.network.branches import Array

GAIN_TOLERANCE: Final = 1e-6
"""A gain below this share of all cost is the solver's noise: no trade is published."""


@dataclass(frozen=True, kw_only=True)
class Bargain:
    """The outcome of a bargain: the `day` that is published, and its money.

    `agreed` is whether it is the day with trades; `word` says so, or why not. `gain`, what the
    solver leaves open of it (`error`) and what counts as none (`noise`) are EUR.
    """

    day: Day
    money: Settlement
    agreed: bool
    word: str
    gain: float
    error: float
    noise: float

    def attrs(self) -> dict[str, object]:
        """Return what a result tells of it."""
        return {
            "gain_eur": self.gain,
            "gain_tolerance_eur": self.noise,
            "gain_error_eur": self.error,
            "split": split_quality(self.gain, self.error, agreed=self.word == "agreed"),
            "trade": self.word,
            "bargaining_groups": int(self.money.group.max(initial=-1)) + 1,
        }


def gain_of(data: ClearingData, cost_alone: Array, cost: Array) -> float:
    """Return what all who bargain gain together, EUR; costs are by account."""
    saved = cost_alone - cost
    return float(saved.sum() if data.mechanism.operator == "inside" else saved[:-1].sum())


def least_gain(cost_alone: Array) -> float:
    """Return the gain below which nothing is traded, EUR."""
    return GAIN_TOLERANCE * max(float(np.abs(cost_alone).sum()), 1.0)


def strike(
    data: ClearingData,
    alone: Day,
    together: Day,
    gains_without: Callable[[], Array],
    *,
    refused: Day,
    bounds_apart: bool,
) -> Bargain:
    """Return what comes of the day `alone` and the day `together`.

    Parameters
    ----------
    data : ClearingData
    alone, together : Day
    gains_without : callable
        Gives the gain of all others where each participant (participant,) stays out, EUR; asked
        where powers are marginal contributions.
    refused : Day
        What is published where nobody agrees: the day alone.
    bounds_apart : bool
        Whether costs and their bounds are apart by more than a solver's tolerance, so that what
        lies between them is no gain.
    """
    gain = gain_of(data, alone.cost, together.cost)
    error = alone.unproved + together.unproved
    noise = least_gain(alone.cost)
    noise += error if bounds_apart else 0.0
    agreed = gain > noise
    day = together if agreed else refused
    marginal = None
    if agreed and data.mechanism.bargaining_power == "marginal":
        marginal = gain - gains_without()
    power = bargaining_powers(data, day.trades_mwh, marginal)

    def settled(day: Day) -> Settlement:
        return settle(data, day.trades_mwh, alone.cost - day.cost, power, worth_of(day, data))

    money = settled(day)
    worse = worse_off(data, alone.cost - day.cost, money, noise)
    if len(worse):
        agreed, day = False, refused
        money = settled(day)
    return Bargain(
        day=day,
        money=money,
        agreed=agreed,
        word=verdict(float(together.trades_mwh.sum()), gain, noise, worse),
        gain=gain,
        error=error,
        noise=noise,
    )
