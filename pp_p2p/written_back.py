"""`write_back`: a result becomes part of the net, as a separate, explicit act."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from pp_p2p.elements.attributes import set_storage
from pp_p2p.elements.create import assign
from pp_p2p.elements.tables import frame
from pp_p2p.errors import Finding, InvalidInput
from pp_p2p.names import CANDIDATE, OPERATOR, PARTICIPANT

_PANDAPOWER_TYPE = {"pv": "PV", "wind": "WP"}


def write_back(net: Any, ds: xr.Dataset) -> dict[int, tuple[str, int]]:
    """Write a result into `net`, in place.

    A plan is built: static generators, storage and normally open ties appear, owned by the
    candidate's owner, and the candidates that were built leave service. A trading day fills
    ``net.res_participant``.

    Parameters
    ----------
    net : pandapowerNet
        The net that the result was made from.
    ds : Dataset
        Result of `planning.plan_network` or `trade_day`.

    Returns
    -------
    dict
        For a plan: candidate -> (table, row) of what was built.

    Raises
    ------
    InvalidInput
        A result of another problem, or of another net.
    """
    problem = str(ds.attrs.get("problem", ""))
    if problem not in _WRITERS:
        raise InvalidInput(
            Finding(
                table="result",
                column="problem",
                rule=f"{problem!r} cannot be written back",
                mend=f"pass a result of {' or '.join(sorted(_WRITERS))}",
            )
        )
    return _WRITERS[problem](net, ds)


def _write_plan(net: Any, ds: xr.Dataset) -> dict[int, tuple[str, int]]:
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
        units = int(ds["units"].sel({CANDIDATE: k}))
        if units:
            built[k] = _build(net, table.loc[[k]].iloc[0], units)
    if built:
        net.candidate.loc[list(built), "in_service"] = False
    return built


def _build(net: Any, candidate: pd.Series[Any], units: int) -> tuple[str, int]:
    import pandapower as pp

    if candidate.technology == "line":
        return "line", _build_tie(net, int(candidate.line))
    name, owner = str(candidate["name"]), int(candidate.participant)
    power = units * float(candidate.unit_p_mw)
    bus = int(candidate.bus)
    if candidate.technology in _PANDAPOWER_TYPE:
        kind = _PANDAPOWER_TYPE[candidate.technology]
        row = int(pp.create_sgen(net, bus, p_mw=power, name=name, type=kind, controllable=True))
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


def _build_tie(net: Any, line: int) -> int:
    """Put the line in service, open at its from end: a tie carries nothing until a fault."""
    import pandapower as pp

    on_line = (net.switch.et == "l") & (net.switch.element == line)
    if not (on_line & ~net.switch.closed.astype(bool)).any():
        bus = int(net.line.from_bus[line])
        pp.create_switch(net, bus, line, et="l", closed=False, type="LBS", name="tie")
    net.line.loc[line, "in_service"] = True
    return line


def _write_trade(net: Any, ds: xr.Dataset) -> dict[int, tuple[str, int]]:
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
    values = {name: ds[name].to_numpy() for name in columns}
    net["res_participant"] = pd.DataFrame(values, index=pd.Index(labels, name=None))
    return {}


_WRITERS: dict[str, Callable[[Any, xr.Dataset], dict[int, tuple[str, int]]]] = {
    "plan_network": _write_plan,
    "trade_day": _write_trade,
}
