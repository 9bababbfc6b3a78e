"""What `evaluate` is given: the plan against the net, the year as days, the net with the plan."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from pp_p2p.elements.tables import frame
from pp_p2p.errors import Finding, raise_if_any
from pp_p2p.names import CANDIDATE, DAY, HOUR, TIME
from pp_p2p.network.timeline import Timeline
from pp_p2p.written_back import write_back


def check_plan(net: Any, plan: xr.Dataset) -> pd.DataFrame:
    """Return the rows of ``net.candidate`` that the plan chose from.

    Raises
    ------
    InvalidInput
        `plan` is no plan, or its candidates are not those of the net.
    """
    if str(plan.attrs.get("problem", "")) != "plan_network":
        raise_if_any(
            [
                Finding(
                    table="plan",
                    column="problem",
                    rule=f"is {plan.attrs.get('problem', '')!r}, not a plan",
                    mend="pass a result of planning.plan_network",
                )
            ]
        )
    table = frame(net, "candidate")
    raise_if_any(_foreign(table, plan))
    return table.loc[plan[CANDIDATE].to_numpy()]


def _foreign(table: pd.DataFrame, plan: xr.Dataset) -> Iterator[Finding]:
    labels = [int(k) for k in plan[CANDIDATE].to_numpy()]
    gone = [k for k in labels if k not in table.index or not table.in_service[k]]
    if gone:
        yield Finding(
            table="candidate",
            rows=tuple(gone),
            rule="are in the plan but not in service in this net",
            mend="pass the net that the plan was made for, before the plan is written back",
        )
        return
    rows, units = table.loc[labels], plan["units"].to_numpy()
    other = rows.technology.to_numpy(object).astype(str) != plan["technology_built"].to_numpy()
    other |= rows.bus.to_numpy() != plan["candidate_bus"].to_numpy()
    other |= ~np.isclose(rows.unit_p_mw.to_numpy(float) * units, plan["built_p_mw"].to_numpy())
    other |= units > rows.max_units.to_numpy()
    if other.any():
        yield Finding(
            table="candidate",
            rows=tuple(rows.index[other].tolist()),
            rule="differ from the plan's in technology, bus, size or number",
            mend="pass the net that the plan was made for",
        )


def days_of(profiles: xr.Dataset) -> xr.Dataset:
    """Return `profiles` over ``day`` and ``hour``, every day of weight 1.

    Raises
    ------
    InvalidInput
        The steps make no whole days.
    """
    line = Timeline.from_profiles(profiles)
    if line.dims == (DAY, HOUR):
        return profiles.drop_vars("weight", errors="ignore").assign(
            weight=(DAY, np.ones(line.n_days))
        )
    per_day = 24.0 / line.step_h
    whole = abs(per_day - round(per_day)) < 1e-9 and line.n_steps % round(per_day) == 0
    if line.dims != (TIME,) or not whole or line.hour_of_day[0] != 0.0:
        raise_if_any(
            [
                Finding(
                    table="profiles",
                    column=TIME,
                    rule=f"has {line.n_steps} steps of {line.step_h:g} h from hour "
                    f"{line.hour_of_day[0]:g} on: no whole days",
                    mend="give whole days from midnight to midnight, without scenarios",
                )
            ]
        )
    count, steps = line.n_steps // round(per_day), round(per_day)
    hours = np.arange(steps) * line.step_h
    days = profiles.drop_dims(TIME).assign_coords({DAY: np.arange(count), HOUR: hours})
    for name, array in profiles.data_vars.items():
        if TIME in array.dims:
            values = array.transpose(TIME, ...)
            rest = values.dims[1:]
            coords = {dim: values.coords[dim] for dim in rest if dim in values.coords}
            split = values.to_numpy().reshape(count, steps, *values.shape[1:])
            days[name] = xr.DataArray(split, coords, (DAY, HOUR, *rest))
    days = days.assign(weight=(DAY, np.ones(count)))
    days.attrs["step_h"] = line.step_h
    return days


def net_with_plan(
    net: Any, plan: xr.Dataset, table: pd.DataFrame
) -> tuple[Any, dict[int, tuple[str, int]]]:
    """Return a copy of `net` with the plan built, and what was built.

    Only costs that a plan counts remain: those of static generators.
    """
    built = copy.deepcopy(net)
    rows = write_back(built, plan)
    costs = built.poly_cost[built.poly_cost.et == "sgen"]
    new = [
        {"element": row, "et": "sgen", "cp1_eur_per_mw": float(table.variable_om_eur_per_mwh[k])}
        for k, (name, row) in rows.items()
        if name == "sgen" and float(table.variable_om_eur_per_mwh[k]) != 0.0
    ]
    if new:
        added = pd.DataFrame(new).reindex(columns=built.poly_cost.columns).fillna(0.0)
        costs = pd.concat([costs, added], ignore_index=True) if len(costs) else added
    built.poly_cost = costs.astype(built.poly_cost.dtypes.to_dict())
    return built, rows
