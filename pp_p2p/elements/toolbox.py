"""pandapower's toolbox for nets with our tables: drop, renumber, fuse, select, merge.

pandapower does not know our tables. The functions here call pandapower's function of the same
name, take the same arguments, and then let our references follow. On a net without our tables
they do what pandapower's do.

* A row of ours goes with what it needs: a participant with its bus, a flexible load with its
  load, a candidate of technology "line" with its line, a soft open point as soon as it has fewer
  than two terminals, with those that are left.
* An optional reference is cut: what a removed participant owned belongs to the operator.
* What goes is returned as `Removed`, table -> rows; its ``cut`` tells the references that were cut.
* All or nothing: a wrong call raises `InvalidInput` with every finding, and the net stays as it
  was. So does a net whose references dangle already (`pp_p2p.drop_orphans` mends it), and a
  change that would make a valid net invalid.

Which of pandapower's functions may be used with our tables:

* Safe: power flow and every other calculation; ``copy.deepcopy``; JSON, pickle, SQLite, Excel;
  ``create_*``; whatever selects, compares or counts; whatever only changes values
  (``set_scaling_by_type``, ``set_element_status``, ``set_isolated_areas_out_of_service``: our own
  ``in_service`` stays as it is).
* Use ours instead: ``drop_buses``, ``drop_elements`` (also for ``drop_lines`` and
  ``drop_elements_simple``), ``reindex_buses``, ``reindex_elements``,
  ``create_continuous_bus_index``, ``fuse_buses``, ``select_subnet``, ``merge_nets``.
* Followed by `pp_p2p.check` and `pp_p2p.drop_orphans`, because they drop rows:
  ``drop_elements_at_buses``, ``drop_inner_branches``, ``drop_out_of_service_elements`` and
  ``drop_inactive_elements`` (which drop the lines that candidates would build), ``replace_*``,
  ``merge_same_bus_generation_plants`` (what replaces a row has no owner, or that of the row that
  stays).
* Not recognised afterwards: what pandapower's own ``merge_nets`` did, because it renumbers the
  rows of the second net but not what our rows refer to, so that they point to rows of the first;
  likewise ``reindex_*`` and ``create_continuous_*`` where a new index was an old one before.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pandapower import toolbox as pandapower_toolbox

from pp_p2p.elements.references import (
    REFERENCES,
    Removed,
    all_or_nothing,
    known,
    prune,
    remap,
    remove,
)
from pp_p2p.elements.reindex import create_continuous_bus_index, reindex_buses, reindex_elements
from pp_p2p.elements.select_and_merge import merge_nets, select_subnet
from pp_p2p.elements.tables import TABLES
from pp_p2p.errors import Finding, InvalidInput

if TYPE_CHECKING:
    from pandapower import pandapowerNet

__all__ = [
    "Removed",
    "create_continuous_bus_index",
    "drop_buses",
    "drop_elements",
    "fuse_buses",
    "merge_nets",
    "reindex_buses",
    "reindex_elements",
    "select_subnet",
]


def drop_buses(
    net: pandapowerNet, buses: int | Iterable[int], drop_elements: bool = True
) -> Removed:
    """Drop buses and what is connected to them.

    Parameters
    ----------
    net : pandapowerNet
        Is changed in place.
    buses : int or iterable of int
        Rows of ``net.bus``.
    drop_elements : bool
        False leaves pandapower's elements at these buses where they are, as pandapower does;
        our rows at these buses go in any case.

    Returns
    -------
    Removed
        Rows of our tables that went.

    Raises
    ------
    InvalidInput
        Unknown buses, dangling references. The net is left as it was.
    """
    rows = known(net, "bus", buses)
    with all_or_nothing(net):
        pandapower_toolbox.drop_buses(net, rows, drop_elements=drop_elements)
        return prune(net)


def drop_elements(
    net: pandapowerNet, element_type: str, element_index: int | Iterable[int], **kwargs: Any
) -> Removed:
    """Drop rows of any table, pandapower's or ours, and what needs them.

    Parameters
    ----------
    net : pandapowerNet
        Is changed in place.
    element_type : str
        Table.
    element_index : int or iterable of int
        Its rows.
    **kwargs
        For ``"bus"``: as `drop_buses`.

    Returns
    -------
    Removed
        Rows of our tables that went.

    Raises
    ------
    InvalidInput
        Unknown table or rows, dangling references, a switch without which a candidate's line
        would no longer be open. The net is left as it was.
    """
    if element_type == "bus":
        return drop_buses(net, element_index, **kwargs)
    rows = known(net, element_type, element_index)
    removed = Removed()
    with all_or_nothing(net):
        if element_type in TABLES:
            remove(net, element_type, rows, removed)
        else:
            pandapower_toolbox.drop_elements(net, element_type, rows, **kwargs)
        return prune(net, removed)


def fuse_buses(
    net: pandapowerNet,
    b1: int,
    b2: int | Iterable[int],
    drop: bool = True,
    fuse_bus_measurements: bool = True,
) -> Removed:
    """Connect everything that is at the buses `b2` to `b1`.

    Parameters
    ----------
    net : pandapowerNet
        Is changed in place.
    b1 : int
        Bus that stays.
    b2 : int or iterable of int
        Buses that are fused into it.
    drop : bool
        Drop the buses `b2` and the branches that would connect `b1` with itself. Likewise, a soft
        open point keeps only the first of several terminals that come together at `b1`.
    fuse_bus_measurements : bool
        Let measurements follow.

    Returns
    -------
    Removed
        Rows of our tables that went.

    Raises
    ------
    InvalidInput
        Unknown buses, `b1` fused with itself, dangling references; with ``drop=False``, terminals
        of one soft open point that would come together. The net is left as it was.
    """
    (stays,) = known(net, "bus", [b1])
    others = known(net, "bus", b2)
    if not isinstance(b2, Iterable) and others == [stays]:
        rule = f"{stays} cannot be fused with itself"
        raise InvalidInput(Finding(table="bus", rule=rule, mend="name another bus as b2"))
    removed = Removed()
    with all_or_nothing(net):
        pandapower_toolbox.fuse_buses(net, stays, others, drop, fuse_bus_measurements)
        remap(net, "bus", dict.fromkeys(others, stays))
        if drop:
            _drop_doubles(net, stays, removed)
        return prune(net, removed)


def _drop_doubles(net: pandapowerNet, bus: int, removed: Removed) -> None:
    """Remove rows that became the same as an earlier one when buses were fused into `bus`."""
    for name, column in REFERENCES:
        unique = TABLES[name].unique if name in TABLES and name in net else ()
        if column.references == "bus" and column.name in unique:
            rows = TABLES[name].read(net[name])
            doubles = rows.duplicated(list(unique)) & (rows[column.name] == bus)
            if doubles.any():
                remove(net, name, rows.index[doubles].tolist(), removed)
