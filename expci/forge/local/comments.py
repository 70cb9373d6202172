"""Comments of a plain git repository: kept with the record of their pull request."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from expci.forge.local.records import PullRequestRecord, Records, record_of
from expci.forge.ports import Comment, Reaction


class LocalComments:
    """Only expci writes there: nobody else's comment can be read or answered."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def write(self, number: int, marker: str, body: str) -> bool:
        if any(c["body"] == body for c in record_of(self._records.all(), number).comments):
            return False

        def change(records: list[PullRequestRecord]) -> PullRequestRecord:
            record = record_of(records, number)
            first = next((c for c in record.comments if c["marker"] == marker), None)
            comment = {**(first or self._records.new_comment(marker, body)), "body": body}
            if first is None:
                return replace(record, comments=(*record.comments, comment))
            edited = tuple(comment if c is first else c for c in record.comments)
            return replace(record, comments=edited)

        self._records.edit(change, f"Comment on pull request {number}")
        return True

    def since(self, moment: datetime) -> Iterator[Comment]:  # noqa: ARG002
        return iter(())

    def react(self, id: int, reaction: Reaction) -> None:
        """There is nobody's comment to react to."""

    def login(self) -> str:
        return ""

    def can_write(self, login: str) -> bool:  # noqa: ARG002
        """Whoever works here pushes with rights of their own; the remote refuses others."""
        return True
