"""The end of a process that has printed its answer."""

from __future__ import annotations

import atexit
import os
import sys
import threading


def leave(code: int) -> None:
    """End with this exit code, without taking the interpreter apart object by object.

    That takes as long as a call of git, and nobody waits for what it frees. What modules have
    registered for the end is done. Where something is not as it should be, the usual end follows.
    """
    if threading.active_count() == 1:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
            atexit._run_exitfuncs()
        except (OSError, ValueError, AttributeError):
            sys.exit(code)
        os._exit(code & 0xFF)
    sys.exit(code)
