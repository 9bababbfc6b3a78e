"""Where the alternation of a joint plan begins, and how far its trades may move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, get_args

import numpy as np

from planning.alternation import Ending, Plan, alternate, followed
from planning.candidates import GENERATION
from planning.joint_data import JointData
from planning.joint_own import Lower
from planning.joint_problem import Point, Upper
from pp_p2p.names import OPERATOR

Start = Literal["stand_alone", "relaxed", "fee_free", "over_sized"]
WITH_NETWORK: Final = float("inf")
"""Radius at which an investor plans with the network in view, trades kept."""

STARTS: Final[tuple[Start, ...]] = get_args(Start)


def run_starts(
    data: JointData,
    upper: Upper,
    lower: Lower,
    alone: Point,
    starts: Sequence[Start],
    radii: list[float],
    tolerance: float,
    max_rounds: int,
) -> list[Ending]:
    """Run the alternation from every start; one that begins where another did is left out.

    The best end is taken up once more, with the network in view.
    """
    known: dict[tuple[Plan, float], dict[int, Plan]] = {}

    def propose(plan: Plan, radius: float) -> dict[int, Plan]:
        if (plan, radius) not in known:
            known[plan, radius] = _proposals(data, upper, lower, plan, radius)
        return known[plan, radius]

    def run(start: str, plan: Plan, radii: list[float]) -> Ending:
        return alternate(
            start,
            plan,
            upper.cost,
            propose,
            radii=radii,
            tolerance=tolerance,
            max_rounds=max_rounds,
        )

    plans: dict[Plan, Start] = {}
    for start in starts:
        plan = _first_plan(start, data, upper, alone)
        plans.setdefault(plan, start)
    endings = [run(start, plan, radii) for plan, start in plans.items()]
    best = min(range(len(endings)), key=lambda k: endings[k].cost)
    if np.isfinite(endings[best].cost):
        more = run(endings[best].start, endings[best].plan, [WITH_NETWORK])
        endings[best], moved = followed(endings[best], more), more.plan != endings[best].plan
        if moved:
            more = run(endings[best].start, endings[best].plan, [*radii, WITH_NETWORK])
            endings[best] = followed(endings[best], more)
    return endings


def _proposals(
    data: JointData, upper: Upper, lower: Lower, plan: Plan, radius: float
) -> dict[int, Plan]:
    point = upper.at(plan)
    if point is None:
        return {}
    if radius == WITH_NETWORK:
        return {k: upper.deviation(k, point).units for k in data.investors}
    found = lower.propose(point, radius)
    if radius == 0.0 and OPERATOR in data.investors:  # it does not trade: no other radius
        found[OPERATOR] = upper.deviation(OPERATOR, point).units
    return found


def _first_plan(start: Start, data: JointData, upper: Upper, alone: Point) -> Plan:
    c = data.year.candidates
    if start == "stand_alone":
        return alone.plan
    if start == "over_sized":
        units = np.where(np.isin(c.technology, GENERATION), c.max_units, alone.units)
        return _whole(data.limited(np.round(units)))
    if start == "relaxed" or data.fee_eur_per_mwh == 0.0:
        return _rounded(upper.relaxed().units, upper)
    return _rounded(upper.relaxed_without_fee().units, upper)


def _rounded(units: Any, upper: Upper) -> Plan:
    """Return units rounded to the nearest integers, or up where that has no operation.

    Within the limits of each investor, in either case.
    """
    near = _whole(upper.data.limited(np.round(units)))
    if np.isfinite(upper.cost(near)):
        return near
    return _whole(upper.data.limited(np.ceil(np.asarray(units) - 1e-6)))


def _whole(units: Any) -> Plan:
    return tuple(int(n) for n in units)


def trust_regions(data: JointData, trust_region_mw: Sequence[float] | None) -> list[float]:
    """Return the trust regions, p.u., with 0 first."""
    c = data.year.candidates
    if trust_region_mw is None:
        power = c.unit_p_mw * c.max_units
        theirs = [power[data.candidates_of(k)].sum() for k in data.participants]
        own = np.where((c.owner != OPERATOR) & (c.max_units > 0), c.unit_p_mw, 0.0)
        trust_region_mw = sorted({float(max(theirs)), float(own.max(initial=0.0))}, reverse=True)
    return [0.0, *(float(r) / data.year.grid.s_base_mva for r in trust_region_mw if r > 0)]
