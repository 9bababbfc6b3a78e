"""What grows with a market and a net: the prices of many sellers, the check of the tables."""

from __future__ import annotations

import copy
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandapower.networks as pn
from registry import Outcome, Row, benchmark, in_own_process, table

import pp_p2p as p2p

sys.path.append(str(Path(__file__).parents[1] / "algorithms"))


@table(
    "price_leaders",
    peer="",
    full={"sizes": ((30, 300), (100, 1000), (300, 3000)), "hours": 24},
    tiny={"sizes": ((2, 3),), "hours": 2},
)
def price_leaders(*, sizes: tuple[tuple[int, int], ...], hours: int) -> list[Row]:
    """Sellers who lead and buyers who follow: seconds of a day; the aim is 10 at 100 x 1000."""
    rows = []
    for sellers, buyers in sizes:
        day = in_own_process(_led, sellers=sellers, buyers=buyers, hours=hours)
        name = f"{sellers} sellers, {buyers} buyers, {hours} h, s"
        note = f"{day.value} rounds, {day.added_mb:.0f} MB"
        rows.append(Row(name, "", day.seconds, math.nan, math.nan, note))
    return rows


def _led(sellers: int, buyers: int, hours: int) -> Callable[[], int]:
    from test_games import random_market

    from pp_p2p.algorithms.leaders import lead

    lead(*random_market(0))  # imports
    market = random_market(0, hours=hours, buyers=buyers, sellers=sellers)
    return lambda: lead(*market).rounds


@benchmark("validate", peer="copy of the net", full={"times": 20}, tiny={"times": 1})
def validated(*, times: int) -> Outcome:
    """Every rule of the tables on 179 buses, with every table filled, against one deep copy."""
    net = _large_net()
    seconds: dict[str, list[float]] = {"ours": [], "copy": []}
    actions: dict[str, Callable[[Any], Any]] = {"ours": p2p.validate, "copy": copy.deepcopy}
    for _ in range(times):  # side by side, so that a busy machine slows both
        for name, action in actions.items():
            started = time.perf_counter()
            action(net)
            seconds[name].append(time.perf_counter() - started)
    return Outcome(
        ours=min(seconds["ours"]),
        theirs=min(seconds["copy"]),
        difference=0.0,
        limit=0.0,
        of="findings",
    )


def _large_net() -> Any:
    net = pn.mv_oberrhein()
    buses = net.bus.index.to_list()
    for bus, load in zip(buses[:30], net.load.index, strict=False):
        p2p.assign(net, p2p.create_participant(net, bus), load=load)
        p2p.create_flexible_load(net, load, max_up_percent=10.0)
        p2p.create_candidate(net, bus, technology="pv", unit_p_mw=0.1, capex_eur_per_unit=1.0)
    for first, second in zip(buses[:10], buses[10:20], strict=True):
        p2p.create_sop(net, [first, second], sn_mva=1.0)
    return net
