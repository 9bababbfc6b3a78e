"""`StepPower`: what every bus draws and feeds in at each step, from the tables and the profiles.

A profile replaces the constant of its element's row (``p_mw * scaling``); an element without one
keeps the constant. A set point replaces the profile. Each is a linear map from elements to buses,
so that a chunk of steps costs one sparse product.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from pp_p2p.elements.tables import frame
from pp_p2p.errors import Finding, raise_if_any
from pp_p2p.names import FLEXIBLE_LOAD
from pp_p2p.network.branches import Array
from pp_p2p.operation.batch_flow import Drawn
from pp_p2p.operation.given_profiles import Given
from pp_p2p.operation.terminal_state import storage_on_links

_QUANTITIES: Final = (
    ("load", "p_mw", -1.0),
    ("load", "q_mvar", -1.0),
    ("sgen", "p_mw", 1.0),
    ("sgen", "q_mvar", 1.0),
    ("storage", "p_mw", -1.0),
    ("storage", "q_mvar", -1.0),
)
"""Table, column, and the sign that makes it fed in."""


@dataclass(frozen=True, kw_only=True)
class Fed:
    """One quantity that is fed in at every bus: constants, and what follows the steps.

    Parameters
    ----------
    constant : (bus,)
    varying : tuple of ((step, element), sparse (element, bus))
    """

    constant: Array
    varying: tuple[tuple[Array, Any], ...]

    def at(self, steps: slice, count: int) -> Array:
        """Return the values (step, bus) of `count` steps."""
        total = np.tile(self.constant, (count, 1))
        for values, to_bus in self.varying:
            total += values[steps] @ to_bus
        return total


@dataclass(frozen=True, kw_only=True)
class StepPower:
    """Power of all devices but soft open points at the buses of a net, step by step."""

    p: Fed
    q: Fed
    current: tuple[Fed, Fed] | None
    impedance: tuple[Fed, Fed] | None

    @classmethod
    def from_net(cls, net: Any, given: Given, buses: Array) -> Self:
        """Read the devices of `net`; columns follow `buses`."""
        at = pd.Index(buses)
        parts: dict[tuple[str, str], list[_Part]] = {}
        for table, column, sign in _QUANTITIES:
            for kind, share in _shares(net, table, column):
                part = _part(net, given, at, table, column, sign * share)
                parts.setdefault((kind, column), []).append(part)
        parts["power", "p_mw"] += _shifted(net, given, at)

        def pair(kind: str) -> tuple[Fed, Fed] | None:
            if (kind, "p_mw") not in parts:
                return None
            return _sum(parts[kind, "p_mw"]), _sum(parts[kind, "q_mvar"])

        return cls(
            p=_sum(parts["power", "p_mw"]),
            q=_sum(parts["power", "q_mvar"]),
            current=pair("current"),
            impedance=pair("impedance"),
        )

    def chunk(self, steps: slice, count: int) -> dict[str, Any]:
        """Return the arguments of `BatchFlow.solve` for `count` steps."""

        def drawn(pair: tuple[Fed, Fed] | None) -> Drawn | None:
            if pair is None:
                return None
            return Drawn(p_mw=-pair[0].at(steps, count), q_mvar=-pair[1].at(steps, count))

        return {
            "p_mw": self.p.at(steps, count),
            "q_mvar": self.q.at(steps, count),
            "constant_current": drawn(self.current),
            "constant_impedance": drawn(self.impedance),
        }


_Part = tuple[Array, Array | None, Any]
"""Constants (bus,), values (step, element) if any, and their sparse map (element, bus)."""


def _sum(parts: list[_Part]) -> Fed:
    constant = np.sum([part[0] for part in parts], axis=0)
    varying = tuple((values, to_bus) for _, values, to_bus in parts if values is not None)
    return Fed(constant=constant, varying=varying)


def _part(
    net: Any, given: Given, at: pd.Index[Any], table: str, column: str, factor: Array
) -> _Part:
    rows = net[table]
    live = rows.in_service.to_numpy(bool)
    if table == "storage":
        live = live & ~storage_on_links(net)
    values = given.values(f"{table}_{column}")
    profiled = rows.index.isin(values[0]) if values else np.zeros(len(rows), dtype=bool)
    own = live & ~profiled
    power = (rows[column] * rows.scaling).to_numpy(float) * factor
    raise_if_any(_gaps(table, column, rows.index[own & ~np.isfinite(power)]))
    constant = np.zeros(len(at))
    np.add.at(constant, at.get_indexer(rows.bus[own]), power[own])
    if values is None:
        return constant, None, None
    labels, steps = values
    position = rows.index.get_indexer(labels)
    weight = np.where(live[position], factor[position], 0.0)
    return constant, steps, _to_bus(at, rows.bus.to_numpy()[position], weight)


def _gaps(table: str, column: str, rows: pd.Index[Any]) -> Iterator[Finding]:
    if len(rows):
        yield Finding(
            table=table,
            column=column,
            rows=tuple(rows.tolist()),
            rule="times scaling is not a finite number",
            mend="mend the rows, take them out of service, or give them a profile",
        )


def _to_bus(at: pd.Index[Any], bus: Array, weight: Array) -> Any:
    where = (np.arange(len(bus)), at.get_indexer(pd.Index(bus)))
    return csr_array((weight, where), shape=(len(bus), len(at)))


def _shares(net: Any, table: str, column: str) -> Iterator[tuple[str, Array]]:
    """Yield how much of each row is constant power, current, impedance."""
    rows = net[table]
    whole = np.ones(len(rows))
    if table != "load":
        yield "power", whole
        return
    quantity = column[0]
    current, impedance = (
        rows.get(f"const_{kind}_{quantity}_percent", pd.Series(0.0, index=rows.index))
        .fillna(0.0)
        .to_numpy(float)
        / 100.0
        for kind in ("i", "z")
    )
    yield "power", whole - current - impedance
    if any(_varies(net, kind) for kind in ("i", "z")):
        yield "current", current
        yield "impedance", impedance


def _varies(net: Any, kind: str) -> bool:
    columns = [c for c in (f"const_{kind}_{q}_percent" for q in "pq") if c in net.load]
    return bool(net.load[columns].fillna(0.0).to_numpy(float).any())


def _shifted(net: Any, given: Given, at: pd.Index[Any]) -> list[_Part]:
    """Return what flexible loads take more than their profile says."""
    values = given.values("load_shift_mw")
    if values is None:
        return []
    rows = frame(net, FLEXIBLE_LOAD).loc[values[0]]
    load = net.load.loc[rows.load.to_numpy()]
    live = rows.in_service.to_numpy(bool) & load.in_service.to_numpy(bool)
    to_bus = _to_bus(at, load.bus.to_numpy(), np.where(live, -1.0, 0.0))
    return [(np.zeros(len(at)), values[1], to_bus)]
