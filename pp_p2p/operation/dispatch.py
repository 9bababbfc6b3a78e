"""Optimal dispatch: set points of everything that may move, for one hour or for typical days.

    min  one of
         sum_t N_t h [ sum_k r_k l_k + g v + sum_i L_i ]                      (loss)    (1)
         sum_t N_t h [ sum c1 p + c2 p^2 + b P_buy - s P_sell ]               (cost)    (2)
         sum_t N_t h [ sum_j |v_j - V_ref^2| / 2 + 1e-2 losses ]              (voltage) (3)
    s.t. load flow and limits                                                 pp_p2p.network
         set points of generators, storage, flexible loads, soft open points  their blocks

What may move follows pandapower's own columns: ``controllable``, ``min_/max_p_mw``,
``min_/max_q_mvar``; costs are ``net.poly_cost`` and the prices of the profiles. In the lossless
linear formulation (1) takes ``r (P^2 + Q^2)``, the losses at nominal voltage.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

import numpy as np
import pyomo.environ as pyo
import xarray as xr

from pp_p2p.errors import (
    Finding,
    InvalidInput,
    UnsupportedFeature,
    raise_if_any,
)
from pp_p2p.network.block import network_block
from pp_p2p.network.branches import Array
from pp_p2p.network.devices import add_devices, fixed_injection
from pp_p2p.network.formulation import Formulation, get_formulation
from pp_p2p.network.grid import GridData
from pp_p2p.network.limits import solve_or_explain
from pp_p2p.network.portfolio import Portfolio
from pp_p2p.network.solution import converter_slack, label_devices, label_flows, read_flows
from pp_p2p.network.timeline import Timeline, read_prices
from pp_p2p.operation.powerflow import certify
from pp_p2p.operation.provenance import provenance
from pp_p2p.results import input_hash, label
from pp_p2p.solve.report import DEFAULT_CONFIG, SolverConfig, SolveReport
from pp_p2p.solve.run import start_from

Objective = Literal["loss", "cost", "voltage"]
OBJECTIVES: Final[tuple[Objective, ...]] = ("loss", "cost", "voltage")

LOSS_WEIGHT: Final = 1e-2
"""Weight of losses (p.u.) in the voltage objective: without it nothing makes the cone tight."""

SCALE: Final[dict[str, float]] = {"loss": 1.0, "cost": 1e2, "voltage": 1.0}
"""Units of the objective per unit of the model's: keeps the model near 1 for the solvers."""


@dataclass(frozen=True, kw_only=True)
class DispatchData:
    """Everything the model may use; costs are EUR per p.u. hour and per squared p.u. hour."""

    grid: GridData
    line: Timeline
    portfolio: Portfolio
    objective: Objective
    source_cost: Array
    generator_cost: Array
    storage_cost: Array
    price_buy: Array
    price_sell: Array
    vm_ref_pu: float

    @classmethod
    def from_net(
        cls, net: Any, profiles: xr.Dataset | None, objective: Objective, vm_ref_pu: float
    ) -> Self:
        """Read net and profiles; without profiles, the one hour that the net's tables describe."""
        grid = GridData.from_net(net)
        profiles = xr.Dataset(coords={"time": [0.0]}) if profiles is None else profiles
        line = Timeline.from_profiles(profiles)
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
            generator_cost=_polynomial(net, grid, "sgen", portfolio.generators.index),
            storage_cost=_polynomial(net, grid, "storage", portfolio.storages.index),
            price_buy=buy,
            price_sell=sell,
            vm_ref_pu=vm_ref_pu,
        )


