"""Pictures of nets and results, as Plotly figures; Plotly is imported when one is drawn.

`simple_plotly` and `pf_res_plotly` are those of ``pandapower.plotting.plotly`` with participants,
soft open points, storage and flexible loads; `traces` gives these alone, for a figure of one's
own. Nothing opens a browser, writes a file or asks a server unless it is told to: tiles of a map
come with ``on_map=True`` only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pp_p2p.public import load_when_used

if TYPE_CHECKING:
    from pp_p2p.plotting.bands import loading_figure, voltage_figure
    from pp_p2p.plotting.market_figures import end_use_figure, mechanisms_figure
    from pp_p2p.plotting.net_traces import traces
    from pp_p2p.plotting.network_map import TECHNOLOGY_SYMBOLS, investment_text, network_figure
    from pp_p2p.plotting.over_pandapower import pf_res_plotly, simple_plotly
    from pp_p2p.plotting.scene import create_generic_coordinates

_HOMES = {
    "TECHNOLOGY_SYMBOLS": "pp_p2p.plotting.network_map",
    "create_generic_coordinates": "pp_p2p.plotting.scene",
    "end_use_figure": "pp_p2p.plotting.market_figures",
    "investment_text": "pp_p2p.plotting.network_map",
    "loading_figure": "pp_p2p.plotting.bands",
    "mechanisms_figure": "pp_p2p.plotting.market_figures",
    "network_figure": "pp_p2p.plotting.network_map",
    "pf_res_plotly": "pp_p2p.plotting.over_pandapower",
    "simple_plotly": "pp_p2p.plotting.over_pandapower",
    "traces": "pp_p2p.plotting.net_traces",
    "voltage_figure": "pp_p2p.plotting.bands",
}
"""Where each public name is: a page of stored results needs no pandapower."""

__all__ = [
    "TECHNOLOGY_SYMBOLS",
    "create_generic_coordinates",
    "end_use_figure",
    "investment_text",
    "loading_figure",
    "mechanisms_figure",
    "network_figure",
    "pf_res_plotly",
    "simple_plotly",
    "traces",
    "voltage_figure",
]

__getattr__, __dir__ = load_when_used(__name__, _HOMES)
