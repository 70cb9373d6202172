"""What expci needs of the place where pull requests live: a small protocol.

Every call is safe to repeat: opening finds what is open, commenting edits the comment
with the same marker. `tests/forge/contract.py` holds each implementation to this.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class PullState(StrEnum):
    OPEN = "open"
    CLOSED = "closed"
    MERGED = "merged"


@dataclass(frozen=True)
class Pull:
    """A pull request. `merge` is the commit that brought it to the base branch."""

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


class Forge(Protocol):
    """Where pull requests, comments and labels live."""

    name: str

    def pull(self, head: str) -> Pull | None:
        """The newest pull request from branch `head`, whatever its state."""
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
