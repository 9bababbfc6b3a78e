"""The building blocks of the study file: the base of all sections and the kinds of values."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

HOURS_PER_DAY = 24

Index = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Percent = Annotated[float, Field(ge=0, le=100)]
Efficiency = Annotated[float, Field(gt=0, le=100)]
Name = Annotated[str, Field(min_length=1)]
Formulation = Literal["branch_flow", "lindistflow"]
Extreme = Literal["peak_net_load", "min_net_load", "peak_load"]


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
ByHour = Annotated[tuple[float, ...], BeforeValidator(_by_hour), Field(strict=False)]
DayCount = Annotated[int | Literal["auto"], BeforeValidator(_day_count)]
Names = Annotated[tuple[Name, ...], Field(strict=False)]
Indices = Annotated[tuple[Index, ...], Field(strict=False)]
ByIndex = Annotated[dict[Annotated[Index, Field(strict=False)], Name], Field(strict=False)]


class Section(BaseModel):
    """Common ground of all sections: unknown keys are refused, nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
