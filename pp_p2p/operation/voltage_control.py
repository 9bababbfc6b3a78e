"""Reactive power that holds the voltage of generators, for many steps at once.

Newton's engine knows constant power only, so the reactive power q of the k regulated nodes is the
root of e(q) = V_set - |V(q)|, found for all steps together by Broyden's method (1965). It starts
from the sensitivity of a grid whose other injections are currents,

    d|V_i| / dq_j = Im( Z_ij e^{j (delta_j - delta_i)} ) / |V_j|                           (1)

with Z the inverse of the node admittances whose sources are grounded, and takes four to eight
power flows. Limits of reactive power are not enforced, as in ``runpp``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from pp_p2p.network.branches import Array
from pp_p2p.operation.bus_branch import BusBranch

VM_TOLERANCE_PU: Final = 1e-11
MAX_ROUNDS: Final = 40

Solve = Callable[[Array, Array], tuple[Array, Array]]
"""(constant power drawn (step, node), which steps) -> voltages, which converged."""


def hold_voltages(model: BusBranch, drawn: Array, solve: Solve) -> tuple[Array, Array, Array]:
    """Solve all steps with the set voltages of `model`.

    Parameters
    ----------
    model : BusBranch
    drawn : (step, node) complex
        Consumption of constant power, p.u., the active power of the generators in it.
    solve : callable

    Returns
    -------
    tuple
        Consumption with the reactive power of the generators, voltages, which steps converged.
    """
    node, wanted = model.regulated_node, model.regulated_vm
    drawn = drawn.copy()
    voltage, converged = solve(drawn, np.arange(len(drawn)))
    active = np.flatnonzero(converged)
    error = wanted - np.abs(voltage[active][:, node])
    inverse = np.linalg.inv(sensitivity(model, node, voltage[active][:, node]))
    for _ in range(MAX_ROUNDS):
        short = np.abs(error).max(axis=1) > VM_TOLERANCE_PU
        active, error, inverse = active[short], error[short], inverse[short]
        if not active.size:
            break
        step = np.einsum("sij,sj->si", inverse, error)
        drawn[np.ix_(active, node)] -= 1j * step
        voltage[active], found = solve(drawn[active], active)
        converged[active[~found]] = False
        active, error, inverse, step = active[found], error[found], inverse[found], step[found]
        left = wanted - np.abs(voltage[active][:, node])
        inverse = _broyden(inverse, step, error - left)
        error = left
    converged[active] = False
    return drawn, voltage, converged


def _broyden(inverse: Array, step: Array, gained: Array) -> Array:
    """Return the inverse sensitivities after `step` has raised the voltages by `gained`."""
    back = np.einsum("si,sij->sj", step, inverse)
    reached = np.einsum("sij,sj->si", inverse, gained)
    weight = np.einsum("si,si->s", step, reached)
    safe = np.where(weight == 0.0, 1.0, weight)
    return np.asarray(inverse + np.einsum("si,sj->sij", step - reached, back) / safe[:, None, None])


def sensitivity(model: BusBranch, node: Array, at: Array) -> Array:
    """Return (1) of the nodes `node` (k,) at their voltages `at` (step, k): (step, k, k)."""
    from scipy.sparse import csc_matrix
    from scipy.sparse.linalg import splu

    free = np.setdiff1d(np.arange(model.n_nodes), model.source_node)
    position = np.searchsorted(free, node)
    unit = np.zeros((len(free), len(position)), dtype=complex)
    unit[position, np.arange(len(position))] = 1.0
    z = splu(csc_matrix(model.y_bus[free][:, free])).solve(unit)[position]
    turn = at[:, None, :] / at[:, :, None]
    return np.asarray((z * turn / np.abs(turn)).imag / np.abs(at)[:, None, :])
