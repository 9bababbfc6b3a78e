"""Each rule of the validation finds its mistake, and nothing is found where nothing is wrong."""

from __future__ import annotations

import copy

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pandas as pd
import pytest
from pandapower import toolbox

from pp_p2p.elements.create import (
    create_candidate,
    create_flexible_load,
    create_participant,
    create_sop,
)
from pp_p2p.elements.ownership import assign
from pp_p2p.elements.tables import TABLES
from pp_p2p.elements.validate import findings, validate
from pp_p2p.errors import InvalidInput


def places(net: pp.pandapowerNet) -> list[tuple[str, str, tuple[object, ...]]]:
    return [(found.table, found.column, found.rows) for found in findings(net)]


def test_nothing_wrong_nothing_found(case33, full):
    assert findings(case33) == ()
    assert findings(full) == ()
    assert validate(full) is None


def test_validation_changes_nothing(full):
    full.participant.loc[0, "bus"] = 99
    before = copy.deepcopy(full)
    findings(full)
    assert list(full) == list(before)
    for name in (*TABLES, "load", "line"):
        pd.testing.assert_frame_equal(full[name], before[name])


@pytest.mark.parametrize(
    ("table", "row", "column", "value"),
    [
        ("participant", 0, "bus", 99),
        ("participant", 1, "max_trade_mw", -1.0),
        ("participant", 1, "max_trade_mw", np.inf),
        ("participant", 1, "bargaining_power", -0.5),
        ("flexible_load", 0, "load", 99),
        ("flexible_load", 0, "max_up_percent", -1.0),
        ("flexible_load", 0, "max_down_percent", 101.0),
        ("flexible_load", 0, "shift_cost_eur_per_mwh", -1.0),
        ("sop_terminal", 0, "control_mode_dc", "slack"),
        ("sop_terminal", 2, "sop", 9),
        ("sop_terminal", 2, "bus", 99),
        ("sop_terminal", 2, "bus", -1),
        ("sop_terminal", 2, "sn_mva", 0.0),
        ("sop_terminal", 2, "sn_mva", np.nan),
        ("sop_terminal", 2, "loss_factor", 1.5),
        ("candidate", 0, "bus", 99),
        ("candidate", 0, "participant", 9),
        ("candidate", 0, "participant", -2),
        ("candidate", 0, "technology", "gas"),
        ("candidate", 0, "unit_p_mw", 0.0),
        ("candidate", 1, "unit_p_mw", 0.0),
        ("candidate", 1, "unit_e_mwh", 0.0),
        ("candidate", 1, "unit_e_mwh", -1.0),
        ("candidate", 1, "min_soc_percent", 101.0),
        ("candidate", 1, "charge_efficiency_percent", 0.0),
        ("candidate", 1, "discharge_efficiency_percent", 101.0),
        ("candidate", 0, "max_units", -1),
        ("candidate", 0, "capex_eur_per_unit", -1.0),
        ("candidate", 0, "lifetime_years", 0.0),
        ("candidate", 2, "line", 99),
        ("candidate", 2, "line", -1),
        ("candidate", 2, "line", 3),
        ("load", 4, "participant", 9),
        ("load", 0, "customers", -1),
        ("sgen", 0, "participant", 9),
        ("storage", 0, "participant", 9),
        ("storage", 0, "degradation_eur_per_mwh", -1.0),
        ("line", 3, "failure_rate_per_km_year", -1.0),
        ("line", 3, "repair_time_h", -1.0),
    ],
)
def test_one_wrong_value_is_one_finding(full, table, row, column, value):
    full[table].loc[row, column] = value
    assert places(full) == [(table, column, (row,))]


@pytest.mark.parametrize("name", TABLES)
def test_text_in_a_number_column_is_one_finding(full, name):
    for column, dtype in TABLES[name].dtypes.items():
        net = copy.deepcopy(full)
        wrong = 5 if dtype == "object" else "five"
        net[name][column] = net[name][column].astype(object)
        net[name].loc[0, column] = wrong
        own = [place for place in places(net) if place[:2] == (name, column)]
        assert own == [(name, column, (0,))], column


@pytest.mark.parametrize("name", TABLES)
def test_missing_and_unknown_columns(full, name):
    full[name] = full[name].drop(columns="in_service").assign(extra=1)
    assert places(full) == [(name, "in_service", ()), (name, "extra", ())]


def test_everything_is_raised_at_once(full):
    full.participant.loc[0, "bus"] = 99
    full.sop_terminal.loc[0, "sn_mva"] = -1.0
    full.load.loc[3, "participant"] = 9
    with pytest.raises(InvalidInput) as caught:
        validate(full)
    assert caught.value.findings == findings(full)
    assert [finding.table for finding in findings(full)] == ["participant", "sop_terminal", "load"]
    assert "participant.bus: row 0 must be a row of net.bus, is 99" in str(caught.value)


def test_dropped_buses_are_found_in_every_table(full):
    toolbox.drop_buses(full, [10, 17])
    assert places(full) == [
        ("participant", "bus", (0,)),
        ("flexible_load", "load", (0,)),
        ("sop_terminal", "bus", (0,)),
        ("candidate", "bus", (0, 1, 2)),
        ("candidate", "line", (2,)),
    ]


def test_dropped_elements_are_found(full):
    toolbox.drop_elements(full, "load", [9])
    toolbox.drop_lines(full, [35])
    assert places(full) == [("flexible_load", "load", (0,)), ("candidate", "line", (2,))]


