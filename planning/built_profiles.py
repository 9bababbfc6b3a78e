"""Profiles of the net after a plan is built."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from pp_p2p.names import CANDIDATE, SGEN, TECHNOLOGY


def profiles_with_plan(
    profiles: xr.Dataset, plan: xr.Dataset, built: Mapping[int, tuple[str, int]]
) -> xr.Dataset:
    """Return `profiles` with the available power of the generators that the plan built.

    Parameters
    ----------
    profiles : Dataset
        With ``availability_pu(..., technology)`` and ``price_buy_eur_per_mwh``; dims ``time``,
        or ``day`` and ``hour``.
    plan : Dataset
        Result of `plan_network`.
    built : mapping
        Candidate -> (table, row), as `pp_p2p.write_back` returns it.
    """
    new = {row: k for k, (table, row) in built.items() if table == "sgen"}
    if not new:
        return profiles
    columns = []
    for candidate in new.values():
        unit = plan.sel({CANDIDATE: candidate})
        technology = str(unit["technology_built"].item())
        if technology == "dispatchable":  # runs whenever it is wanted
            like = profiles["price_buy_eur_per_mwh"]
            per_unit = xr.ones_like(like).drop_attrs()
        else:
            per_unit = profiles["availability_pu"].sel({TECHNOLOGY: technology}, drop=True)
        columns.append(per_unit * float(unit["built_p_mw"]))
    added = xr.concat(columns, dim=SGEN).assign_coords({SGEN: np.array(list(new))})
    if "sgen_p_mw" in profiles:
        added = xr.concat([profiles["sgen_p_mw"], added], dim=SGEN, join="exact")
    others = profiles.drop_vars(["sgen_p_mw", SGEN], errors="ignore")
    return others.assign(sgen_p_mw=added)
