"""The AC replay: confirms what is exact, says how far off the rest is."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pyomo.environ as pyo
import pytest
import xarray as xr
from pandapower.toolbox import nets_equal

from pp_p2p.network.block import network_block
from pp_p2p.network.devices import fixed_injection, generator_block, storage_block
from pp_p2p.network.formulation import get_formulation
from pp_p2p.network.grid import GridData
from pp_p2p.network.portfolio import Portfolio
from pp_p2p.network.solution import FlowSolution, label_flows, losses_mw, read_flows
from pp_p2p.network.timeline import Timeline
from pp_p2p.operation.powerflow import certify
from pp_p2p.solve.run import run_solver


def _dispatch(
    net: Any, profiles: xr.Dataset, formulation: str = "branch_flow"
) -> tuple[GridData, Timeline, FlowSolution]:
    """Dispatch storage and curtailable generation for least losses."""
    grid, line = GridData.from_net(net), Timeline.from_profiles(profiles)
    devices = Portfolio.from_net(net, grid, profiles, line)
    m = pyo.ConcreteModel()
    injection = fixed_injection(grid.n_nodes, line, devices.loads, devices.generators)
    m.storage = storage_block(devices.storages, line, injection)
    m.generator = generator_block(devices.generators, line, injection)
    physics = get_formulation(formulation)
    m.network = network_block(grid, physics, injection)
    r, steps = grid.tree.r, range(line.n_steps)
    m.cost = pyo.Objective(
        expr=sum(r[k] * m.network.l[k, t] for k in range(grid.n_branches) for t in steps)
        if physics.has_losses
        else sum(m.network.p_source[s, t] for s in range(len(grid.source_node)) for t in steps)
    )
    run_solver(m)
    return grid, line, read_flows(m.network, injection, has_losses=physics.has_losses)


def _hours(net: Any, n: int = 4) -> xr.Dataset:
    factor = 0.5 + 0.5 * np.sin(np.arange(n) / n * np.pi)[:, None]
    return xr.Dataset(
        {
            "load_p_mw": (("time", "load"), factor * net.load.p_mw.to_numpy()),
            "load_q_mvar": (("time", "load"), factor * net.load.q_mvar.to_numpy()),
        },
        coords={"time": np.arange(float(n)), "load": net.load.index.to_numpy()},
    )


def _cigre() -> Any:
    net = pn.create_cigre_network_mv(with_der="all")
    net.bus[["min_vm_pu", "max_vm_pu"]] = [0.8, 1.2]
    net.trafo["max_loading_percent"] = 200.0
    net.line["max_loading_percent"] = 200.0
    net.sgen["controllable"] = True
    return net


def _case33() -> Any:
    net = pn.case33bw()
    pp.create_storage(net, 17, p_mw=0.4, max_e_mwh=1.0)
    pp.create_sgen(net, 32, p_mw=0.5, controllable=True)
    return net


def _simbench() -> Any:
    simbench = pytest.importorskip("simbench", reason="the SimBench grids are an extra (381 MB)")
    net = simbench.get_simbench_net("1-MV-rural--0-sw")
    net.sgen["controllable"] = True
    return net


@pytest.mark.filterwarnings("ignore::pp_p2p.errors.ConstantGeneration")
@pytest.mark.parametrize("make", [_cigre, _case33, _simbench], ids=["cigre", "case33", "simbench"])
def test_dispatch_is_confirmed_by_the_replay(make: Any) -> None:
    net = make()
    before = copy.deepcopy(net)
    grid, line, flows = _dispatch(net, _hours(net))
    certificate = certify(net, grid, flows, has_losses=True)
    assert certificate.exact, certificate
    assert certificate.relaxation_gap <= 1e-6 * certificate.flow_scale
    assert certificate.ac_vm_error_pu < 1e-5
    assert certificate.ac_loss_error_percent < 0.05
    assert certificate.ac_diverged == ()
    vm = label_flows(grid, flows, line).vm_pu.to_numpy()
    np.testing.assert_allclose(certificate.vm_ac_pu, vm, atol=1e-5)
    assert nets_equal(net, before)  # a certificate leaves the net alone


def test_replay_agrees_with_the_nets_own_power_flow(case33: Any) -> None:
    grid, _, flows = _dispatch(case33, xr.Dataset(coords={"time": [0.0]}))
    certificate = certify(case33, grid, flows, has_losses=True)
    pp.runpp(case33, numba=False)
    np.testing.assert_allclose(certificate.vm_ac_pu[0], case33.res_bus.vm_pu, atol=1e-7)
    assert losses_mw(grid, flows)[0] == pytest.approx(case33.res_line.pl_mw.sum(), rel=1e-5)


@pytest.mark.parametrize("make", [_cigre, _case33], ids=["cigre", "case33"])
def test_replay_is_pandapowers_power_flow(make: Any) -> None:
    """Any injections at the nodes, not only those of an optimum."""
    net = make()
    grid = GridData.from_net(net)
    rng, shape = np.random.default_rng(3), (5, grid.n_nodes)
    p, q = (rng.uniform(-0.1, 0.1, shape) / grid.s_base_mva for _ in range(2))
    none = np.zeros((5, grid.n_branches))
    sources = np.zeros((5, len(grid.source_node)))
    flows = FlowSolution(
        v=np.ones(shape), p=none, q=none, l=none, p_source=sources, q_source=sources,
        p_injected=p, q_injected=q,
    )  # fmt: skip
    certificate = certify(net, grid, flows, has_losses=True)
    for table in ("load", "sgen", "storage"):
        net[table]["in_service"] = False
    for step in range(5):
        at = copy.deepcopy(net)
        for k, bus in enumerate(grid.node_bus):
            power = grid.s_base_mva * np.array([p[step, k], q[step, k]])
            pp.create_sgen(at, bus, p_mw=power[0], q_mvar=power[1])
        pp.runpp(at, numba=False, tolerance_mva=1e-10)
        wanted = at.res_bus.vm_pu.loc[sorted(grid.bus_node)]
        np.testing.assert_allclose(certificate.vm_ac_pu[step], wanted, atol=1e-8, rtol=0)


def test_inexact_relaxation_is_said(case33: Any) -> None:
    """Maximising the exchange inflates the currents; every figure of the certificate sees it."""
    profiles = xr.Dataset(coords={"time": [0.0]})
    grid, line = GridData.from_net(case33), Timeline.from_profiles(profiles)
    devices = Portfolio.from_net(case33, grid, profiles, line)
    injection = fixed_injection(grid.n_nodes, line, devices.loads, devices.generators)
    m = pyo.ConcreteModel()
    m.network = network_block(grid, get_formulation("branch_flow"), injection)
    m.cost = pyo.Objective(expr=-m.network.p_source[0, 0])
    run_solver(m)
    flows = read_flows(m.network, injection, has_losses=True)
    certificate = certify(case33, grid, flows, has_losses=True)
    assert not certificate.exact
    assert certificate.relaxation_gap > 1e-3
    assert certificate.ac_vm_error_pu > 1e-4
    assert certificate.ac_loss_error_percent > 1.0


@pytest.mark.parametrize("spoil", ["v", "l"])
def test_wrong_numbers_are_not_confirmed(case33: Any, spoil: str) -> None:
    grid, _, flows = _dispatch(case33, xr.Dataset(coords={"time": [0.0]}))
    wrong = dataclasses.replace(flows, **{spoil: getattr(flows, spoil) * 1.002})
    assert certify(case33, grid, flows, has_losses=True).exact
    assert not certify(case33, grid, wrong, has_losses=True).exact


def test_lossless_formulation_has_no_gap_but_an_error(case33: Any) -> None:
    grid, _, flows = _dispatch(case33, xr.Dataset(coords={"time": [0.0]}), "lindistflow")
    certificate = certify(case33, grid, flows, has_losses=False)
    assert certificate.relaxation_gap == 0.0
    assert certificate.ac_loss_error_percent == pytest.approx(100.0)
    assert not certificate.exact


def test_step_without_a_power_flow_is_named(case33: Any) -> None:
    grid, _, flows = _dispatch(case33, _hours(case33, 3))
    p = flows.p_injected.copy()
    p[1] *= 50.0  # no operating point exists
    certificate = certify(case33, grid, dataclasses.replace(flows, p_injected=p), has_losses=True)
    assert certificate.ac_diverged == (1,)
    assert certificate.ac_vm_error_pu == np.inf
    assert certificate.ac_loss_error_percent == np.inf
    assert not certificate.exact
    assert np.isnan(certificate.vm_ac_pu[1]).all()
    assert np.isfinite(certificate.vm_ac_pu[[0, 2]]).all()
