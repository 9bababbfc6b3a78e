"""A net solved by us and by pandapower, side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandapower as pp
import pandas as pd
import pyomo.environ as pyo
import pytest
import xarray as xr

from pp_p2p.network.block import network_block
from pp_p2p.network.devices import fixed_injection
from pp_p2p.network.formulation import get_formulation
from pp_p2p.network.grid import GridData
from pp_p2p.network.portfolio import Portfolio
from pp_p2p.network.solution import FlowSolution, label_flows, read_flows
from pp_p2p.network.tightening import PLAIN, Tightening
from pp_p2p.network.timeline import Timeline
from pp_p2p.solve.run import run_solver


@dataclass(frozen=True, kw_only=True)
class Solved:
    """A net's load flow by our formulation, with what it came from."""

    grid: GridData
    line: Timeline
    flows: FlowSolution
    labelled: xr.Dataset
    model: Any


def _one_step() -> xr.Dataset:
    return xr.Dataset(coords={"time": pd.date_range("2020", periods=1)})


def _solve(
    net: Any,
    formulation: str = "branch_flow",
    profiles: Any = None,
    tightening: Tightening = PLAIN,
) -> Solved:
    """Solve the load flow of `net` with fixed injections and least losses."""
    profiles = _one_step() if profiles is None else profiles
    grid, line = GridData.from_net(net), Timeline.from_profiles(profiles)
    portfolio = Portfolio.from_net(net, grid, profiles, line)
    injection = fixed_injection(grid.n_nodes, line, portfolio.loads, portfolio.generators)
    # no problem is asked here: what could be curtailed or stored runs at its row's power
    free = portfolio.generators.curtailable
    available = portfolio.generators.available[:, free].T
    np.add.at(injection.p, portfolio.generators.node[free], available)
    stored = net.storage.loc[portfolio.storages.index]
    for power, column in ((injection.p, "p_mw"), (injection.q, "q_mvar")):
        drawn = (stored[column] * stored.scaling).to_numpy(float)[:, None] / grid.s_base_mva
        np.add.at(power, portfolio.storages.node, -drawn)
    model = pyo.ConcreteModel()
    physics = get_formulation(formulation)
    model.network = network_block(grid, physics, injection, tightening)
    r = grid.tree.r
    currents = model.network.l.items() if physics.has_losses else ()
    slack = model.network.p_source.values()
    model.loss = pyo.Objective(
        expr=sum(r[k] * current for (k, _), current in currents)
        if physics.has_losses and grid.n_branches
        else sum(slack)
    )
    run_solver(model)
    flows = read_flows(model.network, injection, has_losses=physics.has_losses)
    labelled = label_flows(grid, flows, line)
    return Solved(grid=grid, line=line, flows=flows, labelled=labelled, model=model)


def _unlimit(net: Any) -> Any:
    """Take the limits away, but not the ratings: a power flow has none."""
    net.bus[["min_vm_pu", "max_vm_pu"]] = [0.5, 1.5]
    net.line["max_loading_percent"] = 1e6
    net.trafo["max_loading_percent"] = 1e6
    net.ext_grid = net.ext_grid.drop(columns=[c for c in net.ext_grid if c[:4] in ("min_", "max_")])
    return net


def _compare(net: Any) -> Solved:
    """Hold voltages, slack power, losses and loadings against ``pandapower.runpp``."""
    pp.runpp(net, numba=False, tolerance_mva=1e-10)
    solved = _solve(net)
    ds = solved.labelled
    energised = net.res_bus.index[net.res_bus.vm_pu.notna()]
    assert set(ds.bus.to_numpy().tolist()) == set(energised.tolist())
    vm = net.res_bus.vm_pu.loc[ds.bus.to_numpy()].to_numpy()
    np.testing.assert_allclose(ds.vm_pu.to_numpy()[0], vm, rtol=0, atol=1e-6)
    for ours, theirs in (("p_source_mw", "p_mw"), ("q_source_mvar", "q_mvar")):
        total = float(net.res_ext_grid[theirs].sum())
        scale = float(np.hypot(net.res_ext_grid.p_mw.sum(), net.res_ext_grid.q_mvar.sum()))
        assert float(ds[ours].sum()) == pytest.approx(total, abs=1e-6 * scale + 1e-9)
    _compare_loadings(net, solved)
    return solved


def _compare_loadings(net: Any, solved: Solved) -> None:
    for element in ("line", "trafo"):
        name = f"{element}_loading_percent"
        if name not in solved.labelled:
            continue
        theirs = net[f"res_{element}"].loading_percent.loc[solved.labelled[element].to_numpy()]
        ours = solved.labelled[name].to_numpy()[0]
        rated = ours > 0.0  # an element without a rating has no loading
        np.testing.assert_allclose(ours[rated], theirs.to_numpy()[rated], rtol=0, atol=1e-4)
        assert np.nan_to_num(theirs.to_numpy()[~rated]) == pytest.approx(0.0, abs=0.5)


@pytest.fixture(scope="session")
def solve() -> Callable[..., Solved]:
    return _solve


@pytest.fixture(scope="session")
def unlimit() -> Callable[[Any], Any]:
    return _unlimit


@pytest.fixture(scope="session")
def compare() -> Callable[[Any], Solved]:
    """Return a function that solves an unlimited net and compares it with ``runpp``."""
    return lambda net: _compare(_unlimit(net))
