"""The sections of a study file about who trades and what may be built."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from flows.study_fields import (
    Efficiency,
    Index,
    Indices,
    Name,
    Names,
    NonNegative,
    Percent,
    Positive,
    Section,
)

KW_PER_MW = 1e3


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
    name: Name | None = Field(default=None, description="name in net.storage")


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


class Candidate(Section):
    """``[[candidate]]``: something that may be built in whole units.

    The investment is given per unit, or per kW of `unit_p_mw` plus per kWh of `unit_e_mwh`;
    fixed O&M per unit and year, or in percent of the investment per year.
    """

    name: Name = Field(description="name of the candidate")
    technology: Literal["pv", "wind", "storage", "line"] = Field(description="what is built")
    bus: Index | None = Field(default=None, description="pandapower index of the bus")
    participant: Name | None = Field(default=None, description="owner; none: the operator")
    unit_p_mw: Positive | None = Field(default=None, description="power of one unit")
    unit_e_mwh: Positive | None = Field(default=None, description="energy of one unit")
    max_units: Annotated[int, Field(ge=1)] = Field(default=1, description="most that can be built")
    capex_eur_per_unit: NonNegative | None = Field(default=None, description="investment per unit")
    capex_eur_per_kw: NonNegative | None = Field(default=None, description="investment per kW")
    capex_eur_per_kwh: NonNegative | None = Field(default=None, description="investment per kWh")
    fixed_om_eur_per_unit_per_year: NonNegative | None = Field(
        default=None, description="fixed operation and maintenance of one unit"
    )
    fixed_om_percent_per_year: Percent | None = Field(
        default=None, description="the same, as a part of the investment"
    )
    variable_om_eur_per_mwh: NonNegative = Field(
        default=0.0,
        description="cost per MWh produced; storage: per MWh charged or discharged",
    )
    lifetime_years: Positive = Field(description="years over which the investment is annualised")
    charge_efficiency_percent: Efficiency = Field(
        default=95.0, description="storage: energy stored per energy taken"
    )
    discharge_efficiency_percent: Efficiency = Field(
        default=95.0, description="storage: energy fed in per energy taken out"
    )
    min_soc_percent: Percent = Field(
        default=0.0, description="storage: part of the energy that is kept for faults"
    )
    line: Index | None = Field(default=None, description="open row of net.line that may be closed")

    @property
    def unit_capex_eur(self) -> float:
        """Investment of one unit, EUR."""
        if self.capex_eur_per_unit is not None:
            return self.capex_eur_per_unit
        power = (self.capex_eur_per_kw or 0.0) * (self.unit_p_mw or 0.0)
        energy = (self.capex_eur_per_kwh or 0.0) * (self.unit_e_mwh or 0.0)
        return KW_PER_MW * (power + energy)

    @property
    def unit_fixed_om_eur_per_year(self) -> float:
        """Fixed operation and maintenance of one unit, EUR/a."""
        if self.fixed_om_eur_per_unit_per_year is not None:
            return self.fixed_om_eur_per_unit_per_year
        return self.unit_capex_eur * (self.fixed_om_percent_per_year or 0.0) / 100
