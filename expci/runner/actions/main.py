"""The steps of expci's GitHub Actions: inputs in, one verb, annotations and outputs out.

Whatever goes wrong in expci itself is reported loudly and leaves the job as it was: only with
`strict: true` it fails the job. Standard library and git only, run straight from the
action's own checkout by `.github/actions/start.sh`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module

from expci.errors import SecretsRefused
from expci.runner.actions.step import Step
from expci.runner.ci import messages
from expci.runner.measure.interrupts import Interrupted


def main(verb: str, environment: Mapping[str, str]) -> int:
    """Run one verb; the step's exit code. One that was given secrets runs below their keeper."""
    if verb == "lab" and environment.get("INPUT_SECRETS"):
        from expci.runner.actions import keeper

        return keeper.run(verb, dict(environment))
    step = Step.of(environment)
    try:
        return _step_of(verb)(step)
    except Interrupted as stop:
        messages.say(str(stop))
        return stop.exit_code
    except SecretsRefused as error:
        messages.annotate("error", str(error))
        return error.exit_code  # not open: the next step has secrets
    except Exception as error:
        # A job with secrets goes on only where it is certain what runs in it.
        return step.fall_open(error) or int(step.inputs.pinned)


# A verb imports its own part when it runs: no step waits for what another one needs.
VERBS: Mapping[str, tuple[str, str]] = {
    "assign": ("assigning", "assign_step"),
    "record": ("recording", "record"),
    "trial": ("trial", "begin_step"),
    "trial-run": ("trial_run", "run"),
    "trial-end": ("recording", "end_step"),
    "after": ("pushing", "push_spool"),
    "push": ("pushing", "push_file"),
    "idle": ("idle", "run"),
    "lab-fetch": ("lab", "fetch"),
    "lab": ("lab", "run"),
    "pass": ("installed", "run_pass"),
    "site": ("installed", "site"),
    "validate": ("installed", "validate"),
}


def _step_of(verb: str) -> Callable[[Step], int]:
    module, name = VERBS[verb]
    step: Callable[[Step], int] = getattr(import_module(f"expci.runner.actions.{module}"), name)
    return step
