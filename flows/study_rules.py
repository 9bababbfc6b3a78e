"""Rules of the study file that need more than one key, and those that need the net.

They work on the raw TOML tables and look only at values of the right type, so that they find
their mistakes even where other keys are wrong.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeGuard

from flows.study_fields import HOURS_PER_DAY
from flows.study_model import PriceWindow, Study
from flows.study_text import KeyPath, StudyText
from pp_p2p.errors import Finding

Raw = Mapping[str, Any]
Violation = tuple[KeyPath, str, str]
"""Key path, rule, mend."""

NEEDED = {
    "pv": ("bus", "unit_p_mw"),
    "wind": ("bus", "unit_p_mw"),
    "storage": ("bus", "unit_p_mw", "unit_e_mwh"),
    "line": ("line", "capex_eur_per_unit"),
}
MEANINGLESS = {
    "pv": ("unit_e_mwh", "capex_eur_per_kwh", "min_soc_percent", "line"),
    "wind": ("unit_e_mwh", "capex_eur_per_kwh", "min_soc_percent", "line"),
    "storage": ("line",),
    "line": ("unit_p_mw", "unit_e_mwh", "capex_eur_per_kw", "capex_eur_per_kwh"),
}


def rule_findings(raw: Raw, text: StudyText) -> list[Finding]:
    """Return the findings of all rules on the raw tables of a study file."""
    rules = (_names, _owners, _candidates, _prices, _limits, _collaboration, _horizon)
    return [text.finding(*violation) for rule in rules for violation in rule(raw)]


def network_findings(study: Study, net: Mapping[str, Any]) -> list[Finding]:
    """Return what `study` names and `net` does not have: buses, loads, lines.

    Parameters
    ----------
    study : Study
        As loaded.
    net : pandapowerNet or mapping of tables
        Tables ``bus``, ``load``, ``line`` and, where they exist, ``sgen`` and ``switch``.
    """
    text = study.places
    return [text.finding(*violation) for violation in _against_net(study, net)]


def closest(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'x'? `` or an empty text."""
    by_lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return f"did you mean {by_lower[found[0]]!r}? " if found else ""


def _names(raw: Raw) -> Iterator[Violation]:
    for section in ("participant", "candidate"):
        named = [(i, t["name"]) for i, t in _tables(raw, section) if isinstance(t.get("name"), str)]
        counts = Counter(name for _, name in named)
        for i, name in named:
            if counts[name] > 1 and (i, name) != next(pair for pair in named if pair[1] == name):
                yield (section, i, "name"), f"{name!r} is taken", "give each one its own name"


def _owners(raw: Raw) -> Iterator[Violation]:
    participants = _tables(raw, "participant")
    names = list(dict.fromkeys(t["name"] for _, t in participants if _is_text(t.get("name"))))
    for i, candidate in _tables(raw, "candidate"):
        owner = candidate.get("participant")
        if isinstance(owner, str) and owner not in names:
            mend = f"{closest(owner, names)}leave it out for the operator, or write one of: "
            rule = f"there is no participant {owner!r}"
            yield ("candidate", i, "participant"), rule, mend + _listed(names)
    owner_of: dict[int, int] = {}
    for i, participant in participants:
        buses = participant.get("load_buses")
        for bus in buses if isinstance(buses, list) else ():
            if isinstance(bus, int) and owner_of.setdefault(bus, i) != i:
                rule = f"the loads at bus {bus} belong to participant[{owner_of[bus]}] already"
                yield ("participant", i, "load_buses"), rule, "name each bus once"


def _candidates(raw: Raw) -> Iterator[Violation]:
    lines: dict[int, int] = {}
    for i, candidate in _tables(raw, "candidate"):
        technology = candidate.get("technology")
        here = ("candidate", i)
        if isinstance(technology, str) and technology in NEEDED:
            for key in NEEDED[technology]:
                if key not in candidate:
                    rule = f"is missing, and technology {technology!r} needs it"
                    yield (*here, key), rule, f"add {key} = ..."
            for key in MEANINGLESS[technology]:
                if key in candidate:
                    rule = f"has no meaning for technology {technology!r}"
                    yield (*here, key), rule, "remove it"
            if technology != "line":
                yield from _capex(candidate, here, technology)
        both = ("fixed_om_eur_per_unit_per_year", "fixed_om_percent_per_year")
        if all(key in candidate for key in both):
            yield (*here, both[0]), f"is given together with {both[1]}", "keep one of the two"
        line = candidate.get("line")
        if isinstance(line, int) and lines.setdefault(line, i) != i:
            rule = f"line {line} is candidate[{lines[line]}] already"
            yield (*here, "line"), rule, "name each line once"


