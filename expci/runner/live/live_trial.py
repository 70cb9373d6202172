"""A live trial between `assign` and `record`: two steps of one job, two processes.

What the first did is in a file in the checkout's git directory, so that the second can
verify it, undo it and record it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from expci.core.model.content import Paths
from expci.core.model.trial import Mode, Status, Trial
from expci.core.value_class import asdict, dataclass, field, replace
from expci.runner import checkout
from expci.runner.ci.context import job_identity
from expci.runner.clock import start_time
from expci.runner.placement import fingerprint, prepare, put
from expci.runner.trial_ids import new_trial_id
from expci.store.git import durable
from expci.store.git.git import Git


@dataclass(frozen=True)
class LiveTrial:
    """A trial that has been assigned in this job.

    `applied` is the fingerprint of what was put in place, `None` without `--apply`.
    `clock` is the monotonic clock (seconds since boot) at the start. `job` names the CI
    job, so that a later job in the same checkout does not take it for its own. `line` is
    the record, once there is one. `wanted` metrics are kept before others.
    `phase_began` is the start or the promotion. `variables` are those of
    the arm that the CI hands on to the later steps.
    """

    id: str
    experiment: str
    slot: str | None
    plan: str
    mode: Mode
    arm: str
    unit: str
    how: str
    attempt: int
    started: str
    clock: float
    job: str
    metrics_file: str
    context: Mapping[str, str] = field(default_factory=dict)
    excluded: str | None = None
    problem: str | None = None
    applied: Mapping[str, str | None] | None = None
    line: str | None = None
    wanted: Sequence[str] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    phase_began: str = ""

    @property
    def place(self) -> str:
        """The name under which the checkout keeps what was set aside."""
        return f"live-{self.experiment}"

    def elapsed_s(self) -> float:
        """Wall time since the start; by the calendar clock where the machine was restarted."""
        passed = time.monotonic() - self.clock
        if passed >= 0:
            return passed
        start = datetime.fromisoformat(self.started)
        return max((datetime.now(UTC) - start).total_seconds(), 0.0)


def begin(
    trial: LiveTrial,
    git: Git,
    contents: Mapping[str, Paths] | None,
    scratch: Path,
    ci_job: Sequence[str] = (),
) -> LiveTrial:
    """Write the state down and put the arm in place, all of it or nothing.

    `contents` of `None` leaves the checkout as it is. The clock starts at the end. `ci_job`
    is the job (`context.job_identity`) whose git overlooks what was put in place.
    """
    save(git, trial)
    if contents is not None and trial.excluded is None:
        trial = replace(trial, applied=_apply(trial, git, contents, scratch, ci_job))
    start = start_time(datetime.now(UTC), trial.phase_began)
    context = {**trial.context, **start.context}
    trial = replace(trial, clock=time.monotonic(), started=start.started, context=context)
    save(git, trial)
    return trial


def _apply(
    trial: LiveTrial,
    git: Git,
    contents: Mapping[str, Paths],
    scratch: Path,
    ci_job: Sequence[str],
) -> Mapping[str, str | None]:
    wanted = contents[trial.arm]
    here = git.read_paths("HEAD", wanted)
    moved = {path: blob for path, blob in wanted.items() if here[path] != blob}
    if not moved:
        return fingerprint(git.root, wanted)
    [placement] = prepare(git, {trial.arm: moved}, scratch).values()
    try:
        checkout.set_aside(git, trial.place, [moved])
        put(git, git.root, placement)
        checkout.hide(git, trial.place, here, {**here, **moved}, ci_job)
    except BaseException:
        checkout.give_back(git, trial.place)
        raise
    return fingerprint(git.root, wanted)


def exposure_lost(trial: LiveTrial, git: Git) -> list[str]:
    """Varied paths that no longer hold what was put there."""
    if trial.applied is None:
        return []
    now = fingerprint(git.root, trial.applied)
    return [path for path in now if now[path] != trial.applied[path]]


def variables_lost(trial: LiveTrial, environment: Mapping[str, str]) -> list[str]:
    """The arm's variables that the job does not have, or has with another value."""
    arm = trial.variables
    return sorted(name for name, value in arm.items() if environment.get(name) != value)


