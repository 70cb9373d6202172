"""`trial`: one fetch, one run (or several pairs), one record.

The lab's verb: assign, put both arms in place, run, measure, verify, record, send.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from expci.core.assignment import Rule
from expci.core.model import trial as trials
from expci.core.model.content import Paths
from expci.core.model.trial import Trial
from expci.core.spec.job_reader import PlainDefaults
from expci.errors import ExpciError, UsageError
from expci.runner import eligibility, metrics
from expci.runner.ci import context
from expci.runner.eligibility import Absent, Content
from expci.runner.lab import bench, worktree
from expci.runner.lab.schedule import DEFAULT_TIMEOUT_S, Setting
from expci.runner.lab.session import Progress, Session
from expci.runner.measure.interrupts import Interrupted, Interrupts, caught
from expci.store.git.git import Git
from expci.store.git.remote import Remote
from expci.store.local import batch_file, pilot, recent_trials, spool
from expci.store.variant import varied_content

SCHEMA = "expci.trial/1"
Value = TypeVar("Value")


@dataclass(frozen=True)
class TrialRequest:
    """What was asked. A `command` of `()` runs the experiment's own `run:`.

    `environment` is the process's, without `propagate` the command's exit code is not
    ours, `quiet_output` sends the command's standard output to standard error. `to` is a
    file that gets the records instead of the remote.
    """

    experiment: str
    directory: Path
    environment: Mapping[str, str] = field(repr=False)
    pairs: int = 1
    arm: str | None = None
    pilot: bool = False
    in_place: bool = False
    command: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    unit: str | None = None
    counter: int | None = None
    leg: str | None = None
    to: str | None = None
    remote: str | None = None
    token: str = field(default="", repr=False)
    roots: tuple[str, ...] = ()
    propagate: bool = True
    quiet_output: bool = False


@dataclass(frozen=True)
class TrialResult:
    """What became of it. `sent` and `waiting` count records of all batches, old ones too.

    `kept_in` is the file that holds them where they are not sent: pilots, and `to`.
    """

    experiment: str
    trials: tuple[Trial, ...] = ()
    sent: int = 0
    waiting: int = 0
    absent: Absent | None = None
    warnings: tuple[str, ...] = ()
    exit_code: int = 0
    kept_in: str | None = None

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


def trial(
    request: TrialRequest, progress: Callable[[Progress], None] = lambda _: None
) -> TrialResult:
    """Run the trials that were asked for and send their records."""
    if request.pairs < 1:
        raise UsageError("--pairs must be 1 or more")
    if request.to is not None and request.pilot:
        raise UsageError("--pilot keeps its trials on this machine; leave out --to")
    metrics.from_options(request.metrics, built_in=False)  # before anything runs
    warnings: list[str] = []
    with caught() as interrupts:
        try:
            return _trial(request, interrupts, progress, warnings)
        except Interrupted as stop:
            code = stop.exit_code
        except ExpciError:
            # A terminal's Ctrl-C also ends the git that we were waiting for.
            if interrupts.number is None:
                raise
            code = Interrupted(interrupts.number).exit_code
    return TrialResult(request.experiment, warnings=tuple(warnings), exit_code=code)


def _trial(
    request: TrialRequest,
    interrupts: Interrupts,
    progress: Callable[[Progress], None],
    warnings: list[str],
) -> TrialResult:
    git = Git.at(request.directory)
    with interrupts.shield():
        worktree.remove_stale(git)
        if bench.recover(git):
            warnings.append("a trial in place had been killed here; your files were put back")
    interrupts.check()
    remote = eligibility.remote_of(git, request.remote, request.token, request.environment)
    setting = _setting(request, git, remote, warnings)
    if isinstance(setting, Absent):
        return TrialResult(
            request.experiment, absent=setting, warnings=tuple(warnings), exit_code=1
        )
    with _keeper(git, request) as keep:
        session = Session(setting, git, interrupts, keep, progress, warnings)
        code = _run(session, request.propagate)
    interrupts.number = None  # heeded; the next signal ends the sending
    result = TrialResult(request.experiment, tuple(session.trials), exit_code=code)
    if request.pilot or request.to is not None:
        return _kept(result, git, request.to, warnings)
    return _finished(result, git, remote, warnings)


def _run(session: Session, propagate: bool) -> int:
    """The exit code of the whole."""
    try:
        session.run()
    except Interrupted as stop:
        return stop.exit_code
    code = session.exit_code() if propagate else 0
    return code or int(session.has_error())


@contextlib.contextmanager
def _keeper(git: Git, request: TrialRequest) -> Iterator[Callable[[str], None]]:
    """Where each record goes as soon as it is made."""
    if request.pilot:
        yield lambda line: pilot.append_pilot(git, request.experiment, line)
    elif request.to is not None:
        file = Path(request.to).absolute()
        yield lambda line: batch_file.append_records(file, [line])
    else:
        with spool.recording(git, request.experiment) as recording:
            yield recording.add


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
        warnings.append(spool.waits(len(result.trials)))
        result = replace(result, exit_code=stop.exit_code, waiting=len(result.trials))
        return replace(result, warnings=tuple(warnings))
    warnings += flushed.warnings
    return replace(result, sent=flushed.sent, waiting=flushed.waiting, warnings=tuple(warnings))


def _setting(
    request: TrialRequest, git: Git, remote: Remote, warnings: list[str]
) -> Setting | Absent:
    if request.pilot:
        return _pilot(request, git)
    news = eligibility.fetch(remote)
    warnings += news.warnings
    part = eligibility.take_part(git, news.document, request.experiment, request.roots)
    if isinstance(part, Absent):
        return part
    contents = eligibility.arm_contents(git, part)
    if isinstance(contents, Absent):
        return contents
    environments = {arm: eligibility.arm_environment(part, arm) for arm in contents}
    # `traffic` limits how many users' jobs are touched; the lab touches none.
    rule = replace(part.rule, traffic=1.0)
    known = git.resolve(part.exposure.base)  # the commit whose defaults the plan froze
    defaults = eligibility.defaults_at(git, known or part.commit)
    setting = _common(request, git, part.content, defaults, rule, contents, environments)
    return replace(setting, unit_kind=part.exposure.unit)


def _pilot(request: TrialRequest, git: Git) -> Setting | Absent:
    """An experiment as it lies on disk, before its start; always in pairs."""
    defaults = eligibility.defaults_on_disk(git)
    roots = request.roots or defaults.roots or eligibility.ROOTS
    content = eligibility.read_draft(git, request.experiment, roots)
    if content is None:
        why = f"there is no {roots[0]}/{request.experiment}/experiment.yml to try out"
        return Absent(request.experiment, "unknown", why)
    contents = varied_content(git, content.files, content.arms, git.require("HEAD"))
    rule = Rule(content.plan, "pilot", "paired", dict.fromkeys(contents, 1.0))
    environments = {arm.name: arm.env for arm in content.arms}
    return _common(request, git, content, defaults, rule, contents, environments)


def _common(
    request: TrialRequest,
    git: Git,
    content: Content,
    defaults: PlainDefaults,
    rule: Rule,
    contents: Mapping[str, Paths],
    environments: Mapping[str, Mapping[str, str]],
) -> Setting:
    spec = content.spec
    if request.arm is not None and request.arm not in contents:
        raise UsageError(f"--arm {request.arm}: the arms are {', '.join(contents)}")
    if not request.command and spec.run is None:
        raise UsageError(
            f"{content.directory}/experiment.yml has no `run:`; add one, or give the command: "
            f"expci trial {request.experiment} -- CMD…"
        )
    place = context.place(request.environment, request.leg)
    return Setting(
        experiment=request.experiment,
        rule=rule,
        contents=contents,
        environments=environments,
        command=request.command or _script(spec.run or ""),
        place=place,
        environment=request.environment,
        context=context.context(place, git.resolve("HEAD") or ""),
        setup=None if spec.setup is None else _script(spec.setup),
        warmup=_first(spec.warmup, defaults.warmup, 0),
        timeout_s=_first(spec.timeout_s, defaults.timeout_s, DEFAULT_TIMEOUT_S),
        share=_first(spec.share, defaults.share, ()),
        unit=request.unit,
        counter=request.counter,
        pairs=request.pairs,
        arm=request.arm,
        in_place=request.in_place,
        quiet_output=request.quiet_output,
        metrics=metrics.from_options(request.metrics, built_in=False),
    )


def _first(own: Value | None, everywhere: Value | None, otherwise: Value) -> Value:
    """The experiment's own value, else the repository's, else the usual one."""
    if own is not None:
        return own
    return otherwise if everywhere is None else everywhere


def _script(text: str) -> tuple[str, ...]:
    # -e as CI systems run a step: a failure in the middle of a script is a failure.
    return ("sh", "-e", "-c", text)
