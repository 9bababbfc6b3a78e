"""Real nets fit: voltages, exchange and loadings equal those of ``pandapower.runpp``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandapower.networks as pn
import pytest

NETS: dict[str, Callable[[], Any]] = {
    "case33bw": pn.case33bw,
    "cigre mv": lambda: pn.create_cigre_network_mv(with_der=False),
    "cigre mv pv_wind": lambda: pn.create_cigre_network_mv(with_der="pv_wind"),
    "cigre mv all": lambda: pn.create_cigre_network_mv(with_der="all"),
    "cigre lv": pn.create_cigre_network_lv,
    "oberrhein load": pn.mv_oberrhein,
    "oberrhein generation": lambda: pn.mv_oberrhein(scenario="generation"),
    "open ring": pn.simple_mv_open_ring_net,
    "kerber landnetz 1": pn.create_kerber_landnetz_freileitung_1,
    "kerber landnetz kabel": pn.create_kerber_landnetz_kabel_1,
    "kerber dorfnetz": pn.create_kerber_dorfnetz,
    "kerber vorstadt": pn.create_kerber_vorstadtnetz_kabel_1,
    "synthetic lv": lambda: pn.create_synthetic_voltage_control_lv_network("rural_1"),
    "four loads": pn.simple_four_bus_system,
}


@pytest.mark.parametrize("name", NETS)
def test_equals_runpp(name: str, compare: Callable[[Any], Any]) -> None:
    solved = compare(NETS[name]())
    assert solved.grid.n_branches == solved.grid.n_nodes - len(solved.grid.source_node)


@pytest.mark.parametrize(
    "code", ["1-MV-rural--0-sw", pytest.param("1-LV-rural1--0-sw", marks=pytest.mark.slow)]
)
def test_simbench_equals_runpp(code: str, compare: Callable[[Any], Any]) -> None:
    simbench = pytest.importorskip("simbench", reason="the SimBench grids are an extra (381 MB)")
    compare(simbench.get_simbench_net(code))


def test_published_losses_of_the_33_bus_feeder(solve: Callable[..., Any]) -> None:
    """202.677 kW and 0.91309 p.u. at bus 18 (index 17): Baran & Wu's base case."""
    ds = solve(pn.case33bw()).labelled
    assert float(ds.loss_mw[0]) == pytest.approx(0.202677, abs=1e-6)
    assert float(ds.vm_pu.min()) == pytest.approx(0.91309, abs=1e-5)
    assert int(ds.vm_pu[0].idxmin("bus")) == 17
