"""The batch engine is pandapower's power flow: same nets, same numbers, step by step."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandapower.toolbox import nets_equal

from pp_p2p.errors import InvalidInput, UnsupportedFeature
from pp_p2p.operation import batch_flow
from pp_p2p.operation.batch_flow import BatchFlow, BatchSolution, Drawn


def every_feature() -> Any:
    """A net with everything that ends in pandapower's bus and branch matrices."""
    net = pp.create_empty_network(sn_mva=10.0)
    high = [pp.create_bus(net, 110.0) for _ in range(3)]
    mid = [pp.create_bus(net, 20.0) for _ in range(8)]
    low = [pp.create_bus(net, 10.0) for _ in range(3)]
    house = [pp.create_bus(net, 0.4) for _ in range(3)]
    pp.create_ext_grid(net, high[0], vm_pu=1.02, va_degree=10.0)
    pp.create_ext_grid(net, high[1], vm_pu=1.02, va_degree=10.0)
    pp.create_switch(net, high[0], high[1], et="b")
    pp.create_line_from_parameters(
        net, high[1], high[2], 20.0, 0.06, 0.4, 9.0, 0.6, g_us_per_km=1.0, parallel=2
    )
    pp.create_transformer3w(net, high[2], mid[0], low[0], "63/25/38 MVA 110/20/10 kV", tap_pos=-4)
    std = {"std_type": "NA2XS2Y 1x185 RM/25 12/20 kV"}
    for a, b in ((0, 1), (1, 2), (2, 3), (3, 0), (1, 4)):
        pp.create_line(net, mid[a], mid[b], 3.0 + a, **std)
    open_end = pp.create_line(net, mid[4], mid[5], 2.0, **std)  # hangs on its from end
    pp.create_switch(net, mid[5], open_end, et="l", closed=False)
    pp.create_line(net, mid[2], mid[5], 1.0, **std)
    pp.create_switch(net, mid[3], mid[6], et="b", z_ohm=0.05)
    pp.create_switch(net, mid[6], mid[7], et="b", closed=False)  # mid[7] is dark
    pp.create_impedance(
        net, mid[4], mid[6], rft_pu=0.01, xft_pu=0.03, sn_mva=5.0, gf_pu=0.001, bf_pu=0.002,
        gt_pu=0.003, bt_pu=0.005,
    )  # fmt: skip
    for bus in house[:2]:
        pp.create_transformer(net, mid[2], bus, "0.63 MVA 20/0.4 kV", tap_pos=2, parallel=2)
    open_trafo = pp.create_transformer(net, mid[1], house[2], "0.25 MVA 20/0.4 kV")
    pp.create_switch(net, house[2], open_trafo, et="t", closed=False)
    pp.create_line_from_parameters(net, low[0], low[1], 1.0, 0.2, 0.1, 200.0, 0.3)
    pp.create_line_from_parameters(net, low[1], low[2], 1.0, 0.2, 0.1, 200.0, 0.3)
    pp.create_transformer_from_parameters(
        net, mid[0], low[1], 10.0, 20.0, 10.0, 0.5, 8.0, 10.0, 0.1, shift_degree=30.0,
        tap_side="lv", tap_neutral=0, tap_pos=3, tap_step_percent=1.0, tap_step_degree=2.0,
        tap_changer_type="Ratio",
    )  # fmt: skip
    net.bus.loc[low[2], "in_service"] = False
    pp.create_shunt(net, mid[3], q_mvar=-0.8, p_mw=0.05, vn_kv=21.0, step=2)
    pp.create_ward(net, mid[4], ps_mw=0.3, qs_mvar=0.1, pz_mw=0.2, qz_mvar=-0.1)
    pp.create_motor(net, house[0], pn_mech_mw=0.1, cos_phi=0.9, loading_percent=80.0)
    pp.create_asymmetric_load(net, house[1], p_a_mw=0.02, p_b_mw=0.03, p_c_mw=0.01, q_a_mvar=0.01)
    island = [pp.create_bus(net, 20.0) for _ in range(2)]
    pp.create_ext_grid(net, island[0], vm_pu=0.99, va_degree=-5.0)
    pp.create_line(net, island[0], island[1], 2.0, **std)
    pp.create_line(net, mid[0], mid[2], 2.0, in_service=False, **std)
    for bus in (*mid, *house, low[1], island[1]):
        pp.create_load(net, bus, p_mw=0.1, q_mvar=0.03, scaling=1.1)
    pp.create_sgen(net, mid[4], p_mw=1.5, q_mvar=-0.1, scaling=0.9)
    pp.create_storage(net, mid[3], p_mw=-0.4, max_e_mwh=1.0)
    return net


