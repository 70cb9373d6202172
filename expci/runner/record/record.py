"""`record`: send what was measured.

The end of a live trial (after `assign`), work that expci does not run, an import, a late
metric, or what waits in the spool.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from expci.core.model import trial as trials
from expci.core.model.trial import Amendment, Status, Trial
from expci.errors import ExpciError, InvalidRecord, UsageError
from expci.runner import eligibility, metrics
from expci.runner.ci import context
from expci.runner.eligibility import Absent, Part
from expci.runner.lab import bench
from expci.runner.live import live_trial
from expci.runner.measure.interrupts import Interrupts, caught
from expci.runner.record import live_ending
from expci.runner.record.importing import Target, read_lines, with_success
from expci.store.git.git import Git
from expci.store.git.remote import Remote
from expci.store.local import recent_trials, spool

SCHEMA = "expci.record/1"
IMPORT_BYTES = 200_000_000
# The words of GitHub's `job.status` and `steps.*.outcome` beside our own.
STATUSES: Mapping[str, Status] = {
    "ok": "ok",
    "success": "ok",
    "failed": "failed",
    "failure": "failed",
    "timeout": "timeout",
    "cancelled": "cancelled",
    "canceled": "cancelled",  # GitLab's $CI_JOB_STATUS
    "aborted": "cancelled",  # Jenkins' currentResult, in lower case, as the next
    "unstable": "failed",
    "skipped": "cancelled",
    "error": "error",
}


@dataclass(frozen=True)
class RecordRequest:
    """What was asked. `source` is a file to import (`-`: standard input), `trial` the id of a
    trial that gets late metrics. `to` is a file that gets the records instead of the remote.
    """

    directory: Path
    environment: Mapping[str, str] = field(repr=False)
    experiment: str | None = None
    slot: str | None = None
    arm: str | None = None
    unit: str | None = None
    status: str | None = None
    metrics: tuple[str, ...] = ()
    source: str | None = None
    trial: str | None = None
    flush: bool = False
    leg: str | None = None
    to: str | None = None
    remote: str | None = None
    token: str = field(default="", repr=False)
    roots: tuple[str, ...] = ()

    @property
    def file(self) -> Path | None:
        return None if self.to is None else Path(self.to).absolute()


@dataclass(frozen=True)
class RecordResult:
    """What was recorded now; `sent` and `waiting` count records of all batches, old ones too."""

    trials: tuple[Trial, ...] = ()
    amendments: tuple[Amendment, ...] = ()
    sent: int = 0
    waiting: int = 0
    warnings: tuple[str, ...] = ()
    exit_code: int = 0

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "trials": [trials.load_line(trial.line()) for trial in self.trials],
            "amendments": [trials.load_line(item.line()) for item in self.amendments],
            "sent": self.sent,
            "waiting": self.waiting,
            "warnings": list(self.warnings),
            "exit_code": self.exit_code,
        }


def record(request: RecordRequest) -> RecordResult:
    """Make the records that were asked for, keep them on disk, then send all that waits."""
    _check(request)
    git = Git.at(request.directory)
    remote = eligibility.remote_of(git, request.remote, request.token, request.environment)
    warnings: list[str] = []
    with caught() as interrupts:
        with interrupts.shield():
            bench.recover(git)
        made = _made(request, git, remote, warnings, interrupts)
        interrupts.check()
        flushed = spool.Flushed() if request.to is not None else spool.flush(remote)
    warnings += flushed.warnings
    # `--flush` alone is asked to send: not having sent is not having done it.
    failed = request.flush and (flushed.waiting > 0 or bool(flushed.problems))
    return replace(
        made,
        sent=flushed.sent,
        waiting=flushed.waiting,
        warnings=tuple(warnings),
        exit_code=int(failed),
    )


def _check(request: RecordRequest) -> None:
    asked = [request.source is not None, request.trial is not None, request.arm is not None]
    if sum(asked) > 1:
        raise UsageError("--from, --trial and --arm exclude one another")
    if request.slot is not None and (request.experiment is not None or any(asked)):
        raise UsageError("--slot records what `assign --slot` began; leave out the rest")
    if request.status is not None and request.status not in STATUSES:
        raise UsageError(f"--status must be one of {', '.join(STATUSES)}")
    if not (request.experiment or request.slot or request.trial or request.flush):
        raise UsageError("name the experiment, or use --slot, --trial or --flush")
    if request.to is not None and (request.flush or request.trial is not None):
        raise UsageError("--to writes new records to a file: leave out --flush and --trial")
    if request.trial is not None and not request.metrics:
        raise UsageError("--trial adds late metrics: give at least one --metric name=value")


def _made(
    request: RecordRequest,
    git: Git,
    remote: Remote,
    warnings: list[str],
    interrupts: Interrupts,
) -> RecordResult:
    if request.trial is not None:
        return _amended(request, git, request.trial)
    if request.source is not None:
        return _imported(request, git, remote, warnings, request.source)
    if request.arm is not None:
        return _stated(request, git, remote, warnings, request.arm)
    if request.experiment is None and request.slot is None:
        return RecordResult()
    with interrupts.shield(), live_trial.ending(git):
        return _ended(request, git, warnings)


# --- the end of a live trial -----------------------------------------------------------


def _ended(request: RecordRequest, git: Git, warnings: list[str]) -> RecordResult:
    """Record what `assign` began in this job, and give the checkout back."""
    begun = live_trial.begun(git, request.experiment, request.slot)
    if not begun:
        return _nothing_begun(request, warnings)
    given = metrics.from_options(request.metrics, built_in=True)
    status = STATUSES[request.status or "ok"]
    made = tuple(live_ending.end(git, t, status, given, warnings, request.file) for t in begun)
    return RecordResult(made)


def _nothing_begun(request: RecordRequest, warnings: list[str]) -> RecordResult:
    if request.slot is not None or request.flush:
        # No experiment is live in the slot, or it left this job alone.
        if request.slot is not None:
            warnings.append(f"slot {request.slot}: no trial was begun in this job")
        return RecordResult()
    raise UsageError(
        f"no trial of {request.experiment} was begun here with `expci assign`; to record work that "
        f"expci does not run, name its arm: expci record {request.experiment} --arm A --metric …"
    )


# --- work that expci does not run ------------------------------------------------------


def _stated(
    request: RecordRequest, git: Git, remote: Remote, warnings: list[str], arm: str
) -> RecordResult:
    given = metrics.from_options(request.metrics, built_in=True)
    part = _part(request, git, remote, warnings)
    _require_arm(part, arm)
    place = context.place(request.environment, request.leg)
    now = datetime.now(UTC)
    trial_id = trials.new_trial_id(now)
    status = STATUSES[request.status or ("failed" if given.get("success") == 0 else "ok")]
    if not given and status == "ok":
        raise UsageError("nothing to record: give at least one --metric name=value")
    trial = Trial(
        id=trial_id,
        experiment=part.experiment,
        plan=part.exposure.plan,
        mode="live" if part.exposure.mode == "live" else "lab",
        arm=arm,
        unit=context.unit(part.exposure.unit, place, request.unit) or f"local-{trial_id}",
        started=trials.timestamp(now),
        attempt=place.attempt,
        status=status,
        metrics=with_success(given, status),
        context={**context.context(place, git.resolve("HEAD") or ""), "assignment": "stated"},
    )
    try:
        trials.parse_line(trial.line())
    except InvalidRecord as error:
        raise UsageError(str(error)) from error
    live_ending.keep(git, [trial], request.file)
    return RecordResult((trial,))


def _imported(
    request: RecordRequest, git: Git, remote: Remote, warnings: list[str], source: str
) -> RecordResult:
    part = _part(request, git, remote, warnings)
    target = Target(
        part.experiment,
        part.exposure.plan,
        list(part.content.spec.arms),
        part.exposure.started,
        paired=part.exposure.design == "paired",
    )
    made = read_lines(_source_bytes(source), target)
    live_ending.keep(git, made, request.file)
    return RecordResult(tuple(made))


def _source_bytes(source: str) -> bytes:
    try:
        if source == "-":
            data = sys.stdin.buffer.read(IMPORT_BYTES + 1)
        else:
            with Path(source).open("rb") as file:
                data = file.read(IMPORT_BYTES + 1)
    except OSError as error:
        raise ExpciError(f"--from {source}: {error.strerror}") from error
    if len(data) > IMPORT_BYTES:
        raise ExpciError(f"--from {source}: more than {IMPORT_BYTES // 10**6} MB; split the file")
    return data


def _part(request: RecordRequest, git: Git, remote: Remote, warnings: list[str]) -> Part:
    news = eligibility.fetch(remote)
    warnings += news.warnings
    part = eligibility.take_part(git, news.document, request.experiment or "", request.roots)
    if isinstance(part, Absent):
        raise ExpciError(f"nothing was recorded: {part.reason}")
    return part


def _require_arm(part: Part, arm: str) -> None:
    if arm not in part.content.spec.arms:
        raise UsageError(f"--arm {arm}: the arms are {', '.join(part.content.spec.arms)}")


# --- a late metric ---------------------------------------------------------------------


def _amended(request: RecordRequest, git: Git, trial: str) -> RecordResult:
    """Metrics that became known later. Sent twice they count once: the latest wins."""
    values = metrics.from_options(request.metrics, built_in=False)
    experiment = request.experiment or recent_trials.experiment_of(git, trial)
    if experiment is None:
        raise UsageError(
            f"this clone did not record {trial}; name its experiment: "
            f"expci record ID --trial {trial} --metric …"
        )
    now = datetime.now(UTC)
    amendment = Amendment(
        trials.new_trial_id(now), trial, experiment, trials.timestamp(now), values
    )
    try:
        trials.parse_line(amendment.line())
    except InvalidRecord as error:
        raise UsageError(str(error)) from error
    spool.keep_batches(git, experiment, [amendment.line()])
    return RecordResult(amendments=(amendment,))
