"""Soft open points in optimal dispatch: losses, storage on the link, islands."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandapower as pp
import pytest
import xarray as xr

import pp_p2p as p2p

THREE = {"loss_standby_mw": 0.001, "loss_factor": 0.005, "loss_quadratic_per_mva": 0.02}


@pytest.mark.parametrize("law", [THREE, {"loss_quadratic_per_mva": 0.03}])
def test_cone_of_the_square_is_tight_and_equals_the_exact_law(
    case33: Any, law: dict[str, float]
) -> None:
    p2p.create_sop(case33, [11, 21, 24], sn_mva=1.0, **law)
    relaxed, exact = (
        p2p.dispatch(case33, formulation=formulation) for formulation in ("branch_flow", "ac")
    )
    assert relaxed.attrs["relaxation"] == "exact"
    assert relaxed.attrs["relaxation_gap"] <= 1e-6
    assert relaxed.attrs["objective"] == pytest.approx(exact.attrs["objective"], abs=1e-6)
    apparent = np.hypot(exact["sop_p_mw"], exact["sop_q_mvar"])
    standby, factor, quadratic = (
        law.get(name, 0.0) for name in ("loss_standby_mw", "loss_factor", "loss_quadratic_per_mva")
    )
    expected = standby + factor * apparent + quadratic * apparent**2
    np.testing.assert_allclose(exact["sop_loss_mw"], expected, atol=2e-6)


def test_linear_formulation_keeps_the_balance(case33: Any) -> None:
    p2p.create_sop(case33, [11, 21, 24], sn_mva=1.0, **THREE)
    ds = p2p.dispatch(case33, formulation="lindistflow")
    total = (ds["sop_p_mw"] + ds["sop_loss_mw"]).sum("sop_terminal")
    np.testing.assert_allclose(total, 0.0, atol=1e-7)
    exact = p2p.dispatch(case33)
    # polygon and tangents lie outside the cones: losses are never overestimated by much
    assert float(ds["sop_loss_mw"].sum()) <= 1.1 * float(exact["sop_loss_mw"].sum())


def test_dearer_losses_never_lose_less(case33: Any) -> None:
    totals = []
    for quadratic in (0.0, 0.01, 0.05):
        net = copy.deepcopy(case33)
        p2p.create_sop(net, [11, 21], sn_mva=1.0, loss_quadratic_per_mva=quadratic)
        totals.append(p2p.dispatch(net).attrs["objective"])
    assert totals == sorted(totals)


def day(net: Any) -> xr.Dataset:
    hours = np.arange(24)
    shape = 0.6 + 0.4 * np.sin(np.pi * hours / 24) ** 2
    return xr.Dataset(
        {
            "load_p_mw": (("time", "load"), np.outer(shape, net.load.p_mw)),
            "load_q_mvar": (("time", "load"), np.outer(shape, net.load.q_mvar)),
        },
        coords={"time": hours, "load": net.load.index},
    )


def test_storage_on_the_link_of_an_ideal_device_is_storage_at_its_bus(case33: Any) -> None:
    sop = p2p.create_sop(case33, [11, 21], sn_mva=3.0)
    unit = pp.create_storage(
        case33, 21, p_mw=0.0, max_e_mwh=1.0, min_e_mwh=0.0, max_p_mw=0.3, min_p_mw=-0.3
    )
    p2p.set_storage(case33, unit, charge_efficiency_percent=95.0, discharge_efficiency_percent=95.0)
    at_bus = p2p.dispatch(case33, day(case33))
    p2p.set_storage(case33, unit, sop=sop)
    on_link = p2p.dispatch(case33, day(case33))
    assert float(np.abs(on_link["storage_p_mw"]).max()) > 0.05
    assert on_link.attrs["objective"] == pytest.approx(at_bus.attrs["objective"], rel=1e-5)
    total = (on_link["sop_p_mw"] + on_link["sop_loss_mw"]).sum("sop_terminal")
    np.testing.assert_allclose(total, -on_link["storage_p_mw"].sum("storage"), atol=1e-6)


def test_island_is_supplied_through_the_device(case33: Any) -> None:
    case33.line.loc[5, "in_service"] = False  # feeds buses 6 to 17
    assert p2p.dispatch(case33).sizes["bus"] == 21
    p2p.create_sop(case33, [11, 21], sn_mva=2.0, loss_factor=0.02, grid_forming=[True, False])
    ds = p2p.dispatch(case33)
    assert ds.sizes["bus"] == 33
    assert ds.attrs["relaxation"] == "exact"
    assert float(ds["vm_pu"].sel(bus=11)[0]) == pytest.approx(1.0)
    p2p.write_back(case33, ds)
    p2p.runpp(case33, numba=False)
    np.testing.assert_allclose(case33.res_bus.vm_pu, ds["vm_pu"].isel(time=0), atol=1e-6)
    np.testing.assert_allclose(case33.res_sop_terminal.p_mw, ds["sop_p_mw"].isel(time=0), atol=1e-6)
