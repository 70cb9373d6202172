"""The forge on GitHub, and Enterprise servers with the same API.

The files `github_*.py` beside this one are the only ones that import PyGithub: importing
it takes a fifth of a second, so `expci/app.py` does so where a forge is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from urllib.parse import quote

from expci.errors import ForgeError
from expci.forge.github.alerts import Alerts
from expci.forge.github.checks import Checks
from expci.forge.github.comments import Comments
from expci.forge.github.pull_requests import Pulls
from expci.forge.github.retries import Limits
from expci.forge.github.runs import Runs
from expci.forge.github.session import CONTENTS_READ, METADATA, Access, Session
from expci.forge.ports import Artifact, Check, Job, Pull, Reaction, Remark, Run

MAY_PUSH = ("admin", "write")


class GitHubForge:
    """One repository on GitHub, for the time of one command or pass.

    Listings are read once and kept: what changes meanwhile, the next pass sees.
    """

    name = "github"
    social = True

    def __init__(self, access: Access, limits: Limits | None = None) -> None:
        self._session = Session(access, limits)
        self._comments = Comments(self._session)
        self._pulls = Pulls(self._session, self._comments, access.pause)
        self._checks = Checks(self._session)
        self._alerts = Alerts(self._session, self._comments)
        self._runs = Runs(self._session)
        self._writers: dict[str, bool] = {}

    # --- pull requests -----------------------------------------------------------------

    def pull(self, head: str) -> Pull | None:
        return self._pulls.of(head)

    def pulls(self) -> tuple[Pull, ...]:
        return self._pulls.listed()

    def numbered(self, number: int) -> Pull | None:
        return self._pulls.numbered(number)

    def head_ref(self, pull: Pull) -> str:
        """GitHub keeps one for each request; a fork's branch can be had by it alone."""
        return f"refs/pull/{pull.number}/head"

    def labelled_by(self, pull: Pull, label: str) -> str | None:
        return self._pulls.labelled_by(pull, label)

    def proposal(self, branch: str, title: str, body: str) -> Pull | None:  # noqa: ARG002
        """Found, never made: on GitHub proposing is a person's act."""
        return self._pulls.of(branch)

    def open_pull(self, head: str, base: str, title: str, body: str, *, draft: bool) -> Pull:
        return self._pulls.open(head, base, title, body, draft=draft)

    def close_pull(self, pull: Pull, word: str) -> Pull:
        return self._pulls.close(pull, word)

    def merge_pull(self, pull: Pull, message: str) -> Pull:
        return self._pulls.merge(pull, message)

    def comment(self, pull: Pull, marker: str, body: str) -> bool:
        return self._comments.write(pull.number, marker, body)

    def label(self, pull: Pull, labels: tuple[str, ...]) -> None:
        self._pulls.label(pull, labels)

    def ask_review(self, pull: Pull, reviewers: tuple[str, ...]) -> bool:
        return self._pulls.ask_review(pull, reviewers)

    # --- around them -------------------------------------------------------------------

    def whoami(self) -> str:
        return self._session.login

    def can_write(self, actor: str) -> bool:
        """Asked from the API: somebody with `triage` can label, but not push."""
        if actor not in self._writers:
            self._writers[actor] = self._permission(actor) in MAY_PUSH
        return self._writers[actor]

    def _permission(self, actor: str) -> str:
        try:
            with self._session.asking(f"read what {actor} may do", METADATA):
                return self._session.repository.get_collaborator_permission(actor)
        except ForgeError as error:
            if error.status != 404:
                raise
            return "none"

    def branch_rules(self, branch: str) -> tuple[str, ...]:
        """Rule types of rulesets; `branch_protection` for the older kind of rules."""
        name = quote(branch, safe="")
        with self._session.asking(f"read the rules of {branch}", METADATA):
            _, found = self._session.request("GET", f"rules/branches/{name}?per_page=100")
            rules = sorted({str(rule["type"]) for rule in found})
            if not rules and self._protected(name):
                rules = ["branch_protection"]
        return tuple(rules)

    def _protected(self, name: str) -> bool:
        try:
            with self._session.asking("read the branch", CONTENTS_READ):
                return bool(self._session.request("GET", f"branches/{name}")[1]["protected"])
        except ForgeError as error:
            if error.status != 404:
                raise
            return False

    def compare_url(self, head: str, base: str) -> str:
        return self._session.compare_url(head, base)

    def check(self, commit: str, check: Check) -> bool:
        return self._checks.set(commit, check)

    def alert(self, marker: str, title: str, body: str) -> bool:
        return self._alerts.raise_(marker, title, body)

    def clear_alert(self, marker: str, word: str) -> bool:
        return self._alerts.clear(marker, word)

    def remarks(self, since: datetime) -> Iterator[Remark]:
        return self._comments.since(since)

    def react(self, remark: int, reaction: Reaction) -> None:
        self._comments.react(remark, reaction)

    # --- what CI runs left behind ------------------------------------------------------

    def artifacts(self, prefix: str, since: datetime | None) -> Iterator[Artifact]:
        return self._runs.artifacts(prefix, since)

    def download(self, artifact: Artifact, limit: int) -> bytes:
        return self._runs.download(artifact, limit)

    def run(self, id: int) -> Run | None:
        return self._runs.run(id)

    def runs(self, since: datetime) -> Iterator[Run]:
        return self._runs.since(since)

    def jobs(self, run: int) -> tuple[Job, ...]:
        return self._runs.jobs(run)
