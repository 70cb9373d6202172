"""Whether this checkout may run with the lab's secrets: only what a writer started, as started.

A lab that holds a key runs the default branch, or the branch of an experiment at the very commit
at which somebody with write access started it. A push after the start runs nothing before it is
started again. What cannot be checked is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from expci.store.git import bounded, refs
from expci.store.git.git import Git
from expci.store.published import Exposure

_EVENT_BYTES = 25_000_000  # GitHub caps a webhook's payload at 25 MB
STARTED_BY_HAND = ("workflow_dispatch",)  # on a branch of the repository itself


def why_unpinned(
    git: Git, experiment: str, exposure: Exposure, environment: Mapping[str, str]
) -> str | None:
    """Why `experiment` gets no secret here, and what to do; `None` where it may run."""
    event, ref = environment.get("GITHUB_EVENT_NAME", ""), environment.get("GITHUB_REF", "")
    if event not in STARTED_BY_HAND:
        return (
            f"{experiment} runs with secrets, and a run of the event {event or 'unknown'} gets "
            "none: the pass starts the run once a writer has started the experiment"
        )
    if ref == refs.head(_default_branch(environment)):
        return None
    if not exposure.branch or ref != refs.head(exposure.branch):
        return f"{experiment} was not started on {ref or 'this branch'}, so nothing runs here"
    head = git.require("HEAD")
    if exposure.head == head:
        return None
    started = exposure.head[:12] or "an unknown commit"
    return (
        f"{experiment} was started at {started}, and this is {head[:12]}: nothing runs before a "
        f"writer starts it again (`/expci start {experiment}`)"
    )


def _default_branch(environment: Mapping[str, str]) -> str:
    """The repository's default branch; a name that no branch has where the event is silent."""
    try:
        path = Path(environment["GITHUB_EVENT_PATH"])
        event = json.loads(bounded.read_file(path, _EVENT_BYTES))
        name = event["repository"]["default_branch"]
    except (KeyError, OSError, ValueError, TypeError, RecursionError):
        return "//"
    return name if isinstance(name, str) and name else "//"
