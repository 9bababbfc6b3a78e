"""The record of the rounds of configurations and trades, labelled."""

from __future__ import annotations

import numpy as np
import xarray as xr

from pp_p2p.market.topology_rounds import Outcome

ROUND = "round"
INNER = "inner_round"
ITERATION = "iteration"


def label_rounds(outcome: Outcome) -> xr.Dataset:
    """Return objective, bound, free binaries, trials and time of every outer round.

    Of a distributed day also the residuals of every inner round, NaN after its last iteration.
    """
    rounds = outcome.rounds
    columns = {
        "round_objective_eur": np.array([r.objective for r in rounds]),
        "round_estimate_eur": np.array([r.bound for r in rounds]),
        "round_free_binaries": np.array([r.free for r in rounds], dtype=np.int64),
        "round_hours_valued": np.array([r.looked_at for r in rounds], dtype=np.int64),
        "round_trials": np.array([r.trials for r in rounds], dtype=np.int64),
        "round_accepted": np.array([r.accepted for r in rounds], dtype=np.int8),
        "round_operations": np.array([r.operations for r in rounds], dtype=np.int64),
        "round_seconds": np.array([r.seconds for r in rounds]),
        "round_ac_vm_error_pu": np.array([r.ac_vm_error_pu for r in rounds]),
        "round_ac_excess": np.array([r.ac_excess for r in rounds]),
    }
    ds = xr.Dataset(
        {name: (ROUND, values) for name, values in columns.items()},
        coords={ROUND: np.arange(len(rounds))},
    )
    if not outcome.inner:
        return ds
    longest = max(each.shape[1] for each in outcome.inner)
    residuals = np.full((len(outcome.inner), 2, longest), np.nan)
    for k, each in enumerate(outcome.inner):
        residuals[k, :, : each.shape[1]] = each
    inner = xr.Dataset(
        {
            "inner_residual_primal": ((INNER, ITERATION), residuals[:, 0]),
            "inner_residual_dual": ((INNER, ITERATION), residuals[:, 1]),
        },
        coords={INNER: np.arange(len(residuals)), ITERATION: np.arange(1, longest + 1)},
    )
    return ds.merge(inner)
