"""What a net has beyond pandapower's, as Plotly traces: participants, soft open points, devices."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from pp_p2p.elements.tables import extension, frame
from pp_p2p.elements.terminals import live_terminals
from pp_p2p.elements.validate import findings
from pp_p2p.errors import raise_if_any
from pp_p2p.network.layout import bus_owners
from pp_p2p.plotting.result_step import one_step
from pp_p2p.plotting.scene import places, segments
from pp_p2p.plotting.sop_traces import Device, Terminal, Trace, sop_traces
from pp_p2p.plotting.style import INK, PALE, owner_colour, plain
from pp_p2p.plotting.symbol_places import free_places
from pp_p2p.plotting.ways import Point, pen_up

NAMED: Final = 12
"""Up to this many participants carry their names in the picture."""

FREE_STANDING: Final = 60
"""Up to this many storage units and flexible loads stand beside their buses, else on them."""


def traces(
    net: Any,
    ds: xr.Dataset | None = None,
    step: Mapping[str, object] | object = None,
    *,
    filled: bool = True,
) -> list[Trace]:
    """Return what pandapower's plots do not know, as Plotly traces.

    Parameters
    ----------
    net : pandapowerNet
        Is not changed. Buses without coordinates stand where `create_generic_coordinates` puts
        them: call it before pandapower draws the net.
    ds : Dataset, optional
        Result of `dispatch`, `trade_day` or `run_year`: its flows of soft open points, storage and
        flexible loads. Without it, ``net.res_sop_terminal`` where `runpp` has filled it, else the
        set points.
    step : mapping or label, optional
        Which step of `ds`; without it, the one with the highest loading.
    filled : bool
        Fill the buses that a participant owns with its colour; False rings them, so that colours
        of voltages stay to be seen.

    Returns
    -------
    list of dict
        For ``additional_traces`` of ``pandapower.plotting.plotly.simple_plotly`` and the like.

    Raises
    ------
    InvalidInput
        A broken table, or a step that `ds` does not have.
    """
    raise_if_any(findings(net))
    place = places(net)
    values = xr.Dataset() if ds is None else one_step(ds, step).values
    return [
        *sop_traces(_devices(net, values), place, segments(net)),
        *_owned_buses(net, place, filled=filled),
        *_symbols(net, place, values),
        *_names(net, place, size=17 if filled else 23),
    ]


def _owned_buses(net: Any, place: Mapping[int, Point], *, filled: bool) -> list[Trace]:
    owners, people = bus_owners(net), frame(net, "participant")
    found = []
    for who in people.index.tolist():
        rows = sorted({*owners.index[owners == who].tolist(), int(people.bus[who])})
        name = _title(people["name"][who], "participant", who)
        colour = owner_colour(who, people.index)
        trace = _markers([place[k] for k in rows], f"buses of {name}")
        if filled:
            trace |= {"text": [_bus_text(net, k, name) for k in rows], "hoverinfo": "text"}
            trace["marker"] = {"size": 13, "color": colour, "line": {"color": "white", "width": 1}}
        else:
            trace["hoverinfo"] = "skip"
            trace["marker"] = {
                "size": 17, "symbol": "circle-open", "color": colour, "line": {"width": 3},
            }  # fmt: skip
        found.append(trace)
    return found


def _bus_text(net: Any, bus: int, owner: str) -> str:
    parts = [f"<b>bus {bus}</b> {_title(net.bus.name[bus], '', '')}", owner]
    for table, word in (("load", "load"), ("sgen", "static generation")):
        rows = net[table][(net[table].bus == bus) & net[table].in_service.astype(bool)]
        power = float((rows.p_mw * rows.scaling).sum())
        parts += [f"{word} {power:.3g} MW"] if power else []
    return "<br>".join(parts)


def _names(net: Any, place: Mapping[int, Point], *, size: int) -> list[Trace]:
    """Return where participants are metered, with their names."""
    people = frame(net, "participant")
    if people.empty:
        return []
    titles = [_title(row["name"], "participant", k) for k, row in people.iterrows()]
    texts = []
    for (k, row), title in zip(people.iterrows(), titles, strict=True):
        owned = [
            f"{n} {word}{'s' if n > 1 else ''}"
            for table, word in (("load", "load"), ("sgen", "plant"), ("storage", "storage unit"))
            if (n := int((extension(net, table, "participant") == k).sum()))
        ]
        limits = [
            f"{word} up to {row[column]:.3g} MW"
            for column, word in (("max_import_mw", "takes"), ("max_export_mw", "feeds in"))
            if not math.isnan(row[column])
        ]
        listed = ["owns " + ", ".join(owned)] if owned else []
        texts.append(
            "<br>".join([f"<b>{title}</b>", f"metered at bus {row.bus}", *listed, *limits])
        )
    trace = _markers([place[int(k)] for k in people.bus], "bus of a participant")
    trace["marker"] = {
        "size": size, "symbol": "circle-open", "color": INK, "line": {"width": 2},
    }  # fmt: skip
    trace |= {"hovertext": texts, "hoverinfo": "text"}
    if len(people) <= NAMED:
        halo = "-1px -1px 1px white, 1px -1px 1px white, -1px 1px 1px white, 1px 1px 1px white"
        trace |= {
            "mode": "markers+text", "text": [f"<b>{t}</b>" for t in titles],
            "textposition": "top center",
            "textfont": {"color": INK, "size": 12, "shadow": halo},
        }  # fmt: skip
    return [trace]


def _devices(net: Any, values: xr.Dataset) -> list[Device]:
    terminals = live_terminals(net)
    names = frame(net, "sop")["name"]
    state = _terminal_state(net, values, terminals.index)
    on_link = extension(net, "storage", "sop")
    found = []
    for k, rows in terminals.groupby("sop"):
        title = f"<b>{_title(names[k], 'soft open point', k)}</b>"
        at = rows.index.tolist()
        lines = [_terminal_text(rows.loc[t], state.loc[t]) for t in at]
        lost = state.loss_mw[rows.index].sum(min_count=1)
        more = [] if math.isnan(lost) else [f"losses {1e3 * lost:.3g} kW"]
        more += [f"storage {s} on the link" for s in on_link.index[on_link == k]]
        found.append(
            Device(
                text="<br>".join([title, *lines, *more]),
                terminals=tuple(
                    Terminal(bus=int(rows.bus[t]), text=f"{title}<br>{line}", p_mw=state.p_mw[t])
                    for t, line in zip(at, lines, strict=True)
                ),
            )
        )
    return found


def _terminal_state(net: Any, values: xr.Dataset, index: pd.Index[Any]) -> pd.DataFrame:
    """Return what each terminal carries: in `values`, in the net's results, or as set point."""
    columns = ["p_mw", "q_mvar", "loss_mw", "loading_percent", "role"]
    state = frame(net, "sop_terminal").reindex(index=index, columns=columns)
    state["from"] = "set point "
    if "sop_p_mw" in values:
        rows = values["sop_terminal"].to_numpy()
        state.loc[:, columns], state["from"] = np.nan, ""
        for name in ("p_mw", "q_mvar", "loss_mw"):
            state[name] = pd.Series(values[f"sop_{name}"].to_numpy(), rows).reindex(index)
    elif not values and "res_sop_terminal" in net and len(net.res_sop_terminal):
        state = net.res_sop_terminal.reindex(index=index, columns=columns)
        state["from"] = ""
    return state


