"""Laws on random radial nets of three voltage levels with every element that a model reads."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pandapower as pp
import pandapower.toolbox as tb
import pytest
import xarray as xr
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pp_p2p.network.devices import fixed_injection
from pp_p2p.network.grid import GridData
from pp_p2p.network.portfolio import Portfolio
from pp_p2p.network.solution import FlowSolution, label_flows, relaxation_gaps
from pp_p2p.network.tightening import Tightening
from pp_p2p.network.timeline import Timeline
from pp_p2p.operation.powerflow import certify

LEVELS_KV = (110.0, 20.0, 0.4)
RATED_MVA = (25.0, 0.4)
"""Ratings of the transformers between neighbouring levels."""

LOAD_MW = (2.0, 0.05, 0.004)

EMPTY = pp.create_empty_network()
"""To copy: making one takes longer than everything else in a test."""

FEW = settings(max_examples=15, deadline=None, derandomize=True, database=None)
SEEDS = st.integers(min_value=0, max_value=10**6)
SIZES = st.integers(min_value=2, max_value=16)


class _Growth:
    """Grows a random radial net bus by bus."""

    def __init__(self, seed: int, size: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.net = copy.deepcopy(EMPTY)
        self.net.sn_mva = float(self.rng.choice([0.4, 1.0, 10.0]))
        self.level: dict[int, int] = {}
        for _ in range(int(self.rng.integers(1, 3))):
            root = self._bus(int(self.rng.integers(0, 3)))
            pp.create_ext_grid(self.net, root, vm_pu=float(self.rng.uniform(0.98, 1.04)))
        for _ in range(size):
            self._attach(int(self.rng.choice(list(self.level))))
        for bus in list(self.level):
            self._equip(bus)

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def _bus(self, level: int, *, in_service: bool = True) -> int:
        kv = LEVELS_KV[level] * float(self.rng.choice([1.0, 1.0, 1.05]))
        index = int(self.rng.integers(0, 10**6))
        bus = int(pp.create_bus(self.net, kv, index=index, in_service=in_service))
        self.level[bus] = level
        return bus

    def _attach(self, at: int) -> None:
        level = self.level[at]
        kind = self.rng.random()
        if kind < 0.35:
            step = 1 if level == 0 or (level == 1 and self.chance(0.7)) else -1
            self._trafo(at, self._bus(level + step))
        elif kind < 0.5:
            new = self._twin(at)
            z = 0.0 if self.chance(0.5) else 0.02
            pp.create_switch(self.net, at, new, et="b", z_ohm=z)
        else:
            self._line(at, self._twin(at))

    def _twin(self, of: int, *, in_service: bool = True) -> int:
        """Return a new bus of the same rated voltage: pandapower's lines have one base."""
        bus = self._bus(self.level[of], in_service=in_service)
        self.net.bus.loc[bus, "vn_kv"] = self.net.bus.vn_kv.at[of]
        return bus

    def _line(self, a: int, b: int, **more: Any) -> int:
        km = (10.0, 1.0, 0.05)[self.level[a]] * float(self.rng.uniform(0.3, 2.0))
        ends = (a, b) if self.chance(0.5) else (b, a)
        return int(
            pp.create_line_from_parameters(
                self.net,
                *ends,
                length_km=km,
                r_ohm_per_km=float(self.rng.uniform(0.05, 0.6)),
                x_ohm_per_km=float(self.rng.uniform(0.05, 0.4)),
                c_nf_per_km=float(self.rng.uniform(0.0, 300.0)),
                g_us_per_km=float(self.rng.choice([0.0, 1.0])),
                max_i_ka=float(self.rng.choice([0.2, 0.4, np.nan])),
                parallel=int(self.rng.integers(1, 3)),
                **more,
            )
        )

    def _trafo(self, a: int, b: int) -> int:
        hv, lv = sorted((a, b), key=self.level.__getitem__)
        upper = self.level[hv]
        return int(
            pp.create_transformer_from_parameters(
                self.net,
                hv,
                lv,
                sn_mva=RATED_MVA[upper] * float(self.rng.uniform(0.5, 2.0)),
                vn_hv_kv=LEVELS_KV[upper] * float(self.rng.uniform(0.97, 1.03)),
                vn_lv_kv=LEVELS_KV[upper + 1] * float(self.rng.uniform(0.97, 1.03)),
                vk_percent=float(self.rng.uniform(4.0, 10.0)),
                vkr_percent=float(self.rng.uniform(0.3, 3.0)),
                pfe_kw=float(self.rng.choice([0.0, 1.0])),
                i0_percent=float(self.rng.choice([0.0, 0.5])),
                shift_degree=float(self.rng.choice([0.0, 150.0])),
                parallel=int(self.rng.integers(1, 3)),
                tap_side=str(self.rng.choice(["hv", "lv"])),
                tap_changer_type=str(self.rng.choice(["Ratio", "Symmetrical", "Ideal"])),
                tap_pos=int(self.rng.integers(-2, 3)),
                tap_neutral=0,
                tap_min=-2,
                tap_max=2,
                tap_step_percent=1.5,
                tap_step_degree=np.nan,
                leakage_resistance_ratio_hv=float(self.rng.choice([0.5, 0.3])),
            )
        )

    def _equip(self, bus: int) -> None:
        """Hang loads, shunts, dangling and dead elements on a bus."""
        mw = LOAD_MW[self.level[bus]]
        if self.chance(0.6):
            q = mw * float(self.rng.uniform(-0.2, 0.5))
            pp.create_load(self.net, bus, p_mw=mw * float(self.rng.uniform(0, 2)), q_mvar=q)
        if self.chance(0.2):
            pp.create_sgen(self.net, bus, p_mw=mw * float(self.rng.uniform(0, 1)))
        if self.chance(0.15):
            kv = float(self.net.bus.vn_kv.at[bus]) * 0.97
            pp.create_shunt(
                self.net, bus, q_mvar=-mw / 4, p_mw=mw / 9, vn_kv=kv, step=2, max_step=2
            )
        if self.chance(0.15):  # hangs on one end: an open switch, or a bus out of service
            far = self._twin(bus, in_service=self.chance(0.5))
            line = self._line(bus, far)
            pp.create_switch(self.net, far, line, et="l", closed=False)
        if self.chance(0.1):
            self._line(bus, self._twin(bus, in_service=False))
        if self.chance(0.1) and self.level[bus] < 2:
            far = self._bus(self.level[bus] + 1, in_service=self.chance(0.5))
            trafo = self._trafo(bus, far)
            open_at = bus if self.chance(0.5) else far
            pp.create_switch(self.net, open_at, trafo, et="t", closed=False)
        if self.chance(0.1):
            others = [
                b for b in self.level if self.net.bus.vn_kv.at[b] == self.net.bus.vn_kv.at[bus]
            ]
            self._line(bus, int(self.rng.choice(others)), in_service=False)


