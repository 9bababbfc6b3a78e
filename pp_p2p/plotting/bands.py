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


def loading_figure(loading_percent: xr.DataArray) -> Any:
    """Draw the highest loading of every line over all steps, %.

    Parameters
    ----------
    loading_percent : DataArray
        Over ``line`` and any other dims; NaN where a line has no rating.
    """
    import plotly.graph_objects as go

    highest = loading_percent.max([dim for dim in loading_percent.dims if dim != LINE])
    value, lines = highest.to_numpy(), highest[LINE].to_numpy()
    figure = go.Figure()
    figure.add_bar(
        x=np.arange(len(value)),
        y=value,
        marker={"color": [RED if v > 100.0 else BLUE for v in value]},
        customdata=lines,
        hovertemplate="line %{customdata}: %{y:.1f} %<extra></extra>",
        showlegend=False,
    )
    if np.nanmax(value, initial=0.0) > 60.0:
        figure.add_hline(y=100.0, line={"color": RED, "width": 1.5, "dash": "dash"})
    styled(figure, height=300, bargap=0.25, margin={"l": 56, "r": 16, "t": 12, "b": 44})
    ticks = _few_ticks(len(lines))
    figure.update_xaxes(
        title_text="line", tickvals=ticks, ticktext=[str(k) for k in lines[ticks]], tickangle=0
    )
    figure.update_yaxes(title_text="highest loading, %", rangemode="tozero")
    return figure


def _few_ticks(n: int) -> Array:
    """Return at most ten round positions of `n`, so that labels fit on a narrow screen."""
    step = next((k for k in (1, 2, 5, 10, 20, 50, 100, 200, 500) if n <= 10 * k), max(n // 10, 1))
    return np.arange(0, n, step)


def _draw_limits(figure: Any, network: xr.Dataset) -> None:
    x = np.arange(network.sizes[BUS])
    for name, text in (("vm_max_pu", "limits"), ("vm_min_pu", "")):
        values = network[name].to_numpy()
        if not np.isfinite(values).any():
            continue
        figure.add_scatter(
            x=np.concatenate([[x[0] - 0.5], x, [x[-1] + 0.5]]) if len(x) else x,
            y=np.concatenate([values[:1], values, values[-1:]]),
            mode="lines",
            line={"color": RED, "width": 1.5, "dash": "dash", "shape": "hvh"},
            name="limits",
            showlegend=bool(text),
            hovertemplate="%{y:.3f} p.u.<extra>limit</extra>",
        )
