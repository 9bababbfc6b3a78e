"""`trading_cases`: one market under several assumptions, side by side.

The comparison of F. Wang et al. (2024): with and without trading, with and without response of
load, with and without a limit on some lines, with prices known and uncertain.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from pp_p2p.elements.tables import frame
from pp_p2p.errors import Finding, NoSolution, raise_if_any
from pp_p2p.market.bargaining import NashBargaining, require_mechanism
from pp_p2p.market.trade_day import trade_day
from pp_p2p.names import LINE, PARTICIPANT, SCENARIO
from pp_p2p.network.timeline import Timeline
from pp_p2p.results import label
from pp_p2p.solve.report import DEFAULT_CONFIG, SolverConfig

CASE: Final = "case"

_KEPT: Final = (
    "cost_alone_eur",
    "cost_eur",
    "saving_eur",
    "payment_eur",
    "fee_eur",
    "operator_cost_alone_eur",
    "operator_cost_eur",
    "net_trade_mw",
    "trade_mw",
    "p_grid_mw",
    "storage_p_mw",
    "storage_energy_mwh",
    "load_shift_mw",
    "load_curtailed_mw",
    "load_response_mw",
    "vm_pu",
    "line_loading_percent",
)
"""Variables of each day that the comparison keeps."""

_ALONE: Final = {
    "p_grid_mw": "p_grid_alone_mw",
    "grid_purchase_mwh": "grid_purchase_alone_mwh",
    "grid_sale_mwh": "grid_sale_alone_mwh",
    "storage_p_mw": "storage_p_alone_mw",
    "storage_energy_mwh": "storage_energy_alone_mwh",
    "vm_pu": "vm_alone_pu",
    "line_loading_percent": "line_loading_alone_percent",
}
"""Variables that it keeps of the day without trading, and their names."""


def trading_cases(
    net: Any,
    profiles: xr.Dataset,
    *,
    line_limits_mva: Mapping[int, float] | None = None,
    scenarios: xr.Dataset | None = None,
    mechanism: NashBargaining | None = None,
    formulation: str = "branch_flow",
    solver: SolverConfig = DEFAULT_CONFIG,
) -> xr.Dataset:
    """Trade the same day under each combination of assumptions.

    Parameters
    ----------
    net : pandapowerNet
        As for `trade_day`; is not changed.
    profiles : Dataset
        One day, prices known.
    line_limits_mva : mapping of int to float, MVA, optional
        Lines and what they may carry at rated voltage: a case with them is added to each.
    scenarios : Dataset, optional
        Prices ``price_buy_eur_per_mwh(scenario, time)``, ``price_sell_eur_per_mwh``,
        ``probability(scenario)``: a case with uncertain prices is added to each.
    mechanism, formulation, solver
        As for `trade_day`.

    Returns
    -------
    Dataset
        Over ``case``: costs alone and with trading by participant, and their sums with the
        operator's (``social_cost_alone_eur``, ``social_cost_eur``), energy bought from the grid and
        from peers, schedules and voltages (means over scenarios), ``trade``, ``relaxation``,
        ``status``; exchange with the grid, storage, voltages and loadings also of the day without
        trading (``p_grid_alone_mw``, ``storage_p_alone_mw``, ``vm_alone_pu``, ...). NaN in a case
        that cannot be served, whose status names the limits. The coordinates ``response``,
        ``limit`` and ``stochastic`` say what a case assumes.

    Raises
    ------
    InvalidInput, UnsupportedFeature, NoSolution
        As `trade_day`, with the case.
    """
    raise_if_any(_unknown_lines(net, line_limits_mva or {}))
    mechanism = NashBargaining() if mechanism is None else mechanism
    require_mechanism(mechanism)
    outside = dataclasses.replace(mechanism, operator="outside", bargaining_power="equal")
    responds = [True, False] if len(frame(net, "flexible_load")) else [True]
    limited = [False, True] if line_limits_mva else [False]
    uncertain = [False, True] if scenarios is not None else [False]
    cases: list[xr.Dataset] = []
    failed: dict[int, str] = {}
    for stochastic, limit, response in itertools.product(uncertain, limited, responds):
        changed = _changed(net, line_limits_mva if limit else None, response=response)
        day = profiles
        if stochastic and scenarios is not None:
            known = ("price_buy_eur_per_mwh", "price_sell_eur_per_mwh", "probability")
            names = [name for name in known if name in scenarios]
            day = profiles.drop_vars(names, errors="ignore").merge(scenarios[names])
        assumed = {"response": response, "limit": limit, "stochastic": stochastic}
        try:
            ds = trade_day(
                changed, day, mechanism=mechanism, formulation=formulation, solver=solver
            )
            alone = trade_day(
                _apart(changed), day, mechanism=outside, formulation=formulation, solver=solver
            )
        except NoSolution as error:
            failed[len(cases)] = str(error)
            cases.append(xr.Dataset().assign_coords(assumed))
            continue
        without = _summary(alone, day)
        without = without[[name for name in _ALONE if name in without]].rename(_ALONE)
        both = _summary(ds, day).merge(without, compat="no_conflicts")
        cases.append(both.assign_coords(assumed))
    if len(failed) == len(cases):
        raise NoSolution(f"no case has a solution: {failed[0]}")
    solved = next(case for k, case in enumerate(cases) if k not in failed)
    for k, reason in failed.items():
        cases[k] = _unsolved(solved, cases[k], reason)
    named = [_name(case) for case in cases]
    together = xr.concat(
        cases,
        dim=pd.Index(named, name=CASE),
        data_vars="all",
        coords="different",
        compat="equals",
        join="exact",
        combine_attrs="drop_conflicts",
    )
    return label(together, {**together.attrs, "problem": "trading_cases"})


def _changed(net: Any, limits: Mapping[int, float] | None, *, response: bool) -> Any:
    changed = copy.deepcopy(net)
    if not response and "flexible_load" in changed:
        changed.flexible_load["in_service"] = False
    for line, mva in (limits or {}).items():
        vn_kv = float(changed.bus.vn_kv[changed.line.from_bus[line]])
        changed.line.loc[line, "max_i_ka"] = mva / (np.sqrt(3) * vn_kv)
        if "max_loading_percent" in changed.line:
            changed.line.loc[line, "max_loading_percent"] = 100.0
    return changed


def _apart(net: Any) -> Any:
    """Return a copy in which nobody may trade; the operator outside, each minds its own cost."""
    changed = copy.deepcopy(net)
    changed.participant["max_trade_mw"] = 0.0
    return changed


def _summary(ds: xr.Dataset, day: xr.Dataset) -> xr.Dataset:
    """Return what a comparison keeps of a day, without a dim that not all cases have."""
    line = Timeline.from_profiles(day)
    kept = ds[[name for name in _KEPT if name in ds and name not in _OF_FLEXIBLE]]
    for name in _OF_FLEXIBLE:  # of the whole net: without response there is no row to compare
        kept[name] = ds[name].sum("flexible_load")
    hours = line.step_h
    energy = {
        "grid_purchase_mwh": kept["p_grid_mw"].clip(min=0.0),
        "grid_sale_mwh": (-kept["p_grid_mw"]).clip(min=0.0),
        "peer_purchase_mwh": kept["net_trade_mw"].clip(min=0.0),
    }
    for name, power in energy.items():  # before the mean: what is bought in one scenario counts
        kept[name] = (power.sum("time") * hours).drop_attrs()
    if SCENARIO in kept.dims:
        chance = xr.DataArray(line.weight, dims=SCENARIO, coords={SCENARIO: kept[SCENARIO]})
        kept = kept.weighted(chance).mean(SCENARIO, keep_attrs=True)
    for name in ("social_cost_alone_eur", "social_cost_eur"):
        own = name.removeprefix("social_")
        kept[name] = ds[own].sum(PARTICIPANT) + ds[f"operator_{own}"]
    kept["trade"] = ds.attrs["trade"]
    kept["relaxation"] = ds.attrs["relaxation"]
    kept["status"] = ds.attrs["status"]
    return kept


def _unsolved(like: xr.Dataset, case: xr.Dataset, reason: str) -> xr.Dataset:
    """Return a case without values: NaN, and the reason as its status."""
    words = {"trade": "", "relaxation": "", "status": f"no solution: {reason}"}
    empty = xr.full_like(like.drop_vars(words), np.nan, dtype=float).assign(words)
    return empty.assign_coords({name: case[name] for name in case.coords})


_OF_FLEXIBLE: Final = ("load_shift_mw", "load_curtailed_mw", "load_response_mw")


def _name(case: xr.Dataset) -> str:
    parts = [
        "uncertain prices" if case["stochastic"] else "",
        "limited lines" if case["limit"] else "",
        "" if case["response"] else "no response",
    ]
    return ", ".join(part for part in parts if part) or "base"


def _unknown_lines(net: Any, limits: Mapping[int, float]) -> Iterator[Finding]:
    unknown = [line for line in limits if line not in net.line.index]
    if unknown:
        yield Finding(
            table=LINE,
            rows=tuple(unknown),
            rule="are limited but do not exist",
            mend="name rows of net.line",
        )
    wrong = [line for line, mva in limits.items() if not mva > 0]
    if wrong:
        yield Finding(
            table=LINE, rows=tuple(wrong), rule="have a limit of 0 or less", mend="use a limit > 0"
        )
