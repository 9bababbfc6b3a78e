"""Random small markets for the laws, with loops too, and many participants on the 33-bus feeder."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pytest
import xarray as xr

import pp_p2p as p2p

EMPTY = pp.create_empty_network(sn_mva=1.0)
"""To copy: making one takes longer than everything else in a test."""

HOURS = 3


@pytest.fixture(scope="session")
def make_market() -> Any:
    """Return a function that draws a small radial net with participants, and its day.

    Roots, trees, ratings, loads, sun, storage, flexible loads, a unit with costs, and prices all
    follow from the seed; limits are wide enough that the stand-alone day can be served.
    """

    def make(seed: int, *, responsive: bool = True, generation: bool = True) -> tuple[Any, Any]:
        rng = np.random.default_rng(seed)
        net = copy.deepcopy(EMPTY)
        n = int(rng.integers(3, 9))
        buses = rng.choice(1000, n, replace=False).tolist()
        for k, bus in enumerate(buses):
            pp.create_bus(net, 10.0, index=bus, min_vm_pu=0.85, max_vm_pu=1.15)
            if k == 0:
                pp.create_ext_grid(net, bus, vm_pu=float(rng.uniform(0.99, 1.01)))
                continue
            pp.create_line_from_parameters(
                net,
                bus,
                buses[int(rng.integers(0, k))],
                length_km=float(rng.uniform(0.3, 1.5)),
                r_ohm_per_km=float(rng.uniform(0.1, 0.5)),
                x_ohm_per_km=float(rng.uniform(0.1, 0.4)),
                c_nf_per_km=0.0,
                max_i_ka=1.0,
            )
        pp.create_load(net, buses[-1], p_mw=0.2, q_mvar=0.05)  # of nobody
        for k in range(int(rng.integers(2, 6))):
            _participant(net, rng, k, buses[1:], responsive=responsive, generation=generation)
        return net, _day(net, rng)

    return make


def _participant(
    net: Any, rng: Any, k: int, buses: list[int], *, responsive: bool, generation: bool
) -> None:
    """Add the k-th participant: 0 has sun, 1 has none, whoever comes after as it falls."""
    bus = int(rng.choice(buses))
    who = p2p.create_participant(
        net, bus, name=f"P{k}", bargaining_power=float(rng.uniform(0.2, 3.0))
    )
    load = pp.create_load(net, bus, p_mw=float(rng.uniform(0.1, 1.0)), q_mvar=0.05)
    p2p.assign(net, who, load=[load])
    if generation and (k == 0 or (k > 1 and rng.random() < 0.6)):
        p2p.assign(net, who, sgen=[pp.create_sgen(net, bus, p_mw=float(rng.uniform(0.8, 2.0)))])
    if not responsive:
        return
    if rng.random() < 0.4:
        e = float(rng.uniform(0.2, 1.0))
        battery = pp.create_storage(
            net, bus, 0.0, max_e_mwh=e, min_e_mwh=0.1 * e, max_p_mw=0.3 * e, min_p_mw=-0.3 * e
        )
        p2p.set_storage(net, battery, degradation_eur_per_mwh=float(rng.uniform(0.5, 10.0)))
        p2p.assign(net, who, storage=[battery])
    if rng.random() < 0.4:
        p2p.create_flexible_load(
            net,
            load,
            max_up_percent=20.0,
            max_down_percent=20.0,
            shift_cost_eur_per_mwh=5.0,
            max_curtail_percent=float(rng.choice([0.0, 30.0])),
            curtail_cost_eur_per_mwh=150.0,
        )
    if generation and rng.random() < 0.3:
        unit = pp.create_sgen(net, bus, 0.0, controllable=True, min_p_mw=0.0, max_p_mw=0.3)
        pp.create_poly_cost(net, unit, "sgen", cp1_eur_per_mw=80.0, cp2_eur_per_mw2=60.0)
        p2p.assign(net, who, sgen=[unit])


def _day(net: Any, rng: Any) -> xr.Dataset:
    p, q = (net.load[c].to_numpy() for c in ("p_mw", "q_mvar"))
    level = rng.uniform(0.3, 1.0, (HOURS, len(net.load)))
    sun = net.sgen.index[net.sgen.p_mw.to_numpy() > 0].to_numpy()
    buy = rng.uniform(80.0, 220.0, HOURS)
    day = xr.Dataset(
        {
            "load_p_mw": (("time", "load"), level * p),
            "load_q_mvar": (("time", "load"), level * q),
            "price_buy_eur_per_mwh": ("time", buy),
            "price_sell_eur_per_mwh": ("time", buy * rng.uniform(0.2, 0.8, HOURS)),
        },
        coords={"time": np.arange(HOURS) * 8.0, "load": net.load.index.to_numpy()},
    )
    if not len(sun):
        return day
    power = net.sgen.p_mw[sun].to_numpy() * rng.uniform(0.0, 1.0, (HOURS, len(sun)))
    return day.assign(sgen_p_mw=(("time", "sgen"), power)).assign_coords(sgen=sun)


def _crowd(n: int, hours: int = 24, *, seed: int = 1, limit: bool = True) -> tuple[Any, xr.Dataset]:
    """Return `n` participants on case33bw, several at a bus where they are many, and their day.

    Each has load; most have PV, many storage, all shiftable load. Discomfort and the cost of PV
    grow with their power, so that boundary power is unique. With `limit` the feeder's voltage band
    is narrow enough to bind at noon, when PV feeds in.
    """
    rng = np.random.default_rng(seed)
    net = pn.case33bw()
    net.bus["min_vm_pu"], net.bus["max_vm_pu"] = 0.9, 1.1
    net.ext_grid["min_p_mw"] = np.nan  # MATPOWER's case may not feed back
    net.load[["p_mw", "q_mvar"]] *= 0.5
    hour = np.arange(hours) * 24.0 / hours
    daily = 0.7 + 0.3 * np.sin((hour - 9.0) / 24.0 * 2 * np.pi)
    sun = np.clip(np.sin((hour - 6.0) / 12.0 * np.pi), 0.0, 1.0)
    load = {k: daily * p for k, p in net.load.p_mw.items()}
    made = {}
    size = 3.0 / n
    for k, bus in enumerate(rng.permutation(np.resize(np.arange(3, 33), n)).tolist()):
        a = p2p.create_participant(net, bus, name=f"prosumer {k}")
        own = pp.create_load(net, bus, p_mw=size, q_mvar=0.3 * size)
        load[own] = size * rng.uniform(0.3, 1.0) * np.roll(daily, int(rng.integers(-3, 4)))
        units: dict[str, list[int]] = {"load": [own]}
        if k % 4 != 3:
            pv = pp.create_sgen(net, bus, p_mw=size)
            made[pv] = size * rng.uniform(1.0, 3.5) * sun
            units["sgen"] = [pv]
            pp.create_poly_cost(
                net,
                pv,
                "sgen",
                cp1_eur_per_mw=2.0,
                cp2_eur_per_mw2=float(rng.uniform(2.0, 6.0)) / size,
            )
        if k % 3 == 0:
            energy = size * rng.uniform(0.8, 2.0)
            unit = pp.create_storage(
                net, bus, p_mw=0.0, max_e_mwh=energy, soc_percent=50.0,
                max_p_mw=energy / 4, min_p_mw=-energy / 4,
            )  # fmt: skip
            p2p.set_storage(net, unit, degradation_eur_per_mwh=float(rng.uniform(3.0, 8.0)))
            units["storage"] = [unit]
        p2p.assign(net, a, **units)
        p2p.create_flexible_load(
            net, own, max_up_percent=25.0, max_down_percent=25.0,
            shift_discomfort_eur_per_mw2h=float(rng.uniform(100.0, 300.0)) / size,
        )  # fmt: skip
    if limit:
        net.bus.loc[1:, "max_vm_pu"] = 1.004
    buy = np.where((hour >= 8) & (hour < 20), 200.0, 120.0) + 10.0 * np.sin(hour)
    profiles = xr.Dataset(
        {
            "load_p_mw": (("time", "load"), np.stack([load[k] for k in net.load.index], axis=1)),
            "sgen_p_mw": (("time", "sgen"), np.stack([made[k] for k in net.sgen.index], axis=1)),
            "price_buy_eur_per_mwh": ("time", buy),
            "price_sell_eur_per_mwh": ("time", 60.0 + 8.0 * np.cos(1.7 * hour)),
        },
        coords={"time": hour, "load": net.load.index, "sgen": net.sgen.index},
    )
    return net, profiles


@pytest.fixture
def crowd() -> Any:
    """Return a function that makes a market of `n` participants."""
    return _crowd


def _meshed(seed: int, *, hours: int = 2, storage: bool = True) -> tuple[Any, xr.Dataset]:
    """Return a small net with two ties that stand open, four participants, and their day."""
    rng = np.random.default_rng(seed)
    net = copy.deepcopy(EMPTY)
    n = int(rng.integers(6, 8))
    buses = [pp.create_bus(net, 10.0, min_vm_pu=0.9, max_vm_pu=1.1) for _ in range(n)]
    pp.create_ext_grid(net, buses[0], vm_pu=1.0)

    def line(a: int, b: int, *, closed: bool = True) -> None:
        pp.create_line_from_parameters(
            net, a, b, length_km=float(rng.uniform(0.5, 2.0)), in_service=closed,
            r_ohm_per_km=float(rng.uniform(0.2, 0.6)), x_ohm_per_km=float(rng.uniform(0.1, 0.4)),
            c_nf_per_km=0.0, max_i_ka=float(rng.uniform(0.06, 0.15)),
        )  # fmt: skip

    for k in range(1, n):
        line(buses[max(0, k - int(rng.integers(1, 3)))], buses[k])
    pairs = {tuple(sorted(p)) for p in net.line[["from_bus", "to_bus"]].itertuples(index=False)}
    spare = [p for p in itertools.combinations(buses, 2) if p not in pairs]
    for k in rng.choice(len(spare), 2, replace=False).tolist():
        line(*spare[k], closed=False)
    for k, bus in enumerate(rng.choice(buses[1:], 4, replace=False).tolist()):
        who = p2p.create_participant(net, bus, name=f"P{k}")
        load = pp.create_load(net, bus, p_mw=float(rng.uniform(0.3, 0.8)), q_mvar=0.05)
        p2p.assign(net, who, load=[load])
        if k < 2:
            sun = pp.create_sgen(net, bus, p_mw=float(rng.uniform(0.8, 1.6)), controllable=True)
            pp.create_poly_cost(net, sun, "sgen", cp1_eur_per_mw=2.0)
            p2p.assign(net, who, sgen=[sun])
        elif storage:
            unit = pp.create_storage(net, bus, 0.0, max_e_mwh=1.0, max_p_mw=0.3, min_p_mw=-0.3)
            p2p.set_storage(net, unit, degradation_eur_per_mwh=3.0)
            p2p.assign(net, who, storage=[unit])
    load_p = rng.uniform(0.4, 1.0, (hours, 4)) * net.load.p_mw.to_numpy()
    sun_p = rng.uniform(0.0, 1.0, (hours, 2)) * net.sgen.p_mw.to_numpy()
    buy = rng.uniform(100.0, 220.0, hours)
    day = xr.Dataset(
        {
            "load_p_mw": (("time", "load"), load_p),
            "sgen_p_mw": (("time", "sgen"), sun_p),
            "price_buy_eur_per_mwh": ("time", buy),
            "price_sell_eur_per_mwh": ("time", 0.4 * buy),
        },
        coords={
            "time": np.arange(hours) * 24.0 / hours,
            "load": net.load.index,
            "sgen": net.sgen.index,
        },
    )
    return net, day


@pytest.fixture(scope="session")
def meshed() -> Any:
    """Return a function that makes a small net with ties, its participants and their day."""
    return _meshed


@pytest.fixture
def market_of(benchmarks: Any) -> Any:
    """Return a function that reads net and day as a market in a network to be reconfigured."""
    return benchmarks("feeder_market").reconfigured_market
