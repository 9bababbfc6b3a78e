"""The sections of the study file, read from its model."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from flows.study_model import Study
from flows.study_text import KeyPath


def section_in(annotation: Any) -> type[BaseModel] | None:
    """Return the section class that an annotation holds, or None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (section_in(argument) for argument in typing.get_args(annotation))
    return next((section for section in found if section is not None), None)


def is_array(annotation: Any) -> bool:
    """Return whether an annotation is a list of tables, written ``[[name]]``."""
    return typing.get_origin(annotation) is tuple


def all_sections(
    model: type[BaseModel] = Study, here: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], type[BaseModel], bool]]:
    """Yield path, class, and whether it is a list of tables, of every section in file order."""
    for name, field in model.model_fields.items():
        section = section_in(field.annotation)
        if section is not None:
            yield (*here, name), section, is_array(field.annotation)
            yield from all_sections(section, (*here, name))


def section_paths() -> Iterator[tuple[KeyPath, type[BaseModel]]]:
    """Yield path and class of every section that is one table, ``[name]``."""
    arrays = {path for path, _, listed in all_sections() if listed}
    for path, section, _ in all_sections():
        if not any(path[:end] in arrays for end in range(1, len(path) + 1)):
            yield path, section
