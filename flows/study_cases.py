"""From the scenarios and the matrix of a study file to the raw tables of each case."""

from __future__ import annotations

import copy
import difflib
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from flows.key_meaning import Raw, Violation, drop_without_meaning
from flows.study_candidate import Candidate
from flows.study_scenarios import NOT_OVERRIDDEN, OVERRIDDEN_BY_NAME
from flows.study_sections import section_paths
from flows.study_text import KeyPath, StudyText, closest, path_text
from flows.study_trade_rules import drop_of_other_mechanisms

MOST_CASES: Final = 2000
"""More are a slip in the matrix."""

FIXED: Final = (("study", "name"), ("study", "output"))
"""Keys of the study as a whole, which no scenario may replace."""

INSTEAD_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "buy_eur_per_mwh": ("buy_window",),
    "buy_window": ("buy_eur_per_mwh",),
    "capex_eur_per_unit": ("capex_eur_per_kw", "capex_eur_per_kwh"),
    "capex_eur_per_kw": ("capex_eur_per_unit",),
    "capex_eur_per_kwh": ("capex_eur_per_unit",),
    "fixed_om_eur_per_unit_per_year": ("fixed_om_percent_per_year",),
    "fixed_om_percent_per_year": ("fixed_om_eur_per_unit_per_year",),
}
"""Keys that say the same in another way: a scenario that gives one drops the others."""


NEW_NEEDS: Final = {"candidate": "technology", "participant": "bus", "sop": "buses"}
"""What tells a new element of a list from a slip in the name of an old one."""


@dataclass(frozen=True, kw_only=True)
class RawCase:
    """A case: its name, its tables, and where in the file its keys stand."""

    name: str
    raw: dict[str, Any]
    origins: dict[KeyPath, KeyPath] = field(default_factory=dict)


def has_cases(raw: Raw) -> bool:
    """Return whether a study file has scenarios or a matrix."""
    return bool(raw.get("scenario")) or bool(raw.get("matrix"))


def folder_name(case: str) -> str:
    """Return the name of a case as the name of its folder."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", case).strip("_.") or "case"


def expand(raw: Raw, text: StudyText) -> tuple[list[RawCase], list[Violation]]:
    """Return every case of a study file, and what is wrong with scenarios and matrix.

    Parameters
    ----------
    raw : mapping
        The tables of a study file that is sound but for these.
    text : StudyText
        Tells the lines.
    """
    base = {k: v for k, v in raw.items() if k not in ("scenario", "matrix")}
    wrong: list[Violation] = []
    combinations = _combinations(raw.get("matrix", {}), wrong)
    scenarios = list(enumerate(raw.get("scenario", []))) or [(-1, {"name": ""})]
    if len(combinations) * len(scenarios) > MOST_CASES:
        rule = f"makes {len(combinations) * len(scenarios)} cases, more than {MOST_CASES}"
        return [], [(("matrix",), rule, "give fewer values")]
    cases = []
    for number, scenario in scenarios:
        one = _Overrides(base)
        if number >= 0:
            one.apply_scenario(number, scenario)
        for said, overrides in combinations:
            both = copy.deepcopy(one)
            for path, value, origin in overrides:
                both.set_path(path, value, origin)
            both.drop_foreign_keys()
            name = ", ".join(filter(None, [str(scenario["name"]), said])) or "base"
            cases.append(RawCase(name=name, raw=both.tables, origins=both.origins))
            wrong += both.wrong
    return cases, list(dict.fromkeys([*wrong, *_alike(cases, raw, text)]))


def _alike(cases: list[RawCase], raw: Raw, text: StudyText) -> Iterator[Violation]:
    folders = [folder_name(case.name).lower() for case in cases]
    twice = next((n for n in folders if folders.count(n) > 1), None)
    if twice is None:
        return
    names = [str(one["name"]) for one in raw.get("scenario", [])]
    own = [folder_name(name).lower() for name in names]
    again = next((k for k, n in enumerate(own) if n in own[:k]), None)
    if again is None:
        rule = f"makes several cases whose results would stand in the folder {twice!r}"
        yield ("matrix",), rule, "give each scenario a name of its own, and each value once"
        return
    first = own.index(own[again])
    lines = " and ".join(str(text.line(("scenario", k, "name"))) for k in (first, again))
    rule = f"two scenarios are named {names[again]!r} (lines {lines})"
    if names[first] != names[again]:
        rule = f"{names[first]!r} and {names[again]!r} (lines {lines}) would stand in one folder"
    yield ("scenario", again, "name"), rule, "give each scenario a name of its own"


def _combinations(
    matrix: Raw, wrong: list[Violation]
) -> list[tuple[str, list[tuple[tuple[str, ...], Any, KeyPath]]]]:
    """Return of every combination what it is called and what it replaces."""
    axes = []
    for written, values in _flat(matrix):
        dotted, origin = ".".join(written), ("matrix", *written)
        path = _path_of(dotted)
        if not isinstance(values, list) or not values:
            wrong.append((origin, "is no list of values", "write [value, value, ...]"))
        elif len(path) < 2 or path[0] in NOT_OVERRIDDEN:
            hint = _with_section(path[0]) if len(path) == 1 else ""
            mend = f'{hint}write "section.key" = [...]'
            wrong.append((origin, "names no key of a section", mend))
        else:
            said = [_said(path, value, k) for k, value in enumerate(values, start=1)]
            axes.append([(s, (path, v, origin)) for s, v in zip(said, values, strict=True)])
    if not axes:
        return [("", [])]
    return [
        (", ".join(said for said, _ in chosen), [override for _, override in chosen])
        for chosen in itertools.product(*axes)
    ]


def _with_section(key: str) -> str:
    """Return which key of a section may be meant by one without."""
    full = dict[str, str]()
    for where, model in section_paths():
        for name in model.model_fields:
            full.setdefault(name, path_text((*where, name)))
    near = difflib.get_close_matches(key, full, n=1)
    return f"did you mean {full[near[0]]!r}? " if near else ""


def _said(path: tuple[str, ...], value: object, number: int) -> str:
    """Return a value as a part of the case's name: short, and fit for a file name."""
    key = f"{path[1]} {path[-1]}" if path[0] in OVERRIDDEN_BY_NAME else path[-1]
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return f"{key} #{number}"
    return f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}"


