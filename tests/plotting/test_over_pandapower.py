"""pandapower's plots with participants, soft open points and results over them."""

from __future__ import annotations

import copy
import inspect
import socket
import webbrowser
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pandapower.plotting.plotly as pandapower_plots
import pytest
import xarray as xr
from pandapower.toolbox import nets_equal

import pp_p2p as p2p
from pp_p2p.errors import InvalidInput


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Work in an empty folder, where neither the network nor a browser may be asked."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a picture asked the network or a browser")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(webbrowser, "open", refuse)
    return tmp_path


def named(figure: Any, name: str) -> Any:
    (found,) = figure.select_traces({"name": name})
    return found


@pytest.mark.parametrize("plot", ["simple_plotly", "pf_res_plotly"])
def test_a_net_with_all_we_know_of(net: Any, plot: str, alone: Path) -> None:
    before = copy.deepcopy(net)
    figure = getattr(p2p.plotting, plot)(net)
    assert nets_equal(net, before)
    assert list(alone.iterdir()) == []
    north = named(figure, "buses of North")
    of_both = {*net.load.bus[net.load.participant == 1]}  # the load with the largest index tells
    owned = {*net.load.bus[net.load.participant == 0], net.storage.bus[0]} - of_both
    owned.add(net.participant.bus[0])
    assert len(north.x) == len(owned)
    assert len(named(figure, "buses of participant 1").x) > 0
    assert len(named(figure, "buses").x) == len(net.bus)
    metered = named(figure, "bus of a participant")
    assert metered.text == ("<b>North</b>", "<b>participant 1</b>")
    assert "metered at bus" in metered.hovertext[0]
    hub = named_hub(figure)
    assert "<b>link</b>" in hub.text[0]
    assert "losses" in hub.text[0] or plot == "simple_plotly"
    terminals = named(figure, "terminal of a soft open point")
    assert terminals.marker.symbol == ("triangle-up", "triangle-up")
    assert "1 MVA" in terminals.text[0]
    assert "battery" in named(figure, "storage").text[0]
    assert "up 20 %" in named(figure, "flexible load").text[0]
    for member in figure.data:
        assert "nan" not in str(member.text)


def named_hub(figure: Any) -> Any:
    return next(t for t in figure.data if t.name == "soft open point" and t.mode == "markers")


def test_arrows_point_where_power_goes(feeder: Any) -> None:
    feeder.bus["geo"] = [f'{{"coordinates": [{k}, 0.0], "type": "Point"}}' for k in range(5)]
    p2p.create_sop(feeder, [0, 4], sn_mva=1.0, p_mw=[0.3, -0.3])
    ours = {t["name"]: t for t in p2p.plotting.traces(feeder) if t.get("mode") == "markers"}
    terminal, hub = ours["terminal of a soft open point"], ours["soft open point"]
    for (x, y), bus, angle, sign in zip(
        zip(terminal["x"], terminal["y"], strict=True),
        ((0.0, 0.0), (4.0, 0.0)),
        terminal["marker"]["angle"],
        (1, -1),
        strict=True,
    ):
        assert (x, y) not in (bus, (hub["x"][0], hub["y"][0]))
        towards = sign * (np.array(bus) - [x, y])
        pointing = np.sin(np.radians(angle)), np.cos(np.radians(angle))  # clockwise from up
        assert pointing @ towards == pytest.approx(np.linalg.norm(towards))
    assert abs(hub["y"][0]) > 0.1  # off the straight feeder, whose buses are in the way


def test_results_of_a_power_flow_are_told(net33: Any) -> None:
    p2p.runpp(net33)
    hub = named_hub(p2p.plotting.pf_res_plotly(net33))
    q = net33.res_sop_terminal
    assert f"losses {1e3 * q.loss_mw.sum():.3g} kW" in hub.text[0]
    assert f"{q.p_mw[1]:+.3g} MW" in hub.text[0]
    assert "set point" not in hub.text[0]
    assert "role q_mvar" in hub.text[0]


def test_a_step_of_a_result(net33: Any, year33: xr.Dataset) -> None:
    at = {"day": 1, "hour": 8.0}
    figure = p2p.plotting.pf_res_plotly(net33, ds=year33, step=at)
    one = year33.sel(at)
    np.testing.assert_allclose(named(figure, "buses").marker.color, one["vm_pu"])
    lines = [t for t in figure.data if t.name == "lines" and t.mode == "lines"]
    assert len(lines) == 32
    assert f"I = {float(one['line_loading_percent'][0]):.3f}"[:9] in lines[0].text
    assert "P_from" not in lines[0].text  # a result does not know it
    assert f"{float(one['sop_p_mw'][0]):+.3g} MW" in named_hub(figure).text[0]
    assert "charges 0.05 MW" in named(figure, "storage").text[0]
    assert figure.layout.annotations[0].text == "<b>day 1, hour 8</b>"


