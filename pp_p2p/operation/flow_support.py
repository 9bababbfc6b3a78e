"""What the power flow of many steps cannot represent, found by table and row before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import pandas as pd

from pp_p2p.errors import Finding, InvalidInput, UnsupportedFeature
from pp_p2p.network.support import REFUSED

_CARRIED: Final = frozenset(
    {
        "trafo3w",
        "impedance",
        "gen",
        "ward",
        "xward",
        "motor",
        "asymmetric_load",
        "asymmetric_sgen",
    }
)
"""Tables that the planning models refuse and pandapower's bus/branch model holds."""

_OTHER_MODEL: Final = MappingProxyType(
    {
        "distributed_slack": (True,),
        "tdpf": (True,),
        "enforce_p_lims": (True,),
        "enforce_q_lims": (True,),
        "trafo_loading": ("power",),
    }
)
"""Keys of ``net.user_pf_options``, and the values that make it another model than this one."""


def no_source() -> UnsupportedFeature:
    """Return the error of a net that nothing feeds."""
    return UnsupportedFeature(
        "the power flow",
        Finding(
            table="ext_grid",
            rule="no in-service external grid feeds the net",
            mend="create one with pandapower.create_ext_grid",
        ),
    )


def raise_unsupported(net: Any) -> None:
    """Raise `UnsupportedFeature` or `InvalidInput` for rows that no step could be solved with."""
    found = [
        Finding(
            table=table,
            rows=rows,
            rule="controls a flow or a voltage from the direct-current side",
            mend=mend,
        )
        for table, mend in REFUSED.items()
        if table not in _CARRIED and (rows := _in_service(net, table))
    ]
    found += _directed_impedances(net)
    found += [
        Finding(
            table="user_pf_options",
            column=option,
            rule=f"is {net.user_pf_options.get(option)!r}",
            mend="delete the key, or run pandapower.runpp step by step",
        )
        for option, values in _OTHER_MODEL.items()
        if net.user_pf_options.get(option) in values
    ]
    if found:
        raise UnsupportedFeature("the power flow of many steps", found)
    _loads_within_100_percent(net)


def raise_two_masters(net: Any, node: Mapping[int, int]) -> None:
    """Raise `UnsupportedFeature` for generators at a node that is a source, or that are one."""
    gen = net.gen[net.gen.in_service.to_numpy(bool)]
    at = gen.bus.map(node)
    ext = net.ext_grid[net.ext_grid.in_service.to_numpy(bool)].bus.map(node)
    doubled = (gen.slack.to_numpy(bool) | at.isin(ext)) & (at >= 0)
    if doubled.any():
        raise UnsupportedFeature(
            "the power flow of many steps",
            Finding(
                table="gen",
                rows=tuple(gen.index[doubled].tolist()),
                rule="is the slack, or stands where an external grid holds the voltage",
                mend="make it an ext_grid where it forms the grid, else an sgen",
            ),
        )


def _directed_impedances(net: Any) -> list[Finding]:
    rows = net.impedance[net.impedance.in_service.to_numpy(bool)]
    differ = (rows.rft_pu != rows.rtf_pu) | (rows.xft_pu != rows.xtf_pu)
    if not differ.any():
        return []
    return [
        Finding(
            table="impedance",
            column="rtf_pu",
            rows=tuple(rows.index[differ].tolist()),
            rule="differs by direction",
            mend="give both directions the same impedance",
        )
    ]


def _in_service(net: Any, table: str) -> tuple[int, ...]:
    rows = net.get(table)
    if not isinstance(rows, pd.DataFrame) or rows.empty or "in_service" not in rows:
        return ()
    return tuple(rows.index[rows.in_service.to_numpy(bool)].tolist())


def _loads_within_100_percent(net: Any) -> None:
    for quantity in ("p", "q"):
        columns = [f"const_{kind}_{quantity}_percent" for kind in ("z", "i")]
        if not set(columns) <= set(net.load):
            continue
        over = net.load.index[net.load[columns].fillna(0.0).sum(axis=1) > 100.0]
        if len(over):
            raise InvalidInput(
                Finding(
                    table="load",
                    column=columns[0],
                    rows=tuple(over.tolist()),
                    rule="and the constant current make more than 100 %",
                    mend="lower one of them",
                )
            )
