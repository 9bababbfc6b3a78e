"""Expected energy not served of a radial network, after isolation, ties and stored reserves.

A permanent fault on branch b (rate lambda_b, repair r_b, switching tau_b) trips the next breaker
upstream, isolators let everything but the subtree below b come back after switching, and the
subtree comes back too where a tie ends in it or a reserve carries it (formulations R1 and R2 of
Billinton & Allan, Reliability Evaluation of Power Systems, with the subtree instead of the
section, which is the same where every branch has an isolator):

    EENS = sum_b lambda_b [ tau_b D(zone(b)) + (r_b - tau_b)^+ D(below(b)) - e_b ]        (1)
    0 <= e_b <= (r_b - tau_b)^+ D(below(b))                                               (2)
    e_b <= [some tie has one end below b] (r_b - tau_b)^+ D(below(b)) + s_b                (3)
    s_b <= sum_k eta_k E_k,   s_b <= (r_b - tau_b)^+ sum_k P_k     (reserves k below b)    (4)

with D the average demand. Breakers stand where a branch leaves an external grid, and where the net
has a closed switch of type ``"CB"`` on it. Elements in parallel back each other up after switching.
Ties and reserves are not limited by voltage or line capacity here. (4) is the convex surrogate of
islanding: the reserve is never used in normal operation, whatever the hour of the fault.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from pp_p2p.elements.tables import extension
from pp_p2p.network.branches import Array
from pp_p2p.network.grid import GridData


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Faults of all branches.

    Parameters
    ----------
    rate : (branch,) of float
        Faults per year.
    switching_h, outage_h : (branch,) of float
        Time until switching is done, h; the repair time beyond it, h.
    zone, below : (branch, node) of bool
        Nodes that the breaker interrupts; nodes that only the branch feeds.
    ties : tuple of (node, node)
        Normally open lines that exist.
    """

    rate: Array
    switching_h: Array
    outage_h: Array
    zone: Array
    below: Array
    ties: tuple[tuple[int, int], ...]

    @classmethod
    def from_net(cls, net: Any, grid: GridData, candidate_lines: Iterable[int] = ()) -> Self:
        """Read rates, times, breakers and ties; `candidate_lines` are not ties yet."""
        rate_hours = _branch_rates(net, grid)
        below = _below(grid)
        return cls(
            rate=rate_hours[0],
            switching_h=rate_hours[1],
            outage_h=np.maximum(rate_hours[2] - rate_hours[1], 0.0),
            zone=below[_protecting(grid, _breakers(net, grid))],
            below=below,
            ties=_existing_ties(net, grid, set(candidate_lines)),
        )

    def reached_by(self, a: int, b: int) -> Array:
        """Return (branch,) True where a tie between nodes `a` and `b` ends below the branch."""
        crossing: Array = self.below[:, a] ^ self.below[:, b]
        return crossing


@dataclass(frozen=True, kw_only=True)
class Reserve:
    """Stored energy at a node that is kept for islands, MWh after losses, and its power, MW."""

    node: int
    energy_mwh: float
    power_mw: float


def energy_not_served(
    faults: Faults,
    demand_mw: Array,
    ties: Iterable[tuple[int, int]] = (),
    reserves: Iterable[Reserve] = (),
) -> Array:
    """Return the expected energy not served by faults of each branch (branch,), MWh/a.

    Parameters
    ----------
    faults : Faults
    demand_mw : (node,) of float
        Average demand.
    ties : iterable of (node, node)
        Beside those that exist.
    reserves : iterable of Reserve
    """
    waiting = faults.outage_h * (faults.below @ demand_mw)
    served = np.zeros_like(waiting)
    for a, b in (*faults.ties, *ties):
        served = np.where(faults.reached_by(a, b), waiting, served)
    held = list(reserves)
    energy = sum((faults.below[:, r.node] * r.energy_mwh for r in held), np.zeros_like(waiting))
    power = sum((faults.below[:, r.node] * r.power_mw for r in held), np.zeros_like(waiting))
    served = np.minimum(waiting, served + np.minimum(energy, faults.outage_h * power))
    lost: Array = faults.rate * (faults.switching_h * (faults.zone @ demand_mw) + waiting - served)
    return lost