def test_without_a_step_the_most_loaded_one(net33: Any, year33: xr.Dataset) -> None:
    year33["line_loading_percent"][0, 3, 7] = 99.0
    figure = p2p.plotting.pf_res_plotly(net33, ds=year33)
    assert figure.layout.annotations[0].text == "<b>day 0, hour 12 (highest loading)</b>"


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (3, "step: is 3, but a step of this result is told by day and hour"),
        ({"day": 1}, "step.hour: does not say which hour; it goes from 0 to 20"),
        ({"day": 7, "hour": 0.0}, "step.day: has no 7; it goes from 0 to 1"),
        ({"day": 1, "hour": 0.0, "week": 1}, "step.week: is no dimension"),
    ],
)
def test_a_step_that_is_not_there(net33: Any, year33: xr.Dataset, step: Any, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        p2p.plotting.pf_res_plotly(net33, ds=year33, step=step)
    assert said in str(caught.value)


def test_results_of_another_net_are_refused(feeder: Any, year33: xr.Dataset) -> None:
    with pytest.raises(InvalidInput, match="in the result but not in this net"):
        p2p.plotting.pf_res_plotly(feeder, ds=year33)
    with pytest.raises(InvalidInput, match="holds no voltages"):
        p2p.plotting.pf_res_plotly(feeder, ds=xr.Dataset())


def test_a_dispatch_is_drawn(net33: Any) -> None:
    ds = p2p.dispatch(net33)
    figure = p2p.plotting.pf_res_plotly(net33, ds=ds)
    np.testing.assert_allclose(named(figure, "buses").marker.color, ds["vm_pu"][0])
    assert f"{float(ds['sop_p_mw'][0, 0]):+.3g} MW" in named_hub(figure).text[0]
    assert figure.layout.annotations[0].text == "<b>time 0</b>"


@pytest.mark.parametrize("name", ["simple_plotly", "pf_res_plotly"])
def test_every_argument_of_pandapower_is_taken(net33: Any, name: str, alone: Path) -> None:
    values: dict[str, Any] = {
        "figsize": 1.2,
        "aspectratio": (1.0, 0.6),
        "bus_size": 7.0,
        "showlegend": False,
        "additional_traces": [{"type": "scatter", "x": [0.0], "y": [0.0], "name": "mine"}],
        "filename": "mine.html",
    }
    theirs = inspect.signature(getattr(pandapower_plots, name)).parameters
    given = {
        key: values.get(key, p.default)
        for key, p in theirs.items()
        if p.default is not inspect.Parameter.empty and key != "auto_open"
    }
    figure = getattr(p2p.plotting, name)(net33, **given)
    assert figure.layout.height == pytest.approx(0.6 * figure.layout.width)
    assert [path.name for path in alone.iterdir()] == ["mine.html"]
    page = (alone / "mine.html").read_text(encoding="utf-8")
    assert "soft open point" in page
    assert 'src="http' not in page


def test_own_traces_are_drawn_as_well(net33: Any) -> None:
    mine = {"type": "scatter", "x": [0.0], "y": [0.0], "name": "mine"}
    for plot in (p2p.plotting.simple_plotly, p2p.plotting.pf_res_plotly):
        assert named(plot(net33, additional_traces=mine), "mine")


def test_traces_for_a_figure_of_ones_own(net33: Any) -> None:
    ours = p2p.plotting.traces(net33)
    figure = pandapower_plots.simple_plotly(
        net33, additional_traces=ours, filename=None, auto_open=False
    )
    assert len(named(figure, "buses of North").x) > 1
    members, settings = p2p.plotting.simple_plotly(net33, auto_draw_traces=False)
    assert {"buses", "buses of North"} <= {one["name"] for one in members}
    assert settings["filename"] == "temp-plot.html"  # pandapower's own default, not written


def test_a_map_is_drawn_where_asked() -> None:
    net = pn.mv_oberrhein()
    p2p.create_participant(net, int(net.load.bus.iloc[0]), name="North")
    p2p.create_sop(net, net.load.bus.iloc[[0, 9]].tolist(), sn_mva=1.0)
    for plot in (p2p.plotting.simple_plotly, p2p.plotting.pf_res_plotly):
        figure = plot(net, on_map=True)
        assert {one.type for one in figure.data} == {"scattermap"}
        assert named_hub(figure).lat[0] == pytest.approx(48.4, abs=0.5)


def test_a_line_out_of_service_is_not_drawn_as_closed(net33: Any) -> None:
    figure = p2p.plotting.simple_plotly(net33)
    apart = [t for t in figure.data if t.name == "disconnected branches"]
    assert len(apart) == int((~net33.line.in_service).sum()) == 5


def test_meshed_nets_and_parts_without_supply_are_drawn() -> None:
    net = pn.case9()
    net.bus["geo"] = None
    alone = pp.create_bus(net, 10.0)
    figure = p2p.plotting.simple_plotly(net)
    buses = named(figure, "buses")
    assert len(set(zip(buses.x, buses.y, strict=True))) == len(net.bus)
    assert buses.text[alone].startswith(f"Index: {alone}")


def test_coordinates_of_a_tree_are_given_on_demand(net33: Any) -> None:
    with pytest.raises(InvalidInput, match="have coordinates already"):
        p2p.plotting.create_generic_coordinates(net33)
    p2p.plotting.create_generic_coordinates(net33, overwrite=True)
    assert net33.bus.geo[0] == '{"coordinates": [0.0, 0.0], "type": "Point"}'
    assert named(p2p.plotting.simple_plotly(net33), "buses").x[:3] == (0.0, 1.0, 2.0)


def test_names_cannot_become_markup(feeder: Any) -> None:
    p2p.create_participant(feeder, 2, name="<b>x</b>")
    figure = p2p.plotting.simple_plotly(feeder)
    assert named(figure, "bus of a participant").text == ("<b>&lt;b&gt;x&lt;/b&gt;</b>",)


@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_draws_them_without_errors(
    width: int, all_nets: list[Any], in_browser: Any
) -> None:
    figures = [
        plot(net)
        for net in all_nets
        for plot in (p2p.plotting.simple_plotly, p2p.plotting.pf_res_plotly)
    ]
    parts = [
        figure.to_html(full_html=False, include_plotlyjs=k == 0, config={"responsive": True})
        for k, figure in enumerate(figures)
    ]
    page = f"<!DOCTYPE html><html><head></head><body>{''.join(parts)}</body></html>"
    assert in_browser(page, width) == (len(figures), 0, 0, [])
