"""The study file as a tree of frozen pydantic models: one class per TOML section.

Every key carries its unit in its name (MW, MWh, Mvar, kA, EUR, h, percent). An unknown key is
a mistake, text is never taken for a number. Rules that need more than one key live in
`flows.study_rules`; `flows.study.load_study` applies both and reports all findings at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, PrivateAttr

from flows.study_candidate import Candidate
from flows.study_elements import Participant, Sop
from flows.study_fields import (
    ByIndex,
    DayCount,
    Extreme,
    Formulation,
    Name,
    Names,
    NonNegative,
    Percent,
    Positive,
    Section,
)
from flows.study_market import Collaboration, Trade
from flows.study_prices import Prices
from flows.study_scenarios import Horizon, Matrix, Running, Scenario
from flows.study_text import KeyPath, StudyText


class General(Section):
    """``[study]``: name, place of the results and seed."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$")] = Field(
        description="name of the study: letters, digits, space, dot, dash, underscore"
    )
    output: str | None = Field(
        default=None, description="folder of the results, or a URL of fsspec: s3://bucket/folder"
    )
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
    max_import_mw: NonNegative | None = Field(
        default=None, description="replaces what each external grid of the net supplies at most"
    )
    max_export_mw: NonNegative | None = Field(
        default=None, description="replaces what each external grid of the net takes back at most"
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
    by_sgen: ByIndex = Field(
        default_factory=dict, description='sgen index = profile; "constant" is its p_mw all year'
    )


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
    saidi_limit_h_per_year: NonNegative | None = Field(
        default=None, description="most hours without supply of an average customer; none: no limit"
    )
    saifi_limit_per_year: NonNegative | None = Field(
        default=None, description="most interruptions of an average customer; none: no limit"
    )
    value_of_lost_load_eur_per_mwh: NonNegative = Field(default=0.0, description="cost of EENS")
    islands: Literal["none", "reserve", "schedule"] = Field(
        default="reserve",
        description="what carries islands after faults: nothing, what storage keeps for it, or what"
        " it has stored in the hour of the fault",
    )
    max_sites: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="most candidates of which something is built; none: no limit"
    )
    renewable_share_percent: Percent = Field(
        default=0.0, description="least renewable energy, as part of the demand"
    )
    emission_price_eur_per_t: NonNegative = Field(default=0.0, description="price of CO2")
    emission_cap_t_per_year: NonNegative | None = Field(
        default=None, description="most CO2 in a year; none: no limit"
    )
    demand_growth_percent: float = Field(
        default=0.0, gt=-100.0, description="growth of all load until the year of the plan"
    )
    mip_gap_percent: Positive = Field(default=0.5, description="relative gap to stop at")
    time_limit_s: Positive = Field(default=120.0, description="time limit of the solver")
    formulation: Formulation = Field(default="branch_flow", description="network model")


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
    sop: Annotated[tuple[Sop, ...], Field(strict=False)] = Field(
        default=(), description="soft open points"
    )
    candidate: Annotated[tuple[Candidate, ...], Field(strict=False)] = Field(
        default=(), description="what may be built"
    )
    typical_days: TypicalDays = Field(default_factory=TypicalDays, description="typical days")
    planning: Planning = Field(description="the investment problem")
    collaboration: Collaboration | None = Field(
        default=None, description="the investment of all, agreed on; none: the plan is built"
    )
    horizon: Horizon | None = Field(default=None, description="the years, where several")
    trade: Trade = Field(default_factory=Trade, description="the market")
    scenario: Annotated[tuple[Scenario, ...], Field(strict=False)] = Field(
        default=(), description="the cases; none: the study as it stands"
    )
    matrix: Matrix = Field(default_factory=Matrix, description="values that are all combined")
    run: Running = Field(default_factory=Running, description="how the cases are run")

    _file: Path = PrivateAttr(default=Path("study.toml"))
    _text: str = PrivateAttr(default="")
    _case: str = PrivateAttr(default="")
    _origins: dict[KeyPath, KeyPath] = PrivateAttr(default_factory=dict)

    @property
    def file(self) -> Path:
        """The study file, absolute."""
        return self._file

    @property
    def text(self) -> str:
        """The study file's text, as read."""
        return self._text

    @property
    def case(self) -> str:
        """Name of the scenario that this study is; empty where the file has none."""
        return self._case

    @property
    def case_text(self) -> str:
        """What this study is, as text: its file, or all values of the scenario as JSON."""
        if not self._case:
            return self._text
        return self.model_dump_json(indent=1, exclude={"scenario", "matrix", "run"})

    @property
    def places(self) -> StudyText:
        """Where each key stands in the file, for findings."""
        return StudyText(self._file, self._text).of_case(self._case, self._origins)

    @property
    def output(self) -> str | Path:
        """Folder of the results as a path, or a URL of shared storage."""
        given = self.study.output
        return given if given and "://" in given else self.output_dir

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
