"""`write_back`: a result becomes part of the net, as a separate, explicit act."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from pp_p2p.elements.attributes import set_remote_control, set_storage
from pp_p2p.elements.line_types import replace_line
from pp_p2p.elements.ownership import assign
from pp_p2p.elements.rules import index_of
from pp_p2p.elements.tables import frame
from pp_p2p.errors import Finding, InvalidInput, raise_if_any
from pp_p2p.names import CANDIDATE, DAY, HOUR, OPERATOR, PARTICIPANT, TIME
from pp_p2p.network.switch_tables import is_closed, set_closed

_PANDAPOWER_TYPE = {"pv": "PV", "wind": "WP", "dispatchable": "CHP"}


def write_back(net: Any, ds: xr.Dataset, *, step: int = 0) -> dict[int, tuple[str, int]]:
    """Write a result into `net`, in place.

    A plan is built: static generators (with their cost), storage, normally open ties and soft open
    points appear, owned by the candidate's owner, lines get their new type, switches their remote
    control, and the candidates that were built leave service. A trading day fills
    ``net.res_participant``; where the network was reconfigured, the switches of one step are set,
    too. Of a dispatch the set points of static generators, storage and soft
    open points at one step are written; with the loads of that step in the tables (they keep what
    they say), `runpp` finds the same state. Of a reconfiguration the switches of one step are set,
    or ``in_service`` of lines without a switch.

    Parameters
    ----------
    net : pandapowerNet
        The net that the result was made from.
    ds : Dataset
        Result of `planning.plan_network`, `planning.plan_together`, `planning.plan_at`,
        `trade_day`, `dispatch` or `reconfigure`.
    step : int
        Which step of a dispatch or of a reconfigured network, counted from 0 over all days.

    Returns
    -------
    dict
        For a plan: candidate -> (table, row) of what was built. For a reconfigured network:
        position in ``ds.switchable`` -> (table, row) of what changed.

    Raises
    ------
    InvalidInput
        A result of another problem, or of another net.
    """
    problem = str(ds.attrs.get("problem", ""))
    if problem not in _WRITERS and problem not in _WRITERS_OF_A_STEP:
        raise InvalidInput(
            Finding(
                table="result",
                column="problem",
                rule=f"{problem!r} cannot be written back",
                mend=f"pass a result of {' or '.join(sorted([*_WRITERS, *_WRITERS_OF_A_STEP]))}",
            )
        )
    if problem in _WRITERS_OF_A_STEP:
        return _WRITERS_OF_A_STEP[problem](net, ds, step)
    return _WRITERS[problem](net, ds)


def _write_configuration(net: Any, ds: xr.Dataset, step: int) -> dict[int, tuple[str, int]]:
    closed = ds["closed"].transpose(..., "switchable").to_numpy().astype(bool)
    closed = closed.reshape(-1, closed.shape[-1])
    _require_step(step, len(closed))
    elements, rows = ds["element"].to_numpy(), ds["element_index"].to_numpy()
    foreign = [
        f"{name} {row}"
        for name, row in zip(elements.tolist(), rows.tolist(), strict=True)
        if row not in net[name].index
    ]
    if foreign:
        raise InvalidInput(
            Finding(
                table="net",
                rows=tuple(foreign),
                rule="are in the result but not in this net",
                mend="write the result back into the net it was made from",
            )
        )
    changed: dict[int, tuple[str, int]] = {}
    for k, (name, row) in enumerate(zip(elements.tolist(), rows.tolist(), strict=True)):
        wanted = bool(closed[step, k])
        if is_closed(net, name, row) != wanted:
            set_closed(net, name, row, closed=wanted)
            changed[k] = (name, row)
    return changed


def _write_plan(net: Any, ds: xr.Dataset) -> dict[int, tuple[str, int]]:
    if "units" not in ds:
        rule, mend = "holds several stages", "choose one of them with planning.plan_at(ds, stage)"
        raise InvalidInput(Finding(table="result", rule=rule, mend=mend))
    table = frame(net, "candidate")
    labels = [int(k) for k in ds[CANDIDATE].to_numpy()]
    foreign = [k for k in labels if k not in table.index or not table.in_service[k]]
    if foreign:
        raise InvalidInput(
            Finding(
                table="candidate",
                rows=tuple(foreign),
                rule="are in the plan but not in service in this net",
                mend="write the plan back into the net it was made from, once",
            )
        )
    built: dict[int, tuple[str, int]] = {}
    for k in labels:
        units = float(ds["units"].sel({CANDIDATE: k}))
        if units > 0 and table.technology[k] != "storage_energy":
            built[k] = _build(net, table.loc[[k]].iloc[0], units)
    served = _add_energy(net, ds, table, built)
    if built:
        net.candidate.loc[[*built, *served], "in_service"] = False
    return built


def _add_energy(
    net: Any, ds: xr.Dataset, table: pd.DataFrame, built: dict[int, tuple[str, int]]
) -> list[int]:
    """Give storage that was `built` the energy of its own candidates; return these, built or not.

    Raises
    ------
    InvalidInput
        Energy without the storage that would hold it.
    """
    place = ["bus", "participant"]
    host = {tuple(table.loc[k, place]): k for k in built if table.technology[k] == "storage"}
    labels = [int(k) for k in ds[CANDIDATE].to_numpy() if table.technology[k] == "storage_energy"]
    with_host = [k for k in labels if tuple(table.loc[k, place]) in host]
    units = {k: float(ds["units"].sel({CANDIDATE: k})) for k in labels}
    raise_if_any(
        Finding(
            table="candidate",
            rows=(k,),
            rule="is built, but not the storage at its bus that would hold its energy",
            mend="build the storage, too",
        )
        for k in labels
        if units[k] > NOTHING and k not in with_host
    )
    for k in with_host:
        if units[k] > 0:
            of = host[tuple(table.loc[k, place])]
            built[k] = built[of]
            energy, row = units[k] * float(table.unit_e_mwh[k]), built[of][1]
            net.storage.loc[row, "max_e_mwh"] += energy
            net.storage.loc[row, "min_e_mwh"] += energy * float(table.min_soc_percent[of]) / 100.0
    return with_host


def _build(net: Any, candidate: pd.Series[Any], units: float) -> tuple[str, int]:
    import pandapower as pp

    if candidate.technology == "line":
        return "line", _build_tie(net, int(candidate.line))
    if candidate.technology == "replacement":
        line, kind, parallel = int(candidate.line), str(candidate.std_type), candidate.parallel
        replace_line(net, line, std_type=kind, parallel=int(parallel))
        return "line", line
    if candidate.technology == "switch":
        set_remote_control(
            net, [int(candidate.switch)], remote_switching_time_h=candidate.remote_switching_time_h
        )
        return "switch", int(candidate.switch)
    if candidate.technology == "sop":
        return "sop", _build_sop(net, int(candidate["sop"]), units)
    name, owner = str(candidate["name"]), int(candidate.participant)
    power = units * float(candidate.unit_p_mw)
    bus = int(candidate.bus)
    if candidate.technology in _PANDAPOWER_TYPE:
        kind = _PANDAPOWER_TYPE[candidate.technology]
        rated = units * float(candidate.unit_sn_mva)
        free = {"sn_mva": rated, "min_q_mvar": -rated, "max_q_mvar": rated} if rated > 0 else {}
        row = int(
            pp.create_sgen(net, bus, p_mw=power, name=name, type=kind, controllable=True, **free)
        )
        cost = float(candidate.variable_om_eur_per_mwh)
        if cost > 0:
            pp.create_poly_cost(net, row, "sgen", cp1_eur_per_mw=cost)
        if owner != OPERATOR:
            assign(net, owner, sgen=[row])
        return "sgen", row
    energy = units * float(candidate.unit_e_mwh)
    row = int(
        pp.create_storage(
            net,
            bus,
            p_mw=0.0,
            max_e_mwh=energy,
            min_e_mwh=energy * float(candidate.min_soc_percent) / 100.0,
            max_p_mw=power,
            min_p_mw=-power,
            name=name,
            controllable=True,
        )
    )
    set_storage(
        net,
        [row],
        charge_efficiency_percent=float(candidate.charge_efficiency_percent),
        discharge_efficiency_percent=float(candidate.discharge_efficiency_percent),
        degradation_eur_per_mwh=float(candidate.variable_om_eur_per_mwh),
    )
    if owner != OPERATOR:
        assign(net, owner, storage=[row])
    return "storage", row


def _build_sop(net: Any, device: int, units: float) -> int:
    """Put the device in service, as large as `units` of it in parallel."""
    rows = net.sop_terminal.index[net.sop_terminal["sop"] == device]
    for column in ("sn_mva", "loss_standby_mw", "min_q_mvar", "max_q_mvar"):
        net.sop_terminal.loc[rows, column] = net.sop_terminal.loc[rows, column] * units
    quadratic = "loss_quadratic_per_mva"
    net.sop_terminal.loc[rows, quadratic] = net.sop_terminal.loc[rows, quadratic] / units
    net.sop_terminal.loc[rows, "in_service"] = True
    net.sop.loc[device, "in_service"] = True
    return device


def _build_tie(net: Any, line: int) -> int:
    """Put the line in service, open at its from end: a tie carries nothing until a fault."""
    import pandapower as pp

    on_line = (net.switch.et == "l") & (net.switch.element == line)
    if not (on_line & ~net.switch.closed.astype(bool)).any():
        bus = int(net.line.from_bus[line])
        pp.create_switch(net, bus, line, et="l", closed=False, type="LBS", name="tie")
    net.line.loc[line, "in_service"] = True
    return line


def _write_trade(net: Any, ds: xr.Dataset, step: int) -> dict[int, tuple[str, int]]:
    columns = ("payment_eur", "cost_alone_eur", "cost_eur", "saving_eur", "fee_eur")
    known = frame(net, "participant").index
    labels = ds[PARTICIPANT].to_numpy()
    if not np.isin(labels, known).all():
        raise InvalidInput(
            Finding(
                table="participant",
                rows=tuple(int(k) for k in labels[~np.isin(labels, known)]),
                rule="are in the result but not in this net",
                mend="write the result back into the net it was made from",
            )
        )
    changed = _write_configuration(net, ds, step) if "closed" in ds else {}
    values = {name: ds[name].to_numpy() for name in columns}
    net["res_participant"] = pd.DataFrame(values, index=pd.Index(labels, name=None))
    return changed


NOTHING = 1e-6
"""Set points (MW, Mvar) below this are the solver's tolerance."""

