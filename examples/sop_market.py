"""Four feeders around a four-terminal soft open point trade a day and settle it on a ledger.

Sun, wind and load do not coincide between them. Compared are the feeders without the soft open
point, with it for reactive power or for least losses alone, and with trading; the day is then
settled on a chain in this process, from deposit to refund. After H. Ji et al., IEEE Trans.
Industrial Informatics (2022), whose data are not public.
Run: python examples/sop_market.py   (needs the extra "ledger")
"""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import numpy as np
import pandapower as pp
import pandapower.topology
import pandas as pd
import xarray as xr

import pp_p2p as p2p

HOURS = np.arange(24.0)
SUN = np.clip(np.sin((HOURS - 6) / 12 * np.pi), 0, None)
WIND = 0.6 + 0.35 * np.cos((HOURS - 2) / 24 * 2 * np.pi)
HOMES = 0.55 + 0.3 * np.exp(-0.5 * ((HOURS - 19.5) / 2.2) ** 2) + 0.1 * np.sin(HOURS / 24 * np.pi)
OFFICES = 0.35 + 0.55 * np.exp(-0.5 * ((HOURS - 12.5) / 3.2) ** 2)
REGIONS = (
    # name, load MW, shape of the load, PV MW, wind MW
    ("solar village", 0.9, HOMES, 2.2, 0.0),
    ("wind village", 1.0, HOMES, 0.0, 1.8),
    ("offices", 2.2, OFFICES, 0.3, 0.0),
    ("old town", 1.8, HOMES, 0.0, 0.0),
)