def _capex(candidate: Raw, here: KeyPath, technology: str) -> Iterator[Violation]:
    specific = ["capex_eur_per_kw", "capex_eur_per_kwh"]
    given = [key for key in specific if key in candidate]
    if "capex_eur_per_unit" in candidate and given:
        rule = f"is given together with {' and '.join(given)}"
        yield (*here, "capex_eur_per_unit"), rule, "keep one of the two"
    elif "capex_eur_per_unit" not in candidate and not given:
        per_kwh = " and/or capex_eur_per_kwh" if technology == "storage" else ""
        mend = f"add capex_eur_per_unit, or capex_eur_per_kw{per_kwh}"
        yield (*here, "capex_eur_per_unit"), "the investment is missing", mend


def _prices(raw: Raw) -> Iterator[Violation]:
    prices = _table(raw, "prices")
    if not prices:
        return
    windows = _tables(prices, "buy_window")
    if ("buy_eur_per_mwh" in prices) == bool(windows):
        rule = "is given twice" if windows else "the purchase price is missing"
        mend = "give either prices.buy_eur_per_mwh or [[prices.buy_window]]"
        yield ("prices", "buy_eur_per_mwh"), rule, mend
        return
    buy = _hours_of_windows(windows) if windows else _hourly(prices.get("buy_eur_per_mwh"))
    wrong = [hour for hour, values in enumerate(buy) if len(values) != 1] if windows else []
    if wrong:
        rule = f"hours {_listed(wrong)} are in no window or in several"
        yield ("prices", "buy_window"), rule, "let the windows cover each hour 0 to 23 once"
        return
    sell = _hourly(prices.get("sell_eur_per_mwh"))
    dear = [h for h, (s, b) in enumerate(zip(sell, buy, strict=False)) if s and b and s[0] > b[0]]
    if dear:
        rule = f"is above the purchase price in hours {_listed(dear)}: buying to sell would pay"
        yield ("prices", "sell_eur_per_mwh"), rule, "lower it to the purchase price or below"


def _hours_of_windows(windows: list[tuple[int, Raw]]) -> list[list[float]]:
    hours: list[list[float]] = [[] for _ in range(HOURS_PER_DAY)]
    for _, window in windows:
        start, end, price = (window.get(k) for k in ("from_h", "to_h", "price_eur_per_mwh"))
        if not (_is_hour(start, 0, 23) and _is_hour(end, 1, 24) and _is_number(price)):
            return []
        as_window = PriceWindow(from_h=start, to_h=end, price_eur_per_mwh=price)
        for hour in as_window.hours:
            hours[hour].append(price)
    return hours


def _limits(raw: Raw) -> Iterator[Violation]:
    network = _table(raw, "network")
    low, high = network.get("min_vm_pu"), network.get("max_vm_pu")
    if _is_number(low) and _is_number(high) and low >= high:
        yield (
            ("network", "min_vm_pu"),
            f"{low} is not below max_vm_pu = {high}",
            "swap or widen them",
        )
    rates = _table(network, "reliability")
    repair, switching = rates.get("repair_time_h"), rates.get("switching_time_h")
    if _is_number(repair) and _is_number(switching) and switching > repair:
        rule = f"{switching} h is longer than repair_time_h = {repair}"
        path = ("network", "reliability", "switching_time_h")
        yield path, rule, "switching comes before repair: make it the shorter one"
    if "eens_limit_mwh_per_year" in _table(raw, "planning") and not rates:
        rule = "needs failure rates, and [network.reliability] is missing"
        mend = "add [network.reliability], or remove the limit"
        yield ("planning", "eens_limit_mwh_per_year"), rule, mend


def _collaboration(raw: Raw) -> Iterator[Violation]:
    if "collaboration" not in raw:
        return
    planning = _table(raw, "planning")
    mend = "remove it, or remove [collaboration]"
    if planning.get("islands") == "schedule":
        rule = "is 'schedule', which [collaboration] does not know"
        yield ("planning", "islands"), rule, "use 'reserve' or 'none', or remove [collaboration]"
    for key in ("max_sites", "emission_cap_t_per_year"):
        if key in planning:
            yield ("planning", key), "is a limit that [collaboration] does not know", mend
    for key in ("renewable_share_percent", "emission_price_eur_per_t"):
        if _is_number(planning.get(key)) and planning[key] > 0:
            yield ("planning", key), "is not known to [collaboration]", mend
    if not _tables(raw, "candidate"):
        rule = "has nothing to decide: there is no candidate"
        yield ("collaboration",), rule, "add [[candidate]], or remove [collaboration]"
    if "horizon" in raw:
        rule = "decides for one year, and [horizon] has several"
        yield ("collaboration",), rule, "remove [collaboration], or remove [horizon]"


