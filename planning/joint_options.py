"""What a joint plan can be asked for: its options, and what is refused of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr

from planning.investment import InvestmentLimits
from planning.joint_starts import STARTS
from planning.plan_rules import option_findings
from pp_p2p.errors import Finding
from pp_p2p.market.bargaining import OPERATORS
from pp_p2p.names import OPERATOR

Algorithm = Literal["central", "distributed"]

JointIslands = Literal["none", "reserve"]
"""Of `planning.plan_network`; a schedule that carries islands would be everybody's affair."""


OwnLimit = float | Mapping[int, float]
"""A limit of the operator's investments, or account -> limit."""


def own_limits(budget_eur: OwnLimit, max_sites: OwnLimit) -> dict[int, InvestmentLimits]:
    """Return the limits of each account that has any."""
    budgets, sites = (_by_account(limit) for limit in (budget_eur, max_sites))
    accounts = sorted({k for given in (budgets, sites) for k, v in given.items() if v < np.inf})
    return {
        k: InvestmentLimits(budget_eur=budgets.get(k, np.inf), max_sites=sites.get(k, np.inf))
        for k in accounts
    }


def _by_account(limit: OwnLimit) -> dict[int, float]:
    return dict(limit) if isinstance(limit, Mapping) else {OPERATOR: limit}


def joint_findings(
    options: Mapping[str, Any], limits: Mapping[str, Any], rate_percent: float, days: xr.Dataset
) -> Iterator[Finding]:
    """Yield what no joint plan can be made with.

    Parameters
    ----------
    options : mapping
        ``starts``, ``trust_region_mw``, ``max_rounds``, ``operator``, ``algorithm``,
        ``network_fee_eur_per_mwh``, ``budget_eur``, ``max_sites``.
    limits : mapping
        Of reliability, as of `planning.plan_network`.
    rate_percent : float
    days : Dataset
    """
    starts, radii = options["starts"], options["trust_region_mw"]
    fee = options["network_fee_eur_per_mwh"]
    checks = [
        (
            "starts",
            list(starts),
            bool(starts) and set(starts) <= set(STARTS),
            f"choose some of {', '.join(STARTS)}",
        ),
        ("trust_region_mw", radii, radii is None or all(r > 0 for r in radii), "use MW > 0"),
        ("max_rounds", options["max_rounds"], options["max_rounds"] >= 1, "use >= 1"),
        ("network_fee_eur_per_mwh", fee, fee >= 0, "use >= 0"),
    ]
    for name in ("budget_eur", "max_sites"):
        values = _by_account(options[name]).values()
        checks.append((name, options[name], all(v >= 0 for v in values), "use >= 0"))
    for name, allowed in (
        ("operator", OPERATORS),
        ("algorithm", get_args(Algorithm)),
        ("islands", get_args(JointIslands)),
    ):
        value = options.get(name, limits.get(name))
        checks.append((name, value, value in allowed, f"choose one of {', '.join(allowed)}"))
    for name, value, good, mend in checks:
        if not good:
            yield Finding(table="plan_together", column=name, rule=f"is {value}", mend=mend)
    if limits["islands"] in get_args(JointIslands):
        yield from option_findings(limits, rate_percent, 0.0, days, problem="plan_together")
