"""Peak memory of a running process tree, sampled from /proc.

wait4(2) cannot tell the peak of a child that is smaller than the program that forked it
(see `measure.py`). For those the high-water marks that the kernel keeps for each living
process are read while it runs. A mark is the peak so far, so only growth after the last
sample and processes that live between two samples are missed. Linux only.
"""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

_FIRST_S, _LATER_S = 0.01, 0.1
_FIRST_SAMPLES = 50
_PROC = Path("/proc")


class PeakMemory:
    """Samples the process `pid` and its descendants until `stop`; `kib` is the largest mark.

    The first sample sees a process that has hardly begun, so it counts only with a second.
    """

    def __init__(self, pid: int) -> None:
        self.kib = 0
        self._samples = 0
        self._pid = pid
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sample_until_stopped, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """The peak of the largest process, in KiB; 0 when it ended before a second sample."""
        self._stopped.set()
        self._thread.join()
        return self.kib if self._samples > 1 else 0

    def _sample_until_stopped(self) -> None:
        while True:
            self.kib = max(self.kib, *(high_water_mark(pid) for pid in _tree(self._pid)))
            self._samples += 1
            if self._stopped.wait(_FIRST_S if self._samples < _FIRST_SAMPLES else _LATER_S):
                return


def high_water_mark(pid: int | str) -> int:
    """VmHWM of one process in KiB; 0 when it is gone or the system has no /proc."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in (_PROC / str(pid) / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0


def _tree(pid: int) -> list[int]:
    pids = [pid]
    for parent in pids:
        with contextlib.suppress(OSError, ValueError):
            text = (_PROC / str(parent) / "task" / str(parent) / "children").read_text()
            pids += [int(word) for word in text.split()]
    return pids
