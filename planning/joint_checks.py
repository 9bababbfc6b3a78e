"""What a joint plan is held against: own plans of each investor, and the central optimum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from planning.alternation import Ending
from planning.investment import MONEY_SCALE
from planning.joint_data import JointData
from planning.joint_own import Lower
from planning.joint_problem import DEVIATION_GAP, Point, Upper
from planning.joint_result import Deviations
from pp_p2p.names import OPERATOR
from pp_p2p.network.branches import Array
from pp_p2p.solve.report import SolverConfig

COST_TOLERANCE: Final = 1e-7
"""A social cost is lower where it is so by more than this share of all cost."""

SMALL: Final = 12
"""Most units in all for which the central benchmark is solved unasked."""


def deviations(holder: Upper, lower: Lower, point: Point, *, agreed: bool) -> Deviations:
    """Return what each investor would gain where it alone plans anew, trades kept.

    Where all stay alone nobody owes anything to anybody: what counts is each one's own account.
    `holder` is the problem that `point` is one of.
    """
    data = holder.data
    gain, own, tolerance = (np.full(len(data.accounts), np.nan) for _ in range(3))
    fee = 0.5 * data.fee_eur_per_mwh * (np.abs(point.trade) @ data.step_mwh)
    published = point.cost - np.append(fee, 0.0)
    unseen = (DEVIATION_GAP + COST_TOLERANCE) * abs(point.objective)
    for account, free in lower.plans(point).items():
        own[data.position(account)] = max(published[data.position(account)] - free.cost, 0.0)
    for account in data.investors:
        a = data.position(account)
        if not (agreed or account == OPERATOR):
            continue
        weight = 1.0 if agreed else holder.operator_weight
        bound = holder.deviation(account, point).bound
        gain[a] = max(point.objective - bound, 0.0) / weight
        tolerance[a] = unseen / weight
        if account == OPERATOR:  # what others do is not its cost: no more than with them
            own[a] = gain[a]
    if not agreed:
        kept, free_plans = lower.plans(point, keep_units=True), lower.plans(point)
        for account, free in free_plans.items():
            a = data.position(account)
            gain[a] = max(kept[account].cost - free.cost, 0.0)
            tolerance[a] = max(free.cost - free.bound, 0.0) + COST_TOLERANCE * abs(point.objective)
    return Deviations(gain=gain, own=own, tolerance=tolerance)


def gains_without(
    data: JointData,
    upper: Upper,
    alone: Point,
    together: Point,
    gain: Callable[[Point, Point], float],
) -> Array:
    """Return the gain (account,), EUR/a, where each participant stays alone, NaN for the operator.

    It builds what it would alone and trades with nobody; the others build what they do together.
    Where the network forbids that, there is no gain without it.
    """
    without = np.full(len(data.accounts), np.nan)
    for a, label in enumerate(data.participants.tolist()):
        mine = data.candidates_of(label)
        units = np.array(together.plan)
        units[mine] = np.array(alone.plan)[mine]
        point = upper.without(a, tuple(int(n) for n in units))
        without[a] = 0.0 if point is None else gain(alone, point)
    return without


def equilibrium(data: JointData, off: Deviations) -> str:
    """Return what the deviations prove, in words."""
    gains = np.nan_to_num(off.gain) > np.nan_to_num(off.tolerance)
    if not gains.any():
        return (
            "certified: no investor gains by another plan of its own that leaves nobody else "
            "worse off"
        )
    who = ", ".join(str(k) for k in data.accounts[gains])
    return f"not certified: {who} would gain by another plan"


def central(
    upper: Upper, solver: SolverConfig, data: JointData, benchmark: bool | None
) -> Point | None:
    """Return the central optimum where it is asked for, or the problem is small."""
    small = int(data.year.candidates.max_units.sum()) <= SMALL
    if not (small if benchmark is None else benchmark):
        return None
    return upper.optimum(solver)


def benchmark_attrs(central: Point | None, best: Ending) -> dict[str, object]:
    """Return the attributes that compare the best end with the central optimum."""
    if central is None:
        return {"benchmark": "none"}
    bound = central.report.bound * MONEY_SCALE
    scale = max(abs(central.objective), 1.0)
    return {
        "benchmark": "central mixed-integer problem",
        "central_objective_eur_per_year": central.objective,
        "central_bound_eur_per_year": bound,
        "central_status": central.report.status.value,
        "central_gap": (best.cost - central.objective) / scale,
        "gap_to_central_bound": (best.cost - bound) / scale,
    }
