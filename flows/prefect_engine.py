"""Prefect's side of a study: the only file that imports Prefect."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

Stage = Callable[[], Any]


def flow_and_task(name: str) -> tuple[Callable[[Stage], Any], Callable[[str, Stage], Any]]:
    """Return a function that runs a chain as the flow `name`, and one that runs a stage as a task.

    Stages hand their results on in memory: nothing is cached or pickled. The heartbeat is off,
    because joining its thread costs a second per flow.
    """
    for logger in ("prefect", "httpx", "uvicorn"):
        logging.getLogger(logger).setLevel(logging.CRITICAL + 1)

    def run_flow(chain: Stage) -> Any:
        with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            return flow(name=name, persist_result=False, log_prints=False)(chain)()

    def run_task(stage_name: str, stage: Stage) -> Any:
        as_task = task(name=stage_name, cache_policy=NO_CACHE, persist_result=False)
        return as_task(stage)()

    return run_flow, run_task
