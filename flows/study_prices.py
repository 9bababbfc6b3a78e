"""The section of a study file about the grid's energy: its prices and its emissions."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from flows.study_fields import HOURS_PER_DAY, ByHour, PositiveByHour, Section

HourlyOrColumn = tuple[float, ...] | str


class PriceWindow(Section):
    """``[[prices.buy_window]]``: one price from an hour to another; 22 to 6 runs over midnight."""

    from_h: Annotated[int, Field(ge=0, le=23)] = Field(description="first hour")
    to_h: Annotated[int, Field(ge=1, le=24)] = Field(description="hour the window ends")
    price_eur_per_mwh: float = Field(description="price in the window")

    @property
    def hours(self) -> tuple[int, ...]:
        """Hours of the day that the window covers."""
        if self.from_h < self.to_h:
            return tuple(range(self.from_h, self.to_h))
        return tuple(range(self.from_h, HOURS_PER_DAY)) + tuple(range(self.to_h))


class Prices(Section):
    """``[prices]``: what the participants pay and get at the grid, on the clock of the profiles."""

    needs_too: ClassVar[tuple[str, ...]] = ("buy_eur_per_mwh or [[prices.buy_window]]",)
    """What must be given beside the required keys: `flows.study_rules` holds it."""

    sell_eur_per_mwh: ByHour = Field(
        description="feed-in price: one number, 24, or a column of the profiles file"
    )
    buy_eur_per_mwh: ByHour = Field(
        default=(), description="purchase price: one number, 24, or a column of the profiles file"
    )
    buy_window: Annotated[tuple[PriceWindow, ...], Field(strict=False)] = Field(
        default=(), description="purchase price as windows of the day"
    )
    grid_emission_t_per_mwh: PositiveByHour = Field(
        default=(), description="CO2 of the grid's energy: as the prices; none: not counted"
    )

    @property
    def buy_by_hour(self) -> HourlyOrColumn:
        """Purchase price of hour 0 to 23, shape (24,), EUR/MWh; or the column that has it."""
        if self.buy_eur_per_mwh:
            return self.buy_eur_per_mwh
        of_hour = {hour: w.price_eur_per_mwh for w in self.buy_window for hour in w.hours}
        return tuple(of_hour[hour] for hour in range(HOURS_PER_DAY))

    @property
    def sell_by_hour(self) -> HourlyOrColumn:
        """Feed-in price of hour 0 to 23, shape (24,), EUR/MWh; or the column that has it."""
        return self.sell_eur_per_mwh

    @property
    def by_hour(self) -> dict[str, HourlyOrColumn]:
        """What each variable of the profiles is in hour 0 to 23, or the column that has it."""
        found = {
            "price_buy_eur_per_mwh": self.buy_by_hour,
            "price_sell_eur_per_mwh": self.sell_by_hour,
            "grid_emission_t_per_mwh": self.grid_emission_t_per_mwh,
        }
        return {name: values for name, values in found.items() if values}
