"""Graph work on closed branches: merging parallel ones, orienting the tree from its sources."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import numpy as np

from pp_p2p.errors import Finding, UnsupportedFeature
from pp_p2p.network.branches import Array, Branches


class DisjointSets:
    """Union-find whose representative is the smallest member, so that labels are stable."""

    def __init__(self, members: Iterable[int]) -> None:
        self._parent = {member: member for member in members}

    def find(self, member: int) -> int:
        """Return the smallest member of the set that holds `member`."""
        root = member
        while self._parent[root] != root:
            root = self._parent[root]
        while self._parent[member] != root:
            self._parent[member], member = root, self._parent[member]
        return root

    def join(self, a: int, b: int) -> bool:
        """Unite the sets of `a` and `b`; False where they were one already."""
        low, high = sorted((self.find(a), self.find(b)))
        self._parent[high] = low
        return low != high


@dataclass(frozen=True, kw_only=True)
class MergedBranches:
    """Branches between different pairs of nodes; parallel elements are one branch.

    `member_of` (element,) names the branch of each element, `share` (element,) its complex part
    of that branch's current. Everything else is per branch, in the from-to sense of its first
    element.
    """

    from_node: Array
    to_node: Array
    z: Array
    y_from: Array
    y_to: Array
    ratio: Array
    i_max: Array
    member_of: Array
    share: Array


@dataclass(frozen=True, kw_only=True)
class Tree:
    """Radial network, parents before children.

    Voltages behind the ratios are ``v_scale_parent * v[parent]`` and ``v_scale_child * v[child]``;
    between them lies the series impedance ``r + jx`` with the current limit `i_max` (p.u.).
    `position` (merged branch,) is where a merged branch went; `reversed` is True where the
    element's from end is the child.
    """

    parent: Array
    child: Array
    r: Array
    x: Array
    v_scale_parent: Array
    v_scale_child: Array
    y_parent: Array
    y_child: Array
    i_max: Array
    reversed: Array
    position: Array


def merge_parallel(branches: Branches, from_node: Array, to_node: Array) -> MergedBranches:
    """Merge elements that connect the same two nodes with the same ratio into one branch.

    Raises
    ------
    UnsupportedFeature
        Parallel elements of different ratio or phase shift (a circulating current), or both ends
        on one node.
    """
    short = from_node == to_node
    if short.any():
        raise UnsupportedFeature(
            "GridData", _name_rows(branches, short, "connects a node with itself", "open it")
        )
    groups: dict[Hashable, list[int]] = {}
    for k, (a, b) in enumerate(zip(from_node.tolist(), to_node.tolist(), strict=True)):
        groups.setdefault((min(a, b), max(a, b)), []).append(k)
    first = np.array([members[0] for members in groups.values()], dtype=np.int64)
    member_of = np.empty(len(branches), dtype=np.int64)
    share = np.ones(len(branches), dtype=complex)
    z, i_max = branches.z[first].copy(), branches.i_max[first].copy()
    y_from, y_to = branches.y_from[first].copy(), branches.y_to[first].copy()
    for b, members in enumerate(groups.values()):
        rows = np.array(members)
        member_of[rows] = b
        if len(rows) == 1:
            continue
        _refuse_circulating(branches, rows, from_node)
        admittance = 1.0 / branches.z[rows]
        z[b] = 1.0 / admittance.sum()
        share[rows] = admittance * z[b]
        i_max[b] = np.min(branches.i_max[rows] / np.abs(share[rows]))
        same = from_node[rows] == from_node[rows[0]]
        y_from[b] = np.where(same, branches.y_from[rows], branches.y_to[rows]).sum()
        y_to[b] = np.where(same, branches.y_to[rows], branches.y_from[rows]).sum()
    return MergedBranches(
        from_node=from_node[first],
        to_node=to_node[first],
        z=z,
        y_from=y_from,
        y_to=y_to,
        ratio=branches.ratio[first],
        i_max=i_max,
        member_of=member_of,
        share=share,
    )


def orient(merged: MergedBranches, n_nodes: int, sources: Array, members: Branches) -> Tree:
    """Orient the branches away from the sources.

    Raises
    ------
    UnsupportedFeature
        Where branches close a loop or connect two sources; the rows on the loop are named.
    """
    neighbours: list[list[tuple[int, int]]] = [[] for _ in range(n_nodes)]
    for b in range(len(merged.z)):
        neighbours[merged.from_node[b]].append((b, int(merged.to_node[b])))
        neighbours[merged.to_node[b]].append((b, int(merged.from_node[b])))
    came_by: dict[int, int] = dict.fromkeys(sources.tolist(), -1)
    order: list[int] = []
    queue = deque(sources.tolist())
    while queue:
        node = queue.popleft()
        for b, other in neighbours[node]:
            if b == came_by[node]:
                continue
            if other in came_by:
                raise UnsupportedFeature(
                    "a radial formulation", _loop_finding(merged, members, came_by, b)
                )
            came_by[other] = b
            order.append(b)
            queue.append(other)
    rows = np.array(order, dtype=np.int64)
    reverse = np.array([came_by[int(merged.from_node[b])] == b for b in order], dtype=bool)
    position = np.empty(len(rows), dtype=np.int64)
    position[rows] = np.arange(len(rows))
    scale = 1.0 / merged.ratio[rows] ** 2
    y_from, y_to = merged.y_from[rows], merged.y_to[rows]
    return Tree(
        parent=np.where(reverse, merged.to_node[rows], merged.from_node[rows]),
        child=np.where(reverse, merged.from_node[rows], merged.to_node[rows]),
        r=merged.z[rows].real,
        x=merged.z[rows].imag,
        v_scale_parent=np.where(reverse, 1.0, scale),
        v_scale_child=np.where(reverse, scale, 1.0),
        y_parent=np.where(reverse, y_to, y_from),
        y_child=np.where(reverse, y_from, y_to),
        i_max=merged.i_max[rows],
        reversed=reverse,
        position=position,
    )


def _refuse_circulating(branches: Branches, rows: Array, from_node: Array) -> None:
    same_way = from_node[rows] == from_node[rows[0]]
    ratios = branches.ratio[rows]
    turn = np.where(same_way, 1.0, -1.0) * branches.shift[rows]
    in_phase = np.allclose((turn - turn[0] + 180.0) % 360.0, 180.0, atol=1e-6)
    same_ratio = np.allclose(ratios, ratios[0], rtol=1e-9)
    if in_phase and same_ratio and (same_way.all() or np.allclose(ratios, 1.0)):
        return
    mask = np.isin(np.arange(len(branches)), rows)
    rule = "are parallel with different ratios or phase shifts, which drives a circulating current"
    raise UnsupportedFeature(
        "a radial formulation",
        _name_rows(branches, mask, rule, "set equal tap positions or open one of them"),
    )


def _loop_finding(
    merged: MergedBranches, members: Branches, came_by: dict[int, int], closing: int
) -> list[Finding]:
    """Name the elements on the loop that branch `closing` closes."""

    def path(node: int) -> list[int]:
        steps = []
        while (b := came_by[node]) != -1:
            steps.append(b)
            node = int(merged.from_node[b] + merged.to_node[b] - node)
        return steps

    one, two = path(int(merged.from_node[closing])), path(int(merged.to_node[closing]))
    loop = set(one) ^ set(two) | {closing}
    mask = np.isin(merged.member_of, list(loop))
    rule = "lie on a closed loop or connect two external grids"
    return _name_rows(members, mask, rule, "open a switch or take one of them out of service")


def _name_rows(branches: Branches, mask: Array, rule: str, mend: str) -> list[Finding]:
    elements = branches.element[mask]
    return [
        Finding(
            table=str(table),
            rows=tuple(branches.index[mask][elements == table].tolist()),
            rule=rule,
            mend=mend,
        )
        for table in dict.fromkeys(elements.tolist())
    ]
