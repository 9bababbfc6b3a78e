"""The pictures of a study that are about its stages rather than about a net."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import xarray as xr

from flows.key_figures import ITEM_NAMES, day_title, owner_names, per_year, traded_mwh
from planning.figures import ITEM_COLOURS
from pp_p2p.names import BUYER, DAY, HOUR, LOAD, PARTICIPANT, SELLER, SGEN
from pp_p2p.plotting.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PALE,
    RED,
    owner_colour,
    plain,
    styled,
)

PATTERNS: Final = ("/", ".", "x", "\\", "-", "+", "|")
MANY_PAIRS: Final = 9
"""With more trading pairs than these a picture shows sellers, not pairs."""

HOUR_AXIS: Final = {
    "range": [0, 24],
    "tickvals": [0, 6, 12, 18, 24],
    "ticktext": ["0 h", "6 h", "12 h", "18 h", "24 h"],
    "showgrid": True,
}


def day_figure(days: xr.Dataset, k: int) -> Any:
    """Draw load, available PV and wind, and prices of the `k`-th typical day.

    All days of a study get the same scales, so that they can be compared at a glance.
    """
    from plotly.subplots import make_subplots

    step_h = float(days.attrs["step_h"])
    load, green = days["load_p_mw"].sum(LOAD), days["sgen_p_mw"].sum(SGEN)
    buy, sell = days["price_buy_eur_per_mwh"], days["price_sell_eur_per_mwh"]
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, row_heights=[0.62, 0.38], vertical_spacing=0.08
    )

    def draw(row: int, values: xr.DataArray, name: str, colour: str, **style: Any) -> None:
        x, y = _steps(days[HOUR].to_numpy(), values.isel({DAY: k}).to_numpy(), step_h)
        unit = "MW" if row == 1 else "EUR/MWh"
        figure.add_scatter(
            x=x, y=y, mode="lines", name=name, row=row, col=1,
            line={"color": colour, "width": 2, "shape": "hv"} | style.pop("line", {}),
            hovertemplate=f"%{{x:.4g}} h: %{{y:.3g}} {unit}<extra>{name}</extra>", **style,
        )  # fmt: skip

    if days.sizes.get(SGEN, 0):
        draw(1, green, "PV + wind", GREEN, fill="tozeroy", fillcolor="rgba(0,158,115,0.25)")
    draw(1, load, "load", INK)
    draw(2, buy, "buy", ORANGE)
    draw(2, sell, "sell", BLUE, line={"dash": "dot"})
    styled(figure, height=310, margin={"l": 50, "r": 20, "t": 30, "b": 26})
    most = max(float(load.max()), float(green.max()) if green.size else 0.0)
    prices = [float(f(v)) for v in (buy, sell) for f in (np.min, np.max)]
    low, high = min(0.0, *prices), max(0.0, *prices)
    figure.update_yaxes(title_text="MW", range=[0, 1.06 * most or 1], row=1, col=1)
    figure.update_yaxes(title_text="EUR/MWh", range=[1.06 * low, 1.06 * high or 1], row=2, col=1)
    figure.update_xaxes(**HOUR_AXIS)
    return figure


def cost_figure(plan: xr.Dataset) -> Any:
    """Draw the annual cost by item of both cases as stacked bars; income is to the left of 0."""
    import plotly.graph_objects as go

    figure = go.Figure()
    cost = plan["cost_eur_per_year"] / 1e3
    for item in cost["item"].to_numpy().tolist():
        values = cost.sel(item=item).sel(case=["plan", "nothing"]).to_numpy()
        if not np.abs(values).max() > 0:
            continue
        name = ITEM_NAMES.get(item, item)
        figure.add_bar(
            y=["plan", "doing<br>nothing"],
            x=values,
            orientation="h",
            name=name,
            marker={"color": ITEM_COLOURS.get(item, GREY), "line": {"color": "white", "width": 1}},
            hovertemplate=f"%{{x:,.1f}} k EUR/a<extra>{name}</extra>",
        )
    styled(figure, height=260, barmode="relative", bargap=0.35)
    figure.update_xaxes(
        title_text="1000 EUR a year", showgrid=True, zeroline=True, zerolinecolor=INK
    )
    figure.update_yaxes(showgrid=False, ticks="")
    return figure


def trade_matrix_figure(tree: xr.DataTree, span: str) -> Any:
    """Draw who sells how much to whom over all days, MWh."""
    import plotly.graph_objects as go

    energy = per_year(traded_mwh(tree), tree["trade"].to_dataset()["weight"])
    names = owner_names(tree)
    sellers = [plain(names.get(int(k), k)) for k in energy[SELLER].to_numpy()]
    buyers = [plain(names.get(int(k), k)) for k in energy[BUYER].to_numpy()]
    own = energy[SELLER].to_numpy()[:, None] == energy[BUYER].to_numpy()[None]
    mwh = np.where(own, np.nan, energy.transpose(SELLER, BUYER).to_numpy())
    few = len(sellers) <= 12
    labels = [
        ["" if np.isnan(v) else f"{v:,.0f}" if v >= 10 else f"{v:.2g}" for v in r] for r in mwh
    ]
    figure = go.Figure()
    figure.add_heatmap(
        z=mwh, x=buyers, y=sellers, text=labels, texttemplate="%{text}" if few else "",
        textfont={"size": 15}, zmin=0, zmax=max(float(np.nanmax(mwh, initial=0.0)), 1e-9),
        colorscale=[[0, "#F0F4F8"], [1, BLUE]], showscale=not few, xgap=3, ygap=3,
        hoverongaps=False,
        hovertemplate=f"%{{y}} sells %{{z:.4g}} MWh in {span} to %{{x}}<extra></extra>",
    )  # fmt: skip
    size = min(110 + 62 * len(sellers), 640)
    styled(figure, height=size, margin={"l": 60, "r": 8, "t": 52, "b": 8})
    figure.update_xaxes(title_text="buyer", side="top", showgrid=False, ticks="", showline=False)
    figure.update_yaxes(
        title_text="seller", autorange="reversed", showgrid=False, ticks="", showline=False
    )
    return figure


def trade_day_figure(tree: xr.DataTree) -> Any:
    """Draw each participant's exchange and the trades of one day; a menu chooses the day.

    The day with the largest gain comes first.
    """
    from plotly.subplots import make_subplots

    trade, hours = tree["trade"].to_dataset(), tree["days"][HOUR].to_numpy()
    step_h, n_days = float(tree["days"].attrs["step_h"]), trade.sizes[DAY]
    first = int(np.argmax(trade["gain_eur"].to_numpy()))
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, row_heights=[0.5, 0.5], vertical_spacing=0.12,
        subplot_titles=["exchange with the grid (positive: buys)", "traded (seller → buyer)"],
    )  # fmt: skip
    of_day: list[int] = []
    for k in range(n_days):
        before = len(figure.data)
        _draw_exchange(figure, tree, k, hours, step_h)
        _draw_trades(figure, tree, k, hours, step_h)
        of_day += [k] * (len(figure.data) - before)
    for member, k in zip(figure.data, of_day, strict=True):
        member.visible = k == first
    buttons = [
        {
            "label": plain(day_title(tree, k)),
            "method": "update",
            "args": [{"visible": [of == k for of in of_day]}],
        }
        for k in range(n_days)
    ]
    menu = {
        "buttons": buttons, "active": first, "direction": "down", "showactive": True, "x": 0,
        "xanchor": "left", "y": 1.1, "yanchor": "bottom", "bgcolor": "white",
        "bordercolor": PALE, "pad": {"t": 0, "b": 0},
    }  # fmt: skip
    styled(figure, height=660, barmode="stack", bargap=0, updatemenus=[menu])
    figure.update_layout(
        margin={"l": 50, "r": 16, "t": 84, "b": 30},
        legend={"yref": "container", "y": 0.0, "yanchor": "bottom", "traceorder": "normal"},
    )
    figure.update_annotations(font_size=13, x=0, xanchor="left")
    figure.update_xaxes(**HOUR_AXIS)
    figure.update_yaxes(title_text="MW")
    figure.update_yaxes(zeroline=True, zerolinecolor=INK, row=1, col=1)
    return figure


def _draw_exchange(figure: Any, tree: xr.DataTree, k: int, hours: Any, step_h: float) -> None:
    trade, names = tree["trade"].to_dataset(), owner_names(tree)
    people = tree["network"][PARTICIPANT].to_numpy().tolist()
    exchange = trade["p_grid_mw"].transpose(DAY, PARTICIPANT, HOUR).to_numpy()[k]
    for who, values in zip(trade[PARTICIPANT].to_numpy().tolist(), exchange, strict=True):
        x, y = _steps(hours, values, step_h)
        name = plain(names.get(who, who))
        figure.add_scatter(
            x=x, y=y, mode="lines", name=f"{name}: grid", row=1, col=1,
            line={"color": owner_colour(who, people), "width": 2.5, "shape": "hv"},
            hovertemplate=f"%{{x:.4g}} h: %{{y:.3f}} MW<extra>{name}</extra>",
        )  # fmt: skip


def _draw_trades(figure: Any, tree: xr.DataTree, k: int, hours: Any, step_h: float) -> None:
    """Draw the trades: the seller's colour, and a pattern for the buyer."""
    names, people = owner_names(tree), tree["network"][PARTICIPANT].to_numpy().tolist()
    trade = tree["trade"].to_dataset()["trade_mw"].transpose(DAY, SELLER, BUYER, HOUR)
    ever, today = trade.sum([DAY, HOUR]).to_numpy() > 0, trade.to_numpy()[k]
    sellers, buyers = trade[SELLER].to_numpy().tolist(), trade[BUYER].to_numpy().tolist()
    pairs: list[tuple[int, Any, str, str]] = []
    for i, who in enumerate(sellers):
        name = plain(names.get(who, who))
        if ever.sum() > MANY_PAIRS:
            pairs.append((who, today[i].sum(axis=0), f"{name} → all", ""))
            continue
        pairs += [
            (who, today[i, j], f"{name} → {plain(names.get(to, to))}", PATTERNS[j % len(PATTERNS)])
            for j, to in enumerate(buyers)
            if ever[i, j]
        ]
    for who, values, name, pattern in pairs:
        colour = owner_colour(who, people)
        figure.add_bar(
            x=hours + step_h / 2, y=values, width=0.92 * step_h, name=name, row=2, col=1,
            marker={
                "color": colour,
                "line": {"width": 0},
                "pattern": {"shape": pattern, "fgcolor": "white", "size": 7, "solidity": 0.25},
            },
            hovertemplate=f"%{{x:.4g}} h: %{{y:.3f}} MW<extra>{name}</extra>",
        )  # fmt: skip
    if not pairs:  # an empty picture says so
        figure.add_scatter(
            x=[12], y=[0], mode="text", text=["no trade"], textfont={"color": RED, "size": 14},
            showlegend=False, hoverinfo="skip", row=2, col=1,
        )  # fmt: skip


def _steps(hours: Any, values: Any, step_h: float) -> tuple[Any, Any]:
    """Return a step line that reaches the end of the last step."""
    return np.append(hours, hours[-1] + step_h), np.append(values, values[-1])
