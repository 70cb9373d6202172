"""One repository on the small GitHub: people, tokens, issues, pull requests, checks, runs."""

from __future__ import annotations

import itertools
import secrets
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from support.github_server.bare import ONLY_SIGNED, Bare
from support.github_server.faults import Faults

ids = itertools.count(1000)


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Token:
    """`permissions` of an App's token (a workflow's own is one); a person's has `None`."""

    secret: str
    login: str
    permissions: Mapping[str, str] | None = None
    opens_pulls: bool = True

    @property
    def is_app(self) -> bool:
        return self.permissions is not None

    def may(self, alternatives: Mapping[str, str]) -> bool:
        """Whether one of the permissions is held: {"issues": "write", "pull_requests": "write"}."""
        if self.permissions is None or not alternatives:
            return True
        held = self.permissions
        order = ["none", "read", "write", "admin"]
        return any(
            order.index(held.get(name, "none")) >= order.index(level)
            for name, level in alternatives.items()
        )


@dataclass
class Comment:
    id: int
    author: str
    body: str
    created: str
    updated: str
    reactions: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Issue:
    """An issue, or the talk of a pull request: both share numbers, comments and labels."""

    number: int
    author: str
    title: str
    body: str
    state: str = "open"
    state_reason: str | None = None
    labels: list[str] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    created: str = field(default_factory=now)
    updated: str = field(default_factory=now)
    id: int = field(default_factory=lambda: next(ids))
    pull: Pull | None = None
    locked: bool = False
    labelled: list[tuple[str, str]] = field(default_factory=list)  # (who, label), oldest first


@dataclass
class Pull:
    """`head_repository` is `None` where the fork is gone. `tested` is what mergeability is known
    for: (base tip, head tip)."""

    head: str
    base: str
    head_repository: str | None
    head_sha: str
    base_sha: str
    draft: bool = False
    merged_at: str | None = None
    merge: str | None = None
    closed_at: str | None = None
    requested: list[str] = field(default_factory=list)
    reviews: list[tuple[str, str]] = field(default_factory=list)
    tested: tuple[str, str] | None = None


@dataclass
class CheckRun:
    id: int
    name: str
    commit: str
    app: str
    status: str = "completed"
    conclusion: str | None = None
    external_id: str = ""
    output: dict[str, Any] = field(default_factory=dict)
    annotations: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Run:
    id: int
    event: str
    head_sha: str
    head_branch: str
    head_repository: str | None
    status: str = "completed"
    conclusion: str | None = "success"
    attempt: int = 1
    actor: str = "ada"
    path: str = ".github/workflows/ci.yml"
    created: str = field(default_factory=now)
    changed: str = ""
    number: int = field(default_factory=lambda: next(ids))
    steps: list[tuple[str, str | None]] = field(default_factory=list)
    jobs: dict[str, list[tuple[str, str | None]]] = field(default_factory=dict)

    @property
    def listed_jobs(self) -> dict[str, list[tuple[str, str | None]]]:
        """The steps of each job: what the test gave, `steps` being those of its only job."""
        return self.jobs or ({"test": self.steps} if self.steps else {})


@dataclass
class Artifact:
    id: int
    name: str
    data: bytes
    run: Run | None
    created: str
    expired: bool = False
    claimed_size: int | None = None


