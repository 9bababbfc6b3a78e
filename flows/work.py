"""A piece of work of a study, small enough to be sent to another process, and how it is done.

What goes in are a study's case, the folder of its store and the keys of what is needed; what comes
out is a key: results go from step to step as files, so they are the same whoever does the work.
"""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

import xarray as xr

from flows.chain import Inputs, collect, draw, read_inputs
from flows.mirror import mirror_of
from flows.steps import STEPS, input_digests, inputs_key, step
from flows.study import Study
from flows.task_store import FOLDER, TaskStore
from pp_p2p.errors import P2PError

Kind = Literal["read", "step", "collect", "draw"]
SUFFIX: Final[Mapping[Kind, str]] = {
    "read": ".txt", "step": ".nc", "collect": ".nc", "draw": ".html"
}  # fmt: skip

_INPUTS_KEPT: Final = 2
_inputs: OrderedDict[str, Inputs] = OrderedDict()
_COMPUTING: Final = threading.Lock()
"""Pyomo and pandapower are not made for threads: one of them computes at a time."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """One piece of work.

    Parameters
    ----------
    kind : {"read", "step", "collect", "draw"}
    title : str
        What the user reads.
    study : Study
    store : Path
        Folder of the store.
    key : str
        Of the result.
    needs : mapping
        Name of a step before, with ``/2`` for its second stage -> key.
    name : str
        Of the step.
    stage : int, optional
    place : Path, optional
        Of the result, where it is not kept in the store.
    mirror : str
        URL of shared storage that has the study's folder; empty: there is none.
    """

    kind: Kind
    title: str
    study: Study
    store: Path
    key: str
    needs: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    stage: int | None = None
    place: Path | None = None
    mirror: str = ""

    @property
    def suffix(self) -> str:
        """Ending of the file of the result."""
        return SUFFIX[self.kind]


def do_work(work: Work) -> str:
    """Do `work` unless its result is there already; return the key."""
    mirror = mirror_of(work.mirror)
    if mirror is not None:  # the copy of the machine that does it: it may stand elsewhere
        here = mirror.folder / FOLDER
        place = work.place and mirror.folder / work.place.relative_to(work.store.parent)
        work = replace(work, store=here, place=place)
    store = TaskStore(work.store, mirror)
    with store.one_at_a_time(work.key):
        if store.has(work.key, work.suffix, work.place):
            return work.key
        started = time.perf_counter()
        note: dict[str, object] = {
            "title": work.title,
            "case": work.study.case,
            "needs": dict(work.needs),
        }
        if work.kind == "draw":
            page = draw(_tree(store, work.needs["result"]))
            note["seconds"] = time.perf_counter() - started
            store.write(
                work.key, ".html", lambda f: f.write_text(page, encoding="utf-8"), note, work.place
            )
            return work.key
        with _COMPUTING:
            result = _computed(work, store)
        note["seconds"] = time.perf_counter() - started
        if isinstance(result, str):
            text = result
            store.write(work.key, ".txt", lambda f: f.write_text(text, encoding="utf-8"), note)
        else:
            store.put(work.key, result, note)
    return work.key


def _computed(work: Work, store: TaskStore) -> str | xr.Dataset | xr.DataTree:
    inputs = _inputs_of(work.study)
    if work.kind == "read":
        return json.dumps({**input_digests(inputs), "notes": inputs.notes})
    done = _joined_stages({name: store.get(key) for name, key in work.needs.items()})
    if work.kind == "collect":
        return collect(work.study, inputs, done)
    from pp_p2p.results import label

    return label(step(work.name).run(work.study, inputs, done, work.stage), {})


def _inputs_of(study: Study) -> Inputs:
    """Return net and profiles; the last ones are kept for the steps that follow."""
    key = inputs_key(study)
    if key not in _inputs:
        _inputs[key] = read_inputs(study)
        while len(_inputs) > _INPUTS_KEPT:
            _inputs.popitem(last=False)
    _inputs.move_to_end(key)
    return _inputs[key]


def _tree(store: TaskStore, key: str) -> xr.DataTree:
    tree = store.get(key)
    if not isinstance(tree, xr.DataTree):
        raise TypeError(f"{key} is no study's result")
    return tree


def _joined_stages(found: Mapping[str, Any]) -> dict[str, xr.Dataset]:
    """Return one dataset per step; those of a step's stages are joined along ``stage``."""
    done: dict[str, xr.Dataset] = {}
    for one in STEPS:
        stages = {
            int(n.partition("/")[2]): ds for n, ds in found.items() if n.startswith(one.name + "/")
        }
        if stages:
            done[one.name] = join_stages(stages)
        elif one.name in found:
            done[one.name] = found[one.name]
    return done


def join_stages(stages: Mapping[int, xr.Dataset]) -> xr.Dataset:
    """Return the results of the stages as one dataset; attributes are the worst of all.

    Elements that only some stages have (what was built later) are NaN, or 0, in the others.
    """
    import pandas as pd

    from pp_p2p.results import label

    order = sorted(stages)
    parts = [stages[n] for n in order]
    joined = xr.concat(
        parts,
        dim=pd.Index(order, name="stage"),
        data_vars="all",
        coords="minimal",
        compat="override",
        join="outer",
        combine_attrs="drop_conflicts",
    )
    worst = ("gap", "relaxation_gap", "ac_vm_error_pu", "ac_loss_error_percent")
    attrs: dict[str, Any] = {
        k: max(p.attrs[k] for p in parts) for k in worst if k in parts[0].attrs
    }
    if "relaxation" in parts[0].attrs:
        inexact = any(part.attrs["relaxation"] != "exact" for part in parts)
        attrs["relaxation"] = "inexact" if inexact else "exact"
    if "status" in parts[0].attrs:
        best = all(part.attrs["status"] == "optimal" for part in parts)
        attrs["status"] = "optimal" if best else "feasible"
    for name in ("seconds", "iterations"):
        if name in parts[0].attrs:
            attrs[name] = sum(part.attrs[name] for part in parts)
    return label(joined, attrs)


def sendable(error: Exception) -> Exception:
    """Return `error`, or one that says the same and can be pickled."""
    import pickle

    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return P2PError(f"{type(error).__name__}: {error}")
    return error
