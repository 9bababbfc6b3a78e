"""Our toolbox: what pandapower's does to a net, and our references still mean the same things.

Things are told apart by their names, which no function changes.
"""

from __future__ import annotations

import copy
import functools
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandapower import toolbox as theirs

import pp_p2p as p2p
from pp_p2p.elements import references, toolbox
from pp_p2p.elements.create import (
    create_candidate,
    create_flexible_load,
    create_participant,
    create_sop,
)
from pp_p2p.elements.ownership import assign
from pp_p2p.elements.tables import TABLES
from pp_p2p.elements.validate import findings
from pp_p2p.errors import InvalidInput

Net = pp.pandapowerNet

POINTS_TO = {
    ("participant", "bus"): "bus",
    ("flexible_load", "load"): "load",
    ("sop_terminal", "sop"): "sop",
    ("sop_terminal", "bus"): "bus",
    ("candidate", "bus"): "bus",
    ("candidate", "participant"): "participant",
    ("candidate", "line"): "line",
    ("candidate", "sop"): "sop",
    ("candidate", "switch"): "switch",
    ("load", "participant"): "participant",
    ("sgen", "participant"): "participant",
    ("storage", "participant"): "participant",
    ("storage", "sop"): "sop",
}
TECHNOLOGY_LINE = {"technology": "line", "capex_eur_per_unit": 1.0}
PV = {"technology": "pv", "unit_p_mw": 0.1, "capex_eur_per_unit": 1.0}


def fill(net: Net, buses: list[int], ties: list[int], prefix: str = "") -> Net:
    """Give every row a name, and put rows into all of our tables; terminals are told by sn_mva."""
    for table in ("bus", "load", "line", "sgen", "switch"):
        names = [f"{prefix}{table} {row}" for row in net[table].index]
        net[table]["name"] = pd.Series(names, index=net[table].index, dtype=object)
    a, b, c, d, e, f = buses
    for k, bus in enumerate((a, d)):
        pp.create_storage(net, bus, p_mw=0.0, max_e_mwh=1.0, name=f"{prefix}storage {k}")
        pp.create_sgen(net, bus, p_mw=0.1, name=f"{prefix}sgen at {bus}")
    loads = net.load.index.tolist()
    north, south, west = (
        create_participant(net, bus, name=f"{prefix}{name}")
        for bus, name in ((a, "north"), (b, "south"), (c, "west"))
    )
    assign(net, north, load=loads[:3], storage=0, sgen=[net.sgen.index[-1]])
    assign(net, south, load=loads[3:5], sgen=[net.sgen.index[-2]])
    assign(net, west, load=loads[5:7], storage=1)
    for load in (loads[1], loads[3], loads[-1]):
        create_flexible_load(net, load, name=f"{prefix}flexible {load}", max_up_percent=10.0)
    start = 1.0 if not prefix else 11.0
    create_sop(net, [a, e], sn_mva=[start, start + 1], name=f"{prefix}two")
    sizes = [start + 2, start + 3, start + 4]
    three = create_sop(net, [b, d, f], sn_mva=sizes, name=f"{prefix}three")
    p2p.set_storage(net, net.storage.index[-1], sop=three)
    create_candidate(net, c, participant=north, name=f"{prefix}pv of north", **PV)
    create_candidate(net, d, name=f"{prefix}pv of operator", line=ties[0], **PV)
    for tie in ties:
        create_candidate(net, e, line=tie, name=f"{prefix}tie {tie}", **TECHNOLOGY_LINE)
    p2p.set_customers(net, customers=7)
    p2p.set_line_reliability(net, failure_rate_per_km_year=0.1)
    p2p.validate(net)
    return net


def mergeable_case33() -> Net:
    """pandapower merges no net with others of another frequency, or without its bool columns."""
    net, other = pn.case33bw(), pn.create_cigre_network_mv()
    net["f_hz"] = other["f_hz"]
    for table in pp.toolbox.pp_elements():
        truths = net[table].select_dtypes(bool).columns
        net[table] = net[table].drop(columns=truths.difference(other[table].columns))
    return net


def filled_case33() -> Net:
    return fill(mergeable_case33(), [10, 17, 21, 24, 28, 32], [32, 35, 36])


def filled_cigre(prefix: str = "") -> Net:
    net = pn.create_cigre_network_mv(with_der="pv_wind")
    opened = net.switch[(net.switch.et == "l") & ~net.switch.closed].element
    return fill(net, [3, 5, 7, 9, 11, 14], sorted(opened.unique().tolist())[:2], prefix)


BASES = {"case33": filled_case33(), "cigre": filled_cigre()}


@pytest.fixture(params=BASES)
def net(request: pytest.FixtureRequest) -> Net:
    return copy.deepcopy(BASES[request.param])


def key_of(table: str, row: pd.Series) -> Any:
    return row["sn_mva"] if table == "sop_terminal" else row["name"]


