"""The map of a net, and what a plan builds in it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import xarray as xr

from pp_p2p.names import BUS, CANDIDATE, LINE, OPERATOR, PARTICIPANT
from pp_p2p.network.branches import Array
from pp_p2p.plotting.sop_traces import Device, Terminal, sop_traces
from pp_p2p.plotting.style import GREY, INK, PALE, RED, owner_colour, plain, styled
from pp_p2p.plotting.symbol_places import free_places, spread_apart
from pp_p2p.plotting.ways import arc, pen_up
from pp_p2p.results import stored_names

Place = dict[int, tuple[float, float]]
"""x and y by bus."""

TECHNOLOGY_SYMBOLS: Final = {
    "pv": ("PV", "diamond"),
    "wind": ("wind", "triangle-up"),
    "storage": ("storage", "square"),
    "storage_energy": ("storage energy", "square-open"),
    "sop": ("soft open point", "hexagram"),
    "switch": ("switch", "x"),
}
"""How a built technology is called and drawn; a built line is drawn as a line."""

LABELLED_BUSES: Final = 60
"""Up to this many buses each carries its index in the map."""


def network_figure(network: xr.Dataset, plan: xr.Dataset | None = None) -> Any:
    """Draw the map of a net, and what a plan builds in it.

    Parameters
    ----------
    network : Dataset
        From `pp_p2p.network.layout.describe_net`.
    plan : Dataset, optional
        Result of `planning.plan_network` or `planning.plan_at`; its built ties are highlighted,
        and every other investment is a symbol beside its bus: the shape is the technology, the
        colour the owner, a number in it the stage from which on it stands.

    Returns
    -------
    plotly.graph_objects.Figure
        With equal scales on both axes. A bus without coordinates is left out. Where the map is a
        tree that runs to the right, ``layout.meta["height_turned"]`` is the height, px, that it
        needs where a narrow page turns it to run down.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    place = _places(network)
    ties = _built_ties(plan)
    _draw_branches(figure, network, place, ties)
    closed = _segments(network.sel({LINE: network["closed"].to_numpy() > 0}), place)
    figure.add_traces(sop_traces(_devices(network), place, closed))
    if plan is not None:
        _draw_investments(figure, network, plan, place)
    _draw_buses(figure, network, place)
    hidden = {"visible": False, "showgrid": False, "zeroline": False}
    below = {"y": -0.02, "yanchor": "top", "x": 0.5, "xanchor": "center"}
    margin = {"l": 8, "r": 8, "t": 24, "b": 8}
    styled(figure, height=_height(place), margin=margin, legend=below)
    if network.attrs.get("layout") == "tree":
        figure.update_layout(meta={"height_turned": _height_turned(place)})
    figure.update_xaxes(**hidden, automargin=False)
    figure.update_yaxes(**hidden, automargin=False, scaleanchor="x", scaleratio=1)
    return figure


def _places(network: xr.Dataset) -> Place:
    rows = zip(*(network[k].to_numpy().tolist() for k in (BUS, "x", "y")), strict=True)
    place = {int(k): (x, y) for k, x, y in rows if np.isfinite(x) and np.isfinite(y)}
    return spread_apart(place) if len(place) <= LABELLED_BUSES else place


def _height(place: Place) -> int:
    """Return the height of the picture, px: a flat map needs less."""
    spans = np.ptp(np.array(list(place.values())), axis=0) if place else np.ones(2)
    return int(np.clip(180 + 900 * spans[1] / max(spans[0], 1e-12), 300, 600))


def _height_turned(place: Place) -> int:
    steps = np.ptp(np.array(list(place.values()))[:, 0]) if place else 0.0
    return int(np.clip(420 + 26 * steps, 600, 1400))


def _devices(network: xr.Dataset) -> list[Device]:
    """Return the soft open points of a described net."""
    if "terminal_bus" not in network:  # stored by an earlier version
        return []
    names = dict(zip(network["sop"].to_numpy(), network["sop_name"].to_numpy(), strict=True))
    rows = list(
        zip(
            *(network[f"terminal_{k}"].to_numpy().tolist() for k in ("sop", "bus", "sn_mva")),
            strict=True,
        )
    )
    found = []
    for k, name in names.items():
        title = f"<b>{plain(name or f'soft open point {k}')}</b>"
        mine = [(bus, f"bus {bus}: {mva:.3g} MVA") for sop, bus, mva in rows if sop == k]
        terminals = tuple(Terminal(bus=bus, text=f"{title}<br>{text}") for bus, text in mine)
        text = "<br>".join([title, *(text for _, text in mine)])
        found.append(Device(text=text, terminals=terminals))
    return found


