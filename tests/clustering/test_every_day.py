"""`every_day`: all days, in the layout of typical days."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from clustering import every_day, rebuild
from pp_p2p.errors import InvalidInput


def test_nothing_is_lost() -> None:
    stamps = np.arange("2024-02-27", "2024-03-02", dtype="datetime64[h]").astype("M8[ns]")
    values = np.random.default_rng(0).uniform(size=(len(stamps), 2))
    profiles = xr.Dataset(
        {"load_p_mw": (("time", "load"), values)}, coords={"time": stamps, "load": [3, 7]}
    )
    days = every_day(profiles)
    assert days["weight"].to_numpy().tolist() == [1.0] * 4  # 29 February among them
    assert days.sizes["hour"] == 24
    np.testing.assert_array_equal(rebuild(days)["load_p_mw"], values)
    with pytest.raises(InvalidInput):
        every_day(profiles.isel(time=slice(0, 30)))
