"""Files in shared storage, by the URLs of fsspec; a plain path, or ``file://``, is a local file.

netCDF is read and written in local files only, so what stands elsewhere has a copy in a cache
folder: ``PP_P2P_CACHE``, else ``pp-p2p`` in the user's cache.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

from pp_p2p.errors import Finding, InvalidInput

_LOCAL: Final = ("file", "local")


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Return whether `path` is a URL of something that is not a local file."""
    text = os.fspath(path)
    return "://" in text and text.partition("://")[0] not in _LOCAL


def ends_with_process(url: str) -> bool:
    """Return whether what stands at `url` is gone when this process ends."""
    return any(part.partition("://")[0] == "memory" for part in url.split("::"))


def local_path(path: str | os.PathLike[str]) -> Path:
    """Return a local path from a path, or from a ``file://`` URL."""
    text = os.fspath(path)
    if text.partition("://")[0] in _LOCAL and "://" in text:
        return Path(url2pathname(urlsplit(text).path))
    return Path(text)


def filesystem(url: str) -> tuple[Any, str]:
    """Return fsspec's file system of `url`, and the path in it.

    Raises
    ------
    InvalidInput
        There is no such protocol, its package is missing, or it refuses the address.
    """
    import fsspec

    try:
        system, path = fsspec.url_to_fs(url)
    except ImportError as error:
        missing = getattr(error.__cause__, "name", "") or "the package that it needs"
        rule = f"needs a package that is not installed ({error})"
        mend = f"python -m pip install {missing}"
        raise InvalidInput(Finding(table=url, rule=rule, mend=mend)) from None
    except (ValueError, TypeError, OSError) as error:
        mend = "use a folder, or a URL that fsspec knows: s3://bucket/folder, memory://folder"
        raise InvalidInput(Finding(table=url, rule=str(error), mend=mend)) from None
    return system, str(path).rstrip("/")


def below(url: str, name: str) -> str:
    """Return the URL of a file in the folder `url`; of a chained URL the first path grows."""
    parts = url.split("::")
    first = next(k for k, part in enumerate(parts) if "://" in part)
    parts[first] = f"{parts[first].rstrip('/')}/{name}"
    return "::".join(parts)


def cache_folder(url: str) -> Path:
    """Return the local folder that holds copies of what stands at `url`."""
    given = os.environ.get("PP_P2P_CACHE")
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = Path(given) if given else Path(cache).expanduser() / "pp-p2p"
    return home.absolute() / hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:24]


def local_file(path: str | os.PathLike[str]) -> Path:
    """Return a local file of `path`: itself, or a fresh copy of what the URL names.

    Raises
    ------
    InvalidInput
        Nothing is there, or it cannot be reached.
    """
    if not is_remote(path):
        return local_path(path)
    url = os.fspath(path)
    system, name = filesystem(url)
    copy = cache_folder(url) / PurePosixPath(name).parent.name / PurePosixPath(name).name
    try:
        there = is_there(system, name)
        if there:
            download(system, name, copy)
    except Exception as error:  # every protocol has errors of its own
        rule, mend = f"cannot be read ({error})", "check the address and your access to it"
        raise InvalidInput(Finding(table=url, rule=rule, mend=mend)) from error
    if not there:
        rule, mend = "does not exist", "check the path of the result"
        raise InvalidInput(Finding(table=url, rule=rule, mend=mend))
    return copy


def is_there(system: Any, name: str) -> bool:
    """Return whether a file system has a file now: some remember what was there before."""
    system.invalidate_cache()
    return bool(system.exists(name))


def download(system: Any, name: str, target: Path) -> None:
    """Copy a file from a file system of fsspec; it appears whole or not at all."""
    from pp_p2p.results import whole_file

    with whole_file(target) as part:
        system.get_file(name, str(part))
