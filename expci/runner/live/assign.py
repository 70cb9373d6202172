"""`assign`: which arm this job gets, and with `--apply` its files put in place.

The first half of a live trial; `record` is the second. Whatever goes wrong here, the job
goes on with the checkout that it had.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from expci.core.assignment import Assigned, assign
from expci.core.lazy_pattern import lazy_pattern
from expci.core.model.arm import ID_PATTERN
from expci.core.value_class import dataclass, field, replace
from expci.errors import ExpciError, UsageError
from expci.runner import checkout, eligibility
from expci.runner.ci import context, outputs
from expci.runner.ci.context import CiJob
from expci.runner.eligibility import Eligible, Ineligible
from expci.runner.lab import in_place
from expci.runner.live import live_trial
from expci.runner.live.live_trial import LiveTrial
from expci.runner.measure.interrupts import Interrupts, caught
from expci.runner.published_copy import fetch_published, remote_of
from expci.store.git.git import Git
from expci.store.published import Published

SCHEMA = "expci.assign/1"
_VARIABLE = lazy_pattern(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class AssignOptions:
    """What to assign: one `experiment`, or all that share a `slot`.

    `git` is the repository of `directory`, where the caller has it open.
    """

    directory: Path
    environment: Mapping[str, str] = field(repr=False)
    git: Git | None = None
    experiment: str | None = None
    slot: str | None = None
    unit: str | None = None
    counter: int | None = None
    leg: str | None = None
    apply: bool = False
    remote: str | None = None
    token: str = field(default="", repr=False)
    roots: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """One experiment's answer. `arm` is `None` where the job is left as it is, and `reason`
    and `reason_code` say why; `trial` is the id that the record will have.
    """

    experiment: str
    arm: str | None = None
    unit: str | None = None
    trial: str | None = None
    reason_code: str = ""
    reason: str = ""
    explanation: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class AssignResult:
    """The answers, by experiment. `exit_code` is 0: expci never fails a job of the user's.

    `is_blind` where the remote did not answer and this clone had to guess. `waiting` says of which
    experiments jobs with their slot get no arm yet.
    """

    outcomes: tuple[Outcome, ...] = ()
    warnings: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    exit_code: int = 0
    is_blind: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "assignments": [
                {
                    "experiment": outcome.experiment,
                    "arm": outcome.arm,
                    "unit": outcome.unit,
                    "trial": outcome.trial,
                    "reason_code": outcome.reason_code,
                    "reason": outcome.reason,
                    "explanation": list(outcome.explanation),
                }
                for outcome in self.outcomes
            ],
            "warnings": list(self.warnings),
            "waiting": list(self.waiting),
        }


def assign_job(options: AssignOptions) -> AssignResult:
    """Assign, put in place where wanted, and pass it on to the job's later steps."""
    if (options.experiment is None) == (options.slot is None):
        raise UsageError("name one experiment, or the slot with --slot")
    if options.experiment is not None and not re.fullmatch(ID_PATTERN, options.experiment):
        raise UsageError(f"not an experiment's id: {options.experiment!r}")
    git = options.git or Git.at(options.directory)
    warnings: list[str] = []
    with caught() as interrupts:
        in_place.recover(git)
        latest = fetch_published(remote_of(git, options.remote, options.token, options.environment))
        warnings += latest.warnings
        job = context.ci_job(options.environment, options.leg)
        with interrupts.shield():
            _clear_strangers(git, _job(options, job), warnings)
            live_trial.clear_metrics_files(git)
            outcomes = _outcomes(options, git, latest.document, job, interrupts, warnings)
            outcomes = _handed_on(options, git, outcomes, warnings)
        interrupts.check()
    waiting = eligibility.awaiting_merge(latest.document, options.experiment, options.slot)
    return AssignResult(
        tuple(outcomes), tuple(warnings), tuple(waiting), is_blind=not latest.is_fresh
    )


def _outcomes(
    options: AssignOptions,
    git: Git,
    document: Published,
    job: CiJob,
    interrupts: Interrupts,
    warnings: list[str],
) -> list[Outcome]:
    names = [options.experiment] if options.experiment else _in_slot(document, options.slot)
    try:
        return _each(options, git, document, names, job, interrupts, warnings)
    except OSError as error:  # a clone that cannot be written, or a full disk
        warnings.append(f"the job goes on untouched: {error}")
        return [Outcome(name, reason_code="error", reason=str(error)) for name in names]


