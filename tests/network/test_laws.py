"""What must hold between formulations and the exact load flow, whatever the numbers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pandapower as pp
import pandas as pd
import pyomo.environ as pyo
import pytest
import xarray as xr

from pp_p2p.errors import InvalidInput
from pp_p2p.network.block import network_block
from pp_p2p.network.devices import fixed_injection
from pp_p2p.network.formulation import get_formulation
from pp_p2p.network.grid import GridData
from pp_p2p.network.layout import describe_net
from pp_p2p.network.portfolio import Portfolio
from pp_p2p.network.solution import relaxation_gaps
from pp_p2p.network.tightening import Tightening
from pp_p2p.network.timeline import Timeline

Solve = Callable[..., Any]

CONVEX = ("branch_flow", "lindistflow")
"""Formulations that a convex solver takes; the exact one is a test of its own."""


def _vm(solve: Solve, net: Any, formulation: str) -> Any:
    return solve(net, formulation).labelled.vm_pu.to_numpy()[0]


@pytest.mark.parametrize("scale", [1e-3, 1e-5])
def test_lossless_limit_is_lindistflow(case33: Any, solve: Solve, scale: float) -> None:
    """With r, x -> 0 the two differ by the square of the impedance."""
    case33.line[["r_ohm_per_km", "x_ohm_per_km"]] *= scale
    conic, linear = (_vm(solve, case33, f) for f in ("branch_flow", "lindistflow"))
    assert np.abs(conic - linear).max() < 1.0 * scale**2 + 2e-9
    solved = solve(case33, "lindistflow").labelled
    assert solved.p_source_mw.item() == pytest.approx(case33.load.p_mw.sum())
    assert solved.loss_mw.item() == 0.0


@pytest.mark.parametrize("level", [0.3, 1.0, 1.5])
def test_lindistflow_is_above_branch_flow_without_generation(
    case33: Any, solve: Solve, level: float
) -> None:
    case33.bus["min_vm_pu"] = 0.5
    case33.load["scaling"] = level
    conic, linear = (_vm(solve, case33, f) for f in ("branch_flow", "lindistflow"))
    assert (linear >= conic - 1e-9).all()
    assert (linear[1:] > conic[1:]).all()


@pytest.mark.parametrize("infeed", [0.0, 3.0])
def test_lossless_voltage_is_that_of_lindistflow(case33: Any, solve: Solve, infeed: float) -> None:
    case33.bus[["min_vm_pu", "max_vm_pu"]] = [0.5, 1.5]
    pp.create_sgen(case33, 17, p_mw=infeed)
    tight = solve(case33, tightening=Tightening(voltage=True))
    linear = solve(case33, "lindistflow").flows.v[0]
    v_hat = np.array([v.value for v in tight.model.network.v_hat.values()])
    np.testing.assert_allclose(v_hat[1:], linear[1:], rtol=0, atol=1e-7)
    assert (v_hat[1:] > tight.flows.v[0, 1:]).all()


@pytest.mark.parametrize("infeed", [0.0, 0.2, 2.0])
def test_relaxation_loses_what_the_exact_flow_loses(
    case33: Any, solve: Solve, infeed: float
) -> None:
    case33.bus["max_vm_pu"] = 1.2
    for bus in (17, 32):
        pp.create_sgen(case33, bus, p_mw=infeed)
    exact = copy.deepcopy(case33)
    pp.runpp(exact, numba=False)
    solved = solve(case33).labelled
    loss = exact.res_line.pl_mw.sum()
    assert solved.loss_mw.item() <= loss * (1 + 1e-6)
    assert solved.loss_mw.item() == pytest.approx(loss, rel=1e-5)


def test_relaxation_is_a_bound_where_it_is_loose(case33: Any, solve: Solve) -> None:
    """An upper voltage limit that binds under reverse flow: currents are inflated to meet it."""
    pp.create_sgen(case33, 17, p_mw=2.0)
    case33.bus["max_vm_pu"] = 1.01
    solved = solve(case33)
    assert relaxation_gaps(solved.grid, solved.flows).max() > 1e-4
    assert solved.labelled.vm_pu.max() <= 1.01 + 1e-6


def test_steps_do_not_see_each_other(case33: Any, solve: Solve) -> None:
    """Three steps at once are the three steps one by one."""
    factors = np.array([0.2, 1.0, 0.7])
    p = case33.load.p_mw.to_numpy() * factors[:, None]
    profiles = xr.Dataset(
        {"load_p_mw": (("time", "load"), p)},
        coords={"time": pd.date_range("2020", periods=3, freq="h"), "load": case33.load.index},
    )
    together = solve(case33, profiles=profiles).labelled
    for step, factor in enumerate(factors):
        alone = copy.deepcopy(case33)
        alone.load["p_mw"] *= factor
        np.testing.assert_allclose(
            together.vm_pu.isel(time=step), solve(alone).labelled.vm_pu[0], atol=1e-7
        )


@pytest.mark.parametrize("formulation", CONVEX)
def test_every_variable_has_finite_bounds(case33: Any, formulation: str) -> None:
    profiles = xr.Dataset(coords={"time": [0.0, 1.0]})
    grid, line = GridData.from_net(case33), Timeline.from_profiles(profiles)
    devices = Portfolio.from_net(case33, grid, profiles, line)
    injection = fixed_injection(grid.n_nodes, line, devices.loads, devices.generators)
    model = pyo.ConcreteModel()
    model.network = network_block(grid, get_formulation(formulation), injection)
    for variable in model.component_data_objects(pyo.Var):
        assert all(bound is not None and np.isfinite(bound) for bound in variable.bounds)
    per_step = {"balance_p": 33, "balance_q": 33, "voltage_drop": 32}
    for name, count in per_step.items():
        assert len(model.network.component(name)) == 2 * count


def test_unknown_formulation() -> None:
    with pytest.raises(InvalidInput, match="choose one of .*branch_flow, lindistflow"):
        get_formulation("dc")


@pytest.mark.parametrize("formulation", CONVEX)
def test_current_limit_holds(feeder: Any, solve: Solve, formulation: str) -> None:
    """0.26 kA carry the 4.5 MVA of the first line with room, so a solve goes through."""
    feeder.line["max_i_ka"] = 0.30
    loading = solve(feeder, formulation).labelled.line_loading_percent.to_numpy()
    assert loading.max() < 100.0


def test_picture_data_of_a_net(feeder: Any) -> None:
    pp.create_bus(feeder, 10.0)
    pp.create_line_from_parameters(feeder, 4, 5, 1.0, 0.1, 0.1, 0.0, 1.0, in_service=False)
    ds = describe_net(feeder)
    assert ds.closed.to_numpy().tolist() == [1, 1, 1, 1, 0]
    assert ds.x.to_numpy()[:5].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert np.isnan(ds.x.to_numpy()[5])
    assert ds.load_mw.to_numpy().tolist() == [0.0, 1.0, 1.0, 1.0, 1.0, 0.0]


def test_exact_formulation_is_the_power_flow(feeder: Any, solve: Solve) -> None:
    """Every value is there, also of what the writer's presolve eliminates."""
    pp.runpp(feeder, numba=False)
    solved = solve(feeder, "ac")
    for values in (solved.flows.v, solved.flows.l, solved.flows.p, solved.flows.q):
        assert np.isfinite(values).all()
    np.testing.assert_allclose(
        solved.labelled.vm_pu.to_numpy()[0], feeder.res_bus.vm_pu, rtol=0, atol=1e-6
    )
    np.testing.assert_allclose(
        solved.labelled.line_loading_percent.to_numpy()[0],
        feeder.res_line.loading_percent,
        atol=1e-3,
    )
