"""What is taken as it stands is told once, with the key of the file, and stored with the result."""

from __future__ import annotations

import sys
from pathlib import Path

import pandapower as pp
import pytest
import xarray as xr

import flows
from flows.chain import read_inputs
from flows.report import report_html
from flows.study import load_study
from flows.study_notes import stored_notes
from pp_p2p.errors import InvalidInput

sys.path.insert(0, str(Path(__file__).parent))
from small_study import HEAD, write_small

BIG = ("unit_p_mw = 0.2", "unit_p_mw = 200.0")
MARKETS = """
[[scenario]]
name = "bargain"

[[scenario]]
name = "compete"
[scenario.trade]
mechanism = "stackelberg"
"""
STEADY = '[profiles.sgen]\nby_sgen = { 0 = "constant" }\n'


def with_engine(study: Path, p_mw: float = 0.1) -> Path:
    """Put a generator into the net of a study."""
    net = pp.from_json(str(study.parent / "net.json"))
    pp.create_sgen(net, 2, p_mw=p_mw, name="engine")
    pp.to_json(net, str(study.parent / "net.json"))
    return study


def test_nothing_odd_nothing_told(tmp_path: Path) -> None:
    assert read_inputs(load_study(write_small(tmp_path))).notes == ()
    template = flows.study.study_template()
    (tmp_path / "init.toml").write_text(template, encoding="utf-8")
    assert read_inputs(load_study(tmp_path / "init.toml")).notes == ()


def test_a_unit_in_kw_is_told_with_its_line(tmp_path: Path) -> None:
    study = write_small(tmp_path, changes=(BIG,))
    (note,) = read_inputs(load_study(study)).notes
    line = HEAD.replace(*BIG).splitlines().index("unit_p_mw = 200.0") + 1
    assert f"study.toml:{line}, candidate[0].unit_p_mw" in note
    assert note.startswith("taken as it stands: ")
    assert "divide kW by 1000" in note


@pytest.mark.parametrize(
    ("key", "value"), [("min_vm_pu", "90.0"), ("max_vm_pu", "110.0"), ("max_vm_pu", "0.1")]
)
def test_limits_in_percent_are_refused_in_their_line(tmp_path: Path, key: str, value: str) -> None:
    change = ('source = "net.json"', f'source = "net.json"\n{key} = {value}')
    with pytest.raises(InvalidInput, match=rf"study.toml:7, network.{key}: {value} p.u. is no"):
        load_study(write_small(tmp_path, changes=(change,)))


def test_limits_of_the_net_in_percent_are_refused(tmp_path: Path) -> None:
    study = write_small(tmp_path)
    net = pp.from_json(str(tmp_path / "net.json"))
    net.bus["max_vm_pu"] = 110.0
    pp.to_json(net, str(tmp_path / "net.json"))
    with pytest.raises(InvalidInput, match="bus.max_vm_pu: rows 0, 1, 2, 3, 4 is above 10"):
        read_inputs(load_study(study))


def test_notes_are_told_once_for_all_cases_and_stored(tmp_path: Path) -> None:
    change = ("[profiles.availability]", STEADY + "\n[profiles.availability]")
    study = with_engine(write_small(tmp_path, MARKETS, changes=(change,)))
    for _ in range(2):  # computed, and kept
        told: list[str] = []
        done = flows.run_study(study, engine="plain", tell=told.append)
        assert {one.state for one in done.cases} == {"done"}
        notes = [line for line in told if "the same power in every hour" in line]
        assert notes == stored_notes(done.tree)
        assert len(notes) == 1
        assert notes[0].startswith("net.sgen 0: ")
        assert "[profiles.sgen]" in notes[0]
    assert notes[0].replace("'", "&#x27;") in report_html(done.tree)
    assert not stored_notes(xr.DataTree())  # of an earlier version
