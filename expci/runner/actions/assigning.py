"""The step `assign`: the arms of this job, put in place."""

from __future__ import annotations

from expci.runner.actions.step import ASSIGNED, BROKEN, Step
from expci.runner.ci import messages, outputs
from expci.runner.live.assign import AssignOptions, AssignResult, assign_job


def assign_step(step: Step) -> int:
    """Assign the arms; the step's exit code."""
    assign_arms(step)
    return step.code


def assign_arms(step: Step) -> AssignResult:
    """Assign the arms and hand word of them to the job's later steps."""
    step.inputs.require_target()
    if ASSIGNED not in step.environment:
        step.refuse_earlier_jobs()
    result = assign_job(
        AssignOptions(
            directory=step.root,
            git=step.git,
            environment=step.environment,
            experiment=step.inputs.experiment or None,
            slot=step.inputs.slot or None,
            unit=step.inputs.unit or None,
            leg=step.inputs.leg,
            apply=True,
            token=step.inputs.token,
        )
    )
    for warning in result.warnings:
        step.problem(warning) if result.is_blind else messages.annotate("warning", warning)
    for outcome in result.outcomes:
        messages.say(f"{outcome.experiment}: {outcome.arm or 'no arm'} ({outcome.reason})")
        if outcome.reason_code in BROKEN:
            step.problem(f"{outcome.experiment} takes no part: {outcome.reason}")
    if not result.outcomes:
        messages.say(f"slot {step.inputs.slot}: no experiment is live")
    for sentence in result.waiting:
        messages.say(sentence)
    before = step.environment.get(ASSIGNED, "yes").split()
    begun = [outcome.trial for outcome in result.outcomes if outcome.trial]
    step.report(
        outputs.write(step.environment, "GITHUB_ENV", {ASSIGNED: " ".join((*before, *begun))})
    )
    return result
