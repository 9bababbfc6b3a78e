"""The declaration of ``net.candidate``: what planning may build."""

from __future__ import annotations

import math
from typing import Final, Literal, get_args

from pp_p2p.elements.checks import ge, one_of
from pp_p2p.elements.columns import (
    CHARGE,
    DISCHARGE,
    IN_SERVICE,
    NAME,
    OWNER,
    percent,
    quantity,
    reference,
)
from pp_p2p.elements.schema import NONE, Column, Table

Technology = Literal[
    "pv",
    "wind",
    "dispatchable",
    "storage",
    "storage_energy",
    "line",
    "replacement",
    "switch",
    "sop",
]
TECHNOLOGIES: Final[tuple[str, ...]] = get_args(Technology)

Sizing = Literal["units", "continuous"]
SIZINGS: Final[tuple[str, ...]] = get_args(Sizing)

CANDIDATE: Final = Table(
    name="candidate",
    doc="Something that planning may build.",
    columns=(
        NAME,
        reference("bus", "bus at which it would stand"),
        Column(
            name="technology",
            dtype="object",
            required=True,
            check=one_of(*TECHNOLOGIES),
            doc="what would be built",
        ),
        OWNER,
        quantity(
            "unit_p_mw",
            "MW",
            0.0,
            0,
            "rated power of one unit; needed by pv, wind, dispatchable, storage",
        ),
        quantity(
            "unit_e_mwh",
            "MWh",
            0.0,
            0,
            "energy capacity of one unit; needed by storage_energy, which adds it to the storage"
            " candidate of its owner at its bus, and by storage that has none of those",
        ),
        quantity(
            "unit_sn_mva",
            "MVA",
            0.0,
            0,
            "rated apparent power of one unit of pv, wind, dispatchable or storage, within which"
            " reactive power is free; 0 is no reactive power",
        ),
        Column(name="max_units", dtype="int64", default=1, check=ge(0), doc="most units built"),
        Column(
            name="sizing",
            dtype="object",
            default="units",
            check=one_of(*SIZINGS),
            doc="whether whole units are built, or any size up to max_units (pv, wind,"
            " dispatchable, storage, storage_energy, sop; of an sop with a grid-forming terminal"
            " one unit at least)",
        ),
        Column(
            name="capex_eur_per_unit",
            dtype="float64",
            unit="EUR",
            required=True,
            check=ge(0),
            doc="investment in one unit",
        ),
        quantity("fixed_capex_eur", "EUR", 0.0, 0, "investment in the site, whatever is built"),
        quantity("fixed_om_eur_per_unit_per_year", "EUR/a", 0.0, 0, "yearly cost of one unit"),
        quantity(
            "variable_om_eur_per_mwh",
            "EUR/MWh",
            0.0,
            0,
            "cost of each MWh fed in, fuel included; storage: of each MWh discharged",
        ),
        quantity("emission_t_per_mwh", "t/MWh", 0.0, 0, "dispatchable: CO2 of each MWh fed in"),
        quantity("lifetime_years", "a", 20.0, 0, "years until it is replaced", positive=True),
        CHARGE,
        DISCHARGE,
        percent(
            "min_soc_percent",
            0.0,
            "storage: energy below is the reserve that carries an island after a fault",
        ),
        reference(
            "line",
            "technology line: the row, out of service or open, that would be built as a normally"
            " open tie; technology replacement: the row in service that would be replaced; -1 is"
            " none",
            default=NONE,
            needed_where=("technology", "line", "replacement"),
        ),
        Column(
            name="std_type",
            dtype="object",
            default="",
            doc="replacement: type of the new line in the net's library; empty keeps the type",
        ),
        Column(
            name="parallel",
            dtype="int64",
            default=1,
            check=ge(1),
            doc="replacement: parallel systems of the new line",
        ),
        reference(
            "sop",
            "technology sop: the row, out of service, one unit of which has the ratings of its"
            " terminals; -1 is none",
            default=NONE,
            needed_where=("technology", "sop"),
        ),
        reference(
            "switch",
            "technology switch: the row that would get remote control; -1 is none",
            default=NONE,
            needed_where=("technology", "switch"),
        ),
        quantity(
            "remote_switching_time_h",
            "h",
            0.0,
            0,
            "switch: time from fault to switching by remote control",
        ),
        IN_SERVICE,
    ),
)

REMOTE_SWITCHING_TIME: Final = quantity(
    "remote_switching_time_h",
    "h",
    math.nan,
    0,
    "time from fault to switching by remote control; NaN is none: switched by hand",
)
