"""Voltages by bus and loadings by line, each over all steps of a result."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from pp_p2p.names import BUS, LINE
from pp_p2p.network.branches import Array
from pp_p2p.plotting.style import BLUE, PALE, RED, styled


def voltage_figure(ds: xr.Dataset, network: xr.Dataset | None = None) -> Any:
    """Draw the lowest to highest voltage of every bus over all steps of a result.

    Parameters
    ----------
    ds : Dataset
        With ``vm_pu(..., bus)``; where it has ``vm_nothing_pu`` too, both bands are drawn.
    network : Dataset, optional
        Gives the limits ``vm_min_pu(bus)`` and ``vm_max_pu(bus)``.

    Returns
    -------
    plotly.graph_objects.Figure
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    compared = "vm_nothing_pu" in ds
    bands = [("vm_nothing_pu", "doing nothing", PALE, 0.9)] if compared else []
    bands.append(("vm_pu", "plan" if compared else "range over all hours", BLUE, 0.4))
    for name, text, colour, width in bands:
        over = [dim for dim in ds[name].dims if dim != BUS]
        low, high = ds[name].min(over).to_numpy(), ds[name].max(over).to_numpy()
        figure.add_bar(
            x=np.arange(len(low)),
            base=low,
            y=np.maximum(high - low, 2e-4),
            width=width,
            name=text,
            marker={"color": colour, "line": {"width": 0}},
            customdata=np.column_stack([ds[BUS].to_numpy(), low, high]),
            hovertemplate="bus %{customdata[0]:d}: %{customdata[1]:.4f} to %{customdata[2]:.4f} "
            f"p.u.<extra>{text}</extra>",
        )
    if network is not None:
        _draw_limits(figure, network.sel({BUS: ds[BUS].to_numpy()}))
    styled(figure, height=380, barmode="overlay", bargap=0)
    labels = ds[BUS].to_numpy()
    ticks = _few_ticks(len(labels))
    figure.update_xaxes(
        title_text="bus", tickvals=ticks, ticktext=[str(k) for k in labels[ticks]], tickangle=0
    )
    figure.update_yaxes(title_text="voltage, p.u.")
    return figure


def loading_figure(
    loading_percent: xr.DataArray,
    nothing: xr.DataArray | None = None,
    limit: xr.DataArray | None = None,
) -> Any:
    """Draw the highest loading of every line over all steps, %.

    Parameters
    ----------
    loading_percent : DataArray
        Over ``line`` and any other dims; NaN where a line has no rating.
    nothing : DataArray, optional
        The same where nothing is built: drawn behind, and paler.
    limit : DataArray, optional
        Highest loading allowed, over ``line``; 100 % without it.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    highest = _highest(loading_percent)
    lines = highest[LINE].to_numpy()
    allowed = np.full(len(lines), 100.0)
    if limit is not None:
        allowed = limit.sel({LINE: lines}).to_numpy()
    cases = [(highest, "plan" if nothing is not None else "", BLUE, 0.45)]
    if nothing is not None:
        cases.insert(0, (_highest(nothing).reindex({LINE: lines}), "doing nothing", PALE, 0.9))
    for values, name, colour, width in cases:
        value = values.to_numpy()
        over = [RED if v > a else colour for v, a in zip(value, allowed, strict=True)]
        figure.add_bar(
            x=np.arange(len(value)),
            y=value,
            width=width,
            name=name,
            marker={
                "color": over if name != "doing nothing" else colour,
                "line": {"color": over, "width": 1.5 if name == "doing nothing" else 0},
            },
            customdata=lines,
            hovertemplate=f"line %{{customdata}}: %{{y:.1f}} %<extra>{name}</extra>",
            showlegend=bool(name),
        )
    most = max(float(np.nanmax(values.to_numpy(), initial=0.0)) for values, *_ in cases)
    if most > 0.6 * np.nanmin(allowed, initial=100.0):
        _draw_limit(figure, allowed, "limit", "%{y:.3g} %")
    styled(figure, height=300, barmode="overlay", margin={"l": 56, "r": 16, "t": 36, "b": 44})
    ticks = _few_ticks(len(lines))
    figure.update_xaxes(
        title_text="line", tickvals=ticks, ticktext=[str(k) for k in lines[ticks]], tickangle=0
    )
    figure.update_yaxes(title_text="highest loading, %", rangemode="tozero")
    return figure


def _highest(loading: xr.DataArray) -> xr.DataArray:
    return loading.max([dim for dim in loading.dims if dim != LINE])


def _few_ticks(n: int) -> Array:
    """Return at most ten round positions of `n`, so that labels fit on a narrow screen."""
    step = next((k for k in (1, 2, 5, 10, 20, 50, 100, 200, 500) if n <= 10 * k), max(n // 10, 1))
    return np.arange(0, n, step)


def _draw_limits(figure: Any, network: xr.Dataset) -> None:
    for name, text in (("vm_max_pu", "limits"), ("vm_min_pu", "")):
        values = network[name].to_numpy()
        if np.isfinite(values).any():
            _draw_limit(figure, values, text, "%{y:.3f} p.u.")


def _draw_limit(figure: Any, values: Array, name: str, hover: str) -> None:
    """Draw a limit over all bars; without a `name` it has no entry in the legend."""
    x = np.arange(len(values))
    figure.add_scatter(
        x=np.concatenate([[x[0] - 0.5], x, [x[-1] + 0.5]]) if len(x) else x,
        y=np.concatenate([values[:1], values, values[-1:]]),
        mode="lines",
        line={"color": RED, "width": 1.5, "dash": "dash", "shape": "hvh"},
        name=name or "limits",
        showlegend=bool(name),
        hovertemplate=f"{hover}<extra>limit</extra>",
    )
