"""`run_year`: every step is `runpp`, devices balance, bad input is named, nothing is poisoned."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandapower.toolbox import nets_equal

import pp_p2p as p2p
from pp_p2p.errors import DivergedSteps, InvalidInput, UnsupportedFeature
from pp_p2p.operation import batch_flow
from pp_p2p.operation.year_flow import OUTPUTS

pytestmark = pytest.mark.filterwarnings("ignore::pp_p2p.errors.ConstantGeneration")


def _profiles(net: Any, n: int = 4, seed: int = 0) -> xr.Dataset:
    factor = np.random.default_rng(seed).uniform(0.2, 1.2, (n, len(net.load)))
    return xr.Dataset(
        {
            "load_p_mw": (("time", "load"), factor * net.load.p_mw.to_numpy()),
            "load_q_mvar": (("time", "load"), factor * net.load.q_mvar.to_numpy()),
        },
        coords={"time": np.arange(float(n)), "load": net.load.index.to_numpy()},
    )


def _at_step(net: Any, profiles: xr.Dataset, step: int) -> Any:
    """Return the net with the values of one step in its tables, solved by `p2p.runpp`."""
    at = copy.deepcopy(net)
    for name in profiles.data_vars:
        table, column = str(name).split("_", 1)
        table = "sop_terminal" if table == "sop" else table
        values = profiles[name].isel(time=step)
        at[table].loc[values[table].to_numpy(), column] = values.to_numpy()
        if "scaling" in at[table]:
            at[table].loc[values[table].to_numpy(), "scaling"] = 1.0
    p2p.runpp(at, numba=False, tolerance_mva=1e-10)
    return at


def _assert_step(ds: xr.Dataset, step: int, solved: Any) -> None:
    now = ds.isel(time=step)
    assert bool(now["converged"])
    np.testing.assert_allclose(now["vm_pu"], solved.res_bus.vm_pu, atol=1e-8, rtol=0)
    for table in ("line", "trafo"):
        if table in ds.dims:
            wanted = solved[f"res_{table}"].loading_percent
            np.testing.assert_allclose(now[f"{table}_loading_percent"], wanted, atol=1e-6)
    np.testing.assert_allclose(now["p_source_mw"], solved.res_ext_grid.p_mw, atol=1e-8)
    np.testing.assert_allclose(now["q_source_mvar"], solved.res_ext_grid.q_mvar, atol=1e-8)
    if "sop_terminal" in ds.dims:
        for column in ("p_mw", "q_mvar", "loss_mw"):
            wanted = solved.res_sop_terminal[column]
            np.testing.assert_allclose(now[f"sop_{column}"], wanted, atol=1e-8, rtol=0)


def test_every_step_is_runpp() -> None:
    """Profiles of some elements, scaling of the others, storage, a device of three terminals."""
    net = pn.create_cigre_network_mv(with_der="all")
    net.load["scaling"], net.sgen["scaling"] = 0.9, 1.1
    net.load.loc[3, "in_service"] = False
    p2p.create_sop(net, [5, 9, 14], sn_mva=2.0, loss_factor=0.03, p_mw=[0.3, -0.2, 0.0], q_mvar=0.1)
    p2p.create_sop(net, [3, 7], sn_mva=2.0, loss_factor=0.01, q_mvar=[0.2, -0.1])
    rng = np.random.default_rng(1)
    profiles = _profiles(net).isel(load=slice(None, None, 2))
    over = ("time", "sgen"), ("time", "storage"), ("time", "sop_terminal")
    profiles = profiles.assign(
        sgen_p_mw=(over[0], rng.uniform(0.0, 0.5, (4, 3))),
        sgen_q_mvar=(over[0], rng.uniform(-0.1, 0.1, (4, 3))),
        storage_p_mw=(over[1], rng.uniform(-0.5, 0.5, (4, 1))),
        sop_p_mw=(over[2], rng.uniform(-0.5, 0.5, (4, 2))),
        sop_q_mvar=(over[2], rng.uniform(-0.5, 0.5, (4, 2))),
    ).assign_coords(sgen=net.sgen.index[[4, 0, 2]], storage=net.storage.index[[1]])
    profiles = profiles.assign_coords(sop_terminal=[3, 0])
    before = copy.deepcopy(net)
    ds = p2p.run_year(net, profiles)
    assert nets_equal(net, before)
    for step in range(4):
        _assert_step(ds, step, _at_step(net, profiles, step))


def test_without_profiles_the_net_keeps_its_values(case33: Any) -> None:
    ds = p2p.run_year(case33, xr.Dataset(coords={"time": [0, 1]}))
    np.testing.assert_array_equal(ds["vm_pu"][0], ds["vm_pu"][1])
    assert float(ds["loss_mw"][0]) * 1e3 == pytest.approx(202.677, abs=1e-3)


def test_typical_days_and_voltage_dependent_loads(case33: Any, make_days: Any) -> None:
    case33.load["const_z_p_percent"] = np.where(case33.load.index % 2, 40.0, 0.0)
    case33.load["const_i_q_percent"] = 25.0
    days = make_days(case33)
    ds = p2p.run_year(case33, days)
    assert ds["vm_pu"].dims == ("day", "hour", "bus")
    for day, hour in ((0, 1), (1, 4)):
        at = copy.deepcopy(case33)
        at.load["p_mw"] = days["load_p_mw"][day, hour].to_numpy()
        at.load["q_mvar"] = days["load_q_mvar"][day, hour].to_numpy()
        pp.runpp(at, numba=False, tolerance_mva=1e-10)
        np.testing.assert_allclose(ds["vm_pu"][day, hour], at.res_bus.vm_pu, atol=1e-8, rtol=0)


def test_dispatch_is_replayed_by_its_set_points(case33: Any) -> None:
    net = case33
    pp.create_storage(net, 17, p_mw=0.4, max_e_mwh=1.0, controllable=True)
    pp.create_sgen(net, 32, p_mw=0.5, controllable=True, min_q_mvar=-0.2, max_q_mvar=0.2)
    p2p.create_sop(net, [11, 21], sn_mva=1.0, loss_factor=0.02)
    p2p.create_flexible_load(net, 3, max_up_percent=20.0, max_down_percent=20.0)
    profiles = _profiles(net, 3)
    best = p2p.dispatch(net, profiles)
    assert float(abs(best["storage_p_mw"]).max()) > 1e-3
    ds = p2p.run_year(net, profiles, set_points=best)
    np.testing.assert_allclose(ds["vm_pu"], best["vm_pu"], atol=1e-5)
    np.testing.assert_allclose(
        ds["sop_p_mw"].transpose(*best["sop_p_mw"].dims), best["sop_p_mw"], atol=1e-5
    )
    idle = p2p.run_year(net, profiles)
    assert float(abs(idle["vm_pu"] - ds["vm_pu"]).max()) > 1e-4
    with pytest.raises(InvalidInput, match=r"set_points\.time: are of other steps"):
        p2p.run_year(net, profiles, set_points=best.isel(time=slice(2)))


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(terminals=st.integers(2, 4), factor=st.floats(0.0, 0.3), seed=st.integers(0, 999))
def test_every_device_balances(case33: Any, terminals: int, factor: float, seed: int) -> None:
    net, rng = copy.deepcopy(case33), np.random.default_rng(seed)
    buses = rng.choice(np.arange(1, 33), terminals, replace=False).tolist()
    p2p.create_sop(net, buses, sn_mva=10.0, loss_factor=factor)
    over = ("time", "sop_terminal")
    profiles = _profiles(net, 3, seed).assign(
        sop_p_mw=(over, rng.uniform(-0.4, 0.4, (3, terminals))),
        sop_q_mvar=(over, rng.uniform(-0.4, 0.4, (3, terminals))),
        sop_terminal=net.sop_terminal.index.to_numpy(),
    )
    ds = p2p.run_year(net, profiles)
    assert float(abs((ds["sop_p_mw"] + ds["sop_loss_mw"]).sum("sop_terminal")).max()) <= 1e-9
    apparent = np.hypot(ds["sop_p_mw"], ds["sop_q_mvar"])
    np.testing.assert_allclose(ds["sop_loss_mw"], factor * apparent, atol=1e-12)
    # the system balances too
    drawn = (
        profiles["load_p_mw"].sum("load") + ds["loss_mw"] + ds["sop_loss_mw"].sum("sop_terminal")
    )
    np.testing.assert_allclose(ds["p_source_mw"].sum("ext_grid"), drawn, atol=1e-7)


def test_terminals_and_devices_out_of_service(case33: Any) -> None:
    p2p.create_sop(case33, [11, 17, 21], sn_mva=1.0, p_mw=[0.2, 0.1, 0.0])
    p2p.create_sop(case33, [8, 24], sn_mva=1.0, p_mw=[0.2, 0.0])
    case33.sop.loc[1, "in_service"] = False
    case33.sop_terminal.loc[2, "in_service"] = False
    case33.line.loc[16, "in_service"] = False
    steps = xr.Dataset(coords={"time": [0]})
    # bus 17 is dark: without the terminal on it, the first would have nowhere to take from
    with pytest.raises(InvalidInput, match=r"sop_terminal.bus: row 1 is in service"):
        p2p.run_year(case33, steps)
    case33.line.loc[16, "in_service"] = True
    ds = p2p.run_year(case33, steps)
    np.testing.assert_allclose(ds["sop_p_mw"][0], [0.2, -0.2])
    _assert_step(ds, 0, _at_step(case33, steps, 0))


@pytest.mark.parametrize("kind", ["losses", "voltage", "limits", "island", "storage"])
def test_control_modes_are_those_of_runpp(case33: Any, kind: str) -> None:
    net, profiles = case33, _profiles(case33, n=6)
    modes: dict[str, Any] = {"loss_standby_mw": 0.001, "loss_quadratic_per_mva": 0.02}
    if kind == "voltage":
        modes |= {"control_mode_ac": ["vm_pu", "q_mvar", "vm_pu"], "vm_pu": [0.985, 1.0, 0.99]}
    if kind == "limits":
        modes |= {"control_mode_ac": "vm_pu", "vm_pu": 0.995, "max_q_mvar": [0.1, 0.3, 0.9]}
    if kind == "island":
        net.line.loc[5, "in_service"] = False
        modes |= {"grid_forming": [True, False, False], "vm_pu": 1.0}
        net.ext_grid["vm_pu"] = 1.02
    sop = p2p.create_sop(
        net, [11, 21, 24], sn_mva=2.0, loss_factor=0.01, p_mw=[0.2, -0.1, 0.0], **modes
    )
    if kind == "storage":
        unit = pp.create_storage(net, 24, p_mw=0.1, max_e_mwh=1.0)
        p2p.set_storage(net, unit, sop=sop)
        power = np.linspace(-0.3, 0.3, 6)[:, None]
        profiles["storage_p_mw"] = (("time", "storage"), power)
        profiles = profiles.assign_coords(storage=[unit])
    ds = p2p.run_year(net, profiles)
    assert bool(ds["converged"].all())
    assert ds.sizes["ext_grid"] == 1
    for step in range(6):
        solved = _at_step(net, profiles, step)
        _assert_step(ds, step, solved)
        now, terminals = ds.isel(time=step), solved.res_sop_terminal
        assert now["sop_q_limit"].to_numpy().tolist() == (terminals.role == "q_limit").tolist()
    if kind == "limits":
        assert 0 < int(ds["sop_q_limit"].sum()) < ds["sop_q_limit"].size
    drawn = profiles["storage_p_mw"].sum("storage") if kind == "storage" else 0.0
    balance = (ds["sop_p_mw"] + ds["sop_loss_mw"]).sum("sop_terminal") + drawn
    np.testing.assert_allclose(balance, 0.0, atol=1e-9)


def test_island_is_dark_and_says_so(case33: Any) -> None:
    case33.line.loc[21, "in_service"] = False  # buses 22 to 24
    profiles = _profiles(case33)
    ds = p2p.run_year(case33, profiles)
    dark = ds["vm_pu"].isnull().all("time")
    assert ds["bus"].to_numpy()[dark.to_numpy()].tolist() == [22, 23, 24]
    assert bool(ds["converged"].all())
    _assert_step(ds, 2, _at_step(case33, profiles, 2))


def test_diverged_step_is_flagged_alone(case33: Any) -> None:
    profiles = _profiles(case33, 5)
    good = p2p.run_year(case33, profiles)
    profiles["load_p_mw"][3] *= 60.0
    with pytest.warns(DivergedSteps, match=r"1 of 5 steps diverged \(time 3\.0\)"):
        ds = p2p.run_year(case33, profiles)
    assert ds["converged"].to_numpy().tolist() == [True, True, True, False, True]
    assert ds.attrs["steps_diverged"] == 1
    for name in ("vm_pu", "line_loading_percent", "p_source_mw", "q_source_mvar", "loss_mw"):
        assert bool(ds[name][3].isnull().all()), name
        np.testing.assert_array_equal(ds[name][[0, 1, 2, 4]], good[name][[0, 1, 2, 4]])


def test_base_case_that_diverges_is_a_flag_too(case33: Any) -> None:
    case33.load["p_mw"] *= 60.0
    with pytest.warns(DivergedSteps, match=r"7 of 7 steps .* and 2 more"):
        ds = p2p.run_year(case33, xr.Dataset(coords={"time": np.arange(7)}))
    assert not ds["converged"].any()


def test_result_is_labelled_and_stored(case33: Any, tmp_path: Path) -> None:
    p2p.create_sop(case33, [11, 21], sn_mva=1.0)
    ds = p2p.run_year(case33, _profiles(case33))
    assert ds.attrs["problem"] == "run_year"
    assert ds.attrs["engine"] == "power-grid-model"
    for name, values in ds.data_vars.items():
        assert values.attrs["long_name"], name
        flag = name in ("converged", "sop_q_limit")
        assert flag or values.attrs["units"], name
        assert values.dtype == (bool if flag else np.float64)
    again = p2p.from_netcdf(p2p.to_netcdf(ds, tmp_path / "year.nc"))
    assert isinstance(again, xr.Dataset)
    assert again.identical(ds)


def test_same_input_same_numbers(case33: Any, monkeypatch: Any) -> None:
    profiles = _profiles(case33, 40)
    first = p2p.run_year(case33, profiles)
    done: list[tuple[int, int]] = []
    monkeypatch.setattr(batch_flow, "CHUNK_NUMBERS", 9 * 65)
    second = p2p.run_year(case33, profiles, progress=lambda k, n: done.append((k, n)))
    xr.testing.assert_equal(first, second)
    assert first.attrs["input_hash"] == second.attrs["input_hash"]
    assert done[-1] == (40, 40)
    assert len(done) > 3
    profiles["load_p_mw"][7, 3] *= 1.01
    assert p2p.run_year(case33, profiles).attrs["input_hash"] != first.attrs["input_hash"]


def test_only_what_is_wanted(case33: Any) -> None:
    profiles = _profiles(case33)
    ds = p2p.run_year(case33, profiles, outputs=["vm_pu", "va_degree"])
    assert set(ds.data_vars) == {"vm_pu", "va_degree", "converged"}
    with pytest.raises(InvalidInput, match=r"run_year\.outputs: row vm is not .* vm_pu"):
        p2p.run_year(case33, profiles, outputs=["vm"])
    assert set(p2p.run_year(pn.mv_oberrhein(), xr.Dataset(coords={"time": [0]})).data_vars) <= {
        *OUTPUTS,
        "converged",
    }


def _without_time(ds: xr.Dataset) -> xr.Dataset:
    return ds.rename(time="step")


def _with_gap(ds: xr.Dataset) -> xr.Dataset:
    ds["load_p_mw"][1, 2] = np.nan
    return ds


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (_without_time, "neither a dim 'time'"),
        (_with_gap, r"profiles\.load_p_mw: row time 1\.0 is not a finite number"),
        (lambda ds: ds.isel(time=slice(0)), r"profiles\.time: has no step"),
        (lambda ds: ds.isel(load=0, drop=True), "has the dims time; give it the dims load, time"),
        (
            lambda ds: ds.assign_coords(load=ds["load"] + 90),
            r"load_p_mw: rows 90, .* and 20 more is a profile of a load that does not exist",
        ),
        (lambda ds: ds.isel(load=[0, 0, 1]), "row 0 holds a load more than once"),
        (lambda ds: ds.rename(load_p_mw="load_mw"), "load_mw: is not a profile; .* load_p_mw"),
        (
            lambda ds: ds.assign(sop_p_mw=(("time", "sop_terminal"), np.zeros((4, 1)))),
            "sop_terminal that does not exist",
        ),
    ],
    ids=["no-time", "gap", "no-step", "dims", "labels", "twice", "name", "terminal"],
)
def test_bad_profiles_are_named(case33: Any, spoil: Any, match: str) -> None:
    profiles = spoil(_profiles(case33))
    if "sop_p_mw" in profiles:
        profiles = profiles.assign_coords(sop_terminal=[0])
    with pytest.raises(InvalidInput, match=match):
        p2p.run_year(case33, profiles)


def test_set_point_above_the_rating(case33: Any) -> None:
    p2p.create_sop(case33, [11, 21], sn_mva=0.3)
    profiles = _profiles(case33).assign(
        sop_p_mw=(("time", "sop_terminal"), [[0.1], [0.2], [0.4], [0.5]]), sop_terminal=[0]
    )
    with pytest.raises(InvalidInput, match=r"rows 0, 1 .* in 2 steps, first at time 2\.0"):
        p2p.run_year(case33, profiles)


def test_what_cannot_be_solved_is_refused_before(case33: Any) -> None:
    pp.create_dcline(case33, 3, 5, 0.1, 1.0, 1.0, 1.0, 1.0)
    with pytest.raises(UnsupportedFeature, match="dcline: row 0"):
        p2p.run_year(case33, xr.Dataset(coords={"time": [0]}))


def test_gap_in_a_table_is_named(case33: Any) -> None:
    pp.create_storage(case33, 5, p_mw=0.1, max_e_mwh=1.0, scaling=np.nan)
    steps = xr.Dataset(coords={"time": [0]})
    with pytest.raises(InvalidInput, match=r"storage\.p_mw: row 0 times scaling"):
        p2p.run_year(case33, steps)
    case33.storage.loc[0, "in_service"] = False
    p2p.run_year(case33, steps)


def test_no_warning_without_reason(case33: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        p2p.run_year(case33, _profiles(case33))
