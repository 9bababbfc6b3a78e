"""Series branches of a pandapower net as per-unit pi models.

Every line, two-winding transformer and bus-bus switch with an impedance becomes

    from --[ratio : 1]--+--- z ---+-- to
                       y_from    y_to

with the ratio at the from (high-voltage) side, as in pandapower and PYPOWER, so that voltages
equal those of ``pandapower.runpp`` with its default options (T model of the transformer).
Phase shifts do not enter the branch-flow equations of a radial grid: they are read only to tell
parallel transformers that share a current from those that drive one around.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

Array = npt.NDArray[Any]

SWITCH_RX_RATIO = 2.0
"""R/X of a bus-bus switch with an impedance: the default of ``pandapower.runpp``."""

UNLIMITED_KA = 9_999.0
"""A rating from here on means "no limit": pandapower's converters write 99999 for unknown."""


@dataclass(frozen=True, kw_only=True)
class Branches:
    """Series branches, one entry each; complex quantities are per unit.

    Parameters
    ----------
    element : (branch,) of str
        ``"line"``, ``"trafo"`` or ``"switch"``.
    index : (branch,) of int
        Row in that pandapower table.
    from_bus, to_bus : (branch,) of int
        pandapower bus indices.
    z : (branch,) of complex
        Series impedance on the base of the to bus.
    y_from, y_to : (branch,) of complex
        Shunt admittance at either end, behind the ratio.
    ratio : (branch,) of float
        Off-nominal turns ratio at the from side.
    shift : (branch,) of float
        Phase shift from the from to the to side, degrees.
    i_max : (branch,) of float
        Limit of the current through `z`, p.u. of the to side's base; ``inf`` where none is known.
    rated_from_ka, rated_to_ka : (branch,) of float
        Currents that pandapower calls 100 % loading at either end; ``inf`` where none is known.
    """

    element: Array
    index: Array
    from_bus: Array
    to_bus: Array
    z: Array
    y_from: Array
    y_to: Array
    ratio: Array
    shift: Array
    i_max: Array
    rated_from_ka: Array
    rated_to_ka: Array

    def __len__(self) -> int:
        return len(self.index)

    def take(self, rows: Array) -> Self:
        """Return the branches at positions or mask `rows`."""
        return type(self)(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @classmethod
    def concatenate(cls, *parts: Branches) -> Branches:
        """Return the branches of all `parts`, in their order."""
        return cls(
            **{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)}
        )


def line_branches(net: Any, s_base_mva: float) -> Branches:
    """Return all in-service lines of `net`, switches not considered."""
    line = net.line[net.line.in_service.to_numpy(bool)]
    vn_kv = net.bus.vn_kv.loc[line.from_bus.to_numpy()].to_numpy(float)
    z_base = vn_kv**2 / s_base_mva
    parallel = line.parallel.to_numpy(float)
    km = line.length_km.to_numpy(float)
    z = (line.r_ohm_per_km + 1j * line.x_ohm_per_km).to_numpy() * km / parallel / z_base
    siemens = _column(line, "g_us_per_km", 0.0) * 1e-6
    siemens = siemens + 2j * np.pi * net.f_hz * line.c_nf_per_km.to_numpy(float) * 1e-9
    y_half = siemens * km * parallel * z_base / 2
    rated_ka = _rating(_column(line, "max_i_ka", np.inf)) * _column(line, "df", 1.0) * parallel
    i_max = rated_ka * max_loading(line) * np.sqrt(3) * vn_kv / s_base_mva
    return Branches(
        element=np.full(len(line), "line", dtype=object),
        index=line.index.to_numpy(np.int64),
        from_bus=line.from_bus.to_numpy(np.int64),
        to_bus=line.to_bus.to_numpy(np.int64),
        z=z.astype(complex),
        y_from=y_half,
        y_to=y_half,
        ratio=np.ones(len(line)),
        shift=np.zeros(len(line)),
        i_max=i_max,
        rated_from_ka=rated_ka,
        rated_to_ka=rated_ka,
    )


