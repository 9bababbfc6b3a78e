"""`reconfigure`: which switches to open, for one hour or for a day, to the proven optimum.

    min   sum_t N_t h loss_t(u_t)   or the cost of the exchange,   + c_s sum_t d(u_{t-1}, u_t)   (1)
    s.t.  u_t closed edges of a spanning tree, the external grids as one node                  (2)
          AC load flow, limits of voltage and current                                           (3)
          sum_t d(u_{t-1}, u_t) <= N,  of each switch <= n,  dwell times                        (4)

with d the number of switches that differ and u_0 the net as it stands. Where all injections are
given, (1)-(4) is solved on exact AC losses by `topology_day`; where that breaks a limit of an
external grid, or where storage, flexible loads, free generators or soft open points choose their
injections too, by `joint_reconfiguration` on the formulation that is asked for. Every step of the
result is replayed in pandapower.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import xarray as xr

from pp_p2p.errors import raise_if_any
from pp_p2p.network.branches import Array
from pp_p2p.network.formulation import get_formulation
from pp_p2p.network.portfolio import Portfolio
from pp_p2p.network.spanning import GraphFacts, graph_facts
from pp_p2p.network.switch_tables import Switchable
from pp_p2p.network.switching import SwitchGraph
from pp_p2p.network.timeline import Timeline, read_prices
from pp_p2p.operation.joint_reconfiguration import joint_problem, solve_jointly
from pp_p2p.operation.powerflow import Certificate
from pp_p2p.operation.provenance import provenance
from pp_p2p.operation.radial_relaxation import TreeCut
from pp_p2p.operation.reconfiguration_result import (
    Outcome,
    Replay,
    given_devices,
    label_result,
    replay,
    tree_flows,
)
from pp_p2p.operation.reconfiguration_rules import bad_options, no_configuration
from pp_p2p.operation.start_configurations import filtered_candidates
from pp_p2p.operation.topology_day import Day, DayResult
from pp_p2p.operation.topology_sequence import SwitchingLimits
from pp_p2p.results import input_hash, label
from pp_p2p.solve.report import (
    DEFAULT_CONFIG,
    ProblemClass,
    SolverConfig,
    SolveReport,
    Status,
    relative_gap,
)
from pp_p2p.version import __version__

LEAST_WEIGHT = 1e-9
"""A day that counts nothing is given this weight: its configurations must be good ones too."""


def reconfigure(
    net: Any,
    profiles: xr.Dataset | None = None,
    *,
    switchable: Switchable | None = None,
    objective: Literal["loss", "cost"] = "loss",
    formulation: Literal["branch_flow", "lindistflow"] = "branch_flow",
    max_operations: int | None = None,
    max_operations_per_switch: int | None = None,
    min_dwell_h: float = 0.0,
    switching_cost_eur: float = 0.0,
    change_every: Literal["step", "day"] = "step",
    radiality: Literal["single_commodity", "multi_commodity"] = "single_commodity",
    local_branching: int | None = None,
    candidate_filter: bool = False,
    period_merging: int | None = None,
    solver: SolverConfig = DEFAULT_CONFIG,
    seed: int = 0,
) -> xr.Dataset:
    """Choose the radial configuration of every step.

    Parameters
    ----------
    net : pandapowerNet
        As it stands before the first step; is not changed. It need not be radial.
    profiles : Dataset, optional
        Dim ``time``, or ``day`` and ``hour``; without it, one hour of the net's own values.
    switchable : mapping, optional
        ``{"line": [...], "switch": [...]}``: lines, and bus-bus switches of ``net.switch``, that
        may be operated. By default every line with a switch and every bus-bus switch; where the
        net has neither, but lines out of service (``pandapower.networks.case33bw``), every line.
    objective : {"loss", "cost"}
        Least losses, or least cost by the profiles' prices (and ``net.poly_cost``).
    formulation : {"branch_flow", "lindistflow"}
        For devices that choose their power; where there are none, ``"branch_flow"`` is exact AC.
    max_operations : int, optional
        Operations of a day; opening or closing one element is one, from the net as it stands.
    max_operations_per_switch : int, optional
        The same of each element.
    min_dwell_h : float
        Time that an element stays as it is after an operation, h.
    switching_cost_eur : float
        Of one operation; needs ``objective="cost"``.
    change_every : {"step", "day"}
        ``"day"`` keeps one configuration all day.
    radiality : {"single_commodity", "multi_commodity"}
        Of the joint problem: the second is tighter and larger.
    local_branching : int, optional
        Heuristic: at most so many exchanges away from the net as it stands.
    candidate_filter : bool
        Heuristic: only edges that branch exchange sees a gain in may open.
    period_merging : int, optional
        Heuristic: one configuration for so many steps in a row.
    solver : SolverConfig
        `rel_gap` and `time_limit_s` are of each day.
    seed : int
        Stored with the result; no random number is drawn.

    Returns
    -------
    Dataset
        ``closed(time, switchable)``, ``open_elements(time)``, ``operations(time)``, the
        operations in a safe order, voltages, loadings and losses of the AC replay, schedules of
        devices; objective, bound, gap and certificates in the attributes. A heuristic restricts
        what the bound is about; the attribute ``heuristics`` names those that were asked for.

    Raises
    ------
    InvalidInput, UnsupportedFeature
        Before anything is solved.
    NoSolution
        No configuration within reach has a load flow that keeps the limits.
    """
    options: dict[str, object] = {
        "switchable": switchable,
        "objective": objective,
        "formulation": formulation,
        "max_operations": max_operations,
        "max_operations_per_switch": max_operations_per_switch,
        "min_dwell_h": min_dwell_h,
        "switching_cost_eur": switching_cost_eur,
        "change_every": change_every,
        "radiality": radiality,
        "local_branching": local_branching,
        "candidate_filter": candidate_filter,
        "period_merging": period_merging,
        "solver": dataclasses.asdict(solver),
    }
    raise_if_any(bad_options(options))
    graph = SwitchGraph.from_net(net, switchable)
    facts = graph_facts(graph)
    raise_if_any(no_configuration(graph, facts))
    given = xr.Dataset(coords={"time": [0.0]}) if profiles is None else profiles
    line = Timeline.from_profiles(given)
    grid = graph.as_grid()
    portfolio = Portfolio.from_net(net, grid, given, line)
    may_change = _may_change(line, change_every, period_merging)
    price = _given_price(net, given, line, objective, portfolio)
    outcome = None
    if formulation == "branch_flow" and price is not None and _is_given(portfolio):
        outcome = _with_given_injections(graph, line, portfolio, options, price, may_change, solver)
        replayed = replay(net, graph, outcome.closed, outcome.load, line)
    if outcome is None or not replayed.sources_hold(graph):
        outcome = _jointly(net, graph, given, line, options, may_change, solver)
        replayed = replay(net, graph, outcome.closed, outcome.load, line)
    ds = label_result(graph, line, outcome.closed, replayed).merge(outcome.devices)
    attrs = _attributes(net, given, graph, facts, outcome, replayed, options, seed, solver)
    return label(ds, attrs)


def _with_given_injections(
    graph: SwitchGraph,
    line: Timeline,
    portfolio: Portfolio,
    options: Mapping[str, Any],
    price: Array,
    may_change: Array,
    solver: SolverConfig,
) -> Outcome:
    """Solve on exact AC losses, day by day."""
    load = _load(graph, portfolio, line)
    days_count = np.maximum(line.step_weight, LEAST_WEIGHT)
    weight = days_count * line.step_h * graph.s_base_mva * price
    days: list[DayResult] = []
    for day in range(line.n_days):
        steps = np.arange(line.steps_per_day) + day * line.steps_per_day
        here = load[:, steps]
        limits = _limits(options, line, may_change[steps], float(line.weight[day]))
        narrowed, cuts = _heuristics(graph, here, weight[steps], options)
        days.append(
            Day(
                graph=narrowed,
                load=here,
                weight=weight[steps],
                limits=limits,
                required=cuts,
                rel_gap=solver.rel_gap,
                time_limit_s=solver.time_limit_s,
            ).solve()
        )
    constant = 0.0
    if options["objective"] == "cost":
        constant = float((weight * load.real.sum(axis=0)).sum())
    closed = np.concatenate([day.closed for day in days])
    vm, loss = tree_flows(graph, closed, load)
    return Outcome(
        closed=closed,
        load=load,
        vm=vm,
        loss=loss,
        objective=sum(day.cost for day in days) + constant,
        bound=sum(day.bound for day in days) + constant,
        relaxation_gap=0.0,
        exact=True,
        seconds=sum(day.seconds for day in days),
        iterations=sum(day.n_nodes for day in days),
        termination="gap closed"
        if all(day.gap <= solver.rel_gap for day in days)
        else "time limit",
        solver="radial branch and bound",
        history=days[0].history if len(days) == 1 else (),
        devices=given_devices(graph, line, portfolio),
    )


def _jointly(
    net: Any,
    graph: SwitchGraph,
    profiles: xr.Dataset,
    line: Timeline,
    options: Mapping[str, Any],
    may_change: Array,
    solver: SolverConfig,
) -> Outcome:
    """Solve configurations and set points together."""
    load = np.zeros((graph.n_nodes, line.n_steps), dtype=complex)
    narrowed, cuts = graph, tuple[TreeCut, ...]()
    if options["local_branching"] is not None or options["candidate_filter"]:
        grid = graph.as_grid()
        portfolio = Portfolio.from_net(net, grid, profiles, line)
        load = _load(graph, portfolio, line)
        narrowed, cuts = _heuristics(graph, load, line.step_weight * line.step_h, options)
    problem = joint_problem(
        net,
        narrowed,
        profiles,
        limits=_limits(options, line, may_change, 1.0),
        required=cuts,
        options=options,
    )
    return solve_jointly(problem, solver)


def _limits(
    options: Mapping[str, Any], line: Timeline, may_change: Array, weight: float
) -> SwitchingLimits:
    return SwitchingLimits(
        max_operations=options["max_operations"],
        max_operations_per_switch=options["max_operations_per_switch"],
        dwell_steps=int(np.ceil(options["min_dwell_h"] / line.step_h - 1e-9)),
        cost=float(options["switching_cost_eur"]) * weight,
        may_change=may_change,
    )


def _heuristics(
    graph: SwitchGraph, load: Array, weight: Array, options: Mapping[str, Any]
) -> tuple[SwitchGraph, tuple[TreeCut, ...]]:
    """Return the network and what must stay open under the heuristics that were asked for."""
    cuts: tuple[TreeCut, ...] = ()
    near = options["local_branching"]
    if near is not None:
        now_open = frozenset(np.flatnonzero(~graph.closed).tolist())
        stay = (len(now_open) + graph.n_open + 1) // 2 - near
        cuts = (TreeCut(now_open, stay),) if stay > 0 else ()
    if options["candidate_filter"]:
        graph = dataclasses.replace(graph, switchable=filtered_candidates(graph, load, weight))
    return graph, cuts


def _load(graph: SwitchGraph, portfolio: Portfolio, line: Timeline) -> Array:
    """Return the power out of each node (node, step), p.u., with every device at its profile."""
    loads, generators = portfolio.loads, portfolio.generators
    out = np.zeros((graph.n_nodes, line.n_steps), dtype=complex)
    np.add.at(out, loads.node, (loads.p + 1j * loads.q).T)
    np.add.at(out, generators.node, -(generators.available + 1j * generators.q).T)
    return out


def _is_given(portfolio: Portfolio) -> bool:
    """Tell whether no device chooses its power."""
    generators = portfolio.generators
    return not (
        generators.curtailable.any()
        or generators.reactive.any()
        or len(portfolio.storages.index)
        or len(portfolio.flexible.index)
        or len(portfolio.sops.index)
    )


def _given_price(
    net: Any, profiles: xr.Dataset, line: Timeline, objective: str, portfolio: Portfolio
) -> Array | None:
    """Return what a MWh of losses costs in each step; None where that depends on the solution.

    For the cost: the purchase price and the linear cost that all external grids share, where the
    net buys in every step and nothing else has a cost.
    """
    if objective == "loss":
        return np.ones(line.n_steps)
    linear, priced = _exchange_cost(net), "price_buy_eur_per_mwh" in profiles
    if linear is None or not (priced or linear):
        return None
    bought = portfolio.loads.p.sum(axis=1) - portfolio.generators.available.sum(axis=1)
    price = linear + (read_prices(profiles, line)[0] if priced else np.zeros(line.n_steps))
    return price if (bought > 0).all() and (price > 0).all() else None


def _exchange_cost(net: Any) -> float | None:
    """Return the one linear cost of every external grid, EUR/MWh; None where costs differ."""
    cost = net.poly_cost
    if cost.empty:
        return 0.0
    feeding = net.ext_grid.index[net.ext_grid.in_service.to_numpy(bool)]
    linear = cost.cp1_eur_per_mw.astype(float).to_numpy(float)
    alike = bool((cost.et == "ext_grid").all()) and set(cost.element) == set(feeding)
    alike &= bool((cost.cp2_eur_per_mw2 == 0).all()) and len(cost) == len(feeding)
    reactive = cost[["cq1_eur_per_mvar", "cq2_eur_per_mvar2"]].fillna(0.0).to_numpy(float)
    alike &= not reactive.any() and bool((linear == linear[0]).all())
    return float(linear[0]) if alike else None


def _may_change(line: Timeline, change_every: str, merged: int | None) -> Array:
    """Return whether the configuration may change before each step."""
    position = np.arange(line.n_steps) % line.steps_per_day
    every = line.steps_per_day if change_every == "day" else (merged or 1)
    return np.asarray(position % every == 0)


def _attributes(
    net: Any,
    profiles: xr.Dataset,
    graph: SwitchGraph,
    facts: GraphFacts,
    outcome: Outcome,
    replayed: Replay,
    options: Mapping[str, Any],
    seed: int,
    solver: SolverConfig,
) -> dict[str, object]:
    proof = Certificate(
        relaxation_gap=outcome.relaxation_gap,
        branch_gap=np.zeros((0, 0)),
        converter_gap=np.zeros((0, 0)),
        has_losses=True,
        flow_scale=1.0,
        ac_vm_error_pu=replayed.vm_error(outcome.vm),
        ac_loss_error_percent=replayed.loss_error(outcome.loss * graph.s_base_mva),
        ac_diverged=replayed.diverged,
        vm_ac_pu=replayed.vm,
    )
    gap = relative_gap(outcome.objective, outcome.bound)
    report = SolveReport(
        status=Status.OPTIMAL if gap <= solver.rel_gap else Status.FEASIBLE,
        termination=outcome.termination,
        objective=outcome.objective,
        bound=outcome.bound,
        seconds=outcome.seconds,
        solver=outcome.solver,
        version=__version__,
        problem_class=ProblemClass.MISOCP,
        iterations=outcome.iterations,
    )
    names = ("local_branching", "candidate_filter", "period_merging")
    heuristics = [name for name in names if options[name]]
    attrs = provenance(
        "reconfigure",
        report,
        proof,
        formulation=get_formulation(str(options["formulation"])),
        seed=seed,
        options=options,
        digest=input_hash(net, profiles, options),
    )
    return attrs | {
        "objective": outcome.objective,
        "bound": outcome.bound,
        "objective_of": options["objective"],
        "heuristics": heuristics,
        "exact_injections": outcome.exact,
        "limits_hold": replayed.excess == 0.0,
        "configurations": str(facts.n_configurations),
        "bridges": [graph.name(e) for e in facts.bridges],
        "n_series_groups": len(facts.series_groups),
        "unsafe_operations": sum(not operation.safe for operation in replayed.operations),
        "history": [list(row) for row in outcome.history],
    }
