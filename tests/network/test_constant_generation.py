"""A generator without a profile is told of where there is a time for it to matter."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pytest
import xarray as xr

import pp_p2p as p2p


@pytest.fixture
def net() -> Any:
    """Six generators: one has a profile below, one costs, one is idle, one is 0 MW."""
    net = pn.create_cigre_network_mv()
    for p_mw in (0.1, 0.2, 0.3, 0.0, 0.1):
        pp.create_sgen(net, 5, p_mw=p_mw)
    idle = pp.create_sgen(net, 5, p_mw=0.1, in_service=False)
    assert idle == 5
    pp.create_poly_cost(net, 4, "sgen", cp1_eur_per_mw=50.0)
    return net


def day(steps: int) -> xr.Dataset:
    return xr.Dataset(
        {"sgen_p_mw": (("time", "sgen"), np.full((steps, 1), 0.05))},
        coords={"time": np.arange(float(steps)), "sgen": [1]},
    )


def told(net: Any, profiles: xr.Dataset, run: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(net, profiles)
    return [str(one.message) for one in caught if one.category is p2p.ConstantGeneration]


@pytest.mark.parametrize("run", [p2p.run_year, p2p.dispatch], ids=["run_year", "dispatch"])
def test_rows_without_a_profile_are_named_once_with_the_mend(net: Any, run: Any) -> None:
    (said,) = told(net, day(2), run)
    assert said.startswith("net.sgen 0, 2 without a profile: p_mw in all 2 steps")
    assert "profiles['sgen_p_mw']" in said


def test_one_step_and_profiles_of_all_need_no_word(net: Any) -> None:
    assert not told(net, day(1), p2p.run_year)
    whole = day(2).reindex(sgen=[0, 1, 2], fill_value=0.1)
    assert not told(net, whole, p2p.run_year)
    assert len(told(net, day(2).drop_dims("sgen"), p2p.run_year)) == 1
