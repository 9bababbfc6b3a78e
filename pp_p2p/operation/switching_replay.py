"""Configurations replayed in pandapower, step by step, and the safe order of operations.

Between two configurations switches close before they open, so that nothing is ever without supply:
each exchange passes through a state with one loop. Every state on the way is solved by
pandapower's Newton power flow and held to the limits of voltage and loading; of the possible
orders the first in which every state holds is taken.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandapower as pp
from pandapower.powerflow import LoadflowNotConverged

from pp_p2p.network.branches import UNLIMITED_KA, Array
from pp_p2p.network.switch_tables import set_closed
from pp_p2p.network.switching import SwitchGraph
from pp_p2p.network.tree_flow import shape_of

VM_SLACK: Final = 1e-6
"""Voltages outside their limits by less (p.u.) count as within."""

SOURCE_SLACK: Final = 1e-6
"""Power of an external grid outside its limits by less (p.u.) counts as within."""

LOADING_SLACK: Final = 1e-4
"""Loading beyond its limit by less (%) counts as within."""

MOST_ORDERS: Final = 200
"""States that are tried for one change of configuration."""


@dataclass(frozen=True, kw_only=True)
class State:
    """A network state that pandapower solved: `vm` (bus,), loadings, exchange and losses, SI.

    `excess` is by how much limits are broken: p.u. of voltage and of external grids' power, and
    loading / 100 %, summed.
    """

    vm: Array
    line_loading: Array
    trafo_loading: Array
    p_source: Array
    q_source: Array
    loss_mw: float
    excess: float


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation: its step, edge, and what the network is like after it."""

    step: int
    edge: int
    closes: bool
    vm_min_pu: float
    loading_max_percent: float
    safe: bool


class SwitchingBench:
    """A copy of the net whose switches are set and whose injections are given per node."""

    def __init__(self, net: Any, graph: SwitchGraph) -> None:
        self.graph = graph
        self.net = copy.deepcopy(net)
        for table in ("load", "sgen", "storage"):
            self.net[table]["in_service"] = False
        self.rows = [pp.create_load(self.net, int(bus), p_mw=0.0) for bus in graph.node_bus]
        self.buses = np.array(sorted(graph.bus_node), dtype=np.int64)
        nodes = np.array([graph.bus_node[int(bus)] for bus in self.buses])
        self.vm_min, self.vm_max = graph.vm_min[nodes].copy(), graph.vm_max[nodes].copy()
        at_root = np.isin(nodes, graph.root)
        self.vm_min[at_root], self.vm_max[at_root] = 0.0, np.inf
        feeds = np.array([graph.bus_node.get(int(bus), -1) for bus in net.ext_grid.bus])
        feeds[~net.ext_grid.in_service.to_numpy(bool)] = -1
        self.ext_grids = net.ext_grid.index[feeds >= 0]
        self.rows_of_root = (graph.root[:, None] == feeds[feeds >= 0]).astype(float)
        self.is_set: Array | None = None
        self.line_limit = _limits(self.net.line, "max_i_ka")
        self.trafo_limit = _limits(self.net.trafo, "sn_mva")
        self.start_pu = _start_of(self.net)

    def run(self, closed: Array, load: Array) -> State | None:
        """Return the state with the edges `closed` and the `load` (node,) p.u. taken out.

        None where the power flow does not converge.
        """
        self._set(closed)
        power = load * self.graph.s_base_mva
        self.net.load.loc[self.rows, "p_mw"] = power.real
        self.net.load.loc[self.rows, "q_mvar"] = power.imag
        try:
            pp.runpp(self.net, numba=False, init_vm_pu=self.start_pu)
        except LoadflowNotConverged:
            return None
        net = self.net
        vm = net.res_bus.vm_pu.loc[self.buses].to_numpy(float)
        line = np.nan_to_num(net.res_line.loading_percent.to_numpy(float))
        trafo = np.nan_to_num(net.res_trafo.loading_percent.to_numpy(float))
        p_source, q_source = (
            self.rows_of_root @ net.res_ext_grid.loc[self.ext_grids, name].to_numpy(float)
            for name in ("p_mw", "q_mvar")
        )
        if np.isnan(vm).any():  # a bus without supply
            return None
        low = np.maximum(self.vm_min - vm - VM_SLACK, 0.0).sum()
        high = np.maximum(vm - self.vm_max - VM_SLACK, 0.0).sum()
        over = np.maximum(line - self.line_limit - LOADING_SLACK, 0.0).sum()
        over += np.maximum(trafo - self.trafo_limit - LOADING_SLACK, 0.0).sum()
        base = self.graph.s_base_mva
        beyond = self.graph.root_limits.excess(p_source / base, q_source / base)
        outside = np.maximum(beyond - SOURCE_SLACK, 0.0).sum()
        return State(
            vm=vm,
            line_loading=line,
            trafo_loading=trafo,
            p_source=p_source,
            q_source=q_source,
            loss_mw=float(net.res_ext_grid.p_mw.sum() - power.real.sum()),
            excess=float(low + high + over / 100.0 + outside),
        )

    def _set(self, closed: Array) -> None:
        graph = self.graph
        changed = graph.switchable if self.is_set is None else closed != self.is_set
        for e in np.flatnonzero(changed).tolist():
            set_closed(self.net, str(graph.element[e]), int(graph.index[e]), closed=bool(closed[e]))
        self.is_set = closed.copy()


