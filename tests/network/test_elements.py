"""Every electrical element that a model reads, alone, against ``pandapower.runpp``."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pandapower as pp
import pytest

from pp_p2p.network.grid import GridData

EMPTY = pp.create_empty_network()
"""To copy: making one takes longer than everything else in a test."""

Compare = Callable[[Any], Any]

TRAFO = {
    "sn_mva": 0.63,
    "vn_hv_kv": 20.0,
    "vn_lv_kv": 0.4,
    "vkr_percent": 1.2,
    "vk_percent": 6.0,
    "pfe_kw": 1.5,
    "i0_percent": 0.4,
    "shift_degree": 150.0,
}


def _line(net: Any, a: int, b: int, **more: Any) -> int:
    data = {
        "length_km": 1.0,
        "r_ohm_per_km": 0.3,
        "x_ohm_per_km": 0.2,
        "c_nf_per_km": 250.0,
        "max_i_ka": 0.3,
    }
    return int(pp.create_line_from_parameters(net, a, b, **(data | more)))


@pytest.fixture
def station() -> Any:
    """Return a function: 20 kV source - line - transformer - line - load at 0.4 kV."""

    def make(bus_kv: tuple[float, float] = (20.0, 0.4), sn_mva: float = 1.0, **trafo: Any) -> Any:
        net = copy.deepcopy(EMPTY)
        net.sn_mva = sn_mva
        buses = [pp.create_bus(net, kv) for kv in (bus_kv[0], bus_kv[0], bus_kv[1], bus_kv[1])]
        pp.create_ext_grid(net, buses[0], vm_pu=1.02)
        _line(net, buses[0], buses[1])
        pp.create_transformer_from_parameters(net, buses[1], buses[2], **(TRAFO | trafo))
        _line(net, buses[2], buses[3], length_km=0.1)
        pp.create_load(net, buses[3], p_mw=0.2, q_mvar=0.08)
        return net

    return make


TAP = {"tap_neutral": 0, "tap_min": -5, "tap_max": 5, "tap_step_percent": 2.5}


@pytest.mark.parametrize("side", ["hv", "lv"])
@pytest.mark.parametrize("kind", ["Ratio", "Symmetrical", "Ideal", None])
@pytest.mark.parametrize("pos", [-2, 0, 3])
def test_taps(station: Any, compare: Compare, side: str, kind: str | None, pos: int) -> None:
    degree = 30.0 if kind == "Symmetrical" else 0.0
    more = {"tap_step_degree": degree} if kind != "Ideal" else {"tap_step_degree": np.nan}
    compare(station(tap_side=side, tap_pos=pos, tap_changer_type=kind, **TAP, **more))


def test_tap_by_degrees(station: Any, compare: Compare) -> None:
    tap = TAP | {"tap_step_percent": np.nan, "tap_step_degree": 5.0}
    compare(station(tap_side="hv", tap_pos=2, tap_changer_type="Ideal", **tap))


def test_two_tap_changers(station: Any, compare: Compare) -> None:
    net = station(tap_side="hv", tap_pos=1, tap_changer_type="Ratio", **TAP)
    for column, value in {
        "tap2_side": "lv",
        "tap2_pos": 2.0,
        "tap2_neutral": 0.0,
        "tap2_min": -3.0,
        "tap2_max": 3.0,
        "tap2_step_percent": 1.5,
        "tap2_step_degree": 0.0,
        "tap2_changer_type": "Ratio",
    }.items():
        net.trafo[column] = value
    compare(net)


@pytest.mark.parametrize(
    "trafo",
    [
        {"pfe_kw": 0.0, "i0_percent": 0.0},
        {"pfe_kw": 9.0, "i0_percent": 5.0},
        {"pfe_kw": 9.0, "i0_percent": 0.5},  # more iron loss than no-load current: no inductance
        {"leakage_resistance_ratio_hv": 0.2, "leakage_reactance_ratio_hv": 0.7},
        {"parallel": 3},
        {"df": 0.8},
        {"vkr_percent": 0.0},
        {"vkr_percent": 6.0},
        {"vn_hv_kv": 21.0, "vn_lv_kv": 0.41},
    ],
    ids=str,
)
def test_transformer_data(station: Any, compare: Compare, trafo: dict[str, float]) -> None:
    compare(station(**trafo))


@pytest.mark.parametrize("bus_kv", [(20.0, 0.4), (21.0, 0.39), (19.0, 0.42)])
@pytest.mark.parametrize("s_base", [0.1, 1.0, 10.0])
def test_bases(station: Any, compare: Compare, bus_kv: tuple[float, float], s_base: float) -> None:
    compare(station(bus_kv, s_base))


def test_transformer_fed_from_its_low_voltage_side(compare: Compare) -> None:
    net = copy.deepcopy(EMPTY)
    buses = [pp.create_bus(net, kv) for kv in (20.0, 20.0, 0.4)]
    pp.create_ext_grid(net, buses[2], vm_pu=1.01)
    tap = {"tap_side": "hv", "tap_pos": 3, "tap_changer_type": "Ratio"}
    pp.create_transformer_from_parameters(net, buses[1], buses[2], **(TRAFO | TAP | tap))
    _line(net, buses[0], buses[1])
    pp.create_load(net, buses[0], p_mw=0.15, q_mvar=0.03)
    compare(net)


def test_parallel_lines_share_the_current(station: Any, compare: Compare) -> None:
    net = station()
    _line(net, 0, 1, r_ohm_per_km=0.1, x_ohm_per_km=0.4, length_km=2.0, c_nf_per_km=10.0)
    _line(net, 1, 0, r_ohm_per_km=0.9, parallel=2)
    solved = compare(net)
    assert solved.grid.n_branches == 3
    assert len(solved.grid.branches) == 5


def test_parallel_transformers_share_the_current(station: Any, compare: Compare) -> None:
    net = station()
    pp.create_transformer_from_parameters(net, 1, 2, **(TRAFO | {"sn_mva": 0.4, "vk_percent": 4}))
    assert compare(net).grid.n_branches == 3


@pytest.mark.parametrize("end", [0, 1])
@pytest.mark.parametrize("how", ["switch", "bus"])
@pytest.mark.parametrize("km", [20.0])
def test_line_that_hangs_on_one_end_charges(
    station: Any, compare: Compare, end: int, how: str, km: float
) -> None:
    net = station()
    far = pp.create_bus(net, 20.0, in_service=how != "bus")
    ends = (1, far) if end else (far, 1)
    line = _line(net, *ends, length_km=km, g_us_per_km=2.0)
    if how == "switch":
        pp.create_switch(net, far, line, et="l", closed=False)
    charging = float(compare(net).labelled.q_source_mvar.sum())
    net.line.loc[line, "in_service"] = False
    assert charging < float(compare(net).labelled.q_source_mvar.sum()) - 0.1


def test_line_open_at_both_ends_is_away(station: Any, compare: Compare) -> None:
    net = station()
    line = _line(net, 0, 3, length_km=20.0)
    for bus in (0, 3):
        pp.create_switch(net, bus, line, et="l", closed=False)
    compare(net)


def test_line_open_at_its_live_end_is_away(station: Any, compare: Compare) -> None:
    net = station()
    far = pp.create_bus(net, 20.0)
    line = _line(net, 1, far, length_km=20.0)
    pp.create_switch(net, 1, line, et="l", closed=False)
    assert far not in compare(net).grid.bus_node


@pytest.mark.parametrize("end", [1, 2])
@pytest.mark.parametrize("far_in_service", [True, False])
def test_transformer_open_at_one_end_magnetises(
    station: Any, compare: Compare, end: int, far_in_service: bool
) -> None:
    net = station(tap_side="hv", tap_pos=2, tap_changer_type="Ratio", **TAP)
    far = pp.create_bus(net, (20.0, 20.0, 0.4)[end], in_service=far_in_service)
    ends = (far, 2) if end == 1 else (1, far)
    tap = {"tap_side": "hv", "tap_pos": 2, "tap_changer_type": "Ratio"}
    losses = {"pfe_kw": 9.0, "i0_percent": 5.0}
    pp.create_transformer_from_parameters(net, *ends, **(TRAFO | TAP | tap | losses))
    pp.create_switch(net, far, 1, et="t", closed=False)
    grid = compare(net).grid
    assert len(grid.branches) == 3
    assert grid.y_shunt.real.sum() > 0.009


@pytest.mark.parametrize("end", [1, 2])
def test_transformer_at_a_bus_out_of_service_is_away(
    station: Any, compare: Compare, end: int
) -> None:
    net = station()
    far = pp.create_bus(net, (20.0, 20.0, 0.4)[end], in_service=False)
    pp.create_transformer_from_parameters(net, *((far, 2) if end == 1 else (1, far)), **TRAFO)
    compare(net)


def test_transformer_open_at_both_ends_is_away(station: Any, compare: Compare) -> None:
    net = station()
    pp.create_transformer_from_parameters(net, 1, 2, **TRAFO)
    for bus in (1, 2):
        pp.create_switch(net, bus, 1, et="t", closed=False)
    assert len(compare(net).grid.branches) == 3


def test_closed_bus_switches_fuse(station: Any, compare: Compare) -> None:
    net = station()
    b = [pp.create_bus(net, 0.4) for _ in range(3)]
    for one, two in ((3, b[0]), (b[0], b[1]), (b[1], 3)):  # a ring of switches is no loop
        pp.create_switch(net, one, two, et="b")
    pp.create_switch(net, 2, b[2], et="b", closed=False)
    pp.create_load(net, b[1], p_mw=0.05)
    pp.create_load(net, b[2], p_mw=9.0)  # not fed
    pp.create_shunt(net, b[0], q_mvar=-0.02)
    grid = compare(net).grid
    assert grid.n_nodes == 4
    assert grid.nodes_of(np.array([3, *b])).tolist() == [3, 3, 3, -1]


def test_fused_buses_obey_the_narrowest_limits(station: Any) -> None:
    net = station()
    other = pp.create_bus(net, 0.4, min_vm_pu=0.97, max_vm_pu=1.07)
    net.bus.loc[3, ["min_vm_pu", "max_vm_pu"]] = [0.95, 1.03]
    pp.create_switch(net, 3, other, et="b")
    grid = GridData.from_net(net)
    assert (grid.vm_min[3], grid.vm_max[3]) == (0.97, 1.03)


@pytest.mark.parametrize("z_ohm", [0.01, 0.3])
def test_switch_with_an_impedance(station: Any, compare: Compare, z_ohm: float) -> None:
    net = station()
    far = pp.create_bus(net, 0.4)
    pp.create_switch(net, 3, far, et="b", z_ohm=z_ohm, in_ka=0.6)
    pp.create_load(net, far, p_mw=0.03, q_mvar=0.01)
    grid = compare(net).grid
    assert grid.n_nodes == 5
    assert grid.branches.element.tolist().count("switch") == 1


@pytest.mark.parametrize("closed", [True, False])
def test_switch_with_an_impedance_at_a_bus_out_of_service(
    station: Any, compare: Compare, closed: bool
) -> None:
    net = station()
    far = pp.create_bus(net, 0.4, in_service=False)
    pp.create_switch(net, 3, far, et="b", z_ohm=0.1, closed=closed)
    assert compare(net).grid.n_nodes == 4


def test_bus_switch_at_a_bus_out_of_service(station: Any, compare: Compare) -> None:
    net = station()
    far = pp.create_bus(net, 0.4, in_service=False)
    pp.create_switch(net, far, 3, et="b")
    assert compare(net).grid.n_nodes == 4


@pytest.mark.parametrize("q_mvar", [-0.1, 0.06])
@pytest.mark.parametrize("vn_kv", [0.4, 0.38, 0.42])
def test_shunts(station: Any, compare: Compare, q_mvar: float, vn_kv: float) -> None:
    net = station()
    pp.create_shunt(net, 3, q_mvar=q_mvar, p_mw=0.01, step=2, max_step=3, vn_kv=vn_kv)
    pp.create_shunt(net, 1, q_mvar=-0.4, step=1)
    pp.create_shunt(net, 2, q_mvar=5.0, in_service=False)
    compare(net)


def test_several_external_grids(station: Any, compare: Compare) -> None:
    net = station()
    b = [pp.create_bus(net, 10.0) for _ in range(2)]
    pp.create_ext_grid(net, b[0], vm_pu=0.99)
    _line(net, b[0], b[1], length_km=3.0)
    pp.create_load(net, b[1], p_mw=1.0, q_mvar=0.3)
    pp.create_ext_grid(net, 3, vm_pu=0.9, in_service=False)
    solved = compare(net)
    np.testing.assert_allclose(
        solved.labelled.p_source_mw.sel(ext_grid=[0, 1]).to_numpy()[0],
        net.res_ext_grid.p_mw[:2],
        rtol=1e-6,
    )


def test_external_grids_on_fused_buses_are_one_source(station: Any, compare: Compare) -> None:
    net = station()
    other = pp.create_bus(net, 20.0)
    pp.create_switch(net, 0, other, et="b")
    pp.create_ext_grid(net, other, vm_pu=1.02)
    assert compare(net).grid.source_ext_grid.tolist() == [0]


def test_everything_out_of_service(station: Any, compare: Compare) -> None:
    net = station()
    base = compare(net).labelled
    far = pp.create_bus(net, 20.0)
    _line(net, 1, far, in_service=False)
    _line(net, 0, 1, in_service=False)
    pp.create_transformer_from_parameters(net, 1, 3, **(TRAFO | {"in_service": False}))
    pp.create_load(net, 3, p_mw=5.0, in_service=False)
    pp.create_sgen(net, 3, p_mw=5.0, in_service=False)
    pp.create_storage(net, 3, p_mw=5.0, max_e_mwh=1.0, in_service=False)
    pp.create_shunt(net, 3, q_mvar=5.0, in_service=False)
    pp.create_gen(net, 3, p_mw=1.0, in_service=False)
    pp.create_impedance(net, 0, 3, 0.1, 0.1, 1.0, in_service=False)
    after = compare(net).labelled
    np.testing.assert_allclose(
        after.vm_pu.sel(bus=base.bus).to_numpy(), base.vm_pu.to_numpy(), atol=1e-7
    )


def test_devices_on_dead_buses_take_no_part(station: Any, compare: Compare) -> None:
    net = station()
    dead = pp.create_bus(net, 0.4)
    for make in (pp.create_load, pp.create_sgen):
        make(net, dead, p_mw=3.0)
    pp.create_storage(net, dead, p_mw=3.0, max_e_mwh=1.0)
    pp.create_shunt(net, dead, q_mvar=1.0)
    compare(net)


@pytest.mark.parametrize("missing", [np.nan, 99_999.0])
def test_missing_rating_is_no_limit(station: Any, compare: Compare, missing: float) -> None:
    net = station()
    net.line["max_i_ka"] = missing
    solved = compare(net)
    lines = solved.grid.branches.element == "line"
    assert np.isinf(solved.grid.branches.i_max[lines]).all()
    assert (solved.labelled.line_loading_percent.to_numpy() == 0.0).all()


def test_rating_column_that_is_not_there(station: Any, solve: Callable[..., Any]) -> None:
    net = station()
    net.line = net.line.drop(columns=["max_i_ka"])
    assert np.isinf(GridData.from_net(net).branches.i_max[:2]).all()
    solve(net)


@pytest.mark.parametrize("percent", [50.0, 100.0])
def test_limits_are_those_of_the_rating(station: Any, percent: float) -> None:
    """A current limit in p.u. is the rated current times ``max_loading_percent``."""
    net = station(df=0.9, parallel=2)
    net.line["df"] = 0.8
    net.line["max_loading_percent"] = percent
    net.trafo["max_loading_percent"] = percent
    branches = GridData.from_net(net).branches
    mine = {str(e): float(i) for e, i in zip(branches.element, branches.i_max, strict=True)}
    assert mine["trafo"] == pytest.approx(0.63 * 0.9 * 2 * percent / 100)
    assert branches.i_max[0] == pytest.approx(0.3 * 0.8 * np.sqrt(3) * 20.0 * percent / 100)


def test_scaling_and_storage_power(station: Any, compare: Compare) -> None:
    net = station()
    net.load["scaling"] = 0.7
    pp.create_sgen(net, 3, p_mw=0.1, q_mvar=-0.02, scaling=1.3)
    pp.create_sgen(net, 2, p_mw=0.1, scaling=0.5, controllable=True)
    pp.create_storage(net, 2, p_mw=-0.03, q_mvar=0.01, scaling=2.0, max_e_mwh=1.0)
    compare(net)


def test_source_alone(solve: Callable[..., Any]) -> None:
    net = copy.deepcopy(EMPTY)
    pp.create_ext_grid(net, pp.create_bus(net, 20.0), vm_pu=1.03)
    pp.create_load(net, 0, p_mw=0.4, q_mvar=0.1)
    ds = solve(net).labelled
    assert ds.vm_pu.item() == pytest.approx(1.03)
    assert ds.p_source_mw.item() == pytest.approx(0.4)
