"""Read a study file: every mistake in it becomes one finding with file, line, key and mend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from flows.study_candidate import Candidate
from flows.study_cases import expand, has_cases
from flows.study_elements import Participant
from flows.study_fields import TAG, unit_of_key
from flows.study_headers import missing_headers
from flows.study_model import Study, names_a_file
from flows.study_net_rules import network_findings
from flows.study_rules import rule_findings
from flows.study_sections import is_array, section_in
from flows.study_text import KeyPath, StudyText, closest, path_text
from flows.study_toml import parsed
from pp_p2p.errors import Finding, InvalidInput, raise_if_any

__all__ = [
    "BUILT_IN_PROFILES",
    "Candidate",
    "Participant",
    "Study",
    "load_cases",
    "load_study",
    "network_findings",
    "profiles_path",
    "study_template",
]

BUILT_IN_PROFILES: Mapping[str, str] = {"simbench2016": "simbench_2016.csv"}
"""Names that ``profiles.file`` knows without a path, and the file each stands for."""

# In the wheel pyproject.toml maps both files into flows/data; a checkout has them once only.
_IN_PACKAGE = Path(__file__).with_name("data")
_IN_CHECKOUT = Path(__file__).parents[1] / "examples"

TYPE_NAMES: Mapping[str, str] = {
    "float_type": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "an index (a whole number)",
    "string_type": 'text in "quotes"',
    "bool_type": "true or false",
    "tuple_type": "a list in [brackets]",
    "dict_type": "a table",
    "model_type": "a table",
    "finite_number": "a finite number",
}
BOUNDS: Mapping[str, tuple[str, str]] = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}


def load_study(path: str | Path) -> Study:
    """Read and check a study file; where it has scenarios, return the study without them.

    Parameters
    ----------
    path : str or Path
        A TOML file. Paths inside it are relative to it.

    Returns
    -------
    Study
        Frozen; knows its own file (`Study.file`) for relative paths.

    Raises
    ------
    InvalidInput
        The file is missing, is no TOML, or breaks rules, in a scenario or without: all findings
        at once. Whether the net has the buses and lines that are named, `network_findings` tells
        later.
    """
    return _load(path)[0]


def load_cases(path: str | Path) -> tuple[Study, ...]:
    """Return every case of a study file: its scenarios, times its matrix; else the study itself.

    Parameters and errors are those of `load_study`.
    """
    return _load(path)[1]


def _load(path: str | Path) -> tuple[Study, tuple[Study, ...]]:
    file = Path(path)
    content = _read(file)
    raw, text = parsed(file, content), StudyText(file, content)
    study = _checked(raw, text)
    study._file, study._text = file.absolute(), content
    return study, _checked_cases(raw, text, study) if has_cases(raw) else (study,)


def _checked(raw: Mapping[str, Any], text: StudyText) -> Study:
    """Return the study that `raw` is, or raise with all findings."""
    rules, files = rule_findings(raw, text), list(_missing_files(raw, text))
    try:
        study = Study.model_validate(raw)
    except ValidationError as error:
        # A list whose items are all wrong is called too short as well: that says nothing new.
        errors = error.errors(include_url=False)
        details = [e for e in errors if e["type"] != "too_short" or not e["input"]]
        headers, details = missing_headers(details, text)
        # Rules read keys by section: they say nothing where a section lacks its header.
        others = files if headers else [*rules, *files]
        found = _merged([*headers, *(_finding(one, text) for one in details)], others)
        raise InvalidInput(text.in_order(found)) from None
    raise_if_any(text.in_order([*rules, *files]))
    return study


def _checked_cases(raw: Mapping[str, Any], text: StudyText, base: Study) -> tuple[Study, ...]:
    expanded, wrong = expand(raw, text)
    found = [text.finding(*violation) for violation in wrong]
    cases = []
    for case in expanded:
        try:
            study = _checked(case.raw, text.of_case(case.name, case.origins))
        except InvalidInput as error:
            found += error.findings
            continue
        study._file, study._text = base.file, base.text
        study._case, study._origins = case.name, case.origins
        cases.append(study)
    first_of_place = {(one.table, one.column): one for one in reversed(found)}
    raise_if_any(text.in_order(reversed(first_of_place.values())))
    return tuple(cases)


def study_template() -> str:
    """Return the commented study file that ``pp-p2p init`` writes: the text of ieee33.toml."""
    return _shipped("template.toml", "ieee33.toml").read_text(encoding="utf-8")


def profiles_path(study: Study) -> Path:
    """Return the profiles file of `study`: built in, or relative to the study file."""
    return _profiles_path(study.profiles.file, study.file.parent)


def _profiles_path(name: str, folder: Path) -> Path:
    if name in BUILT_IN_PROFILES:
        return _shipped(BUILT_IN_PROFILES[name], f"data/{BUILT_IN_PROFILES[name]}")
    return folder / name


def _shipped(in_package: str, in_checkout: str) -> Path:
    installed = _IN_PACKAGE / in_package
    return installed if installed.exists() else _IN_CHECKOUT / in_checkout


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        rule, mend = "there is no such file", "check the path, or write one with 'pp-p2p init'"
    except UnicodeDecodeError:
        rule, mend = "is not UTF-8 text", "save it as a UTF-8 text file"
    except OSError as error:
        rule, mend = f"cannot be read ({error.strerror})", "name a TOML file that can be read"
    raise InvalidInput(Finding(table=str(file), rule=rule, mend=mend))


def _missing_files(raw: Mapping[str, Any], text: StudyText) -> Iterable[Finding]:
    folder = text.file.parent
    profiles, network = _text_at(raw, "profiles", "file"), _text_at(raw, "network", "source")
    if profiles and not (path := _profiles_path(profiles, folder)).is_file():
        mend = f"a path is relative to the study file; built in: {', '.join(BUILT_IN_PROFILES)}"
        yield text.finding(("profiles", "file"), f"there is no file {path}", mend)
    if names_a_file(network) and not (path := folder / network).is_file():
        mend = 'a path is relative to the study file; or name a case, as "case33bw"'
        yield text.finding(("network", "source"), f"there is no file {path}", mend)


def _text_at(raw: Mapping[str, Any], section: str, key: str) -> str:
    table = raw.get(section)
    value = table.get(key) if isinstance(table, dict) else None
    return value if isinstance(value, str) else ""


def _merged(structure: list[Finding], rules: list[Finding]) -> list[Finding]:
    """Drop a rule's finding where the structure has one about the same key already."""
    known = {(finding.table, finding.column) for finding in structure}
    return structure + [one for one in rules if (one.table, one.column) not in known]


