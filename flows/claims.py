"""Who works in a folder of shared storage: storage has no locks, so every run puts a claim there.

A claim is a file of its own that says first that a run wants the folder, then that it has it. A
run puts its claim and then looks at those of the others: it gives way to one that has the folder,
and to one that wants it whose name comes before its own; for the rest it waits until they have
given way (tie-breaking by name as in Lamport, A new solution of Dijkstra's concurrent programming
problem, CACM 17(8), 1974). Of two runs the one that puts its claim second sees the first one's, so
never do both have the folder. That takes storage where what is written is listed and read at once,
as in S3, Google's and Azure's object stores and file systems, and no clock, conditional write or
move.

A claim that its run has not renewed for `STALE_AFTER_S`, by the clock of the storage, counts no
more. So a run that stood still for so long, with its machine, may go on beside another one: both
then write the same files, each of them whole.
"""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from contextlib import suppress
from typing import Any, Final, Literal, NamedTuple

from pp_p2p.errors import Finding, InvalidInput

CLAIMS: Final = "running"
"""Folder of the claims in a study's store."""

STALE_AFTER_S: Final = 240.0
"""A run that has not renewed its claim for so long has died."""

ASKED_EVERY_S: Final = 0.2
PATIENCE_S: Final = 10.0
"""How long others that want the folder, too, may take to give way."""

State = Literal["wants", "has"]


class _Other(NamedTuple):
    """What another run says of itself; who it is may not be written yet."""

    run: str
    state: State
    who: str


class Claim:
    """The claim of one run.

    Parameters
    ----------
    system : AbstractFileSystem
        Of fsspec.
    folder : str
        Of the claims, in `system`.
    url : str
        Of what is claimed, as the user knows it.
    """

    def __init__(self, system: Any, folder: str, url: str) -> None:
        self._system, self._folder, self._url = system, folder, url
        self._run, self._state = uuid.uuid4().hex, "wants"

    def take(self) -> None:
        """Take the folder.

        Raises
        ------
        InvalidInput
            Another run has it, or wants it, too, and comes first.
        """
        self._system.makedirs(self._folder, exist_ok=True)
        try:
            self._put("wants")
            until = time.monotonic() + PATIENCE_S
            while others := self._others():
                first = [one for one in others if one.state == "has" or one.run < self._run]
                if first or time.monotonic() > until:
                    raise self._refused((first or others)[0])
                time.sleep(ASKED_EVERY_S)
            self._put("has")
        except BaseException:
            with suppress(Exception):  # what is left is stale after a while
                self.leave()
            raise

    def renew(self) -> None:
        """Say that the run lives."""
        self._put(self._state)

    def leave(self) -> None:
        """Let others have the folder."""
        self._system.rm_file(self._name(self._run))

    def _put(self, state: str) -> None:
        self._state = state
        said = {
            "state": state,
            "host": socket.gethostname(),
            "machine": _machine(),
            "process": os.getpid(),
            "time": time.time(),
        }
        self._system.pipe_file(self._name(self._run), json.dumps(said).encode())

    def _others(self) -> list[_Other]:
        """Return the runs that claim the folder, too; claims of dead ones are removed."""
        self._system.invalidate_cache()
        names = (str(name) for name in self._system.ls(self._folder, detail=False))
        runs = sorted(name.rpartition("/")[2].removesuffix(".json") for name in names)
        found = (self._other(run) for run in runs if run != self._run)
        return [one for one in found if one is not None]

    def _other(self, run: str) -> _Other | None:
        """Return what a run says; None where it is gone or dead."""
        try:
            said = _read(self._system.cat_file(self._name(run)))
            dead = said.get("machine") == _machine() and not _lives(int(said["process"]))
            if dead or self._silent_s(run, said) > STALE_AFTER_S:
                self._system.rm_file(self._name(run))
                return None
        except FileNotFoundError:
            return None
        who = f"process {said['process']} on {said['host']}" if said else ""
        return _Other(run, "has" if said.get("state") == "has" else "wants", who)

    def _silent_s(self, run: str, said: dict[str, Any]) -> float:
        """Return how much older the claim of `run` is than this one, as the storage has it."""
        try:
            times = [self._system.modified(self._name(one)) for one in (self._run, run)]
        except (NotImplementedError, AttributeError):  # then by the clocks of the machines
            return float(time.time() - said.get("time", time.time()))
        return float((times[0] - times[1]).total_seconds())

    def _refused(self, other: _Other) -> InvalidInput:
        rule = f"another run works in this folder{f' ({other.who})' if other.who else ''}"
        mend = f"wait until it ends; one that died is forgotten after {STALE_AFTER_S:.0f} s"
        return InvalidInput(Finding(table=self._url, rule=rule, mend=mend))

    def _name(self, run: str) -> str:
        return f"{self._folder}/{run}.json"


def _read(content: bytes) -> dict[str, Any]:
    """Return what a claim says; empty while it is being written."""
    try:
        said = json.loads(content)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _machine() -> str:
    """Name that within which numbers of processes mean something: a machine, or a container."""
    space = ""
    with suppress(OSError):  # Linux
        space = os.readlink("/proc/self/ns/pid")
    return f"{socket.gethostname()} {uuid.getnode():x} {space}"


def _lives(process: int) -> bool:
    if os.name == "nt":  # nothing to ask with that would not end it
        return True
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True
