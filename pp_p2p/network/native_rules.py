"""What pandapower's own tables must hold before a model reads them: references and numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pandas as pd

from pp_p2p.elements.magnitudes import wrong_magnitudes
from pp_p2p.errors import Finding

_BUS_COLUMNS: Final = {
    "line": ("from_bus", "to_bus"),
    "trafo": ("hv_bus", "lv_bus"),
    "switch": ("bus",),
    "ext_grid": ("bus",),
    "shunt": ("bus",),
    "load": ("bus",),
    "sgen": ("bus",),
    "storage": ("bus",),
}

_FINITE: Final = {
    "line": ("length_km", "r_ohm_per_km", "x_ohm_per_km", "c_nf_per_km"),
    "trafo": ("vkr_percent", "pfe_kw", "i0_percent"),
    "ext_grid": ("vm_pu",),
    "shunt": ("p_mw", "q_mvar", "step"),
    "load": ("p_mw", "q_mvar", "scaling"),
    "sgen": ("p_mw", "q_mvar", "scaling"),
}

_POSITIVE: Final = {
    "bus": ("vn_kv",),
    "ext_grid": ("vm_pu",),
    "line": ("parallel",),
    "trafo": ("sn_mva", "vn_hv_kv", "vn_lv_kv", "vk_percent", "parallel"),
}

_RATINGS: Final = {
    "line": ("max_loading_percent", "df"),
    "trafo": ("max_loading_percent", "df"),
}
"""Columns that may be missing or NaN; where there is a number, it is above 0."""

_DROP: Final = "name an existing one or drop the rows"


def native_findings(net: Any) -> Iterator[Finding]:
    """Yield what no model can read in the in-service rows of pandapower's tables."""
    yield from _dangling(net)
    yield from wrong_magnitudes(net)
    for table, columns in _FINITE.items():
        for column in columns:
            values = _numbers(net, table, column)
            yield from _finding(
                table, column, values.index[~np.isfinite(values)], "is not a finite number"
            )
    for table, columns in _POSITIVE.items():
        for column in columns:
            values = _numbers(net, table, column)
            positive = np.isfinite(values) & (values > 0)
            yield from _finding(table, column, values.index[~positive], "is not a number above 0")
    for table, columns in _RATINGS.items():
        for column in columns:
            if column in net[table]:
                values = _numbers(net, table, column)
                yield from _finding(table, column, values.index[values <= 0], "is not above 0")
    if "max_i_ka" in net.line:
        rated = _numbers(net, "line", "max_i_ka")
        rule = "is below 0 (0, NaN and 99999 mean that there is no limit)"
        yield from _finding("line", "max_i_ka", rated.index[rated < 0], rule)
    trafo = _in_service(net, "trafo")
    too_small = trafo.index[trafo.vk_percent < trafo.vkr_percent]
    yield from _finding("trafo", "vk_percent", too_small, "is below vkr_percent")
    for table, limited in (("bus", "vm_pu"), ("ext_grid", "p_mw"), ("ext_grid", "q_mvar")):
        low, high = f"min_{limited}", f"max_{limited}"
        if {low, high} <= set(net[table]):
            least, most = (_numbers(net, table, column) for column in (low, high))
            yield from _finding(table, low, least.index[least > most], f"is above {high}")


def _dangling(net: Any) -> Iterator[Finding]:
    for table, columns in _BUS_COLUMNS.items():
        for column in columns:
            lost = net[table].index[~net[table][column].isin(net.bus.index)]
            yield from _finding(table, column, lost, "names a bus that does not exist", _DROP)
    switch = net.switch
    for et, target in (("b", "bus"), ("l", "line"), ("t", "trafo")):
        mine = switch[switch.et == et]
        lost = mine.index[~mine.element.isin(net[target].index)]
        rule = f"names a {target} that does not exist"
        yield from _finding("switch", "element", lost, rule, _DROP)


def _finding(
    table: str,
    column: str,
    rows: pd.Index[Any],
    rule: str,
    mend: str = "mend the rows or take them out of service",
) -> Iterator[Finding]:
    if len(rows):
        yield Finding(
            table=table,
            column=column,
            rows=tuple(rows.tolist()),
            rule=rule,
            mend=mend,
        )


def _in_service(net: Any, table: str) -> pd.DataFrame:
    frame: pd.DataFrame = net[table]
    return frame[frame.in_service.to_numpy(bool)]


def _numbers(net: Any, table: str, column: str) -> pd.Series[float]:
    return pd.to_numeric(_in_service(net, table)[column], errors="coerce").astype(float)
