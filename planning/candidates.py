"""Candidates of a plan as arrays: what may be built, where, at what annual cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import xarray as xr

from planning.costs import capital_recovery_factor
from planning.reliability import Reserve
from pp_p2p.elements.schema import NONE
from pp_p2p.elements.tables import frame
from pp_p2p.errors import Finding, UnsupportedFeature, raise_if_any
from pp_p2p.names import TECHNOLOGY
from pp_p2p.network.branches import Array
from pp_p2p.network.grid import GridData
from pp_p2p.network.portfolio import Generators, Storages
from pp_p2p.network.timeline import Timeline

GENERATION = ("pv", "wind")
SUPPORTED = (*GENERATION, "storage", "line")


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """In-service rows of ``net.candidate``.

    Parameters
    ----------
    index, bus, node, owner, max_units : (candidate,) of int
        `node` is -1 for a line.
    name, technology : (candidate,) of str
    unit_p_mw, unit_e_mwh : (candidate,) of float
        Size of one unit.
    reserve_mwh : (candidate,) of float
        Energy of one unit that is kept for islands, after discharge losses.
    capex_eur, annuity_eur_per_year, fixed_om_eur_per_year : (candidate,) of float
        Per unit.
    variable_om_eur_per_mwh : (candidate,) of float
    ends : tuple of (bus, bus) or None
        Buses that a line would tie.
    generators, storages : Generators, Storages
        Devices of one unit each; `generator_of`, `storage_of` are their positions here.
    """

    index: Array
    bus: Array
    node: Array
    owner: Array
    max_units: Array
    name: Array
    technology: Array
    unit_p_mw: Array
    unit_e_mwh: Array
    reserve_mwh: Array
    capex_eur: Array
    annuity_eur_per_year: Array
    fixed_om_eur_per_year: Array
    variable_om_eur_per_mwh: Array
    ends: tuple[tuple[int, int] | None, ...]
    line: Array
    generators: Generators
    storages: Storages
    generator_of: Array
    storage_of: Array

    @classmethod
    def from_net(
        cls, net: Any, grid: GridData, days: xr.Dataset, line: Timeline, interest_rate: float
    ) -> Self:
        """Read the candidates.

        Raises
        ------
        InvalidInput
            A candidate on a bus that no external grid feeds, a tie within one node, or a
            generation candidate without an availability profile.
        UnsupportedFeature
            A technology that the plan does not build.
        """
        table = frame(net, "candidate")
        table = table[table.in_service.to_numpy(bool) & (table.max_units.to_numpy() > 0)]
        technology = table.technology.to_numpy(object).astype(str)
        _refuse_technologies(table, technology)
        node = grid.nodes_of(table.bus.to_numpy())
        ends = tuple(_ends(net, row) for row in table.itertuples())
        raise_if_any(_findings(table, technology, node, _tied_nodes(grid, ends), days))

        def column(name: str) -> Array:
            return np.asarray(table[name].to_numpy(float))

        generator_of = np.flatnonzero(np.isin(technology, GENERATION))
        storage_of = np.flatnonzero(technology == "storage")
        owner = table.participant.to_numpy(np.int64)
        discharge = column("discharge_efficiency_percent") / 100.0
        unit_e, unit_p = column("unit_e_mwh"), column("unit_p_mw")
        reserve = np.where(technology == "storage", unit_e * column("min_soc_percent") / 100.0, 0.0)
        recovery = [capital_recovery_factor(interest_rate, years) for years in table.lifetime_years]
        return cls(
            index=table.index.to_numpy(np.int64),
            bus=table.bus.to_numpy(np.int64),
            node=node,
            owner=owner,
            max_units=table.max_units.to_numpy(np.int64),
            name=table.name.to_numpy(object).astype(str),
            technology=technology,
            unit_p_mw=unit_p,
            unit_e_mwh=unit_e,
            reserve_mwh=reserve * discharge,
            capex_eur=column("capex_eur_per_unit"),
            annuity_eur_per_year=column("capex_eur_per_unit") * np.array(recovery),
            fixed_om_eur_per_year=column("fixed_om_eur_per_unit_per_year"),
            variable_om_eur_per_mwh=column("variable_om_eur_per_mwh"),
            ends=ends,
            line=table.line.to_numpy(np.int64),
            generators=_generators(grid, days, line, table, generator_of),
            storages=_storages(grid, table, storage_of),
            generator_of=generator_of,
            storage_of=storage_of,
        )

    def reserves(self, units: Array) -> list[Reserve]:
        """Return what the storage of `units` (candidate,) keeps for islands."""
        return [
            Reserve(
                bus=int(self.bus[k]),
                energy_mwh=float(self.reserve_mwh[k] * units[k]),
                power_mw=float(self.unit_p_mw[k] * units[k]),
            )
            for k in self.storage_of
        ]

    def ties(self, units: Array) -> list[tuple[int, int]]:
        """Return the end buses of the lines that `units` (candidate,) build."""
        return [e for e, n in zip(self.ends, units, strict=True) if e is not None and n > 0.5]

    def built_lines(self, units: Array) -> list[int]:
        """Return the rows of ``net.line`` that `units` (candidate,) build."""
        return [int(row) for row in self.line[(self.technology == "line") & (units > 0.5)]]


def _ends(net: Any, row: Any) -> tuple[int, int] | None:
    if row.technology != "line":
        return None
    line = net.line.loc[row.line]
    return int(line.from_bus), int(line.to_bus)


def _tied_nodes(
    grid: GridData, ends: tuple[tuple[int, int] | None, ...]
) -> list[tuple[int, ...] | None]:
    return [
        None if pair is None else tuple(grid.nodes_of(np.array(pair)).tolist()) for pair in ends
    ]


def _generators(
    grid: GridData, days: xr.Dataset, line: Timeline, table: Any, of: Array
) -> Generators:
    rows = table.iloc[of]
    available = np.zeros((line.n_steps, len(rows)))
    if len(rows):
        per_unit = line.array(days, "availability_pu")
        labels = [str(name) for name in days[TECHNOLOGY].to_numpy()]
        for k, row in enumerate(rows.itertuples()):
            available[:, k] = per_unit[:, labels.index(row.technology)] * row.unit_p_mw
    return Generators(
        index=rows.index.to_numpy(np.int64),
        node=grid.nodes_of(rows.bus.to_numpy()),
        owner=rows.participant.to_numpy(np.int64),
        available=available / grid.s_base_mva,
        q=np.zeros_like(available),
        curtailable=np.ones(len(rows), dtype=bool),
        p_min=np.zeros(len(rows)),
        q_min=np.zeros(len(rows)),
        q_max=np.zeros(len(rows)),
        cost_eur_per_mwh=np.zeros(len(rows)),
        cost_eur_per_mw2h=np.zeros(len(rows)),
    )


def _storages(grid: GridData, table: Any, of: Array) -> Storages:
    rows = table.iloc[of]
    power = rows.unit_p_mw.to_numpy(float) / grid.s_base_mva
    energy = rows.unit_e_mwh.to_numpy(float) / grid.s_base_mva
    return Storages(
        index=rows.index.to_numpy(np.int64),
        node=grid.nodes_of(rows.bus.to_numpy()),
        sop=np.full(len(rows), NONE),
        owner=rows.participant.to_numpy(np.int64),
        p_charge=power,
        p_discharge=power,
        e_min=energy * rows.min_soc_percent.to_numpy(float) / 100.0,
        e_max=energy,
        e_start=np.full(len(rows), np.nan),
        charge_efficiency=rows.charge_efficiency_percent.to_numpy(float) / 100.0,
        discharge_efficiency=rows.discharge_efficiency_percent.to_numpy(float) / 100.0,
        degradation_eur_per_mwh=rows.variable_om_eur_per_mwh.to_numpy(float),
    )


def _refuse_technologies(table: Any, technology: Array) -> None:
    foreign = ~np.isin(technology, SUPPORTED)
    if foreign.any():
        raise UnsupportedFeature(
            "plan_network",
            Finding(
                table="candidate",
                column="technology",
                rows=tuple(table.index[foreign]),
                rule="is not built by this version",
                mend=f"choose one of {', '.join(SUPPORTED)}, or set in_service to False",
            ),
        )


def _findings(
    table: Any, technology: Array, node: Array, ends: list[Any], days: xr.Dataset
) -> Iterator[Finding]:
    dead = (node < 0) & (technology != "line")
    if dead.any():
        yield Finding(
            table="candidate",
            column="bus",
            rows=tuple(table.index[dead]),
            rule="is not fed by any external grid",
            mend="choose an energised bus",
        )
    useless = [e is not None and (min(e) < 0 or e[0] == e[1]) for e in ends]
    if any(useless):
        yield Finding(
            table="candidate",
            column="line",
            rows=tuple(table.index[useless]),
            rule="does not tie two different energised nodes",
            mend="choose another line, or set in_service to False",
        )
    known = [str(name) for name in days[TECHNOLOGY].to_numpy()] if TECHNOLOGY in days else []
    blind = [t in GENERATION and t not in known for t in technology]
    if any(blind):
        yield Finding(
            table="candidate",
            column="technology",
            rows=tuple(table.index[blind]),
            rule="has no availability profile",
            mend="add it to availability_pu(time, technology) of the profiles",
        )
