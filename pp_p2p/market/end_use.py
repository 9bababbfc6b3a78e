"""What end-use characteristics do to a day: elasticity, shiftable share and shape of the load.

Every combination is one day of trading on a copy of the net in which all loads of participants have
these characteristics; everything else stays.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from pp_p2p.algorithms.elasticity import Law, respond
from pp_p2p.elements.create import create_flexible_load
from pp_p2p.elements.schema import NONE
from pp_p2p.elements.tables import extension, frame
from pp_p2p.errors import Finding, NoSolution, NotConverged, raise_if_any
from pp_p2p.market.bargaining import NashBargaining
from pp_p2p.market.congestion import CongestionManagement
from pp_p2p.market.indicators import indicators
from pp_p2p.market.stackelberg import Stackelberg
from pp_p2p.market.trade_day import trade_day
from pp_p2p.network.branches import Array
from pp_p2p.network.portfolio import load_power
from pp_p2p.network.timeline import Timeline, read_prices
from pp_p2p.results import label
from pp_p2p.solve.report import DEFAULT_CONFIG, SolverConfig

ELASTICITY: Final = "elasticity"
SHIFTABLE: Final = "shiftable_percent"
SHAPE: Final = "load_shape"

AS_IT_IS: Final = "as it is"

_KEPT: Final = ("cost_eur", "saving_eur", "payment_eur", "seller_price_eur_per_mwh", "net_trade_mw")
"""Variables of each day that the sweep keeps."""


def end_use_analysis(
    net: Any,
    profiles: xr.Dataset,
    *,
    elasticity: Sequence[float] = (0.0,),
    shiftable_percent: Sequence[float] = (0.0,),
    load_shape: Mapping[str, Sequence[float] | None] | None = None,
    mechanism: NashBargaining | Stackelberg | None = None,
    congestion: CongestionManagement | str | None = None,
    solver: SolverConfig = DEFAULT_CONFIG,
) -> xr.Dataset:
    """Trade the same day under each combination of end-use characteristics.

    Parameters
    ----------
    net : pandapowerNet
        As for `trade_day`; is not changed.
    profiles : Dataset
        One day.
    elasticity : sequence of float
        Own-price elasticities of all loads of participants, at most 0.
    shiftable_percent : sequence of float, %
        What these loads may shift up and down within the day.
    load_shape : mapping of str to (time,), optional
        Shapes over the day; the energy of each load stays. None is the load's own shape.
    mechanism, congestion, solver
        As for `trade_day`; the mechanism is `Stackelberg` by default.

    Returns
    -------
    Dataset
        Over ``elasticity``, ``shiftable_percent``, ``load_shape``: ``cost_eur``, ``saving_eur``,
        ``payment_eur`` by participant, prices and net trades by hour, ``social_cost_eur``,
        ``traded_mwh``, the indicators of `pp_p2p.indicators`, ``equilibrium`` and ``status``. NaN
        in a case that has no solution, whose status says why.

    Raises
    ------
    NoSolution, NotConverged
        No case has a solution.
    InvalidInput, UnsupportedFeature
        As `trade_day`; and elasticities above 0, shares outside 0 to 100, shapes of another length
        or without energy.
    """
    shapes = {AS_IT_IS: None} if load_shape is None else dict(load_shape)
    line = Timeline.from_profiles(profiles)
    raise_if_any(_findings(elasticity, shiftable_percent, shapes, line))
    mechanism = Stackelberg() if mechanism is None else mechanism
    points = list(itertools.product(elasticity, shiftable_percent, shapes))
    rows: list[xr.Dataset] = []
    failed: dict[int, NoSolution | NotConverged] = {}
    for k, (e, share, name) in enumerate(points):
        changed = _with_response(net, float(e), float(share))
        day = _with_shape(net, profiles, line, shapes[name])
        try:
            ds = trade_day(changed, day, mechanism=mechanism, congestion=congestion, solver=solver)
        except (NoSolution, NotConverged) as error:
            failed[k] = error
            rows.append(xr.Dataset())
            continue
        rows.append(_summary(changed, ds, line.step_h))
    if len(failed) == len(points):
        raise failed[0]
    solved = next(row for k, row in enumerate(rows) if k not in failed)
    for k, reason in failed.items():
        rows[k] = xr.full_like(solved.drop_vars(_WORDS), np.nan, dtype=float)
        rows[k] = rows[k].assign(equilibrium="", status=f"no solution: {reason}")
    index = pd.MultiIndex.from_tuples(points, names=[ELASTICITY, SHIFTABLE, SHAPE])
    stacked = xr.concat(rows, dim="_case", join="exact", combine_attrs="drop_conflicts")
    coords = xr.Coordinates.from_pandas_multiindex(index, "_case")
    out = stacked.assign_coords(coords).unstack("_case")  # noqa: PD010
    out.attrs = {}
    order = {ELASTICITY: elasticity, SHIFTABLE: shiftable_percent, SHAPE: shapes}
    out = out.reindex({dim: list(values) for dim, values in order.items()})
    return label(out.transpose(*order, ...), {"problem": "end_use_analysis"})


_WORDS: Final = ["equilibrium", "status"]


def _summary(net: Any, ds: xr.Dataset, step_h: float) -> xr.Dataset:
    """Return what the sweep keeps of a day."""
    kept = ds[[v for v in _KEPT if v in ds]]
    social = ds["cost_eur"].sum() + ds["operator_cost_eur"]
    kept["social_cost_eur"] = social.drop_attrs()
    kept["traded_mwh"] = (ds["trade_mw"].sum() * step_h).drop_attrs()
    told = indicators(net, ds, ds).isel(case=0, drop=True)
    told = told.drop_vars(["congestion_mitigation", "loss_reduction", "peak_reduction"])
    words = {"equilibrium": ds.attrs.get("equilibrium", ""), "status": ds.attrs["status"]}
    return kept.merge(told).assign(words)


def price_response(
    profiles: xr.Dataset,
    elasticity: Array,
    *,
    reference_price_eur_per_mwh: Array | float | None = None,
    law: Law = "linear",
    loads: Sequence[int] | None = None,
) -> xr.Dataset:
    """Return profiles whose loads have answered the purchase price, hour by hour.

    Parameters
    ----------
    profiles : Dataset
        One day with ``load_p_mw(time, load)`` and prices.
    elasticity : (time, time)
        ``elasticity[t, s]``: what load in t does where the price of s rises by 100 %
        (`pp_p2p.algorithms.elasticity`, whose `lossless_elasticity` only shifts).
    reference_price_eur_per_mwh : float or (time,), optional
        Price at which loads draw their profile; the mean of the day by default.
    law : {"linear", "power"}
    loads : sequence of int, optional
        Loads that answer; all of the profiles by default. Reactive power follows in proportion.

    Raises
    ------
    InvalidInput
        As `pp_p2p.algorithms.elasticity.respond`; profiles without loads.
    """
    line = Timeline.from_profiles(profiles)
    if "load_p_mw" not in profiles:
        raise_if_any(
            [Finding(table="profiles", column="load_p_mw", rule="is missing", mend="add it")]
        )
    price, _ = read_prices(profiles, line)
    base = price.mean() if reference_price_eur_per_mwh is None else reference_price_eur_per_mwh
    reference = np.broadcast_to(np.asarray(base, dtype=float), price.shape)
    out = profiles.copy(deep=True)
    active = out["load_p_mw"].transpose("time", "load").to_numpy().copy()
    before = active.copy()
    chosen = out["load"].to_numpy() if loads is None else np.asarray(loads)
    for k in np.flatnonzero(np.isin(out["load"].to_numpy(), chosen)).tolist():
        active[:, k] = respond(
            active[:, k], np.asarray(elasticity, float), price, reference, law=law
        )
    out["load_p_mw"] = (("time", "load"), active)
    if "load_q_mvar" in out:
        part = np.divide(active, before, out=np.ones_like(active), where=before > 0)
        out["load_q_mvar"] = (
            ("time", "load"), out["load_q_mvar"].transpose("time", "load").to_numpy() * part
        )  # fmt: skip
    return out


def _with_response(net: Any, elasticity: float, share: float) -> Any:
    """Return a copy of `net` whose participants' loads follow the price and shift."""
    changed = copy.deepcopy(net)
    owned = changed.load.index[extension(changed, "load", "participant").to_numpy() != NONE]
    rows = frame(changed, "flexible_load")
    known = set(rows.load.tolist())
    for load in owned.tolist():
        if load not in known:
            create_flexible_load(changed, load)
    mine = changed.flexible_load.load.isin(owned)
    changed.flexible_load.loc[mine, "price_elasticity"] = elasticity
    changed.flexible_load.loc[mine, ["max_up_percent", "max_down_percent"]] = share
    return changed


