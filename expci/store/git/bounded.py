"""Files that somebody else names: never more than they may hold, never a wait for ever.

Standard library only (the trial path).
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_file(path: Path, most: int) -> bytes:
    """The bytes of a regular file; `OSError` for a device, a pipe, or more than `most` bytes."""
    # A pipe that nobody writes to would hold even the opening.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "is not a regular file", str(path))
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"holds more than {most:,} bytes", str(path))
    return data


def append_file(path: Path, data: bytes) -> None:
    """Add bytes at the end of a file; `OSError` where it is a pipe that nobody reads."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o666)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
