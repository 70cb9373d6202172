"""The steps that send records: they have the token, and touch nothing that the work could write.

The work may have written the checkout's configuration, and with it programs that git runs there
(filters, `core.fsmonitor`). So the steps that look at the checkout afterwards have no token, and
those that have one push from a repository of their own.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from expci.core.model.trial import load_line
from expci.errors import ExpciError
from expci.runner.actions.step import NEEDS, Step
from expci.runner.record.record import RecordOptions, record_trials
from expci.store.git.isolated import isolated_remote
from expci.store.inbox import send
from expci.store.local import spool

AGAIN_S = 2.0  # before a push is tried a second and last time


def push_file(step: Step) -> int:
    """Push the file of an earlier step; the step's exit code. What does not go is uploaded."""
    file = Path(step.inputs.file)
    try:
        step.inputs.require_transport()
        if not spool.takes_pushes(step.git):
            raise ExpciError(spool.NOT_PUSHED)
        batches = _by_experiment(file)
        try:
            _send(step, batches)
        except ExpciError:
            time.sleep(AGAIN_S)
            _send(step, batches)
    except (ExpciError, OSError) as error:
        needs = "" if str(error) == spool.NOT_PUSHED else NEEDS
        step.problem(f"the records could not be pushed, so they are uploaded: {error}{needs}")
        step.tell((), file)
    return step.code


def _by_experiment(file: Path) -> Mapping[str, bytes]:
    batches: defaultdict[str, bytes] = defaultdict(bytes)
    for line in file.read_bytes().splitlines(keepends=True):
        batches[str(load_line(line)["experiment"])] += line
    return batches


def _send(step: Step, batches: Mapping[str, bytes]) -> None:
    server = step.environment.get("GITHUB_SERVER_URL", "")
    address = step.address or step.git.text("remote", "get-url", "origin")
    with isolated_remote(address, step.inputs.token, server, step.git.object_format) as remote:
        for experiment, data in batches.items():
            send.send(remote, experiment, data)


def push_spool(step: Step) -> int:
    """Push what earlier steps of this job kept; the step's exit code."""
    options = RecordOptions(
        step.root,
        step.environment,
        git=step.git,
        flush=True,
        token=step.inputs.token,
        address=step.address,
    )
    result = record_trials(options)
    if result.waiting:
        time.sleep(AGAIN_S)
        result = record_trials(options)
    step.hand_on((), result.waiting, result.warnings)
    return step.code
