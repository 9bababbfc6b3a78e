"""Renumber buses and elements, and let our references follow; see `toolbox`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandapower import toolbox as pandapower_toolbox

from pp_p2p.elements.references import REFERENCES, all_or_nothing, known, remap
from pp_p2p.elements.rules import index_of
from pp_p2p.elements.schema import shown
from pp_p2p.elements.tables import TABLES
from pp_p2p.errors import Finding, InvalidInput, raise_if_any

if TYPE_CHECKING:
    from pandapower import pandapowerNet


def reindex_buses(
    net: pandapowerNet, bus_lookup: Mapping[int, int], allow_duplicate_index: bool = False
) -> dict[int, int]:
    """Renumber buses.

    Parameters
    ----------
    net : pandapowerNet
        Is changed in place.
    bus_lookup : mapping of int to int
        Old index -> new index; other buses stay.
    allow_duplicate_index : bool
        Let several buses get the same index.

    Returns
    -------
    dict
        Old index -> new index of every bus.

    Raises
    ------
    InvalidInput
        Unknown buses, taken or repeated new indices, dangling references. The net is left as it
        was.
    """
    known(net, "bus", bus_lookup)
    lookup = _completed(net, "bus", bus_lookup, unique=not allow_duplicate_index)
    with all_or_nothing(net):
        pandapower_toolbox.reindex_buses(net, lookup, allow_duplicate_index)
        remap(net, "bus", lookup)
    return lookup


def create_continuous_bus_index(
    net: pandapowerNet, start: int = 0, store_old_index: bool = False
) -> dict[int, int]:
    """Sort the buses by their index and number them without gaps.

    Parameters
    ----------
    net : pandapowerNet
        Is changed in place.
    start : int
        Index of the first bus.
    store_old_index : bool
        Keep the old index as ``net.bus["old_index"]``.

    Returns
    -------
    dict
        Old index -> new index of every bus.

    Raises
    ------
    InvalidInput
        Dangling references, negative `start`. The net is left as it was.
    """
    raise_if_any(_not_an_index("bus", [start]))
    with all_or_nothing(net):
        lookup = pandapower_toolbox.create_continuous_bus_index(net, start, store_old_index)
        remap(net, "bus", lookup)
    return dict(lookup)


def reindex_elements(
    net: pandapowerNet,
    element_type: str,
    new_indices: Sequence[int] | pd.Index[Any] | None = None,
    old_indices: Sequence[int] | pd.Index[Any] | None = None,
    lookup: Mapping[int, int] | None = None,
) -> dict[int, int]:
    """Renumber rows of any table, pandapower's or ours.

    Parameters
    ----------
    net : pandapowerNet
        Is changed in place.
    element_type : str
        Table.
    new_indices : (row,) sequence of int, optional
        New index of each row, or of each of `old_indices`. Either this or `lookup`.
    old_indices : (row,) sequence of int, optional
        Rows to renumber; all of them, or all keys of `lookup`, where None.
    lookup : mapping of int to int, optional
        Old index -> new index. Keys that are no rows are passed over, as in pandapower; not so
        for buses.

    Returns
    -------
    dict
        Old index -> new index of the rows that were asked for; pandapower returns None.

    Raises
    ------
    InvalidInput
        Unknown table or rows, not exactly one of `new_indices` and `lookup`, another number of
        new than of old indices, taken or repeated new indices, dangling references. The net is
        left as it was.
    """
    known(net, element_type, ())
    if index_of(net, element_type).empty:
        return {}
    known(net, element_type, () if old_indices is None else old_indices)
    asked = _asked(net, element_type, new_indices, old_indices, lookup)
    if element_type == "bus":
        reindex_buses(net, asked)
    elif element_type in TABLES or element_type in {ref.column.references for ref in REFERENCES}:
        # complete, because pandapower's groups fail on a lookup that leaves rows out
        whole = _completed(net, element_type, asked, unique=True)
        with all_or_nothing(net):
            pandapower_toolbox.reindex_elements(net, element_type, lookup=whole)
            results = net.get(f"res_{element_type}") if element_type in TABLES else None
            if isinstance(results, pd.DataFrame):
                labels = [whole.get(row, row) for row in results.index.tolist()]
                net[f"res_{element_type}"] = results.set_axis(pd.Index(labels, dtype="int64"))
            remap(net, element_type, whole)
    else:
        with all_or_nothing(net):
            pandapower_toolbox.reindex_elements(
                net, element_type, new_indices, old_indices, lookup and dict(lookup)
            )
    return asked


def _asked(
    net: pandapowerNet,
    table: str,
    new: Sequence[int] | pd.Index[Any] | None,
    old: Sequence[int] | pd.Index[Any] | None,
    lookup: Mapping[int, int] | None,
) -> dict[int, int]:
    """Return what `reindex_elements` was asked for as old index -> new index."""
    if (new is None) == (lookup is None):
        rule = "needs either new_indices or lookup"
        raise InvalidInput(Finding(table=table, rule=rule, mend="give exactly one of them"))
    rows = index_of(net, table).tolist() if old is None else list(old)
    if lookup is not None:
        if old is None:
            rows = list(lookup) if table == "bus" else [row for row in rows if row in lookup]
        absent = [row for row in rows if row not in lookup]
        if absent:
            rule, mend = f"has no new index for {shown(absent)}", "add it to lookup"
            raise InvalidInput(Finding(table=table, rule=rule, mend=mend))
        return {row: lookup[row] for row in rows}
    given = [] if new is None else list(new)
    if given and len(given) != len(rows):
        rule = f"has {len(given)} new indices for {len(rows)} rows"
        raise InvalidInput(Finding(table=table, rule=rule, mend="give one for each row"))
    return dict(zip(rows, given, strict=False))


def _completed(
    net: pandapowerNet, table: str, asked: Mapping[int, int], *, unique: bool
) -> dict[int, int]:
    """Return the checked lookup of every row of `table`."""
    raise_if_any(_not_an_index(table, asked.values()))
    known(net, table, asked)
    lookup = {int(row): int(asked.get(row, row)) for row in index_of(net, table).tolist()}
    counts = Counter(lookup.values())
    twice = [new for new, count in counts.items() if count > 1]
    if unique and twice:
        rule = f"would have more than one row {shown(twice)}"
        mend = "give new indices that differ from each other and from those of other rows"
        raise InvalidInput(Finding(table=table, column="index", rule=rule, mend=mend))
    return lookup


def _not_an_index(table: str, new: Iterable[object]) -> list[Finding]:
    wrong = [
        label
        for label in new
        if isinstance(label, bool) or not isinstance(label, int | np.integer) or label < 0
    ]
    rule, mend = f"must be a whole number >= 0, is {shown(wrong)}", "give whole numbers >= 0"
    return [Finding(table=table, column="index", rule=rule, mend=mend)] if wrong else []
