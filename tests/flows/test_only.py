"""Cases are chosen by name or by a pattern of the shell."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.study import load_cases
from flows.study_run import _chosen
from pp_p2p.errors import InvalidInput

sys.path.insert(0, str(Path(__file__).parent))
from small_study import SCENARIOS, write_small

MATRIX = """
[matrix]
"planning.interest_rate_percent" = [4.0, 6.0]
"""


def names_of(study: Path, *only: str) -> list[str]:
    return [one.case for one in _chosen(load_cases(study), only)]


def test_a_name_or_a_pattern_chooses_cases_in_their_own_order(tmp_path: Path) -> None:
    study = write_small(tmp_path, SCENARIOS, MATRIX)
    every = names_of(study)
    assert len(every) == 8
    assert names_of(study, every[3]) == [every[3]]
    assert names_of(study, "*") == every
    assert names_of(study, "*4", "no tie*") == [
        name for name in every if name.endswith("4") or name.startswith("no tie")
    ]
    assert names_of(study, "more*,*percent 6") == [n for n in every if n[:4] == "more" and "6" in n]
    assert names_of(study, every[0], "?ase,*") == every[:2]


def test_what_fits_no_case_is_told_with_the_names_there_are(tmp_path: Path) -> None:
    study = write_small(tmp_path, SCENARIOS)
    with pytest.raises(InvalidInput, match=r"no case 'x\*', 'More load'; .*'base', 'more load', "):
        names_of(study, "base", "x*", "More load")
    with pytest.raises(InvalidInput, match="did you mean 'more load'"):
        names_of(study, "more laod")
    values = ", ".join(str(float(k)) for k in range(30))
    many = f'[matrix]\n"planning.interest_rate_percent" = [{values}]\n'
    with pytest.raises(InvalidInput) as caught:
        names_of(write_small(tmp_path, many), "x*")
    assert str(caught.value).count("interest_rate_percent") == 20
    assert "and 10 more; a pattern" in str(caught.value)
    with pytest.raises(InvalidInput, match="leave it out: the study has no scenarios"):
        names_of(write_small(tmp_path), "base")


def test_help_teaches_patterns() -> None:
    shown = CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "200"}).output
    assert "high*" in shown
