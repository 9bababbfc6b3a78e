"""Which key of the study file asks for a profile that the profiles file does not have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from flows.study import Study
from flows.study_text import KeyPath, closest
from pp_p2p.errors import Finding

LOAD_SUFFIX = "_pload"


def missing_column(frame: pd.DataFrame, path: Path, study: Study, column: str) -> Iterator[Finding]:
    """Yield a finding for every key of `study` that asks for `column`, which `frame` lacks.

    Where no key does, the net's own column ``profile`` has asked for it.
    """
    is_load = column.endswith(LOAD_SUFFIX)
    name, kind = column.removesuffix(LOAD_SUFFIX), "load profile" if is_load else "profile"
    known = _known(frame, is_load=is_load)
    rule = f"{path.name} has no {kind} {name!r}"
    mend = f"{closest(name, known)}it has: {', '.join(known) or '(none)'}"
    text = study.places
    keys = [key for key, wanted in (_of_loads if is_load else _of_plants)(study) if wanted == name]
    yield from (text.finding(key, rule, mend) for key in dict.fromkeys(keys))
    if not keys:
        table = "net.load" if is_load else "net.sgen"
        yield Finding(table=table, column="profile", rule=rule, mend=mend)


def _known(frame: pd.DataFrame, *, is_load: bool) -> list[str]:
    names = [str(name) for name in frame if not str(name).endswith("_qload")]
    if is_load:
        return [n.removesuffix(LOAD_SUFFIX) for n in names if n.endswith(LOAD_SUFFIX)]
    return [n for n in names if not n.endswith(LOAD_SUFFIX)]


def _of_loads(study: Study) -> Iterator[tuple[KeyPath, str]]:
    """Yield the keys that name profiles of loads, and the profiles."""
    here: KeyPath = ("profiles", "load")
    yield from (((*here, "names"), name) for name in study.profiles.load.names)
    yield from (((*here, "by_load", str(k)), v) for k, v in study.profiles.load.by_load.items())
    for i, owner in enumerate(study.participant):
        yield from ((("participant", i, "load_profiles"), name) for name in owner.load_profiles)


def _of_plants(study: Study) -> Iterator[tuple[KeyPath, str]]:
    """Yield the keys that name profiles of PV and wind, and the profiles."""
    here: KeyPath = ("profiles", "sgen")
    yield from (((*here, "names"), name) for name in study.profiles.sgen.names)
    yield from (((*here, "by_sgen", str(k)), v) for k, v in study.profiles.sgen.by_sgen.items())
    yield ("profiles", "availability", "pv"), study.profiles.availability.pv
    yield ("profiles", "availability", "wind"), study.profiles.availability.wind
    for i, owner in enumerate(study.participant):
        for j, plant in enumerate(owner.sgen):
            yield ("participant", i, "sgen", j, "profile"), plant.profile
