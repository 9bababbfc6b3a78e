"""What may be added to a cone relaxation so that its optimum is a load flow.

The relaxation of `pp_p2p.network.branch_flow` may inflate the current l of a branch where that
pays. Two additions work against it:

    min  f + eps sum_t N_t h ( sum_k r_k l_k + sum_i L_i )                            (a)

    a_j v_hat_j = a_i v_hat_i - 2 r (P - sum_m r_m l_m) - 2 x (Q - sum_m x_m l_m)     (b)
    v_hat <= V_max^2,   m over branch i -> j and all branches below it

In (b) the brackets are the flows of the same injections without losses, and v_hat the voltage of
LinDistFlow that belongs to them: v <= v_hat wherever r, x >= 0, so that (b) implies the limit of
v. It is the modified problem OPF-m of Gan, Li, Topcu & Low, "Exact Convex Relaxation of Optimal
Power Flow in Radial Networks", IEEE Trans. Automatic Control 60 (2015), written in sums of losses
instead of sums of injections: no device appears in it, and one variable per bus is enough, which
solves quicker than lossless flows as variables of their own.

Nothing of the load flow is dropped: each source feeds a tree of its own, ratios scale v_hat as
they scale v, and a shunt draws what it draws at the model's v. The proof of exactness covers none
of these three: the certificate of the result decides, not the theorem.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyomo.environ as pyo

from pp_p2p.errors import Finding, InvalidInput
from pp_p2p.network.algebra import linear
from pp_p2p.network.branches import Array
from pp_p2p.network.formulation import Formulation
from pp_p2p.network.grid import GridData
from pp_p2p.network.soft_open_point import loss_terms
from pp_p2p.network.sop_data import SoftOpenPoints


@dataclass(frozen=True, kw_only=True)
class Tightening:
    """Additions to the cone relaxation; the result's attributes say which were in use.

    Parameters
    ----------
    loss_weight : float
        Added to the objective per MWh of losses of branches and converters, in the objective's
        own unit: EUR/MWh where it is money. Where losses are paid for (a negative price), the
        weight must exceed what they are paid. It keeps every feasible point, but moves the
        optimum towards fewer losses; results store the objective without the addition, which is
        never below that of ``loss_weight=0`` and not above that of the exact programme with the
        same weight.
    voltage : bool
        Keeps the voltage that the same injections would have without losses below the upper
        limit, too. It leaves the objective alone, but cuts off operating points between the two:
        those whose voltage meets the limit only thanks to losses, under reverse flow. What may
        still be fed in shrinks by about the losses' share of the voltage rise, 1 % or less of it
        in common feeders. Where injections are fixed and their lossless voltage is above the
        limit, there is no solution any more.

    Raises
    ------
    InvalidInput
        A weight that is not a finite number of at least 0.
    """

    loss_weight: float = 0.0
    voltage: bool = False

    def __post_init__(self) -> None:
        if not (np.isfinite(self.loss_weight) and self.loss_weight >= 0):
            raise InvalidInput(
                Finding(
                    table="tightening",
                    column="loss_weight",
                    rule=f"is {self.loss_weight}",
                    mend="use a finite number of at least 0",
                )
            )

    def __bool__(self) -> bool:
        return self.voltage or self.loss_weight > 0


PLAIN: Final = Tightening()
"""The relaxation as it is."""


def require_cone(tightening: Tightening, formulation: Formulation) -> None:
    """Raise where there is a tightening, but no relaxation that it could tighten.

    Raises
    ------
    InvalidInput
    """
    if tightening and not _has_cone(formulation):
        raise InvalidInput(
            Finding(
                table="tightening",
                rule=f"is for the cone relaxation, the formulation is {formulation.name!r}",
                mend="use formulation='branch_flow', or no tightening",
            )
        )


def tighten_voltage(
    block: Any, grid: GridData, formulation: Formulation, tightening: Tightening
) -> None:
    """Add (b) to a network block, where it is wanted: the variable ``v_hat``."""
    if not (tightening.voltage and _has_cone(formulation)):
        return
    tree, below = grid.tree, _branches_below(grid)
    block.v_hat = pyo.Var(
        block.BUS, block.TIME, bounds=lambda b, j, t: b.v[j, t].bounds, initialize=1.0
    )

    def lossless_drop(b: Any, k: int, t: int) -> Any:
        i, j = int(tree.parent[k]), int(tree.child[k])
        r, x = 2 * float(tree.r[k]), 2 * float(tree.x[k])
        coefs = [float(tree.v_scale_child[k]), -float(tree.v_scale_parent[k]), r, x]
        coefs += (-r * tree.r[below[k]] - x * tree.x[below[k]]).tolist()
        lost = [b.l[m, t] for m in below[k]]
        return linear(coefs, [b.v_hat[j, t], b.v_hat[i, t], b.p[k, t], b.q[k, t], *lost]) == 0.0

    block.lossless_drop = pyo.Constraint(block.BRANCH, block.TIME, rule=lossless_drop)


def _branches_below(grid: GridData) -> list[list[int]]:
    """Return per branch the branches of its subtree, itself the first."""
    incoming = {int(node): k for k, node in enumerate(grid.tree.child)}
    below = [[k] for k in range(grid.n_branches)]
    for k in reversed(range(grid.n_branches)):
        before = incoming.get(int(grid.tree.parent[k]))
        if before is not None:
            below[before] += below[k]
    return below


def added_losses(
    m: Any, tightening: Tightening, grid: GridData, sops: SoftOpenPoints, per_pu: Array
) -> Any:
    """Return (a) as an expression: 0 where it is not wanted.

    Parameters
    ----------
    m : pyomo.ConcreteModel or pyomo.Block
        With a `network_block` as ``m.network`` and converters as ``m.sop``.
    tightening : Tightening
    grid : GridData
    sops : SoftOpenPoints
    per_pu : (step,)
        Units of the objective per p.u. of losses in that step, at a weight of 1.
    """
    coefs: list[float] = []
    variables: list[Any] = []
    if tightening.loss_weight > 0 and hasattr(m.network, "current_cone"):
        for t, size in enumerate((tightening.loss_weight * per_pu).tolist()):
            for k, r in enumerate(grid.tree.r.tolist()):
                coefs.append(size * r)
                variables.append(m.network.l[k, t])
            for i in m.sop.TERMINAL:
                for factor, variable in loss_terms(m.sop, sops, i, t):
                    coefs.append(size * factor)
                    variables.append(variable)
    return linear(coefs, variables) if coefs else 0.0


def weigh_losses(
    m: Any, tightening: Tightening, grid: GridData, sops: SoftOpenPoints, per_pu: Array
) -> None:
    """Add `added_losses` to the one objective of `m`, as the expression ``m.added``."""
    m.added = pyo.Expression(expr=added_losses(m, tightening, grid, sops, per_pu))
    if tightening.loss_weight > 0:
        objective = next(iter(m.component_data_objects(pyo.Objective, active=True)))
        objective.expr = objective.expr + m.added.expr


def added_value(m: Any) -> float:
    """Return what (a) adds to the objective of a solved model, in the objective's own units."""
    return float(pyo.value(m.added))


def _has_cone(formulation: Formulation) -> bool:
    return formulation.capability == "cone"
