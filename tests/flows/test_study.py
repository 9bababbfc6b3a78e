from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from flows.study import (
    load_study,
    network_findings,
    profiles_path,
    study_template,
)
from pp_p2p.errors import InvalidInput

sys.path.insert(0, str(Path(__file__).parent))
from small_study import BATTERY, HEAD, write_text

EXAMPLE = Path(__file__).parents[2] / "examples" / "ieee33.toml"

GOOD = HEAD + BATTERY


def written(folder: Path, *changes: tuple[str, str], text: str = GOOD) -> Path:
    return write_text(folder, text, *changes)


def findings_of(file: Path) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        load_study(file)
    return [str(finding) for finding in caught.value.findings]


def test_a_good_file_loads(tmp_path):
    study = load_study(written(tmp_path))
    assert study.study.name == "tiny"
    assert study.output_dir == tmp_path / "results" / "tiny"
    assert study.prices.buy_by_hour == (200.0,) * 24
    pv, tie, battery = study.candidate
    assert pv.unit_capex_eur == pytest.approx(140_000)
    assert pv.unit_fixed_om_eur_per_year == 0
    assert battery.unit_capex_eur == 70_000
    assert battery.unit_fixed_om_eur_per_year == pytest.approx(1400)
    assert tie.bus is None
    assert tie.participant is None
    assert [site.name for site in study.sgens()] == ["A pv 1"]
    assert study.sgens()[0].bus == 1
    with pytest.raises(ValueError, match="frozen"):
        study.study.seed = 3


def test_storage_capex_adds_power_and_energy(tmp_path):
    change = ("capex_eur_per_unit = 70_000", "capex_eur_per_kw = 100\ncapex_eur_per_kwh = 300")
    battery = load_study(written(tmp_path, change)).candidate[2]
    assert battery.unit_capex_eur == pytest.approx(1000 * (100 * 0.1 + 300 * 0.2))


def test_price_windows_over_midnight(tmp_path):
    windows = (
        "[[prices.buy_window]]\nfrom_h = 22\nto_h = 6\nprice_eur_per_mwh = 100\n"
        "[[prices.buy_window]]\nfrom_h = 6\nto_h = 22\nprice_eur_per_mwh = 200\n"
    )
    first = '[[participant]]\nname = "A"'
    file = written(tmp_path, ("buy_eur_per_mwh = 200.0\n", ""), (first, windows + first))
    assert load_study(file).prices.buy_by_hour == (100,) * 6 + (200,) * 16 + (100,) * 2


