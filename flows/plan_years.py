"""The plan of a study over several years."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from flows.study import Study


def stages_of(study: Study) -> tuple[Any, ...]:
    """Return the stages of the study's horizon; none where it plans one year."""
    from dataclasses import replace

    from planning import growing_stages

    h, p = study.horizon, study.planning
    if h is None:
        return ()
    eens: Any = h.eens_limit_mwh_per_year or _or_inf(p.eens_limit_mwh_per_year)
    stages = growing_stages(
        h.stage_years,
        demand_growth_percent=h.demand_growth_percent_per_year,
        price_growth_percent=h.price_growth_percent_per_year,
        learning_percent={str(k): float(v) for k, v in h.learning_percent_per_year.items()},
        eens_limit_mwh_per_year=eens,
        budget_eur=h.stage_budget_eur or np.inf,
        operation_of=h.operation_of,
    )
    return tuple(
        replace(
            stage,
            saidi_limit_h_per_year=_or_inf(p.saidi_limit_h_per_year),
            saifi_limit_per_year=_or_inf(p.saifi_limit_per_year),
            renewable_share_percent=p.renewable_share_percent,
            emission_cap_t_per_year=_or_inf(p.emission_cap_t_per_year),
        )
        for stage in stages
    )


def plan_years(study: Study, net: Any, days: xr.Dataset, solver: Any) -> xr.Dataset:
    """Decide what to build in which stage."""
    from planning import plan_horizon

    h, p = study.horizon, study.planning
    assert h is not None
    return plan_horizon(
        net,
        days,
        stages_of(study),
        interest_rate_percent=p.interest_rate_percent,
        salvage=h.salvage,
        foresight=h.foresight,
        replacement=h.replacement,
        budget_eur=_or_inf(p.budget_eur),
        value_of_lost_load_eur_per_mwh=p.value_of_lost_load_eur_per_mwh,
        emission_price_eur_per_t=p.emission_price_eur_per_t,
        islands=p.islands,
        formulation=p.formulation,
        solver=solver,
        seed=study.study.seed,
    )


def _or_inf(limit: float | None) -> float:
    return np.inf if limit is None else limit
