"""Pictures of what clustering chose and of what that keeps, as Plotly figures.

Plotly is imported when one is drawn; a figure holds its data and needs no network.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr
from sklearn.utils.validation import check_is_fitted

from clustering.comparison import NET_LOAD, Channels, check_same, rebuilt
from clustering.density_peak import DensityPeakKMeans
from clustering.pair_distances import Floats
from clustering.profile_days import ProfileDays, check_profiles
from clustering.representatives import check_days
from pp_p2p.errors import Finding, InvalidInput, raise_if_any
from pp_p2p.names import DAY, HOUR, UNITS
from pp_p2p.plotting.style import BLUE, GREY, ORANGE, PALE, RED, plain, styled

MOST_POINTS: Final = 2000
"""Points of a duration curve; more are not seen."""


def decision_graph_figure(model: DensityPeakKMeans) -> Any:
    """Draw separation over density: the rows at the upper right are the peaks.

    Parameters
    ----------
    model : DensityPeakKMeans
        Fitted.

    Returns
    -------
    plotly.graph_objects.Figure
        Left the decision graph of Rodriguez & Laio (2014), right their product gamma of the
        highest peaks in falling order; the `n_clusters_` highest are marked.
    """
    from plotly.subplots import make_subplots

    check_is_fitted(model)
    rows = np.flatnonzero(np.isfinite(model.gamma_))
    rho, delta, gamma = (values[rows] for values in (model.rho_, model.delta_, model.gamma_))
    order = np.lexsort((np.arange(len(rows)), -rho, -delta, -gamma))
    peak, other = order[: model.n_clusters_], order[model.n_clusters_ :]
    shown = order[: 3 * model.n_clusters_ + 10]
    figure = make_subplots(cols=2, horizontal_spacing=0.12)
    text = "row %{customdata}: rho %{x:.3g}, delta %{y:.3g}<extra></extra>"
    for some, name, colour, size in ((other, "rows", GREY, 5), (peak, "highest peaks", RED, 10)):
        figure.add_scatter(
            x=rho[some],
            y=delta[some],
            mode="markers",
            name=name,
            marker={"color": colour, "size": size, "opacity": 0.8},
            customdata=rows[some],
            hovertemplate=text,
            row=1,
            col=1,
        )
    figure.add_scatter(
        x=np.arange(1, len(shown) + 1),
        y=gamma[shown],
        mode="lines+markers",
        line={"color": PALE},
        marker={"color": [RED] * len(peak) + [GREY] * (len(shown) - len(peak)), "size": 7},
        customdata=rows[shown],
        hovertemplate="row %{customdata}: gamma %{y:.3g}<extra></extra>",
        showlegend=False,
        row=1,
        col=2,
    )
    styled(figure, height=380)
    figure.update_xaxes(title_text="density rho", col=1)
    figure.update_yaxes(title_text="separation delta", rangemode="tozero", col=1)
    figure.update_xaxes(title_text="place", col=2)
    figure.update_yaxes(title_text="gamma", rangemode="tozero", col=2)
    return figure


def typical_days_figure(days: xr.Dataset, profiles: xr.Dataset, channel: str | None = None) -> Any:
    """Draw the typical days of one channel, each over the cloud of the days it stands for.

    Parameters
    ----------
    days, profiles : xr.Dataset
        As returned by `typical_days`, and what it was given.
    channel : str, optional
        As `clustering.fidelity` names it; without it the net load, or the first channel where
        there are no loads.

    Returns
    -------
    plotly.graph_objects.Figure
        One picture per typical day, all on the same scale; the title says which day it is and how
        many it stands for.

    Raises
    ------
    InvalidInput
        As `clustering.fidelity`, or no such channel.
    """
    from plotly.subplots import make_subplots

    year = _checked(days, profiles)
    all_days = Channels.of(year, year.values)
    typical = Channels.of(year, rebuilt(days, year))
    at = _place(all_days, channel)
    x, y = all_days.values[:, :, at], typical.values[:, :, at]
    labels = days.indexes[DAY].get_indexer(pd.Index(days["label"].to_numpy()))
    columns = min(4, days.sizes[DAY])
    figure = make_subplots(
        rows=-(-days.sizes[DAY] // columns),
        cols=columns,
        shared_xaxes="all",
        shared_yaxes="all",
        horizontal_spacing=0.03,
        vertical_spacing=0.25 / -(-days.sizes[DAY] // columns),
        subplot_titles=_titles(days),
    )
    hour = days[HOUR].to_numpy()
    for k in range(days.sizes[DAY]):
        own = labels == k
        place = {"row": k // columns + 1, "col": k % columns + 1}
        _draw_cloud(figure, hour, x[own], first=not k, place=place)
        figure.add_scatter(
            x=hour,
            y=y[own][0],
            mode="lines+markers" if len(hour) == 1 else "lines",
            name="typical day",
            line={"color": BLUE, "width": 2.5},
            showlegend=not k,
            hovertemplate="%{x:g} h: %{y:.4g}<extra></extra>",
            **place,
        )
    styled(figure, height=80 + 190 * -(-days.sizes[DAY] // columns))
    figure.update_layout(margin={"t": 70}, legend={"y": 1.0, "yref": "container", "yanchor": "top"})
    figure.update_annotations(font_size=12)
    figure.update_xaxes(dtick=6, showticklabels=True)
    figure.update_yaxes(title_text=_axis_title(all_days.names[at]), col=1)
    return figure


def duration_curves_figure(days: xr.Dataset, profiles: xr.Dataset) -> Any:
    """Draw the duration curve of every variable, all days against typical days.

    Parameters
    ----------
    days, profiles : xr.Dataset
        As returned by `typical_days`, and what it was given.

    Returns
    -------
    plotly.graph_objects.Figure
        One picture per variable (the mean of its columns) and one of the net load; over the share
        of all steps, %.

    Raises
    ------
    InvalidInput
        As `clustering.fidelity`.
    """
    from plotly.subplots import make_subplots

    year = _checked(days, profiles)
    pairs = _by_variable(year, rebuilt(days, year))
    columns = min(3, len(pairs))
    rows = -(-len(pairs) // columns)
    figure = make_subplots(
        rows=rows,
        cols=columns,
        shared_xaxes="all",
        horizontal_spacing=0.1,
        vertical_spacing=0.3 / rows,
    )
    for k, (name, (x, y)) in enumerate(pairs.items()):
        place = {"row": k // columns + 1, "col": k % columns + 1}
        for values, text, colour, dash in (
            (x, "all days", ORANGE, "solid"),
            (y, "typical days", BLUE, "dash"),
        ):
            curve = np.sort(values.ravel())[::-1]
            at = np.unique(np.linspace(0, len(curve) - 1, MOST_POINTS).astype(np.int64))
            figure.add_scatter(
                x=100.0 * (at + 0.5) / len(curve),
                y=curve[at],
                mode="lines",
                name=text,
                line={"color": colour, "width": 2, "dash": dash},
                showlegend=not k,
                hovertemplate="%{x:.1f} % of time: %{y:.4g}<extra>" + text + "</extra>",
                **place,
            )
        figure.update_yaxes(title_text=_axis_title(name), **place)
    styled(figure, height=90 + 280 * rows)
    figure.update_xaxes(title_text="share of time, %", showticklabels=True)
    return figure


def _checked(days: xr.Dataset, profiles: xr.Dataset) -> ProfileDays:
    raise_if_any([*check_profiles(profiles), *check_days(days)])
    year = ProfileDays.of(profiles)
    raise_if_any(check_same(days, year))
    return year


def _place(channels: Channels, channel: str | None) -> int:
    if channel is None:
        return channels.names.index(NET_LOAD) if NET_LOAD in channels.names else 0
    if channel not in channels.names:
        known = ", ".join(channels.names)
        raise InvalidInput(
            Finding(table="channel", rule=f"is {channel!r}", mend=f"give any of {known}")
        )
    return channels.names.index(channel)


def _titles(days: xr.Dataset) -> list[str]:
    """Return what stands above each typical day."""
    source = [str(day) or f"day {k + 1}" for k, day in enumerate(days["source_day"].to_numpy())]
    return [
        f"{plain(day)}: {weight:g} day{'s' if weight != 1.0 else ''}"
        for day, weight in zip(source, days["weight"].to_numpy(), strict=True)
    ]


def _draw_cloud(figure: Any, hour: Floats, own: Floats, *, first: bool, place: Any) -> None:
    """Draw all days (day, hour) as one line with gaps: a trace per day would be slow."""
    gap = np.full((len(own), 1), np.nan)
    figure.add_scatter(
        x=np.tile(np.append(hour, np.nan), len(own)),
        y=np.hstack([own, gap]).ravel(),
        mode="lines+markers" if len(hour) == 1 else "lines",
        name="days it stands for",
        line={"color": GREY, "width": 0.8},
        opacity=0.5,
        showlegend=first,
        hoverinfo="skip",
        **place,
    )


def _by_variable(year: ProfileDays, typical: dict[str, Floats]) -> dict[str, tuple[Floats, Floats]]:
    """Return every variable's mean over its columns, and the net load, both (day, hour)."""
    pairs = {
        name: (values.mean(axis=2), typical[name].mean(axis=2))
        for name, values in year.values.items()
        if values.shape[2]
    }
    sides = [Channels.of(year, values) for values in (year.values, typical)]
    if NET_LOAD in sides[0].names:
        x, y = (side.values[:, :, -1] for side in sides)
        pairs[NET_LOAD] = x, y
    return pairs


def _axis_title(name: str) -> str:
    variable, _, column = name.partition(" [")
    suffix = max((s for s in UNITS if variable.endswith(f"{s}")), key=len, default="")
    text = f"{variable.removesuffix(suffix).replace('_', ' ')}{column and f' [{column}'}"
    return f"{plain(text)}, {UNITS[suffix]}" if suffix and UNITS[suffix] != "1" else plain(text)
