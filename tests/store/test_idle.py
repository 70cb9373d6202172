"""The mark of a pass that found nothing: gone as soon as anything changes."""

from __future__ import annotations

import hashlib

import pytest

from expci.store.git import refs
from expci.store.idle import PATTERNS, is_idle, mark_idle, mark_of
from support.ledger_samples import send, start, store, trial
from support.repositories import Repository

TIP, DOCUMENT = "a" * 40, "b" * 40


def test_the_mark_is_named_by_the_tip_and_what_is_published() -> None:
    digest = hashlib.sha256(f"{TIP} {DOCUMENT}".encode()).hexdigest()[:32]
    listed = {"HEAD": TIP, refs.PUBLISHED: DOCUMENT}
    assert mark_of(listed) == f"{refs.IDLE}/{digest}"
    assert mark_of({"HEAD": TIP}) != mark_of(listed) != mark_of({**listed, "HEAD": DOCUMENT})


@pytest.mark.parametrize(
    ("changes", "idle"),
    [
        ({}, True),
        ({"HEAD": "c" * 40}, False),  # something was merged
        ({refs.PUBLISHED: "c" * 40}, False),  # an experiment started or ended
        ({f"{refs.INBOX}/speed/x": TIP}, False),  # trials wait
        ({f"{refs.EXPCI}ledger": "c" * 40}, True),
    ],
)
def test_whatever_happens_ends_the_rest(changes: dict[str, str], idle: bool) -> None:
    listed = {"HEAD": TIP, refs.PUBLISHED: DOCUMENT}
    marked = {**listed, mark_of(listed): TIP}
    assert not is_idle(listed)
    assert is_idle({**marked, **changes}) is idle


def test_without_a_default_branch_nothing_is_idle() -> None:
    assert not is_idle({mark_of({}): TIP})


def test_a_pass_leaves_one_mark_on_the_remote(repository: Repository) -> None:
    snapshot = start(store(repository.path))
    remote = store(repository.path).remote
    assert snapshot.ledger.experiments
    tip = repository.git("rev-parse", "HEAD")
    assert not is_idle(remote.names(*PATTERNS))
    mark_idle(remote, "f" * 40)  # the branch has moved on since: nothing is said
    assert not marks(repository)
    mark_idle(remote, tip)
    assert is_idle(remote.names(*PATTERNS))
    [first] = marks(repository)
    mark_idle(remote, tip)
    assert marks(repository) == [first]

    send(store(repository.path), trial())
    assert not is_idle(remote.names(*PATTERNS))

    repository.write("README.md", "more\n")
    repository.commit()
    repository.push("main")
    mark_idle(remote, repository.git("rev-parse", "HEAD"))
    [second] = marks(repository)
    assert second != first, "the old mark goes with the new one"


def marks(repository: Repository) -> list[str]:
    names = repository.git("ls-remote", "origin", f"{refs.IDLE}/*").splitlines()
    return [line.split()[1] for line in names]
