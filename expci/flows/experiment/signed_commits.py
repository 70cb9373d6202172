"""Commits that the forge makes and signs, for branches that take no others."""

from __future__ import annotations

from expci.core.model.content import Blob
from expci.errors import ForgeError, Refused
from expci.flows.context import Context
from expci.forge.ports import NewCommit
from expci.store.git import refs, refusal
from expci.store.git.git import Git

# The older kind of protection does not tell what it asks for.
ASK_FOR_SIGNATURES = ("required_signatures", "branch_protection")


def put_signed(
    app: Context, branch: str, commit: str, base: str, *, is_forward: bool
) -> str | None:
    """The forge's own copy of `commit` at the tip of `branch`.

    `None` where nothing was done: the rules of `base` ask for no signature, or the forge signs
    nothing for this token. `is_forward`: the branch must not lose a commit by it.
    """
    return _put(app, branch, commit, is_forward=is_forward) if must_sign(app, base) else None


def must_sign(app: Context, base: str) -> bool:
    """Whether the rules of a branch may ask for signatures that the forge can give."""
    if app.forge.commits is None:
        return False
    return any(rule in ASK_FOR_SIGNATURES for rule in base_rules(app, base))


def put_signed_after(
    app: Context, refused: Refused, branch: str, commit: str, *, is_forward: bool
) -> str:
    """The same where a push was `refused` for want of a signature; else that refusal again."""
    wants_signature = refused.code == refusal.SIGNATURE and app.forge.commits is not None
    signed = _put(app, branch, commit, is_forward=is_forward) if wants_signature else None
    if signed is None:
        raise refused
    return signed


def is_same_change(git: Git, one: str, other: str) -> bool:
    """Whether two commits differ in author, time and signature at most."""
    same = git.tree_of(one) == git.tree_of(other) and git.parents(one) == git.parents(other)
    return same and _message(git, one) == _message(git, other)


def base_rules(app: Context, branch: str) -> tuple[str, ...]:
    """What the rules of a branch ask for; none where they cannot be read."""
    try:
        return app.forge.pull_requests.branch_rules(branch)
    except ForgeError:
        return ()


def open_rules(app: Context, branch: str, *, is_signed: bool) -> tuple[str, ...]:
    """The same without what a signed commit fulfils."""
    rules = base_rules(app, branch)
    return tuple(rule for rule in rules if not (is_signed and rule == "required_signatures"))


def _put(app: Context, branch: str, commit: str, *, is_forward: bool) -> str | None:
    commits = app.forge.commits
    signed = commits.put(branch, _new(app.git, commit), is_forward=is_forward) if commits else None
    if signed is not None:
        app.store.remote.list_again()
        app.store.remote.fetch(refs.head(branch))
    return signed


def _new(git: Git, commit: str) -> NewCommit:
    [parent] = git.parents(commit)
    changed = git.read_paths(commit, git.changed_paths(parent, commit))
    contents = git.cat(blob.oid for blob in changed.values() if blob)
    files = {path: _file(blob, contents) for path, blob in changed.items()}
    base, tree = git.tree_of(parent), git.tree_of(commit)
    return NewCommit(_message(git, commit), tree, parent, base, files)


def _file(blob: Blob | None, contents: dict[str, bytes]) -> tuple[str, bytes] | None:
    return None if blob is None else (blob.mode, contents[blob.oid])


def _message(git: Git, commit: str) -> str:
    return git.text("show", "-s", "--format=%B", commit).strip()
