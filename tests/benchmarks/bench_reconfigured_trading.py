"""Trading in a reconfigurable network against the joint central problem, and what fixing saves.

33 buses, a day of 24 hours, 10 prosumers. Both rows compare seconds at equal quality: of the joint
mixed-integer cone problem until its point is as good as ours, or all the time it was given; of our
rounds with all binaries free.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from registry import Row, table
from trading_market import trading_market

import pp_p2p as p2p
from pp_p2p.market.reconfigured_market import Ended, ReconfiguredMarket
from pp_p2p.network.tightening import PLAIN

TIMES = 8.0
"""Multiple of our own time that the joint problem is given."""

SAME = 1e-4
"""Relative difference of objectives that counts as equal quality."""


def rounds(
    participants: int, hours: int, **options: Any
) -> tuple[ReconfiguredMarket, Ended, float]:
    """Return the market, where the rounds with trading end, and their seconds."""
    net, profiles = trading_market(participants, hours)
    net.bus["min_vm_pu"], net.bus["max_vm_pu"] = 0.9, 1.1
    market = ReconfiguredMarket(
        net,
        profiles,
        mechanism=p2p.NashBargaining(network_fee_eur_per_mwh=5.0),
        formulation="branch_flow",
        tightening=PLAIN,
        config=p2p.SolverConfig(),
        options=p2p.Reconfiguration(switching_cost_eur=1.0, **options),
        scheme=None,
    )
    present = np.tile(market.graph.closed, (hours, 1))
    started = time.perf_counter()
    ended = market.ended([present], trading=True, weight=1.0)
    return market, ended, time.perf_counter() - started


def told(ended: Ended) -> str:
    """Return objective, rounds and hours valued in words."""
    done = ended.outcome.rounds
    valued = sum(each.looked_at for each in done)
    return f"{ended.point.objective:.3f} EUR in {len(done)} rounds, {valued} hours valued"


@table("reconfigured_trading", peer="joint problem", full={"participants": 10, "hours": 24})
def against_the_joint_problem(*, participants: int, hours: int) -> list[Row]:
    """Our rounds against branch and bound on the joint problem, and against no reduction."""
    market, ended, ours = rounds(participants, hours)
    _, whole, seconds = rounds(participants, hours, unchanged_rounds=None)
    size = f"33 buses, {hours} h"
    rows = [
        Row(size, "all binaries free", ours, seconds, seconds / ours,
            f"ours {told(ended)}; all free {told(whole)}")
    ]  # fmt: skip
    given = TIMES * ours
    market.options = p2p.Reconfiguration(
        switching_cost_eur=1.0, compare_joint=True, joint_time_limit_s=given
    )
    joint = market.joint(ended)
    assert joint is not None
    least = ended.point.objective
    equal = [s for s, _, value in joint.history if value <= least + SAME * abs(least)]
    peers = equal[0] if equal else joint.seconds
    note = f"ours {least:.3f} EUR, joint {joint.objective:.3f} EUR, bound {joint.bound:.3f} EUR"
    note += "" if equal else "; never as good in that time"
    return [*rows, Row(size, "joint problem", ours, peers, peers / ours, note)]
