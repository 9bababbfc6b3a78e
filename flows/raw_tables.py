"""Reading the raw tables of a study file, where any value may still be of a wrong type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

Raw = Mapping[str, Any]


def table(raw: Raw, key: str) -> Raw:
    """Return a section; an empty one where there is none."""
    value = raw.get(key)
    return value if isinstance(value, dict) else {}


def tables(raw: Raw, key: str) -> list[tuple[int, Raw]]:
    """Return position and table of a listed section."""
    value = raw.get(key)
    if not isinstance(value, list):
        return []
    return [(i, one) for i, one in enumerate(value) if isinstance(one, dict)]


def names_in(raw: Raw, key: str) -> list[str]:
    """Return the names of a listed section, each once."""
    return list(dict.fromkeys(t["name"] for _, t in tables(raw, key) if is_text(t.get("name"))))


def is_number(value: object) -> TypeGuard[float]:
    """Tell whether `value` is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_text(value: object) -> TypeGuard[str]:
    """Tell whether `value` is text."""
    return isinstance(value, str)


def is_whole(value: object, low: int, high: int) -> TypeGuard[int]:
    """Tell whether `value` is a whole number from `low` to `high`."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
