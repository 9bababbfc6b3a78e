"""Why a problem has no solution, in the words of a network planner.

Limits are let go in three rounds, and the first round that leaves a feasible point names what is
broken there: voltages, currents and external grids of the network; those and the ratings of
devices and accounts; those and the balances of the buses, that is, the load flow itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from pp_p2p.errors import NoSolution, TimeLimit
from pp_p2p.network.branches import Array
from pp_p2p.network.grid import GridData
from pp_p2p.network.timeline import Timeline
from pp_p2p.solve.compiled import CompiledProblem, compile_model, is_nonlinear
from pp_p2p.solve.elastic import Violations, least_violations
from pp_p2p.solve.report import SolverConfig, SolveReport
from pp_p2p.solve.run import run_solver

NOTICEABLE = 1e-5
"""Smaller violations (p.u.) are the solver's tolerance."""

NAMED = 5
"""At most this many buses or branches are named."""


class _Device(NamedTuple):
    """Variables whose bounds are one kind of limit of a device, and how to speak of it."""

    block: str
    variables: tuple[str, ...]
    limit: str
    table: str
    unit: str
    mend: str


_DEVICES: Final = (
    _Device("sop", ("p", "k"), "ratings", "sop_terminal", "MVA", "raise sop_terminal.sn_mva"),
    _Device(
        "sop",
        ("q",),
        "reactive power limits",
        "sop_terminal",
        "Mvar",
        "widen sop_terminal.min_q_mvar / max_q_mvar",
    ),
    _Device(
        "generator",
        ("p",),
        "output limits",
        "sgen",
        "MW",
        "lower sgen.min_p_mw, or raise max_p_mw or the profile",
    ),
    _Device(
        "generator",
        ("q",),
        "reactive power limits",
        "sgen",
        "Mvar",
        "widen sgen.min_q_mvar / max_q_mvar",
    ),
    _Device(
        "storage",
        ("charge", "discharge"),
        "power limits",
        "storage",
        "MW",
        "widen storage.min_p_mw / max_p_mw",
    ),
    _Device(
        "storage",
        ("energy",),
        "energy limits",
        "storage",
        "MWh",
        "widen storage.min_e_mwh / max_e_mwh",
    ),
    _Device(
        "flexible",
        ("up", "down"),
        "shifting limits",
        "flexible_load",
        "MW",
        "raise flexible_load.max_up_percent / max_down_percent",
    ),
    _Device(
        "",
        ("buy", "sell"),
        "exchange limits",
        "participant",
        "MW",
        "raise participant.max_import_mw / max_export_mw",
    ),
)
"""Limits of devices; `block` of the model, or itself, whose ``rows`` are the table's labels."""


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
    """Return which limits cannot hold, ``""`` where no limit is the reason.

    Parameters
    ----------
    model : pyomo.ConcreteModel
        Infeasible, with a `network_block` as ``model.network``, and devices as
        `pp_p2p.network.devices.add_devices` names them.
    grid : GridData
    line : Timeline
    """
    return explain_compiled(compile_model(model), model.network, grid, line)


def explain_compiled(problem: CompiledProblem, network: Any, grid: GridData, line: Timeline) -> str:
    """Return what `explain_limits` does, for the compiled `problem` of a model's `network`."""
    columns = {id(variable): k for k, variable in enumerate(problem.columns)}
    rows = {id(constraint): k for k, constraint in enumerate(problem.rows)}
    groups = [
        *_network_limits(problem, network, grid, line, columns, rows),
        *_device_limits(network.parent_block(), grid, line, columns),
        *_load_flow(network, grid, line, rows),
    ]
    for least in range(3):
        allowed = [group for group in groups if group.least <= least]
        broken = least_violations(
            problem,
            _positions(g.places for g in allowed if not g.of_rows),
            _positions(g.places for g in allowed if g.of_rows),
            _positions(g.places for g in allowed if g.zero_is_a_limit),
        )
        if broken is not None:
            first = sorted(allowed, key=lambda group: -group.least)
            return "; ".join(text for group in first if (text := group.text(broken)))
    return ""


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


class _Group(NamedTuple):
    """Limits that are spoken of together, and the round in which they are let go first.

    A lower bound of 0 is a limit like any other, or the sign of a magnitude, which holds.
    """

    least: int
    places: list[_Place]
    of_rows: bool
    say: Callable[[list[_Place]], str]
    zero_is_a_limit: bool = False

    def text(self, broken: Violations) -> str:
        """Return what is broken, ``""`` where nothing is."""
        worst = _worst(_broken(self.places, broken.rows if self.of_rows else broken.columns))
        return self.say(worst) if worst else ""


