"""An infeasible problem names the bus or the line that is the reason."""

from __future__ import annotations

from typing import Any

import pyomo.environ as pyo
import pytest
import xarray as xr

from pp_p2p.errors import NoSolution
from pp_p2p.network.block import network_block
from pp_p2p.network.devices import fixed_injection
from pp_p2p.network.formulation import get_formulation
from pp_p2p.network.grid import GridData
from pp_p2p.network.limits import explain_limits
from pp_p2p.network.portfolio import Portfolio
from pp_p2p.network.timeline import Timeline
from pp_p2p.solve.run import run_solver


@pytest.fixture(params=["branch_flow", "lindistflow"])
def explain(request: pytest.FixtureRequest) -> Any:
    """Return a function that solves a net, must fail, and explains."""

    def run(net: Any) -> str:
        n, load = 2, net.load.index
        p = [[0.2 * x for x in net.load.p_mw], list(net.load.p_mw)]
        profiles = xr.Dataset(
            {"load_p_mw": (("time", "load"), p)}, coords={"time": [0.0, 1.0], "load": load}
        )
        grid, line = GridData.from_net(net), Timeline.from_profiles(profiles)
        devices = Portfolio.from_net(net, grid, profiles, line)
        injection = fixed_injection(grid.n_nodes, line, devices.loads, devices.generators)
        model = pyo.ConcreteModel()
        model.network = network_block(grid, get_formulation(request.param), injection)
        model.bought = pyo.Objective(expr=sum(model.network.p_source[0, t] for t in range(n)))
        with pytest.raises(NoSolution):
            run_solver(model)
        return explain_limits(model, grid, line)

    return run


def test_bus_that_is_too_low(feeder: Any, explain: Any) -> None:
    feeder.bus.loc[4, "min_vm_pu"] = 0.98
    text = explain(feeder)
    assert "the voltage limits of 1 buses cannot hold: bus 4 (0.98..1.1 p.u.)" in text
    assert "(time 1.0)" in text
    assert "current" not in text


def test_bus_that_is_too_high(feeder: Any, explain: Any) -> None:
    feeder.ext_grid["vm_pu"] = 1.06
    feeder.bus.loc[1, "max_vm_pu"] = 1.02
    assert "bus 1 (0.9..1.02 p.u.)" in explain(feeder)


def test_line_that_is_too_thin(feeder: Any, explain: Any) -> None:
    feeder.line.loc[1, "max_i_ka"] = 0.1  # 3.1 MVA at 10 kV are 0.18 kA
    text = explain(feeder)
    assert "the current limits of 1 branches cannot hold: line 1 (time 1.0)" in text
    assert "voltage" not in text


def test_line_and_bus(feeder: Any, explain: Any) -> None:
    feeder.line.loc[3, "max_i_ka"] = 0.02
    feeder.bus.loc[2, "min_vm_pu"] = 0.995
    text = explain(feeder)
    assert "bus 2 " in text
    assert "line 3 " in text


def test_limits_that_are_not_the_reason(feeder: Any) -> None:
    """A contradiction elsewhere is not blamed on the network."""
    profiles = xr.Dataset(coords={"time": [0.0]})
    grid, line = GridData.from_net(feeder), Timeline.from_profiles(profiles)
    devices = Portfolio.from_net(feeder, grid, profiles, line)
    injection = fixed_injection(grid.n_nodes, line, devices.loads, devices.generators)
    model = pyo.ConcreteModel()
    model.network = network_block(grid, get_formulation("lindistflow"), injection)
    model.x = pyo.Var(bounds=(0, 1))
    model.no = pyo.Constraint(expr=model.x >= 2)
    model.nothing = pyo.Objective(expr=model.x)
    assert explain_limits(model, grid, line) == ""
