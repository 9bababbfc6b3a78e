"""Kinds of columns that the declarations are made of."""

from __future__ import annotations

from typing import Final

from pp_p2p.elements.checks import above_up_to, between, ge, gt
from pp_p2p.elements.schema import Column
from pp_p2p.names import OPERATOR

NAME: Final = Column(name="name", dtype="object", default="", doc="label, need not be unique")
IN_SERVICE: Final = Column(
    name="in_service", dtype="bool", default=True, doc="False leaves the row out of every problem"
)


def quantity(
    name: str, unit: str, default: float, low: float, doc: str, *, positive: bool = False
) -> Column:
    """Return a column of numbers that are at least, or with `positive` above, `low`."""
    check = gt(low) if positive else ge(low)
    return Column(name=name, dtype="float64", unit=unit, default=default, check=check, doc=doc)


def percent(name: str, default: float, doc: str, *, positive: bool = False) -> Column:
    """Return a column of shares, 0 to 100."""
    check = above_up_to(0, 100) if positive else between(0, 100)
    return Column(name=name, dtype="float64", unit="%", default=default, check=check, doc=doc)


def hour(name: str, default: float, doc: str) -> Column:
    """Return a column of hours of the day."""
    return Column(
        name=name, dtype="float64", unit="h", default=default, check=between(0, 24), doc=doc
    )


def reference(
    table: str,
    doc: str,
    *,
    default: int | None = None,
    needed_where: tuple[str, ...] | None = None,
    least: int = 0,
) -> Column:
    """Return a column that names rows of `table`; optional where it has a default."""
    return Column(
        name=table,
        dtype="int64",
        default=default,
        required=default is None,
        references=table,
        needed_where=needed_where,
        least=least,
        doc=doc,
    )


OWNER: Final = reference("participant", "owner; -1 is the operator", default=OPERATOR)
CHARGE: Final = percent(
    "charge_efficiency_percent", 95.0, "energy stored per energy taken from the grid", positive=True
)
DISCHARGE: Final = percent(
    "discharge_efficiency_percent", 95.0, "energy fed in per energy taken out", positive=True
)
