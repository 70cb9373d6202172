"""Start `expci-lab.yml` on the branch of every lab experiment that runs.

The action `start-lab` runs it in a job of its own after the pass, because it alone needs
`actions: write`. A run that is started on the branch has that branch's rights and caches, so
what a proposal executes never runs in the name of the default branch. Standard library and git.
Source: https://docs.github.com/rest/actions/workflows#create-a-workflow-dispatch-event
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from expci.core.lifecycle.transitions import COLLECTING
from expci.errors import ExpciError
from expci.store import published
from expci.store.git.isolated import isolated_remote
from expci.store.published import Published

WORKFLOW = "expci-lab.yml"
SITE_WORKFLOW = "expci-site.yml"  # started like those that a revert names
LIMIT = 20  # runs that one pass may start
TIMEOUT_S = 30

# (branch, experiment or "", workflow, by default expci-lab) → HTTP status
Dispatch = Callable[..., int]


@dataclass(frozen=True)
class LabRun:
    """One run to start: which experiment, on which branches to try in turn."""

    experiment: str
    branches: tuple[str, ...]


def lab_runs_to_start(document: Published, default_branch: str, turn: int = 0) -> list[LabRun]:
    """The runs to start now, at most `LIMIT`; of more, each turn takes the next ones.

    A proposal's branch goes away when it is merged; the default branch holds it then.
    """
    runs = [
        LabRun(name, tuple(filter(None, (exposure.branch, default_branch))))
        for name, exposure in sorted(document.experiments.items())
        if exposure.mode == "lab" and exposure.state in COLLECTING
    ]
    first = turn * LIMIT % len(runs) if len(runs) > LIMIT else 0
    return [*runs[first:], *runs[:first]][:LIMIT]


def start_lab_runs(runs: list[LabRun], dispatch: Dispatch, say: Callable[[str], None]) -> None:
    """Start each run; what cannot be started is reported and does not hold up the others."""
    for run in runs:
        for branch in run.branches:
            status = dispatch(branch, run.experiment)
            if status < 300:
                say(f"{run.experiment}: started {WORKFLOW} on {branch}")
                break
            say(f"{run.experiment}: {WORKFLOW} could not be started on {branch} (HTTP {status})")


def start_workflows(
    names: Iterable[str], branch: str, dispatch: Dispatch, say: Callable[[str], None]
) -> None:
    """Start workflows of the default branch: what `GITHUB_TOKEN` pushed starts none by itself."""
    for name in names:
        status = dispatch(branch, "", name)
        done = "started" if status < 300 else f"could not be started (HTTP {status}): has it"
        say(f"{name}: {done} {'' if status < 300 else '`on: workflow_dispatch`?'}".rstrip())


def github(environment: Mapping[str, str]) -> Dispatch:
    """The forge's own call, with the token and addresses of the environment."""
    api = environment.get("GITHUB_API_URL") or "https://api.github.com"
    repository = environment.get("GITHUB_REPOSITORY", "")
    token = environment.get("GITHUB_TOKEN", "")
    if not repository or not token or not api.startswith(("https://", "http://")):
        raise ExpciError(
            "to start lab runs GITHUB_REPOSITORY and GITHUB_TOKEN are needed; add to the step:\n"
            "  env:\n    GITHUB_TOKEN: ${{ github.token }}"
        )
    url = f"{api}/repos/{repository}/actions/workflows"
    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
    }

    def dispatch(branch: str, experiment: str, workflow: str = WORKFLOW) -> int:
        inputs = {"inputs": {"experiment": experiment}} if experiment else {}
        body = json.dumps({"ref": branch, **inputs}).encode()
        address = f"{url}/{quote(workflow, safe='')}/dispatches"
        request = urllib.request.Request(address, data=body, headers=headers, method="POST")  # noqa: S310 - the scheme is checked above
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError as error:
            raise ExpciError(f"GitHub does not answer at {api}: {error}") from error

    return dispatch


def main(environment: Mapping[str, str], say: Callable[[str], None]) -> int:
    """Start what is wanted now; never a failure that would redden the pass.

    `say` takes what others wrote for text alone: whoever may push refs can name any branch.
    """
    server = (environment.get("GITHUB_SERVER_URL") or "https://github.com").rstrip("/")
    token, name = environment.get("GITHUB_TOKEN", ""), environment.get("GITHUB_REPOSITORY", "")
    # No checkout: one small document is all that is read.
    with isolated_remote(f"{server}/{name}.git", token, server, "sha1") as remote:
        fetched = published.fetch_published(remote)
    document = Published() if fetched is None else fetched[0]
    branch = environment.get("EXPCI_DEFAULT_BRANCH", "")
    start_workflows(_named(environment), branch, github(environment), say)
    number = environment.get("GITHUB_RUN_NUMBER", "")
    runs = lab_runs_to_start(document, branch, int(number) if number.isdecimal() else 0)
    if not runs:
        say("no lab experiment is running")
        return 0
    start_lab_runs(runs, github(environment), say)
    return 0


def _named(environment: Mapping[str, str]) -> list[str]:
    """The workflows that the pass wants started, by their files' names."""
    try:
        names = json.loads(environment.get("EXPCI_WORKFLOWS") or "[]")
    except ValueError:
        return []
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
