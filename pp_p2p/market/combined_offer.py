"""`CombinedOffer`: how regions around a soft open point trade across it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Real

import numpy as np
import numpy.typing as npt

from pp_p2p.errors import Finding, raise_if_any
from pp_p2p.market.combined_offers import (
    MICRO,
    SHARINGS,
    Combination,
    Integers,
    Sharing,
    combine,
    to_micro,
)

MOST_LEVELS = 60
"""Levels to either side are at most this many."""


@dataclass(frozen=True, kw_only=True)
class CombinedOffer:
    """Trading of regions across a soft open point by the modified highest combined offer.

    Every region values every exchange level by its own optimal operation; the balanced levels of
    the highest summed offer are cleared and the profit is shared (`combined_offers`; Ji et al.
    2022). A region is a part of the net that one terminal of the device and one participant stand
    in.

    Parameters
    ----------
    step_mw : float
        Power between two levels, on the direct-current link: what a region takes from the link is
        its level times this, and the losses of its converter are its own.
    max_level : int
        Levels run from ``-max_level`` (feeds the link) to ``max_level`` (takes from it). What the
        converter or the region's network cannot carry is not offered.
    sharing : {"equal", "traders", "weights"}
        Who shares the profit of a step: all regions alike (Ji et al.), also those that do not
        trade; those that trade; or all by ``net.participant.bargaining_power``.
    total_limit_mw : float
        Most power that may cross the link, all regions together.
    sop : int, optional
        Row of ``net.sop``; needed where there are several.

    Raises
    ------
    InvalidInput
        With everything that is wrong.
    """

    step_mw: float = 0.1
    max_level: int = 6
    sharing: Sharing = "equal"
    total_limit_mw: float = float("inf")
    sop: int | None = None

    def __post_init__(self) -> None:
        raise_if_any(_findings(self))

    @property
    def limit(self) -> int | None:
        """`total_limit_mw` in whole levels; None is no limit."""
        if np.isinf(self.total_limit_mw):
            return None
        return int(np.floor(self.total_limit_mw / self.step_mw + 1e-9))

    def clear(self, offers_eur: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> Combination:
        """Return what is cleared of the offers of regions.

        Parameters
        ----------
        offers_eur : (region, step, level) of float, EUR
            Of the levels ``-max_level`` to ``max_level``; NaN is no offer. What level 0 is worth is
            taken off.
        weights : (region,) of float, optional
            Needed by ``sharing="weights"``.

        Raises
        ------
        InvalidInput
            Offers of another number of levels, without level 0, infinite or too large; weights
            below 0 or all 0.
        """
        offers = to_micro(offers_eur)
        raise_if_any(_clear_findings(self, offers, weights))
        shared = None if weights is None else micro_weights(weights)
        return combine(offers, limit=self.limit, sharing=self.sharing, weights=shared)


def micro_weights(weights: npt.ArrayLike) -> Integers:
    """Return weights (region,) as integers, millionths."""
    return np.round(np.asarray(weights, dtype=float) * MICRO).astype(np.int64)


def _clear_findings(
    mechanism: CombinedOffer, offers: Integers, weights: npt.ArrayLike | None
) -> Iterator[Finding]:
    if offers.shape[2] != 2 * mechanism.max_level + 1:
        yield Finding(
            table="offers",
            rule=f"have {offers.shape[2]} levels",
            mend=f"give {2 * mechanism.max_level + 1}: -max_level to max_level",
        )
    if mechanism.sharing != "weights":
        return
    given = np.asarray([] if weights is None else weights, dtype=float)
    whole = given.shape == offers.shape[:1] and bool(np.isfinite(given).all())
    if not whole or (given < 0).any() or given.max() > MICRO or round(given.sum() * MICRO) < 1:
        yield Finding(
            table="weights",
            rule="are not one number >= 0 for each region, one of them > 0",
            mend="set net.participant.bargaining_power, or share equally",
        )


def _findings(mechanism: CombinedOffer) -> Iterator[Finding]:
    def wrong(column: str, mend: str) -> Finding:
        rule = f"is {getattr(mechanism, column)!r}"
        return Finding(table="CombinedOffer", column=column, rule=rule, mend=mend)

    step: object = mechanism.step_mw
    if not _is_number(step) or not 0.0 < step < np.inf:  # type: ignore[operator]
        yield wrong("step_mw", "use a number > 0")
    levels: object = mechanism.max_level
    whole = isinstance(levels, int | np.integer) and not isinstance(levels, bool)
    if not whole or not 1 <= levels <= MOST_LEVELS:  # type: ignore[operator]
        yield wrong("max_level", f"use a whole number from 1 to {MOST_LEVELS}")
    limit: object = mechanism.total_limit_mw
    if not _is_number(limit) or not limit >= 0.0:  # type: ignore[operator]
        yield wrong("total_limit_mw", "use a number >= 0")
    if mechanism.sharing not in SHARINGS:
        yield wrong("sharing", f"choose one of {', '.join(SHARINGS)}")


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