def _own_power(net: Any, scale: np.ndarray[Any, Any]) -> tuple[Any, Any]:
    """Return what the rows of `net` feed in at every bus, times `scale` (step,)."""
    power = np.zeros((2, len(net.bus)))
    for table, sign in (("load", -1.0), ("sgen", 1.0), ("storage", -1.0)):
        rows = net[table][net[table].in_service.to_numpy(bool)]
        at = net.bus.index.get_indexer(rows.bus)
        for k, column in enumerate(("p_mw", "q_mvar")):
            np.add.at(power[k], at, sign * (rows[column] * rows.scaling).to_numpy(float))
    return tuple(scale[:, None] * power[k] for k in range(2))


def _pandapowers(net: Any, factor: float) -> Any:
    theirs = copy.deepcopy(net)
    for table in ("load", "sgen", "storage"):
        theirs[table][["p_mw", "q_mvar"]] *= factor
    pp.runpp(theirs, numba=False, tolerance_mva=1e-10)
    return theirs


def _assert_same(net: Any, solution: BatchSolution, step: int, theirs: Any) -> None:
    np.testing.assert_allclose(solution.vm_pu[step], theirs.res_bus.vm_pu, atol=1e-8, rtol=0)
    np.testing.assert_allclose(solution.va_degree[step], theirs.res_bus.va_degree, atol=1e-6)
    fed = theirs.res_ext_grid[net.ext_grid.in_service.to_numpy(bool)]
    np.testing.assert_allclose(solution.p_source_mw[step], fed.p_mw, atol=1e-8, rtol=1e-9)
    np.testing.assert_allclose(solution.q_source_mvar[step], fed.q_mvar, atol=1e-8, rtol=1e-9)
    for table, loading in solution.loading_percent.items():
        wanted = theirs[f"res_{table}"].loading_percent
        np.testing.assert_allclose(loading[step], wanted, atol=1e-5, rtol=1e-9, err_msg=table)
    for table, ends in (("line", ("from", "to")), ("trafo", ("hv", "lv"))):
        for end, ours in zip(ends, (solution.i_from_ka, solution.i_to_ka), strict=True):
            if table in ours:
                wanted = theirs[f"res_{table}"][f"i_{end}_ka"]
                np.testing.assert_allclose(ours[table][step], wanted, atol=1e-9, rtol=1e-8)


NETS = {
    "case33": pn.case33bw,
    "cigre_mv": lambda: pn.create_cigre_network_mv(with_der="all"),
    "cigre_lv": pn.create_cigre_network_lv,
    "oberrhein": pn.mv_oberrhein,
    "kerber": pn.create_kerber_landnetz_freileitung_1,
    "four_loads": pn.four_loads_with_branches_out,
    "every_feature": every_feature,
    "generators": pn.example_simple,
    "extended_wards": pn.example_multivoltage,
}


@pytest.mark.parametrize("name", NETS)
def test_equals_pandapower(name: str) -> None:
    net = NETS[name]()
    before = copy.deepcopy(net)
    scale = np.array([1.0, 0.4, -0.3])
    solution = BatchFlow.from_net(net).solve(*_own_power(net, scale))
    assert nets_equal(net, before)
    assert solution.converged.all()
    for step, factor in enumerate(scale):
        theirs = _pandapowers(net, factor)
        _assert_same(net, solution, step, theirs)
        if name in ("case33", "cigre_mv"):  # nothing but lines and transformers loses here
            lost = theirs.res_line.pl_mw.sum() + theirs.res_trafo.pl_mw.sum()
            assert solution.loss_mw[step] == pytest.approx(lost, abs=1e-8)


