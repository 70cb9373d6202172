"""Merging a pull request on GitHub, by the first method that the repository allows."""

from __future__ import annotations

import time

from github import GithubException
from github.PullRequest import PullRequest as GitHubPullRequest

from expci.errors import ForgeError, NotMergeable
from expci.forge.github.pull_request_list import PullRequestList, pull_request
from expci.forge.github.session import CONTENTS, READ, GitHubSession
from expci.forge.ports import PullRequest, PullRequestState

LOOKS = 5  # how often a mergeability that GitHub still computes is read
ENQUEUE = "enqueuePullRequest"  # https://docs.github.com/graphql/reference/mutations
METHODS = ("merge", "squash", "rebase")

# https://docs.github.com/graphql/reference/enums#mergestatestatus
WHY_NOT = {
    "dirty": "it conflicts with its base branch: resolve the conflicts or close it",
    "draft": "it is a draft: mark it ready for review first",
    "blocked": "the branch's rules still require something (a review, a check): see its page",
    "behind": "its branch is behind the base branch, and the rules require an update: update it",
    "unstable": "a check has failed or is still running: see its page",
}


class Merging:
    """`pause` in seconds before a mergeability is read again."""

    def __init__(self, session: GitHubSession, pulls: PullRequestList, pause: float) -> None:
        self._session = session
        self._pulls = pulls
        self._pause = pause

    def merge(self, pull: PullRequest, message: str) -> PullRequest:
        what = f"merge pull request {pull.number}"
        with self._session.asking(what, CONTENTS):
            now = self._settled(pull.number)
        if now.state != "open":
            return self._pulls.note(pull_request(now))
        if now.head.sha == pull.head_commit:
            why = WHY_NOT.get(now.mergeable_state)
        else:
            why = "its branch moved meanwhile: look at it again"
        if why is not None:
            raise NotMergeable(f"cannot {what}: {why} ({pull.url})")
        return self._by_any_method(what, pull, message)

    def _settled(self, number: int) -> GitHubPullRequest:
        """With its mergeability, which GitHub computes when it is first read."""
        for attempt in range(LOOKS):
            answer = self._session.repository.get_pull(number)
            if answer.state != "open" or answer.mergeable_state != "unknown":
                break
            time.sleep(self._pause * attempt)
        return answer

    def _by_any_method(self, what: str, pull: PullRequest, message: str) -> PullRequest:
        for method in METHODS:
            try:
                self._send(what, pull, message, method)
            except ForgeError as error:
                after = self._now(pull)
                if after.state is PullRequestState.MERGED:
                    return after
                if error.status == 405 and "not allowed" in str(error).lower():
                    continue
                if error.status == 405 and "merge queue" in str(error).lower():
                    raise self._queued(what, pull) from error
                if error.status in (405, 409):
                    raise NotMergeable(str(error), error.status) from error
                raise
            return self._now(pull)
        raise NotMergeable(f"cannot {what}: the repository allows no method of merging", 405)

    def _send(self, what: str, pull: PullRequest, message: str, method: str) -> None:
        title, _, text = message.partition("\n")
        with self._session.asking(what, CONTENTS):
            self._session.repository.get_pull(pull.number).merge(
                commit_title=title,
                commit_message=text.strip(),
                merge_method=method,
                sha=pull.head_commit,
            )

    def _queued(self, what: str, pull: PullRequest) -> NotMergeable:
        """Put it into the merge queue, which merges it; one that is in it already stays there."""
        with self._session.asking(what, CONTENTS):
            number = self._session.repository.get_pull(pull.number).node_id
            try:
                self._session.mutate(ENQUEUE, {"pullRequestId": number}, "clientMutationId")
            except GithubException as error:
                if "already queued" not in str(error):
                    raise
        return NotMergeable(
            f"pull request {pull.number} waits in the merge queue ({pull.url})", 405
        )

    def _now(self, pull: PullRequest) -> PullRequest:
        with self._session.asking(f"read pull request {pull.number}", READ):
            return self._pulls.note(pull_request(self._session.repository.get_pull(pull.number)))
