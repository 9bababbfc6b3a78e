"""The convex hull of what a chain of switches may do, added to the joint problem of a day.

Of a group g of edges in series at most one is open (`pp_p2p.network.spanning`). With u_e the binary
of edge e, its states are "open at e", of weight w_e = 1 - u_e, and "uncut", of weight
w_0 = 1 - sum_e w_e. Let x be what lies on the chain in an hour: flows, voltages, and the devices at
the nodes that the chain alone feeds; and A_s x = b_s, G_s x + h in K what the laws of state s ask
of it. Then (Balas 1979; Ceria & Soares, Math. Programming 86, 1999)

    x = sum_s x^s,   A_s x^s = w_s b_s,   G_s x^s + w_s h in K,   w_s low <= x^s <= w_s high    (1)

holds for every sequence of configurations: the x^s of the state that it is in is x, those of all
others are 0. Of what lies between configurations (1) leaves far less than one on-off variable for
each edge does, which lets a chain carry a little less everywhere instead of being open somewhere.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from pp_p2p.market.looped_market import LoopedMarket
from pp_p2p.network.branches import Array
from pp_p2p.network.spanning import GraphFacts
from pp_p2p.network.switching import SwitchGraph
from pp_p2p.network.topology import DisjointSets
from pp_p2p.solve.compiled import CompiledProblem


class Group(NamedTuple):
    """Edges in series, the edges that never open between them, and the nodes they alone feed."""

    edges: Array
    between: Array
    inner: Array


def groups_of(graph: SwitchGraph, facts: GraphFacts) -> list[Group]:
    """Return the groups of more than one edge: of a single one (1) says nothing new."""
    fixed = ~graph.switchable
    fixed[list(facts.bridges)] = True
    root = set(graph.root.tolist())
    found = []
    for edges in facts.series_groups:
        if len(edges) < 2:
            continue
        joined = DisjointSets(range(graph.n_nodes))
        others = [e for e in range(graph.n_edges) if e not in edges]
        for e in others:
            joined.join(int(graph.tail[e]), int(graph.head[e]))
        outside = {joined.find(node) for node in root}
        outside |= {joined.find(int(graph.tail[e])) for e in others if not fixed[e]}
        inner = np.array([joined.find(k) not in outside for k in range(graph.n_nodes)])
        between = np.array([e for e in others if inner[graph.tail[e]]], dtype=np.int64)
        found.append(Group(np.array(edges), between, np.flatnonzero(inner)))
    return found


class _Triplets:
    """Rows of a sparse matrix with both sides, written block by block."""

    def __init__(self) -> None:
        self._row: list[Array] = []
        self._column: list[Array] = []
        self._value: list[Array] = []
        self._lower: list[Array] = []
        self._upper: list[Array] = []
        self.size = 0

    def new(self, lower: Array, upper: Array) -> Array:
        """Return the numbers of new rows between two sides."""
        numbers = self.size + np.arange(len(lower))
        self._lower.append(lower)
        self._upper.append(upper)
        self.size += len(lower)
        return numbers

    def put(self, rows: Array, columns: Array, values: Array) -> None:
        """Add terms."""
        keep = values != 0
        self._row.append(rows[keep])
        self._column.append(columns[keep])
        self._value.append(values[keep])

    def matrix(self, n_columns: int) -> sp.csr_matrix:
        """Return the matrix."""
        value, row, column = (_joined(part) for part in (self._value, self._row, self._column))
        places = (row.astype(np.int64), column.astype(np.int64))
        return sp.csr_matrix((value, places), shape=(self.size, n_columns))

    @property
    def lower(self) -> Array:
        """Lower side (row,)."""
        return _joined(self._lower)

    @property
    def upper(self) -> Array:
        """Upper side (row,)."""
        return _joined(self._upper)


def _joined(parts: list[Array]) -> Array:
    return np.concatenate(parts) if parts else np.zeros(0)


class _Local(NamedTuple):
    """What the laws of one hour say of a group: a part of the looped market, in its numbers."""

    columns: Array
    rows: Array
    cones: Array
    matrix: sp.coo_matrix
    cone_matrix: sp.coo_matrix
    cone_rows: Array
    cone_of: Array


class ChainHull:
    """Writes (1) onto the compiled joint problem.

    Parameters
    ----------
    market : LoopedMarket
        The same day with every edge: the laws of the states are taken from it.
    joint : CompiledProblem
        The joint problem.
    place : (column of the market,)
        Where its columns stand in the joint problem.
    binary : (edge, step)
        Column of the binary of an edge in the joint problem, `ABSENT` for none.
    block_of : (column of the joint problem,)
        Which part of the day a column belongs to.
    """

    def __init__(
        self,
        market: LoopedMarket,
        joint: CompiledProblem,
        place: Array,
        binary: Array,
        block_of: Array,
    ) -> None:
        self._market, self._joint, self._place, self._binary = market, joint, place, binary
        self._block_of = block_of
        p = market.problem
        self._matrix, self._cone_matrix = sp.csr_matrix(p.matrix), sp.csr_matrix(p.cone_matrix)
        self._by_column = sp.csc_matrix(p.matrix)
        self._cones_by_column = sp.csc_matrix(p.cone_matrix)
        self._cone_start = np.concatenate([[0], np.cumsum(p.cone_sizes)]).astype(np.int64)
        self._cone_of_row = np.repeat(np.arange(len(p.cone_sizes)), p.cone_sizes)
        self._n_columns = len(joint.cost)
        self._linear, self._cones = _Triplets(), _Triplets()
        self._sizes: list[Array] = []
        self._lower, self._upper, self._blocks = [], [], []

    def add(self, group: Group, step: int) -> None:
        """Add the states of a group in a step."""
        local = self._local(group, step)
        total = self._linear.new(*np.zeros((2, len(local.columns))))
        everywhere = np.arange(len(local.columns))
        self._linear.put(total, self._place[local.columns], np.full(len(total), -1.0))
        for opened in (*group.edges.tolist(), None):
            self._state(group, step, opened, local, total)
        del everywhere

    def problem(self) -> tuple[CompiledProblem, Array]:
        """Return the joint problem with all that was added, and the part (column,) of the day."""
        p, n = self._joint, self._n_columns
        new = n - len(p.cost)

        def wider(matrix: sp.spmatrix) -> sp.spmatrix:
            return sp.csr_matrix((matrix.data, matrix.indices, matrix.indptr), (matrix.shape[0], n))

        quadratic = p.quadratic
        if quadratic is not None:
            quadratic = sp.block_diag([quadratic, sp.csr_matrix((new, new))], format="csr")
        rows = sp.vstack([wider(sp.csr_matrix(p.matrix)), self._linear.matrix(n)], format="csr")
        cones = sp.vstack(
            [wider(sp.csr_matrix(p.cone_matrix)), self._cones.matrix(n)], format="csr"
        )
        whole = dataclasses.replace(
            p,
            columns=[*p.columns, *[None] * new],
            cost=np.append(p.cost, np.zeros(new)),
            quadratic=quadratic,
            matrix=rows,
            row_lower=np.append(p.row_lower, self._linear.lower),
            row_upper=np.append(p.row_upper, self._linear.upper),
            rows=[*p.rows, *[None] * self._linear.size],
            lower=np.concatenate([p.lower, *self._lower]),
            upper=np.concatenate([p.upper, *self._upper]),
            integer=np.append(p.integer, np.zeros(new, dtype=bool)),
            cone_matrix=cones,
            cone_offset=np.append(p.cone_offset, self._cones.lower),
            cone_sizes=np.concatenate([p.cone_sizes, *self._sizes]),
        )
        return whole, np.concatenate([self._block_of, *self._blocks])

    def _local(self, group: Group, step: int) -> _Local:
        market, data = self._market, self._market.data
        del data
        edges = np.concatenate([group.edges, group.between])
        columns = market.of_edges(edges, step)
        balances = market.balances(group.inner, step)
        columns = np.union1d(columns, self._matrix[balances].indices)
        inside = np.zeros(len(self._place), dtype=bool)
        inside[columns] = True
        rows = np.unique(self._by_column[:, columns].indices)
        sub = self._matrix[rows]
        rows = rows[np.diff(sub.indptr) == sub[:, columns].getnnz(axis=1)]
        touched = np.unique(self._cone_of_row[np.unique(self._cones_by_column[:, columns].indices)])
        whole = [
            k
            for k in touched.tolist()
            if inside[self._cone_matrix[self._cone_start[k] : self._cone_start[k + 1]].indices].all()
        ]
        cones = np.array(whole, dtype=np.int64)
        cone_rows = np.flatnonzero(np.isin(self._cone_of_row, cones))
        return _Local(
            columns=columns,
            rows=rows,
            cones=cones,
            matrix=sp.coo_matrix(self._matrix[rows][:, columns]),
            cone_matrix=sp.coo_matrix(self._cone_matrix[cone_rows][:, columns]),
            cone_rows=cone_rows,
            cone_of=self._cone_of_row[cone_rows],
        )

    def _state(
        self, group: Group, step: int, opened: int | None, local: _Local, total: Array
    ) -> None:
        """Add one state; None is the uncut one."""
        p, linear = self._market.problem, self._linear
        mask = np.zeros(len(self._binary), dtype=bool)
        if opened is not None:
            mask[opened] = True
        out = self._market.out(mask, step)
        kept = ~np.isin(local.columns, out[0])
        mine = local.columns[kept]
        new = np.full(len(kept), -1)
        new[kept] = self._n_columns + np.arange(len(mine))
        self._n_columns += len(mine)
        low, high = p.lower[mine], p.upper[mine]
        self._lower.append(np.minimum(low, 0.0))
        self._upper.append(np.maximum(high, 0.0))
        self._blocks.append(np.full(len(mine), self._block_of[self._place[local.columns[0]]]))
        linear.put(total[kept], new[kept], np.ones(len(mine)))
        constant, binaries, slopes = self._weight(group, step, opened)

        def scaled(numbers: Array, side: Array) -> Array:
            """Take ``weight * side`` to the left of some rows; return what stays on the right."""
            for column, slope in zip(binaries, slopes, strict=True):
                linear.put(numbers, np.full(len(numbers), column), -slope * side)
            return constant * side

        def rows_of(lower: Array, upper: Array) -> Iterator[tuple[Array, Array]]:
            """Yield new rows, and which of the given ones they are, with either side scaled."""
            same = lower == upper
            for which, side, below, above in (
                (same, lower, True, True),
                (~same & np.isfinite(lower), lower, True, False),
                (~same & np.isfinite(upper), upper, False, True),
            ):
                at = np.flatnonzero(which)
                if len(at):
                    right = constant * side[at]
                    numbers = linear.new(
                        right if below else np.full(len(at), -np.inf),
                        right if above else np.full(len(at), np.inf),
                    )
                    scaled(numbers, side[at])
                    yield numbers, at

        stay = ~np.isin(local.rows, out[1])
        chosen = np.flatnonzero(stay)
        term = local.matrix
        good = stay[term.row] & kept[term.col]
        r, c, v = term.row[good], term.col[good], term.data[good]
        order = np.full(len(stay), -1)
        order[chosen] = np.arange(len(chosen))
        for numbers, at in rows_of(p.row_lower[local.rows[chosen]], p.row_upper[local.rows[chosen]]):
            to = np.full(len(chosen), -1)
            to[at] = numbers
            there = to[order[r]]
            has = there >= 0
            linear.put(there[has], new[c[has]], v[has])
        for numbers, at in rows_of(low, high):
            linear.put(numbers, new[kept][at], np.ones(len(at)))
        remain = ~np.isin(local.cones, out[2])
        row_stays = np.isin(local.cone_of, local.cones[remain])
        offset = p.cone_offset[local.cone_rows[row_stays]]
        numbers = self._cones.new(constant * offset, np.full(len(offset), np.inf))
        for column, slope in zip(binaries, slopes, strict=True):
            self._cones.put(numbers, np.full(len(numbers), column), slope * offset)
        term = local.cone_matrix
        good = row_stays[term.row] & kept[term.col]
        to = np.cumsum(row_stays) - 1
        self._cones.put(numbers[to[term.row[good]]], new[term.col[good]], term.data[good])
        self._sizes.append(p.cone_sizes[local.cones[remain]])

    def _weight(self, group: Group, step: int, opened: int | None) -> tuple[float, Array, Array]:
        """Return the weight of a state: a constant, binaries, and what each adds."""
        if opened is not None:
            return 1.0, self._binary[[opened], step], np.array([-1.0])
        n = len(group.edges)
        return 1.0 - n, self._binary[group.edges, step], np.ones(n)
