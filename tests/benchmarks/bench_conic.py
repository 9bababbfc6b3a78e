"""Dispatch as a cone programme: seconds and memory, and how both grow with the hours.

The 33-bus feeder with generators that move P and Q and a storage unit, prices by the hour, read to
extracted result, the AC replay of every hour included. There is no peer: the first column is ours,
the second the aim.
"""

from __future__ import annotations

import math
import time
import tracemalloc
from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import xarray as xr
from registry import Row, table

import pp_p2p as p2p

FIRST_S, AGAIN_S = 1.5, 0.25
"""Aims for 24 hours on one core: the first solve, and one with other profiles."""


@table("conic", peer="", full={"hours": (24, 96, 192, 768)}, tiny={"hours": (3,)})
def conic_speed(*, hours: tuple[int, ...]) -> list[Row]:
    """Return seconds of the first solve and of the next, and MB at the peak, by hours."""
    net = _feeder()
    _solve(net, 2)  # imports
    rows = []
    for n in hours:
        first, again = _solve(net, n)
        aims = (FIRST_S, AGAIN_S) if n == 24 else (math.nan, math.nan)
        for what, seconds, aim in (("first", first, aims[0]), ("again", again, aims[1])):
            note = f"{1e3 * seconds / n:.1f} ms an hour"
            rows.append(Row(f"{n} h, {what}, s", "", seconds, aim, aim / seconds, note))
        megabytes = _peak_mb(net, n)
        note = f"{megabytes / n:.2f} MB an hour"
        rows.append(Row(f"{n} h, peak of Python, MB", "", megabytes, math.nan, math.nan, note))
    return rows


def _feeder() -> Any:
    net = pn.case33bw()
    net.ext_grid["min_p_mw"] = np.nan  # the case may not feed back into the grid
    net.poly_cost = net.poly_cost.iloc[:0]
    for bus in (7, 13, 24, 29):
        pp.create_sgen(
            net, bus, p_mw=0.3, controllable=True, min_p_mw=0.0, max_p_mw=0.3,
            min_q_mvar=-0.1, max_q_mvar=0.1,
        )  # fmt: skip
    pp.create_storage(net, 17, p_mw=0.0, max_e_mwh=1.0, max_p_mw=0.3, min_p_mw=-0.3)
    return net


def _profiles(net: Any, hours: int, seed: int) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    days, steps = -(-hours // 24), min(hours, 24)
    shape = rng.uniform(0.4, 1.0, (days, steps, 1))
    over = ("day", "hour")
    return xr.Dataset(
        {
            "load_p_mw": ((*over, "load"), shape * net.load.p_mw.to_numpy()),
            "load_q_mvar": ((*over, "load"), shape * net.load.q_mvar.to_numpy()),
            "sgen_p_mw": ((*over, "sgen"), rng.uniform(0, 0.3, (days, steps, len(net.sgen)))),
            "price_buy_eur_per_mwh": (over, rng.uniform(80, 200, (days, steps))),
            "price_sell_eur_per_mwh": (over, np.full((days, steps), 50.0)),
        },
        coords={
            "day": range(days),
            "hour": np.arange(float(steps)),
            "load": net.load.index,
            "sgen": net.sgen.index,
        },
    )


def _solve(net: Any, hours: int) -> tuple[float, float]:
    started = time.perf_counter()
    problem = p2p.DispatchProblem(net, _profiles(net, hours, 0), objective="cost")
    problem.solve()
    first = time.perf_counter() - started
    again = []
    for seed in (1, 2, 3):
        profiles = _profiles(net, hours, seed)
        started = time.perf_counter()
        problem.solve(profiles)
        again.append(time.perf_counter() - started)
    return first, sorted(again)[1]


def _peak_mb(net: Any, hours: int) -> float:
    tracemalloc.start()
    p2p.DispatchProblem(net, _profiles(net, hours, 0), objective="cost").solve()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20
