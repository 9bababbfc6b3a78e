"""The same day as a PyPSA network: buses and lines of the net, its devices by what they can do.

Lines carry what they are asked to and lose nothing. The external grid sells and buys at the
profiles' prices; everything else is the participants' own:

    sgen            generator, to be curtailed at no cost or at its ``poly_cost``
    storage         store that ends as it began, behind one link to charge and one to discharge
    flexible load   store of moved energy behind two links; what is forgone is a generator
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

LARGE_MW = 1e3


def pypsa_day(net: Any, profiles: xr.Dataset) -> Any:
    """Return the ``pypsa.Network`` of a radial net with one external grid and its profiles."""
    import pypsa

    n = pypsa.Network()
    n.set_snapshots(pd.RangeIndex(profiles.sizes["time"]))
    n.snapshot_weightings.loc[:, :] = float(profiles["time"][1] - profiles["time"][0])
    names = [f"bus {b}" for b in net.bus.index]
    n.add("Bus", names, v_nom=net.bus.vn_kv.to_numpy())
    rows = net.line[net.line.in_service]
    n.add(
        "Line", [f"line {k}" for k in rows.index], bus0=_at(rows.from_bus), bus1=_at(rows.to_bus),
        x=(rows.x_ohm_per_km * rows.length_km).to_numpy(), s_nom=LARGE_MW,
    )  # fmt: skip
    source = f"bus {net.ext_grid.bus.iloc[0]}"
    for name, sign in (("buy", 1.0), ("sell", -1.0)):
        price = profiles[f"price_{name}_eur_per_mwh"].to_numpy()
        n.add("Generator", name, bus=source, p_nom=LARGE_MW, sign=sign, marginal_cost=sign * price)
    _add_loads(n, net, profiles)
    _add_generators(n, net, profiles)
    _add_storage(n, net.storage)
    return n


def solved_cost(n: Any) -> float:
    """Optimise with HiGHS and return the cost, EUR."""
    status, condition = n.optimize(
        solver_name="highs", solver_options={"output_flag": False}, log_to_console=False,
        include_objective_constant=False,
    )  # fmt: skip
    if (status, condition) != ("ok", "optimal"):
        raise RuntimeError(f"PyPSA: {status}, {condition}")
    return float(n.objective)


def _at(bus: Any) -> list[str]:
    return [f"bus {b}" for b in bus]


def _over_time(n: Any, names: list[str], values: Any) -> pd.DataFrame:
    return pd.DataFrame(np.asarray(values), index=n.snapshots, columns=names)


def _add_loads(n: Any, net: Any, profiles: xr.Dataset) -> None:
    power = profiles["load_p_mw"].sel(load=net.load.index).to_numpy()
    names = [f"load {k}" for k in net.load.index]
    n.add("Load", names, bus=_at(net.load.bus), p_set=_over_time(n, names, power))
    rows = net.flexible_load
    hour = profiles["time"].to_numpy()[:, None]
    start, end = rows.window_start_h.to_numpy(), rows.window_end_h.to_numpy()
    window = np.where(start < end, (hour >= start) & (hour < end), (hour >= start) | (hour < end))
    level = power[:, net.load.index.get_indexer(rows.load)]
    bus = _at(net.load.bus.loc[rows.load])
    moved = [f"moved {k}" for k in rows.index]
    n.add("Bus", moved)
    n.add("Store", moved, bus=moved, e_nom=LARGE_MW, e_min_pu=-1.0, e_cyclic=True)
    for way, ends in (("up", (bus, moved)), ("down", (moved, bus))):
        names = [f"{way} {k}" for k in rows.index]
        most = level * window * rows[f"max_{way}_percent"].to_numpy() / 100.0
        cost = rows.shift_cost_eur_per_mwh.to_numpy() if way == "up" else 0.0
        n.add(
            "Link", names, bus0=ends[0], bus1=ends[1], p_nom=1.0,
            p_max_pu=_over_time(n, names, most), marginal_cost=cost,
        )  # fmt: skip
    names = [f"forgone {k}" for k in rows.index]
    most = level * rows.max_curtail_percent.to_numpy() / 100.0
    n.add(
        "Generator", names, bus=bus, p_nom=1.0, p_max_pu=_over_time(n, names, most),
        marginal_cost=rows.curtail_cost_eur_per_mwh.to_numpy(),
    )  # fmt: skip


def _add_generators(n: Any, net: Any, profiles: xr.Dataset) -> None:
    names = [f"sgen {k}" for k in net.sgen.index]
    most = np.tile(net.sgen.p_mw.to_numpy(float), (len(n.snapshots), 1))
    profiled = net.sgen.index.get_indexer(profiles["sgen"].to_numpy())
    most[:, profiled] = profiles["sgen_p_mw"].to_numpy()
    cost = pd.Series(0.0, index=net.sgen.index)
    priced = net.poly_cost[net.poly_cost.et == "sgen"]
    cost.loc[priced.element] = priced.cp1_eur_per_mw.to_numpy()
    n.add(
        "Generator", names, bus=_at(net.sgen.bus), p_nom=1.0, p_max_pu=_over_time(n, names, most),
        marginal_cost=cost.to_numpy(),
    )  # fmt: skip


def _add_storage(n: Any, rows: pd.DataFrame) -> None:
    stores = [f"storage {k}" for k in rows.index]
    n.add("Bus", stores)
    e_max, wear = rows.max_e_mwh.to_numpy(), rows.degradation_eur_per_mwh.to_numpy()
    n.add(
        "Store", stores, bus=stores, e_nom=e_max, e_min_pu=rows.min_e_mwh.to_numpy() / e_max,
        e_cyclic=True,
    )  # fmt: skip
    into, out = (
        rows[f"{way}_efficiency_percent"].to_numpy() / 100.0 for way in ("charge", "discharge")
    )
    n.add(
        "Link", [f"charge {k}" for k in rows.index], bus0=_at(rows.bus), bus1=stores,
        p_nom=rows.max_p_mw.to_numpy(), efficiency=into, marginal_cost=wear,
    )  # fmt: skip
    n.add(  # rated and paid by what it gives; a link is by what it takes
        "Link", [f"discharge {k}" for k in rows.index], bus0=stores, bus1=_at(rows.bus),
        p_nom=-rows.min_p_mw.to_numpy() / out, efficiency=out, marginal_cost=wear * out,
    )  # fmt: skip
