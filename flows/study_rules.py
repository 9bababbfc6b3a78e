"""Rules of the study file that need more than one key.

They work on the raw TOML tables and look only at values of the right type, so that they find
their mistakes even where other keys are wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from flows.key_meaning import Violation
from flows.raw_tables import Raw, is_number, is_whole, names_in, table, tables
from flows.study_candidate_rules import candidate_rules, sop_rules
from flows.study_fields import HOURS_PER_DAY
from flows.study_prices import PriceWindow
from flows.study_text import StudyText, closest, listed
from flows.study_trade_rules import trade_rules
from pp_p2p.elements.magnitudes import HIGHEST_VM_PU, LOWEST_VM_PU, NO_VM_PU
from pp_p2p.errors import Finding


def rule_findings(raw: Raw, text: StudyText) -> list[Finding]:
    """Return the findings of all rules on the raw tables of a study file."""
    rules = (
        _names,
        _owners,
        _plants,
        sop_rules,
        candidate_rules,
        _prices,
        _limits,
        _emissions,
        _collaboration,
        _horizon,
        trade_rules,
    )
    return [text.finding(*violation) for rule in rules for violation in rule(raw)]


def _names(raw: Raw) -> Iterator[Violation]:
    for section in ("participant", "candidate", "sop"):
        named = [(i, t["name"]) for i, t in tables(raw, section) if isinstance(t.get("name"), str)]
        counts = Counter(name for _, name in named)
        for i, name in named:
            if counts[name] > 1 and (i, name) != next(pair for pair in named if pair[1] == name):
                yield (section, i, "name"), f"{name!r} is taken", "give each one its own name"


def _owners(raw: Raw) -> Iterator[Violation]:
    participants, names = tables(raw, "participant"), names_in(raw, "participant")
    for i, candidate in tables(raw, "candidate"):
        owner = candidate.get("participant")
        if isinstance(owner, str) and owner not in names:
            mend = f"{closest(owner, names)}leave it out for the operator, or write one of: "
            rule = f"there is no participant {owner!r}"
            yield ("candidate", i, "participant"), rule, mend + listed(names)
    owner_of: dict[int, int] = {}
    for i, participant in participants:
        buses = participant.get("load_buses")
        for bus in buses if isinstance(buses, list) else ():
            if isinstance(bus, int) and owner_of.setdefault(bus, i) != i:
                rule = f"the loads at bus {bus} belong to participant[{owner_of[bus]}] already"
                yield ("participant", i, "load_buses"), rule, "name each bus once"


def _plants(raw: Raw) -> Iterator[Violation]:
    """Yield what contradicts itself among flexible loads and storages of participants."""
    for i, participant in tables(raw, "participant"):
        own = participant.get("load_buses", [])
        taken: dict[int, int] = {}
        for j, flexible in tables(participant, "flexible_load"):
            given = flexible.get("buses")
            here = ("participant", i, "flexible_load", j)
            path = (*here, "buses") if given else here
            buses = given or own
            if not isinstance(buses, list) or not isinstance(own, list):
                continue
            buses = [bus for bus in buses if isinstance(bus, int)]
            if not buses:
                yield path, "has no loads: its participant has no load_buses", "add load_buses"
            if foreign := [bus for bus in buses if bus not in own]:
                rule = f"has bus {listed(foreign)}, and load_buses of its participant has not"
                yield path, rule, "add it there, or remove it here"
            twice = [bus for bus in buses if taken.setdefault(bus, j) != j]
            if twice:
                rule = f"has bus {listed(twice)}, which flexible_load[{taken[twice[0]]}] has, too"
                yield path, rule, "name each bus once: buses = [...] in each"
        for j, unit in tables(participant, "storage"):
            if "sop" in unit and "bus" in unit:
                rule = "has no meaning beside sop: the storage stands on the link of the device"
                yield ("participant", i, "storage", j, "bus"), rule, "remove one of the two"


def _prices(raw: Raw) -> Iterator[Violation]:
    prices = table(raw, "prices")
    if not prices:
        return
    windows = tables(prices, "buy_window")
    if ("buy_eur_per_mwh" in prices) == bool(windows):
        rule = "is given twice" if windows else "the purchase price is missing"
        mend = "give either prices.buy_eur_per_mwh or [[prices.buy_window]]"
        yield ("prices", "buy_eur_per_mwh"), rule, mend
        return
    buy = _hours_of_windows(windows) if windows else _hourly(prices.get("buy_eur_per_mwh"))
    wrong = [hour for hour, values in enumerate(buy) if len(values) != 1] if windows else []
    if wrong:
        rule = f"hours {listed(wrong)} are in no window or in several"
        yield ("prices", "buy_window"), rule, "let the windows cover each hour 0 to 23 once"
        return
    sell = _hourly(prices.get("sell_eur_per_mwh"))
    dear = [h for h, (s, b) in enumerate(zip(sell, buy, strict=False)) if s and b and s[0] > b[0]]
    if dear:
        rule = f"is above the purchase price in hours {listed(dear)}: buying to sell would pay"
        yield ("prices", "sell_eur_per_mwh"), rule, "lower it to the purchase price or below"


def _hours_of_windows(windows: list[tuple[int, Raw]]) -> list[list[float]]:
    hours: list[list[float]] = [[] for _ in range(HOURS_PER_DAY)]
    for _, window in windows:
        start, end, price = (window.get(k) for k in ("from_h", "to_h", "price_eur_per_mwh"))
        if not (is_whole(start, 0, 23) and is_whole(end, 1, 24) and is_number(price)):
            return []
        as_window = PriceWindow(from_h=start, to_h=end, price_eur_per_mwh=price)
        for hour in as_window.hours:
            hours[hour].append(price)
    return hours


def _limits(raw: Raw) -> Iterator[Violation]:
    network = table(raw, "network")
    low, high = network.get("min_vm_pu"), network.get("max_vm_pu")
    if is_number(low) and is_number(high) and low >= high:
        yield (
            ("network", "min_vm_pu"),
            f"{low} is not below max_vm_pu = {high}",
            "swap or widen them",
        )
    for key, wrong in (
        ("min_vm_pu", is_number(low) and low > HIGHEST_VM_PU),
        ("max_vm_pu", is_number(high) and not LOWEST_VM_PU <= high <= NO_VM_PU),
    ):
        if wrong:
            rule = f"{network[key]} p.u. is no limit of a voltage"
            yield ("network", key), rule, "write it in p.u.: 1.1 for 110 %"
    rates = table(network, "reliability")
    repair, switching = rates.get("repair_time_h"), rates.get("switching_time_h")
    if is_number(repair) and is_number(switching) and switching > repair:
        rule = f"{switching} h is longer than repair_time_h = {repair}"
        path = ("network", "reliability", "switching_time_h")
        yield path, rule, "switching comes before repair: make it the shorter one"
    if "eens_limit_mwh_per_year" in table(raw, "planning") and not rates:
        rule = "needs failure rates, and [network.reliability] is missing"
        mend = "add [network.reliability], or remove the limit"
        yield ("planning", "eens_limit_mwh_per_year"), rule, mend


def _emissions(raw: Raw) -> Iterator[Violation]:
    """Yield prices and caps of CO2 where nobody says what the grid's energy emits."""
    if "grid_emission_t_per_mwh" in table(raw, "prices") or "collaboration" in raw:
        return  # [collaboration] knows neither key, and says so
    planning = table(raw, "planning")
    price = planning.get("emission_price_eur_per_t")
    given = {
        "emission_price_eur_per_t": is_number(price) and price > 0,
        "emission_cap_t_per_year": "emission_cap_t_per_year" in planning,
    }
    for key in (key for key, is_given in given.items() if is_given):
        rule = "needs the emissions of the grid's energy, and prices.grid_emission_t_per_mwh is"
        mend = "add grid_emission_t_per_mwh = ... under [prices] (0 where they do not count)"
        yield ("planning", key), f"{rule} missing", mend


