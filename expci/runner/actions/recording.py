"""The step `record`: what `assign` began is verified, undone and handed on.

No token is in it: the work may have written what git runs in the checkout.
"""

from __future__ import annotations

from collections.abc import Sequence

from expci.core.model.trial import Trial
from expci.runner.actions.step import ASSIGNED, Step
from expci.runner.ci import messages
from expci.runner.live import live_trial
from expci.runner.record.record import RecordOptions, record_trials
from expci.store.local import recent_trials


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
    step: Step, status: str, measured: Sequence[str] = (), *, to_file: bool = True
) -> tuple[Trial, ...]:
    """End what `assign` began here: the records go to a file, or are kept for a later step."""
    names = (step.inputs.experiment or None, step.inputs.slot or None)
    begun = live_trial.begun(step.git, *names)
    _say_what_is_gone(step)
    if not begun:
        messages.say("no trial was begun in this job")
        step.tell(())
        return ()
    options = RecordOptions(
        directory=step.root,
        git=step.git,
        environment=step.environment,
        experiment=names[0],
        slot=names[1],
        status=status or "unknown",
        metrics=tuple(measured),
        metrics_file=str(step.root / file) if (file := step.inputs.metrics) else None,
        to=str(step.file) if to_file else None,
        sends=False,
    )
    result = record_trials(options)
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


def end_step(step: Step) -> int:
    """The post half, whatever became of the job; the next step sends what is kept here."""
    if live_trial.begun(step.git, step.inputs.experiment or None, step.inputs.slot or None):
        end_trials(step, step.inputs.status, to_file=False)
    else:
        _say_what_is_gone(step)
    return step.code