def _branch_rates(net: Any, grid: GridData) -> tuple[Array, Array, Array]:
    """Return rate (1/a), switching and repair time (h) per branch."""
    line_rate = extension(net, "line", "failure_rate_per_km_year") * net.line.length_km
    tables = {
        "line": (
            line_rate,
            extension(net, "line", "switching_time_h"),
            extension(net, "line", "repair_time_h"),
        ),
        "trafo": (
            extension(net, "trafo", "failure_rate_per_year"),
            extension(net, "trafo", "switching_time_h"),
            extension(net, "trafo", "repair_time_h"),
        ),
    }
    rate, switching, repair = (np.zeros(grid.n_branches) for _ in range(3))
    members = np.bincount(grid.branch_of, minlength=grid.n_branches)
    for element, row, b in zip(
        grid.branches.element, grid.branches.index, grid.branch_of, strict=True
    ):
        if element not in tables:
            continue
        one_rate, one_switching, one_repair = (float(c.loc[row]) for c in tables[element])
        # a parallel element takes over once the faulty one is switched off
        one_repair = one_switching if members[b] > 1 else one_repair
        total = rate[b] + one_rate
        if total > 0:
            switching[b] = (rate[b] * switching[b] + one_rate * one_switching) / total
            repair[b] = (rate[b] * repair[b] + one_rate * one_repair) / total
        rate[b] = total
    return rate, switching, repair


def _below(grid: GridData) -> Array:
    below = np.zeros((grid.n_branches, grid.n_nodes), dtype=bool)
    into = {int(node): k for k, node in enumerate(grid.tree.child)}
    for k in reversed(range(grid.n_branches)):
        below[k, grid.tree.child[k]] = True
        above = into.get(int(grid.tree.parent[k]))
        if above is not None:
            below[above] |= below[k]
    return below


def _breakers(net: Any, grid: GridData) -> Array:
    """Return (branch,) True where a breaker stands at the upper end of the branch."""
    at_source: Array = np.isin(grid.tree.parent, grid.source_node)
    breaking = net.switch[
        (net.switch.type == "CB").to_numpy(bool) & net.switch.closed.to_numpy(bool)
    ]
    kinds = {"l": "line", "t": "trafo"}
    placed = {
        (kinds[et], int(row), int(bus))
        for et, row, bus in breaking[["et", "element", "bus"]].itertuples(index=False)
        if et in kinds
    }
    upper = grid.node_bus[grid.tree.parent[grid.branch_of]]
    for element, row, a, b, k, top in zip(
        grid.branches.element,
        grid.branches.index,
        grid.branches.from_bus,
        grid.branches.to_bus,
        grid.branch_of,
        upper,
        strict=True,
    ):
        ends = [int(bus) for bus in (a, b) if grid.bus_node[int(bus)] == grid.bus_node[int(top)]]
        if any((element, int(row), bus) in placed for bus in ends):
            at_source[k] = True
    return at_source


def _protecting(grid: GridData, breakers: Array) -> Array:
    """Return for each branch the branch with the next breaker upstream."""
    into = {int(node): k for k, node in enumerate(grid.tree.child)}
    guard = np.empty(grid.n_branches, dtype=np.int64)
    for k in range(grid.n_branches):
        guard[k] = k if breakers[k] else guard[into[int(grid.tree.parent[k])]]
    return guard


def _existing_ties(net: Any, grid: GridData, candidates: set[int]) -> tuple[tuple[int, int], ...]:
    """Return the end nodes of in-service lines that only an open switch keeps from carrying."""
    opened = net.switch[(net.switch.et == "l").to_numpy(bool) & ~net.switch.closed.to_numpy(bool)]
    rows = sorted({int(row) for row in opened.element} - candidates)
    ties = []
    for row in rows:
        line = net.line.loc[row]
        ends = grid.nodes_of(np.array([line.from_bus, line.to_bus]))
        if line.in_service and (ends >= 0).all() and ends[0] != ends[1]:
            ties.append((int(ends[0]), int(ends[1])))
    return tuple(ties)
