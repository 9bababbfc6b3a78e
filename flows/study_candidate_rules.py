"""Rules of the study file about candidates and soft open points, on its raw tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flows.key_meaning import Violation, meaning_violations
from flows.raw_tables import Raw, is_number, is_text, tables
from flows.study_candidate import ENERGY, PER_SIZE, STEPWISE, Candidate
from flows.study_elements import Sop
from flows.study_text import KeyPath, listed

SAME_LINE: Final = ("technology", "line", "std_type", "parallel")
"""Two candidates that agree in these are the same."""


def candidate_rules(raw: Raw) -> Iterator[Violation]:
    """Yield what is wrong with candidates."""
    places: dict[tuple[object, ...], int] = {}
    for i, candidate in tables(raw, "candidate"):
        technology, here = candidate.get("technology"), ("candidate", i)
        yield from meaning_violations(Candidate, candidate, here)
        if technology == "storage" and "unit_e_mwh" not in candidate:
            yield from _energy(raw, candidate, here)
        if technology in PER_SIZE:
            yield from _capex(candidate, here, str(technology))
        if technology in STEPWISE:
            yield from _stepwise(candidate, here, str(technology))
        both = ("fixed_om_eur_per_unit_per_year", "fixed_om_percent_per_year")
        if all(key in candidate for key in both):
            yield (*here, both[0]), f"is given together with {both[1]}", "keep one of the two"
        line, same = candidate.get("line"), tuple(candidate.get(key) for key in SAME_LINE)
        if isinstance(line, int) and places.setdefault(same, i) != i:
            rule = f"line {line} is candidate[{places[same]}] already"
            yield (*here, "line"), rule, "name each line once"


def sop_rules(raw: Raw) -> Iterator[Violation]:
    """Yield what is wrong with soft open points."""
    targets = {c["sop"]: i for i, c in tables(raw, "candidate") if is_text(c.get("sop"))}
    for i, sop in tables(raw, "sop"):
        name, buses = sop.get("name"), sop.get("buses")
        if sop.get("in_service") is True and name in targets:
            rule = f"is true, but candidate[{targets[name]}] would build it"
            yield ("sop", i, "in_service"), rule, "remove it, or remove the candidate"
        if not isinstance(buses, list):
            continue
        if twice := sorted({bus for bus in buses if isinstance(bus, int) and buses.count(bus) > 1}):
            rule = f"has bus {listed(twice)} more than once"
            yield ("sop", i, "buses"), rule, "name a bus of its own for each terminal"
        for key in Sop.model_fields:
            values = sop.get(key)
            if key == "buses" or not isinstance(values, list) or len(values) in (1, len(buses)):
                continue
            rule = f"has {len(values)} values for {len(buses)} terminals"
            yield ("sop", i, key), rule, "give one value for all terminals, or one for each"


def _energy(raw: Raw, candidate: Raw, here: KeyPath) -> Iterator[Violation]:
    place = [candidate.get(key) for key in ("bus", "participant")]
    for _, other in tables(raw, "candidate"):
        at = [other.get(key) for key in ("bus", "participant")]
        if other.get("technology") == ENERGY and at == place:
            return
    rule = "is missing, and technology 'storage' needs it"
    mend = f"add unit_e_mwh = ..., or a candidate of technology {ENERGY!r} at its bus"
    yield (*here, "unit_e_mwh"), rule, mend


def _stepwise(candidate: Raw, here: KeyPath, technology: str) -> Iterator[Violation]:
    units = candidate.get("max_units")
    if is_number(units) and units > 1:
        rule = f"{units} is too much for technology {technology!r}"
        yield (*here, "max_units"), rule, "remove it: it is built or not"


def _capex(candidate: Raw, here: KeyPath, technology: str) -> Iterator[Violation]:
    specific = ["capex_eur_per_kw", "capex_eur_per_kwh"]
    given = [key for key in specific if key in candidate]
    if "capex_eur_per_unit" in candidate and given:
        rule = f"is given together with {' and '.join(given)}"
        yield (*here, "capex_eur_per_unit"), rule, "keep one of the two"
    elif "capex_eur_per_unit" not in candidate and not given:
        per_size = {"storage": "capex_eur_per_kw and/or capex_eur_per_kwh",
                    ENERGY: "capex_eur_per_kwh"}.get(technology, "capex_eur_per_kw")  # fmt: skip
        mend = f"add capex_eur_per_unit, or {per_size}"
        yield (*here, "capex_eur_per_unit"), "the investment is missing", mend
