"""A measured command's output, handed on to pipes of ours whose reader may go away.

`expci trial … | head` closes our standard output while the command still writes: the
command must not fail for that. Where ours is a pipe, it writes into one of this process,
which is read to the end whatever becomes of ours. What a process that the command left behind
prints later goes nowhere: in a step of CI it could give the runner commands.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Iterator

_CHUNK = 65536
_LEFT_S = 1.0  # for what is still in a pipe that a daemon of the command's keeps open


class Forwarded:
    """The descriptors that a command gets for its standard output and error."""

    def __init__(self, output: int, error: int) -> None:
        self._threads: list[threading.Thread] = []
        self._ours: list[int] = []
        self._turn = threading.Lock()
        self._is_over = False
        self.output = self._through(output)
        # One pipe for both, as the caller had it, or their lines would change places.
        self.error = self.output if _same(output, error) else self._through(error)

    def _through(self, target: int) -> int:
        if not _is_pipe(target):
            return target
        reading, writing = os.pipe()
        thread = threading.Thread(target=self._hand_on, args=(reading, target), daemon=True)
        thread.start()
        self._threads.append(thread)
        self._ours.append(writing)
        return writing

    def __enter__(self) -> Forwarded:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        for thread in self._threads:
            thread.join(_LEFT_S)
        with self._turn:
            self._is_over = True

    def release(self) -> None:
        """Close our ends, once the command has its own."""
        while self._ours:
            os.close(self._ours.pop())

    def _hand_on(self, reading: int, target: int) -> None:
        is_open = True
        for data in _chunks(reading):
            with self._turn:
                is_open = is_open and not self._is_over and _written(target, data)
        os.close(reading)


def _chunks(reading: int) -> Iterator[bytes]:
    with contextlib.suppress(OSError):
        while data := os.read(reading, _CHUNK):
            yield data


def _written(target: int, data: bytes) -> bool:
    try:
        while data:
            data = data[os.write(target, data) :]
    except OSError:
        return False
    return True


def _is_pipe(target: int) -> bool:
    with contextlib.suppress(OSError):
        return stat.S_ISFIFO(os.fstat(target).st_mode)
    return False


def _same(one: int, other: int) -> bool:
    with contextlib.suppress(OSError):
        return os.path.sameopenfile(one, other)
    return False
