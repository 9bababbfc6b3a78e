"""Keys that say something only beside a certain choice: of a mechanism, of a technology.

A section class marks such a key where it declares it, so that a new one is one line:

    step_mw: Annotated[Positive, Of("mechanism", "combined_offer")] = Field(default=0.1, ...)
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from flows.study_text import KeyPath

Raw = Mapping[str, Any]
Violation = tuple[KeyPath, str, str]
"""Key path, rule, mend."""


NOTHING: Final[Mapping[str, Any]] = {"not": {}}
"""JSON Schema that nothing fits: unlike ``false``, it is told of the key and not of its section."""


@dataclass(frozen=True, init=False)
class Of:
    """Marks a key that has a meaning only where another key of its section has some values.

    Parameters
    ----------
    key : str
        The other key; a choice of texts.
    *values : str
        Its values beside which this key has a meaning; all where there are none.
    needed : collection of str
        Its values beside which this key must be given.
    """

    key: str
    values: tuple[str, ...]
    needed: tuple[str, ...]

    def __init__(self, key: str, *values: str, needed: Collection[str] = ()) -> None:
        object.__setattr__(self, "key", key)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "needed", tuple(needed))

    def chosen(self, model: type[BaseModel], raw: Raw) -> str | None:
        """Return what is chosen, or None where that is nothing known."""
        field = model.model_fields[self.key]
        value = raw.get(self.key, None if field.is_required() else field.default)
        return value if value in typing.get_args(field.annotation) else None


def meaning_violations(model: type[BaseModel], raw: Raw, here: KeyPath) -> Iterator[Violation]:
    """Yield keys of a section that are missing, or have no meaning, beside what is chosen.

    Parameters
    ----------
    model : section class
    raw : mapping
        Its table in the study file.
    here : KeyPath
        Where it stands.
    """
    for name, of in _marked(model):
        chosen = of.chosen(model, raw)
        if chosen in of.needed and name not in raw:
            rule = f"is missing, and {of.key} {chosen!r} needs it"
            yield (*here, name), rule, f"add {name} = ..."
    for name, of, chosen in _without_meaning(model, raw):
        belongs = " or ".join(map(repr, of.values))
        mend = f"remove it; it belongs to {of.key} {belongs}"
        yield (*here, name), f"has no meaning for {of.key} {chosen!r}", mend


def schema_conditions(model: type[BaseModel], *, changes: bool = False) -> list[dict[str, Any]]:
    """Return the same rules as conditions of a JSON Schema: ``if`` a choice, ``then`` which keys.

    Parameters
    ----------
    model : section class
    changes : bool
        The table only changes a section: what it does not choose may be chosen elsewhere.
    """
    found = []
    for key in dict.fromkeys(of.key for _, of in _marked(model)):
        field = model.model_fields[key]
        for value in typing.get_args(field.annotation):
            marked = [(name, of) for name, of in _marked(model) if of.key == key]
            strange = [name for name, of in marked if of.values and value not in of.values]
            needed = [name for name, of in marked if value in of.needed]
            chosen: dict[str, Any] = {"properties": {key: {"const": value}}}
            if changes or field.is_required() or field.default != value:
                chosen["required"] = [key]
            then: dict[str, Any] = {"properties": dict.fromkeys(strange, NOTHING)}
            if needed and not changes:
                then["required"] = needed
            if strange or len(then) > 1:
                found.append({"if": chosen, "then": then})
    return found


def drop_without_meaning(
    model: type[BaseModel], table: dict[str, Any], keep: Callable[[str], bool]
) -> None:
    """Remove keys that have no meaning beside what is chosen, but for those to `keep`."""
    for name, _, _ in list(_without_meaning(model, table)):
        if not keep(name):
            del table[name]


def description_of(field: FieldInfo) -> str:
    """Return what a key means, and beside which choices."""
    marks = [mark for mark in field.metadata if isinstance(mark, Of) and mark.values]
    beside = "; ".join(f"{mark.key}: {', '.join(mark.values)}" for mark in marks)
    return f"{field.description or ''}{f' ({beside})' if beside else ''}"


def options_of(section: BaseModel, names: Collection[str]) -> dict[str, Any]:
    """Return those of `names` that are keys of `section` with a meaning there, and not none."""
    model, raw = type(section), dict(section)
    strange = {name for name, _, _ in _without_meaning(model, raw)}
    return {
        name: raw[name]
        for name in names
        if name in raw and name not in strange and raw[name] is not None
    }


def _without_meaning(model: type[BaseModel], raw: Raw) -> Iterator[tuple[str, Of, str]]:
    told = set()
    for name, of in _marked(model):
        chosen = of.chosen(model, raw)
        if name in raw and name not in told and of.values and chosen not in (None, *of.values):
            told.add(name)
            yield name, of, str(chosen)


def _marked(model: type[BaseModel]) -> Iterator[tuple[str, Of]]:
    for name, field in model.model_fields.items():
        yield from ((name, mark) for mark in field.metadata if isinstance(mark, Of))
