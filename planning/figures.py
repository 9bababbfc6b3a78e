"""Pictures of plans, as Plotly figures: cost against reliability, map, cash flow, convergence.

Plotly is imported when one is drawn; a figure holds its data and needs no network.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import xarray as xr

from planning.horizon_result import plan_at
from planning.pareto import LIMIT
from planning.progress import label_progress
from planning.stages import STAGE, YEAR
from pp_p2p.errors import Finding, InvalidInput
from pp_p2p.names import CANDIDATE
from pp_p2p.network.layout import Layout, describe_net
from pp_p2p.plotting.network_map import network_figure
from pp_p2p.plotting.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PALE,
    PURPLE,
    RED,
    SKY,
    YELLOW,
    plain,
    styled,
)
from pp_p2p.solve.report import SolveReport, relative_gap

ITEM_COLOURS: Final = {
    "investment": BLUE,
    "replacement": SKY,
    "salvage": PALE,
    "fixed_om": YELLOW,
    "purchase": ORANGE,
    "sale": GREEN,
    "variable_om": PURPLE,
    "lost_load": RED,
    "emission": INK,
}
"""Colour of each item of a cash flow; others are grey."""

MILLION: Final = 1e6


def reliability_front_figure(front: xr.Dataset) -> Any:
    """Draw annual cost over the energy not served.

    Parameters
    ----------
    front : Dataset
        Result of `reliability_front`.

    Returns
    -------
    plotly.graph_objects.Figure
        A point per plan with what it builds; the least cost lies between the steps of the plans
        and those of the proven bounds.
    """
    import plotly.graph_objects as go

    _require(front, "objective_eur_per_year", LIMIT, "reliability_front")
    eens = front["eens_mwh_per_year"].to_numpy()
    _, first = np.unique(-eens, return_index=True)
    plans = front.isel({LIMIT: first})
    widest = 1.05 * float(eens.max())
    limits = np.minimum(front[LIMIT].to_numpy(), widest)
    bound = front["bound_eur_per_year"].to_numpy() / MILLION
    figure = go.Figure()
    figure.add_scatter(
        x=[*limits, 0.0],
        y=[*bound, bound[-1]],
        mode="lines",
        name="proven: no plan this reliable costs less",
        line={"color": GREY, "width": 1.5, "dash": "dot", "shape": "hv"},
        hovertemplate="below %{x:.4g} MWh/a: at least %{y:.6g} million EUR/a<extra></extra>",
    )
    cost = plans["objective_eur_per_year"].to_numpy() / MILLION
    reached = plans["eens_mwh_per_year"].to_numpy()
    figure.add_scatter(
        x=[widest, *reached],
        y=[cost[0], *cost],
        mode="lines",
        line={"color": BLUE, "width": 1.5, "shape": "vh"},
        hoverinfo="skip",
        showlegend=False,
    )
    figure.add_scatter(
        x=reached,
        y=cost,
        mode="markers",
        name="plan",
        marker={"size": 10, "color": BLUE},
        customdata=[_built_text(plans.isel({LIMIT: k})) for k in range(plans.sizes[LIMIT])],
        hovertemplate="%{x:.4g} MWh/a for %{y:.6g} million EUR/a<br>%{customdata}<extra></extra>",
    )
    styled(figure, height=400)
    figure.update_xaxes(title_text="expected energy not served, MWh/a", rangemode="tozero")
    figure.update_yaxes(title_text="annual cost, million EUR/a")
    return figure


def build_map_figure(
    net: Any, plan: xr.Dataset, *, stage: int | None = None, layout: Layout = "auto"
) -> Any:
    """Draw the net and what a plan builds where.

    Parameters
    ----------
    net : pandapowerNet
        The net that was planned.
    plan : Dataset
        Result of `plan_network` or `plan_horizon`.
    stage : int, optional
        Stage of a horizon, from 1; the last where none is given. A symbol carries the number of
        the stage in which its first unit was built.
    layout : {"auto", "net", "tree"}
        As of `pp_p2p.network.layout.describe_net`.

    Returns
    -------
    plotly.graph_objects.Figure

    Raises
    ------
    InvalidInput
        Another result, or no such stage.
    """
    staged = STAGE in plan.dims
    if staged:
        plan = plan_at(plan, int(plan[STAGE][-1]) if stage is None else stage)
    _require(plan, "units", CANDIDATE, "plan_network or plan_horizon")
    figure = network_figure(describe_net(net, layout), plan)
    if staged:
        figure.add_annotation(
            text="number in a symbol: stage in which its first unit is built",
            x=0, y=1, xref="paper", yref="paper", showarrow=False, font={"color": GREY},
        )  # fmt: skip
    return figure


def cash_flow_figure(plan: xr.Dataset, *, present_value: bool = False) -> Any:
    """Draw the cash flow of a horizon: a bar per year, stacked by item.

    Parameters
    ----------
    plan : Dataset
        Result of `plan_horizon`.
    present_value : bool
        Show what each year is worth now, instead of what is paid in it.

    Returns
    -------
    plotly.graph_objects.Figure
        Costs upwards, income downwards, and the sum of each year as a mark. Items that are zero
        in all years are left out.
    """
    import plotly.graph_objects as go

    name = "present_value_eur" if present_value else "cash_flow_eur"
    _require(plan, name, YEAR, "plan_horizon")
    years, table = plan[YEAR].to_numpy(), plan[name].transpose(YEAR, "item")
    figure = go.Figure()
    for item in table["item"].to_numpy().tolist():
        paid = table.sel(item=item).to_numpy() / MILLION
        if not np.abs(paid).max(initial=0.0) > 0.0:
            continue
        text = item.replace("_", " ").replace(" om", " O&M")
        figure.add_bar(
            x=years,
            y=paid,
            name=plain(text),
            marker={"color": ITEM_COLOURS.get(item, GREY)},
            hovertemplate="year %{x}: %{y:.4g} million EUR<extra>" + plain(text) + "</extra>",
        )
    figure.add_scatter(
        x=years,
        y=table.sum("item").to_numpy() / MILLION,
        mode="markers",
        name="sum",
        marker={
            "size": 9,
            "color": INK,
            "symbol": "diamond",
            "line": {"color": "white", "width": 1},
        },
        hovertemplate="year %{x}: %{y:.4g} million EUR<extra>sum</extra>",
    )
    for first in plan["stage_first_year"].to_numpy()[1:]:
        figure.add_vline(x=float(first) - 0.5, line={"color": GREY, "width": 1, "dash": "dot"})
    styled(figure, height=420, barmode="relative", bargap=0.25)
    figure.update_xaxes(title_text="year", dtick=1 if len(years) <= 20 else 5)
    what = "present value" if present_value else "paid"
    figure.update_yaxes(title_text=f"{what}, million EUR")
    return figure


def convergence_figure(result: xr.Dataset | SolveReport) -> Any:
    """Draw bound and best plan over the time of the search.

    Parameters
    ----------
    result : Dataset or SolveReport
        Result of `plan_horizon` with perfect foresight, or the report of any integer problem.

    Returns
    -------
    plotly.graph_objects.Figure
        Both as steps; what lies between them at the end is the gap.
    """
    import plotly.graph_objects as go

    if isinstance(result, SolveReport):
        ds, unit, scale = label_progress(result, scale=1.0, unit="eur"), "objective", 1.0
    else:
        _require(result, "progress_s", "progress", "plan_horizon with perfect foresight")
        ds, unit, scale = result, "million EUR", MILLION
    bound, best = (
        next(ds[k].to_numpy() for k in ds if str(k).startswith(f"progress_{name}"))
        for name in ("bound", "objective")
    )
    seconds = ds["progress_s"].to_numpy()
    figure = go.Figure()
    for values, name, colour in ((best, "best plan", BLUE), (bound, "proven bound", ORANGE)):
        figure.add_scatter(
            x=seconds,
            y=values / scale,
            mode="lines+markers",
            name=name,
            line={"color": colour, "width": 2, "shape": "hv"},
            hovertemplate="%{x:.1f} s: %{y:.7g}<extra>" + name + "</extra>",
        )
    styled(figure, height=380)
    gap = relative_gap(float(best[-1]), float(bound[-1]))
    if np.isfinite(gap):
        text = f"gap {gap:.2%} after {seconds[-1]:.0f} s"
        middle = (best[-1] + bound[-1]) / 2.0 / scale
        figure.add_annotation(
            x=float(seconds[-1]), y=float(middle), text=text, showarrow=False, xanchor="right"
        )
    figure.update_xaxes(title_text="time, s", rangemode="tozero")
    figure.update_yaxes(title_text=f"cost, {unit}" if scale != 1.0 else "objective")
    return figure


def _built_text(plan: xr.Dataset) -> str:
    names, units = plan["candidate_name"].to_numpy(), plan["units"].to_numpy()
    kinds, rows = plan["technology_built"].to_numpy(), plan[CANDIDATE].to_numpy()
    built = [
        f"{int(n)} x {plain(name or f'{kind} {row}')}"
        for n, name, kind, row in zip(units, names, kinds, rows, strict=True)
        if n > 0
    ]
    return "<br>".join(built) or "nothing is built"


def _require(ds: xr.Dataset, variable: str, dim: str, of: str) -> None:
    if variable not in ds or dim not in ds[variable].dims:
        rule, mend = f"has no {variable}({dim})", f"pass the result of {of}"
        raise InvalidInput(Finding(table="result", rule=rule, mend=mend))
