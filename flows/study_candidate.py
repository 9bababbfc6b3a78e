"""The section of a study file about what may be built."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from flows.key_meaning import Of
from flows.study_fields import (
    Efficiency,
    Index,
    Name,
    NonNegative,
    Percent,
    Positive,
    Section,
)
from pp_p2p.elements.candidate_table import TECHNOLOGIES, Sizing, Technology

KW_PER_MW = 1e3

ENERGY: Final = "storage_energy"
GENERATORS: Final = ("pv", "wind", "dispatchable")
POWERS: Final = (*GENERATORS, "storage")
"""Technologies that have a power."""
STEPWISE: Final = ("line", "replacement", "switch")
"""Technologies that are built or not."""
SIZED: Final = tuple(name for name in TECHNOLOGIES if name not in STEPWISE)
PER_SIZE: Final = (*POWERS, ENERGY)
"""Technologies whose investment may be given by their power or energy."""


def _of(*technologies: str, needed: tuple[str, ...] = ()) -> Of:
    return Of("technology", *technologies, needed=needed)


class Candidate(Section):
    """``[[candidate]]``: something that may be built.

    The investment is given per unit, or per kW of `unit_p_mw` plus per kWh of `unit_e_mwh`;
    fixed O&M per unit and year, or in percent of the investment per year. A key that is a column
    of ``net.candidate`` goes there as it is (`flows.study_net`).
    """

    name: Name = Field(description="name of the candidate")
    technology: Technology = Field(
        description="what is built; storage_energy: more energy for the owner's storage candidate"
        " at the bus; replacement: of a line; switch: its remote control"
    )
    bus: Annotated[Index | None, _of(needed=PER_SIZE)] = Field(
        default=None, description="pandapower index of the bus"
    )
    participant: Name | None = Field(default=None, description="owner; none: the operator")
    unit_p_mw: Annotated[Positive | None, _of(*POWERS, needed=POWERS)] = Field(
        default=None, description="power of one unit"
    )
    unit_e_mwh: Annotated[Positive | None, _of("storage", ENERGY, needed=(ENERGY,))] = Field(
        default=None,
        description="energy of one unit; of storage not where storage_energy is its own candidate",
    )
    unit_sn_mva: Annotated[Positive | None, _of(*POWERS)] = Field(
        default=None, description="rating within which reactive power is free; none: no reactive"
    )
    max_units: Annotated[int, Field(ge=1)] = Field(default=1, description="most that can be built")
    sizing: Annotated[Sizing, _of(*SIZED)] = Field(
        default="units", description="whole units, or any size up to max_units"
    )
    capex_eur_per_unit: NonNegative | None = Field(default=None, description="investment per unit")
    capex_eur_per_kw: Annotated[NonNegative | None, _of(*POWERS)] = Field(
        default=None, description="investment per kW"
    )
    capex_eur_per_kwh: Annotated[NonNegative | None, _of("storage", ENERGY)] = Field(
        default=None, description="investment per kWh"
    )
    fixed_capex_eur: NonNegative | None = Field(
        default=None, description="investment in the site, whatever is built there"
    )
    fixed_om_eur_per_unit_per_year: NonNegative | None = Field(
        default=None, description="fixed operation and maintenance of one unit"
    )
    fixed_om_percent_per_year: Percent | None = Field(
        default=None, description="the same, as a part of the investment"
    )
    variable_om_eur_per_mwh: NonNegative = Field(
        default=0.0,
        description="cost per MWh produced, fuel included; storage: per MWh charged or discharged",
    )
    emission_t_per_mwh: Annotated[NonNegative | None, _of("dispatchable")] = Field(
        default=None, description="CO2 per MWh produced"
    )
    lifetime_years: Positive = Field(description="years over which the investment is annualised")
    charge_efficiency_percent: Annotated[Efficiency, _of("storage")] = Field(
        default=95.0, description="energy stored per energy taken"
    )
    discharge_efficiency_percent: Annotated[Efficiency, _of("storage")] = Field(
        default=95.0, description="energy fed in per energy taken out"
    )
    min_soc_percent: Annotated[Percent, _of("storage")] = Field(
        default=0.0, description="part of the energy that is kept for faults"
    )
    line: Annotated[Index | None, _of("line", "replacement", needed=("line", "replacement"))] = (
        Field(
            default=None,
            description="line: open row of net.line that may be closed; replacement: row in use",
        )
    )
    std_type: Annotated[Name | None, _of("replacement")] = Field(
        default=None, description="type of the new line; none: the same"
    )
    parallel: Annotated[int | None, Field(ge=1), _of("replacement")] = Field(
        default=None, description="parallel systems of the new line; none: one"
    )
    sop: Annotated[Name | None, _of("sop", needed=("sop",))] = Field(
        default=None, description="name of the soft open point that may be built"
    )
    switch: Annotated[Index | None, _of("switch", needed=("switch",))] = Field(
        default=None, description="row of net.switch that may get remote control"
    )
    remote_switching_time_h: Annotated[NonNegative | None, _of("switch")] = Field(
        default=None, description="hours from fault to switching by remote control"
    )

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
