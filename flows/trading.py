"""The step of a study that trades every typical day, whatever the mechanism."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import xarray as xr

from flows.chain import Inputs
from flows.places import placed
from flows.plan_years import stages_of
from flows.study import Study
from flows.study_market import Trade
from flows.study_net import rows_by_name
from flows.trade_options import trade_options
from pp_p2p.elements.tables import frame
from pp_p2p.names import DAY, HOUR, TIME

AGREED: Final = ("agreed", "cleared")
"""How a day is called on which there is trade: bargained or offered, or cleared by a market."""

RECORDS: Final = ("iteration", "round", "inner_round", "congestion_round", "operation")
"""Dimensions that are as long as it took: days differ in them."""

WORST: Final = ("gap", "relaxation_gap", "ac_vm_error_pu", "ac_loss_error_percent")
KEPT: Final = ("problem", "solver", "formulation", "version", "seed", "options")

OF_DAYS: Final = (
    "gain_eur",
    "objective_eur",
    "bound_eur",
    "limits_broken",
    "limits_broken_alone",
    "regret_eur",
    "turnover_eur",
    "distributed_gap",
    "central_objective_eur",
    "joint_gap",
    "gain_error_eur",
)
"""Numbers of a day that become variables, as far as the mechanism has them."""

WORDS_OF_DAYS: Final = ("equilibrium", "existence", "unique", "split")
"""Verdicts of a day that become variables, as far as the mechanism has them."""


def trade_stage(
    study: Study, inputs: Inputs, days: xr.Dataset, plan: xr.Dataset, stage: int | None = None
) -> xr.Dataset:
    """Trade every typical day on the planned network; one dataset with dim ``day``.

    `stage` of a horizon, from 1, has the units, the demand and the prices of its years; a plan of
    one year has the demand of that year.
    """
    from planning import plan_at, profiles_with_plan
    from planning.plan_rules import grown
    from pp_p2p import trade_day, write_back

    net = copy.deepcopy(inputs.net)
    if stage is not None:
        net, days = stages_of(study)[stage - 1].grown(net, days)
        plan = plan_at(plan, stage)
    elif study.planning.demand_growth_percent:
        net, days = grown(net, days, 1.0 + study.planning.demand_growth_percent / 100.0)
    profiles = profiles_with_plan(days, plan, write_back(net, plan))
    switchable = switchable_of(study.trade, inputs.net, net)
    options = trade_options(study.trade, rows_by_name(net, "sop"), switchable)
    results = []
    for day in days[DAY].to_numpy():
        one = profiles.sel({DAY: day}, drop=True).rename({HOUR: TIME})
        with placed(study, net):
            results.append(trade_day(net, one, **options, seed=study.study.seed))
    joined = join_days(results, days)
    market = {name: getattr(study.trade, name) for name in ("mechanism", "congestion", "algorithm")}
    return joined.assign_attrs(market)


def switchable_of(trade: Trade, before: Any, net: Any) -> dict[str, list[int]]:
    """Return the lines and switches that the operator may operate.

    Those of ``[trade.reconfigure]``, or else every line with a switch and every switch between
    buses; every line, where the net had neither before the plan. Never a tie that is not built.

    Parameters
    ----------
    trade : Trade
    before, net : pandapowerNet
        Without and with what the plan builds.
    """
    candidate = frame(net, "candidate")
    left = candidate[candidate["in_service"] & (candidate["technology"] == "line")]
    given = trade.reconfigure
    if given is not None and (given.lines or given.switches):
        lines, switches = list(given.lines), list(given.switches)
    else:
        lines = net.line.index.tolist()
        if before.switch["et"].isin(["l", "b"]).any():
            lines = sorted(set(net.switch.loc[net.switch["et"] == "l", "element"].tolist()))
        switches = net.switch.index[net.switch["et"] == "b"].tolist()
    unbuilt = set(left["line"].tolist())
    return {"line": [k for k in lines if k not in unbuilt], "switch": switches}


def join_days(results: list[xr.Dataset], days: xr.Dataset) -> xr.Dataset:
    """Return the days' results along ``day``; attributes are the worst of all days.

    Parameters
    ----------
    results : list of Dataset
        Of `pp_p2p.trade_day`, all by one mechanism.
    days : Dataset
        With ``weight(day)``.

    Returns
    -------
    Dataset
        Records of how a solution was found (`RECORDS`) end with NaN on days that took less;
        ``trade_agreed(day)``, and those of `OF_DAYS` and `WORDS_OF_DAYS` that the mechanism has.
    """
    from pp_p2p.results import label

    joined = xr.concat(
        _alike([r.rename({TIME: HOUR}) for r in results]),
        dim=days[DAY],
        data_vars="all",
        coords="minimal",
        compat="override",
        join="exact",
        combine_attrs="drop_conflicts",
    )
    attrs: dict[str, Any] = {k: max(r.attrs[k] for r in results) for k in _had(WORST, results)}
    inexact = any(r.attrs["relaxation"] == "inexact" for r in results)
    statuses = {r.attrs["status"] for r in results}
    attrs["relaxation"] = "inexact" if inexact else "exact"
    attrs["status"] = "optimal" if statuses == {"optimal"} else "feasible"
    attrs["termination"] = ", ".join(dict.fromkeys(r.attrs["termination"] for r in results))
    attrs["seconds"] = sum(r.attrs["seconds"] for r in results)
    attrs["iterations"] = sum(r.attrs["iterations"] for r in results)
    hashes = "".join(r.attrs["input_hash"] for r in results)
    attrs["input_hash"] = hashlib.sha256(hashes.encode()).hexdigest()
    attrs |= {key: results[0].attrs[key] for key in KEPT}
    for name in _had(OF_DAYS, results):
        joined[name] = (DAY, [float(r.attrs[name]) for r in results])
    for name in _had(WORDS_OF_DAYS, results):
        joined[name] = (DAY, np.array([str(r.attrs[name]) for r in results]))
    joined["trade_agreed"] = (DAY, [int(r.attrs["trade"] in AGREED) for r in results])
    joined = joined.assign_coords(weight=days["weight"])
    for name in _had(("objective_eur", "bound_eur"), results):
        attrs[f"{name}_per_year"] = float((joined[name] * joined["weight"]).sum())
    return label(joined, attrs)


def _had(names: Iterable[str], results: list[xr.Dataset]) -> list[str]:
    """Return those of `names` that are attributes of every day."""
    return [name for name in names if all(name in one.attrs for one in results)]


def _alike(results: list[xr.Dataset]) -> list[xr.Dataset]:
    """Return the days with records of one length: NaN, or no text, where a day took less."""
    longest = {
        dim: max(one.sizes.get(dim, 0) for one in results)
        for dim in RECORDS
        if any(dim in one.dims for one in results)
    }
    return [_padded(one, longest) for one in results]


def _padded(day: xr.Dataset, longest: dict[str, int]) -> xr.Dataset:
    for dim, n in longest.items():
        if dim not in day.dims:
            continue
        first = int(day[dim][0]) if dim in day.coords and day.sizes[dim] else 0
        texts: Any = {
            k: "" for k, v in day.variables.items() if v.dtype.kind in "US" and dim in v.dims
        }
        plain = day.drop_vars(dim, errors="ignore")
        day = plain.pad({dim: (0, n - day.sizes[dim])}, constant_values=texts or None)
        day = day.assign_coords({dim: np.arange(first, first + n)})
    return day
