"""The steps of expci's GitHub Actions: inputs in, one verb, annotations and outputs out.

Whatever goes wrong in expci itself is reported loudly and leaves the job as it was: only with
`strict: true` it fails the job. Standard library and git only, run straight from the
action's own checkout by `.github/actions/start.sh`.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from expci.core.model.trial import Trial
from expci.errors import ExpciError, SecretsRefused, UsageError
from expci.runner.actions import idle, installation, lab
from expci.runner.actions.step import BROKEN, Step
from expci.runner.ci import context, messages, outputs
from expci.runner.live import live_trial
from expci.runner.live.assign import AssignOptions, AssignResult, assign_job, variables
from expci.runner.measure import secrets_vault
from expci.runner.measure.interrupts import Interrupted, caught
from expci.runner.measure.measure import MeasuredCommand, Measurement, measure
from expci.runner.record.record import RecordOptions, record_trials
from expci.store.git.git import Git
from expci.store.local import recent_trials

ASSIGNED = "EXPCI_ASSIGNED"  # tells later steps which trials were begun
BEGUN = "EXPCI_BEGUN"  # the file in which the arms stand for the command of `run:`
NO_LIMIT_S = 35 * 86_400.0  # a job may take 35 days at most; the job's own limit counts
AGAIN_S = 2.0  # before a push is tried a second and last time
UNTOUCHED = "The job goes on without expci"


def main(verb: str, environment: Mapping[str, str]) -> int:
    """Run one verb; the step's exit code. One that was given secrets runs below their keeper."""
    if verb == "lab" and environment.get(secrets_vault.INPUT):
        return _keep_secrets(verb, dict(environment))
    step = Step.of(environment)
    try:
        return VERBS[verb](step)
    except Interrupted as stop:
        messages.say(str(stop))
        return stop.exit_code
    except SecretsRefused as error:
        messages.annotate("error", str(error))
        return error.exit_code  # not open: the next step has secrets
    except Exception as error:
        return _fall_closed(step, error) if step.inputs.pinned else _fall_open(step, error)


def _keep_secrets(verb: str, environment: dict[str, str]) -> int:
    try:
        secrets = secrets_vault.parse_secrets(secrets_vault.taken_out(environment))
        if environment.get("INPUT_PINNED", "").lower() != "true":
            raise UsageError(
                "`secrets:` needs `pinned: true`: only what a writer started gets them"
            )
    except ExpciError as error:
        messages.annotate("error", str(error))
        return error.exit_code
    command = (sys.executable, "-I", "-S", sys.argv[0], verb)
    return secrets_vault.keep_and_run(secrets, command, environment)


def _fall_closed(step: Step, error: Exception) -> int:
    """A job with secrets goes on only where it is certain what runs in it."""
    _fall_open(step, error)
    return 1


def _fall_open(step: Step, error: Exception) -> int:
    if not isinstance(error, (ExpciError, OSError)):
        messages.say("this is a mistake in expci; please report it with these lines:")
        for line in traceback.format_exception(error):
            messages.say(line.rstrip())
    step.problem(f"{error or type(error).__name__}. {UNTOUCHED}.")
    return step.code


# --- assign ----------------------------------------------------------------------------


def _assign_step(step: Step) -> int:
    _assign_arms(step)
    return step.code


