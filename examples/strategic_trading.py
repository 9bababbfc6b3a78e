"""Five microgrids in the IEEE 33-bus feeder compete, and the operator keeps the network whole.

The grid takes 0.2 MW from each at most; what is beyond has to be sold to peers, whose trades load
the feeder's ends. Price-based competition and market capacity after Liu et al. (2020).
Run: python examples/strategic_trading.py [picture.html]
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import xarray as xr

import pp_p2p as p2p
from pp_p2p import plotting

MICROGRIDS = (
    # name, bus, its loads (rows of net.load), PV in MW
    ("MG 1", 17, [14, 15, 16], 2.5),
    ("MG 2", 21, [18, 19, 20], 1.0),
    ("MG 3", 24, [22, 23], 0.3),
    ("MG 4", 32, [29, 30, 31], 2.0),
    ("MG 5", 10, [8, 9, 10], 0.2),
)
RATED_KA = {16: 0.02, 20: 0.012, 31: 0.03}
"""Lines to the ends of the feeder, and what they may carry; all others 0.25 kA."""


def feeder() -> tuple[Any, xr.Dataset]:
    """Return the feeder with its microgrids, and a sunny day."""
    net = pn.case33bw()
    net.ext_grid["min_p_mw"] = np.nan  # the case may not feed back into the grid
    net.poly_cost = net.poly_cost.iloc[0:0]
    net.bus["min_vm_pu"], net.bus["max_vm_pu"] = 0.9, 1.01
    net.line["max_i_ka"] = 0.25
    for line, ka in RATED_KA.items():
        net.line.loc[line, "max_i_ka"] = ka
    hours = np.arange(24.0)
    sun = np.clip(np.sin((hours - 6) / 12 * np.pi), 0, None)
    daily = 0.6 + 0.4 * np.sin((hours - 9) / 24 * 2 * np.pi)
    made = {}
    for name, bus, loads, pv_mw in MICROGRIDS:
        who = p2p.create_participant(net, bus, name=name, max_export_mw=0.2)
        pv = pp.create_sgen(net, bus, p_mw=pv_mw, type="pv")
        made[pv] = pv_mw * sun
        p2p.assign(net, who, load=loads, sgen=[pv])
        for load in loads:
            p2p.create_flexible_load(net, load, max_up_percent=10.0, max_down_percent=10.0,
                                     shift_cost_eur_per_mwh=10.0,
                                     price_elasticity=-0.1)  # fmt: skip
    load = ("time", "load")
    profiles = xr.Dataset(
        {
            "load_p_mw": (load, daily[:, None] * net.load.p_mw.to_numpy()),
            "load_q_mvar": (load, daily[:, None] * net.load.q_mvar.to_numpy()),
            "sgen_p_mw": (("time", "sgen"), np.stack(list(made.values()), axis=1)),
            "price_buy_eur_per_mwh": ("time", np.where((hours >= 7) & (hours < 21), 220.0, 140.0)),
            "price_sell_eur_per_mwh": ("time", np.full(24, 60.0)),
        },
        coords={"time": hours, "load": net.load.index, "sgen": list(made)},
    )
    return net, profiles


def clear(net: Any, profiles: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """Return the day of competition without and with congestion management."""
    mechanism = p2p.Stackelberg()
    free = p2p.trade_day(net, profiles, mechanism=mechanism)
    managed = p2p.trade_day(net, profiles, mechanism=mechanism, congestion="pro_rata")
    return free, managed


def still_broken(net: Any, profiles: xr.Dataset, day: xr.Dataset) -> list[str]:
    """Return what `runpp` finds above limits, hour by hour, with the day's schedule set."""
    broken = []
    change = day["load_shift_mw"] + day["load_response_mw"] - day["load_curtailed_mw"]
    of = net.flexible_load.load
    for hour in day["time"].to_numpy():
        at = {"time": hour}
        for column in ("load_p_mw", "load_q_mvar"):
            net.load[column.removeprefix("load_")] = profiles[column].sel(at).to_series()
        net.load.loc[of, "p_mw"] += change.sel(at).to_series().to_numpy()
        net.sgen["p_mw"] = day["sgen_p_mw"].sel(at).to_series()
        p2p.runpp(net, numba=False)
        vm = net.res_bus.vm_pu.iloc[1:]
        over = net.res_line.index[net.res_line.loading_percent > 100.0]
        outside = vm.index[(vm > net.bus.max_vm_pu.iloc[1:]) | (vm < net.bus.min_vm_pu.iloc[1:])]
        broken += [f"line {k} in hour {hour:g}" for k in over]
        broken += [f"bus {k} in hour {hour:g}" for k in outside]
    return broken


def compare(net: Any, profiles: xr.Dataset) -> xr.Dataset:
    """Return no trading, Nash bargaining and Stackelberg, each under congestion management."""
    return p2p.compare_mechanisms(net, profiles)


def report(picture: str | None = None) -> None:
    """Print indicators, the power flow afterwards and the mechanisms side by side."""
    net, profiles = feeder()
    free, managed = clear(net, profiles)
    print(managed.attrs["equilibrium"], "| regret", managed.attrs["regret_eur"], "EUR")
    print(p2p.indicators(net, free, managed).to_dataframe().iloc[:, :11].T.round(4).to_string())
    print(f"above limits in runpp without management: {len(still_broken(net, profiles, free))}")
    print(f"above limits in runpp with management: {len(still_broken(net, profiles, managed))}")
    table = compare(net, profiles)
    columns = [
        "social_cost_eur", "gain_eur", "spread_eur", "traded_mwh", "loss_mwh",
        "overload_unmanaged_mvah", "overload_mvah", "limits_broken", "equilibrium",
    ]  # fmt: skip
    print(table[columns].to_dataframe().T.to_string())
    figure = plotting.mechanisms_figure(table, dict(net.participant["name"]))
    if picture:
        figure.write_html(picture)


if __name__ == "__main__":
    report(*sys.argv[1:2])
