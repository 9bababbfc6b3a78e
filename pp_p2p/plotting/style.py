"""The common look of all pictures: colours, type, axes.

The colours are those of Okabe and Ito (2008), which colour-blind readers can tell apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any, Final

BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, YELLOW = "#CC79A7", "#56B4E9", "#F0E442"
INK, GREY, PALE = "#1F2933", "#7B8794", "#CBD2D9"
SOP_COLOUR = "#7030A0"
OWNER_COLOURS: Final = (BLUE, ORANGE, GREEN, PURPLE, SKY, YELLOW)
"""Colours of participants, in their order; red is kept for what must be seen."""

FONT: Final = (
    'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, "Liberation Sans", '
    "sans-serif"
)


def owner_colour(owner: int, participants: Iterable[int]) -> str:
    """Return the colour of a participant; grey for the operator and for strangers."""
    order = [int(k) for k in participants]
    return OWNER_COLOURS[order.index(owner) % len(OWNER_COLOURS)] if owner in order else GREY


def plain(text: object) -> str:
    """Return `text` so that Plotly shows it as it is: it would read ``<b>`` as markup."""
    return escape(str(text), quote=False)


def styled(figure: Any, *, height: int, **layout: Any) -> Any:
    """Give `figure` the common look: white, thin grid, legend on top, no touch gestures."""
    figure.update_layout(
        template="simple_white",
        height=height,
        autosize=True,
        dragmode=False,
        font={"family": FONT, "size": 13, "color": INK},
        margin={"l": 56, "r": 16, "t": 40, "b": 44},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "title": {"text": ""}},
        hoverlabel={"font": {"family": FONT, "size": 13}},
        paper_bgcolor="white",
        plot_bgcolor="white",
    )
    figure.update_layout(**layout)
    axis = {"automargin": True, "gridcolor": "#E4E7EB", "linecolor": PALE, "tickcolor": PALE}
    figure.update_xaxes(**axis, title_font_size=13)
    figure.update_yaxes(**axis, title_font_size=13, showgrid=True, zerolinecolor=PALE)
    return figure
