"""Comments on GitHub: one of each kind per request, found again, never written twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from github.Issue import Issue
from github.IssueComment import IssueComment

from expci.errors import ForgeError, ForgeUnreachable
from expci.forge.github.session import PULLS, READ, Session
from expci.forge.ports import Reaction, Remark

A_PASS = timedelta(hours=1)  # longer than one lasts


class Comments:
    """Comments on requests and issues; both have them at the same addresses."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[int, list[IssueComment]] = {}

    def write(self, number: int, marker: str, body: str, permission: str = PULLS) -> bool:
        """Create or update our comment that holds `marker`; whether anything changed."""
        found = self._find(number, marker)
        if found is not None and same(found.body, body):
            return False
        if found is None or not self._update(number, found, body, permission):
            self._create(number, marker, body, permission)
        return True

    def _find(self, number: int, marker: str) -> IssueComment | None:
        """The oldest of ours with the marker. A comment of somebody else's that quotes the
        marker is theirs, and GitHub would let us edit it."""
        if number not in self._known:
            with self._session.asking(f"read the comments of #{number}", READ):
                mine = self._session.login
                comments = self._issue(number).get_comments()
                self._known[number] = [c for c in comments if c.user and c.user.login == mine]
        return next((c for c in self._known[number] if marker in (c.body or "")), None)

    def _update(self, number: int, comment: IssueComment, body: str, permission: str) -> bool:
        """`False` when somebody deleted it meanwhile."""
        try:
            with self._session.asking(f"update the comment on #{number}", permission):
                comment.edit(body)
        except ForgeError as error:
            self._known.pop(number, None)
            if error.status != 404:
                raise
            return False
        return True

    def _create(self, number: int, marker: str, body: str, permission: str) -> None:
        try:
            with self._session.asking(f"comment on #{number}", permission):
                made = self._issue(number).create_comment(body)
        except ForgeUnreachable:
            # The comment may have been made and only the answer lost.
            self._known.pop(number, None)
            if self._find(number, marker) is None:
                raise
        else:
            self._known.setdefault(number, []).append(made)
            self._leave_one(number, marker, made, body, permission)

    def _leave_one(
        self, number: int, marker: str, made: IssueComment, body: str, permission: str
    ) -> None:
        """Two passes at once may both have found none: the older comment stays."""
        with self._session.asking(f"read the comments of #{number}", READ):
            lately = self._issue(number).get_comments(since=made.created_at - A_PASS)
            ours = (c for c in lately if c.user and c.user.login == self._session.login)
            older = [c for c in ours if c.id < made.id and marker in (c.body or "")]
        if older:
            self._known[number].remove(made)
            self._known[number].append(older[0])
            self._delete(number, made, permission)
            if not same(older[0].body, body):
                self._update(number, older[0], body, permission)

    def _delete(self, number: int, comment: IssueComment, permission: str) -> None:
        try:
            with self._session.asking(f"take back a comment on #{number}", permission):
                comment.delete()
        except ForgeError as error:
            if error.status != 404:
                raise

    def _issue(self, number: int) -> Issue:
        return self._session.repository.get_issue(number)

    # --- what others write -------------------------------------------------------------

    def since(self, moment: datetime) -> Iterator[Remark]:
        """Comments on any request or issue that are new or edited, oldest first."""
        with self._session.asking("read the new comments", READ):
            found = self._session.repository.get_issues_comments(
                sort="updated", direction="asc", since=moment.astimezone(UTC)
            )
            for comment in found:
                yield _remark(comment)

    def react(self, id: int, reaction: Reaction) -> None:
        comment = IssueComment(
            self._session.repository.requester,
            url=f"{self._session.repository.url}/issues/comments/{id}",
        )
        with self._session.asking("react to a comment", PULLS):
            comment.create_reaction(reaction)


def _remark(comment: IssueComment) -> Remark:
    author = comment.user.login if comment.user else "ghost"
    number = int(comment.issue_url.rsplit("/", 1)[-1])
    return Remark(comment.id, number, author, comment.body or "", comment.created_at)


def same(held: str | None, wanted: str) -> bool:
    """Whether GitHub holds this text: its forms store CRLF, and it may trim the end."""
    return (held or "").replace("\r\n", "\n").rstrip() == wanted.replace("\r\n", "\n").rstrip()