def dispatch(
    net: Any,
    profiles: xr.Dataset | None = None,
    *,
    objective: Objective = "loss",
    formulation: str = "branch_flow",
    repair: Literal["", "ac"] = "",
    vm_ref_pu: float = 1.0,
    solver: SolverConfig = DEFAULT_CONFIG,
    seed: int = 0,
) -> xr.Dataset:
    """Choose the set points of everything that may move.

    Parameters
    ----------
    net : pandapowerNet
        Is not changed.
    profiles : Dataset, optional
        Dim ``time``, or ``day`` and ``hour``; without it, one hour of the net's own values.
    objective : {"loss", "cost", "voltage"}
        Least losses of lines, transformers and converters; least cost by ``net.poly_cost`` and the
        profiles' prices; least deviation of voltages from `vm_ref_pu`.
    formulation : {"branch_flow", "lindistflow", "ac"}
        ``"ac"`` is the exact nonlinear programme, started from the cone's solution.
    repair : {"", "ac"}
        ``"ac"`` solves again exactly where the cone relaxation turns out inexact; the result's
        attribute ``repaired`` says so.
    vm_ref_pu : float
        Voltage that ``objective="voltage"`` aims at.
    solver : SolverConfig
    seed : int
        Stored with the result; no random number is drawn.

    Returns
    -------
    Dataset
        Voltages, loadings, losses, set points by element, certificates in the attributes.

    Raises
    ------
    InvalidInput, UnsupportedFeature
        Before anything is solved.
    NoSolution
        The limits cannot hold; they are named.
    """
    _check_options(objective, repair)
    data = DispatchData.from_net(net, profiles, objective, vm_ref_pu)
    options = {
        "objective": objective,
        "formulation": formulation,
        "repair": repair,
        "vm_ref_pu": vm_ref_pu,
        "solver": dataclasses.asdict(solver),
    }
    physics = get_formulation(formulation)
    model, report = _solve(data, physics, solver)
    ds, proof = _read(net, data, physics, model)
    repaired = repair == "ac" and physics.name == "branch_flow" and not proof.exact
    if repaired:
        physics = get_formulation("ac")
        model, report = _solve(data, physics, solver, start=model)
        ds, proof = _read(net, data, physics, model)
    digest_of = xr.Dataset() if profiles is None else profiles
    attrs = provenance(
        "dispatch",
        report,
        proof,
        formulation=physics,
        seed=seed,
        options=options,
        digest=input_hash(net, digest_of, options),
    )
    attrs |= {
        "objective": report.objective * SCALE[objective],
        "bound": report.bound * SCALE[objective],
        "objective_of": objective,
        "repaired": repaired,
    }
    return label(ds, attrs)


def build(data: DispatchData, formulation: Formulation) -> Any:
    """Return the Pyomo model."""
    m = pyo.ConcreteModel(name="dispatch")
    p, line = data.portfolio, data.line
    m.TIME = pyo.RangeSet(0, line.n_steps - 1)
    m.injection = fixed_injection(data.grid.n_nodes, line, p.loads, p.generators)
    add_devices(m, p, line, m.injection, formulation)
    m.network = network_block(data.grid, formulation, m.injection)
    m.objective = pyo.Objective(expr=_TERMS[data.objective](m, data, formulation))
    return m


def _solve(
    data: DispatchData, physics: Formulation, solver: SolverConfig, start: Any = None
) -> tuple[Any, SolveReport]:
    model = build(data, physics)
    if physics.name == "ac":
        relaxed = start or _solve(data, get_formulation("branch_flow"), solver)[0]
        start_from(model, relaxed)
    return model, solve_or_explain(model, data.grid, data.line, solver, "dispatch")


def _read(net: Any, data: DispatchData, physics: Formulation, m: Any) -> tuple[xr.Dataset, Any]:
    flows = read_flows(m.network, m.injection, has_losses=physics.has_losses)
    ds = label_flows(data.grid, flows, data.line)
    ds = ds.merge(label_devices(m, data.portfolio, data.grid, data.line))
    return ds, certify(
        net,
        data.grid,
        flows,
        has_losses=physics.has_losses,
        converter_slack=converter_slack(m, data.portfolio) if physics.has_losses else 0.0,
    )


def _weights(data: DispatchData) -> Array:
    return data.line.step_weight * data.line.step_h


def _losses(m: Any, data: DispatchData, formulation: Formulation) -> Any:
    """Return the losses (1), MWh: branches, shunts, converters."""
    tree, grid, n = data.grid.tree, data.grid, m.network
    shunt = np.flatnonzero(grid.y_shunt.real).tolist()
    conductance, sop = grid.y_shunt.real.tolist(), data.portfolio.sops
    total = 0.0
    for t, weight in enumerate(_weights(data)):
        series = sum(
            float(tree.r[k])
            * (n.l[k, t] if formulation.has_losses else n.p[k, t] ** 2 + n.q[k, t] ** 2)
            for k in n.BRANCH
        )
        standing = sum(conductance[j] * n.v[j, t] for j in shunt)
        converters = sum(float(sop.loss_factor[i]) * m.sop.k[i, t] for i in m.sop.TERMINAL)
        total += float(weight) * (series + standing + converters)
    return total * (grid.s_base_mva / SCALE["loss"])


