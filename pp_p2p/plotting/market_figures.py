"""Mechanisms side by side, and what end-use characteristics do: two pictures of a market."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import xarray as xr

from pp_p2p.errors import Finding, InvalidInput
from pp_p2p.plotting.style import GREY, OWNER_COLOURS, PALE, RED, plain, styled

MECHANISM: Final = "mechanism"
SWEPT: Final = ("elasticity", "shiftable_percent", "load_shape")


def mechanisms_figure(ds: xr.Dataset, names: dict[int, str] | None = None) -> Any:
    """Draw what `pp_p2p.compare_mechanisms` found: gain, its spread, congestion.

    Parameters
    ----------
    ds : Dataset
        Over ``mechanism``.
    names : dict of int to str, optional
        What participants are called; their rows without it.

    Returns
    -------
    plotly.graph_objects.Figure
        Three panels: what trading saves all together, what each participant saves, and the energy
        above the network's limits before and after congestion management.
    """
    from plotly.subplots import make_subplots

    titles = ("saved by all and the operator", "saved by each", "energy above limits")
    figure = make_subplots(rows=1, cols=3, subplot_titles=titles, horizontal_spacing=0.09)
    kinds = [plain(name) for name in ds[MECHANISM].to_numpy()]
    figure.add_bar(x=kinds, y=ds["gain_eur"].to_numpy(), marker={"color": GREY}, showlegend=False,
                   hovertemplate="%{x}: %{y:.2f} EUR<extra></extra>", row=1, col=1)  # fmt: skip
    for k, who in enumerate(ds["participant"].to_numpy().tolist()):
        name = (names or {}).get(int(who), f"participant {who}")
        figure.add_bar(
            x=kinds,
            y=ds["saving_eur"].sel(participant=who).to_numpy(),
            name=plain(name),
            marker={"color": OWNER_COLOURS[k % len(OWNER_COLOURS)]},
            hovertemplate=f"{plain(name)}, %{{x}}: %{{y:.2f}} EUR<extra></extra>",
            row=1,
            col=2,
        )
    for variable, text, colour in (
        ("overload_unmanaged_mvah", "without management", RED),
        ("overload_mvah", "with management", PALE),
    ):
        figure.add_bar(x=kinds, y=ds[variable].to_numpy(), name=text, marker={"color": colour},
                       hovertemplate=f"{text}, %{{x}}: %{{y:.4f}} MVA h<extra></extra>",
                       row=1, col=3)  # fmt: skip
    styled(figure, height=380, barmode="group", margin={"l": 56, "r": 16, "t": 84, "b": 60})
    figure.update_layout(legend={"y": 1.14})
    for column, text in ((1, "EUR"), (2, "EUR"), (3, "MVA h")):
        figure.update_yaxes(title_text=text, row=1, col=column)
    return figure


def end_use_figure(ds: xr.Dataset, variable: str = "social_cost_eur") -> Any:
    """Draw a quantity of `pp_p2p.end_use_analysis` over elasticity, share and shape.

    Parameters
    ----------
    ds : Dataset
        Over ``elasticity``, ``shiftable_percent``, ``load_shape``.
    variable : str
        Without other dims; those of participants and hours are summed.

    Returns
    -------
    plotly.graph_objects.Figure
        One line for each share and shape over elasticity.
    """
    import plotly.graph_objects as go

    if variable not in ds or not set(SWEPT) <= set(ds[variable].dims):
        raise InvalidInput(
            Finding(
                table="end_use_figure",
                column=variable,
                rule="is no variable over elasticity, shiftable_percent and load_shape",
                mend=f"choose one of {', '.join(str(v) for v in ds.data_vars)}",
            )
        )
    values = ds[variable]
    values = values.sum([dim for dim in values.dims if dim not in SWEPT], skipna=False)
    figure = go.Figure()
    dashes = ("solid", "dash", "dot", "dashdot")
    for s, shape in enumerate(ds["load_shape"].to_numpy().tolist()):
        for k, share in enumerate(ds["shiftable_percent"].to_numpy().tolist()):
            line = values.sel(load_shape=shape, shiftable_percent=share)
            figure.add_scatter(
                x=ds["elasticity"].to_numpy(),
                y=np.asarray(line.to_numpy(), dtype=float),
                mode="lines+markers",
                name=f"{plain(shape)}, {share:g} % shiftable",
                line={"color": OWNER_COLOURS[k % len(OWNER_COLOURS)], "dash": dashes[s % 4]},
            )
    styled(figure, height=380, margin={"l": 64, "r": 16, "t": 70, "b": 44})
    unit = ds[variable].attrs.get("units", "")
    text = str(ds[variable].attrs.get("long_name", variable))
    figure.update_xaxes(title_text="own-price elasticity")
    figure.update_yaxes(title_text=f"{plain(text)}, {unit}" if unit else plain(text))
    return figure
