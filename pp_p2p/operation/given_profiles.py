"""`Given`: the profiles and set points of a run, checked once."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import xarray as xr

from pp_p2p.errors import Finding, raise_if_any
from pp_p2p.names import PROFILE_DIMS, SET_POINT_DIMS
from pp_p2p.network.branches import Array
from pp_p2p.network.device_rules import label_findings
from pp_p2p.network.timeline import Timeline

_DIMS: Final = {**PROFILE_DIMS, **SET_POINT_DIMS}
_BESIDE: Final = frozenset({*_DIMS, "weight", "probability"})
_SET_POINTS: Final = ("sgen_p_mw", *SET_POINT_DIMS)


@dataclass(frozen=True, kw_only=True)
class Given:
    """Profiles and set points of one run.

    Parameters
    ----------
    line : Timeline
    profiles : Dataset
    set_points : Dataset or None
        A result, whose set points come before the profiles.
    """

    line: Timeline
    profiles: xr.Dataset
    set_points: xr.Dataset | None

    @classmethod
    def checked(cls, net: Any, profiles: xr.Dataset, set_points: xr.Dataset | None) -> Self:
        """Check names, labels, numbers and axes.

        Raises
        ------
        InvalidInput
            A profile that is not known, of an element that is not in the net or is there twice,
            with other dims or with values that are not finite; set points over other steps.
        """
        line = Timeline.from_profiles(profiles)
        found = [*_unknown_names(profiles)]
        sources = [(profiles, tuple(_DIMS))]
        if set_points is not None:
            raise_if_any(_other_steps(line, Timeline.from_profiles(set_points)))
            sources.append((set_points, _SET_POINTS))
        for ds, names in sources:
            for name in names:
                if name in ds and _DIMS[name][1:] and _DIMS[name][1] != "technology":
                    found += label_findings(net, ds, name, _DIMS[name][1])
        raise_if_any(found)
        return cls(line=line, profiles=profiles, set_points=set_points)

    def values(self, name: str) -> tuple[Array, Array] | None:
        """Return the labels (element,) and values (step, element) of `name`, if it was given."""
        if self.set_points is not None and name in _SET_POINTS and name in self.set_points:
            ds = self.set_points
        elif name in self.profiles:
            ds = self.profiles
        else:
            return None
        return ds[_DIMS[name][1]].to_numpy(), self.line.array(ds, name)


def _unknown_names(profiles: xr.Dataset) -> Iterator[Finding]:
    for name in sorted(str(variable) for variable in profiles.data_vars):
        if name not in _BESIDE:
            near = difflib.get_close_matches(name, sorted(_BESIDE), n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(_BESIDE))}"
            yield Finding(
                table="profiles",
                column=name,
                rule="is not a profile",
                mend=f"drop it, or pass a result as set_points; {hint}",
            )


def _other_steps(line: Timeline, other: Timeline) -> Iterator[Finding]:
    same = line.dims == other.dims and all(
        np.array_equal(line.coords[dim], other.coords[dim]) for dim in line.dims
    )
    if not same:
        yield Finding(
            table="set_points",
            column=other.dims[0],
            rule="are of other steps than the profiles",
            mend="select the same steps in both",
        )
