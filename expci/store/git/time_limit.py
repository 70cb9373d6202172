"""Run a program that talks to a server, and end it when the server has gone silent.

A server that accepts and says nothing, an ssh that never connects and a hook that sleeps
would hold a user's job until the CI's own limit. Standard library only (the trial path).
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from expci.core.value_class import dataclass

_CHUNK = 1 << 16  # bytes
_MOST_WORDS = 200_000  # bytes


@dataclass(frozen=True)
class TimeLimits:
    """Seconds: until the first sign of life, between two of them, and for the whole call."""

    connect: float = 8.0
    silence: float = 30.0
    whole: float = 600.0

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> TimeLimits:
        """The limits as `EXPCI_CONNECT_SECONDS` and its like set them; nonsense is ignored."""
        return cls(
            _seconds(environment, "EXPCI_CONNECT_SECONDS", cls.connect),
            _seconds(environment, "EXPCI_SILENCE_SECONDS", cls.silence),
            _seconds(environment, "EXPCI_REMOTE_SECONDS", cls.whole),
        )


class TimedOut(Exception):
    """The program was ended; the message says which limit it passed."""


def process_group() -> int | None:
    """The group of a program that may talk to a server: its own, so that what it starts ends too.

    Not at a terminal: there ssh may have to ask for a passphrase, which only the foreground
    group can.
    """
    return None if sys.stdin is not None and sys.stdin.isatty() else 0


def run_limited(
    command: Sequence[str],
    limits: TimeLimits,
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdin: IO[bytes] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """The finished program with its output; `TimedOut` once it was ended for its silence.

    Of what it writes for people (its standard error) the end is kept: a hook may write without end.
    """
    group = process_group()
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=dict(env),
        stdin=stdin or subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=group,
    )
    try:
        stdout, stderr = _read(process, limits)
        return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)
    finally:
        if process.poll() is None:
            end_process(process, group)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _read(process: subprocess.Popen[bytes], limits: TimeLimits) -> tuple[bytes, bytes]:
    """Everything that the program writes until it ends; any byte is a sign of life."""
    parts = {"stdout": bytearray(), "stderr": bytearray()}
    began = latest = time.monotonic()
    quiet, what = limits.connect, "did not answer within"
    with selectors.DefaultSelector() as selector:
        for name, stream in (("stdout", process.stdout), ("stderr", process.stderr)):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ, name)
        while selector.get_map():
            has_ended = process.poll() is not None  # before the look: all it wrote is there then
            ready = selector.select(0.2)
            for key, _ in ready:
                chunk = os.read(key.fd, _CHUNK)
                if not chunk:
                    selector.unregister(key.fileobj)
                    continue
                parts[key.data] += chunk
                del parts["stderr"][:-_MOST_WORDS]
                latest, quiet, what = time.monotonic(), limits.silence, "was silent for"
            if not ready and has_ended:
                break  # a child that stays (ssh's master connection) keeps the pipe open
            now = time.monotonic()
            if not ready and now - latest > quiet:
                raise TimedOut(f"{what} {quiet:g} seconds")
            if now - began > limits.whole:
                raise TimedOut(f"was not done after {limits.whole:g} seconds")
    try:
        process.wait(timeout=limits.silence)
    except subprocess.TimeoutExpired:
        raise TimedOut(f"was silent for {limits.silence:g} seconds") from None
    return bytes(parts["stdout"]), bytes(parts["stderr"])


def end_process(process: subprocess.Popen[bytes], group: int | None) -> None:
    """Kill it, with all of its group where it has one of its own."""
    with contextlib.suppress(OSError):
        if group is None:
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=5)


def _seconds(environment: Mapping[str, str], name: str, usual: float) -> float:
    try:
        seconds = float(environment.get(name, ""))
    except ValueError:
        return usual
    return seconds if 0 < seconds < float("inf") else usual
