"""Storage and shiftable load in an optimum: energy balance, cyclic days, limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandapower as pp
import pyomo.environ as pyo
import pytest
import xarray as xr

from pp_p2p.elements.attributes import set_storage
from pp_p2p.elements.create import create_flexible_load
from pp_p2p.network.block import network_block
from pp_p2p.network.devices import (
    fixed_injection,
    flexible_load_block,
    generator_block,
    storage_block,
)
from pp_p2p.network.formulation import get_formulation
from pp_p2p.network.grid import GridData
from pp_p2p.network.portfolio import Portfolio
from pp_p2p.network.timeline import Timeline
from pp_p2p.solve.run import run_solver

pytestmark = pytest.mark.filterwarnings("ignore::pp_p2p.errors.ConstantGeneration")


@dataclass(frozen=True, kw_only=True)
class Day:
    """A dispatch of least purchase cost: model, timeline and data."""

    model: Any
    line: Timeline
    portfolio: Portfolio
    price: Any
    cost: float

    def power(self, variable: Any) -> Any:
        """Return a variable as (device, day, step)."""
        flat = np.array([member.value for member in variable.values()])
        return flat.reshape(-1, self.line.n_days, self.line.steps_per_day)


def _dispatch(net: Any, days: xr.Dataset, formulation: str = "lindistflow", **how: Any) -> Day:
    grid, line = GridData.from_net(net), Timeline.from_profiles(days)
    devices = Portfolio.from_net(net, grid, days, line)
    m = pyo.ConcreteModel()
    injection = fixed_injection(grid.n_nodes, line, devices.loads, devices.generators)
    units = {}
    if how:
        m.units = pyo.Var(bounds=(how["units"], how["units"]))
        units = {0: m.units}
    m.storage = storage_block(devices.storages, line, injection, units)
    m.generator = generator_block(devices.generators, line, injection)
    m.flexible = flexible_load_block(devices.flexible, line, injection)
    m.network = network_block(grid, get_formulation(formulation), injection)
    price = line.array(days, "price_buy_eur_per_mwh")
    scale = line.step_h * line.step_weight * grid.s_base_mva / 1e4
    bought = m.network.p_source
    m.cost = pyo.Objective(
        expr=sum(scale[t] * price[t] * bought[0, t] for t in range(line.n_steps))
    )
    report = run_solver(m)
    return Day(model=m, line=line, portfolio=devices, price=price, cost=report.objective)


@pytest.fixture
def stored(feeder: Any) -> Any:
    pp.create_storage(feeder, 2, p_mw=0.5, max_e_mwh=3.0, min_e_mwh=0.3)
    set_storage(feeder, [0], charge_efficiency_percent=90.0, discharge_efficiency_percent=80.0)
    return feeder


@pytest.mark.parametrize("formulation", ["lindistflow", "branch_flow"])
@pytest.mark.parametrize("soc", [np.nan, 40.0])
def test_storage_laws(
    stored: Any, make_days: Callable[..., xr.Dataset], formulation: str, soc: float
) -> None:
    stored.storage["soc_percent"] = soc
    day = _dispatch(stored, make_days(stored), formulation)
    block = day.model.storage
    charge, discharge, energy = (
        day.power(v) for v in (block.charge, block.discharge, block.energy)
    )
    assert charge.max() > 0.1  # it is worth while: 200 against 100 EUR/MWh
    np.testing.assert_allclose(charge.sum(2) * 0.9, discharge.sum(2) / 0.8, atol=1e-6)
    change = day.line.step_h * (0.9 * charge - discharge / 0.8)
    np.testing.assert_allclose(np.roll(energy, -1, axis=2) - energy, change, atol=1e-6)
    assert (np.minimum(charge, discharge) < 1e-5).all()
    assert charge.max() <= 0.5 + 1e-6
    assert discharge.max() <= 0.5 + 1e-6
    assert 0.3 - 1e-6 <= energy.min() <= energy.max() <= 3.0 + 1e-6
    if np.isfinite(soc):
        np.testing.assert_allclose(energy[:, :, 0], 1.2, atol=1e-6)


def test_storage_pays_what_a_hand_finds(stored: Any, make_days: Callable[..., xr.Dataset]) -> None:
    """Lossless net: 2.7 MWh leave the cells each day, at 200 EUR/MWh, bought for 100.

    Night has 12 h before 8 and after 20 (3 steps of 4 h: 2 h of charging limited by 0.5 MW are
    enough); day has 3 steps of 4 h. Discharge is limited by 2.7 MWh * 0.8 = 2.16 MWh.
    """
    days = make_days(stored)
    with_storage = _dispatch(stored, days).cost
    stored.storage["in_service"] = False
    without = _dispatch(stored, days).cost
    saving = 365 * (2.7 * 0.8 * 200.0 - 2.7 / 0.9 * 100.0) / 1e4
    assert without - with_storage == pytest.approx(saving, rel=1e-6)


def test_one_step_moves_no_energy(stored: Any, make_days: Callable[..., xr.Dataset]) -> None:
    day = _dispatch(stored, make_days(stored, n=2, hours=1))
    assert day.power(day.model.storage.discharge).max() < 1e-6


@pytest.mark.parametrize("n", [0, 1, 2])
def test_built_units_scale_what_a_unit_does(
    stored: Any, make_days: Callable[..., xr.Dataset], n: int
) -> None:
    days = make_days(stored)
    day = _dispatch(stored, days, units=n)
    stored.storage["in_service"] = False
    saving = _dispatch(stored, days).cost - day.cost
    assert saving == pytest.approx(n * 365 * (2.7 * 0.8 * 200 - 2.7 / 0.9 * 100) / 1e4, abs=1e-6)


def test_shifted_load_is_made_up_within_its_day(
    feeder: Any, make_days: Callable[..., xr.Dataset]
) -> None:
    create_flexible_load(feeder, 2, max_up_percent=20.0, max_down_percent=10.0)
    day = _dispatch(feeder, make_days(feeder))
    up, down = (day.power(v) for v in (day.model.flexible.up, day.model.flexible.down))
    np.testing.assert_allclose(up.sum(2), down.sum(2), atol=1e-7)
    assert down.sum() > 0.1
    limit = day.portfolio.flexible.max_up.T.reshape(up.shape)
    assert (up <= limit + 1e-7).all()
    assert (down <= limit / 2 + 1e-7).all()
    dear = day.price.reshape(1, 2, 6) > 150
    assert up[dear].max() < 1e-7
    assert down[~dear].max() < 1e-7


@pytest.mark.parametrize("controllable", [True, False])
def test_surplus_is_curtailed_only_where_it_may_be(
    feeder: Any, make_days: Callable[..., xr.Dataset], controllable: bool
) -> None:
    """A price below zero makes every curtailable generator stop."""
    pp.create_sgen(feeder, 3, p_mw=0.4, controllable=controllable)
    days = make_days(feeder)
    days["price_buy_eur_per_mwh"] = -days["price_buy_eur_per_mwh"]
    day = _dispatch(feeder, days)
    assert len(day.model.generator.p) == (12 if controllable else 0)
    if controllable:
        assert day.power(day.model.generator.p).max() < 1e-7
