"""Rules of the study file that need the net: what it names must be there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flows.key_meaning import Violation
from flows.study_market import COMBINED
from flows.study_model import Study
from flows.study_text import KeyPath, closest, listed
from pp_p2p.errors import Finding


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


def _against_net(study: Study, net: Mapping[str, Any]) -> Iterator[Violation]:
    buses, loads = set(net["bus"].index), net["load"]
    span = f"indices of net.bus run from {min(buses)} to {max(buses)}" if buses else "no buses"
    mend = f"use a pandapower bus index ({span})"
    for path, bus in _buses(study):
        if bus not in buses:
            yield path, f"the net has no bus {bus}", mend
        elif "load_buses" in path and bus not in set(loads["bus"]):
            yield path, f"there is no load at bus {bus}", "remove the bus from the list"
    yield from _candidates(study, net)
    yield from _links(study, net)
    yield from _trade(study, net)
    for table, by in (("load", study.profiles.load.by_load), ("sgen", study.profiles.sgen.by_sgen)):
        for index in by:
            if index not in net[table].index:
                path = ("profiles", table, f"by_{table}", str(index))
                yield path, f"the net has no {table} {index}", f"use an index of net.{table}"


def _candidates(study: Study, net: Mapping[str, Any]) -> Iterator[Violation]:
    lines, sops = net["line"], _sop_names(study, net)
    for i, candidate in enumerate(study.candidate):
        here: KeyPath = ("candidate", i)
        for key in ("line", "switch"):
            row = getattr(candidate, key)
            if row is not None and row not in (known := _index(net, key)):
                rule, mend = f"the net has no {key} {row}", f"use an index of net.{key}"
                if not known:
                    rule = f"{rule}: its table net.{key} is empty"
                    mend = "remove the candidate, or use a net that has some"
                yield (*here, key), rule, mend
        line, types = candidate.line, net.get("std_types", {}).get("line")
        if candidate.std_type is not None and types is not None and candidate.std_type not in types:
            rule = f"the net has no line type {candidate.std_type!r}"
            mend = f"{closest(candidate.std_type, types)}use a key of net.std_types['line']"
            yield (*here, "std_type"), rule, mend
        if candidate.sop is not None and candidate.sop not in sops:
            yield (*here, "sop"), *_no_sop(candidate.sop, sops)
        if line is None or line not in lines.index:
            continue
        idle = not lines.at[line, "in_service"] or line in _open_lines(net)
        if candidate.technology == "line" and not idle:
            rule = f"line {line} is in service and closed already"
            yield (*here, "line"), rule, "name a line that is out of service or open"
        elif candidate.technology == "replacement" and idle:
            rule = f"line {line} is out of service or open: nothing is replaced"
            yield (*here, "line"), rule, "name a line that is in service and closed"


def _links(study: Study, net: Mapping[str, Any]) -> Iterator[Violation]:
    """Yield storage on a soft open point that is not there."""
    sops = _sop_names(study, net)
    for i, owner in enumerate(study.participant):
        for j, unit in enumerate(owner.storage):
            if unit.sop is not None and unit.sop not in sops:
                yield ("participant", i, "storage", j, "sop"), *_no_sop(unit.sop, sops)


def _trade(study: Study, net: Mapping[str, Any]) -> Iterator[Violation]:
    """Yield what the market names in vain."""
    trade, sops = study.trade, _sop_names(study, net)
    if trade.mechanism == COMBINED:
        if trade.sop is not None and trade.sop not in sops:
            yield ("trade", "sop"), *_no_sop(trade.sop, sops)
        elif not sops:
            rule = f"is {COMBINED!r}, and there is no soft open point to trade across"
            yield ("trade", "mechanism"), rule, "add [[sop]] with a terminal in each region"
    switched = trade.reconfigure
    rows = () if switched is None else (("line", switched.lines), ("switch", switched.switches))
    for table, given in rows:
        if wrong := [row for row in given if row not in _index(net, table)]:
            path = ("trade", "reconfigure", "lines" if table == "line" else "switches")
            yield path, f"the net has no {table} {listed(wrong)}", f"use indices of net.{table}"


def _no_sop(name: str, known: list[str]) -> tuple[str, str]:
    mend = f"{closest(name, known)}add [[sop]] with this name; there are: {listed(known)}"
    return f"there is no soft open point {name!r}", mend


def _sop_names(study: Study, net: Mapping[str, Any]) -> list[str]:
    """Return the names of soft open points of the study, and of those that the net brings."""
    table = net.get("sop")
    brought = [] if table is None else [str(name) for name in table["name"]]
    return list(dict.fromkeys([*(sop.name for sop in study.sop), *brought]))


def _index(net: Mapping[str, Any], table: str) -> set[int]:
    rows = net.get(table)
    return set() if rows is None else set(rows.index)


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
    for i, sop in enumerate(study.sop):
        yield from ((("sop", i, "buses"), bus) for bus in sop.buses)


def _open_lines(net: Mapping[str, Any]) -> set[int]:
    switch = net.get("switch")
    if switch is None or switch.empty:
        return set()
    is_open = (switch["et"] == "l") & ~switch["closed"].astype(bool)
    return {int(line) for line in switch.loc[is_open, "element"]}
