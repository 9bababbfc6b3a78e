"""Devices: whose they are, which profile they follow, what contradicts itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandapower as pp
import pytest
import xarray as xr

from pp_p2p.elements.attributes import set_storage
from pp_p2p.elements.create import (
    create_flexible_load,
    create_participant,
    create_sop,
)
from pp_p2p.elements.ownership import assign
from pp_p2p.errors import InvalidInput
from pp_p2p.network.grid import GridData
from pp_p2p.network.portfolio import Portfolio
from pp_p2p.network.timeline import Timeline

pytestmark = pytest.mark.filterwarnings("ignore::pp_p2p.errors.ConstantGeneration")


def _read(net: Any, profiles: xr.Dataset) -> Portfolio:
    grid, line = GridData.from_net(net), Timeline.from_profiles(profiles)
    return Portfolio.from_net(net, grid, profiles, line)


@pytest.fixture
def day() -> xr.Dataset:
    """Two hours; profiles of load 2 and 0, of sgen 0, in another order than the tables."""
    return xr.Dataset(
        {
            "load_p_mw": (("time", "load"), [[0.3, 0.1], [0.4, 0.2]]),
            "sgen_p_mw": (("time", "sgen"), [[0.7], [0.0]]),
        },
        coords={"time": [0.0, 1.0], "load": [2, 0], "sgen": [0]},
    )


@pytest.fixture
def owned(feeder: Any) -> Any:
    feeder.sn_mva = 2.0
    pp.create_sgen(feeder, 2, p_mw=0.5, q_mvar=0.1, scaling=2.0)
    pp.create_sgen(feeder, 3, p_mw=0.5)
    pp.create_storage(feeder, 3, p_mw=0.0, sn_mva=0.4, max_e_mwh=1.0)
    one = create_participant(feeder, name="one", bus=2)
    two = create_participant(feeder, name="two", bus=3)
    assign(feeder, one, load=[1], sgen=[0])
    assign(feeder, two, load=[2], storage=[0])
    return feeder


def test_profiles_replace_constants(owned: Any, day: xr.Dataset) -> None:
    owned.load["scaling"] = 0.5
    loads = _read(owned, day).loads
    mw = loads.p * 2.0
    np.testing.assert_allclose(mw[:, 0], [0.1, 0.2])  # a profile is not scaled again
    np.testing.assert_allclose(mw[:, 1], [0.5, 0.5])  # a constant is
    np.testing.assert_allclose(mw[:, 2], [0.3, 0.4])
    np.testing.assert_allclose(loads.q * 2.0, 0.1)


def test_generators(owned: Any, day: xr.Dataset) -> None:
    generators = _read(owned, day).generators
    np.testing.assert_allclose(generators.available * 2.0, [[0.7, 0.5], [0.0, 0.5]])
    np.testing.assert_allclose(generators.q[:, 0] * 2.0, 0.2)
    assert generators.curtailable.tolist() == [True, False]


@pytest.mark.parametrize(
    ("flag", "may"), [(True, True), (1.0, True), (False, False), (np.nan, False), (None, False)]
)
def test_controllable_generators_may_be_curtailed(
    owned: Any, day: xr.Dataset, flag: Any, may: bool
) -> None:
    owned.sgen["controllable"] = np.array([flag, flag], dtype=object)
    assert _read(owned, day).generators.curtailable.tolist() == [True, may]


def test_owners(owned: Any, day: xr.Dataset) -> None:
    portfolio = _read(owned, day)
    assert portfolio.loads.owner.tolist() == [-1, 0, 1, -1]
    assert portfolio.generators.owner.tolist() == [0, -1]
    assert portfolio.storages.owner.tolist() == [1]


def test_participant_out_of_service_leaves_its_devices_to_the_operator(
    owned: Any, day: xr.Dataset
) -> None:
    owned.participant.loc[0, "in_service"] = False
    portfolio = _read(owned, day)
    assert portfolio.loads.owner.tolist() == [-1, -1, 1, -1]
    assert portfolio.generators.curtailable.tolist() == [False, False]


@pytest.mark.parametrize(("name", "table"), [("load_p_mw", "load"), ("sgen_p_mw", "sgen")])
def test_profile_of_nothing(owned: Any, day: xr.Dataset, name: str, table: str) -> None:
    wrong = day.assign_coords({table: day[table] + 10})
    with pytest.raises(InvalidInput, match=f"profile of a {table} that does not exist") as error:
        _read(owned, wrong)
    assert error.value.findings[0].column == name


def test_profile_by_name_instead_of_index(owned: Any, day: xr.Dataset) -> None:
    with pytest.raises(InvalidInput, match="rows a, b is a profile of a load"):
        _read(owned, day.assign_coords(load=["a", "b"]))


def test_profile_twice(owned: Any, day: xr.Dataset) -> None:
    with pytest.raises(InvalidInput, match="row 2 holds a load more than once"):
        _read(owned, day.assign_coords(load=[2, 2]))


def test_negative_available_power(owned: Any, day: xr.Dataset) -> None:
    day["sgen_p_mw"][1, 0] = -0.1
    with pytest.raises(InvalidInput, match="negative available power"):
        _read(owned, day)


def test_negative_constant_of_a_curtailable_generator(owned: Any, day: xr.Dataset) -> None:
    owned.sgen["p_mw"] = -0.2
    _read(owned, day)  # sgen 0 has a profile, sgen 1 may not be curtailed
    with pytest.raises(InvalidInput, match=r"sgen.p_mw: row 0 is below 0"):
        _read(owned, day.drop_vars(["sgen_p_mw", "sgen"]))


def test_owned_device_on_a_dead_bus(owned: Any, day: xr.Dataset) -> None:
    owned.line.loc[2, "in_service"] = False
    with pytest.raises(InvalidInput) as error:
        _read(owned, day)
    assert {f.table: f.rows for f in error.value.findings} == {"load": (2,), "storage": (0,)}


def test_flexible_loads_follow_their_profile(owned: Any, day: xr.Dataset) -> None:
    create_flexible_load(owned, 2, max_up_percent=20.0, max_down_percent=10.0)
    create_flexible_load(owned, 1, max_up_percent=50.0, max_down_percent=50.0)
    create_flexible_load(owned, 3)
    owned.flexible_load.loc[2, "in_service"] = False
    flexible = _read(owned, day).flexible
    np.testing.assert_allclose(flexible.max_up[:, 0] * 2.0, [0.06, 0.08])
    np.testing.assert_allclose(flexible.max_down[:, 0] * 2.0, [0.03, 0.04])
    assert flexible.index.tolist() == [0, 1]
    assert flexible.owner.tolist() == [1, 0]


def test_flexible_load_that_feeds_in_has_nothing_to_shift(owned: Any, day: xr.Dataset) -> None:
    create_flexible_load(owned, 2, max_up_percent=20.0, max_down_percent=10.0)
    flexible = _read(owned, day.assign(load_p_mw=-day.load_p_mw)).flexible
    assert (flexible.max_up == 0).all()
    assert (flexible.max_down == 0).all()


def test_storage_ratings(owned: Any, day: xr.Dataset) -> None:
    """Power limits where given, else ``sn_mva``, else ``|p_mw|``; energy per unit of 2 MVA."""
    more = {"max_e_mwh": 2.0, "min_e_mwh": 0.2, "soc_percent": 50.0}
    pp.create_storage(owned, 1, p_mw=-0.3, **more)
    pp.create_storage(owned, 1, p_mw=0.0, max_p_mw=0.6, min_p_mw=-0.8, **more)
    set_storage(owned, [1], charge_efficiency_percent=90.0, discharge_efficiency_percent=80.0)
    storages = _read(owned, day).storages
    np.testing.assert_allclose(storages.p_charge * 2.0, [0.4, 0.3, 0.6])
    np.testing.assert_allclose(storages.p_discharge * 2.0, [0.4, 0.3, 0.8])
    np.testing.assert_allclose(storages.e_max * 2.0, [1.0, 2.0, 2.0])
    np.testing.assert_allclose(storages.e_min * 2.0, [0.0, 0.2, 0.2])
    np.testing.assert_allclose(storages.e_start * 2.0, [np.nan, 1.0, 1.0])
    np.testing.assert_allclose(storages.charge_efficiency, [0.95, 0.9, 0.95])
    np.testing.assert_allclose(storages.discharge_efficiency, [0.95, 0.8, 0.95])


@pytest.mark.parametrize(
    ("column", "value"),
    [("max_e_mwh", 0.1), ("soc_percent", 5.0), ("max_p_mw", -0.1), ("min_p_mw", 0.1)],
)
def test_storage_that_contradicts_itself(
    owned: Any, day: xr.Dataset, column: str, value: float
) -> None:
    limits = {"min_e_mwh": 0.2, "max_e_mwh": 1.0, column: value}
    row = pp.create_storage(owned, 1, p_mw=0.3, **limits)
    with pytest.raises(InvalidInput) as error:
        _read(owned, day)
    assert [(f.table, f.column, f.rows) for f in error.value.findings] == [
        ("storage", column, (row,))
    ]


def test_days_and_time_read_the_same(feeder: Any, make_days: Callable[..., xr.Dataset]) -> None:
    days = make_days(feeder, n=1, hours=6)
    stamps = days.isel(day=0).rename(hour="time").drop_vars(["day", "weight"])
    one, two = _read(feeder, days), _read(feeder, stamps)
    np.testing.assert_array_equal(one.loads.p, two.loads.p)


def test_terminals_that_no_grid_feeds(feeder: Any, day: xr.Dataset) -> None:
    """In silence they would drop out of the balance, and the device make energy from nothing."""
    island = [int(pp.create_bus(feeder, 10.0)) for _ in range(3)]
    create_sop(feeder, [4, island[0]], sn_mva=1.0)
    create_sop(feeder, island[1:], sn_mva=1.0)
    create_sop(feeder, [1, 2], sn_mva=1.0)
    with pytest.raises(InvalidInput) as error:
        _read(feeder, day[["load_p_mw"]])
    (finding,) = error.value.findings
    assert (finding.table, finding.column, finding.rows) == ("sop_terminal", "bus", (1, 2, 3))
    feeder.sop_terminal.loc[1, "in_service"] = False
    feeder.sop.loc[1, "in_service"] = False
    assert _read(feeder, day[["load_p_mw"]]).sops.index.tolist() == [0, 4, 5]


def test_crossed_limits_of_a_generator(feeder: Any, day: xr.Dataset) -> None:
    limits = {"min_p_mw": 0.5, "max_p_mw": 0.1, "min_q_mvar": 0.2, "max_q_mvar": -0.2}
    for controllable in (True, False):
        pp.create_sgen(feeder, 2, p_mw=0.1, controllable=controllable, **limits)
    pp.create_load(feeder, 2, p_mw=0.1)
    create_sop(feeder, [1, 2], sn_mva=1.0)
    with pytest.raises(InvalidInput) as error:
        _read(feeder, day[["load_p_mw"]])
    found = [(f.table, f.column, f.rows) for f in error.value.findings]
    assert found == [("sgen", "min_p_mw", (0,)), ("sgen", "min_q_mvar", (0,))]
