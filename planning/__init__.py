"""Investment planning in distribution networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pp_p2p.public import load_when_used

if TYPE_CHECKING:
    from planning.built_profiles import profiles_with_plan
    from planning.case_indicators import study_indicators
    from planning.collaborative import plan_together
    from planning.comparison import compare, difference_to, open_cases, pareto_cases
    from planning.costs import (
        annuity_factor,
        capital_recovery_factor,
        equivalent_annual_cost,
        net_present_cost,
        real_interest_rate,
    )
    from planning.discounting import Discounting
    from planning.evaluation import evaluate
    from planning.expansion import plan_network
    from planning.figures import (
        build_map_figure,
        cash_flow_figure,
        convergence_figure,
        reliability_front_figure,
    )
    from planning.horizon import plan_horizon
    from planning.horizon_result import plan_at
    from planning.interruption_indices import reliability_indices
    from planning.joint_powers import share_gain
    from planning.pareto import reliability_front
    from planning.stages import Stage, growing_stages

_HOMES = {
    "Discounting": "planning.discounting",
    "Stage": "planning.stages",
    "annuity_factor": "planning.costs",
    "build_map_figure": "planning.figures",
    "capital_recovery_factor": "planning.costs",
    "cash_flow_figure": "planning.figures",
    "compare": "planning.comparison",
    "convergence_figure": "planning.figures",
    "difference_to": "planning.comparison",
    "equivalent_annual_cost": "planning.costs",
    "evaluate": "planning.evaluation",
    "growing_stages": "planning.stages",
    "net_present_cost": "planning.costs",
    "open_cases": "planning.comparison",
    "pareto_cases": "planning.comparison",
    "plan_at": "planning.horizon_result",
    "plan_horizon": "planning.horizon",
    "plan_network": "planning.expansion",
    "plan_together": "planning.collaborative",
    "profiles_with_plan": "planning.built_profiles",
    "real_interest_rate": "planning.costs",
    "reliability_front": "planning.pareto",
    "reliability_front_figure": "planning.figures",
    "reliability_indices": "planning.interruption_indices",
    "share_gain": "planning.joint_powers",
    "study_indicators": "planning.case_indicators",
}

__all__ = [
    "Discounting",
    "Stage",
    "annuity_factor",
    "build_map_figure",
    "capital_recovery_factor",
    "cash_flow_figure",
    "compare",
    "convergence_figure",
    "difference_to",
    "equivalent_annual_cost",
    "evaluate",
    "growing_stages",
    "net_present_cost",
    "open_cases",
    "pareto_cases",
    "plan_at",
    "plan_horizon",
    "plan_network",
    "plan_together",
    "profiles_with_plan",
    "real_interest_rate",
    "reliability_front",
    "reliability_front_figure",
    "reliability_indices",
    "share_gain",
    "study_indicators",
]


__getattr__, __dir__ = load_when_used(__name__, _HOMES)
