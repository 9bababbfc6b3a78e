"""Devices of a net as per-unit arrays over the steps of a timeline, with their owners.

A profile replaces the constant of its element's row (``p_mw * scaling``); an element without a
profile keeps the constant. What hangs on a bus that no external grid feeds does not take part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
import xarray as xr

from pp_p2p.elements.schema import NONE
from pp_p2p.elements.tables import extension, frame
from pp_p2p.errors import raise_if_any
from pp_p2p.names import PROFILE_DIMS
from pp_p2p.network.branches import Array
from pp_p2p.network.device_rules import (
    controllable,
    curtailable,
    device_findings,
    owners,
    reference_price_findings,
    warn_of_constant_generation,
)
from pp_p2p.network.grid import GridData
from pp_p2p.network.poly_cost import polynomial_costs
from pp_p2p.network.sop_data import SoftOpenPoints
from pp_p2p.network.timeline import Timeline


@dataclass(frozen=True, kw_only=True)
class Loads:
    """Loads: `index`, `node`, `owner` (load,); `p`, `q` (step, load), p.u., consumption."""

    index: Array
    node: Array
    owner: Array
    p: Array
    q: Array


@dataclass(frozen=True, kw_only=True)
class FlexibleLoads:
    """What loads may change: `load` is the position in `Loads`; limits (step, row), p.u.

    `benefit_eur_per_mwh` and `benefit_slope` (step, row) are the price at which a load draws its
    profile and how much the next p.u. is worth less, of those in `elastic` (row,).
    """

    index: Array
    load: Array
    node: Array
    owner: Array
    max_up: Array
    max_down: Array
    cost_eur_per_mwh: Array
    discomfort_eur_per_mw2h: Array
    max_curtail: Array
    curtail_cost_eur_per_mwh: Array
    elastic: Array
    level: Array
    benefit_eur_per_mwh: Array
    benefit_slope: Array

    @property
    def curtailable(self) -> Array:
        """Whether a load (row,) may forgo anything."""
        return np.asarray(self.max_curtail.any(axis=0))


@dataclass(frozen=True, kw_only=True)
class Generators:
    """Static generators: `available`, `q` (step, sgen), p.u.; output may be curtailed or not.

    `p_min` (sgen,) is the least output of a curtailable one. Reactive power is `q` where `q_min`
    equals `q_max` (sgen,), else free between them. Output p (MW) costs
    ``cost_eur_per_mwh p + cost_eur_per_mw2h p^2`` each hour (``net.poly_cost``).
    """

    index: Array
    node: Array
    owner: Array
    available: Array
    q: Array
    curtailable: Array
    p_min: Array
    q_min: Array
    q_max: Array
    cost_eur_per_mwh: Array
    cost_eur_per_mw2h: Array

    @property
    def reactive(self) -> Array:
        """Whether the reactive power (sgen,) is free."""
        free: Array = self.q_min < self.q_max
        return free


@dataclass(frozen=True, kw_only=True)
class Storages:
    """Storage units, p.u. and p.u. hours; `e_start` is NaN where the start is free.

    `sop` (storage,) is the row of ``net.sop`` on whose link a unit stands, `NONE` for the grid.
    """

    index: Array
    node: Array
    sop: Array
    owner: Array
    p_charge: Array
    p_discharge: Array
    e_min: Array
    e_max: Array
    e_start: Array
    charge_efficiency: Array
    discharge_efficiency: Array
    degradation_eur_per_mwh: Array


@dataclass(frozen=True, kw_only=True)
class Portfolio:
    """All devices of the energised part of a net."""

    loads: Loads
    flexible: FlexibleLoads
    generators: Generators
    storages: Storages
    sops: SoftOpenPoints

    @classmethod
    def from_net(cls, net: Any, grid: GridData, profiles: xr.Dataset, line: Timeline) -> Self:
        """Read the devices of `net`.

        Raises
        ------
        InvalidInput
            A profile of an element that is not in the net or is there twice, negative available
            power, limits of a storage unit that contradict each other, or a device that a
            participant owns on a bus that no external grid feeds.

        Warns
        -----
        ConstantGeneration
            Static generators without a profile, where there are several steps.
        """
        raise_if_any(device_findings(net, grid, profiles))
        warn_of_constant_generation(net, profiles, line)
        loads = _loads(net, grid, profiles, line)
        sops = SoftOpenPoints.from_net(net, grid)
        return cls(
            loads=loads,
            flexible=_flexible(net, loads, profiles, line),
            generators=_generators(net, grid, profiles, line),
            storages=_storages(net, grid, sops),
            sops=sops,
        )


def _live(net: Any, table: str, grid: GridData) -> tuple[pd.DataFrame, Array]:
    rows = net[table]
    node = grid.nodes_of(rows.bus.to_numpy())
    live = rows.in_service.to_numpy(bool) & (node >= 0)
    return rows[live], node[live]


def _profile(
    profiles: xr.Dataset, name: str, rows: pd.DataFrame, constant: Array, line: Timeline
) -> Array:
    """Return (step, row) values: the profile where there is one, else the constant."""
    values = np.tile(constant, (line.n_steps, 1))
    if name not in profiles:
        return values
    given = line.array(profiles, name)
    dim = PROFILE_DIMS[name][1]
    position = {int(label): k for k, label in enumerate(profiles[name][dim].to_numpy())}
    for k, label in enumerate(rows.index):
        if int(label) in position:
            values[:, k] = given[:, position[int(label)]]
    return values


def load_power(rows: pd.DataFrame, profiles: xr.Dataset, line: Timeline) -> tuple[Array, Array]:
    """Return active and reactive power (step, row) of `rows` of ``net.load``, MW and Mvar."""
    scaling = rows.scaling.to_numpy(float)
    p = _profile(profiles, "load_p_mw", rows, rows.p_mw.to_numpy(float) * scaling, line)
    q = _profile(profiles, "load_q_mvar", rows, rows.q_mvar.to_numpy(float) * scaling, line)
    return p, q


def _loads(net: Any, grid: GridData, profiles: xr.Dataset, line: Timeline) -> Loads:
    rows, node = _live(net, "load", grid)
    p, q = load_power(rows, profiles, line)
    return Loads(
        index=rows.index.to_numpy(np.int64),
        node=node,
        owner=owners(net, "load", rows),
        p=p / grid.s_base_mva,
        q=q / grid.s_base_mva,
    )


def _flexible(net: Any, loads: Loads, profiles: xr.Dataset, line: Timeline) -> FlexibleLoads:
    rows = frame(net, "flexible_load")
    rows = rows[rows.in_service.to_numpy(bool) & np.isin(rows.load.to_numpy(), loads.index)]
    position = {int(label): k for k, label in enumerate(loads.index)}
    at = np.array([position[int(label)] for label in rows.load], dtype=np.int64)
    level = np.maximum(loads.p[:, at], 0.0) if len(at) else np.zeros((line.n_steps, 0))
    start, end = (rows[f"window_{side}_h"].to_numpy(float) for side in ("start", "end"))
    hour = line.hour_of_day[:, None]
    over_midnight = (hour >= start) | (hour < end)
    window = np.where(start < end, (hour >= start) & (hour < end), over_midnight)
    elasticity = rows.price_elasticity.to_numpy(float)
    price = np.tile(rows.reference_price_eur_per_mwh.to_numpy(float), (line.n_steps, 1))
    price = np.where(np.isnan(price), _mean_price(profiles, line), price)
    elastic = elasticity < 0
    raise_if_any(reference_price_findings(rows[elastic & np.isnan(price).any(axis=0)]))
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(level * elastic > 0, price / (-elasticity * level), 0.0)
    return FlexibleLoads(
        index=rows.index.to_numpy(np.int64),
        load=at,
        node=loads.node[at],
        owner=loads.owner[at],
        max_up=level * window * rows.max_up_percent.to_numpy(float) / 100.0,
        max_down=level * window * rows.max_down_percent.to_numpy(float) / 100.0,
        cost_eur_per_mwh=rows.shift_cost_eur_per_mwh.to_numpy(float),
        discomfort_eur_per_mw2h=rows.shift_discomfort_eur_per_mw2h.to_numpy(float),
        max_curtail=level * rows.max_curtail_percent.to_numpy(float) / 100.0,
        curtail_cost_eur_per_mwh=rows.curtail_cost_eur_per_mwh.to_numpy(float),
        elastic=elastic,
        level=level,
        benefit_eur_per_mwh=np.where(elastic, price, 0.0),
        benefit_slope=slope,
    )


def _mean_price(profiles: xr.Dataset, line: Timeline) -> float | Array:
    """Return the mean purchase price of each day (step, 1), NaN without prices."""
    if "price_buy_eur_per_mwh" not in profiles:
        return np.nan
    price = line.array(profiles, "price_buy_eur_per_mwh").reshape(line.n_days, -1)
    return np.repeat(price.mean(axis=1), line.steps_per_day)[:, None]


def _generators(net: Any, grid: GridData, profiles: xr.Dataset, line: Timeline) -> Generators:
    rows, node = _live(net, "sgen", grid)
    scaling = rows.scaling.to_numpy(float)
    moves = controllable(rows)
    constant = np.where(moves, _limit(rows, "max_p_mw", rows.p_mw.to_numpy(float)), rows.p_mw)
    p = _profile(profiles, "sgen_p_mw", rows, constant.astype(float) * scaling, line)
    least, most = (_limit(rows, f"{end}_q_mvar", np.nan) for end in ("min", "max"))
    free = moves & np.isfinite(least) & np.isfinite(most)
    q = np.tile(rows.q_mvar.to_numpy(float) * scaling, (line.n_steps, 1))
    cost = polynomial_costs(net, "sgen", rows.index.to_numpy(np.int64))
    return Generators(
        index=rows.index.to_numpy(np.int64),
        node=node,
        owner=owners(net, "sgen", rows),
        available=p / grid.s_base_mva,
        q=q / grid.s_base_mva,
        curtailable=curtailable(net, rows),
        p_min=np.where(moves, np.maximum(_limit(rows, "min_p_mw", 0.0), 0.0), 0.0)
        / grid.s_base_mva,
        q_min=np.where(free, least, 0.0) / grid.s_base_mva,
        q_max=np.where(free, most, 0.0) / grid.s_base_mva,
        cost_eur_per_mwh=cost[:, 0],
        cost_eur_per_mw2h=cost[:, 1],
    )


def _limit(rows: pd.DataFrame, column: str, default: Any) -> Array:
    """Return a limit of pandapower's; `default` where the column or the entry is missing."""
    if column not in rows:
        return np.broadcast_to(np.asarray(default, float), len(rows))
    given = rows[column].astype(float).to_numpy(float)
    return np.where(np.isnan(given), default, given)