def _collaboration(raw: Raw) -> Iterator[Violation]:
    if "collaboration" not in raw:
        return
    planning = table(raw, "planning")
    mend = "remove it, or remove [collaboration]"
    if planning.get("islands") == "schedule":
        rule = "is 'schedule', which [collaboration] does not know"
        yield ("planning", "islands"), rule, "use 'reserve' or 'none', or remove [collaboration]"
    for key in ("max_sites", "emission_cap_t_per_year"):
        if key in planning:
            yield ("planning", key), "is a limit that [collaboration] does not know", mend
    for key in ("renewable_share_percent", "emission_price_eur_per_t"):
        if is_number(planning.get(key)) and planning[key] > 0:
            yield ("planning", key), "is not known to [collaboration]", mend
    names = ["operator", *names_in(raw, "participant")]
    for key in ("budget_eur", "max_sites"):
        for name in table(table(raw, "collaboration"), key):
            if name not in names:
                rule, which = "is no participant", f"use one of {', '.join(names)}"
                yield ("collaboration", key, name), rule, f"{closest(name, names)}{which}"
    if not tables(raw, "candidate"):
        rule = "has nothing to decide: there is no candidate"
        yield ("collaboration",), rule, "add [[candidate]], or remove [collaboration]"
    if "horizon" in raw:
        rule = "is a plan for one year, and [horizon] has several"
        mend = "remove one of the two sections"
        yield ("collaboration",), rule, f'{mend}; a scenario does by leave_out = ["collaboration"]'


def _horizon(raw: Raw) -> Iterator[Violation]:
    horizon = table(raw, "horizon")
    years = horizon.get("stage_years")
    if not isinstance(years, list):
        return
    for key in ("eens_limit_mwh_per_year", "stage_budget_eur"):
        given = horizon.get(key)
        if isinstance(given, list) and len(given) not in (0, len(years)):
            rule = f"has {len(given)} values for {len(years)} stages"
            yield ("horizon", key), rule, "give one for each stage"
    for key in ("max_sites", "demand_growth_percent"):
        if key in table(raw, "planning"):
            rule = "has no meaning beside [horizon]"
            yield ("planning", key), rule, "remove it; growth of each year stands in [horizon]"
    for i, candidate in tables(raw, "candidate"):
        life = candidate.get("lifetime_years")
        if is_number(life) and life != round(life):
            rule = f"{life} is no whole number of years"
            yield ("candidate", i, "lifetime_years"), rule, "round it: [horizon] counts in years"
    if horizon.get("eens_limit_mwh_per_year") and not table(table(raw, "network"), "reliability"):
        rule = "needs failure rates, and [network.reliability] is missing"
        mend = "add [network.reliability], or remove the limit"
        yield ("horizon", "eens_limit_mwh_per_year"), rule, mend


def _hourly(value: object) -> list[list[float]]:
    values = value if isinstance(value, list) else [value] * HOURS_PER_DAY
    return [[one] if is_number(one) else [] for one in values]
