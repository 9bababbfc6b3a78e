"""The certificate's AC replay of a dispatched day, against one power flow of pandapower a step."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from registry import Outcome, benchmark, in_own_process


def _day(steps: int) -> tuple[Any, Any, Any]:
    import pandapower.networks as pn

    from pp_p2p.network.grid import GridData
    from pp_p2p.network.solution import FlowSolution

    net = pn.case33bw()
    grid = GridData.from_net(net)
    level = np.random.default_rng(0).uniform(0.3, 1.1, (steps, grid.n_nodes))
    power = np.zeros((2, grid.n_nodes))
    at = grid.nodes_of(net.load.bus.to_numpy())
    np.add.at(power[0], at, -net.load.p_mw.to_numpy() / grid.s_base_mva)
    np.add.at(power[1], at, -net.load.q_mvar.to_numpy() / grid.s_base_mva)
    branch, source = np.zeros((steps, grid.n_branches)), np.zeros((steps, 1))
    flows = FlowSolution(
        v=np.ones((steps, grid.n_nodes)),
        p=branch,
        q=branch,
        l=branch,
        p_source=source,
        q_source=source,
        p_injected=level * power[0],
        q_injected=level * power[1],
    )
    return net, grid, flows


def _ours(steps: int) -> Callable[[], Any]:
    from pp_p2p.operation.powerflow import certify

    net, grid, flows = _day(steps)
    certify(net, grid, flows, has_losses=True)
    return lambda: certify(net, grid, flows, has_losses=True).vm_ac_pu


def _runpp(steps: int) -> Callable[[], Any]:
    import pandapower as pp

    net, grid, flows = _day(steps)
    net.load["in_service"] = False
    rows = [pp.create_load(net, int(bus), p_mw=0.0) for bus in grid.node_bus]
    buses, numba = sorted(grid.bus_node), find_spec("numba") is not None

    def call() -> Any:
        vm = np.empty((steps, len(buses)))
        for step in range(steps):
            net.load.loc[rows, "p_mw"] = -flows.p_injected[step] * grid.s_base_mva
            net.load.loc[rows, "q_mvar"] = -flows.q_injected[step] * grid.s_base_mva
            pp.runpp(net, numba=numba)
            vm[step] = net.res_bus.vm_pu.loc[buses].to_numpy()
        return vm

    call()
    return call


@benchmark(
    "ac_replay", peer="pandapower runpp, step by step", full={"steps": 24}, tiny={"steps": 2}
)
def replay_against_runpp(*, steps: int) -> Outcome:
    ours = in_own_process(_ours, repeat=9, steps=steps)
    theirs = in_own_process(_runpp, repeat=3, steps=steps)
    return Outcome(
        ours=ours.seconds,
        theirs=theirs.seconds,
        difference=float(np.abs(ours.value - theirs.value).max()),
        limit=1e-8,
        of="p.u.",
        note=f"{steps} steps of 33 buses, the comparison with the optimum included",
    )