def _each(
    options: AssignOptions,
    git: Git,
    document: Published,
    names: Sequence[str],
    job: CiJob,
    interrupts: Interrupts,
    warnings: list[str],
) -> list[Outcome]:
    outcomes = []
    with live_trial.new_metrics_file(git) as file:
        for name in names:
            eligible = eligibility.assess(git, document, name, options.roots)
            if isinstance(eligible, Ineligible):
                outcomes.append(Outcome(name, reason_code=eligible.code, reason=eligible.reason))
                continue
            try:
                outcomes.append(_one(options, git, eligible, job, file))
            except (ExpciError, OSError) as error:
                warnings.append(f"{name}: the job goes on untouched: {error}")
                outcomes.append(Outcome(name, reason_code="error", reason=str(error)))
            if interrupts.number is not None:
                break
        if not any(trial.metrics_file == str(file) for trial in live_trial.load(git)):
            file.unlink()
    return outcomes


def _in_slot(document: Published, slot: str | None) -> list[str]:
    return sorted(
        name
        for name, exposure in document.experiments.items()
        if exposure.slot == slot and exposure.mode == "live"
    )


def _one(
    options: AssignOptions, git: Git, eligible: Eligible, job: CiJob, metrics_file: Path
) -> Outcome:
    unit = context.unit(eligible.exposure.unit, job, options.unit)
    if unit is None:
        kind = eligible.exposure.unit
        why = f"this job has no {kind} to assign by; name the unit with --unit"
        return Outcome(eligible.experiment, reason_code="no_unit", reason=why)
    counter = context.counter(eligible.exposure.unit, job, options.counter)
    is_own = options.unit is None or options.counter is not None
    assigned = assign(eligible.rule, unit, counter if is_own else None)
    if assigned.arm is None:
        return Outcome(
            eligible.experiment,
            unit=unit,
            reason_code=assigned.reason,
            reason=assigned.explanation[-1],
            explanation=assigned.explanation,
        )
    started = _same(options, git, eligible, unit, assigned.arm, job)
    if started is None:
        _clear(git, eligible.experiment)
        started = _begin(options, git, eligible, job, metrics_file, unit, assigned)
    return _outcome(options, eligible, started, assigned)


def _same(
    options: AssignOptions, git: Git, eligible: Eligible, unit: str, arm: str, job: CiJob
) -> LiveTrial | None:
    """The trial that an earlier step of this job began for the same unit.

    One that was only looked at is not it where the arm has to be put in place.
    """
    wanted = (eligible.experiment, eligible.exposure.plan, unit, arm, _job(options, job))
    for trial in live_trial.load(git):
        key = (trial.experiment, trial.plan, trial.unit, trial.arm, trial.job)
        was_tried = trial.applied is not None or trial.excluded or trial.problem
        if key == wanted and (was_tried or not options.apply):
            return trial
    return None


def _begin(
    options: AssignOptions,
    git: Git,
    eligible: Eligible,
    job: CiJob,
    metrics_file: Path,
    unit: str,
    assigned: Assigned,
) -> LiveTrial:
    paths = eligible.exposure.paths
    changed = checkout.changed(git, paths) if options.apply else []
    # What another experiment has put in place is hidden from `git status`.
    lent = {path for other in live_trial.load(git) for path in other.applied or {}}
    excluded = "file_changed" if changed or lent & paths.keys() else None
    trial = LiveTrial(
        id=live_trial.new_id(),
        experiment=eligible.experiment,
        slot=options.slot or eligible.exposure.slot,
        plan=eligible.exposure.plan,
        mode="live" if eligible.exposure.mode == "live" else "lab",
        arm=assigned.arm or "",
        unit=unit,
        how=assigned.reason,
        attempt=job.attempt,
        started="1970-01-01T00:00:00.000Z",
        phase_began=eligible.exposure.started,
        clock=0.0,
        job=_job(options, job),
        metrics_file=str(metrics_file),
        context={
            **context.context(job, git.resolve("HEAD") or ""),
            "assignment": assigned.reason,
        },
        excluded=excluded,
        wanted=sorted(eligible.content.words),
        # A job that is left untouched gets no variables either.
        variables={} if excluded else _handed_to_steps(options, eligible, assigned.arm or ""),
    )
    if excluded or not options.apply:
        return live_trial.begin(trial, git, None, git.git_dir)
    return _applied(trial, git, eligible, options.environment)


def _handed_to_steps(options: AssignOptions, eligible: Eligible, arm: str) -> dict[str, str]:
    """The arm's own variables, where the CI passes them on: elsewhere a person exports them."""
    if not options.apply or not options.environment.get("GITHUB_ENV"):
        return {}
    own = eligibility.arm_environment(eligible, arm)
    return {name: value for name, value in own.items() if _VARIABLE.fullmatch(name)}


