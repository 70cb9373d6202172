"""Pull requests without a server: records in the ledger, beside plain branches.

A branch on the remote is the pull request; the record holds what a branch cannot: title,
body, comments, labels. Whether it was merged or closed is read from git, so that
`git merge` and `git push --delete` by hand are noticed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from expci.core.model.trial import timestamp
from expci.errors import ExpciError
from expci.forge.local.records import PullRequestRecord, Records, newest_of, record_of
from expci.forge.ports import PullRequest, PullRequestState
from expci.store.git import refs
from expci.store.git.git import Git
from expci.store.git.remote import Remote

PREFIX = "expci:"


class LocalPullRequests:
    """Those of a plain git repository. `now` is the clock, which dates merges."""

    def __init__(self, remote: Remote, records: Records, now: Callable[[], datetime]) -> None:
        self._remote = remote
        self._git: Git = remote.git
        self._records = records
        self._now = now

    # --- reading -----------------------------------------------------------------------

    def of_branch(self, head: str) -> PullRequest | None:
        record = newest_of(self._records.all(), head)
        return None if record is None else self._refresh(record).pull

    def listed(self) -> tuple[PullRequest, ...]:
        return tuple(self._refresh(record).pull for record in reversed(self._records.all()))

    def numbered(self, number: int) -> PullRequest | None:
        record = next((r for r in self._records.all() if r.pull.number == number), None)
        return None if record is None else self._refresh(record).pull

    def head_ref(self, pull: PullRequest) -> str:
        return refs.head(pull.head)

    def left_out(self) -> str:
        return ""

    def labelled_by(self, pull: PullRequest, label: str) -> str | None:  # noqa: ARG002
        """Only expci labels here."""
        return None

    def branch_rules(self, branch: str) -> tuple[str, ...]:  # noqa: ARG002
        """A plain repository tells of none; its hooks refuse a push where they do."""
        return ()

    def compare_url(self, head: str, base: str) -> str:  # noqa: ARG002
        return ""

    # --- writing -----------------------------------------------------------------------

    def propose(self, branch: str, title: str, body: str) -> PullRequest | None:
        """Opened where there is none: a plain repository has no page on which a person could."""
        base = self._remote.default_branch()
        if branch == base:
            return None
        existing = self.of_branch(branch)
        if existing is not None or self._tip(branch) is None:
            return existing
        return self.open(branch, base, title, body, draft=False)

    def open(self, head: str, base: str, title: str, body: str, *, draft: bool) -> PullRequest:
        commit = self._tip(head)
        if commit is None:
            raise ExpciError(f"the branch {head} is not on {self._remote.name!r}; push it")

        def change(records: list[PullRequestRecord]) -> PullRequestRecord:
            record = newest_of(records, head)
            if record is None or not record.pull.is_open:
                number = 1 + max((r.pull.number for r in records), default=0)
                record = PullRequestRecord(PullRequest(number, head, base, title, body))
            pull = replace(record.pull, title=title, body=body, draft=draft, head_commit=commit)
            return replace(record, pull=pull)

        return self._records.edit(change, f"Pull request: {head} into {base}").pull

    def close(self, pull: PullRequest, word: str) -> PullRequest:
        if not pull.is_open:
            return pull

        def change(records: list[PullRequestRecord]) -> PullRequestRecord:
            record = record_of(records, pull.number)
            closed = replace(record.pull, state=PullRequestState.CLOSED)
            comments = (*record.comments, self._records.new_comment("", word))
            return replace(record, pull=closed, comments=comments)

        return self._records.edit(change, f"Close pull request {pull.number}: {word}").pull

    def merge(self, pull: PullRequest, message: str) -> PullRequest:
        if not pull.is_open:
            return pull
        base, head = refs.head(pull.base), refs.head(pull.head)
        tips = self._remote.fetch(base, head)
        if base not in tips or head not in tips:
            raise ExpciError(
                f"cannot merge: {pull.base} or {pull.head} is not on {self._remote.name!r}"
            )
        if self._git.is_ancestor(tips[head], tips[base]):  # by another pass, or by hand
            merge = merge_commit(self._git, tips[head], tips[base])
        else:
            merge = self._merge_commit(pull, tips[base], tips[head], message)
            self._remote.advance(pull.base, tips[base], merge)
        return self._records.edit(
            lambda records: _merged(record_of(records, pull.number), merge),
            f"Merge pull request {pull.number}",
        ).pull

    def _merge_commit(self, pull: PullRequest, ours: str, theirs: str, message: str) -> str:
        tree, conflicts = self._git.merge_trees(ours, theirs)
        if conflicts:
            raise ExpciError(
                f"{pull.head} conflicts with {pull.base} in {', '.join(conflicts)}: merge by hand "
                f"(`git merge {self._remote.name}/{pull.head}`) or close the pull request"
            )
        return self._git.commit_tree(tree, [ours, theirs], message, at=timestamp(self._now()))

    def label(self, pull: PullRequest, labels: tuple[str, ...]) -> None:
        others = tuple(name for name in pull.labels if not name.startswith(PREFIX))
        wanted = (*others, *labels)
        if wanted == pull.labels:
            return

        def change(records: list[PullRequestRecord]) -> PullRequestRecord:
            record = record_of(records, pull.number)
            return replace(record, pull=replace(record.pull, labels=wanted))

        self._records.edit(change, f"Label pull request {pull.number}: {', '.join(labels)}")

    def request_review(self, pull: PullRequest, reviewers: tuple[str, ...]) -> bool:  # noqa: ARG002
        """Nobody can be notified here."""
        return False

    # --- what git says -----------------------------------------------------------------

    def _tip(self, branch: str) -> str | None:
        return self._remote.fetch(refs.head(branch)).get(refs.head(branch))

    def _refresh(self, record: PullRequestRecord) -> PullRequestRecord:
        """The record with what happened by hand: merged, closed by deletion, pushed to."""
        pull = record.pull
        if not pull.is_open:
            return record
        tips = self._remote.fetch(refs.head(pull.base), refs.head(pull.head))
        base, head = tips.get(refs.head(pull.base)), tips.get(refs.head(pull.head))
        tip = head or pull.head_commit
        if base and tip and self._git.resolve(tip) and self._git.is_ancestor(tip, base):
            return _merged(record, merge_commit(self._git, tip, base))
        if head is None:
            return replace(record, pull=replace(pull, state=PullRequestState.CLOSED))
        return replace(record, pull=replace(pull, head_commit=head))


def merge_commit(git: Git, head: str, base: str) -> str:
    """The commit of base's first-parent line that brought `head` in; `head` itself when the
    branch was fast-forwarded."""
    line = git.text("rev-list", "--first-parent", "--ancestry-path", f"{head}..{base}").split()
    if not line:
        return head
    oldest = line[-1]
    # A merge has `head` among its other parents; after a fast-forward `head` is on the line.
    return head if git.parents(oldest)[:1] == [head] else oldest


def _merged(record: PullRequestRecord, merge: str) -> PullRequestRecord:
    return replace(record, pull=replace(record.pull, state=PullRequestState.MERGED, merge=merge))
