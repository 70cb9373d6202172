"""How far comments were read, and which commands in them were answered, as the ledger keeps it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from expci.core.model.trial import parse_timestamp, timestamp
from expci.errors import ExpciError, LedgerDamaged
from expci.store.ledger import paths
from expci.store.ledger.ledger import Ledger

FORMAT = 1
OVERLAP = timedelta(minutes=15)  # clocks differ, and a listing may lag behind what was written
FIRST = timedelta(days=7)  # what the first pass looks back on
CHATTER = 50  # comments that are no commands, read again and again, until it is noted


@dataclass(frozen=True)
class CommentCursor:
    """Comments up to `read` are done, but for those younger than `OVERLAP` that are not `ids`."""

    read: datetime | None = None
    ids: frozenset[int] = frozenset()

    def since(self, now: datetime) -> datetime:
        """From when on comments are to be read."""
        return now - FIRST if self.read is None else self.read - OVERLAP


def after(
    cursor: CommentCursor,
    now: datetime,
    comments: Mapping[int, datetime],
    done: Iterable[int],
    left: Iterable[int],
) -> CommentCursor:
    """What to keep once `comments` (id → when it was written) were read at `now`.

    `done` were answered now, `left` are commands for the next pass. `cursor` itself where
    there is nothing that must be kept.
    """
    new = frozenset(done)
    stale = cursor.read is None or now - cursor.read > OVERLAP
    if not new and not (len(comments) > CHATTER and stale):
        return cursor
    read = min([now, *(comments[id] for id in left)])
    read = read if cursor.read is None else max(read, cursor.read)
    young = {id for id in cursor.ids | new if id in comments and comments[id] >= read - OVERLAP}
    return CommentCursor(read, frozenset(young))


def read_comment_cursor(ledger: Ledger) -> CommentCursor:
    """How far comments were read; `LedgerDamaged` where that cannot be read.

    It does not begin anew by itself: commands would be carried out a second time.
    """
    data = ledger.read(paths.ANSWERED)
    return CommentCursor() if data is None else parse_comment_cursor(data)


def parse_comment_cursor(data: bytes) -> CommentCursor:
    try:
        document = json.loads(data)
        if document["v"] != FORMAT:
            raise LedgerDamaged(f"{paths.ANSWERED} has another version: use a newer expci")
        return CommentCursor(
            parse_timestamp(document["read"]), frozenset(map(int, document["ids"]))
        )
    except (ValueError, KeyError, TypeError, ExpciError, RecursionError) as error:
        raise LedgerDamaged(
            f"{paths.ANSWERED} cannot be read: {error!r}; run `expci fsck --repair`"
        ) from error


def dump_comment_cursor(cursor: CommentCursor) -> bytes:
    read = timestamp(cursor.read) if cursor.read else None
    document = {"v": FORMAT, "read": read, "ids": sorted(cursor.ids)}
    return json.dumps(document).encode() + b"\n"
