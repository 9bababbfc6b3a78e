"""Energy not served: hand-derived feeders, and laws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandapower as pp
import pytest

from planning.reliability import Faults, Reserve, energy_not_served
from pp_p2p import set_line_reliability, set_trafo_reliability

RATE, REPAIR, SWITCHING = 0.1, 5.0, 1.0


@pytest.fixture
def faulty(feeder: Any) -> Any:
    set_line_reliability(
        feeder, failure_rate_per_km_year=RATE, repair_time_h=REPAIR, switching_time_h=SWITCHING
    )
    return feeder


def _eens(net: Any, demand: float = 1.0, **extra: Any) -> float:
    faults = Faults.from_net(net)
    mw = faults.demand(net.load.bus, np.full(len(net.load), demand))
    return float(energy_not_served(faults, mw, **extra).sum())


def test_feeder_without_ties_is_rule_r1(faulty: Any) -> None:
    # U_i = tau sum of all rates + sum over the path of rate (r - tau): 4 lines, paths of 1..4
    unavailability = [SWITCHING * 4 * RATE + k * RATE * (REPAIR - SWITCHING) for k in (1, 2, 3, 4)]
    assert _eens(faulty) == pytest.approx(sum(unavailability))


def test_tie_at_the_end_leaves_only_switching_time(faulty: Any) -> None:
    # a tie from the source to the last bus re-supplies everything below any fault
    assert _eens(faulty, ties=[(0, 4)]) == pytest.approx(4 * 4 * RATE * SWITCHING)


def test_existing_open_tie_counts_and_a_candidate_does_not(faulty: Any) -> None:
    tie = pp.create_line_from_parameters(faulty, 0, 4, 1.0, 0.3, 0.3, 0.0, 1.0)
    pp.create_switch(faulty, 0, tie, et="l", closed=False)
    assert Faults.from_net(faulty).tied.tolist() == [True] * 4
    assert Faults.from_net(faulty, [tie]).tied.tolist() == [False] * 4


def test_reserve_carries_as_much_as_energy_and_power_allow(faulty: Any) -> None:
    alone = _eens(faulty)
    # 2 MWh and 1 MW below all four lines: each fault (4 h beyond switching) is served 2 MWh
    energy = [Reserve(bus=4, energy_mwh=2.0, power_mw=1.0)]
    assert alone - _eens(faulty, reserves=energy) == pytest.approx(4 * RATE * 2.0)
    # 0.1 MW serves 0.4 MWh in those 4 h
    power = [Reserve(bus=4, energy_mwh=2.0, power_mw=0.1)]
    assert alone - _eens(faulty, reserves=power) == pytest.approx(4 * RATE * 0.4)
    # more than enough serves exactly what waits
    plenty = [Reserve(bus=4, energy_mwh=1e3, power_mw=1e3)]
    assert _eens(faulty, reserves=plenty) == pytest.approx(4 * 4 * RATE * SWITCHING)


def test_breaker_confines_the_interruption(faulty: Any) -> None:
    pp.create_switch(faulty, 2, 2, et="l", closed=True, type="CB")  # at the head of line 2-3
    faults = Faults.from_net(faulty)
    interrupted = faults.zone[:, faults.graph.section_of([1, 2, 3, 4])].sum(axis=1)
    assert interrupted.tolist() == [4, 4, 2, 2]


def test_parallel_element_takes_over_after_switching(faulty: Any) -> None:
    one = _eens(faulty)
    pp.create_line_from_parameters(faulty, 0, 1, 1.0, 0.3, 0.3, 0.0, 1.0)
    set_line_reliability(
        faulty, [4], failure_rate_per_km_year=RATE, repair_time_h=REPAIR, switching_time_h=SWITCHING
    )
    # the first line no longer waits for repair, but two of them now fail
    assert _eens(faulty) == pytest.approx(
        one - 4 * RATE * (REPAIR - SWITCHING) + 4 * RATE * SWITCHING
    )


def test_trafo_and_each_root_branch_is_its_own_feeder() -> None:
    net = pp.create_empty_network()
    hv = pp.create_bus(net, 20.0)
    pp.create_ext_grid(net, hv)
    for _ in range(2):
        lv = pp.create_bus(net, 0.4)
        pp.create_transformer(net, hv, lv, std_type="0.4 MVA 20/0.4 kV")
        pp.create_load(net, lv, p_mw=0.1)
    set_trafo_reliability(net, failure_rate_per_year=0.02, repair_time_h=10.0, switching_time_h=1.0)
    assert _eens(net, demand=0.1) == pytest.approx(2 * 0.02 * 10.0 * 0.1)


def test_no_failures_no_loss(feeder: Any) -> None:
    assert _eens(feeder) == 0.0


def test_more_ties_never_raise_it(faulty: Any) -> None:
    base = _eens(faulty)
    for a in range(5):
        for b in range(a + 1, 5):
            assert _eens(faulty, ties=[(a, b)]) <= base + 1e-12
