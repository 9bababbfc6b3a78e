"""What a column and a table are: declared once, everything else derives from the declaration.

A missing value (NaN, None) always means "not given": it reads as the declared default, so that
rows which pandapower or pandas appended stay usable. A required column has no default, and a
missing value in it is a finding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Real
from typing import Final, Literal, NamedTuple

import numpy as np
import pandas as pd

from pp_p2p.elements.checks import Check, Mask, Values
from pp_p2p.errors import MAX_ROWS_SHOWN, Finding, raise_if_any

Dtype = Literal["int64", "float64", "bool", "object"]
Default = int | float | bool | str

NONE: Final = -1
"""Value of an optional reference that points nowhere."""

_PLAIN_KINDS: Final[Mapping[Dtype, str]] = {
    "int64": "iu",
    "float64": "fiu",
    "bool": "b",
    "object": "",
}
_BLANK: Final[Mapping[Dtype, Default]] = {
    "int64": NONE,
    "float64": math.nan,
    "bool": False,
    "object": "",
}
_WORDS: Final[Mapping[Dtype, str]] = {
    "int64": "a whole number",
    "float64": "a number",
    "bool": "True or False",
    "object": "text",
}


class Reading(NamedTuple):
    """A column as its declared type, and where it had no value or one of another type."""

    values: Values
    missing: Mask
    wrong: Mask


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    name : str
        Name in the frame; the suffix says the unit, as in pandapower.
    dtype : {"int64", "float64", "bool", "object"}
        ``object`` holds text.
    doc : str
        What it means.
    unit : str
        Physical unit; empty for labels and counts.
    default : int, float, bool or str, optional
        Value where none is given. NaN allows "no value" as a value of its own.
    check : Check, optional
        Rule on every value that is given.
    references : str, optional
        Table whose index the values name; `NONE` as default makes the reference optional.
    required : bool
        True where there is no default.
    needed_where : (str, str, ...), optional
        Column of the same table and values of it: rows with one of them make no sense without
        the reference, although it is optional in others.
    least : int
        For a reference from the parts of something to the whole: how many parts the whole needs.
    """

    name: str
    dtype: Dtype
    doc: str
    unit: str = ""
    default: Default | None = None
    check: Check | None = None
    references: str | None = None
    required: bool = False
    needed_where: tuple[str, ...] | None = None
    least: int = 0

    def __post_init__(self) -> None:
        if self.required == (self.default is not None):
            raise ValueError(f"column {self.name}: either required or with a default")

    @property
    def fill(self) -> Default:
        """Value that stands where none was given."""
        return _BLANK[self.dtype] if self.default is None else self.default

    def read(self, values: pd.Series) -> Reading:
        """Return `values` as the declared type.

        Parameters
        ----------
        values : (row,) Series
            As found in a net: int columns may have become float, bool ones object.

        Returns
        -------
        Reading
            Missing values hold the default, wrong ones a blank.
        """
        raw = values.to_numpy()
        wrong = np.zeros(len(raw), dtype=np.bool_)
        if raw.dtype.kind in _PLAIN_KINDS[self.dtype]:
            missing = np.isnan(raw) if raw.dtype.kind == "f" else wrong
            typed = raw.astype(self.dtype, copy=True)
            typed[missing] = self.fill
            return Reading(typed, missing, wrong)
        missing = np.asarray(pd.isna(raw), dtype=np.bool_)
        fits = [gone or self._fits(value) for gone, value in zip(missing, raw, strict=True)]
        wrong |= ~np.array(fits, dtype=np.bool_)
        filled = raw.astype(object)
        filled[missing] = self.fill
        filled[wrong] = _BLANK[self.dtype]
        return Reading(filled.astype(self.dtype), missing, wrong)

    def findings(self, table: str, values: pd.Series) -> list[Finding]:
        """Return what is wrong with single values: type, missing, infinite, rule."""
        read = self.read(values)
        given = ~(read.missing | read.wrong)
        infinite = np.zeros_like(given)
        if self.dtype == "float64":
            infinite = np.isinf(read.values) & given
        broke = np.zeros_like(given)
        if self.check is not None:
            broke = given & ~infinite & ~self.check.passes(read.values)
        word, text = _WORDS[self.dtype], self.check.text if self.check else ""
        no_limit = isinstance(self.default, float) and math.isnan(self.default)
        unit = f" ({self.unit})" if self.unit not in {"", "1"} else ""
        retype = f"give {word}"
        if self.references:
            retype = f"give the index of a row of net.{self.references}, not its name"
        broken = [
            (read.wrong, f"must be {word}, is {{}}", retype),
            (read.missing & self.required, "must have a value", f"give {self.doc}"),
            (
                infinite,
                "must be finite",
                "leave it out (NaN) for no limit" if no_limit else "give a finite number",
            ),
            (broke, f"must be {text}, is {{}}", f"correct the value{unit}"),
        ]
        return [
            Finding(
                table=table,
                column=self.name,
                rows=tuple(values.index[mask].tolist()),
                rule=rule.replace("{}", shown(values[mask])),
                mend=mend,
            )
            for mask, rule, mend in broken
            if mask.any()
        ]

    def _fits(self, value: object) -> bool:
        if self.dtype == "object":
            return isinstance(value, str)
        if self.dtype == "bool":
            return isinstance(value, bool | np.bool_) or (
                isinstance(value, Real) and value in {0, 1}
            )
        if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
            return False
        return self.dtype == "float64" or float(value).is_integer()


