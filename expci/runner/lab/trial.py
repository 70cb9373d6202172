"""`trial`: one fetch, one run (or several pairs), one record.

The lab's verb: assign, put both arms in place, run, measure, verify, record, send.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from expci.core.model import trial as trials
from expci.core.model.budget import BudgetUse
from expci.core.model.cases import case_of
from expci.core.model.trial import Trial
from expci.core.value_class import dataclass, replace
from expci.errors import ExpciError, UsageError
from expci.runner import metrics
from expci.runner.eligibility import Ineligible
from expci.runner.lab import in_place, worktree
from expci.runner.lab.budget import BudgetMeter
from expci.runner.lab.schedule import LabSettings
from expci.runner.lab.session import LabSession, TrialProgress
from expci.runner.lab.trial_settings import TrialOptions, trial_settings
from expci.runner.measure.interrupts import Interrupted, Interrupts, caught
from expci.runner.published_copy import remote_of
from expci.store.git.git import Git
from expci.store.git.remote import Remote
from expci.store.local import batch_file, pilot, recent_trials, spool, visits

SCHEMA = "expci.trial/1"
_IN_SIGHT = 20  # trials, a line each, after which a warning has scrolled away


@dataclass(frozen=True)
class TrialResult:
    """What became of it. `sent` and `waiting` count records of all batches, old ones too.

    `kept_in` is the file that holds them where they are not sent: pilots, and `to`. `notes` are the
    `warnings` that `progress` was given at once.
    """

    experiment: str
    trials: tuple[Trial, ...] = ()
    sent: int = 0
    waiting: int = 0
    absent: Ineligible | None = None
    warnings: tuple[str, ...] = ()
    exit_code: int = 0
    kept_in: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def unread(self) -> tuple[str, ...]:
        """The warnings to print at the end; after a short session not those of its course again."""
        recent = self.notes if len(self.trials) <= _IN_SIGHT else ()
        return tuple(warning for warning in self.warnings if warning not in recent)

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "experiment": self.experiment,
            "took_part": self.absent is None,
            "reason_code": None if self.absent is None else self.absent.code,
            "reason": None if self.absent is None else self.absent.reason,
            "trials": [trials.load_line(trial.line()) for trial in self.trials],
            "sent": self.sent,
            "waiting": self.waiting,
            "kept_in": self.kept_in,
            "warnings": list(self.warnings),
            "exit_code": self.exit_code,
        }


def run_trials(
    options: TrialOptions, progress: Callable[[TrialProgress], None] = lambda _: None
) -> TrialResult:
    """Run the trials and send their records."""
    if options.pairs < 1:
        raise UsageError("--pairs must be 1 or more")
    if options.to is not None and options.pilot:
        raise UsageError("--pilot keeps its trials on this machine; leave out --to")
    metrics.from_options(options.metrics, built_in=False)  # before anything runs
    warnings: list[str] = []
    with caught() as interrupts:
        try:
            return _trial(options, interrupts, progress, warnings)
        except Interrupted as stop:
            code = stop.exit_code
        except ExpciError:
            # A terminal's Ctrl-C also ends the git that we were waiting for.
            if interrupts.number is None:
                raise
            code = Interrupted(interrupts.number).exit_code
    return TrialResult(options.experiment, warnings=tuple(warnings), exit_code=code)


def _trial(
    options: TrialOptions,
    interrupts: Interrupts,
    progress: Callable[[TrialProgress], None],
    warnings: list[str],
) -> TrialResult:
    git = Git.at(options.directory)
    with interrupts.shield():
        worktree.remove_stale(git)
        if in_place.recover(git):
            warnings.append("a trial in place had been killed here; your files were put back")
    interrupts.check()
    remote = remote_of(git, options.remote, options.token, options.environment)
    setting = trial_settings(options, git, remote, warnings)
    if isinstance(setting, Ineligible):
        return TrialResult(
            options.experiment, absent=setting, warnings=tuple(warnings), exit_code=1
        )
    if not options.in_place:
        warnings += _uncommitted(git, options, setting)
    with _keeper(git, options, remote, warnings) as keeper:
        session = LabSession(
            setting,
            git,
            interrupts,
            keeper.keep,
            progress,
            warnings,
            meter=_meter(options, git, remote, setting, warnings),
            send=keeper.send,
        )
        code = _run(session, options.propagate)
    if setting.cases:
        visits.note_visits(
            git, setting.rule.plan, _visited(session, setting), is_pilot=options.pilot
        )
    interrupts.number = None  # heeded; the next signal ends the sending
    notes, made = tuple(session.notes), tuple(session.trials)
    result = TrialResult(options.experiment, made, keeper.sent, exit_code=code, notes=notes)
    if options.pilot or options.to is not None:
        return _kept(result, git, options.to, warnings)
    return _finished(result, git, remote, warnings)


def _visited(session: LabSession, setting: LabSettings) -> list[str]:
    """The cases of this session's visits; pairs of one visit are one."""
    visits = {(trial.unit, trial.seq // setting.repeats) for trial in session.trials}
    return [case_of(unit) for unit, _ in visits]


def _uncommitted(git: Git, options: TrialOptions, setting: LabSettings) -> list[str]:
    """A warning about edits that lie in the checkout and are in neither arm's work tree."""
    own = () if not options.pilot else (f":(exclude,top,literal){setting.directory}",)
    output = git.run(
        *("status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=no"),
        *("--ignore-submodules=all", "--", ":(top)", *own),
    )
    paths = [row[3:] for row in output.decode(errors="backslashreplace").split("\0") if row]
    if not paths:
        return []
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return [
        f"not committed, so not part of this trial: {', '.join(paths[:3])}{more}; both arms run "
        "the commit HEAD. Commit the edits, or try them with --in-place"
    ]


def _run(session: LabSession, propagate: bool) -> int:
    """The exit code of the whole."""
    try:
        session.run()
    except Interrupted as stop:
        return stop.exit_code
    code = session.exit_code() if propagate else 0
    return code or int(session.has_error())


def _meter(
    options: TrialOptions, git: Git, remote: Remote, setting: LabSettings, warnings: list[str]
) -> Callable[[Sequence[Trial]], BudgetUse] | None:
    """What tells how much of the budget is used; `None` without one. A pilot is outside it."""
    if setting.budget is None or options.pilot:
        return None
    source = None if options.offline else remote
    plan, ledger = setting.rule.plan, setting.ledger
    meter = BudgetMeter(
        *(git, source, ledger, setting.experiment, plan, setting.budget, warnings),
        parts=setting.part[1],
        job=setting.place,
    )
    return meter.use


@dataclass
class _Keeper:
    """`keep` takes each record as soon as there is one; `send` sends what it took so far."""

    keep: Callable[[str], None]
    send: Callable[[], None] = lambda: None
    sent: int = 0


@contextlib.contextmanager
def _keeper(
    git: Git, options: TrialOptions, remote: Remote, warnings: list[str]
) -> Iterator[_Keeper]:
    if options.pilot:
        yield _Keeper(lambda line: pilot.append_pilot(git, options.experiment, line))
    elif options.to is not None:
        file = Path(options.to).absolute()
        yield _Keeper(lambda line: batch_file.append_records(file, [line]))
    else:
        with spool.recording(git, options.experiment) as recording:
            keeper = _Keeper(recording.add)
            keeper.send = lambda: _send_now(keeper, recording, remote, warnings)
            yield keeper


def _send_now(
    keeper: _Keeper, recording: spool.Recording, remote: Remote, warnings: list[str]
) -> None:
    """Send a round before the next, so that other jobs know what it cost."""
    if recording.close():
        flushed = spool.flush(remote)
        keeper.sent += flushed.sent
        warnings += flushed.warnings


def _kept(result: TrialResult, git: Git, to: str | None, warnings: list[str]) -> TrialResult:
    """The result of trials that are not sent from here: in the file `to`, or a pilot's."""
    if to is not None:
        recent_trials.note(git, result.trials)
    kept_in = to or str(pilot.pilot_path(git, result.experiment))
    return replace(result, warnings=tuple(warnings), kept_in=kept_in if result.trials else None)


def _finished(result: TrialResult, git: Git, remote: Remote, warnings: list[str]) -> TrialResult:
    """The result once the records have gone, or wait."""
    recent_trials.note(git, result.trials)
    try:
        flushed = spool.flush(remote)
    except Interrupted as stop:
        warnings.append(
            spool.waits(len(result.trials), Counter(trial.arm for trial in result.trials))
        )
        result = replace(result, exit_code=stop.exit_code, waiting=len(result.trials))
        return replace(result, warnings=tuple(warnings))
    warnings += flushed.warnings
    sent = result.sent + flushed.sent
    return replace(result, sent=sent, waiting=flushed.waiting, warnings=tuple(warnings))
