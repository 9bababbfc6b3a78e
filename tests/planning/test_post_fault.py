"""Ties with limits: hand-derived transfers, and the AC load flow of what comes back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pytest

from planning import reliability_indices
from pp_p2p import set_line_reliability
from pp_p2p.errors import UnsupportedFeature

sys.path.insert(0, str(Path(__file__).parent))
from two_feeders import RATE, REPAIR, SWITCHING, two_feeders, waits

KA_PER_MW = 1 / (np.sqrt(3) * 10.0)


def _tied(loads_mw: tuple[float, ...] = (1.0, 1.0, 1.0)) -> Any:
    """Return the two feeders with an open switch between buses 3 and 4.

    Only the first line fails: buses 2 and 3 come back over the tie, bus 1 waits.
    """
    net = two_feeders(*loads_mw, 2.0)
    pp.create_switch(net, 3, 4, et="b", type="LBS", closed=False)
    return net


def _waits(net: Any, **options: Any) -> list[int]:
    return waits(net, capacity=True, **options)


def test_all_that_fits_comes_back() -> None:
    assert _waits(_tied()) == [1]


def test_rating_of_the_way_leaves_out_what_is_farther_from_the_tie() -> None:
    net = _tied()
    net.line.loc[3, "max_i_ka"] = 3.5 * KA_PER_MW  # 2 MW of its own and one of two more
    assert _waits(net) == [1, 2]
    net.line.loc[3, "max_i_ka"] = 2.5 * KA_PER_MW
    assert _waits(net) == [1, 2, 3]
    net.line.loc[3, "max_i_ka"] = 4.0 * KA_PER_MW
    assert _waits(net) == [1]


def test_smaller_load_point_farther_away_is_still_picked_up() -> None:
    net = _tied(loads_mw=(1.0, 0.4, 1.0))
    net.line.loc[3, "max_i_ka"] = 2.5 * KA_PER_MW
    assert _waits(net) == [1, 3]


def test_rating_within_the_part() -> None:
    net = _tied()
    net.line.loc[2, "max_i_ka"] = 0.5 * KA_PER_MW  # leads from bus 3 to bus 2 now
    net.line.loc[[0, 1], "max_i_ka"] = 100.0
    assert _waits(net) == [1, 2]


def test_voltage_limit_of_the_way() -> None:
    net = _tied()
    # v4 = 1 - 2 r P with r = 0.1 ohm / 100 ohm: 2, 3 and 4 MW give 0.996, 0.994, 0.992
    for served, limit in (([1], 0.9919), ([1, 2], 0.9935), ([1, 2, 3], 0.9955)):
        net.bus.loc[4, "min_vm_pu"] = np.sqrt(limit)
        assert _waits(net) == served
    net.bus.loc[4, "min_vm_pu"] = 0.5
    # bus 3 is joined with bus 4, bus 2 is one line of 1 MW lower: 0.992 - 0.002
    net.bus.loc[2, "min_vm_pu"] = np.sqrt(0.9905)
    assert _waits(net) == [1, 2]


def test_feeder_over_its_limit_before_takes_nothing_but_is_not_blamed() -> None:
    net = _tied()
    net.line.loc[3, "max_i_ka"] = 1.0 * KA_PER_MW  # 2 MW of its own
    assert _waits(net) == [1, 2, 3]


def test_limits_elsewhere_do_not_matter() -> None:
    net = _tied()
    far = pp.create_bus(net, 10.0, min_vm_pu=0.9999)
    pp.create_line_from_parameters(net, 0, far, 1.0, 0.5, 0.5, 0.0, 0.001)
    pp.create_load(net, far, p_mw=5.0, index=9)
    set_line_reliability(net, [4], failure_rate_per_km_year=0.0)
    assert _waits(net) == [1]


def test_better_of_two_ties() -> None:
    net = _tied()
    net.line.loc[3, "max_i_ka"] = 3.5 * KA_PER_MW
    strong = pp.create_bus(net, 10.0, min_vm_pu=0.5)
    pp.create_line_from_parameters(net, 0, strong, 1.0, 0.1, 0.1, 0.0, 100.0)
    pp.create_switch(net, 2, strong, et="b", type="LBS", closed=False)
    assert _waits(net) == [1]


def test_tie_that_leads_to_what_another_tie_brought_back() -> None:
    net = _tied()
    # bus 5 hangs on bus 1, which fails with line 0; its tie ends at bus 2, which comes back first
    pp.create_bus(net, 10.0, index=5, min_vm_pu=0.5)
    pp.create_line_from_parameters(net, 1, 5, 1.0, 0.1, 0.1, 0.0, 100.0)
    pp.create_switch(net, 1, 4, et="l", type="DS")
    pp.create_switch(net, 5, 2, et="b", type="LBS", closed=False)
    pp.create_load(net, 5, p_mw=0.5, index=5)
    assert _waits(net) == [1]
    net.line.loc[3, "max_i_ka"] = 4.2 * KA_PER_MW
    assert _waits(net) == [1, 5]


def test_tie_line_open_at_both_ends_carries_too() -> None:
    net = _tied()
    net.switch = net.switch[net.switch.et != "b"]
    tie = pp.create_line_from_parameters(net, 3, 4, 2.0, 0.1, 0.1, 0.0, 1.5 * KA_PER_MW)
    for bus in (3, 4):
        pp.create_switch(net, bus, tie, et="l", type="LBS", closed=False)
    assert _waits(net) == [1, 2]
    net.line.loc[tie, "max_i_ka"] = 2.5 * KA_PER_MW
    assert _waits(net) == [1]


def test_transformer_on_the_way() -> None:
    net = _tied()
    net.switch = net.switch[net.switch.et != "b"]
    high = pp.create_bus(net, 20.0, min_vm_pu=0.5)
    pp.create_ext_grid(net, high)
    low = pp.create_bus(net, 10.0, min_vm_pu=0.5)
    pp.create_transformer_from_parameters(
        net, high, low, sn_mva=1.5, vn_hv_kv=20.0, vn_lv_kv=10.0, vkr_percent=0.5, vk_percent=4.0,
        pfe_kw=0.0, i0_percent=0.0,
    )  # fmt: skip
    pp.create_switch(net, low, 3, et="b", type="LBS", closed=False)
    assert _waits(net) == [1, 2]
    net.trafo["sn_mva"] = 2.5
    assert _waits(net) == [1]


def test_load_factor_does_not_lower_the_demand_that_must_fit() -> None:
    net = _tied()
    net.line.loc[3, "max_i_ka"] = 3.5 * KA_PER_MW
    assert _waits(net, load_factor=0.5) == [1, 2]
    ds = reliability_indices(net, capacity=True, load_factor=0.5)
    assert float(ds["eens_mwh_per_year"]) == pytest.approx(
        0.5 * RATE * (2 * REPAIR + 1 * SWITCHING)
    )


def test_ac_load_flow_confirms_what_comes_back_and_what_does_not() -> None:
    net = _tied(loads_mw=(1.0, 0.9, 0.8))
    net.load["q_mvar"] = 0.2 * net.load.p_mw
    net.line["max_i_ka"] = 3.0 * KA_PER_MW
    out_of_supply = _waits(net)
    assert out_of_supply == [1, 2]

    def loading(out: list[int]) -> float:
        net.line.loc[0, "in_service"] = False
        net.switch["closed"] = ~((net.switch.et == "l") & (net.switch.element == 1))
        net.load["in_service"] = ~net.load.index.isin(out)
        pp.runpp(net, numba=False)
        return float(net.res_line.loading_percent.max())

    # losses, which LinDistFlow leaves out, are below 1 % here
    assert loading(out_of_supply) <= 101.0
    assert loading([1]) > 101.0


def test_loop_is_refused_with_limits_and_answered_without() -> None:
    net = _tied()
    net.switch["closed"] = True
    with pytest.raises(UnsupportedFeature, match="closed loop"):
        reliability_indices(net, capacity=True)
    # around the fault both breakers open, and the loop feeds what is left from the other side
    ds = reliability_indices(net)
    hours = ds["unavailability_h_per_year"].to_numpy() / RATE
    assert hours.tolist() == pytest.approx([REPAIR, SWITCHING, SWITCHING, SWITCHING])
