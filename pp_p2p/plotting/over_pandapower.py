"""pandapower's Plotly plots with our traces over them; see `simple_plotly`, `pf_res_plotly`."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import xarray as xr

from pp_p2p.elements.terminals import live_terminals
from pp_p2p.operation.runpp import runpp
from pp_p2p.plotting.net_traces import traces
from pp_p2p.plotting.result_step import one_step, write_results
from pp_p2p.plotting.scene import scene
from pp_p2p.plotting.sop_traces import Trace
from pp_p2p.plotting.style import GREY, INK, PALE, styled

OUR_LOOK: Final = {
    "bus_color": PALE,
    "line_color": GREY,
    "trafo_color": INK,
    "trafo3w_color": INK,
    "ext_grid_color": INK,
    "line_width": 1.5,
}
"""Arguments of pandapower's ``simple_plotly`` that are ours where the caller gives none."""

_LEGEND: Final = {"x": 0.5, "xanchor": "center", "y": -0.02, "yanchor": "top"}


def simple_plotly(
    net: Any,
    *,
    filename: str | os.PathLike[str] | None = None,
    auto_open: bool = False,
    additional_traces: Trace | Sequence[Trace] | None = None,
    **kwargs: Any,
) -> Any:
    """Draw a net as ``pandapower.plotting.plotly.simple_plotly``, with what pandapower lacks.

    Buses have the colours of their owners; participants are named where they are metered;
    terminals of a soft open point meet at its hub; storage and flexible loads stand at their
    buses. Hovering tells numbers.

    Parameters
    ----------
    net : pandapowerNet
        Is not changed, also where it has no coordinates.
    filename : path, optional
        HTML file to write; by default none is.
    auto_open : bool
        Open the picture in a browser.
    additional_traces : dict or list of dict, optional
        Drawn as well.
    **kwargs
        Any other argument of pandapower's function. Without `figsize` and `aspectratio` the
        picture takes the width that it is given.

    Returns
    -------
    plotly.graph_objects.Figure
        With ``auto_draw_traces=False``, pandapower's traces with ours, and its settings.

    Raises
    ------
    InvalidInput
        A broken table.
    """
    from pandapower.plotting.plotly import simple_plotly as pandapower_plot

    drawn, ours = scene(net), traces(net)
    arguments = {**OUR_LOOK, **kwargs}
    if additional_traces:
        arguments["additional_traces"] = _listed(additional_traces)
    if not kwargs.get("auto_draw_traces", True):
        members, settings = pandapower_plot(drawn, **arguments)
        return [*members, *ours], settings
    with _quiet(kwargs):
        figure = pandapower_plot(drawn, filename=None, auto_open=False, **arguments)
    return _finished(figure, ours, kwargs, filename, auto_open=auto_open)


def pf_res_plotly(
    net: Any,
    *,
    ds: xr.Dataset | None = None,
    step: Mapping[str, object] | object = None,
    filename: str | os.PathLike[str] | None = None,
    auto_open: bool = False,
    additional_traces: Trace | Sequence[Trace] | None = None,
    **kwargs: Any,
) -> Any:
    """Draw voltages and loadings as ``pandapower.plotting.plotly.pf_res_plotly``, with ours.

    Parameters
    ----------
    net : pandapowerNet
        Is not changed. Where `ds` is not given and the net has no results, or results without its
        soft open points, `runpp` is run on a copy.
    ds : Dataset, optional
        Result of `dispatch`, `trade_day`, `run_year` or the like: ``vm_pu(..., bus)``,
        ``line_loading_percent(..., line)``, ``trafo_loading_percent(..., trafo)``, and flows of
        soft open points and storage. It is drawn in place of ``net.res_*``.
    step : mapping or label, optional
        Which step of `ds`, such as ``{"day": 3, "hour": 18.0}``, or a label where there is one
        dimension; without it, the one with the highest loading. The title says which.
    filename : path, optional
        HTML file to write; by default none is.
    auto_open : bool
        Open the picture in a browser.
    additional_traces : dict or list of dict, optional
        Drawn as well.
    **kwargs
        Any other argument of pandapower's function. Without `figsize` and `aspectratio` the
        picture takes the width that it is given.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    InvalidInput
        A broken table, `ds` without voltages or of another net, or a step that it does not have.
    """
    from pandapower.plotting.plotly import pf_res_plotly as pandapower_plot

    drawn = scene(net)
    title = ""
    if ds is not None:
        chosen = one_step(ds, step)
        title = chosen.title
        write_results(drawn, chosen.values)
        ours = traces(net, chosen.values, filled=False)
    else:
        if not _has_results(net):
            runpp(drawn)
        ours = traces(drawn, filled=False)
    _without_gaps(drawn)
    arguments = {"cmap": "turbo", "line_width": 3, **kwargs}
    with _quiet(kwargs):
        figure = pandapower_plot(drawn, filename=None, auto_open=False, **arguments)
    _tidy_bars(figure, kwargs)
    more = [*_listed(additional_traces or []), *ours]
    figure.update_layout(showlegend=True)
    figure.for_each_trace(lambda one: one.update(name="external grid"), {"name": "external_grid"})
    return _finished(figure, more, kwargs, filename, auto_open=auto_open, title=title)


