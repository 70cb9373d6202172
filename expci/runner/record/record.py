"""`record`: send what was measured.

The end of a live trial (after `assign`), work that expci does not run, an import, a late
metric, or what waits in the spool.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from expci.core.model import trial as trials
from expci.core.model.metric_names import SUCCESS
from expci.core.model.metrics_formats import FORMATS
from expci.core.model.trial import Amendment, Status, Trial
from expci.core.model.trial_reader import parse_line
from expci.core.value_class import asdict, dataclass, field, replace
from expci.errors import ExpciError, InvalidRecord, UsageError
from expci.runner import eligibility, metrics
from expci.runner.ci import context
from expci.runner.ci.job_status import trial_status
from expci.runner.clock import start_time
from expci.runner.eligibility import Eligible, Ineligible
from expci.runner.lab import in_place
from expci.runner.live import live_trial
from expci.runner.measure.interrupts import Interrupts, caught
from expci.runner.published_copy import fetch_published, last_read, remote_of
from expci.runner.record import live_ending
from expci.runner.record.by_arm import ArmRecords, by_arm
from expci.runner.record.imported import Imported
from expci.runner.record.importing import (
    Target,
    read_format,
    stream_lines,
    stream_rows,
    with_success,
)
from expci.runner.trial_ids import new_trial_id
from expci.store import published
from expci.store.git.git import Git
from expci.store.git.isolated import isolated_remote
from expci.store.git.remote import Remote
from expci.store.local import recent_trials, spool

SCHEMA = "expci.record/1"
IMPORT_BYTES = 2_000_000_000
_COPIED = 1_000_000  # bytes at once
PARQUET = b"PAR1"  # how a file of that format begins


@dataclass(frozen=True)
class RecordOptions:
    """What to record. `source` is a file to import (`-`: standard input), `format` the tool that
    wrote it for one `arm`; `trial` is the id of a trial that gets late metrics. `metrics_file`
    holds metrics too; those of `metrics` win. `to` is a file that gets the records instead of the
    remote. An `address` is pushed to without the checkout's or the user's configuration. Without
    `sends` the records stay in the spool. `parquet` turns a Parquet file into lines of JSON, where
    there is a library for that. `git` is the repository of `directory`, where the caller has it
    open.
    """

    directory: Path
    environment: Mapping[str, str] = field(repr=False)
    git: Git | None = None
    experiment: str | None = None
    slot: str | None = None
    arm: str | None = None
    unit: str | None = None
    status: str | None = None
    metrics: tuple[str, ...] = ()
    metrics_file: str | None = None
    source: str | None = None
    format: str | None = None
    trial: str | None = None
    flush: bool = False
    leg: str | None = None
    to: str | None = None
    sends: bool = True
    remote: str | None = None
    token: str = field(default="", repr=False)
    address: str = ""
    roots: tuple[str, ...] = ()
    parquet: Callable[[BinaryIO], Iterable[str]] | None = None

    @property
    def file(self) -> Path | None:
        return None if self.to is None else Path(self.to).absolute()


@dataclass(frozen=True)
class RecordResult:
    """What was recorded now; `sent` and `waiting` count records of all batches, old ones too."""

    trials: Collection[Trial] = ()
    amendments: tuple[Amendment, ...] = ()
    sent: int = 0
    waiting: int = 0
    waiting_by_arm: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    exit_code: int = 0

    @property
    def arms(self) -> dict[str, ArmRecords]:
        """The trials counted by arm, control first."""
        return self.trials.arms if isinstance(self.trials, Imported) else by_arm(self.trials)

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "trials": [trials.load_line(trial.line()) for trial in self.trials],
            "arms": {arm: asdict(records) for arm, records in self.arms.items()},
            "amendments": [trials.load_line(item.line()) for item in self.amendments],
            "sent": self.sent,
            "waiting": self.waiting,
            "waiting_by_arm": dict(self.waiting_by_arm),
            "warnings": list(self.warnings),
            "exit_code": self.exit_code,
        }


def record_trials(options: RecordOptions) -> RecordResult:
    """Make the records, keep them on disk, then send all that waits."""
    _check(options)
    git = options.git or Git.at(options.directory)
    remote = remote_of(git, options.remote, options.token, options.environment)
    warnings: list[str] = []
    with caught() as interrupts:
        with interrupts.shield():
            in_place.recover(git)
        recorded = _new_records(options, git, remote, warnings, interrupts)
        interrupts.check()
        flushed = _flushed(options, remote) if _is_sent(options) else spool.Flushed()
    warnings += flushed.warnings
    # `--flush` alone is there to send: not having sent is a failure.
    failed = options.flush and (flushed.waiting > 0 or bool(flushed.problems))
    return replace(
        recorded,
        sent=flushed.sent,
        waiting=flushed.waiting,
        waiting_by_arm=flushed.by_arm,
        warnings=tuple(warnings),
        exit_code=int(failed),
    )


def _is_sent(options: RecordOptions) -> bool:
    return options.sends and options.to is None


def _flushed(options: RecordOptions, remote: Remote) -> spool.Flushed:
    if not options.address:
        return spool.flush(remote)
    server = options.environment.get("GITHUB_SERVER_URL", "")
    form = remote.git.object_format
    with isolated_remote(options.address, options.token, server, form) as isolated:
        return spool.flush(remote, through=isolated)


def _check(options: RecordOptions) -> None:
    sources = [options.source is not None, options.trial is not None, options.arm is not None]
    if options.format is not None:
        if options.source is None or options.arm is None or options.trial is not None:
            raise UsageError("--format reads another tool's file: give --arm ARM and --from FILE")
        if options.format not in FORMATS:
            raise UsageError(f"--format {options.format}: the formats are {', '.join(FORMATS)}")
    elif sum(sources) > 1:
        raise UsageError(
            "--from, --trial and --arm exclude one another; a file that another tool wrote for one "
            "arm needs --format"
        )
    if options.slot is not None and (options.experiment is not None or any(sources)):
        raise UsageError("--slot records what `assign --slot` assigned; omit the other arguments")
    if not (options.experiment or options.slot or options.trial or options.flush):
        raise UsageError("name the experiment, or use --slot, --trial or --flush")
    if options.to is not None and (options.flush or options.trial is not None):
        raise UsageError("--to writes new records to a file: leave out --flush and --trial")
    if options.trial is not None and not (options.metrics or options.metrics_file):
        raise UsageError("--trial adds late metrics: give at least one --metric name=value")
    if options.metrics_file is not None and options.source is not None:
        raise UsageError("--from reads the metrics from its file: leave out --metrics")


def _new_records(
    options: RecordOptions,
    git: Git,
    remote: Remote,
    warnings: list[str],
    interrupts: Interrupts,
) -> RecordResult:
    if options.trial is not None:
        return _amended(options, git, options.trial, warnings)
    if options.source is not None:
        return _imported(options, git, remote, warnings, options.source)
    if options.arm is not None:
        return _stated(options, git, remote, warnings, options.arm)
    if options.experiment is None and options.slot is None:
        return RecordResult()
    with interrupts.shield(), live_trial.ending(git):
        return _ended(options, git, warnings)


# --- the end of a live trial -----------------------------------------------------------


def _ended(options: RecordOptions, git: Git, warnings: list[str]) -> RecordResult:
    """Record what `assign` began in this job, and give the checkout back."""
    present = live_trial.begun(git, options.experiment, options.slot)
    left = [t for t in present if live_trial.is_of_another_job(t, options.environment)]
    warnings += [live_trial.abandon(git, trial) for trial in left]
    begun = [trial for trial in present if trial not in left]
    if not begun:
        return _nothing_begun(options, warnings)
    if silence := published.without_passes(last_read(git).document, datetime.now(UTC)):
        warnings.append(silence)
    wanted = {name for trial in begun for name in trial.wanted}
    given = _given(options, warnings, built_in=True, wanted=wanted)
    status = _status(options.status or "ok", warnings)
    around = options.environment
    ended = tuple(
        live_ending.end(git, t, status, given, warnings, around, options.file) for t in begun
    )
    return RecordResult(ended)


def _given(
    options: RecordOptions,
    warnings: list[str],
    *,
    built_in: bool,
    wanted: Collection[str] = (),
) -> dict[str, float]:
    """The metrics of `--metrics`, and over them those of `--metric`.

    The file may name what expci measures only where expci did not measure: for a stated arm.
    """
    stated = metrics.from_options(options.metrics, built_in=built_in)
    if options.metrics_file is None:
        return stated
    path = Path(options.metrics_file)
    if not path.exists():
        missing = f"the metrics file {path} does not exist"
        if options.arm is not None or options.trial is not None:
            raise ExpciError(f"nothing was recorded: {missing}")
        warnings.append(missing)  # a trial that ran is recorded all the same
    values, ignored = metrics.read_file(path, wanted=wanted, built_in=options.arm is not None)
    warnings += [f"{path}: {warning}" for warning in ignored]
    return values | stated


def _nothing_in(file: str, warnings: Sequence[str]) -> str:
    about = [warning for warning in warnings if warning.startswith(f"{Path(file)}: ")]
    return "; ".join(about) or f"{file} holds no metric; a line of it is name=value"


def _nothing_begun(options: RecordOptions, warnings: list[str]) -> RecordResult:
    if options.slot is not None or options.flush:
        # No experiment is live in the slot, or it left this job alone.
        if options.slot is not None:
            warnings.append(f"slot {options.slot}: no trial was begun in this job")
        return RecordResult()
    raise UsageError(
        f"no trial of {options.experiment} was begun here with `expci assign`; to record work that "
        f"expci does not run, name its arm: expci record {options.experiment} --arm A --metric …"
    )


# --- work that expci does not run ------------------------------------------------------


def _stated(
    options: RecordOptions, git: Git, remote: Remote, warnings: list[str], arm: str
) -> RecordResult:
    given = _given(options, warnings, built_in=True)
    eligible = _require_eligible(options, git, remote, warnings)
    _require_arm(eligible, arm)
    job = context.ci_job(options.environment, options.leg)
    now = datetime.now(UTC)
    start = start_time(now, eligible.exposure.started)
    warnings += [start.warning] if start.warning else []
    trial_id = new_trial_id(now)
    usual = "failed" if given.get("success") == 0 else "ok"
    status = _status(options.status or usual, warnings)
    if not given and status == "ok" and not options.status:
        if options.metrics_file is not None:
            raise UsageError(f"nothing to record: {_nothing_in(options.metrics_file, warnings)}")
        raise UsageError(
            "nothing to record: give at least one --metric name=value, or --status ok where its "
            "metrics are read from a database"
        )
    trial = Trial(
        id=trial_id,
        experiment=eligible.experiment,
        plan=eligible.exposure.plan,
        mode="live" if eligible.exposure.mode == "live" else "lab",
        arm=arm,
        unit=context.unit(eligible.exposure.unit, job, options.unit) or f"local-{trial_id}",
        started=start.started,
        attempt=job.attempt,
        status=status,
        metrics=with_success(given, status),
        context={
            **context.context(job, git.resolve("HEAD") or ""),
            "assignment": "stated",
            **start.context,
        },
    )
    try:
        parse_line(trial.line())
    except InvalidRecord as error:
        raise UsageError(str(error)) from error
    live_ending.keep(git, [trial], options.file)
    return RecordResult((trial,))


def _imported(
    options: RecordOptions, git: Git, remote: Remote, warnings: list[str], source: str
) -> RecordResult:
    eligible = _require_eligible(options, git, remote, warnings)
    target = Target(
        eligible.experiment,
        eligible.exposure.plan,
        list(eligible.content.spec.arms),
        eligible.exposure.started,
        paired=eligible.exposure.design == "paired",
        now=datetime.now(UTC),
    )
    with _opened(source) as file:
        imported = Imported(git.private_dir, _read(options, file, eligible, target))
    if options.format is not None:
        _require_wanted(eligible, imported)
    live_ending.keep_imported(git, imported, target.experiment, options.file)
    if target.paired and (alone := imported.without_partner):
        warnings.append(alone)
    return RecordResult(imported)


def _read(
    options: RecordOptions, file: BinaryIO, eligible: Eligible, target: Target
) -> Iterable[Trial]:
    if file.read(len(PARQUET)) == PARQUET:
        if options.parquet is None:
            raise ExpciError(
                "nothing was imported: only the installed `expci record` reads Parquet; "
                "`expci export --format jsonl` writes what is read here too"
            )
        return stream_rows(options.parquet(file), target)
    if options.format is not None and options.arm is not None:
        _require_arm(eligible, options.arm)
        file.seek(0)
        return read_format(file.read(), options.format, options.arm, target)
    return stream_lines(file, target)


def _require_wanted(eligible: Eligible, imported: Imported) -> None:
    """`ExpciError` where the file holds no metric that the plan names."""
    measured = imported.metrics - {SUCCESS}
    if measured and not measured & eligible.content.words:
        raise ExpciError(
            f"nothing was recorded: the file gives {', '.join(sorted(measured)[:8])}, and the plan "
            "measures none of them; name one of them in `metrics:`"
        )


@contextlib.contextmanager
def _opened(source: str) -> Iterator[BinaryIO]:
    """The file, or a copy of it where it can be read only once."""
    with contextlib.ExitStack() as stack:
        try:
            place = sys.stdin.buffer
            if source != "-":
                place = stack.enter_context(Path(source).open("rb"))
            file: BinaryIO = place
            if source == "-" or not stat.S_ISREG(os.fstat(place.fileno()).st_mode):
                import tempfile

                file = stack.enter_context(tempfile.TemporaryFile())
                while (data := place.read(_COPIED)) and file.tell() <= IMPORT_BYTES:
                    file.write(data)
            if file.seek(0, os.SEEK_END) > IMPORT_BYTES:
                most = f"{IMPORT_BYTES // 10**6} MB"
                raise ExpciError(f"--from {source}: more than {most}; split the file")
            file.seek(0)
        except OSError as error:
            raise ExpciError(f"--from {source}: {error.strerror}") from error
        yield file


def _status(text: str, warnings: list[str]) -> Status:
    status, warning = trial_status(text)
    warnings += [] if warning is None else [warning]
    return status


def _require_eligible(
    options: RecordOptions, git: Git, remote: Remote, warnings: list[str]
) -> Eligible:
    latest = fetch_published(remote)
    warnings += latest.warnings
    eligible = eligibility.assess(git, latest.document, options.experiment or "", options.roots)
    if isinstance(eligible, Ineligible):
        raise ExpciError(f"nothing was recorded: {eligible.reason}")
    return eligible


def _require_arm(eligible: Eligible, arm: str) -> None:
    if arm not in eligible.content.spec.arms:
        raise UsageError(f"--arm {arm}: the arms are {', '.join(eligible.content.spec.arms)}")


# --- a late metric ---------------------------------------------------------------------


def _amended(options: RecordOptions, git: Git, trial: str, warnings: list[str]) -> RecordResult:
    """Metrics that arrive later. Sent twice they count once: the latest wins."""
    values = _given(options, warnings, built_in=False)
    if not values:
        raise UsageError("nothing to record: give at least one --metric name=value")
    experiment = options.experiment or recent_trials.experiment_of(git, trial)
    if experiment is None:
        raise UsageError(
            f"this clone did not record {trial}; name its experiment: "
            f"expci record ID --trial {trial} --metric …"
        )
    now = datetime.now(UTC)
    amendment = Amendment(new_trial_id(now), trial, experiment, trials.timestamp(now), values)
    try:
        parse_line(amendment.line())
    except InvalidRecord as error:
        raise UsageError(str(error)) from error
    spool.keep_batches(git, experiment, [amendment.line()])
    return RecordResult(amendments=(amendment,))
