"""Locks between processes, by files: the system frees them when their process ends, however."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from pp_p2p.errors import Finding, InvalidInput

LOCK: Final = "lock"
"""File in a study's store that the run which works there holds."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait for the lock of `path`, and hold it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        _take(file, wait=True)
        yield


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Hold the lock of a study's folder.

    Raises
    ------
    InvalidInput
        Another run has it.
    """
    path = folder / ".tasks" / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            _take(file, wait=False)
        except OSError:
            file.seek(0)
            who = file.read().strip()
            rule = f"another run works in this folder{f' (process {who})' if who else ''}"
            mend = "wait until it ends, or choose another folder with --output"
            raise InvalidInput(Finding(table=str(folder), rule=rule, mend=mend)) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _take(file: Any, *, wait: bool) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import importlib

        msvcrt: Any = importlib.import_module("msvcrt")
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        return
    fcntl.flock(file.fileno(), fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
