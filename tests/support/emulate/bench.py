"""GitHub's API as `emulate` (npm) has it, an implementation that is not ours.

One process for all tests of a worker, a new repository for each test. What it gets wrong
about GitHub is said in the test that meets it; pull requests and merges are not to be tried on
it at all: heads never move and nothing conflicts.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from github import Auth, GithubIntegration

from expci.forge.github.forge import github_forge
from expci.forge.github.session import Access
from expci.forge.ports import Forge, PullRequest
from support.processes import HANG_S

HERE = Path(__file__).parent
MUST_RUN = os.environ.get("CI", "").lower() in ("1", "true")  # read before the tests clear it
OWNER = "ada"
PEOPLE = (OWNER, "grace", "mallory")  # the token of each is their name
BOT = "expci-app[bot]"
ALL = {
    "contents": "write",
    "pull_requests": "write",
    "issues": "write",
    "checks": "write",
    "metadata": "read",
}
SEED = {
    "tokens": {name: {"login": name, "scopes": ["repo"]} for name in PEOPLE},
    "github": {
        "users": [{"login": name} for name in PEOPLE],
        "apps": [
            {
                "app_id": 1,
                "slug": "expci-app",
                "name": "expci",
                "permissions": ALL,
                "installations": [{"installation_id": 1, "account": OWNER}],
            }
        ],
    },
}


def require_emulate() -> str:
    """The path of node; on a machine without it or emulate the test is skipped, in CI it fails."""
    node = shutil.which("node")
    if node is None:
        _missing("node not found: install Node.js 18 or newer, with npm, and run: make test")
    if not (HERE / "node_modules/emulate").is_dir():
        _missing("emulate is not installed. Run: make emulate (it needs npm)")
    return str(node)


def _missing(text: str) -> None:
    (pytest.fail if MUST_RUN else pytest.skip)(text)


@dataclass
class Emulate:
    """The running process. `key` is the private key of the App."""

    url: str
    key: str
    session: requests.Session
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def app_token(self, permissions: dict[str, str]) -> str:
        """An installation's token, asked for as an App asks GitHub."""
        with GithubIntegration(auth=Auth.AppAuth(1, self.key), base_url=self.url) as app:
            return app.get_access_token(1, permissions=permissions).token

    def call(self, who: str, method: str, path: str, body: Any = None) -> Any:
        """What is answered to this person; an assertion fails where it is an error."""
        answer = self.session.request(
            method, self.url + path, json=body, headers={"Authorization": f"token {who}"}
        )
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None


@dataclass
class EmulateBench:
    """One repository of Ada's, seen by people through the API and by expci through its forge."""

    world: Emulate
    name: str

    @classmethod
    def of(cls, world: Emulate, *, private: bool = False) -> EmulateBench:
        name = f"work-{next(world.numbers)}"
        world.call(
            OWNER, "POST", "/user/repos", {"name": name, "auto_init": True, "private": private}
        )
        return cls(world, f"{OWNER}/{name}")

    def forge(self, without: str = "", *, read: str = "") -> Forge:
        """As a new pass of the App sees the place.

        `without` and `read` name permissions, with spaces between, that the token has not or
        has for reading only.
        """
        held = {name: level for name, level in ALL.items() if name not in without.split()}
        held |= dict.fromkeys(read.split(), "read")
        token = self.world.app_token(held)
        return github_forge(
            Access(self.name, token, self.world.url, self.world.url, timeout=HANG_S, pause=0)
        )

    # --- what people do and see --------------------------------------------------------

    def call(self, method: str, path: str, body: Any = None, who: str = OWNER) -> Any:
        return self.world.call(who, method, f"/repos/{self.name}/{path}", body)

    def issue(self) -> PullRequest:
        """An issue, as a request: their comments and labels are at the same addresses."""
        made = self.call("POST", "issues", {"title": "Promote speed"})
        return self.again(made["number"])

    def again(self, number: int) -> PullRequest:
        found = self.call("GET", f"issues/{number}")
        labels = tuple(label["name"] for label in found["labels"])
        return PullRequest(number, "expci/promote/speed", "main", found["title"], "", labels=labels)

    def comment(self, number: int, who: str, body: str) -> int:
        made = self.call("POST", f"issues/{number}/comments", {"body": body}, who)
        return int(made["id"])

    def comments(self, number: int) -> list[tuple[str, str]]:
        """(author, body), oldest first."""
        return [(c["user"]["login"], c["body"]) for c in self._comments(number)]

    def comment_ids(self, number: int) -> list[int]:
        return [c["id"] for c in self._comments(number)]

    def _comments(self, number: int) -> Iterator[dict[str, Any]]:
        for page in itertools.count(1):
            found = self.call("GET", f"issues/{number}/comments?per_page=100&page={page}")
            yield from found
            if len(found) < 100:
                return

    def main(self) -> str:
        return str(self.call("GET", "git/ref/heads/main")["object"]["sha"])

    def checks(self, commit: str) -> list[dict[str, Any]]:
        """All check runs of a commit, oldest first."""
        found = self.call("GET", f"commits/{commit}/check-runs?filter=all")["check_runs"]
        return sorted(found, key=lambda run: int(run["id"]))

    def annotations(self, run: dict[str, Any]) -> list[dict[str, Any]]:
        path = f"check-runs/{run['id']}/annotations?per_page=100"
        # An object here, where GitHub answers with the bare list.
        return list(self.call("GET", path)["check_annotations"])


@pytest.fixture(scope="session")
def emulate() -> Iterator[Emulate]:
    command = [require_emulate(), str(HERE / "start.mjs"), json.dumps(SEED)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "emulate did not start: see its message above"
        started = json.loads(line)
        with requests.Session() as session:
            session.trust_env = False
            yield Emulate(started["url"], started["key"], session)
        process.stdin.close()  # it ends with its input
        process.wait(timeout=HANG_S)


@pytest.fixture
def bench(emulate: Emulate) -> EmulateBench:
    return EmulateBench.of(emulate)
