"""The forge without a server: pull requests as records in the ledger, beside plain branches.

A branch on the remote is the request; the record (`pulls/<n>.json`) holds what a branch
cannot: title, body, comments, labels. Whether it was merged or closed is read from git,
so that `git merge` and `git push --delete` by hand are noticed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from expci.core.model.trial import timestamp
from expci.errors import ExpciError, LedgerDamaged
from expci.forge.local.serverless import Serverless
from expci.forge.ports import Pull, PullState
from expci.store.git import refs
from expci.store.git.git import Git
from expci.store.ledger import paths
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.transaction import LedgerChange, Snapshot, Store

PREFIX = "expci:"


@dataclass(frozen=True)
class Record:
    """What the ledger holds of one pull request."""

    pull: Pull
    comments: tuple[Mapping[str, str], ...] = ()

    def dump(self) -> bytes:
        pull = self.pull
        data: dict[str, Any] = {
            "v": 1,
            "number": pull.number,
            "head": pull.head,
            "base": pull.base,
            "title": pull.title,
            "state": pull.state,
            "draft": pull.draft,
            "labels": list(pull.labels),
            "head_commit": pull.head_commit,
            "merge": pull.merge,
            "body": pull.body,
            "comments": [dict(comment) for comment in self.comments],
        }
        return json.dumps(data, indent=1, ensure_ascii=False).encode() + b"\n"


def parse(data: bytes) -> Record:
    try:
        document = json.loads(data)
        if document.pop("v") != 1:
            raise LedgerDamaged("a pull request record of another version: use a newer expci")
        comments = tuple(document.pop("comments"))
        document["labels"] = tuple(document["labels"])
        document["state"] = PullState(document["state"])
        return Record(Pull(**document), comments)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LedgerDamaged(f"a pull request record cannot be read: {error!r}") from error


class LocalForge(Serverless):
    """Pull requests of a plain git repository. `now` is the clock, `actor` writes comments."""

    name = "local"

    def __init__(self, store: Store, now: Callable[[], datetime], actor: str) -> None:
        self._store = store
        self._actor = actor
        self._git: Git = store.git
        self._now = now

    def pull(self, head: str) -> Pull | None:
        record = _newest(self._records(self._store.snapshot().ledger), head)
        return None if record is None else self._refresh(record).pull

    def pulls(self) -> tuple[Pull, ...]:
        records = self._records(self._store.snapshot().ledger)
        return tuple(self._refresh(record).pull for record in reversed(records))

    def numbered(self, number: int) -> Pull | None:
        records = self._records(self._store.snapshot().ledger)
        found = next((r for r in records if r.pull.number == number), None)
        return None if found is None else self._refresh(found).pull

    def proposal(self, branch: str, title: str, body: str) -> Pull | None:
        base = self._store.remote.default_branch()
        if branch == base:
            return None
        existing = self.pull(branch)
        if existing is not None or self._head(branch) is None:
            return existing
        return self.open_pull(branch, base, title, body, draft=False)

    def open_pull(self, head: str, base: str, title: str, body: str, *, draft: bool) -> Pull:
        commit = self._head(head)
        if commit is None:
            raise ExpciError(f"the branch {head} is not on {self._store.remote.name!r}; push it")

        def change(records: list[Record]) -> Record:
            record = _newest(records, head)
            if record is None or record.pull.state is not PullState.OPEN:
                number = 1 + max((r.pull.number for r in records), default=0)
                record = Record(Pull(number, head, base, title, body))
            pull = replace(record.pull, title=title, body=body, draft=draft, head_commit=commit)
            return replace(record, pull=pull)

        return self._edit(change, f"Request: {head} into {base}").pull

    def close_pull(self, pull: Pull, word: str) -> Pull:
        if pull.state is not PullState.OPEN:
            return pull

        def change(records: list[Record]) -> Record:
            record = _numbered(records, pull.number)
            closed = replace(record.pull, state=PullState.CLOSED)
            comments = (*record.comments, self._new_comment("", word))
            return replace(record, pull=closed, comments=comments)

        return self._edit(change, f"Close request {pull.number}: {word}").pull

    def merge_pull(self, pull: Pull, message: str) -> Pull:
        if pull.state is not PullState.OPEN:
            return pull
        remote = self._store.remote
        found = remote.fetch(refs.head(pull.base), refs.head(pull.head))
        ours, theirs = found.get(refs.head(pull.base)), found.get(refs.head(pull.head))
        if ours is None or theirs is None:
            raise ExpciError(f"cannot merge: {pull.base} or {pull.head} is not on {remote.name!r}")
        tree, conflicts = self._git.merge_trees(ours, theirs)
        if conflicts:
            raise ExpciError(
                f"{pull.head} conflicts with {pull.base} in {', '.join(conflicts)}: merge by hand "
                f"(`git merge {remote.name}/{pull.head}`) or close the request"
            )
        merge = self._git.commit_tree(tree, [ours, theirs], message, at=timestamp(self._now()))
        remote.advance(pull.base, ours, merge)
        return self._edit(
            lambda records: _merged(_numbered(records, pull.number), merge),
            f"Merge request {pull.number}",
        ).pull

    def comment(self, pull: Pull, marker: str, body: str) -> bool:
        records = self._records(self._store.snapshot().ledger)
        if any(c["body"] == body for c in _numbered(records, pull.number).comments):
            return False

        def change(records: list[Record]) -> Record:
            record = _numbered(records, pull.number)
            others = [c for c in record.comments if c["marker"] != marker]
            first = next((c for c in record.comments if c["marker"] == marker), None)
            comment = {**(first or self._new_comment(marker, body)), "body": body}
            if first is None:
                return replace(record, comments=(*others, comment))
            kept = tuple(comment if c is first else c for c in record.comments)
            return replace(record, comments=kept)

        self._edit(change, f"Comment on request {pull.number}")
        return True

    def label(self, pull: Pull, labels: tuple[str, ...]) -> None:
        kept = tuple(name for name in pull.labels if not name.startswith(PREFIX))
        wanted = (*kept, *labels)
        if wanted == pull.labels:
            return

        def change(records: list[Record]) -> Record:
            record = _numbered(records, pull.number)
            return replace(record, pull=replace(record.pull, labels=wanted))

        self._edit(change, f"Label request {pull.number}: {', '.join(labels)}")

    # --- records -----------------------------------------------------------------------

    def _records(self, ledger: Ledger) -> list[Record]:
        wanted = [f"{paths.PULLS}/{name}" for name in ledger.files(paths.PULLS)]
        found = ledger.read_many(wanted)
        return sorted((parse(data) for data in found.values()), key=lambda r: r.pull.number)

    def _edit(self, change: Callable[[list[Record]], Record], message: str) -> Record:
        """Write the record that `change` makes of the newest ones."""
        made: list[Record] = []

        def think(snapshot: Snapshot) -> LedgerChange | None:
            record = change(self._records(snapshot.ledger))
            made[:] = [record]
            path, data = paths.pull(record.pull.number), record.dump()
            same = snapshot.ledger.read(path) == data
            return None if same else LedgerChange.of(message, {path: data})

        self._store.transact(self._now(), think)
        return made[0]

    def _new_comment(self, marker: str, body: str) -> dict[str, str]:
        at = timestamp(self._now())
        return {"marker": marker, "author": self._actor, "at": at, "body": body}

    # --- what git says -----------------------------------------------------------------

    def _head(self, branch: str) -> str | None:
        return self._store.remote.fetch(refs.head(branch)).get(refs.head(branch))

    def _refresh(self, record: Record) -> Record:
        """The record with what happened by hand: merged, closed by deletion, pushed to."""
        pull = record.pull
        if pull.state is not PullState.OPEN:
            return record
        found = self._store.remote.fetch(refs.head(pull.base), refs.head(pull.head))
        base, head = found.get(refs.head(pull.base)), found.get(refs.head(pull.head))
        tip = head or pull.head_commit
        if base and tip and self._git.resolve(tip) and self._git.is_ancestor(tip, base):
            return _merged(record, merge_commit(self._git, tip, base))
        if head is None:
            return replace(record, pull=replace(pull, state=PullState.CLOSED))
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


def _merged(record: Record, merge: str) -> Record:
    return replace(record, pull=replace(record.pull, state=PullState.MERGED, merge=merge))


def _newest(records: list[Record], head: str) -> Record | None:
    return next((r for r in reversed(records) if r.pull.head == head), None)


def _numbered(records: list[Record], number: int) -> Record:
    for record in records:
        if record.pull.number == number:
            return record
    raise ExpciError(f"there is no request {number} in the ledger")
