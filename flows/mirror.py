"""A study's folder in shared storage: worked on in a local copy, kept the same file by file.

Files are fetched when they are needed and missing, and pushed as soon as they are whole. So another
machine goes on with what one has computed, and the local copy may be deleted at any time.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from pp_p2p.errors import Finding, InvalidInput
from pp_p2p.storage import below, cache_folder, download, filesystem

RUNNING_NAME: Final = "running.json"
RUNNING: Final = f".tasks/{RUNNING_NAME}"
"""Says who works in the folder; object stores have no locks."""

RENEWED_EVERY_S: Final = 30.0
STALE_AFTER_S: Final = 240.0
"""A run that has not renewed its note for so long has died."""

_PART: Final = ".part-"


class Mirror:
    """A folder at a URL of fsspec and its local copy.

    Parameters
    ----------
    url : str
        Of the folder.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.folder = cache_folder(self.url)
        self._system, self._root = filesystem(self.url)

    def address(self, path: Path) -> str:
        """Return the URL of a file of the local copy."""
        return below(self.url, self._relative(path))

    def fetch(self, path: Path, *, again: bool = False) -> bool:
        """Get a file that is missing here, or `again`; return whether it is here now."""
        if path.is_file() and not again:
            return True
        with self._named_errors():
            if self._system.exists(self._there(path)):
                download(self._system, self._there(path), path)
        return path.is_file()

    def push(self, path: Path, *, again: bool = True) -> None:
        """Put a file there, whole or not at all; not `again` where one is there."""
        target = self._there(path)
        part = f"{self._root}/.tasks/{_PART}{uuid.uuid4().hex}"
        with self._named_errors():
            if not again and self._system.exists(target):
                return
            for folder in (part, target):
                self._system.makedirs(folder.rpartition("/")[0], exist_ok=True)
            self._system.put_file(str(path), part)
            self._system.mv(part, target)
            self._system.invalidate_cache()

    def sweep(self) -> None:
        """Remove what a killed run left half pushed; only for the one that has the study."""
        with self._named_errors():
            for name in self._in_store():
                if name.rpartition("/")[2].startswith(_PART):
                    self._system.rm_file(name)

    def clear(self) -> None:
        """Forget what is kept there."""
        with self._named_errors():
            for name in self._in_store():
                if not name.endswith(RUNNING):
                    self._system.rm(name, recursive=True)
            self._system.invalidate_cache()

    def _in_store(self) -> list[str]:
        """Return what stands in the study's store there, by path."""
        store = f"{self._root}/.tasks"
        self._system.invalidate_cache()
        if not self._system.exists(store):
            return []
        return [str(name) for name in self._system.ls(store, detail=False)]

    @contextmanager
    def only_run(self) -> Iterator[None]:
        """Say for as long as the body takes that this process works in the folder.

        Raises
        ------
        InvalidInput
            Another one does, or the folder cannot be written. Two that begin within the same
            second are not told apart where the storage has no way to; they compute the same.
        """
        here = {"host": socket.gethostname(), "process": os.getpid(), "run": uuid.uuid4().hex}
        self._refuse_another(here)
        over = threading.Event()
        self._say(here)
        self._refuse_another(here)

        def renew() -> None:
            while not over.wait(RENEWED_EVERY_S):
                with suppress(InvalidInput):  # the next time; work that cannot be kept will say so
                    self._say(here)

        thread = threading.Thread(target=renew, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            with suppress(Exception):  # what is left is stale after a while
                self._system.rm_file(f"{self._root}/{RUNNING}")

    def _say(self, here: dict[str, Any]) -> None:
        from flows.chain import write_text

        file = self.folder / RUNNING
        write_text(file, json.dumps({**here, "time": time.time()}))
        self.push(file)

    def _refuse_another(self, here: dict[str, Any]) -> None:
        with self._named_errors():
            self._system.invalidate_cache()
            try:
                said = json.loads(self._system.cat_file(f"{self._root}/{RUNNING}"))
            except (FileNotFoundError, ValueError):
                return
        if said.get("run") == here["run"] or time.time() - said.get("time", 0.0) > STALE_AFTER_S:
            return
        if said.get("host") == here["host"] and not _lives(int(said["process"])):
            return
        who = f"process {said.get('process')} on {said.get('host')}"
        rule = f"another run works in this folder ({who})"
        mend = f"wait until it ends; one that died is forgotten after {STALE_AFTER_S:.0f} s"
        raise InvalidInput(Finding(table=self.url, rule=rule, mend=mend))

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _there(self, path: Path) -> str:
        return f"{self._root}/{self._relative(path)}"

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Turn what a protocol raises, each its own errors, into one message."""
        try:
            yield
        except InvalidInput:
            raise
        except Exception as error:
            rule = f"cannot be used ({error or type(error).__name__})"
            mend = "check the address and your access to it"
            raise InvalidInput(Finding(table=self.url, rule=rule, mend=mend)) from error


@lru_cache(maxsize=8)
def mirror_of(url: str) -> Mirror | None:
    """Return the mirror of a URL, the same one in the same process; None without a URL."""
    return Mirror(url) if url else None


def _lives(process: int) -> bool:
    if os.name == "nt":  # nothing to ask with that would not end it
        return True
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return True
