"""Load points: where they hang, whom they stand for, what they take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import xarray as xr

from planning.fault_graph import FaultGraph
from pp_p2p.elements.tables import extension
from pp_p2p.errors import Finding, raise_if_any
from pp_p2p.names import PROFILE_DIMS, TIME
from pp_p2p.network.branches import Array
from pp_p2p.network.device_rules import label_findings
from pp_p2p.network.portfolio import load_power
from pp_p2p.network.timeline import Timeline


@dataclass(frozen=True, kw_only=True)
class LoadPoints:
    """In-service rows of ``net.load``.

    Parameters
    ----------
    index, bus, section, customers : (load,) of int
    feeder : (load,) of str
        The line or transformer by which its feeder leaves the busbar of a substation.
    average_mw : (load,) of float
        What an interruption of one hour costs in MWh.
    high_p_mw, high_q_mvar : (load,) of float
        What a post-fault load flow must carry: the rows of the net, or the step of the profiles
        with the highest demand altogether.
    """

    index: Array
    bus: Array
    section: Array
    customers: Array
    feeder: Array
    average_mw: Array
    high_p_mw: Array
    high_q_mvar: Array

    @classmethod
    def from_net(
        cls, net: Any, graph: FaultGraph, profiles: xr.Dataset | None, load_factor: float
    ) -> Self:
        """Read the loads of `net`.

        Raises
        ------
        InvalidInput
            No load, a load that nothing feeds or that feeds in, customers that add up to none,
            profiles of loads that do not exist.
        """
        rows = net.load[net.load.in_service.to_numpy(bool)].sort_index()
        if profiles is not None:
            found = [
                f
                for name in ("load_p_mw", "load_q_mvar")
                if name in profiles
                for f in label_findings(net, profiles, name, PROFILE_DIMS[name][1])
            ]
            raise_if_any(found)
        line = Timeline.from_profiles(_one_hour() if profiles is None else profiles)
        p, q = load_power(rows, _one_hour() if profiles is None else profiles, line)
        weight = line.step_weight / line.step_weight.sum()
        high = int(np.argmax(p.sum(axis=1)))
        points = cls(
            index=rows.index.to_numpy(np.int64),
            bus=rows.bus.to_numpy(np.int64),
            section=graph.section_of(rows.bus),
            customers=extension(net, "load", "customers").loc[rows.index].to_numpy(np.int64),
            feeder=feeders(graph, rows.bus.to_numpy(np.int64)),
            average_mw=weight @ p * load_factor,
            high_p_mw=p[high],
            high_q_mvar=q[high],
        )
        raise_if_any(points.findings(float(p.min(initial=0.0))))
        return points

    def findings(self, least_mw: float) -> Iterator[Finding]:
        """Yield what indices cannot be computed from."""
        if not len(self.index):
            yield Finding(table="load", rule="has no row in service", mend="create the load points")
        elif not self.customers.sum():
            yield Finding(
                table="load",
                column="customers",
                rule="adds up to 0, so that no index per customer exists",
                mend="say how many customers the loads stand for (set_customers)",
            )
        if (dead := self.section < 0).any():
            yield Finding(
                table="load",
                rows=tuple(self.index[dead].tolist()),
                rule="is not fed by any external grid",
                mend="close a switch, or take the rows out of service",
            )
        if least_mw < 0:
            yield Finding(
                table="load",
                column="p_mw",
                rows=tuple(self.index[(self.high_p_mw < 0) | (self.average_mw < 0)].tolist()),
                rule="feeds in, which cannot be interrupted demand",
                mend="make it a static generator (net.sgen)",
            )


def _one_hour() -> xr.Dataset:
    return xr.Dataset(coords={TIME: [0.0]})


def feeders(graph: FaultGraph, buses: Array) -> Array:
    """Return (bus,) the name of the feeder of each bus: ``line 3``, ``trafo 1``.

    What hangs on the busbar of a substation itself belongs to that: ``bus 0``. In a loop the
    shorter way counts.
    """
    links: dict[int, list[int]] = {}
    for a, b in zip(graph.a[graph.closed].tolist(), graph.b[graph.closed].tolist(), strict=True):
        links.setdefault(a, []).append(b)
        links.setdefault(b, []).append(a)
    name: dict[int, str] = {}
    reached = [int(v) for v in graph.source]
    name.update((v, f"bus {graph.index[v]}") for v in reached)
    for vertex in reached:
        for other in links.get(vertex, ()):
            if other in name:
                continue
            if graph.busbar[other]:
                coupled = graph.busbar[vertex]
                name[other] = name[vertex] if coupled else f"bus {graph.index[other]}"
            elif graph.busbar[vertex]:
                name[other] = f"{graph.element[other]} {graph.index[other]}"
            else:
                name[other] = name[vertex]
            reached.append(other)
    at = [graph.bus_vertex.get(int(bus), -1) for bus in buses]
    return np.array([name.get(v, "") for v in at], dtype=object).astype(str)
