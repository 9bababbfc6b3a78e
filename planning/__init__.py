"""Investment planning in distribution networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pp_p2p.public import load_when_used

if TYPE_CHECKING:
    from planning.built_profiles import profiles_with_plan
    from planning.costs import capital_recovery_factor
    from planning.expansion import plan_network
    from planning.interruption_indices import reliability_indices

_HOMES = {
    "capital_recovery_factor": "planning.costs",
    "plan_network": "planning.expansion",
    "profiles_with_plan": "planning.built_profiles",
    "reliability_indices": "planning.interruption_indices",
}

__all__ = [
    "capital_recovery_factor",
    "plan_network",
    "profiles_with_plan",
    "reliability_indices",
]


__getattr__, __dir__ = load_when_used(__name__, _HOMES)
