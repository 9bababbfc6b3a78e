"""The result of a reconfiguration: configurations replayed in pandapower, labelled, SI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from pp_p2p.errors import NoSolution
from pp_p2p.names import BUS, LINE, TRAFO
from pp_p2p.network.branches import Array
from pp_p2p.network.portfolio import Portfolio
from pp_p2p.network.switching import SwitchGraph
from pp_p2p.network.timeline import Timeline
from pp_p2p.network.tree_flow import solve_tree
from pp_p2p.operation.powerflow import LOSS_FLOOR_MW
from pp_p2p.operation.switching_replay import (
    SOURCE_SLACK,
    Operation,
    State,
    SwitchingBench,
    switching_order,
)

SWITCHABLE = "switchable"
OPERATION = "operation"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Configurations (step, edge), power out of each node (node, step), objective and proof.

    `vm` (node, step) and `loss` (step,), p.u., are the model's own; `devices` is its schedule.
    `exact` tells whether the bound is of exact AC losses for given injections.
    """

    closed: Array
    load: Array
    vm: Array
    loss: Array
    objective: float
    bound: float
    relaxation_gap: float
    exact: bool
    seconds: float
    iterations: int
    termination: str
    solver: str
    history: tuple[tuple[float, float, float], ...]
    devices: xr.Dataset


@dataclass(frozen=True, kw_only=True)
class Replay:
    """Steps as pandapower solved them, and the operations between them in a safe order.

    Voltages `vm` (step, bus) of `buses`; node positions `nodes` (bus,); loadings (step, row).
    """

    buses: Array
    nodes: Array
    vm: Array
    line_loading: Array
    trafo_loading: Array
    p_source: Array
    q_source: Array
    loss_mw: Array
    excess: float
    diverged: tuple[int, ...]
    operations: list[Operation]
    n_operations: Array
    line_index: Array
    trafo_index: Array

    def sources_hold(self, graph: SwitchGraph) -> bool:
        """Tell whether external grids stay within their limits; diverged steps do not count."""
        p, q = (power / graph.s_base_mva for power in (self.p_source, self.q_source))
        return not bool((graph.root_limits.excess(p, q) > SOURCE_SLACK).any())

    def vm_error(self, vm: Array) -> float:
        """Return the largest difference to the voltages (node, step) of the model, p.u."""
        if self.diverged:
            return float("inf")
        return float(np.abs(self.vm - vm[self.nodes].T).max())

    def loss_error(self, loss_mw: Array) -> float:
        """Return the largest difference to the losses (step,) of the model, %."""
        if self.diverged:
            return float("inf")
        return float(
            (np.abs(loss_mw - self.loss_mw) / np.maximum(self.loss_mw, LOSS_FLOOR_MW)).max() * 100
        )


def replay(net: Any, graph: SwitchGraph, closed: Array, load: Array, line: Timeline) -> Replay:
    """Run every step and every operation before it through pandapower.

    Parameters
    ----------
    net : pandapowerNet
        Is not changed.
    graph : SwitchGraph
    closed : (step, edge) of bool
    load : (node, step) of complex
        Power taken out of each node, p.u.
    line : Timeline
    """
    bench = SwitchingBench(net, graph)
    states: list[State | None] = []
    operations: list[Operation] = []
    counts = np.zeros(line.n_steps, dtype=np.int64)
    first = set(line.first_steps().tolist())
    for t in range(line.n_steps):
        before = graph.closed if t in first else closed[t - 1]
        counts[t] = int((before != closed[t]).sum())
        if counts[t]:
            operations += switching_order(bench, before, closed[t], load[:, t], t)
        states.append(bench.run(closed[t], load[:, t]))
    if not any(states):
        raise NoSolution(
            "the AC power flow of no step converges (voltage collapse): the loads are beyond what "
            "the network can carry in this configuration"
        )
    known = next(state for state in states if state is not None)

    def rows(name: str) -> Array:
        blank = np.full(np.shape(getattr(known, name)), np.nan)
        return np.array([blank if s is None else getattr(s, name) for s in states])

    return Replay(
        buses=bench.buses,
        nodes=np.array([graph.bus_node[int(bus)] for bus in bench.buses]),
        vm=rows("vm"),
        line_loading=rows("line_loading"),
        trafo_loading=rows("trafo_loading"),
        p_source=rows("p_source"),
        q_source=rows("q_source"),
        loss_mw=rows("loss_mw"),
        excess=sum(s.excess for s in states if s is not None),
        diverged=tuple(t for t, s in enumerate(states) if s is None),
        operations=operations,
        n_operations=counts,
        line_index=net.line.index.to_numpy(np.int64),
        trafo_index=net.trafo.index.to_numpy(np.int64),
    )


