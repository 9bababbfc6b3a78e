"""Reliability-constrained expansion of a radial network on typical days, a MISOCP.

    min  sum_k (CRF_k c_k + om_k) x_k
         + sum_d N_d sum_t h [ b_t P_buy - s_t P_sell + sum_k om_k p_k + deg (c + d) ]
         + voll EENS                                                              (1)
    s.t. load flow of every typical hour                                          (2) pp_p2p.network
         0 <= p_k <= availability_t P_k x_k                                       (3)
         storage within P_k x_k, reserve E_k x_k <= e <= E_k x_k, cyclic each day (4)
         sum of external grids = P_buy - P_sell                                   (5)
         EENS(x) <= limit                                                         (6) reliability.py
         sum_k c_k x_k <= budget                                                  (7)
         x_k integer, 0 <= x_k <= max_units                                       (8)

[ADN-thesis] ch. 1, reconstructed. Storage, shiftable load and curtailable generation that exist
take part. The objective pays for losses, which keeps the cone relaxation of (2) exact while
energy has a positive price.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import pyomo.environ as pyo
import xarray as xr

from planning.candidates import Candidates
from planning.expansion_result import read_plan
from planning.reliability import Faults, energy_not_served
from pp_p2p.errors import Finding, NoSolution, raise_if_any
from pp_p2p.network.algebra import linear
from pp_p2p.network.block import Injection, network_block
from pp_p2p.network.branches import Array
from pp_p2p.network.devices import (
    add_devices,
    fixed_injection,
    generator_block,
    storage_block,
)
from pp_p2p.network.formulation import Formulation, get_formulation
from pp_p2p.network.grid import VM_CEILING_PU, VM_FLOOR_PU, GridData
from pp_p2p.network.limits import solve_or_explain
from pp_p2p.network.portfolio import Portfolio
from pp_p2p.network.timeline import Timeline, read_prices
from pp_p2p.operation.provenance import provenance
from pp_p2p.results import input_hash, label
from pp_p2p.solve.report import DEFAULT_CONFIG, SolverConfig
from pp_p2p.solve.run import run_solver

MONEY_SCALE: Final = 1e3
"""EUR per unit of the model's objective: keeps it near 1 for the solvers."""


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

    @classmethod
    def from_net(cls, net: Any, days: xr.Dataset, *, interest_rate: float, **limits: float) -> Self:
        """Read net, candidates and typical days."""
        grid = GridData.from_net(net)
        line = Timeline.from_profiles(days)
        candidates = Candidates.from_net(net, grid, days, line, interest_rate)
        portfolio = Portfolio.from_net(net, grid, days, line)
        buy, sell = read_prices(days, line)
        ties = candidates.line[candidates.technology == "line"]
        return cls(
            grid=grid,
            line=line,
            portfolio=portfolio,
            candidates=candidates,
            faults=Faults.from_net(net, grid, ties.tolist()),
            price_buy=buy,
            price_sell=sell,
            demand_mw=average_demand_mw(grid, portfolio, line),
            **limits,
        )

    def energy_not_served(self, units: Array) -> Array:
        """Return the energy not served per branch (MWh/a) with `units` built."""
        ties, reserves = self.candidates.ties(units), self.candidates.reserves(units)
        return energy_not_served(self.faults, self.demand_mw, ties, reserves)