def _with_shape(
    net: Any, profiles: xr.Dataset, line: Timeline, shape: Sequence[float] | None
) -> xr.Dataset:
    """Return profiles in which participants' loads have `shape` and their own energy."""
    if shape is None:
        return profiles
    owned = extension(net, "load", "participant").to_numpy() != NONE
    p, q = load_power(net.load, profiles, line)
    form = np.asarray(shape, dtype=float)
    form = form / form.mean()
    for power in (p, q):
        power[:, owned] = form[:, None] * power[:, owned].mean(axis=0)
    kept = profiles.drop_vars(["load_p_mw", "load_q_mvar", "load"], errors="ignore")
    dims = (line.dims[-1], "load")
    return kept.assign(load_p_mw=(dims, p), load_q_mvar=(dims, q)).assign_coords(
        load=net.load.index.to_numpy()
    )


def _findings(
    elasticity: Sequence[float],
    shares: Sequence[float],
    shapes: Mapping[str, Sequence[float] | None],
    line: Timeline,
) -> Iterator[Finding]:
    def wrong(column: str, rule: str, mend: str, rows: tuple[object, ...] = ()) -> Finding:
        return Finding(table="end_use_analysis", column=column, rows=rows, rule=rule, mend=mend)

    above = [e for e in elasticity if not (np.isfinite(e) and e <= 0)]
    beyond = [share for share in shares if not 0 <= share <= 100]
    for name, values, broken, mend in (
        ("elasticity", elasticity, above, "use elasticities of at most 0"),
        ("shiftable_percent", shares, beyond, "use 0 to 100"),
    ):
        if not len(values):
            yield wrong(name, "is empty", "give at least one value")
        if broken:
            yield wrong(name, "is out of range", mend, tuple(broken))
    for name, shape in shapes.items():
        if shape is None:
            continue
        form = np.asarray(shape, dtype=float)
        if form.shape != (line.n_steps,):
            rule = f"has {form.size} values for {line.n_steps} steps"
            yield wrong("load_shape", rule, "give one for each step", (name,))
        elif not (np.isfinite(form).all() and (form >= 0).all() and form.sum() > 0):
            rule = "has values below 0, none that is finite, or no energy"
            yield wrong("load_shape", rule, "give numbers >= 0, not all 0", (name,))