def _positions(groups: Any) -> Array:
    return np.array([place.position for places in groups for place in places], dtype=np.int64)


def _named(
    worst: list[_Place], table: str, labels: Any, unit: str, grid: GridData, line: Timeline
) -> str:
    """Return the worst rows of `table`, by how much each is off, and when."""
    return ", ".join(
        f"{table} {labels[k]} by about {amount * grid.s_base_mva:.2g} {unit} ({line.label(step)})"
        for k, step, _, amount in worst[:NAMED]
    )


def _network_limits(
    problem: CompiledProblem,
    network: Any,
    grid: GridData,
    line: Timeline,
    columns: dict[int, int],
    rows: dict[int, int],
) -> list[_Group]:
    def voltages(worst: list[_Place]) -> str:
        return _say_voltages(problem, worst, grid, line)

    def lossless(worst: list[_Place]) -> str:
        return (
            f"with Tightening(voltage=True), {_say_voltages(problem, worst, grid, line)}; without "
            "it, they may hold"
        )

    def currents(worst: list[_Place]) -> str:
        return _say_currents(worst, grid, line)

    def supplied(power: str, unit: str) -> Callable[[list[_Place]], str]:
        def say(worst: list[_Place]) -> str:
            named = _named(worst, "ext_grid", grid.source_ext_grid, unit, grid, line)
            return (
                f"the limits of {len(worst)} external grids cannot hold: {named}; "
                f"widen ext_grid.min_{power} / max_{power} (NaN is no limit)"
            )

        return say

    limits = grid.source_limits
    p, q = (
        [place for place in _places(slack, columns) if limited[place.element]]
        for slack, limited in (
            (network.p_source, np.isfinite(limits.p_min) | np.isfinite(limits.p_max)),
            (network.q_source, np.isfinite(limits.q_min) | np.isfinite(limits.q_max)),
        )
    )
    return [
        _Group(0, p, False, supplied("p_mw", "MW"), zero_is_a_limit=True),
        _Group(0, q, False, supplied("q_mvar", "Mvar"), zero_is_a_limit=True),
        _Group(0, _places(network.v, columns), False, voltages),
        _Group(0, _places(getattr(network, "v_hat", None), columns), False, lossless),
        _Group(0, _places(getattr(network, "l", None), columns), False, currents),
        _Group(0, _places(getattr(network, "current_polygon", None), rows), True, currents),
    ]


def _device_limits(
    model: Any, grid: GridData, line: Timeline, columns: dict[int, int]
) -> list[_Group]:
    groups = []
    for device in _DEVICES:
        block = getattr(model, device.block, None) if device.block else model
        labels = getattr(block, "rows", None)
        if labels is None:
            continue
        places = [p for name in device.variables for p in _places(getattr(block, name), columns)]

        def say(worst: list[_Place], device: _Device = device, labels: list[int] = labels) -> str:
            named = _named(worst, device.table, labels, device.unit, grid, line)
            what = f"the {device.limit} of {len(worst)} rows of {device.table}"
            return f"{what} cannot hold: {named}; {device.mend}"

        groups.append(_Group(1, places, False, say))
    return groups


def _load_flow(network: Any, grid: GridData, line: Timeline, rows: dict[int, int]) -> list[_Group]:
    def balances(unit: str) -> Callable[[list[_Place]], str]:
        def say(worst: list[_Place]) -> str:
            named = _named(worst, "bus", grid.node_bus, unit, grid, line)
            return (
                f"the load flow has no solution: the power of {len(worst)} buses cannot be "
                f"carried: {named}; lower the load or feed in there, or strengthen "
                "the branches to it"
            )

        return say

    return [
        _Group(2, _places(network.balance_p, rows), True, balances("MW")),
        _Group(2, _places(network.balance_q, rows), True, balances("Mvar")),
    ]


def _say_voltages(
    problem: CompiledProblem, worst: list[_Place], grid: GridData, line: Timeline
) -> str:
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
    named = []
    for branch, step, _, _ in worst[:NAMED]:
        members = grid.branch_of == branch
        rows = zip(grid.branches.element[members], grid.branches.index[members], strict=True)
        named.append(f"{' + '.join(f'{e} {i}' for e, i in rows)} ({line.label(step)})")
    return (
        f"the current limits of {len(worst)} branches cannot hold: {', '.join(named)}; "
        "raise max_i_ka / max_loading_percent or add candidates behind them"
    )