def plan_network(
    net: Any,
    days: xr.Dataset,
    *,
    interest_rate_percent: float = 5.0,
    eens_limit_mwh_per_year: float = np.inf,
    value_of_lost_load_eur_per_mwh: float = 0.0,
    budget_eur: float = np.inf,
    formulation: str = "branch_flow",
    solver: SolverConfig = DEFAULT_CONFIG,
    seed: int = 0,
) -> xr.Dataset:
    """Choose what to build so that a year costs least and the limits hold.

    Parameters
    ----------
    net : pandapowerNet
        With rows in ``net.candidate``; is not changed. `pp_p2p.write_back` builds the plan in it.
    days : Dataset
        Typical days with weights (`clustering.typical_days`); one year's worth of days.
    interest_rate_percent : float
        Real interest rate of the annuities, %/a.
    eens_limit_mwh_per_year : float
        Upper limit of the expected energy not served, MWh/a.
    value_of_lost_load_eur_per_mwh : float
        Price of energy not served in the objective, EUR/MWh.
    budget_eur : float
        Upper limit of the sum of investments, EUR.
    formulation : str
        ``"branch_flow"`` or ``"lindistflow"``.
    solver : SolverConfig
    seed : int
        Stored with the result; the plan itself draws no random number.

    Returns
    -------
    Dataset
        ``units(candidate)``, costs per year by item for doing nothing and for the plan, operation
        of every typical hour, EENS, and the certificates in the attributes.

    Raises
    ------
    InvalidInput, UnsupportedFeature
        Before anything is built.
    NoSolution
        No plan meets the limits; the message says which cannot hold.
    """
    raise_if_any(_check_options(interest_rate_percent, budget_eur, value_of_lost_load_eur_per_mwh))
    data = ExpansionData.from_net(
        net,
        days,
        interest_rate=interest_rate_percent / 100.0,
        eens_limit_mwh_per_year=eens_limit_mwh_per_year,
        value_of_lost_load_eur_per_mwh=value_of_lost_load_eur_per_mwh,
        budget_eur=budget_eur,
    )
    _require_reachable(data)
    physics = get_formulation(formulation)
    model = build(data, physics)
    report = solve_or_explain(model, data.grid, data.line, solver, "no plan meets the limits")
    nothing = build(without_investment(data), physics)
    run_solver(nothing)
    options = {
        "interest_rate_percent": interest_rate_percent,
        "eens_limit_mwh_per_year": eens_limit_mwh_per_year,
        "value_of_lost_load_eur_per_mwh": value_of_lost_load_eur_per_mwh,
        "budget_eur": budget_eur,
        "formulation": formulation,
        "solver": dataclasses.asdict(solver),
    }
    result, proof = read_plan(data, physics, model=model, nothing=nothing, net=net)
    attrs = provenance(
        "plan_network",
        report,
        proof,
        formulation=physics,
        seed=seed,
        options=options,
        digest=input_hash(net, days, options),
    )
    attrs |= {
        "objective_eur_per_year": report.objective * MONEY_SCALE,
        "bound_eur_per_year": report.bound * MONEY_SCALE,
        "eens_computed": bool(data.faults.rate.any()),
    }
    return label(result, attrs)


def build(data: ExpansionData, formulation: Formulation) -> Any:
    """Return the Pyomo model of (1)-(8)."""
    m = pyo.ConcreteModel(name="plan_network")
    c, line, grid = data.candidates, data.line, data.grid
    m.CANDIDATE = pyo.RangeSet(0, len(c.index) - 1)
    m.units = pyo.Var(
        m.CANDIDATE, within=pyo.Integers, bounds=lambda _, k: (0, int(c.max_units[k]))
    )
    m.TIME = pyo.RangeSet(0, line.n_steps - 1)
    injection = fixed_injection(grid.n_nodes, line, data.portfolio.loads, data.portfolio.generators)
    _add_devices(m, data, injection, formulation)  # (3), (4)
    m.network = network_block(grid, formulation, injection)  # (2)
    m.injection = injection
    _add_exchange(m)  # (5)
    _add_reliability(m, data)  # (6)
    if np.isfinite(data.budget_eur):
        spent = linear(list(c.capex_eur / MONEY_SCALE), [m.units[k] for k in m.CANDIDATE])
        m.budget = pyo.Constraint(expr=spent <= data.budget_eur / MONEY_SCALE)  # (7)
    m.annual_cost = pyo.Objective(expr=_annual_cost(m, data))  # (1)
    return m


def without_investment(data: ExpansionData) -> ExpansionData:
    """Return the problem in which nothing is built and no limit holds: the reference."""
    grid = data.grid
    free = dataclasses.replace(
        grid,
        vm_min=np.full(grid.n_nodes, VM_FLOOR_PU),
        vm_max=np.full(grid.n_nodes, VM_CEILING_PU),
        tree=dataclasses.replace(grid.tree, i_max=np.full(grid.n_branches, np.inf)),
    )
    none = np.zeros_like(data.candidates.max_units)
    return dataclasses.replace(
        data,
        grid=free,
        candidates=dataclasses.replace(data.candidates, max_units=none),
        eens_limit_mwh_per_year=np.inf,
    )