@pytest.mark.parametrize(
    "options",
    [
        {"trafo_model": "pi"},
        {"calculate_voltage_angles": False},
        {"trafo3w_losses": "star"},
        {"switch_rx_ratio": 0.5},
        {"init": "dc", "numba": False},
    ],
    ids=lambda options: next(iter(options)),
)
def test_options_of_the_net_hold(options: dict[str, Any]) -> None:
    net = every_feature()
    net.user_pf_options = options
    solution = BatchFlow.from_net(net).solve(*_own_power(net, np.ones(1)))
    theirs = copy.deepcopy(net)
    pp.runpp(theirs, tolerance_mva=1e-9)
    _assert_same(net, solution, 0, theirs)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 9999), closed=st.floats(0.6, 1.0))
def test_any_topology_equals_pandapower(case33: Any, seed: int, closed: float) -> None:
    """Meshes, islands without a source, fused buses: whatever the switches make of the feeder."""
    net, rng = copy.deepcopy(case33), np.random.default_rng(seed)
    net.line["in_service"] = rng.random(len(net.line)) < closed
    for line in rng.choice(len(net.line), 4, replace=False):
        end = ("from_bus", "to_bus")[rng.integers(2)]
        pp.create_switch(net, net.line.at[line, end], line, et="l", closed=rng.random() < 0.5)
    for a, b in rng.choice(33, (3, 2), replace=False):
        pp.create_switch(net, a, b, et="b", closed=rng.random() < 0.5)
    scale = rng.uniform(-0.2, 0.6, 2)
    solution = BatchFlow.from_net(net).solve(*_own_power(net, scale))
    for step, factor in enumerate(scale):
        _assert_same(net, solution, step, _pandapowers(net, factor))


def test_voltage_of_the_source_may_vary(case33: Any) -> None:
    p, q = _own_power(case33, np.ones(2))
    vm = np.array([[1.0], [1.05]])
    solution = BatchFlow.from_net(case33).solve(p, q, source_vm_pu=vm)
    for step in range(2):
        case33.ext_grid["vm_pu"] = vm[step, 0]
        _assert_same(case33, solution, step, _pandapowers(case33, 1.0))


def test_voltage_dependent_loads(case33: Any) -> None:
    net = case33
    net.load["const_i_p_percent"], net.load["const_z_p_percent"] = 30.0, 20.0
    net.load["const_i_q_percent"], net.load["const_z_q_percent"] = 10.0, 60.0
    p, q = (-array for array in _own_power(net, np.ones(1)))
    solution = BatchFlow.from_net(net).solve(
        -0.5 * p,
        -0.3 * q,
        constant_current=Drawn(p_mw=0.3 * p, q_mvar=0.1 * q),
        constant_impedance=Drawn(p_mw=0.2 * p, q_mvar=0.6 * q),
    )
    theirs = copy.deepcopy(net)
    pp.runpp(theirs, numba=False, tolerance_mva=1e-9)
    _assert_same(net, solution, 0, theirs)


def test_forming_bus_feeds_an_island(case33: Any) -> None:
    case33.line.loc[20, "in_service"] = False
    dark = copy.deepcopy(case33)
    p, q = _own_power(case33, np.ones(1))
    flow = BatchFlow.from_net(dark, forming={21: 1.0})
    solution = flow.solve(p, q)
    assert flow.ext_grid.tolist() == [0, -1]
    pp.create_ext_grid(case33, 21)
    _assert_same(case33, solution, 0, _pandapowers(case33, 1.0))
    assert np.isnan(BatchFlow.from_net(dark).solve(p, q).vm_pu[0, 21])


@pytest.mark.parametrize("threads", [-1, 0, 2])
def test_diverging_step_is_flagged_alone(case33: Any, threads: int) -> None:
    scale = np.array([1.0, 50.0, 0.5, 80.0, 0.2])
    p, q = _own_power(case33, scale)
    flow = BatchFlow.from_net(case33, threads=threads)
    solution = flow.solve(p, q)
    assert solution.converged.tolist() == [True, False, True, False, True]
    alone = flow.solve(p[[0, 2, 4]], q[[0, 2, 4]])
    for name in ("vm_pu", "va_degree", "p_source_mw", "q_source_mvar", "loss_mw"):
        values = getattr(solution, name)
        assert np.isnan(values[[1, 3]]).all(), name
        np.testing.assert_array_equal(values[[0, 2, 4]], getattr(alone, name))
    for loading in solution.loading_percent.values():
        assert np.isnan(loading[[1, 3]]).all()
    assert not flow.solve(p[[1]], q[[1]]).converged.any()  # nor is a first step any better