def portrait(net: Net) -> dict[str, dict[Any, dict[str, Any]]]:
    """Return what every row points to, all by names: table -> row -> column -> row."""
    seen: dict[str, dict[Any, dict[str, Any]]] = {}
    for (table, column), target in POINTS_TO.items():
        if table not in net:
            continue
        rows = seen.setdefault(table, {})
        for _, row in net[table].iterrows():
            to = row.get(column, -1)
            known = not pd.isna(to) and to != -1
            name = key_of(target, net[target].loc[int(to)]) if known else None
            rows.setdefault(key_of(table, row), {})[column] = name
    return seen


def ours(net: Net) -> dict[str, set[Any]]:
    """Return the rows of our tables by their names."""
    return {
        table: {key_of(table, row) for _, row in net[table].iterrows()}
        for table in TABLES
        if table in net
    }


def snapshot(net: Net) -> dict[str, Any]:
    return {key: value.copy() for key, value in net.items() if isinstance(value, pd.DataFrame)}


def assert_same_frames(got: Any, expected: Any, *, dtypes: bool = True) -> None:
    frames = {key: value for key, value in expected.items() if isinstance(value, pd.DataFrame)}
    assert {key for key, value in got.items() if isinstance(value, pd.DataFrame)} == set(frames)
    for key, value in frames.items():
        strict = dtypes or key in TABLES
        if value.equals(got[key]) and value.index.dtype == got[key].index.dtype:
            continue
        pd.testing.assert_frame_equal(got[key], value, obj=key, check_dtype=strict)


def by_name(before: Net, removed: dict[str, list[int]]) -> dict[str, set[Any]]:
    return {
        table: {key_of(table, before[table].loc[row]) for row in rows}
        for table, rows in removed.items()
    }


def row_named(net: Net, table: str, name: str) -> int:
    (row,) = net[table].index[net[table]["name"] == name]
    return int(row)


def assert_sound(net: Net) -> None:
    assert findings(net) == ()
    assert p2p.check(net).empty


def test_every_declared_reference_is_in_the_table_of_this_test():
    assert {
        (table, column.name): column.references for table, column in references.REFERENCES
    } == POINTS_TO


def test_the_public_names():
    assert p2p.toolbox is toolbox
    for name in ("check", "drop_orphans", "toolbox"):
        assert name in p2p.__all__
    assert set(toolbox.__all__) - {"Removed"} <= set(dir(theirs))


# -- renumbering --------------------------------------------------------------------------------


def reversed_index(net: Net, table: str) -> dict[int, int]:
    """A lookup in which most new labels were labels of other rows before."""
    rows = net[table].index.tolist()
    return dict(zip(rows, rows[::-1], strict=True))


@pytest.mark.parametrize("table", ["bus", "load", "line", "sgen", "storage", *TABLES])
@pytest.mark.parametrize("far", [False, True])
def test_renumbering_there_and_back(net, table, far):
    before = copy.deepcopy(net)
    there = reversed_index(net, table)
    if far:
        there = {old: new + 1000 for old, new in there.items()}
    assert toolbox.reindex_elements(net, table, lookup=there) == there
    assert net[table].index.tolist() == list(there.values())
    assert_sound(net)
    assert portrait(net) == portrait(before)
    toolbox.reindex_elements(net, table, lookup={new: old for old, new in there.items()})
    # pandapower makes the bus columns of a net int64, whatever whole numbers they were
    assert_same_frames(net, before, dtypes=table != "bus")


def test_part_of_a_table_may_be_renumbered(net):
    before = copy.deepcopy(net)
    bus = int(net.participant.bus[0])
    lookup = toolbox.reindex_buses(net, {bus: 900})
    assert lookup[bus] == 900
    assert set(lookup) == set(before.bus.index)
    toolbox.reindex_elements(net, "load", [500], old_indices=[int(net.flexible_load.load[0])])
    toolbox.reindex_elements(net, "participant", lookup={0: 40, 99: 5})
    toolbox.reindex_elements(net, "sop", new_indices=[8, 9])
    assert net.participant.bus[40] == 900
    assert net.flexible_load.load[0] == 500
    assert net.sop_terminal.sop.tolist() == [8, 8, 9, 9, 9]
    assert_sound(net)
    assert portrait(net) == portrait(before)


def test_the_callers_lookup_stays_as_it_was(net):
    lookup = {3: 903}
    toolbox.reindex_buses(net, lookup)
    toolbox.reindex_elements(net, "load", lookup=lookup)
    assert lookup == {3: 903}


@pytest.mark.parametrize("start", [0, 7])
def test_a_continuous_bus_index(net, start):
    toolbox.drop_buses(net, [4])
    before = copy.deepcopy(net)
    toolbox.create_continuous_bus_index(net, start=start, store_old_index=True)
    assert net.bus.index.tolist() == list(range(start, start + len(net.bus)))
    assert net.bus.old_index.tolist() == sorted(before.bus.index)
    assert_sound(net)
    assert portrait(net) == portrait(before)


