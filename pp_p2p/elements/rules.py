"""Rules between rows and tables: references, and what a row must be to make sense.

Each rule reads typed frames, so that a wrong type is reported once, by the schema.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from pp_p2p.elements.checks import Mask
from pp_p2p.elements.schema import NONE, Column, Table, shown
from pp_p2p.elements.tables import TABLES
from pp_p2p.errors import Finding

Net = Mapping[str, Any]
"""A pandapower net, or one with some tables replaced on trial."""

PARTS: Final[tuple[tuple[str, Column], ...]] = tuple(
    (table.name, column) for table in TABLES.values() for column in table.columns if column.least
)
"""Tables that hold the parts of something, with the column that names the whole."""


def index_of(net: Net, table: str) -> pd.Index[Any]:
    """Return the index of `table`, empty where the net has no such table."""
    rows = net.get(table)
    return rows.index if isinstance(rows, pd.DataFrame) else pd.Index([], dtype="int64")


def nearest(wanted: object, known: pd.Index[Any]) -> str:
    """Return which label of `known` was probably meant by `wanted`, as text."""
    labels = [label for label in known.tolist() if isinstance(label, int)]
    if not labels:
        return "there is none yet"
    span = f"there are {len(labels)}, from {min(labels)} to {max(labels)}"
    if isinstance(wanted, bool) or not isinstance(wanted, int | float | np.number):
        return span
    aim = float(wanted)
    return f"{span}; did you mean {min(labels, key=lambda label: (abs(label - aim), label))}?"


def lost(net: Net, column: Column, values: pd.Series) -> Mask:
    """Return where `values` of the reference `column` name rows that do not exist."""
    read = column.read(values)
    gone = ~np.isin(read.values, index_of(net, str(column.references)).to_numpy())
    gone &= ~(read.missing | read.wrong)
    return gone if column.required else gone & (read.values != NONE)


def dangling(
    net: Net, table: str, column: Column, values: pd.Series, *, or_else: str = ""
) -> Iterator[Finding]:
    """Yield the finding that `column` names rows which do not exist; `or_else` adds a mend."""
    target = column.references
    if target is None:
        return
    where = lost(net, column, values)
    if where.any():
        gone = column.read(values).values[where].tolist()
        yield Finding(
            table=table,
            column=column.name,
            rows=tuple(values.index[where].tolist()),
            rule=f"must be a row of net.{target}, is {shown(gone)}",
            mend=f"name an existing {target} ({nearest(gone[0], index_of(net, target))}){or_else}",
        )


def too_few(net: Net, part: str, column: Column) -> Mask:
    """Return which rows of the table that `column` references are named by too few parts."""
    labels = index_of(net, str(column.references)).tolist()
    rows, owners = net.get(part), Counter[Any]()
    if isinstance(rows, pd.DataFrame) and column.name in rows.columns:
        owners.update(column.read(rows[column.name]).values.tolist())
    return np.array([owners[label] < column.least for label in labels], dtype=np.bool_)


def incomplete(net: Net, whole: str, *, or_else: str = "") -> Iterator[Finding]:
    """Yield which rows of `whole` have too few parts; `or_else` adds a mend."""
    for part, column in PARTS:
        if column.references == whole:
            yield from _if_any(
                index_of(net, whole),
                too_few(net, part, column),
                (whole, ""),
                f"must have {column.least} or more {part.removeprefix(whole + '_')}s",
                f"give it {column.least} or more: create_{whole}(net, ...){or_else}",
            )


def repeated(table: Table, frame: pd.DataFrame) -> Mask:
    """Return which rows name the same as another one, where each must name its own."""
    if not table.unique:
        return np.zeros(len(frame), dtype=np.bool_)
    named = (frame[table.unique[-1]] != NONE).to_numpy()
    same = frame.duplicated(list(table.unique), keep=False).to_numpy()
    return np.asarray(named & same, dtype=np.bool_)


def declared_rules(table: Table, frame: pd.DataFrame) -> Iterator[Finding]:
    """Yield where rows of a typed `frame` break what is declared of them beyond single values."""
    *group, last = table.unique or ("",)
    rule, mend = f"must be a {last} that no other row names", f"keep one row per {last}"
    if group:
        part = table.name.removeprefix(group[0] + "_")
        rule = f"must differ between the {part}s of one {group[0]}"
        mend = f"give each {part} a {last} of its own"
    yield from _if_any(frame.index, repeated(table, frame), (table.name, last), rule, mend)
    for column in table.columns:
        if column.needed_where is None:
            continue
        by, *values = column.needed_where
        yield from _if_any(
            frame.index,
            frame[by].isin(values).to_numpy() & (frame[column.name] == NONE).to_numpy(),
            (table.name, column.name),
            f"must be given for {by} {' or '.join(map(repr, values))}",
            f"name a row of net.{column.references}",
        )


def _sop_terminals(net: Net, frame: pd.DataFrame) -> Iterator[Finding]:
    for column, beyond in (
        ("min_q_mvar", frame["min_q_mvar"] > frame["sn_mva"]),
        ("max_q_mvar", frame["max_q_mvar"] < -frame["sn_mva"]),
    ):
        yield from _if_any(
            frame.index,
            beyond.to_numpy(),
            ("sop_terminal", column),
            "must lie within the rating",
            "bring it within -sn_mva .. sn_mva, or raise sn_mva",
        )
    for at, trafo in _across_transformers(net, frame):
        yield Finding(
            table="sop_terminal",
            column="bus",
            rows=at,
            rule=f"are the two sides of trafo {trafo}: the device would connect no two feeders",
            mend="name a bus of another feeder, or take the transformer out of service",
        )
    yield from _if_any(
        frame.index,
        (frame["min_q_mvar"] > frame["max_q_mvar"]).to_numpy(),
        ("sop_terminal", "min_q_mvar"),
        "must not be above max_q_mvar",
        "exchange the two limits",
    )
    holds = (frame["control_mode_dc"] == "vm_pu").to_numpy() & frame["in_service"].to_numpy()
    per_device = frame["sop"].map(Counter(frame["sop"][holds].tolist())).to_numpy()
    yield from _if_any(
        frame.index,
        holds & (per_device > 1),
        ("sop_terminal", "control_mode_dc"),
        "must be 'vm_pu' for one terminal of a device only",
        "let the others hold 'p_mw'",
    )


def _across_transformers(
    net: Net, frame: pd.DataFrame
) -> Iterator[tuple[tuple[object, ...], object]]:
    """Yield the terminals of one device on both sides of a transformer, with its row.

    Two converters in parallel to a transformer connect no two feeders: nearly always it is the
    wrong bus. Where they stand for the transformer, it is out of service.
    """
    if "trafo" not in net or not {"hv_bus", "lv_bus", "in_service"} <= set(net["trafo"]):
        return
    trafo = net["trafo"][net["trafo"]["in_service"].to_numpy(dtype=np.bool_)]
    sides = {
        (hv, lv): label
        for label, hv, lv in zip(trafo.index, trafo["hv_bus"], trafo["lv_bus"], strict=True)
    }
    if not sides:
        return
    for _, members in frame[frame["in_service"].to_numpy(dtype=np.bool_)].groupby("sop"):
        for one, two in itertools.permutations(members.index.tolist(), 2):
            ends = members["bus"].at[one], members["bus"].at[two]
            if ends in sides:
                yield tuple(sorted((one, two))), sides[ends]


def _candidates(net: Net, frame: pd.DataFrame) -> Iterator[Finding]:
    technology = frame["technology"].to_numpy()
    for column, needing in (
        ("unit_p_mw", ("pv", "wind", "dispatchable", "storage")),
        ("unit_e_mwh", ("storage", "storage_energy")),
    ):
        empty = np.isin(technology, needing) & (frame[column].to_numpy() == 0)
        if column == "unit_e_mwh" and empty.any():
            empty &= ~_has_energy(frame)
        yield from _if_any(
            frame.index,
            empty,
            ("candidate", column),
            f"must be > 0 for {', '.join(needing)}",
            "give the size of one unit",
        )
    line = frame["line"].to_numpy()
    tie = technology == "line"
    yield from _if_any(
        frame.index,
        tie & np.isin(line, index_of(net, "line").to_numpy()) & ~np.isin(line, _open_lines(net)),
        ("candidate", "line"),
        "must be a line that is out of service or open",
        "put the line out of service (in_service=False) or open a switch on it",
    )
    if np.isin(technology, ("replacement", "sop")).any():
        for text, broken, column, rule, mend in _impossible(net, frame):
            where = (technology == text) & broken & frame["in_service"].to_numpy(dtype=np.bool_)
            yield from _if_any(frame.index, where, ("candidate", column), rule, mend)
    stepwise = ("line", "replacement", "switch")
    yield from _if_any(
        frame.index,
        np.isin(technology, stepwise) & (frame["max_units"].to_numpy() > 1),
        ("candidate", "max_units"),
        f"must be 1 for {', '.join(stepwise)}",
        "set it to 1: it is built or not",
    )
    yield from _if_any(
        frame.index,
        np.isin(technology, stepwise) & (frame["sizing"] == "continuous").to_numpy(),
        ("candidate", "sizing"),
        f"must be 'units' for {', '.join(stepwise)}",
        "set it to 'units': it is built or not",
    )
    yield from _if_any(
        frame.index,
        _twice(frame),
        ("candidate", "technology"),
        "must not be there twice at one place for one owner",
        "keep one row and raise its max_units, or set in_service of the others to False",
    )


def _has_energy(frame: pd.DataFrame) -> Mask:
    """Return which storage candidates get their energy from others of their owner at their bus."""
    technology = frame["technology"].to_numpy()
    places = list(zip(frame["bus"].tolist(), frame["participant"].tolist(), strict=True))
    adding = {place for place, t in zip(places, technology, strict=True) if t == "storage_energy"}
    given = np.array([place in adding for place in places], dtype=np.bool_)
    return np.asarray(given & (technology == "storage"), dtype=np.bool_)


def _twice(frame: pd.DataFrame) -> Mask:
    """Return which candidates say the same as another one that may be built, but for its cost."""
    columns = ("bus", "technology", "line", "sop", "switch", "std_type", "parallel", "participant")
    keys = list(zip(*(frame[name].tolist() for name in columns), strict=True))
    live = (frame["in_service"].to_numpy(dtype=np.bool_)) & (frame["max_units"].to_numpy() > 0)
    count = Counter(key for key, on in zip(keys, live.tolist(), strict=True) if on)
    twice = [on and count[key] > 1 for key, on in zip(keys, live.tolist(), strict=True)]
    return np.array(twice, dtype=np.bool_)


def _impossible(net: Net, frame: pd.DataFrame) -> Iterator[tuple[str, Mask, str, str, str]]:
    """Yield technology, where its target cannot be what it needs to be, column, rule and mend."""
    line, sop = frame["line"].to_numpy(), frame["sop"].to_numpy()
    used = np.setdiff1d(index_of(net, "line").to_numpy(), _open_lines(net))
    known_line = np.isin(line, index_of(net, "line").to_numpy())
    yield (
        "replacement",
        known_line & ~np.isin(line, used),
        "line",
        "must be a line that is in service and closed",
        "name the line that would be replaced",
    )
    live = index_of(net, "sop")
    if "sop" in net and "in_service" in net["sop"]:
        live = live[net["sop"]["in_service"].to_numpy(dtype=np.bool_)]
    yield (
        "sop",
        np.isin(sop, live.to_numpy()),
        "sop",
        "must be a soft open point that is out of service",
        "create it with in_service=False",
    )


def _open_lines(net: Net) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the lines that carry nothing: out of service, or with an open line switch."""
    idle = index_of(net, "line").to_numpy()
    if "line" in net:
        idle = idle[~net["line"]["in_service"].to_numpy(dtype=np.bool_)]
    if "switch" not in net:
        return idle.astype(np.int64)
    switch = net["switch"]
    opened = (switch["et"] == "l").to_numpy() & ~switch["closed"].to_numpy(dtype=np.bool_)
    return np.union1d(idle, switch["element"].to_numpy()[opened]).astype(np.int64)


def _if_any(
    index: pd.Index[Any], mask: Mask, place: tuple[str, str], rule: str, mend: str
) -> Iterator[Finding]:
    if mask.any():
        table, column = place
        rows = tuple(index[mask].tolist())
        yield Finding(table=table, column=column, rows=rows, rule=rule, mend=mend)


ROW_RULES: Final[Mapping[str, Callable[[Net, pd.DataFrame], Iterator[Finding]]]] = {
    "sop_terminal": _sop_terminals,
    "candidate": _candidates,
}
"""What rows of a table must keep beyond what is declared of them, by the table."""
