"""The pull requests of a repository on GitHub, listed once and kept up to date by what we do."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from itertools import islice

from github.PullRequest import PullRequest as GitHubPullRequest

from expci.errors import ForgeError
from expci.forge.github.session import READ, GitHubSession
from expci.forge.ports import PullRequest, PullRequestState

RECENTLY_CLOSED = 100  # one page: what was closed before is looked up by its branch
MOST_OPEN = 1000  # ten pages of what anybody may open; others are looked up too


class PullRequestList:
    """One listing answers for every branch of a pass."""

    def __init__(self, session: GitHubSession, most_open: int = MOST_OPEN) -> None:
        self._session = session
        self._most_open = most_open
        self._newer: dict[str, PullRequest | None] = {}  # by branch, since the listing

    def of_branch(self, head: str) -> PullRequest | None:
        """The open one from branch `head` of this repository, else the newest."""
        if head in self._newer:
            return self._newer[head]
        listed = self._by_branch.get(head)
        return self.look_up(head) if listed is None and self.left_out else listed

    @property
    def left_out(self) -> str:
        """What the listing lacks; "" where it is whole."""
        is_cut = sum(pull.is_open for pull in self._listing) > self._most_open
        return (
            f"more than {self._most_open:,} are open; the oldest were not listed" if is_cut else ""
        )

    def look_up(self, head: str) -> PullRequest | None:
        """The same from the server, however long ago it was closed."""
        with self._session.asking(f"look for the pull request of {head}", READ):
            listed = self._session.repository.get_pulls(
                state="all", head=f"{self._session.owner}:{head}"
            )
            self._newer[head] = best_by_branch(self._read(listed)).get(head)
        return self._newer[head]

    def all(self) -> tuple[PullRequest, ...]:
        """All that are open and those that were closed lately, newest first."""
        latest = {pull.number: pull for pull in self._listing}
        latest |= {pull.number: pull for pull in self._newer.values() if pull is not None}
        return tuple(latest[number] for number in sorted(latest, reverse=True))

    def numbered(self, number: int) -> PullRequest | None:
        listed = next((pull for pull in self.all() if pull.number == number), None)
        if listed is not None:
            return listed
        try:
            with self._session.asking(f"read pull request {number}", READ):
                return self.note(pull_request(self._session.repository.get_pull(number)))
        except ForgeError as error:
            if error.status != 404:
                raise
            return None

    def note(self, pull: PullRequest) -> PullRequest:
        """Keep what a pull request is now.

        An older one from the same branch does not hide the one that counts.
        """
        if not pull.fork:
            other = self._noted(pull.head)
            rivals = [other] if other is not None and other.number != pull.number else []
            self._newer[pull.head] = best_by_branch([*rivals, pull])[pull.head]
        return pull

    def _noted(self, head: str) -> PullRequest | None:
        if head in self._newer or "_listing" not in vars(self):
            return self._newer.get(head)
        return self._by_branch.get(head)

    @cached_property
    def _listing(self) -> list[PullRequest]:
        with self._session.asking("list the pull requests", READ):
            repository = self._session.repository
            closed = repository.get_pulls(state="closed", sort="updated", direction="desc")
            pulls = self._read(islice(repository.get_pulls(state="open"), self._most_open + 1))
            return pulls + self._read(islice(closed, RECENTLY_CLOSED))

    @cached_property
    def _by_branch(self) -> dict[str, PullRequest]:
        return best_by_branch(self._listing)

    def _read(self, answers: Iterable[GitHubPullRequest]) -> list[PullRequest]:
        return [pull_request(self._require_name(answer)) for answer in answers]

    def _require_name(self, answer: GitHubPullRequest) -> GitHubPullRequest:
        """PyGithub follows the redirection of a renamed repository, but drops the filters."""
        name = answer.base.repo.full_name
        if name.lower() != self._session.name.lower():
            raise ForgeError(
                f"{self._session.name} is now called {name}: set GITHUB_REPOSITORY={name}"
            )
        return answer


def pull_request(answer: GitHubPullRequest) -> PullRequest:
    """GitHub's answer in our terms."""
    merged = answer.merged_at is not None
    unmerged = PullRequestState.OPEN if answer.state == "open" else PullRequestState.CLOSED
    return PullRequest(
        number=answer.number,
        head=answer.head.ref,
        base=answer.base.ref,
        title=answer.title,
        body=answer.body or "",
        state=PullRequestState.MERGED if merged else unmerged,
        draft=bool(answer.draft),
        labels=tuple(label.name for label in answer.labels),
        head_commit=answer.head.sha,
        # While it is open this is a merge that GitHub tries out.
        merge=answer.merge_commit_sha if merged else None,
        url=answer.html_url,
        fork=answer.head.repo is None or answer.head.repo.id != answer.base.repo.id,
        author=answer.user.login if answer.user else "ghost",
    )


def best_by_branch(pulls: Iterable[PullRequest]) -> dict[str, PullRequest]:
    """For each branch the open pull request, else the one with the highest number.

    Without those from forks: their branches may have any name.
    """
    own = [pull for pull in pulls if not pull.fork]
    order = sorted(own, key=lambda pull: (pull.is_open, pull.number))
    return {pull.head: pull for pull in order}
