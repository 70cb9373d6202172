"""Whose turn it is to send, held by real locks."""

from __future__ import annotations

import fcntl
from pathlib import Path

from expci.store.local.sending_turn import turn


def test_a_turn_waits_for_the_one_before(tmp_path: Path) -> None:
    lock = tmp_path / "clone" / "sending.lock"
    events: list[str] = []
    with turn(lock, lambda: events.append("never")), lock.open("r+") as other:
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            events.append("locked")
    with lock.open("r+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        def ends() -> None:
            events.append("waits")
            fcntl.flock(other, fcntl.LOCK_UN)

        with turn(lock, ends):
            events.append("turn")
    assert events == ["locked", "waits", "turn"]


def test_a_clone_that_can_only_be_read_has_no_turns(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with turn(tmp_path / "file" / "sending.lock"):
        pass