def switching_order(
    bench: SwitchingBench, before: Array, after: Array, load: Array, step: int
) -> list[Operation]:
    """Return the operations from one configuration to the next, close before open.

    Every state is solved with the `load` (node,) of the step that begins. Where no order keeps
    every state within the limits, the order with the fewest unsafe states that was met is
    returned, and says which.
    """
    closing = np.flatnonzero(after & ~before).tolist()
    opening = np.flatnonzero(before & ~after).tolist()
    budget = [MOST_ORDERS]
    best: list[Operation] | None = None
    for order in _orders(bench, before, closing, opening, (load, step), budget):
        unsafe = sum(not operation.safe for operation in order)
        if best is None or unsafe < sum(not operation.safe for operation in best):
            best = order
        if unsafe == 0 or budget[0] <= 0:
            break
    return best or []


def _orders(
    bench: SwitchingBench,
    now: Array,
    closing: list[int],
    opening: list[int],
    at: tuple[Array, int],
    budget: list[int],
) -> Iterator[list[Operation]]:
    """Yield orders of operations, one exchange at a time; `budget` counts power flows down."""
    if not closing and not opening:
        yield []
        return
    for first, second in _exchanges(bench.graph, now, closing, opening):
        taken, state = [], now.copy()
        for edge, closes in ((first, True), (second, False)):
            if edge is None:
                continue
            state[edge] = closes
            budget[0] -= 1
            taken.append(_operation(bench, state, edge, at))
        rest_closing = [e for e in closing if e != first]
        rest_opening = [e for e in opening if e != second]
        for rest in _orders(bench, state, rest_closing, rest_opening, at, budget):
            yield [*taken, *rest]
            if budget[0] <= 0:
                return


def _exchanges(
    graph: SwitchGraph, now: Array, closing: list[int], opening: list[int]
) -> Iterator[tuple[int | None, int | None]]:
    """Yield what may be closed and then opened next so that a tree remains."""
    if not closing:
        yield from ((None, e) for e in opening)
        return
    for c in closing:
        with_loop = now.copy()
        with_loop[c] = True
        if shape_of(graph, with_loop) is not None:  # joins what was apart: nothing to open
            yield c, None
            continue
        for o in opening:
            with_loop[o] = False
            if shape_of(graph, with_loop) is not None or len(closing) != len(opening):
                yield c, o
            with_loop[o] = True


def _operation(bench: SwitchingBench, state: Array, edge: int, at: tuple[Array, int]) -> Operation:
    load, step = at
    solved = bench.run(state, load)
    closes = bool(state[edge])
    if solved is None:
        nan = float("nan")
        return Operation(
            step=step, edge=edge, closes=closes, vm_min_pu=nan, loading_max_percent=nan, safe=False
        )
    rated = np.concatenate(
        [
            solved.line_loading[np.isfinite(bench.line_limit)],
            solved.trafo_loading[np.isfinite(bench.trafo_limit)],
        ]
    )
    return Operation(
        step=step,
        edge=edge,
        closes=closes,
        vm_min_pu=float(solved.vm.min()),
        loading_max_percent=float(rated.max(initial=0.0)),
        safe=solved.excess == 0.0,
    )


def _start_of(net: Any) -> float | None:
    """Return the voltage that pandapower begins at; its own queries take half of a power flow.

    None where there is more to ask than external grids and generators.
    """
    converters = net.get("vsc")
    if converters is not None and len(converters):
        return None
    tables = (net.ext_grid, net.gen)
    return float(np.mean(np.concatenate([t.vm_pu[t.in_service.astype(bool)] for t in tables])))


def _limits(table: Any, rating: str) -> Array:
    """Return the loading limit (row,), %; ``inf`` where no rating is known."""
    known = table[rating].astype(float).to_numpy(float)
    limit = np.full(len(table), 100.0)
    if "max_loading_percent" in table:
        limit = table.max_loading_percent.astype(float).fillna(100.0).to_numpy(float)
    unknown = (known <= 0) | np.isnan(known)
    if rating == "max_i_ka":
        unknown |= known >= UNLIMITED_KA
    return np.where(unknown, np.inf, limit)
