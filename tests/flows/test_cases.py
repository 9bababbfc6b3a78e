"""Scenarios, the matrix and horizons of a study file: what they become, and their mistakes."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path

import pandapower.networks as pn
import pytest

from flows.plan_years import stages_of
from flows.steps import STEPS, inputs_key, step_key
from flows.study import load_cases, load_study, network_findings, study_template
from flows.study_cases import folder_name
from flows.study_schema import study_schema
from pp_p2p.elements.candidate_table import TECHNOLOGIES
from pp_p2p.errors import InvalidInput

sys.path.insert(0, str(Path(__file__).parent))
from small_study import HORIZON, SCENARIOS, write_small, write_text

TEMPLATE = study_template()
ALONE = (
    TEMPLATE[: TEMPLATE.index("\n[collaboration]\n")] + TEMPLATE[TEMPLATE.index("\n[trade]\n") :]
)
"""Without the joint plan, which is one of a single year."""


def base_of(text: str) -> str:
    """Return the study that `text` is added to."""
    return ALONE if "[horizon]" in text else TEMPLATE


def cases_of(folder: Path, text: str):
    file = folder / "study.toml"
    file.write_text(base_of(text) + text, encoding="utf-8")
    return load_cases(file)


def findings_of(folder: Path, text: str) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        cases_of(folder, text)
    return [str(one) for one in caught.value.findings]


def test_a_study_without_scenarios_is_its_only_case(tmp_path):
    (only,) = cases_of(tmp_path, "")
    assert only.case == ""
    assert only == load_study(only.file)


def test_scenarios_replace_add_and_leave_out(tmp_path):
    text = """
[[scenario]]
name = "base"
[[scenario]]
name = "changed"
leave_out = ["candidate.Tie 21-8", "planning.budget_eur", "participant.MG 29.sgen"]
[scenario.network]
load_growth_percent = 20.0
[scenario.prices]
buy_eur_per_mwh = 150.0
[scenario.candidate."PV at 11"]
max_units = 9
capex_eur_per_unit = 80_000.0
[scenario.candidate."New"]
technology = "pv"
bus = 5
unit_p_mw = 0.1
capex_eur_per_kw = 900.0
lifetime_years = 25
"""
    base, changed = cases_of(tmp_path, text)
    assert base.model_dump(exclude={"scenario"}) == load_study(base.file).model_dump(
        exclude={"scenario"}
    )
    assert changed.network.load_growth_percent == 20.0
    assert changed.prices.buy_by_hour == (150.0,) * 24
    assert changed.planning.budget_eur is None
    assert changed.participant[2].sgen == ()
    by_name = {one.name: one for one in changed.candidate}
    assert set(by_name) ^ {one.name for one in base.candidate} == {"Tie 21-8", "New"}
    assert by_name["PV at 11"].max_units == 9
    assert by_name["PV at 11"].unit_capex_eur == 80_000  # in place of the price per kW


def test_the_matrix_is_every_combination_of_every_scenario(tmp_path):
    text = """
