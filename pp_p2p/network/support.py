"""What a balanced radial model cannot represent, found by table and row before anything is built.

A table that is not named here and can feed or load the net must not be passed over in silence:
`KNOWN` lists what the model reads, `REFUSED` what it refuses, and a test holds both against
pandapower's own list of tables with a bus.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pandas as pd

from pp_p2p.elements.validate import findings as table_findings
from pp_p2p.errors import Finding, UnsupportedFeature, raise_if_any
from pp_p2p.network.native_rules import native_findings

REFUSED: Final = {
    "trafo3w": "replace it by two-winding transformers",
    "impedance": "replace it by a line of the same impedance",
    "gen": "make it an sgen, or an ext_grid where it forms the grid",
    "ward": "replace it by a load and a shunt",
    "xward": "replace it by a load, a shunt and a line",
    "dcline": "represent it by a soft open point (pp_p2p.create_sop)",
    "motor": "replace it by a load",
    "asymmetric_load": "replace it by a balanced load",
    "asymmetric_sgen": "replace it by a balanced sgen",
    "svc": "take it out of service",
    "tcsc": "take it out of service",
    "ssc": "take it out of service",
    "vsc": "represent it by a soft open point (pp_p2p.create_sop)",
    "vsc_stacked": "represent it by a soft open point (pp_p2p.create_sop)",
    "vsc_bipolar": "represent it by a soft open point (pp_p2p.create_sop)",
    "b2b_vsc": "represent it by a soft open point (pp_p2p.create_sop)",
    "bi_vsc": "represent it by a soft open point (pp_p2p.create_sop)",
}
"""Tables whose in-service rows no formulation represents, and the way out."""

KNOWN: Final = frozenset(
    {"bus", "line", "trafo", "switch", "ext_grid", "shunt", "load", "sgen", "storage"}
)
"""pandapower tables that the model reads."""

_ZIP_COLUMNS: Final = (
    "const_z_p_percent",
    "const_z_q_percent",
    "const_i_p_percent",
    "const_i_q_percent",
)


def raise_unsupported(net: Any) -> None:
    """Raise `InvalidInput` for broken tables, `UnsupportedFeature` for what no model represents."""
    raise_if_any([*table_findings(net), *native_findings(net)])
    refused = [*_refused_tables(net), *_refused_columns(net)]
    if refused:
        raise UnsupportedFeature("a balanced radial model", refused)


def _refused_tables(net: Any) -> Iterator[Finding]:
    for table, mend in REFUSED.items():
        frame = net.get(table)
        if not isinstance(frame, pd.DataFrame) or frame.empty:
            continue
        rows = frame.index[_flag(frame, "in_service", True)]
        if len(rows):
            yield Finding(table=table, rows=tuple(rows), rule="has no representation", mend=mend)


def _refused_columns(net: Any) -> Iterator[Finding]:
    load = net.load[net.load.in_service.to_numpy(bool)]
    for column in _ZIP_COLUMNS:
        if column in load and (rows := load.index[load[column].fillna(0.0) != 0.0]).size:
            yield Finding(
                table="load",
                column=column,
                rows=tuple(rows),
                rule="makes the load depend on its voltage",
                mend="set it to 0: loads are constant power",
            )
    trafo = net.trafo[net.trafo.in_service.to_numpy(bool)]
    yield from _old_taps(trafo)
    for column in ("tap_dependency_table", "tap_dependent_impedance"):
        if rows := tuple(trafo.index[_flag(trafo, column, False)]):
            yield Finding(
                table="trafo",
                column=column,
                rows=rows,
                rule="takes impedance and ratio from a characteristic",
                mend="set it to False and write the values of the present tap into the row",
            )
    shunt = net.shunt[net.shunt.in_service.to_numpy(bool)]
    if rows := tuple(shunt.index[_flag(shunt, "step_dependency_table", False)]):
        yield Finding(
            table="shunt",
            column="step_dependency_table",
            rows=rows,
            rule="takes its power from a characteristic",
            mend="set it to False and write the values of the present step into the row",
        )


def _old_taps(trafo: pd.DataFrame) -> Iterator[Finding]:
    """Yield transformers off their neutral tap in a table from before pandapower 3.0."""
    if "tap_pos" not in trafo or "tap_changer_type" in trafo:
        return
    rows = trafo.index[(trafo.tap_pos - trafo.tap_neutral).fillna(0.0) != 0.0]
    if len(rows):
        yield Finding(
            table="trafo",
            column="tap_changer_type",
            rows=tuple(rows),
            rule="is missing, so that the tap position has no meaning",
            mend="load the net with a present pandapower, which converts it",
        )


def _flag(frame: pd.DataFrame, column: str, default: bool) -> pd.Series[bool]:
    """Return a boolean column; `default` where the column or the entry is missing."""
    if column not in frame:
        return pd.Series(default, index=frame.index, dtype=bool)
    return frame[column].map(lambda entry: default if pd.isna(entry) else bool(entry)).astype(bool)
