"""The branches of a promotion or a revert, and the pull requests from them."""

from __future__ import annotations

from contextlib import suppress

from expci.errors import ForgeError, Refused
from expci.flows.context import Context
from expci.flows.experiment.gather import Gathered
from expci.flows.experiment.signed_commits import is_same_change, put_signed, put_signed_after
from expci.forge.ports import PullRequest
from expci.store.git import refs
from expci.store.git.remote import Update

BY_ITSELF = "expci"  # who starts what was merged


def push_branch(app: Context, branch: str, commit: str, base: str) -> str:
    """Put the branch there, for a pull request into `base`; the commit that it has then.

    That is the forge's signed copy where `base` asks for signatures. Nothing is pushed where it
    stands there already.
    """
    ref = refs.head(branch)
    there = app.store.remote.fetch(ref).get(ref)
    if there not in (None, commit) and is_same_change(app.git, there or "", commit):
        return there or ""
    signed = put_signed(app, branch, commit, base, is_forward=False)
    if signed is not None:
        return signed
    try:
        _put(app, ref, commit)
    except Refused as refused:
        return put_signed_after(app, refused, branch, commit, is_forward=False)
    return commit


def push_forward(app: Context, branch: str, tip: str, commit: str) -> str:
    """Move a branch of people's from `tip` forward to `commit`, or to the forge's signed copy."""
    signed = put_signed(app, branch, commit, branch, is_forward=True)
    if signed is not None:
        return signed
    try:
        app.store.remote.advance(branch, tip, commit)
    except Refused as refused:
        return put_signed_after(app, refused, branch, commit, is_forward=True)
    return commit


def free_branch(app: Context, usual: str, other: str) -> str:
    """The name of a branch to make: `other` where a branch is in the way of the usual one."""
    return other if branches_in_the_way(app, usual) else usual


def branches_in_the_way(app: Context, branch: str) -> list[str]:
    """Refs that keep a branch from being created: git allows none below another.

    Not `expci/promote/x` beside `expci`, nor beside `expci/promote/x/y`.
    """
    parts = branch.split("/")
    above = {refs.head("/".join(parts[:length])) for length in range(1, len(parts))}
    below = refs.head(f"{branch}/")
    names = app.store.remote.names(*above, f"{below}*")
    return sorted(ref for ref in names if ref in above or ref.startswith(below))


def keep_backup(app: Context, name: str, commit: str) -> None:
    """Keep the base commit before a promotion, where the server takes such a ref.

    It is needed only once the base branch was rewritten, so no promotion waits for it.
    """
    with suppress(Refused):
        _put(app, refs.backup(name), commit)


def keep_merge(app: Context, name: str, commit: str) -> None:
    """Keep the promotion's merge: a revert needs it, even when the base branch is rewritten."""
    with suppress(Refused):
        _put(app, refs.promoted(name), commit)


def _put(app: Context, ref: str, commit: str) -> None:
    there = app.store.remote.fetch(ref).get(ref)
    if there != commit:
        app.store.remote.push([Update(ref, commit, there or "")])


def introduce(
    app: Context, gathered: Gathered, pull: PullRequest, label: str, author: str = ""
) -> PullRequest:
    """Label it and ask for a review; both are safe to repeat.

    The owner reviews, and never the `author` of the change: of two who agree one must be another.
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