def average_demand_mw(grid: GridData, portfolio: Portfolio, line: Timeline) -> Array:
    """Return the weighted average demand (node,), MW."""
    weight = line.step_weight / line.step_weight.sum()
    demand = np.zeros(grid.n_nodes)
    np.add.at(demand, portfolio.loads.node, weight @ portfolio.loads.p)
    return demand * grid.s_base_mva


def _add_devices(
    m: Any, data: ExpansionData, injection: Injection, formulation: Formulation
) -> None:
    p, c, line = data.portfolio, data.candidates, data.line
    add_devices(m, p, line, injection, formulation)
    new_storage = {k: m.units[int(of)] for k, of in enumerate(c.storage_of)}
    new_generator = {k: m.units[int(of)] for k, of in enumerate(c.generator_of)}
    m.new_storage = storage_block(c.storages, line, injection, new_storage)
    m.new_generator = generator_block(c.generators, line, injection, new_generator)


def _add_exchange(m: Any) -> None:
    sources = list(m.network.SOURCE)
    most = sum(m.network.p_source[k, 0].ub for k in sources)
    m.buy = pyo.Var(m.TIME, bounds=(0.0, most))
    m.sell = pyo.Var(m.TIME, bounds=(0.0, most))

    def exchange(model: Any, t: int) -> Any:
        flows = [model.network.p_source[k, t] for k in sources]
        return (
            linear([1.0] * len(flows) + [-1.0, 1.0], [*flows, model.buy[t], model.sell[t]]) == 0.0
        )

    m.exchange = pyo.Constraint(m.TIME, rule=exchange)


def _add_reliability(m: Any, data: ExpansionData) -> None:
    """Add what is served after faults on each branch, and EENS as an expression, MWh/a."""
    faults, c = data.faults, data.candidates
    waiting = faults.outage_h * (faults.below @ data.demand_mw)
    served_already = _served_by_existing(data)
    m.FAULT = pyo.RangeSet(0, len(waiting) - 1)
    m.served = pyo.Var(m.FAULT, bounds=lambda _, b: (0.0, float(waiting[b])))
    m.carried = pyo.Var(m.FAULT, bounds=lambda _, b: (0.0, float(waiting[b])))
    reach = {k: faults.reached_by(*e) for k, e in enumerate(c.ends) if e is not None}
    below = {int(k): faults.below[:, c.node[k]] for k in c.storage_of}

    def served_by_ties_and_reserves(_: Any, b: int) -> Any:
        near = [k for k in reach if reach[k][b]]
        coefs = [1.0, -1.0, *[-float(waiting[b])] * len(near)]
        variables = [m.served[b], m.carried[b], *(m.units[k] for k in near)]
        return linear(coefs, variables) <= float(served_already[b])

    def reserve(rating: Array) -> Any:
        def limit(_: Any, b: int) -> Any:
            own = [k for k in below if below[k][b]]
            coefs = [1.0, *(-float(rating[k]) for k in own)]
            return linear(coefs, [m.carried[b], *(m.units[k] for k in own)]) <= 0.0

        return limit

    m.served_by_ties_and_reserves = pyo.Constraint(m.FAULT, rule=served_by_ties_and_reserves)
    m.reserve_energy = pyo.Constraint(m.FAULT, rule=reserve(c.reserve_mwh))
    power = pyo.Constraint(
        m.FAULT,
        rule=lambda _, b: (
            linear(
                [1.0, *(-float(c.unit_p_mw[k] * faults.outage_h[b]) for k in below if below[k][b])],
                [m.carried[b], *(m.units[k] for k in below if below[k][b])],
            )
            <= 0.0
        ),
    )
    m.reserve_power = power
    switching = faults.switching_h * (faults.zone @ data.demand_mw)
    constant = float(faults.rate @ (switching + waiting))
    m.eens = pyo.Expression(
        expr=linear([-float(r) for r in faults.rate], [m.served[b] for b in m.FAULT], constant)
    )
    if np.isfinite(data.eens_limit_mwh_per_year):
        m.eens_limit = pyo.Constraint(expr=m.eens <= data.eens_limit_mwh_per_year)


