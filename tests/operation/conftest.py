"""Random networks with loops, loads of a net, and all their configurations by brute force."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandapower as pp
import pytest

from pp_p2p.network.switching import SwitchGraph
from pp_p2p.network.tree_flow import shape_of, solve_tree


@pytest.fixture
def load_of() -> Any:
    """Return a function that reads the power out of each node (node, 1) of a net, p.u."""

    def read(net: Any, graph: SwitchGraph) -> np.ndarray:
        load = np.zeros((graph.n_nodes, 1), dtype=complex)
        for table, sign in (("load", 1.0), ("sgen", -1.0)):
            for row in net[table].itertuples():
                power = sign * (row.p_mw + 1j * row.q_mvar) * row.scaling / graph.s_base_mva
                load[graph.bus_node[int(row.bus)], 0] += power
        return load

    return read


@pytest.fixture
def every_tree() -> Any:
    """Return a function that yields every configuration with its exact losses (step,), p.u."""

    def enumerate_trees(graph: SwitchGraph, load: np.ndarray) -> list[tuple[np.ndarray, Any]]:
        found = []
        movable = np.flatnonzero(graph.switchable)
        for opened in itertools.combinations(movable.tolist(), graph.n_open):
            closed = np.ones(graph.n_edges, dtype=bool)
            closed[list(opened)] = False
            if shape_of(graph, closed) is None:
                continue
            flow = solve_tree(graph, closed, load)
            if flow is not None:
                found.append((closed, flow))
        return found

    return enumerate_trees


@pytest.fixture
def make_meshed() -> Any:
    """Return a function that makes a small random network with ties, cables and feed-in."""

    def make(seed: int, n: int = 8, ties: int = 3, *, feed_in: bool = True) -> Any:
        rng = np.random.default_rng(seed)
        net = pp.create_empty_network(sn_mva=1.0)
        buses = [pp.create_bus(net, 20.0, min_vm_pu=0.85, max_vm_pu=1.15) for _ in range(n)]
        roots = buses[:2] if seed % 2 else buses[:1]
        for root in roots:
            pp.create_ext_grid(net, root, vm_pu=1.0 + 0.01 * (root > 0))
        pairs = [(k, int(rng.integers(0, k))) for k in range(len(roots), n)]
        free = [p for p in itertools.combinations(range(n), 2) if p[::-1] not in pairs]
        extra = rng.choice(len(free), size=ties, replace=False)
        pairs += [free[int(k)] for k in extra]
        for k, (a, b) in enumerate(pairs):
            line = pp.create_line_from_parameters(
                net,
                buses[a],
                buses[b],
                float(rng.uniform(1.0, 6.0)),
                r_ohm_per_km=0.4,
                x_ohm_per_km=0.3,
                c_nf_per_km=float(rng.choice([0.0, 250.0])),
                max_i_ka=1.0,
            )
            tie = k >= len(pairs) - ties
            pp.create_switch(net, buses[a], line, et="l", closed=not tie, type="LBS")
        for bus in buses[len(roots) :]:
            p = float(rng.uniform(0.2, 1.5))
            pp.create_load(net, bus, p_mw=p, q_mvar=0.4 * p)
        if feed_in:
            bus = int(rng.integers(len(roots), n))
            pp.create_sgen(net, buses[bus], p_mw=float(rng.uniform(0.5, 4.0)), q_mvar=0.0)
        return net

    return make
