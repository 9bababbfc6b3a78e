"""Which terminals of soft open points take part, and which may form the grid of an island."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pp_p2p.elements.tables import frame


def live_terminals(net: Any) -> pd.DataFrame:
    """Return the rows of ``net.sop_terminal`` in service whose device is in service."""
    device, terminal = frame(net, "sop"), frame(net, "sop_terminal")
    active = device.index[device.in_service.to_numpy(bool)]
    return terminal[terminal.in_service.to_numpy(bool) & np.isin(terminal["sop"], active)]


def forming_terminals(net: Any) -> dict[int, int]:
    """Return terminal -> bus of those that may form a grid, in the order of their index."""
    rows = live_terminals(net).sort_index()
    rows = rows[rows.grid_forming.to_numpy(bool)]
    return dict(zip(rows.index.tolist(), rows.bus.tolist(), strict=True))


class Resupply(NamedTuple):
    """A way on which the device `sop` feeds `to_bus` from `from_bus`, or both ways."""

    sop: int
    from_bus: int
    to_bus: int
    one_way: bool


def resupply_ways(terminals: pd.DataFrame) -> list[Resupply]:
    """Return how rows of ``net.sop_terminal`` feed what has lost its source.

    From any terminal to one that is ``grid_forming``: only that holds the voltage there.
    """
    ways = []
    for sop in sorted(set(terminals["sop"].tolist())):
        rows = terminals[terminals["sop"] == sop].sort_index()
        ends = zip(rows.bus.tolist(), rows.grid_forming.tolist(), strict=True)
        for (one, first), (two, second) in itertools.combinations(ends, 2):
            if first or second:
                a, b = (one, two) if second else (two, one)
                ways.append(Resupply(int(sop), int(a), int(b), not (first and second)))
    return ways
