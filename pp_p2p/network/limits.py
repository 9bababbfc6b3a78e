"""Why a problem has no solution, in the words of a network planner."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pp_p2p.errors import NoSolution, TimeLimit
from pp_p2p.network.branches import Array
from pp_p2p.network.grid import GridData
from pp_p2p.network.timeline import Timeline
from pp_p2p.solve.compiled import CompiledProblem, compile_model, is_nonlinear
from pp_p2p.solve.elastic import least_violations
from pp_p2p.solve.report import SolverConfig, SolveReport
from pp_p2p.solve.run import run_solver

NOTICEABLE = 1e-5
"""Smaller violations (p.u.) are the solver's tolerance."""

NAMED = 5
"""At most this many buses or branches are named."""


def solve_or_explain(
    model: Any, grid: GridData, line: Timeline, config: SolverConfig, problem: str
) -> SolveReport:
    """Solve `model`; where it has no solution, say which limits cannot hold.

    Parameters
    ----------
    model : pyomo.ConcreteModel
        With a `network_block` as ``model.network``.
    grid : GridData
    line : Timeline
    config : SolverConfig
    problem : str
        What the message calls the problem.

    Raises
    ------
    NoSolution
        With the buses and branches whose limits cannot hold, where those are the reason.
    TimeLimit
        As the solver room raises it.
    """
    try:
        return run_solver(model, config)
    except TimeLimit:
        raise
    except NoSolution as error:
        reasons = "" if is_nonlinear(model) else explain_limits(model, grid, line)
        raise NoSolution(f"{problem}: {reasons or error}", error.report) from error


def explain_limits(model: Any, grid: GridData, line: Timeline) -> str:
    """Return which voltage and current limits cannot hold, ``""`` where that is not the reason.

    Parameters
    ----------
    model : pyomo.ConcreteModel
        Infeasible, with a `network_block` as ``model.network``.
    grid : GridData
    line : Timeline
    """
    problem = compile_model(model)
    columns = {id(variable): k for k, variable in enumerate(problem.columns)}
    rows = {id(constraint): k for k, constraint in enumerate(problem.rows)}
    network = model.network
    voltages = _places(network.v, columns)
    currents = _places(getattr(network, "l", None), columns)
    polygons = _places(getattr(network, "current_polygon", None), rows)
    chosen = np.array([place.position for place in (*voltages, *currents)], dtype=np.int64)
    sides = np.array([place.position for place in polygons], dtype=np.int64)
    broken = least_violations(problem, chosen, sides)
    if broken is None:
        return ""
    overloads = [*_broken(currents, broken.columns), *_broken(polygons, broken.rows)]
    parts = [
        _say_voltages(problem, _worst(_broken(voltages, broken.columns)), grid, line),
        _say_currents(_worst(overloads), grid, line),
    ]
    return "; ".join(part for part in parts if part)


class _Place(NamedTuple):
    """Node or branch, step, column or row of the problem, and how far its limit is broken."""

    element: int
    step: int
    position: int
    amount: float = 0.0


def _places(component: Any, position: dict[int, int]) -> list[_Place]:
    if component is None:
        return []
    return [
        _Place(index[0], index[1], position[id(member)])
        for index, member in component.items()
        if id(member) in position
    ]


def _broken(places: list[_Place], amounts: Array) -> list[_Place]:
    return [place._replace(amount=float(amounts[place.position])) for place in places]


def _worst(places: list[_Place]) -> list[_Place]:
    """Return the worst step of each element whose limit is broken, worst first."""
    worst: dict[int, _Place] = {}
    for place in places:
        known = worst.get(place.element)
        if place.amount > NOTICEABLE and (known is None or place.amount > known.amount):
            worst[place.element] = place
    return sorted(worst.values(), key=lambda place: -place.amount)


def _say_voltages(
    problem: CompiledProblem, worst: list[_Place], grid: GridData, line: Timeline
) -> str:
    if not worst:
        return ""
    named = []
    for node, step, column, amount in worst[:NAMED]:
        low, high = np.sqrt(problem.lower[column]), np.sqrt(problem.upper[column])
        about = amount / 2.0 / grid.vm_max[node]
        named.append(
            f"bus {grid.node_bus[node]} ({low:.3g}..{high:.3g} p.u.) by about {about:.2g} p.u. "
            f"({line.label(step)})"
        )
    return (
        f"the voltage limits of {len(worst)} buses cannot hold: {', '.join(named)}; "
        "widen net.bus.min_vm_pu / max_vm_pu or add candidates there"
    )


def _say_currents(worst: list[_Place], grid: GridData, line: Timeline) -> str:
    if not worst:
        return ""
    named = []
    for branch, step, _, _ in worst[:NAMED]:
        members = grid.branch_of == branch
        rows = zip(grid.branches.element[members], grid.branches.index[members], strict=True)
        named.append(f"{' + '.join(f'{e} {i}' for e, i in rows)} ({line.label(step)})")
    return (
        f"the current limits of {len(worst)} branches cannot hold: {', '.join(named)}; "
        "raise max_i_ka / max_loading_percent or add candidates behind them"
    )
