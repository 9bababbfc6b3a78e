"""What may be operated in pandapower's tables, and how an element is opened and closed there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pp_p2p.errors import Finding

Switchable = Mapping[str, Sequence[int]]
"""Rows of ``net.line`` and ``net.switch`` (bus-bus) that may be operated."""


def default_switchable(net: Any) -> dict[str, list[int]]:
    """Return what may be operated where the user says nothing.

    Every line with a line switch and every bus-bus switch. Where the net has neither, but lines
    out of service between buses in service (the ties of ``pandapower.networks.case33bw``): every
    line, as the literature on those feeders has it.
    """
    on_lines = net.switch[net.switch.et == "l"].element
    lines = sorted({int(k) for k in on_lines})
    switches = [int(k) for k in net.switch.index[(net.switch.et == "b").to_numpy(bool)]]
    if not lines and not switches and (~net.line.in_service.to_numpy(bool)).any():
        lines = [int(k) for k in net.line.index]
    there = {int(k) for k in net.bus.index[net.bus.in_service.to_numpy(bool)]}
    ends = net.line.loc[lines, ["from_bus", "to_bus"]]
    between = ends.from_bus.isin(there) & ends.to_bus.isin(there)
    return {"line": [k for k in lines if between[k]], "switch": switches}


def operating_switches(net: Any, line: int) -> list[int]:
    """Return the switches that open `line`: those that stand open, else the first one."""
    mine = net.switch[((net.switch.et == "l") & (net.switch.element == line)).to_numpy(bool)]
    opened = mine.index[~mine.closed.to_numpy(bool)]
    return [int(k) for k in (opened if len(opened) else mine.index[:1])]


def set_closed(net: Any, element: str, index: int, *, closed: bool) -> None:
    """Close or open one switchable element of `net`, in place.

    A bus-bus switch itself; of a line its operating switches, or ``in_service`` where it has none.
    """
    if element == "switch":
        net.switch.loc[index, "closed"] = closed
        return
    switches = operating_switches(net, index)
    if switches:
        net.switch.loc[switches, "closed"] = closed
    if closed or not switches:
        net.line.loc[index, "in_service"] = closed


def is_closed(net: Any, element: str, index: int) -> bool:
    """Tell whether a switchable element connects its ends: in service, and no switch open."""
    if element == "switch":
        return bool(net.switch.closed[index])
    mine = (net.switch.et == "l") & (net.switch.element == index)
    return bool(net.line.in_service[index]) and bool(net.switch.closed[mine].all())


def bad_rows(net: Any, chosen: Switchable) -> list[Finding]:
    """Return what `chosen` names that is not there or cannot be operated."""
    found = [
        Finding(
            table="switchable",
            column=str(key),
            rule="is no table whose rows can be operated",
            mend="name rows of 'line' and 'switch'",
        )
        for key in chosen
        if key not in ("line", "switch")
    ]
    for key in ("line", "switch"):
        lost = [k for k in chosen.get(key, ()) if k not in net[key].index]
        if lost:
            rule, mend = f"must be in net.{key}", "name existing rows"
            found.append(
                Finding(table="switchable", column=key, rows=tuple(lost), rule=rule, mend=mend)
            )
    wrong = [
        k for k in chosen.get("switch", ()) if k in net.switch.index and net.switch.et[k] != "b"
    ]
    if wrong:
        found.append(
            Finding(
                table="switchable",
                column="switch",
                rows=tuple(wrong),
                rule="are no bus-bus switches",
                mend="name the line of a line switch under 'line'",
            )
        )
    return found


def nothing_to_switch() -> Finding:
    """Return the finding of a net in which nothing can be operated."""
    return Finding(
        table="switch",
        rule="holds no line switch and no bus-bus switch, and no line is out of service",
        mend="create switches with pandapower.create_switch, or pass switchable={'line': [...]}",
    )
