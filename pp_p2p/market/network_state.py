"""What a day does to the network: its AC power flow, its violations, and who could relieve them.

Near a state the loading I of a branch k in per cent and the voltage V of a node m follow the power
p_n that is fed in at node n, with P, Q what flows down the branch and D[k, n] = 1 where n lies
behind it (the power transfer of a radial grid):

    dI_k / dp_n = - D[k, n] P_k I_k / (P_k^2 + Q_k^2)                                       (1)
    dV_m / dp_n = sum_k D[k, m] D[k, n] r_k / V_m                                           (2)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from pp_p2p.market.clearing import ClearingData
from pp_p2p.names import BUS, LINE, TRAFO
from pp_p2p.network.branches import Array, max_loading
from pp_p2p.network.linear_flow import LinearFlow
from pp_p2p.network.solution import FlowSolution
from pp_p2p.operation.batch_flow import BatchFlow, BatchSolution

ROUNDING: Final = 1e-9
"""Loading (%) and voltage (p.u.) above a limit that counts as kept."""


@dataclass(frozen=True, kw_only=True)
class Violation:
    """A limit that an hour breaks.

    `excess` is in per cent (loading) or p.u. (voltage); `pull` (participant,) is what 1 p.u. more
    power fed in by each adds to it.
    """

    table: str
    row: int
    step: int
    value: float
    excess: float
    pull: Array


class Network:
    """The net of a day, prepared for power flows.

    Parameters
    ----------
    net : pandapowerNet
        Is not changed.
    data : ClearingData
    """

    def __init__(self, net: Any, data: ClearingData) -> None:
        self._data, grid = data, data.grid
        formed = zip(
            grid.node_bus[grid.forming_node].tolist(), grid.forming_vm.tolist(), strict=True
        )
        self._flow = BatchFlow.from_net(net, forming=dict(formed), checked=True)
        self._linear = LinearFlow.of_tree(
            grid.tree,
            grid.n_nodes,
            grid.root_node,
            np.concatenate([grid.source_vm, grid.forming_vm]),
        )
        self.limits = {table: 100.0 * max_loading(net[table]) for table in (LINE, TRAFO)}
        self.buses = np.array(sorted(grid.bus_node), dtype=np.int64)

    def state(self, flows: FlowSolution) -> State:
        """Return the AC power flow of what `flows` feeds in at every node."""
        grid, flow = self._data.grid, self._flow
        p, q = (np.zeros((len(flows.v), len(flow.buses))) for _ in range(2))
        at = flow.columns(grid.node_bus)
        p[:, at] = flows.p_injected * grid.s_base_mva
        q[:, at] = flows.q_injected * grid.s_base_mva
        return State(network=self, flows=flows, solved=flow.solve(p, q))

    def violations(self, state: State) -> list[Violation]:
        """Return every broken limit of a state, hour by hour."""
        return [*self._overloads(state), *self._voltages(state)]

    def _overloads(self, state: State) -> list[Violation]:
        found = []
        injected = (state.flows.p_injected, state.flows.q_injected)
        behind = self._linear.behind[:, self._data.participant_node]
        for table in (LINE, TRAFO):
            labels, loading, limit, branch = state.rated(table)
            steps, rows = np.nonzero(loading > limit + ROUNDING)
            for t, k in zip(steps.tolist(), rows.tolist(), strict=True):
                b = branch[k]
                flow = [-(self._linear.behind[b] @ s[t]) for s in injected]
                square = max(flow[0] ** 2 + flow[1] ** 2, 1e-12)
                pull = -(flow[0] * loading[t, k] / square) * behind[b]
                excess = float(loading[t, k] - limit[k])
                found.append(
                    Violation(
                        table=table, row=int(labels[k]), step=t, value=float(loading[t, k]),
                        excess=excess, pull=pull,
                    )
                )  # fmt: skip
        return found

    def _voltages(self, state: State) -> list[Violation]:
        data, grid = self._data, self._data.grid
        node = grid.nodes_of(self.buses)
        held = np.isin(node, grid.root_node)
        vm, found = state.vm_pu, []
        for sign, limit in ((1.0, grid.vm_max), (-1.0, grid.vm_min)):
            excess = sign * (vm - limit[node])
            steps, rows = np.nonzero((excess > ROUNDING) & ~held)
            for t, k in zip(steps.tolist(), rows.tolist(), strict=True):
                m = node[k]
                path = self._linear.behind[:, m] * grid.tree.r
                pull = sign * (path @ self._linear.behind[:, data.participant_node]) / vm[t, k]
                found.append(
                    Violation(
                        table=BUS, row=int(self.buses[k]), step=t, value=float(vm[t, k]),
                        excess=float(excess[t, k]), pull=pull,
                    )
                )  # fmt: skip
        return found


@dataclass(frozen=True, kw_only=True)
class State:
    """The AC power flow of every hour of a day."""

    network: Network
    flows: FlowSolution
    solved: BatchSolution

    @property
    def vm_pu(self) -> Array:
        """Voltages (step, bus) at the network's buses."""
        return self.solved.vm_pu[:, self.network._flow.columns(self.network.buses)]

    def rated(self, table: str) -> tuple[Array, Array, Array, Array]:
        """Return label, loading (step, row), limit, both %, and branch of a table's live rows."""
        grid = self.network._data.grid
        mine = np.flatnonzero(grid.branches.element == table)
        mine = mine[np.argsort(grid.branches.index[mine])]
        labels = grid.branches.index[mine]
        if not len(mine):
            return labels, np.zeros((len(self.flows.v), 0)), np.zeros(0), mine
        rows = pd.Index(self.network._flow.model.elements[table].index)
        loading = self.solved.loading_percent[table][:, rows.get_indexer(pd.Index(labels))]
        limit = self.network.limits[table][rows.get_indexer(pd.Index(labels))]
        return labels, np.nan_to_num(loading), limit, grid.branch_of[mine]

    def label(self) -> xr.Dataset:
        """Return voltages, loadings, exchange and losses as a dataset."""
        data, solved = self.network._data, self.solved
        dims, shape = data.line.dims, data.line.shape
        ds = xr.Dataset(coords=dict(data.line.coords))

        def put(name: str, values: Array, dim: str = "", labels: Array | None = None) -> None:
            ds[name] = ((*dims, dim) if dim else dims, values.reshape(*shape, *values.shape[1:]))
            if dim:
                ds.coords[dim] = labels

        put("vm_pu", self.vm_pu, BUS, self.network.buses)
        for table in (LINE, TRAFO):
            labels, loading, _, _ = self.rated(table)
            if len(labels):
                put(f"{table}_loading_percent", loading, table, labels)
        own = self.network._flow.ext_grid >= 0
        labels = self.network._flow.ext_grid[own]
        put("p_source_mw", solved.p_source_mw[:, own], "ext_grid", labels)
        put("q_source_mvar", solved.q_source_mvar[:, own], "ext_grid", labels)
        put("loss_mw", solved.loss_mw)
        return ds
