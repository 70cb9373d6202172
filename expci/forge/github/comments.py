"""Comments on GitHub: one of each kind per pull request, written once and then edited."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

from github.Issue import Issue
from github.IssueComment import IssueComment

from expci.errors import ForgeError, ForgeUnreachable
from expci.forge.github.session import METADATA, PULLS, READ, GitHubSession
from expci.forge.ports import Comment, Reaction

MOST = 2000  # comments from either end of a pull request: anybody may write there
A_PASS = timedelta(hours=1)  # longer than one lasts
MAY_PUSH = ("admin", "write")


class GitHubComments:
    """Comments on pull requests and issues; both have them at the same addresses."""

    def __init__(self, session: GitHubSession, most: int = MOST) -> None:
        self._session = session
        self._most = most
        self._ours: dict[int, list[IssueComment]] = {}
        self._writers: dict[str, bool] = {}

    # --- what expci writes -------------------------------------------------------------

    def write(self, number: int, marker: str, body: str, permission: str = PULLS) -> bool:
        comment = self._find(number, marker)
        if comment is not None and same_text(comment.body, body):
            return False
        if comment is None or not self._update(number, comment, body, permission):
            self._create(number, marker, body, permission)
        return True

    def _find(self, number: int, marker: str) -> IssueComment | None:
        """The oldest of ours with the marker. A comment of somebody else's that quotes the
        marker is theirs, and GitHub would let us edit it."""
        if number not in self._ours:
            with self._session.asking(f"read the comments of #{number}", READ):
                self._ours[number] = self._mine(self._from_both_ends(number))
        return next((c for c in self._ours[number] if ends_with(c.body, marker)), None)

    def _from_both_ends(self, number: int) -> list[IssueComment]:
        """What stands first was there before the crowd, what stands last is new."""
        comments = self._issue(number).get_comments()
        first = {comment.id: comment for comment in islice(comments, self._most)}
        if len(first) == self._most:
            first |= {comment.id: comment for comment in islice(comments.reversed, self._most)}
        return [first[id] for id in sorted(first)]

    def _mine(self, comments: Iterable[IssueComment]) -> list[IssueComment]:
        mine = self._session.login
        return [comment for comment in comments if comment.user and comment.user.login == mine]

    def _update(self, number: int, comment: IssueComment, body: str, permission: str) -> bool:
        """`False` when somebody deleted it meanwhile."""
        try:
            with self._session.asking(f"update the comment on #{number}", permission):
                comment.edit(body)
        except ForgeError as error:
            self._ours.pop(number, None)
            if error.status != 404:
                raise
            return False
        return True

    def _create(self, number: int, marker: str, body: str, permission: str) -> None:
        try:
            with self._session.asking(f"comment on #{number}", permission):
                comment = self._issue(number).create_comment(body)
        except ForgeUnreachable:
            # The comment may stand there and only the answer be lost.
            self._ours.pop(number, None)
            if self._find(number, marker) is None:
                raise
        else:
            self._ours.setdefault(number, []).append(comment)
            self._leave_one(number, marker, comment, body, permission)

    def _leave_one(
        self, number: int, marker: str, newer: IssueComment, body: str, permission: str
    ) -> None:
        """Two passes at once may both have written one: the older comment stays."""
        with self._session.asking(f"read the comments of #{number}", READ):
            lately = self._issue(number).get_comments(since=newer.created_at - A_PASS)
            ours = self._mine(islice(lately, self._most))
            older = [c for c in ours if c.id < newer.id and ends_with(c.body, marker)]
        if older:
            self._ours[number].remove(newer)
            self._ours[number].append(older[0])
            self._delete(number, newer, permission)
            if not same_text(older[0].body, body):
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

    def since(self, moment: datetime) -> Iterator[Comment]:
        with self._session.asking("read the new comments", READ):
            comments = self._session.repository.get_issues_comments(
                sort="updated", direction="asc", since=moment.astimezone(UTC)
            )
            for comment in comments:
                yield _comment(comment)

    def react(self, id: int, reaction: Reaction) -> None:
        comment = IssueComment(
            self._session.repository.requester,
            url=f"{self._session.repository.url}/issues/comments/{id}",
        )
        with self._session.asking("react to a comment", PULLS):
            comment.create_reaction(reaction)

    def login(self) -> str:
        return self._session.login

    def can_write(self, login: str) -> bool:
        """Read from the API: somebody with `triage` can label, but not push."""
        if login not in self._writers:
            self._writers[login] = self._permission(login) in MAY_PUSH
        return self._writers[login]

    def _permission(self, login: str) -> str:
        try:
            with self._session.asking(f"read what {login} may do", METADATA):
                return self._session.repository.get_collaborator_permission(login)
        except ForgeError as error:
            if error.status != 404:
                raise
            return "none"


def _comment(comment: IssueComment) -> Comment:
    author = comment.user.login if comment.user else "ghost"
    number = int(comment.issue_url.rsplit("/", 1)[-1])
    text = comment.body or ""
    return Comment(comment.id, number, author, text, comment.created_at, comment.updated_at)


def ends_with(text: str | None, marker: str) -> bool:
    """Whether a text is the one with this marker: it ends with it.

    A marker further up is a quotation, of a diff for example, and may be anybody's.
    """
    return (text or "").rstrip().endswith(marker)


def same_text(stored: str | None, wanted: str) -> bool:
    """Whether GitHub stores this text: its forms store CRLF, and it may trim the end."""
    return (stored or "").replace("\r\n", "\n").rstrip() == wanted.replace("\r\n", "\n").rstrip()
