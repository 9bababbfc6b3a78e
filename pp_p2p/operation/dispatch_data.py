"""What a dispatch is made of: grid, steps, devices, costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

import numpy as np
import xarray as xr

from pp_p2p.errors import Finding, UnsupportedFeature, raise_if_any
from pp_p2p.network.branches import Array
from pp_p2p.network.grid import GridData
from pp_p2p.network.poly_cost import poly_cost_findings, polynomial_costs
from pp_p2p.network.portfolio import Portfolio
from pp_p2p.network.power_base import power_base_mva
from pp_p2p.network.tightening import PLAIN, Tightening
from pp_p2p.network.timeline import Timeline, read_prices

Objective = Literal["loss", "cost", "voltage"]
OBJECTIVES: Final[tuple[Objective, ...]] = ("loss", "cost", "voltage")

BASE_RANGE: Final = 8.0
"""A power base is kept for loads that ask for one up to this many times larger or smaller."""


@dataclass(frozen=True, kw_only=True)
class DispatchData:
    """Everything the model may use; costs are EUR per p.u. hour and per squared p.u. hour."""

    grid: GridData
    line: Timeline
    portfolio: Portfolio
    objective: Objective
    source_cost: Array
    storage_cost: Array
    price_buy: Array
    price_sell: Array
    vm_ref_pu: float
    tightening: Tightening = PLAIN

    @classmethod
    def from_net(
        cls,
        net: Any,
        profiles: xr.Dataset | None,
        objective: Objective,
        vm_ref_pu: float,
        *,
        tightening: Tightening = PLAIN,
        grid: GridData | None = None,
        last: tuple[GridData, bool] | None = None,
    ) -> Self:
        """Read net and profiles; without profiles, the one hour that the net's tables describe.

        `grid` stands for the net where its branches may open and close. `last` is a grid read
        before, whose power base is kept while it fits, and whether the net is still the one it
        was read from.
        """
        profiles = xr.Dataset(coords={"time": [0.0]}) if profiles is None else profiles
        line = Timeline.from_profiles(profiles)
        if grid is None:
            grid = _grid(net, power_base_mva(net, profiles), last)
        portfolio = Portfolio.from_net(net, grid, profiles, line)
        priced = "price_buy_eur_per_mwh" in profiles
        none = np.zeros(line.n_steps)
        buy, sell = read_prices(profiles, line) if priced else (none, none)
        raise_if_any(_cost_findings(net, objective, priced=priced))
        return cls(
            grid=grid,
            line=line,
            portfolio=portfolio,
            objective=objective,
            source_cost=_polynomial(net, grid, "ext_grid", grid.source_ext_grid),
            storage_cost=_polynomial(net, grid, "storage", portfolio.storages.index),
            price_buy=buy,
            price_sell=sell,
            vm_ref_pu=vm_ref_pu,
            tightening=tightening,
        )

    def structure(self) -> dict[str, object]:
        """Return all that enters the matrix of a model, by name: the rest is in its vectors."""
        found = dict(_leaves("", self))
        found["portfolio.flexible.curtailable"] = _plain(self.portfolio.flexible.curtailable)
        found["portfolio.generators.reactive"] = _plain(self.portfolio.generators.reactive)
        return {name: found[name] for name in found if not name.startswith(_IN_VECTORS)}


_IN_VECTORS: Final = (
    "line.coords",
    "price_buy",
    "price_sell",
    "portfolio.loads.",
    "portfolio.flexible.load",
    "portfolio.flexible.level",
    "portfolio.flexible.max_",
    "portfolio.generators.available",
    "portfolio.generators.p_min",
    "portfolio.generators.q",
    "portfolio.storages.p_",
    "portfolio.storages.e_",
)


def _leaves(path: str, value: Any) -> Iterator[tuple[str, object]]:
    """Yield name and value of everything in nested dataclasses."""
    for field in dataclasses.fields(value):
        name, inner = f"{path}{field.name}", getattr(value, field.name)
        if dataclasses.is_dataclass(inner):
            yield from _leaves(f"{name}.", inner)
        else:
            yield name, _plain(inner)


def _plain(value: Any) -> object:
    """Return a value that ``==`` compares as a whole."""
    if not isinstance(value, np.ndarray):
        return value
    content = value.tolist() if value.dtype == object else value.tobytes()
    return value.dtype.str, value.shape, content


def _grid(net: Any, base_mva: float, last: tuple[GridData, bool] | None) -> GridData:
    if last is None:
        return GridData.from_net(net, base_mva)
    grid, unchanged = last
    fits = 1 / BASE_RANGE <= grid.s_base_mva / base_mva <= BASE_RANGE
    if unchanged and fits:
        return grid
    return GridData.from_net(net, grid.s_base_mva if fits else base_mva)


def _polynomial(net: Any, grid: GridData, element: str, index: Array) -> Array:
    """Return the linear and quadratic cost (row, 2) of `index`, per p.u. and squared p.u."""
    per_pu = np.array([grid.s_base_mva, grid.s_base_mva**2])
    return np.asarray(polynomial_costs(net, element, index) * per_pu)


def _cost_findings(net: Any, objective: Objective, *, priced: bool) -> Iterator[Finding]:
    if objective != "cost":
        return
    costs = net.poly_cost
    if costs.empty and not priced:
        yield Finding(
            table="poly_cost",
            rule="holds no cost and the profiles hold no price",
            mend="add price_buy_eur_per_mwh and price_sell_eur_per_mwh, or pandapower costs",
        )
    wrong = list(poly_cost_findings(net))
    if wrong:
        raise UnsupportedFeature("dispatch", wrong)