def _storages(net: Any, grid: GridData, sops: SoftOpenPoints) -> Storages:
    on_link: Array = extension(net, "storage", "sop").to_numpy(np.int64)
    node = grid.nodes_of(net.storage.bus.to_numpy())
    fed = np.where(on_link == NONE, node >= 0, np.isin(on_link, sops.device))
    live = net.storage.in_service.to_numpy(bool) & fed
    rows, node = net.storage[live], node[live]
    s_base = grid.s_base_mva

    def column(name: str, default: float) -> Array:
        if name not in rows:
            return np.full(len(rows), default)
        return np.asarray(rows[name].astype(float).fillna(default).to_numpy(float))

    def percent(name: str) -> Array:
        return np.asarray(extension(net, "storage", name)[live].to_numpy(float) / 100.0)

    rated = column("sn_mva", np.nan)
    rated = np.where(np.isnan(rated), np.abs(column("p_mw", 0.0)), rated)
    charge, discharge = column("max_p_mw", np.nan), -column("min_p_mw", np.nan)
    e_max = column("max_e_mwh", 0.0) / s_base
    return Storages(
        index=rows.index.to_numpy(np.int64),
        node=node,
        sop=on_link[live],
        owner=owners(net, "storage", rows),
        p_charge=np.where(np.isnan(charge), rated, charge) / s_base,
        p_discharge=np.where(np.isnan(discharge), rated, discharge) / s_base,
        e_min=column("min_e_mwh", 0.0) / s_base,
        e_max=e_max,
        e_start=column("soc_percent", np.nan) / 100.0 * e_max,
        charge_efficiency=percent("charge_efficiency_percent"),
        discharge_efficiency=percent("discharge_efficiency_percent"),
        degradation_eur_per_mwh=extension(net, "storage", "degradation_eur_per_mwh")
        .loc[rows.index]
        .to_numpy(float),
    )