def test_groups_and_results_follow_our_rows(net):
    pp.create_group(net, ["participant", "load"], [[0, 2], [3, 4]], name="some")
    net["res_participant"] = pd.DataFrame({"cost_eur": [1.0, 2.0, 3.0]})
    toolbox.reindex_elements(net, "participant", lookup={2: 20})
    assert net.group.element_index.tolist() == [[0, 20], [3, 4]]
    assert net.res_participant.cost_eur.to_dict() == {0: 1.0, 1: 2.0, 20: 3.0}
    toolbox.drop_buses(net, net.participant.bus.loc[[20]])
    assert net.group.element_index.iloc[0] == [0]
    assert net.res_participant.cost_eur.to_dict() == {0: 1.0, 1: 2.0}


def test_values_that_nobody_renumbers_keep_their_type(net):
    pp.create_load(net, 3, p_mw=0.1, name="new")
    assert net.load.participant.dtype == np.float64
    before = copy.deepcopy(net)
    toolbox.reindex_elements(net, "participant", lookup={0: 5})
    assert net.load.participant.isna().tolist() == before.load.participant.isna().tolist()
    assert portrait(net) == portrait(before)
    toolbox.reindex_elements(net, "participant", lookup={5: 0})
    pd.testing.assert_frame_equal(net.load, before.load)


# -- dropping -----------------------------------------------------------------------------------


def test_a_dropped_bus_takes_along_what_needs_it(net):
    before = copy.deepcopy(net)
    removed = toolbox.drop_buses(net, [int(net.participant.bus[0])])
    assert_sound(net)
    names = by_name(before, removed)
    assert names["participant"] == {"north"}
    assert names["sop"] == {"two"}
    assert names["sop_terminal"] == {1.0, 2.0}
    assert {table: rows | names.get(table, set()) for table, rows in ours(net).items()} == ours(
        before
    )
    assert portrait(net)["candidate"]["pv of north"]["participant"] is None
    assert removed.cut["candidate", "participant"] == [row_named(net, "candidate", "pv of north")]
    lost = [load for load in before.load.index[:3] if load in net.load.index]
    assert removed.cut["load", "participant"] == lost
    assert portrait(net)["load"][net.load.name[lost[0]]] == {"participant": None}


def test_a_soft_open_point_lives_with_two_terminals(net):
    bus = int(net.sop_terminal.bus[2])
    removed = toolbox.drop_elements(net, "sop_terminal", [2])
    assert removed == {"sop_terminal": [2]}
    assert removed.cut == {}
    assert_sound(net)
    removed = toolbox.drop_elements(net, "sop_terminal", 3)
    assert removed == {"sop_terminal": [3, 4], "sop": [1]}
    assert_sound(net)
    assert bus in net.bus.index
    assert toolbox.drop_elements(net, "sop", [0]) == {"sop": [0], "sop_terminal": [0, 1]}
    assert net.sop.empty
    assert net.sop_terminal.empty
    assert_sound(net)


def test_a_dropped_load_takes_its_flexibility_along(net):
    load = int(net.flexible_load.load[1])
    assert toolbox.drop_elements(net, "load", [load]) == {"flexible_load": [1]}
    assert_sound(net)


def test_a_dropped_line_takes_along_what_would_build_it_and_nothing_else(net):
    line = int(net.candidate.line[2])
    assert net.candidate.technology[1] == "pv"
    assert net.candidate.line[1] == line
    removed = toolbox.drop_elements(net, "line", line)
    assert removed == {"candidate": [2]}
    assert removed.cut == {("candidate", "line"): [1]}
    assert net.candidate.line[1] == -1
    assert_sound(net)


def test_a_dropped_participant_leaves_its_things_to_the_operator(net):
    owned = net.load.index[net.load.participant == 1].tolist()
    removed = toolbox.drop_elements(net, "participant", [1])
    assert removed == {"participant": [1]}
    assert removed.cut["load", "participant"] == owned
    assert (net.load.participant[owned] == -1).all()
    assert net.load.participant.dtype == np.int64
    assert_sound(net)


def test_our_rows_go_even_where_pandapowers_stay(net):
    bus = int(net.participant.bus[0])
    removed = toolbox.drop_elements(net, "bus", [bus], drop_elements=False)
    assert (net.load.bus == bus).any()
    assert removed["participant"] == [0]
    assert_sound(net)


def test_the_switch_that_keeps_a_candidate_open_cannot_be_dropped():
    net = copy.deepcopy(BASES["cigre"])
    tie = int(net.candidate.line.iloc[-1])
    on_tie = net.switch.index[(net.switch.et == "l") & (net.switch.element == tie)]
    before = snapshot(net)
    with pytest.raises(InvalidInput, match="out of service or open"):
        toolbox.drop_elements(net, "switch", on_tie)
    assert_same_frames(net, before)
    toolbox.drop_elements(net, "candidate", net.candidate.index[-1])
    toolbox.drop_elements(net, "switch", on_tie)
    assert_sound(net)


# -- fusing -------------------------------------------------------------------------------------


