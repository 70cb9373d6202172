"""What expci needs of the place where pull requests live: six small ports in one `Forge`.

Every call is safe to repeat: opening looks for what is open, commenting edits the comment
with the same marker. `tests/support/forge_contract.py` holds each implementation to this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal, Protocol

Level = Literal["failure", "warning", "notice"]
Conclusion = Literal["success", "failure", "neutral"]
Reaction = Literal["+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes"]


# --- values --------------------------------------------------------------------------


class PullRequestState(StrEnum):
    OPEN = "open"
    CLOSED = "closed"
    MERGED = "merged"


@dataclass(frozen=True)
class PullRequest:
    """A pull request. `merge` is the commit that brought it to the base branch.

    `fork` is whether its branch lies in another repository: then `head` names nothing here.
    """

    number: int
    head: str
    base: str
    title: str
    body: str
    state: PullRequestState = PullRequestState.OPEN
    draft: bool = False
    labels: tuple[str, ...] = ()
    head_commit: str = ""
    merge: str | None = None
    url: str = ""
    fork: bool = False
    author: str = ""

    @property
    def is_open(self) -> bool:
        return self.state is PullRequestState.OPEN


@dataclass(frozen=True)
class Annotation:
    """A remark of a check run on one line of a file. `line` counts from 1."""

    path: str
    line: int
    message: str
    level: Level = "failure"
    title: str = ""


@dataclass(frozen=True)
class CheckRun:
    """A check run on a commit. `summary` is Markdown, at most 65,535 characters."""

    name: str
    conclusion: Conclusion
    title: str
    summary: str
    annotations: tuple[Annotation, ...] = ()


@dataclass(frozen=True)
class Comment:
    """Somebody's comment on pull request or issue `number`. `id` is what a reaction goes to.

    `changed` is when it was written or edited last, where the forge tells.
    """

    id: int
    number: int
    author: str
    body: str
    at: datetime
    changed: datetime | None = None


@dataclass(frozen=True)
class Artifact:
    """Data that a CI run left behind. `size` in bytes, compressed.

    `own` is whether the run's commit came from this repository; a fork's did not, and
    neither, for all one can know, did that of a fork that is gone.
    """

    id: int
    name: str
    size: int
    created: datetime
    expired: bool
    run: int
    head_commit: str
    own: bool


@dataclass(frozen=True)
class CIRun:
    """A run of a CI workflow, by the CI's own records. `conclusion` is `None` while it runs.

    `repository` is where it ran, `head_repository` where its commit came from (a fork, or "" for
    one that is gone). `workflow` is the path of its file, `number` counts the workflow's runs,
    `changed` is when anything last happened to it: of one that is completed, when it was. `pulls`
    are the pull requests that the CI names: none of a fork's run, nor once they are closed.
    """

    id: int
    workflow: str
    event: str
    status: str
    conclusion: str | None
    attempt: int
    actor: str
    head_branch: str
    head_commit: str
    head_repository: str
    own: bool
    created: datetime
    repository: str = ""
    number: int = 0
    changed: datetime | None = None
    pulls: tuple[int, ...] = ()


@dataclass(frozen=True)
class JobStep:
    """A step of a CI job. `conclusion` is `None` before its end, else "success", "skipped", …"""

    name: str
    conclusion: str | None


@dataclass(frozen=True)
class Job:
    """A job of a CI run, one for each leg of a matrix."""

    name: str
    conclusion: str | None
    steps: tuple[JobStep, ...]


@dataclass(frozen=True)
class NewCommit:
    """A new commit on `parent`, whose tree is `base`; `tree` is what it must have.

    `files` are the paths where the two trees differ: mode and bytes, `None` for a deletion.
    """

    message: str
    tree: str
    parent: str
    base: str
    files: Mapping[str, tuple[str, bytes] | None]


# --- ports ---------------------------------------------------------------------------


class PullRequests(Protocol):
    """Pull requests: proposals, promotions and reverts."""

    def of_branch(self, head: str) -> PullRequest | None:
        """The open pull request from branch `head`, else the newest of `listed()`."""
        ...

    def listed(self) -> tuple[PullRequest, ...]:
        """All that are open and those closed or merged lately, forks' too, newest first."""
        ...

    def left_out(self) -> str:
        """What `listed()` lacks, in words; "" where it is whole."""
        ...

    def numbered(self, number: int) -> PullRequest | None:
        """The pull request of this number; `None` where there is none."""
        ...

    def head_ref(self, pull: PullRequest) -> str:
        """The ref on the remote from which its newest commit is fetched, a fork's too."""
        ...

    def propose(self, branch: str, title: str, body: str) -> PullRequest | None:
        """The pull request that proposes an experiment from `branch`, where there is one."""
        ...

    def open(self, head: str, base: str, title: str, body: str, *, draft: bool) -> PullRequest:
        """Open a pull request, or bring the open one from the same branch up to date."""
        ...

    def close(self, pull: PullRequest, word: str) -> PullRequest:
        """Close it with a word of why; one that is merged or closed is left alone."""
        ...

    def merge(self, pull: PullRequest, message: str) -> PullRequest:
        """Merge it; `ExpciError` when the base moved into conflict or refuses."""
        ...

    def label(self, pull: PullRequest, labels: tuple[str, ...]) -> None:
        """Make `labels` the ones among `expci:*` that the pull request has."""
        ...

    def labelled_by(self, pull: PullRequest, label: str) -> str | None:
        """Who put `label` on it last; `None` where no record says so."""
        ...

    def request_review(self, pull: PullRequest, reviewers: tuple[str, ...]) -> bool:
        """Ask each of `reviewers` once for a review; whether a review was requested now.

        Somebody who cannot review it (its author, a stranger) is skipped.
        """
        ...

    def branch_rules(self, branch: str) -> tuple[str, ...]:
        """What the repository's rules demand of pushes to `branch`, in the forge's words."""
        ...

    def compare_url(self, head: str, base: str) -> str:
        """The page on which a person opens a pull request; "" where there is none."""
        ...


