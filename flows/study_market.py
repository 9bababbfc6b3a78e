"""Sections of the study file about what participants agree on: investment and trade."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from flows.key_meaning import Of
from flows.study_fields import (
    Formulation,
    Indices,
    Name,
    NonNegative,
    Positive,
    Section,
)

Start = Literal["stand_alone", "relaxed", "fee_free", "over_sized"]
Count = Annotated[int, Field(ge=0)]
Rounds = Annotated[int, Field(ge=1)]


class Collaboration(Section):
    """``[collaboration]``: participants and operator invest together and share what that saves.

    Limits of reliability, prices and interest rate are those of ``[planning]``, the fee that of
    ``[trade]``. The budget of ``[planning]`` does not bind here: each decides for itself, within
    the limits of its own.
    """

    bargaining_power: Literal["equal", "net_volume", "energy_map", "marginal", "given"] = Field(
        default="equal", description="how the gain is shared"
    )
    operator_power: NonNegative = Field(
        default=1.0, description="the operator's power, times the mean of the participants'"
    )
    budget_eur: dict[str, NonNegative] = Field(
        default_factory=dict,
        description='most that a participant, by name, or "operator" may invest; others: no limit',
    )
    max_sites: dict[str, Count] = Field(
        default_factory=dict,
        description='most candidates of which a participant, or "operator", may build something',
    )
    starts: Annotated[tuple[Start, ...], Field(strict=False, min_length=1)] = Field(
        default=("stand_alone", "relaxed", "fee_free", "over_sized"),
        description="where the alternation of the investors begins; the best end is kept",
    )
    max_rounds: Rounds = Field(default=30, description="most moves from each start")
    benchmark: bool = Field(
        default=False, description="solve the central problem, too, and tell the gap to it"
    )
    algorithm: Literal["central", "distributed"] = Field(
        default="central", description="how trades are found; distributed takes many times longer"
    )
    mip_gap_percent: Positive = Field(default=0.05, description="relative gap of single plans")
    time_limit_s: Positive = Field(default=60.0, description="time limit of each single plan")
    formulation: Formulation = Field(default="branch_flow", description="network model")


class Agreement(Section):
    """``[trade.distributed]``: how participants and operator agree without a centre."""

    form: Literal["auto", "exchange", "pairs"] = Field(
        default="auto", description="one price for all at every hour, or one for each pair"
    )
    tolerance: Positive = Field(
        default=1e-4, description="gap between the proven bounds of the least cost, relative"
    )
    max_iterations: Rounds = Field(default=500, description="most iterations")
    check_central: bool = Field(
        default=True, description="solve the day centrally, too, and tell the gap"
    )


class Reconfigure(Section):
    """``[trade.reconfigure]``: the operator reconfigures the network while participants trade."""

    max_operations: Count | None = Field(
        default=None, description="most operations of a day; none: no limit"
    )
    switching_cost_eur: NonNegative = Field(default=0.0, description="cost of one operation")
    max_operations_per_switch: Count | None = Field(
        default=None, description="most operations of each element in a day; none: no limit"
    )
    min_dwell_h: NonNegative = Field(
        default=0.0, description="hours that an element stays as it is after an operation"
    )
    change_every: Literal["step", "day"] = Field(
        default="step", description='how often it may change; "day": one configuration all day'
    )
    lines: Indices = Field(
        default=(),
        description="lines that may be operated; none: those with a switch, or all where no"
        " line has one",
    )
    switches: Indices = Field(default=(), description="switches between buses that may be operated")
    max_rounds: Rounds = Field(default=30, description="most outer rounds")
    time_limit_s: Positive = Field(default=600.0, description="time limit of the rounds of a day")
    bound_nodes: Count = Field(
        default=1,
        description="nodes of branch and bound in each hour for the proven bound; 0: one relaxation"
        " of the day, more: a smaller gap",
    )
    compare_joint: bool | None = Field(
        default=None,
        description="solve the joint mixed-integer problem, too; none: where it is small",
    )
    joint_time_limit_s: Positive = Field(default=60.0, description="time limit of that problem")


Mechanism = Literal["nash_bargaining", "stackelberg", "combined_offer"]
NASH: Final = "nash_bargaining"
STACKELBERG: Final = "stackelberg"
COMBINED: Final = "combined_offer"
UNMANAGED: Final = "none"

BARGAINED, LED, OFFERED = (Of("mechanism", name) for name in (NASH, STACKELBERG, COMBINED))
NOT_OFFERED, NOT_LED = Of("mechanism", NASH, STACKELBERG), Of("mechanism", NASH, COMBINED)
WITH_NETWORK: Final = Of("congestion", UNMANAGED)
"""A market under congestion management is cleared without the network."""


class Trade(Section):
    """``[trade]``: the market of the typical days.

    Keys that belong to another mechanism are refused. The names are those of
    `pp_p2p.NashBargaining`, `pp_p2p.Stackelberg` and `pp_p2p.CombinedOffer`.
    """

    mechanism: Mechanism = Field(
        default=NASH,
        description="bargaining over the gain; sellers that lead and buyers that follow; or regions"
        " that trade across a soft open point",
    )
    congestion: Annotated[
        Literal["none", "pro_rata", "price_priority", "least_violation", "watch"], NOT_OFFERED
    ] = Field(
        default=UNMANAGED,
        description="by which rule the operator limits sales of a market that is cleared without"
        ' the network; "watch" counts broken limits. none: a bargain keeps them by itself',
    )
    formulation: Annotated[Formulation, NOT_LED, WITH_NETWORK] = Field(
        default="branch_flow", description="network model"
    )
    algorithm: Annotated[Literal["central", "distributed"], BARGAINED, WITH_NETWORK] = Field(
        default="central", description="one problem for all, or by agreement without a centre"
    )
    network_fee_eur_per_mwh: NonNegative = Field(default=0.0, description="fee on traded energy")
    fee: Annotated[Literal["postage_stamp", "electrical_distance", "nodal_price"], NOT_OFFERED] = (
        Field(
            default="postage_stamp",
            description="the same for every trade, by distance, or by nodal prices"
            " (nash_bargaining)",
        )
    )
    bargaining_power: Annotated[
        Literal["equal", "net_volume", "energy_map", "marginal", "given"], BARGAINED
    ] = Field(default="equal", description="how the gain is shared")
    operator: Annotated[Literal["inside", "outside"], BARGAINED] = Field(
        default="inside", description="whether the operator's cost is part of the bargain"
    )
    operator_power: Annotated[NonNegative, BARGAINED] = Field(
        default=0.0, description="the operator's power inside; 0: it only must not lose"
    )
    price_corridor: Annotated[bool, BARGAINED] = Field(
        default=False, description="keep payments between the grid's sale and purchase price"
    )
    pair_limit_mw: Annotated[NonNegative | None, BARGAINED] = Field(
        default=None, description="most that any two may trade with each other; none: no limit"
    )
    competition: Annotated[Literal["price", "quantity"], LED] = Field(
        default="price", description="what sellers choose"
    )
    selection: Annotated[Literal["convex", "replicator"], LED] = Field(
        default="convex", description="how buyers choose: by utility, or by replicator dynamics"
    )
    substitution: Annotated[float, Field(ge=0, le=1), LED] = Field(
        default=0.5, description="how alike sellers' energy is to a buyer, 0 to 1"
    )
    peer_share: Annotated[float, Field(gt=0, le=1), LED] = Field(
        default=1.0, description="part of its need that a buyer takes from its peers at most"
    )
    preference_eur_per_mwh: Annotated[NonNegative, LED] = Field(
        default=0.0, description="what buyers pay more for energy of their peers"
    )
    regret_tolerance: Annotated[float, Field(gt=0, le=1), LED] = Field(
        default=1e-6,
        description="part of the turnover that anyone may gain by moving alone in an equilibrium",
    )
    step_mw: Annotated[Positive, OFFERED] = Field(
        default=0.1, description="power between two levels of exchange"
    )
    max_level: Annotated[int, Field(ge=1, le=60), OFFERED] = Field(
        default=6, description="levels to either side"
    )
    sharing: Annotated[Literal["equal", "traders", "weights"], OFFERED] = Field(
        default="equal", description="who shares the profit; weights: by bargaining_power"
    )
    total_limit_mw: Annotated[NonNegative | None, OFFERED] = Field(
        default=None, description="most power that may cross the link; none: no limit"
    )
    sop: Annotated[Name | None, OFFERED] = Field(
        default=None, description="soft open point that is traded across; none: the only one"
    )
    distributed: Annotated[Agreement | None, Of("algorithm", "distributed")] = Field(
        default=None, description="choices of the agreement; none: the usual ones"
    )
    reconfigure: Annotated[Reconfigure | None, BARGAINED, WITH_NETWORK] = Field(
        default=None, description="what the operator may switch; none: nothing"
    )
