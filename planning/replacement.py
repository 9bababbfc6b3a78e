"""Lines that may be replaced: one of two branches in parallel carries, the other carries nothing.

With x = 1 where the new line (r_1, x_1, I_1) stands and x = 0 where the old one (r_0, x_0, I_0)
does, every quantity y of the branch i -> j is y_0 + y_1, and for each state s, x_s = s ? x : 1 - x:

    a_j v_js = a_i v_is - 2 (r_s P_s + x_s Q_s) + |z_s|^2 l_s                        (1)
    P_s^2 + Q_s^2 <= a_i v_is l_s,   0 <= l_s <= I_s^2 x_s                           (2)
    V_min^2 x_s <= v_is, v_js <= V_max^2 x_s                                         (3)

exact where x is 0 or 1, and the convex hull of both states in between (Balas 1979), so that x is
the only integer. The balance of the child takes the losses r_0 l_0 + r_1 l_1, and shunts of the
line take the voltages of their state.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyomo.environ as pyo

from pp_p2p.elements.line_types import replace_line
from pp_p2p.errors import Finding, raise_if_any
from pp_p2p.network.algebra import linear
from pp_p2p.network.branch_flow import current_bound
from pp_p2p.network.branches import Array
from pp_p2p.network.grid import GridData


@dataclass(frozen=True, kw_only=True)
class Replacement:
    """A `candidate` that gives a `branch` of the grid other values, p.u.

    `y_parent` and `y_child` are by how much the shunts at its ends change.
    """

    candidate: int
    branch: int
    r: float
    x: float
    i_max: float
    y_parent: complex
    y_child: complex


def read_replacements(net: Any, grid: GridData, table: Any) -> tuple[Replacement, ...]:
    """Read the candidates of technology replacement from the in-service rows of `table`.

    Raises
    ------
    InvalidInput
        An unknown type, a line that carries nothing, two candidates in one branch.
    """
    found = []
    for k, row in enumerate(table.itertuples()):
        if row.technology != "replacement":
            continue
        new = GridData.from_net(with_line(net, row), grid.s_base_mva)
        mine = (grid.branches.element == "line") & (grid.branches.index == row.line)
        if not mine.any():
            raise_if_any([_finding(row.Index, "carries nothing", "name an energised line")])
        at = int(grid.branch_of[mine][0])
        change = new.y_shunt - grid.y_shunt
        found.append(
            Replacement(
                candidate=k,
                branch=at,
                r=float(new.tree.r[at]),
                x=float(new.tree.x[at]),
                i_max=float(new.tree.i_max[at]),
                y_parent=complex(change[grid.tree.parent[at]]),
                y_child=complex(change[grid.tree.child[at]]),
            )
        )
    branches = [one.branch for one in found]
    raise_if_any(
        _finding(
            table.index[one.candidate],
            "lies in one branch with another candidate of technology replacement",
            "keep one of them",
        )
        for one in found
        if branches.count(one.branch) > 1
    )
    return tuple(found)


def with_line(net: Any, row: Any) -> Any:
    """Return a copy of `net` in which a candidate of technology replacement is built."""
    net = copy.deepcopy(net)
    replace_line(net, int(row.line), std_type=str(row.std_type), parallel=int(row.parallel))
    return net


def _finding(row: Any, rule: str, mend: str) -> Finding:
    return Finding(table="candidate", column="line", rows=(row,), rule=rule, mend=mend)


def add_replacements(
    block: Any, grid: GridData, replacements: tuple[Replacement, ...], units: Mapping[int, Any]
) -> None:
    """Put (1)-(3) in place of the laws of the branches in a network block of branch flow."""
    if not replacements:
        return
    tree, rows = grid.tree, range(len(replacements))
    state = (rows, (0, 1), block.TIME)
    z = [
        [(float(tree.r[one.branch]), float(tree.x[one.branch])), (one.r, one.x)]
        for one in replacements
    ]
    ends = [(int(tree.parent[one.branch]), int(tree.child[one.branch])) for one in replacements]
    ratio = [
        (float(tree.v_scale_parent[one.branch]), float(tree.v_scale_child[one.branch]))
        for one in replacements
    ]
    flow = float(block.p[replacements[0].branch, 0].ub)
    old = current_bound(grid, flow)
    lowest = [float(grid.vm_min[i] ** 2) * ratio[n][0] for n, (i, _) in enumerate(ends)]
    most = [
        (float(old[one.branch]), min(one.i_max**2, flow**2 / lowest[n]))
        for n, one in enumerate(replacements)
    ]
    block.p_state = pyo.Var(*state, bounds=(-flow, flow))
    block.q_state = pyo.Var(*state, bounds=(-flow, flow))
    block.l_state = pyo.Var(*state, bounds=lambda _, n, s, _t: (0.0, most[n][s]))

    def voltage(side: int) -> Any:
        def bounds(b: Any, n: int, _s: int, t: int) -> tuple[float, float]:
            return 0.0, float(b.v[ends[n][side], t].ub)

        return bounds

    block.v_parent_state = pyo.Var(*state, bounds=voltage(0))
    block.v_child_state = pyo.Var(*state, bounds=voltage(1))
    copies = (block.v_parent_state, block.v_child_state)

    def whole(b: Any, n: int, name: str, t: int) -> Any:
        k, (i, j) = replacements[n].branch, ends[n]
        of = {"p": b.p[k, t], "q": b.q[k, t], "l": b.l[k, t], "i": b.v[i, t], "j": b.v[j, t]}
        parts = {"p": b.p_state, "q": b.q_state, "l": b.l_state, "i": copies[0], "j": copies[1]}
        both = [parts[name][n, s, t] for s in (0, 1)]
        return linear([1.0, -1.0, -1.0], [of[name], *both]) == 0.0

    def drop(b: Any, n: int, s: int, t: int) -> Any:
        r, x = z[n][s]
        coefs = [ratio[n][1], -ratio[n][0], 2 * r, 2 * x, -(r**2 + x**2)]
        variables = [copies[1][n, s, t], copies[0][n, s, t], b.p_state[n, s, t]]
        return linear(coefs, [*variables, b.q_state[n, s, t], b.l_state[n, s, t]]) == 0.0

    def cone(b: Any, n: int, s: int, t: int) -> Any:
        square = b.p_state[n, s, t] ** 2 + b.q_state[n, s, t] ** 2
        return square - ratio[n][0] * b.l_state[n, s, t] * copies[0][n, s, t] <= 0.0

    def within(variable: Any, bound: float, s: int, n: int, sense: float) -> Any:
        """Return ``sense variable <= sense bound x_s``."""
        unit = units[replacements[n].candidate]
        share = -sense * bound if s else sense * bound
        return linear([sense, share], [variable, unit]) <= (0.0 if s else sense * bound)

    def current(b: Any, n: int, s: int, t: int) -> Any:
        return within(b.l_state[n, s, t], most[n][s], s, n, 1.0)

    def voltages(b: Any, n: int, s: int, t: int, side: int, high: int) -> Any:
        bound = b.v[ends[n][side], t].bounds[high]
        return within(copies[side][n, s, t], float(bound), s, n, 1.0 if high else -1.0)

    block.state_sum = pyo.Constraint(rows, ("p", "q", "l", "i", "j"), block.TIME, rule=whole)
    block.state_drop = pyo.Constraint(*state, rule=drop)
    block.state_cone = pyo.Constraint(*state, rule=cone)
    block.state_current = pyo.Constraint(*state, rule=current)
    block.state_voltage = pyo.Constraint(*state, (0, 1), (0, 1), rule=voltages)
    for n, one in enumerate(replacements):
        for t in block.TIME:
            del block.voltage_drop[one.branch, t], block.current_cone[one.branch, t]
            block.l[one.branch, t].setub(max(most[n]))
            _move_balance(block, n, one, ends[n], z[n], t)


def _move_balance(
    block: Any,
    n: int,
    one: Replacement,
    ends: tuple[int, int],
    z: list[tuple[float, float]],
    t: int,
) -> None:
    """Let the balances of the ends take losses and shunts of the new state."""
    lost, i, j = block.l_state[n, 1, t], *ends
    at_i, at_j = block.v_parent_state[n, 1, t], block.v_child_state[n, 1, t]
    _extend(block.balance_p[j, t], [(z[0][0] - z[1][0], lost), (-one.y_child.real, at_j)])
    _extend(block.balance_q[j, t], [(z[0][1] - z[1][1], lost), (one.y_child.imag, at_j)])
    _extend(block.balance_p[i, t], [(-one.y_parent.real, at_i)])
    _extend(block.balance_q[i, t], [(one.y_parent.imag, at_i)])


def _extend(constraint: Any, terms: list[tuple[float, Any]]) -> None:
    new = [(float(c), v) for c, v in terms if c != 0.0]
    body, level = constraint.body, pyo.value(constraint.upper)
    coefs = [*body.linear_coefs, *(c for c, _ in new)]
    after = linear(coefs, [*body.linear_vars, *(v for _, v in new)], body.constant)
    constraint.set_value(after == level)


def built_grid(
    net: Any, grid: GridData, table: Any, replacements: tuple[Replacement, ...], units: Array
) -> tuple[Any, GridData]:
    """Return net and grid with the lines that `units` (candidate,) replace; as they are if none.

    `table` holds the rows of the candidates.
    """
    built = [one.candidate for one in replacements if units[one.candidate] > 0.5]
    if not built:
        return net, grid
    rows = list(table.itertuples())
    for k in built:
        net = with_line(net, rows[k])
    return net, GridData.from_net(net, grid.s_base_mva)