def _finding(error: ErrorDetails, text: StudyText) -> Finding:
    """Translate what pydantic found into plain words."""
    path: KeyPath = tuple(part for part in error["loc"] if not str(part).startswith(TAG))
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return text.finding(path, *_unknown_key(path))
    if kind == "missing":
        return text.finding(path, *_missing_key(path, text))
    if kind == "study":
        return text.finding(path, context["rule"], context["mend"])
    if kind == "literal_error":
        mend = f"write one of: {context['expected'].replace(' or ', ', ')}"
        hint = closest(value, _choices(context["expected"])) if isinstance(value, str) else ""
        return text.finding(path, f"{value!r} is not known here", hint + mend)
    if kind in BOUNDS:
        name, word = BOUNDS[kind]
        return text.finding(
            path, f"{value!r} is out of range", f"it must be {word} {context[name]:g}{_unit(path)}"
        )
    if kind == "tuple_type" and _model_at(path) is not None:
        mend = f"write [[{'.'.join(str(p) for p in path if isinstance(p, str))}]], once for each"
        return text.finding(path, f"is {_described(value)}, not a list of tables", mend)
    if kind in TYPE_NAMES:
        mend = f"write {TYPE_NAMES[kind]}{_unit(path, ' in ')}{_example(kind, value)}"
        return text.finding(path, f"is {_described(value)}, not {TYPE_NAMES[kind]}", mend)
    if kind in {"too_short", "string_too_short"}:
        return text.finding(path, "is empty", f"give at least one: {_description(path)}")
    if kind == "string_pattern_mismatch":
        return text.finding(path, f"{value!r} is not allowed", f"allowed: {_description(path)}")
    rule = f"{_described(value)} is not allowed here"
    return text.finding(path, rule, f"expected: {_description(path)}")


def _unknown_key(path: KeyPath) -> tuple[str, str]:
    model = _model_at(path[:-1])
    keys = list(model.model_fields) if model else []
    what = "section" if len(path) == 1 else "key"
    hint = closest(str(path[-1]), keys)
    return f"unknown {what}", f"{hint}known here: {', '.join(keys)}"


def _missing_key(path: KeyPath, text: StudyText) -> tuple[str, str]:
    key = path[-1]
    model = _model_at(path)
    if model is not None:
        brackets = ("[[", "]]") if _is_array(path) else ("[", "]")
        keys = [k for k, field in model.model_fields.items() if field.is_required()]
        needed = ", ".join([*keys, *getattr(model, "needs_too", ())])
        section = ".".join(str(part) for part in path if isinstance(part, str))
        return "is missing", f"add {brackets[0]}{section}{brackets[1]} with {needed}"
    mend = f"add {key} = ... ({_description(path)})"
    if len(path) > 1 and not text.has(path[:-1]):
        mend = f"write [{path_text(path[:-1])}] and below it {key} = ... ({_description(path)})"
    return "is missing", mend


def _model_at(path: KeyPath) -> type[BaseModel] | None:
    """Return the section class that stands at `path`, or None."""
    model: type[BaseModel] | None = Study
    for part in path:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part) if model else None
        model = section_in(field.annotation) if field else None
    return model


def _is_array(path: KeyPath) -> bool:
    model = _model_at(path[:-1])
    field = model.model_fields.get(str(path[-1])) if model else None
    return field is not None and is_array(field.annotation)


def _description(path: KeyPath) -> str:
    names = [part for part in path if isinstance(part, str)]
    for end in range(len(names), 0, -1):
        model = _model_at(tuple(names[: end - 1]))
        if model and names[end - 1] in model.model_fields:
            return model.model_fields[names[end - 1]].description or names[end - 1]
    return "see 'pp-p2p reference'"


def _unit(path: KeyPath, before: str = " ") -> str:
    """Return the unit of the key at `path` with `before` in front, or an empty text."""
    key = next((part for part in reversed(path) if isinstance(part, str)), "")
    unit = unit_of_key(key)
    return f"{before}{unit}" if unit else ""


def _example(kind: str, value: object) -> str:
    if kind in {"float_type", "int_type"} and isinstance(value, str):
        return ", without quotes and unit"
    return ""


def _described(value: object) -> str:
    names = {dict: "a table", list: "a list", bool: "true/false", str: f"the text {value!r}"}
    return names.get(type(value), repr(value))


def _choices(expected: str) -> list[str]:
    return [word.strip(" '") for word in expected.replace(" or ", ",").split(",")]