def label_result(graph: SwitchGraph, line: Timeline, closed: Array, replayed: Replay) -> xr.Dataset:
    """Return configurations, operations and the AC state of every step as a dataset."""
    movable = np.flatnonzero(graph.switchable)
    names = np.array([graph.name(int(e)) for e in movable], dtype=object).astype(str)
    ds = xr.Dataset(coords=dict(line.coords))

    def put(name: str, values: Array, dim: str | None = None, labels: Array | None = None) -> None:
        dims = line.dims if dim is None else (*line.dims, dim)
        ds[name] = (dims, values.reshape(*line.shape, *values.shape[1:]))
        if labels is not None:
            ds.coords[dim] = labels

    put("closed", closed[:, movable].astype(np.int8), SWITCHABLE, names)
    ds.coords["element"] = (SWITCHABLE, graph.element[movable].astype(str))
    ds.coords["element_index"] = (SWITCHABLE, graph.index[movable].astype(np.int64))
    ds["closed_before"] = (SWITCHABLE, graph.closed[movable].astype(np.int8))
    opened = [", ".join(names[~row[movable]].tolist()) for row in closed]
    put("open_elements", np.array(opened, dtype=object).astype(str))
    put("operations", replayed.n_operations)
    put("vm_pu", replayed.vm, BUS, replayed.buses)
    put("line_loading_percent", replayed.line_loading, LINE, replayed.line_index)
    if len(replayed.trafo_index):
        put("trafo_loading_percent", replayed.trafo_loading, TRAFO, replayed.trafo_index)
    put("p_source_mw", replayed.p_source, "ext_grid", graph.root_ext_grid)
    put("q_source_mvar", replayed.q_source, "ext_grid", graph.root_ext_grid)
    put("loss_mw", replayed.loss_mw)
    return ds.merge(_label_operations(graph, line, replayed.operations))


def _label_operations(
    graph: SwitchGraph, line: Timeline, operations: list[Operation]
) -> xr.Dataset:
    texts = [line.label(operation.step) for operation in operations]
    columns = {
        "operation_step": np.array([o.step for o in operations], dtype=np.int64),
        "operation_time": np.array(texts, dtype=object).astype(str),
        "operation_element": np.array(
            [graph.name(o.edge) for o in operations], dtype=object
        ).astype(str),
        "operation_closes": np.array([o.closes for o in operations], dtype=np.int8),
        "operation_vm_min_pu": np.array([o.vm_min_pu for o in operations], dtype=float),
        "operation_loading_max_percent": np.array(
            [o.loading_max_percent for o in operations], dtype=float
        ),
        "operation_safe": np.array([o.safe for o in operations], dtype=np.int8),
    }
    return xr.Dataset({name: (OPERATION, values) for name, values in columns.items()})


def given_devices(graph: SwitchGraph, line: Timeline, portfolio: Portfolio) -> xr.Dataset:
    """Return the schedule of generators that feed in what is given."""
    generators, base = portfolio.generators, graph.s_base_mva
    shaped = {
        name: (("sgen", *line.dims), (values.T * base).reshape(-1, *line.shape))
        for name, values in (
            ("sgen_p_mw", generators.available),
            ("sgen_q_mvar", generators.q),
            ("sgen_available_mw", generators.available),
        )
    }
    return xr.Dataset(shaped, coords={**line.coords, "sgen": generators.index})


def tree_flows(graph: SwitchGraph, closed: Array, load: Array) -> tuple[Array, Array]:
    """Return voltages (node, step) and losses (step,), p.u., of configurations (step, edge)."""
    vm, loss = np.full(load.shape, np.nan), np.full(load.shape[1], np.nan)
    for configuration in np.unique(closed, axis=0):
        steps = np.flatnonzero((closed == configuration).all(axis=1))
        flow = solve_tree(graph, configuration, load[:, steps])
        if flow is not None:
            vm[:, steps], loss[steps] = flow.vm(), flow.loss
    return vm, loss
