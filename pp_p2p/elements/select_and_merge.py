"""Cut a net out of another one, and put two nets together; see `toolbox`."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, overload

import pandas as pd
from pandapower import toolbox as pandapower_toolbox

from pp_p2p.elements.references import broken, known, prune, remap, unreadable
from pp_p2p.elements.tables import EXTENSIONS, SCHEMA_VERSION_KEY, TABLES, extension
from pp_p2p.elements.validate import findings
from pp_p2p.errors import raise_if_any

if TYPE_CHECKING:
    from pandapower import pandapowerNet

Lookup = dict[str, dict[int, int]]


def select_subnet(
    net: pandapowerNet,
    buses: int | Iterable[int],
    include_switch_buses: bool = False,
    include_results: bool = False,
    keep_everything_else: bool = False,
) -> pandapowerNet:
    """Return a net of the chosen buses and what is connected to them alone.

    Of our tables, the rows that find everything they need among these buses are in it. What a
    participant owns that is metered elsewhere belongs to the operator of the new net.

    Parameters
    ----------
    net : pandapowerNet
        Is not changed.
    buses : int or iterable of int
        Rows of ``net.bus``.
    include_switch_buses : bool
        Add the bus of a line's switch where the other end of the line is chosen.
    include_results : bool
        Take results along.
    keep_everything_else : bool
        Take whatever else the net holds along, unchanged.

    Returns
    -------
    pandapowerNet
        Shares nothing with `net`.

    Raises
    ------
    InvalidInput
        Unknown buses, dangling references.
    """
    rows = known(net, "bus", buses)
    raise_if_any(unreadable(net))
    raise_if_any(broken(net))
    # pandapower fails on results of tables that it does not know
    ours = {name for name in (*TABLES, *map(_results, TABLES)) if name in net}
    theirs = copy.copy(net)
    for name in ours:
        del theirs[name]
    subnet = pandapower_toolbox.select_subnet(
        theirs,
        rows,
        include_switch_buses=include_switch_buses,
        include_results=include_results,
        keep_everything_else=keep_everything_else,
    )
    for name in net:
        if name in ours and (include_results or name in TABLES):
            subnet[name] = net[name].copy()
    if SCHEMA_VERSION_KEY in net:
        subnet[SCHEMA_VERSION_KEY] = net[SCHEMA_VERSION_KEY]
    prune(subnet)
    if not findings(net):
        raise_if_any(findings(subnet))
    return subnet


@overload
def merge_nets(
    net1: pandapowerNet,
    net2: pandapowerNet,
    validate: bool = ...,
    merge_results: bool = ...,
    tol: float = ...,
    *,
    std_prio_on_net1: bool = ...,
    return_net2_reindex_lookup: Literal[False] = ...,
    net2_reindex_log_level: str | None = ...,
    **runpp_kwargs: Any,
) -> pandapowerNet: ...


@overload
def merge_nets(
    net1: pandapowerNet,
    net2: pandapowerNet,
    validate: bool = ...,
    merge_results: bool = ...,
    tol: float = ...,
    *,
    std_prio_on_net1: bool = ...,
    return_net2_reindex_lookup: Literal[True],
    net2_reindex_log_level: str | None = ...,
    **runpp_kwargs: Any,
) -> tuple[pandapowerNet, Lookup]: ...


def merge_nets(
    net1: pandapowerNet,
    net2: pandapowerNet,
    validate: bool = True,
    merge_results: bool = True,
    tol: float = 1e-9,
    *,
    std_prio_on_net1: bool = True,
    return_net2_reindex_lookup: bool = False,
    net2_reindex_log_level: str | None = "info",
    **runpp_kwargs: Any,
) -> pandapowerNet | tuple[pandapowerNet, Lookup]:
    """Return one net of two.

    Rows of `net1` keep their index; rows of `net2` keep theirs where it is free and get a new one
    where it is not. This holds for pandapower's tables and for ours, and every reference of ours
    follows.

    Parameters
    ----------
    net1, net2 : pandapowerNet
        Are not changed.
    validate : bool
        Run the power flow of both and of the result, and compare the voltages.
    merge_results : bool
        Take results of `net2` along; only without `validate`.
    tol : float, p.u.
        Largest difference of voltages that `validate` lets pass.
    std_prio_on_net1 : bool
        Which net's standard type stays where both have one of the same name.
    return_net2_reindex_lookup : bool
        Return the lookup too.
    net2_reindex_log_level : str, optional
        Level at which pandapower logs which tables of `net2` got new indices.
    **runpp_kwargs
        For the power flow.

    Returns
    -------
    pandapowerNet
        The merged net; with `return_net2_reindex_lookup`, a tuple of it and a dict: table -> old
        index -> new index of the rows of `net2` that got a new one.

    Raises
    ------
    InvalidInput
        Where one of the nets is not valid; its tables are named ``net1.`` and ``net2.``.
    UserWarning
        From pandapower: voltages differ after merging; a column of True and False is in `net1`
        alone.
    """
    raise_if_any(
        replace(finding, table=f"{label}.{finding.table}")
        for label, net in (("net1", net1), ("net2", net2))
        for finding in findings(net)
    )
    first, second = _with_columns_of(net2, net1), _with_columns_of(net1, net2)
    for name in TABLES:
        second.pop(_results(name), None)
    merged, lookup = pandapower_toolbox.merge_nets(
        first,
        second,
        validate=validate,
        merge_results=merge_results,
        tol=tol,
        std_prio_on_net1=std_prio_on_net1,
        return_net2_reindex_lookup=True,
        net2_reindex_log_level=net2_reindex_log_level,
        **runpp_kwargs,
    )
    start = {name: len(net1[name]) for name in (*TABLES, *EXTENSIONS) if name in net1}
    for table, new in lookup.items():
        remap(merged, table, new, start)
    if merge_results and not validate:
        _append_results(merged, net2, lookup)
    if SCHEMA_VERSION_KEY in net2:
        merged.setdefault(SCHEMA_VERSION_KEY, net2[SCHEMA_VERSION_KEY])
    raise_if_any(findings(merged))
    return (merged, lookup) if return_net2_reindex_lookup else merged


def _results(table: str) -> str:
    return f"res_{table}"


def _with_columns_of(other: pandapowerNet, net: pandapowerNet) -> pandapowerNet:
    """Return a shallow copy of `net` with the columns of ours that `other` has, as defaults.

    Without them pandas would fill the gaps with NaN, and whole numbers would become floats.
    """
    filled = copy.copy(net)
    for table, declared in EXTENSIONS.items():
        if table not in net or table not in other or other[table].empty or net[table].empty:
            continue
        for column in declared.names:
            if column in other[table].columns and column not in net[table].columns:
                values = extension(net, table, column)
                filled[table] = filled[table].assign(**{column: values})
    return filled


def _append_results(merged: pandapowerNet, net2: pandapowerNet, lookup: Lookup) -> None:
    """Put the results of our tables in `net2` under those of `net1`, with the rows' new index."""
    for name in TABLES:
        rows = net2.get(_results(name))
        if not isinstance(rows, pd.DataFrame) or rows.empty:
            continue
        labels = [lookup.get(name, {}).get(row, row) for row in rows.index.tolist()]
        rows = rows.set_axis(pd.Index(labels, dtype="int64"))
        older = merged.get(_results(name))
        both = [older, rows] if isinstance(older, pd.DataFrame) and not older.empty else [rows]
        merged[_results(name)] = pd.concat(both)
