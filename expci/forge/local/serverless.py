"""What a git repository without a server has none of: reviews, checks, issues, CI records.

Asking for them changes nothing and finds nothing, so that no flow needs to know which
forge it works with.
"""
# ruff: noqa: ARG002 (the protocol names the arguments)

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from expci.errors import ExpciError
from expci.forge.ports import Artifact, Check, Job, Pull, Reaction, Remark, Run
from expci.store.git import refs


class Serverless:
    social = False

    def head_ref(self, pull: Pull) -> str:
        return refs.head(pull.head)

    def labelled_by(self, pull: Pull, label: str) -> str | None:
        return None

    def ask_review(self, pull: Pull, reviewers: tuple[str, ...]) -> bool:
        return False

    def whoami(self) -> str:
        return ""

    def can_write(self, actor: str) -> bool:
        """Whoever works here pushes with rights of their own; the remote refuses others."""
        return True

    def branch_rules(self, branch: str) -> tuple[str, ...]:
        return ()

    def compare_url(self, head: str, base: str) -> str:
        return ""

    def check(self, commit: str, check: Check) -> bool:
        return False

    def alert(self, marker: str, title: str, body: str) -> bool:
        """The ledger's own events hold every alert."""
        return False

    def clear_alert(self, marker: str, word: str) -> bool:
        return False

    def remarks(self, since: datetime) -> Iterator[Remark]:
        return iter(())

    def react(self, remark: int, reaction: Reaction) -> None:
        return None

    def artifacts(self, prefix: str, since: datetime | None) -> Iterator[Artifact]:
        return iter(())

    def download(self, artifact: Artifact, limit: int) -> bytes:
        raise ExpciError("a plain git repository has no artifacts")

    def run(self, id: int) -> Run | None:
        return None

    def runs(self, since: datetime) -> Iterator[Run]:
        return iter(())

    def jobs(self, run: int) -> tuple[Job, ...]:
        return ()
