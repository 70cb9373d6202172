"""What a person sees of trials as they run: whole lines on standard error, one a step.

The command writes to the same terminal, so nothing here moves or stays: no bar shares a line with
its output, which may end in the middle of one.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from expci.core.number_format import lasting
from expci.runner.ci.messages import plain

if TYPE_CHECKING:
    from expci.runner.lab.session import TrialProgress

_STAGES = {
    "setup": "set-up",
    "warmup": "warm-up",
    "run": "runs",
    "broken": "runs with its content broken on purpose",
}
_COLOURS = {"ok": "green", "failed": "red", "timeout": "red", "error": "yellow"}


def trial_lines() -> Callable[[TrialProgress], None]:
    """Print each step on a terminal, each result elsewhere."""
    show = TerminalLines().show if sys.stderr.isatty() else _result

    def quietly(progress: TrialProgress) -> None:
        with suppress(BrokenPipeError):  # who reads has gone; the trials go on
            show(progress)

    return quietly


class TerminalLines:
    """The steps and results of one session, with what is left of it."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def show(self, progress: TrialProgress) -> None:
        """One line, below whatever the command has written."""
        if progress.note:
            self._print(plain(f"warning: {progress.note}"), "yellow")
        elif progress.trial is not None:
            text = f"{_place(progress, 0)} {_outcome(progress)}{self._left(progress)}"
            self._print(text, _COLOURS.get(progress.trial.status))
        elif progress.stage in _STAGES:
            self._print(f"{_place(progress, 1)} {progress.arm}: {_STAGES[progress.stage]} …")

    def _left(self, progress: TrialProgress) -> str:
        """How long the rest takes at the pace so far."""
        runs = progress.total - progress.done
        if runs <= 0 or not progress.done:
            return ""
        left = round((time.monotonic() - self._began) / progress.done * runs)
        words = lasting(left) if left >= 60 else f"{left} s"
        return f" · about {words} left" if left else ""

    def _print(self, text: str, colour: str | None = None) -> None:
        # A line of blanks and a return end the line that the command left open, and only that one:
        # at the start of a line they fill it without leaving it.
        columns = shutil.get_terminal_size().columns
        click.echo(" " * columns + "\r", nl=False, err=True)
        click.secho(text, fg=colour, err=True)


def _place(progress: TrialProgress, ahead: int) -> str:
    """`2/40`, as wide as the last one."""
    width = len(str(progress.total))
    return f"{progress.done + ahead:>{width}}/{progress.total}"


def _outcome(progress: TrialProgress) -> str:
    """`control: ok in 0.312 s`, of a trial that is over."""
    trial = progress.trial
    if trial is None:
        return ""
    duration = trial.metrics.get("duration_s")
    took = "" if duration is None else f" in {lasting(duration)}"
    return f"{trial.arm}: {trial.status}{took}"


def _result(progress: TrialProgress) -> None:
    if progress.note:
        click.secho(plain(f"warning: {progress.note}"), fg="yellow", err=True)
    if progress.stage == "broken":
        click.echo(f"{progress.arm}: {_STAGES[progress.stage]} …", err=True)
    if progress.trial is not None:
        click.echo(_outcome(progress), err=True)