def _horizon(raw: Raw) -> Iterator[Violation]:
    horizon = _table(raw, "horizon")
    years = horizon.get("stage_years")
    if not isinstance(years, list):
        return
    for key in ("eens_limit_mwh_per_year", "stage_budget_eur"):
        given = horizon.get(key)
        if isinstance(given, list) and len(given) not in (0, len(years)):
            rule = f"has {len(given)} values for {len(years)} stages"
            yield ("horizon", key), rule, "give one for each stage"
    for key in ("max_sites", "demand_growth_percent"):
        if key in _table(raw, "planning"):
            rule = "has no meaning beside [horizon]"
            yield ("planning", key), rule, "remove it; growth of each year stands in [horizon]"
    for i, candidate in _tables(raw, "candidate"):
        life = candidate.get("lifetime_years")
        if _is_number(life) and life != round(life):
            rule = f"{life} is no whole number of years"
            yield ("candidate", i, "lifetime_years"), rule, "round it: [horizon] counts in years"
    if horizon.get("eens_limit_mwh_per_year") and not _table(_table(raw, "network"), "reliability"):
        rule = "needs failure rates, and [network.reliability] is missing"
        mend = "add [network.reliability], or remove the limit"
        yield ("horizon", "eens_limit_mwh_per_year"), rule, mend


def _against_net(study: Study, net: Mapping[str, Any]) -> Iterator[Violation]:
    buses, loads, lines = set(net["bus"].index), net["load"], net["line"]
    span = f"indices of net.bus run from {min(buses)} to {max(buses)}" if buses else "no buses"
    mend = f"use a pandapower bus index ({span})"
    for path, bus in _buses(study):
        if bus not in buses:
            yield path, f"the net has no bus {bus}", mend
        elif "load_buses" in path and bus not in set(loads["bus"]):
            yield path, f"there is no load at bus {bus}", "remove the bus from the list"
    for i, candidate in enumerate(study.candidate):
        line = candidate.line
        if line is None:
            continue
        if line not in lines.index:
            yield (
                ("candidate", i, "line"),
                f"the net has no line {line}",
                "use an index of net.line",
            )
        elif bool(lines.at[line, "in_service"]) and line not in _open_lines(net):
            rule = f"line {line} is in service and closed already"
            yield ("candidate", i, "line"), rule, "name a line that is out of service or open"
    for table, by in (("load", study.profiles.load.by_load), ("sgen", study.profiles.sgen.by_sgen)):
        for index in by:
            if index not in net[table].index:
                path = ("profiles", table, f"by_{table}", str(index))
                yield path, f"the net has no {table} {index}", f"use an index of net.{table}"


def _buses(study: Study) -> Iterator[tuple[KeyPath, int]]:
    for i, owner in enumerate(study.participant):
        yield ("participant", i, "bus"), owner.bus
        yield from ((("participant", i, "load_buses"), bus) for bus in owner.load_buses)
        plants = [("sgen", j, one.bus) for j, one in enumerate(owner.sgen)]
        plants += [("storage", j, one.bus) for j, one in enumerate(owner.storage)]
        for kind, j, bus in plants:
            if bus is not None:
                yield ("participant", i, kind, j, "bus"), bus
    for i, candidate in enumerate(study.candidate):
        if candidate.bus is not None:
            yield ("candidate", i, "bus"), candidate.bus


def _open_lines(net: Mapping[str, Any]) -> set[int]:
    switch = net.get("switch")
    if switch is None or switch.empty:
        return set()
    is_open = (switch["et"] == "l") & ~switch["closed"].astype(bool)
    return {int(line) for line in switch.loc[is_open, "element"]}


def _table(raw: Raw, key: str) -> Raw:
    value = raw.get(key)
    return value if isinstance(value, dict) else {}


def _tables(raw: Raw, key: str) -> list[tuple[int, Raw]]:
    value = raw.get(key)
    if not isinstance(value, list):
        return []
    return [(i, table) for i, table in enumerate(value) if isinstance(table, dict)]


def _hourly(value: object) -> list[list[float]]:
    values = value if isinstance(value, list) else [value] * HOURS_PER_DAY
    return [[one] if _is_number(one) else [] for one in values]


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str)


def _is_hour(value: object, low: int, high: int) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _listed(values: Iterable[object]) -> str:
    return ", ".join(str(value) for value in values) or "(none)"
