"""A bench on the small GitHub: one server for all tests of a process, one repository a test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from expci.forge.github.forge import github_forge
from expci.forge.github.retries import Limits
from expci.forge.github.session import Access
from expci.forge.ports import Forge
from support.forge_contract import Bench
from support.github_server import GitHubServer, Hub, Token
from support.processes import HANG_S
from support.repositories import Repository, project

BOT = "github-actions[bot]"
ALL = {
    "contents": "write",
    "pull_requests": "write",
    "issues": "write",
    "checks": "write",
    "actions": "read",
}
numbers = itertools.count(1)


@cache
def server() -> GitHubServer:
    """Ends with the process."""
    return GitHubServer().start()


@dataclass
class HubBench(Bench):
    """`token` is a workflow's with every permission that expci asks for, unless a test says so."""

    hub: Hub
    token: Token
    limits: Limits = field(default_factory=lambda: Limits(left=10, unnamed=0.05, backoff=0.01))

    @classmethod
    def of(cls, repository: Repository) -> HubBench:
        hub = server().serve(f"ada/work-{next(numbers)}", repository.origin)
        return cls(repository, hub, hub.token(BOT, ALL))

    def forge(
        self, token: Token | None = None, limits: Limits | None = None, timeout: int | None = None
    ) -> Forge:
        secret = (token or self.token).secret
        # On a busy machine an answer takes its time; only who is to wait in vain is impatient.
        silent = any(fault.how == "hang" for fault in self.hub.faults.waiting)
        patience = timeout or (3 if silent else HANG_S)
        access = Access(
            self.hub.name, secret, self.hub.api_url, self.hub.server, timeout=patience, pause=0
        )
        return github_forge(access, limits or self.limits)

    @property
    def name(self) -> str:
        """The forge's, as events write it."""
        return f"{urlsplit(self.hub.server).netloc}/{self.hub.name}"

    def comments(self, number: int) -> list[str]:
        return [comment.body for comment in self.hub.comments(number)]

    def check_runs(self, commit: str) -> dict[str, tuple[str, str]]:
        runs = [run for run in self.hub.checks if run.commit == commit]
        return {run.name: (run.conclusion or "", run.output["title"]) for run in runs}

    def open_issues(self) -> list[str]:
        issues = self.hub.issues.values()
        return [issue.title for issue in issues if issue.pull is None and issue.state == "open"]

    def ci_run(self, commit: str) -> int:
        return self.hub.add_run(head_sha=commit).id

    def calls(self, method: str = "", part: str = "") -> int:
        return len(self.hub.calls(method, part))


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Copied for each test: making it takes ten processes."""
    return project(tmp_path_factory.mktemp("template"))


@pytest.fixture
def bench(template: Repository, tmp_path: Path) -> Iterator[HubBench]:
    made = HubBench.of(template.copy(tmp_path))
    yield made
    assert made.hub.violations == [], made.hub.violations
    assert made.hub.faults.waiting == [], "a fault that nothing met"
