"""What a joint plan can be asked for: its options, and what is refused of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

import xarray as xr

from planning.joint_starts import STARTS
from planning.plan_rules import option_findings
from pp_p2p.errors import Finding
from pp_p2p.market.bargaining import OPERATORS

Algorithm = Literal["central", "distributed"]

JointIslands = Literal["none", "reserve"]
"""Of `planning.plan_network`; a schedule that carries islands would be everybody's affair."""


def joint_findings(
    options: Mapping[str, Any], limits: Mapping[str, Any], rate_percent: float, days: xr.Dataset
) -> Iterator[Finding]:
    """Yield what no joint plan can be made with.

    Parameters
    ----------
    options : mapping
        ``starts``, ``trust_region_mw``, ``max_rounds``, ``operator``, ``algorithm``,
        ``network_fee_eur_per_mwh``.
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