def _costs(m: Any, data: DispatchData, _: Formulation) -> Any:
    """Return the cost (2), in units of ``SCALE["cost"]``."""
    base, n = data.grid.s_base_mva, m.network
    most = sum(max(map(abs, n.p_source[k, 0].bounds)) for k in n.SOURCE)
    m.buy = pyo.Var(m.TIME, bounds=(0.0, most))
    m.sell = pyo.Var(m.TIME, bounds=(0.0, most))
    m.exchange = pyo.Constraint(
        m.TIME, rule=lambda m, t: sum(n.p_source[k, t] for k in n.SOURCE) == m.buy[t] - m.sell[t]
    )
    wear = data.portfolio.storages.degradation_eur_per_mwh
    shift = data.portfolio.flexible.cost_eur_per_mwh
    total = 0.0
    for t, weight in enumerate(_weights(data)):
        hour = base * (float(data.price_buy[t]) * m.buy[t] - float(data.price_sell[t]) * m.sell[t])
        hour += sum(_of(data.source_cost[k], n.p_source[k, t]) for k in n.SOURCE)
        hour += sum(_of(data.generator_cost[k], m.generator.p[k, t]) for k in m.generator.GENERATOR)
        for k in m.storage.STORAGE:
            charge, discharge = m.storage.charge[k, t], m.storage.discharge[k, t]
            hour += float(wear[k]) * base * (charge + discharge)
            hour += float(data.storage_cost[k, 0]) * (charge - discharge)
        hour += sum(float(shift[k]) * base * m.flexible.up[k, t] for k in m.flexible.FLEXIBLE)
        total += float(weight) * hour
    return total / SCALE["cost"]


def _of(cost: Array, power: Any) -> Any:
    linear, square = (float(c) for c in cost)
    return linear * power + (square * power**2 if square else 0.0)


def _voltage(m: Any, data: DispatchData, formulation: Formulation) -> Any:
    """Return the deviation (3), p.u. hours, with its share of losses."""
    n, reference = m.network, data.vm_ref_pu**2
    reach = max(abs(v.ub - reference) + abs(v.lb - reference) for v in n.v.values())
    m.above = pyo.Var(n.BUS, m.TIME, bounds=(0.0, reach))
    m.below = pyo.Var(n.BUS, m.TIME, bounds=(0.0, reach))
    m.deviation = pyo.Constraint(
        n.BUS,
        m.TIME,
        rule=lambda m, j, t: n.v[j, t] - m.above[j, t] + m.below[j, t] == reference,
    )
    deviation = sum(
        float(weight) * (m.above[j, t] + m.below[j, t]) / 2
        for t, weight in enumerate(_weights(data))
        for j in n.BUS
    )
    return deviation + LOSS_WEIGHT / data.grid.s_base_mva * _losses(m, data, formulation)


_TERMS: Final = {"loss": _losses, "cost": _costs, "voltage": _voltage}


def _polynomial(net: Any, grid: GridData, element: str, index: Array) -> Array:
    """Return the linear and quadratic cost (row, 2) of `index`, per p.u. and squared p.u."""
    cost = np.zeros((len(index), 2))
    rows = net.poly_cost[net.poly_cost.et == element]
    for row in rows.itertuples():
        at = np.flatnonzero(index == row.element)
        cost[at] = (row.cp1_eur_per_mw, row.cp2_eur_per_mw2)
    return np.asarray(cost * np.array([grid.s_base_mva, grid.s_base_mva**2]))


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
    reactive = (costs[["cq1_eur_per_mvar", "cq2_eur_per_mvar2"]].fillna(0.0) != 0).any(axis=1)
    unknown = ~costs.et.isin(["ext_grid", "sgen", "storage"])
    square = (costs.et == "storage") & (costs.cp2_eur_per_mw2 != 0)
    concave = costs.cp2_eur_per_mw2 < 0
    for bad, rule in (
        (reactive, "prices reactive power"),
        (unknown & ~reactive, "prices an element that is not dispatched"),
        (square, "prices storage quadratically"),
        (concave, "has a negative quadratic part"),
    ):
        if bad.any():
            raise UnsupportedFeature(
                "dispatch",
                Finding(
                    table="poly_cost",
                    rows=tuple(costs.index[bad]),
                    rule=rule,
                    mend="drop the row or set the term to 0",
                ),
            )


def _check_options(objective: str, repair: str) -> None:
    for name, value, allowed in (
        ("objective", objective, OBJECTIVES),
        ("repair", repair, ("", "ac")),
    ):
        if value not in allowed:
            raise InvalidInput(
                Finding(
                    table="dispatch",
                    column=name,
                    rule=f"is {value!r}",
                    mend=f"choose one of {', '.join(repr(a) for a in allowed)}",
                )
            )
