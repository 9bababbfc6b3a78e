"""Making rows: what is written, and that a wrong call writes nothing."""

from __future__ import annotations

import copy
import inspect
import math
import subprocess
import sys

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pandas as pd
import pytest

import pp_p2p as p2p
from pp_p2p.elements import attributes, create
from pp_p2p.elements.tables import EXTENSIONS, TABLES, extension, frame
from pp_p2p.elements.validate import findings, validate
from pp_p2p.errors import InvalidInput

CREATORS = {
    "participant": (create.create_participant, ()),
    "flexible_load": (create.create_flexible_load, ()),
    "candidate": (create.create_candidate, ()),
}


def assert_same_net(got: pp.pandapowerNet, expected: pp.pandapowerNet) -> None:
    assert list(got) == list(expected)
    for key, value in expected.items():
        if isinstance(value, pd.DataFrame):
            pd.testing.assert_frame_equal(got[key], value, obj=key)
    assert got.get("p2p_schema_version") == expected.get("p2p_schema_version")


def parameters(function) -> dict[str, inspect.Parameter]:
    return dict(list(inspect.signature(function).parameters.items())[1:])


def same(left: object, right: object) -> bool:
    both_nan = left != left and right != right  # noqa: PLR0124 (only NaN differs from itself)
    return type(left) is type(right) and (both_nan or left == right)


@pytest.mark.parametrize("name", ["participant", "flexible_load", "candidate"])
def test_signature_is_the_declaration(name):
    given = parameters(getattr(create, f"create_{name}"))
    assert given.pop("index").default is None
    assert set(given) == set(TABLES[name].names)
    for column in TABLES[name].columns:
        default = given[column.name].default
        if column.required:
            assert default is inspect.Parameter.empty
        else:
            assert same(default, column.default), column.name


def test_signature_of_the_sop_is_both_declarations():
    given = parameters(create.create_sop)
    assert given.pop("index").default is None
    assert given.pop("buses").default is inspect.Parameter.empty
    columns = TABLES["sop"].by_name | TABLES["sop_terminal"].by_name
    assert set(given) == set(columns) - {"sop", "bus"}
    for name, parameter in given.items():
        if columns[name].required:
            assert parameter.default is inspect.Parameter.empty
        else:
            assert same(parameter.default, columns[name].default), name


def test_setters_cover_every_column_of_the_extensions():
    setters = {
        "line": attributes.set_line_reliability,
        "trafo": attributes.set_trafo_reliability,
        "load": attributes.set_customers,
        "storage": attributes.set_storage,
        "switch": attributes.set_remote_control,
    }
    for table, declared in EXTENSIONS.items():
        settable = set(list(parameters(setters[table]))[1:]) if table in setters else set()
        assert settable | {"participant"} == set(declared.names) | {"participant"}
    assert set(parameters(p2p.assign)) - {"participant"} == {
        table for table, declared in EXTENSIONS.items() if "participant" in declared.names
    }


def test_the_first_row_makes_the_table_and_the_version(case33):
    index = create.create_participant(case33, name="DSA 1", bus=10)
    assert index == 0
    assert type(index) is int
    assert case33["p2p_schema_version"] == "1"
    row = case33.participant.loc[0]
    assert row["name"] == "DSA 1"
    assert row["bus"] == 10
    assert math.isnan(row["max_import_mw"])
    assert row["bargaining_power"] == 1.0
    assert {name: str(dtype) for name, dtype in case33.participant.dtypes.items()} == TABLES[
        "participant"
    ].dtypes


def test_indices_follow_pandapowers_rule(case33):
    assert create.create_participant(case33, 1, index=7) == 7
    assert create.create_participant(case33, 1) == 8
    assert create.create_participant(case33, np.int64(2), index=np.int64(3)) == 3
    assert case33.participant.index.tolist() == [7, 8, 3]


def test_the_types_stay_as_declared_in_every_table(full):
    for name, table in TABLES.items():
        assert {column: str(dtype) for column, dtype in full[name].dtypes.items()} == table.dtypes
        assert full[name].index.dtype == np.int64
    for name, declared in EXTENSIONS.items():
        for column in declared.columns:
            if column.name in full[name]:
                assert str(full[name][column.name].dtype) == column.dtype
    validate(full)


def test_a_sop_has_a_terminal_per_bus(full):
    assert full.sop["name"].tolist() == ["", "three"]
    assert full.sop_terminal["sop"].tolist() == [0, 0, 1, 1, 1]
    assert full.sop_terminal["bus"].tolist() == [17, 32, 11, 21, 24]
    assert full.sop_terminal["sn_mva"].tolist() == [1.0, 1.0, 1.0, 0.5, 0.5]
    assert full.sop_terminal["loss_factor"].tolist() == [0.02, 0.02, 0.0, 0.0, 0.0]


