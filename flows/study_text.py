"""Where a key of the study file stands: findings that name file, line and key path."""

from __future__ import annotations

import copy
import difflib
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from pp_p2p.errors import Finding

KeyPath = tuple[str | int, ...]
"""Keys and, for ``[[arrays]]``, positions from 0: ``("candidate", 2, "technology")``."""

_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_PART = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_KEY = re.compile(rf"^\s*({_PART}(?:\s*\.\s*{_PART})*)\s*=")


class StudyText:
    """The text of a study file and the line of each of its keys.

    Parameters
    ----------
    file : Path
        The study file; findings show its name.
    text : str
        What it holds.
    """

    def __init__(self, file: Path, text: str) -> None:
        self.file = file
        self._lines = _line_of_keys(text)
        self._line_of_finding: dict[Finding, int] = {}
        self._case, self._origins = "", dict[KeyPath, KeyPath]()

    def of_case(self, name: str, origins: Mapping[KeyPath, KeyPath]) -> StudyText:
        """Return the same text for a scenario: keys stand where `origins` says.

        Parameters
        ----------
        name : str
            Of the scenario; findings about keys that it does not touch name it.
        origins : mapping
            Path in the scenario's study -> path in the file; also of all below it.
        """
        other = copy.copy(self)
        other._case, other._origins = name, dict(origins)
        return other

    def finding(self, path: KeyPath, rule: str, mend: str) -> Finding:
        """Return a finding about the key at `path`.

        Its text reads ``ieee33.toml:57, candidate[2].technology: rule; mend``.
        """
        given, path = path, self._place(path)
        if self._case and given == path:
            rule = f"{rule} (in the case {self._case!r})"
        key = str(path[-1]) if path and isinstance(path[-1], str) else ""
        parent = path_text(path[:-1] if key else path)
        place = f"{self.file.name}:{line}" if (line := self.line(path)) else self.file.name
        table, column = (f"{place}, {parent}", key) if parent else (place, "")
        if key and not parent:
            table = f"{place}, {key}"
        found = Finding(table=table, column=column, rule=rule, mend=mend)
        self._line_of_finding[found] = self.line(path)
        return found

    def _place(self, path: KeyPath) -> KeyPath:
        """Return where in the file a key of the study stands."""
        for end in range(len(path), 0, -1):
            if path[:end] in self._origins:
                return self._origins[path[:end]] + path[end:]
        return path

    def in_order(self, findings: Iterable[Finding]) -> list[Finding]:
        """Return `findings` by line; those about what the file lacks come last."""
        return sorted(findings, key=lambda one: self._line_of_finding.get(one, 0) or math.inf)

    def has(self, path: KeyPath) -> bool:
        """Return whether the file has this key or header itself."""
        return path in self._lines

    def line(self, path: KeyPath) -> int:
        """Return the line, from 1, of the key or else of what holds it; 0 where unknown."""
        for end in range(len(path), 0, -1):
            if path[:end] in self._lines:
                return self._lines[path[:end]]
        return 0


def path_text(path: KeyPath) -> str:
    """Return ``candidate[2].technology`` for ``("candidate", 2, "technology")``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def closest(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'x'? `` or an empty text."""
    by_lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return f"did you mean {by_lower[found[0]]!r}? " if found else ""


def listed(values: Iterable[object]) -> str:
    """Return `values` as ``1, 2, 3``."""
    return ", ".join(str(value) for value in values) or "(none)"


def keys_by_line(text: str) -> list[tuple[int, KeyPath]]:
    """Return line and path of each header and key; inline tables are found by what holds them."""
    found: list[tuple[int, KeyPath]] = []
    counts: dict[KeyPath, int] = {}
    here: KeyPath = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            here = _enter(header[2], counts, is_array=header[1] == "[[")
            found.append((number, here))
        elif key := _KEY.match(line):
            found.append((number, here + _parts(key[1])))
    return found


def _line_of_keys(text: str) -> Mapping[KeyPath, int]:
    """Return the line where each header, list of tables and key stands first."""
    lines: dict[KeyPath, int] = {}
    for number, path in keys_by_line(text):
        lines.setdefault(path, number)
        if path and isinstance(path[-1], int):
            lines.setdefault(path[:-1], number)
    return lines


def _enter(name: str, counts: dict[KeyPath, int], *, is_array: bool) -> KeyPath:
    """Return the path of a header; each array on the way stands at its latest element."""
    here: KeyPath = ()
    parts = _parts(name)
    for depth, part in enumerate(parts, start=1):
        here = (*here, part)
        if is_array and depth == len(parts):
            counts[here] = counts.get(here, -1) + 1
        if here in counts:
            here = (*here, counts[here])
    return here


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in re.findall(_PART, name))
