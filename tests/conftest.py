"""Nets and days that several rooms test with."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pytest
import xarray as xr


@pytest.fixture
def feeder() -> Any:
    """Four buses in a row behind an external grid, 10 kV, a load of 1 MW on each."""
    net = pp.create_empty_network(sn_mva=1.0)
    buses = [pp.create_bus(net, 10.0, min_vm_pu=0.9, max_vm_pu=1.1) for _ in range(5)]
    pp.create_ext_grid(net, buses[0], vm_pu=1.0)
    for a, b in itertools.pairwise(buses):
        pp.create_line_from_parameters(
            net, a, b, 1.0, r_ohm_per_km=0.3, x_ohm_per_km=0.3, c_nf_per_km=0.0, max_i_ka=1.0
        )
    for bus in buses[1:]:
        pp.create_load(net, bus, p_mw=1.0, q_mvar=0.2)
    return net


@pytest.fixture
def case33() -> Any:
    """The 33-bus feeder of Baran and Wu."""
    return pn.case33bw()


@pytest.fixture
def make_days() -> Any:
    """Return a function that makes `n` days of `hours` steps for a net's loads."""

    def make(net: Any, n: int = 2, hours: int = 6) -> xr.Dataset:
        step = 24.0 / hours
        hour = np.arange(hours) * step
        level = 0.6 + 0.3 * np.sin((hour - 9.0) / 24.0 * 2 * np.pi)
        scale = level * np.linspace(0.8, 1.1, n)[:, None]
        sun = np.clip(np.sin((hour - 6.0) / 12.0 * np.pi), 0.0, 1.0)
        wind = 0.4 + 0.3 * np.cos(hour / 24.0 * 2 * np.pi)
        buy = np.where((hour >= 8) & (hour < 20), 200.0, 100.0)
        p, q = (net.load[c].to_numpy(float) for c in ("p_mw", "q_mvar"))
        over = ("day", "hour")
        availability = np.stack([np.stack([sun, wind], axis=-1)] * n)
        return xr.Dataset(
            {
                "load_p_mw": ((*over, "load"), scale[..., None] * p),
                "load_q_mvar": ((*over, "load"), scale[..., None] * q),
                "availability_pu": ((*over, "technology"), availability),
                "price_buy_eur_per_mwh": (over, np.tile(buy, (n, 1))),
                "price_sell_eur_per_mwh": (over, np.full((n, hours), 60.0)),
                "weight": ("day", np.full(n, 365.0 / n)),
            },
            coords={
                "day": np.arange(n),
                "hour": hour,
                "load": net.load.index.to_numpy(),
                "technology": ["pv", "wind"],
            },
            attrs={"step_h": step},
        )

    return make
