"""Follow the references of our tables: find those that dangle, remove them, renumber them.

Everything derives from the declarations in `tables`: a reference that is declared there is
followed here. `check` and `drop_orphans` are for nets that pandapower's own functions changed;
`toolbox` has functions that do not break anything in the first place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pandas as pd

from pp_p2p.elements.checks import Mask
from pp_p2p.elements.rules import PARTS, dangling, incomplete, index_of, lost, too_few
from pp_p2p.elements.schema import NONE, Column
from pp_p2p.elements.tables import EXTENSIONS, TABLES
from pp_p2p.elements.validate import OR_DROP, findings
from pp_p2p.elements.write import known_labels
from pp_p2p.errors import Finding, InvalidInput, raise_if_any

if TYPE_CHECKING:
    from pandapower import pandapowerNet


class Reference(NamedTuple):
    """A column of ours, in our table or in pandapower's, whose values are rows of a table."""

    table: str
    column: Column


REFERENCES: Final[tuple[Reference, ...]] = tuple(
    Reference(name, column)
    for name, declared in (*TABLES.items(), *EXTENSIONS.items())
    for column in declared.columns
    if column.references
)
"""Every reference that is declared."""


class Removed(dict[str, list[int]]):
    """Rows of our tables that were removed, by the table.

    Attributes
    ----------
    cut : dict of (str, str) to list of int
        By table and column, rows that stayed but lost an optional reference: what a participant
        owned, once the participant is gone, belongs to the operator.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cut: dict[tuple[str, str], list[int]] = {}

    def add(self, table: str, rows: list[int]) -> None:
        """Note that `rows` of `table` were removed."""
        self[table] = sorted({*self.get(table, ()), *rows})


def check(net: pandapowerNet) -> pd.DataFrame:
    """List what pandapower's own functions broke: references of ours that dangle.

    Parameters
    ----------
    net : pandapowerNet
        Is not changed.

    Returns
    -------
    (finding,) pd.DataFrame
        Columns ``table, column, rows, rule, mend``; empty where nothing dangles. `validate`
        finds these and every other mistake. What cannot be found is a reference that points to
        another, existing row since pandapower renumbered (see `pp_p2p.elements.toolbox`).
    """
    columns = ["table", "column", "rows", "rule", "mend"]
    return pd.DataFrame([asdict(finding) for finding in broken(net)], columns=columns)


def drop_orphans(net: pandapowerNet) -> Removed:
    """Remove rows of our tables whose references dangle, in place.

    Parameters
    ----------
    net : pandapowerNet
        Loses rows whose required reference dangles, and soft open points with fewer than two
        terminals; an optional reference that dangles becomes -1.

    Returns
    -------
    Removed
        Table -> rows that were removed; its ``cut`` tells the rows that lost a reference.

    Raises
    ------
    InvalidInput
        Where references cannot be read: foreign entries, repeated indices, values of another
        type. The net is left as it was.
    """
    raise_if_any(unreadable(net))
    return prune(net)


def broken(net: pandapowerNet) -> Iterator[Finding]:
    """Yield every reference that dangles, and every row with too few parts."""
    for table, column in REFERENCES:
        values = _values(net, table, column)
        if values is not None:
            yield from dangling(net, table, column, values, or_else=OR_DROP)
    for whole in TABLES:
        yield from incomplete(net, whole, or_else=OR_DROP)


def unreadable(net: pandapowerNet) -> Iterator[Finding]:
    """Yield what keeps references from being followed."""
    for name, table in TABLES.items():
        if name not in net:
            continue
        if not isinstance(net[name], pd.DataFrame):
            yield table.not_a_frame(net[name])
            continue
        yield from table.index_findings(net[name])
        needed = {column.name for column in table.columns if column.references}
        for finding in table.column_findings(net[name], unknown=False):
            if finding.column in needed:
                yield finding
    for name, column in REFERENCES:
        values = _values(net, name, column)
        if values is not None:
            yield from column.findings(name, values)


def known(net: pandapowerNet, table: str, rows: int | Iterable[int]) -> list[int]:
    """Return `rows` of any `table` as a list, each once.

    Raises
    ------
    InvalidInput
        No such table, or no such rows.
    """
    if not isinstance(net.get(table), pd.DataFrame):
        rule, mend = "is not a table of this net", "name a table, for example bus, line or load"
        raise InvalidInput(Finding(table=str(table), rule=rule, mend=mend))
    wanted: Any = rows if isinstance(rows, Iterable) else [rows]
    labels, wrong = known_labels(net, table, wanted)
    raise_if_any(wrong)
    return list(dict.fromkeys(labels))


@contextmanager
def all_or_nothing(net: pandapowerNet) -> Iterator[None]:
    """Let a change of `net` succeed as a whole, or leave the net as it was.

    Raises
    ------
    InvalidInput
        Before the change where references dangle or cannot be read; after it where a net that
        was valid would not be valid any more.
    """
    raise_if_any(unreadable(net))
    raise_if_any(broken(net))
    valid = not findings(net)
    before = {
        key: value.copy() if isinstance(value, pd.DataFrame) else value
        for key, value in net.items()
    }
    try:
        yield
        if valid:
            raise_if_any(findings(net))
    except BaseException:
        net.clear()
        net.update(before)
        raise


def prune(net: pandapowerNet, removed: Removed | None = None) -> Removed:
    """Do what `drop_orphans` says, in a net whose references can be read; add to `removed`."""
    removed = Removed() if removed is None else removed
    while orphans := _orphans(net):
        for table, rows in orphans.items():
            remove(net, table, rows, removed)
    for table, column in REFERENCES:
        values = _values(net, table, column)
        if values is None:
            continue
        gone = lost(net, column, values)
        if gone.any():
            _write(net, Reference(table, column), np.where(gone, NONE, column.read(values).values))
            removed.cut[table, column.name] = values.index[gone].tolist()
    return removed


def remove(net: pandapowerNet, table: str, rows: list[int], removed: Removed) -> None:
    """Remove `rows` of our `table` with their results and memberships in groups, and note it."""
    from pandapower.toolbox import drop_elements_simple

    drop_elements_simple(net, table, rows)
    removed.add(table, rows)


def remap(
    net: pandapowerNet,
    target: str,
    lookup: Mapping[int, int],
    first: Mapping[str, int] | None = None,
) -> None:
    """Renumber every reference to `target`.

    Parameters
    ----------
    net : pandapowerNet
        Whose table `target` is renumbered already.
    target : str
        Table that is referred to.
    lookup : mapping of int to int
        Old index -> new index; others stay.
    first : mapping of str to int, optional
        By the table that refers: position of the first row that is concerned; all where absent.
    """
    for table, column in REFERENCES:
        values = _values(net, table, column) if column.references == target else None
        if values is None:
            continue
        old = column.read(values).values
        new = np.array([lookup.get(row, row) for row in old.tolist()], dtype=np.int64)
        start = (first or {}).get(table, 0)
        new[:start] = old[:start]
        _write(net, Reference(table, column), new)


def _orphans(net: pandapowerNet) -> dict[str, list[int]]:
    """Return the rows of our tables that cannot stay, by the table."""
    gone: dict[str, Mask] = {}
    for table, column in REFERENCES:
        values = _values(net, table, column)
        if table not in TABLES or values is None:
            continue
        where = lost(net, column, values)
        if not column.required:
            where &= _needed(net[table], table, column)
        gone[table] = gone.get(table, False) | where
    for part, column in PARTS:
        whole = str(column.references)
        gone[whole] = gone.get(whole, False) | too_few(net, part, column)
    return {
        table: index_of(net, table)[where].tolist() for table, where in gone.items() if where.any()
    }


def _needed(rows: pd.DataFrame, table: str, column: Column) -> Mask:
    """Return which `rows` make no sense without the optional reference `column`."""
    if column.needed_where is None or column.needed_where[0] not in rows.columns:
        return np.zeros(len(rows), dtype=np.bool_)
    by, *values = column.needed_where
    given = TABLES[table].by_name[by].read(rows[by]).values
    return np.isin(given.astype(str), values)


def _values(net: pandapowerNet, table: str, column: Column) -> pd.Series[Any] | None:
    """Return the values of a column as found in the net, None where it has none."""
    rows = net.get(table)
    if not isinstance(rows, pd.DataFrame) or column.name not in rows.columns:
        return None
    return rows[column.name]


def _write(net: pandapowerNet, reference: Reference, new: np.ndarray[Any, Any]) -> None:
    """Put `new` values where they differ; the column keeps its type, the others their values."""
    table, column = reference
    values = net[table][column.name]
    differs = new != column.read(values).values
    if differs.any():
        changed = values.copy()
        changed[differs] = new[differs]
        net[table] = net[table].assign(**{column.name: changed})
