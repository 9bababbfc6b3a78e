"""Typical days: a year of profiles becomes a few days with weights.

`typical_days` and `rebuild` are bound at once (they load their arithmetic on the first call,
and a module of the same name stands behind `typical_days`); `DensityPeakKMeans` is loaded when
it is asked for, so ``import clustering`` costs little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clustering.typical_days import rebuild, typical_days

if TYPE_CHECKING:
    from clustering.density_peak import DensityPeakKMeans

__all__ = ["DensityPeakKMeans", "rebuild", "typical_days"]


def __getattr__(name: str) -> object:
    if name == "DensityPeakKMeans":
        from clustering.density_peak import DensityPeakKMeans

        return DensityPeakKMeans
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