def test_fused_buses_keep_what_is_connected(net):
    before = copy.deepcopy(net)
    first, second, third = (int(bus) for bus in net.participant.bus)
    assert toolbox.fuse_buses(net, first, [second, third]) == {}
    assert net.participant.bus.tolist() == [first] * 3
    assert_sound(net)
    assert ours(net) == ours(before)
    assert {second, third}.isdisjoint(net.bus.index)


@pytest.mark.parametrize("drop", [True, False])
def test_a_bus_fused_by_its_number_alone(net, drop):
    first, second = int(net.participant.bus[0]), int(net.participant.bus[1])
    assert toolbox.fuse_buses(net, first, second, drop=drop) == {}
    assert (second in net.bus.index) is not drop
    assert net.participant.bus.tolist()[:2] == [first] * 2
    assert_sound(net)


def test_terminals_that_come_together_are_an_inner_branch(net):
    two, three = net.sop_terminal.bus.tolist()[:2], net.sop_terminal.bus.tolist()[2:]
    before = snapshot(net)
    with pytest.raises(InvalidInput, match="must differ between the terminals"):
        toolbox.fuse_buses(net, *two, drop=False)
    assert_same_frames(net, before)
    assert toolbox.fuse_buses(net, *two) == {"sop": [0], "sop_terminal": [0, 1]}
    assert toolbox.fuse_buses(net, three[0], three[1]) == {"sop_terminal": [3]}
    assert_sound(net)


# -- selecting ----------------------------------------------------------------------------------


def test_a_subnet_holds_the_rows_that_are_whole_in_it(net):
    before = copy.deepcopy(net)
    terminals = net.sop_terminal.bus[2:].tolist()
    buses = [*terminals, int(net.participant.bus[1]), *net.bus.index[:4]]
    subnet = toolbox.select_subnet(net, buses)
    assert_same_frames(net, before)
    assert_sound(subnet)
    assert set(subnet.sop.name) == {"three"}
    assert subnet.sop_terminal.bus.tolist() == terminals
    assert "south" in set(subnet.participant.name)
    assert subnet["p2p_schema_version"] == "1"
    whole, part = portrait(net), portrait(subnet)
    for table, rows in part.items():
        for name, facts in rows.items():
            for column, to in facts.items():
                assert to in {whole[table][name][column], None}
    for load, row in subnet.load.iterrows():
        owner = net.load.participant[load]
        kept = owner in subnet.participant.index
        assert row.participant == (owner if kept else -1)


def test_a_subnet_of_all_buses_is_the_net(net):
    assert portrait(toolbox.select_subnet(net, net.bus.index)) == portrait(net)


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("results", [True, False])
def test_a_subnet_with_results_and_everything_else(net, keep, results):
    net["res_participant"] = pd.DataFrame({"cost_eur": [1.0, 2.0, 3.0]})
    net["note"] = "mine"
    subnet = toolbox.select_subnet(
        net, [int(net.participant.bus[2])], include_results=results, keep_everything_else=keep
    )
    assert_sound(subnet)
    assert ("note" in subnet) is keep
    assert subnet.participant.index.tolist() == [2]
    assert ("res_participant" in subnet) is results
    if results:
        assert subnet.res_participant.cost_eur.to_dict() == {2: 3.0}
    subnet.participant.loc[2, "name"] = "changed"
    assert net.participant.name[2] == "west"


# -- merging ------------------------------------------------------------------------------------


@pytest.mark.parametrize("same_numbers", [True, False])
@pytest.mark.parametrize("validate", [True, False])
def test_two_nets_in_one_keep_who_owns_what(same_numbers, validate):
    first, second = copy.deepcopy(BASES["case33"]), filled_cigre(prefix="2 ")
    if not same_numbers:
        for table in ("bus", "participant", "sop", "load"):
            rows = second[table].index.tolist()
            toolbox.reindex_elements(second, table, [row + 400 for row in rows])
    befores = snapshot(first), snapshot(second)
    merged, lookup = toolbox.merge_nets(
        first, second, validate, tol=1e-6, return_net2_reindex_lookup=True, numba=False
    )
    assert_sound(merged)
    for before, net in zip(befores, (first, second), strict=True):
        assert_same_frames(net, before)
    one, two, both = portrait(first), portrait(second), portrait(merged)
    for table in both:
        assert both[table] == one[table] | two[table]
        assert len(both[table]) == len(one[table]) + len(two[table])
    for table in TABLES:
        pd.testing.assert_frame_equal(merged[table].iloc[: len(first[table])], first[table])
    assert ("participant" in lookup) is same_numbers
    for table, column in POINTS_TO:
        assert merged[table][column].dtype == np.int64
    assert merged.load.customers.dtype == np.int64


def test_a_merge_with_a_net_without_our_tables_works_both_ways():
    full, plain = BASES["cigre"], pn.create_cigre_network_mv(with_der="pv_wind")
    plain.load["name"] = [f"plain {row}" for row in plain.load.index]
    for pair in ((full, plain), (plain, full)):
        merged = toolbox.merge_nets(*pair, validate=False)
        assert_sound(merged)
        assert merged["p2p_schema_version"] == "1"
        got, expected = portrait(merged), portrait(full)
        assert {table: got[table] for table in TABLES if table in got} == {
            table: expected[table] for table in TABLES if table in expected
        }
        assert got["load"] == expected["load"] | {
            name: {"participant": None} for name in plain.load.name
        }
        assert merged.load.participant.dtype == np.int64
        assert merged.load.customers[merged.load.name.str.startswith("plain")].eq(1).all()


