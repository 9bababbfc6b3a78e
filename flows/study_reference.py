"""The reference of all keys of a study file, made from its model: it cannot go stale."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from flows.key_meaning import description_of
from flows.study_fields import unit_of_key
from flows.study_sections import all_sections, section_in

INTRODUCTION: Final = """\
# Keys of a study file

A study file is TOML. A section is written `[name]`; one that may come several times `[[name]]`,
once for each. A part of a listed section, such as `[[participant.sgen]]`, belongs to the one
above it. A key carries its unit in its name; an unknown key is a mistake. `pp-p2p init` writes an
example with comments.
"""

_BOUNDS: Final = {
    "exclusiveMinimum": "above",
    "minimum": "at least",
    "exclusiveMaximum": "below",
    "maximum": "at most",
}
_TYPES: Final = {
    "number": "number",
    "integer": "whole number",
    "string": "text",
    "boolean": "true or false",
}


def study_reference() -> str:
    """Return the reference as Markdown: per section, one row for each key."""
    parts = [INTRODUCTION]
    for path, section, listed in all_sections():
        parts.append("\n".join(_section(path, section, listed=listed)))
    return "\n".join(parts)


def _section(path: tuple[str, ...], section: type[BaseModel], *, listed: bool) -> Iterator[str]:
    name = ".".join(path)
    header = f"[[{name}]]" if listed else f"[{name}]"
    about = (section.__doc__ or "").strip().splitlines()[0].rpartition("``: ")[2]
    yield f"## `{header}`\n\n{about[:1].upper()}{about[1:]}\n"
    rows = [
        (f"`{key}`", _kind(field), unit_of_key(key), _default(field), description_of(field))
        for key, field in section.model_fields.items()
        if section_in(field.annotation) is None
    ]
    if not rows:
        return
    head: tuple[str, ...] = ("Key", "Value", "Unit", "Default", "Meaning")
    table = [head, *rows]
    width = [max(len(row[k]) for row in table) for k in range(len(head))]
    table.insert(1, tuple("-" * w for w in width))
    for row in table:
        yield f"| {' | '.join(cell.ljust(w) for cell, w in zip(row, width, strict=True))} |"
    yield ""


def _kind(field: FieldInfo) -> str:
    """Return what may be written as the value of a key."""
    annotation: Any = field.annotation
    for part in field.metadata:
        annotation = typing.Annotated[annotation, part]
    schema = TypeAdapter(annotation).json_schema()
    kinds = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    return " or ".join(_in_words(one) for one in kinds)


def _in_words(schema: dict[str, Any], plural: str = "") -> str:
    if "enum" in schema:
        listed = ", ".join(json.dumps(value) for value in schema["enum"])
        return f"any of {listed}" if plural else f"one of {listed}"
    if "const" in schema:
        return json.dumps(schema["const"])
    if schema["type"] == "array":
        count = f"{schema['minItems']} " if "maxItems" in schema else ""
        return f"list of {count}{_in_words(schema['items'], plural='s')}"
    if schema["type"] == "object":
        return f"table of index = {_in_words(schema['additionalProperties'])}"
    bounds = [f"{word} {schema[key]:g}" for key, word in _BOUNDS.items() if key in schema]
    plural = "" if schema["type"] == "boolean" else plural
    return ", ".join([_TYPES[schema["type"]] + plural, *bounds])


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value in ((), {}):
        return "none"
    return json.dumps(value)
