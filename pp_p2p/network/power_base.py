"""The power base that a model is scaled by: of the grid's own size, whatever ``net.sn_mva`` says.

In the cone P^2 + Q^2 <= v l the voltage v is about 1. Where the base makes flows much smaller than
1, l drowns beside v and an interior point method ends with errors of several per cent of the
losses; where it makes them much larger, the bounds of l drown the rest. A base of a fifth of the
peak keeps flows between about 0.01 and 10.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import xarray as xr

from pp_p2p.names import PROFILE_DIMS
from pp_p2p.network.branches import Array
from pp_p2p.network.device_rules import controllable

SHARE_OF_PEAK: Final = 0.2


def power_base_mva(net: Any, profiles: xr.Dataset | None = None) -> float:
    """Return a power of two, MVA, near a fifth of the peak of all loads or of all generators.

    Parameters
    ----------
    net : pandapowerNet
    profiles : Dataset, optional
        Replace the constants of the elements they hold, as everywhere.

    Returns
    -------
    float
        ``net.sn_mva`` where nothing has any power. A power of two: dividing by it is exact.
    """
    peak = max(_peak(net, "load", "load_p_mw", profiles), _peak(net, "sgen", "sgen_p_mw", profiles))
    if not (np.isfinite(peak) and peak > 0):
        return float(net.sn_mva)
    return float(2.0 ** np.round(np.log2(SHARE_OF_PEAK * peak)))


def _peak(net: Any, table: str, name: str, profiles: xr.Dataset | None) -> float:
    """Return the largest total of absolute active power of a step, MW."""
    rows = net[table][net[table].in_service.to_numpy(bool)]
    constant = (rows.p_mw * rows.scaling).abs()
    if "max_p_mw" in rows and "controllable" in rows:
        most = rows.max_p_mw.astype(float).abs().where(controllable(rows)).fillna(0.0)
        constant = constant.clip(lower=most)
    if profiles is None or name not in profiles or PROFILE_DIMS[name][1] not in profiles[name].dims:
        return float(constant.sum())
    given = profiles[name].isel({table: profiles[table].isin(rows.index.to_numpy())})
    total: Array = abs(given).sum(table).to_numpy()
    rest = constant[~rows.index.isin(given[table].to_numpy())].sum()
    return float(total.max(initial=0.0) + rest)
