"""The building blocks of the study file: the base of all sections and the kinds of values."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

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


Index = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Percent = Annotated[float, Field(ge=0, le=100)]
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
ByHour = Annotated[
    tuple[float, ...],
    BeforeValidator(_by_hour),
    Field(strict=False),
    WithJsonSchema({"anyOf": [_NUMBER, _HOURS]}),
]
DayCount = Annotated[int | Literal["auto"], BeforeValidator(_day_count), WithJsonSchema(_DAYS)]
Names = Annotated[tuple[Name, ...], Field(strict=False)]
StageYears = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False, min_length=1)]
RatesByTechnology = dict[
    Literal["pv", "wind", "storage", "line"], Annotated[float, Field(gt=-100, lt=100)]
]
Limits = Annotated[tuple[NonNegative, ...], Field(strict=False)]
Indices = Annotated[tuple[Index, ...], Field(strict=False)]
ByIndex = Annotated[dict[Annotated[Index, Field(strict=False)], Name], Field(strict=False)]


class Section(BaseModel):
    """Common ground of all sections: unknown keys are refused, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
