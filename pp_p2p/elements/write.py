"""Rows and columns are tried on a copy, checked, and only then put into the net."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pp_p2p.elements.rules import index_of, nearest
from pp_p2p.elements.schema import shown
from pp_p2p.elements.tables import (
    EXTENSIONS,
    SCHEMA_VERSION,
    SCHEMA_VERSION_KEY,
    TABLES,
    extension,
    frame,
)
from pp_p2p.elements.validate import extension_findings, table_findings
from pp_p2p.errors import Finding, InvalidInput, raise_if_any

if TYPE_CHECKING:
    from pandapower import pandapowerNet

Row = Mapping[str, object]


def next_index(net: pandapowerNet, table: str, wanted: int | None) -> int:
    """Return `wanted`, or the next free index where it is None.

    Raises
    ------
    InvalidInput
        Where `wanted` is taken or is not a whole number >= 0.
    """
    taken = index_of(net, table)
    free = int(taken.max()) + 1 if len(taken) else 0
    if wanted is None:
        return free
    mend = f"leave index out, or take {free}"
    if isinstance(wanted, bool) or not isinstance(wanted, int | np.integer) or wanted < 0:
        rule = f"must be a whole number >= 0, is {wanted!r}"
        raise InvalidInput(Finding(table=table, column="index", rule=rule, mend=mend))
    if wanted in taken:
        rule = f"{wanted} is the index of another row"
        raise InvalidInput(Finding(table=table, column="index", rule=rule, mend=mend))
    return int(wanted)


def add_rows(net: pandapowerNet, added: Mapping[str, tuple[Sequence[int], Sequence[Row]]]) -> None:
    """Add rows to our tables: all of them, or none.

    Parameters
    ----------
    net : pandapowerNet
        Is changed only where nothing is wrong.
    added : mapping of str to (index, rows)
        By the table; a row gives a value for every column that has no default.

    Raises
    ------
    InvalidInput
        With everything that is wrong with the new rows; older rows only have to be readable.
    """
    trial = {name: _grown(net, name, index, rows) for name, (index, rows) in added.items()}
    overlay: Mapping[str, Any] = ChainMap(trial, net)
    raise_if_any(
        finding
        for name, (index, _) in added.items()
        for finding in _about(index, table_findings(overlay, name))
    )
    for name, table in {name: _with_extras(net, name, trial[name]) for name in added}.items():
        net[name] = table
    if SCHEMA_VERSION_KEY not in net:
        net[SCHEMA_VERSION_KEY] = SCHEMA_VERSION


def set_columns(
    net: pandapowerNet,
    changes: Mapping[str, tuple[int | Iterable[int] | None, Mapping[str, object]]],
) -> None:
    """Set our columns in pandapower's tables: all of them, or none.

    Parameters
    ----------
    net : pandapowerNet
        Is changed only where nothing is wrong.
    changes : mapping of str to (rows, values)
        By the table. Rows None is all rows. Values by the column: one for all rows, or a
        sequence with one for each row; None leaves the column as it is.

    Raises
    ------
    InvalidInput
        With everything that is wrong with the new values.
    """
    changed: dict[str, pd.DataFrame] = {}
    found: list[Finding] = []
    for table, (rows, values) in changes.items():
        given = {name: value for name, value in values.items() if value is not None}
        labels, wrong = known_labels(net, table, rows)
        wrong += [] if wrong else _lengths(table, given, len(labels))
        if wrong:
            found += wrong
            continue
        columns = {name: extension(net, table, name).astype(object) for name in given}
        for name, value in given.items():
            columns[name].loc[labels] = spread(value, len(labels))
        trial = ChainMap({table: net[table].assign(**columns)}, net)
        found += [f for f in _about(labels, extension_findings(trial, table)) if f.column in given]
        declared = EXTENSIONS[table].by_name
        changed[table] = net[table].assign(
            **{name: declared[name].read(column).values for name, column in columns.items()}
        )
    raise_if_any(found)
    for table, whole in changed.items():
        net[table] = whole


def _about(rows: Sequence[int], findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings on `rows`, without the other rows that they name."""
    mine = set(rows)
    return [
        replace(finding, rows=tuple(row for row in finding.rows if row in mine))
        for finding in findings
        if mine.intersection(finding.rows)
    ]


def _grown(
    net: pandapowerNet, name: str, index: Sequence[int], rows: Sequence[Row]
) -> pd.DataFrame:
    """Return our table with `rows` put under it as they were given, not yet checked."""
    old = frame(net, name)
    values = {column: [row.get(column) for row in rows] for column in old.columns}
    new = pd.DataFrame(values, index=np.array(index, dtype=np.int64), dtype=object)
    return pd.concat([old.astype(object), new])


def _with_extras(net: pandapowerNet, name: str, grown: pd.DataFrame) -> pd.DataFrame:
    """Return the `grown` table typed, beside the columns that the user put there."""
    typed = TABLES[name].read(grown)
    if name not in net:
        return typed
    extras: pd.DataFrame = net[name].drop(columns=list(typed.columns))
    if extras.columns.empty:
        return typed
    blank = pd.DataFrame(index=grown.index[len(extras) :])
    return pd.concat([typed, pd.concat([extras, blank]).set_axis(typed.index)], axis=1)


def known_labels(
    net: pandapowerNet, table: str, rows: int | Iterable[int] | None
) -> tuple[list[int], list[Finding]]:
    """Return the index labels that `rows` means, and what is wrong with them."""
    known = index_of(net, table)
    if rows is None and table in net:
        return known.tolist(), []
    if rows is None:
        rows = ()
    labels = list(rows) if isinstance(rows, Iterable) else [rows]
    whole = [
        isinstance(label, int | np.integer) and not isinstance(label, bool) for label in labels
    ]
    lost = [label for label, ok in zip(labels, whole, strict=True) if not (ok and label in known)]
    if not lost:
        return [int(label) for label in labels], []
    mend = f"name an existing {table} ({nearest(lost[0], known)})"
    return [], [Finding(table=table, rule=f"has no row {shown(lost)}", mend=mend)]


def _lengths(table: str, values: Mapping[str, object], n_rows: int) -> list[Finding]:
    return [
        Finding(
            table=table,
            column=name,
            rule=f"has {len(spread(value, n_rows))} values for {n_rows} rows",
            mend="give one value for all rows, or one for each",
        )
        for name, value in values.items()
        if len(spread(value, n_rows)) != n_rows
    ]


def spread(value: object, n_rows: int) -> list[Any]:
    """Return one value for each row."""
    if isinstance(value, Iterable) and not isinstance(value, str):
        return list(value)
    return [value] * n_rows
