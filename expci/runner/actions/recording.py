"""The step `record`: what `assign` began is verified, undone and handed on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from expci.core.model.trial import Trial
from expci.runner.actions.step import ASSIGNED, Step
from expci.runner.ci import messages
from expci.runner.live import live_trial
from expci.runner.record.record import RecordOptions, record_trials
from expci.store.local import recent_trials

AGAIN_S = 2.0  # before a push is tried a second and last time


def record(step: Step) -> int:
    """End what was begun in this job; the step's exit code."""
    step.inputs.require_target()
    step.inputs.require_transport()
    if ASSIGNED not in step.environment:
        step.problem(
            "there is nothing to record: no step before this one assigned an arm in this job. Put "
            "the `assign` action after the checkout and before the work"
        )
    else:
        end_trials(step, step.inputs.status)
    return step.code


def end_trials(
    step: Step, status: str, measured: Sequence[str] = (), *, sends: bool = True
) -> tuple[Trial, ...]:
    """End what `assign` began here and hand the records on, or keep them for a later step."""
    names = (step.inputs.experiment or None, step.inputs.slot or None)
    begun = live_trial.begun(step.git, *names)
    is_pushed = step.inputs.transport == "push"
    _say_what_is_gone(step)
    if not begun and not is_pushed:
        messages.say("no trial was begun in this job")
        step.tell(())
        return ()
    options = RecordOptions(
        directory=step.root,
        git=step.git,
        environment=step.environment,
        experiment=names[0] if begun else None,
        slot=names[1] if begun else None,
        status=status or "unknown",
        metrics=tuple(measured),
        metrics_file=str(step.root / file) if (file := step.inputs.metrics) else None,
        flush=not begun,
        to=None if is_pushed else str(step.file),
        sends=sends,
        token=step.inputs.token,
        address=step.address,
    )
    result = record_trials(options)
    if result.waiting:
        time.sleep(AGAIN_S)
        rest = RecordOptions(step.root, step.environment, git=step.git, flush=True)
        again = record_trials(replace(rest, token=options.token, address=options.address))
        result = replace(result, waiting=again.waiting, warnings=again.warnings)
    trials = tuple(result.trials)
    step.hand_on(trials, result.waiting, result.warnings)
    return trials


def _say_what_is_gone(step: Step) -> None:
    """Trials that were begun in this job, and of which the checkout knows nothing."""
    here = {begun.id for begun in live_trial.load(step.git)}
    for name in step.environment.get(ASSIGNED, "").split()[1:]:
        if name not in here and recent_trials.experiment_of(step.git, name) is None:
            step.problem(
                f"trial {name} is lost: a step after `assign` replaced the checkout, and with it "
                "what expci keeps in .git. Let the job check out once, before `assign`"
            )


def after_step(step: Step) -> int:
    """The post half, whatever became of the job; sends also what an interrupted main left."""
    end_trials(step, step.inputs.status)
    return step.code
