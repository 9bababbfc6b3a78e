"""Orchestrated studies: the study file, the flow, the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pp_p2p.public import load_when_used

if TYPE_CHECKING:
    from flows.study import load_study
    from flows.study_run import run_study

_HOMES = {"load_study": "flows.study", "run_study": "flows.study_run"}

__all__ = ["load_study", "run_study"]


__getattr__, __dir__ = load_when_used(__name__, _HOMES)