def _applied(
    trial: LiveTrial, git: Git, eligible: Eligible, environment: Mapping[str, str]
) -> LiveTrial:
    import shutil
    import tempfile

    scratch = Path(tempfile.mkdtemp(prefix="expci-live-"))
    try:
        contents = eligibility.arm_contents(git, eligible)
        if isinstance(contents, Ineligible):
            raise ExpciError(contents.reason)
        return live_trial.begin(trial, git, contents, scratch, context.job_identity(environment))
    except (ExpciError, OSError) as error:
        # The arm was drawn and is missing from its data: that must show, by arm.
        return live_trial.begin(replace(trial, problem=str(error)), git, None, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _outcome(
    options: AssignOptions, eligible: Eligible, trial: LiveTrial, assigned: Assigned
) -> Outcome:
    outcome = Outcome(
        eligible.experiment, None, trial.unit, trial.id, explanation=assigned.explanation
    )
    if trial.excluded is not None:
        why = "the checkout's own content of the varied paths is not the plan's"
        return replace(outcome, reason_code=trial.excluded, reason=f"{why}; the job is untouched")
    if trial.problem is not None:
        return replace(outcome, reason_code="error", reason=trial.problem)
    environment = {"EXPCI_UNIT": trial.unit, "EXPCI_METRICS": trial.metrics_file}
    if options.apply:
        own = eligibility.arm_environment(eligible, trial.arm)
        environment = {k: v for k, v in own.items() if _VARIABLE.fullmatch(k)} | environment
    return replace(
        outcome,
        arm=trial.arm,
        reason_code=assigned.reason,
        reason=assigned.explanation[-1],
        environment=environment,
    )


def _clear(git: Git, experiment: str) -> None:
    """Undo a trial of this experiment that was begun here for another unit."""
    for trial in live_trial.load(git):
        if trial.experiment == experiment:
            live_trial.undo(trial, git)
            live_trial.forget(git, trial)


def _clear_strangers(git: Git, job: str, warnings: list[str]) -> None:
    """Undo what an earlier job in this checkout began and never recorded."""
    begun = live_trial.load(git)
    for trial in begun:
        if trial.job != job:
            warnings.append(live_trial.abandon(git, trial))
    mine = {trial.place for trial in begun if trial.job == job}
    for name in checkout.names(git):
        if name.startswith("live-") and name not in mine:
            checkout.give_back(git, name)


def _job(options: AssignOptions, job: CiJob) -> str:
    """What tells this job from the next one in the same checkout, on whatever CI."""
    return "/".join((*context.job_identity(options.environment), job.leg))


def _handed_on(
    options: AssignOptions, git: Git, outcomes: list[Outcome], warnings: list[str]
) -> list[Outcome]:
    """The outcomes once the later steps of the job have their outputs and variables.

    An arm whose own variables cannot be handed on is not what the job runs: it is undone.
    """
    values = {f"arm_{_suffix(o.experiment)}": o.arm or "" for o in outcomes}
    values["arm"] = outcomes[0].arm or "" if len(outcomes) == 1 else ""
    values["arms"] = json.dumps({o.experiment: o.arm for o in outcomes})
    values["trials"] = json.dumps([o.trial for o in outcomes if o.trial is not None])
    no_output = outputs.write(options.environment, "GITHUB_OUTPUT", values)
    no_variables = outputs.write(options.environment, "GITHUB_ENV", variables(outcomes))
    warnings += [problem for problem in (no_output, no_variables) if problem is not None]
    if no_variables is None or not options.apply:
        return outcomes
    return [_undone(git, outcome, no_variables) for outcome in outcomes]


def _undone(git: Git, outcome: Outcome, why: str) -> Outcome:
    for trial in live_trial.load(git):
        if trial.id == outcome.trial and outcome.arm is not None:
            live_trial.undo(trial, git)
            live_trial.save(git, replace(trial, applied=None, problem=why))
            return replace(outcome, arm=None, reason_code="error", reason=why, environment={})
    return outcome


def variables(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """What the job's work sees of the arms that it got."""
    taking = [outcome for outcome in outcomes if outcome.arm is not None]
    visible: dict[str, str] = {}
    for outcome in taking:
        visible |= outcome.environment
        visible[f"EXPCI_ARM_{_suffix(outcome.experiment).upper()}"] = outcome.arm or ""
    if len(taking) == 1:
        visible |= {"EXPCI_ARM": taking[0].arm or "", "EXPCI_EXPERIMENT": taking[0].experiment}
    return visible


def _suffix(experiment: str) -> str:
    return experiment.replace("-", "_")
