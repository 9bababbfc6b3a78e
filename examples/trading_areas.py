"""Three areas in the IEEE 33-bus feeder trade a day, under eight assumptions.

Distribution substation areas at paper buses 11, 23 and 29, as in F. Wang et al., Front. Energy
Res. 12:1413769 (2024); their profiles are not public, SimBench's stand for them.
Run: python examples/trading_areas.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pandas as pd
import xarray as xr

import clustering
import pp_p2p as p2p

DATA = Path(__file__).parent / "data" / "simbench_2016.csv"
LINE_2_3 = 1
"""Row of the paper's line 2-3, behind which all three areas lie."""


def feeder() -> tuple[Any, dict[str, list[int]]]:
    """Return the feeder with the areas, and the rows of their generators."""
    net = pn.case33bw()
    net.ext_grid["min_p_mw"] = np.nan  # the case may not feed back into the grid
    net.load["in_service"] = False  # the areas alone, as in the paper
    net.poly_cost = net.poly_cost.iloc[0:0]
    rows: dict[str, list[int]] = {"pv": [], "wind": [], "load": []}
    for name, bus, pv, wind, load, storage in (
        ("DSA 1", 10, 0.35, 0.0, 0.12, 0.4),
        ("DSA 2", 22, 0.0, 0.35, 0.10, 0.0),
        ("DSA 3", 28, 0.10, 0.10, 0.16, 0.6),
    ):
        area = p2p.create_participant(net, bus, name=name)
        owned = pp.create_load(net, bus, p_mw=load, q_mvar=0.2 * load)
        rows["load"].append(owned)
        sgen = []
        for kind, power in (("pv", pv), ("wind", wind)):
            if power:
                sgen.append(pp.create_sgen(net, bus, p_mw=power, type=kind))
                rows[kind].append(sgen[-1])
        battery = []
        if storage:
            battery = [
                pp.create_storage(
                    net, bus, 0.0, max_e_mwh=storage, min_e_mwh=0.1 * storage,
                    max_p_mw=0.3 * storage, min_p_mw=-0.3 * storage,
                )
            ]  # fmt: skip
            p2p.set_storage(net, battery, degradation_eur_per_mwh=8.0)
        p2p.assign(net, area, load=[owned], sgen=sgen, storage=battery)
        p2p.create_flexible_load(
            net,
            owned,
            max_up_percent=25.0,
            max_down_percent=25.0,
            shift_cost_eur_per_mwh=10.0,
            max_curtail_percent=80.0,
            curtail_cost_eur_per_mwh=400.0,
        )
    return net, rows


def day(net: Any, rows: dict[str, list[int]], date: str = "2016-02-09") -> xr.Dataset:
    """Return the hours of `date`: SimBench's load, sun and wind, and a day-and-night tariff."""
    table = pd.read_csv(DATA, comment="#", index_col="time", parse_dates=True).loc[date]
    hour = np.arange(len(table))
    peak = net.load.p_mw[rows["load"]].to_numpy()
    shape = table[["H0-A_pload", "G0-A_pload", "L0-A_pload"]].to_numpy()
    shape = shape / shape.max(axis=0)
    sgen = rows["pv"] + rows["wind"]
    source = ["PV5"] * len(rows["pv"]) + ["WP6"] * len(rows["wind"])
    power = table[source].to_numpy() * net.sgen.p_mw[sgen].to_numpy()
    at_day, in_the_evening = (hour >= 8) & (hour < 12), (hour >= 17) & (hour < 21)
    buy = np.select([at_day, in_the_evening, hour < 6], [190.0, 210.0, 70.0], 130.0)
    return xr.Dataset(
        {
            "load_p_mw": (("time", "load"), shape * peak),
            "load_q_mvar": (("time", "load"), 0.2 * shape * peak),
            "sgen_p_mw": (("time", "sgen"), power),
            "price_buy_eur_per_mwh": ("time", buy),
            "price_sell_eur_per_mwh": ("time", np.full(len(hour), 50.0)),
        },
        coords={"time": table.index.to_numpy(), "load": rows["load"], "sgen": sgen},
    )


def compare() -> tuple[Any, xr.Dataset]:
    """Return the feeder and its cases: response of load, a limit on line 2-3, uncertain prices."""
    net, rows = feeder()
    profiles = day(net, rows)
    price = profiles["price_buy_eur_per_mwh"]
    scenarios = clustering.price_scenarios(price, 0.12 * price, n_scenarios=3, correlation=0.7)
    cases = p2p.trading_cases(
        net,
        profiles,
        line_limits_mva={LINE_2_3: 0.1},
        scenarios=scenarios,
        mechanism=p2p.NashBargaining(network_fee_eur_per_mwh=2.0),
    )
    return net, cases


def show(title: str, table: pd.DataFrame, digits: int = 2) -> None:
    """Print a table under its title."""
    print(f"\n{title}\n{table.round(digits).to_string()}")


def report(net: Any, cases: xr.Dataset) -> None:
    """Print costs, exchange, voltages at the areas and the schedule of storage."""
    names = [str(name) for name in net.participant["name"]]
    for variable in (
        "cost_alone_eur",
        "cost_eur",
        "grid_purchase_alone_mwh",
        "grid_purchase_mwh",
        "grid_sale_alone_mwh",
        "grid_sale_mwh",
        "peer_purchase_mwh",
    ):
        table = cases[variable].to_pandas().set_axis(names, axis="columns")
        show(f"{cases[variable].attrs.get('long_name', variable)} ({variable})", table)
    sums = cases[["social_cost_alone_eur", "social_cost_eur"]].drop_vars(
        ["response", "limit", "stochastic"]
    )
    show("all together", sums.to_dataframe())
    at = cases.sel(bus=net.participant.bus.to_numpy())
    ends = {
        f"{name} {end}": getattr(at[variable], end)(["time", "bus"]).to_pandas()
        for name, variable in (("without", "vm_alone_pu"), ("with", "vm_pu"))
        for end in ("min", "max")
    }
    show("voltage at the areas, without and with trading (p.u.)", pd.DataFrame(ends), 4)
    base = cases.sel(case="base")
    storage = {
        f"{how} {label}": base[variable].sel(storage=label).to_pandas()
        for how, variable in (("without", "storage_p_alone_mw"), ("with", "storage_p_mw"))
        for label in base["storage"].to_numpy().tolist()
    }
    show("storage in the base case, positive charges (MW)", pd.DataFrame(storage), 3)


if __name__ == "__main__":
    report(*compare())
