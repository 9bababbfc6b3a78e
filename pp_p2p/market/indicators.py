"""Indicators of a day: congestion, losses, voltage, renewables and the market, before and after.

With the hours t of length h (times the weight of their day), limits in parts of the rating:

    overloaded hours      sum_t h  of every line and transformer whose loading is above its limit
    overload energy       E = sum h max(0, |S| - S_max), S the loading times the rating, MVA h
    mitigation            1 - E_after / E_before; 1 where both are 0, NaN where only E_before is
    loss reduction        1 - losses_after / losses_before; 0 where both are 0, NaN where only ...
    voltage deviation     sum h |V - 1| over all buses
    accommodation         output of static generators over what was available
    self-sufficiency      1 - import / demand, demand with losses and charging
    share traded          bought from peers over all that participants buy
    grid peak             largest import of an hour, and largest export

A ratio without a denominator is NaN. Liu et al. (2020); definitions of this package.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from pp_p2p.errors import Finding, raise_if_any
from pp_p2p.names import BUS, DAY, LINE, TRAFO
from pp_p2p.network.branches import Array, max_loading
from pp_p2p.network.timeline import Timeline

CASE: Final = "case"

NEEDED: Final = ("vm_pu", "line_loading_percent", "loss_mw", "p_source_mw")
"""What a result must hold."""

ROUNDING: Final = 1e-9
"""Loading (%) and voltage (p.u.) above a limit that counts as kept."""

_DOC: Final = {
    "overloaded_h": ("h", "hours in which a line or transformer is above its limit, all together"),
    "overload_mvah": ("MVA h", "energy above the limits of lines and transformers"),
    "largest_loading_percent": ("%", "highest loading of a line or transformer"),
    "voltage_violated_h": ("h", "hours in which a bus is outside its limits, all together"),
    "voltage_deviation_pu_h": ("h", "distance of voltages from 1 p.u., all buses and hours"),
    "loss_mwh": ("MWh", "losses of branches and shunts"),
    "renewable_accommodation": ("1", "output of static generators over what was available"),
    "self_sufficiency": ("1", "demand that is not imported over demand"),
    "share_traded": ("1", "bought from peers over all that participants buy"),
    "grid_peak_mw": ("MW", "largest import of a step"),
    "grid_peak_export_mw": ("MW", "largest export of a step"),
}


def indicators(net: Any, before: xr.Dataset, after: xr.Dataset) -> xr.Dataset:
    """Compare two days of the same net.

    Parameters
    ----------
    net : pandapowerNet
        Its limits and ratings count, for both days.
    before, after : Dataset
        Results over ``time`` (or ``day`` and ``hour``) of `trade_day`, `dispatch` or `run_year`.

    Returns
    -------
    Dataset
        Over ``case`` (before, after): ``overloaded_h``, ``overload_mvah``,
        ``largest_loading_percent``, ``voltage_violated_h``, ``voltage_deviation_pu_h``,
        ``loss_mwh``, ``renewable_accommodation``, ``self_sufficiency``, ``share_traded``,
        ``grid_peak_mw``, ``grid_peak_export_mw``; NaN where a day does not say. Without a
        dimension ``congestion_mitigation``, ``loss_reduction``, ``peak_reduction``.

    Raises
    ------
    InvalidInput
        A day without voltages, loadings, losses or exchange, or of another net.
    """
    days = {"before": before, "after": after}
    raise_if_any(f for name, ds in days.items() for f in _findings(net, name, ds))
    values = [_of_day(net, ds) for ds in days.values()]
    out = xr.Dataset(
        {
            name: (CASE, [v[name] for v in values], {"units": unit, "long_name": text})
            for name, (unit, text) in _DOC.items()
        },
        coords={CASE: list(days)},
    )
    first, second = values
    for name, of, both_none in (
        ("congestion_mitigation", "overload_mvah", 1.0),
        ("loss_reduction", "loss_mwh", 0.0),
        ("peak_reduction", "grid_peak_mw", 0.0),
    ):
        out[name] = _reduction(first[of], second[of], both_none)
        out[name].attrs = {"units": "1", "long_name": f"1 - {of} after / {of} before"}
    out.attrs["problem"] = "indicators"
    return out


def _reduction(before: float, after: float, both_none: float) -> float:
    if before == 0.0:
        return both_none if after == 0.0 else float("nan")
    return 1.0 - after / before


def _of_day(net: Any, ds: xr.Dataset) -> dict[str, float]:
    """Return the indicators of one day."""
    line = Timeline.from_profiles(
        xr.Dataset(coords={d: ds[d] for d in ("time", DAY, "hour", "scenario") if d in ds.dims})
        .assign({k: ds[k] for k in ("weight", "probability") if k in ds})
        .assign_attrs({k: ds.attrs[k] for k in ("step_h",) if k in ds.attrs})
    )
    hours = line.step_h * line.step_weight

    def steps(name: str) -> Array:
        return line.array(ds, name)

    def energy(power: Array) -> float:
        return float(hours @ power.reshape(line.n_steps, -1).sum(axis=1))

    loading, limit, rated = _loadings(net, ds, steps)
    over = loading > limit + ROUNDING
    vm = steps("vm_pu")
    low, high = _voltage_limits(net, ds[BUS].to_numpy())
    outside = (vm > high + ROUNDING) | (vm < low - ROUNDING)
    source = steps("p_source_mw").reshape(line.n_steps, -1).sum(axis=1)
    made = steps("sgen_p_mw").sum(axis=1) if "sgen_p_mw" in ds else np.zeros(line.n_steps)
    stored = steps("storage_p_mw").sum(axis=1) if "storage_p_mw" in ds else np.zeros(line.n_steps)
    return {
        "overloaded_h": energy(over),
        "overload_mvah": energy(np.maximum(loading - limit, 0.0) / 100.0 * rated * over),
        "largest_loading_percent": float(np.nanmax(loading, initial=0.0)),
        "voltage_violated_h": energy(outside),
        "voltage_deviation_pu_h": energy(np.nan_to_num(np.abs(vm - 1.0))),
        "loss_mwh": energy(steps("loss_mw")),
        "renewable_accommodation": _ratio(
            energy(made), energy(steps("sgen_available_mw")) if "sgen_available_mw" in ds else 0.0
        ),
        "self_sufficiency": 1.0
        - _ratio(energy(np.maximum(source, 0.0)), energy(source + made - stored)),
        "share_traded": _share_traded(ds, line, energy),
        "grid_peak_mw": float(np.maximum(source, 0.0).max()),
        "grid_peak_export_mw": float(np.maximum(-source, 0.0).max()),
    }


def _share_traded(ds: xr.Dataset, line: Timeline, energy: Any) -> float:
    if "net_trade_mw" not in ds or "p_grid_mw" not in ds:
        return float("nan")
    grid = energy(np.maximum(line.array(ds, "p_grid_mw"), 0.0))
    trades = ds["net_trade_mw"].transpose(..., line.dims[-1], "participant").to_numpy()
    peers = energy(np.tile(np.maximum(trades, 0.0), (line.n_steps // len(trades), 1)))
    return _ratio(peers, peers + grid)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else float("nan")


def _loadings(net: Any, ds: xr.Dataset, steps: Any) -> tuple[Array, Array, Array]:
    """Return loading (step, element), limit and rating (element,): %, %, MVA."""
    loading, limit, rated = [], [], []
    for table in (LINE, TRAFO):
        name = f"{table}_loading_percent"
        if name not in ds:
            continue
        rows = net[table].loc[ds[table].to_numpy()]
        loading.append(np.nan_to_num(steps(name)))
        limit.append(100.0 * max_loading(rows))
        mva = rows.get("sn_mva")
        if table == LINE:
            kv = net.bus.vn_kv.loc[rows.from_bus.to_numpy()].to_numpy(float)
            mva = np.sqrt(3) * kv * rows.max_i_ka
        df = rows.df.fillna(1.0) if "df" in rows else 1.0
        rated.append(np.asarray(mva * rows.parallel * df, dtype=float))
    every = np.concatenate(rated)
    return (
        np.concatenate(loading, axis=1),
        np.concatenate(limit),
        np.where(np.isfinite(every), every, 0.0),
    )


def _voltage_limits(net: Any, buses: Array) -> tuple[Array, Array]:
    def limit(name: str, default: float) -> Array:
        column = net.bus.get(name, pd.Series(default, index=net.bus.index))
        return np.asarray(column.astype(float).fillna(default).loc[buses].to_numpy(float))

    held = np.isin(buses, net.ext_grid.bus.to_numpy())
    low, high = limit("min_vm_pu", -np.inf), limit("max_vm_pu", np.inf)
    return np.where(held, -np.inf, low), np.where(held, np.inf, high)


def _findings(net: Any, name: str, ds: xr.Dataset) -> Iterator[Finding]:
    missing = [variable for variable in NEEDED if variable not in ds]
    if missing:
        yield Finding(
            table=name,
            column=", ".join(missing),
            rule="is missing",
            mend="pass a result of trade_day, dispatch or run_year",
        )
    for dim, table in ((BUS, net.bus), (LINE, net.line), (TRAFO, net.trafo)):
        unknown = (
            [k for k in ds[dim].to_numpy().tolist() if k not in table.index] if dim in ds else []
        )
        if unknown:
            yield Finding(
                table=name, column=dim, rows=tuple(unknown), rule="are not in the net",
                mend="pass the net of that result",
            )  # fmt: skip
