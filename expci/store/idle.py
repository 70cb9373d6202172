"""A mark that a pass has nothing to look after, so that the next one can end at once.

One listing of the remote's refs tells: the mark's name is a digest of the default branch's commit
and of the published document. Whatever starts, is merged or arrives changes one of
them or adds a ref to the inbox. Standard library only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from expci.errors import LostRace
from expci.store.git import refs
from expci.store.git.remote import Remote, Update

PATTERNS = ("HEAD", f"{refs.EXPCI}*")


def is_idle(listed: Mapping[str, str]) -> bool:
    """Whether refs (name → object id) say that nothing has happened since the last pass."""
    waiting = any(ref.startswith(f"{refs.INBOX}/") for ref in listed)
    return not waiting and "HEAD" in listed and mark_of(listed) in listed


def mark_of(listed: Mapping[str, str]) -> str:
    """The mark's name for what is listed."""
    state = f"{listed.get('HEAD', '')} {listed.get(refs.PUBLISHED, '')}"
    return f"{refs.IDLE}/{hashlib.sha256(state.encode()).hexdigest()[:32]}"


def mark_idle(remote: Remote, tip: str) -> None:
    """Say that at the default branch's commit `tip` nothing is to be looked after."""
    listed = remote.names(*PATTERNS)
    if listed.get("HEAD") != tip or mark_of(listed) in listed:
        return
    old = [ref for ref in listed if ref.startswith(f"{refs.IDLE}/")]
    updates = [Update(ref, None, listed[ref]) for ref in old]
    try:
        remote.push([*updates, Update(mark_of(listed), tip, "")])
    except LostRace:
        return  # another pass was first, or the next one is not spared
