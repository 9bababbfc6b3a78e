"""Two feeders of which one line fails, and who waits for its repair."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandapower as pp

from planning import reliability_indices
from pp_p2p import set_line_reliability

RATE, REPAIR, SWITCHING = 0.1, 5.0, 1.0


def two_feeders(*mw: float) -> Any:
    """Return buses 1 to 3 behind lines 0 to 2, of which 0 fails, and 4 behind line 3."""
    net = pp.create_empty_network(sn_mva=1.0)
    buses = [int(pp.create_bus(net, 10.0, min_vm_pu=0.5)) for _ in range(5)]
    pp.create_ext_grid(net, buses[0])
    for k, (a, b) in enumerate(((0, 1), (1, 2), (2, 3), (0, 4))):
        pp.create_line_from_parameters(net, a, b, 1.0, 0.1, 0.1, 0.0, 100.0, index=k)
    for line, bus in ((1, 1), (2, 2)):
        pp.create_switch(net, bus, line, et="l", type="LBS")
    for bus, p_mw in zip(buses[1:], mw, strict=True):
        pp.create_load(net, bus, p_mw=p_mw, index=bus)
    set_line_reliability(
        net,
        failure_rate_per_km_year=[RATE, 0.0, 0.0, 0.0],
        repair_time_h=REPAIR,
        switching_time_h=SWITCHING,
    )
    return net


def waits(net: Any, **options: Any) -> list[int]:
    """Return the loads that wait for the repair of the only line that fails."""
    hours = reliability_indices(net, **options)["unavailability_h_per_year"]
    assert set(np.round(hours.to_numpy() / RATE, 9)) <= {0.0, SWITCHING, REPAIR}
    return hours["load"].to_numpy()[np.isclose(hours, RATE * REPAIR)].tolist()
