"""Runs that failed for a reason outside what is compared: a rate limit, a full disk, an outage.

Such a run says nothing about its arm. It is recorded as an error, and its whole round runs
again after a pause.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from expci.core.value_class import replace
from expci.runner.ci import context
from expci.runner.measure.interrupts import Interrupts
from expci.runner.measure.measure import Measurement
from expci.store.git import bounded

KEY = "infra"  # of a trial's context: why the infrastructure failed
OF_JUDGE = "judge: "  # how the reason begins where it failed a judge, who was asked again already
EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: try again later
PAUSES = (1.0, 3.0, 9.0)  # times the seconds of PAUSE_VARIABLE
PAUSE_VARIABLE = "EXPCI_RETRY_SECONDS"
_CONTEXT = "context."
_PAUSE_S = 10.0
_MOST_BYTES = 4096
_REASON_LENGTH = 120


def as_error(done: Measurement, file: Path) -> tuple[Measurement, str | None]:
    """Return the measurement and why the infrastructure failed; `None` where it did not.

    `file` is the one that `$EXPCI_STATUS` names; a line `infra: REASON` in it counts whatever
    the exit code. A run that was cancelled or that expci could not make stays what it is.
    """
    if done.status in ("cancelled", "error"):
        return done, None
    reason = _stated(file)
    if reason is None and done.exit_code == EXIT_CODE and done.status == "failed":
        reason = f"exit code {EXIT_CODE}"
    if reason is None:
        return done, None
    code = done.exit_code or EXIT_CODE
    return replace(done, status="error", exit_code=code), reason


def stated_conditions(file: Path) -> dict[str, str]:
    """Return what lines `context.NAME: VALUE` of `$EXPCI_STATUS` state of the run."""
    stated = [
        (w.removeprefix(_CONTEXT), value) for w, value in _lines(file) if w.startswith(_CONTEXT)
    ]
    return context.as_conditions(stated)


def _lines(file: Path) -> Iterator[tuple[str, str]]:
    """The words before the first colon of each line, in lower case, and what follows it."""
    try:
        text = bounded.read_file(file, _MOST_BYTES).decode(errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        word, separator, rest = line.partition(":")
        if separator:
            yield word.strip().lower(), rest.strip()


def _stated(file: Path) -> str | None:
    for word, reason in _lines(file):
        if word == "infra":
            printable = "".join(char if char.isprintable() else " " for char in reason).strip()
            return printable[:_REASON_LENGTH] or "no reason given"
    return None


def pauses(environment: Mapping[str, str]) -> Iterator[float]:
    """Yield the seconds to wait before each repetition."""
    try:
        unit = float(environment.get(PAUSE_VARIABLE, ""))
    except ValueError:
        unit = _PAUSE_S
    yield from (max(0.0, unit) * times for times in PAUSES)


def wait(seconds: float, interrupts: Interrupts) -> None:
    """Sleep; a signal ends it with `Interrupted`."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        interrupts.check()
        time.sleep(min(left, 0.2))
