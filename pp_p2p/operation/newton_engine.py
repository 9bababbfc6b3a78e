"""power-grid-model (LF Energy): Newton's method of many steps, compiled and multi-threaded.

The only module that knows the engine. It gets branches in the form of
`pp_p2p.operation.bus_branch` (1), which is that of its ``generic_branch``, so that nothing is
converted by element type.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from pp_p2p.network.branches import Array
from pp_p2p.operation.bus_branch import BusBranch

ENGINE: Final = "power-grid-model"

TOLERANCE_PU: Final = 1e-10
"""Largest last step of a voltage at which Newton's method stops."""

MAX_ITERATIONS: Final = 20

_BASE_VA: Final = 1e6
_RATED_V: Final = 1e3
"""With these, power-grid-model's ohms are per unit on 1 MVA."""

_SOURCE_VA: Final = 1e20
"""Short-circuit power of a source: its voltage drop is below rounding."""


def voltages(
    model: BusBranch, drawn: Sequence[Array], source_vm: Array | None, *, threads: int
) -> tuple[Array, Array]:
    """Solve all steps.

    Parameters
    ----------
    model : BusBranch
    drawn : three of (step, node) complex
        Consumption of constant power, current and impedance, p.u. at 1 p.u.; the latter two may be
        (1, 1) zeros.
    source_vm : (step, source), optional
    threads : int

    Returns
    -------
    tuple
        Voltages (step, node), complex p.u., NaN where a step diverged, and which converged.
    """
    dependent = bool(drawn[1].any() or drawn[2].any())
    kinds = drawn if dependent else drawn[:1]
    n_steps, n = drawn[0].shape
    by_kind = np.empty((n_steps, len(kinds), n), dtype=complex)
    for k, kind in enumerate(kinds):
        by_kind[:, k] = kind
    power = by_kind.reshape(n_steps, -1) * (model.s_base_mva * _BASE_VA)
    engine = _engine(model, voltage_dependent=dependent)
    update = {
        "sym_load": {
            "p_specified": np.ascontiguousarray(power.real),
            "q_specified": np.ascontiguousarray(power.imag),
        }
    }
    if source_vm is not None:
        update["source"] = {"u_ref": np.ascontiguousarray(source_vm)}
    out = engine.calculate_power_flow(
        update_data=update,
        error_tolerance=TOLERANCE_PU,
        max_iterations=MAX_ITERATIONS,
        threading=threads,
        output_component_types={"node": ["u_pu", "u_angle"]},
        continue_on_batch_error=True,
    )["node"]
    converged = np.ones(n_steps, dtype=bool)
    if engine.batch_error is not None:
        converged[engine.batch_error.failed_scenarios] = False
    out["u_pu"][~converged] = np.nan
    return out["u_pu"] * np.exp(1j * out["u_angle"]), converged


def engine_version() -> str:
    """Return the version of power-grid-model that is installed."""
    from importlib.metadata import version

    return version(ENGINE)


def _engine(model: BusBranch, *, voltage_dependent: bool) -> Any:
    """Return power-grid-model's own form of `model`: (1) there and in pandapower are the same."""
    from power_grid_model import PowerGridModel, initialize_array

    def table(kind: str, count: int, **columns: Any) -> Array:
        rows = initialize_array("input", kind, count)
        rows["id"] = next(ids) + np.arange(count)
        for column, values in columns.items():
            rows[column] = values
        return rows

    n, kinds = model.n_nodes, 3 if voltage_dependent else 1
    link = np.flatnonzero(model.from_node != model.to_node)
    y_shunt = model.y_shunt + model.y_loops
    shunt = np.flatnonzero(y_shunt)
    ids = _first_ids(n, len(link), len(shunt), len(model.source_node), kinds * n)
    ohm, siemens = 1.0 / model.s_base_mva, model.s_base_mva
    data = {
        "node": table("node", n, u_rated=_RATED_V),
        "generic_branch": table(
            "generic_branch",
            len(link),
            from_node=model.from_node[link],
            to_node=model.to_node[link],
            from_status=1,
            to_status=1,
            r1=model.r[link] * ohm,
            x1=model.x[link] * ohm,
            g1=model.g[link] * siemens,
            b1=model.b[link] * siemens,
            k=model.ratio[link],
            theta=model.shift_rad[link],
            sn=_BASE_VA,
        ),
        "shunt": table(
            "shunt",
            len(shunt),
            node=shunt,
            status=1,
            g1=y_shunt[shunt].real * siemens,
            b1=y_shunt[shunt].imag * siemens,
        ),
        "source": table(
            "source",
            len(model.source_node),
            node=model.source_node,
            status=1,
            u_ref=model.source_vm,
            u_ref_angle=model.source_va_rad,
            sk=_SOURCE_VA,
        ),
        # constant power is type 0, constant current 2, constant impedance 1
        "sym_load": table(
            "sym_load",
            kinds * n,
            node=np.tile(np.arange(n), kinds),
            status=1,
            type=np.repeat([0, 2, 1][:kinds], n),
            p_specified=0.0,
            q_specified=0.0,
        ),
    }
    return PowerGridModel(data)


def _first_ids(*counts: int) -> Iterator[int]:
    """Yield the first id of each table: they are unique over all of them."""
    yield from np.concatenate([[0], np.cumsum(counts)[:-1]]).tolist()
