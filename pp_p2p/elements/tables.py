"""The declarations: our tables, and our columns in pandapower's tables.

Scalars only, because SQLite refuses lists and Excel turns them into text; no datetimes, because
pandapower's JSON corrupts them; no name that begins with ``res``, because pandapower clears it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, get_args

import numpy as np
import pandas as pd

from pp_p2p.elements.checks import above_up_to, between, ge, gt, one_of
from pp_p2p.elements.schema import NONE, Column, Extension, Table
from pp_p2p.errors import InvalidInput, raise_if_any
from pp_p2p.names import OPERATOR

if TYPE_CHECKING:
    from pandapower import pandapowerNet

SCHEMA_VERSION: Final = "1"
SCHEMA_VERSION_KEY: Final = "p2p_schema_version"

Technology = Literal["pv", "wind", "storage", "line", "switch", "sop"]
LossModel = Literal["proportional"]
TECHNOLOGIES: Final[tuple[str, ...]] = get_args(Technology)
LOSS_MODELS: Final[tuple[str, ...]] = get_args(LossModel)

_NAME: Final = Column(name="name", dtype="object", default="", doc="label, need not be unique")
_IN_SERVICE: Final = Column(
    name="in_service", dtype="bool", default=True, doc="False leaves the row out of every problem"
)


def _quantity(
    name: str, unit: str, default: float, low: float, doc: str, *, positive: bool = False
) -> Column:
    check = gt(low) if positive else ge(low)
    return Column(name=name, dtype="float64", unit=unit, default=default, check=check, doc=doc)


def _percent(name: str, default: float, doc: str, *, positive: bool = False) -> Column:
    check = above_up_to(0, 100) if positive else between(0, 100)
    return Column(name=name, dtype="float64", unit="%", default=default, check=check, doc=doc)


def _reference(
    table: str,
    doc: str,
    *,
    default: int | None = None,
    needed_where: tuple[str, str] | None = None,
    least: int = 0,
) -> Column:
    return Column(
        name=table,
        dtype="int64",
        default=default,
        required=default is None,
        references=table,
        needed_where=needed_where,
        least=least,
        doc=doc,
    )


_OWNER: Final = _reference("participant", "owner; -1 is the operator", default=OPERATOR)
_CHARGE: Final = _percent(
    "charge_efficiency_percent", 95.0, "energy stored per energy taken from the grid", positive=True
)
_DISCHARGE: Final = _percent(
    "discharge_efficiency_percent", 95.0, "energy fed in per energy taken out", positive=True
)

_PARTICIPANT: Final = Table(
    name="participant",
    doc="One who trades: a prosumer, a microgrid, a distribution substation area.",
    columns=(
        _NAME,
        _reference("bus", "bus at which it is metered"),
        _quantity("max_import_mw", "MW", math.nan, 0, "most it may take; NaN is unlimited"),
        _quantity("max_export_mw", "MW", math.nan, 0, "most it may feed in; NaN is unlimited"),
        _quantity(
            "max_trade_mw", "MW", math.nan, 0, "most it may trade with peers; NaN is unlimited"
        ),
        _quantity(
            "bargaining_power", "1", 1.0, 0, "weight in Nash bargaining; relative", positive=True
        ),
        _IN_SERVICE,
    ),
)

_FLEXIBLE_LOAD: Final = Table(
    name="flexible_load",
    doc="A load that may shift its energy within the day.",
    unique=("load",),
    columns=(
        _NAME,
        _reference("load", "the load that is flexible"),
        _quantity("max_up_percent", "%", 0.0, 0, "most it may add to its profile"),
        _percent("max_down_percent", 0.0, "most it may take off its profile"),
        _quantity("shift_cost_eur_per_mwh", "EUR/MWh", 0.0, 0, "cost of each MWh shifted"),
        _IN_SERVICE,
    ),
)

_SOP: Final = Table(
    name="sop",
    doc="A soft open point: converters that share one direct-current link.",
    columns=(
        _NAME,
        Column(
            name="loss_model",
            dtype="object",
            default="proportional",
            check=one_of(*LOSS_MODELS),
            doc="proportional: a terminal loses loss_factor times its apparent power",
        ),
        _IN_SERVICE,
    ),
)

_SOP_TERMINAL: Final = Table(
    name="sop_terminal",
    doc="One converter of a soft open point.",
    unique=("sop", "bus"),
    columns=(
        _reference("sop", "the soft open point it belongs to", least=2),
        _reference("bus", "bus it is connected to"),
        Column(
            name="sn_mva",
            dtype="float64",
            unit="MVA",
            required=True,
            check=gt(0),
            doc="rated apparent power",
        ),
        Column(
            name="loss_factor",
            dtype="float64",
            unit="1",
            default=0.0,
            check=between(0, 1),
            doc="loss per apparent power",
        ),
        Column(
            name="p_mw",
            dtype="float64",
            unit="MW",
            default=0.0,
            doc="set-point of active power fed into the bus",
        ),
        Column(
            name="q_mvar",
            dtype="float64",
            unit="Mvar",
            default=0.0,
            doc="set-point of reactive power fed into the bus",
        ),
        Column(
            name="min_q_mvar",
            dtype="float64",
            unit="Mvar",
            default=math.nan,
            doc="least reactive power fed in; NaN leaves the rating as the only limit",
        ),
        Column(
            name="max_q_mvar",
            dtype="float64",
            unit="Mvar",
            default=math.nan,
            doc="most reactive power fed in; NaN leaves the rating as the only limit",
        ),
        _IN_SERVICE,
    ),
)

_CANDIDATE: Final = Table(
    name="candidate",
    doc="Something that planning may build.",
    columns=(
        _NAME,
        _reference("bus", "bus at which it would stand"),
        Column(
            name="technology",
            dtype="object",
            required=True,
            check=one_of(*TECHNOLOGIES),
            doc="what would be built",
        ),
        _OWNER,
        _quantity(
            "unit_p_mw", "MW", 0.0, 0, "rated power of one unit; needed by pv, wind, storage"
        ),
        _quantity("unit_e_mwh", "MWh", 0.0, 0, "energy capacity of one unit; needed by storage"),
        Column(name="max_units", dtype="int64", default=1, check=ge(0), doc="most units built"),
        Column(
            name="capex_eur_per_unit",
            dtype="float64",
            unit="EUR",
            required=True,
            check=ge(0),
            doc="investment in one unit",
        ),
        _quantity("fixed_om_eur_per_unit_per_year", "EUR/a", 0.0, 0, "yearly cost of one unit"),
        _quantity(
            "variable_om_eur_per_mwh",
            "EUR/MWh",
            0.0,
            0,
            "cost of each MWh fed in; storage: of each MWh charged or discharged",
        ),
        _quantity("lifetime_years", "a", 20.0, 0, "years until it is replaced", positive=True),
        _CHARGE,
        _DISCHARGE,
        _percent(
            "min_soc_percent",
            0.0,
            "storage: energy below is the reserve that carries an island after a fault",
        ),
        _reference(
            "line",
            "technology line: the row, out of service or open, that would be built as a normally"
            " open tie; -1 is none",
            default=NONE,
            needed_where=("technology", "line"),
        ),
        _IN_SERVICE,
    ),
)

TABLES: Final[Mapping[str, Table]] = MappingProxyType(
    {table.name: table for table in (_PARTICIPANT, _FLEXIBLE_LOAD, _SOP, _SOP_TERMINAL, _CANDIDATE)}
)
"""Our tables by their key in the net."""

_REPAIR: Final = (
    _quantity("repair_time_h", "h", 0.0, 0, "time from fault to repair"),
    _quantity("switching_time_h", "h", 0.0, 0, "time from fault to isolation by switching"),
)

EXTENSIONS: Final[Mapping[str, Extension]] = MappingProxyType(
    {
        extension.table: extension
        for extension in (
            Extension(
                table="load",
                columns=(
                    _OWNER,
                    Column(
                        name="customers",
                        dtype="int64",
                        default=1,
                        check=ge(0),
                        doc="customers that the load stands for",
                    ),
                ),
            ),
            Extension(table="sgen", columns=(_OWNER,)),
            Extension(
                table="storage",
                columns=(
                    _OWNER,
                    _CHARGE,
                    _DISCHARGE,
                    _quantity(
                        "degradation_eur_per_mwh", "EUR/MWh", 0.0, 0, "wear for each MWh discharged"
                    ),
                ),
            ),
            Extension(
                table="line",
                columns=(
                    _quantity(
                        "failure_rate_per_km_year", "1/(km a)", 0.0, 0, "faults per length and year"
                    ),
                    *_REPAIR,
                ),
            ),
            Extension(
                table="trafo",
                columns=(
                    _quantity("failure_rate_per_year", "1/a", 0.0, 0, "faults per year"),
                    *_REPAIR,
                ),
            ),
        )
    }
)
"""Our columns in pandapower's tables, by the table."""


