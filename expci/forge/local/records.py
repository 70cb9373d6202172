"""The ledger's records of pull requests: `pulls/<n>.json`, what a branch alone cannot hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from expci.core.model.trial import timestamp
from expci.errors import ExpciError, LedgerDamaged
from expci.forge.ports import PullRequest, PullRequestState
from expci.store.ledger import paths
from expci.store.ledger.ledger import Ledger
from expci.store.ledger.transaction import LedgerChange, Snapshot, Store


@dataclass(frozen=True)
class PullRequestRecord:
    """What the ledger holds of one pull request."""

    pull: PullRequest
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


def load_record(data: bytes) -> PullRequestRecord:
    """`LedgerDamaged` for what is no such record."""
    try:
        document = json.loads(data)
        if document.pop("v") != 1:
            raise LedgerDamaged("a pull request record of another version: use a newer expci")
        comments = tuple(document.pop("comments"))
        document["labels"] = tuple(document["labels"])
        document["state"] = PullRequestState(document["state"])
        return PullRequestRecord(PullRequest(**document), comments)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LedgerDamaged(f"a pull request record cannot be read: {error!r}") from error


class Records:
    """Reads and writes them. `now` is the clock, `actor` writes the comments."""

    def __init__(self, store: Store, now: Callable[[], datetime], actor: str) -> None:
        self._store = store
        self._now = now
        self._actor = actor

    def all(self) -> list[PullRequestRecord]:
        """By number, lowest first."""
        return _read(self._store.snapshot(inbox=False).ledger)

    def edit(
        self, change: Callable[[list[PullRequestRecord]], PullRequestRecord], message: str
    ) -> PullRequestRecord:
        """Write the record that `change` makes of the newest ones."""
        written: list[PullRequestRecord] = []

        def think(snapshot: Snapshot) -> LedgerChange | None:
            record = change(_read(snapshot.ledger))
            written[:] = [record]
            path, data = paths.pull(record.pull.number), record.dump()
            same = snapshot.ledger.read(path) == data
            return None if same else LedgerChange.of(message, {path: data})

        self._store.transact(self._now(), think)
        return written[0]

    def new_comment(self, marker: str, body: str) -> dict[str, str]:
        at = timestamp(self._now())
        return {"marker": marker, "author": self._actor, "at": at, "body": body}


def _read(ledger: Ledger) -> list[PullRequestRecord]:
    names = [f"{paths.PULLS}/{name}" for name in ledger.files(paths.PULLS)]
    records = (load_record(data) for data in ledger.read_many(names).values())
    return sorted(records, key=lambda record: record.pull.number)


def record_of(records: list[PullRequestRecord], number: int) -> PullRequestRecord:
    """The record of this number; `ExpciError` where there is none."""
    for record in records:
        if record.pull.number == number:
            return record
    raise ExpciError(f"there is no pull request {number} in the ledger")


def newest_of(records: list[PullRequestRecord], head: str) -> PullRequestRecord | None:
    """The newest record of a branch."""
    return next((r for r in reversed(records) if r.pull.head == head), None)
