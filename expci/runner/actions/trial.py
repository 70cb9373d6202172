"""The main half of the action `trial`, which does both steps around the job's work."""

from __future__ import annotations

import json
from pathlib import Path

from expci.runner.actions.assigning import assign_arms
from expci.runner.actions.step import BEGUN, Step
from expci.runner.live.assign import AssignResult, variables


def begin_step(step: Step) -> int:
    """The main half: assign, and leave word of the arms for the command of `run:`."""
    try:
        result = assign_arms(step)
    except Exception as error:
        step.fall_open(error)
        result = AssignResult()
    if BEGUN in step.environment:
        Path(step.environment[BEGUN]).write_text(json.dumps(variables(result.outcomes)))
    return step.code