def undo(trial: LiveTrial, git: Git) -> list[str]:
    """Give the checkout back; the paths that the job changed and that stay as they are."""
    # Without a fingerprint the step was killed half way: everything goes back.
    return checkout.give_back(git, trial.place, trial.applied)


def new_id() -> str:
    return new_trial_id(datetime.now(UTC))


def load(git: Git) -> list[LiveTrial]:
    """Every trial that was assigned in this checkout and not recorded yet."""
    trials = []
    for path in sorted(_home(git).glob("*.json")):
        try:
            trials.append(LiveTrial(**json.loads(path.read_bytes())))
        except (ValueError, TypeError):
            path.replace(path.with_suffix(".unreadable"))
    return trials


@contextlib.contextmanager
def ending(git: Git) -> Iterator[None]:
    """One process at a time ends what was begun: a job's last step may come early."""
    path = _home(git) / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def begun(git: Git, experiment: str | None, slot: str | None) -> list[LiveTrial]:
    """Those of one experiment, or of all that share a slot."""
    return [
        trial
        for trial in load(git)
        if trial.experiment == experiment or (slot is not None and trial.slot == slot)
    ]


def is_of_another_job(trial: LiveTrial, environment: Mapping[str, str]) -> bool:
    """Whether both this job and that of the trial are known, and they are two."""
    job = job_identity(environment)
    own = "/".join(job) + "/"
    return any(job) and bool(trial.job.strip("/")) and not trial.job.startswith(own)


def save(git: Git, trial: LiveTrial) -> None:
    durable.replace_file(_path(git, trial.experiment), json.dumps(asdict(trial)).encode())


def forget(git: Git, trial: LiveTrial) -> None:
    _path(git, trial.experiment).unlink(missing_ok=True)
    used = {other.metrics_file for other in load(git)}
    if trial.metrics_file not in used:
        Path(trial.metrics_file).unlink(missing_ok=True)


def abandon(git: Git, trial: LiveTrial) -> str:
    """Give the checkout back that an earlier job left; what to say of it."""
    undo(trial, git)
    forget(git, trial)
    return f"an earlier job here never recorded its trial of {trial.experiment}"


def as_record(trial: LiveTrial, metrics: Mapping[str, float], status: Status) -> Trial:
    """The record of a live trial that has ended."""
    return Trial(
        id=trial.id,
        experiment=trial.experiment,
        plan=trial.plan,
        mode=trial.mode,
        arm=trial.arm,
        unit=trial.unit,
        started=trial.started,
        attempt=trial.attempt,
        status=status,
        excluded=trial.excluded,
        metrics=metrics,
        context=trial.context,
    )


def _home(git: Git) -> Path:
    return git.git_dir / "expci" / "live"


def _path(git: Git, experiment: str) -> Path:
    return _home(git) / f"{experiment}.json"


@contextlib.contextmanager
def new_metrics_file(git: Git) -> Iterator[Path]:
    """A private file for the job's own metrics, empty; locked until a trial names it."""
    path = _home(git) / f"metrics-{new_id()}"
    path.parent.mkdir(parents=True, exist_ok=True)
    # Locked before it has the name that others look for.
    hidden = path.with_name(f".{path.name}")
    with os.fdopen(os.open(hidden, os.O_CREAT | os.O_RDWR, 0o600), "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        hidden.rename(path)
        yield path


def clear_metrics_files(git: Git) -> None:
    """Remove the metrics files that no trial names and no living process has open."""
    used = {trial.metrics_file for trial in load(git)}
    for path in _home(git).glob("metrics-*"):
        if str(path) not in used:
            with contextlib.suppress(OSError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
