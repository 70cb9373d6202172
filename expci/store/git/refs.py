"""Every ref name that expci uses, spelled here and nowhere else.

On the remote: inbox, ledger, derived, published, backup and the heads of pull requests. In the
user's clone everything fetched goes below `refs/expci-fetched/`, which nothing else
reads, so that no branch, tag or FETCH_HEAD of the user's ever moves.
"""

from __future__ import annotations

EXPCI = "refs/expci/"
INBOX = "refs/expci/inbox"
LEDGER = "refs/expci/ledger"
DERIVED = "refs/expci/derived"
PUBLISHED = "refs/expci/published"
BACKUP = "refs/expci/backup"
PROMOTED = "refs/expci/promoted"
IDLE = "refs/expci/idle"
MIRROR_BRANCH = "refs/heads/expci-ledger"

HEADS = "refs/heads/"
FETCHED = "refs/expci-fetched"
LISTED = ("HEAD", "refs/heads/*", "refs/expci/*")  # what a pass lists of a remote, once


def is_own(ref: str) -> bool:
    """Whether nobody but expci has anything to do with a ref of that name."""
    return ref.startswith((EXPCI, f"{HEADS}expci/", f"{HEADS}expci-"))


def inbox(experiment: str, batch: str) -> str:
    """The create-only ref of one batch; `batch` is the SHA-256 of its bytes."""
    return f"{INBOX}/{experiment}/{batch}"


def backup(experiment: str) -> str:
    return f"{BACKUP}/{experiment}"


def promoted(experiment: str) -> str:
    """The merge that promoted it: what a revert needs, whatever becomes of the base branch."""
    return f"{PROMOTED}/{experiment}"


def set_aside(commit: str) -> str:
    """A ledger that another one took the place of."""
    return f"refs/expci/set-aside/{commit[:16]}"


def promote_branch(experiment: str) -> str:
    return f"expci/promote/{experiment}"


def promote_branches(experiment: str) -> tuple[str, str]:
    """Its usual name, and the one where a branch like `expci` stands in the way of that."""
    return promote_branch(experiment), f"expci-promote-{experiment}"


def revert_branches(experiment: str) -> tuple[str, str]:
    """The same for the branch of a revert."""
    return revert_branch(experiment), f"expci-revert-{experiment}"


def revert_branch(experiment: str) -> str:
    return f"expci/revert/{experiment}"


def head(branch: str) -> str:
    return HEADS + branch


def fetched(ref: str, remote: str = "") -> str:
    """Where a remote ref is kept in the user's clone; "" is the usual remote."""
    return f"{FETCHED}/{f'of/{remote}/' if remote else ''}{ref.removeprefix('refs/')}"


def split_inbox(ref: str) -> tuple[str, str] | None:
    """(experiment, batch) of an inbox ref; `None` when it has another shape."""
    parts = ref.removeprefix(INBOX + "/").split("/")
    if not ref.startswith(INBOX + "/") or len(parts) != 2:
        return None
    return parts[0], parts[1]