def network(buses_each: int = 12) -> tuple[Any, xr.Dataset]:
    """Return the net with its participants and the soft open point, and the day."""
    net = pp.create_empty_network(sn_mva=1.0)
    ends, load_shape, sgen_shape = [], [], []
    for name, load, shape, pv, wind in REGIONS:
        buses = [
            pp.create_bus(net, 12.66, min_vm_pu=0.93, max_vm_pu=1.07) for _ in range(buses_each)
        ]
        pp.create_ext_grid(net, buses[0], vm_pu=1.0)
        for one, other in pairwise(buses):
            pp.create_line_from_parameters(
                net, one, other, length_km=9.6 / buses_each, r_ohm_per_km=0.45, x_ohm_per_km=0.35,
                c_nf_per_km=0.0, max_i_ka=0.3,
            )  # fmt: skip
        for bus in buses[1:]:
            pp.create_load(
                net, bus, p_mw=load / (buses_each - 1), q_mvar=0.3 * load / (buses_each - 1)
            )
            load_shape.append(shape * load / (buses_each - 1))
        for kind, power, weather in (("PV", pv, SUN), ("WP", wind, WIND)):
            if power:
                for bus in (buses[buses_each // 2], buses[-2]):
                    pp.create_sgen(net, bus, p_mw=power / 2, type=kind)
                    sgen_shape.append(weather * power / 2)
        p2p.create_participant(net, buses[buses_each // 2], name=name)
        ends.append(buses[-1])
    p2p.create_sop(net, buses=ends, sn_mva=1.0, loss_factor=0.01)
    profiles = xr.Dataset(
        {
            "load_p_mw": (("time", "load"), np.array(load_shape).T),
            "load_q_mvar": (("time", "load"), 0.3 * np.array(load_shape).T),
            "sgen_p_mw": (("time", "sgen"), np.array(sgen_shape).T),
            "price_buy_eur_per_mwh": ("time", np.where((HOURS >= 7) & (HOURS < 21), 160.0, 110.0)),
            "price_sell_eur_per_mwh": ("time", np.full(24, 45.0)),
        },
        coords={"time": HOURS, "load": net.load.index, "sgen": net.sgen.index},
    )
    return net, profiles


def without_device(net: Any, profiles: xr.Dataset) -> xr.Dataset:
    """Return cost, losses and exchange of every region with the soft open point out of service."""
    bare = copy.deepcopy(net)
    bare.sop["in_service"] = False
    regions = [
        p2p.dispatch(*region_of(bare, profiles, row), objective="cost") for row in bare.ext_grid.bus
    ]
    return xr.Dataset(
        {
            "cost_eur": ("participant", [ds.attrs["objective"] for ds in regions]),
            "loss_mwh": ("participant", [float(ds["loss_mw"].sum()) for ds in regions]),
            "purchase_mwh": ("participant", [_purchase(ds["p_source_mw"]) for ds in regions]),
        },
        coords={"participant": net.participant.index},
    )


def region_of(net: Any, profiles: xr.Dataset, first_bus: int) -> tuple[Any, xr.Dataset]:
    """Return the region that hangs on an external grid, and its profiles."""
    buses = pp.topology.connected_component(pp.topology.create_nxgraph(net), first_bus)
    region = p2p.toolbox.select_subnet(net, sorted(buses))
    return region, profiles.sel(load=region.load.index, sgen=region.sgen.index)


def _purchase(exchange: xr.DataArray) -> float:
    return float(exchange.clip(min=0.0).sum())


def compare(net: Any, profiles: xr.Dataset, day: xr.Dataset) -> pd.DataFrame:
    """Return cost, losses and purchases of all, and the saving of who saves least, by case."""
    none = without_device(net, profiles)
    least = p2p.dispatch(net, profiles, objective="loss")
    lost = least["loss_mw"].sum() + least["sop_loss_mw"].sum()
    exchange = least["p_source_mw"]  # one external grid for each region, in their order
    buy, sell = (profiles[f"price_{side}_eur_per_mwh"] for side in ("buy", "sell"))
    paid = (exchange.clip(min=0.0) * buy + exchange.clip(max=0.0) * sell).sum("time")
    cases = {
        "no soft open point": (none["cost_eur"], none["loss_mwh"], none["purchase_mwh"].sum()),
        "for least losses": (paid, lost, _purchase(exchange)),
        "for reactive power": (
            day["cost_alone_eur"],
            day["region_loss_alone_mw"],
            _purchase(day["p_grid_alone_mw"]),
        ),
        "with trading": (day["cost_eur"], day["region_loss_mw"], _purchase(day["p_grid_mw"])),
    }
    rows = {
        name: {
            "cost_eur": float(cost.sum()),
            "loss_mwh": float(loss.sum()),
            "purchase_mwh": float(purchase),
            "least_saving_eur": float((none["cost_eur"].to_numpy() - cost.to_numpy()).min()),
        }
        for name, (cost, loss, purchase) in cases.items()
    }
    return pd.DataFrame(rows).T


def report(net: Any, day: xr.Dataset, settlement: xr.Dataset) -> None:
    """Print who traded and paid what, and what the chain did."""
    money = ["cost_alone_eur", "cost_before_payment_eur", "payment_eur", "cost_eur", "saving_eur"]
    table = day[money].to_dataframe()
    table.insert(0, "taken_mwh", day["link_mw"].clip(min=0).sum("time").to_numpy())
    table.insert(1, "fed_mwh", (-day["link_mw"]).clip(min=0).sum("time").to_numpy())
    print(table.set_axis(net.participant.name, axis=0).round(2).to_string())
    calls = settlement[["call", "gas", "seconds"]].to_dataframe().groupby("call", sort=False)
    done = calls.agg(
        times=("gas", "count"),
        gas_each=("gas", "mean"),
        gas=("gas", "sum"),
        seconds=("seconds", "sum"),
    )
    print(done.round(2).to_string())
    print(f"{done.times.sum()} transactions, {done.gas.sum():.3g} gas, {done.seconds.sum():.1f} s")
    escrow = ["deposit_eur", "payment_eur", "imbalance_eur", "refund_eur", "escrow_left_eur"]
    print(settlement[escrow].to_dataframe().round(6).to_string())


def main() -> None:
    """Trade, compare, settle."""
    net, profiles = network()
    day = p2p.trade_day(net, profiles, mechanism=p2p.CombinedOffer(step_mw=0.1, max_level=6))
    print(compare(net, profiles, day).round(2).to_string(), end="\n\n")
    settlement = p2p.ledger.settle_day(net, profiles, day)
    report(net, day, settlement)


if __name__ == "__main__":
    main()