def _assign_arms(step: Step) -> AssignResult:
    step.inputs.require_target()
    if ASSIGNED not in step.environment:
        step.refuse_earlier_jobs()
    result = assign_job(
        AssignOptions(
            directory=step.root,
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


# --- record ----------------------------------------------------------------------------


def _record_step(step: Step) -> int:
    step.inputs.require_target()
    step.inputs.require_transport()
    if ASSIGNED not in step.environment:
        step.problem(
            "there is nothing to record: no step before this one assigned an arm in this job. Put "
            "the `assign` action after the checkout and before the work"
        )
    else:
        _end_trials(step, step.inputs.status)
    return step.code


def _end_trials(
    step: Step, status: str, measured: Sequence[str] = (), *, sends: bool = True
) -> tuple[Trial, ...]:
    """End what `assign` began here and hand the records on, or keep them for a later step."""
    git = Git.at(step.root)
    names = (step.inputs.experiment or None, step.inputs.slot or None)
    begun = live_trial.begun(git, *names)
    is_pushed = step.inputs.transport == "push"
    _say_what_is_gone(step, git)
    if not begun and not is_pushed:
        messages.say("no trial was begun in this job")
        step.tell(())
        return ()
    options = RecordOptions(
        directory=step.root,
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
        rest = RecordOptions(step.root, step.environment, flush=True)
        again = record_trials(replace(rest, token=options.token, address=options.address))
        result = replace(result, waiting=again.waiting, warnings=again.warnings)
    step.hand_on(result.trials, result.waiting, result.warnings)
    return result.trials


def _say_what_is_gone(step: Step, git: Git) -> None:
    """Trials that were begun in this job, and of which the checkout knows nothing."""
    here = {begun.id for begun in live_trial.load(git)}
    for name in step.environment.get(ASSIGNED, "").split()[1:]:
        if name not in here and recent_trials.experiment_of(git, name) is None:
            step.problem(
                f"trial {name} is lost: a step after `assign` replaced the checkout, and with it "
                "what expci keeps in .git. Let the job check out once, before `assign`"
            )


# --- trial: both in one step -----------------------------------------------------------


def _trial_step(step: Step) -> int:
    """The main half: assign, and leave word of the arms for the command of `run:`."""
    try:
        result = _assign_arms(step)
    except Exception as error:
        _fall_open(step, error)
        result = AssignResult()
    if BEGUN in step.environment:
        Path(step.environment[BEGUN]).write_text(json.dumps(variables(result.outcomes)))
    return step.code


def _run_step(step: Step) -> int:
    """The command of `run:`, below no process that has a token; the post half sends the record."""
    begun = Path(step.environment[BEGUN])
    arms = json.loads(begun.read_text()) if begun.exists() else {}
    job = {name: value for name, value in step.environment.items() if name != BEGUN}
    visible = context.command_environment(job, {}, arms)
    shell = shutil.which("bash") or "sh"
    command = MeasuredCommand((shell, "-e", "-c", step.inputs.run), Path.cwd(), visible, NO_LIMIT_S)
    with caught() as interrupts:
        done = measure(command, interrupts)
    if arms:
        try:
            inside = replace(step, environment={**step.environment, **arms})
            _end_trials(inside, done.status, _options(done), sends=False)
        except Exception as error:
            _fall_open(step, error)
    return done.exit_code or step.code


def _options(done: Measurement) -> tuple[str, ...]:
    values = {name: value for name, value in done.metrics.items() if name != "success"}
    return tuple(f"{name}={value!r}" for name, value in values.items())


def _after_step(step: Step) -> int:
    """The post half, whatever became of the job; sends also what an interrupted main left."""
    _end_trials(step, step.inputs.status)
    return step.code


# --- with everything installed ---------------------------------------------------------


def _pass_step(step: Step) -> int:
    more = {"EXPCI_WEBHOOK": step.inputs.webhook} if step.inputs.webhook else {}
    code = installation.run(("auto",), step.root, step.inputs, step.environment, more)
    if code == 0 and not idle.has_lab(step):
        values = {"follow": "false"}  # a revert that has workflows to start says so after this
        step.report(outputs.write(step.environment, "GITHUB_OUTPUT", values))
    return code


def _site_step(step: Step) -> int:
    """Write the page below the runner's temporary directory, and say where."""
    directory = Path(step.environment.get("RUNNER_TEMP") or tempfile.mkdtemp()) / "expci-page"
    verb = ("site", str(directory))
    code = installation.run(verb, step.root, step.inputs, step.environment, {})
    outputs.write(step.environment, "GITHUB_OUTPUT", {"directory": str(directory)})
    return code


def _validate_step(step: Step) -> int:
    return installation.run(("validate",), step.root, step.inputs, step.environment, {})


VERBS: Mapping[str, Callable[[Step], int]] = {
    "assign": _assign_step,
    "record": _record_step,
    "trial": _trial_step,
    "trial-run": _run_step,
    "after": _after_step,
    "idle": idle.run,
    "lab-fetch": lab.fetch,
    "lab": lab.run,
    "lab-push": lab.push,
    "pass": _pass_step,
    "site": _site_step,
    "validate": _validate_step,
}
