"""The sections of a study file about who trades, and soft open points."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from flows.study_fields import (
    Efficiency,
    HourOfDay,
    Index,
    Indices,
    Name,
    Names,
    NonNegative,
    PartAtTerminals,
    Percent,
    Positive,
    QuantityAtTerminals,
    RatingAtTerminals,
    Section,
    SwitchAtTerminals,
    ValueAtTerminals,
)


class Sgen(Section):
    """``[[participant.sgen]]``: a PV or wind plant that exists already."""

    technology: Literal["pv", "wind"] = Field(description="pv or wind")
    p_mw: Positive = Field(description="installed power")
    profile: Name = Field(description="column of the profiles file")
    bus: Index | None = Field(default=None, description="bus; none: the participant's")
    name: Name | None = Field(default=None, description="name in net.sgen")


class Storage(Section):
    """``[[participant.storage]]``: a storage that exists already."""

    p_mw: Positive = Field(description="largest charging and discharging power")
    e_mwh: Positive = Field(description="usable energy")
    charge_efficiency_percent: Efficiency = Field(
        default=95.0, description="energy stored per energy taken"
    )
    discharge_efficiency_percent: Efficiency = Field(
        default=95.0, description="energy fed in per energy taken out"
    )
    degradation_eur_per_mwh: NonNegative = Field(
        default=0.0, description="wear per MWh charged or discharged"
    )
    min_soc_percent: Percent = Field(default=0.0, description="lowest state of charge")
    bus: Index | None = Field(default=None, description="bus; none: the participant's")
    sop: Name | None = Field(
        default=None, description="soft open point on whose link it stands; none: at its bus"
    )
    name: Name | None = Field(default=None, description="name in net.storage")


class FlexibleLoad(Section):
    """``[[participant.flexible_load]]``: loads that shift, forgo some, or follow the price.

    A key that is a column of ``net.flexible_load`` goes there as it is (`flows.study_net`).
    """

    buses: Indices = Field(
        default=(), description="of its load_buses, where these loads are; none: all of them"
    )
    max_up_percent: NonNegative = Field(
        default=0.0, description="most they may add to their profile, of the profile"
    )
    max_down_percent: Percent = Field(
        default=0.0, description="most they may take off their profile, of the profile"
    )
    shift_cost_eur_per_mwh: NonNegative = Field(default=0.0, description="cost of a MWh shifted")
    shift_discomfort_eur_per_mw2h: NonNegative = Field(
        default=0.0, description="half of it times the square of the shift is paid each hour"
    )
    window_start_h: HourOfDay = Field(
        default=0.0, description="hour of the day from which they may shift"
    )
    window_end_h: HourOfDay = Field(
        default=24.0, description="until when; energy is kept within. Below the start: over night"
    )
    max_curtail_percent: Percent = Field(
        default=0.0, description="most they may forgo, of the profile"
    )
    curtail_cost_eur_per_mwh: NonNegative = Field(
        default=0.0, description="discomfort of a MWh forgone"
    )
    price_elasticity: Annotated[float, Field(ge=-10, le=0)] = Field(
        default=0.0, description="own-price elasticity at the reference price; 0: none"
    )
    reference_price_eur_per_mwh: Positive | None = Field(
        default=None, description="price of the profile; none: the day's mean purchase price"
    )


class Participant(Section):
    """``[[participant]]``: who trades, where, and what is already there."""

    name: Name = Field(description="name of the participant")
    bus: Index = Field(description="pandapower index of its bus")
    load_buses: Indices = Field(default=(), description="the loads at these buses become its own")
    load_profiles: Names = Field(default=(), description="profiles dealt to its loads in turn")
    max_import_mw: NonNegative | None = Field(
        default=None, description="most it may take from the grid; none: unlimited"
    )
    max_export_mw: NonNegative | None = Field(
        default=None, description="most it may feed in; none: unlimited"
    )
    max_trade_mw: NonNegative | None = Field(
        default=None, description="most it may trade with others; none: unlimited"
    )
    bargaining_power: Positive = Field(default=1.0, description='used where trade says "given"')
    sgen: Annotated[tuple[Sgen, ...], Field(strict=False)] = Field(
        default=(), description="its generators"
    )
    storage: Annotated[tuple[Storage, ...], Field(strict=False)] = Field(
        default=(), description="its storages"
    )
    flexible_load: Annotated[tuple[FlexibleLoad, ...], Field(strict=False)] = Field(
        default=(), description="which of its loads are flexible"
    )


class Sop(Section):
    """``[[sop]]``: a soft open point; a key of its terminals has one value, or one for each.

    A key that is a column of ``net.sop_terminal`` goes there as it is (`flows.study_net`).
    """

    name: Name = Field(description="name of the soft open point")
    buses: Annotated[tuple[Index, ...], Field(strict=False, min_length=2)] = Field(
        description="buses of its terminals, two or more"
    )
    sn_mva: RatingAtTerminals = Field(description="rated apparent power")
    loss_factor: PartAtTerminals = Field(
        default=(0.0,), description="loss per apparent power, 0 to 1"
    )
    loss_standby_mw: QuantityAtTerminals = Field(
        default=(0.0,), description="loss whatever it carries"
    )
    loss_quadratic_per_mva: QuantityAtTerminals = Field(
        default=(0.0,), description="loss per square of the apparent power"
    )
    min_q_mvar: ValueAtTerminals = Field(
        default=(), description="least reactive power fed in; none: the rating"
    )
    max_q_mvar: ValueAtTerminals = Field(
        default=(), description="most reactive power fed in; none: the rating"
    )
    grid_forming: SwitchAtTerminals = Field(
        default=(False,), description="whether it can hold the voltage of an island"
    )
    vm_pu: RatingAtTerminals = Field(default=(1.0,), description="voltage that it holds there")
    in_service: bool | None = Field(
        default=None, description="none: it is there, unless it is what a candidate would build"
    )
