"""Laws of `dispatch` on random radial feeders with generators and soft open points."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandapower as pp
import pytest
import xarray as xr
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import pp_p2p as p2p

EMPTY = pp.create_empty_network(sn_mva=1.0)
"""To copy: making one takes longer than everything else in a test."""

FEW = settings(max_examples=7, deadline=None, derandomize=True, database=None)
SEEDS = st.integers(min_value=0, max_value=10**6)

SAME = 2e-6
"""Relative difference of two optima that the solver may leave between them."""


def _feeder(seed: int, *, generators: int = 2, sops: int = 1) -> Any:
    """Return a random tree of 4 to 12 buses, 10 kV, with limits that are wide enough."""
    rng = np.random.default_rng(seed)
    net = copy.deepcopy(EMPTY)
    n = int(rng.integers(4, 13))
    labels = rng.choice(1000, n, replace=False).tolist()
    for k, bus in enumerate(labels):
        pp.create_bus(net, 10.0, index=bus, min_vm_pu=0.8, max_vm_pu=1.2)
        if k == 0:
            pp.create_ext_grid(net, bus, vm_pu=float(rng.uniform(0.98, 1.04)))
            continue
        ends = [bus, labels[int(rng.integers(0, k))]]
        pp.create_line_from_parameters(
            net,
            *rng.permutation(ends).tolist(),
            length_km=float(rng.uniform(0.3, 2.0)),
            r_ohm_per_km=float(rng.uniform(0.1, 0.6)),
            x_ohm_per_km=float(rng.uniform(0.1, 0.4)),
            c_nf_per_km=float(rng.choice([0.0, 250.0])),
            max_i_ka=1.0,
        )
        mw = float(rng.uniform(0.0, 1.5)) / n * 4.0
        pp.create_load(net, bus, p_mw=mw, q_mvar=mw * float(rng.uniform(-0.1, 0.4)))
    for _ in range(generators):
        pp.create_sgen(
            net,
            int(rng.choice(labels[1:])),
            p_mw=0.0,
            controllable=True,
            min_p_mw=0.0,
            max_p_mw=float(rng.uniform(0.1, 1.5)),
            min_q_mvar=-0.3,
            max_q_mvar=0.3,
        )
    for _ in range(sops):
        buses = rng.choice(labels[1:], int(rng.integers(2, 4)), replace=False).tolist()
        p2p.create_sop(net, buses, sn_mva=float(rng.uniform(0.1, 1.0)), loss_factor=0.02)
    return net


def _loss(net: Any, **how: Any) -> float:
    return float(p2p.dispatch(net, **how).attrs["objective"])


@FEW
@given(seed=SEEDS)
def test_cone_loses_no_more_than_the_exact_programme(seed: int) -> None:
    net = _feeder(seed)
    cone, exact = p2p.dispatch(net), p2p.dispatch(net, formulation="ac")
    assert cone.attrs["objective"] <= exact.attrs["objective"] * (1 + SAME) + 1e-7
    assert cone.attrs["relaxation"] == "exact"
    assert cone.attrs["ac_vm_error_pu"] <= 1e-4
    assert cone.attrs["objective"] == pytest.approx(exact.attrs["objective"], rel=1e-3, abs=1e-5)


@FEW
@given(seed=SEEDS)
def test_fixed_injections_lose_what_the_power_flow_loses(seed: int) -> None:
    net = _feeder(seed, generators=0, sops=0)
    ds = p2p.dispatch(net)
    pp.runpp(net, numba=False, tolerance_mva=1e-9)
    loss = float(net.res_line.pl_mw.sum())
    assert ds.attrs["objective"] <= loss * (1 + SAME) + 1e-8
    vm = net.res_bus.vm_pu.loc[ds["bus"].to_numpy()]
    np.testing.assert_allclose(ds["vm_pu"].isel(time=0), vm, rtol=0, atol=1e-4)


@FEW
@given(seed=SEEDS)
def test_linear_voltages_are_above_without_generation(seed: int) -> None:
    net = _feeder(seed, generators=0, sops=0)
    net.load["q_mvar"] = net.load["q_mvar"].abs()
    net.line["c_nf_per_km"] = 0.0  # charging is generation, too
    linear = p2p.dispatch(net, formulation="lindistflow")["vm_pu"].isel(time=0)
    pp.runpp(net, numba=False)
    exact = net.res_bus.vm_pu.loc[linear["bus"].to_numpy()].to_numpy()
    assert (linear.to_numpy() >= exact - 1e-8).all()


@FEW
@given(seed=SEEDS)
def test_new_labels_change_nothing(seed: int) -> None:
    """Indices of buses, lines and generators are names: neither value nor order matters."""
    net = _feeder(seed)
    before = p2p.dispatch(net)
    rng = np.random.default_rng(seed + 1)
    new = {
        table: dict(zip(net[table].index.tolist(), rng.permutation(5000).tolist(), strict=False))
        for table in ("bus", "line", "sgen", "load")
    }
    p2p.toolbox.reindex_buses(net, new["bus"])
    for table in ("line", "sgen", "load"):
        p2p.toolbox.reindex_elements(net, table, lookup=new[table])
    for table in new:
        net[table] = net[table].sample(frac=1.0, random_state=seed % 1000)
    after = p2p.dispatch(net)
    assert after.attrs["objective"] == pytest.approx(before.attrs["objective"], rel=SAME, abs=1e-9)
    for name, dim, near in (("vm_pu", "bus", 1e-5), ("line_loading_percent", "line", 0.02)):
        named = before[name].assign_coords({dim: [new[dim][int(k)] for k in before[dim]]})
        xr.testing.assert_allclose(after[name].sel({dim: named[dim]}), named, rtol=0, atol=near)


WIDER = {
    "sgen output": ("sgen", "max_p_mw", 9.0),
    "sgen q": ("sgen", "min_q_mvar", -0.6),
    "sop rating": ("sop_terminal", "sn_mva", 1.5),
    "voltage": ("bus", "max_vm_pu", 1.3),
    "current": ("line", "max_i_ka", 2.0),
}


@FEW
@given(seed=SEEDS, limit=st.sampled_from(sorted(WIDER)))
def test_wider_limit_never_costs_more(seed: int, limit: str) -> None:
    net = _feeder(seed)
    net.bus.loc[~net.bus.index.isin(net.ext_grid.bus), "max_vm_pu"] = 1.01
    net.ext_grid["vm_pu"] = 1.0
    narrow = _loss(net)
    table, column, wide = WIDER[limit]
    net[table] = net[table].assign(**{column: wide})
    assert _loss(net) <= narrow * (1 + SAME) + 1e-7


@FEW
@given(seed=SEEDS)
def test_soft_open_point_never_loses_more(seed: int) -> None:
    net = _feeder(seed)
    with_sop = _loss(net)
    net.sop["in_service"] = False
    assert with_sop <= _loss(net) * (1 + SAME) + 1e-7


@FEW
@given(seed=SEEDS)
def test_idle_soft_open_point_changes_no_voltage(seed: int) -> None:
    net = _feeder(seed)
    net.sop_terminal["loss_factor"] = 0.0
    pp.runpp(net, numba=False)
    before = net.res_bus.vm_pu.copy()
    p2p.runpp(net, numba=False)
    np.testing.assert_array_equal(net.res_bus.vm_pu, before)


@settings(FEW, max_examples=5)
@given(seed=SEEDS)
def test_tightened_voltage_lies_between_cone_and_nothing(seed: int) -> None:
    """What (b) cuts off never helps, and what is left is a load flow."""
    net = _feeder(seed, sops=0)
    net.load[["p_mw", "q_mvar"]] *= 0.1
    net.sgen["min_p_mw"] = 0.0
    net.bus.loc[~net.bus.index.isin(net.ext_grid.bus), "max_vm_pu"] = 1.005
    net.ext_grid["vm_pu"] = 1.0
    pp.create_poly_cost(net, 0, "ext_grid", cp1_eur_per_mw=50.0)
    plain = p2p.dispatch(net, objective="cost", repair="ac")
    assume(plain.attrs["status"] == "optimal")
    tight = p2p.dispatch(net, objective="cost", tightening=p2p.Tightening(voltage=True))
    assert tight.attrs["relaxation"] == "exact"
    assert tight.attrs["objective"] >= plain.attrs["objective"] - 1e-3