def _built_ties(plan: xr.Dataset | None) -> dict[int, str]:
    """Return line -> name of every tie that the plan builds."""
    if plan is None:
        return {}
    built = (plan["units"].to_numpy() > 0) & (plan["candidate_line"].to_numpy() >= 0)
    names, lines = plan["candidate_name"].to_numpy()[built], plan["candidate_line"].to_numpy()
    return {int(k): str(n) for k, n in zip(lines[built], names, strict=True)}


def _draw_branches(figure: Any, network: xr.Dataset, place: Place, ties: dict[int, str]) -> None:
    ends = np.column_stack([network["from_bus"].to_numpy(), network["to_bus"].to_numpy()])
    closed, lines = network["closed"].to_numpy() > 0, network[LINE].to_numpy()
    is_tie = np.isin(lines, list(ties))
    kinds = (
        ("line, closed", closed & ~is_tie, {"color": GREY, "width": 2}),
        ("line, open", ~closed & ~is_tie, {"color": "#9AA5B1", "width": 1.5, "dash": "dot"}),
        ("tie, built (normally open)", is_tie, {"color": RED, "width": 4, "dash": "6px,3px"}),
    )
    for name, rows, style in kinds:
        texts = [f"line {k}" + (f": {plain(ties[k])}" if k in ties else "") for k in lines[rows]]
        _draw_lines(figure, ends[rows], place, texts, name, style, bent="dash" in style)
    if network.sizes.get("trafo", 0):
        ends = np.column_stack([network[f"trafo_{side}_bus"].to_numpy() for side in ("hv", "lv")])
        texts = [f"transformer {k}" for k in network["trafo"].to_numpy()]
        style = {"color": INK, "width": 5}
        _draw_lines(figure, ends, place, texts, "transformer", style)