def test_ownership_moves_and_returns(case33):
    first, second = create.create_participant(case33, 1), create.create_participant(case33, 2)
    p2p.assign(case33, first, load=[0, 1, 2])
    p2p.assign(case33, second, load=np.array([2]))
    p2p.assign(case33, -1, load=0)
    assert extension(case33, "load", "participant").iloc[:4].tolist() == [-1, first, second, -1]
    assert "participant" not in case33.sgen


def test_an_element_number_zero_can_be_given_as_a_plain_number(case33):
    first = create.create_participant(case33, 1)
    p2p.assign(case33, first, load=0)
    assert extension(case33, "load", "participant").iloc[0] == first


def test_setters_leave_other_rows_and_columns(case33):
    attributes.set_line_reliability(case33, [0, 2], repair_time_h=[3.0, 5.0])
    assert extension(case33, "line", "repair_time_h").iloc[:3].tolist() == [3.0, 0.0, 5.0]
    assert "failure_rate_per_km_year" not in case33.line
    attributes.set_line_reliability(case33, failure_rate_per_km_year=0.2)
    assert (case33.line.failure_rate_per_km_year == 0.2).all()
    assert extension(case33, "line", "repair_time_h").iloc[2] == 5.0
    attributes.set_trafo_reliability(case33, failure_rate_per_year=0.2)
    assert case33.trafo.failure_rate_per_year.empty


def test_columns_of_the_user_stay_until_validation_names_them(case33):
    create.create_participant(case33, 1)
    case33.participant["colour"] = ["red"]
    case33.participant["ready"] = [True]
    create.create_participant(case33, 2)
    assert case33.participant["colour"].iloc[0] == "red"
    assert case33.participant["bus"].tolist() == [1, 2]
    assert {finding.column for finding in findings(case33)} == {"colour", "ready"}


@pytest.mark.parametrize(
    ("function", "arguments", "said"),
    [
        ("create_participant", {"bus": 33}, "did you mean 32?"),
        ("create_participant", {"bus": -1}, "must be a row of net.bus"),
        ("create_participant", {"bus": "Bus 3"}, "must be a whole number, is 'Bus 3'"),
        ("create_participant", {"bus": 1.5}, "must be a whole number"),
        ("create_participant", {"bus": None}, "must have a value"),
        ("create_participant", {"bus": True}, "must be a whole number"),
        ("create_participant", {"bus": 1, "index": 0}, "leave index out, or take 2"),
        ("create_participant", {"bus": 1, "index": -4}, "must be a whole number >= 0"),
        ("create_participant", {"bus": 1, "index": "a"}, "must be a whole number >= 0"),
        ("create_participant", {"bus": 1, "max_import_mw": -1.0}, "must be >= 0, is -1.0"),
        ("create_participant", {"bus": 1, "max_export_mw": math.inf}, "(NaN) for no limit"),
        ("create_participant", {"bus": 1, "bargaining_power": -0.5}, "must be >= 0"),
        ("create_participant", {"bus": 1, "name": 5}, "must be text"),
        ("create_flexible_load", {"load": 99}, "must be a row of net.load"),
        ("create_flexible_load", {"load": 9}, "must be a load that no other row names"),
        ("create_flexible_load", {"load": 1, "max_down_percent": 101.0}, "between 0 and 100"),
        ("create_sop", {"buses": [1], "sn_mva": 1.0}, "must have 2 or more terminals"),
        ("create_sop", {"buses": [], "sn_mva": 1.0}, "must have 2 or more terminals"),
        ("create_sop", {"buses": 5, "sn_mva": 1.0}, "must have 2 or more terminals"),
        ("create_sop", {"buses": [1, 1], "sn_mva": 1.0}, "must differ between the terminals"),
        ("create_sop", {"buses": [1, 99], "sn_mva": 1.0}, "must be a row of net.bus, is 99"),
        ("create_sop", {"buses": [1, 2], "sn_mva": 0.0}, "must be > 0"),
        ("create_sop", {"buses": [1, 2], "sn_mva": math.nan}, "must have a value"),
        ("create_sop", {"buses": [1, 2], "sn_mva": [1.0] * 3}, "has 3 values for 2 terminals"),
        ("create_sop", {"buses": [1, 2], "sn_mva": 1.0, "loss_factor": 2.0}, "between 0 and 1"),
        ("create_sop", {"buses": [1, 2], "sn_mva": 1.0, "control_mode_ac": "pq"}, "'q_mvar'"),
        ("create_sop", {"buses": [1, 2], "sn_mva": 1.0, "index": 0}, "index of another row"),
        (
            "create_sop",
            {"buses": [1, 2], "sn_mva": 1.0, "min_q_mvar": 1.0, "max_q_mvar": 0.0},
            "must not be above max_q_mvar",
        ),
        ("create_candidate", {"technology": "gas"}, "must be one of 'pv'"),
        (
            "create_candidate",
            {"technology": "pv"},
            "must be > 0 for pv, wind, dispatchable, storage",
        ),
        (
            "create_candidate",
            {"technology": "storage", "unit_p_mw": 1.0},
            "must be > 0 for storage",
        ),
        ("create_candidate", {"technology": "line"}, "must be given for technology 'line'"),
        ("create_candidate", {"technology": "line", "line": 3}, "out of service or open"),
        ("create_candidate", {"technology": "line", "line": 99}, "must be a row of net.line"),
        ("create_candidate", {"technology": "switch", "participant": 9}, "net.participant, is 9"),
        ("create_candidate", {"technology": "switch", "max_units": 1.5}, "must be a whole number"),
        ("create_candidate", {"technology": "switch", "lifetime_years": 0.0}, "must be > 0"),
        ("assign", {"participant": 9, "load": [1]}, "has no row 9"),
        ("assign", {"participant": 0.5, "load": [1]}, "has no row 0.5"),
        ("assign", {"participant": 0, "load": [1, 99], "sgen": [5]}, "sgen: has no row 5"),
        ("set_line_reliability", {"lines": 99, "repair_time_h": 1.0}, "line: has no row 99"),
        ("set_line_reliability", {"repair_time_h": -1.0}, "must be >= 0"),
        (
            "set_line_reliability",
            {"lines": [1], "repair_time_h": [1.0, 2.0]},
            "2 values for 1 rows",
        ),
        ("set_customers", {"loads": [1], "customers": 2.5}, "must be a whole number"),
        ("set_storage", {"charge_efficiency_percent": 0.0}, "above 0 and at most 100"),
    ],
)
def test_a_wrong_call_says_why_and_leaves_the_net(full, function, arguments, said):
    if function == "create_candidate":
        arguments = {"bus": 3, "capex_eur_per_unit": 1.0} | arguments
    before = copy.deepcopy(full)
    with pytest.raises(InvalidInput) as caught:
        getattr(p2p, function)(full, **arguments)
    assert said in str(caught.value)
    assert_same_net(full, before)


