"""One year of a network with candidates: operation on typical days and reliability.

    sum_d N_d sum_t h [ b_t P_buy - s_t P_sell + sum_k om_k p_k + deg (c + d) ]
    + sum_k om_k x_k + voll EENS                                                  (1)
    s.t. load flow of every typical hour                                          (2) pp_p2p.network
         0 <= p_k <= availability_t P_k x_k                                       (3)
         storage within P_k x_k, reserve E_k x_k <= e <= E_k x_k, cyclic each day (4)
         E_k x_k + E_j x_j where j adds energy to k;  x_j <= X_j x_k, k in whole units
         sum of external grids = P_buy - P_sell                                   (5)
         EENS(x) <= limit                                                         (6) reliability.py

x_k are the units installed in that year: whoever builds the model decides what they are, and what
they cost. A plan for one year (`planning.expansion`) is one such year; a horizon has one block for
each stage, with its own data.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import pyomo.environ as pyo
import xarray as xr

from planning.annual_limits import add_annual_limits
from planning.candidates import Candidates
from planning.fault_graph import Isolators
from planning.inverters import inverter_block
from planning.investment import MONEY_SCALE as MONEY_SCALE  # noqa: PLC0414 (others read it here)
from planning.investment import InvestmentLimits
from planning.islands import add_islands
from planning.reliability import Faults, energy_not_served
from planning.reliability_model import ReliabilityLimits, add_reliability, limit_reliability
from planning.replacement import add_replacements
from pp_p2p.elements.schema import NONE
from pp_p2p.elements.tables import extension
from pp_p2p.network.algebra import linear
from pp_p2p.network.block import Injection, network_block
from pp_p2p.network.branches import Array
from pp_p2p.network.device_costs import device_costs, storage_costs
from pp_p2p.network.devices import (
    AddedEnergy,
    add_devices,
    fixed_injection,
    generator_block,
    storage_block,
)
from pp_p2p.network.formulation import Formulation
from pp_p2p.network.grid import GridData
from pp_p2p.network.nodes import VM_CEILING_PU, VM_FLOOR_PU, SourceLimits
from pp_p2p.network.portfolio import Portfolio
from pp_p2p.network.power_base import power_base_mva
from pp_p2p.network.soft_open_point import sop_block
from pp_p2p.network.tightening import PLAIN, Tightening, added_losses
from pp_p2p.network.timeline import Timeline, read_prices

Islands = Literal["none", "reserve", "schedule"]

Installed = Mapping[int, Any]
"""Units installed of candidate k: a variable of the model, or any that has its value."""


@dataclass(frozen=True, kw_only=True)
class ExpansionData:
    """Everything the model may use, per unit where it is electrical."""

    grid: GridData
    line: Timeline
    portfolio: Portfolio
    candidates: Candidates
    faults: Faults
    price_buy: Array
    price_sell: Array
    demand_mw: Array
    eens_limit_mwh_per_year: float
    value_of_lost_load_eur_per_mwh: float
    budget_eur: float
    tightening: Tightening = PLAIN
    customers: Array
    section_demand_mw: Array
    grid_emission: Array
    saidi_limit_h_per_year: float = np.inf
    saifi_limit_per_year: float = np.inf
    asai_limit_percent: float = 0.0
    islands: Islands = "reserve"
    renewable_share_percent: float = 0.0
    emission_price_eur_per_t: float = 0.0
    emission_cap_t_per_year: float = np.inf
    max_sites: float = np.inf
    max_penetration_percent: float = np.inf

    @property
    def reliability_limits(self) -> ReliabilityLimits:
        """Limits of the indices."""
        return ReliabilityLimits.of(
            self.eens_limit_mwh_per_year,
            self.saidi_limit_h_per_year,
            self.saifi_limit_per_year,
            self.asai_limit_percent / 100.0,
        )

    @property
    def investment_limits(self) -> InvestmentLimits:
        """Limits of what is built."""
        return InvestmentLimits(
            budget_eur=self.budget_eur,
            max_sites=self.max_sites,
            max_penetration_percent=self.max_penetration_percent,
        )

    @property
    def peak_mw(self) -> float:
        """Highest demand of any step."""
        return float(self.portfolio.loads.p.sum(axis=1).max(initial=0.0) * self.grid.s_base_mva)

    @classmethod
    def from_net(
        cls,
        net: Any,
        days: xr.Dataset,
        *,
        interest_rate: float,
        isolators: Isolators = "every_branch",
        **limits: Any,
    ) -> Self:
        """Read net, candidates and typical days."""
        grid = GridData.from_net(net, power_base_mva(net, days))
        line = Timeline.from_profiles(days)
        candidates = Candidates.from_net(net, grid, days, line, interest_rate)
        portfolio = Portfolio.from_net(net, grid, days, line)
        buy, sell = read_prices(days, line)
        ties = candidates.line[candidates.technology == "line"]
        faults = Faults.from_net(
            net, ties.tolist(), candidate_switches=candidates.remote_h, isolators=isolators
        )
        load_bus = net.load.bus.loc[portfolio.loads.index].to_numpy()
        return cls(
            grid=grid,
            line=line,
            portfolio=portfolio,
            candidates=candidates,
            faults=faults,
            price_buy=buy,
            price_sell=sell,
            customers=faults.demand(
                load_bus, extension(net, "load", "customers").loc[portfolio.loads.index].to_numpy()
            ),
            section_demand_mw=np.stack(
                [faults.demand(load_bus, p) for p in portfolio.loads.p * grid.s_base_mva], axis=1
            ),
            grid_emission=line.array(days, "grid_emission_t_per_mwh")
            if "grid_emission_t_per_mwh" in days
            else np.zeros(line.n_steps),
            demand_mw=faults.demand(load_bus, average_demand_mw(grid, portfolio, line)),
            **limits,
        )

    def energy_not_served(self, units: Array) -> Array:
        """Return the energy not served by fault (MWh/a) with `units` built, without schedules."""
        ties = self.candidates.ties(units)
        reserves = self.candidates.reserves(units) if self.islands == "reserve" else []
        lines = self.candidates.built_lines(units)
        remote = self.candidates.remote(units)
        return energy_not_served(self.faults, self.demand_mw, ties, reserves, lines, remote)


def add_year(
    m: Any,
    data: ExpansionData,
    formulation: Formulation,
    units: Installed,
    sites: Installed | None = None,
) -> None:
    """Add (1)-(6) to `m`.

    Parameters
    ----------
    m : pyomo.ConcreteModel or pyomo.Block
    data : ExpansionData
        Of this year; its budget is the affair of whoever invests.
    formulation : Formulation
    units : mapping
        Candidate -> variable of the units installed in this year, with finite bounds.
    sites : mapping, optional
        Candidate -> variable that is 1 where something is installed; without it, the units. What
        forms the grid of an island in ``islands="schedule"``, of whole units or with sites.

    Adds to `m` the ``network``, its ``injection``, all devices, ``new_storage``, ``new_generator``,
    ``new_sop`` and ``inverter`` of the candidates, ``buy``, ``sell``, the expressions ``eens``
    (MWh/a), ``saidi`` (h/a), ``saifi`` (1/a), ``emission`` (t/a), ``renewable`` (MWh/a),
    ``yearly_cost`` (1) and ``added`` (of the tightening), both in units of `MONEY_SCALE`, and
    keeps `units` as ``installed``. ``linking`` names the variables that tie the days together.
    """
    line, grid = data.line, data.grid
    m.installed = dict(units)
    m.TIME = pyo.RangeSet(0, line.n_steps - 1)
    injection = fixed_injection(grid.n_nodes, line, data.portfolio.loads, data.portfolio.generators)
    _add_devices(m, data, injection, formulation)  # (3), (4)
    m.network = network_block(grid, formulation, injection, data.tightening)  # (2)
    add_replacements(m.network, grid, data.candidates.replacements, units)
    m.injection = injection
    _add_exchange(m)  # (5)
    add_interruptions(m, data, units, sites)  # (6)
    if data.islands == "schedule":
        add_islands(m, data, units, units if sites is None else sites)
    limit_reliability(m, data.reliability_limits)
    add_annual_limits(m, data)
    m.yearly_cost = pyo.Expression(expr=_yearly_cost(m, data))  # (1)
    per_pu = line.step_weight * line.step_h * grid.s_base_mva / MONEY_SCALE
    m.added = pyo.Expression(
        expr=added_losses(m, data.tightening, grid, data.portfolio.sops, per_pu)
    )


def add_interruptions(
    m: Any, data: ExpansionData, units: Installed, sites: Installed | None = None
) -> None:
    """Add what happens after faults, without schedules: `planning.reliability_model`."""
    add_reliability(
        m,
        data.faults,
        data.demand_mw,
        data.customers,
        data.candidates,
        units,
        sites=sites,
        reserves=data.islands == "reserve",
    )


def without_investment(data: ExpansionData) -> ExpansionData:
    """Return the problem in which nothing is built and no limit holds: the reference."""
    grid = data.grid
    free = dataclasses.replace(
        grid,
        vm_min=np.full(grid.n_nodes, VM_FLOOR_PU),
        vm_max=np.full(grid.n_nodes, VM_CEILING_PU),
        source_limits=SourceLimits.none(len(grid.source_node)),
        tree=dataclasses.replace(grid.tree, i_max=np.full(grid.n_branches, np.inf)),
    )
    none = np.zeros_like(data.candidates.max_units)
    return dataclasses.replace(
        data,
        grid=free,
        candidates=dataclasses.replace(data.candidates, max_units=none),
        eens_limit_mwh_per_year=np.inf,
        saidi_limit_h_per_year=np.inf,
        saifi_limit_per_year=np.inf,
        asai_limit_percent=0.0,
        renewable_share_percent=0.0,
        emission_cap_t_per_year=np.inf,
        tightening=dataclasses.replace(data.tightening, voltage=False),
    )


def average_demand_mw(grid: GridData, portfolio: Portfolio, line: Timeline) -> Array:
    """Return the weighted average demand of the loads of `portfolio` (load,), MW."""
    weight = line.step_weight / line.step_weight.sum()
    demand: Array = weight @ portfolio.loads.p * grid.s_base_mva
    return demand


def _add_devices(
    m: Any, data: ExpansionData, injection: Injection, formulation: Formulation
) -> None:
    p, c, line = data.portfolio, data.candidates, data.line
    add_devices(m, p, line, injection, formulation)
    new_storage = {k: m.installed[int(of)] for k, of in enumerate(c.storage_of)}
    new_generator = {k: m.installed[int(of)] for k, of in enumerate(c.generator_of)}
    m.new_storage = storage_block(c.storages, line, injection, new_storage, _energy(m, data))
    m.energy_of_storage = pyo.Constraint(
        [k for k, host in enumerate(c.energy_host) if not c.continuous[host]],
        rule=lambda b, k: _where_built(b, c, k) <= 0.0,
    )
    m.new_generator = generator_block(c.generators, line, injection, new_generator)
    devices = {int(c.sop[k]): m.installed[k] for k in np.flatnonzero(c.sop != NONE).tolist()}
    m.new_sop = sop_block(c.sops, injection, {}, law=formulation.capability, units=devices)

    def of_generator(g: int) -> Any:
        return lambda t: [(1.0, m.new_generator.p[g, t])]

    def of_storage(s: int) -> Any:
        return lambda t: [(1.0, m.new_storage.discharge[s, t]), (-1.0, m.new_storage.charge[s, t])]

    fed_in = {int(k): of_generator(g) for g, k in enumerate(c.generator_of)}
    fed_in |= {int(k): of_storage(s) for s, k in enumerate(c.storage_of)}
    rating = c.unit_sn_mva / data.grid.s_base_mva
    m.inverter = inverter_block(rating, c.node, fed_in, injection, m.installed, formulation)


def _energy(m: Any, data: ExpansionData) -> dict[int, list[AddedEnergy]]:
    """Return what adds energy to each of the new storage units."""
    c, position = data.candidates, {int(k): s for s, k in enumerate(data.candidates.storage_of)}
    added: dict[int, list[AddedEnergy]] = {}
    for k, host in zip(c.energy_of.tolist(), c.energy_host.tolist(), strict=True):
        s = position[host]
        most = float(c.unit_e_mwh[k]) / data.grid.s_base_mva
        least = most * float(c.rows["min_soc_percent"].iloc[host]) / 100.0
        added.setdefault(s, []).append(AddedEnergy(least, most, m.installed[k]))
    return added


def _where_built(m: Any, c: Candidates, k: int) -> Any:
    units, host = m.installed[int(c.energy_of[k])], m.installed[int(c.energy_host[k])]
    return linear([1.0, -float(units.ub)], [units, host])


def _add_exchange(m: Any) -> None:
    sources = list(m.network.SOURCE)
    most = m.network.most_supply
    m.buy = pyo.Var(m.TIME, bounds=(0.0, most))
    m.sell = pyo.Var(m.TIME, bounds=(0.0, most))

    def exchange(model: Any, t: int) -> Any:
        flows = [model.network.p_source[k, t] for k in sources]
        return (
            linear([1.0] * len(flows) + [-1.0, 1.0], [*flows, model.buy[t], model.sell[t]]) == 0.0
        )

    m.exchange = pyo.Constraint(m.TIME, rule=exchange)


def _yearly_cost(m: Any, data: ExpansionData) -> Any:
    """Return the cost (1) in units of `MONEY_SCALE`."""
    coefs: list[float] = []
    variables: list[Any] = []

    def charge(variable: Any, eur: float) -> None:
        coefs.append(float(eur) / MONEY_SCALE)
        variables.append(variable)

    c, p = data.candidates, data.portfolio
    mwh = data.line.step_weight * data.line.step_h * data.grid.s_base_mva
    for k, installed in m.installed.items():
        charge(installed, c.fixed_om_eur_per_year[k])
    for t in m.TIME:
        charge(m.buy[t], mwh[t] * data.price_buy[t])
        charge(m.sell[t], -mwh[t] * data.price_sell[t])
        for k, of in enumerate(c.generator_of):
            charge(m.new_generator.p[k, t], mwh[t] * c.variable_om_eur_per_mwh[of])
    hours, base = data.line.step_weight * data.line.step_h, data.grid.s_base_mva
    moved = [
        *device_costs(m, p, hours, base),
        *storage_costs(m.new_storage, c.storages, hours, base),
    ]
    for term in moved:
        charge(term.variable, term.linear)
    curved = sum(term.square / MONEY_SCALE * term.variable**2 for term in moved if term.square)
    lost_load = data.value_of_lost_load_eur_per_mwh / MONEY_SCALE * m.eens
    emitted = data.emission_price_eur_per_t / MONEY_SCALE * m.emission
    return linear(coefs, variables) + lost_load + emitted + curved
