"""Waiting for other processes on a machine that may be busy with anything."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

# Ends a test that would never end. What works is done long before, on a busy machine too.
HANG_S = 600
# For git's calls to a remote: the usual limits are meant for machines that do nothing else.
PATIENT = {f"EXPCI_{name}_SECONDS": str(HANG_S) for name in ("CONNECT", "SILENCE", "REMOTE")}


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether the process runs; a dead one may wait for a parent that reads of it."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"
