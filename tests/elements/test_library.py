"""Opening a net by name, by SimBench code, from a file."""

from __future__ import annotations

import importlib.util
import sys
from types import SimpleNamespace

import pandapower as pp
import pytest

from pp_p2p.elements.library import bundled_names, open_net
from pp_p2p.elements.tables import TABLES
from pp_p2p.errors import InvalidInput


def test_a_name_of_pandapower():
    net = open_net("case33bw")
    assert isinstance(net, pp.pandapowerNet)
    assert len(net.bus) == 33


def test_two_calls_give_two_nets():
    first, second = open_net("case33bw"), open_net(" case33bw ")
    first.bus.loc[0, "vn_kv"] = 1.0
    assert second.bus.loc[0, "vn_kv"] != 1.0


@pytest.mark.parametrize(
    ("query", "n_sgen"),
    [("", 0), ("?", 0), ("?with_der=False", 0), ("?with_der=false", 0), ("?with_der=pv_wind", 9)],
)
def test_arguments_after_a_question_mark(query, n_sgen):
    assert len(open_net("create_cigre_network_mv" + query).sgen) == n_sgen


def test_numbers_as_arguments():
    assert (
        len(open_net("create_kerber_landnetz_freileitung_1?n_lines=5&l_lines_in_km=0.1").line) == 5
    )


def test_names_are_those_that_need_no_argument():
    names = bundled_names()
    assert {"case33bw", "mv_oberrhein", "create_cigre_network_mv"} <= set(names)
    assert not {"runpp", "create_bus", "create_empty_network", "sorted_from_json"} & set(names)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("case33", "case33bw"),
        ("CASE33BW", "did you mean case33bw"),
        ("zzzzzz", "known; or give"),
        ("create_bus", "neither a net"),
        ("case33bw?speed=3", "takes no argument 'speed'"),
        ("create_cigre_network_mv?with_derr=all", "its arguments are: with_der"),
        ("create_cigre_network_mv?with_der=coal", "refuses 'with_der=coal'"),
        ("mv_oberrhein?separation_by_sub=True", "gives a tuple, not a net"),
        ("nowhere/net.json", "there is no file nowhere/net.json"),
        ("", "neither a net"),
    ],
)
def test_an_unknown_source_is_refused(source, said):
    with pytest.raises(InvalidInput) as caught:
        open_net(source)
    assert said in str(caught.value)


def test_a_file_keeps_our_tables(full, tmp_path):
    path = tmp_path / "net.json"
    pp.to_json(full, str(path))
    for source in (str(path), path):
        net = open_net(source)
        assert set(TABLES) <= set(net)
        assert net.participant.equals(full.participant)


def test_close_names_of_files_are_said(full, tmp_path):
    pp.to_json(full, str(tmp_path / "study.json"))
    with pytest.raises(InvalidInput, match=r"did you mean .*study\.json"):
        open_net(tmp_path / "studi.json")


@pytest.mark.parametrize("text", ["not json", "{}", "[1, 2]", '{"a": 1}', ""])
def test_a_file_that_holds_no_net_is_refused(tmp_path, text):
    path = tmp_path / "net.json"
    path.write_text(text)
    with pytest.raises(InvalidInput, match="source"):
        open_net(path)


def test_simbench_missing_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "simbench", None)
    with pytest.raises(InvalidInput) as caught:
        open_net("simbench:1-MV-rural--0-sw")
    assert "pip install pp-p2p[simbench]" in str(caught.value)


def test_simbench_codes_are_known_by_simbench(monkeypatch, case33):
    stand_in = SimpleNamespace(
        collect_all_simbench_codes=lambda: ["1-MV-rural--0-sw", "1-MV-urban--0-sw"],
        get_simbench_net=lambda code: case33 if code == "1-MV-rural--0-sw" else None,
    )
    monkeypatch.setitem(sys.modules, "simbench", stand_in)
    assert open_net("simbench:1-MV-rural--0-sw") is case33
    with pytest.raises(InvalidInput, match="did you mean 1-MV-rural--0-sw"):
        open_net("simbench:1-MV-rural--0-s")


@pytest.mark.skipif(importlib.util.find_spec("simbench") is None, reason="optional extra")
def test_simbench_itself():
    assert len(open_net("simbench:1-LV-rural1--0-sw").bus) == 15
