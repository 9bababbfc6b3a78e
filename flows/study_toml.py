"""The text of a study file as TOML: what is none is told with its line and key."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Final

from flows.study_text import keys_by_line, path_text
from pp_p2p.errors import Finding, InvalidInput

_PLACE: Final = re.compile(r" \(at line (\d+), column (\d+)\)$")
_TWICE: Final = ("Cannot overwrite a value", "Cannot declare", "Cannot mutate")
"""How tomllib begins what it says of a key or header that was there before."""


def parsed(file: Path, content: str) -> dict[str, Any]:
    """Return the tables of a study file.

    Parameters
    ----------
    file : Path
        Findings show its name.
    content : str
        What it holds.

    Raises
    ------
    InvalidInput
        It is no TOML.
    """
    try:
        return tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(_finding(file, content, str(error))) from None


def _finding(file: Path, content: str, said: str) -> Finding:
    place = _PLACE.search(said)
    if place is None:
        mend = 'close what is open: "quotes", [brackets], {braces}'
        return Finding(table=file.name, rule=f"no TOML: {said}", mend=mend)
    number, said = int(place[1]), said[: place.start()]
    keys = keys_by_line(content)
    path = next((path for line, path in keys if line == number), ())
    table = f"{file.name}:{number}, {path_text(path)}" if path else f"{file.name}:{number}"
    if said.startswith(_TWICE):
        first = next((line for line, other in keys if other == path and line < number), 0)
        rule = f"stands there twice, first in line {first}" if first else "stands there twice"
        return Finding(table=table, rule=rule, mend="keep one of them: TOML has each once")
    mend = 'mend the line; text stands in "quotes", a table starts with [name]'
    return Finding(table=table, rule=f"no TOML: {said} (column {place[2]})", mend=mend)