def test_a_net_merged_with_itself_and_results_that_follow():
    net = copy.deepcopy(BASES["case33"])
    net["res_participant"] = pd.DataFrame({"cost_eur": [1.0, 2.0]}, index=[0, 2])
    merged = toolbox.merge_nets(net, net, validate=False)
    assert_sound(merged)
    assert merged.participant.index.tolist() == [0, 1, 2, 3, 4, 5]
    assert merged.res_participant.cost_eur.to_dict() == {0: 1.0, 2: 2.0, 3: 1.0, 5: 2.0}
    assert merged.load.participant[merged.load.index[len(net.load) :]].tolist() == [
        owner + 3 if owner != -1 else -1 for owner in net.load.participant
    ]
    kept = toolbox.merge_nets(net, net, merge_results=False, validate=False)
    assert kept.res_participant.index.tolist() == [0, 2]


def test_three_nets_in_a_row():
    nets = [filled_cigre(prefix) for prefix in ("", "2 ", "3 ")]
    nets[2].sop_terminal["sn_mva"] += 100.0
    merged = nets[0]
    for net in nets[1:]:
        merged = toolbox.merge_nets(merged, net, validate=False)
    assert_sound(merged)
    portraits = [portrait(net) for net in nets]
    for table, rows in portrait(merged).items():
        assert rows == portraits[0][table] | portraits[1][table] | portraits[2][table]


def test_a_merge_takes_valid_nets_only():
    good, bad = BASES["case33"], copy.deepcopy(BASES["cigre"])
    bad.participant.loc[1, "bus"] = 99
    for pair, label in (((good, bad), "net2"), ((bad, good), "net1")):
        with pytest.raises(InvalidInput, match=rf"{label}\.participant\.bus: row 1"):
            toolbox.merge_nets(*pair, validate=False)


# -- what pandapower's own functions broke --------------------------------------------------------


def test_check_tells_what_dangles_and_drop_orphans_removes_it(net):
    before = copy.deepcopy(net)
    assert p2p.check(net).empty
    assert p2p.check(net).columns.tolist() == ["table", "column", "rows", "rule", "mend"]
    theirs.drop_buses(net, [int(net.participant.bus[0])])
    theirs.drop_elements(net, "participant", [1])
    theirs.drop_lines(net, [int(net.candidate.line[2])])
    found = p2p.check(net)
    places = set(zip(found.table, found.column, strict=True))
    assert {
        ("participant", "bus"),
        ("sop_terminal", "bus"),
        ("candidate", "line"),
        ("load", "participant"),
    } <= places
    assert found.mend.str.contains("pp_p2p.drop_orphans(net)", regex=False).all()
    with pytest.raises(InvalidInput, match=r"pp_p2p\.drop_orphans\(net\)"):
        p2p.validate(net)
    removed = p2p.drop_orphans(net)
    assert_sound(net)
    names = by_name(before, removed)
    assert names["participant"] == {"north"}
    assert names["sop"] == {"two"}
    assert names["sop_terminal"] == {1.0, 2.0}
    assert removed.cut["candidate", "line"] == [1]
    assert p2p.drop_orphans(net) == {}


def test_orphans_of_pandapowers_subnet(net):
    subnet = theirs.select_subnet(net, net.bus.index[:9])
    assert set(p2p.check(subnet).column) == {"participant"}
    removed = p2p.drop_orphans(subnet)
    assert removed == {}
    assert ("load", "participant") in removed.cut
    assert_sound(subnet)


def test_a_soft_open_point_without_terminals_is_an_orphan(net):
    del net["sop_terminal"]
    assert p2p.check(net).table.tolist() == ["sop"]
    assert p2p.drop_orphans(net) == {"sop": [0, 1]}
    assert_sound(net)


def test_other_mistakes_are_no_orphans(net):
    net.candidate.loc[0, "capex_eur_per_unit"] = -1.0
    net.sop_terminal.loc[0, "sn_mva"] = -1.0
    before = snapshot(net)
    assert len(findings(net)) == 2
    assert p2p.check(net).empty
    assert p2p.drop_orphans(net) == {}
    assert_same_frames(net, before)
    assert toolbox.drop_elements(net, "candidate", [0]) == {"candidate": [0]}
    assert len(findings(net)) == 1


def test_pandapowers_merge_cannot_be_recognised():
    """As the documentation says; a reason to use ours."""
    merged = theirs.merge_nets(
        BASES["case33"], BASES["case33"], validate=False, net2_reindex_log_level=None
    )
    assert ("participant", "bus") not in set(
        zip(p2p.check(merged).table, p2p.check(merged).column, strict=True)
    )