_SET_POINTS = {
    "sgen_p_mw": ("sgen", "p_mw"),
    "sgen_q_mvar": ("sgen", "q_mvar"),
    "storage_p_mw": ("storage", "p_mw"),
    "sop_p_mw": ("sop_terminal", "p_mw"),
    "sop_q_mvar": ("sop_terminal", "q_mvar"),
}
"""Set points of a dispatch: table and column that they are written to."""


def _write_dispatch(net: Any, ds: xr.Dataset, step: int) -> dict[int, tuple[str, int]]:
    over = [dim for dim in (DAY, HOUR, TIME) if dim in ds.dims]
    shape = tuple(ds.sizes[dim] for dim in over)
    n_steps = int(np.prod(shape))
    _require_step(step, n_steps)
    one = ds.isel(dict(zip(over, np.unravel_index(step % n_steps, shape), strict=True)), drop=True)
    written = {name: one[name] for name in _SET_POINTS if name in one and one[name].size}
    raise_if_any(
        Finding(
            table=_SET_POINTS[name][0],
            rows=tuple(lost),
            rule="are in the result but not in this net",
            mend="write the result back into the net it was made from",
        )
        for name, values in written.items()
        if (lost := sorted(set(_labels(values)) - set(index_of(net, _SET_POINTS[name][0]))))
    )
    raise_if_any(f for name, values in written.items() for f in _without_scaling(net, name, values))
    for name, values in written.items():
        table, column = _SET_POINTS[name]
        scaling = _scaling(net, table, _labels(values))
        moves = scaling != 0.0  # what is scaled to nothing stays as it is
        rows = np.array(_labels(values), dtype=np.int64)[moves]
        net[table].loc[rows, column] = values.to_numpy()[moves] / scaling[moves]
    return {}