# One change of the good file (old, new) and the one finding it must lead to.
MISTAKES = {
    "unknown key": (
        'name = "tiny"',
        'name = "tiny"\nsead = 1',
        (
            "study.toml:4, study.sead: unknown key; did you mean 'seed'? known here: name, "
            "output, seed"
        ),
    ),
    "unknown section": (
        "[planning]\n",
        "[trad]\n[planning]\n",
        "trad: unknown section; did you mean 'trade'?",
    ),
    "unit in the value": (
        "p_mw = 1.5",
        'p_mw = "500 kW"',
        (
            "participant[0].sgen[0].p_mw: is the text '500 kW', not a number; write a number "
            "in MW, without quotes and unit"
        ),
    ),
    "number as text": (
        "lifetime_years = 25",
        'lifetime_years = "25"',
        "candidate[0].lifetime_years: is the text '25', not a number",
    ),
    "bool as number": (
        "lifetime_years = 25",
        "lifetime_years = true",
        "candidate[0].lifetime_years: is true/false, not a number",
    ),
    "fraction as index": (
        "bus = 3\nload",
        "bus = 3.5\nload",
        "participant[1].bus: is 3.5, not a whole number",
    ),
    "out of range": (
        "max_units = 3",
        "max_units = 0",
        "candidate[0].max_units: 0 is out of range; it must be at least 1",
    ),
    "not finite": (
        "p_mw = 1.5",
        "p_mw = inf",
        "participant[0].sgen[0].p_mw: is inf, not a finite number",
    ),
    "percent above 100": (
        "fixed_om_percent_per_year = 2.0",
        "fixed_om_percent_per_year = 200",
        "it must be at most 100 %",
    ),
    "unknown technology": (
        'technology = "storage"',
        'technology = "storge"',
        "candidate[2].technology: 'storge' is not known here; did you mean 'storage'?",
    ),
    "missing key": (
        "sell_eur_per_mwh = 60.0\n",
        "",
        "prices.sell_eur_per_mwh: is missing; add sell_eur_per_mwh = ... (feed-in price",
    ),
    "missing section": (
        GOOD[GOOD.index("[planning]") : GOOD.index("[trade]")],
        "",
        "planning: is missing; add [planning] with interest_rate_percent",
    ),
    "table instead of list": (
        '[trade]\nformulation = "lindistflow"',
        "[trade]\nformulation = 3",
        "trade.formulation: 3 is not known here",
    ),
    "section is no table": ('[study]\nname = "tiny"', "study = 3", "study: is 3, not a table"),
    "bad name": ('name = "tiny"', 'name = "a/b"', "study.name: 'a/b' is not allowed"),
    "24 values": (
        "sell_eur_per_mwh = 60.0",
        "sell_eur_per_mwh = [1.0, 2.0]",
        "prices.sell_eur_per_mwh: has 2 values; give one number, or 24",
    ),
    "days": (
        "n_days = 1",
        "n_days = 0",
        'typical_days.n_days: 0 is no number of days; write 1, 2, 3, ... or "auto"',
    ),
    "unknown extreme": (
        "extreme_days = []",
        'extreme_days = ["peak_netload"]',
        "typical_days.extreme_days[0]: 'peak_netload' is not known here; did you mean 'peak_net_",
    ),
    "bad load index": (
        'names = ["house", "shop"]',
        'by_load = { x = "H0-A" }',
        "profiles.load.by_load.x: is the text 'x', not an index",
    ),
    "name twice": ('name = "Tie"', 'name = "PV"', "candidate[1].name: 'PV' is taken"),
    "no such participant": (
        'participant = "B"',
        'participant = "C"',
        "candidate[0].participant: there is no participant 'C'",
    ),
    "load owned twice": (
        "load_buses = [3]",
        "load_buses = [2, 3]",
        "participant[1].load_buses: the loads at bus 2 belong to participant[0]",
    ),
    "storage without energy": (
        "unit_e_mwh = 0.2\n",
        "",
        "candidate[2].unit_e_mwh: is missing, and technology 'storage' needs it",
    ),
    "key without meaning": (
        "line = 4",
        "line = 4\nunit_p_mw = 1",
        "candidate[1].unit_p_mw: has no meaning for technology 'line'",
    ),
    "no capex": (
        "capex_eur_per_kw = 700.0\n",
        "",
        "candidate[0].capex_eur_per_unit: the investment is missing",
    ),
    "capex twice": (
        "capex_eur_per_kw = 700.0",
        "capex_eur_per_kw = 700.0\ncapex_eur_per_unit = 1.0",
        "candidate[0].capex_eur_per_unit: is given together with capex_eur_per_kw",
    ),
    "O&M twice": (
        "fixed_om_percent_per_year = 2.0",
        "fixed_om_percent_per_year = 2.0\nfixed_om_eur_per_unit_per_year = 1.0",
        "keep one of the two",
    ),
    "no price": (
        "buy_eur_per_mwh = 200.0\n",
        "",
        "prices.buy_eur_per_mwh: the purchase price is missing",
    ),
    "price twice": (
        '[[participant]]\nname = "A"',
        (
            "[[prices.buy_window]]\n"
            "from_h = 0\n"
            "to_h = 24\n"
            "price_eur_per_mwh = 100\n"
            "[[participant]]\n"
            'name = "A"'
        ),
        "prices.buy_eur_per_mwh: is given twice",
    ),
    "windows with a hole": (
        "buy_eur_per_mwh = 200.0\nsell_eur_per_mwh = 60.0\n",
        (
            "sell_eur_per_mwh = 60.0\n"
            "[[prices.buy_window]]\n"
            "from_h = 0\n"
            "to_h = 22\n"
            "price_eur_per_mwh = 100\n"
        ),
        "prices.buy_window: hours 22, 23 are in no window or in several",
    ),
    "sell above buy": (
        "sell_eur_per_mwh = 60.0",
        "sell_eur_per_mwh = 201",
        "prices.sell_eur_per_mwh: is above the purchase price in hours 0, 1,",
    ),
    "limits crossed": (
        'source = "net.json"',
        'source = "net.json"\nmin_vm_pu = 1.1\nmax_vm_pu = 0.9',
        "network.min_vm_pu: 1.1 is not below max_vm_pu = 0.9",
    ),
    "switching after repair": (
        "switching_time_h = 1.0",
        "switching_time_h = 6.0",
        "network.reliability.switching_time_h: 6.0 h is longer than repair_time_h = 5.0",
    ),
    "start unknown": (
        "[planning]\n",
        '[collaboration]\nstarts = ["anywhere"]\n\n[planning]\n',
        "collaboration.starts",
    ),
    "islands by schedule together": (
        "[planning]\n",
        '[collaboration]\n\n[planning]\nislands = "schedule"\n',
        "planning.islands: is 'schedule', which [collaboration] does not know",
    ),
    "limit of sites together": (
        "[planning]\n",
        "[collaboration]\n\n[planning]\nmax_sites = 2\n",
        "planning.max_sites: is a limit that [collaboration] does not know",
    ),
    "budget of nobody": (
        "[planning]\n",
        "[collaboration]\nbudget_eur = { operater = 1e6 }\n\n[planning]\n",
        "collaboration.budget_eur.operater: is no participant; did you mean 'operator'",
    ),
    "no profiles file": ('file = "profiles.csv"', 'file = "my.csv"', "built in: simbench2016"),
    "no network file": (
        'source = "net.json"',
        'source = "nets/my.json"',
        "network.source: there is no file",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_one_mistake_leads_to_one_finding(tmp_path, mistake):
    old, new, text = MISTAKES[mistake]
    found = findings_of(written(tmp_path, (old, new)))
    assert len(found) == 1, "\n".join(found)
    assert text in found[0]
    assert found[0].startswith("study.toml")


def test_another_unit_is_an_unknown_key(tmp_path):
    missing, unknown = findings_of(written(tmp_path, ("p_mw = 1.5", "p_kw = 500")))
    assert "participant[0].sgen[0].p_mw: is missing" in missing
    assert "participant[0].sgen[0].p_kw: unknown key; did you mean 'p_mw'?" in unknown


def test_an_eens_limit_needs_rates(tmp_path):
    rates = GOOD[GOOD.index("[network.reliability]") : GOOD.index("[profiles]")]
    limit = ("[planning]", "[planning]\neens_limit_mwh_per_year = 1")
    (found,) = findings_of(written(tmp_path, (rates, ""), limit))
    assert "[network.reliability] is missing" in found


def test_a_single_bracket_is_explained(tmp_path):
    text = GOOD[: GOOD.index("[[candidate]]")] + '[candidate]\nname = "x"\n'
    text += "[planning]\ninterest_rate_percent = 6\n"
    (found,) = findings_of(written(tmp_path, text=text))
    assert "candidate: is a table, not a list of tables; write [[candidate]]" in found


def test_no_participant(tmp_path):
    text = GOOD[: GOOD.index("[[participant]]")] + "[planning]\ninterest_rate_percent = 6\n"
    (found,) = findings_of(written(tmp_path, text=text))
    assert "participant: is missing; add [[participant]] with name, bus" in found


def test_all_findings_come_at_once_and_in_order(tmp_path):
    file = written(
        tmp_path,
        ('name = "tiny"', 'name = "tiny"\nsead = 1'),
        ("p_mw = 1.5", 'p_mw = "500 kW"'),
        ('name = "Tie"', 'name = "PV"'),
        ("unit_e_mwh = 0.2\n", ""),
        ("lifetime_years = 15", "lifetime_years = 0"),
        ('file = "profiles.csv"', 'file = "my.csv"'),
        ("sell_eur_per_mwh = 60.0", "sell_eur_per_mwh = 600"),
    )
    found = findings_of(file)
    assert len(found) == 7
    lines = [int(text.split(":")[1].split(",")[0]) for text in found]
    assert lines == sorted(lines)
    jargon = ("pydantic", "Input should", "type=", "Traceback")
    assert not any(word in text for word in jargon for text in found)


def test_syntax_error_names_the_line(tmp_path):
    (found,) = findings_of(written(tmp_path, ('name = "tiny"', "name = small")))
    assert found.startswith("study.toml:3, study.name: no TOML: Invalid value (column ")


@pytest.mark.parametrize(
    ("old", "new", "at", "said"),
    [
        ("max_units = 3", "max_units = 3\nmax_units = 4", "max_units = 4", "candidate[0].max_un"),
        (
            "[trade]\n",
            "[ prices ]\n[trade]\n",
            "[ prices ]",
            "prices: stands there twice, first in",
        ),
        ("max_units = 3", "max_units 3", "max_units 3", " no TOML: Expected '='"),
    ],
)
def test_what_is_no_toml_names_line_and_key(tmp_path, old, new, at, said):
    file = written(tmp_path, (old, new))
    (found,) = findings_of(file)
    wrong = file.read_text().splitlines().index(at) + 1
    assert re.match(rf"study\.toml:{wrong}[,:] ", found)
    assert said in found


def test_what_is_left_open_is_said(tmp_path):
    (found,) = findings_of(written(tmp_path, text=GOOD + "\n[run]\nrunner = [1,"))
    assert found.startswith("study.toml: no TOML")
    assert "close what is open" in found


def test_what_two_rules_forbid_is_told_once(tmp_path):
    """Without the grid's emissions a price of CO2 is refused; beside [collaboration] always."""
    priced = "[planning]\nemission_price_eur_per_t = 50.0\n"
    (alone,) = findings_of(written(tmp_path, ("[planning]\n", priced)))
    assert "add grid_emission_t_per_mwh" in alone
    (beside,) = findings_of(written(tmp_path, ("[planning]\n", f"[collaboration]\n{priced}")))
    assert "is not known to [collaboration]; remove it" in beside


def test_missing_file(tmp_path):
    (found,) = findings_of(tmp_path / "none.toml")
    assert "there is no such file" in found
    assert "pp-p2p init" in found


def test_folder_and_binary_instead_of_a_file(tmp_path):
    assert "cannot be read" in findings_of(tmp_path)[0]
    (tmp_path / "study.toml").write_bytes(b"\xff\xfe\x00")
    assert "UTF-8" in findings_of(tmp_path / "study.toml")[0]


def test_paths_are_relative_to_the_study_file(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "my.csv").touch()
    (tmp_path / "net.json").touch()
    file = written(
        tmp_path,
        ('file = "profiles.csv"', 'file = "data/my.csv"'),
        ('source = "net.json"', 'source = "net.json"'),
        ('name = "tiny"', 'name = "small"\noutput = "out"'),
    )
    monkeypatch.chdir(tmp_path.parent)
    study = load_study(Path(tmp_path.name) / file.name)
    assert profiles_path(study) == tmp_path / "data" / "my.csv"
    assert study.network_source == str(tmp_path / "net.json")
    assert study.output_dir == tmp_path / "out"


def test_the_template_is_the_example():
    assert study_template() == EXAMPLE.read_text(encoding="utf-8")


def test_the_template_loads_in_an_empty_folder(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(study_template(), encoding="utf-8")
    study = load_study(file)
    assert profiles_path(study).is_file()
    assert [owner.bus for owner in study.participant] == [10, 22, 28]
    assert sum(c.technology != "line" for c in study.candidate) == 11
    assert [c.line for c in study.candidate if c.technology == "line"] == [32, 33, 34, 35, 36]


@pytest.fixture(scope="module")
def case33():
    import pandapower.networks as pn

    return pn.case33bw()


def test_limits_of_the_external_grid_are_replaced(tmp_path):
    from flows.study_net import build_net

    bare = 'source = "case33bw"'
    limits = f"{bare}\nmax_import_mw = 5.0\nmax_export_mw = 1.5"
    for source, expected in ((bare, [0.0, 10.0]), (limits, [-1.5, 5.0])):
        net = build_net(
            load_study(
                written(tmp_path, ('source = "net.json"', source), ("line = 4", "line = 32"))
            )
        )
        assert net.ext_grid[["min_p_mw", "max_p_mw"]].to_numpy().tolist() == [expected]


def test_the_example_fits_its_net(case33):
    assert network_findings(load_study(EXAMPLE), case33) == []


def test_what_the_net_does_not_have(tmp_path, case33):
    file = written(
        tmp_path,
        ("bus = 3\nload_buses = [3]", "bus = 300\nload_buses = [0, 300]"),
        ("p_mw = 1.5", "p_mw = 0.5\nbus = 99"),
        ("bus = 3\nparticipant", "bus = 400\nparticipant"),
        ("line = 4", "line = 3"),
        ('names = ["house", "shop"]', 'names = ["house", "shop"]\nby_load = { 77 = "H0-A" }'),
    )
    found = [str(finding) for finding in network_findings(load_study(file), case33)]
    assert len(found) == 7
    text = "\n".join(found)
    assert "participant[1].bus: the net has no bus 300; use a pandapower bus index" in text
    assert "participant[1].load_buses: there is no load at bus 0" in text
    assert "participant[1].load_buses: the net has no bus 300" in text
    assert "participant[0].sgen[0].bus: the net has no bus 99" in text
    assert "candidate[0].bus: the net has no bus 400" in text
    assert "candidate[1].line: line 3 is in service and closed already" in text
    assert "profiles.load.by_load.77: the net has no load 77" in text


HEADERS = {
    "network": ("study.source", ""),
    "network.reliability": ("network.failure_rate", "repair_time_h, switching_time_h"),
    "profiles.availability": ("profiles.load.pv", "(so does wind)"),
    "prices": ("profiles.availability.buy_eur_per_mwh", "(so does sell_eur_per_mwh)"),
}


@pytest.mark.parametrize("section", HEADERS)
def test_a_missing_header_is_one_finding(tmp_path, section):
    key, others = HEADERS[section]
    path = written(tmp_path, (f"[{section}]\n", ""))
    with pytest.raises(InvalidInput) as caught:
        load_study(path)
    (found,) = map(str, caught.value.findings)
    assert f", {key}" in found
    assert f"belongs to [{section}], whose header is missing" in found
    assert others in found
    assert found.endswith(f"write the line [{section}] above it")


def test_a_missing_section_says_all_that_it_needs(tmp_path):
    start, end = GOOD.index("[prices]"), GOOD.index("[[participant]]")
    path = written(tmp_path, text=GOOD[:start] + GOOD[end:])
    with pytest.raises(InvalidInput) as caught:
        load_study(path)
    assert str(caught.value) == (
        "study.toml, prices: is missing; add [prices] with sell_eur_per_mwh, buy_eur_per_mwh or "
        "[[prices.buy_window]]"
    )


def test_a_key_that_no_section_knows_is_unknown(tmp_path):
    path = written(tmp_path, ('source = "net.json"', 'source = "net.json"\ntypo = 1'))
    with pytest.raises(InvalidInput, match="network.typo: unknown key"):
        load_study(path)
