"""`run_year`: the AC power flow of every step of a year, soft open points included.

Each step is the power flow that `pp_p2p.runpp` solves; steps do not depend on each other, and the
batch engine (`pp_p2p.operation.batch_flow`) solves them together. A step without a solution is
flagged and spoils no other.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import xarray as xr

from pp_p2p.elements.validate import findings
from pp_p2p.errors import DivergedSteps, Finding, InvalidInput, raise_if_any
from pp_p2p.names import BUS, EXT_GRID, LINE, SOP_TERMINAL, TRAFO, TRAFO3W
from pp_p2p.network.branches import Array
from pp_p2p.network.device_rules import warn_of_constant_generation
from pp_p2p.network.timeline import Timeline
from pp_p2p.operation.batch_flow import BatchFlow, BatchSolution
from pp_p2p.operation.given_profiles import Given
from pp_p2p.operation.newton_engine import ENGINE, engine_version
from pp_p2p.operation.sop_steps import SopSteps
from pp_p2p.operation.step_power import StepPower
from pp_p2p.results import input_hash, label
from pp_p2p.version import __version__

_DIM: Final[Mapping[str, str]] = {
    "vm_pu": BUS,
    "va_degree": BUS,
    "line_loading_percent": LINE,
    "trafo_loading_percent": TRAFO,
    "trafo3w_loading_percent": TRAFO3W,
    "p_source_mw": EXT_GRID,
    "q_source_mvar": EXT_GRID,
    "loss_mw": "",
    "sop_p_mw": SOP_TERMINAL,
    "sop_q_mvar": SOP_TERMINAL,
    "sop_loss_mw": SOP_TERMINAL,
    "sop_q_limit": SOP_TERMINAL,
}

OUTPUTS: Final[tuple[str, ...]] = tuple(_DIM)
"""What `run_year` can return beside ``converged``."""

_USUAL: Final[tuple[str, ...]] = tuple(output for output in _DIM if output != "va_degree")

STEPS_NAMED: Final = 5
"""A warning names at most this many diverged steps."""


def run_year(
    net: Any,
    profiles: xr.Dataset,
    *,
    set_points: xr.Dataset | None = None,
    outputs: Sequence[str] = _USUAL,
    progress: Callable[[int, int], None] | None = None,
) -> xr.Dataset:
    """Solve the AC power flow of every step.

    Parameters
    ----------
    net : pandapowerNet
        Is not changed. Loads, static generators and storage without a profile keep what their row
        says; soft open points without one keep the set points of ``net.sop_terminal``.
    profiles : Dataset
        Dim ``time``, or ``day`` and ``hour``; variables of `pp_p2p.names.PROFILE_DIMS` and
        ``SET_POINT_DIMS``. Prices and availability are allowed and play no part.
    set_points : Dataset, optional
        A result over the same steps, as of `pp_p2p.dispatch`: its set points come before the
        profiles, everything else in it is left alone.
    outputs : sequence of str
        Variables wanted, of `OUTPUTS` (all but the angles): what is not wanted is not kept.
    progress : callable, optional
        Called with the steps done and all steps.

    Returns
    -------
    Dataset
        ``vm_pu(time, bus)``, ``line_loading_percent(time, line)``,
        ``trafo_loading_percent(time, trafo)``, ``p_source_mw``, ``q_source_mvar``
        ``(time, ext_grid)``, ``loss_mw(time)`` of branches and shunts, ``sop_p_mw``,
        ``sop_q_mvar``, ``sop_loss_mw``, ``sop_q_limit`` (whether a voltage was given up for it)
        ``(time, sop_terminal)``, ``converged(time)``. All rows of
        the net's tables; NaN where a step diverged or nothing feeds a bus, as in pandapower.

    Raises
    ------
    InvalidInput
        All of: unknown profiles or labels, values that are not finite, a broken table, a set point
        above the rating of its terminal.
    UnsupportedFeature
        Direct-current lines, FACTS, generators at an external grid's node, by table and row.

    Notes
    -----
    Generators (``net.gen``) hold their voltage with reactive power that has no limit, as in
    ``pandapower.runpp``. The search starts without it: a step whose voltage collapses without the
    generators, as in meshed transmission grids, is flagged even though it may have a solution.

    Warns
    -----
    DivergedSteps
        How many steps have no solution, and the first of them.
    ConstantGeneration
        Static generators without a profile, where there are several steps.

    Examples
    --------
    >>> import pandapower.networks as pn, pp_p2p as p2p, xarray as xr
    >>> hours = xr.Dataset(coords={"time": range(3)})
    >>> float(p2p.run_year(pn.case33bw(), hours)["loss_mw"][0])  # doctest: +ELLIPSIS
    0.2026...
    """
    started = time.perf_counter()
    _check_outputs(outputs)
    raise_if_any(findings(net))
    given = Given.checked(net, profiles, set_points)
    if set_points is None:
        warn_of_constant_generation(net, profiles, given.line)
    converters = SopSteps.from_net(net, given)
    flow = BatchFlow.from_net(net, forming=converters.forming)
    power = StepPower.from_net(net, given, flow.buses)
    values, converged = _solve(flow, power, converters, given.line, outputs, progress)
    state = converters.state
    values |= {
        "sop_p_mw": state.p,
        "sop_q_mvar": state.q,
        "sop_loss_mw": state.losses,
        "sop_q_limit": converters.at_limit,
    }
    _warn(given.line, converged)
    own = flow.ext_grid >= 0  # what forms islands is no external grid
    for name in ("p_source_mw", "q_source_mvar"):
        if name in values:
            values[name] = values[name][:, own]
    labels = {
        BUS: flow.buses,
        EXT_GRID: flow.ext_grid[own],
        SOP_TERMINAL: state.rows.index.to_numpy(np.int64),
        **{dim: rows.index for dim, rows in flow.model.elements.items()},
    }
    ds = _dataset(given.line, {k: v for k, v in values.items() if k in outputs}, labels)
    ds["converged"] = (given.line.dims, converged.reshape(given.line.shape))
    if SOP_TERMINAL in ds.dims:
        ds.coords["sop"] = (SOP_TERMINAL, state.device)
    options = {"outputs": list(outputs)}
    inputs = profiles if set_points is None else _beside(profiles, set_points)
    return label(
        ds,
        {
            "problem": "run_year",
            "formulation": "ac",
            "engine": ENGINE,
            "engine_version": engine_version(),
            "version": __version__,
            "steps": given.line.n_steps,
            "steps_diverged": int((~converged).sum()),
            "input_hash": input_hash(net, inputs, options),
            "options": options,
            "seconds": time.perf_counter() - started,
        },
    )


def _solve(
    flow: BatchFlow,
    power: StepPower,
    converters: SopSteps,
    line: Timeline,
    outputs: Sequence[str],
    progress: Callable[[int, int], None] | None,
) -> tuple[dict[str, Array], Array]:
    """Return the outputs (step, element) and which steps converged."""
    n_steps, size = line.n_steps, flow.steps_per_chunk
    values: dict[str, Array] = {}
    converged = np.zeros(n_steps, dtype=bool)
    wants_currents = any(name.endswith("loading_percent") for name in outputs)
    for first in range(0, n_steps, size):
        steps = slice(first, min(first + size, n_steps))
        count = steps.stop - steps.start
        others = power.chunk(steps, count)
        solution = converters.solve(flow, others, steps, currents=wants_currents)
        converged[steps] = solution.converged
        for name, part in _named(solution).items():
            if name in outputs:
                whole = values.setdefault(name, np.empty((n_steps, *part.shape[1:])))
                whole[steps] = part
        if progress is not None:
            progress(steps.stop, n_steps)
    return values, converged


def _named(solution: BatchSolution) -> dict[str, Array]:
    loading = {f"{table}_loading_percent": v for table, v in solution.loading_percent.items()}
    return loading | {
        name: getattr(solution, name)
        for name in ("vm_pu", "va_degree", "p_source_mw", "q_source_mvar", "loss_mw")
    }


def _dataset(
    line: Timeline, values: Mapping[str, Array], labels: Mapping[str, Array]
) -> xr.Dataset:
    ds = xr.Dataset(coords=dict(line.coords))
    for name, steps in values.items():
        dims = (_DIM[name],) if _DIM[name] else ()
        ds[name] = ((*line.dims, *dims), steps.reshape(*line.shape, *steps.shape[1:]))
        ds.coords.update({dim: labels[dim] for dim in dims})
    return ds


def _beside(profiles: xr.Dataset, set_points: xr.Dataset) -> xr.Dataset:
    """Return both in one dataset of plain arrays, for the hash alone."""
    named = {"profiles": profiles, "set_points": set_points}
    return xr.Dataset(
        {
            f"{of} {name}": (tuple(f"{of} {dim}" for dim in v.dims), v.to_numpy())
            for of, ds in named.items()
            for name, v in ds.variables.items()
        }
    )


def _warn(line: Timeline, converged: Array) -> None:
    lost = np.flatnonzero(~converged)
    if not lost.size:
        return
    first = "; ".join(line.label(int(k)) for k in lost[:STEPS_NAMED])
    more = f" and {lost.size - STEPS_NAMED} more" if lost.size > STEPS_NAMED else ""
    warnings.warn(
        f"run_year: the power flow of {lost.size} of {line.n_steps} steps diverged ({first}{more});"
        " their values are NaN",
        DivergedSteps,
        stacklevel=3,
    )


def _check_outputs(outputs: Sequence[str]) -> None:
    unknown = sorted(set(outputs) - set(OUTPUTS))
    if unknown or isinstance(outputs, str):
        raise InvalidInput(
            Finding(
                table="run_year",
                column="outputs",
                rows=tuple(unknown),
                rule="is not a sequence of outputs",
                mend=f"choose from {', '.join(OUTPUTS)}",
            )
        )