def _scaling(net: Any, table: str, rows: list[int]) -> Any:
    if "scaling" not in net[table]:
        return np.ones(len(rows))
    return net[table].scaling[rows].to_numpy(float)


def _without_scaling(net: Any, name: str, values: xr.DataArray) -> Iterator[Finding]:
    """Yield rows whose ``scaling`` of 0 leaves no way to write a set point that is not 0."""
    table, column = _SET_POINTS[name]
    rows = _labels(values)
    lost = (_scaling(net, table, rows) == 0.0) & (np.abs(values.to_numpy()) > NOTHING)
    if lost.any():
        yield Finding(
            table=table,
            column="scaling",
            rows=tuple(np.array(rows)[lost].tolist()),
            rule=f"is 0, but the result has {column} there",
            mend="set scaling to 1 before you write the result back",
        )


def _require_step(step: int, n_steps: int) -> None:
    if not -n_steps <= step < n_steps:
        raise InvalidInput(
            Finding(
                table="write_back",
                column="step",
                rule=f"is {step}, and the result has {n_steps} steps",
                mend=f"pass 0 to {n_steps - 1}",
            )
        )


def _labels(values: xr.DataArray) -> list[int]:
    return [int(label) for label in values[values.dims[0]].to_numpy()]


_WRITERS: dict[str, Callable[[Any, xr.Dataset], dict[int, tuple[str, int]]]] = {
    "plan_horizon": _write_plan,
    "plan_network": _write_plan,
    "plan_together": _write_plan,
}
_WRITERS_OF_A_STEP: dict[str, Callable[[Any, xr.Dataset, int], dict[int, tuple[str, int]]]] = {
    "dispatch": _write_dispatch,
    "reconfigure": _write_configuration,
    "trade_day": _write_trade,
}
