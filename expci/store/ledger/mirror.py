"""The mirror: a branch on which people see the ledger and what was made from it together.

One commit on top of the ledger's, replaced each time. Only a view: whatever stands there
never holds up the ledger, and what somebody else put there stays.
"""

from __future__ import annotations

import contextlib

from expci.core.model.content import Blob
from expci.errors import ExpciError
from expci.store.git import refs
from expci.store.git.git import Git
from expci.store.git.remote import Remote, Update
from expci.store.ledger import paths
from expci.store.ledger.ledger import Ledger

MESSAGE = "The ledger, with the reports that were made from it"


def update_mirror(remote: Remote, ledger: Ledger) -> None:
    """Put the ledger as it is on the branch, unless something of other people's stands there."""
    git = remote.git
    if ledger.commit is None:
        return
    with contextlib.suppress(ExpciError):
        there = remote.fetch(refs.MIRROR_BRANCH).get(refs.MIRROR_BRANCH)
        if there is None or git.is_ancestor(mirrored_ledger(git, there), ledger.commit):
            wanted = mirror_commit(ledger)
            if wanted != there:
                remote.push([Update(refs.MIRROR_BRANCH, wanted, there or "")])


def mirror_commit(ledger: Ledger) -> str:
    """The commit of a ledger's tree with the files for people in it."""
    git, commit = ledger.git, ledger.commit or ""
    files: dict[str, Blob | None] = {
        path: blob for path, blob in ledger.derived.entries.items() if paths.is_for_people(path)
    }
    tree = git.write_tree(commit, files)
    return git.commit_tree(tree, [commit], MESSAGE)


def mirrored_ledger(git: Git, commit: str) -> str:
    """The ledger's commit that a mirror shows; earlier versions put that one there itself."""
    message = git.text("show", "--no-patch", "--format=%B", commit)
    return git.parents(commit)[0] if message.strip() == MESSAGE else commit
