"""What expci needs of the place where pull requests live: a small protocol.

Every call is safe to repeat: opening finds what is open, commenting edits the comment
with the same marker. `tests/support/forge_contract.py` holds each implementation to this.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal, Protocol

Level = Literal["failure", "warning", "notice"]
Conclusion = Literal["success", "failure", "neutral"]
Reaction = Literal["+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes"]


class PullState(StrEnum):
    OPEN = "open"
    CLOSED = "closed"
    MERGED = "merged"


@dataclass(frozen=True)
class Pull:
    """A pull request. `merge` is the commit that brought it to the base branch.

    `fork` is whether its branch lies in another repository: then `head` names nothing here.
    """

    number: int
    head: str
    base: str
    title: str
    body: str
    state: PullState = PullState.OPEN
    draft: bool = False
    labels: tuple[str, ...] = ()
    head_commit: str = ""
    merge: str | None = None
    url: str = ""
    fork: bool = False
    author: str = ""


@dataclass(frozen=True)
class Annotation:
    """A remark of a check on one line of a file. `line` counts from 1."""

    path: str
    line: int
    message: str
    level: Level = "failure"
    title: str = ""


@dataclass(frozen=True)
class Check:
    """A check run on a commit. `summary` is Markdown, at most 65,535 characters."""

    name: str
    conclusion: Conclusion
    title: str
    summary: str
    annotations: tuple[Annotation, ...] = ()


@dataclass(frozen=True)
class Remark:
    """A comment on request or issue `number`, by whomever. `id` is what a reaction goes to."""

    id: int
    number: int
    author: str
    body: str
    at: datetime


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
class Run:
    """A run of a CI workflow, by the CI's own records. `conclusion` is `None` while it runs.

    `repository` is where it ran, `head_repository` where its commit came from (a fork, or "" for
    one that is gone). `workflow` is the path of its file, `number` counts the workflow's runs,
    `changed` is when anything last happened to it: of one that is completed, when it was.
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


@dataclass(frozen=True)
class Step:
    """A step of a CI job. `conclusion` is `None` before its end, else "success", "skipped", …"""

    name: str
    conclusion: str | None


@dataclass(frozen=True)
class Job:
    """A job of a CI run, one for each leg of a matrix."""

    name: str
    conclusion: str | None
    steps: tuple[Step, ...]


class Forge(Protocol):
    """Where pull requests, comments and labels live."""

    name: str
    social: bool  # whether people propose, comment and label there

    # --- pull requests -----------------------------------------------------------------

    def pull(self, head: str) -> Pull | None:
        """The open pull request from branch `head`, else the newest of `pulls()`."""
        ...

    def pulls(self) -> tuple[Pull, ...]:
        """All that are open and those closed or merged lately, forks' too, newest first."""
        ...

    def numbered(self, number: int) -> Pull | None:
        """The pull request of this number; `None` where there is none."""
        ...

    def head_ref(self, pull: Pull) -> str:
        """The ref on the remote from which its newest commit is fetched, a fork's too."""
        ...

    def labelled_by(self, pull: Pull, label: str) -> str | None:
        """Who put `label` on it last; `None` where that is not known."""
        ...

    def proposal(self, branch: str, title: str, body: str) -> Pull | None:
        """The pull request that proposes an experiment from `branch`, where there is one."""
        ...

    def open_pull(self, head: str, base: str, title: str, body: str, *, draft: bool) -> Pull:
        """Open a pull request, or bring the open one from the same branch up to date."""
        ...

    def close_pull(self, pull: Pull, word: str) -> Pull:
        """Close it with a word of why; one that is merged or closed is left alone."""
        ...

    def merge_pull(self, pull: Pull, message: str) -> Pull:
        """Merge it; `ExpciError` when the base moved into conflict or refuses."""
        ...

    def comment(self, pull: Pull, marker: str, body: str) -> bool:
        """Write or update the one comment that ends with `marker`; whether anything changed."""
        ...

    def label(self, pull: Pull, labels: tuple[str, ...]) -> None:
        """Make `labels` the ones among `expci:*` that the pull request has."""
        ...

    def ask_review(self, pull: Pull, reviewers: tuple[str, ...]) -> bool:
        """Ask those who were not asked yet; whether anybody was.

        Somebody who cannot review it (its author, a stranger) is left out.
        """
        ...

    # --- around them -------------------------------------------------------------------

    def whoami(self) -> str:
        """Whose token this is: the author of everything that is written here."""
        ...

    def can_write(self, actor: str) -> bool:
        """Whether this person may push to the repository."""
        ...

    def branch_rules(self, branch: str) -> tuple[str, ...]:
        """What the repository's rules demand of pushes to `branch`, in the forge's words."""
        ...

    def compare_url(self, head: str, base: str) -> str:
        """The page on which a person opens a pull request; "" where there is none."""
        ...

    def check(self, commit: str, check: Check) -> bool:
        """Set the check run of this name on a commit; whether anything changed."""
        ...

    def alert(self, marker: str, title: str, body: str) -> bool:
        """Open or update the one issue whose body ends with `marker`; whether anything changed."""
        ...

    def clear_alert(self, marker: str, word: str) -> bool:
        """Close that issue with a word, where it is open; whether it was."""
        ...

    def remarks(self, since: datetime) -> Iterator[Remark]:
        """Comments on pull requests and issues that are new or edited since, oldest first."""
        ...

    def react(self, remark: int, reaction: Reaction) -> None:
        """Answer a comment with a reaction; one that is there stays as it is."""
        ...

    # --- what CI runs left behind ------------------------------------------------------

    def artifacts(self, prefix: str, since: datetime | None) -> Iterator[Artifact]:
        """Artifacts made since, newest first, whose name starts with `prefix`. Read lazily."""
        ...

    def download(self, artifact: Artifact, limit: int) -> bytes:
        """The one file in an artifact; `NotOneFile` when there is not exactly one,
        or when it is larger than `limit` bytes."""
        ...

    def run(self, id: int) -> Run | None:
        """A CI run by its id; `None` when there is none."""
        ...

    def runs(self, since: datetime) -> Iterator[Run]:
        """The CI runs created since, newest first. Read lazily."""
        ...

    def jobs(self, run: int) -> tuple[Job, ...]:
        """The jobs of a CI run, those of all its attempts; the first hundred of very many."""
        ...
