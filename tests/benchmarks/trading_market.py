"""A market of any size on the 33-bus feeder, for the benchmarks of trading."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pandas as pd
import xarray as xr

import pp_p2p as p2p

PEAK_MW = 3.0
"""Of all loads together."""


def trading_market(
    participants: int, hours: int = 24, *, seed: int = 0, units: bool = False
) -> tuple[Any, xr.Dataset]:
    """Return net and profiles: everyone has a load, more than half PV and storage, half shift load.

    With `units`, every tenth participant has a generator with a price, and shifted loads may be
    curtailed, too.
    """
    rng = np.random.default_rng(seed)
    net = pn.case33bw()
    net.ext_grid["min_p_mw"] = np.nan  # the case may not feed back into the grid
    net.poly_cost = net.poly_cost.iloc[:0]
    net.load = net.load.iloc[:0]
    n = participants
    bus = rng.permutation(np.resize(np.arange(1, 33), n))
    size = rng.uniform(0.5, 1.5, n) * PEAK_MW / n
    with_pv, with_storage, with_flexible = (
        np.flatnonzero(rng.random(n) < share) for share in (0.6, 0.6, 0.5)
    )
    with_unit = np.arange(0, n, 10) if units else np.zeros(0, dtype=int)
    loads = pp.create_loads(net, bus, p_mw=size, q_mvar=0.2 * size)
    peak = rng.uniform(0.5, 3.0, len(with_pv)) * size[with_pv]
    pv = pp.create_sgens(net, bus[with_pv], p_mw=peak)
    extra = pp.create_sgens(
        net, bus[with_unit], p_mw=0.5 * size[with_unit], max_p_mw=0.5 * size[with_unit],
        min_p_mw=0.0, controllable=True,
    )  # fmt: skip
    for k, row in enumerate(extra):
        pp.create_poly_cost(net, row, "sgen", cp1_eur_per_mw=90.0 + 10.0 * (k % 7))
    e_max = rng.uniform(0.5, 2.0, len(with_storage)) * size[with_storage]
    storage = pp.create_storages(
        net, bus[with_storage], p_mw=np.zeros(len(with_storage)), max_e_mwh=e_max,
        min_e_mwh=0.1 * e_max, max_p_mw=e_max / 3, min_p_mw=-e_max / 4,
    )  # fmt: skip
    if len(storage):
        p2p.set_storage(
            net, list(storage), charge_efficiency_percent=95.0, discharge_efficiency_percent=94.0,
            degradation_eur_per_mwh=3.0,
        )  # fmt: skip
    _own(net, bus, loads[with_flexible], curtail=units)
    net.load.loc[loads, "participant"] = np.arange(n)
    net.sgen.loc[np.r_[pv, extra].astype(int), "participant"] = np.r_[with_pv, with_unit]
    net.storage.loc[storage, "participant"] = with_storage
    return net, _profiles(rng, hours, loads, size, pv, peak)


def _own(net: Any, bus: Any, flexible: Any, *, curtail: bool) -> None:
    """Create the first row of each table as a user does, the rest as copies: a thousand calls
    take longer than the day they describe."""
    p2p.create_participant(net, int(bus[0]))
    p2p.assign(net, 0, load=list(net.load.index), sgen=list(net.sgen.index),
               storage=list(net.storage.index))  # fmt: skip
    net.participant = _repeated(net.participant, len(bus)).assign(bus=bus)
    if len(flexible):
        p2p.create_flexible_load(
            net, int(flexible[0]), max_up_percent=30.0, max_down_percent=30.0,
            shift_cost_eur_per_mwh=5.0, window_start_h=6.0, window_end_h=22.0,
            max_curtail_percent=20.0 * curtail, curtail_cost_eur_per_mwh=180.0 * curtail,
        )  # fmt: skip
        net.flexible_load = _repeated(net.flexible_load, len(flexible)).assign(load=flexible)


def _repeated(row: pd.DataFrame, n: int) -> pd.DataFrame:
    return pd.concat([row] * n, ignore_index=True)


def _profiles(rng: Any, hours: int, loads: Any, size: Any, pv: Any, peak: Any) -> xr.Dataset:
    hour = np.arange(hours) * 24.0 / hours
    level = 0.7 + 0.3 * np.sin(2 * np.pi * (hour / 24 - 0.3))
    load = level[:, None] * rng.uniform(0.8, 1.2, (hours, len(loads))) * size
    sun = np.clip(np.sin(np.pi * (hour / 12 - 0.5)), 0.0, 1.0)
    buy = np.where((hour >= 8) & (hour < 20), 200.0, 100.0) + rng.uniform(0.0, 5.0, hours)
    return xr.Dataset(
        {
            "load_p_mw": (("time", "load"), load),
            "load_q_mvar": (("time", "load"), 0.2 * load),
            "sgen_p_mw": (("time", "sgen"), sun[:, None] * peak),
            "price_buy_eur_per_mwh": ("time", buy),
            "price_sell_eur_per_mwh": ("time", np.full(hours, 60.0)),
        },
        coords={"time": hour, "load": loads, "sgen": pv},
    )
