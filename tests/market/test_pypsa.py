"""Side by side with PyPSA: without losses and limits of the network, the same problem."""

from __future__ import annotations

from typing import Any

import pytest

import pp_p2p as p2p

pytest.importorskip("pypsa", reason="PyPSA, the peer of this test, is not installed (extra 'test')")
pytestmark = pytest.mark.filterwarnings("ignore")  # PyPSA's and its parts' own


def test_social_cost_is_the_optimum_of_pypsa(benchmarks: Any) -> None:
    """PV, storage, moved and curtailed load, dispatchable units, two prices."""
    make, peer = benchmarks("trading_market").trading_market, benchmarks("pypsa_peer")
    mechanism = p2p.NashBargaining(network_fee_eur_per_mwh=0.0)
    for participants, hours in ((3, 4), (30, 24)):
        net, day = make(participants, hours, seed=1, units=True)
        net.bus["min_vm_pu"], net.bus["max_vm_pu"] = 0.1, 3.0
        ds = p2p.trade_day(net, day, mechanism=mechanism, formulation="lindistflow")
        social = float(ds["cost_eur"].sum()) + float(ds["operator_cost_eur"])
        assert social == pytest.approx(peer.solved_cost(peer.pypsa_day(net, day)), rel=1e-6)
    assert float(abs(ds["loss_mw"]).max()) == 0.0
    assert float(ds["sgen_available_mw"].sum() - ds["sgen_p_mw"].sum()) > 0.0
    for moved in ("storage_p_mw", "load_shift_mw", "load_curtailed_mw"):
        assert float(abs(ds[moved]).max()) > 1e-6
    assert ds.attrs["gain_eur"] > 0.0
