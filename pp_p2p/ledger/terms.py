"""Terms of a trading day on the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Real
from typing import Final

from pp_p2p.errors import Finding, raise_if_any

MAX_SEATS: Final = 8
MAX_STEPS: Final = 48
MAX_LEVELS: Final = 25

PHASES: Final = ("idle", "offer", "reveal", "clear", "deliver", "dispute", "resolve", "settle")
"""Phases of a day, by their number in the contract."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What the operator of the market sets for a day.

    Parameters
    ----------
    collateral_eur : float
        Deposited by every region beside what its highest offers need; imbalances are paid from it.
    forfeit_eur : float
        Lost of it by who commits to offers and does not reveal them.
    bond_eur : float
        Staked by who disputes a reading.
    tolerance_mwh : float
        Energy by which a reading may differ from the schedule in a step.
    penalty_eur_per_mwh : float
        Price of imbalance above the purchase price of the grid.
    window_s : float
        Longest duration of each phase. A phase ends at once when all have done their part.
    """

    collateral_eur: float = 100.0
    forfeit_eur: float = 50.0
    bond_eur: float = 20.0
    tolerance_mwh: float = 0.001
    penalty_eur_per_mwh: float = 50.0
    window_s: float = 3600.0

    def __post_init__(self) -> None:
        raise_if_any(_findings(self))


def _findings(terms: Terms) -> Iterator[Finding]:
    def wrong(column: str, mend: str) -> Finding:
        rule = f"is {getattr(terms, column)!r}"
        return Finding(table="Terms", column=column, rule=rule, mend=mend)

    for name, least, most in (
        ("collateral_eur", 1e-6, 1e12),
        ("forfeit_eur", 0.0, 1e12),
        ("bond_eur", 0.0, 1e12),
        ("tolerance_mwh", 0.0, 1e3),
        ("penalty_eur_per_mwh", 0.0, 1e6),
        ("window_s", 1.0, 1e9),
    ):
        value = getattr(terms, name)
        number = isinstance(value, Real) and not isinstance(value, bool)
        if not (number and least <= value <= most):
            yield wrong(name, f"use a number from {least:g} to {most:g}")
            return
    if terms.forfeit_eur > terms.collateral_eur:
        yield wrong("forfeit_eur", "use at most the collateral, of which it is taken")