def _draw_lines(
    figure: Any,
    ends: Array,
    place: Place,
    texts: list[str],
    name: str,
    style: dict[str, Any],
    *,
    bent: bool = False,
) -> None:
    """Draw branches of one kind as one trace, and unseen points in the middle that tell names.

    `bent` leads them around buses that are in the way.
    """
    shown = [
        (place[a], place[b], f"{text}<br>bus {a} to bus {b}")
        for (a, b), text in zip(ends.tolist(), texts, strict=True)
        if a in place and b in place
    ]
    if not shown:
        return
    buses = np.array(list(place.values()), dtype=float)
    ways = [arc(a, b, buses) if bent else np.array([a, b]) for a, b, _ in shown]
    x, y = pen_up(ways)
    figure.add_scatter(x=x, y=y, mode="lines", line=style, name=name, hoverinfo="skip")
    middle = np.array([way[len(way) // 2] if bent else way.mean(axis=0) for way in ways])
    figure.add_scatter(
        x=middle[:, 0],
        y=middle[:, 1],
        mode="markers",
        marker={"size": 14, "opacity": 0},
        hovertemplate=[f"{text}<extra>{name}</extra>" for _, _, text in shown],
        showlegend=False,
    )


def _draw_buses(figure: Any, network: xr.Dataset, place: Place) -> None:
    people = network[PARTICIPANT].to_numpy().tolist()
    names = stored_names(network)
    home = set(network["participant_bus"].to_numpy().tolist())
    source = set(network["source_bus"].to_numpy().tolist())
    owner = dict(zip(network[BUS].to_numpy(), network["bus_owner"].to_numpy(), strict=True))
    load = dict(zip(network[BUS].to_numpy(), network["load_mw"].to_numpy(), strict=True))
    few = len(place) <= LABELLED_BUSES
    for who in [OPERATOR, *people]:
        rows = [
            k for k in place if k not in source and (owner[k] if owner[k] in names else -1) == who
        ]
        if not rows:
            continue
        text = "other buses" if who == OPERATOR else f"buses of {plain(names[who])}"
        figure.add_scatter(
            x=[place[k][0] for k in rows],
            y=[place[k][1] for k in rows],
            mode="markers+text" if few else "markers",
            text=[f"<b>{k}</b>" if k in home else str(k) for k in rows],
            textfont={"size": 10, "color": INK if who == OPERATOR else "white"},
            marker={
                "size": 18 if few else 8,
                "color": (PALE if few else GREY) if who == OPERATOR else owner_colour(who, people),
                "line": {"color": "white", "width": 1},
            },
            name=text,
            hovertemplate=[f"bus {k}<br>load {load[k]:.3g} MW<extra>{text}</extra>" for k in rows],
        )
    _draw_special_buses(figure, place, home, source, 20 if few else 11)


def _draw_special_buses(
    figure: Any, place: Place, home: set[int], source: set[int], size: int
) -> None:
    rows = [k for k in place if k in home]
    if rows:
        figure.add_scatter(
            x=[place[k][0] for k in rows],
            y=[place[k][1] for k in rows],
            mode="markers",
            marker={"size": size, "symbol": "circle-open", "color": INK, "line": {"width": 2.5}},
            name="bus of a participant",
            hoverinfo="skip",
        )
    rows = [k for k in place if k in source]
    figure.add_scatter(
        x=[place[k][0] for k in rows],
        y=[place[k][1] for k in rows],
        mode="markers+text",
        text=[str(k) for k in rows],
        textfont={"size": 10, "color": "white"},
        marker={"size": 22, "symbol": "square", "color": INK},
        name="external grid",
        hovertemplate=[f"bus {k}<extra>external grid</extra>" for k in rows],
    )


def _draw_investments(figure: Any, network: xr.Dataset, plan: xr.Dataset, place: Place) -> None:
    people = network[PARTICIPANT].to_numpy().tolist()
    units, bus = plan["units"].to_numpy(), plan["candidate_bus"].to_numpy()
    built = [
        k
        for k in range(plan.sizes[CANDIDATE])
        if units[k] > 0 and plan["candidate_line"].to_numpy()[k] < 0 and int(bus[k]) in place
    ]
    spots = free_places([int(bus[k]) for k in built], place, _segments(network, place))
    leads = [(place[int(bus[k])], spot) for k, spot in zip(built, spots, strict=True)]
    figure.add_scatter(
        x=[v for a, b in leads for v in (a[0], b[0], None)],
        y=[v for a, b in leads for v in (a[1], b[1], None)],
        mode="lines",
        line={"color": INK, "width": 1},
        hoverinfo="skip",
        showlegend=False,
    )
    technology = plan["technology_built"].to_numpy().astype(str)
    owner = plan["candidate_owner"].to_numpy()
    for key in dict.fromkeys(technology[built].tolist()):
        text, symbol = TECHNOLOGY_SYMBOLS.get(key, (key, "star"))
        mine = [i for i, k in enumerate(built) if technology[k] == key]
        marker = {"symbol": symbol, "size": 15, "line": {"color": INK, "width": 1.5}}
        figure.add_scatter(
            x=[spots[i][0] for i in mine],
            y=[spots[i][1] for i in mine],
            mode="markers+text" if "first_stage" in plan else "markers",
            text=[_first_stage(plan, built[i]) for i in mine],
            textfont={"size": 9, "color": "white"},
            marker=marker | {"color": [owner_colour(int(owner[built[i]]), people) for i in mine]},
            hovertemplate=[f"{investment_text(plan, built[i])}<extra></extra>" for i in mine],
            showlegend=False,
        )
        figure.add_scatter(  # the legend's entry, in no owner's colour
            x=[None], y=[None], mode="markers", marker=marker | {"color": "white"},
            name=f"{text}, built",
        )  # fmt: skip


def investment_text(plan: xr.Dataset, k: int) -> str:
    """Return what hovering over investment number `k` of a plan says."""
    one = plan.isel({CANDIDATE: k})
    size = f"{float(one['built_p_mw']):.3g} MW"
    if float(one["built_e_mwh"]) > 0:
        size += f", {float(one['built_e_mwh']):.3g} MWh"
    since = _first_stage(plan, k)
    return (
        f"<b>{plain(one['candidate_name'].item())}</b><br>{float(one['units']):.3g} of "
        f"{int(one['max_units'])} units<br>{size}<br>{float(one['capex_eur']):,.0f} EUR"
        + (f"<br>from stage {since} on" if since else "")
    )


def _first_stage(plan: xr.Dataset, k: int) -> str:
    """Return the stage of a horizon in which investment number `k` begins, if it has stages."""
    return str(int(plan["first_stage"][k])) if "first_stage" in plan else ""


def _segments(network: xr.Dataset, place: Place) -> Array:
    ends = zip(network["from_bus"].to_numpy(), network["to_bus"].to_numpy(), strict=True)
    known = [
        (*place[int(a)], *place[int(b)]) for a, b in ends if int(a) in place and int(b) in place
    ]
    return np.array(known, dtype=float).reshape(-1, 4)
