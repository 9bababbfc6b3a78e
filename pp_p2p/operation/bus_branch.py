"""`BusBranch`: pandapower's own per-unit bus/branch model of a net, prepared once.

It is what ``pandapower.runpp`` hands to its Newton solver, so that switches, taps, phase shifts,
three-winding transformers, wards, shunts, impedances and open ends are what pandapower makes of
them. A branch from f to t with series admittance y, charging g + jb and ratio k e^{j theta} is

    I_f = (y + (g + jb) / 2) / k^2 V_f - y / (k e^{-j theta}) V_t
    I_t = (y + (g + jb) / 2) V_t - y / (k e^{j theta}) V_f                                 (1)

(Zimmerman et al. 2011, MATPOWER, eq. 3.2), and where pandapower charges the ends differently, the
difference stands at t as a shunt.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Self

import numpy as np
import pandapower as pp
import pandas as pd

# runpp's own preparation: the public converter `to_ppc` drops the charging columns
from pandapower.auxiliary import _init_runpp_options
from pandapower.pd2ppc import _pd2ppc
from pandapower.pypower import idx_brch, idx_bus, idx_gen
from pandapower.pypower.makeYbus import makeYbus

from pp_p2p.errors import raise_if_any
from pp_p2p.network.branches import Array
from pp_p2p.network.native_rules import native_findings
from pp_p2p.operation.flow_support import no_source, raise_two_masters, raise_unsupported

DEVICES: Final = ("load", "sgen", "storage")
"""Tables whose power is given step by step; that of all others stands in the model."""

NOTHING: Final[Mapping[int, float]] = MappingProxyType({})

_REGULATED, _REFERENCE = 2, 3
_OPTIONS: Final = MappingProxyType(
    {
        "algorithm": "nr",
        "calculate_voltage_angles": True,
        "init": "flat",
        "max_iteration": "auto",
        "tolerance_mva": 1e-8,
        "trafo_model": "t",
        "trafo_loading": "current",
        "enforce_p_lims": False,
        "enforce_q_lims": False,
        "check_connectivity": True,
        "voltage_depend_loads": False,
        "numba": False,
        "lightsim2grid": False,
    }
)
"""Defaults of ``pandapower.runpp``, without a start."""

_MODEL_OPTIONS: Final = frozenset(
    {
        "calculate_voltage_angles",
        "check_connectivity",
        "consider_line_temperature",
        "neglect_open_switch_branches",
        "switch_rx_ratio",
        "trafo3w_losses",
        "trafo_model",
    }
)
"""Keys of ``net.user_pf_options`` that change the model; they hold here as in ``runpp``."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Branches of one element table, in the order of its rows.

    Parameters
    ----------
    index : (element,) of int
        Labels of the table.
    branch : (element, winding) of int
        Row of `BusBranch`; -1 where it carries nothing.
    from_alive, to_alive : (element, winding) of bool
        Whether the end is energised: where nothing is carried, the current there is 0, else NaN.
    rated_from_ka, rated_to_ka : (element, winding)
        Current at 100 % loading.
    """

    index: Array
    branch: Array
    from_alive: Array
    to_alive: Array
    rated_from_ka: Array
    rated_to_ka: Array


@dataclass(frozen=True, kw_only=True)
class BusBranch:
    """Energised part of a net, per unit on `s_base_mva`.

    Parameters
    ----------
    s_base_mva : float
    buses : (bus,) of int
        All buses of the net.
    bus_node : (bus,) of int
        Node of each; -1 where nothing feeds it. Buses that closed switches fuse share one.
    base_ka : (node,)
        Base current.
    standing : (node,) of complex
        Consumption of motors, wards, asymmetric loads, less the active power of generators:
        everything outside `DEVICES`.
    source_node, source_vm, source_va_rad : (source,)
        Nodes with fixed voltage.
    regulated_node, regulated_vm : (regulated,)
        Nodes where generators hold the voltage with reactive power.
    ext_grid : (row,) of int
        Labels of the external grids in service, then -1 for each bus that was said to form.
    ext_grid_source : (row,) of int
        Position among the sources of each; -1 where it feeds nothing.
    from_node, to_node : (branch,) of int
    r, x, g, b, ratio, shift_rad : (branch,)
    y_shunt : (node,) of complex
    y_bus, y_from, y_to : sparse complex
        Node admittances; currents into the branch at its from and its to end.
    elements : mapping
        ``"line"``, ``"trafo"``, ``"trafo3w"`` -> `Rows`.
    """

    s_base_mva: float
    buses: Array
    bus_node: Array
    base_ka: Array
    standing: Array
    source_node: Array
    source_vm: Array
    source_va_rad: Array
    regulated_node: Array
    regulated_vm: Array
    ext_grid: Array
    ext_grid_source: Array
    from_node: Array
    to_node: Array
    r: Array
    x: Array
    g: Array
    b: Array
    ratio: Array
    shift_rad: Array
    y_shunt: Array
    y_bus: Any
    y_from: Any
    y_to: Any
    elements: Mapping[str, Rows]

    @property
    def n_nodes(self) -> int:
        """Number of electrical nodes, auxiliary ones included."""
        return len(self.base_ka)

    @property
    def y_loops(self) -> Array:
        """Admittance (node,) of branches whose ends a closed switch fuses: they are shunts."""
        y = np.zeros(self.n_nodes, dtype=complex)
        loop = np.flatnonzero(self.from_node == self.to_node)
        both = self.y_from[loop] + self.y_to[loop]
        np.add.at(y, self.from_node[loop], np.asarray(both.sum(axis=1)).ravel())
        return y

    @classmethod
    def from_net(
        cls, net: Any, *, forming: Mapping[int, float] = NOTHING, checked: bool = False
    ) -> Self:
        """Prepare `net` as ``pandapower.runpp`` does.

        Parameters
        ----------
        net : pandapowerNet
            Is not changed.
        forming : mapping of int to float, p.u.
            Buses whose voltage a converter holds, as an external grid would, and that voltage.
        checked : bool
            Whether `GridData` was made of `net`: its rows are sound then.

        Raises
        ------
        InvalidInput
            A row names a bus or an element that does not exist, or has no finite parameters.
        UnsupportedFeature
            Direct-current lines and FACTS, generators that share a node with an external grid,
            and impedances that differ by direction.
        """
        raise_if_any([] if checked else native_findings(net))
        raise_unsupported(net)
        bare = _without_devices(net, forming)
        _init_runpp_options(bare, passed_parameters={}, **_OPTIONS)
        full, ppci = _pd2ppc(bare)
        bus, branch = ppci["bus"], ppci["branch"].real
        if not (bus[:, idx_bus.BUS_TYPE] == _REFERENCE).any():
            raise no_source()
        base = float(ppci["baseMVA"])
        y_bus, y_from, y_to = makeYbus(base, bus, ppci["branch"])
        node = bare["_pd2ppc_lookups"]["bus"][bare.bus.index.to_numpy()]
        bus_node = np.where((node >= 0) & (node < len(bus)), node, -1)
        raise_two_masters(net, dict(zip(bare.bus.index, bus_node, strict=True)))
        sources = _sources(bare, bus, bus_node, len(forming))
        to_node = branch[:, idx_brch.T_BUS].astype(np.int64)
        y_shunt = (bus[:, idx_bus.GS] + 1j * bus[:, idx_bus.BS]) / base
        uneven = branch[:, idx_brch.BR_G_ASYM] + 1j * branch[:, idx_brch.BR_B_ASYM]
        np.add.at(y_shunt, to_node, uneven / 2)
        ratio = branch[:, idx_brch.TAP]
        return cls(
            s_base_mva=base,
            buses=bare.bus.index.to_numpy(np.int64),
            bus_node=bus_node,
            base_ka=base / np.sqrt(3) / bus[:, idx_bus.BASE_KV],
            standing=_standing(bus, ppci["gen"]) / base,
            **sources,
            **_regulated(bus, ppci["gen"]),
            from_node=branch[:, idx_brch.F_BUS].astype(np.int64),
            to_node=to_node,
            r=branch[:, idx_brch.BR_R],
            x=branch[:, idx_brch.BR_X],
            g=branch[:, idx_brch.BR_G],
            b=branch[:, idx_brch.BR_B],
            ratio=np.where(ratio == 0.0, 1.0, ratio),
            shift_rad=np.deg2rad(branch[:, idx_brch.SHIFT]),
            y_shunt=y_shunt,
            y_bus=y_bus,
            y_from=y_from,
            y_to=y_to,
            elements=dict(_elements(bare, full, ppci)),
        )

    def nodes_of(self, buses: Array) -> Array:
        """Return the node of each pandapower bus, -1 where nothing feeds it."""
        position = pd.Index(self.buses).get_indexer(pd.Index(buses))
        return np.where(position >= 0, self.bus_node[position], -1)


def _without_devices(net: Any, forming: Mapping[int, float]) -> Any:
    """Return a net that shares the tables it does not change with `net`."""
    bare = copy.copy(net)
    for table in DEVICES:
        bare[table] = net[table].iloc[:0]
    options = net.user_pf_options
    bare["user_pf_options"] = {key: options[key] for key in options if key in _MODEL_OPTIONS}
    if len(forming):
        bare["ext_grid"] = net.ext_grid.copy()
        for bus, vm_pu in forming.items():
            pp.create_ext_grid(bare, int(bus), vm_pu=float(vm_pu))
    if not bare.ext_grid.in_service.any():
        raise no_source()
    return bare


def _sources(bare: Any, bus: Array, bus_node: Array, n_forming: int) -> dict[str, Array]:
    node = np.flatnonzero(bus[:, idx_bus.BUS_TYPE] == _REFERENCE)
    rows = bare.ext_grid[bare.ext_grid.in_service.to_numpy(bool)]
    at = bus_node[bare.bus.index.get_indexer(rows.bus)]
    position = np.full(len(bus) + 1, -1)
    position[node] = np.arange(len(node))
    label = rows.index.to_numpy(np.int64).copy()
    label[len(rows) - n_forming :] = -1
    vm = np.zeros(len(node))
    vm[position[at[at >= 0]]] = rows.vm_pu.to_numpy(float)[at >= 0]
    return {
        "source_node": node,
        "source_vm": vm,
        "source_va_rad": np.deg2rad(bus[node, idx_bus.VA]),
        "ext_grid": label,
        "ext_grid_source": np.where(at >= 0, position[at], -1),
    }


def _standing(bus: Array, gen: Array) -> Array:
    drawn = bus[:, idx_bus.PD] + 1j * bus[:, idx_bus.QD]
    at = gen[:, idx_gen.GEN_BUS].astype(np.int64)
    held = bus[at, idx_bus.BUS_TYPE] == _REGULATED
    np.add.at(drawn, at[held], -gen[held, idx_gen.PG])
    return np.asarray(drawn)


def _regulated(bus: Array, gen: Array) -> dict[str, Array]:
    at = gen[:, idx_gen.GEN_BUS].astype(np.int64)
    held = bus[at, idx_bus.BUS_TYPE] == _REGULATED
    node, first = np.unique(at[held], return_index=True)
    return {"regulated_node": node, "regulated_vm": gen[held, idx_gen.VG][first]}


def _elements(bare: Any, full: Any, ppci: Any) -> Iterator[tuple[str, Rows]]:
    """Yield the branches of each table by pandapower's lookups."""
    kept = ppci["internal"]["branch_is"]
    position = np.where(kept, np.cumsum(kept) - 1, -1)
    ends = full["branch"][:, [idx_brch.F_BUS, idx_brch.T_BUS]].real.astype(np.int64)
    alive = ends < len(ppci["bus"])
    lookup = bare["_pd2ppc_lookups"]["branch"]
    for table, rated in (("line", _line_ka), ("trafo", _trafo_ka), ("trafo3w", _trafo3w_ka)):
        if table not in lookup:
            continue
        first, last = lookup[table]
        # the branches of three windings stand one winding after the other
        rows = np.arange(first, last).reshape(-1, len(bare[table])).T
        rated_from, rated_to = rated(bare[table])
        yield (
            table,
            Rows(
                index=bare[table].index.to_numpy(np.int64),
                branch=position[rows],
                from_alive=alive[rows, 0],
                to_alive=alive[rows, 1],
                rated_from_ka=rated_from,
                rated_to_ka=rated_to,
            ),
        )


def _line_ka(line: pd.DataFrame) -> tuple[Array, Array]:
    rated = (line.max_i_ka * line.df * line.parallel).to_numpy(float)[:, None]
    return rated, rated


def _trafo_ka(trafo: pd.DataFrame) -> tuple[Array, Array]:
    rated = (trafo.sn_mva * trafo.parallel * trafo.df).to_numpy(float) / np.sqrt(3)
    high, low = (rated / trafo[column].to_numpy(float) for column in ("vn_hv_kv", "vn_lv_kv"))
    return high[:, None], low[:, None]


def _trafo3w_ka(trafo: pd.DataFrame) -> tuple[Array, Array]:
    """Return the ratings of the terminals; the inner ends of the star have none."""
    high, middle, low = (
        (trafo[f"sn_{side}_mva"] / trafo[f"vn_{side}_kv"]).to_numpy(float) / np.sqrt(3)
        for side in ("hv", "mv", "lv")
    )
    none = np.full(len(trafo), np.inf)
    return np.stack([high, none, none], axis=1), np.stack([none, middle, low], axis=1)
