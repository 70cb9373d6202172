"""Pull requests on GitHub: finding, opening, updating, closing, merging, labelling them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from itertools import islice
from urllib.parse import quote

from github.PullRequest import PullRequest

from expci.errors import ForgeError, ForgeUnreachable, NotMergeable, NotPermitted, PullsForbidden
from expci.forge.github.comments import Comments, same
from expci.forge.github.session import CONTENTS, PULLS, READ, Session
from expci.forge.ports import Pull, PullState

PREFIX = "expci:"
CLOSED = "<!-- expci:closed -->"
RECENTLY_CLOSED = 100  # one page: what was closed before is looked up by its branch
LOOKS = 5  # how often a mergeability that GitHub still computes is asked for
METHODS = ("merge", "squash", "rebase")

# https://docs.github.com/graphql/reference/enums#mergestatestatus
WHY_NOT = {
    "dirty": "it conflicts with its base branch: resolve the conflicts or close it",
    "draft": "it is a draft: mark it ready for review first",
    "blocked": "the branch's rules still ask for something (a review, a check): see the request",
    "behind": "its branch is behind the base branch and the rules ask for more: update it",
    "unstable": "a check has failed or is still running: see the request",
}


class Pulls:
    """The repository's pull requests. One listing answers for every branch of a pass."""

    def __init__(self, session: Session, comments: Comments, pause: float = 1.0) -> None:
        self._session = session
        self._comments = comments
        self._pause = pause
        self._seen: dict[str, Pull | None] = {}  # branch → what was asked or done since the listing

    # --- finding -----------------------------------------------------------------------

    def of(self, head: str) -> Pull | None:
        """The open request from branch `head` of this repository, else the newest."""
        return self._seen[head] if head in self._seen else self._by_branch.get(head)

    def look(self, head: str) -> Pull | None:
        """The same, asked anew, however long ago it was closed."""
        with self._session.asking(f"look for the request of {head}", READ):
            found = self._session.repository.get_pulls(
                state="all", head=f"{self._session.owner}:{head}"
            )
            self._seen[head] = _best(self._checked(found)).get(head)
        return self._seen[head]

    def listed(self) -> tuple[Pull, ...]:
        """All that are open and those that were closed lately, newest first."""
        latest = {pull.number: pull for pull in self._listing}
        latest |= {pull.number: pull for pull in self._seen.values() if pull is not None}
        return tuple(latest[number] for number in sorted(latest, reverse=True))

    def numbered(self, number: int) -> Pull | None:
        found = next((pull for pull in self.listed() if pull.number == number), None)
        if found is not None:
            return found
        try:
            with self._session.asking(f"read request {number}", READ):
                return self._note(_pull(self._session.repository.get_pull(number)))
        except ForgeError as error:
            if error.status != 404:
                raise
            return None

    @cached_property
    def _listing(self) -> list[Pull]:
        with self._session.asking("list the pull requests", READ):
            repository = self._session.repository
            shut = repository.get_pulls(state="closed", sort="updated", direction="desc")
            pulls = self._checked(repository.get_pulls(state="open"))
            return pulls + self._checked(islice(shut, RECENTLY_CLOSED))

    @cached_property
    def _by_branch(self) -> dict[str, Pull]:
        return _best(self._listing)

    def _checked(self, found: Iterable[PullRequest]) -> list[Pull]:
        return [_pull(self._require_name(pull)) for pull in found]

    def _require_name(self, found: PullRequest) -> PullRequest:
        """PyGithub follows the redirection of a renamed repository, but drops what was asked."""
        name = found.base.repo.full_name
        if name.lower() != self._session.name.lower():
            raise ForgeError(
                f"{self._session.name} is now called {name}: set GITHUB_REPOSITORY={name}"
            )
        return found

    def _note(self, pull: Pull) -> Pull:
        """An older request from the same branch does not hide the one that counts."""
        if not pull.fork:
            held = self._held(pull.head)
            rivals = [held] if held is not None and held.number != pull.number else []
            self._seen[pull.head] = _best([*rivals, pull])[pull.head]
        return pull

    def _held(self, head: str) -> Pull | None:
        if head in self._seen or "_listing" not in vars(self):
            return self._seen.get(head)
        return self._by_branch.get(head)

    # --- opening and updating ----------------------------------------------------------

    def open(self, head: str, base: str, title: str, body: str, *, draft: bool) -> Pull:
        found = self.look(head)
        if found is None or found.state is not PullState.OPEN:
            found = self._create(head, base, title, body, draft=draft)
        if found.title != title or not same(found.body, body):
            found = self._edit(found, "update", title=title, body=body)
        return self._convert(found, draft=draft)

    def _create(self, head: str, base: str, title: str, body: str, *, draft: bool) -> Pull:
        what = f"open a request for {head}"
        try:
            with self._session.asking(what, PULLS):
                made = self._session.repository.create_pull(
                    base, head, title=title, body=body, draft=draft
                )
                return self._note(_pull(made))
        except NotPermitted as error:
            if "not permitted to create" not in str(error):
                raise
            raise self._forbidden(what, head, base) from error
        except ForgeError as error:
            return self._instead(error, head, base, title, body, draft=draft)

    def _instead(
        self, error: ForgeError, head: str, base: str, title: str, body: str, *, draft: bool
    ) -> Pull:
        """What is there though GitHub refused, or did not answer."""
        found = self.look(head)
        if found is not None and found.state is PullState.OPEN:
            return found
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

    def _edit(self, pull: Pull, verb: str, **changes: str) -> Pull:
        with self._session.asking(f"{verb} request {pull.number}", PULLS):
            found = self._session.repository.get_pull(pull.number)
            found.edit(**changes)  # type: ignore[arg-type]
            return self._note(_pull(found))

    def _convert(self, pull: Pull, *, draft: bool) -> Pull:
        """To a draft or back. Only GraphQL can; a plan without drafts keeps it as it is."""
        if pull.draft == draft:
            return pull
        try:
            with self._session.asking(f"convert request {pull.number}", PULLS):
                found = self._session.repository.get_pull(pull.number)
                found.convert_to_draft() if draft else found.mark_ready_for_review()
        except ForgeUnreachable:
            raise
        except ForgeError as error:
            if draft and "draft" in str(error).lower():
                return pull
            raise
        return self._note(replace(pull, draft=draft))

    # --- closing and merging -----------------------------------------------------------

    def close(self, pull: Pull, word: str) -> Pull:
        if pull.state is not PullState.OPEN:
            return pull
        # The word goes first: a closed request is not looked at again.
        self._comments.write(pull.number, CLOSED, f"{word}\n\n{CLOSED}")
        return self._edit(pull, "close", state="closed")

    def merge(self, pull: Pull, message: str) -> Pull:
        if pull.state is not PullState.OPEN:
            return pull
        what = f"merge request {pull.number}"
        with self._session.asking(what, CONTENTS):
            now = self._settled(pull.number)
            if now.state == "open" and now.head.sha == pull.head_commit:
                why = WHY_NOT.get(now.mergeable_state)
            elif now.state == "open":
                why = "its branch moved meanwhile: look at it again"
            else:
                return self._note(_pull(now))
        if why is not None:
            raise NotMergeable(f"cannot {what}: {why} ({pull.url})")
        return self._merge(what, pull, message)

    def _settled(self, number: int) -> PullRequest:
        """The request with its mergeability, which GitHub computes when first asked for it."""
        for attempt in range(LOOKS):
            found = self._session.repository.get_pull(number)
            if found.state != "open" or found.mergeable_state != "unknown":
                break
            time.sleep(self._pause * attempt)
        return found

    def _merge(self, what: str, pull: Pull, message: str) -> Pull:
        """By the first method that the repository allows."""
        for method in METHODS:
            try:
                self._send_merge(what, pull, message, method)
            except ForgeError as error:
                after = self._now(pull)
                if after.state is PullState.MERGED:
                    return after
                if error.status == 405 and "not allowed" in str(error).lower():
                    continue
                if error.status in (405, 409):
                    raise NotMergeable(str(error), error.status) from error
                raise
            return self._now(pull)
        raise NotMergeable(f"cannot {what}: the repository allows no method of merging", 405)

    def _send_merge(self, what: str, pull: Pull, message: str, method: str) -> None:
        title, _, text = message.partition("\n")
        with self._session.asking(what, CONTENTS):
            self._session.repository.get_pull(pull.number).merge(
                commit_title=title,
                commit_message=text.strip(),
                merge_method=method,
                sha=pull.head_commit,
            )

    def _now(self, pull: Pull) -> Pull:
        with self._session.asking(f"read request {pull.number}", READ):
            found = self._session.repository.get_pull(pull.number)
            return self._note(_pull(found))

    # --- labels and reviewers ----------------------------------------------------------

    def label(self, pull: Pull, labels: tuple[str, ...]) -> None:
        ours = {name for name in pull.labels if name.startswith(PREFIX)}
        added = [name for name in labels if name not in ours]
        removed = ours - set(labels)
        if not added and not removed:
            return
        # One by one, not as a whole: somebody may be adding a label of their own.
        labels_of = f"issues/{pull.number}/labels"
        with self._session.asking(f"label request {pull.number}", PULLS):
            if added:
                self._session.request("POST", labels_of, {"labels": added})
        for name in sorted(removed):
            self._remove(pull, f"{labels_of}/{quote(name, safe='')}")
        kept = (name for name in pull.labels if not name.startswith(PREFIX))
        self._note(replace(pull, labels=(*kept, *labels)))

    def _remove(self, pull: Pull, label: str) -> None:
        try:
            with self._session.asking(f"label request {pull.number}", PULLS):
                self._session.request("DELETE", label)
        except ForgeError as error:
            if error.status != 404:  # somebody was faster
                raise

    def labelled_by(self, pull: Pull, label: str) -> str | None:
        with self._session.asking(f"read who labelled request {pull.number}", READ):
            events = self._session.repository.get_issue(pull.number).get_events()
            put = [e for e in events if e.event == "labeled" and e.label and e.label.name == label]
            return put[-1].actor.login if put and put[-1].actor else None

    def ask_review(self, pull: Pull, reviewers: tuple[str, ...]) -> bool:
        found = self._session.repository.get_pull(pull.number)
        with self._session.asking(f"read request {pull.number}", READ):
            asked = {user.login.lower() for user in found.requested_reviewers}
            asked |= {r.user.login.lower() for r in found.get_reviews() if r.user}
            asked |= {found.user.login.lower()} if found.user else set()
        new = [name for name in reviewers if name.lower() not in asked]
        return sum(self._ask(found, name) for name in new) > 0

    def _ask(self, found: PullRequest, reviewer: str) -> bool:
        try:
            with self._session.asking(f"ask {reviewer} for a review", PULLS):
                # One at a time: a stranger among them would have GitHub refuse them all.
                found.create_review_request(reviewers=[reviewer])
        except ForgeError as error:
            if error.status == 422:
                return False
            raise
        return True


def _pull(found: PullRequest) -> Pull:
    merged = found.merged_at is not None
    open_or_closed = PullState.OPEN if found.state == "open" else PullState.CLOSED
    return Pull(
        number=found.number,
        head=found.head.ref,
        base=found.base.ref,
        title=found.title,
        body=found.body or "",
        state=PullState.MERGED if merged else open_or_closed,
        draft=bool(found.draft),
        labels=tuple(label.name for label in found.labels),
        head_commit=found.head.sha,
        # While it is open this is a merge that GitHub tries out.
        merge=found.merge_commit_sha if merged else None,
        url=found.html_url,
        fork=found.head.repo is None or found.head.repo.id != found.base.repo.id,
        author=found.user.login if found.user else "ghost",
    )


def _best(pulls: Iterable[Pull]) -> dict[str, Pull]:
    """For each branch the open request, else the one with the highest number.

    Without those from forks: their branches may have any name.
    """
    own = [pull for pull in pulls if not pull.fork]
    order = sorted(own, key=lambda pull: (pull.state is PullState.OPEN, pull.number))
    return {pull.head: pull for pull in order}
