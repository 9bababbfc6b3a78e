"""What a benchmark is: one function that measures us and one peer on the same input.

A module ``bench_<topic>.py`` beside this file registers its functions; `run.py` finds them:

    @benchmark("year of 33 buses", peer="pandapower run_timeseries", full={"steps": 8760},
               tiny={"steps": 3})
    def year(*, steps: int) -> Outcome: ...

A function with `table` returns rows of its own: more than one figure, or no peer.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple


class PeerMissing(Exception):
    """The peer is not installed; the row says so and the others go on."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a benchmark found.

    Parameters
    ----------
    ours, theirs : float
        Same unit, less is better: seconds unless `unit` says otherwise.
    difference : float
        Largest difference between both results.
    limit : float
        Largest difference that counts as the same result; above it the run fails.
    of : str
        What differs, with its unit.
    note : str
        Memory, shares, what the peer leaves out.
    """

    ours: float
    theirs: float
    difference: float
    limit: float
    of: str
    note: str = ""
    unit: str = "s"

    @property
    def same(self) -> bool:
        """Whether both found the same; NaN is not."""
        return self.difference <= self.limit


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A registered function with its sizes."""

    name: str
    peer: str
    run: Callable[..., Outcome]
    full: dict[str, Any]
    tiny: dict[str, Any]


class Row(NamedTuple):
    """A line of the table; the ratio is the peer's over ours, above 1 in our favour."""

    name: str
    peer: str
    ours: float
    peers: float
    ratio: float
    note: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """A registered function that returns rows; `tiny` is None where there is no small size."""

    name: str
    peer: str
    run: Callable[..., list[Row]]
    full: dict[str, Any]
    tiny: dict[str, Any] | None


REGISTERED: dict[str, Benchmark | Table] = {}

OWN_PROCESSES = True
"""Off for the tiny sizes: starting processes is all they would measure."""


def benchmark(
    name: str, *, peer: str, full: dict[str, Any], tiny: dict[str, Any]
) -> Callable[[Callable[..., Outcome]], Callable[..., Outcome]]:
    """Register a function under `name`; `full` and `tiny` are its arguments."""

    def register(run: Callable[..., Outcome]) -> Callable[..., Outcome]:
        if name in REGISTERED:
            raise ValueError(f"two benchmarks are called {name!r}")
        REGISTERED[name] = Benchmark(name=name, peer=peer, run=run, full=full, tiny=tiny)
        return run

    return register


def table(
    name: str, *, peer: str, full: dict[str, Any] | None = None, tiny: dict[str, Any] | None = None
) -> Callable[[Callable[..., list[Row]]], Callable[..., list[Row]]]:
    """Register a function that returns rows."""

    def register(run: Callable[..., list[Row]]) -> Callable[..., list[Row]]:
        if name in REGISTERED:
            raise ValueError(f"two benchmarks are called {name!r}")
        REGISTERED[name] = Table(name=name, peer=peer, run=run, full=full or {}, tiny=tiny)
        return run

    return register


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Seconds of a call, its value, the most memory of its process and what it held before."""

    seconds: float
    value: Any
    peak_mb: float
    before_mb: float

    @property
    def added_mb(self) -> float:
        """Memory that the call needed beyond imports, input and warm-up."""
        return self.peak_mb - self.before_mb


def in_own_process(
    prepare: Callable[..., Callable[[], Any]], *, repeat: int = 1, **arguments: Any
) -> Measured:
    """Measure what `prepare` returns in a fresh process: the median of `repeat` calls.

    `prepare` imports, builds the input and warms up; only the call it returns is timed. Memory
    means nothing where `OWN_PROCESSES` is off.
    """
    if not OWN_PROCESSES:
        return _measure(prepare, repeat, arguments)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(_measure, prepare, repeat, arguments).result()


def _measure(prepare: Callable[..., Any], repeat: int, arguments: dict[str, Any]) -> Measured:
    call = prepare(**arguments)
    before, times, value = _peak_mb(), [], None
    for _ in range(repeat):
        started = time.perf_counter()
        value = call()
        times.append(time.perf_counter() - started)
    return Measured(
        seconds=sorted(times)[len(times) // 2],
        value=value,
        peak_mb=_peak_mb(),
        before_mb=before,
    )


def _peak_mb() -> float:
    """Return the most memory that this process ever held.

    On Linux the figure of ``getrusage`` starts at what the parent held: the kernel's own does not.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return float(line.split()[1]) / 1024.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
