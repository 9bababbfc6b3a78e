"""The reference of all keys is the model, and the model is what the example uses."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from flows.study import study_template
from flows.study_reference import study_reference
from flows.study_schema import study_schema
from flows.study_sections import all_sections, section_in

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| `(\w+)` +\| (.*?) +\| (.*?) *\| (.*?) +\| (.*?) +\|$")


def rows() -> dict[tuple[str, str], tuple[str, str, str, str]]:
    """Return value, unit, default and meaning by section and key."""
    found, section = {}, ""
    for line in study_reference().splitlines():
        if line.startswith("## "):
            section = line.strip("# `[]")
        elif row := ROW.match(line):
            found[section, row[1]] = (row[2], row[3], row[4], row[5])
    return found


def keys_of(table: dict[str, Any], here: str = "") -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        below = value if isinstance(value, list) else [value]
        path = f"{here}.{key}".strip(".")
        if all(isinstance(one, dict) for one in below) and not key.startswith("by_"):
            for one in below:
                yield from keys_of(one, path)
        else:
            yield here, key


def test_every_key_of_the_model_is_there_and_no_other() -> None:
    expected = {
        (".".join(path), key)
        for path, section, _ in all_sections()
        for key, field in section.model_fields.items()
        if section_in(field.annotation) is None
    }
    assert set(rows()) == expected
    assert len(expected) > 80


def test_every_key_says_what_it_is() -> None:
    for where, (value, _, default, meaning) in rows().items():
        assert value, where
        assert default, where
        assert len(meaning) > 2, where


def test_defaults_are_what_the_model_takes() -> None:
    for path, section, _ in all_sections():
        for key, field in section.model_fields.items():
            if section_in(field.annotation) is None and not field.is_required():
                default = field.get_default(call_default_factory=True)
                if default not in (None, (), {}):
                    TypeAdapter(field.annotation).validate_python(default)
                    said = rows()[".".join(path), key][2]
                    assert tomllib.loads(f"x = {said}")["x"] in (default, [*_items(default)])


def _items(value: Any) -> list[Any]:
    return list(value) if isinstance(value, tuple) else []


def test_the_example_uses_keys_that_are_listed() -> None:
    known = rows()
    used = set(keys_of(tomllib.loads(study_template())))
    assert used <= set(known)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (("network.reliability", "failure_rate_per_km_year"), ("number, at least 0", "1/(km a)")),
        (("network.reliability", "customers_per_mw"), ("number, above 0", "1/MW")),
        (("prices", "sell_eur_per_mwh"), ("number or list of 24 numbers or text", "EUR/MWh")),
        (("typical_days", "n_days"), ('whole number, at least 1 or "auto"', "")),
        (("candidate", "sizing"), ('one of "units", "continuous"', "")),
        (("sop", "grid_forming"), ("true or false or list of true or false", "")),
        (("network", "min_vm_pu"), ("number, above 0", "p.u.")),
    ],
)
def test_values_and_units(where: tuple[str, str], said: tuple[str, str]) -> None:
    assert rows()[where][:2] == said


def test_a_key_says_beside_which_choice_it_has_a_meaning() -> None:
    assert rows()["trade", "step_mw"][3].endswith("(mechanism: combined_offer)")
    schema = study_schema()["$defs"]
    told = schema["Trade"]["properties"]["formulation"]["description"]
    assert told == "network model (mechanism: nash_bargaining, combined_offer; congestion: none)"
    assert schema["ChangedTrade"]["properties"]["formulation"]["description"] == told


def test_the_command_prints_and_writes_it(tmp_path: Path) -> None:
    code = "from flows.cli import main; main()"
    for more in ((), ("--output", "keys.md")):
        done = subprocess.run(
            [sys.executable, "-c", code, "reference", *more],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == ("wrote keys.md\n" if more else study_reference())
    assert (tmp_path / "keys.md").read_text(encoding="utf-8") == study_reference()
