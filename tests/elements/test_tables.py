"""Reading our tables and columns out of a net."""

from __future__ import annotations

import copy

import numpy as np
import pandapower as pp
import pandas as pd
import pytest

from pp_p2p.elements.tables import EXTENSIONS, TABLES, extension, frame
from pp_p2p.errors import InvalidInput

COLUMNS = [(table, column) for table, ext in EXTENSIONS.items() for column in ext.names]


@pytest.mark.parametrize("name", TABLES)
def test_a_net_without_the_table_gives_the_empty_one_and_stays_as_it_was(case33, name):
    keys = list(case33)
    pd.testing.assert_frame_equal(frame(case33, name), TABLES[name].empty())
    assert list(case33) == keys


@pytest.mark.parametrize("name", TABLES)
def test_a_frame_is_the_callers_own(full, name):
    before = copy.deepcopy(full)
    got = frame(full, name)
    got.loc[:, "in_service"] = False
    pd.testing.assert_frame_equal(full[name], before[name])


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_an_absent_column_reads_as_its_default(case33, table, column):
    pp.create_storage(case33, 1, p_mw=0.0, max_e_mwh=1.0)
    pp.create_sgen(case33, 1, p_mw=0.0)
    before = list(case33[table].columns)
    got = extension(case33, table, column)
    declared = EXTENSIONS[table].by_name[column]
    assert str(got.dtype) == declared.dtype
    assert got.name == column
    assert got.index.equals(case33[table].index)
    assert (got == declared.default).all()
    assert list(case33[table].columns) == before


def test_rows_that_pandapower_adds_later_belong_to_the_operator(full):
    pp.create_load(full, 5, p_mw=0.1)
    pp.create_loads(full, [6, 7], p_mw=[0.1, 0.1])
    assert full.load.participant.dtype == np.float64
    owner = extension(full, "load", "participant")
    assert owner.dtype == np.int64
    assert owner.iloc[-3:].tolist() == [-1, -1, -1]
    assert owner.loc[[8, 9, 19]].tolist() == [0, 0, 1]
    assert extension(full, "load", "customers").iloc[-3:].tolist() == [1, 1, 1]


def test_a_net_without_the_table_of_pandapower_gives_no_rows(case33):
    del case33["storage"]
    assert extension(case33, "storage", "charge_efficiency_percent").empty


def test_a_column_of_another_type_is_refused(case33):
    case33.load["participant"] = "me"
    with pytest.raises(InvalidInput, match=r"load\.participant: rows 0, .* must be a whole number"):
        extension(case33, "load", "participant")


def test_a_foreign_entry_under_our_name_is_refused(case33):
    case33["candidate"] = {"a": 1}
    with pytest.raises(InvalidInput, match="is a dict, not a table"):
        frame(case33, "candidate")
