"""`assign`: which arm this job gets, and with `--apply` its files put in place.

The first half of a live trial; `record` is the second. Whatever goes wrong here, the job
goes on with the checkout that it had.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from expci.core.assignment import Assigned
from expci.core.assignment import assign as draw
from expci.core.model.experiment import ID_PATTERN
from expci.errors import ExpciError, UsageError
from expci.runner import checkout, eligibility
from expci.runner.ci import context, outputs
from expci.runner.ci.context import Place
from expci.runner.eligibility import Absent, Part
from expci.runner.lab import bench
from expci.runner.live import live_trial
from expci.runner.live.live_trial import LiveTrial
from expci.runner.measure.interrupts import Interrupts, caught
from expci.store.git.git import Git
from expci.store.published import Published

SCHEMA = "expci.assign/1"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class AssignRequest:
    """What was asked: one `experiment`, or all that share a `slot`."""

    directory: Path
    environment: Mapping[str, str] = field(repr=False)
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

    `is_blind` where the remote could not be asked and this clone had to guess.
    """

    outcomes: tuple[Outcome, ...] = ()
    warnings: tuple[str, ...] = ()
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
        }


def assign(request: AssignRequest) -> AssignResult:
    """Assign, put in place if asked, and tell the job's later steps."""
    if (request.experiment is None) == (request.slot is None):
        raise UsageError("name one experiment, or the slot with --slot")
    if request.experiment is not None and not re.fullmatch(ID_PATTERN, request.experiment):
        raise UsageError(f"not an experiment's id: {request.experiment!r}")
    git = Git.at(request.directory)
    warnings: list[str] = []
    with caught() as interrupts:
        bench.recover(git)
        news = eligibility.fetch(
            eligibility.remote_of(git, request.remote, request.token, request.environment)
        )
        warnings += news.warnings
        place = context.place(request.environment, request.leg)
        with interrupts.shield():
            _clear_strangers(git, _job(place), warnings)
            outcomes = _outcomes(request, git, news.document, place, interrupts, warnings)
            _tell(request, outcomes)
        interrupts.check()
    return AssignResult(tuple(outcomes), tuple(warnings), is_blind=not news.is_new)


def _outcomes(
    request: AssignRequest,
    git: Git,
    document: Published,
    place: Place,
    interrupts: Interrupts,
    warnings: list[str],
) -> list[Outcome]:
    names = [request.experiment] if request.experiment else _in_slot(document, request.slot)
    file = live_trial.new_metrics_file(git)
    outcomes = []
    for name in filter(None, names):
        part = eligibility.take_part(git, document, name, request.roots)
        if isinstance(part, Absent):
            outcomes.append(Outcome(name, reason_code=part.code, reason=part.reason))
            continue
        try:
            outcomes.append(_one(request, git, part, place, file))
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


def _one(request: AssignRequest, git: Git, part: Part, place: Place, metrics_file: Path) -> Outcome:
    unit = context.unit(part.exposure.unit, place, request.unit)
    if unit is None:
        kind = part.exposure.unit
        why = f"this job has no {kind} to assign by; name the unit with --unit"
        return Outcome(part.experiment, reason_code="no_unit", reason=why)
    counter = context.counter(part.exposure.unit, place, request.counter)
    is_own = request.unit is None or request.counter is not None
    assigned = draw(part.rule, unit, counter if is_own else None)
    if assigned.arm is None:
        return Outcome(
            part.experiment,
            unit=unit,
            reason_code=assigned.reason,
            reason=assigned.explanation[-1],
            explanation=assigned.explanation,
        )
    started = _same(git, part, unit, assigned.arm, _job(place))
    if started is None:
        _clear(git, part.experiment)
        started = _begin(request, git, part, place, metrics_file, unit, assigned)
    return _outcome(request, part, started, assigned)


def _same(git: Git, part: Part, unit: str, arm: str, job: str) -> LiveTrial | None:
    """The trial that an earlier step of this job began for the same unit."""
    for trial in live_trial.load(git):
        key = (trial.experiment, trial.plan, trial.unit, trial.arm, trial.job)
        if key == (part.experiment, part.exposure.plan, unit, arm, job):
            return trial
    return None


