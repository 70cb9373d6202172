"""The standard streams of a process, where nobody reads them, they are full, or closed.

Standard library only (the trial path).
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import Any, TextIO


class _Unread(io.FileIO):
    """A stream for people: one that is full or has no reader fails nothing."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(memoryview(data).cast("B"))


class _Output(io.FileIO):
    """Standard output, which remembers why it could not be written."""

    lost: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.lost = error
            raise


def prepare_streams() -> None:
    """Take a stream that was closed (`>&-`) for one that leads nowhere, and errors for a courtesy.

    Else the next file that is opened is the standard output, also of all that is started, and a
    warning that nobody can read ends a trial.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            handle = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: its own
            os.set_inheritable(handle, True)
            setattr(sys, name, os.fdopen(handle, "w" if number else "r", closefd=False))
    sys.stdout, sys.stderr = _through(sys.stdout, _Output), _through(sys.stderr, _Unread)


def _through(stream: TextIO, kind: type[io.FileIO]) -> TextIO:
    """The same stream, which hands its bytes on by a file of that kind."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.flush()
    bytes_ = io.BufferedWriter(kind(stream.fileno(), "w", closefd=False))
    lines = kind is _Unread or stream.isatty()
    return io.TextIOWrapper(bytes_, stream.encoding, stream.errors, line_buffering=lines)


def is_of_output(error: OSError) -> bool:
    """Whether it is standard output that could not be written."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return isinstance(raw, _Output) and raw.lost is error


def flush_streams() -> OSError | None:
    """Hand out what was printed; the error where nobody can take it."""
    try:
        sys.stdout.flush()
    except OSError as error:
        _give_up_output()
        return error
    return None


def _give_up_output() -> None:
    # Or Python tries once more at its end, and complains in words of its own.
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