def trafo_branches(net: Any, s_base_mva: float) -> Branches:
    """Return all in-service two-winding transformers of `net`, switches not considered."""
    trafo = net.trafo[net.trafo.in_service.to_numpy(bool)]
    bus_hv_kv = net.bus.vn_kv.loc[trafo.hv_bus.to_numpy()].to_numpy(float)
    bus_lv_kv = net.bus.vn_kv.loc[trafo.lv_bus.to_numpy()].to_numpy(float)
    hv_kv, lv_kv, shift = _tapped_voltages(trafo)
    sn, parallel = trafo.sn_mva.to_numpy(float), trafo.parallel.to_numpy(float)

    to_base = (lv_kv / bus_lv_kv) ** 2 * s_base_mva / sn / parallel / 100.0
    z_abs = trafo.vk_percent.to_numpy(float) * to_base
    r = trafo.vkr_percent.to_numpy(float) * to_base
    z = r + 1j * np.sign(z_abs) * np.sqrt(z_abs**2 - r**2)
    y = _magnetising_admittance(trafo, lv_kv, bus_lv_kv, s_base_mva)
    z, y_from, y_to = _pi_of_t(trafo, z, y)

    rated_mva = sn * _column(trafo, "df", 1.0) * parallel
    rated_hv_ka = rated_mva / np.sqrt(3) / trafo.vn_hv_kv.to_numpy(float)
    rated_lv_ka = rated_mva / np.sqrt(3) / trafo.vn_lv_kv.to_numpy(float)
    ratio = (hv_kv / lv_kv) * (bus_lv_kv / bus_hv_kv)
    lv_limit = rated_lv_ka * np.sqrt(3) * bus_lv_kv / s_base_mva
    hv_limit = rated_hv_ka * np.sqrt(3) * bus_hv_kv / s_base_mva * ratio
    return Branches(
        element=np.full(len(trafo), "trafo", dtype=object),
        index=trafo.index.to_numpy(np.int64),
        from_bus=trafo.hv_bus.to_numpy(np.int64),
        to_bus=trafo.lv_bus.to_numpy(np.int64),
        z=z.astype(complex),
        y_from=y_from,
        y_to=y_to,
        ratio=ratio,
        shift=shift,
        i_max=np.minimum(lv_limit, hv_limit) * max_loading(trafo),
        rated_from_ka=rated_hv_ka,
        rated_to_ka=rated_lv_ka,
    )


def switch_branches(net: Any, s_base_mva: float) -> Branches:
    """Return all closed bus-bus switches of `net` that have an impedance."""
    switch = net.switch[bus_bus_switches(net) & (_column(net.switch, "z_ohm", 0.0) > 0)]
    vn_kv = net.bus.vn_kv.loc[switch.bus.to_numpy()].to_numpy(float)
    direction = (SWITCH_RX_RATIO + 1j) / np.hypot(SWITCH_RX_RATIO, 1.0)
    z = switch.z_ohm.to_numpy(float) / (vn_kv**2 / s_base_mva) * direction
    rated_ka = _rating(_column(switch, "in_ka", np.inf))
    none = np.zeros(len(switch), dtype=complex)
    return Branches(
        element=np.full(len(switch), "switch", dtype=object),
        index=switch.index.to_numpy(np.int64),
        from_bus=switch.bus.to_numpy(np.int64),
        to_bus=switch.element.to_numpy(np.int64),
        z=z.astype(complex),
        y_from=none,
        y_to=none,
        ratio=np.ones(len(switch)),
        shift=np.zeros(len(switch)),
        i_max=rated_ka * np.sqrt(3) * vn_kv / s_base_mva,
        rated_from_ka=rated_ka,
        rated_to_ka=rated_ka,
    )


def bus_bus_switches(net: Any) -> Array:
    """Return the mask of closed bus-bus switches in ``net.switch``."""
    closed: Array = (net.switch.et == "b").to_numpy(bool) & net.switch.closed.to_numpy(bool)
    return closed


def dangling_admittance(branches: Branches, at_from: Array) -> Array:
    """Return the admittance that each branch shows at its live end while the other is open.

    Parameters
    ----------
    branches : Branches
        Lines or transformers with one end open.
    at_from : (branch,) of bool
        True where the live end is the from end.
    """
    near = np.where(at_from, branches.y_from, branches.y_to)
    far = np.where(at_from, branches.y_to, branches.y_from)
    scale = np.where(at_from, branches.ratio**2, 1.0)
    return (near + far / (1.0 + branches.z * far)) / scale


