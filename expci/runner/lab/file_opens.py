"""Which of some files are opened, by whatever process: inotify(7), so on Linux alone."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

_OPEN, _DONT_FOLLOW, _OVERFLOW = 0x20, 0x02000000, 0x4000  # of <sys/inotify.h>
_HEAD = struct.Struct("iIII")  # watch, mask, cookie, length of the name that follows
_READ_BYTES = 65_536


class FileOpens:
    """The opens of `paths` from now on; close it with `close`."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths: dict[int, list[Path]] = {}
        self._is_complete = True
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            self._handle = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        except (AttributeError, OSError):
            self._handle = -1
            return
        for path in paths:
            watch = libc.inotify_add_watch(self._handle, os.fsencode(path), _OPEN | _DONT_FOLLOW)
            if watch >= 0:
                self._paths.setdefault(watch, []).append(path)
            elif os.path.lexists(path):
                self._is_complete = False  # no more watches for this user
        self._is_complete &= self._reports()

    def opened(self) -> set[Path] | None:
        """Return the files that were opened since the last call; `None` where it is not known."""
        watches = set(self._events())
        if not self._is_complete:
            return None
        return {path for watch in watches for path in self._paths.get(watch, ())}

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _reports(self) -> bool:
        """Whether this system tells of an open at all: some emulated ones do not."""
        for paths in self._paths.values():
            with contextlib.suppress(OSError), paths[0].open("rb"):
                return bool(list(self._events()))
        return False

    def _events(self) -> Iterator[int]:
        while self._handle >= 0:
            try:
                data = os.read(self._handle, _READ_BYTES)
            except OSError:  # nothing more is waiting
                return
            at = 0
            while at < len(data):
                watch, mask, _, length = _HEAD.unpack_from(data, at)
                at += _HEAD.size + length
                self._is_complete &= not mask & _OVERFLOW
                yield watch
