"""Components solved one after the other here, or side by side in processes of their own.

A component always belongs to the same process, whose solver is set up once; a solve starts cold,
so that its answer depends on the component and the point alone, not on where it was solved.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from types import TracebackType
from typing import Self

from pp_p2p.solve.compiled import Array
from pp_p2p.solve.components import Component, ComponentSolver, Evaluation


class ComponentPool:
    """Evaluates all components at a point.

    Parameters
    ----------
    components : sequence of Component
    processes : int
        1 solves here. The conic solver holds the interpreter's lock: threads would gain nothing.
    """

    def __init__(self, components: Sequence[Component], processes: int = 1) -> None:
        self._count = len(components)
        self._stride = max(1, min(processes, self._count))
        self._here = [ComponentSolver(part) for part in components] if self._stride == 1 else []
        self._workers = [
            ProcessPoolExecutor(1, initializer=_take, initargs=(components[k :: self._stride],))
            for k in range(self._stride if self._stride > 1 else 0)
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            worker.shutdown(wait=True, cancel_futures=True)

    def evaluate(self, y: Array) -> list[Evaluation]:
        """Return what every component says at `y`, in their order."""
        if not self._workers:
            return [solver.evaluate(y) for solver in self._here]
        shares = [worker.submit(_evaluate, y) for worker in self._workers]
        found: list[Evaluation | None] = [None] * self._count
        for k, share in enumerate(shares):
            found[k :: self._stride] = share.result()
        return [one for one in found if one is not None]


_OWN: list[ComponentSolver] = []
"""Of this process, where it is a worker."""


def _take(components: Sequence[Component]) -> None:
    _OWN[:] = [ComponentSolver(part) for part in components]


def _evaluate(y: Array) -> list[Evaluation]:
    return [solver.evaluate(y) for solver in _OWN]
