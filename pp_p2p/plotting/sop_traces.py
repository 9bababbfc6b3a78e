"""Soft open points in a picture: their terminals joined at a hub, what flows as arrows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pp_p2p.network.branches import Array
from pp_p2p.plotting.style import SOP_COLOUR
from pp_p2p.plotting.ways import Point, along, hub, pen_up

Trace = dict[str, Any]

NAME: Final = "soft open point"
IDLE_MW: Final = 1e-6
"""Power below which no arrow is drawn."""

_TERMINAL_AT: Final = 0.32
"""Where the symbol of a terminal stands on the way from its bus to the hub."""


@dataclass(frozen=True, kw_only=True)
class Terminal:
    """A converter: its bus, what hovering says, and what it feeds in, MW (NaN: not known)."""

    bus: int
    text: str
    p_mw: float = math.nan


@dataclass(frozen=True, kw_only=True)
class Device:
    """A soft open point: what hovering over its hub says, and its terminals."""

    text: str
    terminals: tuple[Terminal, ...]


def sop_traces(
    devices: Sequence[Device], place: Mapping[int, Point], segments: Array
) -> list[Trace]:
    """Return traces of soft open points: ways, terminals, hubs.

    Parameters
    ----------
    devices : sequence of Device
    place : mapping of int to (x, y)
        Where the buses stand; a device with a terminal elsewhere is left out.
    segments : (line, 4) of float
        x and y of both ends of every line.
    """
    shown = [one for one in devices if all(t.bus in place for t in one.terminals)]
    if not shown:
        return []
    buses = np.array(list(place.values()), dtype=float)
    drawn = along(segments)
    hubs: list[Point] = []
    for one in shown:
        ends = np.array([place[t.bus] for t in one.terminals], dtype=float)
        hubs.append(hub(ends, buses, drawn))
        drawn = np.concatenate([drawn, np.array(hubs[-1])[None]])
    ways, spots, terminals = [], [], []
    for one, centre in zip(shown, hubs, strict=True):
        for terminal in one.terminals:
            way = np.array([place[terminal.bus], centre], dtype=float)
            ways.append(way)
            spots.append(way[0] + _TERMINAL_AT * (way[1] - way[0]))
            terminals.append(terminal)
    return [_ways(ways), _terminals(terminals, ways, np.array(spots)), _hubs(shown, hubs)]


def _ways(ways: list[Array]) -> Trace:
    x, y = pen_up(ways)
    return {
        "type": "scatter", "x": x, "y": y, "mode": "lines", "name": NAME, "legendgroup": NAME,
        "showlegend": False, "hoverinfo": "skip", "zorder": -1,
        "line": {"color": SOP_COLOUR, "width": 2.5},
    }  # fmt: skip


def _terminals(terminals: list[Terminal], ways: list[Array], spots: Array) -> Trace:
    """Return the terminals as arrows that point where active power goes, or as dots."""
    symbols, angles = [], []
    for terminal, (bus, centre) in zip(terminals, ways, strict=True):
        flows = abs(terminal.p_mw) > IDLE_MW  # NaN is no flow
        towards = (bus - centre) * (1 if terminal.p_mw > 0 else -1)
        symbols.append("triangle-up" if flows else "diamond")
        angles.append(math.degrees(math.atan2(towards[0], towards[1])) if flows else 0.0)
    return {
        "type": "scatter", "x": spots[:, 0].tolist(), "y": spots[:, 1].tolist(), "mode": "markers",
        "name": "terminal of a soft open point", "legendgroup": NAME, "showlegend": False,
        "text": [t.text for t in terminals], "hoverinfo": "text",
        "marker": {
            "symbol": symbols, "angle": angles, "size": 12, "color": SOP_COLOUR,
            "line": {"color": "white", "width": 1},
        },
    }  # fmt: skip


def _hubs(devices: list[Device], hubs: list[Point]) -> Trace:
    return {
        "type": "scatter", "x": [x for x, _ in hubs], "y": [y for _, y in hubs], "mode": "markers",
        "name": NAME, "legendgroup": NAME, "text": [one.text for one in devices],
        "hoverinfo": "text",
        "marker": {
            "symbol": "hexagram", "size": 17, "color": SOP_COLOUR,
            "line": {"color": "white", "width": 1},
        },
    }  # fmt: skip
