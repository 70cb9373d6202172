"""The branches of a promotion or a revert, and the pull requests from them."""

from __future__ import annotations

from expci.flows.context import Context
from expci.flows.experiment.gather import Gathered
from expci.forge.ports import PullRequest
from expci.store.git import refs
from expci.store.git.remote import Update


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


def introduce(app: Context, gathered: Gathered, pull: PullRequest, label: str) -> PullRequest:
    """Label it and ask its owner for a review; both are safe to repeat."""
    app.forge.pull_requests.label(pull, (label,))
    owner = gathered.plan.experiment.owner
    if owner:
        app.forge.pull_requests.request_review(pull, (owner,))
    return pull
