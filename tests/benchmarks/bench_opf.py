"""Optimal power flow: `pp_p2p.dispatch` beside ``pandapower.runopp`` on random load levels.

The 33-bus feeder of Baran and Wu with five generators that may move P and Q. Both sides minimise
the same quantity under the same limits: for losses, runopp prices every MW fed in alike, so that
with fixed loads its cost is the losses; for cost, both read the same ``net.poly_cost``.
What either found is judged by the AC power flow of its set points. Our time includes our own
certificate, an AC power flow of every hour.
"""

from __future__ import annotations

import copy
import time
from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import xarray as xr
from pandapower.optimal_powerflow import OPFNotConverged
from registry import Row, table

import pp_p2p as p2p

PEER = "pandapower.runopp"
WORSE = 1e-6
"""A loss (MW) or cost (relative) that is higher by more than this counts as worse."""

GENERATOR_BUSES = (7, 13, 20, 24, 29)
GRID_EUR_PER_MWH = 60.0
GENERATOR_EUR = ((40.0, 8.0), (45.0, 6.0), (50.0, 2.0), (35.0, 12.0), (55.0, 1.0))
"""Linear and quadratic cost of each generator, EUR/MWh and EUR/MW^2h."""


@table("opf", peer=PEER, full={"n_levels": 100}, tiny={"n_levels": 2})
def dispatch_vs_runopp(n_levels: int = 100, seed: int = 0) -> list[Row]:
    """Return how often each converges, what it finds and how long it takes, by objective."""
    net, levels = _feeder(), _levels(n_levels, seed)
    rows = []
    for objective in ("loss", "cost"):
        _price(net, objective)
        theirs = [_runopp(net, level) for level in levels]
        single = [_dispatch(net, level[None], objective) for level in levels]
        batch, batch_s = _dispatch(net, levels, objective)
        rows += _rows(objective, theirs, single, batch, batch_s)
    return rows


def _feeder() -> Any:
    net = pn.case33bw()
    net.bus.loc[1:, ["min_vm_pu", "max_vm_pu"]] = [0.94, 1.06]
    net.ext_grid[["min_p_mw", "max_p_mw"]] = [-10.0, 10.0]
    net.poly_cost = net.poly_cost.iloc[:0]
    for bus in GENERATOR_BUSES:
        pp.create_sgen(
            net,
            bus,
            p_mw=0.1,
            controllable=True,
            min_p_mw=0.0,
            max_p_mw=0.8,
            min_q_mvar=-0.5,
            max_q_mvar=0.5,
        )
    return net


def _levels(n: int, seed: int) -> Any:
    """Return the factor of every load (level, load): a common level, and its own noise."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0.2, 1.5, (n, 1)) * rng.uniform(0.8, 1.2, (n, 32))


def _price(net: Any, objective: str) -> None:
    net.poly_cost = net.poly_cost.iloc[:0]
    flat = objective == "loss"
    pp.create_poly_cost(net, 0, "ext_grid", cp1_eur_per_mw=1.0 if flat else GRID_EUR_PER_MWH)
    for sgen, (linear, square) in enumerate(GENERATOR_EUR):
        cost = {"cp1_eur_per_mw": 1.0 if flat else linear}
        pp.create_poly_cost(net, sgen, "sgen", **cost, cp2_eur_per_mw2=0.0 if flat else square)


def _runopp(net: Any, level: Any) -> tuple[float, float]:
    """Return the objective, NaN where it does not converge, and the seconds."""
    one = _at(net, level)
    started = time.perf_counter()
    try:
        pp.runopp(one, numba=False)
    except OPFNotConverged:
        return float("nan"), time.perf_counter() - started
    seconds = time.perf_counter() - started
    return _judged(one, one.res_sgen.p_mw, one.res_sgen.q_mvar), seconds


def _dispatch(net: Any, levels: Any, objective: str) -> tuple[list[float], float]:
    """Return the objective of every level, NaN without a proof, and the seconds of the call."""
    profiles = xr.Dataset(
        {
            f"load_{power}": (("time", "load"), levels * net.load[power].to_numpy(float))
            for power in ("p_mw", "q_mvar")
        },
        coords={"time": np.arange(float(len(levels))), "load": net.load.index},
    )
    started = time.perf_counter()
    ds = p2p.dispatch(net, profiles, objective=objective)
    seconds = time.perf_counter() - started
    if (ds.attrs["status"], ds.attrs["relaxation"]) != ("optimal", "exact"):
        return [float("nan")] * len(levels), seconds
    p, q = (ds[name].transpose("time", ...).to_numpy() for name in ("sgen_p_mw", "sgen_q_mvar"))
    return [_judged(_at(net, level), p[t], q[t]) for t, level in enumerate(levels)], seconds


def _at(net: Any, level: Any) -> Any:
    one = copy.deepcopy(net)
    one.load[["p_mw", "q_mvar"]] = one.load[["p_mw", "q_mvar"]].mul(level, axis=0)
    return one


def _judged(net: Any, p_mw: Any, q_mvar: Any) -> float:
    """Return what set points cost, or lose where every MW costs 1, in the AC power flow.

    The same judge for both: runopp's own balance may miss 1 kW, a tenth of the losses.
    """
    net.sgen["p_mw"], net.sgen["q_mvar"] = np.asarray(p_mw), np.asarray(q_mvar)
    pp.runpp(net, numba=False, tolerance_mva=1e-9)
    power = np.concatenate([net.res_ext_grid.p_mw, net.res_sgen.p_mw])
    linear, square = (
        net.poly_cost[c].to_numpy(float) for c in ("cp1_eur_per_mw", "cp2_eur_per_mw2")
    )
    total = float(linear @ power + square @ power**2)
    return total - float(net.load.p_mw.sum()) if (linear == 1.0).all() else total


def _rows(
    objective: str, theirs: list[Any], single: list[Any], batch: list[float], batch_s: float
) -> list[Row]:
    peer, peer_s = np.array(theirs).T
    ours = np.array([found[0] for found, _ in single])
    ours_s = np.array([seconds for _, seconds in single])
    both = np.isfinite(peer) & np.isfinite(ours)
    scale = np.maximum(np.abs(peer), 1.0)
    excess = ((np.maximum(ours, batch) - peer) / scale)[both]
    worst = f"worse by more than {WORSE:g}: {int((excess > WORSE).sum())}"
    note = f"largest excess {excess.max():.1e}; {worst}"
    unit = "MW" if objective == "loss" else "EUR/h"

    def row(what: str, mine: float, other: float, note: str) -> Row:
        ratio = float(other) / float(mine)
        return Row(f"{objective}: {what}", PEER, float(mine), float(other), ratio, note)

    n, done = len(peer), (int(np.isfinite(ours).sum()), int(np.isfinite(peer).sum()))
    return [
        Row(f"{objective}: converged", PEER, *done, done[0] / max(done[1], 1), f"of {n} levels"),
        row(f"mean objective, {unit}", ours[both].mean(), peer[both].mean(), note),
        row("median s, one call a level", np.median(ours_s), np.median(peer_s), ""),
        row("total s, one call a level", ours_s.sum(), peer_s.sum(), ""),
        row("total s, one call for all", batch_s, peer_s.sum(), "independent hours"),
    ]
