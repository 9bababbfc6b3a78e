"""What the steps of a study have computed, on disk: by key, whole or not at all, with checksums.

A step's key is a hash of all that its result depends on (`flows.steps`), so a kept result never
goes stale: what depends on something else has another key. The note beside each result is written
last; without it, or where the checksum in it is not that of the file, the result does not count.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import xarray as xr

from flows.file_lock import LOCK, locked
from flows.mirror import Mirror
from pp_p2p.errors import Finding, InvalidInput
from pp_p2p.results import from_netcdf, to_netcdf, whole_file

FOLDER: Final = ".tasks"
"""Where, in the folder of a study's results, its store is."""


class TaskStore:
    """Results of steps by key.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    mirror : Mirror, optional
        Shared storage that has the same files.
    """

    def __init__(self, folder: Path, mirror: Mirror | None = None) -> None:
        self.folder, self._mirror = folder, mirror

    def has(self, key: str, suffix: str, place: Path | None = None) -> bool:
        """Return whether the result of `key` is here, or at `place`, and as it was written."""
        note = self.note(key)
        file = place or self.path(key, suffix)
        if not note or not self._is_here(file):
            return False
        return bool(note.get("sha256") == checksum(file))

    def is_damaged(self, key: str, suffix: str, place: Path | None = None) -> bool:
        """Return whether a result was written for `key` and is not what it was any more."""
        file = place or self.path(key, suffix)
        return bool(self.note(key)) and file.is_file() and not self.has(key, suffix, place)

    def path(self, key: str, suffix: str) -> Path:
        """Return where the result of `key` stands."""
        return self.folder / f"{key}{suffix}"

    def note(self, key: str) -> dict[str, Any]:
        """Return what was noted beside a result; empty where there is none."""
        file = self.path(key, ".json")
        self._is_here(file)
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def write(
        self,
        key: str,
        suffix: str,
        write: Callable[[Path], object],
        note: Mapping[str, object],
        place: Path | None = None,
    ) -> Path:
        """Let `write` make the result of `key`, here or at `place`, then note its checksum.

        Raises
        ------
        InvalidInput
            The place cannot be written, or is full.
        """
        target = place or self.path(key, suffix)
        with whole_file(target) as part:
            try:
                write(part)
            except RuntimeError as error:  # what netCDF says of a full disk
                raise OSError(f"{error}; is the disk full?") from error
        said = {**note, "sha256": checksum(target)}
        with whole_file(self.path(key, ".json")) as part:
            part.write_text(json.dumps(said, sort_keys=True, indent=1), encoding="utf-8")
        if self._mirror is not None:
            self._mirror.push(target)
            self._mirror.push(self.path(key, ".json"))
        return target

    def put(self, key: str, data: xr.Dataset | xr.DataTree, note: Mapping[str, object]) -> Path:
        """Keep a dataset."""
        return self.write(key, ".nc", lambda part: to_netcdf(data, part), note)

    def get(self, key: str) -> xr.Dataset | xr.DataTree:
        """Load a dataset."""
        self._is_here(self.path(key, ".nc"))
        return from_netcdf(self.path(key, ".nc"))

    def settle(self, key: str, suffix: str, place: Path | None = None) -> None:
        """Make sure that the result of `key` is here and in shared storage, whoever made it."""
        if self._mirror is None:
            return
        for file in (place or self.path(key, suffix), self.path(key, ".json")):
            if self._is_here(file):
                self._mirror.push(file, again=False)

    def share(self, file: Path) -> None:
        """Put a file of the study into shared storage, where there is one."""
        if self._mirror is not None:
            self._mirror.push(file)

    def _is_here(self, file: Path) -> bool:
        return file.is_file() if self._mirror is None else self._mirror.fetch(file)

    @contextmanager
    def one_at_a_time(self, key: str) -> Iterator[None]:
        """Wait until no other process works on `key`; cases that share a step compute it once."""
        with locked(self.folder / "locks" / key):
            yield

    def sweep(self) -> None:
        """Remove what a killed run left half written; only for the one that has the study."""
        for part in self.folder.glob(".*"):
            part.unlink(missing_ok=True)
        shutil.rmtree(self.folder / "locks", ignore_errors=True)
        if self._mirror is not None:
            self._mirror.sweep()

    def clear(self) -> None:
        """Forget everything but who works here."""
        for path in self.folder.glob("*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != LOCK:
                path.unlink()
        if self._mirror is not None:
            self._mirror.clear()


def checksum(file: Path) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        for block in iter(lambda: opened.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def copy_whole(source: Path, target: Path) -> Path:
    """Copy a file; it appears whole or not at all."""
    with whole_file(target) as part:
        shutil.copyfile(source, part)
    return target


def require_writable(folder: Path) -> None:
    """Refuse a folder that cannot be written, before anything is computed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        rule = f"cannot be written ({error.strerror or error})"
        mend = "choose another output folder"
        raise InvalidInput(Finding(table=str(folder), rule=rule, mend=mend)) from error
