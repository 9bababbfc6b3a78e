"""Mechanisms side by side on one day: no trading, bargaining, competition."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import xarray as xr

from pp_p2p.market.bargaining import NashBargaining
from pp_p2p.market.congestion import CongestionManagement, require_congestion
from pp_p2p.market.indicators import indicators
from pp_p2p.market.stackelberg import Stackelberg
from pp_p2p.market.trade_day import trade_day
from pp_p2p.names import PARTICIPANT
from pp_p2p.network.timeline import Timeline
from pp_p2p.results import label
from pp_p2p.solve.report import DEFAULT_CONFIG, SolverConfig

MECHANISM: Final = "mechanism"
NO_TRADING: Final = "no trading"


def compare_mechanisms(
    net: Any,
    profiles: xr.Dataset,
    *,
    mechanisms: Mapping[str, NashBargaining | Stackelberg] | None = None,
    congestion: CongestionManagement | str = "pro_rata",
    solver: SolverConfig = DEFAULT_CONFIG,
) -> xr.Dataset:
    """Trade one day under several mechanisms, all of them under the same congestion management.

    Parameters
    ----------
    net, profiles
        As for `trade_day`.
    mechanisms : mapping of str to mechanism, optional
        Nash bargaining and Stackelberg with their defaults.
    congestion : CongestionManagement or str
        As for `trade_day`.
    solver : SolverConfig

    Returns
    -------
    Dataset
        Over ``mechanism``, of which the first is ``"no trading"``: ``social_cost_eur`` (of all and
        the operator, losses included), ``gain_eur`` beside no trading, ``saving_eur`` by
        participant, its ``spread_eur`` (largest less smallest), ``traded_mwh``, the indicators of
        `pp_p2p.indicators` after management, and ``overload_unmanaged_mvah``,
        ``limits_broken_unmanaged`` before it.

    Raises
    ------
    As `trade_day`.
    """
    chosen = mechanisms or {"Nash bargaining": NashBargaining(), "Stackelberg": Stackelberg()}
    how = require_congestion(congestion)
    apart = copy.deepcopy(net)
    apart.participant["max_trade_mw"] = 0.0
    step_h = Timeline.from_profiles(profiles).step_h
    cases = []
    for name, mechanism in {NO_TRADING: Stackelberg(), **chosen}.items():
        own = apart if name == NO_TRADING else net
        free = trade_day(own, profiles, mechanism=mechanism, congestion="watch", solver=solver)
        ds = trade_day(own, profiles, mechanism=mechanism, congestion=how, solver=solver)
        told = indicators(own, free, ds)
        case = told.sel(case="after", drop=True)
        case["overload_unmanaged_mvah"] = told["overload_mvah"].sel(case="before", drop=True)
        case["limits_broken_unmanaged"] = free.attrs["limits_broken"]
        case["limits_broken"] = ds.attrs["limits_broken"]
        social = ds["cost_eur"].sum() + ds["operator_cost_eur"]
        case["social_cost_eur"] = social.drop_attrs()
        case["saving_eur"] = ds["saving_eur"]
        spread = ds["saving_eur"].max() - ds["saving_eur"].min()
        case["spread_eur"] = spread.drop_attrs()
        case["traded_mwh"] = float(ds["trade_mw"].sum()) * step_h
        case["equilibrium"] = ds.attrs.get("equilibrium", "")
        cases.append(case.expand_dims({MECHANISM: [name]}))
    out = xr.concat(cases, dim=MECHANISM, join="exact", combine_attrs="drop_conflicts")
    without = out["social_cost_eur"].sel({MECHANISM: NO_TRADING}, drop=True)
    out["gain_eur"] = (without - out["social_cost_eur"]).drop_attrs()
    out = out.assign_coords({PARTICIPANT: np.asarray(out[PARTICIPANT])})
    return label(out, {"problem": "compare_mechanisms"})
