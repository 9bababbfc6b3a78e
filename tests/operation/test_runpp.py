"""`runpp` with soft open points: pandapower's own results, exact balance."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandapower as pp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pp_p2p as p2p
from pp_p2p.errors import InvalidInput


def test_without_soft_open_points_it_is_pandapowers(case33: Any) -> None:
    theirs = copy.deepcopy(case33)
    pp.runpp(theirs, numba=False)
    p2p.runpp(case33, numba=False)
    for table in ("res_bus", "res_line", "res_ext_grid", "res_load"):
        assert case33[table].equals(theirs[table])
    assert case33.converged


def test_dispatched_set_points_replay(case33: Any) -> None:
    p2p.create_sop(case33, [11, 21], sn_mva=1.0, loss_factor=0.02)
    ds = p2p.dispatch(case33)
    case33.sop_terminal["p_mw"] = ds["sop_p_mw"].isel(time=0).to_numpy()
    case33.sop_terminal["q_mvar"] = ds["sop_q_mvar"].isel(time=0).to_numpy()
    p2p.runpp(case33, numba=False)
    vm = ds["vm_pu"].isel(time=0)
    np.testing.assert_allclose(case33.res_bus.vm_pu.loc[vm["bus"].to_numpy()], vm, atol=1e-6)
    total = case33.res_line.pl_mw.sum() + case33.res_sop.loss_mw.sum()
    assert total * 1e3 == pytest.approx(164.357, abs=0.01)


def test_idle_device_changes_no_voltage(case33: Any) -> None:
    pp.runpp(case33, numba=False)
    before = case33.res_bus.vm_pu.copy()
    p2p.create_sop(case33, [11, 17, 24], sn_mva=1.0, loss_factor=0.02)
    n_sgen = len(case33.sgen)
    p2p.runpp(case33, numba=False)
    np.testing.assert_array_equal(case33.res_bus.vm_pu, before)
    assert len(case33.sgen) == n_sgen
    assert (case33.res_sop.loss_mw == 0).all()


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    terminals=st.integers(2, 4),
    factor=st.floats(0.0, 0.3),
    seed=st.integers(0, 999),
)
def test_every_device_balances_to_rounding(
    case33: Any, terminals: int, factor: float, seed: int
) -> None:
    net = copy.deepcopy(case33)
    rng = np.random.default_rng(seed)
    buses = rng.choice(np.arange(1, 33), terminals, replace=False).tolist()
    p2p.create_sop(
        net,
        buses,
        sn_mva=10.0,
        loss_factor=factor,
        p_mw=rng.uniform(-0.4, 0.4, terminals).tolist(),
        q_mvar=rng.uniform(-0.4, 0.4, terminals).tolist(),
    )
    p2p.runpp(net, numba=False, tolerance_mva=1e-10)
    result = net.res_sop_terminal
    assert abs((result.p_mw + result.loss_mw).sum()) <= 1e-9
    np.testing.assert_allclose(
        result.loss_mw, factor * np.hypot(result.p_mw, result.q_mvar), atol=1e-12
    )
    # the system balances too: what the grid feeds is load, line loss and converter loss
    drawn = net.res_load.p_mw.sum() + net.res_line.pl_mw.sum() + net.res_sop.loss_mw.sum()
    assert net.res_ext_grid.p_mw.sum() == pytest.approx(drawn, abs=1e-7)


def test_device_out_of_service_and_overload(case33: Any) -> None:
    sop = p2p.create_sop(case33, [11, 21], sn_mva=0.1, p_mw=[0.2, 0.0])
    with pytest.raises(InvalidInput, match="sop_terminal.sn_mva: rows 0, 1"):
        p2p.runpp(case33)
    case33.sop.loc[sop, "in_service"] = False
    p2p.runpp(case33, numba=False)
    assert case33.res_sop_terminal.empty
    assert case33.res_line.pl_mw.sum() * 1e3 == pytest.approx(202.677, abs=1e-3)


def test_quadratic_losses_balance_and_follow_their_law(case33: Any) -> None:
    law = {"loss_standby_mw": 0.002, "loss_factor": 0.005, "loss_quadratic_per_mva": 0.01}
    p2p.create_sop(case33, [11, 21, 24, 32], sn_mva=1.0, p_mw=[0.3, -0.2, 0.1, 0.0], **law)
    p2p.runpp(case33, numba=False)
    result = case33.res_sop_terminal
    apparent = np.hypot(result.p_mw, result.q_mvar)
    np.testing.assert_allclose(
        result.loss_mw, 0.002 + 0.005 * apparent + 0.01 * apparent**2, atol=1e-12
    )
    assert abs((result.p_mw + result.loss_mw).sum()) <= 1e-9
    assert case33.res_sop.loss_mw[0] == pytest.approx(result.loss_mw.sum())


def test_terminal_holds_the_voltage_of_its_bus(case33: Any) -> None:
    p2p.create_sop(
        case33,
        [11, 21],
        sn_mva=1.0,
        loss_factor=0.02,
        p_mw=[0.2, 0.0],
        control_mode_ac=["vm_pu", "q_mvar"],
        vm_pu=0.95,
    )
    p2p.runpp(case33, numba=False)
    result = case33.res_sop_terminal
    assert result.role.tolist() == ["vm_pu", "q_mvar"]
    assert case33.res_bus.vm_pu[11] == pytest.approx(0.95, abs=1e-9)
    assert abs((result.p_mw + result.loss_mw).sum()) <= 1e-9
    # the same reactive power as a set point gives the same power flow
    held = copy.deepcopy(case33)
    held.sop_terminal["control_mode_ac"] = "q_mvar"
    held.sop_terminal["q_mvar"] = result.q_mvar
    p2p.runpp(held, numba=False)
    np.testing.assert_allclose(held.res_bus.vm_pu, case33.res_bus.vm_pu, atol=1e-9)
    assert "gen" not in case33 or case33.gen.empty
    assert case33.res_gen.empty


def test_reactive_power_stops_at_rating_and_limits(case33: Any) -> None:
    p2p.create_sop(
        case33, [11, 21], sn_mva=0.5, p_mw=[0.3, 0.0], control_mode_ac="vm_pu", vm_pu=1.02
    )
    case33.sop_terminal.loc[1, "max_q_mvar"] = 0.1
    p2p.runpp(case33, numba=False)
    result = case33.res_sop_terminal
    assert result.role.tolist() == ["q_limit", "q_limit"]
    assert result.q_mvar.tolist() == pytest.approx([0.4, 0.1])
    assert result.loading_percent.max() <= 100.0 + 1e-6


def test_named_terminal_holds_the_link(case33: Any) -> None:
    p2p.create_sop(
        case33,
        [11, 21, 24],
        sn_mva=1.0,
        p_mw=[0.9, 0.2, -0.1],
        control_mode_dc=["vm_pu", "p_mw", "p_mw"],
    )
    p2p.runpp(case33, numba=False)
    assert case33.res_sop_terminal.p_mw.tolist() == pytest.approx([-0.1, 0.2, -0.1])
    case33.sop_terminal.loc[1, "control_mode_dc"] = "vm_pu"
    with pytest.raises(InvalidInput, match="control_mode_dc: rows 0, 1"):
        p2p.runpp(case33)


def test_native_converters_agree(case33: Any) -> None:
    native = copy.deepcopy(case33)
    link = pp.create_bus_dc(native, 20.0)
    small = (1e-3, 1e-3, 1e-3, 0.0)
    pp.create_vsc(native, 17, link, *small, "q_mvar", -0.2, "p_mw", -0.3)
    pp.create_vsc(native, 24, link, *small, "q_mvar", -0.1, "p_mw", 0.1)
    pp.create_vsc(native, 32, link, *small, "q_mvar", -0.5, "vm_pu", 1.0)
    pp.runpp(native, numba=False)
    p2p.create_sop(case33, [17, 24, 32], sn_mva=1.0, p_mw=[-0.3, 0.1, 0.0], q_mvar=[0.2, 0.1, 0.5])
    p2p.runpp(case33, numba=False)
    # pandapower's converters refuse to be free of resistance: each 1 mohm loses about 2 W
    np.testing.assert_allclose(case33.res_bus.vm_pu, native.res_bus.vm_pu, atol=1e-6)
    np.testing.assert_allclose(case33.res_sop_terminal.p_mw, -native.res_vsc.p_mw, atol=5e-6)


@pytest.mark.parametrize("both_ends", [False, True])
def test_island_is_formed_by_a_terminal(case33: Any, both_ends: bool) -> None:
    case33.line.loc[5, "in_service"] = False  # feeds buses 6 to 17
    p2p.create_sop(
        case33, [11, 21], sn_mva=2.0, loss_factor=0.02, grid_forming=True if both_ends else [1, 0]
    )
    p2p.runpp(case33, numba=False)
    result = case33.res_sop_terminal
    assert result.role.tolist() == ["grid_forming", "q_mvar"]
    assert case33.res_bus.vm_pu.notna().all()
    assert case33.res_bus.vm_pu[11] == 1.0
    island = list(range(6, 18))
    inside = case33.line.from_bus.isin(island) & case33.line.to_bus.isin(island)
    drawn = case33.load.p_mw[case33.load.bus.isin(island)].sum()
    drawn += case33.res_line.pl_mw[inside].sum()
    assert result.p_mw[0] == pytest.approx(drawn, abs=1e-7)
    assert abs((result.p_mw + result.loss_mw).sum()) <= 1e-9
    assert len(case33.res_ext_grid) == 1
    case33.sop_terminal["grid_forming"] = False
    with pytest.raises(InvalidInput, match=r"sop_terminal.bus: row 0 is in service"):
        p2p.runpp(case33, numba=False)


def test_island_that_nothing_can_balance_is_named(case33: Any) -> None:
    case33.ext_grid["in_service"] = False
    p2p.create_sop(case33, [11, 21], sn_mva=2.0, grid_forming=True)
    case33.line.loc[:, "in_service"] = False
    with pytest.raises(InvalidInput, match="sop: row 0"):
        p2p.runpp(case33)


def test_storage_on_the_link_carries_an_island(case33: Any) -> None:
    case33.line.loc[5, "in_service"] = False
    sop = p2p.create_sop(case33, [11, 21], sn_mva=2.0, loss_factor=0.02, grid_forming=True)
    case33.sop_terminal.loc[1, "in_service"] = False
    unit = pp.create_storage(case33, 21, p_mw=0.0, max_e_mwh=5.0)
    p2p.set_storage(case33, unit, sop=sop)
    p2p.runpp(case33, numba=False)
    result = case33.res_sop_terminal
    given = result.p_mw[0] + result.loss_mw[0]
    assert given > 1.0
    assert case33.res_sop.p_storage_mw[sop] == pytest.approx(-given)
    assert case33.res_bus.vm_pu.notna().all()


def test_storage_on_the_link_feeds_the_device_and_not_its_bus(case33: Any) -> None:
    sop = p2p.create_sop(case33, [11, 21], sn_mva=1.0, loss_factor=0.01, p_mw=[0.3, 0.0])
    unit = pp.create_storage(case33, 21, p_mw=-0.4, max_e_mwh=1.0)
    p2p.set_storage(case33, unit, sop=sop)
    p2p.runpp(case33, numba=False)
    result = case33.res_sop_terminal
    assert (result.p_mw + result.loss_mw).sum() == pytest.approx(0.4, abs=1e-9)
    assert case33.res_sop.p_storage_mw[sop] == pytest.approx(-0.4)
    drawn = case33.res_load.p_mw.sum() + case33.res_line.pl_mw.sum() - result.p_mw.sum()
    assert case33.res_ext_grid.p_mw.sum() == pytest.approx(drawn, abs=1e-7)


def test_dispatch_written_back_is_what_runpp_finds(case33: Any) -> None:
    sop = p2p.create_sop(
        case33,
        [11, 21, 24],
        sn_mva=[1.0, 0.6, 0.8],
        loss_factor=0.01,
        loss_standby_mw=0.001,
        loss_quadratic_per_mva=0.02,
    )
    sgen = pp.create_sgen(
        case33, 17, p_mw=0.4, controllable=True, min_p_mw=0.0, max_p_mw=0.5,
        min_q_mvar=-0.2, max_q_mvar=0.2,
    )  # fmt: skip
    ds = p2p.dispatch(case33)
    p2p.write_back(case33, ds)
    p2p.runpp(case33, numba=False)
    found = ds.isel(time=0)
    np.testing.assert_allclose(case33.res_bus.vm_pu, found["vm_pu"], atol=1e-6)
    np.testing.assert_allclose(case33.res_sop_terminal.p_mw, found["sop_p_mw"], atol=1e-6)
    assert case33.res_sgen.q_mvar[sgen] == pytest.approx(float(found["sgen_q_mvar"][0]))
    assert case33.res_sop.loss_mw[sop] == pytest.approx(float(found["sop_loss_mw"].sum()), abs=1e-6)


def test_terminal_that_no_grid_feeds(case33: Any) -> None:
    """pandapower leaves what stands on a dead bus out; the other terminal would feed alone."""
    island = int(pp.create_bus(case33, 12.66))
    p2p.create_sop(case33, [17, island], sn_mva=1.0)
    case33.sop_terminal["p_mw"] = [0.3, -0.3]
    with pytest.raises(InvalidInput, match=r"sop_terminal.bus: row 1 is in service, but no ext"):
        p2p.runpp(case33, numba=False)
    assert "res_sop" not in case33


def test_what_is_scaled_to_nothing_stays(case33: Any) -> None:
    sgen = pp.create_sgen(case33, 17, p_mw=0.4, scaling=0.0)
    p2p.write_back(case33, p2p.dispatch(case33))
    assert case33.sgen.p_mw[sgen] == 0.4
    ds = p2p.dispatch(case33)
    ds["sgen_p_mw"] = ds["sgen_p_mw"] + 0.1
    with pytest.raises(InvalidInput, match=r"sgen.scaling: row 0 is 0, but the result has p_mw"):
        p2p.write_back(case33, ds)
