"""Pictures of nets and results, as Plotly figures; Plotly is imported when one is drawn."""

from __future__ import annotations

from pp_p2p.plotting.bands import loading_figure, voltage_figure
from pp_p2p.plotting.network_map import TECHNOLOGY_SYMBOLS, investment_text, network_figure

__all__ = [
    "TECHNOLOGY_SYMBOLS",
    "investment_text",
    "loading_figure",
    "network_figure",
    "voltage_figure",
]
