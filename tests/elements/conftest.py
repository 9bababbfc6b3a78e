"""Nets with our tables."""

from __future__ import annotations

import copy

import pandapower as pp
import pandapower.networks as pn
import pytest

from pp_p2p.elements.attributes import set_customers, set_line_reliability, set_storage
from pp_p2p.elements.create import (
    create_candidate,
    create_flexible_load,
    create_participant,
    create_sop,
)
from pp_p2p.elements.ownership import assign


@pytest.fixture(scope="session")
def case33_base() -> pp.pandapowerNet:
    return pn.case33bw()


@pytest.fixture
def case33(case33_base: pp.pandapowerNet) -> pp.pandapowerNet:
    """The 33-bus net without any of our tables."""
    return copy.deepcopy(case33_base)


@pytest.fixture
def full(case33: pp.pandapowerNet) -> pp.pandapowerNet:
    """The 33-bus net with a row in each of our tables and a value in each of our columns."""
    net = case33
    pp.create_storage(net, 10, p_mw=0.0, max_e_mwh=1.0)
    pp.create_sgen(net, 20, p_mw=0.1)
    first = create_participant(net, name="DSA 1", bus=10)
    second = create_participant(net, 20, max_trade_mw=2.0, bargaining_power=0.5)
    assign(net, first, load=[8, 9], storage=0)
    assign(net, second, load=(19,), sgen=[0])
    create_flexible_load(net, 9, max_up_percent=20, max_down_percent=10)
    create_sop(net, [17, 32], sn_mva=1.0, loss_factor=0.02)
    create_sop(net, [11, 21, 24], sn_mva=[1.0, 0.5, 0.5], name="three")
    create_candidate(
        net, 10, technology="pv", unit_p_mw=0.1, capex_eur_per_unit=9e4, participant=first
    )
    create_candidate(
        net, 17, technology="storage", unit_p_mw=0.1, unit_e_mwh=0.2, capex_eur_per_unit=5e4
    )
    create_candidate(net, 17, technology="line", line=35, capex_eur_per_unit=2e5)
    set_line_reliability(net, failure_rate_per_km_year=0.1, repair_time_h=4.0, switching_time_h=0.5)
    set_customers(net, [0, 1], customers=[20, 30])
    set_storage(net, 0, charge_efficiency_percent=90.0, degradation_eur_per_mwh=2.0)
    return net
