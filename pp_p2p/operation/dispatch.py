"""Optimal dispatch: set points of everything that may move, for one hour or for typical days.

    min  one of
         sum_t N_t h [ sum_k r_k l_k + g v + sum_i L_i ]                      (loss)    (1)
         sum_t N_t h [ sum c1 p + c2 p^2 + b P_buy - s P_sell ]               (cost)    (2)
         sum_t N_t h [ sum_j |v_j - V_ref^2| / 2 + 1e-2 losses ]              (voltage) (3)
    s.t. load flow and limits                                                 pp_p2p.network
         set points of generators, storage, flexible loads, soft open points  their blocks

What may move follows pandapower's own columns: ``controllable``, ``min_/max_p_mw``,
``min_/max_q_mvar``; costs are ``net.poly_cost`` and the prices of the profiles. In the lossless
linear formulation (1) takes ``r (P^2 + Q^2)``, the losses at nominal voltage.
"""

from __future__ import annotations

from typing import Any, Literal

import xarray as xr

from pp_p2p.network.tightening import PLAIN, Tightening
from pp_p2p.operation.dispatch_data import Objective
from pp_p2p.operation.dispatch_problem import DispatchProblem
from pp_p2p.solve.report import DEFAULT_CONFIG, SolverConfig


def dispatch(
    net: Any,
    profiles: xr.Dataset | None = None,
    *,
    objective: Objective = "loss",
    formulation: str = "branch_flow",
    repair: Literal["", "ac"] = "",
    vm_ref_pu: float = 1.0,
    tightening: Tightening = PLAIN,
    solver: SolverConfig = DEFAULT_CONFIG,
    seed: int = 0,
) -> xr.Dataset:
    """Choose the set points of everything that may move.

    Parameters
    ----------
    net : pandapowerNet
        Is not changed. Limits are pandapower's own, those of external grids included.
    profiles : Dataset, optional
        Dim ``time``, or ``day`` and ``hour``; without it, one hour of the net's own values.
    objective : {"loss", "cost", "voltage"}
        Least losses of lines, transformers and converters; least cost by ``net.poly_cost`` and the
        profiles' prices; least deviation of voltages from `vm_ref_pu`.
    formulation : {"branch_flow", "lindistflow", "ac"}
        ``"ac"`` is the exact nonlinear programme, started from the cone's solution.
    repair : {"", "ac"}
        ``"ac"`` solves again exactly where the cone relaxation turns out inexact; the result's
        attribute ``repaired`` says so.
    vm_ref_pu : float
        Voltage that ``objective="voltage"`` aims at.
    tightening : Tightening
        Of the cone relaxation; ``repair`` solves without it. The attribute ``objective`` leaves
        its addition out, ``objective_added`` holds it.
    solver : SolverConfig
    seed : int
        Stored with the result; no random number is drawn.

    Returns
    -------
    Dataset
        Voltages, loadings, losses, set points by element, certificates in the attributes.

    Raises
    ------
    InvalidInput, UnsupportedFeature
        Before anything is solved.
    NoSolution
        The limits cannot hold; they are named.
    """
    problem = DispatchProblem(
        net,
        profiles,
        objective=objective,
        formulation=formulation,
        repair=repair,
        vm_ref_pu=vm_ref_pu,
        tightening=tightening,
        solver=solver,
        seed=seed,
    )
    return problem.solve()