def _served_by_existing(data: ExpansionData) -> Array:
    """Return the energy that existing ties serve per fault (branch,), MWh."""
    waiting = data.faults.outage_h * (data.faults.below @ data.demand_mw)
    tied = np.zeros(len(waiting), dtype=bool)
    for a, b in data.faults.ties:
        tied |= data.faults.reached_by(a, b)
    return np.where(tied, waiting, 0.0)


def _annual_cost(m: Any, data: ExpansionData) -> Any:
    """Return the annual cost (1) in units of `MONEY_SCALE`."""
    coefs: list[float] = []
    variables: list[Any] = []

    def charge(variable: Any, eur: float) -> None:
        coefs.append(float(eur) / MONEY_SCALE)
        variables.append(variable)

    c, p = data.candidates, data.portfolio
    mwh = data.line.step_weight * data.line.step_h * data.grid.s_base_mva
    for k in m.CANDIDATE:
        charge(m.units[k], c.annuity_eur_per_year[k] + c.fixed_om_eur_per_year[k])
    for t in m.TIME:
        charge(m.buy[t], mwh[t] * data.price_buy[t])
        charge(m.sell[t], -mwh[t] * data.price_sell[t])
        for k, of in enumerate(c.generator_of):
            charge(m.new_generator.p[k, t], mwh[t] * c.variable_om_eur_per_mwh[of])
        for block, storages in ((m.storage, p.storages), (m.new_storage, c.storages)):
            for k in block.STORAGE:
                wear = mwh[t] * storages.degradation_eur_per_mwh[k]
                charge(block.charge[k, t], wear)
                charge(block.discharge[k, t], wear)
        for k in m.flexible.FLEXIBLE:
            charge(m.flexible.up[k, t], mwh[t] * p.flexible.cost_eur_per_mwh[k])
    lost_load = data.value_of_lost_load_eur_per_mwh / MONEY_SCALE * m.eens
    return linear(coefs, variables) + lost_load


def least_investment_eur(data: ExpansionData) -> float:
    """Return the least investment that meets the EENS limit, EUR: reliability alone, no network."""
    m = pyo.ConcreteModel(name="least_investment")
    c = data.candidates
    m.CANDIDATE = pyo.RangeSet(0, len(c.index) - 1)
    m.units = pyo.Var(
        m.CANDIDATE, within=pyo.Integers, bounds=lambda _, k: (0, int(c.max_units[k]))
    )
    _add_reliability(m, data)
    spent = linear(list(c.capex_eur / MONEY_SCALE), [m.units[k] for k in m.CANDIDATE])
    m.investment = pyo.Objective(expr=spent)
    return run_solver(m).bound * MONEY_SCALE


def _require_reachable(data: ExpansionData) -> None:
    """Refuse an EENS limit that nothing, or nothing within the budget, reaches."""
    best = float(data.energy_not_served(data.candidates.max_units.astype(float)).sum())
    if best > data.eens_limit_mwh_per_year * (1 + 1e-9) + 1e-9:
        raise NoSolution(
            f"eens_limit_mwh_per_year = {data.eens_limit_mwh_per_year:g} cannot be reached: with "
            f"every candidate built it is {best:.4g} MWh/a; raise the limit or add candidates of "
            "technology 'line', or 'storage' with min_soc_percent"
        )
    if np.isfinite(data.eens_limit_mwh_per_year) and np.isfinite(data.budget_eur):
        least = least_investment_eur(data)
        if least > data.budget_eur * (1 + 1e-9):
            raise NoSolution(
                f"eens_limit_mwh_per_year = {data.eens_limit_mwh_per_year:g} needs an investment "
                f"of {least:.0f} EUR at least, but budget_eur = {data.budget_eur:g}; raise one of "
                "both"
            )


def _check_options(rate: float, budget: float, lost_load: float) -> list[Finding]:
    found = []
    for name, value, lowest in (
        ("interest_rate_percent", rate, 0.0),
        ("budget_eur", budget, 0.0),
        ("value_of_lost_load_eur_per_mwh", lost_load, 0.0),
    ):
        if not value >= lowest:
            rule = f"is {value}"
            found.append(Finding(table="plan_network", column=name, rule=rule, mend="use >= 0"))
    return found