def _swept(net: Any) -> tuple[GridData, xr.Dataset]:
    """Return the exact load flow of the arrays of `GridData`, by a sweep without any solver."""
    profiles = xr.Dataset(coords={"time": [0.0]})
    grid, line = GridData.from_net(net), Timeline.from_profiles(profiles)
    devices = Portfolio.from_net(net, grid, profiles, line)
    injection = fixed_injection(grid.n_nodes, line, devices.loads, devices.generators)
    tree = grid.tree
    s, z = (injection.p + 1j * injection.q)[:, 0], tree.r + 1j * tree.x
    v = np.ones(grid.n_nodes)
    v[grid.source_node] = grid.source_vm**2
    current, sent = np.zeros(grid.n_branches), np.zeros(grid.n_branches, dtype=complex)
    for _ in range(300):
        need = -s + np.conj(grid.y_shunt) * v
        for k in reversed(range(grid.n_branches)):
            sent[k] = need[tree.child[k]] + z[k] * current[k]
            need[tree.parent[k]] += sent[k]
        last = v.copy()
        for k in range(grid.n_branches):
            near = tree.v_scale_parent[k] * v[tree.parent[k]]
            current[k] = abs(sent[k]) ** 2 / near
            drop = 2 * (np.conj(z[k]) * sent[k]).real - abs(z[k]) ** 2 * current[k]
            v[tree.child[k]] = (near - drop) / tree.v_scale_child[k]
        if np.abs(v - last).max() < 1e-13:
            break
    source = need[grid.source_node]
    flows = FlowSolution(
        v=v[None],
        p=sent.real[None],
        q=sent.imag[None],
        l=current[None],
        p_source=source.real[None],
        q_source=source.imag[None],
        p_injected=s.real[None],
        q_injected=s.imag[None],
    )
    return grid, label_flows(grid, flows, line)


def _runs(net: Any) -> bool:
    """Run the power flow; False where the random net is beyond what a network is run at."""
    try:
        pp.runpp(net, numba=False, tolerance_mva=1e-9)
    except pp.LoadflowNotConverged:
        return False
    vm = net.res_bus.vm_pu
    return bool(vm.min() > 0.85 and vm.max() < 1.15)


