"""The study file as a tree of frozen pydantic models: one class per TOML section.

Every key carries its unit in its name (MW, MWh, Mvar, kA, EUR, h, percent). An unknown key is
a mistake, text is never taken for a number. Rules that need more than one key live in
`flows.study_rules`; `flows.study.load_study` applies both and reports all findings at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field, PrivateAttr

from flows.study_fields import (
    HOURS_PER_DAY,
    ByHour,
    ByIndex,
    DayCount,
    Efficiency,
    Extreme,
    Formulation,
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


class General(Section):
    """``[study]``: name, place of the results and seed."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$")] = Field(
        description="name of the study: letters, digits, space, dot, dash, underscore"
    )
    output: str | None = Field(default=None, description="folder of the results")
    seed: int = Field(default=0, ge=0, description="seed of everything random")


class Reliability(Section):
    """``[network.reliability]``: one set of rates for all lines and transformers."""

    failure_rate_per_km_year: NonNegative = Field(description="line failures per km and year")
    repair_time_h: NonNegative = Field(description="hours until a failed line is repaired")
    switching_time_h: NonNegative = Field(
        description="hours until a fault is isolated by switching"
    )
    trafo_failure_rate_per_year: NonNegative = Field(default=0.0, description="failures per year")
    trafo_repair_time_h: NonNegative = Field(default=0.0, description="hours of repair")
    customers_per_mw: Positive | None = Field(
        default=None, description="customers behind each MW of load; none: one per load"
    )


class Network(Section):
    """``[network]``: where the grid comes from and which limits hold."""

    source: Name = Field(
        description='"case33bw" (any case of pandapower.networks), "simbench:CODE" or a file'
    )
    min_vm_pu: Positive | None = Field(default=None, description="replaces the net's lower limit")
    max_vm_pu: Positive | None = Field(default=None, description="replaces the net's upper limit")
    line_max_i_ka: Positive | None = Field(
        default=None, description="thermal limit of every line, for nets that have none"
    )
    load_growth_percent: Annotated[float, Field(gt=-100)] = Field(
        default=0.0, description="every load is multiplied by 1 + this / 100"
    )
    reliability: Reliability | None = Field(default=None, description="rates of failure and repair")


class LoadProfiles(Section):
    """``[profiles.load]``: which load follows which profile, and what 1.0 means."""

    names: Names = Field(default=(), description="profiles dealt to the loads in turn")
    by_load: ByIndex = Field(default_factory=dict, description="load index = profile")
    scaling: Literal["peak", "net_peak", "nominal"] = Field(
        default="peak", description="what p_mw of the net means: see flows.profiles.read_profiles"
    )


class SgenProfiles(Section):
    """``[profiles.sgen]``: profiles of the generators that the net brings along."""

    names: Names = Field(default=(), description="profiles dealt to the generators in turn")
    by_sgen: ByIndex = Field(default_factory=dict, description="sgen index = profile")


class Availability(Section):
    """``[profiles.availability]``: output of a new unit, per unit of its power."""

    pv: Name = Field(description="profile of new PV")
    wind: Name = Field(description="profile of new wind")


class Profiles(Section):
    """``[profiles]``: the file and who follows which column."""

    file: Name = Field(description='CSV file, or "simbench2016" (comes with the package)')
    year: Annotated[int, Field(ge=1900, le=2200)] | None = Field(
        default=None, description="the file must cover exactly this year"
    )
    load: LoadProfiles = Field(default_factory=LoadProfiles, description="profiles of the loads")
    sgen: SgenProfiles = Field(
        default_factory=SgenProfiles, description="profiles of the net's generators"
    )
    availability: Availability = Field(description="profiles of new pv and wind")


class PriceWindow(Section):
    """``[[prices.buy_window]]``: one price from an hour to another; 22 to 6 runs over midnight."""

    from_h: Annotated[int, Field(ge=0, le=23)] = Field(description="first hour")
    to_h: Annotated[int, Field(ge=1, le=24)] = Field(description="hour the window ends")
    price_eur_per_mwh: float = Field(description="price in the window")

    @property
    def hours(self) -> tuple[int, ...]:
        """Hours of the day that the window covers."""
        if self.from_h < self.to_h:
            return tuple(range(self.from_h, self.to_h))
        return tuple(range(self.from_h, HOURS_PER_DAY)) + tuple(range(self.to_h))


