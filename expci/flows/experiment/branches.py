"""The branches of a promotion or a revert, and the pull requests from them."""

from __future__ import annotations

from expci.errors import ForgeError
from expci.flows.context import Context
from expci.flows.experiment.gather import Gathered
from expci.forge.ports import PullRequest
from expci.store.git import refs
from expci.store.git.remote import Update

BY_ITSELF = "expci"  # who starts what was merged


def push_branch(app: Context, branch: str, commit: str) -> None:
    """Put the branch there; nothing is pushed where it stands there already."""
    _put(app, refs.head(branch), commit)


def free_branch(app: Context, usual: str, other: str) -> str:
    """The name of a branch to make: `other` where a branch is in the way of the usual one."""
    return other if branches_in_the_way(app, usual) else usual


def branches_in_the_way(app: Context, branch: str) -> list[str]:
    """Refs that keep a branch from being made: git allows none below another.

    Not `expci/promote/x` beside `expci`, nor beside `expci/promote/x/y`.
    """
    parts = branch.split("/")
    above = {refs.head("/".join(parts[:length])) for length in range(1, len(parts))}
    below = refs.head(f"{branch}/")
    names = app.store.remote.names(*above, f"{below}*")
    return sorted(ref for ref in names if ref in above or ref.startswith(below))


def keep_backup(app: Context, name: str, commit: str) -> None:
    """Keep the base commit before a promotion."""
    _put(app, refs.backup(name), commit)


def keep_merge(app: Context, name: str, commit: str) -> None:
    """Keep the promotion's merge: a revert needs it, even when the base branch is rewritten."""
    _put(app, refs.promoted(name), commit)


def _put(app: Context, ref: str, commit: str) -> None:
    there = app.store.remote.fetch(ref).get(ref)
    if there != commit:
        app.store.remote.push([Update(ref, commit, there or "")])


def introduce(
    app: Context, gathered: Gathered, pull: PullRequest, label: str, author: str = ""
) -> PullRequest:
    """Label it and ask for a review; both are safe to repeat.

    The owner is asked, and never the `author` of the change: of two who agree one must be another.
    Where the owner is the author, whoever started the experiment is asked.
    """
    app.forge.pull_requests.label(pull, (label,))
    started = gathered.life.started
    candidates = (gathered.plan.experiment.owner or "", started.by if started else "")
    others = [name for name in candidates if name and name.lower() != author.lower()]
    if others and others[0] != BY_ITSELF:
        app.forge.pull_requests.request_review(pull, (others[0],))
    return pull


def opener(app: Context) -> str:
    """The account whose token opens pull requests; "" where none is needed, or tells."""
    if not app.forge.social:
        return ""
    try:
        return app.forge.comments.login()
    except ForgeError:
        return ""


def base_rules(app: Context, branch: str) -> tuple[str, ...]:
    """What the rules of a branch ask for; none where they cannot be read."""
    try:
        return app.forge.pull_requests.branch_rules(branch)
    except ForgeError:
        return ()
