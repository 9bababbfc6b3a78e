"""Who solves the subproblems of a step: the cluster that the step itself runs on, if any."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

_EXECUTOR: Final[ContextVar[Executor | None]] = ContextVar("executor", default=None)


def executor() -> Executor | None:
    """Return who solves subproblems; None: the step itself, one after the other."""
    return _EXECUTOR.get()


@contextmanager
def solved_by(one: Executor) -> Iterator[None]:
    """Let `one` solve the subproblems of what the body does."""
    token = _EXECUTOR.set(one)
    try:
        yield
    finally:
        _EXECUTOR.reset(token)


class RayExecutor(Executor):
    """Ray's cluster as an executor, within one of its tasks, which gives way while it waits."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Any,
        timeout: float | None = None,
        chunksize: int = 1,  # noqa: ARG002 - as Executor has it
    ) -> Iterator[Any]:
        """Call `fn` for each; `chunksize` is not looked at."""
        remote = self._ray.remote(fn)
        asked = [remote.remote(*given) for given in zip(*iterables, strict=False)]
        return iter(self._ray.get(asked, timeout=timeout))
