"""Clusters that do the work of a study: Dask and Ray, local ones or those at an address.

With Prefect, the cases and their pieces of work are tasks of the flow in its own process, and each
piece is sent to the cluster from there: Prefect's pages and the cluster's show both. The task
runners of `prefect-dask` and `prefect-ray` would send Prefect's tasks themselves, and

- every worker must then reach Prefect's API: a task fails where it cannot (prefect-dask 0.3.7,
  Prefect 3.8.8), so no cluster of several machines could be used without a server of one's own;
- flow and task are pickled with each task, and each worker loads Prefect: 175 ms for each
  task and 3 s for the first ones above what Dask takes, on two busy cores, against 15 ms here;
- all of it would be a second way beside that of `--engine plain`.
"""

from __future__ import annotations

import importlib
import os
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from flows import subproblems
from flows.steps import step
from flows.study_scenarios import Running
from flows.work import Work, do_work, sendable
from pp_p2p.errors import Finding, InvalidInput, StepFailed


class DaskWorkers:
    """A Dask cluster: a local one of processes, or that at ``run.address``."""

    def __init__(self, count: int, run: Running) -> None:
        distributed = _package("distributed", "dask")
        self._timeout_s = run.step_timeout_s
        self._cluster: Any = None
        if not run.address:
            self._cluster = distributed.LocalCluster(
                n_workers=count, threads_per_worker=1, processes=True, dashboard_address=None
            )
        self._client: Any = distributed.Client(run.address or self._cluster, set_as_default=False)
        self._late: Any = distributed.TimeoutError
        self.count = count if self._cluster else max(1, len(self._client.nthreads()))

    def prepare(self, _: int, /) -> Iterable[Callable[[], object]]:
        """Do nothing: the cluster is there."""
        return ()

    def do(self, work: Work) -> str:
        """Do it on the cluster."""
        name = f"{work.title}-{uuid.uuid4().hex}"  # its pages show what stands before the "-"
        future = self._client.submit(_dask_answer, work, pure=False, key=name)
        try:
            return _told(future.result(timeout=self._timeout_s))
        except (self._late, TimeoutError):
            future.cancel(force=True)
            raise StepFailed(_late_text(work, self._timeout_s)) from None

    def close(self) -> None:
        """Leave the cluster; a local one ends."""
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()


class RayWorkers:
    """A Ray cluster: a local one, or that at ``run.address``."""

    def __init__(self, count: int, run: Running) -> None:
        self._ray: Any = _package("ray", "ray")
        self._timeout_s = run.step_timeout_s
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report home
        given = {"address": run.address} if run.address else {"num_cpus": count}
        self._ray.init(**given, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        self._answer: Any = self._ray.remote(_ray_answer)
        self.count = count if not run.address else int(self._ray.cluster_resources().get("CPU", 1))

    def prepare(self, _: int, /) -> Iterable[Callable[[], object]]:
        """Do nothing: the cluster is there."""
        return ()

    def do(self, work: Work) -> str:
        """Do it on the cluster."""
        reference = self._answer.options(name=work.title).remote(work)
        try:
            return _told(self._ray.get(reference, timeout=self._timeout_s))
        except self._ray.exceptions.GetTimeoutError:
            self._ray.cancel(reference, force=True)
            raise StepFailed(_late_text(work, self._timeout_s)) from None

    def close(self) -> None:
        """Leave the cluster; a local one ends."""
        self._ray.shutdown()


def _answer(work: Work) -> object:
    """Do `work` on a cluster; errors come back as they are, not wrapped."""
    try:
        return do_work(work)
    except Exception as error:
        return sendable(error)


def _has_subproblems(work: Work) -> bool:
    return work.kind == "step" and step(work.name).subproblems


def _dask_answer(work: Work) -> object:
    """Do `work` on Dask; its subproblems are tasks, too, and it makes room while they are solved.

    There is no deadlock: a step that waits holds no worker, so one at least is free.
    """
    if not _has_subproblems(work):
        return _answer(work)
    distributed = _package("distributed", "dask")
    with (
        distributed.worker_client(separate_thread=True) as client,
        subproblems.solved_by(client.get_executor(pure=False)),
    ):
        return _answer(work)


def _ray_answer(work: Work) -> object:
    """Do `work` on Ray; its subproblems are tasks, too."""
    if not _has_subproblems(work):
        return _answer(work)
    with subproblems.solved_by(subproblems.RayExecutor(_package("ray", "ray"))):
        return _answer(work)


def _told(answer: object) -> str:
    if isinstance(answer, BaseException):
        raise answer
    return str(answer)


def _late_text(work: Work, timeout_s: float | None) -> str:
    return f"{work.title}: took longer than step_timeout_s = {timeout_s} s and was ended"


def _package(name: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        rule, mend = f"needs the package {name}", f'python -m pip install "pp-p2p[{extra}]"'
        found = Finding(table="run", column="runner", rule=rule, mend=mend)
        raise InvalidInput(found) from None