def frame(net: pandapowerNet, name: str) -> pd.DataFrame:
    """Return our table `name` of `net` as a typed frame of its own; the net is not changed.

    Parameters
    ----------
    net : pandapowerNet
        Any net.
    name : str
        A key of `TABLES`.

    Returns
    -------
    pd.DataFrame
        The declared columns; no rows where the net has no such table.

    Raises
    ------
    InvalidInput
        Where the table cannot be read as declared.
    """
    table = TABLES[name]
    if name not in net:
        return table.empty()
    if not isinstance(net[name], pd.DataFrame):
        raise InvalidInput(table.not_a_frame(net[name]))
    return table.typed(net[name])


def extension(net: pandapowerNet, table: str, column: str) -> pd.Series:
    """Return our `column` in pandapower's `table`, defaults filled in; the net is not changed.

    Parameters
    ----------
    net : pandapowerNet
        Any net.
    table : str
        A key of `EXTENSIONS`.
    column : str
        One of its columns.

    Returns
    -------
    (row,) pd.Series
        One typed value for each row of the table.

    Raises
    ------
    InvalidInput
        Where the column holds values of another type.
    """
    declared = EXTENSIONS[table].by_name[column]
    rows = net[table] if table in net else pd.DataFrame(index=np.array([], dtype=np.int64))
    if column not in rows.columns:
        values = np.full(len(rows), declared.fill, dtype=declared.dtype)
        return pd.Series(values, index=rows.index, name=column)
    read = declared.read(rows[column])
    if read.wrong.any():
        raise_if_any(declared.findings(table, rows[column]))
    return pd.Series(read.values, index=rows.index, name=column)