def _has_results(net: Any) -> bool:
    if "res_bus" not in net or net.res_bus.empty:
        return False
    known = net["res_sop_terminal"].index if "res_sop_terminal" in net else []
    return bool(live_terminals(net).index.isin(known).all())


def _without_gaps(net: Any) -> None:
    """Give branches without a loading one of 0: pandapower would draw them black."""
    for table in ("res_line", "res_trafo"):
        net[table]["loading_percent"] = net[table]["loading_percent"].fillna(0.0)


def _finished(
    figure: Any,
    ours: list[Trace],
    kwargs: Mapping[str, Any],
    filename: str | os.PathLike[str] | None,
    *,
    auto_open: bool,
    title: str = "",
) -> Any:
    on_map = any(member.type == "scattermap" for member in figure.data)
    figure.add_traces([_for_map(one) for one in ours] if on_map else ours)
    _say_what_is_known(figure)
    if not on_map and not {"figsize", "aspectratio"} & kwargs.keys():
        margin = {"l": 12, "r": 12, "t": 104 if _has_bars(figure) else 44, "b": 8}
        figure.update_layout(width=None, showlegend=kwargs.get("showlegend", True))
        styled(figure, height=640, margin=margin, legend=_LEGEND, dragmode="pan")
        hidden = {"visible": False, "showgrid": False, "zeroline": False}
        figure.update_xaxes(**hidden)
        figure.update_yaxes(**hidden, scaleanchor="x", scaleratio=1)
    if title:
        above = 62 if figure.layout.margin.t > 100 else 0
        figure.add_annotation(
            text=f"<b>{title}</b>", x=0, y=1, xref="paper", yref="paper", xanchor="left",
            yanchor="bottom" if above else "top", yshift=above, showarrow=False,
        )  # fmt: skip
    if filename is not None:
        figure.write_html(os.fspath(filename), include_plotlyjs=True, auto_open=auto_open)
    elif auto_open:
        figure.show()
    return figure


def _has_bars(figure: Any) -> bool:
    return any("marker" in one and one.marker.colorbar.title.text for one in figure.data)


def _tidy_bars(figure: Any, kwargs: Mapping[str, Any]) -> None:
    """Lay both colour bars over the net: upright they would take a narrow screen's width."""
    if {"cpos_volt", "cpos_load"} & kwargs.keys():
        return
    for member in figure.data:
        bar = member.marker.colorbar if "marker" in member else None
        if bar is None or not bar.title.text:
            continue
        of_buses = "Voltage" in bar.title.text
        text = "voltage, p.u." if of_buses else "line loading, %"
        bar.update(
            orientation="h", thickness=10, len=0.44, x=0.0 if of_buses else 0.54, xanchor="left",
            y=1.02, yanchor="bottom", outlinewidth=0, nticks=5, tickfont={"size": 11},
            title={"text": text, "side": "top", "font": {"size": 13}},
        )  # fmt: skip


def _say_what_is_known(figure: Any) -> None:
    """Leave parts of pandapower's hover texts out that say "nan" or "None"."""
    for member in figure.data:
        member.showlegend = member.showlegend is not False and member.name is not None
        if member.text is None:
            continue
        one = isinstance(member.text, str)
        texts = [_known(text) for text in ([member.text] if one else member.text)]
        member.text = texts[0] if one else texts


def _known(text: object) -> str:
    parts = str(text).split("<br />")
    if len(parts) == 1:
        return parts[0]
    kept = (part for part in parts if " nan" not in part and part not in ("", "None", "nan"))
    return "<br />".join(part.removeprefix("Name: None") for part in kept)


_OF_MAPS: Final = {
    "marker": ("size", "color", "opacity", "sizemode"),
    "line": ("color", "width"),
    "textfont": ("color", "size"),
}
"""What a map draws of markers, lines and text: neither outlines nor most symbols."""


def _for_map(trace: Trace) -> Trace:
    made = {key: value for key, value in trace.items() if key not in ("x", "y", "zorder")}
    made |= {"type": "scattermap", "lon": trace.get("x"), "lat": trace.get("y")}
    for part in _OF_MAPS.keys() & trace.keys():
        made[part] = {key: trace[part][key] for key in _OF_MAPS[part] if key in trace[part]}
    return made


def _listed(given: Trace | Sequence[Trace]) -> list[Trace]:
    return [given] if isinstance(given, dict) else list(given)


@contextmanager
def _quiet(kwargs: Mapping[str, Any]) -> Iterator[None]:
    """Keep back what pandapower logs about routes that nobody asked for."""
    logger = logging.getLogger("pandapower.plotting.plotly")
    level = logger.level
    if not kwargs.get("on_map") and not kwargs.get("use_line_geo"):
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
