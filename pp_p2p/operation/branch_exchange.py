"""Branch exchange on exact losses: a good radial configuration, quickly.

Closing an open edge t makes a loop; opening another edge k of it restores the tree. With the node
currents held, the loop current y = -J_k changes the losses by

    2 Re(conj(y) sum_loop r J) + |y|^2 sum_loop r                                          (1)

(Civanlar et al. 1988; Baran & Wu 1989). The exchanges that (1) likes best are solved exactly; the
first that lowers the exact losses within the limits is taken, until none does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pp_p2p.network.branches import Array
from pp_p2p.network.switching import SwitchGraph
from pp_p2p.network.tree_flow import TreeFlow, solve_tree

TRIED = 12
"""Exchanges per round whose exact losses are computed although (1) sees no gain in them."""

LIMIT_WEIGHT = 1e3
"""Losses that a p.u. of broken voltage or current limit counts as: limits first."""

TOLERATED = 1e-9
"""Broken limits up to this (p.u.) are rounding."""

IMPROVEMENT = 1e-12
"""Smaller gains are rounding."""


Allowed = Callable[[Array], bool]
"""Whether a configuration (edge,) of bool may be taken."""


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """A radial configuration with its exact losses over all steps (weighted, p.u. h).

    `broken` (step,) is by how much voltage and current limits are broken, p.u., summed.
    """

    closed: Array
    flow: TreeFlow
    loss: float
    broken: Array

    @property
    def feasible(self) -> bool:
        """Whether every voltage and current limit holds."""
        return bool((self.broken <= TOLERATED).all())

    @property
    def merit(self) -> float:
        """Losses, with broken limits counted heavily."""
        return self.loss + LIMIT_WEIGHT * float(self.broken.sum())


def evaluate(graph: SwitchGraph, closed: Array, load: Array, weight: Array) -> Configuration | None:
    """Return the exact evaluation of a configuration; None where it has no load flow."""
    flow = solve_tree(graph, closed, load)
    if flow is None:
        return None
    return Configuration(
        closed=closed, flow=flow, loss=float(flow.loss @ weight), broken=broken_limits(graph, flow)
    )


def broken_limits(graph: SwitchGraph, flow: TreeFlow) -> Array:
    """Return by how much voltage and current limits are broken (step,), p.u., summed."""
    vm = flow.vm()
    outside = np.maximum(vm - graph.vm_max[:, None], 0) + np.maximum(graph.vm_min[:, None] - vm, 0)
    outside[graph.root] = 0.0
    shape = flow.shape
    behind = np.where(shape.forward, shape.base[shape.child], shape.base[shape.parent])
    current = np.abs(flow.current) / behind[:, None]
    over = np.maximum(current - graph.i_max[shape.edge][:, None], 0.0)
    return np.asarray(outside.sum(axis=0) + over.sum(axis=0))


def descend(
    graph: SwitchGraph,
    start: Configuration,
    load: Array,
    weight: Array,
    allowed: Allowed | None = None,
) -> Configuration:
    """Exchange branches from `start` until no exchange that is `allowed` lowers the losses."""
    best, seen = start, {start.closed.tobytes()}
    while True:
        better = _first_better(graph, best, load, weight, seen, allowed)
        if better is None:
            return best
        best = better


def _first_better(
    graph: SwitchGraph,
    now: Configuration,
    load: Array,
    weight: Array,
    seen: set[bytes],
    allowed: Allowed | None,
) -> Configuration | None:
    gain, close, open_ = exchange_estimates(graph, now, weight)
    order = np.argsort(gain, kind="stable")
    hopeful = max(int((gain < 0).sum()), TRIED)
    for k in order[:hopeful].tolist():
        closed = now.closed.copy()
        closed[close[k]], closed[open_[k]] = True, False
        if closed.tobytes() in seen:
            continue
        seen.add(closed.tobytes())
        if allowed is not None and not allowed(closed):
            continue
        tried = evaluate(graph, closed, load, weight)
        if tried is not None and tried.merit < now.merit - IMPROVEMENT:
            return tried
    return None


def exchange_estimates(
    graph: SwitchGraph, now: Configuration, weight: Array
) -> tuple[Array, Array, Array]:
    """Return the change (1) of every exchange, the edge it closes and the edge it opens."""
    flow, closed = now.flow, now.closed
    shape = flow.shape
    behind = np.where(shape.forward, shape.base[shape.child], shape.base[shape.parent])
    r = graph.z[shape.edge].real / behind**2
    J, weighted = flow.current, flow.current * weight
    gains, closes, opens = [], [], []
    for tie in np.flatnonzero(~closed & graph.switchable).tolist():
        a, b = int(graph.tail[tie]), int(graph.head[tie])
        # the loop current runs a -> tie -> b, so it relieves the path of b and loads that of a
        along = shape.feeds[:, a] - shape.feeds[:, b]
        loop = np.flatnonzero(along)
        r_tie = graph.z[tie].real / shape.base[b] ** 2
        sense = along[loop]
        total_r = float(r[loop].sum() + r_tie)
        drive = (r[loop] * sense) @ J[loop]
        for position, k in enumerate(loop.tolist()):
            if not graph.switchable[shape.edge[k]]:
                continue
            y = -sense[position] * J[k]
            cross = 2 * float((np.conj(y) * drive * weight).real.sum())
            gains.append(
                cross + total_r * float((np.conj(y) * -sense[position] * weighted[k]).real.sum())
            )
            closes.append(tie)
            opens.append(int(shape.edge[k]))
    return np.array(gains), np.array(closes, dtype=np.int64), np.array(opens, dtype=np.int64)
