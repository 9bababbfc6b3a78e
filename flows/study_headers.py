"""Sections of a study file whose header is missing: their keys stand in the section above.

TOML gives such keys to whichever header came last. One finding that names the header says more
than "unknown key" for each of them and "is missing" for what they would have been.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from pydantic_core import ErrorDetails

from flows.study_sections import section_paths
from flows.study_text import KeyPath, StudyText, path_text
from pp_p2p.errors import Finding


def missing_headers(
    errors: list[ErrorDetails], text: StudyText
) -> tuple[list[Finding], list[ErrorDetails]]:
    """Return findings about missing headers, and the errors that these do not explain.

    Parameters
    ----------
    errors : list of ErrorDetails
        What pydantic says of the file.
    text : StudyText
    """
    strays: dict[KeyPath, list[str]] = defaultdict(list)
    for error in errors:
        if error["type"] == "extra_forbidden":
            strays[error["loc"][:-1]].append(str(error["loc"][-1]))
    found: list[Finding] = []
    explained: set[KeyPath] = set()
    for parent, keys in strays.items():
        for section, moved in _homes(parent, keys, text):
            found.append(_finding(parent, section, moved, text))
            explained |= {section, *((*parent, key) for key in moved)}
            explained |= {(*section, key) for key in moved}
    return found, [error for error in errors if error["loc"] not in explained]


def _homes(
    parent: KeyPath, keys: list[str], text: StudyText
) -> Iterator[tuple[KeyPath, list[str]]]:
    """Yield sections without a header, and the keys that belong there, the most keys first."""
    left = list(keys)
    sections = {s: m for s, m in section_paths() if s != parent and not text.has(s)}
    while left:
        known = {s: [k for k in left if k in m.model_fields] for s, m in sections.items()}
        best = max(known, key=lambda s: len(known[s]), default=None)
        if best is None or not known[best]:
            return
        yield best, known[best]
        left = [k for k in left if k not in known[best]]
        del sections[best]


def _finding(parent: KeyPath, section: KeyPath, keys: list[str], text: StudyText) -> Finding:
    first = min(keys, key=lambda key: text.line((*parent, key)))
    name = path_text(section)
    others = [key for key in keys if key != first]
    too = f" (so do {', '.join(others)})" if others else ""
    if len(others) == 1:
        too = f" (so does {others[0]})"
    rule = f"belongs to [{name}], whose header is missing{too}"
    return text.finding((*parent, first), rule, f"write the line [{name}] above it")
