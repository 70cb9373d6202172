"""The steps that need everything installed: the pass, the page, `validate`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from expci.runner.actions import idle, installation
from expci.runner.actions.step import Step
from expci.runner.ci import outputs


def run_pass(step: Step) -> int:
    more = {"EXPCI_WEBHOOK": step.inputs.webhook} if step.inputs.webhook else {}
    part = ("--part", step.inputs.part) if step.inputs.part else ()
    code = installation.run(("auto", *part), step.root, step.inputs, step.environment, more)
    if code == 0 and not idle.has_lab(step):
        values = {"follow": "false"}  # a revert that has workflows to start says so after this
        step.report(outputs.write(step.environment, "GITHUB_OUTPUT", values))
    return code


def site(step: Step) -> int:
    """Write the page below the runner's temporary directory, and say where."""
    directory = Path(step.environment.get("RUNNER_TEMP") or tempfile.mkdtemp()) / "expci-page"
    verb = ("site", str(directory))
    code = installation.run(verb, step.root, step.inputs, step.environment, {})
    outputs.write(step.environment, "GITHUB_OUTPUT", {"directory": str(directory)})
    return code


def validate(step: Step) -> int:
    return installation.run(("validate",), step.root, step.inputs, step.environment, {})
