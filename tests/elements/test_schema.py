"""Columns and tables as such, and the declarations held to the project's names."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from pp_p2p.elements.checks import above_up_to, between, ge, gt, one_of
from pp_p2p.elements.schema import Column, Table
from pp_p2p.elements.tables import EXTENSIONS, TABLES
from pp_p2p.errors import InvalidInput
from pp_p2p.names import unit_of

OWN_UNIT = {  # units that no suffix says
    "bargaining_power": "1",
    "price_elasticity": "1",
    "loss_factor": "1",
    "lifetime_years": "a",
    "capex_eur_per_unit": "EUR",
    "fixed_om_eur_per_unit_per_year": "EUR/a",
    "failure_rate_per_km_year": "1/(km a)",
}
DECLARED = [*TABLES.values(), *EXTENSIONS.values()]
SIZE = Column(name="size_mw", dtype="float64", unit="MW", required=True, check=gt(0), doc="size")
COUNT = Column(name="count", dtype="int64", default=1, check=ge(0), doc="how many")
THING = Table(name="thing", doc="A thing.", columns=(SIZE, COUNT))


@pytest.mark.parametrize(
    ("check", "text", "kept", "broken"),
    [
        (ge(0), ">= 0", 0.0, -1e-9),
        (gt(0), "> 0", 1e-9, 0.0),
        (between(0, 100), "between 0 and 100", 100.0, 100.1),
        (above_up_to(0, 100), "above 0 and at most 100", 100.0, 0.0),
        (one_of("a", "b"), "one of 'a', 'b'", "b", "c"),
    ],
)
def test_check_keeps_and_breaks_and_says_so(check, text, kept, broken):
    assert check.text == text
    assert check.passes(np.array([kept, broken])).tolist() == [True, False]


def test_checks_of_the_same_text_are_equal():
    assert ge(0) == ge(0)
    assert ge(0) != ge(1)


@pytest.mark.parametrize("arguments", [{"required": True, "default": 1}, {}])
def test_a_column_is_either_required_or_has_a_default(arguments):
    with pytest.raises(ValueError, match="either required or with a default"):
        Column(name="x", dtype="int64", doc="x", **arguments)


def test_missing_values_read_as_the_default():
    read = COUNT.read(pd.Series([2.0, math.nan]))
    assert read.values.tolist() == [2, 1]
    assert read.values.dtype == np.int64
    assert read.missing.tolist() == [False, True]
    assert not read.wrong.any()


@pytest.mark.parametrize(
    ("dtype", "default", "good", "bad"),
    [
        ("int64", -1, [3, 3.0, np.int32(3), None], ["3", True, 3.5, math.inf]),
        ("float64", 0.0, [3, 3.5, np.float32(3), None], ["3", True, [3.0]]),
        ("bool", True, [True, np.bool_(False), 1, 0.0, None], ["True", 2]),
        ("object", "", ["text", "", None, math.nan], [3, True]),
    ],
)
def test_what_a_type_accepts(dtype, default, good, bad):
    column = Column(name="x", dtype=dtype, default=default, doc="x")
    assert not column.read(pd.Series(good, dtype=object)).wrong.any()
    assert column.read(pd.Series(bad, dtype=object)).wrong.all()


@pytest.mark.parametrize("dtype", ["Int64", "Int32", "uint32", "float64"])
def test_integer_like_dtypes_read_as_int64(dtype):
    assert COUNT.read(pd.Series([1, 2], dtype=dtype)).values.dtype == np.int64


def test_nullable_integers_keep_their_missing_values():
    assert COUNT.read(pd.Series([5, None], dtype="Int64")).values.tolist() == [5, 1]


def test_values_are_judged_by_type_then_by_rule():
    values = pd.Series([1.0, -1.0, math.nan, math.inf, "big"], dtype=object)
    found = {finding.rule: finding.rows for finding in SIZE.findings("thing", values)}
    assert found == {
        "must be a number, is 'big'": (4,),
        "must have a value": (2,),
        "must be finite": (3,),
        "must be > 0, is -1.0": (1,),
    }


def test_reading_never_changes_the_frame():
    frame = pd.DataFrame({"size_mw": [1.0], "count": [math.nan], "mine": ["x"]})
    before = frame.copy(deep=True)
    typed = THING.typed(frame)
    typed.loc[0, "size_mw"] = 7.0
    pd.testing.assert_frame_equal(frame, before)
    assert list(typed.columns) == ["size_mw", "count"]


def test_a_frame_that_cannot_be_read_raises_all_findings():
    frame = pd.DataFrame({"count": ["x", "y"]})
    with pytest.raises(InvalidInput) as caught:
        THING.typed(frame)
    assert [finding.column for finding in caught.value.findings] == ["size_mw", "count"]


def test_markdown_has_a_line_per_column():
    lines = THING.markdown().splitlines()
    assert len(lines) == 2 + len(THING.columns)
    assert lines[2] == "| `size_mw` | float64 | MW | required | > 0 | size |"


@pytest.mark.parametrize("declared", DECLARED, ids=lambda d: getattr(d, "name", None) or d.table)
def test_declarations_keep_the_rules_of_storage(declared):
    assert len(set(declared.names)) == len(declared.columns)
    for column in declared.columns:
        assert column.doc
        assert column.dtype in {"int64", "float64", "bool", "object"}
        assert (column.unit or unit_of(column.name)) == OWN_UNIT.get(
            column.name, unit_of(column.name)
        )
        if column.references:
            assert column.dtype == "int64"
            assert column.required or column.default == -1
        if column.default is not None:
            default = pd.Series([column.default], dtype=column.dtype)
            assert column.findings("t", default) == []


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_named_so_that_pandapower_keeps_them(name):
    assert not name.startswith(("res", "_"))
    assert TABLES[name].name == name
    assert "in_service" in TABLES[name].names


@pytest.mark.parametrize("extension", EXTENSIONS.values(), ids=lambda e: e.table)
def test_no_column_of_an_extension_is_required(extension):
    assert not any(column.required for column in extension.columns)


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda t: t.name)
def test_empty_frames_are_typed(table):
    empty = table.empty()
    assert {name: str(dtype) for name, dtype in empty.dtypes.items()} == table.dtypes
    assert empty.index.dtype == np.int64
    assert len(empty) == 0
