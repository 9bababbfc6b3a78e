"""Add trading and a soft open point to a pandapower study that exists already.

Nothing of the net is replaced: participants and soft open points are tables beside those of
pandapower.
Run: python examples/add_to_net.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import xarray as xr

import pp_p2p as p2p

RESULTS = Path(__file__).parent / "results" / "add_to_net"


def my_net() -> Any:
    """Return the net as the study had it: 33 buses, two solar plants."""
    net = pn.case33bw()
    for bus, p_mw in ((10, 1.0), (28, 0.4)):
        pp.create_sgen(net, bus, p_mw=p_mw, name=f"PV {bus}", controllable=True)
    return net


def add(net: Any) -> None:
    """Add who trades, and a soft open point between two feeder ends."""
    for name, bus, loads, sgen in (
        ("north", 10, [8, 9, 10], 0),
        ("south", 28, [26, 27, 28, 29], 1),
    ):
        owner = p2p.create_participant(net, name=name, bus=bus)
        p2p.assign(net, owner, load=loads, sgen=[sgen])
    p2p.create_sop(net, buses=[17, 32], sn_mva=0.5, loss_factor=0.02)


def day(net: Any) -> xr.Dataset:
    """Return a day of sun and prices."""
    hours = np.arange(24.0)
    sun = np.clip(np.sin((hours - 6) / 12 * np.pi), 0, None)
    return xr.Dataset(
        {
            "sgen_p_mw": (("time", "sgen"), sun[:, None] * net.sgen.p_mw.to_numpy()),
            "price_buy_eur_per_mwh": ("time", np.full(24, 200.0)),
            "price_sell_eur_per_mwh": ("time", np.full(24, 70.0)),
        },
        coords={"time": hours, "sgen": net.sgen.index},
    )


def main(results: Path = RESULTS) -> xr.Dataset:
    net = my_net()
    add(net)
    p2p.runpp(net)  # pandapower's power flow, soft open point included
    print("lowest voltage as it stands:", round(float(net.res_bus.vm_pu.min()), 4), "p.u.")
    traded = p2p.trade_day(net, day(net), mechanism=p2p.NashBargaining())
    print(traded[["cost_alone_eur", "payment_eur", "saving_eur"]].to_dataframe().round(2))
    print("lowest voltage of the day:  ", round(float(traded["vm_pu"].min()), 4), "p.u.")
    print("confirmed by AC power flow: ", traded.attrs["relaxation"])
    p2p.write_back(net, traded)  # fills net.res_participant
    p2p.to_netcdf(traded, results / "day.nc")
    figure = p2p.plotting.pf_res_plotly(net, ds=traded, step=12)
    figure.write_html(results / "noon.html")
    print(f"day.nc and noon.html are in {results}")
    return traded


if __name__ == "__main__":
    main()
