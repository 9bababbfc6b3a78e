from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from flows.summary import WIDTH, caveats, summary_tables


def printed(tree, width=WIDTH):
    out = io.StringIO()
    console = Console(file=out, width=width, color_system=None)
    for table in summary_tables(tree):
        console.print(table)
    return out.getvalue()


def words(text):
    return [" ".join(line.split()) for line in text.splitlines()]


def test_it_says_what_matters(study_tree):
    lines = words(printed(study_tree()))
    assert "Roof bus 2 North 2/3 0.2 - 180" in lines
    assert "Battery bus 3 South 1/2 0.2 0.4 140" in lines
    assert "Tie 4-5 line 4 operator 1/1 - - 120" in lines
    assert not any(line.startswith("Mill") for line in lines)
    assert "total 990.0 872.0 -118.0" in lines
    assert "energy not served, MWh/a 6.90 5.30 -1.60" in lines
    assert "Trade over a year, EUR (on 2 of 3 days)" in lines
    assert "North 183 000 176 050 -27 800 6 950 278 -278" in lines
    assert "operator 329 400 329 400 0 0 - -" in lines
    assert "gap, % 0.2 1.0e-06" in lines
    assert "AC power flow confirmed confirmed" in lines


def test_no_table_is_wider_than_80_columns(study_tree):
    people = ("A participant with a very long name indeed", "B", "C")
    tree = study_tree(people=people)
    tree["plan"]["candidate_name"] = tree["plan"]["candidate_name"].astype("U60")
    tree["plan"]["candidate_name"][0] = "A battery that has been given a name of sixty characters"
    for table in summary_tables(tree):
        assert table.width is None or table.width <= WIDTH
    assert max(len(line) for line in printed(tree, width=200).splitlines()) <= WIDTH


def test_it_prints_where_only_latin_1_is_known(study_tree):
    text = "".join(line for line in printed(study_tree()) if line not in "─━")
    text.encode("latin-1")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"exact": False}, "AC power flow NOT confirmed NOT confirmed"),
        ({"exact": False}, "AC voltage error, p.u. infinite infinite"),
        ({"built": False}, "nothing - - - - - -"),
        ({"agreed": False}, "Trade over a year, EUR (on 0 of 3 days)"),
        (
            {"people": ("[red]x[/red]", "B", "C")},
            "[red]x[/red] 183 000 176 050 -27 800 6 950 278 -278",
        ),
    ],
)
def test_unusual_results(study_tree, change, line):
    assert line in words(printed(study_tree(**change)))


def test_lost_load_that_was_not_computed_is_no_zero(study_tree):
    tree = study_tree()
    tree["plan"].attrs["eens_computed"] = 0
    assert "Lost load not computed - -" in words(printed(tree))


def test_caveats_name_what_is_not_proven_and_what_doing_nothing_breaks(study_tree):
    tree = study_tree()
    assert caveats(tree) == []
    tree["plan"].attrs |= {"status": "feasible", "termination": "time limit", "gap": 0.03}
    tree["trade"].attrs |= {"status": "feasible", "termination": "time limit", "gap": np.inf}
    tree["plan"]["line_loading_nothing_percent"][1, 2, 3] = 131.0
    assert caveats(tree) == [
        "plan: ended on time limit with a gap of 3 %, more than was asked for",
        "trade: ended on time limit with no proven bound",
        "doing nothing: 1 line is overloaded at times, line 3 with 131 % (limit 100 %)",
    ]


def test_planning_together_is_a_table(study_tree):
    lines = words(printed(study_tree(together=True)))
    assert "North 100.0 90.0 -5.0 10.0 0.0" in lines
    assert "operator 400.0 390.0 0.0 10.0 300.0" in lines
    assert "AC power flow confirmed confirmed confirmed" in lines


def test_a_bound_that_is_not_there_is_no_number(study_tree):
    tree = study_tree()
    tree["trade"].attrs |= {"gap": np.inf}
    assert "gap, % 0.2 no bound" in words(printed(tree))
