"""What the relaxations say about a node of the search, and where to split it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pp_p2p.network.branches import Array
from pp_p2p.network.chains import Chain, Core
from pp_p2p.network.switching import SwitchGraph
from pp_p2p.operation.radial_relaxation import TreeCut

FRACTIONAL = 1e-4
"""A chain whose weight of being cut is this far from 0 and 1 is undecided."""


@dataclass(frozen=True)
class View:
    """What the relaxations of all steps say about a node of the search."""

    core: Core
    bound: float
    weight: dict[int, float]
    price: dict[int, float]
    cuts: tuple[TreeCut, ...]


def urgency(chain: Chain, view: View) -> float:
    """Return how undecided a chain is: whether it is cut at all comes before where."""
    weights = [view.weight[chain.edges[k]] for k in chain.cuts]
    total = sum(weights)
    if chain.uncut and FRACTIONAL < total < 1 - FRACTIONAL:
        return 1.0 + min(total, 1.0 - total)
    return total - max(weights)


def halves(edges: list[int], weight: dict[int, float]) -> list[list[int]]:
    """Split a chain's candidates where half of their weight lies on either side."""
    if len(edges) < 2:
        return [edges]
    below = np.cumsum([max(weight[e], 0.0) for e in edges])
    middle = int(np.searchsorted(below, below[-1] / 2)) + 1
    middle = min(max(middle, 1), len(edges) - 1)
    return [edges[:middle], edges[middle:]]


def voltage_range(graph: SwitchGraph, load: Array) -> tuple[Array, Array]:
    """Return the squared voltages between which every configuration stays (node,).

    Where nothing feeds in, shunts draw reactive power and no transformer has a ratio, no voltage
    exceeds the highest of the roots.
    """
    low, high = graph.vm_min**2, graph.vm_max**2
    shunts = np.concatenate(
        [graph.y_node, graph.y_tail, graph.y_head, graph.y_tail_open, graph.y_head_open]
    )
    passive = (load.real >= 0).all() and (load.imag >= 0).all()
    passive &= bool((shunts.real >= 0).all() and (shunts.imag <= 0).all())
    passive &= bool((graph.z.real >= 0).all() and (graph.z.imag >= 0).all())
    if passive and (graph.scale == 1.0).all():
        high = np.minimum(high, float(graph.root_vm.max()) ** 2)
    at_root = graph.root_vm**2
    low, high = low.copy(), high.copy()
    low[graph.root], high[graph.root] = at_root, at_root
    return low, high
