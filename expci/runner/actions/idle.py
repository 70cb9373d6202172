"""The first step of the pass: a scheduled one ends here where there is nothing to look after."""

from __future__ import annotations

from expci.core.lifecycle.transitions import COLLECTING
from expci.errors import ExpciError
from expci.runner.actions.step import Step
from expci.runner.ci import messages, outputs
from expci.runner.published_copy import fetch_published, remote_of
from expci.store.git.git import Git
from expci.store.git.isolated import isolated_remote
from expci.store.idle import PATTERNS, is_idle

SCHEDULE = "schedule"
# The mark of an idle hour is a ref, and refs can be forged: so often it is not believed.
IN_ANY_CASE = 24


def run(step: Step) -> int:
    """Say whether the pass may end: one listing of refs, no checkout; the step's exit code."""
    scheduled = step.environment.get("GITHUB_EVENT_NAME") == SCHEDULE
    idle = scheduled and not _looks_in_any_case(step) and _is_idle(step)
    if idle:
        messages.say("nothing has started, arrived or been merged since the last pass")
    follow = {"follow": "false"} if idle else {}
    values = {"idle": str(idle).lower(), **follow}
    step.report(outputs.write(step.environment, "GITHUB_OUTPUT", values))
    return step.code


def _looks_in_any_case(step: Step) -> bool:
    number = step.environment.get("GITHUB_RUN_NUMBER", "")
    return number.isdecimal() and int(number) % IN_ANY_CASE == 0


def _is_idle(step: Step) -> bool:
    server = step.environment.get("GITHUB_SERVER_URL", "")
    try:
        with isolated_remote(step.address, step.inputs.token, server, "sha1") as remote:
            return is_idle(remote.names(*PATTERNS))
    except ExpciError:
        return False  # the pass itself says what is wrong


def has_lab(step: Step) -> bool:
    """Whether an experiment runs in the lab; `True` where nothing tells."""
    git = Git.at(step.root)
    try:
        copy = fetch_published(remote_of(git, None, step.inputs.token, step.environment))
    except ExpciError:
        return True
    experiments = copy.document.experiments.values()
    lab = any(exposure.mode == "lab" and exposure.state in COLLECTING for exposure in experiments)
    return lab or not copy.is_fresh
