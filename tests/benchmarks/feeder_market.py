"""A market on a feeder whose loads stay as published, for the benchmarks of reconfiguration."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandapower as pp
import xarray as xr

import pp_p2p as p2p
from pp_p2p.market.reconfigured_market import ReconfiguredMarket
from pp_p2p.network.tightening import PLAIN
from pp_p2p.solve.report import DEFAULT_CONFIG


def feeder_market(
    net: Any, participants: int, hours: int, *, seed: int = 0, head_limit: float | None = None
) -> tuple[Any, xr.Dataset]:
    """Return net and profiles: participants own a load each, some PV, storage, and shift load.

    The operator serves the other loads. With `head_limit`, every line at an external grid that
    stands closed may carry at most that many times its current under the published loads.
    """
    rng = np.random.default_rng(seed)
    net.ext_grid["min_p_mw"] = np.nan  # case33bw may not feed back into the grid
    net.bus["min_vm_pu"], net.bus["max_vm_pu"] = 0.85, 1.1
    if head_limit is not None:
        _limit_heads(net, head_limit)
    owned = rng.choice(net.load.index.to_numpy(), participants, replace=False)
    for n, load in enumerate(owned.tolist()):
        bus, size = int(net.load.bus[load]), float(net.load.p_mw[load])
        who = p2p.create_participant(net, bus, name=f"P{n}")
        p2p.assign(net, who, load=[load])
        if rng.random() < 0.7:
            peak = float(rng.uniform(0.5, 3.0)) * size
            p2p.assign(net, who, sgen=[pp.create_sgen(net, bus, p_mw=peak)])
        if rng.random() < 0.6:
            p2p.assign(net, who, storage=[_storage(net, bus, float(rng.uniform(0.5, 2.0)) * size)])
        if rng.random() < 0.5:
            p2p.create_flexible_load(
                net, load, max_up_percent=30.0, max_down_percent=30.0,
                shift_cost_eur_per_mwh=5.0, window_start_h=0.0, window_end_h=24.0,
            )  # fmt: skip
    return net, _profiles(net, rng, hours)


def reconfigured_market(net: Any, profiles: xr.Dataset, **options: Any) -> ReconfiguredMarket:
    """Return the market of a day in a network that is reconfigured; options of the latter."""
    return ReconfiguredMarket(
        net,
        profiles,
        mechanism=p2p.NashBargaining(network_fee_eur_per_mwh=5.0),
        formulation=options.pop("formulation", "branch_flow"),
        tightening=PLAIN,
        config=DEFAULT_CONFIG,
        options=p2p.Reconfiguration(**options),
        scheme=None,
    )


def market_16(net: Any, seed: int, hours: int) -> tuple[Any, xr.Dataset, dict[str, Any]]:
    """Return net, profiles and options of a market on the feeder of Civanlar et al. (1988).

    With odd seeds the lines at the substations are at their limit, with every third there is a
    limit of operations. Storage and shifted loads tie the hours.
    """
    net, profiles = feeder_market(net, 6, hours, seed=seed, head_limit=1.0 if seed % 2 else None)
    options = {"switching_cost_eur": 5.0, "max_operations": None if seed % 3 else 6}
    return net, profiles, options


def _limit_heads(net: Any, times: float) -> None:
    pp.runpp(net, numba=False)
    at_grid = net.line.from_bus.isin(net.ext_grid.bus) | net.line.to_bus.isin(net.ext_grid.bus)
    heads = net.line.index[at_grid & net.line.in_service.astype(bool)]
    net.line.loc[heads, "max_i_ka"] = times * net.res_line.i_ka[heads]


def _storage(net: Any, bus: int, e_mwh: float) -> int:
    unit = pp.create_storage(
        net, bus, 0.0, max_e_mwh=e_mwh, min_e_mwh=0.1 * e_mwh,
        max_p_mw=e_mwh / 3, min_p_mw=-e_mwh / 4,
    )  # fmt: skip
    p2p.set_storage(
        net, unit, charge_efficiency_percent=95.0, discharge_efficiency_percent=94.0,
        degradation_eur_per_mwh=3.0,
    )  # fmt: skip
    return int(unit)


def _profiles(net: Any, rng: Any, hours: int) -> xr.Dataset:
    hour = np.arange(hours) * 24.0 / hours
    level = 0.6 + 0.3 * np.sin(2 * np.pi * (hour / 24 - 0.3))
    own = level[:, None] * rng.uniform(0.6, 1.3, (hours, len(net.load)))
    sun = np.clip(np.sin(np.pi * (hour / 12 - 0.5)), 0.0, 1.0)
    buy = np.where((hour >= 8) & (hour < 20), 200.0, 100.0) + rng.uniform(0.0, 5.0, hours)
    return xr.Dataset(
        {
            "load_p_mw": (("time", "load"), own * net.load.p_mw.to_numpy()),
            "load_q_mvar": (("time", "load"), own * net.load.q_mvar.to_numpy()),
            "sgen_p_mw": (("time", "sgen"), sun[:, None] * net.sgen.p_mw.to_numpy()),
            "price_buy_eur_per_mwh": ("time", buy),
            "price_sell_eur_per_mwh": ("time", np.full(hours, 60.0)),
        },
        coords={"time": hour, "load": net.load.index, "sgen": net.sgen.index},
    )
