"""The map of a study: soft open points, ways around buses, artificial coordinates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandapower.networks as pn
import pytest

import pp_p2p as p2p
from pp_p2p.network.layout import describe_net
from pp_p2p.plotting.ways import arc, hub
from pp_p2p.results import from_netcdf, to_netcdf


def test_existing_soft_open_points_are_in_the_map(case33: Any, tmp_path: Any) -> None:
    p2p.create_sop(case33, [17, 32, 24], sn_mva=[1.0, 0.5, 0.25], name="three")
    p2p.create_sop(case33, [11, 21], sn_mva=1.0, in_service=False)
    network = from_netcdf(to_netcdf(describe_net(case33), tmp_path / "net.nc"))
    figure = p2p.plotting.network_figure(network)
    (hubs,) = (t for t in figure.data if t.name == "soft open point" and t.mode == "markers")
    assert len(hubs.x) == 1
    for said in ("<b>three</b>", "bus 17: 1 MVA", "bus 32: 0.5 MVA", "bus 24: 0.25 MVA"):
        assert said in hubs.text[0]


def test_a_net_stored_before_there_were_any_is_drawn(case33: Any) -> None:
    network = describe_net(case33).drop_dims(["sop", "sop_terminal"])
    assert p2p.plotting.network_figure(network).data


def test_the_names_of_soft_open_points_cannot_become_markup(case33: Any) -> None:
    p2p.create_sop(case33, [17, 32], sn_mva=1.0, name="<b>")
    figure = p2p.plotting.network_figure(describe_net(case33))
    (hubs,) = (t for t in figure.data if t.name == "soft open point" and t.mode == "markers")
    assert hubs.text[0].startswith("<b>&lt;b&gt;</b>")


def test_coordinates_of_no_place_give_way_to_a_tree(case33: Any) -> None:
    """The bundled coordinates of the 33 buses let closed lines cross three times."""
    drawn, own = describe_net(case33), describe_net(case33, "net")
    assert drawn.x.to_numpy()[:18].tolist() == list(range(18))
    assert (drawn.attrs["layout"], own.attrs["layout"]) == ("tree", "net")
    assert p2p.plotting.network_figure(drawn).layout.meta["height_turned"] == 420 + 26 * 17
    assert p2p.plotting.network_figure(own).layout.meta is None
    assert own.x.to_numpy()[0] == pytest.approx(-1.027, abs=1e-3)
    for net in (pn.create_cigre_network_mv(), pn.mv_oberrhein()):
        np.testing.assert_array_equal(describe_net(net).x, describe_net(net, "net").x)


def test_an_open_line_bends_around_the_buses_in_its_way() -> None:
    row = np.column_stack([np.arange(6.0), np.zeros(6)])
    bent = arc((1.0, 0.0), (4.0, 0.0), row)
    between = row[2:4]
    assert np.linalg.norm(bent[:, None] - between[None], axis=2).min() > 0.1
    np.testing.assert_allclose(bent[[0, -1]], row[[1, 4]])
    np.testing.assert_allclose(arc((2.0, 0.0), (3.0, 0.0), row)[:, 1], 0.0)


def test_a_hub_stands_amid_its_ends_where_there_is_room() -> None:
    ends = np.array([[0.0, 0.0], [2.0, 0.0], [1.0, 3.0]])
    assert hub(ends, ends, np.empty((0, 2))) == pytest.approx((1.0, 1.0))
    taken = np.array([[1.0, 1.0]])
    moved = hub(ends, np.concatenate([ends, taken]), np.empty((0, 2)))
    assert np.hypot(moved[0] - 1.0, moved[1] - 1.0) > 0.05