@FEW
@given(seed=SEEDS, size=SIZES)
def test_arrays_hold_the_net(seed: int, size: int) -> None:
    """The exact load flow of the arrays is pandapower's, to the last digits."""
    net = _Growth(seed, size).net
    assume(_runs(net))
    _, ds = _swept(net)
    buses = net.res_bus.index[net.res_bus.vm_pu.notna()]
    assert sorted(buses.tolist()) == ds.bus.to_numpy().tolist()
    vm = ds.vm_pu.sel(bus=buses.to_numpy()).to_numpy()[0]
    np.testing.assert_allclose(vm, net.res_bus.vm_pu.loc[buses].to_numpy(), rtol=0, atol=1e-8)
    for ours, theirs in (("p_source_mw", "p_mw"), ("q_source_mvar", "q_mvar")):
        np.testing.assert_allclose(ds[ours].to_numpy()[0], net.res_ext_grid[theirs], atol=1e-7)
    injected = net.res_sgen.p_mw.sum() - net.res_load.p_mw.sum()
    loss = net.res_ext_grid.p_mw.sum() + injected
    np.testing.assert_allclose(ds.loss_mw.item(), loss, atol=1e-7)
    for element in ("line", "trafo"):
        if element in ds:
            percent = ds[f"{element}_loading_percent"].to_numpy()[0]
            theirs = net[f"res_{element}"].loading_percent.fillna(0.0)
            there = theirs.loc[ds[element].to_numpy()].to_numpy()
            np.testing.assert_allclose(percent, there, rtol=1e-6, atol=1e-6)


@settings(FEW, max_examples=8)
@given(seed=SEEDS, size=SIZES)
def test_solved_is_exact_or_says_that_it_is_not(
    solve: Callable[..., Any], unlimit: Callable[[Any], Any], seed: int, size: int
) -> None:
    """A tight relaxation is the power flow; a loose one costs no more, and its gap shows it."""
    net = unlimit(_Growth(seed, size).net)
    assume(_runs(net))
    solved = solve(net)
    grid, exact = _swept(net)
    certificate = certify(net, grid, solved.flows, has_losses=True)
    assert relaxation_gaps(grid, solved.flows).min(initial=0.0) > -1e-6 * certificate.flow_scale
    series = float(solved.flows.l[0] @ grid.tree.r) * grid.s_base_mva
    shunt = float(exact.vm_pu.sel(bus=grid.node_bus).to_numpy()[0] ** 2 @ grid.y_shunt.real)
    least = float(exact.loss_mw.item()) - shunt * grid.s_base_mva
    assert series <= least + 1e-6 * max(1.0, least)
    error = np.abs(solved.labelled.vm_pu.to_numpy() - exact.vm_pu.to_numpy()).max()
    assert certificate.ac_vm_error_pu == pytest.approx(error, abs=1e-7)
    assert certificate.exact or certificate.relaxation_gap > 1e-6


@settings(FEW, max_examples=8)
@given(seed=SEEDS, size=SIZES)
def test_lossless_voltage_is_above_the_voltage(
    solve: Callable[..., Any], unlimit: Callable[[Any], Any], seed: int, size: int
) -> None:
    """Several sources, ratios, shunts: the bound that tightens a relaxation implies the limit."""
    net = unlimit(_Growth(seed, size).net)
    assume(_runs(net))
    plain, tight = solve(net), solve(net, tightening=Tightening(voltage=True))
    v_hat = np.array([v.value for v in tight.model.network.v_hat.values()])
    sources = tight.grid.source_node
    moved = np.setdiff1d(np.arange(tight.grid.n_nodes), sources)
    assert (v_hat[moved] >= tight.flows.v[0, moved] - 1e-7).all()
    np.testing.assert_allclose(tight.flows.v, plain.flows.v, rtol=0, atol=1e-5)


@FEW
@given(seed=SEEDS, size=SIZES)
def test_relabelling_buses_changes_nothing(seed: int, size: int) -> None:
    net = _Growth(seed, size).net
    assume(_runs(net))
    before = _swept(net)[1]
    shuffled = np.random.default_rng(seed + 1).permutation(10**6)
    names = {int(bus): int(shuffled[bus]) for bus in net.bus.index}
    tb.reindex_buses(net, names)
    after = _swept(net)[1]
    renamed = before.vm_pu.assign_coords(bus=[names[int(b)] for b in before.bus.to_numpy()])
    np.testing.assert_allclose(
        after.vm_pu.sel(bus=renamed.bus).to_numpy(), renamed.to_numpy(), rtol=0, atol=1e-10
    )
    np.testing.assert_allclose(after.loss_mw, before.loss_mw, rtol=0, atol=1e-10)
    for name in ("line_loading_percent", "trafo_loading_percent"):
        if name in before:
            np.testing.assert_allclose(after[name], before[name], rtol=1e-8, atol=1e-8)


@FEW
@given(seed=SEEDS, size=SIZES)
def test_tree_is_sound(seed: int, size: int) -> None:
    """Parents come before children, every node but the sources is a child exactly once."""
    grid = GridData.from_net(_Growth(seed, size).net)
    tree = grid.tree
    assert sorted([*tree.child.tolist(), *grid.source_node.tolist()]) == list(range(grid.n_nodes))
    seen = set(grid.source_node.tolist())
    for parent, child in zip(tree.parent.tolist(), tree.child.tolist(), strict=True):
        assert parent in seen
        seen.add(child)
    assert (tree.r >= 0).all()
    total = np.zeros(grid.n_branches, dtype=complex)
    np.add.at(total, grid.branch_of, grid.share)
    np.testing.assert_allclose(total, 1.0)
