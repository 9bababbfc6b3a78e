"""What a study takes as it stands though it is probably not meant: told once, and stored."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import xarray as xr

from flows.places import placed
from flows.study import Study
from pp_p2p.elements.magnitudes import doubtful_magnitudes
from pp_p2p.errors import Finding, InvalidInput, listed, raise_if_any
from pp_p2p.names import SGEN, TIME


def input_notes(study: Study, net: Any, profiles: xr.Dataset) -> tuple[str, ...]:
    """Return a line for each thing about the inputs that a reader of the results should know.

    Parameters
    ----------
    study : Study
    net : pandapowerNet
        As built.
    profiles : Dataset
        A year.
    """
    doubtful = _in_the_file(study, net, doubtful_magnitudes(net))
    return (*(f"taken as it stands: {one}" for one in doubtful), *_constant(profiles))


def stored_notes(tree: xr.DataTree) -> list[str]:
    """Return the notes that stand in a study's result."""
    return [str(one) for one in json.loads(tree.attrs.get("notes") or "[]")]


def _in_the_file(study: Study, net: Any, found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings of the library with the keys of the study file that stand behind them."""
    try:
        with placed(study, net):
            raise_if_any(found)
    except InvalidInput as error:
        return error.findings
    return ()


def _constant(profiles: xr.Dataset) -> Iterator[str]:
    """Yield which generators feed in the same power all year: by the profile that they have."""
    power = profiles["sgen_p_mw"]
    if not power.sizes[SGEN]:
        return
    flat = (power.max(TIME) == power.min(TIME)) & (power.max(TIME) > 0)
    if rows := profiles[SGEN].to_numpy()[flat.to_numpy()].tolist():
        mend = "its profile is named by [profiles.sgen], or the column profile of net.sgen"
        yield f"net.sgen {listed(rows)}: the same power in every hour of the year; {mend}"
