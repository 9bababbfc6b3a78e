"""Candidates of a plan as arrays: what may be built, where, at what annual cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
import xarray as xr

from planning.candidate_input import (
    ENERGY,
    FORMING,
    RENEWABLE,
    added_energy,
    candidate_findings,
    new_generators,
    new_storages,
    refuse_technologies,
    resupply_ties,
    terminals_of,
    tie_ends,
    tied_nodes,
)
from planning.candidate_input import GENERATION as GENERATION  # noqa: PLC0414 (others read it here)
from planning.costs import capital_recovery_factor
from planning.reliability import Reserve, Tie
from planning.replacement import Replacement, read_replacements
from pp_p2p.elements.schema import NONE
from pp_p2p.elements.tables import frame
from pp_p2p.errors import raise_if_any
from pp_p2p.network.branches import Array
from pp_p2p.network.grid import GridData
from pp_p2p.network.portfolio import Generators, Storages
from pp_p2p.network.sop_data import SoftOpenPoints
from pp_p2p.network.timeline import Timeline


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """In-service rows of ``net.candidate``.

    Parameters
    ----------
    index, bus, node, owner, max_units : (candidate,) of int
        `node` is -1 for a line.
    name, technology : (candidate,) of str
    unit_p_mw, unit_e_mwh, unit_sn_mva : (candidate,) of float
        Size of one unit.
    continuous : (candidate,) of bool
        Whether any size up to `max_units` may be built, or whole units.
    reserve_mwh : (candidate,) of float
        Energy of one unit that is kept for islands, after discharge losses.
    capex_eur, annuity_eur_per_year, fixed_om_eur_per_year : (candidate,) of float
        Per unit.
    fixed_capex_eur, fixed_annuity_eur_per_year : (candidate,) of float
        Of the site, whatever is built there.
    variable_om_eur_per_mwh, emission_t_per_mwh : (candidate,) of float
    ends : tuple of (bus, bus) or None
        Buses that a line would tie.
    generators, storages : Generators, Storages
        Devices of one unit each; `generator_of`, `storage_of` are their positions here.
    energy_of, energy_host : (energy,) of int
        Candidates that add energy alone, and the storage candidates that get it.
    sop : (candidate,) of int
        Row of ``net.sop`` that would be built, `NONE` for all others.
    sops : SoftOpenPoints
        Terminals of one unit of each of those.
    resupply : tuple of (candidate, Tie)
        What soft open points connect after a fault.
    replacements : tuple of Replacement
        Lines that would be replaced.
    switch : (candidate,) of int
        Row of ``net.switch`` that would get remote control, `NONE` for all others.
    rows : DataFrame
        The rows of ``net.candidate``.
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
    unit_sn_mva: Array
    continuous: Array
    reserve_mwh: Array
    capex_eur: Array
    annuity_eur_per_year: Array
    fixed_capex_eur: Array
    fixed_annuity_eur_per_year: Array
    fixed_om_eur_per_year: Array
    variable_om_eur_per_mwh: Array
    emission_t_per_mwh: Array
    ends: tuple[tuple[int, int] | None, ...]
    line: Array
    generators: Generators
    storages: Storages
    generator_of: Array
    storage_of: Array
    energy_of: Array
    energy_host: Array
    sop: Array
    sops: SoftOpenPoints
    resupply: tuple[tuple[int, Tie], ...]
    replacements: tuple[Replacement, ...]
    switch: Array
    rows: pd.DataFrame

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
        refuse_technologies(table, technology)
        node = grid.nodes_of(table.bus.to_numpy())
        ends = tuple(tie_ends(net, row) for row in table.itertuples())
        raise_if_any(candidate_findings(table, technology, node, tied_nodes(grid, ends), days))

        def column(name: str) -> Array:
            return np.asarray(table[name].to_numpy(float))

        generator_of = np.flatnonzero(np.isin(technology, GENERATION))
        storage_of = np.flatnonzero(technology == "storage")
        energy_of, host = added_energy(table, technology)
        discharge = column("discharge_efficiency_percent") / 100.0
        stored = np.isin(technology, ("storage", ENERGY))
        kept = column("min_soc_percent") / 100.0 * discharge
        kept[energy_of] = kept[host]
        alone = technology == ENERGY
        unit_e = column("unit_e_mwh")
        terminals = terminals_of(net, table, technology)
        sop = np.where(technology == "sop", table["sop"].to_numpy(np.int64), NONE)
        recovery = [capital_recovery_factor(interest_rate, years) for years in table.lifetime_years]
        return cls(
            index=table.index.to_numpy(np.int64),
            bus=table.bus.to_numpy(np.int64),
            node=node,
            owner=table.participant.to_numpy(np.int64),
            max_units=table.max_units.to_numpy(np.int64),
            name=table.name.to_numpy(object).astype(str),
            technology=technology,
            unit_p_mw=np.where(alone, 0.0, column("unit_p_mw")),
            unit_e_mwh=unit_e,
            unit_sn_mva=np.where(alone, 0.0, column("unit_sn_mva")),
            continuous=(table.sizing == "continuous").to_numpy(bool),
            reserve_mwh=np.where(stored, unit_e * kept, 0.0),
            capex_eur=column("capex_eur_per_unit"),
            annuity_eur_per_year=column("capex_eur_per_unit") * np.array(recovery),
            fixed_capex_eur=column("fixed_capex_eur"),
            fixed_annuity_eur_per_year=column("fixed_capex_eur") * np.array(recovery),
            fixed_om_eur_per_year=column("fixed_om_eur_per_unit_per_year"),
            variable_om_eur_per_mwh=column("variable_om_eur_per_mwh"),
            emission_t_per_mwh=column("emission_t_per_mwh"),
            ends=ends,
            line=table.line.to_numpy(np.int64),
            generators=new_generators(grid, days, line, table, generator_of),
            storages=new_storages(grid, table, storage_of),
            generator_of=generator_of,
            storage_of=storage_of,
            energy_of=energy_of,
            energy_host=host,
            sop=sop,
            resupply=resupply_ties(sop, terminals),
            replacements=read_replacements(net, grid, table),
            switch=np.where(technology == "switch", table["switch"].to_numpy(np.int64), NONE),
            rows=table,
            sops=SoftOpenPoints.from_terminals(terminals, grid),
        )

    @property
    def renewable(self) -> Array:
        """Whether a candidate (candidate,) is PV or wind."""
        return np.isin(self.technology, RENEWABLE)

    @property
    def forming(self) -> Array:
        """Whether a candidate (candidate,) can form the grid of an island."""
        return np.isin(self.technology, FORMING)

    @property
    def ties_of(self) -> list[int]:
        """Candidates that are lines."""
        return [k for k, ends in enumerate(self.ends) if ends is not None]

    @property
    def paths(self) -> list[tuple[int, Tie]]:
        """What candidates connect after a fault: lines and soft open points."""
        ends = [(k, pair) for k, pair in enumerate(self.ends) if pair is not None]
        return [*((k, Tie(*pair, int(self.line[k]))) for k, pair in ends), *self.resupply]

    @property
    def least_one(self) -> Array:
        """Which candidates (candidate,) of any size are one unit at least, where they are built.

        Soft open points that feed what has lost its source: without a least size one of no size
        would do.
        """
        feeding = np.isin(np.arange(len(self.index)), [k for k, _ in self.resupply])
        return np.asarray(feeding & self.continuous)

    def site_needed(self, *, counted: bool) -> Array:
        """Return which candidates (candidate,) need a binary for their site.

        Those that cost something whatever their size, that have a least size, or, where sites are
        `counted`, those of more than one size.
        """
        whole_or_none = ~self.continuous & (self.max_units <= 1)
        sited = counted & (self.technology != ENERGY)
        wanted: Array = ((self.fixed_capex_eur > 0) | sited) & ~whole_or_none
        return wanted | self.least_one

    def reserves(self, units: Array) -> list[Reserve]:
        """Return what the storage of `units` (candidate,) keeps for islands."""
        return [
            Reserve(
                bus=int(self.bus[k]),
                energy_mwh=float(self.reserve_mwh[k] * units[k]),
                power_mw=float(self.unit_p_mw[k] * units[k]),
            )
            for k in (*self.storage_of, *self.energy_of)
        ]

    def ties(self, units: Array) -> list[Tie]:
        """Return what lines and soft open points that `units` (candidate,) build connect."""
        return [tie for k, tie in self.paths if units[k] > 0.5]

    @property
    def remote_h(self) -> dict[int, float]:
        """Time (h) of the remote control that switches may get."""
        times = self.rows["remote_switching_time_h"].to_numpy(float)
        pairs = zip(self.switch.tolist(), times.tolist(), strict=True)
        return {row: time for row, time in pairs if row != NONE}

    def remote(self, units: Array) -> list[int]:
        """Return the switches that `units` (candidate,) give remote control."""
        return [int(row) for row in self.switch[(self.switch != NONE) & (units > 0.5)]]

    def built_lines(self, units: Array) -> list[int]:
        """Return the rows of ``net.line`` that `units` (candidate,) build."""
        return [int(row) for row in self.line[(self.technology == "line") & (units > 0.5)]]
