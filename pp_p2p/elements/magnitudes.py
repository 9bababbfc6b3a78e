"""Numbers whose magnitude says that they are in another unit: percent for p.u., kW for MW.

What no network can be is wrong (`wrong_magnitudes`, refused wherever a net is read); what hardly
any is, is doubtful (`doubtful_magnitudes`: told by `pp_p2p.validate` and by a study, and taken as
it stands). The thresholds leave every network that pandapower ships as it is, by factors of two and
more (`tests/elements/test_magnitudes.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pandas as pd

from pp_p2p.elements.checks import Mask
from pp_p2p.elements.tables import frame
from pp_p2p.errors import Finding

LOWEST_VM_PU: Final = 0.5
HIGHEST_VM_PU: Final = 1.5
"""No network is operated outside of these: a band that lies beyond them is none."""

NO_VM_PU: Final = 10.0
"""An upper limit above it is in percent or in kV; pandapower's own "no limit" is 2."""

MV_UP_TO_KV: Final = 60.0
LARGEST_LOAD_KA: Final = 2.0
"""A load that draws more, at `MV_UP_TO_KV` or below, is hardly one: 35 MW at 10 kV, 1.4 MW at 0.4
kV. In pandapower's distribution networks the largest draws 0.6 kA."""

OF_THE_FEEDER: Final = 10.0
"""A single unit of more than so many times the load, and the generation, of the whole net."""

HOURS_OF_THE_FEEDER: Final = 240.0
"""Energy of a single unit, h of the same."""

RATED_FROM_KA: Final = 50.0
UNLIMITED_FROM_KA: Final = 9000.0
"""Ratings of lines between these are in A; 99999 is pandapower's "no limit"."""

Net = Any


def wrong_magnitudes(net: Net) -> Iterator[Finding]:
    """Yield voltages in p.u. that cannot be meant as such, of buses and sources in service."""
    percent = "write it in p.u.: 1.1 for 110 %"
    bus = _live(net, "bus")
    high, low = (_numbers(bus, f"{end}_vm_pu") for end in ("max", "min"))
    is_other = f"is above {NO_VM_PU:g}: percent or kV, not p.u."
    yield from _finding(bus, high > NO_VM_PU, "bus", "max_vm_pu", is_other, percent)
    yield from _finding(
        bus, high < LOWEST_VM_PU, "bus", "max_vm_pu", f"is below {LOWEST_VM_PU:g} p.u.",
        "write the voltage itself, not its deviation: 1.1 for 10 % above",
    )  # fmt: skip
    beyond = f"is above {HIGHEST_VM_PU:g} p.u."
    yield from _finding(bus, low > HIGHEST_VM_PU, "bus", "min_vm_pu", beyond, percent)
    source = _live(net, "ext_grid")
    vm = _numbers(source, "vm_pu")
    outside = f"is not within {LOWEST_VM_PU:g} to {HIGHEST_VM_PU:g} p.u."
    beside = (vm > HIGHEST_VM_PU) | ((vm > 0) & (vm < LOWEST_VM_PU))
    yield from _finding(source, beside, "ext_grid", "vm_pu", outside, "write it in p.u.")


def doubtful_magnitudes(net: Net) -> tuple[Finding, ...]:
    """Return numbers that are taken as they stand, and are probably in another unit."""
    found = list(_voltages(net))
    if _is_distribution(net):
        found += [*_loads(net), *_lines(net)]
    if not any(one.table == "load" for one in found):  # else there is nothing to compare with
        found += _units(net)
    return tuple(found)


def _voltages(net: Net) -> Iterator[Finding]:
    bus = _live(net, "bus")
    high = _numbers(bus, "max_vm_pu")
    wide = (high > 2.0) & (high <= NO_VM_PU)
    yield from _finding(bus, wide, "bus", "max_vm_pu", "is above 2 p.u.", "check its unit")


def _is_distribution(net: Net) -> bool:
    """Tell whether no load stands above `MV_UP_TO_KV`: those of transmission are lumped."""
    return not (_kv_of(net, _live(net, "load")) > MV_UP_TO_KV).any()


def _kv_of(net: Net, rows: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray(net["bus"]["vn_kv"].reindex(rows["bus"]).to_numpy(float))


def _loads(net: Net) -> Iterator[Finding]:
    load = _live(net, "load")
    ka = _mva(load) / (np.sqrt(3.0) * _kv_of(net, load))
    rule = f"draws more than {LARGEST_LOAD_KA:g} kA at its bus's vn_kv"
    mend = "p_mw is in MW, vn_kv in kV: divide kW by 1000"
    yield from _finding(load, ka > LARGEST_LOAD_KA, "load", "p_mw", rule, mend)


def _lines(net: Net) -> Iterator[Finding]:
    line = _live(net, "line")
    ka = _numbers(line, "max_i_ka")
    rule = f"is more than {RATED_FROM_KA:g} kA"
    mend = "divide A by 1000 (99999 is no limit)"
    amps = (ka > RATED_FROM_KA) & (ka < UNLIMITED_FROM_KA)
    yield from _finding(line, amps, "line", "max_i_ka", rule, mend)


def _units(net: Net) -> Iterator[Finding]:
    """Yield generators, storages and candidates that are far larger than the whole net."""
    load = float(_mva(_live(net, "load")).sum())
    fed = float(sum(_mva(_live(net, name)).sum() for name in ("sgen", "gen") if name in net))
    candidate = frame(net, "candidate")
    candidate = candidate[candidate["in_service"].to_numpy(dtype=np.bool_)]
    whole = max(load, fed)
    for rows, table, column, values, most in (
        (sgen := _live(net, "sgen"), "sgen", "p_mw", _mva(sgen), OF_THE_FEEDER * load),
        (candidate, "candidate", "unit_p_mw", None, OF_THE_FEEDER * whole),
        (candidate, "candidate", "unit_e_mwh", None, HOURS_OF_THE_FEEDER * whole),
        (_live(net, "storage"), "storage", "max_e_mwh", None, HOURS_OF_THE_FEEDER * whole),
    ):
        numbers = _numbers(rows, column) if values is None else values
        energy = column.endswith("_mwh")
        unit, of = ("MWh", "in ten days") if energy else ("MW", "times ten")
        rule = f"is more than {most:.3g} {unit}: the load of the whole net, {of}"
        mend = f"{column} is in {unit}: divide k{unit[1:]} by 1000"
        if load > 0:
            yield from _finding(rows, numbers > most, table, column, rule, mend)


def _live(net: Net, table: str) -> pd.DataFrame:
    rows: pd.DataFrame = net[table]
    return rows[rows["in_service"].to_numpy(dtype=np.bool_)]


def _numbers(rows: pd.DataFrame, column: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return a column as numbers, NaN where it has none: what is no number is told elsewhere."""
    if column not in rows:
        return np.full(len(rows), np.nan)
    return np.asarray(pd.to_numeric(rows[column], errors="coerce").to_numpy(dtype=float))


def _mva(rows: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
    p, q = _numbers(rows, "p_mw"), np.nan_to_num(_numbers(rows, "q_mvar"))
    scaling = _numbers(rows, "scaling") if "scaling" in rows else 1.0
    return np.asarray(np.nan_to_num(np.hypot(p, q) * scaling))


def _finding(
    rows: pd.DataFrame, mask: Mask, table: str, column: str, rule: str, mend: str
) -> Iterator[Finding]:
    if mask.any():
        at = tuple(rows.index[mask].tolist())
        yield Finding(table=table, column=column, rows=at, rule=rule, mend=mend)
