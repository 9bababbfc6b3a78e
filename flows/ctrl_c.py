"""Ctrl-C ends a run at once, whatever its threads are doing."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

STOPPED: Final = 130


@contextmanager
def ended_by_ctrl_c(again: str, *, live: bool) -> Iterator[None]:
    """End this process at Ctrl-C, at once and with one line.

    Nothing is unwound: threads would first finish their steps. A run may be killed at any time,
    and the processes that it has started end with it. A thread of its own listens, because the
    main one may not hear of a signal before what it waits for is there: Prefect waits so for the
    cases that its own threads run.

    Parameters
    ----------
    again : str
        What goes on with the run.
    live : bool
        Whether a line of the terminal is alive: it gives way, and the cursor comes back.
    """
    first = threading.Lock()

    def end(*_: object) -> None:
        if not first.acquire(blocking=False):
            return  # the other thread is at it
        line = f"stopped; run {again} again to go on\n"
        os.write(2, (f"\r\033[2K\033[?25h{line}" if live else line).encode())
        os._exit(STOPPED)

    def listen() -> None:
        with told:
            while signals := told.recv(16):  # none: the other end is closed
                if signal.SIGINT in signals:
                    end()

    before = signal.signal(signal.SIGINT, end)
    told, telling = socket.socketpair()
    with telling:
        telling.setblocking(False)
        woken = signal.set_wakeup_fd(telling.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=listen, daemon=True).start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(woken)
            signal.signal(signal.SIGINT, before)
