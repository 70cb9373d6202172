"""Running one command and measuring it by the operating system's own accounting.

Wall time is the monotonic clock's; CPU time, peak memory and the exit status are what
wait4(2) reports of the child and of the descendants it waited for.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from expci.core.model.trial import Status
from expci.core.value_class import dataclass, field
from expci.runner.ci.job_status import TIMEOUT_EXIT_CODE
from expci.runner.measure import secrets_vault
from expci.runner.measure.interrupts import Interrupts
from expci.runner.measure.output import Forwarded
from expci.runner.measure.peak_memory import PeakMemory, high_water_mark
from expci.runner.measure.secrets_vault import SecretsVault
from expci.runner.measure.small_parent import waiting_child

GRACE_S = 5.0  # between SIGTERM and SIGKILL


@dataclass(frozen=True)
class MeasuredCommand:
    """What to run and where. `timeout_s` ends it with its whole process group."""

    arguments: Sequence[str]
    directory: Path
    environment: Mapping[str, str]
    timeout_s: float
    output: IO[str] | int | None = None  # where its standard output goes; `None`: to ours
    is_setup: bool = False  # count what it leaves running
    secrets: SecretsVault | None = None  # which the command alone gets


@dataclass(frozen=True)
class Measurement:
    """What became of a command. Times in seconds, memory in MB (10^6 bytes).

    `max_rss_mb` is `None` where the system cannot tell it from expci's own memory.
    `left_running` counts the processes that a setup leaves in its group (Linux).
    """

    status: Status
    exit_code: int
    duration_s: float = 0.0
    cpu_s: float = 0.0
    max_rss_mb: float | None = None
    problem: str | None = None
    left_running: int = 0

    @property
    def metrics(self) -> dict[str, float]:
        """The built-in metrics; none for a run that was cancelled or never took place."""
        if self.status in ("cancelled", "error"):
            return {}
        values = {"duration_s": self.duration_s, "success": float(self.status == "ok")}
        values["cpu_s"] = self.cpu_s
        return values if self.max_rss_mb is None else {**values, "max_rss_mb": self.max_rss_mb}


@dataclass
class _Ending:
    """What the waiting thread saw."""

    done: threading.Event = field(default_factory=threading.Event)
    at: float = 0.0
    returncode: int = 0
    cpu_s: float = 0.0
    max_rss: int = 0
    left_running: int = 0


def measure(
    command: MeasuredCommand, interrupts: Interrupts, grace_s: float = GRACE_S
) -> Measurement:
    """Run the command to its end, its timeout or a signal; nothing of its group survives."""
    own_peak = _own_peak()
    with interrupts.shield(), _forwarded(command) as streams:
        try:
            child = _spawn(command, streams)
        except OSError as error:
            code = 127 if isinstance(error, FileNotFoundError) else 126
            problem = f"{command.arguments[0]} could not be run: {error.strerror}"
            return Measurement("error", code, problem=problem)
        # One that a small process forked shows its own peak, however small it is.
        memory = None if child.is_of_small_parent else PeakMemory(child.pid)
        ending = _Ending()
        threading.Thread(target=_wait, args=(child, ending, command.is_setup), daemon=True).start()
        start = child.begin()
        with interrupts.passed_to(child.group):
            timed_out = _until_done(
                child.group, ending, start + command.timeout_s, interrupts, grace_s
            )
    sampled = memory.stop() if memory is not None else 0
    own_peak = 0 if child.is_of_small_parent else own_peak
    status, code = _outcome(ending.returncode, timed_out, interrupts)
    duration = command.timeout_s if status == "timeout" else ending.at - start
    return Measurement(
        status,
        code,
        duration_s=duration,
        cpu_s=ending.cpu_s,
        max_rss_mb=_peak(ending.max_rss, own_peak, sampled),
        left_running=ending.left_running,
    )


def _forwarded(command: MeasuredCommand) -> Forwarded:
    output = command.output
    where = sys.stdout if output is None else output
    return Forwarded(where if isinstance(where, int) else _descriptor(where, 1), 2)


def _descriptor(stream: IO[str], usual: int) -> int:
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return usual  # no stream of the system's, as under a test's capture


@dataclass(frozen=True)
class _Child:
    """A process to wait for and its group. `begin` says when it began, or has it begin."""

    pid: int
    group: int
    begin: Callable[[], float]
    is_of_small_parent: bool = False


def _spawn(command: MeasuredCommand, streams: Forwarded) -> _Child:
    reading = None if command.secrets is None else command.secrets.reading_end()
    shell = () if reading is None else (*secrets_vault.SHELL, str(reading))
    passed = () if reading is None else (reading,)
    try:
        return _started(command, (*shell, *command.arguments), streams, passed)
    finally:
        if reading is not None:
            os.close(reading)
        streams.release()


def _started(
    command: MeasuredCommand, arguments: Sequence[str], streams: Forwarded, passed: Sequence[int]
) -> _Child:
    output, error, environment = streams.output, streams.error, command.environment
    if _is_program(arguments[0], command):
        small = waiting_child(arguments, command.directory, environment, output, error, passed)
        if small is not None:
            return _Child(small.pid, small.group, small.release, is_of_small_parent=True)
    began = time.monotonic()
    child = subprocess.Popen(
        list(arguments),
        cwd=command.directory,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=error,
        start_new_session=True,
        pass_fds=passed,
    )
    child.returncode = 0  # its end is for `_wait` to see
    return _Child(child.pid, child.pid, lambda: began)


def _is_program(name: str, command: MeasuredCommand) -> bool:
    """Whether there is such a program: what is not there, the system itself refuses."""
    if "/" in name:
        path = command.directory / name
        return path.is_file() and os.access(path, os.X_OK)
    return shutil.which(name, path=command.environment.get("PATH", os.defpath)) is not None


def _wait(child: _Child, ending: _Ending, is_setup: bool) -> None:
    pid = child.pid
    if hasattr(os, "waitid"):
        # The leader stays a zombie, so that its group's number cannot be taken by others
        # before whatever it left running is killed.
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    ending.at = time.monotonic()
    ending.left_running = len(_others(child)) if is_setup else 0
    _kill(child.group, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    ending.returncode = os.waitstatus_to_exitcode(status)
    ending.cpu_s, ending.max_rss = usage.ru_utime + usage.ru_stime, usage.ru_maxrss
    ending.done.set()


def _until_done(
    group: int, ending: _Ending, deadline: float, interrupts: Interrupts, grace_s: float
) -> bool:
    """Wait; whether the deadline ended the command. A cancelled command gets its grace too."""
    while not ending.done.wait(min(max(deadline - time.monotonic(), 0.0), 0.2)):
        if time.monotonic() >= deadline or interrupts.number is not None:
            break
    else:
        return False
    timed_out = interrupts.number is None
    if timed_out:
        _kill(group, signal.SIGTERM)
    if not ending.done.wait(grace_s):
        _kill(group, signal.SIGKILL)
        ending.done.wait()
    return timed_out


def _kill(group: int, number: int) -> None:
    # macOS answers EPERM where only zombies are left in the group.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _others(child: _Child) -> list[int]:
    """Living processes of the group besides its leader, from /proc; none where there is none."""
    pids = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # proc(5): pid (comm) state ppid pgrp …; comm may hold anything
            state, _, pgrp = entry.read_bytes().rpartition(b")")[2].split()[:3]
            pid = int(entry.parent.name)
            if int(pgrp) == child.group and pid != child.pid and state not in b"ZX":
                pids.append(pid)
    return pids


def _outcome(returncode: int, timed_out: bool, interrupts: Interrupts) -> tuple[Status, int]:
    if interrupts.number is not None:
        return "cancelled", 128 + interrupts.number
    if timed_out:
        return "timeout", TIMEOUT_EXIT_CODE
    code = returncode if returncode >= 0 else 128 - returncode
    return ("ok" if code == 0 else "failed"), code


def _peak(max_rss: int, own_peak: int, sampled: int) -> float | None:
    # exec(2) counts the memory of the process that forked towards the child's peak, so one
    # smaller than expci shows expci's own (Linux, fs/exec.c, exec_mmap).
    if max_rss <= own_peak:
        return sampled * 1024 / 1e6 if sampled else None
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2): bytes there, KiB elsewhere
    return max_rss * unit / 1e6


def _own_peak() -> int:
    """The peak of this program alone; getrusage would add our parent's, by the same rule."""
    return high_water_mark("self") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
