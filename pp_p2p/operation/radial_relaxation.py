"""A lower bound of the losses of every radial configuration that is left.

Per chain g (`pp_p2p.network.chains`) with weights z_k >= 0 of "open at k" and
w = 1 - sum_k z_k >= 0 of "uncut", the convex hull of its states: each state has its own copy of
the voltages at the chain's ends, scaled by its weight,

    v_a = v_a^u + sum_k v_a^k,   z_k V_min^2 <= v_a^k <= z_k V_max^2                       (1)
    cut at k:  both halves are trees; they draw  z_k S_k + S_k' v^k  at the ends           (2)
    uncut:     branch flow equations in P, Q, l, v, all scaled by w                        (3)

and over all chains

    sum_g w_g = junctions - 1,   sum_{e in E(S)} z_e >= |E(S)| - |S| + 1 for node sets S   (4)

(4) is the spanning tree polytope (Edmonds 1971), cut where it is violated. (3) is the second-order
cone relaxation of Farivar & Low (2013); draws may exceed their tangents, which relaxes further.
The hull (Balas 1979) makes this much tighter than one on-off variable a line, and the problem
small: its size is the number of edges on loops. The bound is the dual's objective, less what the
dual's residual can make of variables within their reach, so it holds for any accuracy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from pp_p2p.network.branches import Array
from pp_p2p.network.chains import Chain, Core, Draw, Reducer
from pp_p2p.solve.conic import ConicForm, ConicSolution, ConicSolver


@dataclass(frozen=True)
class TreeCut:
    """At least `at_least` of `edges` are open: a cut (4)."""

    edges: frozenset[int]
    at_least: int


@dataclass(frozen=True, kw_only=True)
class Relaxed:
    """Solved relaxation.

    Parameters
    ----------
    bound : float
        Losses, p.u., that no configuration left undercuts; ``inf`` where none is left.
    weight : mapping
        Edge -> weight of "open here".
    price : mapping
        Edge -> what opening it adds to `bound`, at least.
    slack : (cut,) of float
        Slack of the cuts that were passed.
    v : mapping
        Junction -> squared voltage.
    """

    bound: float
    weight: dict[int, float]
    price: dict[int, float]
    slack: list[float]
    v: dict[int, float]


class _Rows:
    """Rows of a sparse matrix with right-hand sides, written term by term."""

    def __init__(self) -> None:
        self.row: list[int] = []
        self.column: list[int] = []
        self.value: list[float] = []
        self.right: list[float] = []

    def new(self, right: float, terms: Iterable[tuple[int, float]] = ()) -> int:
        number = len(self.right)
        self.right.append(right)
        for column, value in terms:
            self.put(number, column, value)
        return number

    def put(self, row: int, column: int, value: float) -> None:
        self.row.append(row)
        self.column.append(column)
        self.value.append(value)


Expression = tuple[float, list[tuple[int, float]]]
"""A constant and the terms of variables."""


class Relaxation:
    """The relaxation of one core as a conic problem.

    Parameters
    ----------
    reducer : Reducer
    core : Core
    v_min, v_max : (node,) of float
        Squared voltages between which every configuration worth finding stays.
    flow_reach : float
        Bound of every flow, p.u.
    cuts : sequence of TreeCut
    cutoff : float, optional
        Losses that are worth finding are at most this.
    """

    def __init__(
        self,
        reducer: Reducer,
        core: Core,
        *,
        v_min: Array,
        v_max: Array,
        flow_reach: float,
        cuts: Sequence[TreeCut] = (),
        cutoff: float | None = None,
    ) -> None:
        self.reducer, self.core, self.cuts = reducer, core, cuts
        self.v_min, self.v_max, self.flow_reach = v_min, v_max, flow_reach
        self.equal, self.less, self.cone = _Rows(), _Rows(), _Rows()
        self.reach: list[float] = []
        self.cost: dict[int, float] = {}
        self.constant = -sum(s.real for s in reducer.load)
        self.open_at: dict[int, int] = {}
        self.open_row: dict[int, int] = {}
        self.v: dict[int, int] = {}
        self.balance: dict[int, tuple[int, int]] = {}
        self._add_junctions()
        for chain in core.chains:
            self._add_chain(chain)
        self._add_tree_rows()
        if cutoff is not None:
            self.less.new(cutoff - self.constant, self.cost.items())

    def solve(self) -> Relaxed:
        """Return the bound."""
        n = len(self.reach)
        q = np.zeros(n)
        q[list(self.cost)] = list(self.cost.values())
        answer, form = self._run(q)
        if answer.infeasible:
            return Relaxed(bound=np.inf, weight={}, price={}, slack=[], v={})
        if not answer.solved:  # no bound, and nothing to tell the edges apart
            blank = dict.fromkeys(self.open_at, 0.5)
            prices = dict.fromkeys(self.open_at, 0.0)
            return Relaxed(
                bound=-np.inf, weight=blank, price=prices, slack=[0.0] * len(self.cuts), v={}
            )
        bound = self._dual_bound(form, q, answer.z) + self.constant
        first = len(self.equal.right)
        price = {e: float(answer.z[first + row]) for e, row in self.open_row.items()}
        weight = {e: float(answer.x[k]) for e, k in self.open_at.items()}
        return Relaxed(
            bound=bound,
            weight=weight,
            price=price,
            slack=[sum(weight.get(e, 0.0) for e in c.edges) - c.at_least for c in self.cuts],
            v={node: float(answer.x[k]) for node, k in self.v.items()},
        )

    def extreme(self, node: int, sense: float) -> float | None:
        """Return a bound of ``sense * v[node]`` from below; None where it was not found."""
        q = np.zeros(len(self.reach))
        q[self.v[node]] = sense
        answer, form = self._run(q)
        return self._dual_bound(form, q, answer.z) if answer.solved else None

    def _run(self, q: Array) -> tuple[ConicSolution, ConicForm]:
        parts = (self.equal, self.less, self.cone)
        starts = np.cumsum([0, *(len(part.right) for part in parts)])
        rows = np.concatenate(
            [np.array(p.row, dtype=np.int64) + s for p, s in zip(parts, starts[:-1], strict=True)]
        )
        columns = np.concatenate([np.array(p.column, dtype=np.int64) for p in parts])
        values = np.concatenate([np.array(p.value) for p in parts])
        A = sp.csc_matrix((values, (rows, columns)), shape=(int(starts[-1]), len(q)))
        nothing = np.array([], dtype=np.int64)
        form = ConicForm(
            P=sp.csc_matrix((len(q), len(q))),
            q=q,
            A=A,
            b=np.concatenate([np.array(p.right) for p in parts]),
            zero=len(self.equal.right),
            nonnegative=len(self.less.right),
            cone_sizes=np.full(len(self.cone.right) // 4, 4),
            bound_rows=nothing,
            bound_columns=nothing,
            row_of=nothing,
            row_sign=nothing,
        )
        return ConicSolver(form).solve(), form

    def _dual_bound(self, form: ConicForm, q: Array, z: Array) -> float:
        residual = np.abs(q + form.A.T @ z)
        return float(-(form.b @ z) - residual @ np.array(self.reach))

    def _variable(self, reach: float) -> int:
        self.reach.append(reach)
        return len(self.reach) - 1

    def _add_junctions(self) -> None:
        for node in self.core.junctions:
            constant, slope = self.core.draws[node]
            if node in self.reducer.root_v:
                self.constant += (constant + slope * self.reducer.root_v[node]).real
                continue
            v = self.v[node] = self._variable(float(self.v_max[node]))
            self.less.new(float(self.v_max[node]), [(v, 1.0)])
            self.less.new(-float(self.v_min[node]), [(v, -1.0)])
            self.balance[node] = (
                self.less.new(-constant.real, [(v, slope.real)]),
                self.less.new(-constant.imag, [(v, slope.imag)]),
            )

    def _draw(self, node: int, variable: int, power: complex) -> None:
        """Let `variable` draw `power` at a junction."""
        if node in self.reducer.root_v:
            self.cost[variable] = self.cost.get(variable, 0.0) + power.real
            return
        p, q = self.balance[node]
        self.less.put(p, variable, power.real)
        self.less.put(q, variable, power.imag)

    def _draw_at(self, node: int, power: complex, v: Expression) -> None:
        """Let ``power * v`` be drawn at a junction."""
        if power == 0:
            return
        constant, terms = v
        if constant:  # at a root alone
            self.constant += power.real * constant
        for variable, value in terms:
            self._draw(node, variable, power * value)

    def _add_chain(self, chain: Chain) -> None:
        opened = {}
        for k in chain.cuts:
            z = opened[k] = self._variable(1.0)
            self.open_at[chain.edges[k]] = z
            self.open_row[chain.edges[k]] = self.less.new(0.0, [(z, -1.0)])
        if not chain.uncut:
            self.equal.new(1.0, [(z, 1.0) for z in opened.values()])
        elif opened:
            self.less.new(1.0, [(z, 1.0) for z in opened.values()])
        ends = [self._copies(chain, node, opened) for node in (chain.nodes[0], chain.nodes[-1])]
        for k in chain.cuts:
            for last in (False, True):
                self._add_half(chain, k, last=last, z=opened[k], v=ends[last][k])
        if chain.uncut:
            self._add_uncut(chain, opened, ends[0][-1], ends[1][-1])

    def _copies(self, chain: Chain, node: int, opened: dict[int, int]) -> dict[int, Expression]:
        """Return the scaled voltage (1) of `node` by state; the uncut state is -1."""
        whole = [(z, -1.0) for z in opened.values()]
        if node in self.reducer.root_v:
            v = self.reducer.root_v[node]
            states = {k: (0.0, [(z, v)]) for k, z in opened.items()}
            return states | {-1: (v, [(z, -v) for z in opened.values()])}
        names = [*opened, -1] if chain.uncut else [*opened]
        if len(names) == 1:
            return {names[0]: (0.0, [(self.v[node], 1.0)])}
        low, high = float(self.v_min[node]), float(self.v_max[node])
        row = self.equal.new(0.0, [(self.v[node], -1.0)])
        copies: dict[int, Expression] = {}
        for name in names:
            v = self._variable(high)
            self.equal.put(row, v, 1.0)
            weight = (1.0, whole) if name == -1 else (0.0, [(opened[name], 1.0)])
            for bound, sense in ((high, 1.0), (low, -1.0)):
                terms = [(z, -sense * bound * x) for z, x in weight[1]]
                self.less.new(sense * bound * weight[0], [(v, sense), *terms])
            copies[name] = (0.0, [(v, 1.0)])
        return copies

    def _add_half(self, chain: Chain, k: int, *, last: bool, z: int, v: Expression) -> None:
        """Add what the half of a chain cut at `k` draws (2) at its first or last node."""
        reducer, edge = self.reducer, chain.edges[k]
        at_tail = chain.forward[k] != last
        open_end = reducer.y_tail_open[edge] if at_tail else reducer.y_head_open[edge]
        draw: Draw = (0j, open_end)
        # from the open edge back to the junction
        steps = range(k + 1, len(chain.edges)) if last else range(k - 1, -1, -1)
        for i in steps:
            near, far = (i + 1, i) if last else (i, i + 1)
            own = self.core.draws[chain.nodes[far]]
            draw = reducer.through(
                chain.edges[i],
                chain.forward[i] != last,
                (draw[0] + own[0], draw[1] + own[1]),
                reducer.v[chain.nodes[near]],
            )
        node = chain.nodes[-1] if last else chain.nodes[0]
        if draw[0] != 0:
            self._draw(node, z, draw[0])
        self._draw_at(node, draw[1], v)

    def _add_uncut(
        self, chain: Chain, opened: dict[int, int], v_first: Expression, v_last: Expression
    ) -> None:
        """Add the branch flow (3) of the uncut state."""
        reducer, m = self.reducer, len(chain.edges)
        reach = self.flow_reach
        P, Q = ([self._variable(reach) for _ in range(m)] for _ in range(2))
        v: list[Expression] = [v_first]
        for i in range(1, m):
            high = 4.0 * max(reducer.v[chain.nodes[i]], 1.0)
            v.append((0.0, [(self._variable(high), 1.0)]))
        v.append(v_last)
        v_low = float(self.v_min.min())
        L = [self._variable(reach**2 / v_low) for _ in range(m)]
        shunt = [0j] * (m + 1)
        for i, edge in enumerate(chain.edges):
            z, scale = reducer.z[edge], reducer.scale[edge]
            near, far = reducer.y_tail[edge], reducer.y_head[edge]
            s_near, s_far = (scale, 1.0) if chain.forward[i] else (1.0, scale)
            if not chain.forward[i]:
                near, far = far, near
            shunt[i] += near
            shunt[i + 1] += far
            drop = self.equal.new(
                -s_far * v[i + 1][0] + s_near * v[i][0],
                [(P[i], 2 * z.real), (Q[i], 2 * z.imag), (L[i], -(abs(z) ** 2))],
            )
            for sense, end in ((s_far, v[i + 1]), (-s_near, v[i])):
                for variable, value in end[1]:
                    self.equal.put(drop, variable, sense * value)
            self._add_cone(P[i], Q[i], L[i], v[i], s_near)
        for i in range(1, m):
            constant, slope = self.core.draws[chain.nodes[i]]
            self._add_inner(i, (P, Q, L), reducer.z[chain.edges[i - 1]], opened, constant)
            inner = v[i][1][0][0]
            p_row = len(self.less.right) - 2
            self.less.put(p_row, inner, (slope + shunt[i]).real)
            self.less.put(p_row + 1, inner, (slope + shunt[i]).imag)
        first, last = chain.nodes[0], chain.nodes[-1]
        self._draw_at(first, shunt[0], v_first)
        self._draw_at(last, shunt[m], v_last)
        self._draw(first, P[0], 1.0 + 0j)
        self._draw(first, Q[0], 1j)
        self._draw(last, P[-1], -1.0 + 0j)
        self._draw(last, Q[-1], -1j)
        self._draw(last, L[-1], reducer.z[chain.edges[-1]])

    def _add_inner(
        self,
        i: int,
        flows: tuple[list[int], list[int], list[int]],
        z: complex,
        opened: dict[int, int],
        constant: complex,
    ) -> None:
        """Add the balances of the chain's inner node `i`: what comes in covers what goes out."""
        P, Q, L = flows
        for flow, ohm, drawn in ((P, z.real, constant.real), (Q, z.imag, constant.imag)):
            terms = [(flow[i], 1.0), (flow[i - 1], -1.0), (L[i - 1], ohm)]
            terms += [(k, -drawn) for k in opened.values()]
            self.less.new(-drawn, terms)

    def _add_cone(self, P: int, Q: int, L: int, v: Expression, scale: float) -> None:
        """Add ``P^2 + Q^2 <= L v`` as ``|(2P, 2Q, L - v)| <= L + v``."""
        constant, terms = v
        top = self.cone.new(scale * constant, [(L, -1.0)])
        self.cone.new(0.0, [(P, -2.0)])
        self.cone.new(0.0, [(Q, -2.0)])
        low = self.cone.new(-scale * constant, [(L, -1.0)])
        for variable, value in terms:
            self.cone.put(top, variable, -scale * value)
            self.cone.put(low, variable, scale * value)

    def _add_tree_rows(self) -> None:
        """Add (4)."""
        n_junctions = len({self.reducer.merged(k) for k in self.core.junctions})
        uncut = [chain for chain in self.core.chains if chain.uncut]
        weights = [(self.open_at[c.edges[k]], 1.0) for c in uncut for k in c.cuts]
        self.equal.new(float(len(uncut) - n_junctions + 1), weights)
        for cut in self.cuts:
            mine = [(self.open_at[e], -1.0) for e in cut.edges if e in self.open_at]
            self.less.new(-float(cut.at_least), mine)
