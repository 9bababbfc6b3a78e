"""A trading day within the limits of the external grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pp_p2p as p2p


def _social(ds: Any) -> float:
    """Return what participants and operator pay together, EUR."""
    return float(ds["cost_eur"].sum()) + float(ds["operator_cost_eur"])


@pytest.mark.parametrize("formulation", ["branch_flow", "lindistflow"])
def test_narrower_limits_never_cost_less(crowd: Any, formulation: str) -> None:
    """What the grid may not take is stored, shifted or curtailed."""
    net, day = crowd(5, 6, limit=False)
    net.ext_grid[["min_p_mw", "max_p_mw"]] = np.nan
    free = p2p.trade_day(net, day, formulation=formulation)
    power = free["p_source_mw"].sum("ext_grid")
    costs = [_social(free)]
    for less in (0.2, 0.6):
        net.ext_grid["min_p_mw"] = float(power.min()) + less
        ds = p2p.trade_day(net, day, formulation=formulation)
        source = ds["p_source_mw"].sum("ext_grid")
        assert float(source.min()) >= net.ext_grid["min_p_mw"].item() - 1e-6
        costs.append(_social(ds))
        money = float(ds["payment_eur"].sum()) + float(ds["operator_payment_eur"])
        assert abs(money) <= 1e-6
        assert float(ds["saving_eur"].min()) >= -1e-6
    assert np.diff(costs).min() > 1e-3


def test_distributed_is_central_at_the_limit(crowd: Any) -> None:
    net, day = crowd(5, 6, limit=False)
    net.ext_grid[["min_p_mw", "max_p_mw"]] = [0.0, 10.0]  # MATPOWER's: no feeding back
    central = p2p.trade_day(net, day, formulation="lindistflow")
    assert float(central["p_source_mw"].min()) == pytest.approx(0.0, abs=1e-5)
    scheme = p2p.Distributed(tolerance=1e-5)
    ds = p2p.trade_day(net, day, formulation="lindistflow", algorithm=scheme)
    assert abs(ds.attrs["distributed_gap"]) <= 1e-5
    assert float(ds["p_source_mw"].min()) >= -1e-5
    atol = 2e-3 * central.attrs["gain_eur"]
    np.testing.assert_allclose(ds["cost_eur"], central["cost_eur"], atol=atol)