def _terminal_text(row: pd.Series[Any], state: pd.Series[Any]) -> str:
    parts = [f"bus {row.bus}: {row.sn_mva:.3g} MVA"]
    if not math.isnan(state.p_mw):
        parts.append(f"{state['from']}{state.p_mw:+.3g} MW, {state.q_mvar:+.3g} Mvar")
    if pd.notna(state.loss_mw):
        parts.append(f"losses {1e3 * state.loss_mw:.3g} kW")
    if pd.notna(state.loading_percent):
        parts.append(f"loading {state.loading_percent:.0f} %")
    if pd.notna(state.role):
        parts.append(f"role {state.role}")
    elif state["from"]:
        parts.append(f"holds {row.control_mode_ac} and {row.control_mode_dc}")
    return ", ".join(parts)


def _symbols(net: Any, place: Mapping[int, Point], values: xr.Dataset) -> list[Trace]:
    """Return storage and flexible loads beside their buses."""
    load_of = frame(net, "flexible_load")
    load_of = load_of[load_of.in_service.to_numpy(bool)]
    storage = net.storage[net.storage.in_service.astype(bool)]
    kinds = (
        ("storage", "square", storage.bus, extension(net, "storage", "participant")),
        (
            "flexible load", "triangle-down", net.load.bus.reindex(load_of["load"]),
            extension(net, "load", "participant").reindex(load_of["load"]),
        ),
    )  # fmt: skip
    buses = [int(bus) for _, _, at, _ in kinds for bus in at]
    beside = len(buses) <= FREE_STANDING
    spots = free_places(buses, place, segments(net)) if beside else [place[k] for k in buses]
    people = frame(net, "participant").index
    found, first = [], 0
    if beside and buses:
        found.append(_leads([(place[k], spot) for k, spot in zip(buses, spots, strict=True)]))
    for name, symbol, at, owner in kinds:
        if at.empty:
            continue
        trace = _markers(spots[first : first + len(at)], name)
        first += len(at)
        trace["marker"] = {
            "symbol": symbol, "size": 11, "line": {"color": INK, "width": 1.2},
            "color": [owner_colour(int(k), people) for k in owner.loc[at.index]],
        }  # fmt: skip
        text = _storage_texts if name == "storage" else _flexible_texts
        trace |= {"text": text(net, values), "hoverinfo": "text"}
        found.append(trace)
    return found