def test_chunks_and_threads_change_nothing(case33: Any, monkeypatch: Any) -> None:
    p, q = _own_power(case33, np.linspace(0.1, 1.2, 50))
    p[7] *= 100.0
    flow = BatchFlow.from_net(case33)
    whole = flow.solve(p, q)
    monkeypatch.setattr(batch_flow, "CHUNK_NUMBERS", 7 * 65)
    assert 1 < flow.steps_per_chunk < 50
    for other in (flow, dataclasses.replace(flow, threads=-1)):
        parts = other.solve(p, q)
        np.testing.assert_array_equal(parts.vm_pu, whole.vm_pu)
        np.testing.assert_array_equal(parts.loading_percent["line"], whole.loading_percent["line"])
        np.testing.assert_array_equal(parts.converged, whole.converged)


def test_currents_are_left_out_on_demand(case33: Any) -> None:
    solution = BatchFlow.from_net(case33).solve(*_own_power(case33, np.ones(1)), currents=False)
    assert solution.loading_percent == {}
    assert solution.loss_mw[0] * 1e3 == pytest.approx(202.677, abs=1e-3)


def test_what_regulates_is_refused_by_row() -> None:
    net = every_feature()
    pp.create_dcline(net, 3, 5, 0.1, 1.0, 1.0, 1.0, 1.0)
    net.impedance["rtf_pu"] = 0.02
    net.user_pf_options = {"distributed_slack": True}
    with pytest.raises(UnsupportedFeature) as caught:
        BatchFlow.from_net(net)
    assert [(f.table, f.rows) for f in caught.value.findings] == [
        ("dcline", (0,)),
        ("impedance", (0,)),
        ("user_pf_options", ()),
    ]


def test_generator_at_an_external_grid_is_refused(case33: Any) -> None:
    pp.create_gen(case33, 5, p_mw=0.1, vm_pu=0.99)
    assert BatchFlow.from_net(case33).model.regulated_node.tolist() == [5]
    pp.create_switch(case33, 0, pp.create_bus(case33, 12.66), et="b")
    pp.create_gen(case33, 33, p_mw=0.1)
    pp.create_gen(case33, 9, p_mw=0.1, slack=True)
    with pytest.raises(UnsupportedFeature, match="gen: rows 1, 2 is the slack, or stands where"):
        BatchFlow.from_net(case33)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 9999), n=st.integers(1, 4))
def test_generators_hold_their_voltage(case33: Any, seed: int, n: int) -> None:
    net, rng = copy.deepcopy(case33), np.random.default_rng(seed)
    for bus in rng.choice(np.arange(1, 33), n, replace=False):
        pp.create_gen(net, bus, p_mw=rng.uniform(0.0, 0.5), vm_pu=rng.uniform(0.97, 1.01))
    scale = rng.uniform(0.2, 1.1, 2)
    solution = BatchFlow.from_net(net).solve(*_own_power(net, scale))
    for step, factor in enumerate(scale):
        _assert_same(net, solution, step, _pandapowers(net, factor))


@pytest.mark.parametrize("shape", [(0, 33), (2, 32), (33,)])
def test_wrong_shapes_and_gaps(case33: Any, shape: tuple[int, ...]) -> None:
    flow = BatchFlow.from_net(case33)
    with pytest.raises(InvalidInput, match="power of the steps"):
        flow.solve(np.zeros(shape), np.zeros(shape))
    gap = np.zeros((2, 33))
    gap[1, 3] = np.nan
    with pytest.raises(InvalidInput, match="not finite"):
        flow.solve(gap, np.zeros((2, 33)))


def test_net_without_a_source(case33: Any) -> None:
    case33.ext_grid["in_service"] = False
    with pytest.raises(UnsupportedFeature, match="ext_grid"):
        BatchFlow.from_net(case33)
    case33.ext_grid["in_service"] = True
    case33.line.loc[0, "from_bus"] = 99
    with pytest.raises(InvalidInput, match=r"line\.from_bus: row 0 names a bus"):
        BatchFlow.from_net(case33)