def _begin(
    request: AssignRequest,
    git: Git,
    part: Part,
    place: Place,
    metrics_file: Path,
    unit: str,
    assigned: Assigned,
) -> LiveTrial:
    paths = part.exposure.paths
    changed = checkout.changed(git, paths) if request.apply else []
    # What another experiment has put in place is hidden from `git status`.
    lent = {path for other in live_trial.load(git) for path in other.applied or {}}
    excluded = "file_changed" if changed or lent & paths.keys() else None
    trial = LiveTrial(
        id=live_trial.new_id(),
        experiment=part.experiment,
        slot=request.slot or part.exposure.slot,
        plan=part.exposure.plan,
        mode="live" if part.exposure.mode == "live" else "lab",
        arm=assigned.arm or "",
        unit=unit,
        how=assigned.reason,
        attempt=place.attempt,
        started="1970-01-01T00:00:00.000Z",
        clock=0.0,
        job=_job(place),
        metrics_file=str(metrics_file),
        context={
            **context.context(place, git.resolve("HEAD") or ""),
            "assignment": assigned.reason,
        },
        excluded=excluded,
    )
    if excluded or not request.apply:
        return live_trial.begin(trial, git, None, git.git_dir)
    return _applied(trial, git, part)


def _applied(trial: LiveTrial, git: Git, part: Part) -> LiveTrial:
    scratch = Path(tempfile.mkdtemp(prefix="expci-live-"))
    try:
        contents = eligibility.arm_contents(git, part)
        if isinstance(contents, Absent):
            raise ExpciError(contents.reason)
        return live_trial.begin(trial, git, contents, scratch)
    except (ExpciError, OSError) as error:
        # The arm was drawn and is missing from its data: that must show, by arm.
        return live_trial.begin(replace(trial, problem=str(error)), git, None, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _outcome(request: AssignRequest, part: Part, trial: LiveTrial, assigned: Assigned) -> Outcome:
    outcome = Outcome(part.experiment, None, trial.unit, trial.id, explanation=assigned.explanation)
    if trial.excluded is not None:
        why = "the checkout's own content of the varied paths is not the plan's"
        return replace(outcome, reason_code=trial.excluded, reason=f"{why}; the job is untouched")
    if trial.problem is not None:
        return replace(outcome, reason_code="error", reason=trial.problem)
    environment = {"EXPCI_UNIT": trial.unit, "EXPCI_METRICS": trial.metrics_file}
    if request.apply:
        own = eligibility.arm_environment(part, trial.arm)
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
    known = live_trial.load(git)
    for trial in known:
        if trial.job != job:
            live_trial.undo(trial, git)
            live_trial.forget(git, trial)
            warnings.append(f"an earlier job here never recorded its trial of {trial.experiment}")
    mine = {trial.place for trial in known if trial.job == job}
    for name in checkout.names(git):
        if name.startswith("live-") and name not in mine:
            checkout.give_back(git, name)


def _job(place: Place) -> str:
    return "/".join((place.run_id, str(place.attempt), place.job, place.leg))


def _tell(request: AssignRequest, outcomes: list[Outcome]) -> None:
    """Outputs and variables for the later steps of the job."""
    values = {f"arm_{_suffix(o.experiment)}": o.arm or "" for o in outcomes}
    values["arm"] = outcomes[0].arm or "" if len(outcomes) == 1 else ""
    values["arms"] = json.dumps({o.experiment: o.arm for o in outcomes})
    values["trials"] = json.dumps([o.trial for o in outcomes if o.trial is not None])
    outputs.write(request.environment, "GITHUB_OUTPUT", values)
    outputs.write(request.environment, "GITHUB_ENV", variables(outcomes))


def variables(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """What the job's work sees of the arms that it got."""
    taking = [outcome for outcome in outcomes if outcome.arm is not None]
    found: dict[str, str] = {}
    for outcome in taking:
        found |= outcome.environment
        found[f"EXPCI_ARM_{_suffix(outcome.experiment).upper()}"] = outcome.arm or ""
    if len(taking) == 1:
        found |= {"EXPCI_ARM": taking[0].arm or "", "EXPCI_EXPERIMENT": taking[0].experiment}
    return found


def _suffix(experiment: str) -> str:
    return experiment.replace("-", "_")