[[scenario]]
name = "a"
[[scenario]]
name = "b"
[scenario.planning]
interest_rate_percent = 3.0
[matrix]
"planning.budget_eur" = [1e6, 2e6]
"candidate.Wind at 11.max_units" = [1, 2, 3]
"""
    cases = cases_of(tmp_path, text)
    assert len(cases) == 12
    assert len({folder_name(one.case) for one in cases}) == 12
    found = {
        (c.planning.interest_rate_percent, c.planning.budget_eur, c.candidate[1].max_units)
        for c in cases
    }
    assert len(found) == 12
    assert cases[0].case == "a, budget_eur 1e+06, Wind at 11 max_units 1"


# What is added to the template, and what its one finding must say.
MISTAKES = {
    "slip in a name": (
        '[[scenario]]\nname = "x"\n[scenario.candidate."PV at 1"]\nmax_units = 2\n',
        "scenario[0].candidate.PV at 1: there is no candidate 'PV at 1'; did you mean 'PV at 11'?",
    ),
    "wrong value": (
        '[[scenario]]\nname = "x"\n[scenario.network]\nload_growth_percent = "20 %"\n',
        "scenario[0].network.load_growth_percent: is the text '20 %', not a number",
    ),
    "unknown key": (
        '[[scenario]]\nname = "x"\n[scenario.planning]\nbudget = 3\n',
        "scenario[0].planning.budget: unknown key; did you mean 'budget_eur'?",
    ),
    "unknown section": (
        '[[scenario]]\nname = "x"\n[scenario.planing]\nbudget_eur = 3\n',
        "scenario[0].planing: unknown section; did you mean 'planning'?",
    ),
    "nothing to leave out": (
        '[[scenario]]\nname = "x"\nleave_out = ["planning.nothing"]\n',
        "the study has no 'planning.nothing' that could be left out",
    ),
    "rule between keys": (
        '[[scenario]]\nname = "x"\nleave_out = ["network.reliability"]\n',
        "[network.reliability] is missing (in the case 'x')",
    ),
    "name of the study": (
        '[[scenario]]\nname = "x"\n[scenario.study]\nname = "y"\n',
        "scenario[0].study.name: belongs to the whole study",
    ),
    "no name": ("[[scenario]]\n", "scenario[0].name: is missing"),
    "same name": (
        '[[scenario]]\nname = "x"\n[[scenario]]\nname = "X"\n',
        "'x' and 'X' (lines ",
    ),
    "same name and values": (
        '[[scenario]]\nname = "x"\n[[scenario]]\nname = "y"\n[[scenario]]\nname = "x"\n',
        "scenario[2].name: two scenarios are named 'x' (lines ",
    ),
    "same value twice": (
        '[matrix]\n"planning.budget_eur" = [1e6, 1e6]\n',
        "matrix: makes several cases whose results would stand in the folder",
    ),
    "listed elements": (
        '[[scenario]]\nname = "x"\n[[scenario.sop]]\nname = "y"\n',
        "scenario[0].sop: is no table",
    ),
    "slip in a section of the matrix": (
        '[matrix]\n"planing.budget_eur" = [1e6]\n',
        "matrix.planing.budget_eur: unknown section; did you mean 'planning'?",
    ),
    "slip in a key of the matrix": (
        '[matrix]\n"network.reliability.repair_tme_h" = [1.0]\n',
        "matrix.network.reliability.repair_tme_h: unknown key; did you mean 'repair_time_h'?",
    ),
    "no section in the matrix": (
        "[matrix]\nbudget_eurs = [1e6]\n",
        "names no key of a section; did you mean 'planning.budget_eur'?",
    ),
    "matrix without a list": (
        '[matrix]\n"planning.budget_eur" = 3\n',
        "matrix.planning.budget_eur: is no list of values",
    ),
    "matrix of a wrong value": (
        '[matrix]\n"planning.budget_eur" = [1e6, -1.0]\n',
        "matrix.planning.budget_eur: -1.0 is out of range",
    ),
    "matrix of no candidate": (
        '[matrix]\n"candidate.PV.max_units" = [1]\n',
        "there is no candidate 'PV'",
    ),
    "too many": (
        '[matrix]\n"planning.budget_eur" = ' + str(list(range(2001))),
        "makes 2001 cases, more than 2000",
    ),
    "limits of other stages": (
        "[horizon]\nstage_years = [1, 2]\neens_limit_mwh_per_year = [5.0]\n",
        "horizon.eens_limit_mwh_per_year: has 1 values for 2 stages",
    ),
    "no stage": ("[horizon]\nstage_years = []\n", "horizon.stage_years: is empty"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_one_mistake_leads_to_one_finding(tmp_path, mistake):
    text, said = MISTAKES[mistake]
    (found,) = findings_of(tmp_path, text)
    assert said in found
    line = int(found.split(":")[1].split(",")[0])
    assert line > base_of(text).count("\n") or "in the case" in found


@pytest.mark.parametrize(
    ("mistake", "lines"),
    [
        ("same name and values", ":6,"),
        ("same name and values", "(lines 2 and 6)"),
        ("listed elements", ":3,"),
        ("slip in a key of the matrix", ":2,"),
        ("slip in a section of the matrix", ":2,"),
    ],
)
def test_a_finding_names_its_own_line(tmp_path, mistake, lines):
    (found,) = findings_of(tmp_path, MISTAKES[mistake][0])
    before = TEMPLATE.count("\n")
    assert re.sub(r"\d+", lambda n: str(int(n[0]) + before), lines) in found


def test_a_horizon_becomes_stages(tmp_path):
    study = load_study(write_small(tmp_path, HORIZON))
    first, second = stages_of(study)
    assert (first.years, second.years) == (2, 3)
    assert second.demand_factor == pytest.approx(1.02**4)  # the last year of the stage
    assert second.capex_factors(["pv", "line"]).tolist() == pytest.approx([0.95**2, 1.0])


def keys_of(study) -> dict[str, str]:
    keys: dict[str, str] = {}
    digests = {"net": inputs_key(study), "profiles": "p"}
    for one in STEPS:
        left_out = not one.stages(study)
        keys[one.name] = "" if left_out else step_key(study, one, None, digests, keys)
    return keys


# A change of the file, and the steps that depend on it.
@pytest.mark.parametrize(
    ("change", "changed"),
    [
        (('name = "tiny"', 'name = "tiny"  # a comment'), set()),
        (("n_days = 1", "n_days = 2"), {"days", "plan", "trade"}),
        (("mip_gap_percent = 1.0", "mip_gap_percent = 0.5"), {"plan", "trade"}),
        (("[trade]", "[trade]\nnetwork_fee_eur_per_mwh = 5.0"), {"trade"}),
        (("capex_eur_per_kw = 700.0", "capex_eur_per_kw = 800.0"), {"plan", "trade"}),
    ],
)
def test_a_changed_input_changes_the_keys_of_what_depends_on_it(tmp_path, change, changed):
    before = keys_of(load_study(write_small(tmp_path)))
    after = keys_of(load_study(write_small(tmp_path, changes=(change,))))
    assert {name for name in before if before[name] != after[name]} == changed


def test_the_inputs_depend_on_the_files_they_name(tmp_path):
    study = load_study(write_small(tmp_path))
    before = inputs_key(study)
    table = tmp_path / "profiles.csv"
    table.write_text(table.read_text().replace("0.9", "0.8", 1))
    assert inputs_key(study) != before


def test_the_schema_takes_good_files_and_refuses_bad_ones(tmp_path):
    check = pytest.importorskip("jsonschema", reason="is in the extra test").Draft202012Validator
    schema = json.loads(json.dumps(study_schema()))
    check.check_schema(schema)
    validator = check(schema)
    good = TEMPLATE + '[[scenario]]\nname = "x"\n[scenario.network]\nload_growth_percent = 3.0\n'
    assert list(validator.iter_errors(tomllib.loads(good))) == []
    small = write_small(tmp_path, SCENARIOS, HORIZON).read_text()
    assert list(validator.iter_errors(tomllib.loads(small))) == []
    for bad in (
        good.replace("load_growth_percent = 3.0", 'load_growth_percent = "3"'),
        good.replace("max_units = 5", "max_unit = 5", 1),
        good.replace('technology = "pv"', 'technology = "pvs"', 1),
        good + "[scenario.netwrk]\nx = 1\n",
    ):
        assert list(validator.iter_errors(tomllib.loads(bad)))


def test_all_that_the_template_offers_is_good(tmp_path):
    """With every optional line in use it loads, fits its net but for switches, and the schema."""
    check = pytest.importorskip("jsonschema", reason="is in the extra test").Draft202012Validator
    first = TEMPLATE.index("\n# [[sop]]")
    offered = re.sub(r"(?m)^# ?", "", TEMPLATE[first:])
    text = ALONE[: ALONE.index("\n# [[sop]]")] + offered
    for key in ("grid_emission_t_per_mwh", "emission_price_eur_per_t", "emission_cap_t_per_year"):
        text, n = re.subn(rf"(?m)^# ({key} = )", r"\1", text)
        assert n == 1, key
    raw = tomllib.loads(text)
    assert list(check(json.loads(json.dumps(study_schema()))).iter_errors(raw)) == []
    technologies = {one["technology"] for one in raw["candidate"]}
    assert technologies == set(TECHNOLOGIES)
    cases = load_cases(write_text(tmp_path, text))
    assert {one.trade.mechanism for one in cases} == {"nash_bargaining", "stackelberg"}
    assert {one.sop[0].sn_mva for one in cases if one.sop} == {(0.5,), (1.0,)}
    found = [str(one) for one in network_findings(cases[0], pn.case33bw())]
    assert len(found) == 1
    assert "the net has no switch 0: its table net.switch is empty" in found[0]
