"""LinDistFlow evaluated equals LinDistFlow solved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks as pn

from pp_p2p.network.grid import GridData
from pp_p2p.network.linear_flow import LinearFlow


def _evaluated(net: Any) -> tuple[GridData, Any, Any]:
    grid = GridData.from_net(net)
    flow = LinearFlow.of_tree(grid.tree, grid.n_nodes, grid.source_node, grid.source_vm)
    at = grid.nodes_of(net.load.bus.to_numpy())
    p = np.bincount(at, net.load.p_mw * net.load.scaling / grid.s_base_mva, grid.n_nodes)
    q = np.bincount(at, net.load.q_mvar * net.load.scaling / grid.s_base_mva, grid.n_nodes)
    flows = flow.flows(p, q)
    return grid, flows, flow.squared_voltage(*flows)


def test_33_bus_feeder(solve: Callable[..., Any], unlimit: Callable[[Any], Any]) -> None:
    net = unlimit(pn.case33bw())
    solved = solve(net, "lindistflow")
    _, (p, q), v = _evaluated(net)
    np.testing.assert_allclose(p, solved.flows.p[0], atol=1e-7)
    np.testing.assert_allclose(q, solved.flows.q[0], atol=1e-7)
    np.testing.assert_allclose(v, solved.flows.v[0], atol=1e-7)


def test_transformer_off_its_neutral_tap(
    solve: Callable[..., Any], unlimit: Callable[[Any], Any]
) -> None:
    net = pp.create_empty_network(sn_mva=1.0)
    high, low, end = (pp.create_bus(net, kv) for kv in (20.0, 0.4, 0.4))
    pp.create_ext_grid(net, high, vm_pu=1.02)
    pp.create_transformer(net, high, low, std_type="0.4 MVA 20/0.4 kV", tap_pos=2)
    net.trafo[["i0_percent", "pfe_kw"]] = 0.0  # shunts are not part of the evaluation
    pp.create_line_from_parameters(net, low, end, 0.1, 0.2, 0.08, 0.0, 1.0)
    pp.create_load(net, low, p_mw=0.05, q_mvar=0.01)
    pp.create_load(net, end, p_mw=0.08, q_mvar=0.03)
    solved = solve(unlimit(net), "lindistflow")
    _, _, v = _evaluated(net)
    np.testing.assert_allclose(v, solved.flows.v[0], atol=1e-7)