def _flat(table: Raw, here: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, (*here, key))
        else:
            yield (*here, key), value


def _path_of(dotted: str) -> tuple[str, ...]:
    """Return the parts of ``section.key``; names of candidates may hold dots."""
    first, _, rest = dotted.partition(".")
    if first not in OVERRIDDEN_BY_NAME:
        return tuple(dotted.split("."))
    name, _, key = rest.rpartition(".")
    return (first, name, key) if name else (first, rest)


class _Overrides:
    """The tables of a case while keys are replaced, and where each replaced key stands."""

    def __init__(self, base: Raw) -> None:
        self.tables: dict[str, Any] = copy.deepcopy(dict(base))
        self.origins: dict[KeyPath, KeyPath] = {}
        self.wrong: list[Violation] = []
        self._given: set[tuple[KeyPath, str]] = set()

    def apply_scenario(self, number: int, scenario: Raw) -> None:
        here = ("scenario", number)
        for dotted in scenario.get("leave_out", ()):
            self._leave_out(str(dotted), (*here, "leave_out"))
        for section, value in scenario.items():
            if section in ("name", "leave_out"):
                continue
            if section in NOT_OVERRIDDEN:
                rule = "stands for the whole file, no scenario can replace it"
                self.wrong.append(((*here, section), rule, "write it outside the scenarios"))
            elif not isinstance(value, dict):
                mend = f"write [scenario.{section}] and below it the keys"
                if section in OVERRIDDEN_BY_NAME:
                    mend = f'write [scenario.{section}."NAME"], with the name of an element'
                self.wrong.append(((*here, section), "is no table", mend))
            else:
                by_name = section in OVERRIDDEN_BY_NAME
                kept = self._sure(section, value, (*here, section)) if by_name else value
                for path, leaf in _leaves(kept, (section,)):
                    self.set_path(path, leaf, (*here, *path))

    def _sure(self, section: str, by_name: Raw, here: KeyPath) -> Raw:
        """Return the elements that are in the study or are new ones; the others are slips."""
        names = [str(one.get("name")) for one in self.tables.get(section, [])]
        kept = {}
        for name, element in by_name.items():
            if name in names or (isinstance(element, dict) and NEW_NEEDS[section] in element):
                kept[name] = element
                continue
            rule = f"there is no {section} {name!r}"
            mend = f"{closest(name, names)}a new one needs {NEW_NEEDS[section]} = ..."
            self.wrong.append(((*here, name), rule, mend))
        return kept

    def set_path(self, path: tuple[str, ...], value: Any, origin: KeyPath) -> None:
        """Replace one key; `path` names elements of lists by their names."""
        if path in FIXED:
            rule = "belongs to the whole study, no scenario can replace it"
            self.wrong.append((origin, rule, "remove it: each case has a folder of its own"))
            return
        found = self._table_of(path, origin)
        if found is None:
            return
        table, where = found
        for other in INSTEAD_OF.get(path[-1], ()):
            if (where, other) not in self._given:
                table.pop(other, None)
        table[path[-1]] = copy.deepcopy(value)
        self.origins[(*where, path[-1])] = origin
        self._given.add((where, path[-1]))

    def drop_foreign_keys(self) -> None:
        """Drop keys of the study that belong to another mechanism, or technology, than chosen."""
        below = [(*where, key) for where, key in self._given if where[0] == "trade"]
        drop_of_other_mechanisms(self.tables, {str(path[1]) for path in below})
        for i, candidate in enumerate(self.tables.get("candidate", [])):
            if (("candidate", i), "technology") in self._given:
                given = {k for where, k in self._given if where == ("candidate", i)}
                drop_without_meaning(Candidate, candidate, given.__contains__)

    def _table_of(
        self, path: tuple[str, ...], origin: KeyPath
    ) -> tuple[dict[str, Any], KeyPath] | None:
        if path[0] in OVERRIDDEN_BY_NAME:
            return self._element(path, origin)
        table: Any = self.tables
        for depth, part in enumerate(path[:-1], start=1):
            if part not in table:
                end = len(origin) - (0 if origin[0] == "matrix" else len(path) - depth)
                self.origins.setdefault(path[:depth], origin[:end])
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                rule = f"{'.'.join(path[:depth])} is no section"
                self.wrong.append((origin, rule, "write it as the study has it"))
                return None
        return table, path[:-1]

    def _element(
        self, path: tuple[str, ...], origin: KeyPath
    ) -> tuple[dict[str, Any], KeyPath] | None:
        """Return the named element of a list; an unknown name makes a new one."""
        if len(path) != 3:
            mend = f'write "{path[0]}.NAME.key"; lists of an element are replaced as a whole'
            self.wrong.append((origin, "names no key of an element", mend))
            return None
        section, name, _ = path
        elements = self.tables.setdefault(section, [])
        names = [str(one.get("name")) for one in elements]
        if name not in names:
            if origin[0] == "matrix":
                rule, mend = f"there is no {section} {name!r}", closest(name, names)
                self.wrong.append((origin, rule, f"{mend}names are: {', '.join(names)}"))
                return None
            place = origin[:-1]
            elements.append({"name": name})
            names.append(name)
            self.origins[(section, len(names) - 1)] = place
        number = names.index(name)
        return elements[number], (section, number)

    def _leave_out(self, dotted: str, origin: KeyPath) -> None:
        path = _path_of(dotted)
        if path[0] in OVERRIDDEN_BY_NAME and (len(path) == 2 or not self._known(path[:2])):
            self._drop_element(path[0], ".".join(path[1:]), origin)
            return
        table: Any = self.tables
        if path[0] in OVERRIDDEN_BY_NAME:
            names = [str(one.get("name")) for one in self.tables.get(path[0], [])]
            table, path = self.tables[path[0]][names.index(path[1])], path[2:]
        for part in path[:-1]:
            table = table.get(part) if isinstance(table, dict) else None
        if not isinstance(table, dict) or path[-1] not in table:
            rule = f"the study has no {dotted!r} that could be left out"
            self.wrong.append((origin, rule, "name a key as section.key, or candidate.NAME"))
            return
        del table[path[-1]]

    def _known(self, path: tuple[str, ...]) -> bool:
        return any(str(one.get("name")) == path[1] for one in self.tables.get(path[0], []))

    def _drop_element(self, section: str, name: str, origin: KeyPath) -> None:
        elements = self.tables.get(section, [])
        names = [str(one.get("name")) for one in elements]
        if name not in names:
            rule = f"there is no {section} {name!r} that could be left out"
            mend = f"{closest(name, names)}names are: {', '.join(names)}"
            self.wrong.append((origin, rule, mend))
            return
        gone = names.index(name)
        del elements[gone]
        old = [self.origins.get((section, k), (section, k)) for k in range(len(names))]
        del old[gone]
        for k, place in enumerate(old):
            self.origins[(section, k)] = place


def _leaves(table: Raw, here: tuple[str, ...]) -> Iterable[tuple[tuple[str, ...], Any]]:
    """Yield every key that a scenario replaces; a table of indices is replaced key by key."""
    for key, value in table.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*here, key))
        else:
            yield (*here, key), value
