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
from planning.fault_graph import Isolators
from planning.reliability import Faults, add_reliability, energy_not_served
from pp_p2p.errors import Finding, NoSolution, raise_if_any
from pp_p2p.network.algebra import linear
from pp_p2p.network.block import Injection, network_block
from pp_p2p.network.branches import Array
from pp_p2p.network.device_costs import device_costs, storage_costs
from pp_p2p.network.devices import add_devices, fixed_injection, generator_block, storage_block
from pp_p2p.network.formulation import Formulation, get_formulation
from pp_p2p.network.grid import VM_CEILING_PU, VM_FLOOR_PU, GridData
from pp_p2p.network.limits import solve_or_explain
from pp_p2p.network.portfolio import Portfolio
from pp_p2p.network.power_base import power_base_mva
from pp_p2p.network.tightening import PLAIN, Tightening, added_value, require_cone, weigh_losses
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
    tightening: Tightening = PLAIN

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
        faults = Faults.from_net(net, ties.tolist(), isolators=isolators)
        load_bus = net.load.bus.loc[portfolio.loads.index].to_numpy()
        return cls(
            grid=grid,
            line=line,
            portfolio=portfolio,
            candidates=candidates,
            faults=faults,
            price_buy=buy,
            price_sell=sell,
            demand_mw=faults.demand(load_bus, average_demand_mw(grid, portfolio, line)),
            **limits,
        )

    def energy_not_served(self, units: Array) -> Array:
        """Return the energy not served per branch (MWh/a) with `units` built."""
        ties, reserves = self.candidates.ties(units), self.candidates.reserves(units)
        lines = self.candidates.built_lines(units)
        return energy_not_served(self.faults, self.demand_mw, ties, reserves, lines)


def plan_network(
    net: Any,
    days: xr.Dataset,
    *,
    interest_rate_percent: float = 5.0,
    eens_limit_mwh_per_year: float = np.inf,
    value_of_lost_load_eur_per_mwh: float = 0.0,
    budget_eur: float = np.inf,
    isolators: Isolators = "every_branch",
    formulation: str = "branch_flow",
    tightening: Tightening = PLAIN,
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
    isolators : {"every_branch", "switches"}
        Whether every line and transformer can be isolated at both ends after a fault, or only
        switches of the net isolate (`reliability_indices`).
    formulation : str
        ``"branch_flow"`` or ``"lindistflow"``.
    tightening : Tightening
        Of the cone relaxation. ``objective_eur_per_year`` leaves its addition out,
        ``objective_added_eur_per_year`` holds it.
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
        isolators=isolators,
        eens_limit_mwh_per_year=eens_limit_mwh_per_year,
        value_of_lost_load_eur_per_mwh=value_of_lost_load_eur_per_mwh,
        budget_eur=budget_eur,
        tightening=tightening,
    )
    physics = get_formulation(formulation)
    require_cone(tightening, physics)
    _require_reachable(data)
    model = build(data, physics)
    report = solve_or_explain(model, data.grid, data.line, solver, "no plan meets the limits")
    nothing = build(without_investment(data), physics)
    run_solver(nothing)
    options = {
        "interest_rate_percent": interest_rate_percent,
        "eens_limit_mwh_per_year": eens_limit_mwh_per_year,
        "value_of_lost_load_eur_per_mwh": value_of_lost_load_eur_per_mwh,
        "budget_eur": budget_eur,
        "isolators": isolators,
        "formulation": formulation,
        "tightening": dataclasses.asdict(tightening),
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
        "objective_eur_per_year": (report.objective - added_value(model)) * MONEY_SCALE,
        "bound_eur_per_year": (report.bound - added_value(model)) * MONEY_SCALE,
        "objective_added_eur_per_year": added_value(model) * MONEY_SCALE,
        "tightening": options["tightening"],
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
    m.network = network_block(grid, formulation, injection, data.tightening)  # (2)
    m.injection = injection
    _add_exchange(m)  # (5)
    add_reliability(m, data.faults, data.demand_mw, c, data.eens_limit_mwh_per_year)  # (6)
    if np.isfinite(data.budget_eur):
        spent = linear(list(c.capex_eur / MONEY_SCALE), [m.units[k] for k in m.CANDIDATE])
        m.budget = pyo.Constraint(expr=spent <= data.budget_eur / MONEY_SCALE)  # (7)
    m.annual_cost = pyo.Objective(expr=_annual_cost(m, data))  # (1)
    per_pu = line.step_weight * line.step_h * grid.s_base_mva / MONEY_SCALE
    weigh_losses(m, data.tightening, grid, data.portfolio.sops, per_pu)
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
    hours, base = data.line.step_weight * data.line.step_h, data.grid.s_base_mva
    moved = [
        *device_costs(m, p, hours, base),
        *storage_costs(m.new_storage, c.storages, hours, base),
    ]
    for term in moved:
        charge(term.variable, term.linear)
    curved = sum(term.square / MONEY_SCALE * term.variable**2 for term in moved if term.square)
    lost_load = data.value_of_lost_load_eur_per_mwh / MONEY_SCALE * m.eens
    return linear(coefs, variables) + lost_load + curved


def least_investment_eur(data: ExpansionData) -> float:
    """Return the least investment that meets the EENS limit, EUR: reliability alone, no network."""
    m = pyo.ConcreteModel(name="least_investment")
    c = data.candidates
    m.CANDIDATE = pyo.RangeSet(0, len(c.index) - 1)
    m.units = pyo.Var(
        m.CANDIDATE, within=pyo.Integers, bounds=lambda _, k: (0, int(c.max_units[k]))
    )
    add_reliability(m, data.faults, data.demand_mw, c, data.eens_limit_mwh_per_year)
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
