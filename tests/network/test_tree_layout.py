"""Trees are drawn without crossings and without two buses in one place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pp_p2p.network.layout import crossings
from pp_p2p.network.tree_layout import is_radial, tree_places


def radial(parents: list[int]) -> Any:
    """Return a net in which bus k + 1 hangs on bus ``parents[k]``."""
    net = pp.create_empty_network()
    pp.create_buses(net, len(parents) + 1, 10.0)
    pp.create_ext_grid(net, 0)
    if parents:
        pp.create_lines_from_parameters(
            net, parents, range(1, len(parents) + 1), 1.0, 0.1, 0.1, 0.0, 1.0
        )  # fmt: skip
    return net


def check(net: Any) -> None:
    at = tree_places(net)
    between = np.linalg.norm(at[:, None] - at[None], axis=2) + 9.0 * np.eye(len(at))
    assert between.min() >= 1.0 - 1e-9
    position = net.bus.index.get_indexer
    lines = net.line[net.line.in_service]
    a, b = at[position(lines.from_bus)], at[position(lines.to_bus)]
    assert crossings(a, b) == 0
    assert (np.abs((a - b)[:, 0]) == 1.0).all()  # each branch is one step to the right


trees = st.integers(0, 30).flatmap(
    lambda n: st.tuples(*(st.integers(0, k) for k in range(n))).map(list)
)


@settings(max_examples=60, deadline=None)
@given(trees)
def test_no_tree_crosses_itself(parents: list[int]) -> None:
    net = radial(parents)
    assert is_radial(net)
    check(net)


@pytest.mark.parametrize("make", [pn.case33bw, pn.create_kerber_vorstadtnetz_kabel_2])
def test_known_feeders(make: Any) -> None:
    net = make()
    check(net)


def test_the_longest_path_is_straight(case33: Any) -> None:
    at = tree_places(case33)
    np.testing.assert_array_equal(at[:18, 0], np.arange(18.0))
    np.testing.assert_array_equal(at[:18, 1], 0.0)


def test_fused_buses_share_a_place_and_parts_stand_below_each_other() -> None:
    net = radial([0, 1])
    fused, far = pp.create_buses(net, 2, 10.0)
    pp.create_switch(net, 1, fused, et="b", closed=True)
    pp.create_switch(net, 2, far, et="b", closed=False)
    at = tree_places(net)
    assert at[1].tolist() == at[fused].tolist()
    assert at[far, 1] < at[:3, 1].min()


def test_a_loop_is_drawn_though_no_tree() -> None:
    net = pn.case9()
    assert not is_radial(net)
    assert len(np.unique(tree_places(net), axis=0)) == len(net.bus)
