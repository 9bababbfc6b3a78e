"""The steps of a study in their order, and what the result of each depends on.

`STEPS` is a plain list: a new step is one more entry, and its result one more group of the result
file. The key of a step is a hash of the code, of the sections of the study file that it reads, of
the net and the profiles where it reads them, and of the keys of the steps that it needs. So a
changed input has other keys for exactly what depends on it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import xarray as xr

from flows.chain import Inputs, choose_days, joint_stage, plan_stage
from flows.study import Study, profiles_path
from flows.trading import trade_stage

Done = Mapping[str, xr.Dataset]


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of the chain.

    Parameters
    ----------
    name : str
        Of its group in the result file.
    title : str
        What the user reads.
    run : callable
        ``(study, inputs, done, stage) -> Dataset``; `done` holds the results of `needs`, `stage`
        is None where the study has one year.
    needs : tuple of str
        Names of the steps whose results it takes.
    sections : tuple of str
        Sections or keys of the study file that it reads.
    inputs : tuple of str
        What it reads of the inputs: ``"net"``, ``"profiles"``.
    per_stage : bool
        Whether it runs once for each stage of a horizon; the results are joined along ``stage``.
    only_with : str
        Section of the study file without which it is left out, if any.
    subproblems : bool
        Whether a cluster may solve parts of it side by side.
    """

    name: str
    title: str
    run: Callable[[Study, Inputs, Done, int | None], xr.Dataset]
    needs: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    per_stage: bool = False
    only_with: str = ""
    subproblems: bool = False

    def stages(self, study: Study) -> tuple[int | None, ...]:
        """Return the stages that it runs for; none where it is left out."""
        if self.only_with and getattr(study, self.only_with) is None:
            return ()
        if study.horizon is None or not self.per_stage:
            return (None,)
        return tuple(range(1, len(study.horizon.stage_years) + 1))

    def title_of(self, stage: int | None) -> str:
        """Return what the user reads of one stage."""
        return self.title if stage is None else f"{self.title}, stage {stage}"


STEPS: Final[list[Step]] = [
    Step(
        name="days",
        title="choose typical days",
        run=lambda study, inputs, _done, _stage: choose_days(study, inputs),
        sections=("typical_days",),
        inputs=("profiles",),
    ),
    Step(
        name="plan",
        title="plan the network",
        run=lambda study, inputs, done, _stage: plan_stage(study, inputs, done["days"]),
        needs=("days",),
        sections=("planning", "horizon", "study.seed"),
        inputs=("net",),
    ),
    Step(
        name="joint",
        title="plan together",
        run=lambda study, inputs, done, _stage: joint_stage(study, inputs, done["days"]),
        needs=("days",),
        sections=("planning", "collaboration", "trade.network_fee_eur_per_mwh", "study.seed"),
        inputs=("net",),
        only_with="collaboration",
        subproblems=True,
    ),
    Step(
        name="trade",
        title="trade on every typical day",
        run=lambda study, inputs, done, stage: trade_stage(
            study, inputs, done["days"], done.get("joint", done["plan"]), stage
        ),
        needs=("days", "plan", "joint"),
        sections=("trade", "horizon", "study.seed"),
        inputs=("net",),
        per_stage=True,
    ),
]

INPUT_SECTIONS: Final = ("network", "profiles", "prices", "participant", "sop", "candidate")
"""What net and profiles are made from."""

SHOWN_ONLY: Final = ("report", "comparison", "summary", "cli", "key_figures")
"""Files of `flows` that only show results: they change no kept result."""


def step(name: str) -> Step:
    """Return the step of this name."""
    return next(one for one in STEPS if one.name == name)


def inputs_key(study: Study) -> str:
    """Return the key of the study's net and profiles."""
    files = [profiles_path(study), Path(study.network_source)]
    contents = [_hash(file.read_bytes()) if file.is_file() else "" for file in files]
    return _key("inputs", _sections(study, INPUT_SECTIONS), contents)


def step_key(study: Study, one: Step, stage: int | None, digests: Mapping[str, str],
             keys: Mapping[str, str]) -> str:  # fmt: skip
    """Return the key of a step.

    Parameters
    ----------
    study : Study
    one : Step
    stage : int or None
    digests : mapping
        Hashes of ``net`` and ``profiles``.
    keys : mapping
        Keys of the steps before.
    """
    read = {name: digests[name] for name in one.inputs}
    needed = {name: keys[name] for name in one.needs}
    return _key(one.name, _sections(study, one.sections), [read, needed, stage])


def result_key(study: Study, keys: Mapping[str, str], digests: Mapping[str, str]) -> str:
    """Return the key of a case's whole result."""
    root = [study.case_text, study.case, study.study.name]
    return _key("result", root, [dict(keys), dict(digests), _shown_code()])


def input_digests(inputs: Inputs) -> dict[str, str]:
    """Return hashes of the net and of the profiles."""
    from pp_p2p.results import input_hash, net_hash

    empty = input_hash(None, inputs.profiles, dict(inputs.profiles.attrs), of_net="-")
    return {"net": net_hash(inputs.net), "profiles": empty}


def _sections(study: Study, names: tuple[str, ...]) -> dict[str, Any]:
    content = study.model_dump(mode="json")
    found = {}
    for name in names:
        value: Any = content
        for part in name.split("."):
            value = value[part]
        found[name] = value
    return found


def _key(*parts: object) -> str:
    text = json.dumps([code_version(), *parts], sort_keys=True, default=str)
    return f"{parts[0]}-{_hash(text.encode())[:24]}"


@cache
def code_version() -> str:
    """Return a hash of the code that computes results, and of the versions of what it stands on."""
    home = Path(__file__).parents[1]
    files = [
        file
        for package in ("pp_p2p", "planning", "clustering", "flows")
        for file in sorted((home / package).rglob("*.py"))
        if package != "flows" or not file.name.startswith(SHOWN_ONLY)
    ]
    text = "".join(_hash(file.read_bytes()) for file in files)
    versions = [f"{name} {_version(name)}" for name in _stands_on()]
    return _hash((text + ";".join(versions)).encode())


@cache
def _shown_code() -> str:
    home = Path(__file__).parent
    files = [file for file in sorted(home.glob("*.py")) if file.name.startswith(SHOWN_ONLY)]
    return _hash("".join(_hash(file.read_bytes()) for file in files).encode())


def _stands_on() -> list[str]:
    """Return the distributions that this one requires, solvers among them."""
    try:
        required = metadata.requires("pp-p2p") or []
    except metadata.PackageNotFoundError:  # run from a checkout
        required = ["numpy", "scipy", "pandas", "xarray", "pandapower", "pyomo", "scikit-learn"]
    return sorted({re.split(r"[^A-Za-z0-9._-]", one, maxsplit=1)[0] for one in required})


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "-"


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
