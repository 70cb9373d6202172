"""Which lab experiments a CI job of this checkout should run trials of.

`python3 -m expci.runner.lab.runnable` writes them to `$GITHUB_OUTPUT` as a JSON list, for the
matrix of the job that runs them. It needs no rights: the published document says what
runs in the lab, the checkout what it holds, and a pull request's own merge commit what it
touches. Standard library and git only.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from expci.core.model.arm import ID_PATTERN
from expci.errors import ExpciError, UsageError
from expci.runner import eligibility
from expci.runner.ci.messages import annotate
from expci.runner.eligibility import Ineligible
from expci.runner.experiment_files import roots_at
from expci.runner.lab import pinned
from expci.runner.published_copy import fetch_published, remote_of
from expci.store.git.git import Git
from expci.store.published import Published

LAB = "lab"
LIMIT = 20  # jobs that one run may start; GitHub itself stops at 256


def runnable(
    git: Git,
    document: Published,
    *,
    only: str = "",
    proposed_only: bool = False,
    roots: Sequence[str] = (),
    pinned_by: Mapping[str, str] | None = None,
) -> list[str]:
    """Ids of the lab experiments that may run here, at most `LIMIT`.

    `only` names a single experiment. With `proposed_only` HEAD is a pull request's merge
    commit and only what it changes counts, so that a pull request does not run its neighbours.
    `pinned_by` is the job's environment where it runs with secrets (`pinned.why_unpinned`).
    """
    if only and not re.fullmatch(ID_PATTERN, only):
        raise UsageError("EXPCI_EXPERIMENT is not an experiment's id")
    roots = roots or roots_at(git, "HEAD")
    names = [only] if only else sorted(document.experiments)
    if proposed_only:
        names = [name for name in names if _is_proposed(git, name, roots)]
    names = [name for name in names if _runs_here(git, document, name, roots)]
    if pinned_by is not None:
        names = [name for name in names if _is_as_started(git, document, name, pinned_by)]
    return names[:LIMIT]


def _is_as_started(
    git: Git, document: Published, name: str, environment: Mapping[str, str]
) -> bool:
    why = pinned.why_unpinned(git, name, document.experiments[name], environment)
    if why is not None:
        annotate("notice", why)
    return why is None


def _is_proposed(git: Git, name: str, roots: Sequence[str]) -> bool:
    parents = git.parents("HEAD")
    if not parents:
        return True
    directories = [f"{root}/{name}" for root in roots]
    return any(git.read_tree("HEAD", d) != git.read_tree(parents[0], d) for d in directories)


def _runs_here(git: Git, document: Published, name: str, roots: Sequence[str]) -> bool:
    exposure = document.experiments.get(name)
    if exposure is None or exposure.mode != LAB:
        return False
    return not isinstance(eligibility.assess(git, document, name, roots), Ineligible)


def main(environment: Mapping[str, str]) -> int:
    """Find them for the job that the environment describes; the exit code."""
    git = Git.at(Path())
    server = environment.get("GITHUB_SERVER_URL") or "https://github.com"
    token = environment.get("GITHUB_TOKEN", "")
    latest = fetch_published(remote_of(git, None, token, {"GITHUB_SERVER_URL": server}))
    for warning in latest.warnings:
        annotate("warning", warning)
    experiments = runnable(
        git,
        latest.document,
        only=environment.get("EXPCI_EXPERIMENT", ""),
        proposed_only=environment.get("GITHUB_EVENT_NAME") == "pull_request",
        pinned_by=environment if environment.get("EXPCI_PINNED") == "true" else None,
    )
    print(f"lab experiments to run here: {', '.join(experiments) or 'none'}")
    if output := environment.get("GITHUB_OUTPUT"):
        with Path(output).open("a", encoding="utf-8") as file:
            file.write(f"experiments={json.dumps(experiments)}\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(os.environ))
    except ExpciError as error:
        annotate("error", str(error))
        sys.exit(error.exit_code)
