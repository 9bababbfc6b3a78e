"""Load flow of a radial grid without losses, by two matrix products: LinDistFlow, evaluated.

For branch k from i to j, with D[k, n] = 1 where node n lies behind k:

    P_k = sum_n D[k, n] p_n,     Q_k = sum_n D[k, n] q_n                    (1)
    a_j v_j = a_i v_i - 2 (r_k P_k + x_k Q_k)                               (2)

(2) is (1) of `lindistflow`, in squared voltages. For many small questions about one topology, where
building a model would take longer than the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from pp_p2p.network.branches import Array
from pp_p2p.network.topology import Tree


@dataclass(frozen=True, kw_only=True)
class LinearFlow:
    """A tree prepared for many demands.

    Parameters
    ----------
    tree : Tree
    behind : (branch, node) of bool
        D.
    vm_no_load : (node,) of float
        Voltage without any flow, p.u.
    """

    tree: Tree
    behind: Array
    vm_no_load: Array
    _scale: Array

    @classmethod
    def of_tree(cls, tree: Tree, n_nodes: int, source_node: Array, source_vm: Array) -> Self:
        """Prepare `tree`, which grows from `source_node` with voltages `source_vm` (p.u.)."""
        n = len(tree.parent)
        behind = np.zeros((n, n_nodes), dtype=bool)
        into = np.full(n_nodes, -1)
        into[tree.child] = np.arange(n)
        v, scale = np.zeros(n_nodes), np.ones(n_nodes)
        v[source_node] = source_vm
        for k in range(n):
            i, j = tree.parent[k], tree.child[k]
            v[j] = v[i]
            scale[j] = scale[i] * tree.v_scale_child[k] / tree.v_scale_parent[k]
        for k in reversed(range(n)):
            behind[k, tree.child[k]] = True
            above = into[tree.parent[k]]
            if above >= 0:
                behind[above] |= behind[k]
        return cls(tree=tree, behind=behind, vm_no_load=v / np.sqrt(scale), _scale=scale)

    def flows(self, p: Array, q: Array) -> tuple[Array, Array]:
        """Return active and reactive power (branch,), p.u., for the demand (node,), p.u. (1)."""
        return self.behind @ p, self.behind @ q

    def squared_voltage(self, p_branch: Array, q_branch: Array) -> Array:
        """Return the squared voltage (node,), p.u., for the flows (branch,) (2)."""
        tree = self.tree
        weight = self._scale[tree.child] / tree.v_scale_child
        drop = 2.0 * weight * (tree.r * p_branch + tree.x * q_branch)
        v: Array = self.vm_no_load**2 - (drop @ self.behind) / self._scale
        return v
