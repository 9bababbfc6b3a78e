"""The JSON Schema marks a key that the chosen mechanism or technology does not take."""

from __future__ import annotations

import itertools
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from flows.key_meaning import Of, meaning_violations
from flows.study import study_template
from flows.study_candidate import Candidate
from flows.study_market import Trade
from flows.study_schema import study_schema

sys.path.insert(0, str(Path(__file__).parent))
from small_study import BATTERY, HEAD, HORIZON, SCENARIOS, TECHNOLOGIES

Validator = pytest.importorskip("jsonschema", reason="is in the extra test").Draft202012Validator
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.toml"))
SECTIONS = [Candidate, Trade]


@pytest.fixture(scope="module")
def schema() -> Any:
    return json.loads(json.dumps(study_schema()))


def errors(schema: Any, text: str) -> list[str]:
    found = Validator(schema).iter_errors(tomllib.loads(text))
    return sorted({"/".join(map(str, one.absolute_path)) for one in found})


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_valid(schema: Any, path: Path) -> None:
    Validator.check_schema(schema)
    assert errors(schema, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "more", ["", BATTERY, TECHNOLOGIES, SCENARIOS, HORIZON], ids=lambda more: more[:20].strip()
)
def test_studies_of_the_tests_are_valid(schema: Any, more: str) -> None:
    assert errors(schema, HEAD + more) == []


def choices(model: Any) -> dict[str, tuple[str, ...]]:
    """Return key -> what may be chosen, of those that others depend on."""
    import typing

    marks = [m for f in model.model_fields.values() for m in f.metadata if isinstance(m, Of)]
    keys = dict.fromkeys(mark.key for mark in marks)
    return {key: typing.get_args(model.model_fields[key].annotation) for key in keys}


@pytest.mark.parametrize("model", SECTIONS, ids=lambda model: model.__name__)
def test_conditions_say_what_the_rules_of_the_file_say(schema: Any, model: Any) -> None:
    """For every choice, and every key beside it."""
    whole, part = (
        Validator({"allOf": schema["$defs"][prefix + model.__name__]["allOf"]})
        for prefix in ("", "Changed")
    )
    chosen = choices(model)
    wrong = 0
    for values in itertools.product(*((None, *of) for of in chosen.values())):
        base = {k: v for k, v in zip(chosen, values, strict=True) if v is not None}
        for name in model.model_fields:
            raw = {name: 1, **base}
            found = list(meaning_violations(model, raw, ()))
            if not (set(chosen) - set(base) - {name} and model is Candidate):
                assert whole.is_valid(raw) == (not found), raw
                wrong += bool(found)
            if not part.is_valid(raw):  # a change is refused only for what it chooses itself
                assert [rule for _, rule, _ in found if "no meaning" in rule], raw
    assert wrong > 50


def test_a_wrong_pair_is_marked_where_it_stands(schema: Any) -> None:
    text = study_template()
    assert errors(schema, text.replace("[trade]", "[trade]\nstep_mw = 0.1")) == ["trade/step_mw"]
    tie = 'technology = "line"'
    assert tie in text
    marked = errors(schema, text.replace(tie, f"{tie}\nunit_p_mw = 1.0", 1))
    assert [one.rpartition("/")[2] for one in marked] == ["unit_p_mw"]
    swapped = errors(schema, HEAD.replace('technology = "line"', 'technology = "pv"'))
    assert "candidate/1" in swapped  # unit_p_mw and bus are missing
    assert "candidate/1/line" in swapped


def test_a_scenario_is_marked_for_what_it_chooses_itself(schema: Any) -> None:
    scenario = '\n[[scenario]]\nname = "x"\n[scenario.trade]\n'
    assert errors(schema, HEAD + scenario + "step_mw = 0.1\n") == []
    led = scenario + 'mechanism = "stackelberg"\n'
    assert errors(schema, HEAD + led) == []
    assert errors(schema, HEAD + led + "step_mw = 0.1\n") == ["scenario/0/trade/step_mw"]
