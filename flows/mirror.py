"""A study's folder in shared storage: worked on in a local copy, kept the same file by file.

Files are fetched when they are needed and missing, and pushed as soon as they are whole. So another
machine goes on with what one has computed, and the local copy may be deleted at any time.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Final

from flows.claims import CLAIMS, Claim
from pp_p2p.errors import Finding, InvalidInput
from pp_p2p.storage import below, cache_folder, download, filesystem, is_there

RUNNING: Final = f".tasks/{CLAIMS}"
"""Says who works in the folder."""

RENEWED_EVERY_S: Final = 30.0
BUCKETS: Final = frozenset({"s3", "gs", "abfs", "oss", "cos"})
"""Protocols whose paths begin with a bucket, or container."""

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
            if is_there(self._system, self._there(path)):
                download(self._system, self._there(path), path)
        return path.is_file()

    def push(self, path: Path, *, again: bool = True) -> None:
        """Put a file there, whole or not at all; not `again` where one is there."""
        target = self._there(path)
        part = f"{self._root}/.tasks/{_PART}{uuid.uuid4().hex}"
        with self._named_errors():
            if not again and is_there(self._system, target):
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
        if not is_there(self._system, store):
            return []
        return [str(name) for name in self._system.ls(store, detail=False)]

    @contextmanager
    def only_run(self) -> Iterator[None]:
        """Hold the folder for as long as the body takes.

        Raises
        ------
        InvalidInput
            Another run has it, or it cannot be written.
        """
        claim = Claim(self._system, f"{self._root}/{RUNNING}", self.url)
        with self._named_errors():
            self._require_bucket()
            claim.take()
        over = threading.Event()

        def renew() -> None:
            while not over.wait(RENEWED_EVERY_S):
                with suppress(Exception):  # the next time; work that cannot be kept will say so
                    claim.renew()

        thread = threading.Thread(target=renew, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            with suppress(Exception):  # what is left is stale after a while
                claim.leave()

    def _require_bucket(self) -> None:
        """Refuse a bucket that is not there: fsspec would make one for each misspelt name."""
        protocols = self._system.protocol
        bucket = self._root.partition("/")[0]
        known = {protocols} if isinstance(protocols, str) else set(protocols)
        if known & BUCKETS and not self._system.exists(bucket):
            rule, mend = f"there is no bucket {bucket!r}", "check its name, or make it first"
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
