"""Sections of the study file about what participants agree on: investment and trade."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from flows.study_fields import Formulation, NonNegative, Positive, Section

Start = Literal["stand_alone", "relaxed", "fee_free", "over_sized"]


class Collaboration(Section):
    """``[collaboration]``: participants and operator invest together and share what that saves.

    Limits of reliability, prices and interest rate are those of ``[planning]``, the fee that of
    ``[trade]``. The budget of ``[planning]`` does not bind here: each decides for itself.
    """

    bargaining_power: Literal["equal", "net_volume", "energy_map", "marginal", "given"] = Field(
        default="equal", description="how the gain is shared"
    )
    operator_power: NonNegative = Field(
        default=1.0, description="the operator's power, times the mean of the participants'"
    )
    starts: Annotated[tuple[Start, ...], Field(strict=False, min_length=1)] = Field(
        default=("stand_alone", "relaxed", "fee_free", "over_sized"),
        description="where the alternation of the investors begins; the best end is kept",
    )
    max_rounds: Annotated[int, Field(ge=1)] = Field(
        default=30, description="most moves from each start"
    )
    benchmark: bool = Field(
        default=False, description="solve the central problem, too, and tell the gap to it"
    )
    algorithm: Literal["central", "distributed"] = Field(
        default="central", description="how trades are found; distributed takes many times longer"
    )
    mip_gap_percent: Positive = Field(default=0.05, description="relative gap of single plans")
    time_limit_s: Positive = Field(default=60.0, description="time limit of each single plan")
    formulation: Formulation = Field(default="branch_flow", description="network model")


class Trade(Section):
    """``[trade]``: the market of the typical days."""

    formulation: Formulation = Field(default="branch_flow", description="network model")
    network_fee_eur_per_mwh: NonNegative = Field(default=0.0, description="fee on traded energy")
    bargaining_power: Literal["equal", "net_volume", "given"] = Field(
        default="equal", description="how the gain is shared"
    )
