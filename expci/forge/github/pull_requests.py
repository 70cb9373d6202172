"""Pull requests on GitHub: opening, updating, closing, labelling, reviewers, branch rules."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from urllib.parse import quote

from github.PullRequest import PullRequest as GitHubPullRequest

from expci.errors import ForgeError, ForgeUnreachable, NotPermitted, PullsForbidden
from expci.forge.github.comments import GitHubComments, same_text
from expci.forge.github.merging import Merging
from expci.forge.github.pull_request_list import PullRequestList, pull_request
from expci.forge.github.session import CONTENTS_READ, METADATA, PULLS, READ, GitHubSession
from expci.forge.ports import PullRequest

PREFIX = "expci:"
MOST_EVENTS = 1000  # the newest ten pages; anybody adds to his own pull request's
CLOSED = "<!-- expci:closed -->"


class GitHubPullRequests:
    """The pull requests of one repository."""

    def __init__(
        self, session: GitHubSession, comments: GitHubComments, pause: float = 1.0
    ) -> None:
        self._session = session
        self._comments = comments
        self._list = PullRequestList(session)
        self._merging = Merging(session, self._list, pause)
        self._rules: dict[str, tuple[str, ...]] = {}

    # --- reading -----------------------------------------------------------------------

    def of_branch(self, head: str) -> PullRequest | None:
        return self._list.of_branch(head)

    def listed(self) -> tuple[PullRequest, ...]:
        return self._list.all()

    def left_out(self) -> str:
        return self._list.left_out

    def numbered(self, number: int) -> PullRequest | None:
        return self._list.numbered(number)

    def head_ref(self, pull: PullRequest) -> str:
        """GitHub keeps one for each pull request; a fork's branch can be had by it alone."""
        return f"refs/pull/{pull.number}/head"

    def propose(self, branch: str, title: str, body: str) -> PullRequest | None:  # noqa: ARG002
        """Looked up, never opened: on GitHub proposing is a person's act."""
        return self._list.of_branch(branch)

    def labelled_by(self, pull: PullRequest, label: str) -> str | None:
        with self._session.asking(f"read who labelled pull request {pull.number}", READ):
            events = self._session.repository.get_issue(pull.number).get_events().reversed
            newest = islice(events, MOST_EVENTS)
            put = (e for e in newest if e.event == "labeled" and e.label and e.label.name == label)
            last = next(put, None)
            return last.actor.login if last is not None and last.actor else None

    def branch_rules(self, branch: str) -> tuple[str, ...]:
        """Rule types of rulesets; `branch_protection` for the older kind of rules."""
        if branch not in self._rules:
            self._rules[branch] = self._read_rules(branch)
        return self._rules[branch]

    def _read_rules(self, branch: str) -> tuple[str, ...]:
        name = quote(branch, safe="")
        with self._session.asking(f"read the rules of {branch}", METADATA):
            _, answer = self._session.request("GET", f"rules/branches/{name}?per_page=100")
            rules = sorted({str(rule["type"]) for rule in answer})
            if not rules and self._is_protected(name):
                rules = ["branch_protection"]
        return tuple(rules)

    def _is_protected(self, name: str) -> bool:
        try:
            with self._session.asking("read the branch", CONTENTS_READ):
                return bool(self._session.request("GET", f"branches/{name}")[1]["protected"])
        except ForgeError as error:
            if error.status != 404:
                raise
            return False

    def compare_url(self, head: str, base: str) -> str:
        return self._session.compare_url(head, base)

    # --- opening and updating ----------------------------------------------------------

    def open(self, head: str, base: str, title: str, body: str, *, draft: bool) -> PullRequest:
        pull = self._list.look_up(head)
        if pull is None or not pull.is_open:
            pull = self._create(head, base, title, body, draft=draft)
        if pull.title != title or not same_text(pull.body, body):
            pull = self._edit(pull, "update", title=title, body=body)
        return self._convert(pull, draft=draft)

    def _create(self, head: str, base: str, title: str, body: str, *, draft: bool) -> PullRequest:
        what = f"open a pull request for {head}"
        try:
            with self._session.asking(what, PULLS):
                answer = self._session.repository.create_pull(
                    base, head, title=title, body=body, draft=draft
                )
                return self._list.note(pull_request(answer))
        except NotPermitted as error:
            if "not permitted to create" not in str(error):
                raise
            raise self._forbidden(what, head, base) from error
        except ForgeError as error:
            return self._instead(error, head, base, title, body, draft=draft)

    def _instead(
        self, error: ForgeError, head: str, base: str, title: str, body: str, *, draft: bool
    ) -> PullRequest:
        """What is there though GitHub refused, or did not answer."""
        pull = self._list.look_up(head)
        if pull is not None and pull.is_open:
            return pull
        if draft and "draft pull requests are not supported" in str(error).lower():
            return self._create(head, base, title, body, draft=False)
        raise error

    def _forbidden(self, what: str, head: str, base: str) -> PullsForbidden:
        page = self._session.compare_url(head, base)
        return PullsForbidden(
            f"cannot {what}: this token may not open pull requests. Open it yourself: {page}\n"
            'or turn on "Allow GitHub Actions to create and approve pull requests" under Settings, '
            "Actions, General, or pass the token of a GitHub App as EXPCI_TOKEN",
            page,
            403,
        )

    def _edit(self, pull: PullRequest, verb: str, **changes: str) -> PullRequest:
        with self._session.asking(f"{verb} pull request {pull.number}", PULLS):
            answer = self._session.repository.get_pull(pull.number)
            answer.edit(**changes)  # type: ignore[arg-type]
            return self._list.note(pull_request(answer))

    def _convert(self, pull: PullRequest, *, draft: bool) -> PullRequest:
        """To a draft or back. Only GraphQL can; a plan without drafts keeps it as it is."""
        if pull.draft == draft:
            return pull
        try:
            with self._session.asking(f"convert pull request {pull.number}", PULLS):
                answer = self._session.repository.get_pull(pull.number)
                answer.convert_to_draft() if draft else answer.mark_ready_for_review()
        except ForgeUnreachable:
            raise
        except ForgeError as error:
            if draft and "draft" in str(error).lower():
                return pull
            raise
        return self._list.note(replace(pull, draft=draft))

    # --- closing and merging -----------------------------------------------------------

    def close(self, pull: PullRequest, word: str) -> PullRequest:
        if not pull.is_open:
            return pull
        # The word goes first: a closed pull request is not looked at again.
        self._comments.write(pull.number, CLOSED, f"{word}\n\n{CLOSED}")
        return self._edit(pull, "close", state="closed")

    def merge(self, pull: PullRequest, message: str) -> PullRequest:
        return self._merging.merge(pull, message) if pull.is_open else pull

    # --- labels and reviewers ----------------------------------------------------------

    def label(self, pull: PullRequest, labels: tuple[str, ...]) -> None:
        ours = {name for name in pull.labels if name.startswith(PREFIX)}
        added = [name for name in labels if name not in ours]
        removed = ours - set(labels)
        if not added and not removed:
            return
        # One by one, not as a whole: somebody may be adding a label of their own.
        labels_of = f"issues/{pull.number}/labels"
        with self._session.asking(f"label pull request {pull.number}", PULLS):
            if added:
                self._session.request("POST", labels_of, {"labels": added})
        for name in sorted(removed):
            self._remove(pull, f"{labels_of}/{quote(name, safe='')}")
        kept = (name for name in pull.labels if not name.startswith(PREFIX))
        self._list.note(replace(pull, labels=(*kept, *labels)))

    def _remove(self, pull: PullRequest, label: str) -> None:
        try:
            with self._session.asking(f"label pull request {pull.number}", PULLS):
                self._session.request("DELETE", label)
        except ForgeError as error:
            if error.status != 404:  # somebody was faster
                raise

    def request_review(self, pull: PullRequest, reviewers: tuple[str, ...]) -> bool:
        answer = self._session.repository.get_pull(pull.number)
        with self._session.asking(f"read pull request {pull.number}", READ):
            done = {user.login.lower() for user in answer.requested_reviewers}
            done |= {
                r.user.login.lower() for r in islice(answer.get_reviews(), MOST_EVENTS) if r.user
            }
            done |= {answer.user.login.lower()} if answer.user else set()
        new = [name for name in reviewers if name.lower() not in done]
        return sum(self._request_review(answer, name) for name in new) > 0

    def _request_review(self, pull: GitHubPullRequest, reviewer: str) -> bool:
        try:
            with self._session.asking(f"ask {reviewer} for a review", PULLS):
                # One at a time: a stranger among them would have GitHub refuse them all.
                pull.create_review_request(reviewers=[reviewer])
        except ForgeError as error:
            if error.status == 422:
                return False
            raise
        return True
