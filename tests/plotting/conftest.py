"""Nets with participants, soft open points, storage and flexible loads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pytest
import xarray as xr

import pp_p2p as p2p


def equipped(net: Any) -> Any:
    """Give two participants a third of the loads each, and one soft open point between them."""
    loads = net.load.index.tolist()
    third = len(loads) // 3
    for name, rows in (("North", loads[:third]), ("", loads[-third:])):
        who = p2p.create_participant(net, int(net.load.bus[rows[0]]), name=name)
        p2p.assign(net, who, load=rows)
    ends = [int(net.load.bus[k]) for k in (loads[third], loads[-1])]
    p2p.create_sop(net, ends, sn_mva=1.0, loss_factor=0.02, p_mw=[0.2, -0.25], name="link")
    pp.create_storage(net, ends[0], p_mw=0.1, max_e_mwh=1.0, name="battery")
    p2p.assign(net, 0, storage=[0])
    p2p.create_flexible_load(net, loads[0], max_up_percent=20.0)
    return net


NETS: dict[str, Callable[[], Any]] = {
    "case33bw": pn.case33bw,
    "cigre_mv": lambda: pn.create_cigre_network_mv(with_der="pv_wind"),
    "oberrhein": pn.mv_oberrhein,
    "kerber": pn.create_kerber_landnetz_freileitung_1,
}
"""Artificial coordinates, schematic ones, a real place with routes, none at all."""


@pytest.fixture(params=NETS)
def net(request: pytest.FixtureRequest) -> Any:
    return equipped(NETS[request.param]())


@pytest.fixture
def all_nets() -> list[Any]:
    return [equipped(make()) for make in NETS.values()]


@pytest.fixture
def net33(case33: Any) -> Any:
    return equipped(case33)


@pytest.fixture
def year33(net33: Any) -> xr.Dataset:
    """Six steps of a day on two days, with the flows of a soft open point."""
    rng = np.random.default_rng(0)
    over, size = ("day", "hour"), (2, 6)
    p = rng.uniform(-0.5, 0.5, (1, *size))
    return xr.Dataset(
        {
            "vm_pu": ((*over, "bus"), rng.uniform(0.93, 1.0, (*size, 33))),
            "line_loading_percent": ((*over, "line"), rng.uniform(0, 80, (*size, 32))),
            "sop_p_mw": (("sop_terminal", *over), np.concatenate([p, -p])),
            "sop_q_mvar": (("sop_terminal", *over), np.zeros((2, *size))),
            "sop_loss_mw": (("sop_terminal", *over), np.full((2, *size), 0.004)),
            "storage_p_mw": (("storage", *over), np.full((1, *size), 0.05)),
        },
        coords={
            "day": [0, 1],
            "hour": np.arange(6) * 4.0,
            "bus": np.arange(33),
            "line": np.arange(32),
            "sop_terminal": [0, 1],
            "storage": [0],
        },
    )
