"""One step of a result, as the tables of pandapower's results that its plots read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from pp_p2p.errors import Finding, InvalidInput, raise_if_any
from pp_p2p.names import BUS, LINE, TRAFO

_COLUMNS = {
    "bus": ("vm_pu", "va_degree", "p_mw", "q_mvar"),
    "line": (
        *("loading_percent", "i_from_ka", "i_to_ka"),
        *("p_from_mw", "p_to_mw", "q_from_mvar", "q_to_mvar"),
    ),
    "trafo": (
        *("loading_percent", "i_hv_ka", "i_lv_ka"),
        *("p_hv_mw", "p_lv_mw", "q_hv_mvar", "q_lv_mvar"),
    ),
}
"""What pandapower's plot reads of each result table; a result knows the first of each."""

_NAMES = {BUS: "vm_pu", LINE: "line_loading_percent", TRAFO: "trafo_loading_percent"}


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a result.

    Parameters
    ----------
    values : Dataset
        The result at this step: no dimension of time is left.
    title : str
        Which step it is, and why where nobody chose it.
    """

    values: xr.Dataset
    title: str


def one_step(ds: xr.Dataset, step: Mapping[str, object] | object = None) -> Step:
    """Return one step of a result.

    Parameters
    ----------
    ds : Dataset
        With ``vm_pu(..., bus)``; its other dimensions are those of the steps, such as ``time``, or
        ``day`` and ``hour``.
    step : mapping or label, optional
        Label by dimension, such as ``{"day": 3, "hour": 18.0}``; where there is one dimension, its
        label alone is enough. Without it, the step with the highest loading of a line is taken, or
        that with the largest voltage deviation where no line has a loading.

    Raises
    ------
    InvalidInput
        `ds` has no ``vm_pu``, or no such step.
    """
    if "vm_pu" not in ds or BUS not in ds["vm_pu"].dims:
        rule = "holds no voltages vm_pu(..., bus)"
        mend = "pass the result of dispatch, trade_day, run_year, or one like it"
        raise InvalidInput(Finding(table="ds", rule=rule, mend=mend))
    dims = [str(dim) for dim in ds["vm_pu"].dims if dim != BUS]
    chosen = _most_loaded(ds, dims) if step is None else _chosen(ds, dims, step)
    named = ", ".join(f"{dim} {_readable(ds[dim].to_numpy()[k])}" for dim, k in chosen.items())
    choice = any(ds.sizes[dim] > 1 for dim in dims) and step is None
    return Step(
        values=ds.isel(chosen, drop=True),
        title=f"{named} (highest loading)" if choice else named,
    )


def write_results(net: Any, values: xr.Dataset) -> None:
    """Fill ``net.res_bus``, ``res_line`` and ``res_trafo`` with a step; lines it lacks are open.

    Raises
    ------
    InvalidInput
        `values` names rows that the net does not have.
    """
    import pandapower as pp

    known = {dim: name for dim, name in _NAMES.items() if name in values}
    raise_if_any(
        Finding(
            table=dim,
            rows=tuple(lost),
            rule="are in the result but not in this net",
            mend="draw the result in the net it was made from",
        )
        for dim in known
        if (lost := sorted(set(values[dim].to_numpy().tolist()) - set(net[dim].index)))
    )
    for dim, columns in _COLUMNS.items():
        frame = pd.DataFrame(np.nan, index=net[dim].index, columns=list(columns))
        if dim in known:
            frame.loc[values[dim].to_numpy(), columns[0]] = values[known[dim]].to_numpy()
        net[f"res_{dim}"] = frame
    if LINE in known:
        for k in net.line.index.difference(values[LINE].to_numpy()):
            bus = int(net.line.from_bus[k])
            pp.create_switch(net, bus, int(k), et="l", closed=False)


def _chosen(ds: xr.Dataset, dims: list[str], step: object) -> dict[str, int]:
    if not isinstance(step, Mapping):
        if len(dims) != 1:
            rule = f"is {step!r}, but a step of this result is told by {' and '.join(dims)}"
            mend = f"pass a mapping, such as {{{', '.join(f'{dim!r}: ...' for dim in dims)}}}"
            raise InvalidInput(Finding(table="step", rule=rule, mend=mend))
        step = {dims[0]: step}
    found: dict[str, int] = {}
    wrong: list[Finding] = []
    for dim in dims:
        labels = ds[dim].to_numpy()
        if dim not in step:
            if len(labels) > 1:
                rule, mend = f"does not say which {dim}", f"it goes from {_span(labels)}"
                wrong.append(Finding(table="step", column=dim, rule=rule, mend=mend))
            found[dim] = 0
            continue
        try:
            found[dim] = int(ds.get_index(dim).get_loc(step[dim]))  # type: ignore[arg-type]
        except (KeyError, TypeError, ValueError):
            rule, mend = f"has no {step[dim]!r}", f"it goes from {_span(labels)}"
            wrong.append(Finding(table="step", column=dim, rule=rule, mend=mend))
    unknown = [str(dim) for dim in step if dim not in dims]
    wrong += [
        Finding(table="step", column=dim, rule="is no dimension of the steps", mend=f"use {dims}")
        for dim in unknown
    ]
    raise_if_any(wrong)
    return found


def _most_loaded(ds: xr.Dataset, dims: list[str]) -> dict[str, int]:
    load = ds["line_loading_percent"].max(LINE) if "line_loading_percent" in ds else None
    if load is None or not (load > 0).any():
        load = abs(ds["vm_pu"] - 1.0).max(BUS)
    if not dims:
        return {}
    values = load.transpose(*dims).fillna(-1.0).to_numpy()
    place = np.unravel_index(int(np.argmax(values)), values.shape)
    return {dim: int(k) for dim, k in zip(dims, place, strict=True)}


def _span(labels: Any) -> str:
    return f"{_readable(labels[0])} to {_readable(labels[-1])}"


def _readable(label: Any) -> str:
    if isinstance(label, np.datetime64):
        return str(pd.Timestamp(label))
    return f"{label:g}" if isinstance(label, float | np.floating) else str(label)
