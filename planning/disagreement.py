"""The disagreement point of a joint plan: what every investor builds without the others.

Without trades the costs of the investors separate but for the network. So each participant's own
plan is solved first, then the operator's with what they build. Where the network lets every
participant keep its own optimum, that is the joint optimum without trades, and it has bounds by
investor. Where it does not, the joint mixed-integer problem without trades is solved, the
operator's cost in it with the small weight of `pp_p2p.market.clearing.ALONE_WEIGHT`, as on a
trading day.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from planning.investment import MONEY_SCALE
from planning.joint_data import JointData
from planning.joint_own import Lower, OwnPlan
from planning.joint_problem import JointProblem, Point, Upper
from pp_p2p.errors import NoSolution, TimeLimit
from pp_p2p.market.clearing import ALONE_WEIGHT
from pp_p2p.names import OPERATOR
from pp_p2p.network.branches import Array
from pp_p2p.network.limits import explain_compiled
from pp_p2p.solve.report import SolverConfig

SAME_COST = 1e-6
"""A cost is one's own optimum where it is within this share of it."""


@dataclass(frozen=True, kw_only=True)
class Disagreement:
    """The stand-alone point, how it was found, and how far its costs may be from the optimum."""

    upper: Upper
    point: Point
    found: Literal["separate", "joint"]
    noise_eur_per_year: float
    operator_weight: float


def stand_alone(
    problem: JointProblem,
    lower: Lower,
    solver: SolverConfig,
    operator_weight: float = ALONE_WEIGHT,
) -> Disagreement:
    """Return the disagreement point.

    Raises
    ------
    NoSolution
        An investor has no plan of its own: it is named.
    """
    data = problem.data
    own = _own_plans(data, lower)
    upper = Upper(problem, solver, trading=False, operator_weight=operator_weight)
    separate = _through_network(data, upper, own)
    if separate is not None:
        point, noise = separate
        return Disagreement(upper=upper, point=point, found="separate", noise_eur_per_year=noise,
                            operator_weight=operator_weight)  # fmt: skip
    try:
        best = upper.optimum(solver)
    except TimeLimit:
        raise
    except NoSolution as error:
        reasons = explain_compiled(
            upper.integers, upper.model.network, data.year.grid, data.year.line
        )
        raise NoSolution(
            f"stand-alone plan: every participant has one, but operator and network cannot carry "
            f"them: {reasons or error}"
        ) from error
    at_best = upper.at(best.plan)
    if at_best is None:
        raise NoSolution("stand-alone plan: the plan that was found has no operation", best.report)
    noise = abs(best.report.objective - best.report.bound) * MONEY_SCALE / operator_weight
    return Disagreement(upper=upper, point=at_best, found="joint", noise_eur_per_year=noise,
                        operator_weight=operator_weight)  # fmt: skip


def _own_plans(data: JointData, lower: Lower) -> dict[int, OwnPlan]:
    """Return every participant's own plan without trades and network."""
    plans: dict[int, OwnPlan] = {}
    failed: list[int] = []
    for a, label in enumerate(data.participants.tolist()):
        try:
            plans[label] = lower.alone(a)
        except TimeLimit:
            raise
        except NoSolution:
            failed.append(label)
    if failed:
        raise NoSolution(
            f"stand-alone plan of participants {', '.join(map(str, failed))}: none exists, so that "
            "there is nothing to bargain from; raise participant.max_import_mw / max_export_mw, "
            "or give them candidates or load that may be curtailed"
        )
    return plans


def _through_network(
    data: JointData, upper: Upper, own: dict[int, OwnPlan]
) -> tuple[Point, float] | None:
    """Return the point at which all keep their own plans, None where the network forbids it."""
    plan = tuple(np.sum([plan.units for plan in own.values()], axis=0).tolist())
    noise = 0.0
    try:
        if OPERATOR in data.investors:
            best = upper.best_of(OPERATOR, plan)
            plan, noise = best.units, (best.cost - best.bound) / upper.operator_weight
    except TimeLimit:
        raise
    except NoSolution:
        return None
    point = upper.at(plan)
    if point is None:
        return None
    bounds: Array = np.array([plan.bound for plan in own.values()])
    more = point.cost[:-1] - bounds
    if (more > SAME_COST * np.maximum(np.abs(bounds), 1.0)).any():
        return None
    return point, noise + float(np.maximum(more, 0.0).sum())
