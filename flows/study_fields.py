"""The building blocks of the study file: the base of all sections and the kinds of values."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from pp_p2p.elements.candidate_table import Technology
from pp_p2p.names import unit_of

HOURS_PER_DAY = 24

KEY_UNITS = {
    "_percent": "%",
    "_percent_per_year": "%/a",
    "_per_km_year": "1/(km a)",
    "_per_mw": "1/MW",
    "_eur_per_unit": "EUR",
    "_eur_per_kw": "EUR/kW",
    "_eur_per_kwh": "EUR/kWh",
    "_eur_per_unit_per_year": "EUR/a",
    "_years": "a",
    "_s": "s",
    "_pu": "p.u.",
}
"""Units that keys of a study file say beside those of `pp_p2p.names.UNITS`, by suffix."""


def unit_of_key(key: str) -> str:
    """Return the unit that the name of a key says, or an empty text."""
    fitting = [suffix for suffix in KEY_UNITS if key.endswith(suffix)]
    return KEY_UNITS[max(fitting, key=len)] if fitting else unit_of(key)


TAG = "["
"""Begins what is no key of the file in the place of an error."""
HOURS, COLUMN = "[hours]", "[column]"

Index = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Percent = Annotated[float, Field(ge=0, le=100)]
HourOfDay = Annotated[float, Field(ge=0, le=HOURS_PER_DAY)]
Efficiency = Annotated[float, Field(gt=0, le=100)]
Name = Annotated[str, Field(min_length=1)]
Formulation = Literal["branch_flow", "lindistflow"]
Extreme = Literal["peak_net_load", "min_net_load", "peak_load", "max_ramp"]


def _by_hour(value: Any) -> Any:
    """Spread one number over the day; a list must have one value per hour."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (value,) * HOURS_PER_DAY
    if isinstance(value, list | tuple) and len(value) != HOURS_PER_DAY:
        raise PydanticCustomError(
            "study",
            "{rule}",
            {
                "rule": f"has {len(value)} values",
                "mend": "give one number, or 24 of them (hour 0 to hour 23)",
            },
        )
    return value


def _hours_or_column(value: Any) -> str:
    """Return which kind of a price or an emission factor is given."""
    return COLUMN if isinstance(value, str) else HOURS


def _each(value: Any) -> Any:
    """Return one value as that of every terminal."""
    return value if isinstance(value, list | tuple) else (value,)


def _one_or_list(**schema: Any) -> WithJsonSchema:
    several = {"type": "array", "items": schema, "minItems": 1}
    return WithJsonSchema({"anyOf": [schema, several]})


def _day_count(value: Any) -> Any:
    good = value == "auto" or (
        isinstance(value, int) and not isinstance(value, bool) and value >= 1
    )
    if not good:
        raise PydanticCustomError(
            "study",
            "{rule}",
            {"rule": f"{value!r} is no number of days", "mend": 'write 1, 2, 3, ... or "auto"'},
        )
    return value


# TOML has lists only: the sequence itself may be converted, what it holds may not.
# The schemas tell what the validators before take: the reference of all keys reads them.
_NUMBER = {"type": "number"}
_HOURS = {"type": "array", "items": _NUMBER, "minItems": HOURS_PER_DAY, "maxItems": HOURS_PER_DAY}
_DAYS = {"anyOf": [{"type": "integer", "minimum": 1}, {"const": "auto"}]}
_BY_HOUR = (BeforeValidator(_by_hour), Field(strict=False))
_COLUMN = Annotated[Name, Tag(COLUMN)]
_OR_COLUMN = {"type": "string", "minLength": 1, "title": "column of the profiles file"}
ByHour = Annotated[
    Annotated[tuple[float, ...], *_BY_HOUR, Tag(HOURS)] | _COLUMN,
    Discriminator(_hours_or_column),
    WithJsonSchema({"anyOf": [_NUMBER, _HOURS, _OR_COLUMN]}),
]
"""One number, 24 of them, or the name of a column of the profiles file."""

_AT_LEAST_0 = {"type": "number", "minimum": 0}
PositiveByHour = Annotated[
    Annotated[tuple[NonNegative, ...], *_BY_HOUR, Tag(HOURS)] | _COLUMN,
    Discriminator(_hours_or_column),
    WithJsonSchema({"anyOf": [_AT_LEAST_0, {**_HOURS, "items": _AT_LEAST_0}, _OR_COLUMN]}),
]

_EACH = (BeforeValidator(_each), Field(strict=False))
RatingAtTerminals = Annotated[
    tuple[Positive, ...], *_EACH, _one_or_list(type="number", exclusiveMinimum=0)
]
QuantityAtTerminals = Annotated[
    tuple[NonNegative, ...], *_EACH, _one_or_list(type="number", minimum=0)
]
PartAtTerminals = Annotated[
    tuple[Annotated[float, Field(ge=0, le=1)], ...],
    *_EACH,
    _one_or_list(type="number", minimum=0, maximum=1),
]
ValueAtTerminals = Annotated[tuple[float, ...], *_EACH, _one_or_list(type="number")]
SwitchAtTerminals = Annotated[tuple[bool, ...], *_EACH, _one_or_list(type="boolean")]
DayCount = Annotated[int | Literal["auto"], BeforeValidator(_day_count), WithJsonSchema(_DAYS)]
Names = Annotated[tuple[Name, ...], Field(strict=False)]
StageYears = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False, min_length=1)]
RatesByTechnology = dict[Technology, Annotated[float, Field(gt=-100, lt=100)]]
Limits = Annotated[tuple[NonNegative, ...], Field(strict=False)]
Indices = Annotated[tuple[Index, ...], Field(strict=False)]
ByIndex = Annotated[dict[Annotated[Index, Field(strict=False)], Name], Field(strict=False)]


class Section(BaseModel):
    """Common ground of all sections: unknown keys are refused, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