# -- bad input ----------------------------------------------------------------------------------

BAD_CALLS: dict[str, tuple[Callable[[Net], Any], str]] = {
    "unknown bus": (lambda net: toolbox.drop_buses(net, [3, 999]), "bus: has no row 999"),
    "no bus named": (lambda net: toolbox.drop_buses(net, None), "has no row None"),
    "no row named": (lambda net: toolbox.drop_elements(net, "sop", None), "has no row None"),
    "bus as text": (lambda net: toolbox.drop_buses(net, ["a"]), "has no row 'a'"),
    "unknown table": (lambda net: toolbox.drop_elements(net, "lode", [0]), "lode: is not a table"),
    "unknown row": (lambda net: toolbox.drop_elements(net, "sop", [7]), "sop: has no row 7"),
    "unknown line": (lambda net: toolbox.drop_elements(net, "line", 999), "has no row 999"),
    "unknown bus to renumber": (lambda net: toolbox.reindex_buses(net, {999: 1}), "no row 999"),
    "taken bus": (lambda net: toolbox.reindex_buses(net, {3: 4}), "more than one row 4"),
    "two for one": (
        lambda net: toolbox.reindex_buses(net, {3: 500, 4: 500}),
        "more than one row 500",
    ),
    "half a bus": (lambda net: toolbox.reindex_buses(net, {3: 0.5}), "must be a whole number"),
    "operator": (
        lambda net: toolbox.reindex_elements(net, "participant", lookup={0: -1}),
        "must be a whole number >= 0, is -1",
    ),
    "taken row": (
        lambda net: toolbox.reindex_elements(net, "load", lookup={0: 1}),
        "more than one row 1",
    ),
    "unknown rows": (
        lambda net: toolbox.reindex_elements(net, "load", [1], old_indices=[999]),
        "has no row 999",
    ),
    "too few": (
        lambda net: toolbox.reindex_elements(net, "sop", [5]),
        "has 1 new indices for 2 rows",
    ),
    "too few generators": (
        lambda net: toolbox.reindex_elements(net, "ext_grid", [5, 6]),
        "has 2 new indices for 1 rows",
    ),
    "nothing given": (lambda net: toolbox.reindex_elements(net, "load"), "exactly one"),
    "both given": (
        lambda net: toolbox.reindex_elements(net, "load", [1], lookup={0: 1}),
        "exactly one",
    ),
    "not in lookup": (
        lambda net: toolbox.reindex_elements(net, "load", old_indices=[0, 1], lookup={0: 500}),
        "has no new index for 1",
    ),
    "no table": (lambda net: toolbox.reindex_elements(net, "lode", [0]), "is not a table"),
    "negative start": (
        lambda net: toolbox.create_continuous_bus_index(net, start=-1),
        "must be a whole number",
    ),
    "fused with itself": (lambda net: toolbox.fuse_buses(net, 3, 3), "with itself"),
    "fused with nothing": (lambda net: toolbox.fuse_buses(net, 3, [999]), "has no row 999"),
    "fused into nothing": (lambda net: toolbox.fuse_buses(net, 999, [3]), "has no row 999"),
    "subnet of nothing": (lambda net: toolbox.select_subnet(net, [999]), "has no row 999"),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_a_wrong_call_changes_nothing(net, case):
    call, text = BAD_CALLS[case]
    before = snapshot(net)
    with pytest.raises(InvalidInput, match=text):
        call(net)
    assert_same_frames(net, before)


CALLS: dict[str, Callable[[Net], Any]] = {
    "drop_buses": lambda net: toolbox.drop_buses(net, [4]),
    "drop_elements": lambda net: toolbox.drop_elements(net, "load", [0]),
    "reindex_buses": lambda net: toolbox.reindex_buses(net, {4: 104}),
    "reindex_elements": lambda net: toolbox.reindex_elements(net, "load", lookup={0: 100}),
    "continuous": toolbox.create_continuous_bus_index,
    "fuse_buses": lambda net: toolbox.fuse_buses(net, 4, [6]),
    "select_subnet": lambda net: toolbox.select_subnet(net, [4, 5]),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("spoil", ["dangling", "foreign", "twice", "text", "no column"])
def test_a_net_that_cannot_be_followed_is_refused(net, call, spoil):
    if spoil == "dangling":
        net.participant.loc[0, "bus"] = 104
    elif spoil == "foreign":
        net["sop"] = {"a": 1}
    elif spoil == "twice":
        net["participant"] = net.participant.set_axis([0, 0, 1])
    elif spoil == "text":
        net.load["participant"] = "me"
    else:
        net["flexible_load"] = net.flexible_load.drop(columns="load")
    before = snapshot(net)
    with pytest.raises(InvalidInput):
        CALLS[call](net)
    if spoil != "dangling":
        with pytest.raises(InvalidInput):
            p2p.drop_orphans(net)
    assert_same_frames(net, before)


def test_what_pandapower_leaves_half_done_is_undone(net):
    pp.runpp(net, numba=False)
    net["res_bus"] = pd.concat([net.res_bus, net.res_bus.iloc[:1].set_axis([999])])
    before = snapshot(net)
    with pytest.raises(KeyError):
        toolbox.reindex_buses(net, {4: 104})
    assert_same_frames(net, before)
    assert net.bus is net["bus"]


# -- nets without our tables ----------------------------------------------------------------------


@functools.cache
def plain_cigre() -> Net:
    net = pn.create_cigre_network_mv(with_der="pv_wind")
    pp.create_measurement(net, "v", "bus", 1.0, 0.01, element=6)
    pp.create_measurement(net, "p", "line", 1.0, 0.01, element=3, side="from")
    pp.create_poly_cost(net, 0, "ext_grid", cp1_eur_per_mw=1.0)
    pp.create_group(net, ["bus", "line"], [[3, 4], [2, 3]], name="some")
    pp.runpp(net, numba=False)
    return net


SAME: dict[str, Callable[[Any, Net], Any]] = {
    "drop_buses": lambda tb, net: tb.drop_buses(net, [4, 9]),
    "drop_buses, elements stay": lambda tb, net: tb.drop_buses(net, [4], drop_elements=False),
    "drop no buses": lambda tb, net: tb.drop_buses(net, []),
    "drop bus as element": lambda tb, net: tb.drop_elements(net, "bus", [4]),
    "drop line": lambda tb, net: tb.drop_elements(net, "line", [2, 3]),
    "drop trafo": lambda tb, net: tb.drop_elements(net, "trafo", [0]),
    "drop load": lambda tb, net: tb.drop_elements(net, "load", 3),
    "drop switch": lambda tb, net: tb.drop_elements(net, "switch", [0, 1]),
    "reindex_buses": lambda tb, net: tb.reindex_buses(net, {3: 4, 4: 3, 6: 60}),
    "reindex_buses, duplicates": lambda tb, net: tb.reindex_buses(
        net, {3: 4}, allow_duplicate_index=True
    ),
    "continuous": lambda tb, net: tb.create_continuous_bus_index(net, 5, store_old_index=True),
    "reindex line": lambda tb, net: tb.reindex_elements(
        net, "line", lookup={k: k + 9 for k in net.line.index}
    ),
    "reindex some loads": lambda tb, net: tb.reindex_elements(net, "load", [77], old_indices=[3]),
    "reindex load, unknown keys": lambda tb, net: tb.reindex_elements(
        net, "load", lookup={3: 77, 500: 1}
    ),
    "reindex bus": lambda tb, net: tb.reindex_elements(net, "bus", [k + 9 for k in net.bus.index]),
    "reindex sgen": lambda tb, net: tb.reindex_elements(net, "sgen", lookup={0: 50}),
    "reindex ext_grid": lambda tb, net: tb.reindex_elements(net, "ext_grid", [50]),
    "reindex group": lambda tb, net: tb.reindex_elements(net, "group", lookup={0: 5}),
    "reindex empty": lambda tb, net: tb.reindex_elements(net, "gen"),
    "reindex nothing": lambda tb, net: tb.reindex_elements(net, "load", []),
    "fuse_buses": lambda tb, net: tb.fuse_buses(net, 3, [4, 6]),
    "fuse_buses, one": lambda tb, net: tb.fuse_buses(net, 3, 4),
    "fuse_buses, stay": lambda tb, net: tb.fuse_buses(net, 3, 4, drop=False),
    "fuse_buses, itself too": lambda tb, net: tb.fuse_buses(net, 3, [3, 4]),
}


@pytest.mark.parametrize("case", SAME)
def test_without_our_tables_a_change_is_pandapowers(case):
    expected, net = copy.deepcopy(plain_cigre()), copy.deepcopy(plain_cigre())
    SAME[case](theirs, expected)
    got = SAME[case](toolbox, net)
    assert isinstance(got, dict)
    if "drop" in case or "fuse" in case:
        assert got == {}
        assert got.cut == {}
    assert_same_frames(net, expected)
    assert set(net) == set(expected)


@pytest.mark.parametrize(
    "options",
    [{}, {"include_results": True}, {"keep_everything_else": True}, {"include_switch_buses": True}],
)
def test_without_our_tables_a_subnet_is_pandapowers(options):
    net, buses = plain_cigre(), [0, 1, 2, 3, 4, 8, 14]
    expected, got = (tb.select_subnet(net, buses, **options) for tb in (theirs, toolbox))
    assert set(got) == set(expected)
    assert_same_frames(got, expected)


@pytest.mark.parametrize("validate", [True, False])
def test_without_our_tables_a_merge_is_pandapowers(validate, caplog):
    nets = mergeable_case33(), pn.create_cigre_network_mv(with_der="pv_wind")
    for net in nets:
        pp.runpp(net, numba=False)
    caplog.set_level(logging.ERROR)
    options = {"std_prio_on_net1": False, "net2_reindex_log_level": "debug"}
    options |= {"validate": validate, "tol": 1e-6}
    expected, lookup = theirs.merge_nets(
        *nets, return_net2_reindex_lookup=True, numba=False, **options
    )
    got, own_lookup = toolbox.merge_nets(
        *nets, return_net2_reindex_lookup=True, numba=False, **options
    )
    assert own_lookup == lookup
    assert set(got) == set(expected)
    assert_same_frames(got, expected)
    assert got.std_types == expected.std_types


# -- any sequence -------------------------------------------------------------------------------


@st.composite
def steps(draw: st.DrawFn) -> tuple[str, float, float, str]:
    kind = draw(st.sampled_from(["drop bus", "drop", "fuse", "bus", "rows", "sorted", "subnet"]))
    tables = ["load", "line", "sgen", "storage", "switch", *TABLES]
    part = st.floats(0.0, 0.999)
    return kind, draw(part), draw(part), draw(st.sampled_from(tables))


def take(net: Net, step: tuple[str, float, float, str]) -> tuple[Net, dict[str, list[int]] | None]:
    """Take one step; return the net and what was removed, None where only the net tells it."""
    kind, u, v, table = step
    buses = net.bus.index
    some, other = int(buses[int(u * len(buses))]), int(buses[int(v * len(buses))])
    rows = net[table].index
    if kind == "drop bus":
        return net, toolbox.drop_buses(net, [some])
    if kind == "drop":
        return net, toolbox.drop_elements(net, table, rows[int(u * len(rows)) :][:1])
    if kind == "fuse":
        return net, toolbox.fuse_buses(net, some, [other])
    if kind == "bus":
        shift = {bus: bus + int(10 * v) for bus in buses}
        shift[some], shift[other] = shift[other], shift[some]
        toolbox.reindex_buses(net, shift)
    elif kind == "rows":
        toolbox.reindex_elements(net, table, lookup={row: row + int(10 * u) for row in rows})
    elif kind == "sorted":
        toolbox.create_continuous_bus_index(net, start=int(5 * u))
    else:
        chosen = set(buses) - {some, other}
        return toolbox.select_subnet(net, chosen, keep_everything_else=v > 0.5), None
    return net, {}


def assert_follows(before: Net, net: Net, removed: dict[str, list[int]] | None, fuse: bool) -> None:
    """What is left points to what it pointed to; what is not left was said to be removed."""
    if removed is not None:
        gone = {table: rows - ours(net)[table] for table, rows in ours(before).items()}
        assert by_name(before, removed) == {table: rows for table, rows in gone.items() if rows}
        cut = getattr(removed, "cut", {})
    old, new = portrait(before), portrait(net)
    for table, rows in new.items():
        for name, facts in rows.items():
            for column, to in facts.items():
                was = old[table][name][column]
                if to == was or (fuse and column == "bus"):
                    continue
                assert to is None
                assert removed is None or (table, column) in cut


@settings(max_examples=30, deadline=None, derandomize=True)
@given(start=st.sampled_from(sorted(BASES)), walk=st.lists(steps(), min_size=1, max_size=6))
def test_any_sequence_keeps_the_net_valid(start, walk):
    net = copy.deepcopy(BASES[start])
    for step in walk:
        if len(net.bus) < 4:
            break
        before = copy.deepcopy(net)
        try:
            net, removed = take(net, step)
        except InvalidInput as refused:
            if "out of service or open" not in str(refused):
                raise
            assert_same_frames(net, before)
            continue
        assert_sound(net)
        assert_follows(before, net, removed, fuse=step[0] == "fuse")


def test_a_new_table_is_followed_without_more_words(monkeypatch):
    """The declaration of a column is all that the toolbox needs."""
    from pp_p2p.elements.schema import Column, Table

    meter = Table(
        name="meter",
        doc="A meter at a participant.",
        columns=(
            Column(name="name", dtype="object", default="", doc="label"),
            Column(
                name="participant",
                dtype="int64",
                required=True,
                references="participant",
                doc="whose it is",
            ),
        ),
    )
    tables = {**TABLES, "meter": meter}
    for module in ("tables", "rules", "validate", "references", "reindex", "toolbox"):
        monkeypatch.setattr(f"pp_p2p.elements.{module}.TABLES", tables)
    monkeypatch.setattr("pp_p2p.elements.select_and_merge.TABLES", tables)
    added = (*references.REFERENCES, references.Reference("meter", meter.columns[1]))
    monkeypatch.setattr(references, "REFERENCES", added)
    net = copy.deepcopy(BASES["case33"])
    net["meter"] = pd.DataFrame({"name": ["m0", "m1"], "participant": [0, 2]})
    toolbox.reindex_elements(net, "participant", lookup={0: 10})
    assert net.meter.participant.tolist() == [10, 2]
    merged = toolbox.merge_nets(net, net, validate=False)
    owners = merged.participant.name[merged.meter.participant]
    assert owners.tolist() == ["north", "west"] * 2
    assert merged.meter.participant.is_unique
    removed = toolbox.drop_buses(net, [int(net.participant.bus[10])])
    assert removed["meter"] == [0]
    assert_sound(net)