@dataclass(frozen=True)
class _Columns:
    """Named columns, and what derives from them."""

    columns: tuple[Column, ...]

    @cached_property
    def by_name(self) -> Mapping[str, Column]:
        """Columns by their name."""
        return {column.name: column for column in self.columns}

    @property
    def names(self) -> tuple[str, ...]:
        """Names in the declared order."""
        return tuple(column.name for column in self.columns)

    @property
    def dtypes(self) -> dict[str, Dtype]:
        """Type of every column."""
        return {column.name: column.dtype for column in self.columns}

    @property
    def defaults(self) -> dict[str, Default]:
        """Default of every column that is not required."""
        return {
            column.name: column.default for column in self.columns if column.default is not None
        }

    @property
    def units(self) -> dict[str, str]:
        """Unit of every column that has one."""
        return {column.name: column.unit for column in self.columns if column.unit}

    def markdown(self) -> str:
        """Return the columns as a markdown table."""
        head = ("column", "type", "unit", "default", "rule", "meaning")
        lines = [head, tuple("---" for _ in head), *(_markdown_row(c) for c in self.columns)]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


@dataclass(frozen=True)
class Extension(_Columns):
    """Columns that we add to one of pandapower's own tables.

    Parameters
    ----------
    columns : tuple of Column
        None of them is required: a net without them is a net with the defaults.
    table : str
        pandapower's table.
    """

    table: str = field(kw_only=True)

    def findings(self, frame: pd.DataFrame) -> list[Finding]:
        """Return what is wrong with single values of our columns in pandapower's `frame`."""
        return [
            finding
            for column in self.columns
            if column.name in frame.columns
            for finding in column.findings(self.table, frame[column.name])
        ]


@dataclass(frozen=True)
class Table(_Columns):
    """A table of ours.

    Parameters
    ----------
    columns : tuple of Column
        In the order of the frame.
    name : str
        Key in the net.
    doc : str
        What a row stands for.
    unique : tuple of str
        Columns whose values together occur once.
    """

    name: str = field(kw_only=True)
    doc: str = field(kw_only=True)
    unique: tuple[str, ...] = field(default=(), kw_only=True)

    def empty(self) -> pd.DataFrame:
        """Return the frame without rows, typed."""
        return self.read(pd.DataFrame(columns=list(self.names), index=np.array([], dtype=np.int64)))

    def read(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the declared columns of `frame`, typed, with defaults where it cannot be read.

        Columns that are not declared are left out; `frame` is not changed.
        """
        absent = pd.Series(math.nan, index=frame.index, dtype="object")
        values = {
            column.name: column.read(
                frame[column.name] if column.name in frame.columns else absent
            ).values
            for column in self.columns
        }
        return pd.DataFrame(values, index=frame.index)

    def typed(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the declared columns of `frame`, typed.

        Raises
        ------
        InvalidInput
            Where a column is missing, or a value is missing or of another type.
        """
        unreadable: list[Finding] = self.column_findings(frame, unknown=False)
        for column in self.columns:
            if column.name not in frame.columns:
                continue
            values = frame[column.name]
            read = column.read(values)
            if read.wrong.any() or (column.required and read.missing.any()):
                unreadable += column.findings(self.name, values)
        raise_if_any(unreadable)
        return self.read(frame)

    def findings(self, frame: pd.DataFrame) -> list[Finding]:
        """Return what is wrong with the columns, the index and single values of `frame`."""
        found = self.column_findings(frame, unknown=True) + self.index_findings(frame)
        for column in self.columns:
            if column.name in frame.columns:
                found += column.findings(self.name, frame[column.name])
        return found

    def not_a_frame(self, found: object) -> Finding:
        """Return the finding that the net holds something else under our name."""
        return Finding(
            table=self.name,
            rule=f"is a {type(found).__name__}, not a table",
            mend=f"rename net[{self.name!r}]: the name is taken by this package",
        )

    def column_findings(self, frame: pd.DataFrame, *, unknown: bool) -> list[Finding]:
        """Return which columns `frame` lacks and, if `unknown`, which it has beyond ours."""
        found = [
            Finding(
                table=self.name,
                column=name,
                rule="the column is missing",
                mend=f"make rows with create_{self.name.removesuffix('_terminal')}",
            )
            for name in self.names
            if name not in frame.columns
        ]
        if unknown:
            found += [
                Finding(
                    table=self.name,
                    column=str(name),
                    rule="is not a column of this table",
                    mend=f"drop it; the columns are {', '.join(self.names)}",
                )
                for name in frame.columns
                if name not in self.by_name
            ]
        return found

    def index_findings(self, frame: pd.DataFrame) -> list[Finding]:
        """Return which rows of `frame` cannot be told apart by a whole number."""
        index = frame.index
        rows: list[object] = []
        if index.dtype.kind not in "iu":
            rows = [label for label in index if not isinstance(label, int | np.integer)]
        if rows:
            rule, mend = "must have a whole number as index", "reset the index of these rows"
        else:
            rows = index[index.duplicated()].tolist() if not index.is_unique else []
            rule, mend = "must have an index of its own", "reset the index of these rows"
        return [Finding(table=self.name, rows=tuple(rows), rule=rule, mend=mend)] if rows else []


def shown(values: pd.Series | Sequence[object]) -> str:
    """Return the distinct `values` as text, shortened as a finding shortens its rows."""
    listed = values.tolist() if isinstance(values, pd.Series) else list(values)
    distinct = list(dict.fromkeys(repr(value) for value in listed))
    more = len(distinct) - MAX_ROWS_SHOWN
    return ", ".join(distinct[:MAX_ROWS_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _markdown_row(column: Column) -> tuple[str, ...]:
    default = "required" if column.default is None else f"`{column.default!r}`"
    rule = column.check.text if column.check else ""
    if column.references:
        rule = f"row of `{column.references}`" + (
            f", or {NONE}" if column.default == NONE and not column.required else ""
        )
    kind = "text" if column.dtype == "object" else column.dtype
    return (f"`{column.name}`", kind, column.unit, default, rule, column.doc)
