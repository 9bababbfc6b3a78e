"""Which terminals of soft open points take part, and which may form the grid of an island."""

from __future__ import annotations

from typing import Any

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
