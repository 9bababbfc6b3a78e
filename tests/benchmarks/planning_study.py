"""The planning study that benchmarks solve: the 33-bus feeder with 36 candidates and a real year.

PV, wind and storage at twelve buses each share, and the five ties of the feeder. Costs and
reliability data are those of ``examples/ieee33.toml``, which names their sources.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandapower.networks as pn
import pandas as pd
import xarray as xr

import clustering
import pp_p2p as p2p

ROOT = Path(__file__).parents[2]

EENS_LIMIT_MWH = 5.5
"""MWh/a: doing nothing leaves 7.0, everything built 4.4; the limit binds."""

PV_AT = (6, 9, 12, 14, 17, 19, 21, 23, 24, 27, 29, 31)
WIND_AT = (7, 13, 17, 20, 24, 28, 30, 32)
STORAGE_AT = (5, 8, 11, 15, 17, 20, 23, 25, 28, 30, 32)
TIES = (32, 33, 34, 35, 36)


def feeder() -> Any:
    """Return the net with candidates: 36 integers."""
    net = pn.case33bw()
    net.ext_grid["min_p_mw"] = np.nan  # the case may not feed back into the grid
    net.poly_cost = net.poly_cost.iloc[:0]
    net.line["max_i_ka"] = 0.30
    p2p.set_line_reliability(
        net, failure_rate_per_km_year=0.065, repair_time_h=5.0, switching_time_h=1.0
    )
    for bus in PV_AT:
        _candidate(net, bus, "pv", 0.1, 8, 900.0, om=1.5, life=25.0)
    for bus in WIND_AT:
        _candidate(net, bus, "wind", 0.25, 4, 1700.0, om=2.0, life=20.0, variable=8.0)
    for bus in STORAGE_AT:
        _candidate(
            net, bus, "storage", 0.1, 4, 500.0, om=1.5, life=15.0,
            unit_e_mwh=0.2, min_soc_percent=20.0,
        )  # fmt: skip
    for line in TIES:
        p2p.create_candidate(
            net, int(net.line.from_bus[line]), technology="line", line=line,
            capex_eur_per_unit=9e4, lifetime_years=40.0,
        )  # fmt: skip
    return net


def _candidate(
    net: Any, bus: int, technology: str, mw: float, most: int, eur_per_kw: float,
    *, om: float, life: float, variable: float = 0.0, **more: float,
) -> None:  # fmt: skip
    capex = eur_per_kw * mw * 1e3
    p2p.create_candidate(
        net,
        bus,
        technology=technology,
        unit_p_mw=mw,
        max_units=most,
        capex_eur_per_unit=capex,
        fixed_om_eur_per_unit_per_year=om / 100.0 * capex,
        variable_om_eur_per_mwh=variable,
        lifetime_years=life,
        **more,
    )


def year(net: Any, n_days: int = 366) -> xr.Dataset:
    """Return the hourly profiles of the first `n_days` of 2016."""
    frame = pd.read_csv(
        ROOT / "examples/data/simbench_2016.csv", comment="#", index_col="time", parse_dates=True
    ).iloc[: 24 * n_days]
    kinds = ["G0-A", "H0-B", "H0-A", "G3-A", "L0-A"]
    chosen = [kinds[k % len(kinds)] for k in range(len(net.load))]
    shape = frame[[f"{kind}_pload" for kind in chosen]].to_numpy()
    shape = shape * (net.load.p_mw.sum() / (shape @ net.load.p_mw.to_numpy()).max())
    hour = frame.index.hour.to_numpy()
    buy = np.select([(hour >= 22) | (hour < 6), hour < 9, hour < 16], [135.0, 220.0, 160.0], 230.0)
    available = frame[["PV5", "WP4"]].to_numpy() * np.array([1.4, 0.8])
    return xr.Dataset(
        {
            "load_p_mw": (("time", "load"), shape * net.load.p_mw.to_numpy()),
            "load_q_mvar": (("time", "load"), shape * net.load.q_mvar.to_numpy()),
            "availability_pu": (("time", "technology"), np.clip(available, 0.0, 1.0)),
            "price_buy_eur_per_mwh": ("time", buy),
            "price_sell_eur_per_mwh": ("time", np.full(len(hour), 65.0)),
        },
        coords={
            "time": frame.index.to_numpy(),
            "load": net.load.index,
            "technology": ["pv", "wind"],
        },
    )


def typical(net: Any, n_days: int) -> xr.Dataset:
    """Return typical days of the year."""
    return clustering.typical_days(year(net), n_days)
