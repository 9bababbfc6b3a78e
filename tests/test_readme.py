"""The README says what is true: its commands, its tables, its code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flows.study import load_cases, study_template
from pp_p2p.elements.tables import EXTENSIONS, TABLES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def test_first_two_blocks_are_the_two_commands() -> None:
    commands = [text.strip() for _, text in BLOCKS[:2]]
    assert commands == [
        "python -m pip install . && pp-p2p run examples/ieee33.toml",
        'python -m pip install ".[test]" && python -m pytest -n auto --dist loadfile',
    ]


@pytest.mark.parametrize("name", [*TABLES, *(f"{name} columns" for name in EXTENSIONS)])
def test_tables_are_the_declared_ones(name: str) -> None:
    table = TABLES.get(name) or EXTENSIONS[name.removesuffix(" columns")]
    assert table.markdown() in README


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len([b for b in BLOCKS if b[0] == "python"])))
def test_worked_use_runs(number: int, tmp_path: Path) -> None:
    """Each one alone, as a script."""
    code = [text for language, text in BLOCKS if language == "python"][number]
    code = code.replace('"results/mine"', repr(str(tmp_path)))
    exec(compile(code.replace("examples/", f"{ROOT}/examples/"), "README.md", "exec"), {})


def test_scenarios_fit_the_study_of_init(tmp_path: Path) -> None:
    """What is shown runs when it is added to that study, without the section it names."""
    (shown,) = [text for language, text in BLOCKS if language == "toml" and "[[scenario]]" in text]
    study = study_template()
    begin, end = study.index("\n[collaboration]\n"), study.index("\n[trade]\n")
    file = tmp_path / "study.toml"
    file.write_text(study[:begin] + study[end:] + shown, encoding="utf-8")
    assert len(load_cases(file)) == 6


def test_images_exist() -> None:
    for path in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (ROOT / path).is_file(), path