def _tapped_voltages(trafo: pd.DataFrame) -> tuple[Array, Array, Array]:
    """Return rated voltages (kV) of both windings and phase shift (degrees) at the present taps."""
    hv, lv = trafo.vn_hv_kv.to_numpy(float), trafo.vn_lv_kv.to_numpy(float)
    shift = _column(trafo, "shift_degree", 0.0)
    for tap in ("tap", "tap2"):
        if f"{tap}_pos" not in trafo or f"{tap}_changer_type" not in trafo:
            continue
        kind, side = trafo[f"{tap}_changer_type"], trafo[f"{tap}_side"]
        steps = _column(trafo, f"{tap}_pos", np.nan) - _column(trafo, f"{tap}_neutral", np.nan)
        change = np.nan_to_num(steps * _column(trafo, f"{tap}_step_percent", 0.0) / 100.0)
        degree = _column(trafo, f"{tap}_step_degree", 0.0)
        complex_ratio = 1.0 + change * np.exp(1j * np.deg2rad(degree))
        moves = kind.isin(["Ratio", "Symmetrical"]).to_numpy(bool)
        factor = np.where(moves, np.abs(complex_ratio), 1.0)
        half_turn = np.arcsin(np.clip(change / 2, -1.0, 1.0))
        ideal = np.where(degree != 0.0, np.nan_to_num(steps * degree), 2 * np.rad2deg(half_turn))
        turn = np.where(moves, np.angle(complex_ratio, deg=True), 0.0)
        turn = np.where((kind == "Ideal").to_numpy(bool), ideal, turn)
        at_hv, at_lv = (side == "hv").to_numpy(bool), (side == "lv").to_numpy(bool)
        hv, lv = np.where(at_hv, hv * factor, hv), np.where(at_lv, lv * factor, lv)
        shift = shift + np.where(at_hv, turn, 0.0) - np.where(at_lv, turn, 0.0)
    return hv, lv, shift


def _magnetising_admittance(
    trafo: pd.DataFrame, lv_kv: Array, bus_lv_kv: Array, s_base_mva: float
) -> Array:
    """Return the no-load admittance (p.u. at the low-voltage bus) from iron loss and i0."""
    iron_mw = trafo.pfe_kw.to_numpy(float) * 1e-3
    no_load_mva = trafo.i0_percent.to_numpy(float) / 100.0 * trafo.sn_mva.to_numpy(float)
    b_mva = np.sqrt(np.maximum(no_load_mva**2 - iron_mw**2, 0.0))
    scale = bus_lv_kv**2 / lv_kv**2 / s_base_mva * trafo.parallel.to_numpy(float)
    admittance: Array = (iron_mw - 1j * b_mva) * scale
    return admittance


def _pi_of_t(trafo: pd.DataFrame, z: Array, y: Array) -> tuple[Array, Array, Array]:
    """Return series impedance and both shunts of the pi model that equals the T model."""
    share_r = _column(trafo, "leakage_resistance_ratio_hv", 0.5)
    share_x = _column(trafo, "leakage_reactance_ratio_hv", 0.5)
    z_hv = z.real * share_r + 1j * z.imag * share_x
    z_lv = z - z_hv
    # wye-delta with the star leg 1/y, multiplied out so that y = 0 needs no special case
    total = z_hv * z_lv * y + z_hv + z_lv
    return total, z_lv * y / total, z_hv * y / total


def _column(table: pd.DataFrame, name: str, default: float) -> Array:
    """Return a float column; `default` where the column or the entry is missing."""
    if name not in table:
        return np.full(len(table), default)
    filled: Array = pd.to_numeric(table[name]).astype(float).fillna(default).to_numpy(float)
    return filled


def _rating(ka: Array) -> Array:
    return np.where((ka >= UNLIMITED_KA) | (ka <= 0), np.inf, ka)


def max_loading(table: pd.DataFrame) -> Array:
    """Return the highest loading allowed, as a part of the rating: all of it by default."""
    return _column(table, "max_loading_percent", 100.0) / 100.0
