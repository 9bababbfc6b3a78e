"""The convex hull of what a chain of switches may do, added to the joint problem of a day.

Of a group of edges in series (a chain between two junctions, or edges of which any two would cut
off a part) at most one is open (`pp_p2p.network.spanning`). With u_e the binary of edge e, its
states are "open at e", of weight w_e = 1 - u_e, and "uncut", of weight w_0 = 1 - sum_e w_e. Let x
be what lies on the group in an hour: flows, voltages, and the devices at the nodes that it alone
feeds; and A_s x = b_s, G_s x + h in K what the laws of state s ask of it. Then (Balas 1979; Ceria
& Soares, Math. Programming 86, 1999)

    x = sum_s x^s,   A_s x^s = w_s b_s,   G_s x^s + w_s h in K,   w_s low <= x^s <= w_s high    (1)

holds for every sequence of configurations: the x^s of the state that it is in is x, those of the
others are 0. Between configurations (1) leaves far less than an on-off variable for each edge does,
which lets a chain carry a little less everywhere instead of being open somewhere. It stands for the
on-off laws of its edges (`pp_p2p.network.on_off`), which follow from it and are left out.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final, NamedTuple

import numpy as np
import scipy.sparse as sp

from pp_p2p.market.looped_market import LoopedMarket
from pp_p2p.network.branches import Array
from pp_p2p.network.spanning import GraphFacts
from pp_p2p.network.switching import SwitchGraph
from pp_p2p.network.topology import DisjointSets
from pp_p2p.solve.compiled import CompiledProblem

TYING: Final = -2
"""Stands for the step or period of a row with columns of several."""

EMPTY: Final = -1
"""Stands for that of a row without columns."""


class Group(NamedTuple):
    """Edges in series, the edges that never open between them, and the nodes they alone feed.

    `number` is its place among `GraphFacts.series_groups`.
    """

    number: int
    edges: Array
    between: Array
    inner: Array


def groups_of(graph: SwitchGraph, facts: GraphFacts) -> list[Group]:
    """Return the groups of switchable edges of which at most one is open."""
    fixed = ~graph.switchable
    fixed[list(facts.bridges)] = True
    found = []
    for number, edges in enumerate(facts.series_groups):
        joined = DisjointSets(range(graph.n_nodes))
        others = [e for e in range(graph.n_edges) if e not in edges]
        for e in others:
            joined.join(int(graph.tail[e]), int(graph.head[e]))
        outside = {joined.find(node) for node in graph.root.tolist()}
        outside |= {joined.find(int(graph.tail[e])) for e in others if not fixed[e]}
        inner = np.array([joined.find(k) not in outside for k in range(graph.n_nodes)])
        between = [e for e in others if inner[graph.tail[e]]]
        apart = np.array(between, dtype=np.int64)
        found.append(Group(number, np.array(edges), apart, np.flatnonzero(inner)))
    return found


class _Weight(NamedTuple):
    """Weight of a state in each step: a constant, and binaries (edge, step) times a slope."""

    constant: float
    binaries: Array
    slope: float


class _Rows:
    """Rows of a sparse matrix with both sides, written block by block."""

    def __init__(self) -> None:
        self._parts: list[tuple[Array, Array, Array]] = []
        self._sides: list[tuple[Array, Array]] = []
        self.size = 0

    def new(self, lower: Array, upper: Array) -> Array:
        """Return the numbers of new rows between two sides."""
        self._sides.append((lower, upper))
        self.size += len(lower)
        return np.arange(self.size - len(lower), self.size)

    def scaled(self, lower: Array, upper: Array, weight: _Weight, step: Array) -> Array:
        """Return the numbers (row, 2) of rows between ``weight * lower`` and ``weight * upper``.

        The weight is that of the `step` (row,). Sides that differ make two rows; -1 where there is
        none.
        """
        numbers = np.full((len(lower), 2), -1)
        same = lower == upper
        for k, (side, which) in enumerate(((lower, np.isfinite(lower)), (upper, ~same))):
            at = np.flatnonzero(which & np.isfinite(side))
            right = weight.constant * side[at]
            least = np.full(len(at), -np.inf) if k else right
            numbers[at, k] = mine = self.new(least, np.where(same[at] | (k == 1), right, np.inf))
            for binary in weight.binaries:
                self.put(mine, binary[step[at]], -weight.slope * side[at])
        return numbers

    def put(self, rows: Array, columns: Array, values: Array) -> None:
        """Add terms; those of row -1 are passed over."""
        kept = (values != 0) & (rows >= 0)
        self._parts.append((rows[kept], columns[kept], values[kept]))

    def matrix(self, n_columns: int) -> Any:
        """Return the matrix (row, column)."""
        if not self._parts:
            return sp.csr_matrix((0, n_columns))
        row, column, value = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        return sp.csr_matrix((value, (row, column)), shape=(self.size, n_columns))

    def sides(self) -> tuple[Array, Array]:
        """Return lower and upper side (row,)."""
        if not self._sides:
            return np.zeros(0), np.zeros(0)
        lower, upper = zip(*self._sides, strict=True)
        return np.concatenate(lower), np.concatenate(upper)


class _Local(NamedTuple):
    """What the laws of single hours say of a group: a part of the looped market, in its numbers."""

    columns: Array
    rows: Array
    matrix: Any
    cones: Array
    cone_rows: Array
    cone_matrix: Any


class ChainHull:
    """Writes (1) onto the compiled joint problem.

    Parameters
    ----------
    market : LoopedMarket
        The same day with every edge: the laws of the states are taken from it.
    joint : CompiledProblem
    place : (column of the market,) of int
        Where its columns stand in the joint problem.
    binary : (edge, step) of int
        Column of the binary of an edge in the joint problem.
    """

    def __init__(
        self, market: LoopedMarket, joint: CompiledProblem, place: Array, binary: Array
    ) -> None:
        self._market, self._joint, self._place, self._binary = market, joint, place, binary
        p = market.problem
        self._matrix, self._cone_matrix = sp.csr_matrix(p.matrix), sp.csr_matrix(p.cone_matrix)
        self._cone_of_row = np.repeat(np.arange(len(p.cone_sizes)), p.cone_sizes)
        self._row_step = only(self._matrix, market.step_of)
        self._cone_step = only(self._cone_matrix, market.step_of, p.cone_sizes)
        self._needless = market.bounded_by_cones
        self._n_columns = len(joint.cost)
        self._linear, self._cones = _Rows(), _Rows()
        self._sizes: list[Array] = []
        self._boxes: list[tuple[Array, Array]] = []
        self._copied: list[Array] = []

    def add(self, group: Group) -> None:
        """Add the states of a group, in every step; of a single edge (1) says nothing new."""
        if len(group.edges) < 2:
            return
        local = self._local(group)
        total = self._linear.new(*np.zeros((2, len(local.columns))))
        self._linear.put(total, self._place[local.columns], np.full(len(total), -1.0))
        edges = np.arange(len(self._binary))
        for opened in group.edges.tolist():
            self._state(edges == opened, _Weight(1.0, self._binary[[opened]], -1.0), local, total)
        uncut = _Weight(1.0 - len(group.edges), self._binary[group.edges], 1.0)
        self._state(edges < 0, uncut, local, total)

    def problem(self) -> tuple[CompiledProblem, Array]:
        """Return the joint problem with what was added, and the column behind each of its own.

        A copy of a column has no bounds of its own but what (1) says; it lies between 0 and those
        of the column it copies.
        """
        p, n = self._joint, self._n_columns
        new = n - len(p.cost)

        def wider(matrix: Any) -> Any:
            return sp.csr_matrix((matrix.data, matrix.indices, matrix.indptr), (matrix.shape[0], n))

        added, cones = self._linear.matrix(n), self._cones.matrix(n)
        quadratic = p.quadratic
        if quadratic is not None:
            quadratic = sp.block_diag([quadratic, sp.csr_matrix((new, new))], format="csr")
        lower, upper = self._linear.sides()
        whole = dataclasses.replace(
            p,
            columns=[*p.columns, *[None] * new],
            cost=np.append(p.cost, np.zeros(new)),
            quadratic=quadratic,
            matrix=sp.vstack([wider(sp.csr_matrix(p.matrix)), added], format="csr"),
            row_lower=np.append(p.row_lower, lower),
            row_upper=np.append(p.row_upper, upper),
            rows=[*p.rows, *[None] * self._linear.size],
            lower=np.append(p.lower, np.full(new, -np.inf)),
            upper=np.append(p.upper, np.full(new, np.inf)),
            integer=np.append(p.integer, np.zeros(new, dtype=bool)),
            cone_matrix=sp.vstack([wider(sp.csr_matrix(p.cone_matrix)), cones], format="csr"),
            cone_offset=np.append(p.cone_offset, self._cones.sides()[0]),
            cone_sizes=np.concatenate([p.cone_sizes, *self._sizes]),
        )
        return whole, np.concatenate([np.arange(len(p.cost)), *self._copied])

    def _local(self, group: Group) -> _Local:
        """Return the laws that speak of nothing but a group, its nodes and their devices."""
        market = self._market
        columns = market.of_edges(np.concatenate([group.edges, group.between]))
        columns = np.union1d(columns, self._matrix[market.balances(group.inner)].indices)
        inside = np.zeros(len(self._place))
        inside[columns] = 1.0

        def speaks(matrix: Any) -> tuple[Array, Array]:
            """Return which rows speak of the group, and which of anything else."""
            pattern = abs(matrix)
            return pattern @ inside > 0, pattern @ (1.0 - inside) > 0

        near, strange = speaks(self._matrix)
        rows = np.flatnonzero(near & ~strange & (self._row_step != TYING))
        of_cone = self._cone_of_row
        near, strange = speaks(self._cone_matrix)
        cones = np.setdiff1d(of_cone[near], of_cone[strange])
        cones = cones[self._cone_step[cones] != TYING]
        cone_rows = np.flatnonzero(np.isin(of_cone, cones))
        return _Local(
            columns=columns,
            rows=rows,
            matrix=sp.coo_matrix(self._matrix[rows][:, columns]),
            cones=cones,
            cone_rows=cone_rows,
            cone_matrix=sp.coo_matrix(self._cone_matrix[cone_rows][:, columns]),
        )

    def _state(self, open_edges: Array, weight: _Weight, local: _Local, total: Array) -> None:
        """Add one state, in every step."""
        p, linear, step_of = self._market.problem, self._linear, self._market.step_of
        out = self._market.out(open_edges)
        kept = ~np.isin(local.columns, out[0])
        mine = local.columns[kept]
        new = np.full(len(kept), -1)
        new[kept] = np.arange(self._n_columns, self._n_columns + len(mine))
        self._n_columns += len(mine)
        self._copied.append(self._place[mine])
        linear.put(total[kept], new[kept], np.ones(len(mine)))
        needless = self._needless[mine]
        low = np.where(needless >= 1, -np.inf, p.lower[mine])
        high = np.where(needless >= 2, np.inf, p.upper[mine])
        for numbers in linear.scaled(low, high, weight, step_of[mine]).T:
            linear.put(numbers, new[kept], np.ones(len(mine)))
        rows = np.flatnonzero(~np.isin(local.rows, out[1]))
        of_row = np.full((len(local.rows), 2), -1)
        chosen = local.rows[rows]
        of_row[rows] = linear.scaled(
            p.row_lower[chosen], p.row_upper[chosen], weight, self._row_step[chosen]
        )
        term = local.matrix
        there = kept[term.col]
        for numbers in of_row.T:
            linear.put(numbers[term.row[there]], new[term.col[there]], term.data[there])
        self._add_cones(np.isin(local.cones, out[2]), weight, local, new)

    def _add_cones(self, out: Array, weight: _Weight, local: _Local, new: Array) -> None:
        """Add the cones of a state, but for those that are `out` (cone of the group,)."""
        p, cones = self._market.problem, self._cones
        rows = np.flatnonzero(np.isin(self._cone_of_row[local.cone_rows], local.cones[~out]))
        offset = p.cone_offset[local.cone_rows[rows]]
        numbers = np.full(len(local.cone_rows), -1)
        numbers[rows] = mine = cones.new(weight.constant * offset, np.full(len(rows), np.inf))
        step = self._cone_step[self._cone_of_row[local.cone_rows[rows]]]
        for binary in weight.binaries:
            cones.put(mine, binary[step], weight.slope * offset)
        term = local.cone_matrix
        there = new[term.col] >= 0
        cones.put(numbers[term.row[there]], new[term.col[there]], term.data[there])
        self._sizes.append(p.cone_sizes[local.cones[~out]])


def only(matrix: Any, of_column: Array, sizes: Array | None = None) -> Array:
    """Return the one value (row,) that the columns of a row have; `TYING` where they differ.

    `EMPTY` where a row has no column. With `sizes` (cone,) rows are taken together, so many each.
    """
    coo = sp.coo_matrix(matrix)
    row, n = coo.row, coo.shape[0]
    if sizes is not None:
        row, n = np.repeat(np.arange(len(sizes)), sizes)[row], len(sizes)
    first, last = np.full(n, len(of_column)), np.full(n, EMPTY)
    np.minimum.at(first, row, of_column[coo.col])
    np.maximum.at(last, row, of_column[coo.col])
    return np.where(first < last, TYING, last)
