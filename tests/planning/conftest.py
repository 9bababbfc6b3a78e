"""Bus 2 of the Roy Billinton test system as a pandapower net."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandapower as pp
import pytest

from pp_p2p import set_customers, set_line_reliability, set_trafo_reliability

MAINS = {"F1": (1, 4, 7, 10), "F2": (12, 14), "F3": (16, 18, 21, 24), "F4": (26, 29, 32, 34)}
"""Sections of each main feeder, from the breaker on."""

LATERALS = {
    "F1": {1: (2, 0), 2: (3, 0), 3: (5, 1), 4: (6, 1), 5: (8, 2), 6: (9, 2), 7: (11, 3)},
    "F2": {8: (13, 0), 9: (15, 1)},
    "F3": {10: (17, 0), 11: (19, 1), 12: (20, 1), 13: (22, 2), 14: (23, 2), 15: (25, 3)},
    "F4": {16: (27, 0), 17: (28, 0), 18: (30, 1), 19: (31, 1), 20: (33, 2), 21: (35, 3)}
    | {22: (36, 3)},
}
"""Load point: (section of its lateral, position of the main section at whose end it begins)."""

SIXTY = {2, 6, 10, 14, 17, 21, 25, 28, 30, 34}
SEVENTY_FIVE = {1, 4, 7, 9, 12, 16, 19, 22, 24, 27, 29, 32, 35}
"""Sections of 0.60 km and 0.75 km; the others have 0.80 km."""

DEMAND = (
    ((1, 2, 3, 10, 11), 0.535, 210),
    ((12, 17, 18, 19), 0.450, 200),
    ((8,), 1.0, 1),
    ((9,), 1.15, 1),
    ((4, 5, 13, 14, 20, 21), 0.566, 1),
    ((6, 7, 15, 16, 22), 0.454, 10),
)
"""Load points, average demand (MW) and customers of each."""

WITHOUT_TRAFO = (8, 9)
"""Load points metered at 11 kV."""


def _section(net: Any, number: int, start: int) -> int:
    """Create a section from bus `start`; return the bus at its end."""
    km = 0.60 if number in SIXTY else 0.75 if number in SEVENTY_FIVE else 0.80
    end = int(pp.create_bus(net, 11.0))
    pp.create_line_from_parameters(
        net, start, end, km, 0.3, 0.3, 0.0, 0.4, name=f"section {number}", index=number
    )
    return end


def _rbts(*, isolators: bool, fuses: bool, ties: bool, replaced: bool = False) -> Any:
    net = pp.create_empty_network(sn_mva=10.0)
    grid = int(pp.create_bus(net, 33.0))
    busbar = int(pp.create_bus(net, 11.0))
    pp.create_ext_grid(net, grid)
    pp.create_transformer(net, grid, busbar, std_type="25 MVA 110/20 kV")
    net.trafo.loc[0, ["vn_hv_kv", "vn_lv_kv"]] = 33.0, 11.0
    demand = {lp: (mw, n) for points, mw, n in DEMAND for lp in points}
    ends: dict[str, int] = {}
    for feeder, sections in MAINS.items():
        at, joints = busbar, []
        for k, number in enumerate(sections):
            end = _section(net, number, at)
            if k and isolators:
                pp.create_switch(net, at, number, et="l", type="DS")
            at = end
            joints.append(end)
        ends[feeder] = at
        pp.create_switch(net, busbar, sections[0], et="l", type="CB")
        for lp, (number, position) in LATERALS[feeder].items():
            _load_point(net, lp, number, joints[position], *demand[lp], fuse=fuses)
    if ties:
        for one, two in (("F1", "F2"), ("F3", "F4")):
            pp.create_switch(net, ends[one], ends[two], et="b", type="LBS", closed=False)
    set_line_reliability(
        net, failure_rate_per_km_year=0.065, repair_time_h=5.0, switching_time_h=1.0
    )
    set_trafo_reliability(
        net,
        net.trafo.index[1:],  # the substation itself does not fail
        failure_rate_per_year=0.015,
        repair_time_h=200.0,
        switching_time_h=1.0,
        replacement_time_h=10.0 if replaced else None,
    )
    return net


def _load_point(
    net: Any, lp: int, number: int, joint: int, mw: float, customers: int, *, fuse: bool
) -> None:
    bus = _section(net, number, joint)
    if fuse:
        pp.create_switch(net, joint, number, et="l", type="fuse")
    if lp not in WITHOUT_TRAFO:
        low = int(pp.create_bus(net, 0.4))
        pp.create_transformer(net, bus, low, std_type="0.63 MVA 10/0.4 kV", name=f"LP{lp}")
        net.trafo.loc[net.trafo.index[-1], "vn_hv_kv"] = 11.0
        bus = low
    load = pp.create_load(net, bus, p_mw=mw, q_mvar=0.2 * mw, name=f"LP{lp}", index=lp)
    set_customers(net, [load], customers=customers)


@pytest.fixture
def rbts() -> Callable[..., Any]:
    """Return a function that builds the net with or without isolators, fuses and ties."""
    return _rbts


@pytest.fixture
def failing_with_tie() -> Callable[[Any], int]:
    """Return a function that lets the lines of `feeder` fail and offers a tie to its end."""

    def make(feeder: Any) -> int:
        set_line_reliability(
            feeder, failure_rate_per_km_year=0.2, repair_time_h=6.0, switching_time_h=1.0
        )
        return int(
            pp.create_line_from_parameters(feeder, 0, 4, 1.0, 0.3, 0.3, 0.0, 1.0, in_service=False)
        )

    return make
