"""How a search for integers went on: bound and best plan over time."""

from __future__ import annotations

import numpy as np
import xarray as xr

from pp_p2p.solve.report import SolveReport


def label_progress(report: SolveReport, *, scale: float, unit: str) -> xr.Dataset:
    """Return the solver's history as variables over ``progress``.

    Parameters
    ----------
    report : SolveReport
    scale : float
        `unit` per unit of the model's objective.
    unit : str
        Suffix of the objective's unit: ``"eur"`` or ``"eur_per_year"``.

    Returns
    -------
    Dataset
        ``progress_s`` (time since the start, s), ``progress_bound_<unit>`` and
        ``progress_objective_<unit>``; without a history the end alone. NaN stands for none yet.
    """
    rows = report.history or ((report.seconds, report.bound, report.objective),)
    seconds, bound, objective = np.array(rows, dtype=float).T
    found = {f"progress_bound_{unit}": bound, f"progress_objective_{unit}": objective}
    ds = xr.Dataset(
        {
            name: ("progress", np.where(np.isfinite(values), values * scale, np.nan))
            for name, values in found.items()
        }
    )
    return ds.assign(progress_s=("progress", seconds, {"units": "s"}))
