"""An infeasible problem names the bus or the line that is the reason."""

from __future__ import annotations

import re
from typing import Any

import pandapower as pp
import pyomo.environ as pyo
import pytest
import xarray as xr

from pp_p2p.elements.create import create_flexible_load, create_sop
from pp_p2p.errors import NoSolution
from pp_p2p.network.block import network_block
from pp_p2p.network.devices import add_devices, fixed_injection
from pp_p2p.network.formulation import get_formulation
from pp_p2p.network.grid import GridData
from pp_p2p.network.limits import explain_limits
from pp_p2p.network.portfolio import Portfolio
from pp_p2p.network.timeline import Timeline
from pp_p2p.solve.run import run_solver

pytestmark = pytest.mark.filterwarnings("ignore::pp_p2p.errors.ConstantGeneration")


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


def _with_devices(net: Any) -> tuple[Any, GridData, Timeline]:
    """Return a model in which one device of every kind takes part."""
    pp.create_sgen(
        net,
        2,
        p_mw=0.5,
        index=7,
        controllable=True,
        min_p_mw=0.1,
        max_p_mw=0.5,
        min_q_mvar=-0.2,
        max_q_mvar=0.2,
    )
    pp.create_storage(net, 3, p_mw=0.4, max_e_mwh=1.0, min_e_mwh=0.2, index=5)
    create_flexible_load(net, 1, max_up_percent=20.0, max_down_percent=20.0)
    create_sop(net, [1, 4], sn_mva=0.3, loss_factor=0.02)
    profiles = xr.Dataset(coords={"time": [0.0, 1.0]})
    grid, line = GridData.from_net(net), Timeline.from_profiles(profiles)
    portfolio = Portfolio.from_net(net, grid, profiles, line)
    physics = get_formulation("branch_flow")
    m = pyo.ConcreteModel()
    injection = fixed_injection(grid.n_nodes, line, portfolio.loads, portfolio.generators)
    add_devices(m, portfolio, line, injection, physics)
    m.network = network_block(grid, physics, injection)
    m.bought = pyo.Objective(expr=sum(m.network.p_source[0, t] for t in range(2)))
    return m, grid, line


@pytest.mark.parametrize(
    ("block", "variable", "at_least", "said"),
    [
        ("sop", "k", 0.5, r"the ratings of 1 rows of sop_terminal cannot hold: sop_terminal 0 "),
        ("sop", "q", 0.5, r"the reactive power limits of .* sop_terminal 0 by about 0.2 Mvar"),
        ("generator", "p", 0.8, r"output limits of .*: sgen 7 by about 0.3 MW \(time 1.0\)"),
        ("generator", "q", 0.3, r"reactive power limits of .*: sgen 7 by about 0.1 Mvar"),
        ("storage", "discharge", 0.6, r"power limits of 1 rows of storage .*: storage 5 "),
        ("storage", "energy", 1.5, r"energy limits of .*: storage 5 by about 0.5 MWh"),
        ("flexible", "up", 0.3, r"shifting limits of .*: flexible_load 0 by about 0.1 MW"),
    ],
)
def test_device_whose_limit_is_the_reason(
    feeder: Any, block: str, variable: str, at_least: float, said: str
) -> None:
    m, grid, line = _with_devices(feeder)
    members = getattr(getattr(m, block), variable)
    m.wanted = pyo.Constraint(expr=members[next(iter(members))[0], 1] >= at_least)
    text = explain_limits(m, grid, line)
    assert re.search(said, text), text
    assert "voltage" not in text


def test_load_that_no_load_flow_carries(feeder: Any, explain: Any) -> None:
    """Beyond the nose of the PV curve no limit is to blame."""
    feeder.load["p_mw"] = 100.0
    feeder.bus[["min_vm_pu", "max_vm_pu"]] = [0.01, 10.0]
    feeder.line["max_i_ka"] = 9.0
    text = explain(feeder)
    assert re.search(r"(load flow has no solution|voltage limits).*bus 4 .*time 1.0", text)


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