def _storage_texts(net: Any, values: xr.Dataset) -> list[str]:
    texts = []
    rows = net.storage[net.storage.in_service.astype(bool)]
    power = _of(values, "storage_p_mw", "storage")
    energy = _of(values, "storage_energy_mwh", "storage")
    for k, row in rows.iterrows():
        parts = [f"<b>{_title(row['name'], 'storage', k)}</b>", f"bus {row.bus}"]
        parts += [f"{row.max_e_mwh:.3g} MWh"] if pd.notna(row.max_e_mwh) else []
        p_mw = power.get(k, row.p_mw * row.scaling)
        parts.append(f"{'charges' if p_mw >= 0 else 'discharges'} {abs(p_mw):.3g} MW")
        parts += [f"holds {energy[k]:.3g} MWh"] if k in energy else []
        texts.append("<br>".join(parts))
    return texts


def _flexible_texts(net: Any, values: xr.Dataset) -> list[str]:
    rows = frame(net, "flexible_load")
    shift = _of(values, "load_shift_mw", "flexible_load")
    texts = []
    for k, row in rows[rows.in_service.to_numpy(bool)].iterrows():
        parts = [
            f"<b>{_title(row['name'], 'flexible load', k)}</b>",
            f"load {row['load']} at bus {net.load.bus[row['load']]}",
            f"up {row.max_up_percent:.3g} %, down {row.max_down_percent:.3g} %",
        ]
        parts += [f"shifted {shift[k]:+.3g} MW"] if k in shift else []
        texts.append("<br>".join(parts))
    return texts


def _of(values: xr.Dataset, name: str, dim: str) -> dict[Any, float]:
    if name not in values:
        return {}
    return dict(zip(values[dim].to_numpy().tolist(), values[name].to_numpy().tolist(), strict=True))


def _leads(pairs: list[tuple[Point, Point]]) -> Trace:
    x, y = pen_up([np.array(pair, dtype=float) for pair in pairs])
    return {
        "type": "scatter", "x": x, "y": y, "mode": "lines", "name": "stands at", "zorder": -1,
        "line": {"color": PALE, "width": 1.5}, "hoverinfo": "skip", "showlegend": False,
    }  # fmt: skip


def _markers(points: list[Point], name: str) -> Trace:
    return {
        "type": "scatter", "x": [x for x, _ in points], "y": [y for _, y in points],
        "mode": "markers", "name": name,
    }  # fmt: skip


def _title(name: object, kind: str, index: object) -> str:
    return plain(name) if isinstance(name, str) and name else f"{kind} {index}"