def test_a_wrong_first_call_makes_no_table(case33):
    before = copy.deepcopy(case33)
    with pytest.raises(InvalidInput):
        create.create_sop(case33, [1, 99], sn_mva=1.0)
    assert_same_net(case33, before)


def test_all_mistakes_of_a_call_are_named_at_once(case33):
    with pytest.raises(InvalidInput) as caught:
        create.create_participant(case33, 99, max_import_mw=-1.0, bargaining_power=-1.0)
    assert {finding.column for finding in caught.value.findings} == {
        "bus",
        "max_import_mw",
        "bargaining_power",
    }


def test_older_dirt_does_not_stop_a_new_row(full):
    full.participant.loc[0, "bus"] = 99
    assert create.create_participant(full, 1) == 2
    assert len(findings(full)) == 1


def test_a_table_that_cannot_be_read_is_not_written_to(full):
    full.participant["bus"] = "here"
    before = copy.deepcopy(full)
    with pytest.raises(InvalidInput, match="must be a whole number"):
        create.create_participant(full, 1)
    assert_same_net(full, before)


def test_participants_on_the_cigre_net_own_its_renewables():
    net = pn.create_cigre_network_mv(with_der="pv_wind")
    for bus in sorted(net.sgen.bus.unique()):
        participant = create.create_participant(net, bus, name=f"prosumer {bus}")
        p2p.assign(
            net,
            participant,
            load=net.load.index[net.load.bus == bus],
            sgen=net.sgen.index[net.sgen.bus == bus],
        )
    create.create_candidate(net, 8, technology="line", line=14, capex_eur_per_unit=1e5)
    validate(net)
    owner = frame(net, "participant")["bus"].loc[extension(net, "sgen", "participant")]
    assert owner.tolist() == net.sgen.bus.tolist()


def test_the_net_still_runs(full):
    pp.runpp(full, numba=False)
    assert full.converged
    validate(full)


def test_importing_the_room_does_not_import_pandapower():
    rooms = ["schema", "tables", "rules", "validate", "write", "create", "attributes", "library"]
    code = "import sys; " + "; ".join(f"import pp_p2p.elements.{room}" for room in rooms)
    code += "; sys.exit('pandapower' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
