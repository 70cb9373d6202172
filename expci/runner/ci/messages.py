"""Words for the log and the page of a GitHub Actions run.

The runner carries out `::command::` at the start of a line and `##[command]` anywhere in
it, whoever wrote the line. So foreign text is written plainly, and where a command's own
output passes, workflow commands are stopped for its time.
https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Literal

Level = Literal["notice", "warning", "error"]
_stopped: list[str] = []  # the token that starts commands again, while they are stopped


def plain(text: str) -> str:
    """The text as the runner takes it for nothing but text.

    >>> plain("a ##[set-env name=A]b"), plain("::error::x")
    ('a ## [set-env name=A]b', ': :error::x')
    """
    lines = text.replace("##[", "## [").splitlines() or [""]
    return "\n".join(_inert(line) for line in lines)


def _inert(line: str) -> str:
    start = line.lstrip()
    return line.replace("::", ": :", 1) if start.startswith("::") else line


def say(text: str) -> None:
    """One line in the log, that the runner takes for nothing else."""
    print(f"expci: {plain(' '.join(text.splitlines()))}", flush=True)


def annotate(level: Level, text: str) -> None:
    """A line that also stands on the run's page."""
    with _started():
        print(f"::{level} title=expci::{_escaped(plain(text))}", flush=True)


@contextlib.contextmanager
def commands_stopped() -> Iterator[None]:
    """While this lasts the runner carries out no command in what is printed, but ours."""
    _stop()
    try:
        yield
    finally:
        _start()


@contextlib.contextmanager
def _started() -> Iterator[None]:
    was_stopped = bool(_stopped)
    if was_stopped:
        _start()
    yield
    if was_stopped:
        _stop()


def _stop() -> None:
    _stopped.append(f"expci-{os.urandom(16).hex()}")  # nobody can foresee it
    print(f"::stop-commands::{_stopped[-1]}", flush=True)


def _start() -> None:
    # A line of its own: what was printed before may not have ended its last one.
    print(f"\n::{_stopped.pop()}::", flush=True)


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