class Comments(Protocol):
    """Comments on pull requests and issues, and what their authors may do."""

    def write(self, number: int, marker: str, body: str) -> bool:
        """Write or update the one comment that ends with `marker`; whether anything changed."""
        ...

    def since(self, moment: datetime) -> Iterator[Comment]:
        """Comments by anybody that are new or edited since, oldest first."""
        ...

    def react(self, id: int, reaction: Reaction) -> None:
        """Answer a comment with a reaction; one that is there stays as it is."""
        ...

    def login(self) -> str:
        """Whose token this is: the author of everything that expci writes."""
        ...

    def can_write(self, login: str) -> bool:
        """Whether this person may push to the repository."""
        ...


class Checks(Protocol):
    """Check runs on commits."""

    def set(self, commit: str, check: CheckRun) -> bool:
        """Set the check run of this name on a commit; whether anything changed."""
        ...


class Commits(Protocol):
    """Commits that the forge itself makes, and signs."""

    def put(self, branch: str, commit: NewCommit, *, is_forward: bool) -> str | None:
        """Make the commit, move `branch` there (make it where there is none); the commit's id.

        `None`, and nothing is moved, where the forge signs nothing for this token. `LostRace` where
        it must go forward and cannot; `Refused` where a rule forbids it.
        """
        ...


class Alerts(Protocol):
    """Issues that call for a person."""

    def open(self, marker: str, title: str, body: str) -> bool:
        """Open or update the one issue whose body ends with `marker`; whether anything changed."""
        ...

    def close(self, marker: str, word: str) -> bool:
        """Close that issue with a word, where it is open; whether it was."""
        ...


class CIRecords(Protocol):
    """What the CI recorded: its runs and their artifacts."""

    def artifacts(self, prefix: str, since: datetime | None) -> Iterator[Artifact]:
        """Artifacts created since, newest first, whose name starts with `prefix`. Read lazily."""
        ...

    def download(self, artifact: Artifact, limit: int) -> bytes:
        """The one file in an artifact; `NotOneFile` when there is not exactly one,
        or when it is larger than `limit` bytes."""
        ...

    def run(self, id: int) -> CIRun | None:
        """A CI run by its id; `None` when there is none."""
        ...

    def runs(self, since: datetime) -> Iterator[CIRun]:
        """The CI runs created since, newest first. Read lazily."""
        ...

    def runs_of(self, workflow: str, since: datetime, most: int) -> tuple[CIRun, ...]:
        """The newest runs created since of the workflow with this file; read once.

        There are none where the CI does not know the workflow.
        """
        ...

    def jobs(self, run: int) -> tuple[Job, ...]:
        """The jobs of a CI run, those of all its attempts; the first hundred of very many."""
        ...


@dataclass(frozen=True)
class Forge:
    """One place where pull requests live. A port that it lacks is `None`.

    `social` is whether people propose, comment and label there.
    """

    name: str
    pull_requests: PullRequests
    comments: Comments
    checks: Checks | None = None
    alerts: Alerts | None = None
    ci: CIRecords | None = None
    commits: Commits | None = None
    social: bool = False
