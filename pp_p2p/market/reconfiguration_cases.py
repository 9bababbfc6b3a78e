"""`reconfiguration_cases`: one day on a fixed, a static and an hourly topology, side by side.

Each with and without trading: losses, voltages, loadings, volume, prices, welfare. The static
topology is the best that holds all day; the fixed one is the net as it stands.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import numpy as np
import xarray as xr

from pp_p2p.errors import NoSolution
from pp_p2p.market.bargaining import NashBargaining, require_mechanism
from pp_p2p.market.day_result import label_operation, label_prices
from pp_p2p.market.reconfiguration_options import Reconfiguration, require_reconfiguration
from pp_p2p.market.reconfigured_market import Ended, ReconfiguredMarket
from pp_p2p.network.tightening import PLAIN, Tightening
from pp_p2p.results import label
from pp_p2p.solve.report import DEFAULT_CONFIG, SolverConfig

TOPOLOGIES: Final = ("fixed", "static", "hourly")


def reconfiguration_cases(
    net: Any,
    profiles: xr.Dataset,
    *,
    reconfigure: Reconfiguration | None = None,
    mechanism: NashBargaining | None = None,
    formulation: str = "branch_flow",
    tightening: Tightening = PLAIN,
    solver: SolverConfig = DEFAULT_CONFIG,
) -> xr.Dataset:
    """Compare a day on fixed, best static and hourly topology, with and without trading.

    Parameters
    ----------
    net : pandapowerNet
        As for `trade_day`; is not changed.
    profiles : Dataset
        One day, prices known.
    reconfigure : Reconfiguration, optional
        Of the hourly case; the static one keeps its first configuration. By default operations
        cost nothing and are not limited.
    mechanism, formulation, tightening, solver
        As for `trade_day`.

    Returns
    -------
    Dataset
        Over ``topology`` ("fixed", "static", "hourly") and ``trading`` (False, True):
        ``loss_mwh``, ``vm_min_pu``, ``vm_max_pu``, ``line_loading_max_percent`` and, by line,
        ``line_loading_percent`` (largest of the day, from the replay in pandapower),
        ``volume_mwh``, ``feed_in_mwh`` and ``curtailed_mwh`` of generators, ``social_cost_eur``
        (operations included), ``welfare_eur`` (what is saved against the fixed topology without
        trading), ``operations``, ``price_eur_per_mwh(time, bus)``, ``price_spread_eur_per_mwh``
        (largest less least nodal price, mean over the hours), ``open_elements(time)`` and
        ``status``. NaN in a case that cannot be served; its status says why.

    Raises
    ------
    InvalidInput, UnsupportedFeature
        As `trade_day`.
    NoSolution
        No case can be served.
    """
    mechanism = NashBargaining() if mechanism is None else mechanism
    require_mechanism(mechanism)
    hourly = require_reconfiguration(reconfigure) or Reconfiguration()
    variants = {
        "fixed": dataclasses.replace(hourly, max_operations=0),
        "static": dataclasses.replace(hourly, change_every="day"),
        "hourly": hourly,
    }
    cases: dict[tuple[str, bool], xr.Dataset | str] = {}
    starts: list[Any] = []
    for name, options in variants.items():
        market = ReconfiguredMarket(
            net,
            profiles,
            mechanism=mechanism,
            formulation=formulation,
            tightening=tightening,
            config=solver,
            options=options,
            scheme=None,
        )
        present = np.tile(market.graph.closed, (market.data.line.n_steps, 1))
        for trading in (False, True):
            try:
                begin = [present, *(starts if name == "hourly" else [])]
                ended = market.ended(begin, trading=trading, weight=1.0)
            except NoSolution as error:
                cases[name, trading] = str(error)
                continue
            starts.append(ended.point.closed)
            cases[name, trading] = _summary(market, ended)
    if all(isinstance(case, str) for case in cases.values()):
        raise NoSolution(f"no case has a solution: {next(iter(cases.values()))}")
    return _side_by_side(cases)


def _summary(market: ReconfiguredMarket, ended: Ended) -> xr.Dataset:
    day, data, replayed = market.day(ended), market.data, ended.point.replay
    assert replayed is not None
    operation = label_operation(day.model, data, market.physics)
    hours = data.line.step_h
    limited = np.nan_to_num(replayed.line_loading)
    fed_in = float(operation["sgen_p_mw"].sum()) * hours
    available = float(operation["sgen_available_mw"].sum()) * hours
    names = market.graph
    opened = [
        ", ".join(names.name(int(e)) for e in np.flatnonzero(~row)) for row in ended.point.closed
    ]
    ds = xr.Dataset(
        {
            "loss_mwh": float(replayed.loss_mw.sum()) * hours,
            "vm_min_pu": float(replayed.vm.min()),
            "vm_max_pu": float(replayed.vm.max()),
            "line_loading_max_percent": float(limited.max(initial=0.0)),
            "line_loading_percent": ("line", limited.max(axis=0)),
            "volume_mwh": float(day.trades_mwh.sum()),
            "feed_in_mwh": fed_in,
            "curtailed_mwh": available - fed_in,
            "social_cost_eur": float(day.cost.sum()),
            "operations": float(market.operations(ended.point)),
            "unsafe_operations": float(ended.point.unsafe),
            "open_elements": ("time", np.array(opened, dtype=object).astype(str)),
            "status": "solved" if ended.outcome.in_time else "time limit",
        },
        coords={"line": replayed.line_index, "time": data.line.coords[data.line.dims[-1]]},
    )
    prices = label_prices(day, data)
    if "price_eur_per_mwh" in prices:
        ds["price_eur_per_mwh"] = prices["price_eur_per_mwh"]
        spread = ds["price_eur_per_mwh"].max("bus") - ds["price_eur_per_mwh"].min("bus")
        ds["price_spread_eur_per_mwh"] = spread.mean("time")
    return ds


def _side_by_side(cases: dict[tuple[str, bool], xr.Dataset | str]) -> xr.Dataset:
    solved = next(case for case in cases.values() if isinstance(case, xr.Dataset))
    words = ["status", "open_elements"]
    blank = xr.full_like(solved.drop_vars(words), np.nan, dtype=float)
    rows = []
    for name in TOPOLOGIES:
        row = []
        for trading in (False, True):
            case = cases[name, trading]
            if isinstance(case, str):
                unknown = xr.full_like(solved["open_elements"], "", dtype="<U1")
                case = blank.assign(status=f"no solution: {case}", open_elements=unknown)
            row.append(case.drop_attrs())
        rows.append(xr.concat(row, dim=xr.Variable("trading", [False, True])))
    ds = xr.concat(rows, dim=xr.Variable("topology", list(TOPOLOGIES)))
    base = ds["social_cost_eur"].sel(topology="fixed", trading=False)
    ds["welfare_eur"] = base - ds["social_cost_eur"]
    return label(ds.reset_coords(drop=True), {"problem": "reconfiguration_cases"})