@dataclass
class Exchange:
    """One request and what was answered; `status` 0 where the connection was dropped."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    status: int = 0


@dataclass
class Hub:
    """One repository as GitHub knows it. Tests act on it as people do."""

    name: str
    bare: Bare
    server: str
    people: dict[str, str] = field(default_factory=lambda: {"ada": "admin"})
    merge_queue: list[int] = field(default_factory=list)
    tokens: dict[str, Token] = field(default_factory=dict)
    issues: dict[int, Issue] = field(default_factory=dict)
    checks: list[CheckRun] = field(default_factory=list)
    runs: dict[int, Run] = field(default_factory=dict)
    artifacts: list[Artifact] = field(default_factory=list)
    dispatches: list[tuple[str, str, Any]] = field(default_factory=list)
    rules: dict[str, list[str]] = field(default_factory=dict)
    signed_only: list[str] = field(default_factory=list)
    methods: tuple[str, ...] = ("merge", "squash", "rebase")
    reviews_needed: bool = False
    has_issues: bool = True
    has_drafts: bool = True
    remaining: int = 5000
    faults: Faults = field(default_factory=Faults)
    log: list[Exchange] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def api_url(self) -> str:
        return f"{self.server}/api/v3"

    @property
    def url(self) -> str:
        """The repository's own address in the API."""
        return f"{self.api_url}/repos/{self.name}"

    @property
    def page(self) -> str:
        return f"{self.server}/{self.name}"

    @property
    def git_url(self) -> str:
        return f"{self.server}/{self.name}.git"

    @property
    def owner(self) -> str:
        return self.name.split("/")[0]

    def token(
        self, login: str, permissions: Mapping[str, str], *, opens_pulls: bool = True
    ) -> Token:
        """An App's token; "github-actions[bot]" has that of a workflow."""
        return self._keep(Token(_secret("ghs"), login, permissions, opens_pulls))

    def token_of(self, person: str) -> Token:
        return self._keep(Token(_secret("ghp"), person))

    def _keep(self, token: Token) -> Token:
        self.tokens[token.secret] = token
        return token

    def calls(self, method: str = "", part: str = "") -> list[Exchange]:
        return [e for e in self.log if method in ("", e.method) and part in e.path]

    # --- what people do ----------------------------------------------------------------

    def open_issue(self, author: str, title: str, body: str, labels: tuple[str, ...] = ()) -> Issue:
        with self.lock:
            issue = Issue(next(self.numbers), author, title, body, labels=list(labels))
            self.issues[issue.number] = issue
            return issue

    def open_pull(
        self,
        author: str,
        head: str,
        base: str = "main",
        title: str = "A change",
        body: str = "",
        *,
        draft: bool = False,
        fork: str | None = None,
    ) -> Issue:
        """Without `fork` from a branch of this repository."""
        with self.lock:
            issue = self.open_issue(author, title, body)
            tip = self.bare.tip(self.head_ref(head, fork)) or ""
            base_tip = self.bare.tip(f"refs/heads/{base}") or ""
            issue.pull = Pull(head, base, fork or self.name, tip, base_tip, draft)
            if tip:
                self.bare.set(f"refs/pull/{issue.number}/head", tip)
            return issue

    def label(self, number: int, person: str, name: str) -> None:
        with self.lock:
            issue = self.issues[number]
            if name not in issue.labels:
                issue.labels.append(name)
                issue.labelled.append((person, name))

    def head_ref(self, head: str, repository: str | None) -> str:
        """Where a pull request's branch is; a fork's lie aside in the same bare repository."""
        if repository is None or repository == self.name:
            return f"refs/heads/{head}"
        return f"refs/forks/{repository}/{head}"

    def comment(self, number: int, author: str, body: str) -> Comment:
        with self.lock:
            comment = Comment(next(ids), author, body, now(), now())
            self.issues[number].comments.append(comment)
            self.issues[number].updated = comment.created
            return comment

    def comments(self, number: int) -> list[Comment]:
        return self.issues[number].comments

    def add_run(self, event: str = "push", fork: str | None = None, **fields: Any) -> Run:
        known = {"head_sha": self.bare.tip("refs/heads/main"), "head_branch": "main"}
        origin = fork or self.name
        run = Run(next(ids), event, **{"head_repository": origin, **known, **fields})
        self.runs[run.id] = run
        return run

    def add_artifact(self, name: str, data: bytes, run: Run | None, **fields: Any) -> Artifact:
        artifact = Artifact(next(ids), name, data, run, **{"created": now(), **fields})
        self.artifacts.append(artifact)
        return artifact

    def protect(self, branch: str) -> None:
        """Pushes to `branch` are refused, and the rules say why."""
        self.rules[branch] = ["pull_request", "required_status_checks"]
        self.bare.protect(branch)

    def require_signatures(self, branch: str, *more: str, is_told: bool = True) -> None:
        """`branch` takes signed commits alone; unless `is_told`, no rule says so beforehand."""
        self.rules[branch] = ["required_signatures", *more] if is_told else [*more]
        self.signed_only.append(branch)
        self.bare.protect(branch, ONLY_SIGNED)


def hub(name: str, path: Path, server: str) -> Hub:
    return Hub(name, Bare(path), server)


def _secret(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(16)}"
