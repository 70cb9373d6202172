"""Alerts as issues on GitHub: one per marker, opened once, reopened when it comes back."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from itertools import islice

from github.Issue import Issue

from expci.errors import ForgeError, ForgeUnreachable
from expci.forge.github.comments import GitHubComments, ends_with, same_text
from expci.forge.github.session import ISSUES, GitHubSession

LABEL = "expci:alert"
CLEAR = "<!-- expci:clear -->"
NEWEST = 300  # of our issues and pull requests, where the label was taken off by hand


class GitHubAlerts:
    """The repository's alert issues. One listing answers for all of a pass."""

    def __init__(self, session: GitHubSession, comments: GitHubComments) -> None:
        self._session = session
        self._comments = comments

    def open(self, marker: str, title: str, body: str) -> bool:
        issue = self._marked(marker)
        if issue is None:
            self._labelled.append(self._create(marker, title, body))
            return True
        if (issue.state, issue.title) == ("open", title) and same_text(issue.body, body):
            return False
        with self._session.asking(f"update issue {issue.number}", ISSUES):
            issue.edit(title=title, body=body, state="open")
        return True

    def close(self, marker: str, word: str) -> bool:
        issue = _oldest(self._labelled, marker)
        if issue is None or issue.state != "open":
            return False
        self._comments.write(issue.number, CLEAR, f"{word}\n\n{CLEAR}", ISSUES)
        with self._session.asking(f"close issue {issue.number}", ISSUES):
            issue.edit(state="closed", state_reason="completed")
        return True

    def _marked(self, marker: str) -> Issue | None:
        issue = _oldest(self._labelled, marker)
        if issue is None and (issue := self._unlabelled(marker)) is not None:
            self._labelled.append(issue)
        return issue

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
            return _oldest(self._ours(islice(issues, NEWEST)), marker)

    def _ours(self, issues: Iterable[Issue]) -> list[Issue]:
        mine = self._session.login
        return [i for i in issues if i.user and i.user.login == mine and not _is_pull_request(i)]

    def _create(self, marker: str, title: str, body: str) -> Issue:
        try:
            with self._session.asking("open an alert issue", ISSUES):
                issue = self._session.repository.create_issue(title, body, labels=[LABEL])
            return self._leave_one(marker, issue)
        except ForgeUnreachable:
            earlier = self._unlabelled(marker)
            if earlier is None:
                raise
            return earlier
        except ForgeError as error:
            if error.status != 410:
                raise
            raise ForgeError(
                f"cannot open an alert issue: {self._session.name} has no issues. Turn them on "
                "under Settings, General, Features",
                410,
            ) from error

    def _leave_one(self, marker: str, issue: Issue) -> Issue:
        """Two passes at once may both have opened one: the older stays open."""
        older = self._unlabelled(marker)
        if older is None or older.number >= issue.number:
            return issue
        with self._session.asking(f"close issue {issue.number}", ISSUES):
            issue.edit(state="closed", state_reason="not_planned")
        return older


def _is_pull_request(issue: Issue) -> bool:
    """GitHub lists pull requests among the issues. Not by `issue.pull_request`, which asks
    GitHub anew for each that is none (https://github.com/PyGithub/PyGithub/issues/2423)."""
    return "/pull/" in issue.html_url


def _oldest(issues: Iterable[Issue], marker: str) -> Issue | None:
    """The oldest with the marker."""
    marked = (issue for issue in issues if ends_with(issue.body, marker))
    return min(marked, key=lambda issue: issue.number, default=None)
