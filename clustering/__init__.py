"""Typical days: a year of profiles becomes a few days with weights.

`typical_days`, `every_day`, `rebuild`, `fidelity` and `price_scenarios` are bound at once (they
load their arithmetic on the first call, and modules of the same names stand behind them); the rest
is loaded when it is asked for, so ``import clustering`` costs little.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from clustering.fidelity import fidelity
from clustering.price_scenarios import price_scenarios
from clustering.typical_days import every_day, rebuild, typical_days

if TYPE_CHECKING:
    from clustering.density_peak import DensityPeakKMeans
    from clustering.figures import (
        decision_graph_figure,
        duration_curves_figure,
        typical_days_figure,
    )

__all__ = [
    "DensityPeakKMeans",
    "decision_graph_figure",
    "duration_curves_figure",
    "every_day",
    "fidelity",
    "price_scenarios",
    "rebuild",
    "typical_days",
    "typical_days_figure",
]

_HOMES: Final = {
    "DensityPeakKMeans": "density_peak",
    "decision_graph_figure": "figures",
    "duration_curves_figure": "figures",
    "typical_days_figure": "figures",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"clustering.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
