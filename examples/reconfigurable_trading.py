"""A feeder head that is too weak for what neighbours would trade, and switches that help.

Two areas with sun stand on the lateral behind line 17 of the 33-bus feeder; three areas elsewhere
would buy from them at noon. Line 17 is limited. On the topology as it stands part of the sun is
curtailed and with it the trades; with switches, a part of the lateral is fed from its other end.

    python examples/reconfigurable_trading.py
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import xarray as xr

import pp_p2p as p2p

HEAD = 17
"""Line from bus 1 to bus 18, the head of the lateral."""


def weak_feeder(limit_mva: float | None = 0.8, steps: int = 8) -> tuple[Any, xr.Dataset]:
    """Return the feeder with its participants, and some steps of their day."""
    net = pn.case33bw()
    net.ext_grid["min_p_mw"] = np.nan  # the case may not feed back into the grid
    net.bus["min_vm_pu"], net.bus["max_vm_pu"] = 0.9, 1.06
    hours = np.arange(steps) * 24.0 / steps
    sun = np.clip(np.sin((hours - 6.0) / 12.0 * np.pi), 0.0, None)
    daily = 0.6 + 0.3 * np.sin((hours - 9.0) / 24.0 * 2 * np.pi)
    made = {}
    for name, bus in (("sun north", 19), ("sun south", 20)):
        who = p2p.create_participant(net, bus, name=name)
        unit = pp.create_sgen(net, bus, p_mw=0.8, controllable=True, name=name)
        pp.create_poly_cost(net, unit, "sgen", cp1_eur_per_mw=1.0)
        p2p.assign(net, who, sgen=[unit], load=[int(net.load.index[net.load.bus == bus][0])])
        made[unit] = 0.8 * sun
    for name, buses in (("mill", (23, 24)), ("town", (29, 30, 31)), ("farm", (7, 8, 9))):
        who = p2p.create_participant(net, buses[0], name=name)
        p2p.assign(net, who, load=net.load.index[net.load.bus.isin(buses)].tolist())
    if limit_mva is not None:
        net.line.loc[HEAD, "max_i_ka"] = limit_mva / (np.sqrt(3) * 12.66)
    day = xr.Dataset(
        {
            "load_p_mw": (("time", "load"), daily[:, None] * net.load.p_mw.to_numpy()),
            "load_q_mvar": (("time", "load"), daily[:, None] * net.load.q_mvar.to_numpy()),
            "sgen_p_mw": (("time", "sgen"), np.stack([made[k] for k in net.sgen.index], axis=1)),
            "price_buy_eur_per_mwh": ("time", np.full(steps, 180.0)),
            "price_sell_eur_per_mwh": ("time", np.full(steps, 60.0)),
        },
        coords={"time": hours, "load": net.load.index, "sgen": net.sgen.index},
    )
    return net, day


def compare(net: Any, day: xr.Dataset) -> xr.Dataset:
    """Return the day on fixed, static and hourly topology, with and without trading."""
    return p2p.reconfiguration_cases(
        net,
        day,
        reconfigure=p2p.Reconfiguration(max_operations=8, switching_cost_eur=0.5),
        mechanism=p2p.NashBargaining(network_fee_eur_per_mwh=5.0),
    )


def told(table: xr.Dataset) -> list[str]:
    """Return what trading comes to without and with reconfiguration, in words."""
    lines = []
    for name, words in (("fixed", "as it stands"), ("hourly", "reconfigured hourly")):
        case = table.sel(topology=name, trading=True)
        lines.append(
            f"trading on the net {words}: {float(case['curtailed_mwh']):.3f} MWh of sun curtailed, "
            f"{float(case['volume_mwh']):.3f} MWh traded, {float(case['loss_mwh']):.3f} MWh lost, "
            f"nodal prices {float(case['price_spread_eur_per_mwh']):.2f} EUR/MWh apart"
        )
    return lines


def main() -> None:
    print("volume and curtailment, MWh, losses, MWh, prices, EUR/MWh, welfare, EUR")
    for limit in (None, 0.8):
        table = compare(*weak_feeder(limit))
        print("\nfeeder head", "without limit" if limit is None else f"limited to {limit} MVA")
        shown = [
            "volume_mwh",
            "curtailed_mwh",
            "loss_mwh",
            "vm_min_pu",
            "line_loading_max_percent",
            "price_spread_eur_per_mwh",
            "welfare_eur",
            "operations",
        ]
        print(table[shown].to_dataframe().round(3).to_string())
        print(*told(table), sep="\n")
    print("\nopen, hour by hour:")
    print(table["open_elements"].sel(topology="hourly", trading=True).to_series().to_string())


if __name__ == "__main__":
    main()
