"""A directory of this process alone, in the clone, and the end of those of dead processes.

Whatever a call of git needs for a moment (an index, refs of fetched objects) carries the
directory's name, so that the next verb can clear what a killed one left. The owner holds
a lock as long as it lives; process ids mean nothing across containers. Standard library
only (the trial path).
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import time
from pathlib import Path

_LOCK = "lock"
_open: dict[tuple[Path, int], Scratch] = {}


class Scratch:
    """`token` names the directory and whatever else of this process is for a moment only."""

    def __init__(self, directory: Path, token: str, handle: int) -> None:
        self.directory, self.token, self._handle = directory, token, handle

    @classmethod
    def of(cls, private: Path) -> Scratch:
        """This process's directory below `private`; `OSError` where it cannot be created."""
        key = (private, os.getpid())
        if key not in _open or not _open[key].directory.is_dir():
            _open[key] = cls._make(private)
            atexit.register(_open[key].close)
        return _open[key]

    @classmethod
    def _make(cls, private: Path) -> Scratch:
        token = os.urandom(8).hex()
        # Locked before it has the name that others look for.
        hidden, directory = private / "scratch" / f".{token}", private / "scratch" / token
        hidden.mkdir(parents=True)
        handle = os.open(hidden / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        _lock(handle)
        hidden.rename(directory)
        return cls(directory, token, handle)

    def close(self) -> None:
        if (self.directory.parent.parent, os.getpid()) not in _open:
            return  # a forked child must not clear its parent's
        _remove(self.directory)
        with contextlib.suppress(OSError):
            os.close(self._handle)


def living(private: Path) -> set[str]:
    """The tokens whose owners live; the directories of all others are gone afterwards."""
    alive = {scratch.token for (at, pid), scratch in _open.items() if (at, pid) == _mine(private)}
    with contextlib.suppress(OSError):
        for entry in list((private / "scratch").iterdir()):
            if entry.name in alive:
                continue
            if _is_being_created(entry) or _is_owned(entry / _LOCK):
                alive.add(entry.name.lstrip("."))
            else:
                _remove(entry)
    return alive


def _remove(directory: Path) -> None:
    """Remove a scratch directory: mostly nothing is left in it but the lock."""
    try:
        (directory / _LOCK).unlink(missing_ok=True)
        directory.rmdir()
    except OSError:
        import shutil

        shutil.rmtree(directory, ignore_errors=True)


def _mine(private: Path) -> tuple[Path, int]:
    return private, os.getpid()


def _is_being_created(entry: Path) -> bool:
    """Whether another process is about to lock it: that takes no hour."""
    if not entry.name.startswith("."):
        return False
    try:
        return time.time() - entry.stat().st_mtime < 3600
    except FileNotFoundError:
        return True  # it has its name by now


def _is_owned(lock: Path) -> bool:
    try:
        handle = os.open(lock, os.O_RDWR)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # another user's: not ours to clear
    try:
        return not _lock(handle)
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    """Whether the lock is ours now."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
