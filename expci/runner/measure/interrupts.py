"""Signals while a trial runs: passed on to the measured command, never lost, never half way.

A signal that arrives while the command runs goes to its whole process group, and the
trial is recorded as cancelled. One that arrives while files are being put in place or
restored waits until that is done. Anywhere else it ends the verb at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal that ends expci. Not an `Exception`, so that no clean-up swallows it."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number

    @property
    def exit_code(self) -> int:
        """What a shell sees of a process that the signal ended: 130, 143, 129."""
        return 128 + self.number


class Interrupts:
    """The first signal that arrived, and where the next one goes."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._group: int | None = None
        self._shields = 0

    def handle(self, number: int, _frame: FrameType | None) -> None:
        again = self.number is not None
        self.number = self.number or number
        if self._group is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._group, signal.SIGKILL if again else number)
        elif not self._shields:
            raise Interrupted(number)

    @contextlib.contextmanager
    def shield(self) -> Iterator[None]:
        """Work that must not stop half way; a signal meanwhile counts at the next `check`."""
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1

    @contextlib.contextmanager
    def passed_to(self, group: int) -> Iterator[None]:
        """Signals go to this process group until the end of the block."""
        self._group = group
        try:
            if self.number is not None:
                self.handle(self.number, None)
            yield
        finally:
            self._group = None

    def check(self) -> None:
        """Raise `Interrupted` for a signal that arrived inside a shield."""
        if self.number is not None:
            raise Interrupted(self.number)


@contextlib.contextmanager
def caught(*signals: int) -> Iterator[Interrupts]:
    """Handlers, by default for SIGINT, SIGTERM and SIGHUP; the former ones come back at the end.

    A signal that the parent chose to ignore (`nohup`, a background job) stays ignored.
    Outside the main thread Python allows no handlers, and none are installed.
    """
    interrupts = Interrupts()
    former = {}
    if threading.current_thread() is threading.main_thread():
        for number in signals or _CAUGHT:
            if signal.getsignal(number) is not signal.SIG_IGN:
                former[number] = signal.signal(number, interrupts.handle)
    try:
        yield interrupts
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
