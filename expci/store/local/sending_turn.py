"""One process of a clone sends at a time, and what waits for the others goes with it.

Without turns each of many processes that record at once would send what all of them keep. Standard
library only (the trial path).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PATIENCE_S = 20.0  # then it is sent beside the other, which harms nothing: twice is once
_PAUSE_S = 0.05


@contextlib.contextmanager
def turn(file: Path, before_waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """The turn to send, which ends with the block or the process; `file` is what is locked.

    `before_waiting` is called where another process sends at this moment.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(file, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError:
        yield  # a clone that can only be read
        return
    try:
        if not _is_ours(handle):
            before_waiting()
            _wait(handle)
        yield
    finally:
        os.close(handle)


def _wait(handle: int) -> None:
    end = time.monotonic() + PATIENCE_S
    while not _is_ours(handle) and time.monotonic() < end:
        time.sleep(_PAUSE_S)


def _is_ours(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
