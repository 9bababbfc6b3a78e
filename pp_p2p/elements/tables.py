"""The declarations: our tables, and our columns in pandapower's tables.

Scalars only, because SQLite refuses lists and Excel turns them into text; no datetimes, because
pandapower's JSON corrupts them; no name that begins with ``res``, because pandapower clears it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from pp_p2p.elements.candidate_table import CANDIDATE, REMOTE_SWITCHING_TIME
from pp_p2p.elements.checks import between, ge
from pp_p2p.elements.columns import (
    CHARGE,
    DISCHARGE,
    IN_SERVICE,
    NAME,
    OWNER,
    hour,
    percent,
    quantity,
    reference,
)
from pp_p2p.elements.schema import NONE, Column, Extension, Table
from pp_p2p.elements.sop_tables import SOP, SOP_TERMINAL
from pp_p2p.errors import InvalidInput, raise_if_any

if TYPE_CHECKING:
    from pandapower import pandapowerNet

SCHEMA_VERSION: Final = "1"
SCHEMA_VERSION_KEY: Final = "p2p_schema_version"

_PARTICIPANT: Final = Table(
    name="participant",
    doc="One who trades: a prosumer, a microgrid, a distribution substation area.",
    columns=(
        NAME,
        reference("bus", "bus at which it is metered"),
        quantity("max_import_mw", "MW", math.nan, 0, "most it may take; NaN is unlimited"),
        quantity("max_export_mw", "MW", math.nan, 0, "most it may feed in; NaN is unlimited"),
        quantity(
            "max_trade_mw", "MW", math.nan, 0, "most it may trade with peers; NaN is unlimited"
        ),
        quantity(
            "bargaining_power", "1", 1.0, 0, "weight in Nash bargaining; relative; 0 gains nothing"
        ),
        IN_SERVICE,
    ),
)

_FLEXIBLE_LOAD: Final = Table(
    name="flexible_load",
    doc="A load that may shift its energy within the day, forgo some, or follow the price.",
    unique=("load",),
    columns=(
        NAME,
        reference("load", "the load that is flexible"),
        quantity("max_up_percent", "%", 0.0, 0, "most it may add to its profile"),
        percent("max_down_percent", 0.0, "most it may take off its profile"),
        quantity("shift_cost_eur_per_mwh", "EUR/MWh", 0.0, 0, "cost of each MWh shifted"),
        quantity(
            "shift_discomfort_eur_per_mw2h",
            "EUR/(MW2 h)",
            0.0,
            0,
            "half of it times the square of the shift costs each hour",
        ),
        hour("window_start_h", 0.0, "hour of the day from which it may shift"),
        hour(
            "window_end_h",
            24.0,
            "hour of the day until which it may; energy is kept within. Before the start: over"
            " midnight",
        ),
        percent("max_curtail_percent", 0.0, "most it may forgo of its profile"),
        quantity("curtail_cost_eur_per_mwh", "EUR/MWh", 0.0, 0, "discomfort of each MWh forgone"),
        Column(
            name="price_elasticity",
            dtype="float64",
            unit="1",
            default=0.0,
            check=between(-10, 0),
            doc="own-price elasticity of its profile at the reference price; 0 is none",
        ),
        quantity(
            "reference_price_eur_per_mwh",
            "EUR/MWh",
            math.nan,
            0,
            "price at which it draws its profile; NaN is the mean purchase price of the day",
            positive=True,
        ),
        IN_SERVICE,
    ),
)

TABLES: Final[Mapping[str, Table]] = MappingProxyType(
    {table.name: table for table in (_PARTICIPANT, _FLEXIBLE_LOAD, SOP, SOP_TERMINAL, CANDIDATE)}
)
"""Our tables by their key in the net."""

_REPAIR: Final = (
    quantity("repair_time_h", "h", 0.0, 0, "time from fault to repair"),
    quantity("switching_time_h", "h", 0.0, 0, "time from fault to isolation by switching"),
)

EXTENSIONS: Final[Mapping[str, Extension]] = MappingProxyType(
    {
        extension.table: extension
        for extension in (
            Extension(
                table="load",
                columns=(
                    OWNER,
                    Column(
                        name="customers",
                        dtype="int64",
                        default=1,
                        check=ge(0),
                        doc="customers that the load stands for",
                    ),
                ),
            ),
            Extension(table="sgen", columns=(OWNER,)),
            Extension(
                table="storage",
                columns=(
                    OWNER,
                    CHARGE,
                    DISCHARGE,
                    quantity(
                        "degradation_eur_per_mwh", "EUR/MWh", 0.0, 0, "wear for each MWh discharged"
                    ),
                    reference(
                        "sop",
                        "soft open point on whose direct-current link it stands; -1 is none, then"
                        " it stands at its bus",
                        default=NONE,
                    ),
                ),
            ),
            Extension(
                table="line",
                columns=(
                    quantity(
                        "failure_rate_per_km_year", "1/(km a)", 0.0, 0, "faults per length and year"
                    ),
                    *_REPAIR,
                ),
            ),
            Extension(table="switch", columns=(REMOTE_SWITCHING_TIME,)),
            Extension(
                table="trafo",
                columns=(
                    quantity("failure_rate_per_year", "1/a", 0.0, 0, "faults per year"),
                    *_REPAIR,
                    quantity(
                        "replacement_time_h",
                        "h",
                        math.nan,
                        0,
                        "time from fault until a spare stands in its place, where that is faster"
                        " than repair; NaN is no spare",
                        positive=True,
                    ),
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
