"""The newest ledger, carried beside itself without its past: what a fresh clone fetches of it.

The commit of `refs/expci/derived` has the ledger's tree at `ledger/`, and the bytes of the
ledger's newest commit in its message. Whoever fetches it has all that the ledger holds now, and
makes its commit from those bytes; the commits before are missing, which git takes from a commit
that no ref leads to, so the clone becomes no shallow one. Whoever may push refs can write
anything there: it counts only where the bytes give the id that the ledger's own ref names.
"""

from __future__ import annotations

import re

from expci.core.model.content import Blob
from expci.errors import GitError
from expci.store.git.git import Git
from expci.store.git.object_bytes import TREE_MODE, object_id

DIRECTORY = "ledger"
_HEAD = "Made from the ledger"
_MOST_BYTES = 1_000_000
_CARRIED = re.compile(rb"\n\n" + _HEAD.encode() + rb"\n\n(tree ([0-9a-f]{40,64})\n.*)", re.DOTALL)


def carrying(git: Git, ledger: str | None) -> tuple[dict[str, Blob], str]:
    """The entries and the message by which a commit carries the ledger at one of its commits."""
    if ledger is None:
        return {}, _HEAD
    data = git.cat([ledger])[ledger]
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return {}, _HEAD  # somebody else made it
    tree = Blob(TREE_MODE, git.tree_of(ledger))
    return {DIRECTORY: tree}, f"{_HEAD}\n\n{text.removesuffix(chr(10))}"


def carried_commit(git: Git, commit: str | None) -> str | None:
    """The id of the ledger's commit that a commit says it carries; `None` where it says none."""
    carried = _carried(git, commit)
    return None if carried is None else object_id(git.object_format, "commit", carried[1])


def take_carried(git: Git, commit: str, wanted: str) -> bool:
    """Make the ledger's commit `wanted` of what `commit` carries; whether it carries that."""
    carried = _carried(git, commit)
    if carried is None or carried_commit(git, commit) != wanted:
        return False
    if git.row(git.tree_of(commit), DIRECTORY) != Blob(TREE_MODE, carried[2].decode()):
        return False
    git.write_commit(carried[1])
    return True


def _carried(git: Git, commit: str | None) -> re.Match[bytes] | None:
    """The bytes of a commit and of its tree's id, as they stand in another's message."""
    try:
        size = git.sizes([commit])[commit] if commit else None
        if commit is None or size is None or size[0] != "commit" or size[1] > _MOST_BYTES:
            return None
        return _CARRIED.search(git.cat([commit])[commit])
    except GitError:
        return None