class Prices(Section):
    """``[prices]``: what the participants pay and get at the grid, on the clock of the profiles."""

    needs_too: ClassVar[tuple[str, ...]] = ("buy_eur_per_mwh or [[prices.buy_window]]",)
    """What must be given beside the required keys: `flows.study_rules` holds it."""

    sell_eur_per_mwh: ByHour = Field(description="feed-in price: one number or 24")
    buy_eur_per_mwh: ByHour = Field(default=(), description="purchase price: one number or 24")
    buy_window: Annotated[tuple[PriceWindow, ...], Field(strict=False)] = Field(
        default=(), description="purchase price as windows of the day"
    )

    @property
    def buy_by_hour(self) -> tuple[float, ...]:
        """Purchase price of hour 0 to 23, shape (24,), EUR/MWh."""
        if self.buy_eur_per_mwh:
            return self.buy_eur_per_mwh
        of_hour = {hour: w.price_eur_per_mwh for w in self.buy_window for hour in w.hours}
        return tuple(of_hour[hour] for hour in range(HOURS_PER_DAY))

    @property
    def sell_by_hour(self) -> tuple[float, ...]:
        """Feed-in price of hour 0 to 23, shape (24,), EUR/MWh."""
        return self.sell_eur_per_mwh


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


class TypicalDays(Section):
    """``[typical_days]``: how the year is made small."""

    n_days: DayCount = Field(default="auto", description='number of days or "auto"')
    extreme_days: Annotated[tuple[Extreme, ...], Field(strict=False)] = Field(
        default=("peak_net_load",), description="days that are kept as they are"
    )
    keep_energy: bool = Field(default=True, description="scale so that annual energy is kept")
    representative: Literal["medoid", "mean", "distribution"] = Field(
        default="medoid",
        description="a real day of each group, its mean, or a day with the values of all its days",
    )


class Planning(Section):
    """``[planning]``: the investment problem."""

    interest_rate_percent: NonNegative = Field(description="interest rate of the annuity")
    budget_eur: NonNegative | None = Field(
        default=None, description="most to invest; none: unlimited"
    )
    eens_limit_mwh_per_year: NonNegative | None = Field(
        default=None, description="largest expected energy not supplied; none: no limit"
    )
    value_of_lost_load_eur_per_mwh: NonNegative = Field(default=0.0, description="cost of EENS")
    mip_gap_percent: Positive = Field(default=0.5, description="relative gap to stop at")
    time_limit_s: Positive = Field(default=120.0, description="time limit of the solver")
    formulation: Formulation = Field(default="branch_flow", description="network model")


class Trade(Section):
    """``[trade]``: the market of the typical days."""

    formulation: Formulation = Field(default="branch_flow", description="network model")
    network_fee_eur_per_mwh: NonNegative = Field(default=0.0, description="fee on traded energy")
    bargaining_power: Literal["equal", "net_volume", "given"] = Field(
        default="equal", description="how the gain is shared"
    )


class SgenSite(NamedTuple):
    """An existing generator with its defaults filled in; `name` is unique in the study."""

    name: str
    participant: str
    bus: int
    technology: str
    p_mw: float
    profile: str


class Study(Section):
    """A whole study file. Made by `flows.study.load_study`, which also fills the paths."""

    study: General = Field(description="name, output and seed")
    network: Network = Field(description="the grid and its limits")
    profiles: Profiles = Field(description="the year of load, PV and wind")
    prices: Prices = Field(description="purchase and feed-in prices")
    participant: Annotated[tuple[Participant, ...], Field(strict=False, min_length=1)] = Field(
        description="who trades"
    )
    candidate: Annotated[tuple[Candidate, ...], Field(strict=False)] = Field(
        default=(), description="what may be built"
    )
    typical_days: TypicalDays = Field(default_factory=TypicalDays, description="typical days")
    planning: Planning = Field(description="the investment problem")
    trade: Trade = Field(default_factory=Trade, description="the market")

    _file: Path = PrivateAttr(default=Path("study.toml"))
    _text: str = PrivateAttr(default="")

    @property
    def file(self) -> Path:
        """The study file, absolute."""
        return self._file

    @property
    def text(self) -> str:
        """The study file's text, as read."""
        return self._text

    @property
    def output_dir(self) -> Path:
        """Folder of the results, absolute: ``study.output`` or ``results/<name>``."""
        return self._file.parent / (self.study.output or f"results/{self.study.name}")

    @property
    def network_source(self) -> str:
        """``network.source`` with a file made absolute; names are left as they are."""
        is_file = names_a_file(self.network.source)
        return str(self._file.parent / self.network.source) if is_file else self.network.source

    def sgens(self) -> tuple[SgenSite, ...]:
        """Return all existing generators in file order, named and placed."""
        return tuple(
            SgenSite(
                name=one.name or f"{owner.name} {one.technology} {number}",
                participant=owner.name,
                bus=owner.bus if one.bus is None else one.bus,
                technology=one.technology,
                p_mw=one.p_mw,
                profile=one.profile,
            )
            for owner in self.participant
            for number, one in enumerate(owner.sgen, start=1)
        )


def names_a_file(source: str) -> bool:
    """Tell whether `network.source` is a path and not the name of a case."""
    return Path(source).suffix in {".json", ".xlsx", ".sqlite", ".db", ".p"} or "/" in source
