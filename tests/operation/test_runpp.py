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
