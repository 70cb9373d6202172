"""The step of the `lab` action: pairs of trials of one experiment."""

from __future__ import annotations

from expci.runner.actions.step import BROKEN, Step
from expci.runner.ci import messages
from expci.runner.lab.session import TrialProgress
from expci.runner.lab.trial import TrialOptions, run_trials


def run(step: Step) -> int:
    """`pairs` rounds of the experiment's own command; the step's exit code."""
    step.inputs.require_transport()
    is_pushed = step.inputs.transport == "push"
    try:
        result = run_trials(
            TrialOptions(
                experiment=step.inputs.experiment,
                directory=step.root,
                environment=step.environment,
                pairs=step.inputs.pair_count(),
                leg=step.inputs.leg,
                to=None if is_pushed else str(step.file),
                token=step.inputs.token,
                propagate=False,
            ),
            _show,
        )
    except BaseException:
        step.tell(())  # what was written before goes up all the same
        raise
    if result.absent is not None:
        say = step.problem if result.absent.code in BROKEN else messages.say
        say(f"no trial was run: {result.absent.reason}")
    step.hand_on(result.trials, result.waiting, result.warnings)
    if any(one.status == "error" for one in result.trials):
        step.problem(f"{step.inputs.experiment}: some trials could not be run or verified")
    return result.exit_code if result.exit_code >= 128 else step.code


def _show(progress: TrialProgress) -> None:
    if progress.note:
        messages.annotate("warning", progress.note)
    elif progress.trial is None:
        messages.say(f"{progress.stage} {progress.arm} ({progress.done + 1}/{progress.total})")
