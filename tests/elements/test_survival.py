"""What pandapower's own ways of copying and storing a net do to our tables.

Carried as they are: deepcopy, pickle, JSON, SQLite. Excel gives empty text back as a missing
value and the version as a number; both read as before. What pandapower does not carry:

* ``runpp`` and the like leave our tables alone, so nothing follows a dropped, fused or renumbered
  bus; `validate` finds the references that dangle then;
* ``reindex_buses`` and ``merge_nets`` may let a reference point to another, existing bus, which
  nothing can find afterwards;
* ``select_subnet`` leaves our tables out.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import pandapower as pp
import pandas as pd
import pytest
from pandapower import toolbox

from pp_p2p.elements.create import create_participant
from pp_p2p.elements.tables import EXTENSIONS, TABLES, extension, frame
from pp_p2p.elements.validate import findings

Net = pp.pandapowerNet


def by_excel(net: Net, folder: Path) -> Net:
    pytest.importorskip("xlsxwriter", reason="pandapower writes Excel with it")
    pp.to_excel(net, str(folder / "net.xlsx"))
    return pp.from_excel(str(folder / "net.xlsx"))


def by_sqlite(net: Net, folder: Path) -> Net:
    pp.to_sqlite(net, str(folder / "net.db"))
    return pp.from_sqlite(str(folder / "net.db"))


def by_json(net: Net, folder: Path) -> Net:
    pp.to_json(net, str(folder / "net.json"))
    return pp.from_json(str(folder / "net.json"))


def by_pandapower_pickle(net: Net, folder: Path) -> Net:
    pp.to_pickle(net, str(folder / "net.p"))
    return pp.from_pickle(str(folder / "net.p"))


WAYS: dict[str, Callable[[Net, Path], Net]] = {
    "deepcopy": lambda net, _: copy.deepcopy(net),
    "pickle": lambda net, _: pickle.loads(pickle.dumps(net)),
    "pandapower pickle": by_pandapower_pickle,
    "json": by_json,
    "json text": lambda net, _: pp.from_json_string(pp.to_json(net)),
    "sqlite": by_sqlite,
    "excel": by_excel,
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_reads_as_before(full, tmp_path, way):
    got = WAYS[way](full, tmp_path)
    assert findings(got) == ()
    for name in TABLES:
        pd.testing.assert_frame_equal(frame(got, name), frame(full, name), obj=name)
    for name, declared in EXTENSIONS.items():
        for column in declared.names:
            pd.testing.assert_series_equal(
                extension(got, name, column), extension(full, name, column)
            )
    assert create_participant(got, 3) == 2


@pytest.mark.parametrize("way", [way for way in WAYS if way != "excel"])
def test_all_but_excel_store_the_very_same_frames(full, tmp_path, way):
    got = WAYS[way](full, tmp_path)
    assert got["p2p_schema_version"] == "1"
    assert isinstance(got["p2p_schema_version"], str)
    for name in TABLES:
        pd.testing.assert_frame_equal(got[name], full[name], obj=name)


def test_excel_gives_empty_text_back_as_missing(full, tmp_path):
    got = by_excel(full, tmp_path)
    assert got["sop"]["name"].isna().tolist() == [True, False]
    assert str(got["p2p_schema_version"]) == "1"


def test_pandapower_drops_our_tables_from_a_subnet(full):
    subnet = toolbox.select_subnet(full, range(12))
    assert not set(TABLES) & set(subnet)


def test_pandapower_does_not_renumber_our_references(full):
    toolbox.reindex_buses(full, {10: 110})
    assert [(found.table, found.rows) for found in findings(full)] == [
        ("participant", (0,)),
        ("candidate", (0,)),
    ]


def test_the_power_flow_keeps_our_tables(full):
    before = copy.deepcopy(full)
    pp.runpp(full, numba=False)
    for name in TABLES:
        pd.testing.assert_frame_equal(full[name], before[name])
