"""The work of the action `trial`, where its `run:` names it: measured, and below no token."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from expci.core.value_class import replace
from expci.runner.actions.recording import end_trials
from expci.runner.actions.step import BEGUN, Step
from expci.runner.ci import context
from expci.runner.measure.interrupts import caught
from expci.runner.measure.measure import MeasuredCommand, Measurement, measure

NO_LIMIT_S = 35 * 86_400.0  # a job may take 35 days at most; the job's own limit counts


def run(step: Step) -> int:
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
            end_trials(inside, done.status, _options(done), to_file=False)
        except Exception as error:
            step.fall_open(error)
    return done.exit_code or step.code


def _options(done: Measurement) -> tuple[str, ...]:
    values = {name: value for name, value in done.metrics.items() if name != "success"}
    return tuple(f"{name}={value!r}" for name, value in values.items())
