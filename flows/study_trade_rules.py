"""Rules of the study file about ``[trade]``, on its raw table: which mechanism takes which key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError

from flows.key_meaning import Violation, drop_without_meaning, meaning_violations
from flows.raw_tables import Raw, is_text, table, tables
from flows.study_market import COMBINED, STACKELBERG, UNMANAGED, Trade
from flows.study_text import KeyPath, listed
from flows.trade_options import mechanism_of, reconfiguration_of, scheme_of
from pp_p2p.errors import InvalidInput

FEE: Final = "network_fee_eur_per_mwh"
SEES_THE_NETWORK: Final = {"fee": "nodal_price", "bargaining_power": "marginal"}
"""Choices of a bargain that need the network's own prices, or many more clearings."""

MADE_OF: Final[Mapping[Callable[[Trade], Any], KeyPath]] = {
    mechanism_of: ("trade",),
    scheme_of: ("trade", "distributed"),
    reconfiguration_of: ("trade", "reconfigure"),
}
"""What checks its own choices, and the section that they stand in."""


def trade_rules(raw: Raw) -> Iterator[Violation]:
    """Yield keys that belong to another mechanism, and choices that the mechanism refuses."""
    trade = table(raw, "trade")
    yield from meaning_violations(Trade, trade, ("trade",))
    if FEE in trade and not _has_fee(raw):
        rule = f"has no meaning for mechanism {COMBINED!r}"
        yield ("trade", FEE), rule, "remove it: regions pay no fee on what crosses their link"
    for key, value in SEES_THE_NETWORK.items():
        if trade.get(key) == value and trade.get("congestion", UNMANAGED) != UNMANAGED:
            rule = f"is {value!r}, which a market that is cleared without the network cannot know"
            yield ("trade", key), rule, "choose another one, or remove congestion"
    yield from _devices(raw, trade)
    try:
        section = Trade.model_validate(trade)
    except ValidationError:
        return  # the structure tells
    for make, home in MADE_OF.items():
        try:
            make(section)
        except InvalidInput as error:
            for one in error.findings:
                yield (*home, one.column), one.rule, one.mend


def _devices(raw: Raw, trade: Raw) -> Iterator[Violation]:
    """Yield a market without the network beside devices that only the network could move."""
    key = "mechanism" if trade.get("mechanism") == STACKELBERG else "congestion"
    if key == "congestion" and trade.get(key, UNMANAGED) == UNMANAGED:
        return
    sops = [one for _, one in tables(raw, "sop") if one.get("in_service") is not False]
    there = [str(one.get("name")) for one in sops]
    targets = [str(c["sop"]) for _, c in tables(raw, "candidate") if is_text(c.get("sop"))]
    if names := list(dict.fromkeys([*there, *targets])):
        rule = f"is {trade[key]!r}: a market that cannot move soft open points ({listed(names)})"
        mend = "leave them out, here or in the scenario, or bargain without congestion management"
        yield ("trade", key), rule, mend


def drop_of_other_mechanisms(raw: dict[str, Any], given: set[str]) -> None:
    """Remove keys of ``[trade]`` that belong to another mechanism than the one of a case.

    Parameters
    ----------
    raw : dict
        The tables of a case; changed in place.
    given : set of str
        Keys of ``[trade]`` that the case itself gives: they stay, and are refused.
    """
    trade = raw.get("trade")
    if not isinstance(trade, dict):
        return
    drop_without_meaning(Trade, trade, given.__contains__)
    if FEE in trade and FEE not in given and not _has_fee(raw):
        del trade[FEE]


def _has_fee(raw: Raw) -> bool:
    """Tell whether anyone reads the fee: the planning together does, whatever the mechanism."""
    return table(raw, "trade").get("mechanism") != COMBINED or "collaboration" in raw
