"""Alerts as issues on GitHub: one per marker, opened once, reopened when it comes back."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from itertools import islice

from github.Issue import Issue

from expci.errors import ForgeError, ForgeUnreachable
from expci.forge.github.comments import Comments, same
from expci.forge.github.session import ISSUES, Session

LABEL = "expci:alert"
CLEAR = "<!-- expci:clear -->"
NEWEST = 300  # of our issues and requests, where the label was taken off by hand


class Alerts:
    """The repository's alert issues. One listing answers for all of a pass."""

    def __init__(self, session: Session, comments: Comments) -> None:
        self._session = session
        self._comments = comments

    def raise_(self, marker: str, title: str, body: str) -> bool:
        found = self._of(marker)
        if found is None:
            self._labelled.append(self._create(marker, title, body))
            return True
        if (found.state, found.title) == ("open", title) and same(found.body, body):
            return False
        with self._session.asking(f"update issue {found.number}", ISSUES):
            found.edit(title=title, body=body, state="open")
        return True

    def clear(self, marker: str, word: str) -> bool:
        found = _holding(self._labelled, marker)
        if found is None or found.state != "open":
            return False
        self._comments.write(found.number, CLEAR, f"{word}\n\n{CLEAR}", ISSUES)
        with self._session.asking(f"close issue {found.number}", ISSUES):
            found.edit(state="closed", state_reason="completed")
        return True

    def _of(self, marker: str) -> Issue | None:
        found = _holding(self._labelled, marker)
        if found is None and (found := self._unlabelled(marker)) is not None:
            self._labelled.append(found)
        return found

    @cached_property
    def _labelled(self) -> list[Issue]:
        with self._session.asking("list the alert issues", ISSUES):
            issues = self._session.repository.get_issues(state="all", labels=[LABEL])
            return self._ours(issues)

    def _unlabelled(self, marker: str) -> Issue | None:
        """One whose label somebody took off."""
        with self._session.asking("look for the alert issue", ISSUES):
            mine = self._session.login
            issues = self._session.repository.get_issues(state="all", creator=mine)  # type: ignore[arg-type]
            return _holding(self._ours(islice(issues, NEWEST)), marker)

    def _ours(self, issues: Iterable[Issue]) -> list[Issue]:
        mine = self._session.login
        return [i for i in issues if i.user and i.user.login == mine and not _is_pull(i)]

    def _create(self, marker: str, title: str, body: str) -> Issue:
        try:
            with self._session.asking("open an alert issue", ISSUES):
                made = self._session.repository.create_issue(title, body, labels=[LABEL])
            return self._leave_one(marker, made)
        except ForgeUnreachable:
            found = self._unlabelled(marker)
            if found is None:
                raise
            return found
        except ForgeError as error:
            if error.status != 410:
                raise
            raise ForgeError(
                f"cannot open an alert issue: {self._session.name} has no issues. Turn them on "
                "under Settings, General, Features",
                410,
            ) from error

    def _leave_one(self, marker: str, made: Issue) -> Issue:
        """Two passes at once may both have found none: the older issue stays open."""
        found = self._unlabelled(marker)
        if found is None or found.number >= made.number:
            return made
        with self._session.asking(f"close issue {made.number}", ISSUES):
            made.edit(state="closed", state_reason="not_planned")
        return found


def _is_pull(issue: Issue) -> bool:
    """GitHub lists pull requests among the issues. Not by `issue.pull_request`, which asks
    GitHub anew for each that is none (https://github.com/PyGithub/PyGithub/issues/2423)."""
    return "/pull/" in issue.html_url


def _holding(issues: Iterable[Issue], marker: str) -> Issue | None:
    """The oldest with the marker."""
    found = [issue for issue in issues if marker in (issue.body or "")]
    return min(found, key=lambda issue: issue.number, default=None)