def test_a_dropped_participant_is_found_wherever_it_owns(full):
    full["participant"] = full.participant.drop(index=0)
    assert places(full) == [
        ("candidate", "participant", (0,)),
        ("load", "participant", (8, 9)),
        ("storage", "participant", (0,)),
    ]


def test_an_owner_without_any_participant_table_is_found(case33):
    case33.load["participant"] = -1
    assert findings(case33) == ()
    case33.load.loc[2, "participant"] = 0
    (found,) = findings(case33)
    assert found.rows == (2,)
    assert "there is none yet" in found.mend


def test_a_sop_needs_two_terminals(full):
    full["sop_terminal"] = full.sop_terminal.drop(index=0)
    assert places(full) == [("sop", "", (0,))]
    del full["sop_terminal"]
    assert places(full) == [("sop", "", (0, 1))]


def test_terminals_of_a_dropped_sop_are_found(full):
    full["sop"] = full.sop.drop(index=1)
    assert places(full) == [("sop_terminal", "sop", (2, 3, 4))]


def test_two_terminals_of_one_sop_share_no_bus_but_two_sops_may(full):
    full.sop_terminal.loc[3, "bus"] = 17
    assert findings(full) == ()
    full.sop_terminal.loc[1, "bus"] = 17
    assert places(full) == [("sop_terminal", "bus", (0, 1))]


def test_reactive_limits_in_the_wrong_order(full):
    full.sop_terminal.loc[1, ["min_q_mvar", "max_q_mvar"]] = [0.5, -0.5]
    assert places(full) == [("sop_terminal", "min_q_mvar", (1,))]


def test_a_load_is_flexible_once(full):
    full["flexible_load"] = pd.concat([full.flexible_load] * 2, ignore_index=True)
    assert places(full) == [("flexible_load", "load", (0, 1))]


def test_a_duplicate_or_foreign_index_is_found(full):
    full["participant"] = full.participant.set_axis([0, 0])
    assert ("participant", "", (0,)) in places(full)
    full["participant"] = full.participant.set_axis(["a", "b"])
    assert ("participant", "", ("a", "b")) in places(full)


def test_the_same_name_twice_is_allowed(case33):
    create_participant(case33, 1, name="twin")
    create_participant(case33, 2, name="twin")
    assert findings(case33) == ()


def test_an_out_of_service_participant_may_own(case33):
    owner = create_participant(case33, 1, in_service=False)
    assign(case33, owner, load=[0])
    assert findings(case33) == ()


def test_a_line_with_an_open_switch_may_be_a_candidate(case33):
    pp.create_switch(case33, case33.line.from_bus[3], 3, et="l", closed=False)
    create_candidate(case33, 3, technology="line", line=3, capex_eur_per_unit=1.0)
    assert findings(case33) == ()
    case33.switch["closed"] = True
    assert places(case33) == [("candidate", "line", (0,))]


def test_columns_that_became_float_or_object_are_tolerated(full):
    pp.create_load(full, 5, p_mw=0.1)
    assert full.load.participant.dtype == np.float64
    row = pd.DataFrame({"bus": [4], "name": ["by hand"]}, index=[5])
    full["participant"] = pd.concat([full.participant.astype(object), row.astype(object)])
    assert findings(full) == ()


def test_empty_tables_are_valid(full):
    for name in TABLES:
        full[name] = full[name].iloc[:0].astype(object)
    for name in ("load", "sgen", "storage"):
        full[name]["participant"] = -1
    assert findings(full) == ()


def test_a_foreign_entry_and_a_newer_version_are_found(case33):
    case33["sop"] = [1]
    case33["p2p_schema_version"] = "2"
    assert [place[0] for place in places(case33)] == ["p2p_schema_version", "sop"]


def test_reactive_limits_beyond_the_rating(full):
    full.sop_terminal.loc[[0, 2], "sn_mva"] = 0.5
    full.sop_terminal.loc[0, "min_q_mvar"] = 0.6
    full.sop_terminal.loc[2, "max_q_mvar"] = -0.6
    assert places(full) == [
        ("sop_terminal", "min_q_mvar", (0,)),
        ("sop_terminal", "max_q_mvar", (2,)),
    ]


def test_sop_between_the_two_sides_of_a_transformer():
    net = pn.mv_oberrhein()
    hv, lv = net.trafo.loc[net.trafo.index[0], ["hv_bus", "lv_bus"]]
    with pytest.raises(InvalidInput, match=r"sop_terminal.bus: rows 0, 1 are the two sides of"):
        create_sop(net, [int(lv), int(hv)], sn_mva=1.0)
    assert "sop" not in net  # nothing was written
    net.trafo.loc[net.trafo.index[0], "in_service"] = False
    create_sop(net, [int(lv), int(hv)], sn_mva=1.0)  # it stands for the transformer
    assert findings(net) == ()
    net.trafo.loc[net.trafo.index[0], "in_service"] = True
    assert places(net) == [("sop_terminal", "bus", (0, 1))]


def test_a_large_net_with_every_table_is_without_findings():
    net = pn.mv_oberrhein()
    buses = net.bus.index.to_list()
    for bus, load in zip(buses[:30], net.load.index, strict=False):
        assign(net, create_participant(net, bus), load=load)
        create_flexible_load(net, load, max_up_percent=10.0)
        create_candidate(net, bus, technology="pv", unit_p_mw=0.1, capex_eur_per_unit=1.0)
    for first, second in zip(buses[:10], buses[10:20], strict=True):
        create_sop(net, [first, second], sn_mva=1.0)
    assert findings(net) == ()
