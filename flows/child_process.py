"""Processes that are started for a study must not outlive it, however it ends."""

from __future__ import annotations

import os
import threading
import time
from typing import Final

LOOKED_AFTER_S: Final = 0.5


def end_with_parent(parent: int | None = None) -> None:
    """Let this process end soon after the one that started it, even where that was killed.

    `parent` is its number, where it is told: it may be gone before this process has begun.
    """
    number = os.getppid() if parent is None else parent
    threading.Thread(target=_watch, args=(number,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOKED_AFTER_S)
    os._exit(1)
