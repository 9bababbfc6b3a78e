"""Strategic trading: sellers lead with prices or quantities, buyers follow.

Microgrids schedule themselves first, each on its own at the grid's prices; what is left over or
missing makes each a seller or a buyer of the hour. Sellers then compete, buyers choose among them
and the grid (`pp_p2p.algorithms.leaders`). Liu et al. (2020), Paudel et al. (2019); reconstructed
where the papers' exact rules are unknown.

Buyer j that misses D_j values a MWh from seller i at ``v_ji = purchase price + preference - fee``
and follows a quadratic utility with ``theta_j`` for each seller and ``sigma_j = substitution
theta_j`` across sellers, where among n sellers

    theta_j = n (max_i v_ji - sale price) / (peer_share D_j (1 + (n - 1) substitution))     (1)

At the grid's sale price from everyone it would take `peer_share` of what it misses from its peers:
so much and no more, at any price, so that its need never binds and sales are linear in prices.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Final, Literal

import numpy as np

from pp_p2p.errors import Finding, raise_if_any
from pp_p2p.market.bargaining import MOST

Competition = Literal["price", "quantity"]
COMPETITIONS: Final[tuple[Competition, ...]] = ("price", "quantity")

Selection = Literal["convex", "replicator"]
SELECTIONS: Final[tuple[Selection, ...]] = ("convex", "replicator")

StrategicFee = Literal["postage_stamp", "electrical_distance"]
STRATEGIC_FEES: Final[tuple[StrategicFee, ...]] = ("postage_stamp", "electrical_distance")

REPLICATOR_TOLERANCE: Final = 1e-3
"""Regret, relative to the turnover, at which replicator dynamics count as at rest (Paudel 2019)."""


@dataclass(frozen=True, kw_only=True)
class Stackelberg:
    """Sellers lead, buyers follow; nobody bargains.

    Parameters
    ----------
    competition : {"price", "quantity"}
        What sellers choose. By prices an equilibrium need not exist where energy is alike and
        capacities bind (Bertrand and Edgeworth); by quantities it does, and there is only one.
    selection : {"convex", "replicator"}
        How buyers choose: at once, by their utility; or by replicator dynamics (Paudel et al.
        2019), where sellers take prices, which follow scarcity.
    substitution : float
        How alike sellers' energy is to a buyer: 0 (each its own market) to below 1; exactly 1 is
        the same energy, for competition by quantities with the same fee for all.
    peer_share : float
        Part of what it misses that a buyer takes from its peers where they ask no more than the
        grid pays; above 0, at most 1.
    preference_eur_per_mwh : float
        What buyers pay more for energy of their peers than for the grid's.
    network_fee_eur_per_mwh : float
        Fee on every traded MWh, on top of the price: the buyer pays it. Income of the network.
    fee : {"postage_stamp", "electrical_distance"}
        As of `NashBargaining`.
    regret_tolerance : float
        Part of the day's turnover that anyone may gain by moving alone in what is still called an
        equilibrium; 1e-3 at least with replicator dynamics.
    """

    competition: Competition = "price"
    selection: Selection = "convex"
    substitution: float = 0.5
    peer_share: float = 1.0
    preference_eur_per_mwh: float = 0.0
    network_fee_eur_per_mwh: float = 5.0
    fee: StrategicFee = "postage_stamp"
    regret_tolerance: float = 1e-6

    def __post_init__(self) -> None:
        raise_if_any(_findings(self))

    @property
    def alike(self) -> bool:
        """Whether all energy is the same to a buyer."""
        return self.substitution == 1.0

    @property
    def tolerance(self) -> float:
        """Regret, relative to the turnover, of what is called an equilibrium."""
        if self.selection == "replicator":
            return max(self.regret_tolerance, REPLICATOR_TOLERANCE)
        return self.regret_tolerance


def _findings(mechanism: Stackelberg) -> list[Finding]:
    def wrong(column: str, rule: str, mend: str) -> Finding:
        return Finding(table="Stackelberg", column=column, rule=rule, mend=mend)

    found = []
    for name, least, most, mend in (
        ("substitution", 0.0, 1.0, "use 0 (different goods) to 1 (the same good)"),
        ("peer_share", float(np.nextafter(0.0, 1.0)), 1.0, "use a part above 0 and at most 1"),
        ("preference_eur_per_mwh", 0.0, MOST, "use a number >= 0"),
        ("network_fee_eur_per_mwh", 0.0, MOST, "use a number >= 0"),
        ("regret_tolerance", float(np.nextafter(0.0, 1.0)), 1.0, "use a part of the turnover > 0"),
    ):
        value = getattr(mechanism, name)
        number = isinstance(value, Real) and not isinstance(value, bool)
        if not (number and least <= value <= most):
            found.append(wrong(name, f"is {value!r}", mend))
    for name, allowed in (
        ("competition", COMPETITIONS),
        ("selection", SELECTIONS),
        ("fee", STRATEGIC_FEES),
    ):
        if getattr(mechanism, name) not in allowed:
            mend = f"choose one of {', '.join(allowed)}"
            found.append(wrong(name, f"is {getattr(mechanism, name)!r}", mend))
    if found:
        return found
    if mechanism.competition == "quantity" and mechanism.selection == "replicator":
        rule = "is 'replicator', where sellers take prices and choose no quantities"
        found.append(wrong("selection", rule, "use selection='convex'"))
    if mechanism.alike and mechanism.competition == "price":
        rule = (
            "is 1: sellers of the same energy with limited amounts undercut each other in circles, "
            "and there may be no equilibrium in pure strategies (Bertrand and Edgeworth)"
        )
        found.append(wrong("substitution", rule, "use competition='quantity', or less than 1"))
    elif mechanism.alike and mechanism.fee != "postage_stamp":
        rule = "depends on the pair, where all energy is to be the same"
        found.append(wrong("fee", rule, "use fee='postage_stamp', or substitution below 1"))
    return found
